# The life of launcher and workers: databases come, go and are renamed, settings change, processes die, slots run out.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use DibsBookings;
use DibsTest;

my $node = dibs_node('life', extension => 0, conf => "restart_after_crash = on\ndibs.poll_interval = '2s'");
my $db = 'postgres';
# whatever happens elsewhere, this one can be asked
$node->safe_psql($db, 'CREATE EXTENSION dibs');

sub status
{
	my ($database) = @_;
	return "SELECT state FROM dibs.worker_status WHERE database = '$database' AND pid IS NOT NULL";
}

sub pid_of
{
	my ($database) = @_;
	return $node->safe_psql($db, "SELECT pid FROM dibs.worker_status WHERE database = '$database'");
}

sub processes
{
	return q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dibs worker' AND datname = '} . $_[0] . q{'};
}

sub milliseconds
{
	return sprintf '%.0f', 1000 * (time - $_[0]);
}

# --- a database that gets the extension gets a worker by itself

is($node->safe_psql($db, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dibs launcher'}), 1, 'there is one launcher');
ok(wait_for_sql($node, $db, status($db), 'idle'), 'a worker for the first database');
$node->safe_psql($db, 'CREATE DATABASE later');
sleep 0.5;
ok(wait_for_sql($node, $db, processes('later'), '0'), 'none in a database without the extension');
my $started = time;
$node->safe_psql('later', 'CREATE EXTENSION dibs');
ok(wait_for_sql($node, $db, status('later'), 'idle', 10), 'CREATE EXTENSION brings one');
diag('a worker after CREATE EXTENSION: ' . milliseconds($started) . ' ms');
my $ulid = book($node, 'later');
$started = time;
state_is($node, 'later', $ulid, 'ready', 'and it works');
like($node->safe_psql($db, q{SELECT usename IS NULL, application_name FROM pg_stat_activity WHERE backend_type = 'dibs worker' AND datname = 'later'}),
	qr/\|dibs worker$/, 'it shows in pg_stat_activity as what it is');

# an extension that is rolled back brings none for long
$node->safe_psql($db, 'CREATE DATABASE undone');
$node->safe_psql('undone', 'BEGIN; CREATE EXTENSION dibs; ROLLBACK');
ok(wait_for_sql($node, $db, processes('undone'), '0'), 'a rolled back CREATE EXTENSION leaves none behind');
$node->safe_psql($db, 'DROP DATABASE undone');

# --- RENAME, TEMPLATE, DROP EXTENSION

$node->safe_psql($db, 'ALTER DATABASE later RENAME TO renamed');
ok(wait_for_sql($node, $db, status('renamed'), 'idle', 10), 'RENAME: it is served under its new name');
$ulid = book($node, 'renamed');
state_is($node, 'renamed', $ulid, 'ready', 'RENAME: and works');
$node->safe_psql($db, 'CREATE DATABASE copied TEMPLATE renamed');
ok(wait_for_sql($node, $db, status('copied'), 'holding', 10), 'a template copy has a worker that holds');
ok(wait_for_sql($node, $db, status('renamed'), 'idle', 10), 'the template has its worker again');
$node->safe_psql($db, 'DROP DATABASE copied');
$node->safe_psql('renamed', 'DROP EXTENSION dibs CASCADE');
ok(wait_for_sql($node, $db, processes('renamed'), '0', 10), 'DROP EXTENSION ends the worker');
$node->safe_psql('renamed', 'CREATE EXTENSION dibs');
ok(wait_for_sql($node, $db, status('renamed'), 'idle', 10), 'CREATE EXTENSION once more brings it back');
$ulid = book($node, 'renamed');
state_is($node, 'renamed', $ulid, 'ready', 'and it works again');

# --- settings

$node->safe_psql($db, 'ALTER SYSTEM SET dibs.worker = off');
$node->reload;
ok(wait_for_sql($node, $db, status($db), 'off'), 'dibs.worker = off: it idles');
$ulid = book($node, $db);
sleep 2.5;
is(booking($node, $db, $ulid, '"meetingState"'), 'pending', 'and does nothing');
$node->safe_psql($db, 'ALTER SYSTEM RESET dibs.worker');
$node->reload;
state_is($node, $db, $ulid, 'ready', 'dibs.worker = on by reload: it goes on', 10);
ok(wait_for_sql($node, $db, status($db), 'idle'), 'and is idle again');

$node->safe_psql($db, q{ALTER SYSTEM SET dibs.databases = 'postgres'});
$node->reload;
ok(wait_for_sql($node, $db, processes('renamed'), '0', 15), 'dibs.databases: one that is not named loses its worker');
ok(wait_for_sql($node, $db, status($db), 'idle', 10), 'dibs.databases: one that is keeps it');
$node->safe_psql($db, q{ALTER SYSTEM RESET dibs.databases});
$node->reload;
ok(wait_for_sql($node, $db, status('renamed'), 'idle', 15), 'dibs.databases reset: it is served again');

$node->safe_psql($db, q{ALTER SYSTEM SET dibs.worker_role = 'nobody_of_that_name'});
$node->reload;
ok(wait_for_sql($node, $db, status($db), 'holding', 10), 'a worker_role that is not there: it holds');
like($node->safe_psql($db, "SELECT detail FROM dibs.worker_status WHERE database = '$db'"), qr/dibs\.worker_role/, 'and says why');
like($node->safe_psql($db, 'SELECT dibs.health()'), qr/dibs\.worker_role/, 'so does health()');
$node->safe_psql($db, q{ALTER SYSTEM RESET dibs.worker_role});
$node->reload;
ok(wait_for_sql($node, $db, status($db), 'idle', 10), 'set right, it goes on');

# --- what is refused

sub refused
{
	my ($sql, $state, $hint, $name) = @_;
	my ($status, undef, $error) = $node->psql($db, '\set VERBOSITY verbose' . "\n$sql;", on_error_stop => 1);
	like($error, qr/ERROR:  $state: .*HINT:  [^\n]*$hint/s, $name);
}

is($node->safe_psql($db, q{SELECT count(*) FROM dibs."Meeting" WHERE "state" <> 'gone'}), 1, 'a meeting of ours exists');
refused('TRUNCATE dibs."CalBooking" CASCADE', '0A000', 'DELETE', 'TRUNCATE of the bookings');
refused('TRUNCATE dibs."Meeting"', '0A000', 'DELETE', 'TRUNCATE of the meetings');
refused(qq{UPDATE dibs."CalBooking" SET "ulid" = dibs.gen_ulid()}, '0A000', 'reassign_booking', 'another ulid');
refused(qq{UPDATE dibs."CalBooking" SET "userUlid" = '01J9ZK4M8Q0000000000000099'}, '0A000', 'reassign_booking', 'another coach');
refused(qq{UPDATE dibs."CalBooking" SET "status" = 'MAYBE'}, '22023', 'CONFIRMED', 'a status that is none');
is(booking($node, $db, $ulid, 'count(*)'), 1, 'the booking is as it was');
$node->safe_psql($db, qq{DELETE FROM dibs."CalBooking"});
ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs."Meeting" WHERE "state" <> 'gone'}, '0'), 'deleted: no meeting of ours is left');
is(($node->psql($db, 'TRUNCATE dibs."CalBooking" CASCADE'))[0], 0, 'then TRUNCATE is allowed');

# --- processes that die

$node->stop('fast');
$node->start;
ok(wait_for_sql($node, $db, status($db), 'idle', 10), 'after a restart there is a worker');
my $worker = pid_of($db);
kill 'TERM', $worker;
ok(wait_for_sql($node, $db, "SELECT pid <> $worker FROM dibs.worker_status WHERE database = '$db' AND pid IS NOT NULL", 't', 10),
	'a worker that is told to go comes back');
my $launcher = $node->safe_psql($db, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dibs launcher'});
$worker = pid_of($db);
kill 'TERM', $launcher;
ok(wait_for_sql($node, $db, qq{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dibs launcher' AND pid <> $launcher}, '1', 15),
	'so does the launcher');
$ulid = book($node, $db);
state_is($node, $db, $ulid, 'ready', 'work goes on');
ok(wait_for_sql($node, $db, processes($db), '1', 10), 'there is one worker, not two');

foreach my $victim ('a backend', 'the worker', 'the launcher')
{
	my $session = session($node, $db);
	my $pid = $victim eq 'a backend' ? $session->pid
	  : $victim eq 'the worker' ? pid_of($db)
	  : $node->safe_psql($db, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dibs launcher'});
	my $log_end = -s $node->logfile;
	$started = time;
	kill 'KILL', $pid;
	ok(wait_for_log($node, qr/all server processes terminated; reinitializing/, $log_end), "kill -9 of $victim: the server starts anew");
	ok(wait_for_sql($node, $db, status($db), 'idle', 15), "kill -9 of $victim: the worker is back");
	diag("worker back after kill -9 of $victim: " . milliseconds($started) . ' ms');
	$ulid = book($node, $db);
	state_is($node, $db, $ulid, 'ready', "kill -9 of $victim: and works");
	last if short_mode();
}

# --- a transaction that is prepared, savepoints, many rows: one wake, or the poll

$ulid = undef;
$node->safe_psql($db, q{
	BEGIN;
	SAVEPOINT s;
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
		VALUES ('01J9ZK4M8Q0000000000000001', 'rolled-back', 'x', 'g@example.com', now() + '1 day', now() + '25 h');
	ROLLBACK TO s;
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
		SELECT '01J9ZK4M8Q0000000000000001', 'many-' || n, 'x', 'g@example.com', now() + '1 day', now() + '25 h' FROM generate_series(1, 500) n;
	COMMIT});
$started = time;
ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'many-%' AND "meetingState" = 'ready'}, '500', 20),
	'500 rows of one transaction');
diag('500 bookings of one transaction (no request): ' . milliseconds($started) . ' ms');

# triggers off, as a subscription or a restore would have them: the poll finds it
$node->safe_psql($db, q{SET session_replication_role = replica;
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
		VALUES ('01J9ZK4M8Q0000000000000001', 'unseen', 'x', 'g@example.com', now() + '1 day', now() + '25 h')});
ok(wait_for_sql($node, $db, q{SELECT "meetingState" FROM dibs."CalBooking" WHERE "calBookingUid" = 'unseen'}, 'ready', 10),
	'a row that no trigger saw is found by the poll');
$node->stop('fast');

# --- more databases than worker slots

$node = dibs_node('slots', conf => "max_worker_processes = 3\nmax_logical_replication_workers = 0\nmax_parallel_workers = 0\ndibs.poll_interval = '2s'");
my @databases = map { "turn$_" } 1 .. 3;
foreach my $database (@databases)
{
	$node->safe_psql($db, "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION dibs');
}
ok(wait_for_log($node, qr/WARNING:  \d+ databases? waits? for a dibs worker; (?:it is|they are) served in turns/, 0, 10), 'too few worker slots: a warning');
like(slurp_file($node->logfile), qr/HINT:  Raise max_worker_processes/, 'with a hint');
cmp_ok($node->safe_psql($db, q{SELECT max(databases_waiting) FROM dibs.worker_status}), '>', 0, 'worker_status tells how many wait');
my %booked = map { $_ => book($node, $_) } @databases, $db;
state_is($node, $_, $booked{$_}, 'ready', "$_ has its turn", 60) foreach sort keys %booked;
cmp_ok($node->safe_psql($db, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dibs worker'}), '<=', 2, 'with as many workers as there is room for');
ok(slurp_file($node->logfile) !~ /\b(?:PANIC|TRAP)\b|terminated by signal/, 'nothing crashed');

$node->stop('fast');
done_testing();
