# Random lives of meetings at Zoom, delivered in any order, twice, some never, over four connections at once: minutes,
# presences and final statuses are those of an independent model, and every event is accounted for. DIBS_SEED repeats a
# run, DIBS_LIVES says how many.
use strict;
use warnings;

use File::Temp ();
use PostgreSQL::Test::Utils;
use Test::More;

use DibsTest;
use ZoomLives qw(zoom_delivery);

my $seed = $ENV{DIBS_SEED} // int(rand(1 << 30));
my $count = $ENV{DIBS_LIVES} // (short_mode() ? 250 : 5000);
my $connections = 4;
srand($seed);
diag("seed $seed, $count lives (DIBS_SEED and DIBS_LIVES repeat it)");

my $node = dibs_node('lives', conf => "dibs.worker = off\nfsync = off\nautovacuum = off\nlog_statement = none");
$node->safe_psql('postgres', 'SELECT dibs.set_secret(' . sql_quote('zoom.webhook_secret') . ', ' . sql_quote($ZoomLives::secret) . ')');

my (@expected, @deliveries, @setup);
for my $i (1 .. $count)
{
	my $life = ZoomLives->new(80_000_000_000 + $i, sub { int rand $_[0] });
	my $people = join(',', map { "$_->{email}|$_->{name}|$_->{registrant}" } @{ $life->{people} });
	push @setup, join("\t", $life->{number}, $life->{status}, $life->{begin}, $people);
	push @expected, $life->expected;
	push @deliveries, map { [ $i + rand 20, $_ ] } $life->deliveries;
}
# a life's own order is kept as far as its own disorder goes; lives go side by side
my %at;
@deliveries = map { $_->[1] } sort { $a->[0] <=> $b->[0] } @deliveries;

my $dir = File::Temp->newdir;
append_to_file("$dir/setup", join("\n", @setup) . "\n");
$node->safe_psql('postgres', qq{
	CREATE TEMP TABLE l (number text, status text, begin bigint, people text);
	\\copy l FROM '$dir/setup'
	INSERT INTO dibs."Coach" ("userUlid", "name", "email") VALUES ('$DibsTest::coach', 'The Coach', 'coach\@example.com');
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "status", "meetingProvider",
		"meetingState", "wanted", "done", "announced")
	SELECT '$DibsTest::coach', number, 'x', to_timestamp(begin), to_timestamp(begin + 3600), split_part(people, '|', 1), status, 'zoom', 'ready', 1, 1, 1 FROM l;
	INSERT INTO dibs."BookingParticipant" ("userUlid", "bookingUlid", "person", "email", "name", "registrantId")
	SELECT '$DibsTest::coach', b."ulid", split_part(p, '|', 1), split_part(p, '|', 1), split_part(p, '|', 2), split_part(p, '|', 3)
	FROM l JOIN dibs."CalBooking" b ON b."calBookingUid" = number, string_to_table(people, ',') p;
	INSERT INTO dibs."Meeting" ("userUlid", "bookingUlid", "provider", "state", "host", "externalId", "marker")
	SELECT "userUlid", "ulid", 'zoom', 'ready', 'studio\@example.com', "calBookingUid", 'm' FROM dibs."CalBooking";
	ANALYZE;});

my @files = map { "$dir/$_.sql" } 1 .. $connections;
my @out = map { open(my $f, '>', $_) or die "open: $!"; $f } @files;
my $n = 0;
for my $body (@deliveries)
{
	my ($text, $headers) = @{ zoom_delivery($body) };
	my $f = $out[ $n++ % $connections ];
	printf $f "SELECT dibs.receive_webhook('zoom', %s, %s)->>'status';\n", sql_quote($headers), sql_quote($text);
}
close $_ for @out;
my @children;
for my $file (@files)
{
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		exec 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', $file, '-o', "$file.out";
		die "exec: $!";
	}
	push @children, $pid;
}
my $failed = 0;
for my $pid (@children)
{
	waitpid $pid, 0;
	$failed++ if $?;
}
is($failed, 0, 'every connection ended well');
my %statuses;
for my $file (@files)
{
	open(my $in, '<', "$file.out") or die "open: $!";
	while (<$in>) { chomp; $statuses{$_}++; }
}
is_deeply(\%statuses, { 200 => scalar @deliveries }, scalar(@deliveries) . ' deliveries were answered with 200');

# what the worker does
my $rounds = 0;
while ($rounds++ < 1000)
{
	last if $node->safe_psql('postgres', q{
		UPDATE dibs."WebhookEvent" SET "dueAt" = '-infinity' WHERE "dueAt" > now();
		SELECT dibs.apply_webhooks(1000)}) == 0;
}
is($node->safe_psql('postgres', q{SELECT "outcome", "trigger", "error", count(*) FROM dibs."WebhookEvent"
	WHERE "outcome" NOT IN ('applied', 'stale') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3}), '', 'every event was of use');

my @got = split /\n/, $node->safe_psql('postgres', q{
	SELECT "calBookingUid" || ' ' || "status" FROM dibs."CalBooking"
	UNION ALL
	SELECT concat_ws(' ', b."calBookingUid", CASE a.role WHEN 'participant' THEN a.email ELSE a.role END, a.state, a.joins,
		coalesce(extract(epoch FROM a.joined_at)::bigint::text, '-'), CASE a.state WHEN 'present' THEN '-' ELSE round(a.minutes * 60)::text END)
	FROM dibs.attendance a JOIN dibs."CalBooking" b ON b."ulid" = a.booking_ulid WHERE a.state IN ('present', 'left')});
my %got = map { $_ => 1 } @got;
my %expected = map { $_ => 1 } @expected;
my @missing = grep { !$got{$_} } @expected;
my @surplus = grep { !$expected{$_} } @got;
# round(…, 2) of minutes is good to 0.3 s
is(scalar @missing, 0, scalar(@expected) . ' statuses and attendances are as the model has them')
  or diag(join("\n", 'expected:', (sort @missing)[ 0 .. ($#missing > 9 ? 9 : $#missing) ], 'got:', (sort @surplus)[ 0 .. ($#surplus > 9 ? 9 : $#surplus) ]));
is(scalar @surplus, 0, 'and there is nothing else');

is($node->safe_psql('postgres', q{SELECT count(*) FROM dibs."BookingParticipant" p LEFT JOIN dibs.attendance a ON a.participant_ulid = p."ulid"
	WHERE (p."status" = 'ATTENDED') IS DISTINCT FROM (a.state IN ('present', 'left')) OR p."joinedAt" IS DISTINCT FROM a.joined_at
		OR p."leftAt" IS DISTINCT FROM CASE WHEN a.state = 'left' THEN a.left_at END}), 0, 'participants say the same');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dibs."CalBooking" b WHERE
	(SELECT string_agg(x->>'status', ',' ORDER BY x->>'email') FROM jsonb_array_elements(b."participants") x) IS DISTINCT FROM
	(SELECT string_agg(p."status", ',' ORDER BY p."email") FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid")
	AND EXISTS (SELECT FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid" AND p."status" = 'ATTENDED')}), 0, 'and so does the json column');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"}), 0, 'no meeting is to be changed because it ran');

# told once, in each booking's order: what is told of a person and a time is told once
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT "bookingUlid", "type", "data"->>'run' FROM dibs."Event"
	WHERE "type" IN ('meeting.started', 'meeting.ended') GROUP BY 1, 2, 3 HAVING count(*) > 1) x}), 0, 'a start and an end are told once');
is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE n <> m) FROM (SELECT a."bookingUlid", count(*) n,
	(SELECT count(*) FROM dibs."Event" e WHERE e."bookingUlid" = a."bookingUlid" AND e."type" = 'participant.joined') m
	FROM dibs."MeetingAttendance" a WHERE a."joinedAt" IS NOT NULL GROUP BY 1) x}), 0, 'each join is told once');

done_testing();
