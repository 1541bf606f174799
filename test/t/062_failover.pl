# A primary that dies while it works, and the standby that takes over: synchronous, and asynchronous with the last claims
# missing. Nothing is lost and nothing is made twice. A copy of the files, recovered to a point in time beside the
# server that goes on, sends nothing.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use DibsBookings;
use DibsTest;

my $crowd = short_mode() ? 30 : 90;
my $db = 'postgres';

sub live
{
	my ($standin) = @_;
	my %live;
	foreach my $meeting (grep { !$_->{deleted} } @{ $standin->control('GET', '/_control/state')->{meetings} })
	{
		my ($ulid) = ($meeting->{marker} // '') =~ /^dibs:(\w{26}):/;
		push @{ $live{ $ulid // 'none' } }, $meeting;
	}
	return %live;
}

sub insert_crowd
{
	my ($node, $prefix, $count) = @_;
	$node->safe_psql($db, qq{INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
		SELECT '$DibsTest::coach', '$prefix-' || n, '$prefix ' || n, 'guest\@example.com', date_trunc('minute', now()) + '30 h',
		 date_trunc('minute', now()) + '31 h' FROM generate_series(1, $count) n});
}

sub ready
{
	my ($node, $prefix) = @_;
	return $node->safe_psql($db, qq{SELECT count(*) FROM dibs."CalBooking" WHERE "calBookingUid" LIKE '$prefix-%' AND "meetingState" = 'ready'});
}

# Every booking has the one meeting that its row wants, or none, and nobody else has one.
sub verdict
{
	my ($name, $node, $standin) = @_;
	ok(wait_for_sql($node, $db,
			q{SELECT (SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"),
				(SELECT count(*) FROM dibs."Meeting" WHERE "bookingUlid" IS NULL AND "state" <> 'gone')}, '0|0', 60), "$name: all work is done")
	  or diag($node->safe_psql($db, q{SELECT p."action", p."attempts", p."errorCode", p."lastError", p."inFlight", p."leaseUntil" - now() FROM dibs."PendingMeeting" p LIMIT 5;
		SELECT state, detail, in_flight FROM dibs.worker_status; SELECT "kind", "state", "dueAt" - now(), "leaseUntil" - now(), "error" FROM dibs."Job"}));
	my %live = live($standin);
	my ($lost, $doubled, $wrong) = ('') x 3;
	foreach my $line (split /\n/, $node->safe_psql($db, q{SELECT "ulid", "calBookingUid", "status", "meetingState", "zoomMeetingId", "title" FROM dibs."CalBooking"}))
	{
		my ($ulid, $uid, $status, $state, $id, $title) = split /\|/, $line;
		my @meetings = @{ delete $live{$ulid} // [] };
		if ($status eq 'CANCELLED')
		{
			$wrong .= "$uid: still there\n" if @meetings;
			next;
		}
		$lost .= "$uid " unless @meetings;
		$doubled .= "$uid " if @meetings > 1;
		$wrong .= "$uid: $state $id $title; $meetings[0]{id} $meetings[0]{topic}\n"
		  if @meetings && !($state eq 'ready' && $id eq $meetings[0]{id} && $title eq $meetings[0]{topic});
	}
	is($lost, '', "$name: no meeting is lost");
	is($doubled, '', "$name: no booking has two");
	is(join(' ', map { $_->{marker} } @{ $standin->control('GET', '/_control/state')->{duplicates} }), '', "$name: none ever had");
	is($wrong, '', "$name: each is what its row wants");
	is(join(' ', keys %live), '', "$name: no meeting is left without a booking");
}

# --- the primary is killed in the middle of its work ---

foreach my $kind ('synchronous', 'asynchronous')
{
	my $standin = start_standin();
	my $primary = dibs_node("${kind}_primary", standin => $standin, allows_streaming => 1,
		conf => "dibs.request_timeout = '4s'\ndibs.connect_timeout = '1s'\ndibs.lease_margin = '500ms'\ndibs.max_in_flight = 16\ndibs.zoom_plan = off\nwal_receiver_status_interval = '100ms'");
	setup_zoom($primary, $db);
	insert_crowd($primary, 'before', $crowd);
	ok(wait_for_sql($primary, $db, q{SELECT count(*) FROM dibs."CalBooking" WHERE "meetingState" = 'ready'}, $crowd), "$kind: meetings from before");
	$primary->backup('base');
	my $standby = PostgreSQL::Test::Cluster->new("${kind}_standby");
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->start;
	if ($kind eq 'synchronous')
	{
		$primary->safe_psql($db, q{ALTER SYSTEM SET synchronous_standby_names = '*'});
		$primary->reload;
		ok(wait_for_sql($primary, $db, q{SELECT sync_state FROM pg_stat_replication}, 'sync'), 'the standby is synchronous');
	}
	else
	{
		$primary->wait_for_catchup($standby);
	}
	is($standby->safe_psql($db, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'dibs%'}), '0', "$kind: nothing of dibs runs on a standby");

	# what is on the wire when the primary dies is carried out all the same, some of it when nobody waits for it any more
	$standin->settings(latency => 3000);
	insert_crowd($primary, 'new', $crowd);
	$primary->safe_psql($db, q{UPDATE dibs."CalBooking" SET "title" = 'Moved ' || "calBookingUid" WHERE "calBookingUid" ~ '^before-\d*[3-6]$';
		UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "calBookingUid" ~ '^before-\d*[789]$';
		DELETE FROM dibs."CalBooking" WHERE "calBookingUid" ~ '^before-\d*[12]$'});
	my $goal = int($crowd / 5);
	if ($kind eq 'asynchronous')
	{
		# from here on the standby learns nothing more
		$primary->wait_for_catchup($standby);
		$standby->safe_psql($db, q{ALTER SYSTEM SET primary_conninfo = ''});
		$standby->reload;
		ok(wait_for_sql($standby, $db, q{SELECT count(*) FROM pg_stat_wal_receiver}, '0'), 'the asynchronous standby is cut off');
		$goal += ready($primary, 'new');
	}
	my $deadline = time + 30;
	sleep 0.02 until ready($primary, 'new') >= $goal || time > $deadline;
	my $made = ready($primary, 'new');
	my $creates = $standin->control('GET', '/_control/state')->{operations}{creates};
	$primary->stop('immediate');
	my $in_flight = grep { !defined $_->{ms} } $standin->requests(path => '^/v2/');
	my $died = time;
	$standby->promote;
	$standin->settings(latency => 0);
	diag(sprintf '%s: promoted %.0f ms after the last sign of life', $kind, 1000 * (time - $died));
	cmp_ok($made, '<', $crowd, "$kind: the primary died in the middle of its work ($made of $crowd made, $in_flight requests on the wire)");
	cmp_ok($in_flight, '>', 0, "$kind: with requests on the wire");
	my $known = $standby->safe_psql($db, q{SELECT count(*) FROM dibs."Meeting" WHERE "externalId" IS NOT NULL});
	diag("$kind: the primary had made $creates meetings, the standby knows of $known");
	verdict($kind, $standby, $standin);
	my $looks = grep { $_->{path} =~ m{^/v2/users/} } $standin->requests(method => 'GET');
	cmp_ok($looks, '>', 0, "$kind: $looks looks at the provider's list");
	my $ulid = book($standby, $db, userUlid => $DibsTest::coach);
	state_is($standby, $db, $ulid, 'ready', "$kind: a new booking");
	is(shown(calls($standin, $ulid)), 'POST 201', "$kind: is made without a look");
	ok(slurp_file($standby->logfile) !~ /\b(?:PANIC|TRAP)\b|terminated by signal/, "$kind: nothing crashed");
	$standby->stop('fast');
	$standin->stop;
}

# --- a copy of the files, recovered to a point in time, beside the server that goes on ---

my $standin = start_standin();
my $node = dibs_node('original', standin => $standin, allows_streaming => 1,
	conf => quick_conf() . "dibs.site = 'original'\ndibs.poll_interval = '1s'");
$node->enable_archiving;
$node->restart;
setup_zoom($node, $db);
insert_crowd($node, 'before', 5);
ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs."CalBooking" WHERE "meetingState" = 'ready'}, '5'), 'meetings from before');
$node->backup('base');
# due, and not worked off before the point in time; what the original makes of it afterwards the copy can't know
$node->safe_psql($db, q{ALTER SYSTEM SET dibs.worker = off});
$node->reload;
ok(wait_for_sql($node, $db, q{SELECT state FROM dibs.worker_status WHERE database = current_database()}, 'off'), 'the worker is off');
insert_crowd($node, 'due', 5);
$node->safe_psql($db, q{UPDATE dibs."CalBooking" SET "title" = 'Moved' WHERE "calBookingUid" = 'before-1';
	DELETE FROM dibs."CalBooking" WHERE "calBookingUid" = 'before-2'});
my $point = $node->safe_psql($db, 'SELECT pg_create_restore_point($$here$$)');
$node->safe_psql($db, q{ALTER SYSTEM RESET dibs.worker});
$node->reload;
ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"}, '0'), 'the original goes on');
my $segment = $node->safe_psql($db, 'SELECT pg_walfile_name(pg_current_wal_lsn())');
$node->safe_psql($db, 'SELECT pg_switch_wal()');
ok(wait_for_sql($node, $db, qq{SELECT last_archived_wal >= '$segment' FROM pg_stat_archiver}, 't'), 'its log is archived');

sub copy_of
{
	my ($name, $site) = @_;
	my $copy = PostgreSQL::Test::Cluster->new($name);
	$copy->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
	$copy->append_conf('postgresql.conf', "dibs.site = '$site'\nrecovery_target_name = 'here'\nrecovery_target_action = 'promote'\narchive_mode = off");
	$copy->start;
	ok(wait_for_sql($copy, $db, 'SELECT pg_is_in_recovery()', 'f'), "$name: recovered to the point in time");
	return $copy;
}
my $before = $standin->control('GET', '/_control/state')->{counters}{requests};
my $clone = copy_of('clone', 'elsewhere');
is($clone->safe_psql($db, q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"}), '6', 'there is work to do');
ok(wait_for_sql($clone, $db, q{SELECT state, detail ~ 'dibs.site' FROM dibs.worker_status WHERE database = current_database()}, 'holding|t'),
	'a copy with another dibs.site: the worker holds, and says why');
insert_crowd($clone, 'clone', 3);
$clone->safe_psql($db, q{DELETE FROM dibs."CalBooking" WHERE "calBookingUid" = 'before-3'; SELECT dibs.wake(), dibs.resync()});
$clone->psql($db, 'CALL dibs.drain()');
sleep 2.5;
is($standin->control('GET', '/_control/state')->{counters}{requests}, $before, 'not one request by it');
like($clone->safe_psql($db, 'SELECT dibs.health()'), qr/dibs\.adopt\(\)/, 'health() names the call');
$clone->stop('fast');
my $fresh = book($node, $db, userUlid => $DibsTest::coach);
state_is($node, $db, $fresh, 'ready', 'the original works all the while');

# The original is lost, and the same recovery takes its place: it goes on by itself, and looks before it makes.
$node->safe_psql($db, qq{DELETE FROM dibs."CalBooking" WHERE "ulid" = '$fresh'});
ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs."Meeting" WHERE "bookingUlid" IS NULL AND "state" <> 'gone'}, '0'), 'and is lost');
$node->stop('immediate');
my $recovered = copy_of('recovered', 'original');
verdict('recovered', $recovered, $standin);
is($recovered->safe_psql($db, q{SELECT count(*) FROM dibs."CalBooking" WHERE "meetingState" = 'ready'}), '9', 'all bookings have their meetings');
$recovered->stop('fast');

done_testing();
