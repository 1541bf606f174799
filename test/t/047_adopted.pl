# Meetings that came with a booking: left alone, unless the coach says otherwise and nobody else has them.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use DibsBookings;
use DibsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $standin = start_standin();
my $node = dibs_node('adopted', standin => $standin, conf => patient_conf() . "dibs.worker = off\n");
setup_zoom($node, 'postgres');

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub drain { sql('CALL dibs.drain(100)') for 1 .. 2; return; }

sub room
{
	return $standin->control('POST', '/_control/meeting', { host => 'coach@example.com', topic => 'Theirs', type => 2, start_time => '2030-01-01T09:30:00Z' })->{id};
}

sub is_there
{
	my ($id) = @_;
	return scalar grep { $_->{id} == $id && !$_->{deleted} } @{ $standin->control('GET', '/_control/state')->{meetings} };
}

my ($plain, $managing) = ('01J9ZK4M8Q00000000000000A1', '01J9ZK4M8Q00000000000000A2');
sql(qq{INSERT INTO dibs."CoachZoomConfig" ("userUlid", "zoomUserId", "settings") VALUES ('$plain', 'coach\@example.com', '{}'),
	('$managing', 'coach\@example.com', '{"manageAdopted": true}')});
my %room = map { $_ => room() } qw(plain sole shared deleted);
sub adopt
{
	my ($uid, $user, $id, $hours) = @_;
	return book($node, 'postgres', userUlid => $user, calBookingUid => $uid, zoomMeetingId => $id, zoomJoinUrl => "https://us05web.zoom.us/j/$id", hours => $hours);
}
adopt('plain', $plain, $room{plain}, 24);
adopt('sole', $managing, $room{sole}, 26);
adopt('shared-1', $managing, $room{shared}, 28);
adopt('shared-2', $managing, $room{shared}, 30);
adopt('deleted', $managing, $room{deleted}, 32);
drain();
my @writes = grep { $_->{method} ne 'GET' && $_->{path} =~ m{/meetings} } $standin->requests;
is(scalar @writes, 0, 'taking meetings over sends nothing');
is(sql(q{SELECT string_agg(DISTINCT "meetingState", ',') FROM dibs."CalBooking"}), 'ready', 'the bookings have their meetings');

sql(q{UPDATE dibs."CalBooking" SET "title" = 'Changed'});
drain();
@writes = grep { $_->{method} eq 'PATCH' } $standin->requests;
is_deeply([ sort map { $_->{path} =~ /(\d+)$/ } @writes ], [ sort $room{sole}, $room{deleted} ], 'only those that are managed and of one booking are changed');

sql(q{UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "calBookingUid" IN ('plain', 'sole', 'shared-1')});
sql(q{DELETE FROM dibs."CalBooking" WHERE "calBookingUid" = 'deleted'});
drain();
is(is_there($room{plain}), 1, 'a meeting that came with a booking outlives it');
is(is_there($room{shared}), 1, 'so does one that others have');
is(is_there($room{sole}), 0, 'one that is managed goes with its booking');
is(is_there($room{deleted}), 0, 'also with one that was deleted');
is(sql(q{SELECT "zoomJoinUrl" IS NULL FROM dibs."CalBooking" WHERE "calBookingUid" = 'sole'}), 't', 'its link goes, too');
sql(q{UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "calBookingUid" = 'shared-2'});
drain();
is(is_there($room{shared}), 0, 'the last booking of a managed meeting takes it along');

$node->stop;
done_testing();
