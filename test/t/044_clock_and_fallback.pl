# What happens by the clock: a fallback's meeting where the chosen provider does not deliver in time, and bookings that
# are over although nobody says so.
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
my $node = dibs_node('clock', standin => $standin, conf => patient_conf() . "dibs.poll_interval = '60s'\ndibs.worker = off\n");
setup_zoom($node, 'postgres');

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub drain { return sql('CALL dibs.drain(100)'); }

my $coach = '01J9ZK4M8Q0000000000000071';
sql(qq{INSERT INTO dibs."CoachZoomConfig" ("userUlid", "zoomUserId", "settings") VALUES ('$coach', 'coach\@example.com', '{"fallbackProvider": "jitsi"}')});

# at($uid, $minutes from now): a booking of the coach with the fallback
sub at
{
	my ($uid, $minutes, %column) = @_;
	return sql(sprintf q{INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime" %s)
		VALUES ('%s', '%s', 'Session', 'guest@example.com', now() + '%s min', now() + '%s min' %s) RETURNING "ulid"},
		join('', map { ", \"$_\"" } sort keys %column), $column{userUlid} ? '' : $coach, $uid, $minutes, $minutes + 30,
		join('', map { ', ' . sql_quote($column{$_}) } sort keys %column));
}

sub state
{
	my ($uid) = @_;
	return sql(qq{SELECT concat_ws(' ', b."meetingState", b."meetingErrorCode", m."provider") FROM dibs."CalBooking" b
		LEFT JOIN dibs."Meeting" m ON m."bookingUlid" = b."ulid" AND m."state" <> 'gone' WHERE b."calBookingUid" = '$uid'});
}

sub becomes
{
	my ($uid, $expected, $what, $timeout) = @_;
	my $deadline = time + ($timeout // 20);
	my $got;
	do { drain(); $got = state($uid); sleep 0.2 if $got ne $expected; } while ($got ne $expected && time < $deadline);
	return is($got, $expected, $what);
}

sub live
{
	my ($ulid) = @_;
	return scalar grep { !$_->{deleted} && ($_->{marker} // '') =~ /$ulid/ } @{ $standin->control('GET', '/_control/state')->{meetings} };
}

sub fault { return $standin->control('POST', '/_control/faults', {@_}); }

# ---- fallback ----

at('fine', 5);
becomes('fine', 'ready zoom', 'a provider that delivers needs no fallback');

# Zoom is down; there is time
my $down = { match => { method => 'POST', path => '/meetings$' }, when => 'before', kind => 'status', status => 503, body => 'down', times => 0 };
fault(%$down);
at('early', 25);
drain();
like(state('early'), qr/^delayed provider_down/, 'a booking ahead waits for its provider');
is(sql(q{SELECT "meetingRetryAt" <= "startTime" - interval '10 min' FROM dibs."CalBooking" WHERE "calBookingUid" = 'early'}), 't', 'at most until ten minutes before its start');
my $soon = at('soon', 5);
becomes('soon', 'ready fallback jitsi', 'a booking about to begin gets its fallback\'s meeting');
like(sql(q{SELECT "zoomJoinUrl" FROM dibs."CalBooking" WHERE "calBookingUid" = 'soon'}), qr{^https://meet\.jit\.si/dibs-}, 'and its link');
is(sql(q{SELECT "data"->>'errorCode' FROM dibs."Event" WHERE "type" = 'meeting.ready' AND "bookingUlid" = '} . $soon . q{'}), 'fallback', 'which is announced');

# the early one's time comes
sql(q{UPDATE dibs."CalBooking" SET "startTime" = now() + interval '9 min', "endTime" = now() + interval '30 min' WHERE "calBookingUid" = 'early'});
becomes('early', 'ready fallback jitsi', 'when its time has come the early one falls back, too');
$standin->control('DELETE', '/_control/faults');
drain() for 1 .. 3;
is(live($soon), 0, 'nothing of it is at Zoom');

# told once, the link stays, unless the booking moves
my $link = sql(q{SELECT "zoomJoinUrl" FROM dibs."CalBooking" WHERE "calBookingUid" = 'soon'});
sql(q{UPDATE dibs."CalBooking" SET "title" = 'Another title' WHERE "calBookingUid" = 'soon'});
drain();
is(state('soon'), 'ready fallback jitsi', 'another change leaves the fallback');
is(sql(q{SELECT "zoomJoinUrl" FROM dibs."CalBooking" WHERE "calBookingUid" = 'soon'}), $link, 'and its link');
sql(q{UPDATE dibs."CalBooking" SET "startTime" = "startTime" + interval '1 day', "endTime" = "endTime" + interval '1 day' WHERE "calBookingUid" = 'soon'});
becomes('soon', 'ready zoom', 'a booking that moves goes back to its provider');
is(live($soon), 1, 'with one meeting there');

# the first one's outcome is unknown: it was made after all, and is removed as one too many
fault(match => { method => 'POST', path => '/meetings$' }, when => 'after', kind => 'timeout', times => 1);
my $lost = at('lost', 5);
set_conf($node, 'postgres', 'dibs.request_timeout' => '1s');
becomes('lost', 'ready fallback jitsi', 'an unknown outcome shortly before the start falls back');
set_conf($node, 'postgres', 'dibs.request_timeout' => '10s');
my $deadline = time + 90;
do { drain(); sleep 0.3; } while (live($lost) > 0 && time < $deadline);
is(live($lost), 0, 'what was made at Zoom is found and removed');
my $tombstones = q{SELECT count(*) FROM dibs."Meeting" WHERE "bookingUlid" IS NULL AND "state" <> 'gone'};
do { drain(); sleep 0.3; } while (sql($tombstones) ne '0' && time < $deadline);
is(sql($tombstones), '0', 'no tombstone is left');
is(state('lost'), 'ready fallback jitsi', 'the booking keeps what it has');

# a final failure
sql(qq{UPDATE dibs."CoachZoomConfig" SET "zoomUserId" = 'nobody\@example.com' WHERE "userUlid" = '$coach'});
at('final', 5);
becomes('final', 'ready fallback jitsi', 'a final failure falls back');
at('final-early', 60);
drain();
like(state('final-early'), qr/^failed no_host/, 'ahead of time it is a failure');
is(sql(q{SELECT "dueAt" = "startTime" - interval '10 min' FROM dibs."CalBooking" WHERE "calBookingUid" = 'final-early'}), 't', 'that is due again when the fallback steps in');
sql(qq{UPDATE dibs."CoachZoomConfig" SET "settings" = '{}' WHERE "userUlid" = '$coach'});
at('none', 5);
drain();
like(state('none'), qr/^failed no_host/, 'without a fallback it stays one');

# ---- completion ----

my $requests = scalar $standin->requests;
my $jitsi = '01J9ZK4M8Q0000000000000072';
sql(qq{INSERT INTO dibs."CoachZoomConfig" ("userUlid", "settings") VALUES ('$jitsi', '{"provider": "jitsi"}')});
my %over = (userUlid => $jitsi);
sub over
{
	my ($uid, $user, $minutes, $status) = @_;
	return sql(qq{INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "status", "startTime", "endTime")
		VALUES ('$user', '$uid', 'Session', 'guest\@example.com', '$status', now() - interval '$minutes min' - interval '30 min',
			now() - interval '$minutes min')});
}
sub status { return sql(qq{SELECT "status" FROM dibs."CalBooking" WHERE "calBookingUid" = '$_[0]'}); }

over('over', $jitsi, 16, 'CONFIRMED');
over('running', $jitsi, 16, 'IN_PROGRESS');
over('just', $jitsi, 5, 'CONFIRMED');
over('cancelled', $jitsi, 16, 'CANCELLED');
over('asked', $jitsi, 16, 'PENDING');
sql(qq{UPDATE dibs."CoachZoomConfig" SET "settings" = '{"provider": "zoom"}' WHERE "userUlid" = '$coach'});
drain() for 1 .. 2;
is(status('over'), 'COMPLETED', 'a booking is completed some time after its end');
is(status('just'), 'CONFIRMED', 'not before');
is(status('running'), 'IN_PROGRESS', 'nor is one that was running just now');
is(status('cancelled'), 'CANCELLED', 'what was cancelled stays so');
is(status('asked'), 'PENDING', 'and so does what was never confirmed');
is(sql(q{SELECT string_agg("data"::text, ',') FROM dibs."Event" WHERE "type" = 'booking.completed'}), '{"by": "clock", "status": "COMPLETED"}', 'it is announced');
is(sql(q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done" AND "calBookingUid" IN ('over', 'just', 'running')}), '0', 'nothing is wanted of anybody');

# a meeting at Zoom whose end nobody tells
my $zoom = at('silent', -20);
sql(qq{UPDATE dibs."CoachZoomConfig" SET "zoomUserId" = 'coach\@example.com' WHERE "userUlid" = '$coach'});
drain();
is(sql(q{SELECT "meetingState" FROM dibs."CalBooking" WHERE "calBookingUid" = 'silent'}), 'ready', 'a meeting at Zoom');
is(sql(q{SELECT "completeAt" = "endTime" + interval '12 h' FROM dibs."CalBooking" WHERE "calBookingUid" = 'silent'}), 't', 'is given half a day for its webhooks');
sql(q{UPDATE dibs."CalBooking" SET "completeAt" = now(), "endTime" = now() - interval '1 s' WHERE "calBookingUid" = 'silent'});
drain() for 1 .. 2;
is(status('silent'), 'COMPLETED', 'then the clock completes it, too');

# the worker, between two polls
$node->append_conf('postgresql.conf', "dibs.complete_after = 0\ndibs.worker = on\n");
$node->reload;
sql(qq{INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
	VALUES ('$jitsi', 'short', 'Session', 'guest\@example.com', now(), now() + interval '6 s')});
ok(wait_for_sql($node, 'postgres', q{SELECT "meetingState" FROM dibs."CalBooking" WHERE "calBookingUid" = 'short'}, 'ready'), 'a booking that is over in a moment');
ok(wait_for_sql($node, 'postgres', q{SELECT "status" FROM dibs."CalBooking" WHERE "calBookingUid" = 'short'}, 'COMPLETED', 20), 'is completed then, long before the next poll');

# many at once, one of them locked
my $locker = session($node, 'postgres');
sql(qq{INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
	SELECT '$jitsi', 'many-' || n, 'Session', 'guest\@example.com', now() - interval '3 h', now() - interval '2 h' FROM generate_series(1, 1000) n});
$locker->query(q{BEGIN; SELECT 1 FROM dibs."CalBooking" WHERE "calBookingUid" = 'many-500' FOR UPDATE});
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'many-%' AND "status" = 'COMPLETED'}, '999', 20), 'history is completed')
  or diag(sql(q{SELECT "status", count(*) FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'many-%' GROUP BY 1}));
$locker->query('COMMIT');

$node->stop;
done_testing();
