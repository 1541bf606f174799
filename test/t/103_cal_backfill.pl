# A new account with many bookings: read page by page below Cal.com's limit, memory flat, on where it was after kill -9;
# webhooks received meanwhile wait for nobody. And the webhook's own registration.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use CalSync;
use DibsTest;
use JSON::PP ();
use Test::More;
use Time::HiRes qw(sleep time);

# The long form: DIBS_CAL_BACKFILL=100000.
my $count = $ENV{DIBS_CAL_BACKFILL} // (short_mode() ? 6000 : 8000);
my $pages = int($count / 250) + 1;

my $standin = start_standin(specs => 0);
my $node = dibs_node('backfill', standin => $standin, conf => cal_conf($standin)
	  . "dibs.cal_sync_interval = 0\ndibs.request_timeout = '5s'\ndibs.lease_margin = '1500ms'\nrestart_after_crash = on");
setup_coach($node, 'postgres');
$node->safe_psql('postgres', q{SELECT dibs.set_secret('cal.api_key', 'cal_live_STANDIN-CAL-KEY-coach')});
$standin->settings(cal => { limits => { apiKey => 5, windowMs => 1000, blockMs => 1000 } });
my $planted = $standin->control('POST', '/_control/cal/plant', { user => 'coach@example.com', count => $count });
is($planted->{bookings}, $count, "$count bookings");

sub sql { return $node->safe_psql('postgres', $_[0]); }

# what is looked at again and again is asked over one connection: psql's start is no part of it
my $watch = session($node, 'postgres');
sub worker { return $watch->query(q{SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE backend_type = 'dibs worker' AND datname = 'postgres'}); }

# anonymous memory of the worker, in kB
sub memory
{
	open(my $file, '<', "/proc/$_[0]/status") or return undef;
	my ($kb) = map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$file>;
	return $kb;
}

# What each page added to the worker's memory, in kB; what its first ones add is its own growing up.
my (@added, %last);
sub look_at_memory
{
	my ($pid, $pages) = (worker(), $watch->query(our $progress));
	my $kb = $pid ? memory($pid) : undef;
	return unless defined $kb;
	my $before = $last{$pid} //= { from => $pages };
	return if $pages < $before->{from} + 2 || $pages <= ($before->{pages} // 0);
	push @added, ($kb - $before->{kb}) / ($pages - $before->{pages}) if defined $before->{kb};
	@$before{qw(pages kb)} = ($pages, $kb);
	return;
}

our $progress = q{SELECT coalesce(max(("progress"->>'pages')::int), 0) FROM dibs."Job" WHERE "kind" = 'cal_sync'};
sql('SELECT dibs.sync_bookings()');
ok(wait_for_sql($node, 'postgres', "SELECT ($progress) >= 3", 't', 60), 'it has begun');

# ---- meanwhile ----

my (@latency, $killed);
my $deadline = time + 60 + $count / 50;
my $n = 0;
while (time < $deadline)
{
	my $done = $watch->query($progress);
	my $body = cal_body('BOOKING_CREATED', uid => 'webhook-' . ++$n, bookingId => 900000 + $n);
	my $delivery = 'SELECT dibs.receive_webhook(' . join(', ', map { sql_quote($_) } 'cal', cal_headers($body), $body) . q{)->>'outcome'};
	my $start = time;
	my $outcome = $watch->query($delivery);
	push @latency, time - $start;
	is($outcome, 'applied', 'a webhook is applied at once') if $n == 1 || $outcome ne 'applied';
	my $pid = worker();
	if (!$killed && $pid && $done >= $pages / 2)
	{
		$killed = $done;
		kill_process($node, $pid);
		$watch = session($node, 'postgres');
	}
	last if $watch->query(q{SELECT "progress"->>'pass' FROM dibs."Job" WHERE "kind" = 'cal_sync'}) eq 'none';
	foreach (1 .. 4)
	{
		sleep 0.05;
		look_at_memory();
	}
}
$watch->quit;
is(sql(q{SELECT "progress"->>'pass' FROM dibs."Job" WHERE "kind" = 'cal_sync'}), 'none', 'it comes to its end');
ok($killed, 'though the worker was killed half-way');
my @asked = $standin->requests(path => '/cal/v2/bookings$');
cmp_ok(scalar @asked, '<=', $pages + 8, sprintf('no page is read again but the one that was on the wire: %d for %d bookings', scalar @asked, $count));
is($standin->control('GET', '/_control/state')->{cal}{limits}{throttled}, 0, 'never over the limit');
@latency = sort { $a <=> $b } @latency;
note(sprintf '%d webhooks meanwhile: median %.0f ms, slowest %.0f ms', scalar @latency, 1000 * $latency[ @latency / 2 ], 1000 * $latency[-1]);
cmp_ok($latency[ @latency / 2 ], '<', 0.3, 'webhooks are not delayed');
# The median: what is kept of each page shows in each step, malloc's next piece from the system in one or two.
note('a page of 250 added ' . join(' ', map { int } @added) . ' kB');
@added = sort { $a <=> $b } @added;
cmp_ok(scalar @added, '>=', 3, "the worker's memory was looked at again and again");
# a page is some 700 kB; of few looks one can expect no more than that it is not kept
cmp_ok($added[ @added / 2 ], '<', short_mode() ? 200 : 60, sprintf('and is flat: a page adds %.0f kB', $added[ @added / 2 ]));

is(sql(q{SELECT count(*) FROM dibs."CalBooking" WHERE "calBookingUid" NOT LIKE 'webhook-%'}), $planted->{live}, 'all are here');
is(sql(qq{SELECT count(*) FROM dibs."BookingUid" WHERE "uid" NOT LIKE 'webhook-%'}), $count, 'and what they were called before');

# ---- the webhook's own registration ----

$standin->settings(cal => { limits => { apiKey => 0 } });
my $url = 'https://app.example.com/rpc/cal_webhook';
my $registered = qq{SELECT "state" FROM dibs."CalWebhook" WHERE "url" = '$url'};
my $hook = sub { my ($one) = grep { $_->{subscriberUrl} eq $url } @{ $standin->control('GET', '/_control/state')->{cal}{webhooks} }; return $one; };
my ($status, $out, $err) = $node->psql('postgres', q{SELECT dibs.cal_register_webhook('', 'http://app.example.com/x')});
like($err, qr/is no URL for webhooks/, 'https, or none');
sql(q{SELECT dibs.drop_secret('cal.webhook_secret')});
sql(qq{SELECT dibs.cal_register_webhook('', '$url')});
ok(wait_for_sql($node, 'postgres', $registered, 'registered'), 'a webhook is registered');
ok($hook->()->{active}, 'and is there');
$standin->control('POST', '/_control/cal/act', { do => 'createBooking', eventTypeId => 50, start => '2031-01-01T10:00:00Z',
	attendee => { name => 'Ann', email => 'ann@example.com', timeZone => 'UTC' } });
is_deeply(deliver_outbox($node, $standin)->{outcomes}, { applied => 2 }, 'its deliveries bear a secret that only both ends know');
is(sql(q{SELECT count(*) FROM dibs.cal_status() WHERE "reachable" AND "authorised" AND "webhook" = 'registered' AND "last_sync" IS NOT NULL}), '1', 'the account\'s status says so');

my $patch = sub {
	HTTP::Tiny->new->request('PATCH', $standin->url . '/cal/v2/webhooks/' . $hook->()->{id},
		{ headers => { authorization => 'Bearer cal_live_STANDIN-CAL-KEY-coach', 'content-type' => 'application/json' }, content => JSON::PP::encode_json({@_}) });
};
$patch->(active => JSON::PP::false);
sql(qq{SELECT dibs.cal_register_webhook('', '$url')});
ok(wait_for_sql($node, 'postgres', $registered, 'registered'), 'switched off there');
ok($hook->()->{active}, 'it is repaired');
$patch->(secret => 'another', triggers => ['BOOKING_CREATED']);
sql(qq{SELECT dibs.cal_register_webhook('', '$url')});
ok(wait_for_sql($node, 'postgres', $registered, 'registered'), 'changed there');
cmp_ok(scalar @{ $hook->()->{triggers} }, '>', 8, 'it is put right');
is(scalar @{ $standin->control('GET', '/_control/state')->{cal}{webhooks} }, 1, 'one registration, however often');

$standin->control('POST', '/_control/cal/tokens', { revoke => 'keys', user => 'coach@example.com' });
sql('SELECT dibs.sync_bookings()');
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM jsonb_array_elements(dibs.health()->'problems') p WHERE p->>'problem' LIKE 'Cal.com account "" cannot be synchronised%'}, '1'),
	'a key that is not taken any more shows in health()');
$node->stop;
done_testing();
