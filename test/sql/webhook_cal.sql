-- Every trigger of Cal.com, in the shapes of both senders. In one transaction: no worker sees any of it.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
BEGIN;
CREATE SCHEMA t;
\getenv test PG_ABS_SRCDIR
\set hmac :test '/include/hmac.sql'
\set cal :test '/include/cal.sql'
\set echo :ECHO
\set ECHO none
\i :hmac
\i :cal
\set ECHO :echo
SELECT dibs.set_secret('cal.webhook_secret', 'regress');

-- the organizer is nobody's yet: the event waits, and is applied when they are linked
SELECT t.send('BOOKING_CREATED', 1, '{"uid": "a1", "metadata": {"videoCallUrl": "https://video.example/a1", "lead": "x"}}');
SELECT * FROM t.show('a%');
SELECT dibs.link_account('cal', '01HZX00000000000000000CA11', external_id => '7') - 'account' AS linked;
SELECT dibs.apply_webhooks();
SELECT * FROM t.show('a%');
SELECT "userUlid", "calBookingId", "title", "description", "eventTypeId", "eventTypeSlug", "bookingType", "endTime", "attendeeEmail", "attendeeName",
	"attendeeTimeZone", "bookingFields", "metadata", "source", "location" FROM dibs."CalBooking" WHERE "calBookingUid" = 'a1' \gx
SELECT "userUlid", "name", "email", "timeZone" FROM dibs."Coach" WHERE "userUlid" = '01HZX00000000000000000CA11';

-- the same event again, by another subscription: another time, nothing new
SELECT t.send('BOOKING_CREATED', 1, '{"uid": "a1", "metadata": {"videoCallUrl": "https://video.example/a1", "lead": "x"}}');
SELECT t.send('BOOKING_CREATED', 2, '{"uid": "a1", "metadata": {"videoCallUrl": "https://video.example/a1", "lead": "x"}}');
SELECT "wanted" FROM dibs."CalBooking" WHERE "calBookingUid" = 'a1';

-- a reschedule keeps the row; the old uid still finds it, and moves nothing any more
CREATE TABLE t.was AS SELECT "ulid" FROM dibs."CalBooking" WHERE "calBookingUid" = 'a1';
SELECT t.send('BOOKING_RESCHEDULED', 10, '{"uid": "a2", "bookingId": 42, "rescheduleUid": "a1", "rescheduleId": 41, "rescheduledBy": "ada@example.org",
	"startTime": "2030-02-02T15:30:00+05:30", "endTime": "2030-02-02T16:00:00+05:30",
	"responses": {"rescheduleReason": {"label": "why", "value": "ill"}}}');
SELECT * FROM t.show('a%');
SELECT b."ulid" = w."ulid" AS same_row, "calBookingId", "rescheduledFromUid", "reschedulingReason", "rescheduledByEmail", "wanted", "announced" = "wanted" AS announced
FROM dibs."CalBooking" b, t.was w WHERE "calBookingUid" = 'a2';
SELECT t.send('BOOKING_CANCELLED', 20, '{"uid": "a1", "cancellationReason": "late news"}');
SELECT * FROM t.show('a%');
SELECT u."uid", u."bookingUlid" = w."ulid" AS ours FROM dibs."BookingUid" u, t.was w WHERE u."uid" LIKE 'a%' ORDER BY 1;
-- older than what is known
SELECT t.send('BOOKING_RESCHEDULED', 9, '{"uid": "a2", "rescheduleUid": "a1", "title": "Old title"}');
SELECT "title" FROM dibs."CalBooking" WHERE "calBookingUid" = 'a2';
SELECT t.send('BOOKING_CANCELLED', 30, '{"uid": "a2", "cancellationReason": "no time", "cancelledBy": "ada@example.org", "location": "integrations:daily"}');
SELECT "status", "cancellationReason", "cancelledByEmail" FROM dibs."CalBooking" WHERE "calBookingUid" = 'a2';
SELECT "type", "data"->>'status' AS status FROM dibs."Event" e, t.was w WHERE e."bookingUlid" = w."ulid" ORDER BY e."ulid" COLLATE "C";

-- the reschedule first, then what it replaced; and the link between two that are there comes last
SELECT t.send('BOOKING_RESCHEDULED', 40, '{"uid": "b2", "rescheduleUid": "b1", "startTime": "2030-03-01T10:00:00Z", "endTime": "2030-03-01T10:30:00Z"}');
SELECT t.send('BOOKING_CREATED', 31, '{"uid": "b1"}');
SELECT * FROM t.show('b%');
SELECT t.send('BOOKING_CREATED', 31, '{"uid": "c1"}');
SELECT t.send('BOOKING_RESCHEDULED', 51, '{"uid": "c3", "rescheduleUid": "c2", "startTime": "2030-03-03T10:00:00Z", "endTime": "2030-03-03T10:30:00Z"}');
SELECT * FROM t.show('c%');
SELECT t.send('BOOKING_RESCHEDULED', 41, '{"uid": "c2", "rescheduleUid": "c1", "startTime": "2030-03-02T10:00:00Z", "endTime": "2030-03-02T10:30:00Z"}');
SELECT * FROM t.show('c%');
SELECT count(DISTINCT "bookingUlid"), count(*) FROM dibs."BookingUid" WHERE "uid" LIKE 'c%';

-- asked for, and confirmed or rejected; a move that has to be confirmed comes as a request
SELECT t.send('BOOKING_REQUESTED', 1, '{"uid": "d1"}'), t.send('BOOKING_REQUESTED', 1, '{"uid": "e1"}');
SELECT * FROM t.show('d1') UNION ALL SELECT * FROM t.show('e1');
SELECT t.send('BOOKING_CREATED', 2, '{"uid": "d1"}'), t.send('BOOKING_REJECTED', 2, '{"uid": "e1", "rejectionReason": "full"}');
SELECT * FROM t.show('d1') UNION ALL SELECT * FROM t.show('e1');
SELECT t.send('BOOKING_REQUESTED', 3, '{"uid": "d2", "rescheduleUid": "d1", "startTime": "2030-04-01T10:00:00Z", "endTime": "2030-04-01T10:30:00Z"}');
SELECT * FROM t.show('d%');
SELECT t.send('BOOKING_REJECTED', 4, '{"uid": "d2", "rejectionReason": "no"}');
SELECT * FROM t.show('d%');
-- the host asks for another time, and gets one
SELECT t.send('BOOKING_CREATED', 1, '{"uid": "f1"}'), t.send('BOOKING_CANCELLED', 2, '{"uid": "f1", "requestReschedule": true}'),
	t.send('BOOKING_RESCHEDULED', 3, '{"uid": "f2", "rescheduleUid": "f1"}');
SELECT * FROM t.show('f%');

-- paid: PAYMENT_INITIATED says ACCEPTED and is not
SELECT t.send('BOOKING_PAYMENT_INITIATED', 1, '{"uid": "g1", "price": 1500, "status": "ACCEPTED"}');
SELECT "status", "paid", "amount", "currency", "location" FROM dibs."CalBooking" WHERE "calBookingUid" = 'g1';
SELECT t.send('BOOKING_PAID', 3, '{"uid": "g1", "price": 1500, "currency": "USD", "metadata": {"externalId": "pi_1"}}'),
	t.send('BOOKING_CREATED', 2, '{"uid": "g1", "metadata": {"videoCallUrl": "https://video.example/g1"}}');
SELECT "status", "paid", "amount", "currency", "location", "metadata" FROM dibs."CalBooking" WHERE "calBookingUid" = 'g1';
-- the payment's news before the booking's
SELECT t.send('BOOKING_PAID', 3, '{"uid": "g2", "price": 1500}'), t.send('BOOKING_PAYMENT_INITIATED', 1, '{"uid": "g2", "price": 1500}');
SELECT * FROM t.show('g2');

-- absent, and not absent after all; before the booking is known
SELECT t.deliver('{"triggerEvent": "BOOKING_NO_SHOW_UPDATED", "createdAt": "2024-01-01T02:00:00Z", "payload": {"message": "m", "bookingUid": "h1", "attendees": [{"email": "ADA@example.org", "noShow": true}]}}');
SELECT t.send('BOOKING_CREATED', 1, '{"uid": "h1"}');
SELECT dibs.apply_webhooks();
SELECT p."email", p."noShow", p."status" FROM dibs."BookingParticipant" p JOIN dibs."CalBooking" b ON b."ulid" = p."bookingUlid" WHERE b."calBookingUid" = 'h1';
SELECT t.deliver('{"triggerEvent": "BOOKING_NO_SHOW_UPDATED", "createdAt": "2024-01-01T03:00:00Z", "payload": {"bookingUid": "h1", "attendees": [{"email": "ada@example.org", "noShow": false}]}}');
SELECT p."noShow" FROM dibs."BookingParticipant" p JOIN dibs."CalBooking" b ON b."ulid" = p."bookingUlid" WHERE b."calBookingUid" = 'h1';

-- by the clock, flat and nested; recordings; nobody in the room
SELECT t.deliver('{"triggerEvent": "MEETING_STARTED", "id": 41, "uid": "h1", "title": "x", "status": "ACCEPTED", "createdAt": "2023-01-01T00:00:00Z", "startTime": "2030-02-01T10:00:00.000Z"}');
SELECT t.deliver('{"triggerEvent": "MEETING_ENDED", "createdAt": "2024-02-01T10:30:00Z", "payload": {"id": 41, "uid": "h1", "status": "ACCEPTED"}}');
SELECT t.deliver('{"triggerEvent": "RECORDING_READY", "createdAt": "2024-02-01T10:40:00Z", "payload": {"uid": "h1", "downloadLink": "https://video.example/secret"}}');
SELECT t.deliver('{"triggerEvent": "RECORDING_TRANSCRIPTION_GENERATED", "createdAt": "2024-02-01T10:41:00Z", "payload": {"uid": "h1", "downloadLinks": {"recording": "https://video.example/secret"}}}');
SELECT t.deliver('{"triggerEvent": "AFTER_HOSTS_CAL_VIDEO_NO_SHOW", "createdAt": "2024-02-01T10:05:00Z", "payload": {"bookingUid": "h1", "hostEmail": "coach@example.org", "message": "Host did not join"}}');
SELECT t.deliver('{"triggerEvent": "AFTER_GUESTS_CAL_VIDEO_NO_SHOW", "createdAt": "2024-02-01T10:05:00Z", "payload": {"bookingUid": "h1", "message": "Guest did not join"}}');
SELECT t.deliver('{"triggerEvent": "WRONG_ASSIGNMENT_REPORT", "createdAt": "2024-02-01T10:06:00Z", "payload": {"booking": {"uid": "h1", "id": 41}, "report": {}}}');
-- the same once more, by replaying it: no further row, no further event
SELECT dibs.replay_webhook(e."ulid") FROM dibs."WebhookEvent" e WHERE e."trigger" = 'RECORDING_READY';
-- another recording of the same booking, and one of a booking that is not known yet
SELECT t.deliver('{"triggerEvent": "RECORDING_READY", "createdAt": "2024-02-01T10:50:00Z", "payload": {"uid": "h1", "downloadLink": "https://video.example/secret2"}}');
SELECT t.deliver('{"triggerEvent": "RECORDING_READY", "createdAt": "2024-02-01T10:50:00Z", "payload": {"uid": "h9", "downloadLink": "https://video.example/secret3"}}');
SELECT r."provider", r."externalId", r."type", r."state", r."stateAt" AT TIME ZONE 'UTC' AS since, r."downloadUrl", r."token" IS NOT NULL AS sealed, r."userUlid" = b."userUlid" AS own
FROM dibs."MeetingRecording" r JOIN dibs."CalBooking" b ON b."ulid" = r."bookingUlid" WHERE b."calBookingUid" = 'h1' ORDER BY r."externalId" COLLATE "C";
SELECT e."type", e."data" - 'recording' AS data, e."data" ? 'recording' AS file FROM dibs."Event" e JOIN dibs."CalBooking" b ON b."ulid" = e."bookingUlid" WHERE b."calBookingUid" = 'h1' ORDER BY e."ulid" COLLATE "C";
SELECT * FROM t.show('h1');
-- no consequence for a booking, and names that nobody knows
SELECT trigger, t.deliver(format('{"triggerEvent": "%s", "createdAt": "2024-01-01T00:00:00Z", "payload": {"uid": "i1", "x": 1}}', trigger))
FROM unnest(ARRAY['PING', 'INSTANT_MEETING', 'OOO_CREATED', 'FORM_SUBMITTED', 'FORM_SUBMITTED_NO_EVENT', 'ROUTING_FORM_FALLBACK_HIT',
	'DELEGATION_CREDENTIAL_ERROR', 'BOOKING_TELEPORTED']) trigger;

-- seats: every one is another BOOKING_CREATED of the same uid
SELECT t.send('BOOKING_CREATED', n, jsonb_build_object('uid', 's1', 'seatsPerTimeSlot', 3, 'attendeeSeatId', 'seat' || n,
	'attendees', jsonb_build_array(jsonb_build_object('email', 'p' || n || '@example.org', 'name', 'P' || n))))
FROM generate_series(1, 3) n;
SELECT * FROM t.show('s1');
SELECT "bookingType", "maxParticipants", "attendeeEmail" FROM dibs."CalBooking" WHERE "calBookingUid" = 's1';
-- one leaves: with the seat's id, and the sender has forgotten whose it was; the older sender knows no seat; the last one ends it
SELECT t.send('BOOKING_CANCELLED', 5, '{"uid": "s1", "seatsPerTimeSlot": 3, "attendeeSeatId": "seat1", "attendees": [{"email": "", "name": "[attendee data unavailable]", "timeZone": ""}]}');
SELECT * FROM t.show('s1');
SELECT "attendeeEmail" FROM dibs."CalBooking" WHERE "calBookingUid" = 's1';
SELECT t.send('BOOKING_CANCELLED', 6, '{"uid": "s1", "seatsPerTimeSlot": 3, "attendees": [{"email": "P2@example.org", "name": "P2"}]}');
SELECT t.send('BOOKING_CREATED', 7, '{"uid": "s1", "seatsPerTimeSlot": 3, "attendeeSeatId": "seat4", "attendees": [{"email": "p1@example.org", "name": "P1"}]}');
SELECT * FROM t.show('s1');
-- the owner moves all in place, an attendee moves to another time
SELECT t.send('BOOKING_RESCHEDULED', 8, '{"uid": "s1", "rescheduleUid": "s1", "seatsPerTimeSlot": 3, "startTime": "2030-05-01T10:00:00Z", "endTime": "2030-05-01T10:30:00Z", "attendees": [{"email": "p1@example.org"}, {"email": "p3@example.org"}]}');
SELECT t.send('BOOKING_RESCHEDULED', 9, '{"uid": "s2", "rescheduleUid": "s1", "seatsPerTimeSlot": 3, "attendeeSeatId": "seat3", "startTime": "2030-06-01T10:00:00Z", "endTime": "2030-06-01T10:30:00Z", "attendees": [{"email": "p3@example.org", "name": "P3"}]}');
SELECT * FROM t.show('s%');
SELECT t.send('BOOKING_CANCELLED', 10, '{"uid": "s1", "seatsPerTimeSlot": 3, "attendees": [{"email": "p1@example.org"}]}');
SELECT t.send('BOOKING_CANCELLED', 10, '{"uid": "s2", "seatsPerTimeSlot": 3, "attendees": [], "cancellationReason": "all off"}');
SELECT * FROM t.show('s%');
-- before the session is known: it waits
SELECT t.send('BOOKING_CANCELLED', 20, '{"uid": "s3", "seatsPerTimeSlot": 3, "attendeeSeatId": "x2", "attendees": []}');
SELECT t.send('BOOKING_CREATED', 11, '{"uid": "s3", "seatsPerTimeSlot": 3, "attendeeSeatId": "x1", "attendees": [{"email": "x1@example.org"}]}');
SELECT dibs.apply_webhooks();
SELECT t.send('BOOKING_CREATED', 12, '{"uid": "s3", "seatsPerTimeSlot": 3, "attendeeSeatId": "x2", "attendees": [{"email": "x2@example.org"}]}');
SELECT * FROM t.show('s3');

-- where it takes place
CREATE FUNCTION t.at(n int, location text, more jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	kept jsonb;
BEGIN
	PERFORM t.send('BOOKING_CREATED', 1, jsonb_build_object('uid', 'l' || n, 'location', at.location) || at.more);
	SELECT b."location" INTO kept FROM dibs."CalBooking" b WHERE b."calBookingUid" = 'l' || n;
	RETURN kept;
END $$;
SELECT location, t.at(n, location, more::jsonb)
FROM (VALUES (1, 'https://zoom.example/j/1', '{}'), (2, 'integrations:zoom', '{}'),
	(3, 'integrations:google:meet', '{"additionalInformation": {"hangoutLink": "https://meet.example/x"}}'),
	(4, '12 Main Street, Springfield', '{}'), (5, '+49 30 1234567', '{}'),
	(6, 'inPerson', '{"responses": {"location": {"value": {"value": "inPerson", "optionValue": "Room 5"}}}}'),
	(7, 'phone', '{"responses": {"attendeePhoneNumber": {"value": "+15550100"}}}'),
	(8, 'integrations:daily', '{"videoCallData": {"url": "https://video.example/8", "password": "p"}}'),
	(9, 'javascript:alert(1)', '{}')) v(n, location, more);

-- a deleted booking stays deleted, and what replaces it with it
DELETE FROM dibs."CalBooking" WHERE "calBookingUid" = 'h1';
SELECT t.send('BOOKING_CANCELLED', 50, '{"uid": "h1"}'), t.send('BOOKING_RESCHEDULED', 51, '{"uid": "h2", "rescheduleUid": "h1"}'),
	t.send('BOOKING_CREATED', 52, '{"uid": "h2"}');
SELECT * FROM t.show('h%');

-- a cancellation by the application is not undone by news that the booking is on
UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "calBookingUid" = 'g1';
SELECT t.send('BOOKING_CREATED', 60, '{"uid": "g1"}');
SELECT "status" FROM dibs."CalBooking" WHERE "calBookingUid" = 'g1';

-- the small payload of some guides, for a single coach; coaches that register themselves; hosts among the attendees
SET LOCAL dibs.default_user_ulid = '01HZX00000000000000000CA12';
SELECT t.deliver('{"triggerEvent": "BOOKING_CREATED", "payload": {"uid": "m1", "id": 5, "title": "Small", "startTime": "2030-02-01T10:00:00Z", "endTime": "2030-02-01T10:30:00Z", "attendees": [{"email": "s@example.org"}]}}');
SELECT "userUlid", "calBookingId", "attendeeEmail" FROM dibs."CalBooking" WHERE "calBookingUid" = 'm1';
SET LOCAL dibs.default_user_ulid = '';
SET LOCAL dibs.auto_register_coaches = on;
SELECT t.send('BOOKING_CREATED', 1, '{"uid": "n1", "organizer": {"id": 8, "email": "new@example.org", "name": "New"},
	"team": {"members": [{"email": "second.host@example.org"}]},
	"attendees": [{"email": "NEW@example.org"}, {"email": "second.host@example.org"}, {"email": "guest@example.org"}, {"email": "ada@example.org"}]}');
SELECT t.send('BOOKING_CREATED', 2, '{"uid": "n2", "organizer": {"id": 8, "email": "renamed@example.org", "name": "New"}}');
SELECT count(DISTINCT b."userUlid") AS coaches, min(a."externalId") AS id FROM dibs."CalBooking" b JOIN dibs."ProviderAccount" a USING ("userUlid") WHERE b."calBookingUid" IN ('n1', 'n2');
SELECT * FROM t.show('n1');
-- another coach takes over
SELECT dibs.link_account('cal', '01HZX00000000000000000CA13', email => 'third@example.org') IS NOT NULL AS linked;
SELECT t.send('BOOKING_RESCHEDULED', 3, '{"uid": "n3", "rescheduleUid": "n2", "organizer": {"id": 9, "email": "third@example.org"}}');
SELECT "userUlid", (SELECT count(*) FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid" AND p."userUlid" = b."userUlid") AS people,
	(SELECT count(*) FROM dibs."BookingUid" u WHERE u."bookingUlid" = b."ulid" AND u."userUlid" = b."userUlid") AS uids
FROM dibs."CalBooking" b WHERE "calBookingUid" = 'n3';

SELECT "outcome", count(*) FROM dibs."WebhookEvent" GROUP BY 1 ORDER BY 1;
ROLLBACK;
