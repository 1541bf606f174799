# A model of Cal.com: bookings live their lives in it, and every step sends the webhooks that Cal.com would send, with the
# quirks of its two senders. It knows nothing of dibs; expected() says what a reader of all events, in order, must hold.
package CalHistories;

use strict;
use warnings;

use JSON::PP ();
use POSIX ();

my $json = JSON::PP->new->canonical->utf8;
my $null = JSON::PP::null;

# new($name, \&random): one history. random(n) gives 0 .. n-1.
sub new
{
	my ($class, $name, $random) = @_;
	my $self = bless {
		name => $name,
		random => $random,
		clock => 1_760_000_000_000 + $random->(1_000_000_000),
		uids => 0,
		legacy => $random->(2),
		bookings => [],
		events => [] }, $class;
	return $self;
}

sub chance { my ($self, $percent) = @_; return $self->{random}->(100) < $percent; }
sub pick { my ($self, @from) = @_; return $from[ $self->{random}->(scalar @from) ]; }

sub tick
{
	my ($self) = @_;
	$self->{clock} += 1 + $self->{random}->(90_000);
	return $self->{clock};
}

sub iso
{
	my ($ms) = @_;
	return POSIX::strftime('%Y-%m-%dT%H:%M:%S', gmtime(int($ms / 1000))) . sprintf('.%03dZ', $ms % 1000);
}

# a time of a booking, in one of the spellings that are sent
sub spelled
{
	my ($self, $seconds) = @_;
	my $text = POSIX::strftime('%Y-%m-%dT%H:%M:%S', gmtime($seconds));
	my $how = $self->{random}->(4);
	return $text . 'Z' if $how == 0;
	return $text . '.000Z' if $how == 1;
	return $text . '+00:00' if $how == 2;
	return POSIX::strftime('%Y-%m-%dT%H:%M:%S', gmtime($seconds + 19800)) . '+05:30';
}

sub new_uid { my ($self) = @_; return "$self->{name}-u" . ++$self->{uids}; }

sub new_time
{
	my ($self, $booking) = @_;
	my $start = 1_800_000_000 + 900 * $self->{random}->(20_000);
	$booking->{start} = $start;
	$booking->{length} = $self->pick(15, 30, 60);
	return;
}

sub new_person
{
	my ($self) = @_;
	my $n = ++$self->{people};
	return {
		email => "p$n\@$self->{name}.example",
		name => $self->pick('Ada', 'Bo', "Zo\x{eb}", "O'Neill", '"Q" <q>') . " $n",
		timeZone => $self->pick('Europe/Paris', 'UTC', 'Asia/Tokyo') };
}

# --- what is sent ---

sub spell_person
{
	my ($self, $person) = @_;
	# mailboxes are sent as people typed them
	my $email = $self->chance(10) ? ucfirst $person->{email} : $person->{email};
	return { email => $email, name => $person->{name}, timeZone => $person->{timeZone}, language => { locale => 'en' } };
}

sub send_event
{
	my ($self, $trigger, $at, $payload) = @_;
	push @{ $self->{events} }, $json->encode({ triggerEvent => $trigger, createdAt => iso($at), payload => $payload });
	return;
}

my %status_of = (
	BOOKING_CREATED => 'ACCEPTED',
	BOOKING_RESCHEDULED => 'ACCEPTED',
	BOOKING_PAID => 'ACCEPTED',
	BOOKING_PAYMENT_INITIATED => 'ACCEPTED',
	BOOKING_REQUESTED => 'PENDING',
	BOOKING_REJECTED => 'REJECTED',
	BOOKING_CANCELLED => 'CANCELLED');

my %describes = map { $_ => 1 } qw(BOOKING_CREATED BOOKING_REQUESTED BOOKING_RESCHEDULED);

# the payload that every booking trigger has
sub booking_payload
{
	my ($self, $trigger, $b, @people) = @_;
	my $uid = $b->{uids}[-1];
	my %payload = (
		uid => $uid,
		bookingId => $b->{id},
		title => $b->{title},
		type => 'kind-' . ($b->{seats} ? 'group' : 'single'),
		eventTypeId => 100 + ($b->{seats} // 0),
		startTime => $self->spelled($b->{start}),
		endTime => $self->spelled($b->{start} + 60 * $b->{length}),
		length => $b->{length},
		organizer => { id => 7, name => 'Coach', email => 'coach@example.com', username => 'coach', timeZone => 'UTC' },
		attendees => [ map { $self->spell_person($_) } @people ],
		seatsPerTimeSlot => $b->{seats} // $null,
		status => $status_of{$trigger});
	if ($describes{$trigger})
	{
		$payload{location} = 'integrations:daily';
		$payload{metadata} = { videoCallUrl => "https://video.example/$uid" };
		$payload{responses} = {
			email => { label => 'email_address', value => $people[0]{email} },
			notes => { label => 'notes', isHidden => JSON::PP::false, value => "note $uid" } } if @people;
		$payload{description} = "about $uid";
		$b->{said} = { title => $b->{title}, start => $b->{start}, length => $b->{length}, link => "https://video.example/$uid" };
	}
	else
	{
		# raw codes where the others have links
		$payload{location} = 'integrations:daily';
		$payload{responses} = { notes => { label => 'notes', value => 'not the notes' } } if $self->chance(50);
		$payload{price} = $null if $trigger eq 'BOOKING_CANCELLED';
	}
	return \%payload;
}

sub in { my ($b) = @_; return grep { $_->{in} } @{ $b->{people} }; }

sub send_booking
{
	my ($self, $trigger, $b, %more) = @_;
	my $people = delete $more{people} // [ in($b) ];
	my $at = delete $more{at} // $self->tick;
	my $payload = $self->booking_payload($trigger, $b, @$people);
	$self->send_event($trigger, $at, { %$payload, %more });
	return $at;
}

sub new_booking
{
	my ($self, %more) = @_;
	my $b = {
		uids => [ $self->new_uid ],
		id => ++$self->{ids},
		title => "Talk " . $self->{random}->(1000),
		people => [],
		status => 'CONFIRMED',
		paid => undef,
		%more };
	$self->new_time($b);
	push @{ $self->{bookings} }, $b;
	return $b;
}

# --- one person's bookings ---

sub begin_single
{
	my ($self) = @_;
	my $b = $self->new_booking;
	push @{ $b->{people} }, { %{ $self->new_person }, in => 1 } for 1 .. $self->pick(1, 1, 1, 2, 3);
	my $kind = $self->pick('auto', 'auto', 'confirm', 'paid');
	if ($kind eq 'auto')
	{
		my $at = $self->send_booking('BOOKING_CREATED', $b);
		# made and cancelled by a program, within a millisecond: the end is the last word
		$self->cancel($b, at => $at) if $self->chance(8);
	}
	elsif ($kind eq 'confirm')
	{
		$b->{status} = 'PENDING';
		$self->send_booking('BOOKING_REQUESTED', $b);
	}
	else
	{
		$b->{status} = 'PENDING';
		$b->{paid} = 0;
		$b->{price} = 100 * (1 + $self->{random}->(50));
		$self->send_booking('BOOKING_PAYMENT_INITIATED', $b, price => $b->{price}, currency => $self->pick('usd', 'USD'));
	}
	return;
}

sub step_single
{
	my ($self, $b) = @_;
	my $what = $self->{random}->(100);
	if ($b->{status} eq 'PENDING')
	{
		if (defined $b->{paid} && !$b->{paid} && $what < 60)
		{
			# the second is not awaited
			$b->{paid} = 1;
			$b->{status} = 'CONFIRMED';
			my $at = $self->send_booking('BOOKING_CREATED', $b);
			$self->send_booking('BOOKING_PAID', $b, at => $at + $self->pick(-3, 0, 5), price => $b->{price}, currency => 'USD',
				metadata => { identifier => 'cal', externalId => 'pi_0' });
		}
		elsif (!defined $b->{paid} && $what < 50)
		{
			$b->{status} = 'CONFIRMED';
			# somebody was invited meanwhile: no webhook of its own
			push @{ $b->{people} }, { %{ $self->new_person }, in => 1 } if $self->chance(20);
			$self->send_booking('BOOKING_CREATED', $b);
		}
		elsif ($what < 75)
		{
			$b->{status} = 'REJECTED';
			$b->{reason} = "no $what";
			$self->send_booking('BOOKING_REJECTED', $b, rejectionReason => $b->{reason});
		}
		else
		{
			$self->cancel($b);
		}
		return;
	}
	if ($what < 45)
	{
		$self->reschedule($b);
	}
	elsif ($what < 60)
	{
		$self->cancel($b);
		# the host asked for another time, and gets one
		$self->reschedule($b) if $self->chance(40);
	}
	elsif ($what < 80)
	{
		my $person = $self->pick(@{ $b->{people} });
		$person->{noShow} = $person->{noShow} ? 0 : 1;
		$self->send_event('BOOKING_NO_SHOW_UPDATED', $self->tick, {
			message => 'marked',
			bookingUid => $b->{uids}[-1],
			attendees => [ { email => $person->{email}, noShow => $person->{noShow} ? JSON::PP::true : JSON::PP::false } ] });
	}
	else
	{
		$self->send_event($self->pick('MEETING_STARTED', 'MEETING_ENDED'), $self->tick, {
			id => $b->{id}, uid => $b->{uids}[-1], title => $b->{title}, status => 'ACCEPTED',
			startTime => $self->spelled($b->{start}), endTime => $self->spelled($b->{start} + 60) });
	}
	return;
}

sub cancel
{
	my ($self, $b, %more) = @_;
	$b->{status} = 'CANCELLED';
	$b->{reason} = 'because ' . $self->{random}->(100);
	$self->send_booking('BOOKING_CANCELLED', $b, %more, cancellationReason => $b->{reason}, cancelledBy => 'coach@example.com',
		requestReschedule => JSON::PP::false);
	return;
}

# a new uid and a new number; nothing is sent for the old ones
sub reschedule
{
	my ($self, $b) = @_;
	my $old = $b->{uids}[-1];
	my $old_id = $b->{id};
	my $again = $self->chance(20);
	push @{ $b->{uids} }, $self->new_uid;
	$b->{id} = ++$self->{ids};
	$b->{title} = "Talk " . $self->{random}->(1000) if $self->chance(30);
	$self->new_time($b);
	$b->{reason} = undef;
	$b->{status} = $again ? 'PENDING' : 'CONFIRMED';
	$self->send_booking($again ? 'BOOKING_REQUESTED' : 'BOOKING_RESCHEDULED', $b,
		rescheduleUid => $old, rescheduleId => $old_id, rescheduledBy => 'coach@example.com');
	return;
}

# --- sessions with seats ---

sub begin_group
{
	my ($self) = @_;
	my $b = $self->new_booking(seats => 20);
	$self->add_seat($b, $self->new_person);
	return;
}

sub add_seat
{
	my ($self, $b, $person) = @_;
	my ($known) = grep { $_->{email} eq $person->{email} } @{ $b->{people} };
	$known //= do { push @{ $b->{people} }, { %$person }; $b->{people}[-1] };
	$known->{in} = 1;
	$known->{seat} = "$self->{name}-s" . ++$self->{seats};
	$self->send_booking('BOOKING_CREATED', $b, people => [$known], attendeeSeatId => $known->{seat});
	return;
}

sub remove_seat
{
	my ($self, $b, $person) = @_;
	$person->{in} = 0;
	my %more = (people => [$person], cancellationReason => 'one less');
	if (!$self->{legacy})
	{
		$more{attendeeSeatId} = $person->{seat};
		# the sender's cache has forgotten who it was
		$more{people} = [ { email => '', name => '[attendee data unavailable]', timeZone => '' } ] if $self->chance(30);
	}
	$self->send_booking('BOOKING_CANCELLED', $b, %more);
	$b->{status} = 'CANCELLED' unless in($b);
	return;
}

sub step_group
{
	my ($self, $b) = @_;
	my @in = in($b);
	my @out = grep { !$_->{in} } @{ $b->{people} };
	my $what = $self->{random}->(100);
	if ($what < 35)
	{
		$self->add_seat($b, $self->new_person);
	}
	elsif ($what < 45 && @out)
	{
		$self->add_seat($b, $self->pick(@out));
	}
	elsif ($what < 70)
	{
		$self->remove_seat($b, $self->pick(@in));
	}
	elsif ($what < 80)
	{
		# the owner moves all: the uid stays
		$self->new_time($b);
		$self->send_booking('BOOKING_RESCHEDULED', $b, rescheduleUid => $b->{uids}[-1], rescheduledBy => 'coach@example.com');
	}
	elsif ($what < 92)
	{
		$self->move_seat($b, $self->pick(@in));
	}
	else
	{
		$b->{status} = 'CANCELLED';
		# with one attendee it is the same as that one leaving; the newer sender reads the list when it is empty
		my @listed = $self->{legacy} ? @in : ();
		$listed[0]{in} = 0 if @listed == 1;
		$self->send_booking('BOOKING_CANCELLED', $b, people => \@listed, cancellationReason => 'all off');
	}
	return;
}

# one attendee moves to an empty slot, or to another session of the history; the others stay
sub move_seat
{
	my ($self, $b, $person) = @_;
	my @others = grep { $_->{seats} && $_ != $b && $_->{status} eq 'CONFIRMED' } @{ $self->{bookings} };
	my $to = @others && $self->chance(50) ? $self->pick(@others) : undef;
	return if $to && grep { $_->{email} eq $person->{email} && $_->{in} } @{ $to->{people} };
	my $empty = !$to;
	$to //= $self->new_booking(seats => 20);
	$to->{title} = $b->{title} if $empty;
	my ($there) = grep { $_->{email} eq $person->{email} } @{ $to->{people} };
	$there //= do { push @{ $to->{people} }, { map { $_ => $person->{$_} } qw(email name timeZone) }; $to->{people}[-1] };
	$there->{in} = 1;
	$there->{seat} = $person->{seat};
	$person->{in} = 0;
	my %more = (people => [$there], rescheduleUid => $b->{uids}[-1], attendeeSeatId => $there->{seat});
	# the older sender gives the old booking's number when the slot was taken
	$more{bookingId} = $b->{id} if $self->{legacy} && !$empty;
	$self->send_booking('BOOKING_RESCHEDULED', $to, %more);
	$b->{status} = 'CANCELLED' unless in($b);
	return;
}

# --- a whole life ---

sub run
{
	my ($self) = @_;
	$self->chance(60) ? $self->begin_single : $self->begin_group for 1 .. $self->pick(1, 1, 2);
	for (1 .. $self->{random}->(9))
	{
		my @open = grep { $_->{status} =~ /^(PENDING|CONFIRMED)$/ } @{ $self->{bookings} } or last;
		my $b = $self->pick(@open);
		$b->{seats} ? $self->step_group($b) : $self->step_single($b);
	}
	return $self;
}

sub events { return @{ $_[0]{events} }; }

# What a line of the test's query says of each booking, by its last uid.
sub expected
{
	my ($self) = @_;
	my %expected;
	for my $one (@{ $self->{bookings} })
	{
		my @uids = @{ $one->{uids} };
		my $uid = pop @uids;
		my $said = $one->{said};
		my @people = map {
			join ' ', lc $_->{email}, $_->{in} ? 'CONFIRMED' : 'CANCELLED', $_->{noShow} ? 'absent' : '-'
		} sort { $a->{email} cmp $b->{email} } @{ $one->{people} };
		$expected{$uid} = join '|',
			$uid,
			join(',', @uids),
			$one->{status},
			($said // $one)->{title},
			POSIX::strftime('%Y-%m-%d %H:%M', gmtime($said ? $said->{start} : $one->{start})),
			($said // $one)->{length},
			$one->{seats} ? "GROUP $one->{seats}" : 'ONE_ON_ONE ',
			scalar(in($one)),
			$said ? $said->{link} : 'daily',
			defined $one->{paid} ? ($one->{paid} ? "paid $one->{price} USD" : "unpaid $one->{price} USD") : '',
			$one->{seats} ? '' : $one->{id},
			$one->{status} =~ /CANCELLED|REJECTED/ && !$one->{seats} ? $one->{reason} : '',
			join(',', @people);
	}
	return %expected;
}

1;
