# What is left of a consent that could be used by somebody who reads: code, state, verifier, access and refresh tokens are
# looked for in the server's log, in everything below the data directory (tables, WAL), in a dump, in pg_stat_activity, in
# views and errors. Values that were planted there show that the search finds.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use Digest::SHA qw(sha256);
use DibsAccounts;
use DibsBookings;
use DibsTest;
use File::Find ();
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $standin = start_standin();
my $node = dibs_node('account_secrets', standin => $standin, conf => quick_conf()
	  . "dibs.default_meeting_provider = 'zoom'\nlog_min_messages = debug2\nlog_error_verbosity = verbose\nlog_min_error_statement = debug1\nlog_statement = none\n"
	  . "track_activity_query_size = 16384\ncompute_query_id = on\nwal_compression = off\n");
my $coach = '01J9ZK4M8Q0000000000000301';
my $other = '01J9ZK4M8Q0000000000000302';

sub sql
{
	my ($text) = @_;
	return $node->safe_psql('postgres', $text);
}

# the stand-in's tokens and codes, by how they look
my $jwt = encode_base64url('{"alg":"HS512","v":"2.0"}');
my %looks = (
	'an access token' => qr/\Q$jwt\E\.[\w-]{20,}/,
	'a refresh token' => qr/refresh-[\w-]{20,}/,
	'a code' => qr/code-[\w-]{20,}/);
my (%values, @challenges);

# every place of a text with something in it that must not be there
sub found_in
{
	my ($text) = @_;
	my @found = map { my $name = $_; $text =~ $looks{$name} ? $name : () } sort keys %looks;
	push @found, map { index($text, $values{$_}) >= 0 ? $_ : () } sort keys %values;
	# a verifier is whatever has one of the challenges as its hash
	while ($text =~ /(?<![\w-])([\w-]{43})(?![\w-])/g)
	{
		my $hash = encode_base64url(sha256($1));
		push @found, 'a verifier' if grep { $_ eq $hash } @challenges;
	}
	return join ', ', @found;
}

sub files_below
{
	my ($dir) = @_;
	my @files;
	File::Find::find({ no_chdir => 1, wanted => sub { push @files, $_ if -f && -s _ } }, $dir);
	return @files;
}

# what is found below a directory, and where
sub search_files
{
	my ($dir) = @_;
	my %found;
	foreach my $file (files_below($dir))
	{
		open(my $in, '<:raw', $file) or next;
		local $/ = \(8 * 1024 * 1024);
		my $tail = '';
		while (my $part = <$in>)
		{
			my $what = found_in($tail . $part);
			$found{ $file =~ s/^\Q$dir\E//r } = $what if $what ne '';
			$tail = substr($part, -2000);
		}
	}
	return \%found;
}

sub consented
{
	my ($who, $as) = @_;
	$standin->settings(consent => { user => $as });
	my $url = sql("SELECT dibs.oauth_authorize_url('zoom', '$who', '$DibsAccounts::redirect')");
	push @challenges, $url =~ /code_challenge=([\w-]+)/;
	my %back = browse($url);
	$values{"the state of $as"} = $back{state};
	return %back;
}

# --- a whole life: connected, refreshed, used, refused, disconnected ---

setup_app($node, 'postgres');
$standin->settings(tokenLife => 4);
my %back = consented($coach, 'host1@example.com');
# somebody watches while the callback waits for a row
my $holder = session($node, 'postgres');
$holder->query(q{BEGIN; SELECT FROM dibs."OAuthState" FOR UPDATE});
my $caller = session($node, 'postgres');
$caller->start(sprintf q{SELECT dibs.oauth_callback('%s', '%s')}, @back{qw(state code)});
ok(wait_for_sql($node, 'postgres', 'SELECT count(*) FROM pg_stat_activity WHERE pid = ' . $caller->pid . q{ AND wait_event_type = 'Lock'}, '1'), 'a callback waits');
my $activity = sql('SELECT string_agg(query, chr(10)) FROM pg_stat_activity');
is(found_in($activity), '', 'pg_stat_activity does not show what it was called with');
like($activity, qr/<a statement with a secret>/, 'but that it has a secret');
$holder->query('COMMIT');
like($caller->result, qr/connecting/, 'then it goes on');
ok(wait_for_sql($node, 'postgres', "SELECT connected FROM dibs.connections WHERE user_ulid = '$coach'", 't'), 'connected');
ok(wait_for_sql($node, 'postgres', q{SELECT max("version") >= 3 FROM dibs."ProviderCredential"}, 't'), 'and refreshed, twice');
my $booking = book($node, 'postgres', userUlid => $coach);
state_is($node, 'postgres', $booking, 'ready', 'a meeting was made');

# errors: a state that was used, with the code in the statement; a provider that echoes what it was sent
my ($rc, $out, $err) = $node->psql('postgres', sprintf q{SELECT dibs.oauth_callback('%s', '%s')}, @back{qw(state code)});
isnt($rc, 0, 'a second use is refused');
is(found_in($err), '', 'without saying what it was called with');
# (twice, so that it is bad for long enough to be seen, and before the tokens get their long life)
$standin->control('POST', '/_control/faults', {
	match => { path => '/oauth/token' }, kind => 'status', status => 400, times => 2,
	body => { error => 'refresh-ABCDEFGHIJKLMNOPQRSTUVWXYZ', reason => 'code-ABCDEFGHIJKLMNOPQRSTUVWXYZ refused' } });
$standin->settings(tokenLife => 3600);
ok(wait_for_sql($node, 'postgres', "SELECT connected AND why_code IS NOT NULL FROM dibs.connections WHERE user_ulid = '$coach'", 't', 20),
	'a token endpoint that says nothing sensible');
ok(wait_for_sql($node, 'postgres', "SELECT connected AND why_code IS NULL FROM dibs.connections WHERE user_ulid = '$coach'", 't', 20), 'and works again');
%back = consented($other, 'host2@example.com');
$standin->control('POST', '/_control/faults', { match => { path => '/oauth/token' }, kind => 'truncate', times => 1 });
sql(sprintf q{SELECT dibs.oauth_callback('%s', '%s')}, @back{qw(state code)});
ok(wait_for_sql($node, 'postgres', "SELECT state FROM dibs.connections WHERE user_ulid = '$other'", 'failed', 40), 'an exchange with half an answer');
sql("SELECT dibs.disconnect_account('zoom', '$coach')");
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."ProviderCredential"}, '0'), 'disconnected, revoked');
%back = consented($coach, 'host1@example.com');

# --- and now everybody looks ---

my $views = join "\n", map { sql("SELECT string_agg(t::text, chr(10)) FROM $_ t") // '' } 'dibs.connections', 'dibs.account_states', 'dibs.job_progress',
  'dibs.secret_status', 'dibs."Event"', 'dibs."AuditLog"', 'dibs."Job"', 'dibs."OAuthState"', 'dibs."Meeting"', 'dibs."CalBooking"', 'dibs."PendingMeeting"';
cmp_ok(length $views, '>', 3000, 'views and tables, as text');
is(found_in($views), '', 'nothing in them');
is(found_in(sql('SELECT dibs.health()')), '', 'nothing in health()');
my ($dump) = run_command([ 'pg_dump', '-d', $node->connstr('postgres') ]);
like($dump, qr/COPY dibs."OAuthState"/, 'a dump');
is(found_in($dump), '', 'has nothing of it');
sql('CHECKPOINT');
is_deeply(search_files($node->data_dir), {}, 'nothing in any file of the data directory, the WAL among them');
my $log = slurp_file($node->logfile);
cmp_ok(length $log, '>', 20000, 'the server\'s log');
is(found_in($log), '', 'has nothing of it') or diag(join "\n", map { my $line = substr $_, 0, 400; $line =~ s/[\w-]{30,}/***/g; $line }
	grep { found_in($_) ne '' } split /(?<=\n)(?=\d{4}-)/, $log);

# --- the search finds what is there ---

my $planted = 'refresh-PLANTEDPLANTEDPLANTEDPLANTED';
sql(qq{CREATE TABLE planted AS SELECT '$planted'::text AS token; CHECKPOINT; DO \$\$ BEGIN RAISE LOG 'planted: $planted'; END \$\$});
my $found = search_files($node->data_dir);
ok((grep { m{/base/} } keys %$found), 'a planted token is found in a table\'s file');
ok((grep { m{/pg_wal/} } keys %$found), 'in the WAL');
is(found_in(slurp_file($node->logfile)), 'a refresh token', 'and in the log');
is(found_in("x $back{code} y"), 'a code', 'a code is known by its look');
is(found_in("the state: $back{state}."), 'the state of host1@example.com', 'and a state by its value');
push @challenges, encode_base64url(sha256('v' x 43));
is(found_in('(' . 'v' x 43 . ')'), 'a verifier', 'and a verifier by its hash');

done_testing();
