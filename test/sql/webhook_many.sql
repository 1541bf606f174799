-- However many events are kept: receiving one, knowing a duplicate and looking at the state touch as many blocks, but
-- for the further levels of btrees.
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA many;
-- many may be set from outside: psql -v many=1000000
\if :{?many}
\else
\set many 50000
\endif
CREATE FUNCTION many.hmac(message bytea, key bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	ipad bytea := '';
	opad bytea := '';
BEGIN
	key := key || decode(repeat('00', 64 - length(key)), 'hex');
	FOR i IN 0..63 LOOP
		ipad := ipad || set_byte('\x00', 0, get_byte(key, i) # 54);
		opad := opad || set_byte('\x00', 0, get_byte(key, i) # 92);
	END LOOP;
	RETURN encode(sha256(opad || sha256(ipad || message)), 'hex');
END $$;
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
		jsonb_build_object('x-cal-signature-256', many.hmac(convert_to(body, 'UTF8'), 'many')), body));
END $$;
CREATE FUNCTION many.fill(tag text, n int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO dibs."WebhookEvent" ("source", "trigger", "dedupeKey", "sha256", "payload", "uid", "sentAt", "outcome", "processed", "createdAt")
	SELECT 'cal', 'BOOKING_CREATED', 'cal:event:' || encode(sha256(convert_to(tag || i, 'UTF8')), 'hex'), '\x00',
		CASE WHEN i % 10 = 0 THEN '{"triggerEvent": "BOOKING_CREATED"}'::jsonb END, md5(i::text), now(), CASE WHEN i % 7 = 0 THEN 'ignored' ELSE 'applied' END, true, now()
	FROM generate_series(1, n) i $$;
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
VACUUM ANALYZE dibs."WebhookEvent", dibs."CalBooking", dibs."BookingUid", dibs."BookingParticipant", dibs."Event";
SELECT * FROM many.measure('many') \gset many_
SELECT count(*) > :many AS filled FROM dibs."WebhookEvent";
-- beyond 5 %, only the further levels that btrees of so many entries have: two at most for each of four descents (the
-- look for a duplicate, the dedupe key's, the uid's and the payload's entries), and two for a duplicate's one
SELECT :many_received <= 1.05 * :few_received + 8 AS received, :many_again <= :few_again + 2 AS duplicate, :many_status <= 1.05 * :few_status AS status;
\if :{?show}
SELECT :few_received AS few_received, :many_received AS many_received, :few_again AS few_again, :many_again AS many_again, :few_status AS few_status, :many_status AS many_status;
\endif
DELETE FROM dibs."CalBooking" WHERE "userUlid" = '01HZX00000000000000000XWM1';
DELETE FROM dibs."BookingUid" WHERE "userUlid" = '01HZX00000000000000000XWM1';
DELETE FROM dibs."ProviderAccount" WHERE "userUlid" = '01HZX00000000000000000XWM1';
DELETE FROM dibs."WebhookEvent";
DELETE FROM dibs."Event" WHERE "userUlid" = '01HZX00000000000000000XWM1';
SELECT dibs.drop_secret('cal.webhook_secret');
DROP SCHEMA many CASCADE;
