# A model of meetings' lives at Zoom: people come, drop, come back, wait, use two devices; the host leaves; it ends and
# starts again; events are lost, late, sent twice. It knows nothing of dibs. deliveries() are the signed bodies in the
# order in which they arrive, expected() is what must follow from all of them, counted second by second.
package ZoomLives;

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_hex);
use JSON::PP ();
use POSIX ();

use Exporter 'import';
our @EXPORT_OK = qw(zoom_delivery);

our $secret = 'zoom-secret-of-tests-91c2';
my $json = JSON::PP->new->canonical->utf8;
my $day = 1_770_000_000;    # every meeting lies behind us

# zoom_delivery($body, $age): [body, headers], signed as Zoom signs it
sub zoom_delivery
{
	my ($body, $age, $key) = @_;
	my $sent = time() - ($age // 0);
	return [ $body, $json->encode({
			'content-type' => 'application/json; charset=utf-8',
			'x-zm-request-timestamp' => "$sent",
			'x-zm-signature' => 'v0=' . hmac_sha256_hex("v0:$sent:$body", $key // $secret) }) ];
}

sub iso { return POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime($_[0])); }

sub new
{
	my ($class, $number, $random) = @_;
	my $self = bless {
		number => $number,
		random => $random,
		begin => $day + $random->(8_000_000),
		facts => [],
		runs => [],
		connections => 0,
		people => [] }, $class;
	my $n = 1 + $random->(3);
	push @{ $self->{people} }, { kind => 'participant', n => $_, email => "p$_-$number\@example.com", name => "Person $_",
		registrant => "reg-$number-$_" } for 1 .. $n;
	$self->{status} = $self->chance(4) ? 'CANCELLED' : 'CONFIRMED';
	$self->live;
	return $self;
}

sub chance { my ($self, $percent) = @_; return $self->{random}->(100) < $percent; }

sub fact { my ($self, %fact) = @_; push @{ $self->{facts} }, \%fact; return; }

sub live
{
	my ($self) = @_;
	my $random = $self->{random};
	my $at = $self->{begin} + $random->(300);
	my $runs = $self->chance(20) ? 2 + $random->(2) : 1;
	my $host = { kind => 'host', account => 'HOSTID', name => 'The Coach' };
	my $guest = { kind => 'guest', name => 'iPhone of ' . $self->{number} };

	return if $self->chance(3);    # nobody ever opens it
	foreach my $n (1 .. $runs)
	{
		my $name = "run-$self->{number}-$n/+==";
		my $length = 120 + $random->(3000);
		my $end = $at + $length;
		my $last = $n == $runs;

		push @{ $self->{runs} }, $name;
		$self->fact(event => 'started', run => $name, at => $at) unless $self->chance(8);
		$self->fact(event => 'ended', run => $name, at => $end) unless $self->chance($last ? 6 : 12);
		$self->presence($name, $host, $at, $end) if $self->chance(85);
		foreach my $person (@{ $self->{people} })
		{
			$self->presence($name, $person, $at, $end) if $self->chance(65);
			$self->presence($name, $person, $at, $end) if $self->chance(12);    # a second device
		}
		$self->presence($name, $guest, $at, $end) if $self->chance(10);
		$at = $end + 5 + $random->(900);
	}
	return;
}

# One way in: it may drop and come back on the same connection or on another, within the same second too.
sub presence
{
	my ($self, $run, $person, $from, $to) = @_;
	my $random = $self->{random};
	my $connection = ++$self->{connections};
	my $in = $from + $random->(int(($to - $from) / 2) + 1);
	my $known = $self->identity($person);

	if ($self->chance(20))
	{
		$self->fact(event => 'joined_waiting_room', run => $run, at => $in - 1, person => $person, connection => $connection, known => $known);
		$self->fact(event => 'admitted', run => $run, at => $in, person => $person, connection => $connection, known => $known)
		  if $self->chance(70);
		return if $self->chance(10);    # and never comes in
	}
	while (1)
	{
		my $out = $in + $random->($to - $in + 1);

		$self->fact(event => 'joined', run => $run, at => $in, person => $person, connection => $connection, known => $known)
		  unless $self->chance(4);
		# a leave may be lost, whether or not they come back
		$self->fact(event => 'left', run => $run, at => $out, person => $person, connection => $connection, known => $known)
		  unless $self->chance(12);
		last if $out >= $to - 2 || $self->chance(55);
		$in = $self->chance(20) ? $out : $out + $random->($to - $out);
		$connection = ++$self->{connections} if $self->chance(50);
	}
	return;
}

# What Zoom says of a person: all of it for people of the host's account, a name for others.
sub identity
{
	my ($self, $person) = @_;
	my $kind = $person->{kind};

	return { id => 'HOSTID', participant_user_id => 'HOSTID', user_name => $person->{name}, email => 'coach@example.com' } if $kind eq 'host';
	return { user_name => $person->{name} } if $kind eq 'guest';
	my $way = $self->{random}->(4);
	return { user_name => 'Somebody', email => uc $person->{email} } if $way == 0;
	return { user_name => 'Another name', registrant_id => $person->{registrant} } if $way == 1;
	return { user_name => "  \L$person->{name} ", email => '' } if $way == 2;
	return { user_name => $person->{name}, email => $person->{email}, registrant_id => $person->{registrant}, id => "id$person->{n}" };
}

sub body
{
	my ($self, $fact, $shift) = @_;
	my %object = (id => "$self->{number}", uuid => $fact->{run}, host_id => 'HOSTID', topic => 'x', type => 2, duration => 60, timezone => 'UTC');
	my $event = $fact->{event};

	if ($event eq 'started') { $object{start_time} = iso($fact->{at}); }
	elsif ($event eq 'ended') { $object{end_time} = iso($fact->{at}); }
	else
	{
		my $time = $event eq 'joined' ? 'join_time' : $event eq 'left' ? 'leave_time' : 'date_time';
		$object{participant} = { %{ $fact->{known} }, user_id => "$fact->{connection}", participant_uuid => "u$fact->{connection}", $time => iso($fact->{at}) };
		$event = "participant_$event";
	}
	return $json->encode({ event => "meeting.$event", event_ts => ($fact->{at} + $shift) * 1000, payload => { account_id => 'a', object => \%object } });
}

# Every fact arrives, in an order that is nearly right, or any; some twice, as a retry (the same body) or by a second
# subscription (another event_ts).
sub deliveries
{
	my ($self) = @_;
	my $random = $self->{random};
	my @facts = sort { $a->{at} <=> $b->{at} } @{ $self->{facts} };
	my $disorder = (0, 30, 100_000)[ $random->(3) ];
	my @order;

	foreach my $i (0 .. $#facts)
	{
		my @times = (0);
		push @times, 0 if $self->chance(8);
		push @times, 2 if $self->chance(8);
		push @order, [ $i + ($disorder ? $random->($disorder) : 0), $self->body($facts[$i], 1 + $_) ] for @times;
	}
	return map { $_->[1] } sort { $a->[0] <=> $b->[0] } @order;
}

# --- what must be true in the end ---

sub expected
{
	my ($self) = @_;
	my (%begin, %end, %points);

	foreach my $fact (@{ $self->{facts} })
	{
		my ($run, $at, $event) = @$fact{qw(run at event)};
		next unless $event =~ /^(?:started|ended|joined|left)$/;
		$begin{$run}{said} = $at if $event eq 'started';
		$end{$run} = $at if $event eq 'ended';
		$begin{$run}{seen} = $at if !defined $begin{$run}{seen} || $at < $begin{$run}{seen};
		push @{ $points{$run}{ $fact->{connection} }{$at} }, $fact if $event eq 'joined' || $event eq 'left';
	}
	my @runs = sort { ($begin{$a}{said} // $begin{$a}{seen}) <=> ($begin{$b}{said} // $begin{$b}{seen}) } keys %begin;
	my (%present, %first, %open, %joins);
	my $came = 0;
	foreach my $i (0 .. $#runs)
	{
		my $run = $runs[$i];
		my $over = $end{$run} // ($i < $#runs ? $begin{ $runs[ $i + 1 ] }{said} // $begin{ $runs[ $i + 1 ] }{seen} : undef);

		foreach my $connection (values %{ $points{$run} })
		{
			my $since;
			my $who;
			foreach my $at (sort { $a <=> $b } keys %$connection)
			{
				my ($joined) = grep { $_->{event} eq 'joined' } @{ $connection->{$at} };
				my ($left) = grep { $_->{event} eq 'left' } @{ $connection->{$at} };
				my $person = ($joined // $left)->{person};
				$who = $person->{kind} eq 'participant' ? $person->{email} : $person->{kind};
				$came = 1 if $person->{kind} ne 'host';
				$present{$who} //= {};
				$first{$who} = $at if $joined && (!defined $first{$who} || $at < $first{$who});
				$joins{$who}++ if $joined;
				if (defined $since)
				{
					@{ $present{$who} }{ $since .. $at - 1 } = ();
					$since = $joined ? $at : undef;
				}
				elsif ($joined)
				{
					$since = $left ? undef : $at;
				}
			}
			next unless defined $since;
			if (defined $over) { @{ $present{$who} }{ $since .. $over - 1 } = (); }
			else { $open{$who} = 1; }
		}
	}
	my $status = $self->{status};
	if (@runs && $status eq 'CONFIRMED')
	{
		$status = !defined $end{ $runs[-1] } ? 'IN_PROGRESS' : $came ? 'COMPLETED' : 'NO_SHOW';
	}
	my @lines = ("$self->{number} $status");
	foreach my $who (sort keys %present)
	{
		push @lines, join(' ', $self->{number}, $who, $open{$who} ? 'present' : 'left', $joins{$who} // 0, $first{$who} // '-',
			$open{$who} ? '-' : scalar(keys %{ $present{$who} }));
	}
	return @lines;
}

1;
