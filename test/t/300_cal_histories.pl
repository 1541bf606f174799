# Random histories of bookings at Cal.com, delivered in any order, twice, over eight connections at once: the rows equal
# those of the model, and every event is accounted for. DIBS_SEED repeats a run, DIBS_HISTORIES says how many.
use strict;
use warnings;

use File::Temp ();
use PostgreSQL::Test::Utils;
use Test::More;

use CalHistories;
use DibsTest;

my $seed = $ENV{DIBS_SEED} // int(rand(1 << 30));
my $count = $ENV{DIBS_HISTORIES} // (short_mode() ? 300 : 2000);
my $connections = 8;
srand($seed);
diag("seed $seed, $count histories (DIBS_SEED and DIBS_HISTORIES repeat it)");

my $node = dibs_node('histories', conf => "dibs.worker = off\nfsync = off\nautovacuum = off\nlog_statement = none");
setup_coach($node, 'postgres');

my (%expected, @deliveries, $events);
for my $i (1 .. $count)
{
	my $history = CalHistories->new("h$i", sub { int rand $_[0] })->run;
	%expected = (%expected, $history->expected);
	my @events = $history->events;
	$events += @events;
	push @events, grep { rand() < 0.25 } @events;
	# shuffled among themselves; histories go side by side
	for my $n (reverse 1 .. $#events)
	{
		my $m = int rand($n + 1);
		@events[ $n, $m ] = @events[ $m, $n ];
	}
	push @deliveries, [ $i + rand 40, $_ ] for @events;
}
@deliveries = map { $_->[1] } sort { $a->[0] <=> $b->[0] } @deliveries;

my $dir = File::Temp->newdir;
my @files = map { "$dir/$_.sql" } 1 .. $connections;
my @out = map { open(my $f, '>', $_) or die "open: $!"; $f } @files;
my $n = 0;
for my $body (@deliveries)
{
	my $f = $out[ $n++ % $connections ];
	printf $f "SELECT dibs.receive_webhook('cal', %s, %s)->>'status';\n", map { sql_quote($_) } cal_headers($body), $body;
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
is_deeply(\%statuses, { 200 => scalar @deliveries }, 'every delivery was answered with 200');

# what the worker does
my $rounds = 0;
while ($rounds++ < 1000)
{
	my $due = $node->safe_psql('postgres', q{
		UPDATE dibs."WebhookEvent" SET "dueAt" = '-infinity' WHERE "dueAt" > now();
		SELECT dibs.apply_webhooks(1000)});
	last if $due == 0;
}

$node->safe_psql('postgres', 'ANALYZE');
is($node->safe_psql('postgres', 'SELECT count(*) FROM dibs."WebhookEvent"'), $events, 'every event is kept once');
is($node->safe_psql('postgres', q{SELECT "outcome", "trigger", "error", count(*) FROM dibs."WebhookEvent"
	WHERE "outcome" NOT IN ('applied', 'stale') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3}), '', 'and was of use');

my %got = map { (split /\|/, $_, 2)[0] => $_ } split /\n/, $node->safe_psql('postgres', q{
	SELECT concat_ws('|', b."calBookingUid", array_to_string(b."previousUids", ','), b."status", b."title",
		to_char(b."startTime" AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), b."duration",
		b."bookingType" || ' ' || coalesce(b."maxParticipants"::text, ''), b."currentParticipants", b."location"->>'value',
		coalesce(CASE WHEN b."paid" THEN 'paid ' ELSE 'unpaid ' END || b."amount" || ' ' || b."currency", ''),
		CASE WHEN b."bookingType" = 'GROUP' THEN '' ELSE coalesce(b."calBookingId"::text, '') END,
		CASE WHEN b."bookingType" = 'GROUP' THEN '' ELSE coalesce(b."cancellationReason", '') END,
		(SELECT string_agg(concat_ws(' ', lower(p."email"), p."status", CASE WHEN p."noShow" THEN 'absent' ELSE '-' END), ','
			ORDER BY lower(p."email") COLLATE "C")
			FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid" AND p."email" IS NOT NULL))
	FROM dibs."CalBooking" b});
my $wrong = 0;
for my $uid (sort keys %expected)
{
	next if ($got{$uid} // '') eq $expected{$uid};
	diag("expected $expected{$uid}\n     got " . ($got{$uid} // 'nothing')) if $wrong++ < 10;
}
my @surplus = grep { !exists $expected{$_} } sort keys %got;
is($wrong, 0, scalar(keys %expected) . ' bookings are as the model has them');
is(scalar @surplus, 0, 'and there is no other') or diag("surplus: @surplus[0 .. ($#surplus > 9 ? 9 : $#surplus)]");

is($node->safe_psql('postgres', q{SELECT count(*) FROM dibs."CalBooking" b WHERE b."participants" IS DISTINCT FROM (
	SELECT coalesce(jsonb_agg(jsonb_build_object('email', p."email", 'name', p."name", 'timeZone', p."timeZone",
		'status', p."status") ORDER BY p."since", p."person"), '[]')
	FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid" AND p."email" IS NOT NULL)}),
	0, 'the json column is what the participants are');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dibs."CalBooking" b WHERE NOT EXISTS (SELECT FROM
	dibs."BookingUid" u WHERE u."uid" = b."calBookingUid" AND u."bookingUlid" = b."ulid")
	OR EXISTS (SELECT FROM unnest(b."previousUids") x WHERE NOT EXISTS (SELECT FROM dibs."BookingUid" u WHERE u."uid" = x
		AND u."bookingUlid" = b."ulid"))}), 0, 'every uid leads to its booking');

done_testing();
