-- However many events are kept: receiving one, knowing a duplicate and looking at the state touch as many blocks, within
-- 5 %. bench/ingest-blocks.sh runs this with a million.
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA many;
-- many may be set from outside: psql -v many=1000000
\if :{?many}
\else
\set many 50000
\endif
-- so many bookings of others come with them
\if :{?bookings}
\else
\set bookings 0
\endif
\getenv test PG_ABS_SRCDIR
\set hmac :test '/include/hmac.sql'
\set echo :ECHO
\set ECHO none
\i :hmac
\set ECHO :echo
CREATE FUNCTION many.blocks(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT json) ' || query INTO plan;
	RETURN (plan->0->'Plan'->>'Shared Hit Blocks')::bigint + (plan->0->'Plan'->>'Shared Read Blocks')::bigint;
END $$;
-- a delivery: what is to be measured has its body and signature made before
CREATE FUNCTION many.receive(uid text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	body text := jsonb_build_object('triggerEvent', 'BOOKING_CREATED', 'createdAt', '2024-01-01T00:00:00.000Z', 'payload', jsonb_build_object('uid', uid,
		'title', 'Talk', 'length', 30, 'startTime', '2030-02-01T10:00:00Z', 'organizer', jsonb_build_object('email', 'many@example.org'),
		'attendees', jsonb_build_array(jsonb_build_object('name', 'Ada', 'email', 'ada@example.org')), 'x', repeat('x', 100)))::text;
BEGIN
	RETURN many.blocks(format('SELECT dibs.receive_webhook(%L, %L, %L)', 'cal',
		jsonb_build_object('x-cal-signature-256', pg_temp.hmac(convert_to(body, 'UTF8'), 'many')), body));
END $$;
CREATE FUNCTION many.fill(tag text, n int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO dibs."WebhookEvent" ("source", "trigger", "dedupeKey", "sha256", "payload", "uid", "sentAt", "outcome", "processed", "createdAt")
	SELECT 'cal', 'BOOKING_CREATED', 'cal:event:' || encode(sha256(convert_to(tag || i, 'UTF8')), 'hex'), '\x00',
		CASE WHEN i % 10 = 0 THEN '{"triggerEvent": "BOOKING_CREATED"}'::jsonb END, md5(i::text), now(), CASE WHEN i % 7 = 0 THEN 'ignored' ELSE 'applied' END, true, now()
	FROM generate_series(1, n) i $$;
CREATE FUNCTION many.book(n int) RETURNS void LANGUAGE sql AS $$
	WITH b AS (INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "source", "announced", "done")
		SELECT '01HZX00000000000000000XWM2', md5('booking ' || i), 'Talk', timestamptz '2030-01-01Z' + i * interval '1 minute',
			timestamptz '2030-01-01Z' + i * interval '1 minute', 'ada@example.org', 'cal', 1, 1
		FROM generate_series(1, n) i RETURNING "ulid", "userUlid", "calBookingUid"),
	p AS (INSERT INTO dibs."BookingParticipant" ("userUlid", "bookingUlid", "person", "email")
		SELECT b."userUlid", b."ulid", 'ada@example.org', 'ada@example.org' FROM b)
	INSERT INTO dibs."BookingUid" ("uid", "userUlid", "bookingUlid") SELECT b."calBookingUid", b."userUlid", b."ulid" FROM b $$;
-- the average over deliveries and over their duplicates; the view once its plan is made
CREATE FUNCTION many.measure(tag text, OUT received numeric, OUT again numeric, OUT status numeric) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM many.receive(tag || ' warm ' || i) FROM generate_series(1, 20) i;
	SELECT avg(many.receive(tag || ' ' || i)) INTO received FROM generate_series(1, 100) i;
	SELECT avg(many.receive(tag || ' ' || i)) INTO again FROM generate_series(1, 100) i;
	PERFORM many.blocks('SELECT * FROM dibs.webhook_status');
	SELECT many.blocks('SELECT * FROM dibs.webhook_status') INTO status;
END $$;
SELECT dibs.set_secret('cal.webhook_secret', 'many');
SELECT dibs.link_account('cal', '01HZX00000000000000000XWM1', email => 'many@example.org') IS NOT NULL AS linked;
SELECT many.fill('few', 1000);
-- the bookings' own indexes are to have grown before, too
SELECT count(many.receive('before ' || i)) FROM generate_series(1, 800) i;
VACUUM ANALYZE dibs."WebhookEvent", dibs."CalBooking", dibs."BookingUid", dibs."BookingParticipant", dibs."Event";
SELECT * FROM many.measure('few') \gset few_
SELECT many.fill('many', :many);
SELECT many.book(:bookings);
VACUUM ANALYZE dibs."WebhookEvent", dibs."CalBooking", dibs."BookingUid", dibs."BookingParticipant", dibs."Event";
SELECT * FROM many.measure('many') \gset many_
SELECT count(*) > :many AS filled FROM dibs."WebhookEvent";
SELECT :many_received <= 1.05 * :few_received AS received, :many_again <= 1.05 * :few_again AS duplicate, :many_status <= 1.05 * :few_status AS status;
\if :{?show}
SELECT format('%-28s %10s %10s   %s', w, round(f, 1), round(m, 1), CASE WHEN m <= 1.05 * f THEN 'within 5 %' ELSE 'BEYOND 5 %' END) AS "show"
FROM (VALUES ('a new event', :few_received, :many_received), ('a duplicate', :few_again, :many_again), ('webhook_status', :few_status, :many_status)) v(w, f, m);
\endif
DELETE FROM dibs."CalBooking" WHERE "userUlid" IN ('01HZX00000000000000000XWM1', '01HZX00000000000000000XWM2');
DELETE FROM dibs."BookingUid" WHERE "userUlid" IN ('01HZX00000000000000000XWM1', '01HZX00000000000000000XWM2');
DELETE FROM dibs."ProviderAccount" WHERE "userUlid" = '01HZX00000000000000000XWM1';
DELETE FROM dibs."WebhookEvent";
DELETE FROM dibs."Event" WHERE "userUlid" = '01HZX00000000000000000XWM1';
SELECT dibs.drop_secret('cal.webhook_secret');
DROP SCHEMA many CASCADE;
