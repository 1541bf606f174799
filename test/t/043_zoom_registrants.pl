# Group sessions with a registrant and a join link for each participant: who comes is registered, who leaves is
# cancelled, one who is stuck delays nobody, and nobody is registered twice.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use DibsBookings;
use DibsTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $standin = start_standin();
my $node = dibs_node('registrants', standin => $standin, conf => patient_conf() . "dibs.poll_interval = '1s'");
setup_zoom($node, 'postgres');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub becomes
{
	my ($sql, $expected, $what, $timeout) = @_;
	return ok(wait_for_sql($node, 'postgres', $sql, $expected, $timeout), $what);
}

my $coach = '01J9ZK4M8Q0000000000000051';
sql(qq{INSERT INTO dibs."CoachZoomConfig" ("userUlid", "zoomUserId", "settings") VALUES ('$coach', 'coach\@example.com', '{"registrants": true}')});

sub group
{
	my ($uid, @emails) = @_;
	my $people = JSON::PP::encode_json([ map { { email => $_, name => "Ms. $_ Last", status => 'CONFIRMED' } } @emails ]);
	my $ulid = book($node, 'postgres', userUlid => $coach, calBookingUid => $uid, bookingType => 'GROUP', maxParticipants => 20,
		participants => $people, attendeeEmail => $emails[0]);
	return $ulid;
}

sub links
{
	my ($uid) = @_;
	return qq{SELECT count(DISTINCT e->>'joinUrl') FROM dibs."CalBooking" b, jsonb_array_elements(b."participants") e WHERE b."calBookingUid" = '$uid'
		AND e->>'joinUrl' LIKE 'https://us05web.zoom.us/w/%' AND coalesce(e->>'status', '') <> 'CANCELLED'};
}

sub posts { return scalar $standin->requests(method => 'POST', path => '/registrants$'); }
sub jobs { return q{SELECT count(*) FROM dibs."Job" WHERE "kind" = 'registrant'}; }

my $ulid = group('group-1', map { "p$_\@example.com" } 1 .. 5);
becomes(links('group-1'), '5', 'each of five participants has a link of their own');
my ($create) = $standin->requests(method => 'POST', path => '/users/[^/]+/meetings$');
is($create->{body}{settings}{approval_type}, 0, 'the meeting takes registrations');
my ($one) = grep { $_->{body}{email} eq 'p1@example.com' } $standin->requests(method => 'POST', path => '/registrants$');
is_deeply($one->{body}, { email => 'p1@example.com', first_name => 'Ms. p1@example.com', last_name => 'Last' }, 'by e-mail and name');
is_deeply($one->{conformance}, [], 'as the OpenAPI document wants it') if specs_dir();
is(sql(qq{SELECT count(DISTINCT "registrantId") FROM dibs."BookingParticipant" WHERE "bookingUlid" = '$ulid' AND "joinUrl" IS NOT NULL}), '5', 'the participants know');
is(posts(), 5, 'each registered once');
is(sql(qq{SELECT count(*) FROM dibs."Event" WHERE "bookingUlid" = '$ulid' AND "type" = 'participant.registered'}), '5', 'and announced');
becomes(jobs(), '0', 'no job is left');

# one-on-one sessions are as ever
my $single = book($node, 'postgres', userUlid => $coach, calBookingUid => 'single', hours => 30);
becomes(q{SELECT "meetingState" FROM dibs."CalBooking" WHERE "calBookingUid" = 'single'}, 'ready', 'a booking of one');
my ($last) = reverse $standin->requests(method => 'POST', path => '/users/[^/]+/meetings$');
ok(!exists $last->{body}{settings}{approval_type}, 'needs no registration');

# who comes later, who leaves, who comes back
sql(q{UPDATE dibs."CalBooking" SET "participants" = "participants" || '[{"email": "late@example.com", "name": "Late", "status": "CONFIRMED"}]' WHERE "calBookingUid" = 'group-1'});
becomes(links('group-1'), '6', 'who joins later is registered');
is(posts(), 6, 'alone');
sql(q{UPDATE dibs."CalBooking" SET "participants" = (SELECT jsonb_agg(CASE WHEN e->>'email' = 'p2@example.com' THEN e || '{"status": "CANCELLED"}' ELSE e END)
	FROM jsonb_array_elements("participants") e) WHERE "calBookingUid" = 'group-1'});
becomes(qq{SELECT "registrantId" IS NULL AND "joinUrl" IS NULL FROM dibs."BookingParticipant" WHERE "bookingUlid" = '$ulid' AND "email" = 'p2\@example.com'},
	't', 'who leaves is no registrant any more');
my ($status) = $standin->requests(method => 'PUT', path => '/registrants/status$');
is($status->{body}{action}, 'cancel', 'Zoom was told');
is($status->{body}{registrants}[0]{email}, 'p2@example.com', 'of this one');
is(sql(qq{SELECT count(*) FROM dibs."BookingParticipant" WHERE "bookingUlid" = '$ulid' AND "registrantId" IS NOT NULL}), '5', 'the others stay');
sql(qq{UPDATE dibs."BookingParticipant" SET "status" = 'CONFIRMED' WHERE "bookingUlid" = '$ulid' AND "email" = 'p2\@example.com'});
sql(q{UPDATE dibs."CalBooking" SET "participants" = (SELECT jsonb_agg(CASE WHEN e->>'email' = 'p2@example.com' THEN e || '{"status": "CONFIRMED"}' ELSE e END)
	FROM jsonb_array_elements("participants") e) WHERE "calBookingUid" = 'group-1'});
becomes(links('group-1'), '6', 'who comes back is registered anew');

# unknown outcomes: looked up by e-mail before anything is sent again
foreach my $kind ('reset', 'timeout')
{
	$standin->control('POST', '/_control/faults', { match => { method => 'POST', path => '/registrants$' }, when => 'after', kind => $kind });
	my $before = posts();
	group("lost-$kind", "lost-$kind\@example.com");
	becomes(links("lost-$kind"), '1', "an answer that was lost ($kind)");
	is(posts() - $before, 1, 'is found again, not asked for twice');
}

# one who is stuck
$standin->control('POST', '/_control/faults', { match => { method => 'POST', path => '/registrants$' }, when => 'before', kind => 'status',
		status => 400, body => { code => 300, message => 'Validation Failed.' }, times => 1 });
group('stuck', map { "s$_\@example.com" } 1 .. 6);
becomes(links('stuck'), '5', 'one whom Zoom refuses does not hold up the other five');
becomes(q{SELECT count(*) || ' ' || min("errorCode") FROM dibs."Job" WHERE "kind" = 'registrant' AND "state" = 'failed'}, '1 bad_request', 'and the refusal is on record');
sql(q{UPDATE dibs."CalBooking" SET "title" = 'Once more' WHERE "calBookingUid" = 'stuck'});
becomes(links('stuck'), '6', 'the next change of the booking tries again');

# a registrant's own limit concerns nobody else
$node->append_conf('postgresql.conf', "dibs.zoom_day = '16s'\n");
$node->reload;
$standin->settings(limits => { registrantDaily => 1, dayMs => 16000 });
my $meeting = sql(q{SELECT "zoomMeetingId" FROM dibs."CalBooking" WHERE "calBookingUid" = 'group-1'});
# the day's one registration of p3 is used up while it is made, cancelled and made anew
sleep(16.1 - (time - int(time / 16) * 16));
sql(qq{UPDATE dibs."BookingParticipant" SET "registrantMeeting" = NULL, "joinUrl" = NULL WHERE "bookingUlid" = '$ulid' AND "email" = 'p3\@example.com'});
sql(q{UPDATE dibs."CalBooking" SET "title" = 'First' WHERE "calBookingUid" = 'group-1'});
becomes(qq{SELECT "joinUrl" IS NOT NULL FROM dibs."BookingParticipant" WHERE "bookingUlid" = '$ulid' AND "email" = 'p3\@example.com'}, 't', 'within a registrant\'s limit');
sql(qq{UPDATE dibs."BookingParticipant" SET "registrantMeeting" = NULL, "joinUrl" = NULL WHERE "bookingUlid" = '$ulid' AND "email" = 'p3\@example.com'});
sql(q{UPDATE dibs."CalBooking" SET "title" = 'Second', "participants" = "participants" || '[{"email": "new@example.com", "name": "New", "status": "CONFIRMED"}]'
	WHERE "calBookingUid" = 'group-1'});
becomes(qq{SELECT "joinUrl" IS NOT NULL FROM dibs."BookingParticipant" WHERE "bookingUlid" = '$ulid' AND "email" = 'new\@example.com'}, 't', 'another participant is registered');
is(sql(q{SELECT "errorCode" || ' ' || ("dueAt" > now()) FROM dibs."Job" WHERE "kind" = 'registrant' AND "state" = 'waiting'}), 'registrant_daily_limit true',
	'while the one waits for the next day');
becomes(qq{SELECT "joinUrl" IS NOT NULL FROM dibs."BookingParticipant" WHERE "bookingUlid" = '$ulid' AND "email" = 'p3\@example.com'}, 't', 'and is registered then', 40);
$standin->settings(limits => { registrantDaily => 0 });

# the account's rate holds for registrants, too
$node->append_conf('postgresql.conf', "dibs.zoom_plan = free\n");
$node->reload;
$standin->settings(limits => { perSecond => JSON::PP::true, plan => 'free' });
my $refused = grep { $_->{status} == 429 } $standin->requests;
group('paced', map { "q$_\@example.com" } 1 .. 10);
becomes(links('paced'), '10', 'ten participants at four requests a second');
is(scalar(grep { $_->{status} == 429 } $standin->requests), $refused, 'without a refusal');
$standin->settings(limits => { perSecond => JSON::PP::false });
$node->append_conf('postgresql.conf', "dibs.zoom_plan = off\n");
$node->reload;

# with another meeting everybody gets another link; a cancelled booking's registrants go with its meeting
my $before = sql(qq{SELECT "joinUrl" FROM dibs."BookingParticipant" WHERE "bookingUlid" = '$ulid' AND "email" = 'p1\@example.com'});
$standin->control('POST', "/_control/meeting/$meeting", { deleted => JSON::PP::true });
sql(q{UPDATE dibs."CalBooking" SET "title" = 'Moved' WHERE "calBookingUid" = 'group-1'});
becomes(qq{SELECT "joinUrl" <> '$before' FROM dibs."BookingParticipant" WHERE "bookingUlid" = '$ulid' AND "email" = 'p1\@example.com'}, 't',
	'a meeting that was made again has its own registrants');
$before = posts();
sql(q{UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "calBookingUid" = 'group-1'});
becomes(q{SELECT "meetingState" FROM dibs."CalBooking" WHERE "calBookingUid" = 'group-1'}, 'not_needed', 'a cancelled session');
becomes(q{SELECT count(*) FROM dibs."Job" WHERE "kind" = 'registrant' AND "state" = 'waiting'}, '0', 'nothing is left to do');
is(posts(), $before, 'and nobody is registered for it');

$node->stop;
done_testing();
