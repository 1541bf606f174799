# Exactly one meeting for a booking, whatever becomes of the requests: answers that never come, processes that die, rows
# that change, are locked or go meanwhile, two that work at once.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use DibsBookings;
use DibsTest;

my $standin = start_standin();
my $node = dibs_node('exactly_once', standin => $standin, conf => quick_conf() . "restart_after_crash = on\n");
my $db = 'postgres';
setup_zoom($node, $db);
hosts($standin, 'a' .. 'z', map { "k$_" } 1 .. 9);

sub fault
{
	my ($host, $method, %fault) = @_;
	my $path = $method eq 'POST' ? "/users/$host(%40|\@)" : $host;
	$standin->control('POST', '/_control/faults', { match => { method => $method, path => $path }, %fault });
}

# the host's create has arrived and is not answered
sub wait_on_wire
{
	my (@hosts) = @_;
	foreach my $host (@hosts)
	{
		my $deadline = time + 10;
		until (grep { $_->{method} eq 'POST' && !defined $_->{ms} } $standin->requests(path => "^/v2/users/$host(%40|\@)"))
		{
			return 0 if time > $deadline;
			sleep 0.01;
		}
	}
	return 1;
}

sub worker
{
	my ($state) = @_;
	$node->safe_psql($db, $state ? 'ALTER SYSTEM RESET dibs.worker' : 'ALTER SYSTEM SET dibs.worker = off');
	$node->reload;
	return $state || wait_for_sql($node, $db, q{SELECT "state" FROM dibs.worker_status WHERE database = current_database()}, 'off');
}

# the meeting that the stand-in has for a booking: "id start", "" for none
sub live_meetings
{
	my ($ulid) = @_;
	return join ' ', map { $_->{id} }
	  grep { !$_->{deleted} && ($_->{marker} // '') =~ /\b$ulid\b/ } @{ $standin->control('GET', '/_control/state')->{meetings} };
}

# --- unknown outcomes: looked up, not made again. All at once, each with a host of its own.

my %timeout_after = (kind => 'timeout', when => 'after');
my %unknown = (
	a => [ 'no answer, and it was made', %timeout_after ],
	b => [ 'the connection broke, and it was made', kind => 'reset', when => 'after' ],
	c => [ 'half an answer', kind => 'truncate' ],
	d => [ 'noise for an answer', kind => 'garbage' ],
	e => [ 'no answer, and it was not made', kind => 'timeout', when => 'before' ],
	f => [ 'a 500 of the API\'s server', kind => 'status', when => 'before', status => 500, body => { code => -1, message => 'oops' } ],
	g => [ 'a proxy\'s 502, and it was made', kind => 'status', when => 'after', status => 502, body => '<html>Bad gateway</html>' ],
	h => [ 'a 429', kind => 'status', when => 'before', status => 429,
		body => { code => 429, message => 'You have reached the maximum per-second rate limit for this API. Try again later.' } ]);
my %made = map { $_ => 1 } qw(a b c d g);
my %booked;

foreach my $host (sort keys %unknown)
{
	my ($why, %fault) = @{ $unknown{$host} };
	fault($host, 'POST', %fault);
	$booked{$host} = book($node, $db, email => "$host\@example.com");
}
# unknown, and then not wanted any more: what was made has to go all the same
fault('i', 'POST', %timeout_after);
fault('j', 'POST', %timeout_after);
$booked{i} = book($node, $db, email => 'i@example.com');
$booked{j} = book($node, $db, email => 'j@example.com');
ok(wait_on_wire('i', 'j'), 'two creates that will not be answered');
$node->safe_psql($db, qq{UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "ulid" = '$booked{i}';
	DELETE FROM dibs."CalBooking" WHERE "ulid" = '$booked{j}'});

foreach my $host (sort keys %unknown)
{
	my $ulid = $booked{$host};
	my $why = $unknown{$host}[0];
	state_is($node, $db, $ulid, 'ready', "$why: the booking gets its meeting", 40);
	my @calls = calls($standin, $ulid, $host);
	my @posts = grep { $_->{method} eq 'POST' } @calls;
	my @looks = grep { $_->{method} eq 'GET' && $_->{path} =~ m{^/v2/users/} } @calls;
	is(scalar @posts, $made{$host} ? 1 : 2, "$why: " . ($made{$host} ? 'not made again' : 'made by the second request')) or diag(shown(@calls));
	is(live_meetings($ulid), booking($node, $db, $ulid, '"zoomMeetingId"'), "$why: there is one, and the booking has it");
	like(booking($node, $db, $ulid, '"zoomJoinUrl"'), qr{^https://}, "$why: with its link");
	isnt(booking($node, $db, $ulid, '"zoomPasscode"'), '', "$why: with its passcode");
	next if $host eq 'h';
	cmp_ok(scalar @looks, '>=', $made{$host} ? 1 : 2, "$why: it was looked for first");
}
is(scalar(grep { $_->{method} eq 'GET' } calls($standin, $booked{h}, 'h')), 0, 'a 429: nothing to look for');
ok(wait_for_sql($node, $db, qq{SELECT "meetingState", "wanted" = "done" FROM dibs."CalBooking" WHERE "ulid" = '$booked{i}'}, 'not_needed|t', 30),
	'cancelled while its create was unknown');
ok(wait_for_sql($node, $db, qq{SELECT "state" FROM dibs."Meeting" WHERE "marker" LIKE '%$booked{j}%'}, 'gone', 30),
	'deleted while its create was unknown');
is(live_meetings($booked{i}) . live_meetings($booked{j}), '', 'what was made for them was found and removed');

# --- a token that is refused: one new one, one more try

my $tokens = scalar $standin->requests(path => '^/oauth/token$');
fault('k', 'POST', kind => 'expire_token');
my $ulid = book($node, $db, email => 'k@example.com');
state_is($node, $db, $ulid, 'ready', '401/124: the booking gets its meeting');
is(join(', ', map { "$_->{method} $_->{status} " . ($_->{code} // '') } calls($standin, $ulid, 'k')), 'POST 401 124, POST 201 ',
	'401/124: the same request again');
is(scalar($standin->requests(path => '^/oauth/token$')) - $tokens, 1, '401/124: with one new token');

# --- the booking changes, is cancelled or deleted while its create is on the wire

$node->append_conf('postgresql.conf', "dibs.request_timeout = '20s'\ndibs.lease_margin = '10s'");
$node->reload;
fault($_, 'POST', kind => 'delay', when => 'after', ms => 1500) foreach qw(l m n);
fault('o', 'POST', kind => 'delay', when => 'after', ms => 3000);
my %change = (
	l => [ 'changed', q{UPDATE dibs."CalBooking" SET "startTime" = "startTime" + '2 h', "endTime" = "endTime" + '2 h' WHERE "ulid" =}, 'PATCH 204' ],
	m => [ 'cancelled', q{UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "ulid" =}, 'DELETE 204' ],
	n => [ 'deleted', q{DELETE FROM dibs."CalBooking" WHERE "ulid" =}, 'DELETE 204' ]);
# one after the other: nothing else is to make the worker look
foreach my $host (sort keys %change)
{
	my ($what, $sql, $follows) = @{ $change{$host} };
	$booked{$host} = book($node, $db, email => "$host\@example.com");
	ok(wait_on_wire($host), "$what: its create is on the wire");
	$node->safe_psql($db, "$sql '$booked{$host}'");
	my $changed = time;
	ok(wait_calls($standin, $booked{$host}, $host, "POST 201, $follows", 20), "$what while its create was on the wire: $follows");
	diag(sprintf '%s during a create of 1500 ms: sent %.0f ms after the commit', $what, 1000 * (time - $changed));
	cmp_ok(time - $changed, '<', 15, "$what: long before a lease (40 s) or a poll (60 s) would have shown it");
}
state_is($node, $db, $booked{l}, 'ready', 'changed: ready');
state_is($node, $db, $booked{m}, 'not_needed', 'cancelled: not needed');

# an application holds a row: others go on
my $locker = session($node, $db);
$booked{o} = book($node, $db, email => 'o@example.com');
ok(wait_on_wire('o'), 'a create is on the wire');
$locker->query(qq{BEGIN; SELECT FROM dibs."CalBooking" WHERE "ulid" = '$booked{o}' FOR UPDATE});
ok(wait_for_sql($node, $db, qq{SELECT "state" FROM dibs."Meeting" WHERE "bookingUlid" = '$booked{o}'}, 'ready', 15), 'its meeting is on record');
is(booking($node, $db, $booked{o}, '"meetingState"'), 'pending', 'a locked row has no link yet');
my $other = book($node, $db, email => 'p@example.com');
my $started = time;
state_is($node, $db, $other, 'ready', 'others are served meanwhile', 15);
diag(sprintf 'another booking took %.0f ms beside a locked row', 1000 * (time - $started));
$locker->query('ROLLBACK');
$started = time;
state_is($node, $db, $booked{o}, 'ready', 'the row was only locked: its link comes once it is free', 10);
diag(sprintf 'its link came %.0f ms after the lock was gone', 1000 * (time - $started));
is(shown(calls($standin, $booked{o}, 'o')), 'POST 201', 'without another request');

# locked already when it is to be claimed
worker(0);
$booked{q} = book($node, $db, email => 'q@example.com');
$locker->query(qq{BEGIN; SELECT FROM dibs."CalBooking" WHERE "ulid" = '$booked{q}' FOR UPDATE});
$booked{r} = book($node, $db, email => 'r@example.com');
worker(1);
state_is($node, $db, $booked{r}, 'ready', 'a booking beside one that is locked is claimed', 10);
is(shown(calls($standin, $booked{q}, 'q')), '', 'the locked one is not');
$locker->query('ROLLBACK');
$started = time;
state_is($node, $db, $booked{q}, 'ready', 'and is once it is free', 10);
diag(sprintf 'a row that was locked at the claim was ready %.0f ms after the lock was gone', 1000 * (time - $started));

# --- whole rows written back, as Prisma does

$ulid = $booked{l};
my $before = $standin->control('GET', '/_control/state')->{counters}{requests};
my @kept = split /\|/, booking($node, $db, $ulid, '"wanted", "done", "dueAt", "instance", "announced"');
$node->safe_psql($db, qq{UPDATE dibs."CalBooking" SET "wanted" = 77, "done" = 0, "dueAt" = '-infinity', "instance" = 'elsewhere', "announced" = 0
	WHERE "ulid" = '$ulid'});
is_deeply([ split /\|/, booking($node, $db, $ulid, '"wanted", "done", "dueAt", "instance", "announced"') ], \@kept,
	'what a client says of versions, due time and instance changes nothing');
# one that was read before the meeting was there: it brings empty links
$node->safe_psql($db, qq{UPDATE dibs."CalBooking" SET "wanted" = 1, "done" = 0, "dueAt" = '-infinity', "zoomJoinUrl" = NULL, "zoomHostUrl" = NULL,
	"zoomMeetingId" = NULL, "zoomPasscode" = NULL, "meetingState" = 'pending', "customValidationToken" = 'mine' WHERE "ulid" = '$ulid'});
state_is($node, $db, $ulid, 'ready', 'a whole row from before its meeting, written back');
is(booking($node, $db, $ulid, '"zoomMeetingId", "customValidationToken"'), live_meetings($ulid) . '|mine', 'the links come back, the client\'s own column stays');
is(booking($node, $db, $ulid, 'num_nulls("zoomJoinUrl", "zoomHostUrl", "zoomPasscode")'), 0, 'all of them');
my @since = grep { $_->{path} !~ m{^/_control} } $standin->requests(since => $before);
is(shown(@since), '', 'and nothing was asked for it');

# --- processes that die: what was on the wire is looked up

$node->append_conf('postgresql.conf', quick_conf());
$node->reload;
my %dead = (
	k1 => 'kill -9 of the worker',
	k2 => 'an immediate stop');
foreach my $host (sort keys %dead)
{
	my $never = $host =~ s/k/k1/r;
	hosts($standin, $never);
	fault($host, 'POST', kind => 'delay', when => 'after', ms => 3500);
	fault($never, 'POST', kind => 'timeout', when => 'before');
	my $pid = $node->safe_psql($db, q{SELECT pid FROM dibs.worker_status WHERE database = current_database()});
	$booked{$_} = book($node, $db, email => "$_\@example.com") foreach $never, $host;
	ok(wait_on_wire($host, $never), "$dead{$host}: two creates are on the wire");
	if ($host eq 'k1')
	{
		ok(kill_process($node, $pid) && wait_for_sql($node, $db, q{SELECT count(*) FROM dibs.worker_status WHERE pid IS NOT NULL AND database = current_database()}, '1', 30),
			"$dead{$host}: server and worker come back");
	}
	else
	{
		$node->stop('immediate');
		$node->start;
	}
}
foreach my $host (sort keys %dead)
{
	my $never = $host =~ s/k/k1/r;
	state_is($node, $db, $booked{$host}, 'ready', "$dead{$host}: what was made is found", 40);
	state_is($node, $db, $booked{$never}, 'ready', "$dead{$host}: what was not is made", 40);
	is(scalar(grep { $_->{method} eq 'POST' } calls($standin, $booked{$host}, $host)), 1, "$dead{$host}: not made again");
	is(live_meetings($booked{$host}), booking($node, $db, $booked{$host}, '"zoomMeetingId"'), "$dead{$host}: the booking has it");
	is(live_meetings($booked{$never}), booking($node, $db, $booked{$never}, '"zoomMeetingId"'), "$dead{$host}: and the other one its own");
}

# --- worker and drain(), and two drain(): no job twice

$node->append_conf('postgresql.conf', "dibs.request_timeout = '20s'\ndibs.lease_margin = '10s'");
$node->reload;
my $crowd = short_mode() ? 20 : 60;
$node->safe_psql($db, q{
	CREATE TABLE written (uid text);
	CREATE FUNCTION note_written() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS
		$$BEGIN INSERT INTO written VALUES (NEW."calBookingUid"); PERFORM pg_sleep(0.005); RETURN NULL; END$$;
	CREATE TRIGGER note_written AFTER UPDATE ON dibs."CalBooking" FOR EACH ROW EXECUTE FUNCTION note_written()});
# a window that is much smaller than the crowd, so that they claim while others settle
$node->append_conf('postgresql.conf', "dibs.max_in_flight = 4");
$node->reload;
foreach my $round ('two drain()', 'worker and two drain()')
{
	worker($round =~ /^worker/);
	$standin->settings(latency => 60);
	my @drains = map { session($node, $db) } 1 .. 2;
	$drains[1]->query(q{SET default_transaction_isolation = 'serializable'});
	my $mark = $round =~ s/\W+/-/gr;
	$node->safe_psql($db, qq{INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
		SELECT '$DibsTest::coach', '$mark-' || n, 'Crowd', 'guest\@example.com', now() + '30 h', now() + '31 h' FROM generate_series(1, $crowd) n});
	$_->start('CALL dibs.drain(1000)') foreach @drains;
	$_->result(30) foreach @drains;
	is($drains[0]{error} . $drains[1]{error}, '', "$round: no error");
	ok(wait_for_sql($node, $db, qq{SELECT count(*) FROM dibs."CalBooking" WHERE "calBookingUid" LIKE '$mark-%' AND "meetingState" = 'ready'}, $crowd, 30),
		"$round: all have their meetings");
	$standin->settings(latency => 0);
	my %posts;
	$posts{ $_->{marker} }++ foreach grep { ($_->{marker} // '') =~ /:\Q$mark\E-/ } $standin->requests(method => 'POST');
	is(scalar(keys %posts), $crowd, "$round: a create for each");
	is(scalar(grep { $_ > 1 } values %posts), 0, "$round: none twice");
	is($node->safe_psql($db, qq{SELECT count(*), count(DISTINCT uid) FROM written WHERE uid LIKE '$mark-%'}), "$crowd|$crowd",
		"$round: each is settled by one of them, once");
	$_->quit foreach @drains;
}
$node->append_conf('postgresql.conf', "dibs.max_in_flight = 64");
$node->reload;
$node->safe_psql($db, 'DROP TRIGGER note_written ON dibs."CalBooking"');

# --- work that had failed on a booking that is deleted: gone with the next resync

fault('w', 'POST', kind => 'status', when => 'before', status => 400, body => { code => 300, message => 'Validation Failed.' });
$ulid = book($node, $db, email => 'w@example.com');
ok(wait_for_sql($node, $db, qq{SELECT "meetingState", "meetingErrorCode" FROM dibs."CalBooking" WHERE "ulid" = '$ulid'}, 'failed|bad_request'),
	'a refusal is final, and says why');
is(booking($node, $db, $ulid, '"wanted" = "done"'), 't', 'and leaves nothing to do');
$node->safe_psql($db, qq{DELETE FROM dibs."CalBooking" WHERE "ulid" = '$ulid'; SELECT dibs.resync()});
ok(wait_for_sql($node, $db, qq{SELECT count(*) FROM dibs."PendingMeeting" WHERE "ulid" = '$ulid'}, 0), 'deleted: its work goes, too');
is(shown(calls($standin, $ulid, 'w')), 'POST 400', 'nothing is asked for it any more');

# --- the count

$locker->quit;
my $state = $standin->control('GET', '/_control/state');
is(scalar @{ $state->{duplicates} }, 0, 'the stand-in never had two meetings of one booking') or diag(explain $state->{duplicates});
is($node->safe_psql($db, q{SELECT count(*) FROM dibs."PendingMeeting"}), 0, 'no work is left over');
is($node->safe_psql($db, q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"}), 0, 'nothing is due');
is($state->{counters}{violations}, 0, 'every request conforms to the OpenAPI documents') if specs_dir();
ok(slurp_file($node->logfile) !~ /\b(?:PANIC|TRAP)\b|terminated by signal (?!9:)/, 'nothing crashed that was not killed');

$node->stop('fast');
done_testing();
