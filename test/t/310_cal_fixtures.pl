# Every payload among the collected ones of Cal.com's (beside DIBS_SPECS; skipped where there are none) is received, and
# the rows say what it means. What a row must be is read from the payload, by rules written here for each trigger.
use strict;
use warnings;

use File::Basename qw(basename dirname);
use File::Spec;
use JSON::PP ();
use Test::More;

use DibsTest;

my $specs = specs_dir();
my $dir = defined $specs ? File::Spec->catdir(dirname($specs), 'fixtures', 'calcom') : undef;
plan skip_all => "no fixtures of Cal.com's (looked beside DIBS_SPECS)" unless defined $dir && -d $dir;

my $coach = '01HZX00000000000000000XWF1';
my $node = dibs_node('fixtures', conf => "dibs.worker = off\ndibs.default_user_ulid = '$coach'");
setup_coach($node, 'postgres', user_ulid => $coach, email => 'organizer@example.com');

my %status = (
	BOOKING_CREATED => 'CONFIRMED', BOOKING_REQUESTED => 'PENDING', BOOKING_RESCHEDULED => 'CONFIRMED',
	BOOKING_PAYMENT_INITIATED => 'PENDING', BOOKING_PAID => 'CONFIRMED', BOOKING_REJECTED => 'REJECTED',
	BOOKING_CANCELLED => 'CANCELLED');
my %note = (
	MEETING_STARTED => 'booking.start_time_reached', MEETING_ENDED => 'booking.end_time_reached',
	RECORDING_READY => 'recording.ready', RECORDING_TRANSCRIPTION_GENERATED => 'transcript.ready',
	AFTER_HOSTS_CAL_VIDEO_NO_SHOW => 'host.absent', AFTER_GUESTS_CAL_VIDEO_NO_SHOW => 'guests.absent',
	WRONG_ASSIGNMENT_REPORT => 'assignment.reported');
# Facts of the payload that are nowhere else: what gives access must not be kept.
my @bearers = qw(oneTimePassword connectAndJoinUrl downloadLink downloadLinks hashedLink paymentData);

sub ask { return $node->safe_psql('postgres', @_); }

sub forget
{
	ask(qq{DELETE FROM dibs."CalBooking"; DELETE FROM dibs."BookingUid"; DELETE FROM dibs."Event"; DELETE FROM dibs."WebhookEvent"});
}

sub instant
{
	my ($text) = @_;
	return ask('SELECT extract(epoch FROM ' . sql_quote($text) . '::timestamptz)::bigint');
}

sub row
{
	my ($uid) = @_;
	my $row = ask(q{SELECT to_jsonb(b) || jsonb_build_object('start', extract(epoch FROM b."startTime")::bigint,
		'end', extract(epoch FROM b."endTime")::bigint) FROM dibs."CalBooking" b WHERE b."calBookingUid" = } . sql_quote($uid));
	return $row eq '' ? undef : JSON::PP->new->decode($row);
}

# A known booking, for what is only about one that is known.
sub known
{
	my ($uid, %field) = @_;
	my $told = deliver_cal($node, 'postgres', cal_body('BOOKING_CREATED', createdAt => '2023-01-01T00:00:00.000Z', uid => $uid, %field));
	is($told->{outcome}, 'applied', "a booking $uid");
}

sub check_booking
{
	my ($trigger, $p, $row) = @_;
	my %guest = map { lc $_->{email} => 1 } grep { lc $_->{email} ne lc $p->{organizer}{email} } @{ $p->{attendees} };

	is($row->{status}, $status{$trigger}, 'status');
	is($row->{start}, instant($p->{startTime}), 'start');
	is($row->{end}, instant($p->{endTime}), 'end');
	is($row->{title}, $p->{title}, 'title') if defined $p->{title};
	is($row->{calBookingId}, $p->{bookingId}, 'number');
	is($row->{eventTypeId}, $p->{eventTypeId}, 'event type') if defined $p->{eventTypeId};
	is($row->{eventTypeSlug}, $p->{type}, 'its slug');
	is($row->{userUlid}, $coach, 'coach');
	is($row->{source}, 'cal', 'source');
	is_deeply([ sort map { lc $_->{email} } @{ $row->{participants} } ], [ sort keys %guest ], 'guests');
	is($row->{currentParticipants}, scalar keys %guest, 'how many');
	is($row->{attendeeEmail}, $p->{responses}{email}{value} // $p->{attendees}[0]{email}, 'who booked');
	is_deeply($row->{location}, { kind => 'provider', value => 'video-provider' }, 'location')
	  if ($p->{location} // '') eq 'integrations:video-provider' && !$p->{metadata}{videoCallUrl} && !$p->{videoCallData}{url};
	for my $slug (grep { ref $p->{responses}{$_} eq 'HASH' && defined $p->{responses}{$_}{value} } keys %{ $p->{responses} // {} })
	{
		is_deeply($row->{bookingFields}{$slug}, $p->{responses}{$slug}{value}, "answer $slug");
	}
	is($row->{cancellationReason}, $p->{cancellationReason} || $p->{rejectionReason} || undef, 'reason') if $status{$trigger} =~ /CANCELLED|REJECTED/;
	if ($trigger =~ /PAID|PAYMENT/)
	{
		is_deeply([ @$row{qw(amount currency)} ], [ $p->{price}, uc $p->{currency} ], 'price');
		is(!!$row->{paid}, $trigger eq 'BOOKING_PAID', 'paid');
	}
	is($row->{rescheduledFromUid}, $p->{rescheduleUid}, 'replaces') if defined $p->{rescheduleUid};
}

sub fixture
{
	my ($file) = @_;
	open(my $in, '<:raw', $file) or die "$file: $!";
	my $body = do { local $/; <$in> };
	my $j = JSON::PP->new->utf8->decode($body);
	my $p = ref $j->{payload} eq 'HASH' ? $j->{payload} : $j;
	my $trigger = $j->{triggerEvent};
	my @keys = sort keys %$p;
	my $uid = $p->{uid} // $p->{bookingUid} // (ref $p->{booking} eq 'HASH' ? $p->{booking}{uid} : undef);
	my $seat = $p->{attendeeSeatId};
	my $told;

	forget();
	if (defined $seat)
	{
		my %group = (
			seatsPerTimeSlot => $p->{seatsPerTimeSlot}, attendeeSeatId => 'first', startTime => '2024-01-04T10:00:00Z', endTime => '2024-01-04T10:15:00Z',
			organizer => $p->{organizer}, attendees => [ { name => 'First', email => 'first@example.com', timeZone => 'UTC' } ], responses => {});
		known($uid, %group);
		if ($trigger eq 'BOOKING_CANCELLED')
		{
			is(deliver_cal($node, 'postgres', cal_body('BOOKING_CREATED', createdAt => '2023-01-02T00:00:00.000Z', uid => $uid, %group,
				attendeeSeatId => $seat, attendees => $p->{attendees}))->{outcome}, 'applied', 'a second seat');
		}
		$told = deliver_cal($node, 'postgres', $body);
		is($told->{outcome}, 'applied', 'applied');
		my $row = row($uid);
		my $in = $trigger eq 'BOOKING_CANCELLED' ? 1 : 2;
		is($row->{status}, 'CONFIRMED', 'the session stands');
		is($row->{bookingType}, 'GROUP', 'a group session');
		is($row->{maxParticipants}, $p->{seatsPerTimeSlot}, 'seats');
		is($row->{currentParticipants}, $in, 'people');
		is(ask(q{SELECT "status" FROM dibs."BookingParticipant" WHERE "seatId" = } . sql_quote($seat)), $in == 1 ? 'CANCELLED' : 'CONFIRMED', 'the seat');
	}
	elsif (exists $status{$trigger})
	{
		$told = deliver_cal($node, 'postgres', $body);
		is($told->{outcome}, 'applied', 'applied');
		check_booking($trigger, $p, row($uid));
	}
	elsif ($trigger eq 'BOOKING_NO_SHOW_UPDATED' || exists $note{$trigger})
	{
		$told = deliver_cal($node, 'postgres', $body);
		is($told->{outcome}, 'unmatched', 'waits for its booking');
		known($uid, attendees => $p->{attendees} // [ { name => 'Guest', email => 'guest@example.com', timeZone => 'UTC' } ]);
		ask('SELECT dibs.apply_webhooks()');
		is(ask(q{SELECT "outcome" FROM dibs."WebhookEvent" WHERE "trigger" = } . sql_quote($trigger)), 'applied', 'and is applied to it');
		if (exists $note{$trigger})
		{
			is(ask(q{SELECT count(*) FROM dibs."Event" WHERE "type" = } . sql_quote($note{$trigger})), 1, $note{$trigger});
			is(row($uid)->{status}, 'CONFIRMED', 'the status is as it was');
			is(ask(q{SELECT count(*) FROM dibs."BookingParticipant" WHERE "noShow" OR "joinedAt" IS NOT NULL}), 0, 'nobody is said to have come, or not');
		}
		else
		{
			for my $who (@{ $p->{attendees} })
			{
				is(ask(q{SELECT "noShow" FROM dibs."BookingParticipant" WHERE lower("email") = } . sql_quote(lc $who->{email})), $who->{noShow} ? 't' : 'f', 'absent or not');
			}
		}
	}
	else
	{
		$told = deliver_cal($node, 'postgres', $body);
		is($told->{outcome}, 'ignored', 'kept, and of no consequence');
		is(ask('SELECT count(*) FROM dibs."CalBooking"'), 0, 'no booking');
	}
	is($told->{status}, 200, 'status 200');
	is(deliver_cal($node, 'postgres', $body)->{outcome}, 'duplicate', 'again: a duplicate');
	my $kept = JSON::PP->new->decode(ask(q{SELECT "payload" FROM dibs."WebhookEvent" WHERE "trigger" = } . sql_quote($trigger) . q{ ORDER BY "sentAt" DESC LIMIT 1}));
	my $inner = ref $kept->{payload} eq 'HASH' ? $kept->{payload} : $kept;
	is_deeply([ grep { defined $inner->{$_} } @bearers ], [], 'without what gives access');
	# a bearer that is null gives access to nothing
	my %gone = map { $_ => 1 } grep { defined $p->{$_} } @bearers;
	is_deeply([ sort keys %$inner ], [ grep { !$gone{$_} } @keys ], 'and otherwise whole');
}

my @files = (glob("$dir/*.json"), glob("$dir/derived/*.json"));
cmp_ok(scalar @files, '>', 10, 'there are fixtures');
for my $file (@files)
{
	subtest basename($file) => sub { fixture($file) };
}
done_testing();
