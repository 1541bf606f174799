# A booking that goes to another coach keeps its ulid, one that is deleted and written anew its uid, so the old meeting
# and the new one bear the same marker, or half of it, and they may have one host. Whoever looks for one of them must not
# take the other.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use DibsBookings;
use DibsTest;

my $standin = start_standin();
my $node = dibs_node('same_marker', standin => $standin, conf => quick_conf() . "dibs.poll_interval = '1s'\n");
my $db = 'postgres';
setup_zoom($node, $db);
hosts($standin, 'a' .. 'f');
my $other = '01J9ZK4M8Q00000000000000B';

# Between an unknown outcome and the next try there is a second or two, not enough for several starts of psql where the
# machine is busy.
my $session = session($node, $db);

sub sql
{
	my ($text) = @_;
	my $got = $session->query($text);
	die "$text: " . ($session->{error} // '') if !defined $got || $session->{error} =~ /ERROR|FATAL/;
	return $got;
}

sub unknown
{
	my ($ulid, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($session->wait_for(qq{SELECT "errorCode" IS NOT NULL FROM dibs."PendingMeeting" WHERE "ulid" = '$ulid'}, 't'), $name);
}

sub fault
{
	my ($host, $method, %fault) = @_;
	$standin->control('POST', '/_control/faults', { match => { method => $method, path => $method eq 'POST' ? "/users/$host(%40|\@)" : '/meetings/\d+$' }, %fault });
}

sub live
{
	my ($ulid) = @_;
	return join ' ', map { $_->{id} } grep { !$_->{deleted} && ($_->{marker} // '') =~ /\b$ulid\b/ } @{ $standin->control('GET', '/_control/state')->{meetings} };
}

# to a coach who has the same host
sub reassign
{
	my ($ulid, $host) = @_;
	my $coach = $other . ord($host) % 10;
	sql(qq{INSERT INTO dibs."CoachZoomConfig" ("userUlid", "zoomUserId") VALUES ('$coach', '$host\@example.com');
		SELECT dibs.reassign_booking('$ulid', '$coach')});
}

sub verdict
{
	my ($ulid, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	state_is($node, $db, $ulid, 'ready', "$name: the booking is ready", 40);
	ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs."Meeting" WHERE "bookingUlid" IS NULL AND "state" <> 'gone'}, '0', 40), "$name: the old meeting's row is worked off");
	state_is($node, $db, $ulid, 'ready', "$name: the booking is still ready", 40);
	is(live($ulid), booking($node, $db, $ulid, '"zoomMeetingId"'), "$name: there is one meeting, and it is the booking's");
}

# the old one's create was carried out, and its answer lost: the tombstone looks for it, and sees two
fault('a', 'POST', kind => 'reset', when => 'after');
my $ulid = book($node, $db, email => 'a@example.com');
unknown($ulid, 'a create whose answer is lost');
reassign($ulid, 'a');
verdict($ulid, 'the old one is looked for');

# nothing was carried out: the tombstone looks, and sees the new one alone
fault('b', 'POST', kind => 'reset', when => 'before');
$ulid = book($node, $db, email => 'b@example.com');
unknown($ulid, 'a create that came to nothing');
reassign($ulid, 'b');
verdict($ulid, 'only the new one is there');

# the new one's create is carried out, and its answer lost, while the old one cannot be removed yet
$ulid = book($node, $db, email => 'c@example.com');
state_is($node, $db, $ulid, 'ready', 'a booking with its meeting');
fault('c', 'DELETE', kind => 'status', status => 503, when => 'before', times => 3);
fault('c', 'POST', kind => 'reset', when => 'after');
reassign($ulid, 'c');
verdict($ulid, 'the new one is looked for');

# both answers are lost
fault('d', 'POST', kind => 'reset', when => 'after', times => 2);
$ulid = book($node, $db, email => 'd@example.com');
unknown($ulid, 'a create whose answer is lost');
reassign($ulid, 'd');
verdict($ulid, 'both are looked for');

# the row is deleted and written anew
fault('e', 'POST', kind => 'reset', when => 'after');
my $first = book($node, $db, email => 'e@example.com', calBookingUid => 'again', userUlid => $other . 'X');
unknown($first, 'a create whose answer is lost');
sql(qq{DELETE FROM dibs."CalBooking" WHERE "ulid" = '$first'});
$ulid = book($node, $db, email => 'e@example.com', calBookingUid => 'again', userUlid => $other . 'X');
verdict($ulid, 'the same uid');
is(live($first), '', 'the same uid: nothing is left of the first');

$session->quit;
$node->stop('fast');
done_testing();
