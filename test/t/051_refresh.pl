# Refresh tokens that are good for one refresh: ahead of expiry, one at a time, whoever runs beside the worker; answers that
# get lost, tokens that are taken back, a token endpoint that is down; and a worker that is killed at the worst moment.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use DibsAccounts;
use DibsBookings;
use DibsTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $standin = start_standin();
my $node = dibs_node('refresh', standin => $standin, conf => quick_conf() . "dibs.default_meeting_provider = 'zoom'\ndibs.poll_interval = 1s\nrestart_after_crash = on\n");
my ($one, $two) = map { "01J9ZK4M8Q000000000000020$_" } 1 .. 2;

sub sql
{
	my ($text) = @_;
	return $node->safe_psql('postgres', $text);
}

# the grant of a coach: a column of its "ProviderCredential"
sub grant
{
	my ($coach, $what) = @_;
	return sql(qq{SELECT c.$what FROM dibs."ProviderCredential" c JOIN dibs."ProviderAccount" a ON a."ulid" = c."accountUlid" WHERE a."userUlid" = '$coach'});
}

# expires now, as if its time had come: the job is due at once
sub expire
{
	my ($coach) = @_;
	sql(qq{UPDATE dibs."ProviderCredential" c SET "expiresAt" = now() FROM dibs."ProviderAccount" a WHERE a."ulid" = c."accountUlid" AND a."userUlid" = '$coach';
		UPDATE dibs."Job" SET "dueAt" = '-infinity' WHERE "kind" = 'refresh_token' AND "state" = 'waiting'; SELECT dibs.wake()});
	return;
}

sub fault
{
	my (%rule) = @_;
	$standin->control('POST', '/_control/faults', { match => { path => '/oauth/token' }, times => 1, %rule });
	return;
}

sub reconnect
{
	my ($coach, $as, $name) = @_;
	connect_coach($node, 'postgres', $standin, $coach, $as);
	ok(wait_for_sql($node, 'postgres', "SELECT string_agg(state, ',') FROM dibs.connections WHERE user_ulid = '$coach' AND account IS NOT NULL", 'connected'),
		$name);
}

setup_app($node, 'postgres');
$standin->settings(tokenLife => 5);
reconnect($one, 'host1@example.com', 'a coach is connected');
reconnect($two, 'host2@example.com', 'and another');

# --- ahead of expiry, two grants at once, and others who drain beside the worker ---

my $until = time + (short_mode() ? 8 : 25);
my @beside = map { session($node, 'postgres') } 1 .. 3;
my $watch = session($node, 'postgres');
my ($drains, $expired) = (0, 0);
$standin->settings(latency => 150);
while (time < $until || ($drains < 30 && time < $until + 60))
{
	$_->start('CALL dibs.drain(10)') for @beside;
	$expired++ if $watch->query(q{SELECT count(*) FROM dibs."ProviderCredential" WHERE "expiresAt" <= now()}) > 0;
	sleep 0.1;
	foreach my $session (@beside)
	{
		$drains++ if defined $session->result && $session->{error} eq '';
	}
}
$_->quit for @beside, $watch;
$standin->settings(latency => 0);
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."Job" WHERE "kind" = 'refresh_token' AND "leaseUntil" IS NOT NULL}, '0'), 'nothing is on the wire');
my $seen = counters($standin);
my $pairs = sql(q{SELECT sum("version") - 2 FROM dibs."ProviderCredential"});
cmp_ok($drains, '>=', 30, "$drains drains ran beside the worker");
cmp_ok($pairs, '>=', short_mode() ? 2 : 8, "$pairs pairs came");
is($seen->{refreshed}, $pairs, 'each by one refresh');
is($seen->{refreshReused}, 0, 'and no refresh token was used twice');
is($expired, 0, 'no access token ran out meanwhile');
is(sql(q{SELECT count(*) FROM dibs.connections WHERE connected AND why IS NULL}), '2', 'both are connected');

# --- an access token that Zoom refuses: one refresh, and the meeting is made ---

$standin->settings(tokenLife => 3600);
expire($_) for $one, $two;
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."ProviderCredential" WHERE "expiresAt" > now() + interval '30 min'}, '2'), 'tokens of an hour');
my $booking = book($node, 'postgres', userUlid => $one);
state_is($node, 'postgres', $booking, 'ready', 'a meeting is made');
my $version = grant($one, '"version"');
$standin->control('POST', '/_control/tokens', { revoke => 'access', user => 'host1@example.com' });
$booking = book($node, 'postgres', userUlid => $one);
state_is($node, 'postgres', $booking, 'ready', 'a meeting with a token that is refused: another is got');
is(grant($one, '"version"'), $version + 1, 'by one refresh');
is(shown((grep { $_->{path} eq '/v2/users/me/meetings' } $standin->requests(method => 'POST'))[-2, -1]), 'POST 401, POST 201', 'and one more try');

# --- an answer that gets lost ---

fault(kind => 'reset', when => 'before');
$version = grant($one, '"version"');
expire($one);
ok(wait_for_sql($node, 'postgres', qq{SELECT c."version" = $version + 1 FROM dibs."ProviderCredential" c JOIN dibs."ProviderAccount" a ON a."ulid" = c."accountUlid" WHERE a."userUlid" = '$one'}, 't'),
	'lost before Zoom had acted: the same token goes once more');
is(counters($standin)->{refreshReused}, 0, 'which was not used up');
is(connection($node, 'postgres', $one, 'state, why'), 'connected|', 'connected, and nothing to complain of');

my $events = sql(q{SELECT count(*) FROM dibs."Event" WHERE "type" = 'connection.lost'});
fault(kind => 'reset', when => 'after');
expire($one);
ok(wait_for_sql($node, 'postgres', "SELECT state, why_code FROM dibs.connections WHERE user_ulid = '$one'", 'reconnect_needed|reconnect_needed', 40),
	'lost after Zoom had acted: the account has to be connected again');
like(connection($node, 'postgres', $one, 'why'), qr/answer to an earlier refresh was lost/, 'and it says why');
is(counters($standin)->{refreshReused}, 1, 'after one more try with the old token');
sleep 3;
is(counters($standin)->{refreshReused}, 1, 'and no second one');
is(sql(q{SELECT count(*) FROM dibs."Event" WHERE "type" = 'connection.lost'}), $events + 1, 'those who follow are told, once');
like(sql(q{SELECT p->>'problem' FROM jsonb_array_elements(dibs.health()->'problems') p WHERE p->>'call' LIKE '%oauth_authorize_url%'}), qr/1 accounts of zoom have to be connected again/,
	'health() tells');
# the access token that the worker has in hand is good until it runs out, or until Zoom says otherwise
$standin->control('POST', '/_control/tokens', { revoke => 'access', user => 'host1@example.com' });
$booking = book($node, 'postgres', userUlid => $one);
ok(wait_for_sql($node, 'postgres', qq{SELECT "meetingState", "meetingErrorCode" FROM dibs."CalBooking" WHERE "ulid" = '$booking'}, 'failed|reconnect_needed'),
	'a new booking says that the account is missing');
is(shown(calls($standin, $booking)), '', 'and Zoom made nothing for it');
reconnect($one, 'host1@example.com', 'the coach consents again');
state_is($node, 'postgres', $booking, 'ready', 'and the booking has its meeting');
is(sql(q{SELECT count(*) FROM jsonb_array_elements(dibs.health()->'problems') p WHERE p->>'call' LIKE '%oauth_authorize_url%'}), '0', 'health() is content');

# --- a lost answer that took its time: half of it, a page in its place ---

foreach my $broken ([ 'half an answer', kind => 'truncate' ], [ 'a page in its place', kind => 'garbage', bytes => 100 ], [ 'no answer in time', kind => 'timeout', when => 'after' ])
{
	my ($what, %rule) = @$broken;
	last if short_mode();
	my $before = counters($standin)->{refreshReused};
	fault(%rule);
	expire($one);
	ok(wait_for_sql($node, 'postgres', "SELECT state FROM dibs.connections WHERE user_ulid = '$one'", 'reconnect_needed', 40), "$what: to be connected again");
	$standin->control('DELETE', '/_control/faults');
	is(counters($standin)->{refreshReused}, $before + 1, "$what: one more try");
	reconnect($one, 'host1@example.com', "$what: connected again");
}

# --- taken back at Zoom ---

my $reused = counters($standin)->{refreshReused};
$standin->control('POST', '/_control/tokens', { revoke => 'all', user => 'host2@example.com' });
$booking = book($node, 'postgres', userUlid => $two);
ok(wait_for_sql($node, 'postgres', qq{SELECT "meetingState", "meetingErrorCode" FROM dibs."CalBooking" WHERE "ulid" = '$booking'}, 'failed|reconnect_needed', 40),
	'a consent that was taken back is noticed by the first call');
like(connection($node, 'postgres', $two, 'state, why'), qr/^reconnect_needed\|the refresh token was refused: revoked/, 'and says so');
is(counters($standin)->{refreshReused}, $reused, 'nothing was used twice');
reconnect($two, 'host2@example.com', 'consented again');
state_is($node, 'postgres', $booking, 'ready', 'the booking that waited has its meeting');

# --- a token endpoint that is down, or has enough ---

foreach my $down ([ '503', kind => 'status', status => 503, body => '<html>maintenance</html>' ], [ '429', kind => 'status', status => 429, headers => { 'retry-after' => '1' } ])
{
	my ($what, %rule) = @$down;
	# twice, so that it is bad for long enough to be seen
	fault(%rule, times => 2);
	$version = grant($two, '"version"');
	expire($two);
	ok(wait_for_sql($node, 'postgres', "SELECT connected, why_code FROM dibs.connections WHERE user_ulid = '$two'", 't|provider_down'), "$what: still connected, and it says what is wrong");
	ok(wait_for_sql($node, 'postgres', "SELECT connected, why_code IS NULL FROM dibs.connections WHERE user_ulid = '$two'", 't|t'), "$what: until it works again");
	is(grant($two, '"version"'), $version + 1, "$what: by one refresh");
}
is(counters($standin)->{refreshReused}, $reused, 'nothing was used twice');

# --- the app's secret is wrong for a while: nobody has to consent again for that ---

sql(q{SELECT dibs.set_secret('zoom.oauth_client_secret', 'not-the-secret')});
expire($two);
ok(wait_for_sql($node, 'postgres', "SELECT connected, why_code FROM dibs.connections WHERE user_ulid = '$two'", 't|not_connected'), 'the app is refused: still connected');
sql(q{SELECT dibs.set_secret('zoom.oauth_client_secret', 'standin-user-secret'); UPDATE dibs."Job" SET "dueAt" = '-infinity' WHERE "kind" = 'refresh_token'; SELECT dibs.wake()});
ok(wait_for_sql($node, 'postgres', "SELECT connected, why_code IS NULL FROM dibs.connections WHERE user_ulid = '$two'", 't|t'), 'until it is put right');

# --- killed between the answer and the commit ---

# a row that somebody has locked keeps what was answered from being written; $wait says when it was answered
sub kill_at_settle
{
	my ($table, $row, $begin, $answered) = @_;
	my $holder = session($node, 'postgres');
	my $pid = sql('SELECT pid FROM dibs.worker_status');
	$standin->settings(latency => 2000);
	$begin->();
	ok($holder->wait_for(qq{SELECT count(*) FROM dibs."Job" WHERE "kind" IN ('exchange_code', 'refresh_token') AND "leaseUntil" > now()}, '1', 20), 'it is on the wire');
	$holder->query(qq{BEGIN; SELECT FROM dibs."$table" WHERE $row FOR UPDATE});
	my $deadline = time + 10;
	sleep 0.05 until $answered->() || time > $deadline;
	sleep 0.9;
	$standin->settings(latency => 0);
	kill_process($node, $pid);
	$holder->quit;
	return;
}

my $refreshed = counters($standin)->{refreshed};
kill_at_settle('ProviderCredential', 'true', sub { expire($two) }, sub { counters($standin)->{refreshed} > $refreshed });
ok(wait_for_sql($node, 'postgres', "SELECT state FROM dibs.connections WHERE user_ulid = '$two'", 'reconnect_needed', 40), 'a worker killed with a new pair in its hands: to be connected again');
like(connection($node, 'postgres', $two, 'why'), qr/lost/, 'and it says that an answer was lost');
is(counters($standin)->{refreshReused}, $reused + 1, 'after one more try with the old token');

my $exchanged = counters($standin)->{authorizationCode};
kill_at_settle('OAuthState', 'true', sub { connect_coach($node, 'postgres', $standin, $two, 'host2@example.com') }, sub { counters($standin)->{authorizationCode} > $exchanged });
ok(wait_for_sql($node, 'postgres', "SELECT state, why_code FROM dibs.connections WHERE user_ulid = '$two' AND account IS NULL", 'failed|code_refused', 40),
	'a worker killed with an exchanged code in its hands: the consent failed');
is(sql(q{SELECT count(*) FROM dibs."OAuthState" WHERE "sealed" IS NOT NULL AND "state" <> 'open'}), '0', 'nothing secret is left of it');
reconnect($two, 'host2@example.com', 'the coach consents once more');

done_testing();
