# A copy never acts by itself: a restored dump, a template copy, a clone with another dibs.site. After dibs.adopt() it
# goes on, and looks for meetings of old bookings before it makes any. And where the library is not preloaded, everything
# works in SQL and dibs.drain() does the job.
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

my $standin = start_standin();
my $node = dibs_node('copies', standin => $standin, conf => "dibs.poll_interval = '1s'\ndibs.site = 'one'");
my $db = 'postgres';
setup_coach($node, $db);
setup_zoom($node, $db);
hosts($standin, map { "c$_" } 1 .. 9);

my $work = q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"};

sub asked
{
	return scalar $standin->requests(path => '^/(v2|oauth)/');
}

sub hold_of
{
	my ($database, $pattern) = @_;
	return wait_for_sql($node, 'postgres',
		"SELECT state, detail ~ '$pattern' FROM dibs.worker_slots() w JOIN pg_database d ON d.oid = w.database WHERE d.datname = '$database'",
		'holding|t');
}

# every table of ours with its rows, whatever order they lie in
sub fingerprint
{
	my ($server, $database) = @_;
	my @tables = split /\n/, $server->safe_psql($database,
		q{SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'dibs'::regnamespace AND c.relkind = 'r' ORDER BY 1});
	return map {
		$_ => $server->safe_psql($database, qq{SELECT count(*), md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE "C"), '')) FROM dibs."$_" t})
	} @tables;
}

# --- something to copy: bookings of all kinds, some with work to do

my $ready = book($node, $db, email => 'c1@example.com', participants => '[{"email": "guest@example.com", "name": "Güest ✓"}]');
my $cancelled = book($node, $db, email => 'c2@example.com');
state_is($node, $db, $ready, 'ready', 'a booking with its meeting');
state_is($node, $db, $cancelled, 'ready', 'another one');
$node->safe_psql($db, qq{UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "ulid" = '$cancelled'});
state_is($node, $db, $cancelled, 'not_needed', 'that is cancelled');
deliver_cal($node, $db, cal_body('BOOKING_CREATED', uid => 'copy-1', bookingId => 31, location => 'https://given.example.com/1'));
state_is($node, $db, ulid_of($node, $db, 'copy-1'), 'ready', 'one that came by webhook');
$node->safe_psql($db, q{ALTER SYSTEM SET dibs.worker = off});
$node->reload;
ok(wait_for_sql($node, $db, q{SELECT state FROM dibs.worker_status WHERE database = current_database()}, 'off'), 'the worker is off');
my $due = book($node, $db, email => 'c3@example.com');
my $gone = book($node, $db, email => 'c4@example.com');
# made at the provider, and the database was copied before it learned of that; a client's idea of when says nothing
my $unlearned = book($node, $db, email => 'c5@example.com', calBookingUid => 'unlearned-1', createdAt => '2099-01-01');
$standin->control('POST', '/_control/meeting',
	{ host => 'c5@example.com', topic => 'Session', type => 2, duration => 30, agenda => "dibs:$unlearned:unlearned-1",
		start_time => POSIX::strftime('%Y-%m-%dT%H:%M:00Z', gmtime(time + 86400)) });
$node->safe_psql($db, qq{UPDATE dibs."CalBooking" SET "startTime" = "startTime" + '1 h', "endTime" = "endTime" + '1 h' WHERE "ulid" = '$ready'});

# --- pg_dump | psql beside the running stand-in

my $dump = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr($db) ], 'pg_dump');
$node->safe_psql($db, q{ALTER SYSTEM RESET dibs.worker});
my %original = fingerprint($node, $db);
cmp_ok(scalar(keys %original), '>=', 15, 'all tables are compared');
foreach my $table (qw(CalBooking Meeting BookingUid BookingParticipant WebhookEvent Event Instance Secret CoachZoomConfig ProviderAccount Coach))
{
	cmp_ok((split /\|/, $original{$table} // 0)[0], '>', 0, "$table has rows");
}

# the original's own database stays off for good: its worker would do what the copies are not to do
$node->append_conf('postgresql.conf', "dibs.databases = 'restored, copied'");
$node->restart;
my $before = asked();
# the worker is there before the first row is: what it writes then must not be in the rows' way
my $text = slurp_file($dump);
# and its poll comes while bookings are there and what says where they are from is not
ok($text =~ s/^COPY /SELECT pg_sleep(2);\nCOPY /m && $text =~ s/^(?=COPY dibs\."Instance")/SELECT pg_sleep(2);\n/m, 'the dump has rows');
$dump .= '.slow';
append_to_file($dump, $text);
$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'psql < dump: no error');
ok(hold_of('restored', 'adopt'), 'the worker of the restored database holds, and says what for');
my %restored = fingerprint($node, 'restored');
is_deeply(\%restored, \%original, 'every row of every table is back as it was');

# --- a template copy

$node->safe_psql('postgres', "CREATE DATABASE copied TEMPLATE $db");
ok(hold_of('copied', 'adopt'), 'the worker of a template copy holds');
is_deeply({ fingerprint($node, 'copied') }, \%original, 'a template copy has the same rows');

# several polls, and a direct write: still not one request
$node->safe_psql($_, qq{UPDATE dibs."CalBooking" SET "startTime" = "startTime" + '1 h', "endTime" = "endTime" + '1 h' WHERE "ulid" = '$due'})
  foreach qw(restored copied);
$node->safe_psql($_, qq{DELETE FROM dibs."CalBooking" WHERE "ulid" = '$gone'}) foreach qw(restored copied);
$node->safe_psql('restored', 'SELECT dibs.wake(), dibs.resync()');
my ($status, undef, $error) = $node->psql('copied', 'CALL dibs.drain()');
is($status, 0, 'drain() in a copy is no error');
like($error, qr/WARNING:.*dibs\.adopt\(\)/, 'it warns');
sleep 2.5;
is(asked(), $before, 'not one request by a copy');
ok(hold_of('restored', 'adopt'), 'it still holds');
like($node->safe_psql('restored', 'SELECT dibs.health()'), qr/SELECT dibs\.adopt\(\)/, 'health() names the call');

# --- adopted: work goes on, old bookings are looked for before they are made

$node->safe_psql('restored', 'SELECT dibs.adopt()');
ok(wait_for_sql($node, 'restored', $work, '0', 40), 'after dibs.adopt() the work is done');
is(shown(calls($standin, $ready, 'c1')), 'POST 201, PATCH 204', 'the meeting that exists is only moved');
is(shown(grep { $_->{method} ne 'GET' } calls($standin, $unlearned, 'c5')), '', 'a meeting that the copy had not learned of is not made again');
is(booking($node, 'restored', $unlearned, '"meetingState", "zoomMeetingId" IS NOT NULL'), 'ready|t', 'it was found');
like(shown(calls($standin, $due, 'c3')), qr/^GET 200, (?:GET 200, )*POST 201$/, 'an old booking is looked for, and then made');
is($node->safe_psql('restored', q{SELECT count(*) FROM dibs."CalBooking" WHERE "instance" <> dibs.instance_id()}), '0', 'its rows are its own now');
my $new = book($node, 'restored', email => 'c6@example.com');
state_is($node, 'restored', $new, 'ready', 'a new booking');
is(shown(calls($standin, $new, 'c6')), 'POST 201', 'is made without a look');
is($standin->control('GET', '/_control/state')->{duplicatesLive}, 0, 'no meeting twice');

# --- the same server under another dibs.site: a clone

$before = asked();
$node->append_conf('postgresql.conf', "dibs.site = 'two'");
$node->reload;
ok(hold_of('restored', 'site'), 'another dibs.site: it holds');
my $clone = book($node, 'restored', email => 'c7@example.com');
$node->safe_psql('restored', 'SELECT dibs.wake()');
sleep 1.5;
is(asked(), $before, 'and sends nothing');
$node->safe_psql('restored', 'SELECT dibs.adopt()');
state_is($node, 'restored', $clone, 'ready', 'until it is adopted', 30);
$node->stop('fast');

# --- without preload

my $plain = dibs_node('plain', standin => $standin, preload => 0);
setup_coach($plain, $db);
setup_zoom($plain, $db);
is($plain->safe_psql($db, 'SELECT count(*) FROM dibs.worker_status'), 0, 'not preloaded: no worker');
is($plain->safe_psql($db, 'SELECT dibs.wake()'), 'f', 'wake() says so');
like($plain->safe_psql($db, 'SELECT dibs.health()'), qr/shared_preload_libraries/, 'health() says so');
is($plain->safe_psql($db, q{SELECT length(dibs.gen_ulid()), dibs.is_ulid(dibs.gen_ulid()), dibs.version() <> '', dibs.instance_id() ~ '^\d+/\d+$'}),
	'26|t|t|t', 'functions work');
is($plain->safe_psql($db, q{SELECT dibs.verify_cal_signature('body', encode(sha256('x'), 'hex'), 'secret')}), 'f', 'signatures are checked');
my $answer = deliver_cal($plain, $db, cal_body('BOOKING_CREATED', uid => 'plain-1', bookingId => 41));
is($answer->{outcome}, 'applied', 'a webhook is applied');
my $ulid = ulid_of($plain, $db, 'plain-1');
is(booking($plain, $db, $ulid, '"meetingState"'), 'pending', 'and waits');
$plain->safe_psql($db, 'CALL dibs.drain()');
is(booking($plain, $db, $ulid, '"meetingState", "wanted" = "done"'), 'ready|t', 'CALL dibs.drain() makes its meeting');
is(shown(calls($standin, $ulid)), 'POST 201', 'by one create');
$plain->safe_psql($db, qq{UPDATE dibs."CalBooking" SET "endTime" = "endTime" + '15 min' WHERE "ulid" = '$ulid'});
$plain->safe_psql($db, 'CALL dibs.drain()');
$plain->safe_psql($db, qq{DELETE FROM dibs."CalBooking" WHERE "ulid" = '$ulid'});
$plain->safe_psql($db, 'CALL dibs.drain()');
is(shown(calls($standin, $ulid)), 'POST 201, PATCH 204, DELETE 204', 'and one update, and one delete');
my @many = map { book($plain, $db, userUlid => $DibsTest::coach) } 1 .. 5;
$plain->safe_psql($db, 'CALL dibs.drain(2)');
is($plain->safe_psql($db, $work), 3, 'max_jobs is the most it takes');
$plain->safe_psql($db, 'CALL dibs.drain()');
is($plain->safe_psql($db, $work), 0, 'the next call takes the rest');
($status, undef, $error) = $plain->psql($db, 'BEGIN; CALL dibs.drain()', on_error_stop => 1);
like($error, qr/can't run inside a transaction block/, 'drain() refuses a transaction block');
is($standin->control('GET', '/_control/state')->{duplicatesLive}, 0, 'no meeting twice');

$plain->stop('fast');
done_testing();
