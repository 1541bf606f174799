# A coach connects the own Zoom account: the page, the code, the exchange, meetings made with the coach's own grant; what
# is refused; and what is left of it all that could be used by somebody who reads.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use DibsAccounts;
use DibsBookings;
use DibsTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $standin = start_standin();
my $node = dibs_node('connect', standin => $standin, conf => quick_conf()
	  . "dibs.default_meeting_provider = 'zoom'\nlog_statement = none\nlog_min_messages = debug1\n");
my ($one, $two, $three) = map { "01J9ZK4M8Q000000000000010$_" } 1 .. 3;

sub sql
{
	my ($text) = @_;
	return $node->safe_psql('postgres', $text);
}

# the SQLSTATE and message that a statement fails with
sub error_of
{
	my ($text) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $text, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return $rc == 0 ? "no error: $out" : $err =~ /ERROR:\s+(\w{5}: [^\n]*)/ ? $1 : $err;
}

# --- before there is an app ---

like(error_of("SELECT dibs.oauth_authorize_url('zoom', '$one', '$DibsAccounts::redirect')"),
	qr/^F0000: nobody can connect to Zoom: the secret zoom.oauth_client_id is not set/, 'the app has to be known');
setup_app($node, 'postgres');

like(error_of("SELECT dibs.oauth_authorize_url('jitsi', '$one', '$DibsAccounts::redirect')"), qr/^22023: "jitsi" is no provider/,
	'a provider without accounts');
like(error_of("SELECT dibs.oauth_authorize_url('zoom', 'nobody', '$DibsAccounts::redirect')"), qr/^22023: "nobody\s*" is no ULID/,
	'what is no ULID');
like(error_of("SELECT dibs.oauth_authorize_url('zoom', '$one', " . sql_quote($_) . ')'), qr/^22023: .* is no redirect URL/, "redirect to $_")
  for 'http://app.example.com/back', 'https://', 'javascript:alert(1)', 'https://app.example.com/#part', "https://app.example.com/a b",
  'http://localhost.example.com/';
like(sql("SELECT dibs.oauth_authorize_url('zoom', '$one', 'http://localhost:3000/back')"),
	qr{/oauth/authorize\?response_type=code&client_id=standin-user-client&redirect_uri=http%3A%2F%2Flocalhost%3A3000%2Fback&state=[\w-]{43}&code_challenge=[\w-]{43}&code_challenge_method=S256$},
	'the page: state, and a challenge by S256');

# --- the whole way ---

my $waiting = book($node, 'postgres', userUlid => $one);
ok(wait_for_sql($node, 'postgres', qq{SELECT "meetingState" FROM dibs."CalBooking" WHERE "ulid" = '$waiting'}, 'failed'), 'without an account the booking has no meeting');
is(booking($node, 'postgres', $waiting, '"meetingErrorCode"'), 'no_host', 'and says why');

my %back = consent($node, 'postgres', $standin, $one, 'host1@example.com');
is(join(',', sort keys %back), 'code,state', 'the browser comes back with state and code');
my $answer = sql(sprintf q{SELECT dibs.oauth_callback('%s', '%s') - 'signIn'}, @back{qw(state code)});
is($answer, qq({"state": "connecting", "provider": "zoom", "userUlid": "$one"}), 'the callback takes them');
ok(wait_for_sql($node, 'postgres', "SELECT state, connected, external_id IS NOT NULL, email FROM dibs.connections WHERE user_ulid = '$one'",
	'connected|t|t|host1@example.com'), 'the account is connected, by its own name');
state_is($node, 'postgres', $waiting, 'ready', 'the booking that waited for it has its meeting');
is(sql(qq{SELECT m."host", m."account" = c.account FROM dibs."Meeting" m, dibs.connections c WHERE m."bookingUlid" = '$waiting' AND c.user_ulid = '$one'}),
	'me|t', 'made with the coach\'s own account');
my @calls = grep { $_->{path} =~ m{^/v2/} } $standin->requests();
is(shown(@calls), 'GET 200, POST 201', 'two calls: whose account it is, and the meeting');
is($calls[1]{path}, '/v2/users/me/meetings', 'as the one whom the token is of');
is(clean_log(@calls), '', 'and Zoom would have taken them as they are');
is(sql(q{SELECT "kind", "state" FROM dibs."Job" WHERE "kind" IN ('exchange_code', 'refresh_token') ORDER BY 1}),
	"exchange_code|done\nrefresh_token|waiting", 'the exchange is over, the refresh waits for its time');
is(sql(q{SELECT string_agg("type", ',' ORDER BY "ulid") FROM dibs."Event" WHERE "type" LIKE 'connection.%'}), 'connection.made', 'told to those who follow');
is(sql(q{SELECT count(*) FROM dibs."AuditLog" WHERE "action" = 'connection.made'}), '1', 'and in the audit log');
ok(sql(q{SELECT "scopes" <> '{}' AND "expiresAt" > now() + interval '50 min' FROM dibs."ProviderCredential"}) eq 't', 'scopes and expiry are kept');

sql(qq{UPDATE dibs."CalBooking" SET "title" = 'Another title' WHERE "ulid" = '$waiting'});
state_is($node, 'postgres', $waiting, 'ready', 'the meeting follows a change');
sql(qq{DELETE FROM dibs."CalBooking" WHERE "ulid" = '$waiting'});
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."Meeting" WHERE "state" <> 'gone'}, '0'), 'and is removed with its booking');
is(shown(grep { $_->{path} =~ m{^/v2/meetings} } $standin->requests()), 'PATCH 204, DELETE 204', 'by the same grant');

# --- states: once, in time, one's own ---

like(error_of(sprintf q{SELECT dibs.oauth_callback('%s', '%s')}, @back{qw(state code)}), qr/^22023: this sign-in was used before/, 'a state is used once');
like(error_of(q{SELECT dibs.oauth_callback('made-up', 'code')}), qr/^22023: this sign-in is not known here/, 'a made-up state');
%back = consent($node, 'postgres', $standin, $two, 'host2@example.com');
sql(qq{UPDATE dibs."OAuthState" SET "expiresAt" = now() WHERE "userUlid" = '$two'});
like(error_of(sprintf q{SELECT dibs.oauth_callback('%s', '%s')}, @back{qw(state code)}), qr/^22023: this sign-in has expired/, 'a state that is too old');
is(sql(qq{SELECT count(*) FROM dibs."ProviderAccount" WHERE "userUlid" = '$two'}), '0', 'connects nothing');
like(error_of("SELECT dibs.oauth_callback('$back{state}', E'two\\nlines')"), qr/^22023: the code is none/, 'what is no code');

sql(q{CREATE ROLE gate LOGIN NOINHERIT; CREATE ROLE people; GRANT people TO gate; SELECT dibs.grant_access('people', 'member');
	ALTER SYSTEM SET dibs.gateway_roles = 'gate'; ALTER SYSTEM SET dibs.claim_user = 'sub'; SELECT pg_reload_conf()});
sql(q{GRANT USAGE ON SCHEMA dibs TO people});
sub as_member
{
	my ($ulid, $statement) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "SET ROLE people; SET request.jwt.claims = '{\"sub\": \"$ulid\"}'; $statement",
		extra_params => [ '-v', 'VERBOSITY=verbose', '-U', 'gate' ], on_error_stop => 1);
	return $rc == 0 ? $out : $err =~ /ERROR:\s+(\w{5}: [^\n]*)/ ? $1 : $err;
}
like(as_member($two, "SELECT dibs.oauth_authorize_url('zoom', '$two', '$DibsAccounts::redirect')"), qr/authorize\?/, 'a member connects its own account');
like(as_member($two, "SELECT dibs.oauth_authorize_url('zoom', '$three', '$DibsAccounts::redirect')"), qr/^42501: this account is not the caller's/,
	'and nobody else\'s');
%back = consent($node, 'postgres', $standin, $two, 'host2@example.com');
like(as_member($three, sprintf q{SELECT dibs.oauth_callback('%s', '%s')}, @back{qw(state code)}), qr/^42501: this sign-in was begun for somebody else/,
	'a foreign coach can do nothing with a state');
like(as_member($two, sprintf q{SELECT dibs.oauth_callback('%s', '%s')}, @back{qw(state code)}), qr/connecting/, 'whose it is can');
ok(wait_for_sql($node, 'postgres', "SELECT state FROM dibs.connections WHERE user_ulid = '$two'", 'connected'), 'connected');
like(as_member($three, "SELECT dibs.disconnect_account('zoom', '$two')"), qr/^42501/, 'nobody disconnects another');

# --- what goes wrong on the way ---

connect_coach($node, 'postgres', $standin, $three, 'host1@example.com');
ok(wait_for_sql($node, 'postgres', "SELECT state, why_code FROM dibs.connections WHERE user_ulid = '$three'", 'failed|account_taken'),
	'an account that is another coach\'s is not taken away');
is(connection($node, 'postgres', $one, 'state'), 'connected', 'who has it keeps it');

$standin->control('POST', '/_control/faults', { match => { path => '/oauth/token' }, kind => 'reset', when => 'before', times => 1 });
connect_coach($node, 'postgres', $standin, $three, 'coach@example.com');
ok(wait_for_sql($node, 'postgres', "SELECT state FROM dibs.connections WHERE user_ulid = '$three'", 'connected'), 'a reset before acting: tried once more');
my $listener = session($node, 'postgres');
$listener->query('LISTEN dibs_events');
is(sql("SET dibs.notify_events = on; SELECT dibs.disconnect_account('zoom', '$three')"), '1', 'disconnected');
like($listener->query('SELECT 1'), qr/"dibs_events"/, 'who listens is told of that, too');
$listener->quit;
ok(wait_for_sql($node, 'postgres', qq{SELECT count(*) FROM dibs."ProviderCredential" c JOIN dibs."ProviderAccount" a ON a."ulid" = c."accountUlid" WHERE a."userUlid" = '$three'}, '0'),
	'the tokens are gone');
is(counters($standin)->{revoked}, 1, 'and revoked at Zoom');
is(connection($node, 'postgres', $three, 'state, connected'), 'disconnected|f', 'which is shown');

$standin->control('POST', '/_control/faults', { match => { path => '/oauth/token' }, kind => 'reset', when => 'after', times => 1 });
connect_coach($node, 'postgres', $standin, $three, 'coach@example.com');
ok(wait_for_sql($node, 'postgres', "SELECT state, why_code FROM dibs.connections WHERE user_ulid = '$three' AND account IS NULL", 'failed|code_refused'),
	'a lost answer: the code is used up, and the person is told to begin again');
like(sql("SELECT why FROM dibs.connections WHERE user_ulid = '$three' AND account IS NULL"), qr/answer to an earlier exchange was lost/, 'in words');
connect_coach($node, 'postgres', $standin, $three, 'coach@example.com');
ok(wait_for_sql($node, 'postgres', "SELECT string_agg(state, ',') FROM dibs.connections WHERE user_ulid = '$three'", 'connected'), 'and may');

is(sql(q{SELECT dibs.account_deauthorized('zoom', 'nobody-there')}), 'f', 'the app is removed from an account that nobody has');
is(sql(qq{SELECT dibs.account_deauthorized('zoom', external_id) FROM dibs.connections WHERE user_ulid = '$three'}), 't', 'and from one that somebody has');
is(connection($node, 'postgres', $three, 'state, why_code'), 'deauthorized|deauthorized', 'which is shown');
is(sql(qq{SELECT count(*) FROM dibs."ProviderCredential" c JOIN dibs."ProviderAccount" a ON a."ulid" = c."accountUlid" WHERE a."userUlid" = '$three'}), '0',
	'its tokens are destroyed');
is(sql(qq{SELECT "type", "data"->>'code' FROM dibs."Event" WHERE "userUlid" = '$three' ORDER BY "ulid" DESC LIMIT 1}), 'connection.lost|deauthorized', 'those who follow are told');

# --- a coach who is no more ---

sql(qq{CREATE TABLE users (id char(26) PRIMARY KEY); INSERT INTO users VALUES ('$two'); SELECT dibs.attach_users('users', 'id')});
my $last = book($node, 'postgres', userUlid => $two);
state_is($node, 'postgres', $last, 'ready', 'a coach has a meeting');
my $revoked = counters($standin)->{revoked};
$standin->control('POST', '/_control/faults', { match => { method => 'DELETE', path => '/meetings/' }, kind => 'status', status => 503, times => 1 });
sql(qq{DELETE FROM users WHERE id = '$two'});
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."Job" WHERE "kind" = 'revoke_grant' AND "state" = 'waiting' AND "dueAt" > now() + interval '30 s'}, '1'),
	'the coach is deleted: the grant waits for the meeting\'s removal');
is(counters($standin)->{revoked}, $revoked, 'and is not revoked yet');
ok(wait_for_sql($node, 'postgres', q{SELECT count(*) FROM dibs."Meeting" WHERE "state" <> 'gone'}, '0'), 'the meeting is removed, with the grant of who made it');
sql(q{UPDATE dibs."Job" SET "dueAt" = '-infinity' WHERE "kind" = 'revoke_grant'; SELECT dibs.wake()});
ok(wait_for_sql($node, 'postgres', qq{SELECT count(*) FROM dibs."ProviderCredential" c JOIN dibs."ProviderAccount" a ON a."ulid" = c."accountUlid" WHERE a."userUlid" = '$two'}, '0'),
	'then the tokens go');
is(counters($standin)->{revoked}, $revoked + 1, 'revoked');

done_testing();
