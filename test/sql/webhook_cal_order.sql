-- What several events of one booking come to, in whatever order: groups of columns, seats, reasons, people who were forgotten.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
\set VERBOSITY terse
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
-- an event of one seat
CREATE FUNCTION t.seat(trigger text, minute int, uid text, who text, more jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
	SELECT t.send(trigger, minute, jsonb_build_object('uid', uid, 'seatsPerTimeSlot', 5, 'attendeeSeatId', 'seat-' || uid || '-' || who,
		'attendees', jsonb_build_array(jsonb_build_object('name', who, 'email', who || '@example.org', 'timeZone', 'UTC'))) || more) $$;
-- permuted(calls, columns): the calls in each order, and how many orders end with which rows of the bookings p…
CREATE FUNCTION t.permuted(calls text[], columns text) RETURNS TABLE (orders bigint, outcome text) LANGUAGE plpgsql AS $$
DECLARE
	permutation int[];
	call int;
	result text;
BEGIN
	CREATE TEMP TABLE seen (outcome text);
	FOR permutation IN
		WITH RECURSIVE p(done) AS (SELECT '{}'::int[] UNION ALL SELECT done || i FROM p, generate_series(1, cardinality(calls)) i WHERE i <> ALL (done))
		SELECT done FROM p WHERE cardinality(done) = cardinality(calls)
	LOOP
		BEGIN
			FOREACH call IN ARRAY permutation LOOP
				EXECUTE 'SELECT ' || calls[call] INTO result;
			END LOOP;
			PERFORM dibs.apply_webhooks();
			EXECUTE format($q$SELECT string_agg(concat_ws(' | ', %s), E'\n' ORDER BY "calBookingUid") FROM dibs."CalBooking" b
				WHERE "calBookingUid" LIKE 'p%%'$q$, columns) INTO result;
			RAISE EXCEPTION USING ERRCODE = 'T0000', MESSAGE = coalesce(result, 'none');
		EXCEPTION WHEN SQLSTATE 'T0000' THEN
			INSERT INTO seen VALUES (SQLERRM);
		END;
	END LOOP;
	RETURN QUERY SELECT count(*), s.outcome FROM seen s GROUP BY 2 ORDER BY 2;
	DROP TABLE seen;
END $$;
SELECT dibs.set_secret('cal.webhook_secret', 'regress'), dibs.link_account('cal', '01HZX00000000000000000CAX1', external_id => '7') IS NOT NULL AS linked;

-- of two events that merely say what became of a booking the later one has the details, too
SELECT * FROM t.permuted(ARRAY[
	$$t.send('BOOKING_PAYMENT_INITIATED', 3, '{"uid": "p1", "title": "First", "bookingId": 7, "location": "inPerson", "metadata": {"videoCallUrl": "https://v.example/1"}}')$$,
	$$t.send('BOOKING_CANCELLED', 9, '{"uid": "p1", "title": "Last", "bookingId": 21, "location": "https://x.example/3"}')$$],
	$$"status", "title", "calBookingId", "location"->>'value'$$);

-- who did it and why is one event's word; a price without a currency is no word on the currency
SELECT * FROM t.permuted(ARRAY[
	$$t.send('BOOKING_CREATED', 1, '{"uid": "p1", "price": 200, "currency": "eur"}')$$,
	$$t.send('BOOKING_RESCHEDULED', 2, '{"uid": "p2", "rescheduleUid": "p1", "rescheduledBy": "ada@example.org", "responses": {"rescheduleReason": {"value": "ill"}}, "price": 200, "currency": null}')$$,
	$$t.send('BOOKING_RESCHEDULED', 3, '{"uid": "p3", "rescheduleUid": "p2", "rescheduledBy": "coach@example.org", "price": 200, "currency": null}')$$],
	$$"calBookingUid", "rescheduledByEmail", coalesce("reschedulingReason", '-'), "amount", "currency"$$);
SELECT * FROM t.permuted(ARRAY[
	$$t.send('BOOKING_CREATED', 1, '{"uid": "p1"}')$$,
	$$t.send('BOOKING_CANCELLED', 2, '{"uid": "p1", "cancellationReason": "ill", "cancelledBy": "ada@example.org"}')$$,
	$$t.send('BOOKING_CANCELLED', 3, '{"uid": "p1", "cancelledBy": "coach@example.org"}')$$],
	$$"status", "cancelledByEmail", coalesce("cancellationReason", '-')$$);
-- what is taken up again has ended for no reason
SELECT * FROM t.permuted(ARRAY[
	$$t.send('BOOKING_REQUESTED', 1, '{"uid": "p1"}')$$, $$t.send('BOOKING_REJECTED', 2, '{"uid": "p1", "rejectionReason": "no"}')$$,
	$$t.send('BOOKING_CREATED', 3, '{"uid": "p1"}')$$], $$"status", coalesce("cancellationReason", '-')$$);

-- a seat that is still to be paid for says nothing about those who are in, nor about how many may be
SELECT * FROM t.permuted(ARRAY[
	$$t.seat('BOOKING_CREATED', 1, 'p1', 'ann')$$, $$t.seat('BOOKING_PAID', 2, 'p1', 'ann', '{"price": 1000}')$$,
	$$t.seat('BOOKING_PAYMENT_INITIATED', 3, 'p1', 'cy', '{"price": 1000, "seatsPerTimeSlot": null}')$$],
	$$"status", "paid", "currentParticipants", "maxParticipants"$$);
SELECT * FROM t.permuted(ARRAY[
	$$t.seat('BOOKING_PAYMENT_INITIATED', 1, 'p1', 'ann', '{"price": 1000}')$$, $$t.seat('BOOKING_PAID', 2, 'p1', 'ann', '{"price": 1000}')$$],
	$$"status", "paid"$$);
SELECT * FROM t.permuted(ARRAY[$$t.seat('BOOKING_PAYMENT_INITIATED', 1, 'p1', 'ann', '{"price": 1000}')$$], $$"status", "paid"$$);
-- nor do its answers replace those of who came first
SELECT * FROM t.permuted(ARRAY[
	$$t.seat('BOOKING_CREATED', 1, 'p1', 'ann', '{"responses": {"goal": {"value": "run"}}}')$$,
	$$t.seat('BOOKING_CREATED', 2, 'p1', 'bob', '{"responses": {"goal": {"value": "swim"}}}')$$,
	$$t.seat('BOOKING_PAID', 3, 'p1', 'bob', '{"price": 1000, "responses": {"goal": {"value": "walk"}}}')$$], $$"bookingFields"$$);

-- who left and came back has another seat: that is the one that is given up, though between them everybody was moved
SELECT * FROM t.permuted(ARRAY[
	$$t.seat('BOOKING_CREATED', 1, 'p1', 'ann')$$, $$t.seat('BOOKING_CREATED', 2, 'p1', 'bob')$$, $$t.seat('BOOKING_CANCELLED', 3, 'p1', 'bob')$$,
	$$t.seat('BOOKING_CREATED', 5, 'p1', 'bob', '{"attendeeSeatId": "another"}')$$,
	$$t.send('BOOKING_RESCHEDULED', 9, '{"uid": "p1", "rescheduleUid": "p1", "seatsPerTimeSlot": 5, "startTime": "2030-03-01T10:00:00Z",
		"endTime": "2030-03-01T10:30:00Z", "attendees": [{"email": "ann@example.org"}, {"email": "bob@example.org"}]}')$$,
	$$t.send('BOOKING_CANCELLED', 10, '{"uid": "p1", "seatsPerTimeSlot": 5, "attendeeSeatId": "another", "attendees": [{"email": "", "name": "[attendee data unavailable]"}]}')$$],
	$$"status", "currentParticipants", (SELECT string_agg(concat_ws(' ', p."person", p."seatId", p."status"), ', ' ORDER BY p."person") FROM dibs."BookingParticipant" p
		WHERE p."bookingUlid" = b."ulid" AND p."email" IS NOT NULL)$$);

-- a session that its last seat's cancellation ends has its reasons; one that is rejected is rejected as a whole
SELECT * FROM t.permuted(ARRAY[
	$$t.seat('BOOKING_CREATED', 1, 'p1', 'ann')$$, $$t.seat('BOOKING_CREATED', 2, 'p1', 'bob')$$,
	$$t.seat('BOOKING_CANCELLED', 4, 'p1', 'ann', '{"cancellationReason": "ill", "cancelledBy": "ann@example.org"}')$$,
	$$t.seat('BOOKING_CANCELLED', 5, 'p1', 'bob', '{"cancellationReason": "away"}')$$],
	$$"status", "cancellationReason", coalesce("cancelledByEmail", '-'), (SELECT string_agg(p."cancellationReason", ', ' ORDER BY p."person")
		FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid")$$);
SELECT * FROM t.permuted(ARRAY[
	$$t.seat('BOOKING_CREATED', 1, 'p1', 'ann')$$, $$t.seat('BOOKING_CANCELLED', 4, 'p1', 'ann', '{"cancellationReason": "ill"}')$$,
	$$t.seat('BOOKING_CREATED', 5, 'p1', 'ann', '{"attendeeSeatId": "another"}')$$],
	$$"status", coalesce("cancellationReason", '-'), (SELECT count("cancellationReason") FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid")$$);
SELECT * FROM t.permuted(ARRAY[
	$$t.seat('BOOKING_REQUESTED', 1, 'p1', 'ann')$$, $$t.seat('BOOKING_REJECTED', 2, 'p1', 'ann', '{"rejectionReason": "full"}')$$],
	$$"status", "cancellationReason"$$);
-- an owner who moves a session in its place says why
SELECT * FROM t.permuted(ARRAY[
	$$t.seat('BOOKING_CREATED', 1, 'p1', 'ann')$$,
	$$t.send('BOOKING_RESCHEDULED', 2, '{"uid": "p1", "rescheduleUid": "p1", "seatsPerTimeSlot": 5, "startTime": "2030-03-01T10:00:00Z", "endTime": "2030-03-01T10:30:00Z",
		"rescheduledBy": "coach@example.org", "responses": {"rescheduleReason": {"value": "away"}}, "attendees": [{"email": "ann@example.org"}]}')$$],
	$$"startTime", "rescheduledByEmail", "reschedulingReason"$$);
-- one seat moves to where others are: nobody else does, whoever is listed
SELECT * FROM t.permuted(ARRAY[
	$$t.seat('BOOKING_CREATED', 1, 'p1', 'ann')$$, $$t.seat('BOOKING_CREATED', 2, 'p1', 'cy')$$, $$t.seat('BOOKING_CREATED', 3, 'p2', 'bob')$$,
	$$t.send('BOOKING_RESCHEDULED', 4, '{"uid": "p2", "rescheduleUid": "p1", "seatsPerTimeSlot": 5, "attendeeSeatId": "seat-p1-ann",
		"attendees": [{"email": "ann@example.org"}, {"email": "bob@example.org"}]}')$$],
	$$"calBookingUid", "status", (SELECT string_agg(p."person", ', ' ORDER BY p."person") FROM dibs."BookingParticipant" p
		WHERE p."bookingUlid" = b."ulid" AND p."status" = 'CONFIRMED')$$);

-- an event without an organizer waits for its booking
SELECT * FROM t.permuted(ARRAY[
	$$t.send('BOOKING_CREATED', 1, '{"uid": "p1"}')$$, $$t.send('BOOKING_CANCELLED', 2, '{"uid": "p1", "organizer": null, "cancellationReason": "ill"}')$$],
	$$"status", "cancellationReason"$$);

-- somebody was forgotten of whom no seat's id was known; and somebody whose booking turns out to be a part of another
SELECT t.send('BOOKING_CREATED', 1, '{"uid": "f1", "seatsPerTimeSlot": 5, "attendees": [{"email": "zed@example.org", "name": "zed"}]}'), t.seat('BOOKING_CREATED', 2, 'f1', 'ann');
SELECT t.send('BOOKING_CREATED', 1, '{"uid": "f3"}'), t.send('BOOKING_CREATED', 3, '{"uid": "f4", "attendees": [{"email": "ada@example.org"}, {"email": "hal@example.org"}]}');
UPDATE dibs."BookingParticipant" SET "person" = 'forgotten:' || "ulid", "email" = NULL, "name" = NULL, "timeZone" = NULL WHERE "person" IN ('zed@example.org', 'hal@example.org');
SELECT t.seat('BOOKING_CREATED', 5, 'f1', 'dan');
SELECT t.send('BOOKING_REQUESTED', 2, '{"uid": "f4", "rescheduleUid": "f3"}');
SELECT * FROM t.show('f%');
SELECT b."calBookingUid", split_part(p."person", ':', 1) AS person, p."status" FROM dibs."BookingParticipant" p JOIN dibs."CalBooking" b ON b."ulid" = p."bookingUlid"
WHERE b."calBookingUid" LIKE 'f%' ORDER BY 1, 2;

-- what must not be NULL is refused, not followed
SELECT "ulid", "userUlid" FROM dibs."CalBooking" WHERE "calBookingUid" = 'f1' \gset
INSERT INTO dibs."Event" ("userUlid", "bookingUlid", "type", "data", "ulid") VALUES (:'userUlid', :'ulid', 'x.y', '{}', NULL);
ROLLBACK;
