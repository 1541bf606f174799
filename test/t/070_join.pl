# From booking to joined: what a token gives to whom, with real meetings of the stand-in's Zoom, over real connections;
# what ends it; what happens to it when master keys change; and that no token and no link gets where it should not.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use DibsBookings;
use DibsTest;
use Digest::SHA qw(hmac_sha256 sha256_hex);
use JSON::PP ();
use MIME::Base64 qw(decode_base64url encode_base64url);
use PostgreSQL::Test::Utils;
use Test::More;

my $standin = start_standin();
my $node = dibs_node('join', standin => $standin, conf => quick_conf() . <<"END");
dibs.poll_interval = '1s'
dibs.gateway_roles = 'gateway'
log_min_messages = debug2
log_min_error_statement = debug2
log_statement = none
END
my $json = JSON::PP->new->canonical->utf8;
my $sdk_secret = 'sdk-secret-of-tests-0000000000000001';
my ($coach, $other) = ('01J9ZK4M8Q0000000000000071', '01J9ZK4M8Q0000000000000072');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub becomes
{
	my ($sql, $expected, $what) = @_;
	return ok(wait_for_sql($node, 'postgres', $sql, $expected), $what);
}

sub join_with { return $json->decode(sql("SELECT dibs.join_meeting('$_[0]')")); }
sub valid { return sql("SELECT dibs.validate_session_token('$_[0]')"); }
sub token { return sql("SELECT dibs.generate_participant_token('$_[0]', '$_[1]')"); }

# fails(SQL, SQLSTATE, name): as a superuser, or with the given settings before it
sub fails
{
	my ($sql, $state, $name) = @_;
	my ($code, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-v', 'VERBOSITY=verbose' ], on_error_stop => 1);
	like($err, qr/ERROR:  $state:/, $name);
	return $err;
}

setup_zoom($node, 'postgres');
setup_coach($node, 'postgres', user_ulid => $coach);
sql("SELECT dibs.link_account('cal', '$other', email => 'other\@example.com')");
sql("SELECT dibs.set_secret('zoom.sdk_key', 'SdkKeyOfTests0000001'), dibs.set_secret('zoom.sdk_secret', '$sdk_secret')");
sql(qq{INSERT INTO dibs."CoachZoomConfig" ("userUlid", "zoomUserId", "settings") VALUES ('$coach', 'coach\@example.com', '{"registrants": true}')});

# cal(TRIGGER, fields): a delivery of Cal.com's, now and an hour long unless it says otherwise
my $sent = 0;

sub cal
{
	my ($trigger, %field) = @_;
	my $at = time + ($field{in} // 0);
	delete $field{in};
	my $iso = sub { POSIX::strftime('%Y-%m-%dT%H:%M:%S.000Z', gmtime $_[0]) };
	my $answer = deliver_cal($node, 'postgres', cal_body($trigger, createdAt => $iso->(time + $sent++), startTime => $iso->($at),
		endTime => $iso->($at + 3600), %field));
	is($answer->{outcome}, 'applied', "$trigger is applied") or diag($json->encode($answer));
	return;
}

# --- one participant: the link, and what the SDK takes
cal('BOOKING_CREATED', uid => 'one');
becomes(q{SELECT "meetingState" FROM dibs."CalBooking" WHERE "calBookingUid" = 'one'}, 'ready', 'a booking by webhook has its meeting');
my $token = token('one', 'guest@example.com');
my ($link, $number, $passcode, $host_page) = split /\|/, sql(q{SELECT "zoomJoinUrl", "zoomMeetingId", "zoomPasscode", "zoomHostUrl" FROM dibs."CalBooking" WHERE "calBookingUid" = 'one'});
my $answer = join_with($token);
is_deeply([ sort keys %$answer ], [ sort qw(state opensAt retryAfter provider joinUrl embed displayName timeZone role) ], 'the answer has its members');
is_deeply([ @$answer{qw(state provider joinUrl displayName timeZone role)} ],
	[ 'ready', 'zoom', $link, 'Guest', 'America/New_York', 'participant' ], 'and says how to join');
my $embed = $answer->{embed};
my $seat = sql(q{SELECT p."ulid" FROM dibs."BookingParticipant" p JOIN dibs."CalBooking" b ON b."ulid" = p."bookingUlid" WHERE b."calBookingUid" = 'one'});
is_deeply({ %$embed, signature => '' }, { sdkKey => 'SdkKeyOfTests0000001', signature => '', meetingNumber => $number, password => $passcode,
		userName => 'Guest', customerKey => $seat }, 'embedded: what the SDK\'s join() takes');
my ($header, $claims, $mac) = split /\./, $embed->{signature};
is($mac, encode_base64url(hmac_sha256("$header.$claims", $sdk_secret)), 'the signature is right');
is_deeply($json->decode(decode_base64url($header)), { alg => 'HS256', typ => 'JWT' }, 'its header is what Zoom wants');
$claims = $json->decode(decode_base64url($claims));
is_deeply([ @$claims{qw(appKey mn role)} ], [ 'SdkKeyOfTests0000001', $number, 0 ], 'for this meeting, role 0');
cmp_ok(abs($claims->{iat} + 30 - time), '<=', 10, 'issued now');
is($claims->{exp} - $claims->{iat}, 7200, 'for two hours');
is($embed->{signature} =~ /\Q$sdk_secret\E/ ? 1 : 0, 0, 'and without the secret');
isnt(join_with($token)->{state}, 'invalid', 'again, as often as one likes');

# where embedding cannot work there is the link
sql(q{UPDATE dibs."Meeting" SET "adopted" = true WHERE "bookingUlid" = (SELECT "ulid" FROM dibs."CalBooking" WHERE "calBookingUid" = 'one')});
is(join_with($token)->{embed} ? 1 : 0, 0, 'not embedded: a meeting that is not ours');
sql(q{UPDATE dibs."Meeting" SET "adopted" = false, "account" = '01J9ZK4M8Q0000000000000099'});
is(join_with($token)->{embed} ? 1 : 0, 0, 'not embedded: a meeting in a coach\'s own account');
sql(q{UPDATE dibs."Meeting" SET "account" = ''});
is(join_with($token)->{embed} ? 1 : 0, 1, 'embedded');
sql(q{SELECT dibs.drop_secret('zoom.sdk_secret')});
is_deeply([ @{ join_with($token) }{qw(state joinUrl)} ], [ 'ready', $link ], 'without an SDK secret: the link');
is(join_with($token)->{embed} ? 1 : 0, 0, 'and nothing embedded');
sql("SELECT dibs.set_secret('zoom.sdk_secret', '$sdk_secret')");

# --- it follows a reschedule that replaces the uid, and ends with the booking
cal('BOOKING_RESCHEDULED', uid => 'one-b', rescheduleUid => 'one', in => 86400);
is_deeply([ @{ join_with($token) }{qw(state joinUrl embed)} ], [ 'early', undef, JSON::PP::false ], 'moved to tomorrow: too early, no link');
is(valid($token), 'f', 'not valid yet');
like(join_with($token)->{opensAt}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/, 'it says when');
cal('BOOKING_RESCHEDULED', uid => 'one-c', rescheduleUid => 'one-b');
is(join_with($token)->{state}, 'ready', 'moved to now: the same token lets in');
is(token('one-c', 'guest@example.com'), $token, 'it is the same under the new uid');
is(token('one', 'guest@example.com'), $token, 'and under the old one');
cal('BOOKING_CANCELLED', uid => 'one-c');
is_deeply([ @{ join_with($token) }{qw(state joinUrl embed)} ], [ 'cancelled', undef, JSON::PP::false ], 'cancelled: no link');
is(valid($token), 'f', 'and not valid');
fails(q{SELECT dibs.generate_participant_token('one-c', 'guest@example.com')}, '22023', 'nobody gets a token for it');

# --- the organizer changes: the other coach's booking, and everybody's tokens end; also when it comes back
cal('BOOKING_CREATED', uid => 'moves');
$token = token('moves', 'guest@example.com');
is(valid($token), 't', 'a token with the first coach');
my %other = (organizer => { id => 6, name => 'Other', email => 'other@example.com', username => 'other', timeZone => 'UTC', language => { locale => 'en' } });
cal('BOOKING_RESCHEDULED', uid => 'moves-2', rescheduleUid => 'moves', %other);
is(sql(q{SELECT "userUlid" FROM dibs."CalBooking" WHERE "calBookingUid" = 'moves-2'}), $other, 'the booking is another coach\'s');
is(join_with($token)->{state}, 'invalid', 'the token has ended');
is(sql(q{SELECT "participants"::text ~ 'validationToken' FROM dibs."CalBooking" WHERE "calBookingUid" = 'moves-2'}), 'f', 'its hash is gone');
cal('BOOKING_RESCHEDULED', uid => 'moves-3', rescheduleUid => 'moves-2');
is(sql(q{SELECT "userUlid" FROM dibs."CalBooking" WHERE "calBookingUid" = 'moves-3'}), $coach, 'it comes back');
is(join_with($token)->{state}, 'invalid', 'the token does not');
isnt(token('moves-3', 'guest@example.com'), $token, 'a new one is another one');

# --- a group: each their own token and link; who is removed has neither
my %session = (uid => 'group', bookingId => 5000, seatsPerTimeSlot => 10);
my $person = sub { return { name => "Name $_[0]", email => "$_[0]\@example.com", timeZone => 'UTC', language => { locale => 'en' } } };
cal('BOOKING_CREATED', %session, attendees => [ $person->($_) ], attendeeSeatId => "seat-$_") for qw(ann ben cid);
becomes(q{SELECT count(DISTINCT "joinUrl") FROM dibs."BookingParticipant" p JOIN dibs."CalBooking" b ON b."ulid" = p."bookingUlid" WHERE b."calBookingUid" = 'group'},
	'3', 'three participants, three links of their own');
my %token = map { split /\|/ } split /\n/, sql(q{SELECT email, token FROM dibs.generate_participant_tokens('group')});
is_deeply([ sort keys %token ], [ map { "$_\@example.com" } qw(ann ben cid) ], 'a token each');
my %own = map { $_ => join_with($token{$_}) } keys %token;
is(scalar(keys %{ { map { $_->{joinUrl} => 1 } values %own } }), 3, 'each is given a link of their own');
ok(!(grep { $_->{joinUrl} eq sql(q{SELECT "zoomJoinUrl" FROM dibs."CalBooking" WHERE "calBookingUid" = 'group'}) } values %own), 'none the meeting\'s');
is(scalar(grep { ref $_->{embed} && $_->{joinUrl} =~ /[?&]tk=\Q$_->{embed}{tk}\E(?:&|$)/ && length $_->{embed}{tk} } values %own), 3,
	'embedded, each with the registrant\'s own token') or diag($json->encode(\%own));
is($own{'ann@example.com'}{embed}{userEmail}, 'ann@example.com', 'and address');
cal('BOOKING_CANCELLED', %session, attendees => [ $person->('ben') ], attendeeSeatId => 'seat-ben');
is_deeply([ @{ join_with($token{'ben@example.com'}) }{qw(state joinUrl embed)} ], [ 'cancelled', undef, JSON::PP::false ], 'who gave up the seat gets nothing');
becomes(q{SELECT "joinUrl" IS NULL AND "registrantId" IS NULL FROM dibs."BookingParticipant" WHERE "email" = 'ben@example.com'}, 't', 'and is no registrant any more');
is(join_with($token{$_})->{joinUrl}, $own{$_}{joinUrl}, "$_ stays") for qw(ann@example.com cid@example.com);
cal('BOOKING_CREATED', %session, attendees => [ $person->('ben') ], attendeeSeatId => 'seat-ben-2');
is(join_with($token{'ben@example.com'})->{state}, 'invalid', 'back in the session: the old token stays dead');
my $ben = token('group', 'ben@example.com');
becomes("SELECT dibs.join_meeting('$ben')->>'joinUrl' LIKE '%tk=%'", 't', 'a new one leads to a new link');
# registered by and by: nobody is sent to the meeting's own link meanwhile
$standin->control('POST', '/_control/faults', { match => { method => 'POST', path => '/registrants$' }, when => 'before', kind => 'status',
		status => 503, body => { code => 5010, message => 'Service unavailable' }, times => 2 });
cal('BOOKING_CREATED', %session, attendees => [ $person->('dee') ], attendeeSeatId => 'seat-dee');
my $dee = token('group', 'dee@example.com');
my %seen;
for (1 .. 600)
{
	my $now = join_with($dee);
	$seen{ join ' ', $now->{state}, $now->{joinUrl} // 'nothing' } = 1;
	last if $now->{state} eq 'ready' && $now->{joinUrl} =~ /tk=/;
	Time::HiRes::sleep(0.05);
}
ok((grep { /^pending nothing/ } keys %seen) && (grep { /^ready .*tk=/ } keys %seen) && keys %seen == 2, 'pending until registered, then the own link')
  or diag(join "\n", sort keys %seen);

# --- who may have which token: as real roles, with claims as a gateway sets them
sql(q{CREATE ROLE gateway LOGIN NOINHERIT; CREATE ROLE web_anon; CREATE ROLE web_user; GRANT web_anon, web_user TO gateway;
	SELECT dibs.grant_access('web_anon', 'public'); SELECT dibs.grant_access('web_user', 'member')});
sql(q{ALTER SYSTEM SET dibs.claim_email = 'email'; SELECT pg_reload_conf()});

sub as
{
	my ($role, $claims, $sql) = @_;
	my ($code, $out, $err) = $node->psql('postgres',
		sprintf('BEGIN; SET LOCAL ROLE %s; SELECT set_config(\'request.jwt.claims\', %s, true) \g /dev/null' . "\n%s; COMMIT", $role, sql_quote($json->encode($claims)), $sql),
		connstr => $node->connstr('postgres') . ' user=gateway', extra_params => [ '-v', 'VERBOSITY=verbose' ], on_error_stop => 1);
	return $code == 0 ? $out : $err =~ /ERROR:  (\w+):/ ? $1 : $err;
}
my %me = (coach => { sub => $coach }, other => { sub => $other }, ann => { sub => '01J9ZK4M8Q0000000000000073', email => 'ann@example.com' }, nobody => {});
is($json->decode(as('web_anon', {}, "SELECT dibs.join_meeting('$token{'ann@example.com'}')"))->{joinUrl}, $own{'ann@example.com'}{joinUrl}, 'anybody who has a token joins with it');
is(as('web_anon', {}, "SELECT dibs.validate_session_token('$token{'ann@example.com'}')"), 't', 'and may ask whether it is good');
is(as('web_anon', {}, q{SELECT dibs.generate_participant_token('group', 'ann@example.com')}), '42501', 'an anonymous caller gets no token');
is(as('web_user', $me{ann}, q{SELECT dibs.generate_participant_token('group', 'ann@example.com')}), $token{'ann@example.com'}, 'an attendee gets their own');
is(as('web_user', $me{ann}, q{SELECT dibs.generate_participant_token('group', 'cid@example.com')}), '42501', 'nobody else\'s');
is(as('web_user', $me{ann}, q{SELECT count(*) FROM dibs.generate_participant_tokens('group')}), '42501', 'and not all');
is(as('web_user', $me{ann}, q{SELECT dibs.revoke_tokens('group')}), '42501', 'and revokes none');
is(as('web_user', $me{ann}, q{SELECT dibs.generate_host_token('group')}), '42501', 'and is no host');
is(as('web_user', $me{coach}, q{SELECT count(*) FROM dibs.generate_participant_tokens('group')}), '4', 'the coach gets everybody\'s');
is(as('web_user', $me{$_}, q{SELECT dibs.generate_participant_token('group', 'ann@example.com')}), 'P0002', "to $_ there is no such booking") for qw(other nobody);
is(as('web_user', $me{other}, q{SELECT dibs.generate_host_token('group')}), 'P0002', 'nor for hosting it');
is(as($_, $me{coach}, q{SELECT dibs.sign_token(true, "ulid", "userUlid", "userUlid", 0, 0) FROM dibs."CalBooking"}), '42501', "$_ signs nothing") for qw(web_anon web_user);
fails(q{SELECT dibs.generate_host_token('group')}, '42501', 'the application is no host by itself');
my $host = as('web_user', $me{coach}, q{SELECT dibs.generate_host_token('group')});
is(sql("BEGIN; SELECT dibs.act_as('$coach') \\g /dev/null\nSELECT dibs.generate_host_token('group'); COMMIT"), $host, 'acting for the coach it gets the coach\'s');
$host_page = sql(q{SELECT "zoomHostUrl" FROM dibs."CalBooking" WHERE "calBookingUid" = 'group'});
is_deeply([ @{ join_with($host) }{qw(state role displayName)} ], [ 'ready', 'host', 'Coach' ], 'the host joins as the host');
ok(!(grep { $json->encode($_) =~ /\Q$host_page\E/ } map { join_with($_) } values %token), 'no participant is given the host\'s page');
# a host embeds as the host, with a ZAK of Zoom's; where that is not to be had there is the page
my $as_host = join_with($host);
is($as_host->{joinUrl}, $host_page, 'the host\'s page, which is no credential');
like($as_host->{embed}{zak}, qr/^STANDIN-ZAK-SECRET/, 'embedded with a ZAK');
is($json->decode(decode_base64url((split /\./, $as_host->{embed}{signature})[1]))->{role}, 1, 'and a signature of role 1');
is($as_host->{embed}{customerKey}, $coach, 'as the coach');
foreach my $answer (map { join_with($_) } values %token)
{
	next unless ref $answer->{embed} eq 'HASH';
	is($json->decode(decode_base64url((split /\./, $answer->{embed}{signature})[1]))->{role} . (exists $answer->{embed}{zak} ? ' zak' : ''), '0', 'a participant: role 0, no ZAK');
}
$standin->control('POST', '/_control/faults', { match => { method => 'GET', path => '/token' }, when => 'before', kind => 'status', status => 500, body => {}, times => 1 });
is_deeply([ @{ join_with($host) }{qw(state joinUrl embed)} ], [ 'ready', $host_page, JSON::PP::false ], 'Zoom gives no ZAK: the page, and no error');
$standin->control('POST', '/_control/faults', { match => { method => 'GET', path => '/token' }, when => 'before', kind => 'timeout', times => 1 });
my $waited = time;
is(join_with($host)->{state}, 'ready', 'Zoom is silent: the page');
cmp_ok(time - $waited, '<', 8, 'within the request\'s time-out');

# --- no link and no passcode where there is none to give; the control is that there is one when there is
sub secrets_in
{
	my ($answer) = @_;
	my $text = $json->encode($answer);
	return join ' ', grep { length && index($text, $_) >= 0 } map { split /\n/, sql($_) } (
		q{SELECT "zoomPasscode" FROM dibs."CalBooking" WHERE "calBookingUid" = 'group'},
		q{SELECT "zoomMeetingId" FROM dibs."CalBooking" WHERE "calBookingUid" = 'group'},
		q{SELECT split_part("joinUrl", 'tk=', 2) FROM dibs."BookingParticipant" WHERE "joinUrl" IS NOT NULL});
}
isnt(secrets_in(join_with($token{'ann@example.com'})), '', 'a good token: they are found');
my $group = sql(q{SELECT "ulid" FROM dibs."CalBooking" WHERE "calBookingUid" = 'group'});
foreach my $case ([ "'2 h'", "'3 h'", 'CONFIRMED', 'early' ], [ "'-3 h'", "'-2 h'", 'CONFIRMED', 'ended' ], [ "'0'", "'1 h'", 'NO_SHOW', 'ended' ],
	[ "'0'", "'1 h'", 'CANCELLED', 'cancelled' ])
{
	my ($start, $end, $status, $state) = @$case;
	my @all = split /\n/, sql(qq{BEGIN; UPDATE dibs."CalBooking" SET "startTime" = now() + $start, "endTime" = now() + $end, "status" = '$status' WHERE "ulid" = '$group';
		SELECT dibs.join_meeting(t) FROM unnest(ARRAY['$token{'ann@example.com'}', '$host']) t; ROLLBACK});
	is_deeply([ map { [ $json->decode($_)->{state}, secrets_in($json->decode($_)) ] } @all ], [ [ $state, '' ], [ $state, '' ] ], "$state ($status): none, not for the host either");
}

# --- keys: rotated, taken away, put back, another one under the same number
my $file = $node->basedir . '/dibs.key';
my $old_keys = slurp_file($file);
my ($old_line) = $old_keys =~ /^(\d+:\w+)/m;
my ($old_version) = $old_line =~ /^(\d+)/;

sub use_keys
{
	my ($text) = @_;
	unlink "$file.new";
	append_to_file("$file.new", $text);
	chmod(0600, "$file.new") or die "chmod: $!";
	rename("$file.new", $file) or die "rename: $!";
	$node->reload;
}
my $hex = join '', map { sprintf '%02x', int rand 256 } 1 .. 32;
my $ann = $token{'ann@example.com'};
use_keys("$old_line\n" . ($old_version + 1) . ":$hex\n");
my $new = token('group', 'ann@example.com');
isnt($new, $ann, 'another master key: another token');
is(join_with($_)->{state}, 'ready', 'both let in') for $ann, $new;
sql('SELECT dibs.rotate_master_key()');
becomes(q{SELECT "state" FROM dibs."Job" WHERE "kind" = 'rotate_master_key'}, 'done', 'everything is sealed with the new key');
is(valid($ann), 't', 'after the rotation the old token is still good');
use_keys($old_version + 1 . ":$hex\n");
is_deeply([ valid($ann), join_with($ann)->{state} ], [ 'f', 'invalid' ], 'not without its key');
is(valid($new), 't', 'the new one is');
like(sql("SELECT mend FROM dibs.abandon_key($old_version) WHERE lost = 'tokens' AND name = 'join'"), qr/generate them again/, 'giving the key up says so');
use_keys($old_version + 1 . ':' . reverse($hex) . "\n");
is_deeply([ valid($new), join_with($new)->{state} ], [ 'f', 'invalid' ], 'under another key of the same number it is none');
fails(q{SELECT dibs.generate_participant_token('group', 'ann@example.com')}, 'F0000', 'and nothing is signed with that');
unlink $file;
$node->reload;
is_deeply([ valid($new), @{ join_with($new) }{qw(state retryAfter joinUrl)} ], [ 'f', 'pending', 30, undef ], 'no key at all: nobody can tell, and nobody is let in');
is(join_with('no token')->{state}, 'invalid', 'what is no token is none even then');
fails(q{SELECT dibs.generate_participant_token('group', 'ann@example.com')}, 'F0000', 'a token cannot be made');
is(sql(q{SELECT dibs.revoke_tokens('group', 'cid@example.com')}), '1', 'but revoked');
use_keys($old_version + 1 . ":$hex\n");
is(valid($new), 't', 'the key is back, the token is good');
fails(q{SELECT dibs.generate_participant_token('group', 'gone@example.com')}, '42501', 'errors are as before');

# --- where a token may stand: nowhere. The test itself keeps them in a table of its own; a control is planted.
my $leaks = $node->basedir . '/leaks.sql';
sql(q{CREATE SCHEMA mine; CREATE TABLE mine.token AS SELECT * FROM dibs.generate_participant_tokens('group')});
my $log_start = -s $node->logfile;
sql(q{DO $$ DECLARE t text; BEGIN FOR t IN SELECT token FROM mine.token LOOP PERFORM dibs.join_meeting(t), dibs.validate_session_token(t), dibs.join_meeting(t || 'x'); END LOOP;
	RAISE LOG 'control: %', (SELECT min(token) FROM mine.token); END $$; SELECT dibs.revoke_tokens('group')});
my @tokens = split /\n/, sql('SELECT token FROM mine.token ORDER BY token');
my $log = slurp_file($node->logfile, $log_start);
is(scalar(grep { index($log, $_) >= 0 } @tokens), 1, 'in the log, at DEBUG2, is the control alone');
$log =~ s/control: \S+//g;
is(scalar(grep { index($log, $_) >= 0 } @tokens), 0, 'without it, none');
unlike(slurp_file($node->logfile), qr/STANDIN-ZAK-SECRET/, 'no ZAK in the log either');
system_or_bail('pg_dump', '-f', $leaks, $node->connstr('postgres'));
is(scalar(grep { index(slurp_file($leaks), $_) >= 0 } @tokens), scalar @tokens, 'a dump has those of the test\'s own table');
system_or_bail('pg_dump', '-N', 'mine', '-f', $leaks, $node->connstr('postgres'));
is(scalar(grep { index(slurp_file($leaks), $_) >= 0 } @tokens), 0, 'and no other');
unlike(slurp_file($leaks), qr/STANDIN-ZAK-SECRET/, 'nor a ZAK');
is(sql(q{SELECT count(*) FROM mine.token WHERE dibs.validate_session_token(token)}), '0', 'all of them were revoked');
is(sql(q{SELECT count(*) FROM dibs."AuditLog" WHERE "action" IN ('generate_participant_token', 'generate_participant_tokens', 'generate_host_token', 'revoke_tokens')
	AND "object" = '} . $group . q{'}) > 10 ? 1 : 0, 1, 'who made and revoked them is on record');

$node->stop;
$standin->stop;
done_testing();
