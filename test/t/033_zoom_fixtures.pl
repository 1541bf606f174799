# Every event that Zoom documents, as Zoom documents it, signed: each is accepted, and those of meetings and recordings do
# what the README's table says. The collected payloads are not part of this tree: without them this test is skipped.
use strict;
use warnings;

use File::Basename qw(basename);
use File::Spec;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

use DibsTest;
use ZoomLives qw(zoom_delivery);

my $dir = $ENV{DIBS_ZOOM_FIXTURES} // File::Spec->catdir(project_dir(), '..', 'shared', 'fixtures', 'zoom');
$dir = File::Spec->catdir(specs_dir(), '..', 'fixtures', 'zoom') if !-d $dir && specs_dir();
my @files = sort grep { !/vectors\.json$/ } glob "$dir/*.json";
plan skip_all => 'the collected payloads of Zoom\'s are not here' unless @files;

my $node = dibs_node('fixtures', conf => 'dibs.worker = off');
sub ask { return $node->safe_psql('postgres', @_); }
ask('SELECT dibs.set_secret(' . sql_quote('zoom.webhook_secret') . ', ' . sql_quote($ZoomLives::secret) . ')');
my $run = '4444AAAiAAAAAiAiAiiAii==';

# What an event's one delivery makes true. Those not named here are kept and ignored.
my $file_state = q{SELECT string_agg(DISTINCT "state", ',') FROM dibs."MeetingRecording"};
my $attendance = q{SELECT concat_ws(' ', a.email, p."status", a.state) FROM dibs.attendance a JOIN dibs."BookingParticipant" p ON p."ulid" = a.participant_ulid};
my $recording = q{SELECT dibs.meeting_state('fixture')->'recording'->>'state'};
my $changed = q{SELECT concat_ws(' ', e."type", e."data"->>'then', m."digest" IS NULL) FROM dibs."Meeting" m, dibs."Event" e};
my %effect = (
	'meeting.started' => [ q{SELECT "status" FROM dibs."CalBooking"}, 'IN_PROGRESS' ],
	'meeting.ended' => [ q{SELECT b."status" || ' ' || to_char(s."endedAt" AT TIME ZONE 'UTC', 'HH24:MI:SS') FROM dibs."CalBooking" b, dibs."MeetingSession" s}, 'NO_SHOW 23:00:51' ],
	'meeting.participant_joined' => [ $attendance, 'jchill@example.com ATTENDED present' ],
	'meeting.participant_left' => [ $attendance, 'jchill@example.com ATTENDED left' ],
	'meeting.participant_joined_breakout_room' => [ $attendance, 'jchill@example.com ATTENDED present' ],
	'meeting.participant_left_breakout_room' => [ $attendance, 'jchill@example.com ATTENDED left' ],
	'meeting.participant_joined_waiting_room' => [ $attendance, 'jchill@example.com CONFIRMED waiting' ],
	'meeting.participant_put_in_waiting_room' => [ $attendance, 'jchill@example.com CONFIRMED waiting' ],
	'meeting.participant_left_waiting_room' => [ $attendance, 'jchill@example.com CONFIRMED absent' ],
	'meeting.participant_admitted' => [ $attendance, 'jchill@example.com CONFIRMED absent' ],
	'meeting.participant_jbh_waiting' => [ q{SELECT "name" || ' ' || ("waitingAt" IS NOT NULL) FROM dibs."MeetingAttendance"}, 'JillChill true' ],
	'meeting.participant_jbh_waiting_left' => [ q{SELECT "name" || ' ' || ("gaveUpAt" IS NOT NULL) FROM dibs."MeetingAttendance"}, 'JillChill true' ],
	'meeting.participant_jbh_joined' => [ q{SELECT "name" || ' ' || ("admittedAt" IS NOT NULL) FROM dibs."MeetingAttendance"}, 'JillChill true' ],
	'meeting.updated' => [ $changed, 'meeting.changed restored t' ],
	'meeting.deleted' => [ $changed, 'meeting.deleted restored t' ],
	'meeting.permanently_deleted' => [ $changed, 'meeting.deleted restored t' ],
	'meeting.recovered' => [ $changed, 'meeting.recovered restored t' ],
	'meeting.registration_created' => [ q{SELECT "registrantId" FROM dibs."BookingParticipant"}, 'iFxeBPYun6SAiWUzBcEkX' ],
	'meeting.registration_approved' => [ q{SELECT "registrantId" FROM dibs."BookingParticipant"}, 'iFxeBPYun6SAiWUzBcEkX' ],
	'recording.started' => [ $recording, 'recording' ],
	'recording.resumed' => [ $recording, 'recording' ],
	'recording.paused' => [ $recording, 'paused' ],
	'recording.stopped' => [ $recording, 'stopped' ],
	'recording.completed' => [ q{SELECT count(*) || ' ' || bool_and("state" = 'ready' AND "token" IS NOT NULL AND "downloadUrl" LIKE 'https://example.com/%' AND "expiresAt" = '2028-07-12Z')
		FROM dibs."MeetingRecording" WHERE "externalId" NOT LIKE 'planted%'}, '2 true' ],
	'recording.transcript_completed' => [ q{SELECT "type" || ' ' || "state" || ' ' || "bytes" FROM dibs."MeetingRecording" WHERE "externalId" NOT LIKE 'planted%'}, 'audio_transcript ready 142' ],
	'recording.trashed' => [ q{SELECT string_agg(DISTINCT "state", ',') || ' ' || bool_and("token" IS NULL) FROM dibs."MeetingRecording" WHERE "externalId" NOT LIKE 'planted%'}, 'trashed true' ],
	'recording.deleted' => [ q{SELECT string_agg(DISTINCT "state", ',') FROM dibs."MeetingRecording" WHERE "externalId" NOT LIKE 'planted%'}, 'deleted' ],
	'recording.recovered' => [ q{SELECT string_agg(DISTINCT "state", ',') FROM dibs."MeetingRecording" WHERE "externalId" NOT LIKE 'planted%'}, 'ready' ],
	'recording.batch_trashed' => [ q{SELECT "state" FROM dibs."MeetingRecording" WHERE "externalId" = 'planted-batch'}, 'trashed' ],
	'recording.batch_deleted' => [ q{SELECT string_agg(DISTINCT "state", ',') FROM dibs."MeetingRecording" WHERE "externalId" NOT LIKE 'planted%'}, 'deleted' ],
	'recording.batch_recovered' => [ q{SELECT string_agg(DISTINCT "state", ',') FROM dibs."MeetingRecording" WHERE "externalId" NOT LIKE 'planted%'}, 'ready' ],
	'app_deauthorized' => [ q{SELECT "state" || ' ' || (SELECT count(*) FROM dibs."ProviderCredential") FROM dibs."ProviderAccount"}, 'deauthorized 0' ]);

my %seen;
foreach my $file (@files)
{
	my $body = slurp_file($file);
	my $event = JSON::PP->new->decode($body)->{event};
	next if $event eq 'endpoint.url_validation';
	my $name = basename($file, '.json');
	$seen{$event}++;
	ask(qq{
		DELETE FROM dibs."MeetingAttendance"; DELETE FROM dibs."MeetingSession"; DELETE FROM dibs."MeetingRecording"; DELETE FROM dibs."Meeting";
		DELETE FROM dibs."CalBooking"; DELETE FROM dibs."Event"; DELETE FROM dibs."WebhookEvent"; DELETE FROM dibs."ProviderCredential"; DELETE FROM dibs."ProviderAccount";
		INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "status", "meetingProvider", "meetingState", "wanted", "done", "announced")
			VALUES ('$DibsTest::coach', 'fixture', 'x', '2021-07-13T21:00Z', '2021-07-13T22:00Z', 'jchill\@example.com', 'CONFIRMED', 'zoom', 'ready', 1, 1, 1);
		INSERT INTO dibs."BookingParticipant" ("userUlid", "bookingUlid", "person", "email", "name") SELECT "userUlid", "ulid", 'jchill\@example.com', 'jchill\@example.com', 'Jill Chill' FROM dibs."CalBooking";
		INSERT INTO dibs."Meeting" ("userUlid", "bookingUlid", "provider", "state", "externalId", "marker", "digest", "startTime", "endTime", "answeredAt")
			SELECT "userUlid", "ulid", 'zoom', 'ready', '1234567890', 'm', '\\x00', "startTime", "endTime", '2021-01-01Z' FROM dibs."CalBooking";
		INSERT INTO dibs."ProviderAccount" ("provider", "userUlid", "externalId") VALUES ('zoom', '$DibsTest::coach', 'abcD3ojfdbjfg');
		-- the consent is older than the event that ends it
		INSERT INTO dibs."ProviderCredential" ("accountUlid", "provider", "kind", "sealed", "connectedAt") SELECT "ulid", 'zoom', 'oauth', '\\x00', '2020-01-01' FROM dibs."ProviderAccount"});
	if ($event =~ /^recording\.batch_/)
	{
		# what they are about has to be there
		ask(qq{INSERT INTO dibs."MeetingSession" ("userUlid", "bookingUlid", "provider", "externalUuid") SELECT "userUlid", "ulid", 'zoom', u
				FROM dibs."CalBooking", unnest(ARRAY['$run', 'atsXxhSEQWit9t+U02HXNQ==']) u;
			INSERT INTO dibs."MeetingRecording" ("userUlid", "bookingUlid", "sessionUlid", "provider", "externalId", "state", "stateAt")
				SELECT s."userUlid", s."bookingUlid", s."ulid", 'zoom', 'planted-batch', 'ready', '2021-01-01Z' FROM dibs."MeetingSession" s WHERE s."externalUuid" LIKE 'ats%'});
	}
	my ($raw, $headers) = @{ zoom_delivery($body) };
	my $call = 'SELECT dibs.receive_webhook(' . join(', ', map { sql_quote($_) } 'zoom', $headers, $raw) . ')';
	my $answer = JSON::PP->new->decode(ask($call));
	is("$answer->{status} $answer->{outcome}", $effect{$event} ? '200 applied' : '200 ignored', "$name is accepted" . ($effect{$event} ? '' : ', kept and ignored'));
	is(ask($effect{$event}[0]), $effect{$event}[1], "$name does what the README says") if $effect{$event};
	is(ask(q{SELECT count(*) FROM dibs."WebhookEvent" WHERE "payload"::text ~ 'eyJpc3MiOiJodHRwczov|yNYIS408EJygs7rE5vVsJwXIz4'}), 0, "$name is kept without its token") if $raw =~ /download_token|recording_play_passcode/;
	is(JSON::PP->new->decode(ask($call))->{outcome}, 'duplicate', "$name is known when it comes again");
}
is(join(' ', grep { !$seen{$_} } sort keys %effect), '', 'every event of the table was delivered');
my $readme = -f project_dir() . '/README.md' ? slurp_file(project_dir() . '/README.md') : undef;
SKIP:
{
	skip 'the README is not here', 1 unless defined $readme;
	my ($table) = $readme =~ /^## Zoom's events\n(.*?)^## /ms;
	my @untold = grep { my $tail = s/^meeting\.participant//r; $table !~ /`(?:\Q$_\E|\Q$tail\E)`/ && $_ !~ /breakout_room$/ } sort keys %effect;
	is("@untold", '', 'and each is in the README');
}
done_testing();
