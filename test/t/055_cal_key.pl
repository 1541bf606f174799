# API keys of Cal.com's, renewed ahead of their expiry: the new one is sealed before it is used, the old one is dead; a lost
# answer means that somebody has to make a new one, and that is said. Whoever calls meanwhile waits.
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
my $node = dibs_node('cal_key', standin => $standin, conf => cal_conf($standin)
	  . "dibs.poll_interval = 1s\ndibs.cal_sync_interval = 0\ndibs.request_timeout = '6s'\ndibs.connect_timeout = '5s'\ndibs.lease_margin = '1500ms'\n"
	  . "restart_after_crash = on\nlog_min_messages = debug2\nlog_min_error_statement = debug1\nlog_statement = none\nwal_compression = off\n");
my $other = '01J9ZK4M8Q0000000000000601';
setup_coach($node, 'postgres');

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub fault { return $standin->control('POST', '/_control/faults', {@_}); }
sub renewals { return $standin->control('GET', '/_control/state')->{cal}{people}{keysRefreshed}; }

sub error_of
{
	my ($text) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $text, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return $rc == 0 ? "no error: $out" : $err =~ /ERROR:\s+(\w{5}: [^\n]*)/ ? $1 : $err;
}

sub key_is
{
	my ($account, $what, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(wait_for_sql($node, 'postgres', qq{SELECT $what FROM dibs."CalKey" WHERE "account" = '$account'}, $expected, 40), $name);
}

# the job looks at it now
sub look { return sql(q{UPDATE dibs."Job" SET "dueAt" = '-infinity' WHERE "kind" = 'cal_key' AND "state" = 'waiting'; SELECT dibs.wake()}); }
sub problems { return sql(q{SELECT coalesce(string_agg(concat_ws(' -> ', p->>'problem', p->>'call'), E'\n'), '') FROM jsonb_array_elements(dibs.health()->'problems') p WHERE p->>'problem' LIKE '%API key%'}); }
sub platform { return sql("SELECT $_[0] FROM dibs.connections WHERE provider = 'cal' AND user_ulid IS NULL"); }

like(error_of(q{SELECT dibs.cal_keep_key('')}), qr/^F0000/, 'without a key there is none to keep');
sql(q{SELECT dibs.set_secret('cal.api_key', 'cal_live_STANDIN-CAL-KEY-coach')});
like(error_of("SELECT dibs.cal_keep_key('', $_)"), qr/^22023/, "$_ days") for -1, 4000;
like(error_of(q{SELECT dibs.cal_keep_key('', 0)}), qr/^55000/, 'it is not kept yet');
is(platform('state, token_expires IS NULL'), 'connected|t', 'a key that is not kept: nobody knows when it runs out');
sql(q{UPDATE dibs."Secret" SET "createdAt" = now() - interval '26 days' WHERE "name" = 'cal.api_key'});
like(problems(), qr/is 26 days old.*dibs\.cal_keep_key\(''\)/, 'but health() says that it is old, and what to do');

# ---- renewed ----

sql(q{SELECT dibs.cal_keep_key('')});
key_is('', q{"state" || ("expiresAt" BETWEEN now() + interval '29 days 23 h' AND now() + interval '30 days')}, 'renewedtrue', 'renewed, for 30 days');
is(sql(q{SELECT dibs.cal_me()->>'email'}), 'coach@example.com', 'and used');
is(HTTP::Tiny->new->get($standin->url . '/cal/v2/me', { headers => { authorization => 'Bearer cal_live_STANDIN-CAL-KEY-coach' } })->{status}, 401, 'the old one is dead');
is(platform(q{state, round(extract(epoch FROM token_expires - now()) / 86400)}), 'connected|30', 'dibs.connections says when it runs out');
is(problems(), '', 'health() has nothing to say');
is(sql(q{SELECT round(extract(epoch FROM "dueAt" - now()) / 86400) FROM dibs."Job" WHERE "kind" = 'cal_key'}), '25', 'the next time five days ahead');
look();
ok(wait_for_sql($node, 'postgres', q{SELECT "dueAt" > now() FROM dibs."Job" WHERE "kind" = 'cal_key'}, 't'), 'looked at before that');
is(renewals(), 1, 'it is left as it is');
sql(q{UPDATE dibs."CalKey" SET "expiresAt" = now() + interval '4 days'});
look();
key_is('', q{"expiresAt" > now() + interval '29 days'}, 't', 'four days ahead it is renewed');
is(renewals(), 2, 'once');

# ---- who calls meanwhile ----

my $type = sub { return sql(qq{SELECT dibs.cal_event_type('{"title": "T$_[0]", "slug": "t$_[0]", "length": 25}', user_ulid => '$DibsTest::coach')}); };
my $done = sub { ok(wait_for_sql($node, 'postgres', qq{SELECT "state" FROM dibs."CalChange" WHERE "ulid" = '$_[0]'}, 'done'), $_[1]) };
$done->($type->(1), 'the worker has used the key');
fault(match => { path => '/api-keys/refresh$' }, kind => 'delay', ms => 3000, when => 'after');
sql(q{SELECT dibs.cal_keep_key('')});
ok($standin->wait_open(path => '/api-keys/refresh$', done => 1), 'a renewal that takes its time');
is(sql(q{SELECT "state" FROM dibs."CalKey"}), 'renewing', 'and is known to be on its way');
$done->($type->(2), 'a change that is wanted meanwhile waits for the new key');
key_is('', q{"state"}, 'renewed', 'which comes');

# ---- trouble ----

fault(match => { path => '/api-keys/refresh$' }, kind => 'status', status => 503, times => 1);
fault(match => { path => '/api-keys/refresh$' }, kind => 'reset', when => 'before', times => 1);
my $before = renewals();
sql(q{SELECT dibs.cal_keep_key('', 60)});
key_is('', q{"state" || ("expiresAt" > now() + interval '59 days')}, 'renewedtrue', 'not carried out twice: tried again');
is(renewals(), $before + 1, 'and renewed once');
fault(match => { path => '/api-keys/refresh$' }, kind => 'reset', when => 'after');
sql(q{SELECT dibs.cal_keep_key('')});
key_is('', q{"state" || ' ' || "error"}, 'lost the key was renewed, and the answer with the new one was lost', 'the answer lost: the key is dead');
is(platform('state, reconnect_needed, why_code'), 'reconnect_needed|t|reconnect_needed', 'dibs.connections says so');
like(problems(), qr/^the API key of Cal.com is not good any more: .* -> make a new one at Cal.com, then SELECT dibs.set_secret_from_file/, 'health(), too');
is(sql(q{SELECT count(*) FROM dibs."AuditLog" WHERE "action" = 'connection.lost'}), '1', 'and the audit log');
$before = renewals();
look();
ok(wait_for_sql($node, 'postgres', q{SELECT "dueAt" > now() FROM dibs."Job" WHERE "kind" = 'cal_key'}, 't'), 'a dead key is looked at');
is(renewals(), $before, 'and not tried again');
sql(q{SELECT dibs.set_secret('cal.api_key', 'cal_live_STANDIN-CAL-KEY-host1')});
is(platform('state, why'), 'connected|', 'another key is another matter');
look();
key_is('', q{"state"}, 'renewed', 'and kept in its turn');
is(sql(q{SELECT dibs.cal_me()->>'email'}), 'host1@example.com', 'it is used');

# the worker is killed with the new key on the wire
my $worker = sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dibs worker'});
fault(match => { path => '/api-keys/refresh$' }, kind => 'delay', ms => 5000, when => 'after');
sql(q{SELECT dibs.cal_keep_key('')});
ok($standin->wait_open(path => '/api-keys/refresh$', done => 1), 'renewed, and the answer is on the wire');
kill_process($node, $worker);
key_is('', q{"state"}, 'lost', 'a killed worker has lost the key, and knows');
is(sql(q{SELECT dibs.cal_keep_key('', 0) IS NOT NULL}), 't', 'it is not to be kept any more');
is(sql(q{SELECT count(*) FROM dibs."Job" WHERE "kind" = 'cal_key' AND "state" = 'waiting'}), '0', 'nothing is renewed then');

# ---- an account's own ----

sql("SELECT dibs.link_account('cal', '$other', external_id => '7')");
my $account = sql("SELECT account FROM dibs.connections WHERE user_ulid = '$other'");
sql("SELECT dibs.set_secret('cal.api_key', 'cal_live_STANDIN-CAL-KEY-host2', account => '$account'); SELECT dibs.cal_keep_key('$account', 90)");
key_is($account, q{"state"}, 'renewed', 'an account\'s own key');
is(sql("SELECT state, round(extract(epoch FROM token_expires - now()) / 86400) FROM dibs.connections WHERE user_ulid = '$other'"), 'connected|90', 'is known, too');
is(sql(qq{SELECT dibs.cal_me('$account')->>'email'}), 'host2@example.com', 'and used');
$standin->control('POST', '/_control/cal/tokens', { revoke => 'keys', user => 'host2@example.com' });
sql("SELECT dibs.cal_keep_key('$account', 90)");
ok(wait_for_sql($node, 'postgres', "SELECT state || ' ' || why FROM dibs.connections WHERE user_ulid = '$other'",
	'reconnect_needed the key was refused: it has run out, or was removed at Cal.com'), 'one that was removed there');
is(sql(qq{SELECT count(*) FROM dibs."Event" WHERE "userUlid" = '$other' AND "type" = 'connection.lost'}), '1', 'its coach\'s followers hear of it');
is(join("\n", map { "$_->{method} $_->{path} " . join ',', @{ $_->{conformance} }, @{ $_->{anomalies} } }
	  grep { @{ $_->{conformance} } || @{ $_->{anomalies} } } $standin->requests(path => '/cal/v2/')), '', 'no request was odd');

# ---- an account that is no more is not asked any more ----

sql("SELECT dibs.set_secret('cal.api_key', 'cal_live_STANDIN-CAL-KEY-coach', account => '$account'); SELECT dibs.cal_keep_key('$account')");
is(sql(qq{SELECT "account" FROM jsonb_to_recordset(dibs.health()->'calendars') AS c("account" text) WHERE "account" = '$account'}), $account, 'health() has each account');
sql("SELECT dibs.sync_bookings('$account'); SELECT dibs.sync_event_types('$account')");
my $jobs = sub { sql(qq{SELECT count(*) FROM dibs."Job" WHERE "state" = 'waiting' AND ("key" = '$account' OR "kind" = 'cal_key')}) };
is($jobs->(), 3, 'jobs of an account');
sql("SELECT dibs.disconnect_account('cal', '$other')");
sql(q{UPDATE dibs."Job" SET "dueAt" = '-infinity' WHERE "state" = 'waiting' AND "kind" LIKE 'cal%'; SELECT dibs.wake()});
ok(wait_for_sql($node, 'postgres', qq{SELECT count(*) FROM dibs."Job" WHERE "state" = 'waiting' AND "key" = '$account'}, '0'), 'end with its connection');
ok(wait_for_sql($node, 'postgres', qq{SELECT bool_and("dueAt" > now() + interval '50 minutes') FROM dibs."Job" WHERE "state" = 'waiting' AND "kind" = 'cal_key'}, 't'),
	'that of its key waits for another one');
sql("SELECT dibs.forget_user('$other')");
ok(wait_for_sql($node, 'postgres', qq{SELECT (SELECT count(*) FROM dibs."Secret" WHERE "account" = '$account') + (SELECT count(*) FROM dibs."CalKey" WHERE "account" = '$account')}, '0'),
	'and its key goes with the coach');

# ---- no new key is anywhere in clear ----

my $secret = qr/STANDIN-CAL-KEY-[0-9a-f]{24}/;
my @tables = split /\n/, sql(q{SELECT format('dibs.%I', relname) FROM pg_class WHERE relnamespace = 'dibs'::regnamespace AND relkind IN ('r', 'v') AND relname <> 'WebhookInbox'});
unlike(join("\n", map { sql("SELECT t::text FROM $_ t") } @tables), $secret, 'no table and no view has a new key');
sql('CHECKPOINT');
my $search = sub {
	my @found;
	File::Find::find({ no_chdir => 1, wanted => sub { push @found, $_ if -f && -s _ && slurp_file($_) =~ $secret } }, $node->data_dir);
	return \@found;
};
is_deeply($search->(), [], 'nor any file of the data directory, the WAL among them');
unlike(slurp_file($node->logfile), $secret, 'nor the log');
sql(q{CREATE TABLE planted AS SELECT 'cal_live_STANDIN-CAL-KEY-0123456789abcdef01234567'::text AS token; CHECKPOINT});
cmp_ok(scalar @{ $search->() }, '>=', 2, 'the search finds what is there');
$node->stop;
done_testing();
