-- What applications are told of bookings of dibs' own: one event for each act, before and after the worker's turn.
SET client_min_messages = warning;
SET timezone = 'UTC';
\set coach 01HZX00000000000000000XWE1
SELECT b->>'calBookingUid' AS uid, b->>'ulid' AS ulid FROM dibs.create_booking(jsonb_build_object('userUlid', :'coach', 'title', 'Told', 'startTime', '2030-05-01T10:00:00Z',
	'duration', 30, 'attendeeEmail', 'Ada@example.org', 'attendeeName', 'Ada', 'guests', '["bo@example.org", {"email": "ada@example.org"}, {"email": "cy@example.org", "name": "Cy", "timeZone": "Asia/Tokyo"}]'::jsonb)) b \gset
CREATE FUNCTION pg_temp.told(ulid text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT "type" FROM dibs."Event" WHERE "bookingUlid" = $1 AND "type" LIKE 'booking.%' ORDER BY "ulid" COLLATE "C" $$;
SELECT "wanted", "announced", "currentParticipants", "participants" FROM dibs."CalBooking" WHERE "ulid" = :'ulid';
SELECT pg_temp.told(:'ulid');
CALL dibs.drain();
SELECT pg_temp.told(:'ulid') AS "after the worker";
SELECT dibs.add_guests(:'uid', '["di@example.org"]')->'currentParticipants' AS people;
CALL dibs.drain();
CALL dibs.drain();
SELECT dibs.reschedule_booking(:'uid', '2030-05-02 10:00Z')->>'startTime' AS start;
CALL dibs.drain();
SELECT dibs.update_booking(:'uid', '{"title": "Told again"}')->>'title' AS title;
CALL dibs.drain();
SELECT dibs.cancel_booking(:'uid', 'ill')->>'status' AS status;
CALL dibs.drain();
SELECT dibs.cancel_booking(:'uid', 'ill')->>'status' AS again;
CALL dibs.drain();
SELECT pg_temp.told(:'ulid') AS "in the end";
SELECT "wanted" = "announced" AS announced FROM dibs."CalBooking" WHERE "ulid" = :'ulid';
DELETE FROM dibs."CalBooking" WHERE "userUlid" = :'coach';
CALL dibs.drain();
