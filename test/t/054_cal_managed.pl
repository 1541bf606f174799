# Users whom the platform makes at Cal.com for its coaches: each once, whatever becomes of answers; their tokens renewed by
# the platform's client, and made anew where they are lost. And what is secret of that stays so.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use CalSync;
use DibsTest;
use File::Find ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $standin = start_standin();
my $node = dibs_node('managed', standin => $standin, conf => cal_conf($standin)
	  . "dibs.poll_interval = 1s\ndibs.cal_sync_interval = 0\ndibs.request_timeout = '5s'\ndibs.connect_timeout = '5s'\ndibs.lease_margin = '1500ms'\n"
	  . "restart_after_crash = on\nlog_min_messages = debug2\nlog_min_error_statement = debug1\nlog_statement = none\nwal_compression = off\n");
my @coach = map { "01J9ZK4M8Q000000000000050$_" } 0 .. 9;

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub fault { return $standin->control('POST', '/_control/faults', {@_}); }
sub people { return $standin->control('GET', '/_control/state')->{cal}{people}; }

sub error_of
{
	my ($text) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $text, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return $rc == 0 ? "no error: $out" : $err =~ /ERROR:\s+(\w{5}: [^\n]*)/ ? $1 : $err;
}

# make(N, E-MAIL): the wish
sub make
{
	my ($n, $email) = @_;
	return sql("SELECT dibs.cal_create_managed_user('$coach[$n]', '$email', 'Coach $n', 'Europe/Berlin')");
}

sub ends
{
	my ($wish, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(wait_for_sql($node, 'postgres', qq{SELECT concat_ws(' ', "state", "errorCode") FROM dibs."CalChange" WHERE "ulid" = '$wish'}, $expected, 40), $name);
}

sub connection
{
	my ($n, $what) = @_;
	return sql("SELECT $what FROM dibs.connections WHERE user_ulid = '$coach[$n]' AND provider = 'cal'");
}

# who the coach's account is, by Cal.com's own word
sub asked_as { return sql("SELECT dibs.cal_me('" . connection($_[0], 'account') . q{')->>'email'}); }

like(error_of("SELECT dibs.cal_create_managed_user('$coach[0]', 'a\@example.com', 'A')"), qr/^F0000: .*cal.platform_client_id is not set/, 'the client has to be known');
sql(q{SELECT dibs.set_secret('cal.platform_client_id', 'standin-cal-client'); SELECT dibs.set_secret('cal.platform_client_secret', 'standin-cal-secret')});
like(error_of("SELECT dibs.cal_create_managed_user($_)"), qr/^22023/, "refused: $_")
  for "'x', 'a\@example.com', 'A'", "'$coach[0]', 'nobody', 'A'", "'$coach[0]', 'a\@example.com', ' '", "'$coach[0]', 'a\@example.com', 'A', 'Mars/Base'";

# ---- made, once ----

my $one = make(0, 'ann@example.com');
ends($one, 'done', 'a user is made');
is(connection(0, "state || ' ' || managed || ' ' || email"), 'connected true ann+standin-cal-client@example.com', 'and connected');
is(asked_as(0), 'ann+standin-cal-client@example.com', 'and asked as itself');
is(sql(qq{SELECT "answer"->>'userId' = a."externalId" AND "answer"->>'account' = a."ulid" FROM dibs."CalChange" c, dibs."ProviderAccount" a WHERE c."ulid" = '$one'}),
	't', 'the wish says who it is');

fault(match => { method => 'POST', path => '/users$' }, kind => 'reset', when => 'after');
ends(make(1, 'bob@example.com'), 'done', 'the answer is lost: found by the address');
is(asked_as(1), 'bob+standin-cal-client@example.com', 'with tokens of its own');
fault(match => { method => 'POST', path => '/users$' }, kind => 'reset', when => 'before');
ends(make(2, 'cy@example.com'), 'done', 'not made: looked for, and made');
fault(match => { method => 'POST', path => '/users$' }, kind => 'status', status => 503, times => 2);
ends(make(3, 'di@example.com'), 'done', 'busy twice');
my $worker = sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dibs worker'});
fault(match => { method => 'POST', path => '/users$' }, kind => 'delay', ms => 4000, when => 'after');
my $killed = make(4, 'eve@example.com');
ok($standin->wait_open(method => 'POST', path => '/users$', done => 1), 'made, and the answer is on the wire');
kill_process($node, $worker);
ends($killed, 'done', 'a killed worker\'s is found');
my $again = make(0, 'Ann@example.com');
ends($again, 'done', 'a second wish');
is(connection(0, 'count(*)'), '1', 'connects the user who is there');
is(people()->{managed}, 5, 'five were made, each once');
ends(make(5, 'ann@example.com'), 'refused account_taken', 'another coach\'s user is refused');
like(sql(qq{SELECT string_agg(DISTINCT "type", ',') FROM dibs."Event" WHERE "userUlid" = '$coach[1]'}), qr/connection.made/, 'followers hear of it');

# ---- renewed ----

my $grant = sub { sql(qq{SELECT c."version" FROM dibs."ProviderCredential" c JOIN dibs."ProviderAccount" a ON a."ulid" = c."accountUlid" WHERE a."userUlid" = '$coach[$_[0]]'}) };
is(sql(qq{SELECT bool_and(c."expiresAt" BETWEEN now() + interval '50 min' AND now() + interval '61 min') FROM dibs."ProviderCredential" c}), 't', 'tokens live an hour');
sub expire { return sql(qq{UPDATE dibs."ProviderCredential" c SET "expiresAt" = now(), "issuedAt" = now() - interval '1 h' FROM dibs."ProviderAccount" a
	WHERE a."ulid" = c."accountUlid" AND a."userUlid" = '$coach[$_[0]]';
	UPDATE dibs."Job" SET "dueAt" = '-infinity' WHERE "kind" = 'refresh_token'; SELECT dibs.wake()}); }
my $before = people();
my $version = $grant->(0);
expire(0);
ok(wait_for_sql($node, 'postgres', qq{SELECT c."version" FROM dibs."ProviderCredential" c JOIN dibs."ProviderAccount" a ON a."ulid" = c."accountUlid" WHERE a."userUlid" = '$coach[0]'}, $version + 1), 'renewed');
is(people()->{managedRefreshed}, $before->{managedRefreshed} + 1, 'by the refresh token');
is(people()->{managedForced}, $before->{managedForced}, 'nothing was forced');
is(asked_as(0), 'ann+standin-cal-client@example.com', 'and asked with the new one');

$version = $grant->(1);
fault(match => { method => 'POST', path => '/oauth/[^/]+/refresh$' }, kind => 'reset', when => 'after');
expire(1);
ok(wait_for_sql($node, 'postgres', qq{SELECT c."version" FROM dibs."ProviderCredential" c JOIN dibs."ProviderAccount" a ON a."ulid" = c."accountUlid" WHERE a."userUlid" = '$coach[1]'}, $version + 1, 40), 'the answer lost: made anew by the client');
is(people()->{managedForced}, $before->{managedForced} + 1, 'forced, once');
is(asked_as(1), 'bob+standin-cal-client@example.com', 'nobody had to consent again');

# a token that Cal.com has ended is found out by its use, and renewed
$standin->control('POST', '/_control/cal/tokens', { expire => 'access' });
$version = $grant->(2);
sql("SELECT dibs.sync_event_types('" . connection(2, 'account') . "')");
ok(wait_for_sql($node, 'postgres', q{SELECT "progress" ? 'lastSync' FROM dibs."Job" WHERE "kind" = 'cal_event_types' AND "key" = '} . connection(2, 'account') . q{'}, 't', 40), 'what runs out early is renewed when it is refused');
cmp_ok($grant->(2), '>', $version, 'with a new pair');

# ---- the user is gone; the client is refused ----

$standin->control('POST', '/_control/cal/tokens', { revoke => 'refresh', user => 'cy+standin-cal-client@example.com' });
my $id = connection(2, 'external_id');
HTTP::Tiny->new->request('DELETE', $standin->url . "/cal/v2/oauth-clients/standin-cal-client/users/$id",
	{ headers => { 'x-cal-client-id' => 'standin-cal-client', 'x-cal-secret-key' => 'standin-cal-secret' } });
expire(2);
ok(wait_for_sql($node, 'postgres', "SELECT state || ' ' || why FROM dibs.connections WHERE user_ulid = '$coach[2]'", 'reconnect_needed Cal.com does not know the user any more'), 'a user who was removed there');
is(sql(q{SELECT count(*) FROM jsonb_array_elements(dibs.health()->'problems') p WHERE p->>'problem' LIKE '1 users that the platform made at cal are not there any more%' AND p->>'call' LIKE '%cal_create_managed_user%'}), '1', 'health() says so, and what to do');
ends(make(2, 'cy@example.com'), 'done', 'made again');
is(connection(2, "string_agg(state || coalesce(email, ''), ',' ORDER BY since)"), 'disconnected,connectedcy+standin-cal-client@example.com', 'and connected in the place of who was there');
sql(q{SELECT dibs.set_secret('cal.platform_client_secret', 'wrong')});
expire(3);
ok(wait_for_sql($node, 'postgres', "SELECT connected || ' ' || why_code FROM dibs.connections WHERE user_ulid = '$coach[3]'", 'true not_connected'), 'a client that is refused ends no connection');
my $refused = make(6, 'fay@example.com');
ends($refused, 'failed not_connected', 'and makes no user');
sql(q{SELECT dibs.set_secret('cal.platform_client_secret', 'standin-cal-secret'); UPDATE dibs."Job" SET "dueAt" = '-infinity' WHERE "kind" = 'refresh_token'; SELECT dibs.wake()});
ok(wait_for_sql($node, 'postgres', "SELECT connected AND why_code IS NULL FROM dibs.connections WHERE user_ulid = '$coach[3]'", 't'), 'until it is right again');

is(sql("SELECT dibs.disconnect_account('cal', '$coach[0]')"), '1', 'disconnected');
ok(wait_for_sql($node, 'postgres', qq{SELECT count(*) FROM dibs."ProviderCredential" c JOIN dibs."ProviderAccount" a ON a."ulid" = c."accountUlid" WHERE a."userUlid" = '$coach[0]'}, '0'), 'and its tokens forgotten');
is(join("\n", map { "$_->{method} $_->{path} " . join ',', @{ $_->{conformance} }, @{ $_->{anomalies} } }
	  grep { @{ $_->{conformance} } || @{ $_->{anomalies} } } $standin->requests(path => '/cal/v2/')), '', 'no request was odd');

# ---- nobody else sees a token, or the client's secret ----

my $secret = qr/STANDIN-CAL-TOKEN|STANDIN-CAL-KEY|standin-cal-secret/;
my @tables = split /\n/, sql(q{SELECT format('dibs.%I', relname) FROM pg_class WHERE relnamespace = 'dibs'::regnamespace AND relkind IN ('r', 'v') AND relname <> 'WebhookInbox'});
unlike(join("\n", map { sql("SELECT t::text FROM $_ t") } @tables), $secret, 'no table and no view has it');
unlike(sql('SELECT dibs.health()'), $secret, 'nor health()');
sql('CHECKPOINT');
my %found;
File::Find::find({ no_chdir => 1, wanted => sub {
	return unless -f && -s _;
	my $content = slurp_file($_);
	$found{ $_ =~ s/^\Q${\$node->data_dir}\E//r } = 1 if $content =~ $secret;
} }, $node->data_dir);
# what the test itself said in clear, with dibs.set_secret, is in nobody's log or table either
is_deeply(\%found, {}, 'no file of the data directory, the WAL among them');
unlike(slurp_file($node->logfile), $secret, 'nor the log');
sql(q{CREATE TABLE planted AS SELECT 'eyJSTANDIN-CAL-TOKEN.planted'::text AS token; CHECKPOINT});
my $planted = 0;
File::Find::find({ no_chdir => 1, wanted => sub { $planted++ if -f && -s _ && slurp_file($_) =~ $secret } }, $node->data_dir);
cmp_ok($planted, '>=', 2, 'the search finds what is there');
$node->stop;
done_testing();
