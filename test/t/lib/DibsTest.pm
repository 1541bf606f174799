# Helpers over PostgreSQL::Test::Cluster for tests of dibs: a server with the library, the stand-in for the providers,
# signed webhooks, waiting.
package DibsTest;

use strict;
use warnings;

use Exporter 'import';
use Digest::SHA qw(hmac_sha256_hex);
use File::Basename qw(dirname);
use File::Spec;
use File::Temp ();
use HTTP::Tiny;
use IO::Handle;
use IPC::Open3 ();
use JSON::PP ();
use POSIX ();
use Symbol ();
use IPC::Run ();
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(dibs_node start_standin sign_cal cal_body cal_headers deliver_cal sql_quote wait_for_sql wait_for_server wait_for_log
  kill_process set_conf session setup_zoom setup_coach short_mode specs_dir project_dir);

our $cal_secret = 'cal-secret-of-tests-7f3a';
our $coach = '01J9ZK4M8Q0000000000000001';

# The account that the stand-in has from the start.
our %zoom = (
	account_id => 'standin-account',
	client_id => 'standin-s2s-client',
	client_secret => 'standin-s2s-secret',
	host => 'coach@example.com');

my $json = JSON::PP->new->canonical->utf8;

sub project_dir
{
	return File::Spec->rel2abs(File::Spec->catdir(dirname(__FILE__), '..', '..', '..'));
}

# True in the short form that runs on every version of PostgreSQL; the long form runs on one.
sub short_mode
{
	return ($ENV{DIBS_TAP} // '') eq 'short';
}

# The folder with the providers' own OpenAPI documents, or undef where there is none.
sub specs_dir
{
	my $dir = $ENV{DIBS_SPECS} // File::Spec->catdir(project_dir(), '..', 'shared', 'specs');
	return -d $dir ? $dir : undef;
}

# dibs_node($name, %options): a started server with the library preloaded and a master key.
#   standin => a stand-in whose URLs become those of Zoom; preload => 0; conf => more lines; key => 0; start => 0;
#   extension => 0 leaves CREATE EXTENSION in the database "postgres" to the caller
sub dibs_node
{
	my ($name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my @preload = ($option{preload} // 1) ? ("shared_preload_libraries = 'dibs'") : ();
	my @standin;

	$node->init(extra => [ '--encoding=UTF8', '--locale=C' ], allows_streaming => $option{allows_streaming} // 0);
	if ($option{standin})
	{
		@standin = (
			"dibs.zoom_api_url = '" . $option{standin}->url . "/v2'",
			"dibs.zoom_oauth_url = '" . $option{standin}->url . "/oauth'",
			# a test of limits says so
			"dibs.zoom_plan = 'off'",
			'dibs.zoom_host_daily_limit = 0',
			'dibs.zoom_meetings_at_once = 0');
	}
	if ($option{key} // 1)
	{
		my $key = $node->basedir . '/dibs.key';
		system_or_bail(project_dir() . '/scripts/make-key', $key);
		push @standin, "dibs.master_key_file = '$key'";
	}
	$node->append_conf('postgresql.conf', join("\n", @preload, 'dibs.allow_insecure_loopback = on',
		'max_worker_processes = 16', @standin, $option{conf} // '', ''));
	if ($option{start} // 1)
	{
		$node->start;
		$node->safe_psql('postgres', 'CREATE EXTENSION dibs') if $option{extension} // 1;
	}
	return $node;
}

# start_standin(%options): the providers' stand-in on a port of its own.
#   tls => [ certificate, key ]; args => [ more arguments ]; specs => 0 holds no request against the OpenAPI documents
# The object has url, port, control(METHOD, path, data), requests (what it logged), settings, stop.
sub start_standin
{
	my (%option) = @_;
	my $dir = File::Temp->newdir('standinXXXX', TMPDIR => 1);
	my $port_file = "$dir/port";
	my @command = ('node', project_dir() . '/test/provider/server.mjs', '--port', '0', '--port-file', $port_file,
		'--stdin-guard', '--quiet');
	# steered without TLS: Perl's is a module that is often not there
	my $control_file = $option{tls} ? "$dir/control" : $port_file;
	push @command, '--tls', '--cert', $option{tls}[0], '--key', $option{tls}[1], '--control-port-file', $control_file
	  if $option{tls};
	push @command, '--spec-dir', specs_dir() if ($option{specs} // 1) && specs_dir();
	push @command, @{ $option{args} // [] };

	# It ends when our end of its standard input closes: with this test, however that ends.
	pipe(my $read, my $guard) or die "pipe: $!";
	my $log = "$PostgreSQL::Test::Utils::log_path/standin_$$.log";
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDIN, '<&', $read) or POSIX::_exit(127);
		open(STDOUT, '>>', $log) or POSIX::_exit(127);
		open(STDERR, '>&', \*STDOUT) or POSIX::_exit(127);
		close $guard;
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	close $read;
	my $self = bless {
		dir => $dir,
		guard => $guard,
		pid => $pid,
		owner => $$,
		log_file => $log,
		scheme => $option{tls} ? 'https' : 'http' }, 'DibsTest::Standin';
	my $deadline = time + 30;
	while (!-s $port_file || !-s $control_file)
	{
		if (time > $deadline || waitpid($pid, POSIX::WNOHANG()) == $pid)
		{
			$self->{pid} = undef;
			BAIL_OUT("the stand-in did not start:\n" . slurp_file($log));
		}
		sleep 0.02;
	}
	($self->{port}) = slurp_file($port_file) =~ /(\d+)/;
	($self->{control_port}) = slurp_file($control_file) =~ /(\d+)/;
	return $self;
}

# --- webhooks as Cal.com sends them ---

sub sign_cal
{
	my ($body, $secret) = @_;
	return hmac_sha256_hex($body, $secret // $cal_secret);
}

# cal_body($trigger, %fields of the payload): the raw bytes of a delivery. Times default to tomorrow, ten o'clock UTC.
sub cal_body
{
	my ($trigger, %field) = @_;
	my $created = delete $field{createdAt} // POSIX::strftime('%Y-%m-%dT%H:%M:%S.000Z', gmtime);
	my $day = POSIX::strftime('%Y-%m-%d', gmtime(time + 86400));
	my %status = (
		BOOKING_CREATED => 'ACCEPTED',
		BOOKING_RESCHEDULED => 'ACCEPTED',
		BOOKING_PAID => 'ACCEPTED',
		BOOKING_PAYMENT_INITIATED => 'ACCEPTED',
		BOOKING_REQUESTED => 'PENDING',
		BOOKING_REJECTED => 'REJECTED',
		BOOKING_CANCELLED => 'CANCELLED');
	return $json->encode({
		triggerEvent => $trigger,
		createdAt => $created,
		payload => {
			uid => 'test-uid-1',
			bookingId => 4711,
			title => 'Intro call between Coach and Guest',
			eventTitle => 'Intro call',
			type => 'intro-call',
			eventTypeId => 77,
			startTime => "${day}T10:00:00Z",
			endTime => "${day}T10:30:00Z",
			length => 30,
			location => 'integrations:dibs',
			organizer => {
				id => 5,
				name => 'Coach',
				email => 'coach@example.com',
				username => 'coach',
				timeZone => 'Europe/Berlin',
				language => { locale => 'en' } },
			attendees => [
				{
					name => 'Guest',
					email => 'guest@example.com',
					timeZone => 'America/New_York',
					language => { locale => 'en' } } ],
			responses => {
				name => { label => 'your_name', value => 'Guest' },
				email => { label => 'email_address', value => 'guest@example.com' } },
			status => $status{$trigger},
			%field } });
}

# The headers object that receive_webhook takes.
sub cal_headers
{
	my ($body, $secret) = @_;
	return $json->encode({
		'content-type' => 'application/json',
		'x-cal-signature-256' => sign_cal($body, $secret),
		'x-cal-webhook-version' => '2021-10-20' });
}

# deliver_cal($node, $database, $body): hands a signed body in and returns what receive_webhook said, decoded.
sub deliver_cal
{
	my ($node, $database, $body, $headers) = @_;
	$headers //= cal_headers($body);
	my $answer = $node->safe_psql($database,
		'SELECT dibs.receive_webhook(' . join(', ', map { sql_quote($_) } 'cal', $headers, $body) . ')');
	return $json->decode($answer);
}

sub sql_quote
{
	my ($text) = @_;
	$text =~ s/'/''/g;
	return $text =~ s/\\/\\\\/g ? "E'$text'" : "'$text'";
}

# --- setting up ---

# setup_coach($node, $database, %options): a coach whom Cal.com's organizer is, and the secret its webhooks are signed with
sub setup_coach
{
	my ($node, $database, %option) = @_;
	$node->safe_psql($database, sprintf(
		q{SELECT dibs.link_account('cal', %s, email => %s);
		  SELECT dibs.set_secret('cal.webhook_secret', %s);},
		map { sql_quote($_) } $option{user_ulid} // $coach, $option{email} // 'coach@example.com', $cal_secret));
}

# setup_zoom($node, $database): the stand-in's account as this database's Zoom account, and Zoom as the provider of
# every database of the server that names none itself
sub setup_zoom
{
	my ($node, $database) = @_;
	$node->safe_psql($database, sprintf(
		q{SELECT dibs.set_secret('zoom.account_id', %s);
		  SELECT dibs.set_secret('zoom.client_id', %s);
		  SELECT dibs.set_secret('zoom.client_secret', %s);
		},
		map { sql_quote($_) } @zoom{qw(account_id client_id client_secret)}));
	$node->append_conf('postgresql.conf', "dibs.default_meeting_provider = 'zoom'\ndibs.zoom_default_hosts = '$zoom{host}'\n");
	$node->reload;
}

# --- waiting ---

# wait_for_sql($node, $database, $sql, $expected, $timeout): true as soon as the query gives what is expected; else a
# diagnostic and false. The first look is at once, so a passing test does not wait.
sub wait_for_sql
{
	my ($node, $database, $sql, $expected, $timeout) = @_;
	my $deadline = time + ($timeout // 30);
	my $pause = 0.02;
	my ($got, $error);
	while (1)
	{
		my ($status, $out, $err) = $node->psql($database, $sql);
		($got, $error) = ($out, $err);
		return 1 if $status == 0 && $got eq $expected;
		last if time > $deadline;
		sleep $pause;
		$pause *= 1.5 if $pause < 0.3;
	}
	diag("waited in vain for: $sql\nexpected: $expected\ngot: $got" . ($error ? "\nerror: $error" : ''));
	return 0;
}

# wait_for_server($node, $timeout): until it takes connections again after a crash. Nothing is written to a psql that has
# gone away by then, because it was refused: that would end the test.
sub wait_for_server
{
	my ($node, $timeout) = @_;
	my $deadline = time + ($timeout // 120);
	my @command = ('psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SELECT 1');
	while (1)
	{
		my ($out, $err) = ('', '');
		return 1 if IPC::Run::run(\@command, '<', \undef, '>', \$out, '2>', \$err);
		die "the server did not come back: $err" if time > $deadline;
		sleep 0.1;
	}
}

# wait_for_log($node, qr/.../, $offset, $timeout): true when the server's log has such a line after the offset
sub wait_for_log
{
	my ($node, $pattern, $offset, $timeout) = @_;
	my $deadline = time + ($timeout // 30);
	while (1)
	{
		my $text = slurp_file($node->logfile);
		return 1 if substr($text, $offset // 0) =~ $pattern;
		last if time > $deadline;
		sleep 0.05;
	}
	diag("waited in vain for a log line like $pattern");
	return 0;
}

# kill_process($node, $pid): kill -9 of a server process; true once the server has started anew and takes connections
sub kill_process
{
	my ($node, $pid) = @_;
	my $log_end = -s $node->logfile;
	kill 'KILL', $pid;
	return wait_for_log($node, qr/all server processes terminated; reinitializing/, $log_end) && wait_for_server($node);
}

# set_conf($node, $database, name => value, ...): from now on; what connects later has it. A worker hears of it in the
# same moment, and acts on it when it next looks.
sub set_conf
{
	my ($node, $database, %setting) = @_;
	$node->append_conf('postgresql.conf', join('', map { "$_ = '$setting{$_}'\n" } sort keys %setting));
	$node->reload;
	foreach my $name (sort keys %setting)
	{
		wait_for_sql($node, $database, "SHOW $name", $setting{$name}) or BAIL_OUT("$name is not taken over");
	}
	return;
}

# session($node, $database): a psql that stays open, for what one test must hold while another looks, and for looks that
# must not take as long as psql's start does on a busy machine. Its methods: query(sql) waits for the result; start(sql)
# does not, result() then does; wait_for(sql, expected, timeout) is wait_for_sql in it; pid is the backend's; quit.
sub session
{
	my ($node, $database) = @_;
	my ($in, $out, $err) = (undef, undef, Symbol::gensym());
	my $pid = IPC::Open3::open3($in, $out, $err, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=0', '-f', '-', '-d',
		$node->connstr($database));
	my $self = bless { in => $in, out => $out, err => $err, process => $pid, marks => 0, owner => $$ }, 'DibsTest::Session';
	$in->autoflush(1);
	$self->{pid} = $self->query('SELECT pg_backend_pid()');
	return $self;
}

package DibsTest::Session;

use strict;
use warnings;

use Time::HiRes qw(sleep time);

sub pid { return $_[0]{pid}; }

sub start
{
	my ($self, $sql) = @_;
	my $mark = 'mark ' . ++$self->{marks};
	$self->{text} = { out => '', err => '' };
	print { $self->{in} } "$sql\n;\n\\echo $mark\n\\warn $mark\n";
}

# result($timeout): what was printed since start, errors in $self->{error}; undef when it takes too long or psql is gone
sub result
{
	my ($self, $timeout) = @_;
	my $deadline = time + ($timeout // 30);
	my $mark = "mark $self->{marks}\n";
	my $text = $self->{text};
	my %open = (out => 1, err => 1);
	while ($text->{out} !~ /(?:^|\n)\Q$mark\E$/ || $text->{err} !~ /\Q$mark\E$/)
	{
		my $left = $deadline - time;
		return undef if $left <= 0 || !($open{out} && $open{err});
		my $bits = '';
		vec($bits, fileno $self->{$_}, 1) = 1 for qw(out err);
		next if select(my $ready = $bits, undef, undef, $left) <= 0;
		foreach my $name (qw(out err))
		{
			next unless vec($ready, fileno $self->{$name}, 1);
			$open{$name} = sysread $self->{$name}, $text->{$name}, 65536, length $text->{$name};
		}
	}
	$text->{$_} =~ s/\n?[^\n]*\Q$mark\E$// for qw(out err);
	$self->{error} = $text->{err};
	return $text->{out};
}

sub query
{
	my ($self, $sql, $timeout) = @_;
	$self->start($sql);
	return $self->result($timeout);
}

sub wait_for
{
	my ($self, $sql, $expected, $timeout) = @_;
	my $deadline = time + ($timeout // 30);
	my $got;
	while (1)
	{
		$got = $self->query($sql);
		return 1 if defined $got && $got eq $expected;
		last if !defined $got || time > $deadline;
		sleep 0.02;
	}
	Test::More::diag("waited in vain for: $sql\nexpected: $expected\ngot: " . ($got // 'no answer') . ($self->{error} ? "\nerror: $self->{error}" : ''));
	return 0;
}

sub quit
{
	my ($self) = @_;
	return unless $self->{process} && $self->{owner} == $$;
	close $self->{in};
	waitpid $self->{process}, 0;
	$self->{process} = undef;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $!, $@);
	return unless $self->{process} && $self->{owner} == $$;
	kill 'TERM', $self->{process};
	waitpid $self->{process}, 0;
}

package DibsTest::Standin;

use strict;
use warnings;

use Time::HiRes qw(sleep time);

sub url
{
	my ($self) = @_;
	return "$self->{scheme}://127.0.0.1:$self->{port}";
}

sub port { return $_[0]{port}; }

# control(METHOD, path, data): one request to the stand-in itself; the decoded answer, an error is fatal
sub control
{
	my ($self, $method, $path, $data) = @_;
	my $content = defined $data ? $json->encode($data) : undef;
	my $answer = HTTP::Tiny->new(timeout => 30)->request($method, "http://127.0.0.1:$self->{control_port}$path",
		defined $content ? { content => $content, headers => { 'content-type' => 'application/json' } } : {});
	die "stand-in: $method $path: $answer->{status} $answer->{content}\n" unless $answer->{success};
	return length($answer->{content} // '') ? $json->decode($answer->{content}) : undef;
}

# requests(method => 'POST', path => 'a regular expression'): the log's entries, oldest first
sub requests
{
	my ($self, %filter) = @_;
	my $query = join '&', map { "$_=" . $filter{$_} =~ s/([^\w.~-])/sprintf '%%%02X', ord $1/ger } keys %filter;
	return @{ $self->control('GET', "/_control/log?$query")->{entries} };
}

# wait_open(method => ..., path => ..., done => 1): true once such a request has arrived and is not answered; with done,
# once it was carried out, too, and a fault holds its answer back
sub wait_open
{
	my ($self, %filter) = @_;
	my $done = delete $filter{done};
	my $deadline = time + 30;
	while (1)
	{
		return 1 if grep { !defined $_->{ms} && (!$done || defined $_->{status}) } $self->requests(%filter);
		last if time > $deadline;
		sleep 0.01;
	}
	Test::More::diag('waited in vain for an open request: ' . join(' ', map { "$_ $filter{$_}" } sort keys %filter));
	return 0;
}

# settings(latency => milliseconds, ...): how it answers from now on
sub settings
{
	my ($self, %setting) = @_;
	return $self->control('POST', '/_control/config', \%setting);
}

sub stop
{
	my ($self) = @_;
	return unless $self->{pid} && $self->{owner} == $$;
	close $self->{guard};
	my $deadline = time + 5;
	while (waitpid($self->{pid}, POSIX::WNOHANG()) == 0)
	{
		kill 'KILL', $self->{pid} if time > $deadline;
		sleep 0.02;
	}
	$self->{pid} = undef;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $!, $@);
	$self->stop;
}

1;
