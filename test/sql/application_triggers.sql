-- An application's triggers on dibs' tables: what they write is the application's, whatever dibs is writing meanwhile.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
\set coach 01HZX00000000000000000ATR1
CREATE SCHEMA t;
CREATE FUNCTION t.booking(uid text, start interval, title text = 'x') RETURNS void LANGUAGE sql AS $$
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail")
	VALUES ('01HZX00000000000000000ATR1', uid, title, now() + start, now() + start + interval '30 min', 'ada@example.com') $$;
-- a drain that meets other work may leave some to the next one
CREATE PROCEDURE t.settle() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..100 LOOP
		CALL dibs.drain();
		COMMIT;
		EXIT WHEN NOT EXISTS (SELECT FROM dibs."CalBooking" WHERE "userUlid" = '01HZX00000000000000000ATR1'
			AND ("wanted" <> "done" OR "wanted" <> "announced" OR "completeAt" <= now()));
		PERFORM pg_sleep(0.02);
	END LOOP;
END $$;
CREATE VIEW t.bookings AS SELECT b."calBookingUid" AS uid, b."status", b."wanted", b."done", b."announced", b."meetingState",
	(SELECT string_agg(m."state", ' ') FROM dibs."Meeting" m WHERE m."bookingUlid" = b."ulid" AND m."state" <> 'gone') AS meeting,
	(SELECT string_agg(e."type", ' ' ORDER BY e."ulid" COLLATE "C") FROM dibs."Event" e WHERE e."bookingUlid" = b."ulid") AS events
	FROM dibs."CalBooking" b WHERE b."userUlid" = '01HZX00000000000000000ATR1';
-- what they do: one cancels the booking whose title names the one that it heard of
CREATE FUNCTION t.cancel_next() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE dibs."CalBooking" n SET "status" = 'CANCELLED' FROM dibs."CalBooking" b
	WHERE b."ulid" = to_jsonb(NEW)->>TG_ARGV[0] AND n."title" = 'after ' || b."calBookingUid" AND n."status" <> 'CANCELLED';
	RETURN NULL;
END $$;

-- as a booking is completed by the clock
SELECT t.booking('b', '1 day', 'after a'), t.booking('a', '1 day');
CALL t.settle();
CREATE TRIGGER follow AFTER INSERT ON dibs."Event" FOR EACH ROW WHEN (NEW."type" = 'booking.completed') EXECUTE FUNCTION t.cancel_next('bookingUlid');
UPDATE dibs."CalBooking" SET "startTime" = now() - interval '2 hours', "endTime" = now() - interval '1 hour' WHERE "calBookingUid" = 'a';
CALL t.settle();
SELECT * FROM t.bookings ORDER BY uid;
DROP TRIGGER follow ON dibs."Event";

-- as a booking is settled, in the statement that settles it: of another one, and of the same
SELECT t.booking('c', '2 days', 'after d');
CALL t.settle();
CREATE TRIGGER follow AFTER INSERT ON dibs."Event" FOR EACH ROW WHEN (NEW."type" = 'meeting.ready') EXECUTE FUNCTION t.cancel_next('bookingUlid');
CREATE FUNCTION t.retitle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE dibs."CalBooking" SET "title" = 'is ready' WHERE "ulid" = NEW."bookingUlid";
	RETURN NULL;
END $$;
CREATE TRIGGER retitle AFTER INSERT ON dibs."Event" FOR EACH ROW WHEN (NEW."type" = 'meeting.ready') EXECUTE FUNCTION t.retitle();
SELECT t.booking('d', '3 days');
CALL t.settle();
SELECT * FROM t.bookings WHERE uid IN ('c', 'd') ORDER BY uid;
DROP TRIGGER follow ON dibs."Event";
DROP TRIGGER retitle ON dibs."Event";

-- a trigger before the row catches an error, and has dibs write in a mode of its own: the statement that fired it keeps
-- its own, for this row and those after it
CREATE FUNCTION t.meddle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	BEGIN
		PERFORM dibs.update_meeting_status('other', 'IN_PROGRESS');
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	PERFORM dibs.revoke_tokens('other');
	RETURN NEW;
END $$;
SELECT t.booking('other', '4 days');
CALL t.settle();
CREATE TRIGGER meddle BEFORE UPDATE ON dibs."CalBooking" FOR EACH ROW WHEN (NEW."calBookingUid" LIKE 'e_') EXECUTE FUNCTION t.meddle();
SELECT t.booking('e' || i, '5 days') FROM generate_series(1, 3) i;
CALL t.settle();
DROP TRIGGER meddle ON dibs."CalBooking";
SELECT * FROM t.bookings WHERE uid ~ '^(e.|other)$' ORDER BY uid;

-- as a webhook changes a booking: what follows from it is announced
\getenv test PG_ABS_SRCDIR
\set hmac :test '/include/hmac.sql'
\set echo :ECHO
\set ECHO none
\i :hmac
\set ECHO :echo
CREATE FUNCTION t.deliver(trigger text, uid text, minute int) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', r->>'status', r->>'outcome', r->'response'->>'error')
	FROM (SELECT jsonb_build_object('triggerEvent', trigger, 'createdAt', to_char(timestamp '2024-01-01' + minute * interval '1 minute',
		'YYYY-MM-DD"T"HH24:MI:SS.000"Z"'), 'payload', jsonb_build_object('uid', uid, 'title', uid, 'startTime', '2030-02-01T10:00:00Z',
		'endTime', '2030-02-01T10:30:00Z', 'length', 30, 'attendees', '[{"email": "ada@example.com", "name": "Ada"}]'::jsonb))::text) AS d(body),
		dibs.receive_webhook('cal', jsonb_build_object('x-cal-signature-256', pg_temp.hmac(convert_to(body, 'UTF8'), 'regress')), body) r $$;
SELECT dibs.set_secret('cal.webhook_secret', 'regress');
SET dibs.default_user_ulid = :'coach';
SELECT t.booking('g', '6 days', 'after f'), t.deliver('BOOKING_CREATED', 'f', 1);
CALL t.settle();
CREATE TRIGGER follow AFTER UPDATE ON dibs."CalBooking" FOR EACH ROW WHEN (NEW."status" = 'CANCELLED') EXECUTE FUNCTION t.cancel_next('ulid');
SELECT t.deliver('BOOKING_CANCELLED', 'f', 2);
SELECT uid, "status", "wanted", "announced" FROM t.bookings WHERE uid IN ('f', 'g') ORDER BY uid;
CALL t.settle();
SELECT * FROM t.bookings WHERE uid IN ('f', 'g') ORDER BY uid;
DROP TRIGGER follow ON dibs."CalBooking";

-- what a trigger raises, of whatever class, is no fault of the delivery's: it is queued, and the sender is not told what
-- it said; applied when the trigger has been mended
CREATE FUNCTION t.fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	CASE (SELECT b."calBookingUid" FROM dibs."CalBooking" b WHERE b."ulid" = NEW."bookingUlid")
	WHEN 'h1' THEN PERFORM 1 / 0;
	WHEN 'h2' THEN UPDATE dibs."CalBooking" b SET "title" = NULL WHERE b."ulid" = NEW."bookingUlid";
	WHEN 'h3' THEN UPDATE dibs."CalBooking" b SET "rating" = 9 WHERE b."ulid" = NEW."bookingUlid";
	WHEN 'h4' THEN RAISE program_limit_exceeded USING MESSAGE = 'the notes of Ada are full';
	ELSE NULL;
	END CASE;
	RETURN NULL;
END $$;
CREATE TRIGGER fail AFTER INSERT ON dibs."Event" FOR EACH ROW EXECUTE FUNCTION t.fail();
SELECT t.deliver('BOOKING_CREATED', 'h' || i, 1) FROM generate_series(1, 5) i;
CREATE VIEW t.kept AS SELECT e."uid", e."outcome", e."errorCode", e."error", e."attempts",
	e."dueAt" BETWEEN now() AND now() + interval '1 minute' AS soon FROM dibs."WebhookEvent" e WHERE e."uid" LIKE 'h_';
SELECT * FROM t.kept ORDER BY 1;
SELECT dibs.replay_webhook(e."ulid") FROM dibs."WebhookEvent" e WHERE e."uid" = 'h1';
SELECT * FROM t.kept WHERE "uid" = 'h1';
DROP TRIGGER fail ON dibs."Event";
UPDATE dibs."WebhookEvent" SET "dueAt" = now() WHERE "uid" LIKE 'h_' AND "outcome" = 'queued';
SELECT dibs.apply_webhooks();
SELECT * FROM t.kept ORDER BY 1;

DELETE FROM dibs."CalBooking" WHERE "userUlid" = :'coach';
CALL dibs.drain();
DELETE FROM dibs."AuditLog" WHERE "object" IN (SELECT "bookingUlid" FROM dibs."BookingUid" WHERE "userUlid" = :'coach');
DELETE FROM dibs."Meeting" WHERE "userUlid" = :'coach';
DELETE FROM dibs."WebhookEvent" WHERE "userUlid" = :'coach';
DELETE FROM dibs."BookingUid" WHERE "userUlid" = :'coach';
DELETE FROM dibs."Event" WHERE "userUlid" = :'coach';
DELETE FROM dibs."Coach" WHERE "userUlid" = :'coach';
SELECT dibs.drop_secret('cal.webhook_secret');
DROP SCHEMA t CASCADE;
