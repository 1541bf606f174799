# Bookings by the thousand, made, changed and removed at a provider that fails in every way, while the server runs under
# AddressSanitizer or Valgrind: test/sanitize.sh builds it, sets the environment and reads the last lines.
#
# Two databases: one over HTTP/1.1, whose worker lives from the first job to the last, so that what it holds can be
# compared; one over TLS with HTTP/2, whose worker is ended now and then with requests on the wire. A third database
# comes and goes, for the launcher.
#
# Environment: DIBS_STORM_TOOL (asan, valgrind or none), DIBS_STORM_JOBS, DIBS_STORM_REPORTS (where the tool writes),
# DIBS_STORM_CONTROL: a bug was planted, and it is enough to wait for the first report.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t/lib";

use List::Util qw(max min sum0);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use DibsBookings;
use DibsTest;

my $tool = $ENV{DIBS_STORM_TOOL} // 'none';
my $jobs_wanted = $ENV{DIBS_STORM_JOBS} // 10_000;
my $reports = $ENV{DIBS_STORM_REPORTS} // die "DIBS_STORM_REPORTS is not set\n";
my $control = $ENV{DIBS_STORM_CONTROL};
my $slow = $tool eq 'valgrind' ? 4 : 1;
my $wave = min($slow > 1 ? 200 : 500, int($jobs_wanted / 4));
my $hosts = 20;
# the point from which on the long-lived worker must not grow: its caches and connections are all there
my $warm = min(1_000, $jobs_wanted / 4);

my $html = '<html><body><h1>Bad gateway</h1></body></html>';
my @faults = (
	{ kind => 'status', status => 500, body => $html, when => 'before', probability => 0.02 },
	{ kind => 'status', status => 500, body => $html, when => 'after', probability => 0.02 },
	{ kind => 'status', status => 502, body => $html, when => 'after', probability => 0.01 },
	{ kind => 'status', status => 429, body => $html, when => 'before', probability => 0.01 },
	{ kind => 'reset', when => 'before', probability => 0.01 },
	{ kind => 'reset', when => 'after', probability => 0.01 },
	{ kind => 'reset', when => 'after', connection => JSON::PP::true, probability => 0.01 },
	{ kind => 'truncate', probability => 0.01 },
	{ kind => 'garbage', bytes => 300, probability => 0.01 },
	{ kind => 'json', body => { id => 'x', join_url => [ 1, { a => undef } ] }, probability => 0.005 },
	{ kind => 'drip', status => 200, body => { id => 1234567 }, chunk => 1, ms => 400, probability => 0.004 },
	{ kind => 'huge', status => 200, probability => 0.003 },
	{ kind => 'redirect', status => 302, when => 'before', probability => 0.005 },
	{ kind => 'redirect', status => 307, when => 'after', probability => 0.005 },
	{ kind => 'timeout', when => 'before', probability => 0.002 },
	{ kind => 'timeout', when => 'after', probability => 0.002 },
	{ kind => 'expire_token', probability => 0.004 },
	{ kind => 'revoke_token', probability => 0.004 },
	{ kind => 'delay', ms => 300, when => 'after', probability => 0.05 });

my $dir = PostgreSQL::Test::Utils::tempdir();
system_log('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext',
	'subjectAltName=IP:127.0.0.1', '-keyout', "$dir/key", '-out', "$dir/cert") == 0
  or BAIL_OUT('openssl made no certificate');

# Under Valgrind a claim takes seconds, and what has less than the margin left by then is given back unsent.
my $timeout = 3 * $slow;
my $margin = $slow > 1 ? 20 : 1;
my $in_flight = $slow > 1 ? 8 : 64;
my %standin = (steady => start_standin(specs => 0), restless => start_standin(specs => 0, tls => [ "$dir/cert", "$dir/key" ]));
my $node = dibs_node('storm', standin => $standin{steady}, extension => 0,
	conf => "dibs.http2 = on\ndibs.ca_file = '$dir/cert'\ndibs.request_timeout = '${timeout}s'\ndibs.connect_timeout = '${timeout}s'\n"
	  . "dibs.lease_margin = '${margin}s'\ndibs.max_response_size = '64kB'\ndibs.max_in_flight = $in_flight\ndibs.poll_interval = '1s'\nautovacuum = off\nfsync = off\n"
	  . ($control ? "restart_after_crash = on\n" : ''));
my %leg = map { $_ => { name => $_, standin => $standin{$_}, jobs => 0, serial => 0 } } keys %standin;

# Sessions that stay: under a tool a new one costs seconds.
my %session;

sub sql
{
	my ($leg, $text) = @_;
	my $database = ref $leg ? $leg->{name} : $leg;
	$session{$database} //= session($node, $database);
	my $answer = $session{$database}->query($text, 600);
	die "$text: " . ($session{$database}{error} // 'no answer') . "\n" if !defined $answer || $session{$database}{error} =~ /ERROR/;
	return $answer;
}

sub wait_for
{
	my ($leg, $text, $expected, $patience) = @_;
	my $deadline = time + $patience;
	my $got;
	while (($got = sql($leg, $text)) ne $expected)
	{
		if (time > $deadline)
		{
			diag("waited in vain for: $text\nexpected: $expected\ngot: $got");
			return 0;
		}
		sleep 0.3 * $slow;
	}
	return 1;
}

foreach my $leg (values %leg)
{
	my $url = $leg->{standin}->url;
	sql('postgres', qq{CREATE DATABASE "$leg->{name}"});
	sql('postgres', qq{ALTER DATABASE "$leg->{name}" SET dibs.zoom_api_url = '$url/v2'; ALTER DATABASE "$leg->{name}" SET dibs.zoom_oauth_url = '$url/oauth'});
	sql($leg, 'CREATE EXTENSION dibs');
	setup_zoom($node, $leg->{name});
	$leg->{standin}->settings(users => [ map { { email => "h$_\@example.com" } } 1 .. $hosts ], listDelayMs => 500);
	sql($leg, sprintf q{INSERT INTO dibs."CoachZoomConfig" ("userUlid", "zoomUserId") SELECT '01J9ZK4M8Q' || lpad(n::text, 16, '0'), 'h' || n || '@example.com'
		FROM generate_series(1, %d) n}, $hosts);
	$leg->{standin}->control('POST', '/_control/faults', [ map { { match => { path => '^/v2/' }, seed => 7 + $_, %{ $faults[$_] } } } 0 .. $#faults ])
	  unless $control;
}

# --- the jobs: bookings made, changed, cancelled, deleted; only what has nothing left to do is touched again, so that
# --- each is work of its own

sub throw
{
	my ($leg, $count) = @_;
	my $first = $leg->{serial};
	my $live = sql($leg, q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" = "done" AND "status" = 'CONFIRMED'});
	my $change = min(int($count * 0.3), int($live / 2));
	my $remove = min(int($count * 0.15), int($live / 5));
	my $make = $count - $change - 2 * $remove;
	my $pick = q{(SELECT "ulid" FROM dibs."CalBooking" WHERE "wanted" = "done" AND "status" = 'CONFIRMED' ORDER BY random() LIMIT %d FOR UPDATE SKIP LOCKED)};
	$leg->{serial} += $make;
	my $done = 0;
	$done += $_ foreach split /\n/, sql($leg, sprintf(
		q{WITH x AS (UPDATE dibs."CalBooking" SET "title" = "title" || '.', "startTime" = "startTime" + '1 h', "endTime" = "endTime" + '1 h' WHERE "ulid" IN %s RETURNING 1) SELECT count(*) FROM x;
		  WITH x AS (UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "ulid" IN %s RETURNING 1) SELECT count(*) FROM x;
		  WITH x AS (DELETE FROM dibs."CalBooking" WHERE "ulid" IN %s RETURNING 1) SELECT count(*) FROM x;
		  WITH x AS (INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
			SELECT '01J9ZK4M8Q' || lpad((1 + n %% %d)::text, 16, '0'), 'storm-' || n, 'Session ' || n, 'guest@example.com',
			 date_trunc('minute', now()) + '2 days', date_trunc('minute', now()) + '2 days' + '30 min' FROM generate_series(%d, %d) n RETURNING 1)
			SELECT count(*) FROM x},
		sprintf($pick, $change), (sprintf($pick, $remove)) x 2, $hosts, $first + 1, $first + $make));
	$leg->{jobs} += $done;
	return;
}

my $left_sql = q{SELECT (SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done")
	+ (SELECT count(*) FROM dibs."Meeting" WHERE "bookingUlid" IS NULL AND "state" <> 'gone')};

# Of a wave of so many jobs at most so many are left to do, those in a back-off for instance.
sub settled
{
	my ($leg, $left, $patience) = @_;
	return wait_for($leg, "SELECT ($left_sql) <= $left", 't', $patience);
}

sub worker_pid
{
	my ($leg) = @_;
	wait_for($leg, q{SELECT count(*) FROM dibs.worker_status WHERE database = current_database() AND pid IS NOT NULL AND state IN ('idle', 'working')}, '1', 120 * $slow)
	  or BAIL_OUT('no worker');
	return sql($leg, 'SELECT pid FROM dibs.worker_status WHERE database = current_database()');
}

sub launcher_pid { return sql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dibs launcher'}); }

# What a process holds: descriptors, private memory.
sub holding
{
	my ($pid) = @_;
	my %has = (pid => $pid);
	opendir(my $fds, "/proc/$pid/fd") or die "/proc/$pid/fd: $!\n";
	my @open = map { readlink("/proc/$pid/fd/$_") // '' } grep { /^\d+$/ } readdir $fds;
	$has{sockets} = grep { /^socket:/ } @open;
	$has{files} = @open - $has{sockets};
	($has{kB}) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s*(\d+)/m;
	# what PostgreSQL's contexts hold, which is what a leak without a sign of malloc would be in
	my $log_end = -s $node->logfile;
	if (sql('steady', "SELECT pg_log_backend_memory_contexts($pid)") eq 't' && wait_for_log($node, qr/Grand total: /, $log_end, 30))
	{
		($has{contexts}) = substr(slurp_file($node->logfile), $log_end) =~ /Grand total: .* (\d+) used/;
	}
	return \%has;
}

# --- what the tool found

# Memory errors count wherever they are, leaks where dibs asked for the memory: what the server's own start leaves behind
# is not ours.
sub is_ours { return $_[0] =~ m{dibs\.so|\bsrc/\w+/\w+\.c:}; }

sub findings
{
	my @found;
	# UBSan beside AddressSanitizer writes to standard error
	foreach my $file (glob("$reports/*"), $node->logfile)
	{
		my $text = slurp_file($file);
		push @found, $text =~ /^(.*runtime error: .*(?:\n    #.*)*)/mg;
		push @found, $1 while $text =~ /(==\d+==ERROR: AddressSanitizer(?:.*\n)*?)(?==+\n|\z)/g;
		push @found, grep { is_ours($_) } $text =~ /^((?:Direct|Indirect) leak of .*(?:\n    #.*)*)/mg;
		$text =~ s/^(?:==|\*\*)\d+(?:==|\*\*) ?//mg;
		push @found, grep { !/lost in loss record/ || is_ours($_) } $text =~ /^(?:VALGRIND-BEGIN)\n((?:.*\n)*?)VALGRIND-END/mg;
	}
	return @found;
}

sub processes { return $tool eq 'none' ? 0 : scalar grep { -e } glob "$reports/*"; }

if ($control)
{
	foreach my $leg (values %leg)
	{
		throw($leg, $jobs_wanted);
	}
	my $deadline = time + 30 * $slow;
	# what is only found at the end is found once all is done; the server may die of it earlier
	sleep 0.5 until findings() || time > $deadline || (eval { sql('steady', $left_sql) } // '') eq '0';
	sleep 2;
	%session = ();
	# not by its own method, which gives up the whole test where the server is busy coming back
	system_log('pg_ctl', '-D', $node->data_dir, '-m', 'fast', '-w', '-t', 120, 'stop');
	$node->_update_pid(0);
	my @found = findings();
	note $found[0] if @found;
	ok(scalar @found, 'the bug is reported');
	done_testing();
	exit(@found ? 0 : 1);
}

my $started = time;
my ($before, $launcher_before, $rounds) = (undef, undef, 0);
my %first = map { $_ => worker_pid($leg{$_}) } keys %leg;
while (sum0(map { $_->{jobs} } values %leg) < $jobs_wanted)
{
	throw($_, $_->{name} eq 'steady' ? $wave : $wave / 2) foreach values %leg;
	if (++$rounds % 3 == 0)
	{
		sleep 0.3 * $slow;
		sql($leg{restless}, 'SELECT pg_terminate_backend(pid) FROM dibs.worker_status WHERE database = current_database()');
		# the launcher's: a database with the extension comes and goes
		sql('postgres', 'CREATE DATABASE third');
		sql('third', 'CREATE EXTENSION dibs');
		wait_for('third', q{SELECT count(*) FROM dibs.worker_status WHERE database = current_database() AND state IN ('idle', 'working')}, '1', 60 * $slow);
		sql('third', 'DROP EXTENSION dibs CASCADE') if $rounds % 2;
		(delete $session{third})->quit;
		sql('postgres', 'DROP DATABASE third');
		$node->reload;
	}
	settled($_, $wave / 10, 120 * $slow) or last foreach values %leg;
	diag(sprintf '%.0f s, %d kB: %s', time - $started, slurp_file("/proc/$first{steady}/status") =~ /^RssAnon:\s*(\d+)/m, join ', ', map { "$_->{jobs} jobs in $_->{name}" } values %leg);
	if (!$before && $leg{steady}{jobs} >= $warm)
	{
		settled($leg{steady}, 0, 300 * $slow);
		$before = { jobs => $leg{steady}{jobs}, %{ holding($first{steady}) } };
		$launcher_before = holding(launcher_pid());
	}
}
ok(settled($_, 0, 300 * $slow), "$_->{name}: nothing is left to do") foreach values %leg;
my $after = { jobs => $leg{steady}{jobs}, %{ holding(worker_pid($leg{steady})) } };
my $launcher_after = holding(launcher_pid());
is($after->{pid}, $before->{pid}, 'one worker did it all');
# connections are kept to be used again, at most as many as requests may be on the wire; some others are the server's own
cmp_ok($after->{sockets}, '<=', $in_flight + 8, 'it holds no more sockets than it may');
# the server's own, of tables: one that is touched late may come
cmp_ok($after->{files}, '<=', $before->{files} + 8, 'nor other files');
is($launcher_after->{sockets} + $launcher_after->{files}, $launcher_before->{sockets} + $launcher_before->{files}, 'nor does the launcher');
# a tool's own memory grows with what it keeps in mind
cmp_ok($after->{kB}, '<', $before->{kB} + 4096, 'and no more memory') if $tool eq 'none';
cmp_ok($after->{contexts}, '<', $before->{contexts} + 256 * 1024, 'nor do its contexts');

my ($requests, $hits, %kinds) = (0, 0);
foreach my $leg (values %leg)
{
	my $state = $leg->{standin}->control('GET', '/_control/state');
	$requests += $state->{counters}{requests};
	foreach my $rule (@{ $leg->{standin}->control('GET', '/_control/faults')->{rules} })
	{
		$hits += $rule->{hits};
		$kinds{ $rule->{kind} } += $rule->{hits};
	}
	is(join(' ', map { $_->{marker} } @{ $state->{duplicates} }), '', "$leg->{name}: no booking ever had two meetings");
	my $live = grep { !$_->{deleted} } @{ $state->{meetings} };
	is($live, sql($leg, q{SELECT count(*) FROM dibs."CalBooking" WHERE "status" = 'CONFIRMED'}), "$leg->{name}: each has its own");
}
is(join(' ', grep { !$kinds{$_} } sort keys %kinds), '', 'each kind of fault was hit') if $jobs_wanted >= 5_000;
%session = ();
my $signals = $tool eq 'none' ? 0 : scalar(() = slurp_file($node->logfile) =~ /terminated by signal|PANIC|TRAP/g);
$node->stop('fast');
is($signals, 0, 'nothing crashed');
my @found = findings();
is(scalar @found, 0, "$tool has nothing to say");
diag($found[$_]) foreach 0 .. min($#found, 19);
my $jobs = sum0(map { $_->{jobs} } values %leg);
cmp_ok($jobs, '>=', $jobs_wanted, 'all jobs were done');
note sprintf "%s: %d jobs, %d requests, %d faults (%s), %d reports' files, %d findings, %.0f s", $tool, $jobs, $requests, $hits,
  join(', ', map { "$_ $kinds{$_}" } sort keys %kinds), processes(), scalar @found, time - $started;
note sprintf "the worker after %d and after %d of its jobs: %s", $before->{jobs}, $after->{jobs},
  join ', ', map { "$_ $before->{$_} and $after->{$_}" } grep { defined $before->{$_} && defined $after->{$_} } qw(kB contexts sockets files);
note sprintf "the launcher: %s", join ', ', map { "$_ $launcher_before->{$_} and $launcher_after->{$_}" } grep { defined $launcher_before->{$_} && defined $launcher_after->{$_} }
  qw(kB contexts sockets files);
done_testing();
