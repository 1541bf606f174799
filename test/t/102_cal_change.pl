# What the application wants done at Cal.com: made, moved, cancelled, confirmed, declined; people, places, event types.
# Answers that get lost, refusals, wishes one after the other, a worker that is killed: each is done once, and the
# booking's row says what became of it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use CalSync;
use DibsTest;
use JSON::PP ();
use Test::More;
use Time::HiRes qw(sleep time);

my $standin = start_standin();
my $node = dibs_node('change', standin => $standin, conf => cal_conf($standin)
	  . "dibs.cal_sync_interval = 0\ndibs.request_timeout = '5s'\ndibs.connect_timeout = '5s'\ndibs.lease_margin = '1500ms'\nrestart_after_crash = on");
my $coach = $DibsTest::coach;
setup_coach($node, 'postgres');
$standin->settings(cal => { limits => { apiKey => 0, people => 0 } });
my $n = 0;
my @at_once;

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub fault { return $standin->control('POST', '/_control/faults', {@_}); }
sub there { return $standin->control('GET', '/_control/cal/booking?uid=' . field($_[0], '"calBookingUid"')); }
sub field { return sql(qq{SELECT $_[1] FROM dibs."CalBooking" b WHERE b."ulid" = '$_[0]'}); }

# the state of what was last wanted of a booking, once it has ended
sub ends
{
	my ($ulid, $expected, $name, $timeout) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(wait_for_sql($node, 'postgres', qq{SELECT "state" FROM dibs."CalChange" WHERE "bookingUlid" = '$ulid' ORDER BY "ulid" DESC LIMIT 1},
			$expected, $timeout // 30), $name);
}

# book(%keys): a booking at Cal.com; its ulid here
sub book
{
	my (%key) = @_;
	$n++;
	my $data = JSON::PP->new->canonical->encode({
		source => 'cal',
		eventTypeId => 50,
		userUlid => $coach,
		startTime => sprintf('2030-03-%02dT%02d:00:00Z', 1 + int($n / 20), $n % 20),
		attendeeEmail => "guest$n\@example.com",
		attendeeName => "Guest $n",
		%key });
	my ($ulid, $now) = split /\|/, sql('SELECT b->>\'ulid\', concat(b->>\'status\', b->>\'changeState\') FROM dibs.create_booking(' . sql_quote($data) . ') b');
	push @at_once, $now;
	return $ulid;
}

sub refused
{
	my ($statement, $state, $name) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statement");
	like($err, qr/ERROR:  $state:/, $name);
	return;
}

refused(qq{SELECT dibs.create_booking('{"source": "cal", "eventTypeId": 50, "startTime": "2030-01-01T10:00:00Z", "attendeeEmail": "a\@example.com", "userUlid": "$coach"}')},
	'F0000', 'without a key nothing is wanted there');
# nobody can be asked: what a webhook itself says of the host is all there is
is(deliver_cal($node, 'postgres', cal_body('BOOKING_CREATED', uid => 'hosted', bookingId => 4711))->{outcome}, 'applied', 'a booking by webhook');
my $absence = JSON::PP->new->canonical->encode({ triggerEvent => 'AFTER_HOSTS_CAL_VIDEO_NO_SHOW', createdAt => '2030-01-01T00:00:00.000Z',
	payload => { bookingUid => 'hosted', hostEmail => 'coach@example.com', noShowHost => JSON::PP::true, message => 'x' } });
is(deliver_cal($node, 'postgres', $absence)->{outcome}, 'applied', 'its host did not come');
is(sql(q{SELECT "hostAbsent" FROM dibs."CalBooking" WHERE "calBookingUid" = 'hosted'}), 't', 'and is absent');
is(sql(q{SELECT count(*) FROM dibs."Event" WHERE "type" = 'host.absent'}), '1', 'followers hear of it');
sql(q{DELETE FROM dibs."CalBooking" WHERE "calBookingUid" = 'hosted'});
sql(q{SELECT dibs.set_secret('cal.api_key', 'cal_live_STANDIN-CAL-KEY-coach')});

# ---- made ----

my $one = book(guests => ['friend@example.com'], metadata => { course => 'a1' });
ends($one, 'done', 'a booking is made');
is(field($one, q{"status" || ' ' || ("changeState" IS NULL) || ' ' || ("calBookingUid" !~ '^dibs_') || ' ' || "calBookingId"}),
	'CONFIRMED true true ' . there($one)->{id}, 'confirmed, under Cal.com\'s uid');
is(there($one)->{attendees}[1]{email}, 'friend@example.com', 'with its guest');
is(there($one)->{metadata}{course}, 'a1', 'and metadata');
ok(wait_for_sql($node, 'postgres', qq{SELECT "meetingState" FROM dibs."CalBooking" WHERE "ulid" = '$one'}, 'ready'), 'and it has its meeting');
is(sql(qq{SELECT string_agg("type", ',' ORDER BY "ulid") FROM dibs."Event" WHERE "bookingUlid" = '$one' AND "type" LIKE 'booking.%'}),
	'booking.created,booking.confirmed', 'told as made and confirmed');

my $late = book(startTime => there($one)->{start});
is($at_once[-1], 'PENDINGpending', 'on its way, at once');
ends($late, 'refused', 'a slot that is taken is refused');
like(field($late, q{"status" || ' ' || "changeState" || ' ' || "changeError" || ' ' || "cancellationReason"}),
	qr/^REJECTED refused User either already has booking.* User either/, 'and the row says so, in Cal.com\'s words');
is(sql(qq{SELECT "data"->>'errorCode' FROM dibs."Event" WHERE "bookingUlid" = '$late' AND "type" = 'change.refused'}), 'refused', 'followers hear of it');

# ---- changed ----

my $uid = field($one, '"calBookingUid"');
is(sql(qq{SELECT dibs.reschedule_booking('$one', '2030-04-01 10:00Z', 'later', 'coach\@example.com')->>'changeState'}), 'pending', 'a move is on its way');
ends($one, 'done', 'and done');
is(field($one, q{"startTime" = '2030-04-01 10:00Z' AND "rescheduledFromUid" = '} . $uid . q{' AND "changeState" IS NULL AND "reschedulingReason" = 'later'}),
	't', 'the same row, moved, under another uid');
sql(qq{SELECT dibs.add_guests('$one', '["second\@example.com", {"email": "third\@example.com", "name": "Third"}]')});
sql(qq{SELECT dibs.update_booking('$one', '{"location": {"kind": "in_person", "value": "Room 5"}}')});
ends($one, 'done', 'guests and place, one after the other');
is(join(',', sort map { $_->{email} } @{ there($one)->{attendees} }),
	join(',', sort 'guest1@example.com', map { "$_\@example.com" } qw(friend second third)), 'guests are there');
is(there($one)->{location}, 'Room 5', 'the place too');
is(field($one, q{"location"->>'value' || jsonb_array_length("participants")}), 'Room 54', 'and here');
is(sql(qq{SELECT string_agg("kind", ',' ORDER BY "sentAt") FROM dibs."CalChange" WHERE "bookingUlid" = '$one'}), 'create,reschedule,guests,location',
	'in the order in which they were wanted');
sql(qq{SELECT dibs.mark_no_show('$one', 'guest1\@example.com')});
ends($one, 'refused', 'nobody is absent before it has begun');
like(field($one, '"changeError"'), qr/before the meeting has started/, 'says Cal.com');
is(field($one, '"status"'), 'CONFIRMED', 'the booking stands');

sql(qq{SELECT dibs.cancel_booking('$one', 'ill')});
ends($one, 'done', 'cancelled');
is(field($one, q{"status" || ' ' || "cancellationReason" || ' ' || coalesce("changeState", '-')}), 'CANCELLED ill -', 'here too');
is(there($one)->{status}, 'cancelled', 'and there');
is(sql(qq{SELECT dibs.cancel_booking('$one')->>'status'}), 'CANCELLED', 'again: nothing');
refused(qq{SELECT dibs.reschedule_booking('$one', '2030-05-01 10:00Z')}, '22023', 'what has ended is not moved');

my $asked = $standin->control('POST', '/_control/cal/act', { do => 'createBooking', eventTypeId => 52, start => '2030-06-01T10:00:00Z',
	attendee => { name => 'Ann', email => 'ann@example.com', timeZone => 'UTC' } });
my $second = $standin->control('POST', '/_control/cal/act', { do => 'createBooking', eventTypeId => 52, start => '2030-06-02T10:00:00Z',
	attendee => { name => 'Ann', email => 'ann@example.com', timeZone => 'UTC' } });
is(sync_done($node), undef, 'two that ask for confirmation');
sql(qq{SELECT dibs.confirm_booking('$asked->{uid}'); SELECT dibs.decline_booking('$second->{uid}', 'full')});
ok(wait_for_sql($node, 'postgres', qq{SELECT string_agg("status", ',' ORDER BY "startTime") FROM dibs."CalBooking" WHERE "attendeeEmail" = 'ann\@example.com'}, 'CONFIRMED,REJECTED'),
	'one is confirmed, one declined');

# ---- behind our back ----

my $gone = book();
ends($gone, 'done', 'made');
$standin->control('POST', '/_control/cal/act', { do => 'cancelBooking', as => 'coach@example.com', uid => field($gone, '"calBookingUid"'), cancellationReason => 'there' });
sql(qq{SELECT dibs.cancel_booking('$gone', 'here')});
ends($gone, 'done', 'cancelled there already: as wanted');
ok(wait_for_sql($node, 'postgres', qq{SELECT "status" || "cancellationReason" FROM dibs."CalBooking" WHERE "ulid" = '$gone'}, 'CANCELLEDthere'), 'with the reason there');
my $moved = book();
ends($moved, 'done', 'made');
my $there = $standin->control('POST', '/_control/cal/act', { do => 'rescheduleBooking', as => 'coach@example.com', uid => field($moved, '"calBookingUid"'), start => '2030-07-01T10:00:00Z' });
sql(qq{SELECT dibs.reschedule_booking('$moved', '2030-07-02 10:00Z')});
ends($moved, 'refused', 'moved there already: refused');
ok(wait_for_sql($node, 'postgres', qq{SELECT "calBookingUid" FROM dibs."CalBooking" WHERE "ulid" = '$moved'}, $there->{uid}), 'and the row follows to where it is');

# ---- answers that get lost ----

fault(match => { method => 'POST', path => '/v2/bookings$' }, kind => 'reset', when => 'after');
my $lost = book();
ends($lost, 'done', 'made, the answer lost');
is(there($lost)->{status}, 'accepted', 'found again');
fault(match => { method => 'POST', path => '/v2/bookings$' }, kind => 'timeout', when => 'after');
$lost = book();
ends($lost, 'done', 'made, no answer');
fault(match => { method => 'POST', path => '/v2/bookings$' }, kind => 'reset', when => 'before');
$lost = book();
ends($lost, 'done', 'not made, no answer: made after looking');
fault(match => { method => 'POST', path => '/v2/bookings$' }, kind => 'status', status => 503, times => 2);
$lost = book();
ends($lost, 'done', 'busy twice');
fault(match => { method => 'POST', path => '/reschedule$' }, kind => 'reset', when => 'after');
sql(qq{SELECT dibs.reschedule_booking('$lost', '2030-08-01 10:00Z')});
ends($lost, 'done', 'moved, the answer lost');
ok(wait_for_sql($node, 'postgres', qq{SELECT "startTime" = '2030-08-01 10:00Z' FROM dibs."CalBooking" WHERE "ulid" = '$lost'}, 't'), 'and the row follows');
fault(match => { method => 'POST', path => '/cancel$' }, kind => 'reset', when => 'after');
sql(qq{SELECT dibs.cancel_booking('$lost')});
ends($lost, 'done', 'cancelled, the answer lost');
ok(wait_for_sql($node, 'postgres', qq{SELECT "status" FROM dibs."CalBooking" WHERE "ulid" = '$lost'}, 'CANCELLED'), 'and the row too');

# the webhook is quicker than the answer
$standin->control('POST', '/_control/cal/tokens', { expire => 'access' });
my $hook = HTTP::Tiny->new->request('POST', $standin->url . '/cal/v2/webhooks', { headers => { authorization => 'Bearer cal_live_STANDIN-CAL-KEY-coach', 'content-type' => 'application/json' },
	content => JSON::PP::encode_json({ active => JSON::PP::true, subscriberUrl => 'https://app.example.com/c', secret => $DibsTest::cal_secret, triggers => ['BOOKING_CREATED'] }) });
fault(match => { method => 'POST', path => '/v2/bookings$' }, kind => 'delay', ms => 4000, when => 'after');
my $quick = book();
ok($standin->wait_open(method => 'POST', path => '/v2/bookings$', done => 1), 'a booking is made, and the answer takes its time');
deliver_outbox($node, $standin);
is(sql(q{SELECT count(*) FROM dibs."CalBooking" WHERE "attendeeEmail" = (SELECT "attendeeEmail" FROM dibs."CalBooking" WHERE "ulid" = '} . $quick . q{')}), '2', 'the webhook came first');
ends($quick, 'done', 'then the answer');
is(sql(q{SELECT count(*) FROM dibs."CalBooking" WHERE "attendeeEmail" = (SELECT "attendeeEmail" FROM dibs."CalBooking" WHERE "ulid" = '} . $quick . q{')}), '1', 'one booking, under the ulid that the application knows');

# the worker is killed with the request on the wire
my $worker = sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dibs worker'});
fault(match => { method => 'POST', path => '/v2/bookings$' }, kind => 'delay', ms => 4000, when => 'after');
my $killed = book();
ok($standin->wait_open(method => 'POST', path => '/v2/bookings$', done => 1), 'made, and the answer is on the wire');
kill_process($node, $worker);
ends($killed, 'done', 'a killed worker\'s create is found', 60);
is_deeply($standin->control('GET', '/_control/state')->{cal}{duplicates}, [], 'nothing was made twice');

# ---- our link as the place there ----

sql(qq{INSERT INTO dibs."CoachZoomConfig" ("userUlid", "settings") VALUES ('$coach', '{"locationPolicy": "replace"}')});
my $linked = book();
ends($linked, 'done', 'a booking of a coach whose links replace places');
ok(wait_for_sql($node, 'postgres', qq{SELECT "location"->>'value' = "zoomJoinUrl" FROM dibs."CalBooking" WHERE "ulid" = '$linked'}, 't'), 'our link is its place');
is(there($linked)->{location}, field($linked, '"zoomJoinUrl"'), 'at Cal.com, too');
ok(wait_for_sql($node, 'postgres', qq{SELECT "wanted" = "done" AND "meetingState" = 'ready' FROM dibs."CalBooking" WHERE "ulid" = '$linked'}, 't'), 'and that changes no meeting');
is(sql(qq{SELECT count(*) FROM dibs."CalChange" WHERE "bookingUlid" = '$linked' AND "kind" = 'location'}), '1', 'once');
sql(q{DELETE FROM dibs."CoachZoomConfig"});

# ---- who did not come ----

my $begun = book();
ends($begun, 'done', 'a booking');
$standin->control('POST', '/_control/cal/edit', { uid => field($begun, '"calBookingUid"'), set => { start => time * 1000 - 1800_000, end => time * 1000 } });
sql(qq{SELECT dibs.mark_no_show('$begun', NULL)});
ends($begun, 'done', 'whose host did not come');
ok(there($begun)->{absentHost}, 'is marked so there');
is(field($begun, q{"hostAbsent" || ' ' || (SELECT bool_or(p."noShow") FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid")}), 'true false', 'and here');
sql(qq{SELECT dibs.mark_no_show('$begun', (SELECT "attendeeEmail" FROM dibs."CalBooking" WHERE "ulid" = '$begun'))});
ends($begun, 'done', 'nor did the guest');
is(field($begun, q{"hostAbsent" || ' ' || (SELECT bool_or(p."noShow") FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid")}), 'true true', 'both are absent');
# no webhook tells of the host; the one about the guest has the booking read
my $absent = sub { $standin->control('POST', '/_control/cal/act', { do => 'markAbsent', as => 'coach@example.com', uid => field($begun, '"calBookingUid"'), @_ }) };
$absent->(host => JSON::PP::false);
is(sync_done($node), undef, 'a host who came after all');
is(field($begun, '"hostAbsent"'), 'f', 'is not absent any more');
$absent->(host => JSON::PP::true);
my $told = JSON::PP->new->canonical->encode({ triggerEvent => 'BOOKING_NO_SHOW_UPDATED', createdAt => '2030-01-01T00:00:00.000Z', payload => {
	message => 'x', bookingUid => field($begun, '"calBookingUid"'), attendees => [ { email => field($begun, '"attendeeEmail"'), noShow => JSON::PP::true } ] } });
deliver_cal($node, 'postgres', $told);
ok(wait_for_sql($node, 'postgres', qq{SELECT "hostAbsent" FROM dibs."CalBooking" WHERE "ulid" = '$begun'}, 't'), 'who else is absent is read when a webhook tells of somebody');

# ---- another coach ----

my $other = '01J9ZK4M8Q0000000000000777';
my $given = book(eventTypeId => 56, sessionUlid => '01J9ZK4M8Q0000000000000778');
ends($given, 'done', 'a booking of a team');
refused(qq{SELECT dibs.reassign_booking('$given', '$other')}, 'P0002', 'to a coach whom nobody knows at Cal.com it is not given');
sql("SELECT dibs.link_account('cal', '$other', external_id => '6')");
# in one transaction, so that the worker cannot have done the one before the other is wanted
is(sql(qq{BEGIN; SELECT dibs.reassign_booking('$given', '$other')->>'changeState';
	DO \$\$BEGIN PERFORM dibs.update_booking('$given', '{"location": {"kind": "in_person", "value": "Room 7"}}'); END\$\$; COMMIT}),
	'pending', 'to one who is known there: on its way');
ok(wait_for_sql($node, 'postgres', qq{SELECT "userUlid" FROM dibs."CalBooking" WHERE "ulid" = '$given'}, $other), 'then it is the other coach\'s');
is(there($given)->{hosts}[0]{id}, 6, 'there, too');
is(field($given, q{"sessionUlid"}), '01J9ZK4M8Q0000000000000778', 'what is the application\'s goes with it');
ends($given, 'refused', 'what else was wanted is asked of the new host\'s account, and here nobody has that');
is(sql(qq{SELECT string_agg(concat_ws(' ', "kind", "state", "userUlid" = '$other'), ',' ORDER BY "ulid") FROM dibs."CalChange" WHERE "bookingUlid" = '$given' AND "kind" <> 'create'}),
	'reassign done t,location refused t', 'both wishes went along');
is(sql(qq{SELECT count(*) FROM dibs."Event" WHERE "bookingUlid" = '$given' AND "type" = 'change.done' AND "data"->>'kind' = 'reassign'}), '1', 'followers hear of it');
my $kept = book();
ends($kept, 'done', 'one that is no team\'s');
sql(qq{SELECT dibs.reassign_booking('$kept', '$other')});
ends($kept, 'refused', 'is not reassigned');
like(field($kept, q{"changeError" || "userUlid"}), qr/round robin.*\Q$coach\E/, 'says Cal.com, and it stays where it is');
fault(match => { method => 'POST', path => '/reassign/' }, kind => 'reset', when => 'after');
$given = book(eventTypeId => 56);
ends($given, 'done', 'another');
sql(qq{SELECT dibs.reassign_booking('$given', '$other')});
ok(wait_for_sql($node, 'postgres', qq{SELECT "state" FROM dibs."CalChange" WHERE "bookingUlid" = '$given' AND "kind" = 'reassign'}, 'done'), 'reassigned, the answer lost: read again');
is(field($given, '"userUlid"'), $other, 'and the row follows');
is(scalar $standin->requests(path => '/reassign/6$'), 3, 'each was asked for once');

# ---- event types ----

my $wish = sql(qq{SELECT dibs.cal_event_type('{"title": "New", "slug": "new", "length": 25}', user_ulid => '$coach')});
ok(wait_for_sql($node, 'postgres', qq{SELECT "state" FROM dibs."CalChange" WHERE "ulid" = '$wish'}, 'done'), 'an event type is made');
my $type = sql(qq{SELECT "answer"->>'uid' FROM dibs."CalChange" WHERE "ulid" = '$wish'});
$wish = sql(qq{SELECT dibs.cal_event_type('{"hidden": true}', $type)});
ok(wait_for_sql($node, 'postgres', qq{SELECT "title" || "length" || "active" FROM dibs."CalEventType" WHERE "eventTypeId" = $type}, 'New25false'), 'and hidden');
$wish = sql(qq{SELECT dibs.cal_event_type('{"title": "New", "slug": "new", "length": 25}', user_ulid => '$coach')});
ok(wait_for_sql($node, 'postgres', qq{SELECT "state" || ' ' || "error" FROM dibs."CalChange" WHERE "ulid" = '$wish'}, 'refused User already has an event type with this slug.'), 'a slug twice is refused');

is(sync_done($node), undef, 'after a synchronisation');
is(both_sides($node, $standin, 'coach@example.com'), '', 'both sides are equal');
is(join("\n", map { "$_->{method} $_->{path} " . join ',', @{ $_->{conformance} }, @{ $_->{anomalies} } }
	  grep { @{ $_->{conformance} } || @{ $_->{anomalies} } } $standin->requests(path => '/cal/v2/(?!webhooks)')), '', 'no request was odd');
$node->stop;
done_testing();
