# A random life at Cal.com: guests and hosts book, move, cancel; webhooks of both generations of sender are lost, doubled
# and shuffled; hosts change what sends no webhook. After one synchronisation both sides are equal, field by field.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use CalSync;
use DibsTest;
use Test::More;

# The long form: DIBS_CAL_STEPS=11000 gives more than 2,000 bookings.
my $steps = $ENV{DIBS_CAL_STEPS} // 900;
my $seed = $ENV{DIBS_CAL_SEED} // int(rand(1_000_000));
my $days = 20;
diag("seed $seed");
srand($seed);

my $standin = start_standin();
my $node = dibs_node('life', standin => $standin, conf => cal_conf($standin)
	  . "dibs.cal_sync_interval = 0\ndibs.request_timeout = '2s'\ndibs.lease_margin = '1500ms'");
setup_coach($node, 'postgres');
$node->safe_psql('postgres', q{SELECT dibs.set_secret('cal.api_key', 'cal_live_STANDIN-CAL-KEY-coach')});
$standin->settings(cal => { limits => { apiKey => 0, people => 0 }, sender => 'mixed' });

sub as_coach
{
	my ($method, $path, $body) = @_;
	my $answer = HTTP::Tiny->new->request($method, $standin->url . "/cal/v2$path",
		{ headers => { authorization => 'Bearer cal_live_STANDIN-CAL-KEY-coach', 'content-type' => 'application/json' }, content => JSON::PP::encode_json($body) });
	die "$path: $answer->{content}" unless $answer->{success};
	return;
}
as_coach('POST', '/webhooks', { active => JSON::PP::true, subscriberUrl => 'https://app.example.com/cal', secret => $DibsTest::cal_secret,
	triggers => [ map { "BOOKING_$_" } qw(CREATED REQUESTED RESCHEDULED CANCELLED REJECTED PAID PAYMENT_INITIATED NO_SHOW_UPDATED) ] });

# the account was in step when this life began
$standin->settings(clockOffsetMs => -$days * 86_400_000);
is(sync_done($node), undef, 'an empty account is in step');
is($node->safe_psql('postgres', 'SELECT dibs.sync_event_types()'), '1', 'event types, too');
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."Job" WHERE "kind" = 'cal_event_types' AND "progress" ? 'lastSync'}, '1'), 'are read');
$standin->settings(clockOffsetMs => 0);

my $life = $standin->control('POST', '/_control/cal/life', { user => 'coach@example.com', steps => $steps, seed => $seed, days => $days });
note("$life->{acts} acts, $life->{refused} refused, $life->{bookings} bookings, $life->{sent} webhooks");
my $delivered = deliver_outbox($node, $standin, loss => 0.2, dup => 0.1, shuffle => 40);
note("$delivered->{delivered} delivered: " . join ', ', map { "$_ $delivered->{outcomes}{$_}" } sort keys %{ $delivered->{outcomes} });
isnt(both_sides($node, $standin, 'coach@example.com'), '', 'what was lost is missed');
is(sync_done($node, 120), undef, 'one synchronisation');
is(both_sides($node, $standin, 'coach@example.com'), '', 'and both sides are equal');
is($node->safe_psql('postgres', q{SELECT count(*) - count(DISTINCT "calBookingUid") FROM dibs."CalBooking"}), '0', 'no booking is there twice');
is($node->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', "trigger", "error"), E'\n') FROM dibs."WebhookEvent" WHERE "outcome" = 'failed'}), '', 'no webhook failed');

# the application has its part in it: what it wants is done there, with webhooks that tell of it lost, and answers, too
my $wishes = int($steps / 15);
$standin->control('POST', '/_control/faults', { match => { path => '^/cal/v2/bookings', method => 'POST' }, kind => 'reset', when => 'after',
	probability => 0.1, seed => $seed, times => 0 });
my @ulids = split /\n/, $node->safe_psql('postgres', qq{SELECT "ulid" FROM dibs."CalBooking" WHERE "source" = 'cal' AND "status" = 'CONFIRMED'
	AND "bookingType" = 'ONE_ON_ONE' AND "startTime" > now() ORDER BY random() LIMIT $wishes});
my %wanted;
foreach my $ulid (@ulids)
{
	my $hours = 24 * 20 + int(rand(2000));
	my ($kind, $sql) = @{ [
			[ cancel => "dibs.cancel_booking('$ulid', 'by the application')" ],
			[ move => "dibs.reschedule_booking('$ulid', date_trunc('hour', now()) + interval '$hours h', 'by the application', 'coach\@example.com')" ],
			[ guests => "dibs.add_guests('$ulid', '[\"app$hours\@example.com\"]')" ],
			[ place => qq{dibs.update_booking('$ulid', '{"location": {"kind": "in_person", "value": "Room A$hours"}}')} ] ]->[ rand 4 ] };
	$wanted{$kind}++;
	$node->safe_psql('postgres', "SELECT $sql");
}
foreach my $i (1 .. int($wishes / 3))
{
	$wanted{create}++;
	my $hours = 24 * 20 + int(rand(1500));
	$node->safe_psql('postgres', qq{SELECT dibs.create_booking(jsonb_build_object('source', 'cal', 'eventTypeId', 50, 'userUlid', '$DibsTest::coach',
		'startTime', date_trunc('hour', now()) + interval '$hours h', 'attendeeEmail', 'app$i\@example.com', 'attendeeName', 'App $i'))});
}
note('wanted: ' . join ', ', map { "$_ $wanted{$_}" } sort keys %wanted);
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."CalChange" WHERE "state" = 'waiting'}, '0', 120), 'every wish of the application has its end');
$standin->control('DELETE', '/_control/faults');
note($node->safe_psql('postgres', q{SELECT string_agg(n || ' ' || s, ', ') FROM (SELECT "state" AS s, count(*) AS n FROM dibs."CalChange" GROUP BY 1) x}));
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT "error", E'\n') FROM dibs."CalChange" WHERE "state" = 'failed'}), '', 'none failed');
deliver_outbox($node, $standin, since => $delivered->{last}, loss => 0.2, dup => 0.1, shuffle => 20);
is(sync_done($node, 120), undef, 'one synchronisation more');
is(both_sides($node, $standin, 'coach@example.com'), '', 'and both sides are equal again');
is_deeply($standin->control('GET', '/_control/state')->{cal}{duplicates}, [], 'nothing was made twice');

# reading it all again changes nothing, and writes nothing
my $state = q{SELECT md5(string_agg(b::text, ',' ORDER BY "ulid")) FROM dibs."CalBooking" b};
my $events = q{SELECT count(*) FROM dibs."Event"};
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"}, '0', 60), 'meetings are settled');
my @before = map { $node->safe_psql('postgres', $_) } $state, $events;
$node->safe_psql('postgres', q{SELECT dibs.sync_bookings(since => '-infinity')});
is(sync_done($node, 120), undef, 'all read once more');
is_deeply([ map { $node->safe_psql('postgres', $_) } $state, $events ], \@before, 'changes no row and tells of nothing');

# what comes late is older than what was read
my $late = deliver_outbox($node, $standin, loss => 0.5, shuffle => 1000);
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."Job" WHERE "kind" = 'cal_read' AND "state" = 'waiting'}, '0', 60),
	'sessions that they are about are read again');
is(both_sides($node, $standin, 'coach@example.com'), '', "webhooks that come after all ($late->{delivered}) change nothing either");

is(join("\n", map { "$_->{method} $_->{path} " . join ',', @{ $_->{conformance} }, @{ $_->{anomalies} } }
	  grep { @{ $_->{conformance} } || @{ $_->{anomalies} } } $standin->requests(path => '/cal/v2/(?!webhooks)')), '', 'no request was odd');
$node->stop;
done_testing();
