# dibs.host_url(): a fresh way in for the host, in the caller's own time; for nobody else, and kept nowhere.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use DibsBookings;
use DibsTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $standin = start_standin();
my $node = dibs_node('host', standin => $standin, conf => "dibs.worker = off\nlog_statement = all\n");
setup_zoom($node, 'postgres');
my $coach = '01J9ZK4M8Q0000000000000081';

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub fails
{
	my ($sql, $state, $what) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	unlike("$out$err", qr/STANDIN-ZAK-SECRET|Bearer/, "$what: no secret");
	return like($err, qr/ERROR:  $state/, $what);
}

my $zoom = book($node, 'postgres', userUlid => $coach, calBookingUid => 'zoom', email => 'coach@example.com');
my $jitsi = book($node, 'postgres', userUlid => $coach, calBookingUid => 'jitsi', meetingProvider => 'jitsi', hours => 30);
fails(q{SELECT dibs.host_url('zoom')}, '55000', 'a booking without a meeting yet');
sql('CALL dibs.drain(100)');
my $before = () = $standin->requests(method => 'GET', path => '/meetings/\d+$');
my $link = sql(q{SELECT dibs.host_url('zoom')});
like($link, qr{^https://us05web\.zoom\.us/s/\d+\?zak=STANDIN-ZAK-SECRET}, 'a start link');
is(scalar(() = $standin->requests(method => 'GET', path => '/meetings/\d+$')), $before + 1, 'fetched at Zoom');
like(sql(qq{SELECT dibs.host_url('$zoom')}), qr/zak=/, 'by the ulid, too');
my @tokens = $standin->requests(method => 'POST', path => '/oauth/token');
my $session = session($node, 'postgres');
$session->query(q{SELECT dibs.host_url('zoom')}) for 1 .. 3;
is(scalar(() = $standin->requests(method => 'POST', path => '/oauth/token')), @tokens + 1, 'a session fetches one access token');
$standin->control('POST', '/_control/tokens', { revoke => 'access' });
like($session->query(q{SELECT dibs.host_url('zoom')}), qr/zak=/, 'and another where that one is refused');
like(sql(q{SELECT dibs.host_url('jitsi')}), qr{^https://meet\.jit\.si/dibs-}, 'of a room it is the host\'s link');

fails(q{SELECT dibs.host_url('nothing')}, 'P0002', 'a booking that is none');
my $id = sql(q{SELECT "zoomMeetingId" FROM dibs."CalBooking" WHERE "calBookingUid" = 'zoom'});
$standin->control('POST', '/_control/faults', { match => { method => 'GET', path => '/meetings/\d+$' }, kind => 'status', status => 502, body => '<html>', when => 'before' });
fails(q{SELECT dibs.host_url('zoom')}, '08006', 'a proxy\'s page in Zoom\'s place');
$standin->control('POST', '/_control/faults', { match => { method => 'GET', path => '/meetings/\d+$' }, kind => 'json', body => '{"start_url": "http://evil.example/"}', when => 'after' });
fails(q{SELECT dibs.host_url('zoom')}, '08006', 'a link that is none');

# a cancel takes effect at once
$standin->control('POST', '/_control/faults', { match => { method => 'GET', path => '/meetings/\d+$' }, kind => 'timeout', when => 'before' });
$session->query('\set VERBOSITY verbose');
$session->query(q{SET statement_timeout = '300ms'});
my $start = time;
$session->query(q{SELECT dibs.host_url('zoom')});
cmp_ok(time - $start, '<', 2, 'a cancel ends the wait');
like($session->{error}, qr/ERROR:  57014/, 'as a cancel');
unlike($session->{error}, qr/STANDIN-ZAK-SECRET|Bearer/, 'and tells no secret');
$standin->control('DELETE', '/_control/faults');

# who may
sql(q{CREATE ROLE app LOGIN; CREATE ROLE member; SELECT dibs.grant_access('app', 'app'); SELECT dibs.grant_access('member', 'member');
	CREATE ROLE authenticator LOGIN NOINHERIT; GRANT member TO authenticator});
like($node->safe_psql('postgres', q{SELECT dibs.host_url('zoom')}, extra_params => [ '-U', 'app' ]), qr/zak=/, 'the application may');
sub as_member
{
	my ($user) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', qq{\\set VERBOSITY verbose
		SET ROLE member; SET request.jwt.claims = '{"sub": "$user"}'; SELECT dibs.host_url('zoom')}, extra_params => [ '-U', 'authenticator' ]);
	return "$out$err";
}
like(as_member($coach), qr/zak=/, 'its coach may');
like(as_member('01J9ZK4M8Q0000000000000099'), qr/P0002/, 'for another coach there is no such booking');
$standin->control('POST', "/_control/meeting/$id", { deleted => JSON::PP::true });
fails(q{SELECT dibs.host_url('zoom')}, '55000', 'a meeting that is not there any more');
sql(q{UPDATE dibs."CalBooking" SET "status" = 'CANCELLED'});
fails(q{SELECT dibs.host_url('jitsi')}, '55000', 'a cancelled booking');

my $dump = '';
run_log([ 'pg_dump', '-a', '-d', $node->connstr('postgres') ], '>', \$dump);
ok(length $dump > 1000, 'a dump');
unlike($dump, qr/STANDIN-ZAK-SECRET/, 'has no start link in it');
unlike(slurp_file($node->logfile), qr/STANDIN-ZAK-SECRET/, 'nor has the log');

$node->stop;
done_testing();
