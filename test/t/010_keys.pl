# Master keys: each way in which they can be wrong has an error of its own; rotation; a key that is lost.
use strict;
use warnings;

use POSIX qw(mkfifo);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('keys');
$node->init(extra => ['--encoding=UTF8', '--locale=C']);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dibs'\ndibs.worker = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION dibs');

my $dir = $node->basedir . '/keys';
mkdir $dir or die "mkdir: $!";
my $file = "$dir/master";
my %key = map { $_ => join('', map { sprintf '%02x', int(rand 256) } 1 .. 32) } 1 .. 9;

# replaced as an administrator would: a new file takes the old one's name
sub write_keys
{
	my ($text, $mode) = @_;
	open(my $out, '>', "$file.new") or die "open: $!";
	print $out $text;
	close $out;
	chmod($mode // 0600, "$file.new") or die "chmod: $!";
	rename("$file.new", $file) or die "rename: $!";
}

sub use_setting
{
	my ($name, $value) = @_;
	my $other = $name eq 'master_key_file' ? 'master_key_command' : 'master_key_file';
	$node->safe_psql('postgres', "ALTER SYSTEM SET dibs.$name = '$value'");
	$node->safe_psql('postgres', "ALTER SYSTEM RESET dibs.$other");
	$node->reload;
}

sub fails
{
	my ($sql, $state, $message, $name) = @_;
	my ($code, $out, $err) = $node->psql('postgres', $sql, extra_params => ['-v', 'VERBOSITY=verbose']);
	isnt($code, 0, "$name: fails");
	like($err, qr/ERROR:  $state: .*$message/, "$name: says so");
	unlike($err, qr/\Q$dir\E/, "$name: the client is not told the path");
	return $err;
}

# The format, written down a second time: envelope, HKDF and AES-256-GCM by node's crypto.
my $node_crypto = <<'END';
const { hkdfSync, createCipheriv, createDecipheriv, randomBytes } = require('node:crypto');
const [what, key, version, purpose, context, value] = process.argv.slice(1);
const derived = Buffer.from(hkdfSync('sha256', Buffer.from(key, 'hex'), '', `dibs v1 purpose ${purpose}`, 32));
const header = Buffer.from([0xd1, 0, 0, 0, Number(version), Number(purpose)]);
const bound = Buffer.concat([header, Buffer.from(context)]);
if (what === 'seal') {
	const nonce = randomBytes(12);
	const cipher = createCipheriv('aes-256-gcm', derived, nonce).setAAD(bound);
	const text = Buffer.concat([cipher.update(value), cipher.final()]);
	console.log(Buffer.concat([header, nonce, text, cipher.getAuthTag()]).toString('hex'));
} else {
	const sealed = Buffer.from(value, 'hex');
	if (!sealed.subarray(0, 6).equals(header)) throw new Error('another header');
	const plain = createDecipheriv('aes-256-gcm', derived, sealed.subarray(6, 18)).setAAD(bound).setAuthTag(sealed.subarray(-16));
	console.log(Buffer.concat([plain.update(sealed.subarray(18, -16)), plain.final()]).toString());
}
END

sub by_node
{
	my ($out, $err) = run_command([ 'node', '-e', $node_crypto, '--', @_ ]);
	diag($err) if $err ne '';
	return $out;
}

sub status
{
	return $node->safe_psql('postgres', 'SELECT state FROM dibs.keyring_status()');
}

my $seal = q{SELECT length(dibs.encrypt_token('t', 'c')) > 0};

# --- without a key
my $err = fails($seal, 'F0000', 'no master key is configured', 'no key');
like($err, qr/HINT: .*make-key/, 'the hint says where one comes from');
fails(q{SELECT dibs.set_secret('zoom.sdk_key', 'v')}, 'F0000', 'no master key is configured', 'no key to store with');
is($node->safe_psql('postgres', 'SELECT length(dibs.gen_ulid())'), '26', 'what needs no key works');
is(status(), 'none', 'no key and nothing sealed is no trouble');

# --- a file that is not right
use_setting('master_key_file', $file);
fails($seal, 'F0000', 'could not open the master key file', 'missing file');
is(status(), 'unreadable', 'a missing file is told by the status');
my $log_start = -s $node->logfile;
fails($seal, 'F0000', 'could not open the master key file', 'missing file again');
like(slurp_file($node->logfile, $log_start), qr/DETAIL:  File: "\Q$file\E"/, 'the log has the path');

foreach my $case (
	[ "1:" . substr($key{1}, 0, 40) . "\n", 0600, 'is truncated', 'truncated' ],
	[ "1:$key{1}\n", 0644, 'can be read or written by others', 'world-readable' ],
	[ "1:$key{1}\n", 0640, 'can be read or written by others', 'group-readable' ],
	[ "# none yet\n\n", 0600, 'holds no key', 'empty' ],
	[ "1:" . ('g' x 64) . "\n", 0600, 'something else than hex digits', 'bad hex' ],
	[ "1:$key{1}\n1:$key{2}\n", 0600, 'line 2 .* repeats a version', 'duplicate version' ],
	[ "1:$key{1}00\n", 0600, 'longer than 32 bytes', 'long key' ],
	[ "$key{1}\n", 0600, 'is not version:key|version that is out of range', 'no version' ],
	[ "0:$key{1}\n", 0600, 'version that is out of range', 'version 0' ],
	[ "#" . ('x' x 20000) . "\n", 0600, 'longer than \d+ bytes', 'huge file' ],)
{
	my ($text, $mode, $message, $name) = @$case;
	write_keys($text, $mode);
	my $said = fails($seal, 'F0000', $message, $name);
	is(index($said, substr($key{1}, 0, 16)), -1, "$name: no key in the error");
}
unlink $file;
mkdir $file;
fails($seal, 'F0000', 'is not a regular file', 'a directory');
rmdir $file;
mkfifo($file, 0600) or die "mkfifo: $!";
fails($seal, 'F0000', 'is not a regular file', 'a pipe that nobody writes to');
unlink $file;

# --- a command
use_setting('master_key_command', 'echo on stderr >&2; exit 3');
fails($seal, 'F0000', 'command failed: child process exited with exit code 3', 'failing command');
use_setting('master_key_command', 'yes');
fails($seal, 'F0000', 'printed more than', 'endless command');
my $count = "$dir/count";
append_to_file("$dir/other", "1:$key{9}\n");
# what hangs hears a timeout and the backend's end, the shell's children included
append_to_file("$dir/hang", 'echo $$ >' . "$dir/pid\nexec sleep 180\n");
use_setting('master_key_command', "sh $dir/hang | cat");
(undef, undef, $err) = $node->psql('postgres', "SET statement_timeout = '500ms'; $seal");
like($err, qr/canceling statement due to statement timeout/, 'a command that hangs can be cancelled');
{
	unlink "$dir/pid";
	my ($in, $out, $err) = ('', '', '');
	my $waiting = IPC::Run::start([ 'psql', '-XAtd', $node->connstr('postgres'), '-c', $seal ], '<', \$in, '>', \$out, '2>', \$err);
	my $tries = 0;
	select(undef, undef, undef, 0.1) until -s "$dir/pid" || $tries++ > 100;
	my ($child) = slurp_file("$dir/pid") =~ /(\d+)/;
	ok(kill(0, $child), 'a command that hangs runs');
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query LIKE '%encrypt_token%' AND pid <> pg_backend_pid()});
	IPC::Run::finish($waiting);
	like($err, qr/terminating connection/, 'its backend can be terminated');
	# killed it is at once; who collects it is not ours to say
	ok(!kill(0, $child) || slurp_file("/proc/$child/stat") =~ /\) Z /, 'and takes it along');
}
use_setting('master_key_command', "echo run >> $count; cat $dir/other");
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'a backend that needs no key');
ok(!-e $count, 'does not run the command');
$node->safe_psql('postgres', "$seal; $seal; $seal");
is(scalar(split /\n/, slurp_file($count)), 1, 'one that does runs it once');
$node->safe_psql('postgres', "$seal;\nSELECT pg_reload_conf();\nSELECT pg_sleep(0.5);\n$seal");
is(scalar(split /\n/, slurp_file($count)), 3, 'and again after a reload');

# --- a right file; from here on the database has something sealed
write_keys("# made by hand\n  1:$key{1}  \n");
use_setting('master_key_file', $file);
is($node->safe_psql('postgres', $seal), 't', 'a right file');
$node->safe_psql('postgres', q{SELECT dibs.sealing_certificate(); SELECT dibs.set_secret('zoom.sdk_secret', 'first value')});
is(status(), 'ok', 'the canary opens');
my $token = $node->safe_psql('postgres', q{SELECT dibs.encrypt_token('my token', 'users/token/7')});

# --- the format is what it is said to be
is(by_node('open', $key{1}, 1, 2, 'users/token/7', $node->safe_psql('postgres', "SELECT encode('$token', 'hex')")), 'my token',
	'another implementation opens a token');
my $foreign = by_node('seal', $key{1}, 1, 2, 'users/token/7', 'sealed elsewhere');
is($node->safe_psql('postgres', "SELECT dibs.decrypt_token('\\x$foreign', 'users/token/7')"), 'sealed elsewhere',
	'and seals one');

# --- ciphertexts that do not belong
fails("SELECT dibs.decrypt_token('$token', 'users/token/8')", 'XX001', 'belongs somewhere else, or was changed', 'another row');
fails("SELECT dibs.decrypt_token('\\x00', '')", 'XX001', 'not a value that dibs sealed', 'not sealed');
fails("SELECT dibs.decrypt_token(set_byte('$token', length('$token'::bytea) - 1, get_byte('$token', length('$token'::bytea) - 1) # 1), 'users/token/7')",
	'XX001', 'was changed', 'one bit');
fails("SELECT dibs.decrypt_token(set_byte('$token', 4, 77), 'users/token/7')", 'F0000', 'version 77, which is not there',
	'unknown version');
fails("SELECT dibs.decrypt_token((SELECT \"sealed\" FROM dibs.\"Secret\" WHERE \"name\" = 'zoom.sdk_secret'), '')",
	'XX001', 'another purpose', 'a stored secret');
fails(q{BEGIN; UPDATE dibs."Secret" SET "sealed" = (SELECT "sealed" FROM dibs."Secret" WHERE "name" = 'zoom.sdk_secret')
	WHERE "name" = 'dibs.sealing_key'; SELECT dibs.sealing_certificate()},
	'XX001', 'belongs somewhere else', 'a secret moved to another row');

# --- a running backend: a new version, a file that is being replaced badly, a version less
write_keys("1:$key{1}\n");
append_to_file("$dir/two", "1:$key{1}\n2:$key{2}\n");
append_to_file("$dir/cut", "1:$key{1}\n2:$key{2}\n3:");
append_to_file("$dir/one", "1:$key{1}\n");
chmod(0600, "$dir/one", "$dir/two", "$dir/cut");
my $version = q{SELECT dibs.sealed_version(dibs.encrypt_token('x'))};
my $replace = sub { "\\! cp -p $dir/$_[0] $file.new && mv $file.new $file\nSELECT pg_reload_conf(), pg_sleep(0.3) \\gset\n$version;\n" };
is($node->safe_psql('postgres', "$version;\n" . join('', map { $replace->($_) } qw(two cut one two))),
	"1\n2\n2\n1\n2", 'a running backend follows the file at reload');
like(slurp_file($node->logfile), qr/master keys were not read again: the key in line 3 of the master key file is truncated/,
	'a bad file at reload is logged, and the backend keeps what it has');

# --- an unknown version makes the file be read again without a reload
append_to_file("$dir/five", "1:$key{1}\n5:$key{5}\n");
chmod(0600, "$dir/five");
my $new_token = do {
	write_keys("1:$key{1}\n5:$key{5}\n");
	my $t = $node->safe_psql('postgres', q{SELECT dibs.encrypt_token('sealed with 5')});
	write_keys("1:$key{1}\n");
	$t;
};
is($node->safe_psql('postgres', <<"END"), 'sealed with 5', 'an unknown version makes a backend look again');
SELECT length(dibs.encrypt_token('x')) > 0 AS loaded \\gset
\\! cp -p $dir/five $file.new && mv $file.new $file
SELECT dibs.decrypt_token('$new_token')
END

# --- a wrong key under a known number
write_keys("1:$key{7}\n");
is(status(), 'wrong', 'the canary tells a wrong key');
fails($seal, 'F0000', 'version 1 is not the key that this database was sealed with', 'nothing is sealed with a wrong key');
fails("SELECT dibs.decrypt_token('$token', 'users/token/7')", 'F0000', 'version 1 is not the key', 'nor opened');
fails('SELECT dibs.sealing_certificate()', 'F0000', 'version 1 is not the key', 'a secret with a wrong key');
write_keys("8:$key{8}\n");
is(status(), 'unknown_version', 'a missing version');
fails('SELECT dibs.sealing_certificate()', 'F0000', 'version 1, which is not there', 'a secret without its key');
like($node->safe_psql('postgres', 'SELECT detail FROM dibs.keyring_status()'), qr/abandon_key\(1\)/, 'the status says what to do');
is($node->safe_psql('postgres', 'SELECT count(*) FROM dibs."CalBooking"'), '0', 'bookings stay readable');
write_keys("1:$key{1}\n");
is(status(), 'ok', 'the right key is back');

# --- two sessions set one secret at once
my @setters;
foreach my $i (1 .. 2)
{
	my $sql = join '', map { "SELECT dibs.set_secret('cal.api_key', 'value $i.$_', '1 h');\n" } 1 .. 40;
	push @setters, IPC::Run::start(['psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres')],
		'<', \$sql, '>', \my $setter_out, '2>', \my $setter_err);
}
is(scalar(grep { IPC::Run::finish($_) } @setters), 2, 'two setters of one secret, none fails');
is($node->safe_psql('postgres', q{SELECT count(*) || ' ' || max(generation) FROM dibs.secret_status WHERE name = 'cal.api_key'}),
	'80 80', 'each value has its generation');
$node->safe_psql('postgres', q{SELECT dibs.set_secret('cal.api_key', 'the last')});
is($node->safe_psql('postgres', q{SELECT count(*) || ' ' || max(generation) FROM dibs.secret_status WHERE name = 'cal.api_key'}),
	'1 81', 'without keep_previous the earlier ones are gone');

# --- what one session sets, another that has already read the secret uses next
{
	my $psql = 'psql -XqAt -d "' . $node->connstr('postgres') . '"';
	my $sign = q{SELECT dibs.jwt_sign_with('jitsi.app_secret', '{}') = dibs.jwt_sign('{}', 'value 2')};
	$node->safe_psql('postgres', q{SELECT dibs.set_secret('jitsi.app_secret', 'value 1')});
	is($node->safe_psql('postgres', <<"END"), "f\n\nt", 'a new value is used at once, in every session');
$sign;
\\! $psql -c "SELECT dibs.set_secret('jitsi.app_secret', 'value 2')"
$sign;
END
	is($node->safe_psql('postgres', <<"END"), "t\n\nt", 'also under a snapshot that is older');
BEGIN ISOLATION LEVEL REPEATABLE READ;
$sign;
\\! $psql -c "SELECT dibs.set_secret('jitsi.app_secret', 'value 3')"
SELECT dibs.jwt_sign_with('jitsi.app_secret', '{}') = dibs.jwt_sign('{}', 'value 3');
COMMIT;
END
	like($node->safe_psql('postgres', q{SELECT last_used FROM dibs.secret_status WHERE name = 'jitsi.app_secret'}), qr/^$/,
		'a transaction with a snapshot of its own notes no use');
	$node->safe_psql('postgres', $sign);
	like($node->safe_psql('postgres', q{SELECT last_used FROM dibs.secret_status WHERE name = 'jitsi.app_secret'}), qr/^\d{4}-/,
		'another one does');
	# a note of its use waits for nobody
	is($node->safe_psql('postgres', <<"END"), "\nt", 'a use does not wait for somebody who holds the row');
SELECT dibs.set_secret('jitsi.app_secret', 'value 2');
BEGIN; SELECT FROM dibs."Secret" WHERE "name" = 'jitsi.app_secret' FOR UPDATE;
\\! $psql -c "SET statement_timeout = '5s'" -c "$sign"
COMMIT;
END
	$node->safe_psql('postgres', q{SELECT dibs.drop_secret('jitsi.app_secret')});
}

# --- rotation
$node->safe_psql('postgres', q{
	SELECT dibs.set_secret('cal.webhook_secret', 'secret of ' || i, '0', 'account-' || i) FROM generate_series(1, 300) i});
is($node->safe_psql('postgres', 'SELECT dibs.rotate_master_key() IS NULL'), 't', 'nothing to rotate with one key');
my ($account, $credential) = ('01J9ZK4M8Q00000000000000A1', '01J9ZK4M8Q00000000000000B1');
my $sealed = by_node('seal', $key{1}, 1, 3, "ProviderCredential/sealed/$credential/$account/oauth", 'a refresh token');
my $recording = by_node('seal', $key{1}, 1, 4, "MeetingRecording/token/$credential", 'a download token');
my $payload = by_node('seal', $key{1}, 1, 7, "SealedPayload/sealed/$credential", '{"downloadLink": "x"}');
$node->safe_psql('postgres', qq{
	INSERT INTO dibs."ProviderAccount" ("ulid", "provider", "userUlid", "email")
	VALUES ('$account', 'zoom', '01J9ZK4M8Q0000000000000001', 'coach\@example.com');
	INSERT INTO dibs."ProviderCredential" ("ulid", "accountUlid", "provider", "kind", "sealed")
	VALUES ('$credential', '$account', 'zoom', 'oauth', '\\x$sealed'),
		('01J9ZK4M8Q00000000000000B2', '$account', 'zoom', 'foreign', '\\x$sealed');
	INSERT INTO dibs."MeetingRecording" ("ulid", "userUlid", "provider", "externalId", "state", "token")
	VALUES ('$credential', '01J9ZK4M8Q0000000000000001', 'zoom', 'r', 'ready', '\\x$recording'),
		('01J9ZK4M8Q00000000000000B3', '01J9ZK4M8Q0000000000000001', 'zoom', 'without', 'ready', NULL);
	INSERT INTO dibs."WebhookEvent" ("ulid", "source", "dedupeKey", "sha256", "payload", "outcome")
	VALUES ('$credential', 'cal', 'sealed', '\\x00', '{}', 'unmatched');
	INSERT INTO dibs."SealedPayload" ("ulid", "sealed") VALUES ('$credential', '\\x$payload')});
write_keys("1:$key{1}\n2:$key{2}\n");
my $job = $node->safe_psql('postgres', 'SELECT dibs.rotate_master_key()');
like($job, qr/^[0-9A-Z]{26}$/, 'rotation is a job');
is($node->safe_psql('postgres', 'SELECT dibs.rotate_master_key()'), $job, 'there is one at a time');
my $certificate = $node->safe_psql('postgres', 'SELECT dibs.sealing_certificate()');
my @done;
foreach my $step (1 .. 20)
{
	my $progress = $node->safe_psql('postgres', 'SELECT dibs.run_rotation_step(100)');
	last if $progress eq '';
	push @done, $progress =~ /"done": (\d+)/ ? $1 : 'none';
	is($node->safe_psql('postgres', 'SELECT dibs.sealing_certificate()'), $certificate, "secrets open during step $step");
	$node->restart if $step == 2;
}
is($done[0], 100, 'a batch is a batch');
is($done[-1], 306, 'all rows are sealed anew') or diag("done: @done");
is($node->safe_psql('postgres', qq{SELECT "state", "progress"->>'total', "progress"->>'lost' FROM dibs."Job" WHERE "ulid" = '$job'}),
	'done|307|1', 'the job says so, and that one row does not open');
is($node->safe_psql('postgres', q{SELECT DISTINCT version FROM dibs.secret_status}), '2', 'the status shows the new version');
is(by_node('open', $key{2}, 2, 3, "ProviderCredential/sealed/$credential/$account/oauth",
		$node->safe_psql('postgres', qq{SELECT encode("sealed", 'hex') FROM dibs."ProviderCredential" WHERE "ulid" = '$credential'})),
	'a refresh token', 'a credential is sealed anew, for its row');
is(by_node('open', $key{2}, 2, 4, "MeetingRecording/token/$credential",
		$node->safe_psql('postgres', qq{SELECT encode("token", 'hex') FROM dibs."MeetingRecording" WHERE "ulid" = '$credential'})),
	'a download token', 'so is a download token');
is(by_node('open', $key{2}, 2, 7, "SealedPayload/sealed/$credential",
		$node->safe_psql('postgres', qq{SELECT encode("sealed", 'hex') FROM dibs."SealedPayload" WHERE "ulid" = '$credential'})),
	'{"downloadLink": "x"}', 'and a payload');
$node->safe_psql('postgres', q{DELETE FROM dibs."ProviderCredential" WHERE "kind" = 'foreign'});
is($node->safe_psql('postgres', "SELECT dibs.decrypt_token('$token', 'users/token/7')"), 'my token',
	'the application opens its own tokens with the old key');
$node->safe_psql('postgres', $seal);
is(status(), 'ok', 'both keys are right');
write_keys("2:$key{2}\n");
is(status(), 'ok', 'and the old one may go');
is($node->safe_psql('postgres', 'SELECT dibs.sealing_certificate()'), $certificate, 'secrets open without it');

# --- a lost key
$err = fails('SELECT * FROM dibs.abandon_key(2)', '55000', 'is not lost', 'a key that is there');
write_keys("3:$key{3}\n");
is(status(), 'unknown_version', 'a lost key');
my $lost = $node->safe_psql('postgres', q{SELECT lost, name, account, user_ulid FROM dibs.abandon_key(2)});
like($lost, qr/^secret\|zoom.sdk_secret\|\|$/m, 'says which secrets are to be set again');
like($lost, qr/^secret\|cal.webhook_secret\|account-7\|$/m, 'those of accounts too');
like($lost, qr/^connection\|zoom\|coach\@example.com\|01J9ZK4M8Q0000000000000001$/m, 'says which coach is to connect again');
like($lost, qr/^recording\|zoom\|$credential\|/m, 'says which recording has lost its token');
like($lost, qr/^webhook\|cal\|$credential\|/m, 'and which webhook its links');
is($node->safe_psql('postgres', 'SELECT count(*) FROM dibs."SealedPayload"'), 0, 'which are gone');
like($lost, qr/^tokens\|encrypt_token/m, 'and that tokens died');
like($lost, qr/^tokens\|join/m, 'those that let people in, too');
is($node->safe_psql('postgres', q{SELECT "state" FROM dibs."ProviderAccount"}), 'reconnect_needed', 'the account is marked');
is($node->safe_psql('postgres', q{SELECT DISTINCT state FROM dibs.secret_status}), 'lost', 'so are the secrets');
is(status(), 'ok', 'and the new key is good');
isnt($node->safe_psql('postgres', 'SELECT dibs.sealing_certificate()'), $certificate, 'a new sealing certificate is made');
$node->safe_psql('postgres', q{SELECT dibs.set_secret('zoom.sdk_secret', 'set again')});
is($node->safe_psql('postgres', q{SELECT state, version FROM dibs.secret_status WHERE name = 'zoom.sdk_secret'}), 'live|3',
	'a lost secret is set again');
is($node->safe_psql('postgres', q{SELECT "action" FROM dibs."AuditLog" WHERE "object" = '2'}), 'abandon_key', 'it is on record');

# --- rotation as the worker does it, with the rights of its role
write_keys("3:$key{3}\n20000006:$key{6}\n");
$node->safe_psql('postgres', 'SELECT dibs.rotate_master_key()');
$node->safe_psql('postgres', 'CALL dibs.drain()');
is($node->safe_psql('postgres', q{SELECT "state", "progress"->>'done', "error" FROM dibs."Job" WHERE "progress"->>'version' = '20000006'}),
	'done|2|', 'the job is worked off');
is($node->safe_psql('postgres', q{SELECT DISTINCT version FROM dibs.secret_status WHERE state = 'live'}), '20000006', 'with the newest key');

# --- dump and restore: the rows go along, and only the key opens them
$node->safe_psql('postgres', 'CREATE DATABASE copy');
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'dump');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('copy') ], 'restore');
is($node->safe_psql('copy', 'SELECT state FROM dibs.keyring_status()'), 'ok', 'the copy opens with the key');

# --- no key byte ever came out
my $log = slurp_file($node->logfile);
is(scalar(grep { index($log, $_) >= 0 } values %key), 0, 'no key in the server log');
$node->stop;
done_testing();
