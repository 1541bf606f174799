# Zoom, one behaviour at a time, worked off by dibs.drain(): what is sent for what is wanted, what each refusal and each
# broken answer leads to, and that there is never a second meeting.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use DibsTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

# once over plain HTTP/1.1; 041_zoom_http2.pl runs the same over TLS with HTTP/2
my %over = (conf => '');
if ($ENV{DIBS_ZOOM_HTTP2})
{
	my $dir = PostgreSQL::Test::Utils::tempdir();
	system_log('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext',
		'subjectAltName=IP:127.0.0.1', '-keyout', "$dir/key", '-out', "$dir/cert") == 0
	  or BAIL_OUT('openssl made no certificate');
	%over = (tls => [ "$dir/cert", "$dir/key" ], conf => "dibs.http2 = on\ndibs.ca_file = '$dir/cert'");
}
my $standin = start_standin($over{tls} ? (tls => $over{tls}) : ());
# Patient: a stand-in on a busy machine is not to be taken for one that never answers, and an action's second request has
# to go out within a lease_margin of the claim.
my $node = dibs_node('zoom', standin => $standin, conf => "$over{conf}\n" .
	  "dibs.worker = off\ndibs.request_timeout = 10s\ndibs.connect_timeout = 5s\ndibs.lease_margin = 3s");
setup_zoom($node, 'postgres');
my $number = 0;

# Looks go over one connection, which costs much less than a psql each where the machine is busy; each drain() has its own.
my $session = session($node, 'postgres');

sub sql
{
	my ($text) = @_;
	my $got = $session->query($text);
	die "$text: " . ($session->{error} // '') if !defined $got || $session->{error} =~ /ERROR|FATAL/;
	return $got;
}

sub drain { return $node->safe_psql('postgres', 'CALL dibs.drain(100)'); }

# book(column => value, ...): a booking for tomorrow; its uid
sub book
{
	my (%column) = @_;
	my $uid = 'zoom-' . ++$number;
	%column = (
		userUlid => $DibsTest::coach,
		calBookingUid => $uid,
		title => 'Intro call',
		startTime => '2030-05-04 09:30+00',
		endTime => '2030-05-04 10:15+00',
		duration => 45,
		attendeeEmail => 'guest@example.com',
		%column);
	sql('INSERT INTO dibs."CalBooking" (' . join(', ', map { "\"$_\"" } sort keys %column) . ') VALUES ('
		  . join(', ', map { sql_quote($column{$_}) } sort keys %column) . ')');
	return $column{calBookingUid};
}

sub change
{
	my ($uid, $set) = @_;
	sql("UPDATE dibs.\"CalBooking\" SET $set WHERE \"calBookingUid\" = " . sql_quote($uid));
}

sub field
{
	my ($uid, $expression) = @_;
	return sql("SELECT $expression FROM dibs.\"CalBooking\" b LEFT JOIN dibs.\"Meeting\" m ON m.\"bookingUlid\" = b.\"ulid\""
		  . ' WHERE b."calBookingUid" = ' . sql_quote($uid));
}

# drains until the booking's field is as expected, through the pauses that back-off makes
sub becomes
{
	my ($uid, $expression, $expected, $what, $timeout) = @_;
	my $deadline = time + ($timeout // 60);
	my $got;
	while (1)
	{
		drain();
		$got = field($uid, $expression);
		last if $got eq $expected || time > $deadline;
		sleep 0.25;
	}
	return is($got, $expected, $what);
}

sub ready { return becomes($_[0], '"meetingState"', 'ready', $_[1] // 'the booking has its meeting'); }

sub fault
{
	my (%fault) = @_;
	$standin->control('POST', '/_control/faults', \%fault);
}

# requests since the last call of this, as "METHOD route"; each drain fetches a token of its own, which is left out
my $since = 0;

sub sent
{
	my @entries = grep { $_->{n} > $since } @{ $standin->control('GET', "/_control/log?since=$since")->{entries} };
	$since = $entries[-1]{n} if @entries;
	return grep { $_ ne 'POST /oauth/token' } map { $_->{route} // "$_->{method} $_->{path}" } @entries;
}

sub last_request
{
	my ($method, $path) = @_;
	my @entries = $standin->requests(method => $method, path => $path);
	return $entries[-1];
}

# so many meetings at the stand-in bear the booking's marker now
sub at_zoom
{
	my ($uid) = @_;
	my $meetings = $standin->control('GET', '/_control/state')->{meetings};
	my $ulid = field($uid, 'b."ulid"');
	return scalar grep { !$_->{deleted} && ($_->{marker} // '') =~ /\Q$ulid\E/ } @$meetings;
}

# ---- what is sent ----

my $uid = book(description => "Bring \"questions\"\n\xc3\xa9");
ready($uid);
my $create = last_request('POST', '/meetings$');
my $ulid = field($uid, 'b."ulid"');
is($create->{body}{topic}, 'Intro call', 'topic');
is($create->{body}{start_time}, '2030-05-04T09:30:00Z', 'the start in UTC, with a Z');
is($create->{body}{duration}, 45, 'duration in minutes');
like($create->{body}{agenda}, qr/^dibs:$ulid:$uid\n\n/, 'the marker is the first line of the agenda');
ok(!$create->{body}{settings}{use_pmi}, 'not the personal room');
is_deeply($create->{conformance}, [], 'as the OpenAPI document wants it') if specs_dir();
is_deeply([ sent() ], ['POST /users/{userId}/meetings'], 'one create');
like(field($uid, '"zoomJoinUrl"'), qr{^https://us05web\.zoom\.us/j/\d+\?pwd=}, 'a join link');
like(field($uid, '"zoomHostUrl"'), qr{^https://us05web\.zoom\.us/s/\d+$}, 'a host page without a credential');
isnt(field($uid, '"zoomPasscode"'), '', 'a passcode');

change($uid, q{"title" = 'Second call', "startTime" = '2030-05-05 09:30+00', "endTime" = '2030-05-05 10:00+00'});
becomes($uid, '"wanted" = "done"', 't', 'a change is worked off');
is_deeply([ sent() ], ['PATCH /meetings/{meetingId}'], 'by one update');
is(last_request('PATCH', '.')->{body}{start_time}, '2030-05-05T09:30:00Z', 'with the new time');
change($uid, q{"rating" = 5, "metadata" = '{"a": 1}'});
becomes($uid, '"wanted" = "done"', 't', 'a change of nothing that Zoom knows');
change($uid, q{"zoomJoinUrl" = "zoomJoinUrl"});
drain();
is_deeply([ sent() ], [], 'sends nothing');

change($uid, q{"status" = 'CANCELLED'});
becomes($uid, '"meetingState"', 'not_needed', 'a cancellation');
is_deeply([ sent() ], ['DELETE /meetings/{meetingId}'], 'is one delete');
is(at_zoom($uid), 0, 'and the meeting is gone');
is(field($uid, '"zoomJoinUrl" IS NULL'), 't', 'its link too');

# settings of the coach, a checked list; what Zoom does not know is not sent
sql(sprintf(q{INSERT INTO dibs."CoachZoomConfig" ("userUlid", "settings") VALUES (%s, '{"waitingRoom": true,
	"joinBeforeHost": false, "recording": "cloud", "audio": "nonsense", "muteUponEntry": true, "timeZone": "Europe/Berlin",
	"topicTemplate": "Coaching: {title}", "alternativeHosts": ["host1@example.com", "host2@example.com"], "other": 1}')},
	sql_quote($DibsTest::coach)));
$uid = book(title => 'T' x 300);
ready($uid, 'a booking of a coach with settings');
$create = last_request('POST', '/meetings$');
is_deeply($create->{body}{settings}, {
		use_pmi => JSON::PP::false,
		waiting_room => JSON::PP::true,
		join_before_host => JSON::PP::false,
		mute_upon_entry => JSON::PP::true,
		auto_recording => 'cloud',
		alternative_hosts => 'host1@example.com;host2@example.com' }, 'the settings that Zoom knows');
is($create->{body}{timezone}, 'Europe/Berlin', 'a time zone that Zoom knows');
is($create->{body}{topic}, 'Coaching: ' . 'T' x 190, 'a topic by its template, cut at 200');
sql('DELETE FROM dibs."CoachZoomConfig"');

# ---- meetings that are not as we left them ----

my $id = field($uid, '"zoomMeetingId"');
$standin->control('POST', "/_control/meeting/$id", { running => JSON::PP::true });
sent();
change($uid, q{"status" = 'CANCELLED'});
becomes($uid, '"meetingState"', 'not_needed', 'a cancelled booking whose meeting runs');
is_deeply([ sent() ], [
		'DELETE /meetings/{meetingId}',
		'PUT /meetings/{meetingId}/status',
		'DELETE /meetings/{meetingId}' ], 'is ended, then deleted');

$uid = book();
ready($uid);
$standin->control('POST', '/_control/meeting/' . field($uid, '"zoomMeetingId"'), { deleted => JSON::PP::true });
change($uid, q{"status" = 'CANCELLED'});
becomes($uid, '"meetingState"', 'not_needed', 'a meeting that is gone already counts as deleted');

$uid = book();
ready($uid);
$id = field($uid, '"zoomMeetingId"');
$standin->control('POST', "/_control/meeting/$id", { deleted => JSON::PP::true });
change($uid, q{"title" = 'Changed'});
becomes($uid, qq{"meetingState" = 'ready' AND "zoomMeetingId" <> '$id'}, 't', 'a meeting deleted behind our back is made again');
is(at_zoom($uid), 1, 'once');

# ---- unknown outcomes ----

foreach my $kind (
	[ 'reset', kind => 'reset' ],
	[ 'timeout', kind => 'timeout' ],
	[ 'truncated answer', kind => 'truncate' ],
	[ 'garbage', kind => 'garbage', bytes => 200 ],
	[ 'not the JSON that was promised', kind => 'json', body => '{"id": "none"}' ],
	[ 'a slow drip', kind => 'drip', chunk => 1, ms => 200 ],
	[ 'a huge answer', kind => 'huge', bytes => 3_000_000 ],
	[ '502 with HTML', kind => 'status', status => 502, body => '<html>' ],
	[ '429 with HTML', kind => 'status', status => 429, body => '<html>' ],
	[ 'a redirect', kind => 'redirect', status => 302, location => 'https://example.com/' ])
{
	my ($name, %fault) = @$kind;
	my $late = $fault{kind} =~ /^(?:timeout|drip)$/;
	fault(match => { method => 'POST', path => '/meetings$' }, when => 'after', %fault);
	$uid = book();
	if ($late)
	{
		# short for the one request that runs into it
		set_conf($node, 'postgres', 'dibs.request_timeout' => '1s');
		drain();
		set_conf($node, 'postgres', 'dibs.request_timeout' => '10s');
	}
	ready($uid, "create, $name after acting");
	is(at_zoom($uid), 1, "create, $name: one meeting");
	is(field($uid, 'm."passcode" = b."zoomPasscode" AND m."externalId" = b."zoomMeetingId"'), 't',
		"create, $name: found again, with its passcode");
}
fault(match => { method => 'POST', path => '/meetings$' }, when => 'before', kind => 'reset');
$uid = book();
ready($uid, 'create, reset before acting');
is(at_zoom($uid), 1, 'one meeting');

# A page in Zoom's place, as proxies and hotels have them, says 200 and has done nothing.
my %page = (when => 'before', kind => 'status', status => 200, body => '<html><body>Welcome to the hotel</body></html>');
fault(match => { method => 'POST', path => '/meetings$' }, %page);
$uid = book();
ready($uid, 'create, a page that says 200');
is(at_zoom($uid), 1, 'one meeting');
fault(match => { method => 'PATCH', path => '/meetings/' }, %page);
change($uid, q{"title" = 'Not for the hotel'});
becomes($uid, '"wanted" = "done"', 't', 'update, a page that says 200');
is($standin->control('GET', '/_control/meeting/' . field($uid, '"zoomMeetingId"'))->{topic}, 'Not for the hotel', 'is made all the same');
fault(match => { method => 'DELETE', path => '/meetings/' }, %page);
change($uid, q{"status" = 'CANCELLED'});
becomes($uid, '"meetingState"', 'not_needed', 'delete, a page that says 200');
is(at_zoom($uid), 0, 'is made all the same');

# Either half of the marker is enough: a restored copy's booking may have another ulid.
fault(match => { method => 'POST', path => '/meetings$' }, when => 'before', kind => 'reset');
$uid = book();
my $same_uid = $standin->control('POST', '/_control/meeting', { host => $DibsTest::zoom{host}, topic => 'Intro call', type => 2,
	start_time => '2030-05-04T09:30:00Z', agenda => "dibs:01J9ZK4M8Q00000000000000ZZ:$uid" })->{id};
ready($uid, 'a meeting that bears the uid, and another ulid');
is(field($uid, '"zoomMeetingId"'), $same_uid, 'is the one');

# An attendee's words cannot pass for a marker: the victim's own meeting is found, or none.
my $victim = book();
ready($victim);
my $victims = field($victim, '"zoomMeetingId"');
fault(match => { method => 'POST', path => '/meetings$' }, when => 'before', kind => 'reset');
$uid = book();
my $target = field($uid, 'b."ulid"');
change($victim, sprintf(q{"description" = 'dibs:%s:%s', "title" = 'dibs:%s:%s'}, $target, $uid, $target, $uid));
drain();
ready($uid);
isnt(field($uid, '"zoomMeetingId"'), $victims, 'a marker in the text of another booking is not believed');

# Two with our marker: the older stays.
sub twin
{
	my ($uid) = @_;
	return $standin->control('POST', '/_control/meeting', {
			host => $DibsTest::zoom{host},
			topic => 'Intro call',
			type => 2,
			start_time => '2030-05-04T09:30:00Z',
			agenda => 'dibs:' . field($uid, 'b."ulid"') . ":$uid" });
}
fault(match => { method => 'POST', path => '/meetings$' }, when => 'before', kind => 'reset');
$uid = book();
my @twins = map { twin($uid)->{id} } 1 .. 3;
$standin->control('POST', "/_control/meeting/$twins[1]", { created => '2020-01-01T00:00:00Z' });
ready($uid, 'three meetings with the marker');
is(field($uid, '"zoomMeetingId"'), $twins[1], 'the oldest is kept');
is(at_zoom($uid), 1, 'the others are deleted');

# More than one page; once is enough, and each request to the stand-in is slow over TLS.
if (!$over{tls})
{
	$standin->control('POST', '/_control/meeting', {
			host => $DibsTest::zoom{host},
			topic => "Filler $_",
			type => 2,
			start_time => '2029-01-01T09:30:00Z' }) for 1 .. 320;
	fault(match => { method => 'POST', path => '/meetings$' }, when => 'after', kind => 'reset');
	$uid = book();
	sent();
	ready($uid, 'a meeting on the second page');
	is(at_zoom($uid), 1, 'is found');
	cmp_ok(scalar(grep { $_ eq 'GET /users/{userId}/meetings' } sent()), '>=', 2, 'by following the pages');
}

# ---- refusals ----

foreach my $kind (qw(expire_token revoke_token))
{
	fault(match => { method => 'POST', path => '/meetings$' }, when => 'before', kind => $kind);
	$uid = book();
	sent();
	ready($uid, "$kind: a meeting after all");
	my @creates = $standin->requests(method => 'POST', path => '/meetings$');
	is_deeply([ map { $_->{status} } @creates[-2, -1] ], [ 401, 201 ], 'by one more try');
	isnt($creates[-1]{headers}{authorization}, $creates[-2]{headers}{authorization}, 'with a new token');
	is(sql("SELECT coalesce(max(\"attempts\"), 0) FROM dibs.\"PendingMeeting\""), 0, 'that counts as no attempt');
}
is(at_zoom($uid), 1, 'one meeting');

$standin->settings(scopes => { s2s => ['meeting:read:meeting:admin'] });
$standin->control('POST', '/_control/tokens', { revoke => 'access' });
$uid = book();
becomes($uid, '"meetingErrorCode"', 'scope_missing', 'a missing scope has a code');
is(field($uid, '"meetingState"'), 'failed', 'and is final');
like(sql("SELECT \"error\" FROM dibs.\"Meeting\" WHERE \"errorCode\" = 'scope_missing'"), qr/does not contain scopes/,
	'what Zoom said is kept');
$standin->control('POST', '/_control/reset');
$since = 0;
sent();

sql(sprintf(q{INSERT INTO dibs."CoachZoomConfig" ("userUlid", "zoomUserId") VALUES (%s, 'nobody@example.com')},
	sql_quote($DibsTest::coach)));
$uid = book();
becomes($uid, q{"meetingState" || ' ' || "meetingErrorCode"}, 'failed no_host', 'a host that Zoom does not know');
sql(q{UPDATE dibs."CoachZoomConfig" SET "zoomUserId" = 'basic@example.com'});
$uid = book();
becomes($uid, q{"meetingState" || ' ' || "meetingErrorCode"}, 'failed host_not_licensed', 'a host without a licence');
sql('DELETE FROM dibs."CoachZoomConfig"');

# ---- limits ----

$standin->settings(limits => { perSecond => JSON::PP::true, override => { Light => [ 3, 100000 ] } });
my @many = map { book() } 1 .. 8;
ready($_, 'within the limit a second, in the end') for @many;
is(at_zoom($_), 1, 'one meeting') for @many;

# what is to be seen of a day has to have room in it
sub room_today
{
	my $left = 8 - (time - int(time / 8) * 8);
	sleep($left + 0.05) if $left < 5;
	return;
}

sql('ALTER DATABASE postgres SET dibs.zoom_day = 8000');
$standin->settings(limits => { perSecond => JSON::PP::false, override => {}, hostDaily => 2, dayMs => 8000 });
@many = map { book() } 1 .. 4;
room_today();
becomes($many[3], q{"meetingErrorCode" = 'host_daily_limit' AND "meetingRetryAt" > now() AND "meetingState" = 'delayed'},
	't', 'the limit of the host and day is said, with the time of the next try')
  or diag(field($many[3], '"meetingState", "meetingErrorCode", "meetingRetryAt", now()'));
ready($_, 'and after the day has turned the meeting is made') for @many;
$standin->settings(limits => { hostDaily => 0, daily => JSON::PP::true, override => { Light => [ 1000, 1 ] }, dayMs => 8000 });
@many = map { book() } 1 .. 2;
room_today();
becomes($many[1], q{"meetingErrorCode" = 'account_daily_limit' AND "meetingRetryAt" > now()}, 't',
	"the account's limit a day, until the time that Retry-After names")
  or diag(field($many[1], '"meetingState", "meetingErrorCode", "meetingRetryAt", now()'));
ready($_, 'and after it') for @many;

# ---- nothing that opens a door is kept or said ----

my $dump = '';
foreach my $table (qw(CalBooking Meeting PendingMeeting Event Job))
{
	$dump .= sql("SELECT to_jsonb(t) FROM dibs.\"$table\" t");
}
unlike($dump, qr/STANDIN-ZAK|$DibsTest::zoom{client_secret}|Bearer/, 'no start link, secret or token in a table');
# (the secret itself is in the statements that this test sent and had logged)
unlike(slurp_file($node->logfile), qr/STANDIN-ZAK|Bearer/, 'nor in the log');
is_deeply([ keys %{ { map { $_->{httpVersion} => 1 } $standin->requests(path => '^/v2/') } } ],
	[ $over{tls} ? '2.0' : '1.1' ], 'all of it over the protocol that was meant');
my @anomalies = map { @{ $_->{anomalies} // [] } } $standin->requests();
is_deeply(\@anomalies, [], 'nothing that Zoom would quietly take otherwise');

$session->quit;
$standin->stop;
$node->stop;
done_testing();
