# The rules in ARCHITECTURE.md that no other test would miss, each by what would go wrong without it: the row and its
# trigger, work that no trigger saw, adopted rooms, commits that outlive a crash, leases that are short, lost or
# truncated while a request is on the wire, a long list of what is not due. DIBS_RULES=long has 300,000 rows wait, and an
# application hold a lock for a minute.
#
# Versions, statuses and refusals: test/sql/booking_row.sql, 024_life.pl. Claims beside locks: test/isolation. Unknown
# outcomes, whole rows written back, locked rows, two at work: 022_exactly_once.pl. Markers: 040_zoom.pl. Copies and
# failovers: 023_copies.pl, 062_failover.pl. Faults: 060_fault_matrix.pl.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use List::Util qw(max);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use DibsBookings;
use DibsTest;

my $standin = start_standin();
my $node = dibs_node('rules', standin => $standin, conf => quick_conf() .
	  "dibs.poll_interval = '1s'\nmax_prepared_transactions = 5\nwal_writer_delay = '10s'\ndibs.zoom_plan = off\nautovacuum = off");
my $db = 'postgres';
setup_zoom($node, $db);
hosts($standin, 'a' .. 'z');
my $long = ($ENV{DIBS_RULES} // '') eq 'long';
my $rows = $long ? 300_000 : short_mode() ? 5_000 : 20_000;

sub sql { return $node->safe_psql($db, $_[0]); }

sub worker
{
	my ($on) = @_;
	sql($on ? 'ALTER SYSTEM RESET dibs.worker' : 'ALTER SYSTEM SET dibs.worker = off');
	$node->reload;
	return wait_for_sql($node, $db, q{SELECT state IN ('off') FROM dibs.worker_status WHERE database = current_database()}, $on ? 'f' : 't');
}

# one that has connected since, and knows what the database says
sub new_worker
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $old = sql(q{SELECT pid FROM dibs.worker_status WHERE database = current_database() AND pg_terminate_backend(pid)});
	return ok(wait_for_sql($node, $db, "SELECT pid <> $old FROM dibs.worker_status WHERE database = current_database() AND pid IS NOT NULL AND state = 'idle'", 't', 20),
		'a new worker');
}

sub meetings_of
{
	my ($ulid) = @_;
	return map { $_->{id} } grep { !$_->{deleted} && ($_->{marker} // '') =~ /\b$ulid\b/ } @{ $standin->control('GET', '/_control/state')->{meetings} };
}

# the create of that host is on the wire, and its answer waits
sub slow_create
{
	my ($host, $ms, %column) = @_;
	$standin->control('POST', '/_control/faults', { match => { method => 'POST', path => "/users/$host(%40|\@)" }, kind => 'delay', when => 'after', ms => $ms });
	my $ulid = book($node, $db, email => "$host\@example.com", %column);
	my $deadline = time + 10;
	until (grep { $_->{method} eq 'POST' && !defined $_->{ms} } $standin->requests(path => "^/v2/users/$host(%40|\@)"))
	{
		die "no create of $host on the wire\n" if time > $deadline;
		sleep 0.01;
	}
	return $ulid;
}

sub one_meeting
{
	my ($ulid, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	state_is($node, $db, $ulid, 'ready', "$name: ready", 30);
	is(join(' ', meetings_of($ulid)), booking($node, $db, $ulid, '"zoomMeetingId"'), "$name: one meeting, and the booking has it");
}

# One connection for what has to be in time while a request is on the wire: psql's start takes a while on a busy machine.
my $watch;

sub meanwhile
{
	my ($text) = @_;
	my $got = $watch->query($text);
	die "$text: " . ($watch->{error} // '') if !defined $got || $watch->{error} =~ /ERROR|FATAL/;
	return $got;
}

# --- the row (rules 1 to 3)

my $ulid = book($node, $db, email => 'a@example.com');
state_is($node, $db, $ulid, 'ready', 'a booking');
sql('SELECT pg_stat_force_next_flush()');
my $updates = q{SELECT n_tup_upd FROM pg_stat_user_tables WHERE relid = 'dibs."CalBooking"'::regclass};
my $many = 20;
worker(0);
my $told = sql($updates);
sql(qq{INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
	SELECT '$DibsTest::coach', 'settled-' || n, 'x', 'g\@example.com', now() + '30 h', now() + '31 h' FROM generate_series(1, $many) n});
sql('SELECT pg_stat_force_next_flush()');
sql('CALL dibs.drain()');
is(sql(q{SELECT count(*) FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'settled-%' AND "meetingState" = 'ready'}), $many, 'drained');
# (the worker may only now tell of the one before)
ok(wait_for_sql($node, $db, "SELECT n - $told IN ($many, $many + 1) FROM ($updates) AS u(n)", 't', 10), 'one update a booking and settle, no more');
worker(1);

# the json column of what was written directly: derived from who is in it, in the same update
sql(qq{INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "attendeeName", "startTime", "endTime", "participants", "maxParticipants")
	VALUES ('$DibsTest::coach', 'people-1', 'x', 'first\@example.com', 'First', now() + '30 h', now() + '31 h', '[]', 9),
		('$DibsTest::coach', 'people-2', 'x', 'first\@example.com', 'First', now() + '30 h', now() + '31 h', '[{"email": "Two\@example.com", "name": "Two"}, {"name": "By phone"}]', 9)});
my $people = q{SELECT "currentParticipants", (SELECT string_agg(concat_ws(' ', coalesce(j->>'email', '-'), j->>'name', j->>'status'), ', ' ORDER BY lower(j->>'email') COLLATE "C")
	FROM jsonb_array_elements("participants") j), "wanted", "done", "announced" FROM dibs."CalBooking" WHERE "calBookingUid" = 'people-%s'};
ok(wait_for_sql($node, $db, sprintf($people, 1), '1|first@example.com First CONFIRMED|1|1|1', 10), 'a booking written with no people has its attendee');
ok(wait_for_sql($node, $db, sprintf($people, 2), '2|first@example.com First CONFIRMED, Two@example.com Two CONFIRMED, - By phone|1|1|1', 10),
	'one written with people has all of them');
# who is left out stays; who is said to be cancelled does not
sql(q{UPDATE dibs."CalBooking" SET "participants" = '[{"email": "three@example.com", "name": "Three"}, {"email": "two@example.com", "status": "CANCELLED"}]' WHERE "calBookingUid" = 'people-2'});
ok(wait_for_sql($node, $db, sprintf($people, 2),
	'2|first@example.com First CONFIRMED, three@example.com Three CONFIRMED, Two@example.com Two CANCELLED|2|2|2', 10), 'absence removes nobody, an explicit CANCELLED does');
sql(q{UPDATE dibs."CalBooking" SET "participants" = '[]', "title" = 'Whole row' WHERE "calBookingUid" = 'people-2'});
ok(wait_for_sql($node, $db, sprintf($people, 2),
	'2|first@example.com First CONFIRMED, three@example.com Three CONFIRMED, Two@example.com Two CANCELLED|3|3|3', 10), 'an old whole row, written back, too');
is(sql(q{SELECT string_agg("type", ' ' ORDER BY e."ulid") FROM dibs."Event" e JOIN dibs."CalBooking" b ON b."ulid" = e."bookingUlid"
	WHERE "calBookingUid" = 'people-2' AND "type" LIKE 'booking.%'}), 'booking.created booking.updated booking.updated', 'and that is announced as what was written, once');

# drain() puts off what an application's trigger does not let it write, and goes on with the others
worker(0);
sql(q{CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		RAISE EXCEPTION 'not this one'; END$$;
	CREATE TRIGGER refuse BEFORE UPDATE ON dibs."CalBooking" FOR EACH ROW WHEN (NEW."title" = 'Refused') EXECUTE FUNCTION public.refuse()});
sql(qq{INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
	SELECT '$DibsTest::coach', 'drained-' || n, CASE n WHEN 3 THEN 'Refused' ELSE 'x' END, 'g\@example.com', now() + '30 h', now() + '31 h' FROM generate_series(1, 6) n});
my ($rc, $out, $warned) = $node->psql($db, 'CALL dibs.drain(); SELECT 1');
is($rc, 0, 'drain() ends without an error where a booking cannot be written');
like($warned, qr/WARNING.*not this one/, 'and says so');
is(sql(q{SELECT string_agg(right("calBookingUid", 1), '' ORDER BY "calBookingUid") FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'drained-%' AND "meetingState" = 'ready'}), '12456',
	'the others have their meetings');
is(sql(q{SELECT "errorCode" FROM dibs."PendingMeeting" p JOIN dibs."CalBooking" b USING ("ulid") WHERE "calBookingUid" = 'drained-3'}), 'not_writable', 'and its work says why');
($rc, $out, $warned) = $node->psql($db, 'DO $$BEGIN CALL dibs.drain(); COMMIT; CALL dibs.drain(); END$$; SELECT 1');
is("$rc $out", '0 1', 'from a block, too');
sql(q{DROP TRIGGER refuse ON dibs."CalBooking"; DROP FUNCTION public.refuse()});
worker(1);
state_is($node, $db, ulid_of($node, $db, 'drained-3'), 'ready', 'it gets its meeting once it can be written', 30);

# somebody's trigger that runs late by its name changes the row: ours still sees what it made of it
sql(q{CREATE FUNCTION public.rename() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW."title" := 'By a trigger'; RETURN NEW; END$$;
	CREATE TRIGGER zzz BEFORE UPDATE ON dibs."CalBooking" FOR EACH ROW WHEN (NEW."rating" = 5) EXECUTE FUNCTION public.rename()});
sql(qq{UPDATE dibs."CalBooking" SET "rating" = 5 WHERE "ulid" = '$ulid'});
ok(wait_calls($standin, $ulid, 'a', 'POST 201, PATCH 204', 10), 'what a later trigger changes is seen');
is($standin->control('GET', '/_control/meeting/' . booking($node, $db, $ulid, '"zoomMeetingId"'))->{topic}, 'By a trigger', 'and told to the provider');
sql(q{DROP TRIGGER zzz ON dibs."CalBooking"});

# what an application hangs on a table counts from the next row on, in a session that has written there before
is(sql(qq{CREATE TABLE public.told (what text);
	CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN INSERT INTO public.told SELECT "type" FROM new_rows; RETURN NULL; END\$\$;
	DO \$\$BEGIN PERFORM dibs.write_event('$DibsTest::coach', NULL, 'rules.before'); END\$\$;
	CREATE TRIGGER tell AFTER INSERT ON dibs."Event" REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.tell();
	DO \$\$BEGIN PERFORM dibs.write_event('$DibsTest::coach', NULL, 'rules.after'); END\$\$;
	DROP TRIGGER tell ON dibs."Event";
	SELECT what FROM public.told WHERE what LIKE 'rules.%'}), 'rules.after', "a statement's trigger has the event's row");
sql(q{ALTER TABLE dibs."Event" ADD "note" text DEFAULT 'old'});
is(sql(qq{DO \$\$BEGIN PERFORM dibs.write_event('$DibsTest::coach', NULL, 'rules.old'); END\$\$;
	ALTER TABLE dibs."Event" ALTER "note" SET DEFAULT 'new';
	DO \$\$BEGIN PERFORM dibs.write_event('$DibsTest::coach', NULL, 'rules.new'); END\$\$;
	SELECT string_agg("note", ' ' ORDER BY "ulid") FROM dibs."Event" WHERE "type" IN ('rules.old', 'rules.new')}), 'old new', "and a column of the application's its default");
sql(q{ALTER TABLE dibs."Event" DROP "note"});

# nobody wakes the worker at COMMIT PREPARED: its poll finds the row
sql(qq{BEGIN; INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
	VALUES ('$DibsTest::coach', 'prepared', 'x', 'g\@example.com', now() + '30 h', now() + '31 h'); PREPARE TRANSACTION 'p'});
sql(q{COMMIT PREPARED 'p'});
state_is($node, $db, ulid_of($node, $db, 'prepared'), 'ready', 'a prepared transaction', 10);

# --- what no trigger saw (rule 5)

my %quiet = map { $_ => book($node, $db, email => "$_\@example.com") } qw(b c d);
state_is($node, $db, $quiet{$_}, 'ready', "a booking of $_") foreach sort keys %quiet;
sql(qq{SET session_replication_role = replica;
	UPDATE dibs."CalBooking" SET "title" = 'Unseen' WHERE "ulid" = '$quiet{b}';
	UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "ulid" = '$quiet{c}';
	DELETE FROM dibs."CalBooking" WHERE "ulid" = '$quiet{d}';
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
	SELECT '$DibsTest::coach', 'bulk-' || n, 'x', 'g\@example.com', now() + '30 h', now() + '31 h' FROM generate_series(1, 50) n});
ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'bulk-%' AND "meetingState" = 'ready'}, '50', 20),
	'a bulk load with triggers off: the poll finds it');
sql('SELECT dibs.resync()');
ok(wait_calls($standin, $quiet{b}, 'b', 'POST 201, PATCH 204', 15), 'a change with triggers off: resync finds it');
ok(wait_calls($standin, $quiet{c}, 'c', 'POST 201, DELETE 204', 15), 'a cancellation');
ok(wait_calls($standin, $quiet{d}, 'd', 'POST 201, DELETE 204', 15), 'a deletion: the dangling meeting goes');

# --- what each status wants (rule 6): a request, or none

hosts($standin, map { "s$_" } 1 .. 9);
my %wants = (
	s1 => [ 'PENDING', 24, '', 'not_needed' ],
	s2 => [ 'CONFIRMED', 24, 'POST 201', 'ready' ],
	s3 => [ 'IN_PROGRESS', 24, 'POST 201', 'ready' ],
	s4 => [ 'COMPLETED', 24, '', 'not_needed' ],
	s5 => [ 'NO_SHOW', 24, '', 'not_needed' ],
	s6 => [ 'REJECTED', 24, '', 'not_needed' ],
	s7 => [ 'CONFIRMED', -24, '', 'not_needed' ]);
my %status = map { $_ => book($node, $db, email => "$_\@example.com", status => $wants{$_}[0], hours => $wants{$_}[1]) } sort keys %wants;
foreach my $host (sort keys %wants)
{
	my ($what, $hours, $calls, $state) = @{ $wants{$host} };
	my $name = $what . ($hours < 0 ? ' and over' : '');
	ok(wait_for_sql($node, $db, qq{SELECT "wanted" = "done", "meetingState" FROM dibs."CalBooking" WHERE "ulid" = '$status{$host}'}, "t|$state", 10), "$name: $state");
	is(shown(calls($standin, $status{$host}, $host)), $calls, "$name: " . ($calls || 'no request'));
}
# one that has its meeting, and is to be agreed on again; its source may say so
sql(qq{SET session_replication_role = replica; UPDATE dibs."CalBooking" SET "status" = 'PENDING', "wanted" = "wanted" + 1, "dueAt" = '-infinity' WHERE "ulid" = '$status{s2}'});
ok(wait_calls($standin, $status{s2}, 's2', 'POST 201, DELETE 204', 10), 'PENDING again: its meeting goes');

# --- a room that came with its bookings (rule 8)

my $room = $standin->control('POST', '/_control/meeting', { host => 'e@example.com', topic => 'The room', type => 2,
	start_time => POSIX::strftime('%Y-%m-%dT%H:00:00Z', gmtime(time + 90000)) })->{id};
my @sharing = map { book($node, $db, email => 'e@example.com', userUlid => '01J9ZK4M8Q00000000000000E1', zoomMeetingId => $room,
	zoomJoinUrl => "https://us05web.zoom.us/j/$room") } 1 .. 5;
state_is($node, $db, $_, 'ready', 'a booking with a room of its own') foreach @sharing;
sql(qq{UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "ulid" = '$sharing[0]';
	DELETE FROM dibs."CalBooking" WHERE "ulid" = '$sharing[1]';
	UPDATE dibs."CalBooking" SET "title" = 'Moved', "startTime" = "startTime" + '1 h', "endTime" = "endTime" + '1 h' WHERE "ulid" = '$sharing[2]'});
ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"}, '0', 10), 'one is cancelled, one deleted, one moved');
sleep 0.5;
is(shown($standin->requests(path => "/meetings/$room")), '', 'the room is left alone');
is(join('|', map { booking($node, $db, $_, '"zoomMeetingId"') } @sharing[2 .. 4]), join('|', ($room) x 3), 'and the others keep it');

# --- a changed wish applies to what changes later (rule 7)

my $old = book($node, $db, email => 'f@example.com');
state_is($node, $db, $old, 'ready', 'a booking at Zoom');
sql(qq{ALTER DATABASE $db SET dibs.default_meeting_provider = 'jitsi'});
new_worker();
ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"}, '0', 5), 'another default provider');
is(shown(calls($standin, $old, 'f')), 'POST 201', 'changes nothing of what is there');
sql(qq{UPDATE dibs."CalBooking" SET "title" = 'Changed later' WHERE "ulid" = '$old'});
ok(wait_calls($standin, $old, 'f', 'POST 201, DELETE 204', 10), 'and applies to what is changed later');
like(booking($node, $db, $old, '"zoomJoinUrl"'), qr{^https://(?!us05web)}, 'which has another link');
sql(qq{ALTER DATABASE $db RESET dibs.default_meeting_provider});
new_worker();
$old = book($node, $db, email => 'n@example.com', meetingProvider => 'jitsi');
state_is($node, $db, $old, 'ready', 'a wish of its own');
is(shown(calls($standin, $old, 'n')), '', 'goes before the default');

# --- before a request there is a commit that outlives a crash, whatever the database says (rule 11)

sql(qq{ALTER DATABASE $db SET synchronous_commit = off});
new_worker();
$ulid = slow_create('g', 2500);
$node->stop('immediate');
$node->start;
is(booking($node, $db, $ulid, 'count(*)'), '1', 'the booking of a request that was sent is still there after a crash');
is(sql(qq{SELECT count(*) FROM dibs."Meeting" WHERE "marker" LIKE '%$ulid%'}), '1', 'and so is what was noted of the request');
one_meeting($ulid, 'a crash under synchronous_commit = off');
sql(qq{ALTER DATABASE $db RESET synchronous_commit});

# --- a lease that would not last for the answer: given back, not sent (rule 12)

worker(0);
# (each answer comes in time, and the second would go out long after what a lease has to spare)
set_conf($node, $db, 'dibs.max_in_flight' => 1, 'dibs.request_timeout' => '3s', 'dibs.lease_margin' => '900ms');
$standin->settings(latency => 2000);
my @late = map { book($node, $db, email => 'h@example.com', userUlid => '01J9ZK4M8Q00000000000000H1') } 1 .. 3;
sql(q{CREATE TABLE public.claims (ulid text, at timestamptz);
	CREATE FUNCTION public.note_claim() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
	$$BEGIN IF NEW."inFlight" THEN INSERT INTO public.claims VALUES (NEW."ulid", clock_timestamp()); END IF; RETURN NEW; END$$;
	CREATE TRIGGER note AFTER INSERT OR UPDATE ON dibs."PendingMeeting" FOR EACH ROW EXECUTE FUNCTION public.note_claim()});
sql('CALL dibs.drain(100)') foreach 1 .. 3;
$standin->settings(latency => 0);
my $longest = 0;
foreach my $late (@late)
{
	is(booking($node, $db, $late, '"meetingState"'), 'ready', 'one after the other');
	my ($post) = grep { $_->{method} eq 'POST' } grep { ($_->{marker} // '') =~ /$late/ } $standin->requests(path => '^/v2/users/h');
	my $wait = sql(qq{SELECT min(extract(epoch FROM '$post->{time}'::timestamptz - at)) FROM public.claims WHERE ulid = '$late' AND at < '$post->{time}'::timestamptz + '2 ms'});
	$longest = max($longest, $wait);
}
# 3 s + 2 * 0.9 s of lease, of which 3 s + 0.9 s must be left
cmp_ok($longest, '<', 1.2, sprintf 'none was sent later than %.0f ms after its claim', 1000 * $longest);
sql(q{DROP TRIGGER note ON dibs."PendingMeeting"; DROP TABLE public.claims});
$node->append_conf('postgresql.conf', "dibs.max_in_flight = 64\ndibs.request_timeout = '4s'\ndibs.lease_margin = '1s'");
$node->reload;
worker(1);

# --- leases that are lost, work that is truncated, while a request is on the wire (rules 4, 11, 13)

$watch = session($node, $db);
$ulid = slow_create('i', 2500);
meanwhile(qq{UPDATE dibs."PendingMeeting" SET "fence" = dibs.gen_ulid(), "leaseUntil" = now() + '7 s' WHERE "ulid" = '$ulid'});
ok($watch->wait_for(qq{SELECT "state", "externalId" IS NOT NULL FROM dibs."Meeting" WHERE "bookingUlid" = '$ulid'}, 'ready|t', 10),
	'a lost lease: what was answered is recorded all the same');
is(meanwhile(qq{SELECT "wanted" = "done" FROM dibs."CalBooking" WHERE "ulid" = '$ulid'}), 'f', 'a lost lease: but the loser does not say done');
one_meeting($ulid, 'a lost lease');
is(scalar(grep { $_->{method} eq 'POST' } calls($standin, $ulid, 'i')), 1, 'a lost lease: not made again');

# another claim has taken over the meeting's row, too, and does not know of any meeting yet: it learns of it from the loser
$ulid = slow_create('m', 2500);
meanwhile(qq{UPDATE dibs."PendingMeeting" SET "fence" = dibs.gen_ulid(), "leaseUntil" = now() + '8 s' WHERE "ulid" = '$ulid';
	UPDATE dibs."Meeting" SET "fence" = dibs.gen_ulid() WHERE "bookingUlid" = '$ulid'});
ok($watch->wait_for(qq{SELECT "state", "externalId" IS NOT NULL FROM dibs."Meeting" WHERE "bookingUlid" = '$ulid'}, 'ready|t', 6),
	'a lost meeting: what was answered is recorded all the same');
one_meeting($ulid, 'a lost meeting');
is(scalar(grep { $_->{method} eq 'POST' } calls($standin, $ulid, 'm')), 1, 'a lost meeting: not made again');

# another claim has made the meeting meanwhile: what the loser's request made is one too many, and goes
$ulid = slow_create('j', 2500);
my $other = $standin->control('POST', '/_control/meeting', { host => 'j@example.com', topic => 'Session', type => 2,
	agenda => "dibs:$ulid:x", start_time => POSIX::strftime('%Y-%m-%dT%H:00:00Z', gmtime(time + 90000)) })->{id};
meanwhile(qq{UPDATE dibs."PendingMeeting" SET "fence" = dibs.gen_ulid(), "leaseUntil" = now() + '5 s' WHERE "ulid" = '$ulid';
	UPDATE dibs."Meeting" SET "state" = 'ready', "externalId" = '$other', "joinUrl" = 'https://us05web.zoom.us/j/$other', "hostUrl" = 'https://us05web.zoom.us/s/$other',
	 "passcode" = 'p', "fence" = dibs.gen_ulid() WHERE "bookingUlid" = '$ulid'});
one_meeting($ulid, 'a surplus meeting');
ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs."Meeting" WHERE "bookingUlid" IS NULL AND "state" <> 'gone'}, '0', 10), 'a surplus meeting: its tombstone is worked off');
is(booking($node, $db, $ulid, '"zoomMeetingId"'), $other, 'a surplus meeting: the recorded one stays');
is(join(' ', meetings_of($ulid)), $other, 'a surplus meeting: the other one goes');

$ulid = slow_create('k', 2500);
$watch->query('TRUNCATE dibs."CalBooking" CASCADE');
like($watch->{error}, qr/ERROR/, 'TRUNCATE while a create is on the wire is refused');
meanwhile('TRUNCATE dibs."PendingMeeting"');
one_meeting($ulid, 'the work was truncated');
is(scalar(grep { $_->{method} eq 'POST' } calls($standin, $ulid, 'k')), 1, 'the work was truncated: not made again');

# a row that an application holds, long enough for the lock to be waited for in vain: others are served meanwhile
my $held = $long ? 60 : 6;
my $locker = session($node, $db);
my $log_before = -s $node->logfile;
$ulid = slow_create('o', 2000);
$locker->query(qq{BEGIN; UPDATE dibs."CalBooking" SET "metadata" = '{}' WHERE "ulid" = '$ulid'});
my $until = time + $held;
my $slowest = 0;
do
{
	my $began = time;
	my $other = book($node, $db, email => 'p@example.com', userUlid => '01J9ZK4M8Q00000000000000P1');
	$watch->wait_for(qq{SELECT "meetingState" FROM dibs."CalBooking" WHERE "ulid" = '$other'}, 'ready', 20) or last;
	$slowest = max($slowest, time - $began);
	sleep 0.3;
} while (time < $until);
diag(sprintf 'beside a row that is locked for %d s the slowest booking took %.0f ms', $held, 1000 * $slowest);
cmp_ok($slowest, '<', 3, 'bookings beside a locked row are served');
is(booking($node, $db, $ulid, '"meetingState"'), 'pending', 'the locked one waits');
unlike(substr(slurp_file($node->logfile), $log_before), qr/lock timeout/, 'nobody waits for its lock, not even for a moment');
$locker->query('COMMIT');
$_->quit for $locker, $watch;
one_meeting($ulid, 'no longer locked');
is(shown(calls($standin, $ulid, 'o')), 'POST 201', 'no longer locked: nothing was asked for twice');

# --- what nobody answers for any more (rules 14 and 15)

# the list lags behind the meetings: one look that finds nothing proves nothing
$standin->settings(listDelayMs => 3500);
$standin->control('POST', '/_control/faults', { match => { method => 'POST', path => '/users/q(%40|@)' }, kind => 'reset', when => 'after' });
$ulid = book($node, $db, email => 'q@example.com');
one_meeting($ulid, 'a list that lags');
is(scalar(grep { $_->{method} eq 'POST' } calls($standin, $ulid, 'q')), 1, 'a list that lags: not made again');
$standin->settings(listDelayMs => 0);

# The worker dies with a create on the wire that the provider will only carry out later; the booking is deleted meanwhile.
# Two looks before that would find nothing, and leave the meeting there for ever.
$node->append_conf('postgresql.conf', "dibs.request_timeout = '9s'\nrestart_after_crash = on");
$node->restart;
ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs.worker_status WHERE database = current_database() AND state = 'idle'}, '1', 20), 'a worker with a long lease');
$standin->control('POST', '/_control/faults', { match => { method => 'POST', path => '/users/r(%40|@)' }, kind => 'delay', when => 'before', ms => 8000 });
$ulid = book($node, $db, email => 'r@example.com');
my $deadline = time + 10;
sleep 0.01 until time > $deadline || grep { !defined $_->{ms} } $standin->requests(method => 'POST', path => '^/v2/users/r(%40|@)');
my $log_end = -s $node->logfile;
kill 'KILL', sql('SELECT pid FROM dibs.worker_status WHERE database = current_database()');
wait_for_log($node, qr/all server processes terminated; reinitializing/, $log_end);
$node->poll_query_until($db, 'SELECT true');
sql(qq{DELETE FROM dibs."CalBooking" WHERE "ulid" = '$ulid'});
ok(wait_for_sql($node, $db, qq{SELECT "state" FROM dibs."Meeting" WHERE "marker" LIKE '%$ulid%'}, 'gone', 40), 'a tombstone whose create was on the wire is worked off');
is(scalar(grep { ($_->{marker} // '') =~ /$ulid/ } @{ $standin->control('GET', '/_control/state')->{meetings} }), 1, 'a tombstone: the create was carried out');
is(join(' ', meetings_of($ulid)), '', 'a tombstone: after that it was found and removed');
$node->append_conf('postgresql.conf', "dibs.request_timeout = '4s'");
$node->reload;

# --- an answer that is there before anybody waits: a request that is refused here is done as soon as it is started

# (not by a new worker, which would have no token, and look at what waits for one every second)
set_conf($node, $db, 'dibs.poll_interval' => '1min', 'dibs.allow_insecure_loopback' => 'off');
sleep 1;
$watch = session($node, $db);
my $refused_at = time;
$ulid = book($node, $db, email => 't@example.com');
ok($watch->wait_for(qq{SELECT "errorCode" IS NOT NULL FROM dibs."PendingMeeting" WHERE "ulid" = '$ulid' UNION ALL
	SELECT true FROM dibs."CalBooking" WHERE "ulid" = '$ulid' AND "meetingErrorCode" IS NOT NULL LIMIT 1}, 't', 20), 'a request that cannot be sent is answered for at once');
cmp_ok(time - $refused_at, '<', 5, 'not at the next poll');
$watch->quit;
$node->append_conf('postgresql.conf', "dibs.poll_interval = '1s'\ndibs.allow_insecure_loopback = on");
$node->reload;
sql(qq{SELECT dibs.retry_meeting('$ulid')});
one_meeting($ulid, 'allowed again');

# --- a long list of what is not due (rule 1)

sql(qq{SET session_replication_role = replica;
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime", "wanted", "done", "dueAt")
	SELECT '$DibsTest::coach', 'later-' || n, 'x', 'g\@example.com', now() + '9 days', now() + '9 days 1 h', 1, 0, now() + '1 day' FROM generate_series(1, $rows) n;
	INSERT INTO dibs."PendingMeeting" ("ulid", "userUlid", "bookingUlid", "action", "generation", "fence", "inFlight", "leaseUntil", "instance")
	SELECT "ulid", "userUlid", "ulid", 'create', 1, dibs.gen_ulid(), false, now() + '1 day', dibs.instance_id() FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'later-%'});
sql('VACUUM ANALYZE dibs."CalBooking"');
my $scans = q{SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE relid IN ('dibs."CalBooking"'::regclass, 'dibs."PendingMeeting"'::regclass, 'dibs."Meeting"'::regclass)};
sleep 1.2;
my $before = sql($scans);
my $started = time;
$ulid = book($node, $db, email => 'l@example.com');
state_is($node, $db, $ulid, 'ready', "a booking beside $rows that wait", 10);
diag(sprintf 'beside %d rows that wait: %.0f ms', $rows, 1000 * (time - $started));
cmp_ok(time - $started, '<', 3, 'it does not wait for them');
sql(qq{UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "ulid" = '$ulid'});
state_is($node, $db, $ulid, 'not_needed', 'nor does its cancellation', 10);
# one that waits, and is changed: it is due at once, whatever it waited for
sql(q{UPDATE dibs."CalBooking" SET "title" = 'Changed' WHERE "calBookingUid" = 'later-1'});
state_is($node, $db, ulid_of($node, $db, 'later-1'), 'ready', 'one of them that is changed does not wait any longer', 10);
sleep 2.2;
is(sql($scans), $before, 'and no table is read from end to end');
is(scalar @{ $standin->control('GET', '/_control/state')->{duplicates} }, 0, 'no booking ever had two meetings');
ok(slurp_file($node->logfile) !~ /\b(?:PANIC|TRAP)\b|terminated by signal (?!9:)/, 'nothing crashed that was not killed');

$node->stop('fast');
done_testing();
