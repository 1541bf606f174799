# People who connect their own accounts: the app's secrets, the browser's way over the provider's page, what came of it.
package DibsAccounts;

use strict;
use warnings;

use Exporter 'import';
use HTTP::Tiny;
use Test::More;

use DibsTest;

our @EXPORT = qw(setup_app consent browse connect_coach connection counters);

our $redirect = 'https://app.example.com/oauth/back';

# the user-managed app of the stand-in's Zoom
sub setup_app
{
	my ($node, $database) = @_;
	$node->safe_psql($database, q{
		SELECT dibs.set_secret('zoom.oauth_client_id', 'standin-user-client');
		SELECT dibs.set_secret('zoom.oauth_client_secret', 'standin-user-secret')});
	return;
}

# browse($url): the page answers at once, as if the person had clicked; the parameters that the browser comes back with
sub browse
{
	my ($url) = @_;
	my $answer = HTTP::Tiny->new(timeout => 10, max_redirect => 0)->get($url);
	my ($query) = ($answer->{headers}{location} // '') =~ /\?(.*)$/;
	return (status => $answer->{status}, content => $answer->{content}) unless defined $query;
	return map { s/%([0-9A-Fa-f]{2})/chr hex $1/ger } map { /^([^=]*)=(.*)$/ ? ($1, $2) : ($_, '') } split /&/, $query;
}

# consent($node, $database, $standin, $coach, $as): the parameters after the coach has consented with the account $as
sub consent
{
	my ($node, $database, $standin, $coach, $as, $provider) = @_;
	$provider //= 'zoom';
	$standin->settings($provider eq 'zoom' ? (consent => { user => $as }) : (cal => { calConsent => { user => $as } }));
	my $url = $node->safe_psql($database, sprintf('SELECT dibs.oauth_authorize_url(%s, %s, %s)',
		map { sql_quote($_) } $provider, $coach, $redirect));
	return browse($url);
}

# connect_coach: the whole way, without waiting for the job
sub connect_coach
{
	my ($node, $database, $standin, $coach, $as, $provider) = @_;
	my %back = consent($node, $database, $standin, $coach, $as, $provider);
	return $node->safe_psql($database, sprintf('SELECT dibs.oauth_callback(%s, %s)', map { sql_quote($_) } @back{qw(state code)}));
}

# connection($node, $database, $coach, $what): what dibs.connections says of a coach's Zoom account
sub connection
{
	my ($node, $database, $coach, $what) = @_;
	return $node->safe_psql($database, "SELECT $what FROM dibs.connections WHERE user_ulid = " . sql_quote($coach)
		  . q{ AND provider = 'zoom' ORDER BY since});
}

# the stand-in's counts of what its token endpoint did
sub counters
{
	my ($standin) = @_;
	return $standin->control('GET', '/_control/state')->{oauth};
}

1;
