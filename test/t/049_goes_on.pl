# What one row brings with it holds up nobody else, and what others said of a booking outlives a settle: a link that is
# longer than any index takes, jobs that a new database has yet to begin with, a clock that was put on by who saw the
# meeting run.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use DibsBookings;
use DibsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $standin = start_standin();
my $node = dibs_node('goes_on', standin => $standin, conf => patient_conf() . "dibs.poll_interval = '1s'\ndibs.default_meeting_provider = 'jitsi'\n");
sub sql { return $node->safe_psql('postgres', $_[0]); }
sub settled { return wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"}, '0'); }

# ---- a new database ----

is(sql(q{SELECT count(*) FROM dibs."Job"}), '0', 'there is nothing to do, and nothing is written');
book($node, 'postgres', calBookingUid => 'first', hours => 24 * 30);
ok(settled(), 'the first booking');
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) > 0 FROM dibs."Job" WHERE "state" = 'waiting'}, 't'), 'and the jobs that come back are there, though nothing else falls due');

# ---- a link ----

my $long = sql(q{SELECT string_agg(md5(n::text), '') FROM generate_series(1, 160) n});
book($node, 'postgres', calBookingUid => 'long', zoomJoinUrl => "https://example.com/$long");
book($node, 'postgres', calBookingUid => 'beside');
ok(settled(), 'a link of 5 kB and another booking');
is(sql(q{SELECT string_agg("meetingState", ',') FROM dibs."CalBooking" WHERE "calBookingUid" IN ('long', 'beside')}), 'ready,ready', 'have their meetings');
my ($status, $out, $err) = $node->psql('postgres', qq{UPDATE dibs."CalBooking" SET "zoomMeetingId" = '$long' WHERE "calBookingUid" = 'beside'});
like($err, qr/CalBooking_zoomMeetingId_check/, 'what can be no meeting\'s id is refused');

# ---- a meeting that runs ----

book($node, 'postgres', calBookingUid => 'running', hours => -0.5, minutes => 45);
ok(settled(), 'a booking whose time it is');
# as who saw it begin leaves it
sql(q{UPDATE dibs."CalBooking" SET "status" = 'IN_PROGRESS' WHERE "calBookingUid" = 'running'});
ok(settled(), 'runs');
sql(q{UPDATE dibs."CalBooking" SET "completeAt" = "endTime" + interval '12 hours' WHERE "calBookingUid" = 'running'});
sql(q{UPDATE dibs."CalBooking" SET "title" = 'Changed meanwhile' WHERE "calBookingUid" = 'running'});
ok(settled(), 'and is changed meanwhile');
is(sql(q{SELECT "completeAt" = "endTime" + interval '12 hours' FROM dibs."CalBooking" WHERE "calBookingUid" = 'running'}), 't', 'the clock does not end it sooner');
done_testing();
