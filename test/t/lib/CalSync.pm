# Cal.com's bookings beside those of a database: what differs, field by field.
package CalSync;

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();
use Time::HiRes qw(time sleep);

use DibsTest;

our @EXPORT = qw(cal_conf both_sides deliver_outbox sync_done);

my $json = JSON::PP->new->canonical->utf8;

# What a server needs that speaks to the stand-in's Cal.com.
sub cal_conf
{
	my ($standin) = @_;
	return "dibs.cal_api_url = '" . $standin->url . "/cal/v2'\n";
}

# sync_done($node, $timeout): asks for a synchronisation, and waits until it is complete; undef, or what it waits for
sub sync_done
{
	my ($node, $timeout, $drain) = @_;
	my ($asked) = split /\n/, $node->safe_psql('postgres', q{SELECT date_trunc('milliseconds', clock_timestamp()); SELECT dibs.sync_bookings()});
	my $deadline = time + ($timeout // 60);
	my $state;
	do
	{
		$node->safe_psql('postgres', 'CALL dibs.drain(1000)') if $drain;
		$state = $node->safe_psql('postgres', qq{SELECT bool_and("progress"->>'pass' = 'none' AND ("progress"->>'lastSync')::timestamptz >= '$asked')
			AND NOT EXISTS (SELECT FROM dibs."Job" r WHERE r."kind" = 'cal_read' AND r."state" = 'waiting')
			FROM dibs."Job" WHERE "kind" = 'cal_sync' AND "state" = 'waiting'});
		return undef if $state eq 't';
		sleep 0.1;
	} while (time < $deadline);
	return $node->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', "kind", "key", "state", "dueAt", "attempts", "errorCode", "error", "progress"), E'\n') FROM dibs."Job" WHERE "kind" LIKE 'cal%'});
}

# deliver_outbox($node, $standin, %option): hands in what Cal.com would have sent since last time, loss of it lost,
# dup of it twice, each up to shuffle places from where it stood. Returns how many were delivered.
sub deliver_outbox
{
	my ($node, $standin, %option) = @_;
	my @all = @{ $standin->control('GET', '/_control/cal/outbox?since=' . ($option{since} // 0))->{deliveries} };
	my @kept = grep { rand() >= ($option{loss} // 0) } @all;
	push @kept, grep { rand() < ($option{dup} // 0) } @kept;
	my @order = sort { $a->[0] <=> $b->[0] }
	  map { [ $_->{n} + rand($option{shuffle} // 0), $_ ] } @kept;
	my (@sql, %outcome);
	my $flush = sub {
		return unless @sql;
		my $answer = $node->safe_psql('postgres', join("\n", @sql));
		$outcome{$_}++ for $answer =~ /"outcome": "(\w+)"/g;
		@sql = ();
	};
	foreach my $one (@order)
	{
		my $delivery = $one->[1];
		push @sql, 'SELECT dibs.receive_webhook(' . join(', ', map { sql_quote($_) } 'cal', $json->encode($delivery->{headers}), utf8_bytes($delivery->{body})) . ');';
		$flush->() if @sql >= 50;
	}
	$flush->();
	return { delivered => scalar @order, lost => @all - grep({ 1 } @kept), last => @all ? $all[-1]{n} : 0, outcomes => \%outcome };
}

sub utf8_bytes
{
	my ($text) = @_;
	utf8::encode($text) if utf8::is_utf8($text);
	return $text;
}

my %status = (accepted => 'CONFIRMED', pending => 'PENDING', cancelled => 'CANCELLED', rejected => 'REJECTED');

sub place
{
	my ($location) = @_;
	return 'null' unless defined $location && length $location;
	return $json->encode({ kind => 'provider', value => $1 }) if $location =~ /^integrations:(\w+)/;
	return $json->encode({ kind => 'link', value => $location }) if $location =~ m{^https?://};
	return $json->encode({ kind => 'in_person', value => $location });
}

# both_sides($node, $standin, $user): the differences, one a line; '' where both are equal
sub both_sides
{
	my ($node, $standin, $user) = @_;
	my $there = $standin->control('GET', "/_control/cal/bookings?user=$user")->{bookings};
	my %here = map { $_->{uid} => $_ } @{ $json->decode($node->safe_psql('postgres', <<"SQL")) };
SELECT coalesce(jsonb_agg(jsonb_build_object('uid', b."calBookingUid", 'ulid', b."ulid", 'id', b."calBookingId", 'title', b."title",
	'description', coalesce(b."description", ''), 'type', b."eventTypeId", 'slug', b."eventTypeSlug", 'kind', b."bookingType",
	'start', to_char(b."startTime" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
	'end', to_char(b."endTime" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'duration', b."duration",
	'status', CASE WHEN b."status" IN ('COMPLETED', 'IN_PROGRESS', 'NO_SHOW') THEN 'CONFIRMED' ELSE b."status" END,
	'reason', b."cancellationReason", 'by', b."cancelledByEmail", 'why', b."reschedulingReason", 'mover', b."rescheduledByEmail",
	'from', b."rescheduledFromUid", 'place', b."location", 'answers', b."bookingFields", 'metadata', b."metadata",
	'previous', to_jsonb(b."previousUids"), 'absent', b."hostAbsent"::text,
	'people', (SELECT coalesce(jsonb_agg(concat_ws('|', lower(p."email"), p."name", p."seatId", p."noShow") ORDER BY lower(p."email")), '[]')
		FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid" AND p."userUlid" = b."userUlid" AND p."status" <> 'CANCELLED'))), '[]')
FROM dibs."CalBooking" b WHERE b."source" = 'cal' AND b."userUlid" = '$DibsTest::coach'
SQL
	my %owner = map { my ($uid, $ulid) = split /\|/; $uid => $ulid } split /\n/,
	  $node->safe_psql('postgres', q{SELECT "uid", "bookingUlid" FROM dibs."BookingUid"});
	my (@wrong, %seen, %by_uid);
	$by_uid{ $_->{uid} } = $_ for @$there;
	foreach my $b (@$there)
	{
		my $seated = grep { defined $_->{seatUid} } @{ $b->{attendees} };
		my $group = $b->{eventType}{slug} eq 'group-class';
		if ($b->{status} eq 'cancelled' && defined $b->{rescheduledToUid} && !$group)
		{
			# it goes on: the last of the chain has the row, and this uid leads to it
			my $last = $b;
			$last = $by_uid{ $last->{rescheduledToUid} }
			  while $last->{status} eq 'cancelled' && defined $last->{rescheduledToUid} && $by_uid{ $last->{rescheduledToUid} };
			push @wrong, "$b->{uid}: leads nowhere" unless defined $owner{ $b->{uid} };
			push @wrong, "$b->{uid}: leads elsewhere"
			  if defined $owner{ $b->{uid} } && $here{ $last->{uid} } && $owner{ $b->{uid} } ne $here{ $last->{uid} }{ulid};
			next;
		}
		my $row = $here{ $b->{uid} };
		if (!$row)
		{
			# a session that ended before it was seen shows nobody any more
			push @wrong, "$b->{uid}: is not here ($b->{status})" unless $group && $b->{status} eq 'cancelled';
			next;
		}
		$seen{ $b->{uid} } = 1;
		my $ended = $b->{status} eq 'cancelled' || $b->{status} eq 'rejected';
		my %want = (
			id => $b->{id},
			title => $b->{title},
			description => $b->{description},
			type => $b->{eventType}{id},
			slug => $b->{eventType}{slug},
			kind => $group ? 'GROUP' : 'ONE_ON_ONE',
			start => $b->{start},
			end => $b->{end},
			duration => $b->{duration},
			status => $status{ $b->{status} },
			place => place($b->{location}),
			absent => $b->{absentHost} ? 'true' : 'false',
			metadata => $json->encode($b->{metadata}));
		%want = (
			%want,
			from => $b->{rescheduledFromUid},
			why => $b->{reschedulingReason},
			mover => $b->{rescheduledByEmail},
			answers => $json->encode($b->{bookingFieldsResponses}),
			) unless $group;
		@want{qw(reason by)} = @$b{qw(cancellationReason cancelledByEmail)} if $ended && !$group;
		my @people = sort map {
			join '|', grep { defined } lc $_->{email}, (length $_->{name} ? $_->{name} : undef), $_->{seatUid}, $_->{absent} ? 't' : 'f'
		} @{ $b->{attendees} };
		$want{people} = $json->encode(\@people) unless $group && $ended;
		# of one that was never seen alive, late webhooks tell no more than that
		%want = (status => $want{status}) if $group && $ended;
		foreach my $field (sort keys %want)
		{
			my $got = $row->{$field};
			$got = $json->encode($got) if ref $got && !JSON::PP::is_bool($got);
			my ($w, $g) = map { $_ // 'null' } $want{$field}, $got;
			push @wrong, "$b->{uid} ($b->{eventType}{slug} $b->{status}) $field: there $w, here $g" if $w ne $g;
		}
	}
	# what Cal.com refused to make stays here, rejected
	push @wrong, map { "$_: is not there" } grep { !$by_uid{$_} && !(/^dibs_/ && $here{$_}{status} eq 'REJECTED') } keys %here;
	push @wrong, map { "$_: is there under another uid" } grep { $by_uid{$_} && !$seen{$_} } keys %here;
	return join "\n", @wrong;
}

1;
