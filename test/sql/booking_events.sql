-- What applications are told of bookings of dibs' own: one event for each act, before and after the worker's turn.
SET client_min_messages = warning;
SET timezone = 'UTC';
\set coach 01HZX00000000000000000XWE1
SELECT b->>'calBookingUid' AS uid, b->>'ulid' AS ulid FROM dibs.create_booking(jsonb_build_object('userUlid', :'coach', 'title', 'Told', 'startTime', '2030-05-01T10:00:00Z',
	'duration', 30, 'attendeeEmail', 'Ada@example.org', 'attendeeName', 'Ada', 'guests', '["bo@example.org", {"email": "ada@example.org"}, {"email": "cy@example.org", "name": "Cy", "timeZone": "Asia/Tokyo"}]'::jsonb)) b \gset
CREATE FUNCTION pg_temp.told(ulid text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT "type" FROM dibs."Event" WHERE "bookingUlid" = $1 AND "type" LIKE 'booking.%' ORDER BY "ulid" COLLATE "C" $$;
-- a drain that meets other work may leave this booking to the next one
CREATE FUNCTION pg_temp.settled(ulid text) RETURNS boolean LANGUAGE sql AS $$
	SELECT "wanted" = "done" AND "wanted" = "announced" FROM dibs."CalBooking" WHERE "CalBooking"."ulid" = $1 $$;
CREATE PROCEDURE pg_temp.settle(ulid text) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..100 LOOP
		CALL dibs.drain();
		COMMIT;
		EXIT WHEN pg_temp.settled(ulid);
		PERFORM pg_sleep(0.02);
	END LOOP;
END $$;
SELECT "wanted", "announced", "currentParticipants", "participants" FROM dibs."CalBooking" WHERE "ulid" = :'ulid';
SELECT pg_temp.told(:'ulid');
CALL pg_temp.settle(:'ulid');
SELECT pg_temp.told(:'ulid') AS "after the worker";
SELECT dibs.add_guests(:'uid', '["di@example.org"]')->'currentParticipants' AS people;
CALL pg_temp.settle(:'ulid');
SELECT dibs.reschedule_booking(:'uid', '2030-05-02 10:00Z')->>'startTime' AS start;
CALL pg_temp.settle(:'ulid');
SELECT dibs.update_booking(:'uid', '{"title": "Told again"}')->>'title' AS title;
CALL pg_temp.settle(:'ulid');
SELECT dibs.cancel_booking(:'uid', 'ill')->>'status' AS status;
CALL pg_temp.settle(:'ulid');
SELECT dibs.cancel_booking(:'uid', 'ill')->>'status' AS again;
CALL pg_temp.settle(:'ulid');
SELECT pg_temp.told(:'ulid') AS "in the end";
SELECT "wanted" = "announced" AS announced FROM dibs."CalBooking" WHERE "ulid" = :'ulid';
-- Another process's last word on the booking, and what it wrote next, its ulids counting up by one: a later event of the
-- booking's sorts after the former and is not taken for the latter.
INSERT INTO dibs."Event" ("ulid", "userUlid", "bookingUlid", "type", "data")
	VALUES ('6ZZZZZZZZZZZZZZZZZZZZZZZZ0', :'coach', :'ulid', 'test', '{}'), ('6ZZZZZZZZZZZZZZZZZZZZZZZZ1', :'coach', NULL, 'test', '{}');
SELECT dibs.write_event(:'coach', :'ulid', 'test.later', '{}');
SELECT count(*) FROM dibs."Event" WHERE "bookingUlid" = :'ulid' AND "type" = 'test.later' AND "ulid" > '6ZZZZZZZZZZZZZZZZZZZZZZZZ1';
DELETE FROM dibs."CalBooking" WHERE "userUlid" = :'coach';
CALL dibs.drain();
DELETE FROM dibs."Meeting" WHERE "userUlid" = :'coach';
DELETE FROM dibs."BookingUid" WHERE "userUlid" = :'coach';
DELETE FROM dibs."Event" WHERE "userUlid" = :'coach';
DELETE FROM dibs."Coach" WHERE "userUlid" = :'coach';
DELETE FROM dibs."AuditLog" WHERE "object" = :'ulid';
