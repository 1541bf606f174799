# Secrets are planted by the sealed way and from a file, with everything logged that can be, also where the call fails,
# and are then looked for in every place that could hold them. A control planted carelessly in each of these places
# must be found by the same search.
use strict;
use warnings;

use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('leaks');
$node->init(extra => ['--encoding=UTF8', '--locale=C']);
my $dir = $node->basedir . '/keys';
mkdir $dir or die "mkdir: $!";
append_to_file("$dir/master", '1:' . join('', map { sprintf '%02x', int(rand 256) } 1 .. 32) . "\n");
chmod(0600, "$dir/master");
$node->append_conf('postgresql.conf', <<"END");
shared_preload_libraries = 'dibs, pg_stat_statements'
dibs.worker = off
dibs.master_key_file = '$dir/master'
pg_stat_statements.track = all
pg_stat_statements.track_utility = on
log_min_messages = debug5
log_min_error_statement = debug5
log_statement = all
log_min_duration_statement = 0
log_duration = on
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_error_verbosity = verbose
track_activity_query_size = 32768
wal_level = logical
wal_compression = off
END
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION dibs; CREATE EXTENSION pg_stat_statements');

# --- where is it? Each place as one long text.

sub slurp_files
{
	my $text = '';
	foreach my $name (@_)
	{
		next unless -f $name;
		open(my $in, '<:raw', $name) or die "open $name: $!";
		local $/;
		$text .= <$in> . "\n";
		close $in;
	}
	return $text;
}

sub places
{
	my $data = $node->data_dir;
	my $oid = $node->safe_psql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'postgres'});
	my $dump = $node->basedir . '/dump.sql';
	my %place;
	$place{pg_stat_activity} = $node->safe_psql('postgres', q{SELECT coalesce(string_agg(query, E'\n'), '') FROM pg_stat_activity});
	$place{pg_stat_statements} = $node->safe_psql('postgres', q{SELECT coalesce(string_agg(query, E'\n'), '') FROM pg_stat_statements});
	run_log([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ]) or die 'pg_dump';
	$place{dump} = slurp_files($dump);
	$node->safe_psql('postgres', 'CHECKPOINT');
	$place{log} = slurp_files($node->logfile);
	$place{WAL} = slurp_files(glob("$data/pg_wal/*"));
	$place{'data files'} = slurp_files(glob("$data/base/$oid/*"));
	return \%place;
}

# as it stands, as hex (bytea), as base64 whatever stands before it
sub is_in
{
	my ($text, $value) = @_;
	return 1 if index($text, $value) >= 0 || index(lc $text, unpack('H*', $value)) >= 0;
	foreach my $shift (0 .. 2)
	{
		my $encoded = encode_base64(('x' x $shift) . $value, '');
		# the characters that belong to the value alone
		return 1 if index($text, substr($encoded, 4, 16)) >= 0;
	}
	return 0;
}

sub session
{
	my ($in, $out) = ('', '');
	my $harness = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>&1');
	my $n = 0;
	return {
		harness => $harness,
		run => sub {
			my ($sql) = @_;
			my $mark = 'mark-' . ++$n;
			$out = '';
			$in .= "$sql\n\\echo $mark\n";
			IPC::Run::pump($harness) until $out =~ /^$mark$/m;
			return $out =~ s/^$mark\n//mr;
		} };
}

# openssl cms -encrypt, as an operator does it elsewhere
sub seal
{
	my ($value) = @_;
	append_to_file("$dir/plain.$$", $value);
	run_log([ 'openssl', 'cms', '-encrypt', '-aes256', '-binary', '-outform', 'PEM', '-recip', "$dir/certificate", '-in',
		"$dir/plain.$$", '-out', "$dir/sealed.$$" ]) or die 'openssl cms';
	my $sealed = slurp_file("$dir/sealed.$$");
	unlink "$dir/plain.$$", "$dir/sealed.$$";
	return $sealed;
}

my $serial = 0;
my %planted;

sub plant
{
	my ($what) = @_;
	my $value = sprintf 'leak%dtest%s', ++$serial, join('', map { ('a' .. 'z', 0 .. 9)[ rand 36 ] } 1 .. 24);
	$planted{$what} = $value;
	return $value;
}

append_to_file("$dir/certificate", $node->safe_psql('postgres', 'SELECT dibs.sealing_certificate()'));
my $idle = session();
my $blocker = session();

# --- the sealed way
is($idle->{run}("SELECT dibs.set_sealed_secret('jitsi.app_secret', '" . seal(plant('sealed')) . "');"), "\n", 'sealed');
is($idle->{run}("PREPARE s(text) AS SELECT dibs.set_sealed_secret('jitsi.app_secret', \$1); EXECUTE s('"
	  . seal(plant('sealed, prepared')) . "');"), "\n", 'sealed, by a prepared statement');
append_to_file("$dir/set.sql", "SELECT dibs.set_sealed_secret('jitsi.app_secret', :cms);\n");
$node->command_ok([ 'pgbench', '-n', '-t', '1', '-M', 'extended', '-f', "$dir/set.sql", '-D', 'cms=' . seal(plant('sealed, parameter')),
	'postgres' ], 'sealed, as a bound parameter');
like($idle->{run}("SELECT dibs.set_sealed_secret('jitsi.app_sekret', '" . seal(plant('sealed, unknown name')) . "');"),
	qr/unknown secret name "jitsi.app_sekret"/, 'sealed, with a typo in the name');
like($idle->{run}("SELECT dibs.set_sealed_secrets('jitsi.app_secret', '" . seal(plant('sealed, no such function')) . "');"),
	qr/does not exist/, 'sealed, with a typo in the function');
like($idle->{run}("SELECT dibs.set_sealed_secret('jitsi.app_secret', '" . seal(plant('sealed, division')) . "'), 1 / 0;"),
	qr/division by zero/, 'sealed, in a statement that fails elsewhere');
like($idle->{run}("SELECT dibs.set_sealed_secret('jitsi.app_secret', '" . substr(seal(plant('sealed, cut off')), 0, 600) . "');"),
	qr/not an encrypted CMS message/, 'sealed, cut off');
like($idle->{run}("SELECT dibs.set_sealed_secret('jitsi.app_secret', '" . seal(plant('sealed, bad interval')) . "', '-1 h');"),
	qr/keep_previous must be/, 'sealed, with a bad interval');
my $empty = seal("\n");
like($idle->{run}("SELECT dibs.set_sealed_secret('jitsi.app_secret', '$empty');"), qr/is empty/, 'sealed, but empty');

# --- from a file
sub file_with
{
	my ($value) = @_;
	my $name = "$dir/value." . ++$serial;
	append_to_file($name, "$value\n");
	return $name;
}
is($idle->{run}("SELECT dibs.set_secret_from_file('zoom.sdk_secret', '" . file_with(plant('file')) . "');"), "\n", 'file');
like($idle->{run}("SELECT dibs.set_secret_from_file('zoom.sdk_sekret', '" . file_with(plant('file, unknown name')) . "');"),
	qr/unknown secret name/, 'file, with a typo in the name');
like($idle->{run}("SELECT dibs.set_secret_from_file('zoom.sdk_secret', '" . file_with(plant('file, wrong path')) . ".x');"),
	qr/could not open file/, 'file, with a typo in the path');
like($idle->{run}("SELECT dibs.set_secret_from_file('zoom.sdk_secret', '" . file_with(plant('file, division')) . "'), 1 / 0;"),
	qr/division by zero/, 'file, in a statement that fails elsewhere');
like($idle->{run}("SELECT dibs.set_secret_from_file('zoom.sdk_secret', '" . file_with('long' . ('x' x 70000)) . "');"),
	qr/longer than 65536 bytes/, 'file, too long');
$node->safe_psql('postgres', 'CREATE ROLE ordinary; GRANT USAGE ON SCHEMA dibs TO ordinary;
	GRANT EXECUTE ON FUNCTION dibs.set_secret_from_file(text, text, interval, text) TO ordinary');
my $ordinary = file_with(plant('file, no right'));
like($idle->{run}("SET ROLE ordinary; SELECT dibs.set_secret_from_file('zoom.sdk_secret', '$ordinary'); RESET ROLE;"),
	qr/permission denied to read a file/, 'file, by a role that may not read files');
$node->safe_psql('postgres', 'GRANT pg_read_server_files TO ordinary');
is($idle->{run}("SET ROLE ordinary; SELECT dibs.set_secret_from_file('zoom.sdk_secret', '$ordinary'); RESET ROLE;"),
	"\n", 'and by one that may, without any right on the table');

# --- cancelled in the middle: another session holds the next generation
foreach my $way ([ 'sealed, cancelled', sub { "dibs.set_sealed_secret('jitsi.app_secret', '" . seal($_[0]) . "')" } ],
	[ 'file, cancelled', sub { "dibs.set_secret_from_file('jitsi.app_secret', '" . file_with($_[0]) . "')" } ])
{
	my ($what, $call) = @$way;
	$blocker->{run}("BEGIN; SELECT dibs.set_secret_from_file('jitsi.app_secret', '" . file_with(plant("$what: holder")) . "');");
	like($idle->{run}("SET statement_timeout = 300; SELECT " . $call->(plant($what)) . "; RESET statement_timeout;"),
		qr/canceling statement due to statement timeout/, $what);
	$blocker->{run}('ROLLBACK;');
}
# the last thing that the sessions did was a call with a secret
$idle->{run}("SELECT dibs.set_sealed_secret('jitsi.app_secret', '" . seal(plant('sealed, idle')) . "');");
$blocker->{run}("SELECT dibs.set_secret_from_file('zoom.sdk_secret', '" . file_with(plant('file, idle')) . "');");
is($node->safe_psql('postgres', q{SELECT count(*) FROM dibs.secret_status WHERE name IN ('jitsi.app_secret', 'zoom.sdk_secret')}),
	'2', 'the values are stored');

my $found = places();
foreach my $what (sort keys %planted)
{
	my @seen = grep { is_in($found->{$_}, $planted{$what}) } sort keys %$found;
	is("@seen", '', "$what: nowhere");
}

# --- what was stored is what was sealed: an HS256 token made with it verifies elsewhere
{
	require Digest::SHA;
	my $token = $node->safe_psql('postgres', q{SELECT dibs.jwt_sign_with('zoom.sdk_secret', '{"a": 1}')});
	my ($signed, $signature) = $token =~ /^(.*)\.([^.]+)$/;
	my $expected = encode_base64(Digest::SHA::hmac_sha256($signed, $planted{'file, idle'}), '') =~ tr{+/}{-_}r =~ s/=+$//r;
	is($signature, $expected, 'a secret from a file is the file without its line end');
	$token = $node->safe_psql('postgres', q{SELECT dibs.jwt_sign_with('jitsi.app_secret', '{"a": 1}')});
	($signed, $signature) = $token =~ /^(.*)\.([^.]+)$/;
	$expected = encode_base64(Digest::SHA::hmac_sha256($signed, $planted{'sealed, idle'}), '') =~ tr{+/}{-_}r =~ s/=+$//r;
	is($signature, $expected, 'a sealed secret is what went into openssl cms');
}

# --- the plain way on a server that logs no statements: what the function can do for it, it does
$node->append_conf('postgresql.conf', "log_statement = none\nlog_min_duration_statement = -1\nlog_duration = off\n"
	  . "log_min_messages = warning\nlog_min_error_statement = error\n");
$node->restart;
$idle = session();
$blocker = session();
my %plain;
append_to_file("$dir/plain.sql", "SELECT dibs.set_secret('cal.client_sekret', :value);\n");
$plain{'bound parameter'} = plant('plain, bound parameter');
$node->command_fails([ 'pgbench', '-n', '-t', '1', '-M', 'extended', '-f', "$dir/plain.sql", '-D', "value=$plain{'bound parameter'}",
	'postgres' ], 'plain, as a bound parameter, typo in the name');
$plain{stored} = plant('plain, stored');
$idle->{run}("SELECT dibs.set_secret('cal.client_secret', '$plain{stored}');");
$plain{unknown} = plant('plain, unknown name');
like($blocker->{run}("SELECT dibs.set_secret('cal.client_sekret', '$plain{unknown}');"), qr/unknown secret name/, 'plain, typo in the name');
$plain{division} = plant('plain, division');
like($blocker->{run}("SELECT dibs.set_secret('cal.client_secret', '$plain{division}') IS NULL, 1 / x FROM generate_series(0, 0) x;"),
	qr/division by zero|^$/m, 'plain, in a statement that fails after it');
$plain{nested} = plant('plain, in a block');
$blocker->{run}("SET client_min_messages = error; SELECT dibs.set_secret('cal.client_secret', '$plain{nested}', '-1 s');");
$found = places();
foreach my $what (sort keys %plain)
{
	my @seen = grep { is_in($found->{$_}, $plain{$what}) } sort keys %$found;
	is("@seen", '', "plain way, $what: nowhere");
}

# --- the controls: carelessness that the same search must find, one for each place
$node->append_conf('postgresql.conf', "log_statement = all\n");
$node->restart;
$idle = session();
my %control = map { $_ => plant("control in $_") } qw(log pg_stat_activity pg_stat_statements WAL dump);
$control{'data files'} = $control{dump};
$node->psql('postgres', "SELECT dibs.set_secret('zoom.video_key', '$control{log}', '-1 h')");
$idle->{run}("SELECT '$control{pg_stat_activity}';");
$node->safe_psql('postgres', "DO \$\$ BEGIN PERFORM '$control{pg_stat_statements}'; END \$\$");
$node->safe_psql('postgres', "CREATE TABLE careless (t text); INSERT INTO careless VALUES ('$control{dump}')");
$node->safe_psql('postgres', "CREATE TABLE gone (b bytea); INSERT INTO gone VALUES ('$control{WAL}'); DROP TABLE gone");
$found = places();
foreach my $place (sort keys %control)
{
	ok(is_in($found->{$place}, $control{$place}), "a control is found in $place");
}
ok(!is_in($found->{dump}, $control{WAL}), 'and not where it was not planted');
ok(is_in('aaa' . encode_base64('zz' . $control{WAL}, ''), $control{WAL}), 'the search sees base64');

$idle->{harness}->kill_kill;
$blocker->{harness}->kill_kill;
$node->stop;
done_testing();
