# dibs.metrics: numbers for a monitor that are true, cheap, and name nobody.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use DibsBookings;
use DibsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $standin = start_standin();
my $node = dibs_node('metrics', standin => $standin, conf => patient_conf());
setup_zoom($node, 'postgres');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub metric
{
	my ($name, $label, $value) = @_;
	return sql("SELECT coalesce(sum(value), 0) FROM dibs.metrics WHERE name = " . sql_quote($name)
		  . (defined $label ? " AND labels->>" . sql_quote($label) . ' = ' . sql_quote($value) : ''));
}

$standin->control('POST', '/_control/faults', { match => { method => 'POST', path => '/meetings$' }, kind => 'status', status => 409, body => { code => 409, message => 'x' }, when => 'before' });
book($node, 'postgres', email => 'coach@example.com', hours => 2) for 1 .. 5;
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."CalBooking" WHERE "meetingState" = 'ready'}, '5'), 'five bookings');
sql(q{SELECT dibs.cal_webhook('{}')});
my $calls = scalar $standin->requests(path => '^/v2/');
is(metric('dibs_provider_calls_total', 'provider', 'zoom'), $calls, 'calls by provider');
is(metric('dibs_provider_refusals_total', 'provider', 'zoom'), '1', 'one of them refused');
cmp_ok(metric('dibs_provider_seconds_total', 'provider', 'zoom'), '>', 0, 'and the time they took');
is(metric('dibs_bookings_next_day', 'meeting_state', 'ready'), '5', 'bookings of the next day');
is(metric('dibs_worker_up', 'database', 'postgres'), '1', 'the worker is there');
cmp_ok(metric('dibs_worker_settled_total', 'database', 'postgres'), '>=', 5, 'and what it did');
cmp_ok(metric('dibs_jobs', 'state', 'waiting'), '>', 0, 'jobs that wait');
sql(q{SELECT dibs.receive_webhook('cal', '{"x-cal-signature-256": "00"}', '{}')});
is(sql(q{SELECT count(*) FROM dibs.metrics WHERE labels::text ~* '@|https|coach'}), '0', 'nobody is named');
is(sql(q{SELECT count(*) FROM dibs.metrics WHERE name IS NULL OR labels IS NULL OR value IS NULL}), '0', 'nothing is missing');

# a waiting one, and one that failed
$standin->settings(limits => { hostDaily => 1, dayMs => 86400000 });
book($node, 'postgres', email => 'host2@example.com', hours => 3) for 1 .. 2;
book($node, 'postgres', email => 'host2@example.com', hours => 4, userUlid => '01J9ZK4M8Q0000000000000091') for 1 .. 2;
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) > 0 FROM dibs.metrics WHERE name = 'dibs_queue' AND labels = '{"kind": "booking", "state": "waiting"}'}, 't'), 'bookings that wait for their time');
cmp_ok(metric('dibs_provider_throttled_total', 'provider', 'zoom'), '>', 0, 'since they were throttled');
cmp_ok(metric('dibs_meetings_in_work', 'error', 'host_daily_limit'), '>', 0, 'with the reason');

# history costs nothing
sub blocks
{
	my $plan = sql('SET jit = off; EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM dibs.metrics');
	my ($hit, $read) = $plan =~ /Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?/;
	return ($hit // 0) + ($read // 0);
}
sql('ANALYZE');
my $before = blocks();
sql(q{SET session_replication_role = replica; INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime", "status", "wanted", "done", "announced")
	SELECT '01J9ZK4M8Q0000000000000092', 'old-' || n, 'Session', 'guest@example.com', now() - n * interval '1 h', now() - n * interval '1 h', 'COMPLETED', 1, 1, 1
	FROM generate_series(24, 30000) n});
sql('VACUUM ANALYZE dibs."CalBooking"');
my $after = blocks();
cmp_ok($after, '<', $before + 200, "30,000 bookings of the past: $before blocks before, $after with them");

$node->stop;
done_testing();
