# What cannot be worked on stops nothing else: a row for which nothing can be decided, a booking that cannot be completed,
# a token that cannot be read; nor does what an application's trigger leaves open in a drain().
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Utils;
use Test::More;

use CalSync;
use DibsBookings;
use DibsTest;

my $standin = start_standin();
my $node = dibs_node('poison', standin => $standin, conf => patient_conf() .
	  cal_conf($standin) . "dibs.poll_interval = '1s'\ndibs.zoom_host_daily_limit = 100\ndibs.jitsi_base_url = 'https://meet.example'\n");
my $db = 'postgres';
setup_zoom($node, $db);
hosts($standin, 'a' .. 'z');

sub sql { return $node->safe_psql($db, $_[0]); }

sub worker
{
	my ($on) = @_;
	sql($on ? 'ALTER SYSTEM RESET dibs.worker' : 'ALTER SYSTEM SET dibs.worker = off');
	$node->reload;
	return wait_for_sql($node, $db, q{SELECT state IN ('off') FROM dibs.worker_status WHERE database = current_database()}, $on ? 'f' : 't');
}

# refuse('CalBooking', 'UPDATE', condition): an application's trigger that lets no such row be written
my $refusals = 0;

sub refuse
{
	my ($table, $event, $condition) = @_;
	my $name = 'refuse_' . ++$refusals;
	sql(qq{CREATE FUNCTION public.$name() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN RAISE EXCEPTION 'refused by $name'; END\$\$;
		CREATE TRIGGER $name BEFORE $event ON dibs."$table" FOR EACH ROW WHEN ($condition) EXECUTE FUNCTION public.$name()});
	return "DROP FUNCTION public.$name() CASCADE";
}

# no request but the creates of these
sub created_once
{
	my ($name, %host_of) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	state_is($node, $db, $host_of{$_}, 'ready', "$name: $_ has its meeting", 10) foreach sort keys %host_of;
	return is(join(' | ', map { shown(calls($standin, $host_of{$_}, $_)) } sort keys %host_of), join(' | ', ('POST 201') x keys %host_of),
		"$name: made once, nothing looked for");
}

sub put_off
{
	my ($ulid, $reason, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_for_sql($node, $db, qq{SELECT "meetingState", "meetingErrorCode", "meetingRetryAt" > now() - interval '5 s' FROM dibs."CalBooking" WHERE "ulid" = '$ulid'},
		'delayed|not_claimable|t', 10), "$name is put off");
	return like(sql(qq{SELECT "errorCode" || ': ' || "lastError" FROM dibs."PendingMeeting" WHERE "ulid" = '$ulid'}), qr/^not_claimable: .*$reason/, '... and its work says why');
}

# --- rows for which nothing can be decided

worker(0);
# as what no trigger of ours has seen
my $timeless = '01J9ZK4M8Q00000000000000T1';
sql(qq{SET session_replication_role = replica;
	INSERT INTO dibs."CalBooking" ("ulid", "userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
	VALUES ('$timeless', '01J9ZK4M8Q00000000000000T2', 'timeless', 'x', 'g\@example.com', '-infinity', now() + '1 day')});
my $allow = refuse('HostUsage', 'INSERT', q{NEW."host" = 'b@example.com'});
my $hostless = book($node, $db, email => 'b@example.com');
my %good = map { $_ => book($node, $db, email => "$_\@example.com") } 'c' .. 'e';
my $jitsi = book($node, $db, meetingProvider => 'jitsi');
worker(1);
created_once('beside them', %good);
state_is($node, $db, $jitsi, 'ready', 'a booking that needs no request', 10);
put_off($timeless, 'timestamp out of range', 'a time that is none');
put_off($hostless, 'refused by', 'a host that cannot be counted');
created_once('later', f => book($node, $db, email => 'f@example.com'));
sql($allow);
state_is($node, $db, $hostless, 'ready', 'it comes back when it can be written', 30);
sql(qq{UPDATE dibs."CalBooking" SET "startTime" = now() + '20 h' WHERE "ulid" = '$timeless'});
state_is($node, $db, $timeless, 'ready', 'the other once it is changed', 10);

# tombstones
my ($stays, $goes) = map { book($node, $db, email => "$_\@example.com") } 'g', 'h';
state_is($node, $db, $_, 'ready', 'a booking') foreach $stays, $goes;
worker(0);
$allow = refuse('Meeting', 'UPDATE', q{NEW."host" = 'g@example.com' AND NEW."state" = 'deleting'});
sql(qq{DELETE FROM dibs."CalBooking" WHERE "ulid" IN ('$stays', '$goes')});
worker(1);
ok(wait_calls($standin, $goes, 'h', 'POST 201, DELETE 204', 10), 'a meeting is removed beside one that cannot be');
is(shown(calls($standin, $stays, 'g')), 'POST 201', '... which is left alone');
sql($allow);
ok(wait_calls($standin, $stays, 'g', 'POST 201, DELETE 204', 30), 'and goes when it can be written');

# what passes is nobody's fault: nothing is said of the rows, and nothing is lost
my $log = -s $node->logfile;
my $locker = session($node, $db);
$locker->query('BEGIN; LOCK dibs."HostUsage"');
my %waits = map { $_ => book($node, $db, email => "$_\@example.com") } 'i', 'j';
$jitsi = book($node, $db, meetingProvider => 'jitsi');
ok(wait_for_log($node, qr/what is due has to wait: canceling statement due to lock timeout/, $log, 10), 'a locked table is waited for');
is(sql(qq{SELECT count(*) FROM dibs."CalBooking" WHERE "ulid" IN ('$waits{i}', '$waits{j}') AND "meetingErrorCode" IS NOT NULL}), 0, 'without a word about the bookings');
$locker->query('COMMIT');
created_once('then', %waits);
state_is($node, $db, $jitsi, 'ready', 'and what was due beside them', 10);

# at the door
my $long = 'x' x 256;
foreach my $refused (
	[ qq{INSERT INTO dibs."CoachZoomConfig" ("userUlid", "zoomUserId") VALUES ('01J9ZK4M8Q00000000000000T3', '$long')}, 'a Zoom user' ],
	[ qq{SELECT dibs.link_account('zoom', '01J9ZK4M8Q00000000000000T3', email => '$long')}, "an account's name" ],
	[ qq{SET dibs.zoom_default_hosts = 'a, $long'}, 'a default host' ])
{
	my ($rc, undef, $error) = $node->psql($db, $refused->[0]);
	ok($rc != 0 && $error =~ /_length_check|at most 255 bytes/, "$refused->[1] that no index takes is refused");
}

# --- bookings that cannot be completed

# three whose time is over, as after a long while without a worker, and one that has just been made
sub over
{
	my ($prefix, @titles) = @_;
	my $n = 0;
	return join '', map { $n++; qq{SET session_replication_role = replica;
		INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime", "completeAt", "wanted", "done", "meetingState")
		VALUES ('$DibsTest::coach', '$prefix-$n', '$_', 'g\@example.com', now() - interval '2 h', now() - interval '1 h', now() - interval '10 min' + interval '$n s', 1, 1, 'not_needed');
		SET session_replication_role = origin;} } @titles;
}

sub statuses
{
	my ($prefix) = @_;
	return qq{SELECT string_agg("status" || CASE WHEN "completeAt" > now() THEN ' later' ELSE '' END, ', ' ORDER BY "calBookingUid") FROM dibs."CalBooking" WHERE "calBookingUid" LIKE '$prefix-%'};
}

worker(0);
$allow = refuse('CalBooking', 'UPDATE', q{NEW."title" = 'Poison' AND NEW."status" = 'COMPLETED'});
my $never = refuse('CalBooking', 'UPDATE', q{NEW."title" = 'Stone'});
$log = -s $node->logfile;
sql(over('over', 'Poison', 'x', 'Stone', 'x'));
my $new = book($node, $db, email => 'k@example.com');
worker(1);
created_once('a booking beside one that cannot be completed', k => $new);
ok(wait_for_sql($node, $db, statuses('over'), 'CONFIRMED later, COMPLETED, CONFIRMED, COMPLETED', 10), 'the others are completed, and it waits');
my $poison = ulid_of($node, $db, 'over-1');
ok(wait_for_log($node, qr/the booking $poison is over, and can't be completed: refused by/, $log, 5), 'the log names it');
is(sql(qq{SELECT count(*) FROM dibs."Event" e JOIN dibs."CalBooking" b ON b."ulid" = e."bookingUlid" WHERE "calBookingUid" LIKE 'over-%' AND "type" = 'booking.completed'}), 2,
	'an event for each that was completed');
created_once('and later', l => book($node, $db, email => 'l@example.com'));
sql($never);
ok(wait_for_sql($node, $db, statuses('over'), 'CONFIRMED later, COMPLETED, COMPLETED, COMPLETED', 10), 'one whose row could not be written at all, when it can');

# a drain() does the same, and says so
worker(0);
sql(over('drained', 'x', 'Poison', 'x'));
$new = book($node, $db, email => 'm@example.com');
my ($rc, undef, $warned) = $node->psql($db, 'CALL dibs.drain()');
is($rc, 0, 'a drain() ends without an error');
like($warned, qr/WARNING.*can't be completed: refused by/, 'and names it');
created_once('in a drain()', m => $new);
is(sql(statuses('drained')), 'COMPLETED, CONFIRMED later, COMPLETED', 'the others are completed');
sql($allow);
sql(q{SET session_replication_role = replica; UPDATE dibs."CalBooking" SET "completeAt" = now() WHERE "calBookingUid" = 'drained-2'});
sql('CALL dibs.drain()');
is(sql(statuses('drained')), 'COMPLETED, COMPLETED, COMPLETED', 'and it, when its time comes again');

# --- what a trigger of an application's has open when it raises: a loop's cursor

sub loops
{
	my ($loop) = @_;
	worker(0);
	sql(qq{CREATE TABLE IF NOT EXISTS public.loops (n int); TRUNCATE public.loops; INSERT INTO public.loops SELECT generate_series(1, 100); GRANT SELECT, UPDATE ON public.loops TO dibs_worker;
		CREATE OR REPLACE FUNCTION public.loops() RETURNS trigger LANGUAGE plpgsql AS \$\$DECLARE r record; BEGIN
			FOR r IN $loop LOOP IF NEW."title" = 'Loop' THEN RAISE EXCEPTION 'raised in a loop'; END IF; END LOOP; RETURN NEW; END\$\$;
		CREATE OR REPLACE TRIGGER loops BEFORE UPDATE ON dibs."CalBooking" FOR EACH ROW EXECUTE FUNCTION public.loops()});
	my ($bad, $fine) = (book($node, $db, title => 'Loop', meetingProvider => 'jitsi'), book($node, $db, meetingProvider => 'jitsi'));
	my $session = session($node, $db);
	$session->query('CALL dibs.drain()');
	my $said = $session->{error};
	like($said, qr/WARNING.*raised in a loop/, "$loop: the error itself is told");
	unlike($said, qr/ERROR/, '... as a warning');
	state_is($node, $db, $fine, 'ready', '... the other booking is written', 1);
	is(sql(qq{SELECT "errorCode" FROM dibs."PendingMeeting" WHERE "ulid" = '$bad'}), 'not_writable', '... that one put off');
	is($session->query(q{SELECT count(*) FROM pg_cursors WHERE name LIKE '<unnamed%'}), 0, '... and no cursor left in the session');
	return sql(q{DROP TRIGGER loops ON dibs."CalBooking"; UPDATE dibs."CalBooking" SET "title" = 'x' WHERE "title" = 'Loop'});
}

loops('SELECT n FROM public.loops');
loops('UPDATE public.loops SET n = n RETURNING n');

# a cancel while an application's trigger runs in it, in the middle of a transaction of the engine's
{
	sql(q{CREATE FUNCTION public.sleep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(30); RETURN NEW; END$$;
		CREATE TRIGGER sleep BEFORE UPDATE ON dibs."CalBooking" FOR EACH ROW EXECUTE FUNCTION public.sleep()});
	my $late = book($node, $db, email => 'o@example.com', meetingProvider => 'jitsi');
	my $drain = session($node, $db);
	$drain->query('\\set VERBOSITY sqlstate');
	$drain->start('CALL dibs.drain()');
	ok(wait_for_sql($node, $db, q{SELECT wait_event FROM pg_stat_activity WHERE pid = } . $drain->pid, 'PgSleep', 20), 'a drain() sleeps in a trigger');
	sql('SELECT pg_cancel_backend(' . $drain->pid . ')');
	$drain->result(20);
	like($drain->{error}, qr/57014/, 'a cancel ends it');
	is($drain->query('SELECT 1'), '1', 'and its session is in no transaction any more');
	sql('DROP FUNCTION public.sleep() CASCADE');
	sql(q{UPDATE dibs."PendingMeeting" SET "leaseUntil" = '-infinity'});
	$drain->query('CALL dibs.drain()');
	state_is($node, $db, $late, 'ready', 'what it was about is done by the next', 20);
	$drain->quit;
}

# --- tokens that cannot be read for a while

$node->append_conf('postgresql.conf', "dibs.max_in_flight = 4\n");
$node->reload;
my @accounts = map { my $n = $_; sql(qq{SELECT dibs.link_account('cal', '01J9ZK4M8Q000000000000050$n', external_id => '$n') ->> 'account'}) } 5 .. 9;
$standin->settings(cal => { calUsers => [ map { { id => $_, username => "user$_", email => "user$_\@example.com" } } 5 .. 9 ] });
foreach my $n (5 .. 9)
{
	sql("SELECT dibs.set_secret('cal.api_key', 'cal_live_STANDIN-CAL-KEY-user$n', account => '$accounts[$n - 5]')");
}
sql('SELECT dibs.sync_event_types()');
$log = -s $node->logfile;
$locker = session($node, $db);
$locker->query('BEGIN; LOCK dibs."ProviderCredential"');
worker(1);
ok(wait_for_log($node, qr/lock timeout/, $log, 20), 'what tokens are read from is locked');
sleep 3;
$locker->query('COMMIT');
ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs."Job" WHERE "kind" = 'cal_event_types' AND "progress" ? 'lastSync'}, 5, 60),
	'every job is done once it is not');
ok(wait_for_sql($node, $db, q{SELECT in_flight FROM dibs.worker_status WHERE database = current_database()}, 0, 10), 'and none is held');

# --- settings of the database's that are not meant for the worker

SKIP:
{
	skip 'no transaction_timeout before PostgreSQL 17', 2 if $node->pg_version < 17;
	worker(0);
	sql("ALTER DATABASE $db SET transaction_timeout = '50ms'");
	local $ENV{PGOPTIONS} = '-c transaction_timeout=0';
	$node->restart;
	my $slow = refuse('Meeting', 'INSERT', q{pg_sleep(0.2) IS NULL});
	my $late = book($node, $db, email => 'n@example.com');
	worker(1);
	created_once('a slow transaction', n => $late);
	sql("ALTER DATABASE $db RESET transaction_timeout; $slow");
}

done_testing();
