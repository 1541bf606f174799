# A webhook storm: everybody joins at once, over sixteen connections. Nothing is lost, nobody waits for anybody else in a
# circle, the counts are right. How long deliveries take is told, beside a bare insert of the same rows.
use strict;
use warnings;

use IPC::Run qw(run);
use PostgreSQL::Test::Utils;
use Test::More;

use DibsTest;
use ZoomLives qw(zoom_delivery);

my $people = 200;
my $meetings = $ENV{DIBS_STORM} // (short_mode() ? 5 : 50);
my $clients = 16;

my $node = dibs_node('storm', conf => "dibs.worker = off\nlog_statement = none\ndeadlock_timeout = 100ms");
$node->safe_psql('postgres', 'SELECT dibs.set_secret(' . sql_quote('zoom.webhook_secret') . ', ' . sql_quote($ZoomLives::secret) . ')');
$node->safe_psql('postgres', qq{
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "bookingType", "meetingProvider",
		"meetingState", "wanted", "done", "announced")
	SELECT '$DibsTest::coach', 80000000000 + i, 'x', now(), now() + '1 h', 'p1\@example.com', 'GROUP', 'zoom', 'ready', 1, 1, 1 FROM generate_series(1, $meetings) i;
	INSERT INTO dibs."BookingParticipant" ("userUlid", "bookingUlid", "person", "email", "name")
	SELECT "userUlid", "ulid", 'p' || p || '\@example.com', 'p' || p || '\@example.com', 'Person ' || p FROM dibs."CalBooking", generate_series(1, $people) p;
	INSERT INTO dibs."Meeting" ("userUlid", "bookingUlid", "provider", "state", "host", "externalId", "marker")
	SELECT "userUlid", "ulid", 'zoom', 'ready', 'studio\@example.com', "calBookingUid", 'm' FROM dibs."CalBooking";
	CREATE TABLE delivery (i int PRIMARY KEY, headers jsonb, body text);
	CREATE SEQUENCE next;
	CREATE TABLE bare (key text PRIMARY KEY, body jsonb, at timestamptz DEFAULT now());
	ANALYZE;});

# everybody knocks on every door: a door's people come at random, among those of the other doors
my @doors = map { my $m = $_; map { [ $m, $_ ] } 1 .. $people } 1 .. $meetings;
for my $n (reverse 1 .. $#doors)
{
	my $m = int rand($n + 1);
	@doors[ $n, $m ] = @doors[ $m, $n ];
}
my $file = $node->basedir . '/deliveries';
my $i = 0;
my $text = '';
my $now = time;
foreach my $door (@doors)
{
	my ($meeting, $person) = @$door;
	my $body = sprintf '{"event":"meeting.participant_joined","event_ts":%d,"payload":{"account_id":"a","object":{"id":"%d","uuid":"run-%d","host_id":"h",'
		. '"topic":"x","type":2,"duration":60,"timezone":"UTC","participant":{"user_id":"%d","user_name":"Person %d","id":"","participant_uuid":"u%d","email":"p%d@example.com",'
		. '"join_time":"%s"}}}}', $now * 1000, 80_000_000_000 + $meeting, $meeting, $person, $person, $person, $person, ZoomLives::iso($now);
	my ($raw, $headers) = @{ zoom_delivery($body) };
	$text .= join("\t", ++$i, $headers, $raw) . "\n";
}
append_to_file($file, $text);
$node->safe_psql('postgres', "\\copy delivery FROM '$file'");
my $deliveries = @doors;

# storm(script): each delivery once over all connections; the seconds it took and the 99th percentile in ms
sub storm
{
	my ($name, $script) = @_;
	my $dir = $node->basedir . "/storm_$name";
	mkdir $dir;
	append_to_file("$dir/script", "SELECT nextval('next') AS i \\gset\n$script\n");
	$node->safe_psql('postgres', 'ALTER SEQUENCE next RESTART; CHECKPOINT');
	my ($out, $err);
	my $result = run([ 'pgbench', '-n', '-M', 'prepared', '-c', $clients, '-j', 2, '-t', int($deliveries / $clients), '-l', '--log-prefix', "$dir/log",
			'-f', "$dir/script", $node->connstr('postgres') ], '>', \$out, '2>', \$err);
	ok($result, "$name: every connection ended well") or diag($err);
	my @ms = sort { $a <=> $b } map { (split / /)[2] / 1000 } map { split /\n/, slurp_file($_) } glob "$dir/log*";
	my ($tps) = $out =~ /tps = ([\d.]+)/;
	return ($tps, $ms[ $#ms * 0.99 ], $ms[ $#ms / 2 ]);
}

my ($tps, $p99, $p50) = storm('deliveries', q{SELECT dibs.receive_webhook('zoom', headers, body) FROM delivery WHERE i = :i;});
my ($bare_tps, $bare_p99, $bare_p50) = storm('bare', q{INSERT INTO bare (key, body) SELECT md5(body), body::jsonb FROM delivery WHERE i = :i;});
diag(sprintf('%d deliveries over %d connections: %.0f/s, median %.1f ms, p99 %.1f ms; a bare insert: %.0f/s, median %.1f ms, p99 %.1f ms',
		$deliveries, $clients, $tps, $p50, $p99, $bare_tps, $bare_p50, $bare_p99));

# pgbench gives each connection the same number of deliveries: the rest come here; so does what waited for a lock
$node->safe_psql('postgres', q{SELECT count(dibs.receive_webhook('zoom', headers, body)) FROM delivery
	WHERE NOT EXISTS (SELECT FROM dibs."WebhookEvent" e WHERE e."sha256" = sha256(convert_to(delivery.body, 'UTF8')))});
diag($node->safe_psql('postgres', q{SELECT count(*) FROM dibs."WebhookEvent" WHERE "outcome" = 'queued'}) . ' waited for a lock, and for the worker');
while ($node->safe_psql('postgres', q{UPDATE dibs."WebhookEvent" SET "dueAt" = '-infinity' WHERE "dueAt" > now(); SELECT dibs.apply_webhooks(1000)}) > 0) { }
is($node->safe_psql('postgres', q{SELECT "outcome", count(*) FROM dibs."WebhookEvent" GROUP BY 1}), "applied|$deliveries", 'every delivery is kept once, and applied');
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT "participantUlid"), count(*) FILTER (WHERE "role" <> 'participant') FROM dibs."MeetingAttendance"}),
	"$deliveries|$deliveries|0", 'everybody is in, each as who they are');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dibs."CalBooking" b WHERE "status" = 'IN_PROGRESS' AND "wanted" = "done" AND (SELECT count(*) FROM
	jsonb_array_elements(b."participants") p WHERE p->>'status' = 'ATTENDED') = } . $people), $meetings, 'each meeting runs, and its booking says who is in');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dibs."Event" WHERE "type" = 'participant.joined'}), $deliveries, 'each join is told once');
is($node->safe_psql('postgres', q{SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'}), 0, 'no deadlock');
unlike(slurp_file($node->logfile), qr/deadlock detected|ERROR/, 'and no error in the log');
done_testing();
