# Bad input from somebody who has the secret: wrong types in every field, cut bodies, flipped bytes, times that cannot be,
# deep nesting, 10 MB, 10,000 attendees. Each has a clear outcome; nothing crashes, no booking is there in part.
# DIBS_SEED repeats a run.
use strict;
use warnings;

use File::Temp ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

use DibsTest;

my $seed = $ENV{DIBS_SEED} // int(rand(1 << 30));
srand($seed);
diag("seed $seed");

my $json = JSON::PP->new->canonical->utf8->allow_nonref;
my $node = dibs_node('bad', conf => "dibs.worker = off\nfsync = off\nautovacuum = off\nlog_statement = none\ndibs.max_webhook_size = 16MB");
setup_coach($node, 'postgres');
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

# All in one session: [what, body]. Gives the answers in that order.
sub deliver_all
{
	my @bodies = @_;
	my $dir = File::Temp->newdir;
	open(my $out, '>', "$dir/in.sql") or die "open: $!";
	for my $body (@bodies)
	{
		my $hex = unpack 'H*', $body;
		printf $out "SELECT dibs.receive_webhook_bytes('cal', %s, '\\x%s');\n", sql_quote(cal_headers($body)), $hex;
	}
	close $out;
	my $answers = $node->safe_psql('postgres', "\\i $dir/in.sql");
	my @answers = map { $json->decode($_) } split /\n/, $answers;
	is(scalar @answers, scalar @bodies, 'every delivery was answered');
	return @answers;
}

# What must hold whatever came.
sub sound
{
	my ($what) = @_;
	is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, "$what: the server stands");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM dibs."WebhookEvent" WHERE "outcome" = 'queued'}), 0,
		"$what: nothing that would be tried again in vain");
	is($node->safe_psql('postgres', q{SELECT string_agg(b."calBookingUid", ' ') FROM dibs."CalBooking" b WHERE
		NOT EXISTS (SELECT FROM dibs."BookingUid" u WHERE u."uid" = b."calBookingUid" AND u."bookingUlid" = b."ulid")
		OR NOT EXISTS (SELECT FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid")
		OR NOT EXISTS (SELECT FROM dibs."Event" e WHERE e."bookingUlid" = b."ulid" AND e."type" = 'booking.created')
		OR b."currentParticipants" <> (SELECT count(*) FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid" AND p."status" <> 'CANCELLED')
		OR b."status" NOT IN ('PENDING', 'CONFIRMED', 'CANCELLED', 'REJECTED')}), '', "$what: no booking in part");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM dibs."BookingUid" u WHERE NOT EXISTS (SELECT FROM dibs."CalBooking" b
		WHERE b."ulid" = u."bookingUlid")}), 0, "$what: no uid of none");
	is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT w."uid", ' ') FROM dibs."WebhookEvent" w WHERE w."outcome" = 'failed'
		AND w."error" IS NULL}), '', "$what: whatever failed says why");
}

my $full = {
	bookingId => 7, title => 'Talk', eventTitle => 'Talk', additionalNotes => 'n', description => 'd', eventTypeId => 9, type => 'talk',
	startTime => '2030-02-01T10:00:00Z', endTime => '2030-02-01T10:30:00Z', length => 30, price => 100, currency => 'usd',
	location => 'integrations:daily', seatsPerTimeSlot => undef, attendeeSeatId => undef, rescheduleUid => undef,
	organizer => { id => 5, name => 'Coach', email => 'coach@example.com', username => 'coach', timeZone => 'UTC' },
	attendees => [ { email => 'a@example.org', name => 'A', timeZone => 'UTC', phoneNumber => '1', noShow => JSON::PP::false,
		bookingSeat => { referenceUid => 's1' } } ],
	team => { members => [ { email => 'b@example.org' } ] },
	responses => { email => { label => 'e', value => 'a@example.org' }, location => { value => { value => 'phone', optionValue => '1' } }, notes => 'x' },
	userFieldsResponses => { q => { value => 1 } }, metadata => { videoCallUrl => 'https://video.example/1', more => [1] },
	videoCallData => { url => 'https://video.example/1', password => 'p' }, additionalInformation => { hangoutLink => 'https://video.example/2' },
	cancellationReason => 'r', cancelledBy => 'a@example.org', rejectionReason => 'r', rescheduledBy => 'a@example.org', status => 'ACCEPTED',
	message => 'm', hostEmail => 'coach@example.com', references => [ { meetingPassword => 'x' } ], payment => [ { data => 1 } ] };
my @bad = (undef, JSON::PP::true, 0, -1, 1.5, 9007199254740993, '', 'x', "\x{2603}" x 300, 'x' x 3000, [], {}, [ [] ], [ undef, 5 ],
	{ value => [] }, [ { email => 5 }, { email => 'x' x 400 }, { email => "q\t\n'\"" } ]);

# Every path of the payload.
sub paths
{
	my ($value, @at) = @_;
	my @found = @at ? ([@at]) : ();
	push @found, map { paths($value->{$_}, @at, $_) } sort keys %$value if ref $value eq 'HASH';
	push @found, map { paths($value->[$_], @at, $_) } 0 .. $#$value if ref $value eq 'ARRAY';
	return @found;
}

sub with
{
	my ($value, $new, @path) = @_;
	my $copy = $json->decode($json->encode($value));
	my $at = \$copy;
	$at = ref $$at eq 'HASH' ? \$$at->{$_} : \$$at->[$_] for @path;
	$$at = $new;
	return $copy;
}

my $n = 0;

sub body
{
	my ($trigger, $payload, $uid) = @_;
	return $json->encode({ triggerEvent => $trigger, createdAt => sprintf('2025-01-01T%02d:%02d:%02d.000Z', $n / 3600 % 24, $n / 60 % 60, $n++ % 60),
		payload => { uid => $uid, %$payload } });
}

my (@bodies, %of);
my @triggers = short_mode() ? qw(BOOKING_CREATED BOOKING_CANCELLED)
  : qw(BOOKING_CREATED BOOKING_CANCELLED BOOKING_RESCHEDULED BOOKING_REQUESTED BOOKING_PAID BOOKING_NO_SHOW_UPDATED MEETING_STARTED RECORDING_READY);
for my $trigger (@triggers)
{
	for my $path (paths($full))
	{
		for my $value (@bad)
		{
			my $payload = with($full, $value, @$path);
			push @bodies, body($trigger, $payload, 'bad' . scalar @bodies);
		}
	}
}
# the envelope's own
for my $value (@bad)
{
	push @bodies, $json->encode({ triggerEvent => $value, createdAt => '2025-01-01T00:00:00Z', payload => { %$full, uid => 'e' . scalar @bodies } }),
	  $json->encode({ triggerEvent => 'BOOKING_CREATED', createdAt => $value, payload => { %$full, uid => 'e' . scalar @bodies } }),
	  $json->encode({ triggerEvent => 'BOOKING_CREATED', createdAt => '2025-01-01T00:00:00Z', payload => $value }),
	  $json->encode({ triggerEvent => 'BOOKING_CREATED', createdAt => '2025-01-01T00:00:00Z', payload => { %$full, uid => $value } }),
	  $json->encode($value);
}
my @answers = deliver_all(@bodies);
my %count;
my @odd;
for my $i (0 .. $#answers)
{
	$count{"$answers[$i]{status} $answers[$i]{outcome}"}++;
	push @odd, $i if "$answers[$i]{status} $answers[$i]{outcome}" !~ /^(200 (applied|stale|ignored|unmatched|duplicate)|4(00|22) rejected)$/;
}
diag(scalar(@bodies) . ' wrong bodies: ' . join ', ', map { "$_: $count{$_}" } sort keys %count);
is(scalar @odd, 0, 'wrong types in every field: each has an outcome') or diag(map { $json->encode($answers[$_]) . " for " . substr($bodies[$_], 0, 500) . "\n" } @odd[ 0 .. ($#odd > 4 ? 4 : $#odd) ]);
is($node->safe_psql('postgres', q{SELECT count(*), string_agg(DISTINCT "errorCode" || ' ' || "error", '; ') FROM dibs."WebhookEvent"
	WHERE "errorCode" IS NOT NULL}), '0|', 'and none is left to the tables to refuse');
sound('wrong types');

# times
my @times = ('2030-02-30T10:00:00Z', '2030-13-01T10:00:00Z', '2030-02-01T24:30:00Z', '2030-02-01T10:60:00Z', '2030-02-01T10:00:00', '2030-02-01',
	'0000-01-01T00:00:00Z', '-1000-01-01T00:00:00Z', '99999-01-01T00:00:00Z', '999999999999-01-01T00:00:00Z', '2030-02-01T10:00:00+99:00', 'now', 'infinity',
	'-infinity', 'tomorrow', '1738404000', '2030-02-01T10:00:00Z; DROP TABLE', "2030-02-01T10:00:00Z\x{2603}", '2030-02-01 10:00:00 Europe/Paris');
@answers = deliver_all(map { my $t = $_; map { body('BOOKING_CREATED', with($full, $t, $_), "time$n") } qw(startTime endTime) } @times);
is_deeply([ grep { $_->{status} != 422 || ($_->{response}{error} // '') !~ /Time/ } @answers ], [], 'impossible times: 422, and which one it was');
@answers = deliver_all(map { body('BOOKING_CANCELLED', with($full, $_, 'startTime'), 'bad0') } @times);
is_deeply([ grep { $_->{status} != 200 } @answers ], [], 'a cancellation counts whatever its times look like');
sound('times');

# cut and flipped
my $body = body('BOOKING_CREATED', $full, 'cut');
my $kept = $node->safe_psql('postgres', 'SELECT count(*) FROM dibs."WebhookEvent"');
@answers = deliver_all(map { substr $body, 0, $_ } 0 .. length($body) - 1);
is_deeply([ grep { $_->{status} != 400 } @answers ], [], 'cut anywhere: 400');
is($node->safe_psql('postgres', 'SELECT count(*) FROM dibs."WebhookEvent"'), $kept, 'and not kept');
@answers = deliver_all(map {
	my $flipped = $body;
	substr($flipped, int rand length $flipped, 1) = chr int rand 256 for 1 .. 1 + int rand 3;
	$flipped
} 1 .. (short_mode() ? 500 : 5000));
is_deeply([ grep { "$_->{status}" !~ /^(200|400|422)$/ } @answers ], [], 'flipped bytes');
sound('cut and flipped');

# deep, large, many
for my $depth (100, 1000, 5000, 100_000)
{
	my $deep = body('BOOKING_CREATED', { %$full, metadata => { x => '@' } }, "deep$depth");
	my $nest = '[' x $depth . ']' x $depth;
	$deep =~ s/"\@"/$nest/;
	my ($told) = deliver_all($deep);
	like("$told->{status} $told->{outcome}", qr/^(200 applied|400 rejected)$/, "$depth levels: $told->{status}");
	is($node->safe_psql('postgres', qq{SELECT count(*) FROM dibs."CalBooking" WHERE "calBookingUid" = 'deep$depth'}),
		$told->{status} == 200 ? 1 : 0, 'and its booking');
}
my ($large) = deliver_all(body('BOOKING_CREATED', { %$full, description => 'L' x 10_000_000 }, 'large'));
is("$large->{status} $large->{outcome}", '200 applied', '10 MB, where the setting allows it');
is($node->safe_psql('postgres', q{SELECT length("description") FROM dibs."CalBooking" WHERE "calBookingUid" = 'large'}), 10_000_000, 'all of it');
my ($larger) = deliver_all(body('BOOKING_CREATED', { %$full, description => 'L' x 17_000_000 }, 'larger'));
is("$larger->{status} $larger->{outcome}", '413 rejected', '17 MB, where it does not');

my @crowd = map { { email => "p$_\@crowd.example", name => "P $_", timeZone => 'UTC' } } 1 .. 10_000;
my $begin = time;
my ($many) = deliver_all(body('BOOKING_CREATED', { %$full, responses => undef, attendees => \@crowd }, 'crowd'));
is("$many->{status} $many->{outcome}", '200 applied', '10,000 attendees');
my ($seats) = deliver_all(body('BOOKING_CREATED', { %$full, responses => undef, attendees => [ @crowd, { email => 'more@crowd.example' } ] }, 'crowd'));
is("$seats->{status} $seats->{outcome}", '200 applied', 'and one more, with all of them named again');
cmp_ok(time - $begin, '<', 60, 'within a minute, both');
is($node->safe_psql('postgres', q{SELECT b."currentParticipants", jsonb_array_length(b."participants"), b."attendeeEmail",
	(SELECT count(*) FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid") FROM dibs."CalBooking" b WHERE b."calBookingUid" = 'crowd'}),
	'10001|10001|p1@crowd.example|10001', 'all are in');
sound('deep, large, many');

$node->stop;
unlike(slurp_file($node->logfile), qr/was terminated by signal|PANIC|TRAP:/, 'nothing crashed');

done_testing();
