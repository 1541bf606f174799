# A random life at Cal.com: guests and hosts book, move, cancel; webhooks of both generations of sender are lost, doubled
# and shuffled; hosts change what sends no webhook. After one synchronisation both sides are equal, field by field.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use CalSync;
use DibsTest;
use Test::More;

# The long form: DIBS_CAL_STEPS=6000 gives more than 2,000 bookings.
my $steps = $ENV{DIBS_CAL_STEPS} // 900;
my $seed = $ENV{DIBS_CAL_SEED} // int(rand(1_000_000));
my $days = 20;
diag("seed $seed");
srand($seed);

my $standin = start_standin();
my $node = dibs_node('life', standin => $standin, conf => cal_conf($standin) . "dibs.cal_sync_interval = 0\ndibs.http2 = off");
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
is($node->safe_psql('postgres', q{SELECT count(*) FROM dibs."WebhookEvent" WHERE "outcome" = 'failed'}), '0', 'no webhook failed');

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
is(both_sides($node, $standin, 'coach@example.com'), '', "webhooks that come after all ($late->{delivered}) change nothing either");

is(join("\n", map { "$_->{method} $_->{path} " . join ',', @{ $_->{conformance} }, @{ $_->{anomalies} } }
	  grep { @{ $_->{conformance} } || @{ $_->{anomalies} } } $standin->requests(path => '/cal/v2/(?!webhooks)')), '', 'no request was odd');
$node->stop;
done_testing();
