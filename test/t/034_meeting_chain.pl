# From the booking to the recording, against the stand-in, with the webhooks that it sends as Zoom signs them: taken from
# its outbox in any order and twice, or posted by it with Zoom's retries. Then a fresh link to the recording, on demand.
use strict;
use warnings;

use IO::Socket::INET;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

use DibsTest;

my $secret = 'zoom-secret-of-the-chain';
my $json = JSON::PP->new->canonical;
my $standin = start_standin();
my $node = dibs_node('chain', standin => $standin, conf => 'log_statement = none');
my $db = 'postgres';
sub ask { return $node->safe_psql($db, @_); }
setup_coach($node, $db);
setup_zoom($node, $db);
ask('SELECT dibs.set_secret(' . sql_quote('zoom.webhook_secret') . ', ' . sql_quote($secret) . ')');
$standin->settings(webhookSecret => $secret);

# a booking of now, and its meeting
my $now = POSIX::strftime('%Y-%m-%dT%H:%M:00Z', gmtime(time + 60));
my $later = POSIX::strftime('%Y-%m-%dT%H:%M:00Z', gmtime(time + 1860));
is(deliver_cal($node, $db, cal_body('BOOKING_CREATED', uid => 'chain', startTime => $now, endTime => $later))->{outcome}, 'applied', 'a booking comes in');
ok(wait_for_sql($node, $db, q{SELECT "meetingState" FROM dibs."CalBooking"}, 'ready'), 'it gets its meeting');
my $id = ask(q{SELECT "externalId" FROM dibs."Meeting"});

sub call { return 'SELECT dibs.receive_webhook(' . join(', ', map { sql_quote($_) } 'zoom', $json->encode($_[0]{headers}), $_[0]{body}) . ')'; }
my $last = 0;
sub hand_in
{
	my ($query) = @_;
	my $taken = $standin->control('GET', "/_control/webhooks?since=$last" . ($query // ''));
	my @said = map { $json->decode(ask(call($_)))->{outcome} } @{ $taken->{deliveries} };
	$last = $taken->{last};
	return join ' ', @said;
}

# the echo of our own create
is(hand_in(), 'ignored', 'what we made ourselves is no news');
my $validation = $standin->control('POST', '/_control/webhooks', { validate => \1 });
my ($challenge) = @{ $standin->control('GET', "/_control/webhooks?since=$last")->{deliveries} };
$last++;
is_deeply($json->decode(ask(call($challenge)))->{response}, $validation, 'the validation is answered as Zoom wants it');

# one after the other
$standin->control('POST', "/_control/people/$id", { do => 'wait', name => 'Guest', email => 'guest@example.com' });
is(hand_in(), 'applied', 'somebody waits');
is(ask(q{SELECT jsonb_path_query_array(dibs.meeting_state('chain'), '$.participants[*].state')}), '["waiting"]', 'and is seen to');
$standin->control('POST', "/_control/people/$id", { do => 'join', name => 'Coach', email => 'coach@example.com' });
$standin->control('POST', "/_control/people/$id", { do => 'admit', name => 'Guest', email => 'guest@example.com' });
$standin->control('POST', "/_control/people/$id", { do => 'join', name => 'Guest', email => 'guest@example.com' });
$standin->control('POST', "/_control/recording/$id", { do => 'start' });
is(hand_in('&order=shuffle&double=30&seed=3') =~ s/\b(?:applied|duplicate|stale)\b ?//gr, '', 'a start, shuffled');
is(ask(q{SELECT "status" FROM dibs."CalBooking"}), 'IN_PROGRESS', 'it runs');
is(ask(q{SELECT dibs.meeting_state('chain')->'recording'->>'state'}), 'recording', 'and is recorded');
sleep 1.2;
$standin->control('POST', "/_control/people/$id", { do => 'leave', name => 'Guest', email => 'guest@example.com' });
$standin->control('POST', "/_control/recording/$id", { do => 'stop' });
$standin->control('POST', "/_control/meeting/$id", { running => \0 });
$standin->control('POST', "/_control/recording/$id", { do => 'complete' });
is(hand_in('&order=reverse&double=20') =~ s/\b(?:applied|duplicate|stale)\b ?//gr, '', 'the rest, last things first');
is(ask(q{SELECT "status" || ' ' || ("participants"->0->>'status') FROM dibs."CalBooking"}), 'COMPLETED ATTENDED', 'it took place');
is(ask(q{SELECT count(*) FROM dibs.attendance WHERE role = 'participant' AND state = 'left' AND minutes > 0}), '1', 'with minutes');
is(ask(q{SELECT count(*), count("token"), bool_and("state" = 'ready') FROM dibs."MeetingRecording"}), '2|2|t', 'and two files, their tokens sealed');

# links
my $file = ask(q{SELECT "ulid" FROM dibs."MeetingRecording" WHERE "format" = 'MP4'});
my $link = $json->decode(ask("SELECT dibs.recording_url('$file')"));
is($link->{state}, 'ready', 'a link, with the token that came');
like($link->{token}, qr/^STANDIN-DOWNLOAD-SECRET\./, 'which opens it');
ask(q{UPDATE dibs."MeetingRecording" SET "tokenUntil" = now() - interval '1 h'});
is($json->decode(ask("SELECT dibs.recording_url('$file')"))->{state}, 'pending', 'once it has ended a fresh one is fetched');
ok(wait_for_sql($node, $db, "SELECT dibs.recording_url('$file')->>'state'", 'ready'), 'and is there a moment later')
  or diag(ask(q{SELECT "state", "errorCode", "error" FROM dibs."Job" WHERE "kind" = 'recording_link'}));
my $fresh = $json->decode(ask("SELECT dibs.recording_url('$file')"));
isnt($fresh->{token}, $link->{token}, 'a new token');
is($standin->control('GET', '/_control/log?path=recordings')->{entries}[0]{status}, 200, 'by one request');
my ($asked) = $standin->requests(path => 'recordings');
is_deeply($asked->{conformance} // [], [], 'that Zoom\'s document allows');

# who may
ask('CREATE ROLE member LOGIN; SELECT dibs.grant_access(\'member\', \'member\')');
my ($code, $out, $err) = $node->psql($db, "SET ROLE member; SELECT dibs.recording_url('$file')");
like($err, qr/there is no recording/, 'who is nobody knows of none');
$standin->control('POST', "/_control/recording/$id", { do => 'delete' });
ask(q{UPDATE dibs."MeetingRecording" SET "tokenUntil" = now() - interval '1 h'});
ask("SELECT dibs.recording_url('$file')");
ok(wait_for_sql($node, $db, "SELECT dibs.recording_url('$file')->>'state'", 'deleted'), 'what is gone at Zoom is gone here, before its event comes');
is(hand_in() =~ s/\b(?:applied|stale)\b ?//gr, '', 'which comes then');

# nothing of a token is in clear anywhere
is(ask(q{SELECT count(*) FROM dibs."WebhookEvent" WHERE "payload"::text ~ 'STANDIN-(DOWNLOAD|PLAY)-SECRET'}), 0, 'no token in what is kept');
my $dump = $node->basedir . '/dump';
command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr($db) ], 'pg_dump');
unlike(slurp_file($dump), qr/STANDIN-(?:DOWNLOAD|PLAY)-SECRET/, 'nor in the dump');
unlike(slurp_file($node->logfile), qr/STANDIN-(?:DOWNLOAD|PLAY)-SECRET/, 'nor in the log');

# somebody deletes a meeting at Zoom: it is made anew
is(deliver_cal($node, $db, cal_body('BOOKING_CREATED', uid => 'behind'))->{outcome}, 'applied', 'another booking');
ok(wait_for_sql($node, $db, q{SELECT "meetingState" FROM dibs."CalBooking" WHERE "calBookingUid" = 'behind'}, 'ready'), 'with its meeting');
hand_in();
my $first = ask(q{SELECT "zoomMeetingId" FROM dibs."CalBooking" WHERE "calBookingUid" = 'behind'});
ask(q{UPDATE dibs."Meeting" SET "answeredAt" = "answeredAt" - interval '1 minute' WHERE "externalId" = } . sql_quote($first));
$standin->control('POST', "/_control/meeting/$first", { deleted => \1 });
is(hand_in(), 'applied', 'it is deleted at Zoom');
ok(wait_for_sql($node, $db, q{SELECT "meetingState" = 'ready' AND "zoomMeetingId" <> } . sql_quote($first) . q{ FROM dibs."CalBooking" WHERE "calBookingUid" = 'behind'}, 't'), 'and made anew');
is($standin->control('GET', '/_control/state')->{duplicatesLive}, 0, 'once');

# posted by HTTP: 5xx is tried again, 4xx is lost
my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die "listen: $!";
my $url = 'http://127.0.0.1:' . $listener->sockport . '/';
my $child = fork // die "fork: $!";
if ($child == 0)
{
	# a gateway that is ill twice, then hands bodies on as they came
	my $n = 0;
	while (my $client = $listener->accept)
	{
		my ($head, $length) = ('', 0);
		while (my $line = <$client>) { last if $line =~ /^\r?\n$/; $head .= $line; $length = $1 if $line =~ /^content-length: *(\d+)/i; }
		read($client, my $body, $length);
		my %headers = map { /^([\w-]+): (.*?)\r?$/ ? (lc($1) => $2) : () } split /\n/, $head;
		my $status = 503;
		if (++$n > 2)
		{
			my $said = $json->decode($node->safe_psql($db, call({ headers => \%headers, body => $body })));
			$status = $said->{status};
		}
		print $client "HTTP/1.1 $status x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
		close $client;
	}
	POSIX::_exit(0);
}
close $listener;
$standin->settings(webhookMinuteMs => 10);
my $second = ask(q{SELECT "zoomMeetingId" FROM dibs."CalBooking" WHERE "calBookingUid" = 'behind'});
hand_in();
$standin->control('POST', "/_control/people/$second", { do => 'join', name => 'Guest', email => 'guest@example.com' });
my $posted = $standin->control('POST', '/_control/webhooks', { url => $url, since => $last });
kill 'KILL', $child;
waitpid $child, 0;
is(join(' ', map { "$_->{event} $_->{status} $_->{tries}" } @{ $posted->{results} }), 'meeting.started 200 3 meeting.participant_joined 200 1', 'posted, and tried again');
is(ask(q{SELECT "status" FROM dibs."CalBooking" WHERE "calBookingUid" = 'behind'}), 'IN_PROGRESS', 'and heard');
done_testing();
