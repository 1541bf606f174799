# Eight writers with random pauses before they commit, and a follower by cursor: each event exactly once, each booking's in
# the order in which they happened. What a follower without dibs.events_after() would get shows that the test can fail.
# Then the other ways to follow: NOTIFY, logical decoding, a cursor across a move.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use DibsTest;

my $writers = 8;
my $rounds = $ENV{DIBS_ROUNDS} // (short_mode() ? 40 : 150);
my $bookings = 6;
my $node = dibs_node('following', allows_streaming => 'logical', conf => "dibs.worker = off\nmax_prepared_transactions = 2");
my $db = 'followed';
$node->safe_psql('postgres', "CREATE DATABASE $db");
sub ask { return $node->safe_psql($db, @_); }
ask('CREATE EXTENSION dibs');
# what happens to a booking is counted under a lock of the booking's: the order that must come out
ask(qq{
	CREATE TABLE t (b int PRIMARY KEY, ulid char(26) DEFAULT dibs.gen_ulid(), n int DEFAULT 0);
	INSERT INTO t SELECT i FROM generate_series(1, $bookings) i;
	CREATE TABLE other (x int);
	CREATE FUNCTION happen(booking int, before float, after float, twice bool = random() < 0.2) RETURNS void LANGUAGE plpgsql AS \$\$
	DECLARE r t%ROWTYPE;
	BEGIN
		IF random() < 0.6 THEN INSERT INTO other VALUES (1); END IF;	-- has a transaction id long before it comes to the booking
		PERFORM pg_sleep(before);
		UPDATE t SET n = n + 1 WHERE b = booking RETURNING * INTO r;
		PERFORM dibs.write_event('$DibsTest::coach', r.ulid, 'test.happened', jsonb_build_object('n', r.n, 'x', pg_current_xact_id()::text));
		IF twice THEN PERFORM dibs.write_event('$DibsTest::coach', r.ulid, 'test.happened', jsonb_build_object('n', r.n + 0.5, 'x', pg_current_xact_id()::text)); END IF;
		PERFORM pg_sleep(after);
	END \$\$;});

my @children;
for my $w (1 .. $writers)
{
	my $file = $node->basedir . "/writer$w";
	srand(1000 + $w);
	append_to_file($file, join('', map {
		sprintf "BEGIN; SELECT happen(%d, %.3f, %.3f); %s;\n", 1 + int rand $bookings, rand(1) < .5 ? rand(.02) : 0, rand(1) < .5 ? rand(.03) : 0, rand(1) < .1 ? 'ROLLBACK' : 'COMMIT'
	} 1 .. $rounds));
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		exec 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db), '-f', $file, '-o', '/dev/null';
		die "exec: $!";
	}
	push @children, $pid;
}

my (@seen, @naive);
my ($cursor, $last, $running) = ('', '', 1);
my $reader = session($node, $db);
while (1)
{
	my $went = 0;
	my $max = 1 + int rand 30;
	for (split /\n/, $reader->query("SELECT cursor_after, ulid, booking_ulid, data->>'n', data->>'x' FROM dibs.events_after(" . sql_quote($cursor) . ", $max)"))
	{
		my @row = split /\|/;
		push @seen, \@row;
		$cursor = $row[0];
		$went++;
	}
	# the follower that everybody writes first
	for (split /\n/, $reader->query(qq{SELECT "ulid" FROM dibs."Event" WHERE "ulid" > } . sql_quote($last) . ' ORDER BY 1'))
	{
		push @naive, $_;
		$last = $_;
	}
	last if !$running && !$went;
	if ($running && !grep { kill 0, $_ } @children) { $running = 0; }
	@children = grep { waitpid($_, POSIX::WNOHANG()) == 0 } @children;
	sleep 0.005 unless $went;
}
my $total = ask(q{SELECT count(*) FROM dibs."Event"});
my %times;
$times{ $_->[1] }++ for @seen;
cmp_ok($total, '>', $writers * $rounds * 0.8, "$total events were written");
is(scalar(keys %times), $total, 'the follower has seen each of them');
is(scalar(@seen), $total, 'and each once');
my (%n, $disorder);
for my $row (@seen)
{
	$disorder++ if ($n{ $row->[2] } // 0) >= $row->[3];
	$n{ $row->[2] } = $row->[3];
}
is($disorder // 0, 0, 'each booking\'s in the order in which they happened');
cmp_ok(scalar(@naive), '<', $total, 'a follower by ulid alone has missed ' . ($total - @naive));
my ($by_xid, %m) = (0);
for my $row (sort { $a->[4] <=> $b->[4] || $a->[1] cmp $b->[1] } @seen)
{
	$by_xid++ if ($m{ $row->[2] } // 0) >= $row->[3];
	$m{ $row->[2] } = $row->[3];
}
cmp_ok($by_xid, '>', 0, "by the transactions' own ids $by_xid would have come before their time");
is(ask("SELECT count(*) FROM dibs.events_after(" . sql_quote($cursor) . ')'), 0, 'there is nothing after the last');
like(ask("SELECT cursor_after = " . sql_quote($cursor) . " FROM dibs.events_after((SELECT cursor_after FROM dibs.events_after(NULL, $total) OFFSET " . ($total - 2) . " LIMIT 1))"), qr/^t$/, 'any row\'s cursor leads on');
like(ask('EXPLAIN (COSTS OFF) SELECT * FROM dibs."Event" e WHERE e."instance" = dibs.instance_id() AND (e."xid", e."ulid") > (\'5\'::xid8, \'0\')'
	. ' AND e."xid" < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY e."xid", e."ulid" LIMIT 10'), qr/Index Scan using "Event_cursor_idx"/, 'by the index');
for my $bad ('x', 'a/b/c', "$cursor/", '1/99999999999999999999/01J9ZK4M8Q0000000000000001')
{
	like(($node->psql($db, 'SELECT dibs.events_after(' . sql_quote($bad) . ')'))[2], qr/is no cursor/, "refused: $bad");
}

# an open transaction, prepared too, holds back what comes after it, and no more
ask(q{BEGIN; SELECT happen(1, 0, 0); PREPARE TRANSACTION 'held'});
ask('SELECT happen(2, 0, 0)');
is(ask('SELECT count(*) FROM dibs.events_after(' . sql_quote($cursor) . ')'), 0, 'nothing is told past an open transaction');
ask(q{COMMIT PREPARED 'held'});
cmp_ok(ask('SELECT count(*) FROM dibs.events_after(' . sql_quote($cursor) . ')'), '>=', 2, 'all of it afterwards');
$cursor = ask('SELECT cursor_after FROM dibs.events_after(' . sql_quote($cursor) . ') OFFSET 1 LIMIT 1');

# NOTIFY is a hint of the calling session's
my $listener = session($node, $db);
$listener->query('LISTEN dibs_events');
ask('SELECT happen(1, 0, 0)');
unlike($listener->query('SELECT 1'), qr/dibs_events/, 'off: nobody is told');
ask('SET dibs.notify_events = on; BEGIN; SELECT happen(1, 0, 0); SELECT happen(2, 0, 0); COMMIT');
is(scalar(() = $listener->query('SELECT 1') =~ /"dibs_events"/g), 1, 'on: one NOTIFY a transaction');

# logical decoding sees this table alone
ask(q{CREATE PUBLICATION dibs_events FOR TABLE dibs."Event" WITH (publish = 'insert');
	SELECT pg_create_logical_replication_slot('follower', 'pgoutput')});
ask('SELECT happen(3, 0, 0); UPDATE t SET n = n; INSERT INTO dibs."Coach" ("userUlid") VALUES (dibs.gen_ulid())');
my $changes = ask(q{SELECT count(*) FILTER (WHERE get_byte(data, 0) = 73), count(*) FILTER (WHERE get_byte(data, 0) IN (85, 68))
	FROM pg_logical_slot_get_binary_changes('follower', NULL, NULL, 'proto_version', '1', 'publication_names', 'dibs_events')});
like($changes, qr/^[12]\|0$/, 'an INSERT of "Event" and nothing else');
ask(q{SELECT pg_drop_replication_slot('follower')});

# a move: rows keep where they stand, and come before what is written here; a cursor from there leads on here
my $before = ask('SELECT count(*) FROM dibs.events_after(NULL, 100000)');
my $order = ask(q{SELECT string_agg(ulid, ' ') FROM dibs.events_after(NULL, 100000)});
my $dump = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr($db) ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE moved TEMPLATE template0');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', $dump, '-d', $node->connstr('moved') ], 'psql < dump');
is($node->safe_psql('moved', q{SELECT string_agg(ulid, ' ') FROM dibs.events_after(NULL, 100000)}), $order, 'every event is there, in its order');
$node->safe_psql('moved', 'SELECT dibs.adopt(); CALL dibs.drain()');
$node->safe_psql('moved', 'SELECT happen(1, 0, 0, false)');
is($node->safe_psql('moved', 'SELECT count(*) FROM dibs.events_after(NULL, 100000)'), $before + 1, 'and what happens here comes last, after adoption too')
  or diag($node->safe_psql('moved', 'SELECT * FROM dibs."Event" ORDER BY "createdAt" DESC LIMIT 3'));
is($node->safe_psql('moved', 'SELECT count(*) >= 1, bool_and(type = \'test.happened\') FROM dibs.events_after(' . sql_quote($cursor) . ')'), 't|t', 'a cursor from before leads on');
is($node->safe_psql('moved', q{SELECT (array_agg(data->>'n'))[count(*)] FROM dibs.events_after(NULL, 100000)}), ask('SELECT n + 1 FROM t WHERE b = 1'), 'the last one is the last');
done_testing();
