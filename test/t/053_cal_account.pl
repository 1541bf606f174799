# Cal.com accounts: connected by consent, with half-hour tokens that rotate, or by an API key of their own; each asked as
# itself; a self-hosted instance for one of them.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use DibsAccounts;
use DibsTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $standin = start_standin();
my $node = dibs_node('cal_account', standin => $standin, conf => "dibs.poll_interval = 1s\ndibs.cal_api_url = '"
	  . $standin->url . "/cal/v2'\ndibs.cal_oauth_url = '" . $standin->url . "/cal/auth/oauth2'\n");
my ($one, $two) = map { "01J9ZK4M8Q000000000000040$_" } 1 .. 2;

sub sql
{
	my ($text) = @_;
	return $node->safe_psql('postgres', $text);
}

sub error_of
{
	my ($text) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $text, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return $rc == 0 ? "no error: $out" : $err =~ /ERROR:\s+(\w{5}: [^\n]*)/ ? $1 : $err;
}

# who an account is, by Cal.com's own word
sub asked_as
{
	my ($account) = @_;
	return sql(qq{SELECT dibs.cal_me('$account')->>'email'});
}

sql(q{SELECT dibs.set_secret('cal.client_id', 'standin-cal-client'); SELECT dibs.set_secret('cal.client_secret', 'standin-cal-secret')});
$standin->settings(cal => { accessMinutes => 0.1 });
connect_coach($node, 'postgres', $standin, $one, 'host1@example.com', 'cal');
ok(wait_for_sql($node, 'postgres', "SELECT state, external_id, email FROM dibs.connections WHERE user_ulid = '$one'", 'connected|6|host1@example.com'),
	'connected by consent');
my $account = sql("SELECT account FROM dibs.connections WHERE user_ulid = '$one'");
is(asked_as($account), 'host1@example.com', 'and asked as itself');
my $grant = qq{SELECT c."version" FROM dibs."ProviderCredential" c WHERE c."accountUlid" = '$account'};
my $version = sql($grant);
ok(wait_for_sql($node, 'postgres', "SELECT ($grant) >= $version + 2", 't', 30), 'its tokens are renewed, twice');
is(asked_as($account), 'host1@example.com', 'and it is asked with the new ones');
my $counts = $standin->control('GET', '/_control/state')->{cal}{people};
is($counts->{refreshReused} // 'no such count', 0, 'no refresh token was used twice');

like(error_of(qq{SELECT dibs.cal_me('$two')}), qr/^F0000: .*not connected/, 'an account that is none');
sql("SELECT dibs.link_account('cal', '$two', external_id => '7')");
my $other = sql("SELECT account FROM dibs.connections WHERE user_ulid = '$two'");
is(sql("SELECT state, connected FROM dibs.connections WHERE user_ulid = '$two'"), 'linked|f', 'linked is not connected');
sql("SELECT dibs.set_secret('cal.api_key', 'cal_live_STANDIN-CAL-KEY-host2', account => '$other')");
is(sql("SELECT state, connected FROM dibs.connections WHERE user_ulid = '$two'"), 'connected|t', 'with a key of its own it is');
is(asked_as($other), 'host2@example.com', 'and asked as itself');
sql("SELECT dibs.set_secret('cal.api_key', 'cal_live_STANDIN-CAL-KEY-coach')");
is(sql(q{SELECT dibs.cal_me()->>'email'}), 'coach@example.com', 'the platform has a key, too');

like(error_of("SELECT dibs.set_account_url('$other', '$_')"), qr/^22023: /, "$_ is no base URL") for 'http://cal.example.com/v2', 'https://user\@cal.example.com', 'cal.example.com';
like(error_of("SELECT dibs.set_account_url('$other', 'https://cal.example.com/api/v2')"), qr/^22023: the host "cal.example.com" is not in dibs.allowed_hosts/,
	'a host that nobody allowed');
sql(q{ALTER SYSTEM SET dibs.allowed_hosts = 'localhost:1', '127.0.0.1:1'; SELECT pg_reload_conf()});
ok(wait_for_sql($node, 'postgres', q{SELECT current_setting('dibs.allowed_hosts') LIKE '%127%'}, 't'), 'hosts are allowed');
sql("SELECT dibs.set_account_url('$other', 'http://127.0.0.1:1/v2')");
like(error_of(qq{SELECT dibs.cal_me('$other')}), qr/^08006/, 'an account is asked where its own instance is');
is(asked_as($account), 'host1@example.com', 'and the others where they were');
sql("SELECT dibs.set_account_url('$other', NULL)");
is(asked_as($other), 'host2@example.com', 'until it is taken back');
like(error_of("SELECT dibs.set_account_url('$two', NULL)"), qr/^P0002/, 'an account that is none has no URL');

is(sql("SELECT dibs.disconnect_account('cal', '$one')"), '1', 'disconnected');
ok(wait_for_sql($node, 'postgres', qq{SELECT count(*) FROM dibs."ProviderCredential"}, '0'), 'and its tokens forgotten');

done_testing();
