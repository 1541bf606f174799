# Every delivery among the collected ones of Daily's (beside DIBS_SPECS; skipped where there are none), signed: each is
# taken with the 200 that Daily insists on, and does what the README's table says.
use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_base64);
use File::Basename qw(basename dirname);
use File::Spec;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

use DibsTest;

my $specs = specs_dir();
my $dir = defined $specs ? File::Spec->catdir(dirname($specs), 'fixtures', 'daily') : undef;
my %effect = (
	'docs_meeting_ended.json' => [ 'applied', q{SELECT b."status" || ' ' || extract(epoch FROM s."startedAt") || ' ' || extract(epoch FROM s."endedAt")
		FROM dibs."CalBooking" b, dibs."MeetingSession" s}, 'NO_SHOW 1708526032.000000 1708526104.671000' ],
	'docs_recording_ready_to_download.json' => [ 'applied', q{SELECT concat_ws(' ', "externalId", "state", extract(epoch FROM "endTime")::bigint) FROM dibs."MeetingRecording"},
		'08fa0b24-9220-44c5-846c-3f116cf8e738 ready 1692124192' ],
	'thirdparty_participant_joined.json' => [ 'applied', q{SELECT concat_ws(' ', b."status", a."role", extract(epoch FROM a."joinedAt")::bigint)
		FROM dibs."MeetingAttendance" a JOIN dibs."CalBooking" b ON b."ulid" = a."bookingUlid"}, 'IN_PROGRESS guest 1757383550' ],
	'registration_test_ping.json' => [ 'ignored', q{SELECT count(*) FROM dibs."WebhookEvent"}, '0' ]);
plan skip_all => "no deliveries of Daily's (looked beside DIBS_SPECS)" unless defined $dir && -d $dir;

my $node = dibs_node('daily', conf => 'dibs.worker = off');
sub ask { return $node->safe_psql('postgres', @_); }
my $key = 'a key of bytes, not of text';
ask('SELECT dibs.set_secret(' . sql_quote('daily.webhook_secret') . ', ' . sql_quote(encode_base64($key, '')) . ')');

my %seen;
foreach my $file (sort glob "$dir/*.json")
{
	my $name = basename($file);
	my $body = slurp_file($file);
	my $event = JSON::PP->new->utf8->decode($body);
	# answers of Daily's API are no deliveries
	next unless exists $effect{$name} || defined $event->{type};
	$seen{$name} = 1;
	my $p = $event->{payload} // {};
	my $room = $p->{room} // $p->{room_name} // 'none';
	my $at = $p->{start_ts} // $p->{joined_at} // 0;
	ask(qq{
		DELETE FROM dibs."MeetingAttendance"; DELETE FROM dibs."MeetingSession"; DELETE FROM dibs."MeetingRecording"; DELETE FROM dibs."Meeting";
		DELETE FROM dibs."CalBooking"; DELETE FROM dibs."WebhookEvent";
		INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "meetingState", "wanted", "done", "announced")
			VALUES ('$DibsTest::coach', 'fixture', 'x', to_timestamp($at) - interval '1 min', to_timestamp($at) + interval '30 min', 'x\@example.com', 'ready', 1, 1, 1);
		INSERT INTO dibs."Meeting" ("userUlid", "bookingUlid", "provider", "state", "joinUrl", "marker")
			SELECT "userUlid", "ulid", 'source', 'ready', 'https://somebody.daily.co/' || } . sql_quote($room) . q{, 'm' FROM dibs."CalBooking"});
	my $time = time;
	# digits of base64 without the padding that Perl leaves out
	my $signature = hmac_sha256_base64("$time.$body", $key) . '=';
	my $headers = $name =~ /ping/ ? '{}' : JSON::PP->new->utf8->encode({ 'X-Webhook-Timestamp' => "$time", 'X-Webhook-Signature' => $signature });
	my $call = 'SELECT dibs.receive_webhook(' . join(', ', map { sql_quote($_) } 'daily', $headers, $body) . ')';
	my $answer = JSON::PP->new->utf8->decode(ask($call));
	my ($outcome, $query, $expected) = @{ $effect{$name} // [ 'ignored' ] };
	is("$answer->{status} $answer->{outcome}", "200 $outcome", "$name is taken");
	is(ask($query), $expected, "$name does what the README says") if defined $query;
	is(ask(q{SELECT count(*) FROM dibs."WebhookEvent" WHERE "payload"::text LIKE '%share_token%'}), 0, "$name is kept without what gives access");
	next if $name =~ /ping/;
	is(JSON::PP->new->utf8->decode(ask($call))->{outcome}, 'duplicate', "$name is known when it comes again");
}
is(join(' ', grep { !$seen{$_} } sort keys %effect), '', 'each that has an effect was delivered');
done_testing();
