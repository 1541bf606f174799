-- What is refused, what is kept, and what the sender is told. In one transaction: no worker sees any of it.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
BEGIN;
CREATE SCHEMA t;
-- HMAC-SHA256 (RFC 2104) made of sha256(): signed as the sender does it, without dibs.
\getenv test PG_ABS_SRCDIR
\set hmac :test '/include/hmac.sql'
\set echo :ECHO
\set ECHO none
\i :hmac
\set ECHO :echo
CREATE FUNCTION t.headers(body text, key text = 'regress') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('X-Cal-Signature-256', pg_temp.hmac(convert_to(body, 'UTF8'), convert_to(key, 'UTF8'))) $$;
CREATE FUNCTION t.deliver(body text, key text = 'regress') RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', r->>'status', r->>'outcome', CASE WHEN r->>'event' IS NOT NULL THEN 'kept' END, r->'response'->>'error')
	FROM dibs.receive_webhook('cal', t.headers(body, key), body) r $$;
CREATE FUNCTION t.ping(n int) RETURNS text LANGUAGE sql AS $$
	SELECT format('{"triggerEvent": "PING", "createdAt": "2024-01-01T00:00:00.%sZ", "payload": {"n": %s}}', n, n) $$;

-- no secret: the sender is to try again
SELECT t.deliver(t.ping(100));
SELECT dibs.set_secret('cal.webhook_secret', 'regress');
SELECT t.deliver(t.ping(101));
SELECT t.deliver(t.ping(101)) AS again;
SELECT t.deliver(t.ping(102), 'other') AS wrong_key;
SELECT r->>'status' AS no_headers FROM dibs.receive_webhook('cal', NULL, 'x') r;
SELECT r->>'status' AS no_body FROM dibs.receive_webhook('cal', '{}', NULL) r;
SELECT r->>'status' AS literal_of_no_secret FROM dibs.receive_webhook('cal', '{"x-cal-signature-256": "no-secret-provided"}', 'x') r;
SELECT r->>'status' AS not_an_object FROM dibs.receive_webhook('cal', '[1]', 'x') r;
SELECT r->>'status' AS number FROM dibs.receive_webhook('cal', '{"x-cal-signature-256": 5}', 'x') r;
-- both secrets are live while one is being replaced
SELECT dibs.set_secret('cal.webhook_secret', 'newer', '1 hour');
SELECT t.deliver(t.ping(103)), t.deliver(t.ping(104), 'newer');
SELECT dibs.drop_secret('cal.webhook_secret');
SELECT dibs.set_secret('cal.webhook_secret', 'regress');

-- raw bytes: escapes, non-ASCII and odd white space verify; the same through jsonb does not
SELECT t.deliver(E'\t{ "triggerEvent" :\n "P\\u0049NG", "createdAt":"2024-01-01T00:00:01Z", "payload": {"name": "Zo\u00eb \\u00e9 \\/"}, "payload2": 1.50 }\n');
SELECT r->>'status' AS through_jsonb FROM (SELECT E'{ "triggerEvent": "PING",  "a": "Zo\u00eb" }' AS body) b,
	dibs.receive_webhook('cal', t.headers(body), body::jsonb::text) r;
SELECT r->>'status' AS bytes, r->>'outcome' AS outcome FROM (SELECT E'{"triggerEvent": "PING", "a": "Zo\u00eb" }' AS body) b,
	dibs.receive_webhook_bytes('cal', t.headers(body), convert_to(body, 'UTF8')) r;
SELECT r->>'status' AS not_utf8, r->'response'->>'error' AS error FROM (SELECT '\x7b22ff227d'::bytea AS body) b,
	dibs.receive_webhook_bytes('cal', jsonb_build_object('x-cal-signature-256', pg_temp.hmac(body, 'regress')), body) r;

-- signed, and unusable
SELECT t.deliver(body) FROM (VALUES ('false'), (''), ('{'), ('[]'), ('{}'), ('"x"'), ('{"triggerEvent": 5}'), ('{"triggerEvent": ""}'),
	('{"triggerEvent": "PING", "a": "\u0000"}'), (repeat('[', 100000)), (repeat(' ', 1024 * 1024 + 1))) v(body);
SELECT t.deliver(format('{"triggerEvent": "BOOKING_CREATED", "createdAt": "2024-01-01T00:00:00Z", "payload": %s}', payload))
FROM (VALUES ('{}'), ('{"uid": 5}'), ('{"uid": ""}'), ('{"uid": "r1"}'), ('null'), ('[]'),
	('{"uid": "r2", "startTime": "tomorrow"}'), ('{"uid": "r3", "startTime": "2030-02-30T00:00:00Z"}'),
	('{"uid": "r4", "startTime": "2030-02-01T00:00:00"}'), ('{"uid": "r5", "startTime": 5}'),
	('{"uid": "r6", "startTime": "2030-02-01T00:00:00Z"}'),
	('{"uid": "r7", "startTime": "2030-02-01T00:00:00Z", "endTime": "2030-01-01T00:00:00Z"}'),
	('{"uid": "r8", "startTime": "2030-02-01T00:00:00Z", "length": 30}'),
	('{"uid": "r9", "startTime": "2030-02-01T00:00:00Z", "length": 30, "attendees": "nobody"}'),
	('{"uid": "r10", "startTime": "2030-02-01T00:00:00Z", "length": 30, "attendees": [5, null, [], {}, {"email": 5}]}')) v(payload);
SELECT t.deliver(format('{"triggerEvent": "BOOKING_CREATED", "createdAt": "2024-01-01T00:00:00Z", "payload": {"uid": "%s"}}', repeat('u', 256)));
SELECT "trigger", "uid", "error", "processed" FROM dibs."WebhookEvent" WHERE "outcome" = 'failed' ORDER BY "ulid" COLLATE "C";
SELECT count(*) AS bookings FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'r%';
-- wrong types where dibs can do without: the rest is taken, and it says what was not
SET LOCAL dibs.default_user_ulid = '01HZX00000000000000000REG1';
SELECT t.deliver('{"triggerEvent": "BOOKING_CREATED", "createdAt": "2024-01-01T00:00:00Z", "payload": {"uid": "w1", "title": 5, "length": "x",
	"startTime": "2030-02-01T00:00:00+05:30", "endTime": "2030-02-01T01:00:00.5+05:30", "bookingId": 12345678901234, "description": [],
	"eventTypeId": -1, "type": {}, "organizer": "me", "metadata": [1], "price": "much", "seatsPerTimeSlot": "many", "location": 7,
	"responses": [], "attendees": [{"email": "w@example.org", "name": 7}, "x"]}}');
SELECT "error" FROM dibs."WebhookEvent" WHERE "uid" = 'w1';
SELECT "title", "startTime" AT TIME ZONE 'UTC' AS start, "duration", "attendeeEmail", "attendeeName", "location" FROM dibs."CalBooking" WHERE "calBookingUid" = 'w1';
SET LOCAL dibs.default_user_ulid = '';

-- bearer values are not kept, and the hash is of what came
SELECT t.deliver('{"triggerEvent": "PING", "createdAt": "2024-01-01T00:00:02Z", "oneTimePassword": "s1", "payload": {"oneTimePassword": "s2",
	"videoCallData": {"password": "s3", "url": "https://video.example/1"}, "connectAndJoinUrl": "s4", "downloadLinks": {"recording": "s5"},
	"references": [{"meetingPassword": "s6", "type": "x"}, 5], "payment": [{"data": {"client_secret": "s7"}, "amount": 5}], "title": "kept"}}');
SELECT "payload" FROM dibs."WebhookEvent" WHERE "payload"->'payload'->>'title' = 'kept';
SELECT count(*) AS leaks FROM dibs."WebhookEvent" WHERE "payload"::text ~ '"s[1-7]"';

-- PostgREST's raw-body form
SELECT set_config('request.headers', t.headers(t.ping(200))::text, true) IS NOT NULL AS headers;
SELECT dibs.cal_webhook(t.ping(200)::json)::jsonb - 'event' AS said, current_setting('response.status') AS status;
SELECT current_setting('response.status') AS status;
SELECT dibs.cal_webhook(t.ping(201)::json)::jsonb - 'event' AS said;
SELECT current_setting('response.status') AS status;
SELECT dibs.cal_webhook(NULL) IS NOT NULL AS an_answer, current_setting('response.status') AS status;

-- the inbox: an error where the function says no
INSERT INTO dibs."WebhookInbox" (source, headers, body) SELECT 'cal', t.headers(t.ping(300)), t.ping(300);
SELECT count(*) AS kept FROM dibs."WebhookEvent" WHERE "payload"->'payload'->>'n' = '300';
SAVEPOINT s;
INSERT INTO dibs."WebhookInbox" (source, headers, body) VALUES ('cal', '{}', 'x');
ROLLBACK TO s;
\set VERBOSITY sqlstate
INSERT INTO dibs."WebhookInbox" (source, headers, body) VALUES ('cal', '{}', 'x');
ROLLBACK TO s;
INSERT INTO dibs."WebhookInbox" (source, headers, body) VALUES ('cal', '{}', repeat('x', 1100000));
ROLLBACK TO s;
INSERT INTO dibs."WebhookInbox" (source, headers, body) VALUES ('zoom', '{}', 'x');
ROLLBACK TO s;
SELECT dibs.receive_webhook('nobody', '{}', 'x');
ROLLBACK TO s;
SELECT dibs.receive_webhook(NULL, '{}', 'x');
ROLLBACK TO s;
\set VERBOSITY default

-- Zoom's question whether we hold its secret
SELECT dibs.set_secret('zoom.webhook_secret', 'zoomed');
CREATE FUNCTION t.zoom(body text, late interval = '0') RETURNS jsonb LANGUAGE sql AS $$
	SELECT dibs.receive_webhook('zoom', jsonb_build_object('x-zm-request-timestamp', at, 'x-zm-signature',
		'v0=' || pg_temp.hmac(convert_to('v0:' || at || ':' || body, 'UTF8'), 'zoomed')), body)
	FROM (SELECT extract(epoch FROM now() - late)::bigint::text) AS s(at) $$;
SELECT r->'status' AS status, r->'response'->>'encryptedToken' = pg_temp.hmac('token', 'zoomed') AS right_answer, r->>'event' AS event
FROM t.zoom('{"event": "endpoint.url_validation", "payload": {"plainToken": "token"}}') r;
SELECT r->>'status', r->>'outcome' FROM t.zoom('{"event": "meeting.started", "payload": {}}', '23 hours') r;
SELECT r->>'status', r->>'outcome' FROM t.zoom('{"event": "meeting.ended", "payload": {}}', '25 hours') r;

-- what the operator sees
SELECT source, trigger, outcome, age, count FROM dibs.webhook_status ORDER BY 1, 2, 3;
SELECT count(*) AS failed, bool_and(replayable) AS replayable FROM dibs.failed_webhooks;
SELECT dibs.forget_payloads() AS young;
UPDATE dibs."WebhookEvent" SET "createdAt" = now() - interval '31 days' WHERE "trigger" = 'PING';
SELECT dibs.forget_payloads(2), dibs.forget_payloads() > 2 AS more, dibs.forget_payloads() AS none;
SELECT t.deliver(t.ping(101)) AS still_known;
SELECT dibs.replay_webhook("ulid") FROM dibs."WebhookEvent" WHERE "uid" = 'w1';
SAVEPOINT s;
SELECT dibs.replay_webhook('01HZX00000000000000000NONE');
ROLLBACK TO s;

-- a signed sample
SELECT dibs.link_account('cal', '01HZX00000000000000000REG1', email => 'regress@example.org') - 'account' AS linked;
SELECT r->>'status' AS status, r->>'outcome' AS outcome FROM dibs.test_webhook('cal', 'BOOKING_CREATED') r;
SELECT "title", "userUlid", "status", "source", "attendeeEmail" FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'sample-%';
SELECT dibs.test_webhook('cal', 'OOO_CREATED');
ROLLBACK;
