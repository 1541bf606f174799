# Zoom's limits, kept on our side: 100 creates and updates a host and day, the account's rate, and who hosts for coaches
# without a host of their own. The stand-in enforces the same limits and would answer 429: there must be none.
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

my $day = short_mode() ? 12 : 25;
my ($limit, $many) = short_mode() ? (20, 30) : (100, 150);

my $standin = start_standin();
my $node = dibs_node('limits', standin => $standin, conf => patient_conf() . "dibs.poll_interval = '5s'");
setup_zoom($node, 'postgres');
$node->append_conf('postgresql.conf', "dibs.zoom_day = '${day}s'\ndibs.zoom_host_daily_limit = $limit\n");
$node->reload;
$standin->settings(limits => { hostDaily => $limit, dayMs => $day * 1000 });

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub refused
{
	return scalar grep { $_->{status} == 429 } $standin->requests;
}

sub creates
{
	return scalar grep { ($_->{status} // 0) == 201 } $standin->requests(method => 'POST', path => '/meetings$');
}

# books so many at once, one after the other in time, for a coach; their common prefix of the uid
sub book_many
{
	my ($count, $prefix, $user) = @_;
	sql(qq{INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
		SELECT '$user', '$prefix-' || n, 'Session', 'guest\@example.com', date_trunc('hour', now()) + n * interval '1 h' + interval '1 day',
			date_trunc('hour', now()) + n * interval '1 h' + interval '1 day 30 min' FROM generate_series(1, $count) n});
	return $prefix;
}

sub states
{
	my ($prefix) = @_;
	return sql(qq{SELECT string_agg(s, ', ' ORDER BY s) FROM (SELECT count(*) || ' ' || "meetingState" || coalesce(' ' || "meetingErrorCode", '') AS s
		FROM dibs."CalBooking" WHERE "calBookingUid" LIKE '$prefix-%' GROUP BY "meetingState", "meetingErrorCode") x});
}

# the day has to have room for what follows
sub new_day
{
	my $into = time - int(time / $day) * $day;
	sleep($day - $into + 0.05);
	return;
}

# ---- a host's day ----

my $one = '01J9ZK4M8Q0000000000000041';
my $other = '01J9ZK4M8Q0000000000000042';
sql(qq{INSERT INTO dibs."CoachZoomConfig" ("userUlid", "zoomUserId") VALUES ('$one', 'coach\@example.com'), ('$other', 'host1\@example.com')});
new_day();
my $begun = time;
book_many($many, 'full', $one);
book_many(10, 'other', $other);
my $waiting = $many - $limit;
wait_for_sql($node, 'postgres', qq{SELECT count(*) FROM dibs."CalBooking" WHERE "meetingState" IN ('pending')}, '0');
is(states('full'), join(', ', sort "$limit ready", "$waiting delayed host_daily_limit"), "$many bookings of one host: $limit made, $waiting wait and say why");
is(states('other'), '10 ready', 'another host is not touched');
is(sql(q{SELECT bool_and("meetingRetryAt" > now() AND "meetingRetryAt" <= now() + interval '} . ($day + 3) . q{ s')
	FROM dibs."CalBooking" WHERE "meetingState" = 'delayed'}), 't', 'and until when');
is(sql(q{SELECT string_agg("used"::text, ',' ORDER BY "host") FROM dibs."HostUsage"}), "$limit,10", 'what was used is on record');
is(refused(), 0, 'nothing was sent that Zoom would refuse');
is(creates(), $limit + 10, 'each was made once');

# what a crash forgets would be sent again, and refused; a removal is no use of the host's day
$node->stop('immediate');
$node->start;
sql(q{UPDATE dibs."CalBooking" SET "title" = 'Changed' WHERE "calBookingUid" = 'full-1'});
sql(q{UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "calBookingUid" = 'full-2'});
wait_for_sql($node, 'postgres', q{SELECT "meetingState" FROM dibs."CalBooking" WHERE "calBookingUid" = 'full-2'}, 'not_needed');
is(scalar(grep { $_->{method} eq 'DELETE' } $standin->requests), 1, 'a cancellation is carried out at once');
wait_for_sql($node, 'postgres', q{SELECT "meetingState" || ' ' || "meetingErrorCode" || ' ' || ("zoomJoinUrl" IS NOT NULL)
	FROM dibs."CalBooking" WHERE "calBookingUid" = 'full-1'}, 'ready host_daily_limit true');
is(scalar(grep { $_->{method} eq 'PATCH' } $standin->requests), 0, 'after a crash the day is as full as before');
cmp_ok(time - $begun, '<', $day, 'all that within one day');

ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"}, '0', $day + 20),
	'when the day has turned, the rest is made')
  or diag(states('full'));
is(states('full'), join(', ', sort(($many - 1) . ' ready', '1 not_needed')), 'all of it');
is(creates(), $many + 10, 'each once');
is(refused(), 0, 'and still no refusal');

# somebody else uses the same host: Zoom says so, and that is kept, too
$standin->settings(limits => { hostDaily => 3, dayMs => $day * 1000 });
new_day();
book_many(6, 'foreign', $other);
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'foreign-%' AND "meetingErrorCode" = 'host_daily_limit'},
		'3'), 'what Zoom says of a host\'s day');
is(sql(q{SELECT "used" FROM dibs."HostUsage" WHERE "host" = 'host1@example.com'}), $limit, 'counts as all of it');
my $refused = refused();
book_many(1, 'later', $other);
wait_for_sql($node, 'postgres', q{SELECT "meetingErrorCode" FROM dibs."CalBooking" WHERE "calBookingUid" = 'later-1'}, 'host_daily_limit');
is(refused(), $refused, 'so that nothing more is sent');
sql(q{UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "calBookingUid" LIKE 'foreign-%' OR "calBookingUid" LIKE 'later-%'});
wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"}, '0');

# ---- the account's rate ----

$node->append_conf('postgresql.conf', "dibs.zoom_host_daily_limit = 0\ndibs.zoom_plan = free\n");
$node->reload;
$standin->settings(limits => { hostDaily => 0, perSecond => JSON::PP::true, plan => 'free' });
my $before = creates();
$refused = refused();
my $start = time;
book_many(12, 'paced', $one);
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'paced-%' AND "meetingState" = 'ready'}, '12'),
	'more bookings at once than the account may make in a second');
cmp_ok(time - $start, q(>), 11 / 4, q(are spread over the seconds));
is(creates() - $before, 12, 'each is made once');
is(refused() - $refused, 0, 'and none is refused');

# more than a lease has time for: what can't wait is given back and comes again in its turn
$start = time;
$before = creates();
my $row = short_mode() ? 20 : 60;
book_many($row, 'row', $one);
ok(wait_for_sql($node, 'postgres', qq{SELECT count(*) FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'row-%' AND "meetingState" = 'ready'}, $row, $row),
	'a long row of bookings');
is(creates() - $before, $row, 'each is made once');
is(refused() - $refused, 0, 'and none is refused');
cmp_ok(time - $start, '<', $row / 2, 'at nearly the rate that the plan allows');

# dibs.drain() keeps the pace, and waits for its turns
$node->append_conf('postgresql.conf', "dibs.worker = off\n");
$node->reload;
wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs.worker_status WHERE "state" = 'off'}, '1');
book_many(8, 'drain', $one);
my $drains = 0;
do { sql('CALL dibs.drain(100)'); } while (states('drain') ne '8 ready' && ++$drains < 200);
is(states('drain'), '8 ready', 'drain keeps the pace');
is(refused() - $refused, 0, 'too');

# the worker and two drains beside it keep one beat
$node->append_conf('postgresql.conf', "dibs.worker = on\n");
$node->reload;
wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs.worker_status WHERE "state" <> 'off'}, '1');
$start = time;
$before = creates();
book_many(16, 'both', $one);
my @beside = map {
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		exec 'psql', '-XAtq', '-d', $node->connstr('postgres'), map { ('-c', 'CALL dibs.drain(5)') } 1 .. 6;
		die "exec: $!";
	}
	$pid;
} 1 .. 2;
waitpid($_, 0) for @beside;
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'both-%' AND "meetingState" = 'ready'}, '16'),
	'a worker and two drains at the same time');
is(creates() - $before, 16, 'make each once');
is(refused() - $refused, 0, 'and keep one pace');
cmp_ok(time - $start, '>', 15 / 4, 'that of the account');

# ---- the default hosts ----

$node->append_conf('postgresql.conf', join("\n", 'dibs.zoom_plan = off', 'dibs.zoom_meetings_at_once = 1',
		"dibs.zoom_default_hosts = 'coach\@example.com, host1\@example.com, host2\@example.com'", ''));
$node->reload;
$standin->settings(limits => { perSecond => JSON::PP::false });
my @coach = map { sprintf '01J9ZK4M8Q00000000000000%02d', 60 + $_ } 1 .. 6;

sub book_at
{
	my ($uid, $user, $hours, $minutes) = @_;
	sql(sprintf q{INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
		VALUES ('%s', '%s', 'Session', 'guest@example.com', date_trunc('day', now()) + interval '1000 days %s h',
			date_trunc('day', now()) + interval '1000 days %s h %s min')}, $user, $uid, $hours, $hours, $minutes);
	return $uid;
}

sub host_of
{
	my ($uid) = @_;
	return sql(qq{SELECT m."host" FROM dibs."Meeting" m JOIN dibs."CalBooking" b ON b."ulid" = m."bookingUlid" WHERE b."calBookingUid" = '$uid' AND m."state" <> 'gone'});
}

book_at("pool-$_", $coach[ $_ - 1 ], 9, 60) for 1 .. 4;
# two claimers at once, each of which takes two
my @sessions = map { session($node, 'postgres') } 1 .. 2;
$_->start('CALL dibs.drain(2)') for @sessions;
$_->result for @sessions;
sql('CALL dibs.drain(100)');
is(states('pool'), '1 delayed no_free_host, 3 ready', 'four coaches at the same time, three hosts');
is(sql(q{SELECT count(DISTINCT m."host") FROM dibs."Meeting" m JOIN dibs."CalBooking" b ON b."ulid" = m."bookingUlid"
	WHERE b."calBookingUid" LIKE 'pool-%' AND m."state" = 'ready'}), '3', 'each has one of its own');
is(sql(q{SELECT "meetingRetryAt" > now() FROM dibs."CalBooking" WHERE "meetingErrorCode" = 'no_free_host'}), 't', 'and the fourth says when it is looked at again');
my ($late) = sql(q{SELECT "calBookingUid" FROM dibs."CalBooking" WHERE "meetingErrorCode" = 'no_free_host'});
my ($early) = grep { $_ ne $late } map { "pool-$_" } 1 .. 4;
my $freed = host_of($early);
sql(qq{UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "calBookingUid" = '$early'});
sql('CALL dibs.drain(100)');
sql(qq{SELECT dibs.retry_meeting('$late')});
sql('CALL dibs.drain(100)');
is(host_of($late), $freed, 'a host that has become free is taken');

# a booking that moves to where its host has another one goes to a host who has not
book_at('move-1', $coach[4], 14, 60);
sql('CALL dibs.drain(100)');
book_at('move-2', $coach[5], 16, 60);
sql('CALL dibs.drain(100)');
my $first = host_of('move-1');
sql(qq{UPDATE dibs."Meeting" SET "host" = '$first' WHERE "bookingUlid" = (SELECT "ulid" FROM dibs."CalBooking" WHERE "calBookingUid" = 'move-2')});
sql(q{UPDATE dibs."CalBooking" SET "startTime" = "startTime" - interval '2 h', "endTime" = "endTime" - interval '2 h' WHERE "calBookingUid" = 'move-2'});
sql('CALL dibs.drain(100)') for 1 .. 2;
isnt(host_of('move-2'), $first, 'a move onto another meeting of the host changes the host');
is(states('move'), '2 ready', 'and both have their meeting');
is(sql(q{SELECT count(*) FROM dibs."Meeting" WHERE "bookingUlid" IS NULL AND "state" <> 'gone'}), '0', 'the one that was there is removed');

# the day of one default host is full: another one is taken, and when all are full the booking waits
$node->append_conf('postgresql.conf', "dibs.zoom_host_daily_limit = 2\ndibs.zoom_day = '1h'\n");
$node->reload;
sql('DELETE FROM dibs."HostUsage"');
book_at("quota-$_", $coach[0], 20 + 2 * $_, 60) for 1 .. 7;
sql('CALL dibs.drain(100)');
is(states('quota'), '1 delayed host_daily_limit, 6 ready', 'two meetings each for three hosts, and no more today');

# no default host at all
$node->append_conf('postgresql.conf', "dibs.zoom_default_hosts = ''\n");
$node->reload;
book_at('nobody-1', $coach[0], 60, 60);
sql('CALL dibs.drain(100)');
is(states('nobody'), '1 failed no_host', 'without any host there is a clear error');
my %live;
$live{ $_->{marker} }++ for grep { !$_->{deleted} && $_->{marker} } @{ $standin->control('GET', '/_control/state')->{meetings} };
is_deeply([ grep { $live{$_} > 1 } keys %live ], [], 'no booking has two meetings');

$node->stop;
done_testing();
