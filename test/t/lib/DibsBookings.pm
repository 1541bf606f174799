# Bookings written as an application writes them, and what the stand-in for Zoom saw of each.
package DibsBookings;

use strict;
use warnings;

use Exporter 'import';
use Test::More;

use DibsTest;

our @EXPORT = qw(book booking hosts calls shown wait_calls clean_log quick_conf patient_conf ulid_of state_is);

# Small timeouts, so that an unknown outcome is known to be one soon, though not so small that a stand-in on a busy machine
# is taken for one that does not answer. The lease is request_timeout + 2 * lease_margin; all requests of one action but
# the last have to be answered within one lease_margin, or the action is begun anew.
sub quick_conf
{
	return "dibs.request_timeout = '4s'\ndibs.connect_timeout = '4s'\ndibs.lease_margin = '1500ms'\n";
}

# for tests in which nothing is late on purpose: a busy machine is no fault of the provider's
sub patient_conf
{
	return "dibs.request_timeout = '10s'\ndibs.connect_timeout = '5s'\ndibs.lease_margin = '3s'\n";
}

# book($node, $database, %column): one plain INSERT, as a Prisma client makes it; gives the booking's ulid. Beside
# columns: hours (from now to its start, 24), minutes (its length, 30), email (Zoom user of a coach made for it).
my $serial = 0;

sub book
{
	my ($node, $database, %column) = @_;
	my $hours = delete $column{hours} // 24;
	my $minutes = delete $column{minutes} // 30;
	my $email = delete $column{email};
	$serial++;
	$column{userUlid} //= sprintf '01J9ZK4M8Q%016d', 1000 + $serial;
	$column{calBookingUid} //= "uid-$$-$serial";
	$column{title} //= "Session $serial";
	$column{attendeeEmail} //= 'guest@example.com';
	my @names = sort keys %column;
	my $config = defined $email
	  ? sprintf(q{INSERT INTO dibs."CoachZoomConfig" ("userUlid", "zoomUserId") VALUES (%s, %s) ON CONFLICT DO NOTHING;},
		sql_quote($column{userUlid}), sql_quote($email))
	  : '';
	return $node->safe_psql($database, $config . sprintf(
		q{INSERT INTO dibs."CalBooking" (%s, "startTime", "endTime")
		  VALUES (%s, date_trunc('minute', now()) + '%s h', date_trunc('minute', now()) + '%s h' + '%s min') RETURNING "ulid"},
		join(', ', map { qq{"$_"} } @names), join(', ', map { sql_quote($column{$_}) } @names), $hours, $hours, $minutes));
}

# booking($node, $database, $ulid, $expression): what the row says
sub booking
{
	my ($node, $database, $ulid, $what) = @_;
	return $node->safe_psql($database, qq{SELECT $what FROM dibs."CalBooking" WHERE "ulid" = '$ulid'});
}

sub ulid_of
{
	my ($node, $database, $uid) = @_;
	return $node->safe_psql($database,
		q{SELECT "ulid" FROM dibs."CalBooking" WHERE "calBookingUid" = } . sql_quote($uid));
}

# state_is($node, $database, $ulid, 'ready', $name, $timeout): the booking gets there, and nothing is left to do for it
sub state_is
{
	my ($node, $database, $ulid, $state, $name, $timeout) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(
		wait_for_sql($node, $database,
			qq{SELECT "meetingState", "wanted" = "done", (SELECT count(*) FROM dibs."PendingMeeting" p WHERE p."ulid" = b."ulid")
			   FROM dibs."CalBooking" b WHERE "ulid" = '$ulid'}, "$state|t|0", $timeout),
		$name);
}

# hosts($standin, names): Zoom users of their own, so that each case has a path that faults can name
sub hosts
{
	my ($standin, @names) = @_;
	$standin->settings(users => [ map { { email => "$_\@example.com" } } @names ]);
	return;
}

# calls($standin, $ulid, $host): the requests about one booking, oldest first: those that bear its marker, those that
# name its meeting, and those to its host's path where it has a host of its own
sub calls
{
	my ($standin, $ulid, $host) = @_;
	my @entries = $standin->requests(path => '^/v2/');
	my %meeting;
	foreach my $entry (@entries)
	{
		$meeting{ $entry->{meeting} } = 1 if defined $entry->{meeting} && ($entry->{marker} // '') =~ /\b\Q$ulid\E\b/;
	}
	return grep {
		($_->{marker} // '') =~ /\b\Q$ulid\E\b/
		  || ($_->{path} =~ m{/meetings/(\d+)} && $meeting{$1})
		  || (defined $host && $_->{path} =~ m{/users/\Q$host\E(?:%40|@)})
	} @entries;
}

# shown(calls): one word a request, "POST 201", in their order
sub shown
{
	return join ', ', map { "$_->{method} " . ($_->{status} // 'none') } @_;
}

# wait_calls($standin, $ulid, $host, 'POST 201, PATCH 204', $timeout): true when those are the requests, in this order
sub wait_calls
{
	my ($standin, $ulid, $host, $expected, $timeout) = @_;
	my $deadline = time + ($timeout // 20);
	my $got;
	do
	{
		$got = shown(calls($standin, $ulid, $host));
		return 1 if $got eq $expected;
		select undef, undef, undef, 0.05;
	} while (time <= $deadline);
	diag("requests: $got\nexpected: $expected");
	return 0;
}

# clean_log(entries): what is wrong with them: not accepted, against the documents, odd; empty when all is well
sub clean_log
{
	return join "\n", map {
		my $entry = $_;
		my @wrong = (@{ $entry->{conformance} // [] }, @{ $entry->{answerConformance} // [] }, @{ $entry->{anomalies} // [] });
		unshift @wrong, "status " . ($entry->{status} // 'none') unless $entry->{accepted};
		map { "$entry->{method} $entry->{path}: " . (ref $_ ? JSON::PP::encode_json($_) : $_) } @wrong
	} @_;
}

1;
