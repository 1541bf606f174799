-- Webhooks of 8x8's Jitsi: a room of ours, and one that came with a booking. In one transaction: no worker sees any of it.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
BEGIN;
CREATE SCHEMA t;
\getenv test PG_ABS_SRCDIR
\set hmac :test '/include/hmac.sql'
\set echo :ECHO
\set ECHO none
\i :hmac
\set ECHO :echo
CREATE FUNCTION t.receive(body text, key bytea = 'regress', sent bigint = extract(epoch FROM now())::bigint) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', r->>'status', r->>'outcome', r->'response'->>'error')
	FROM dibs.receive_webhook('jaas', jsonb_build_object('x-jaas-signature', 't=' || sent || ',v1=' || pg_temp.hmac(convert_to(sent || '.' || body, 'UTF8'), key, 'base64')), body) r $$;
CREATE SEQUENCE t.id;
-- jaas(type, second, data): at a second after ten o'clock of the meeting's day
CREATE FUNCTION t.jaas(type text, s numeric, data jsonb = '{}', room text = 'dibs-0001', session text = 'session1', key text = 'k' || nextval('t.id')) RETURNS text LANGUAGE sql AS $$
	SELECT t.receive(jsonb_build_object('idempotencyKey', key, 'customerId', 'c', 'appId', 'tenant', 'eventType', type, 'sessionId', session,
		'timestamp', (extract(epoch FROM timestamptz '2030-01-31 10:00Z') * 1000 + s * 1000)::bigint, 'fqn', 'tenant/' || room, 'data', data)::text) $$;
CREATE FUNCTION t.booking(uid text, provider text, room text, link text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE b char(26);
BEGIN
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "meetingState", "wanted", "done", "announced")
	VALUES ('01HZX00000000000000000REG1', uid, 'x', '2030-01-31T10:00Z', '2030-01-31T11:00Z', 'ada@example.com', 'ready', 1, 1, 1) RETURNING "ulid" INTO b;
	INSERT INTO dibs."BookingParticipant" ("userUlid", "bookingUlid", "person", "email", "name", "isPrimary")
		VALUES ('01HZX00000000000000000REG1', b, 'ada@example.com', 'ada@example.com', 'Ada', true);
	INSERT INTO dibs."Meeting" ("userUlid", "bookingUlid", "provider", "state", "joinUrl", "marker", "externalId")
		VALUES ('01HZX00000000000000000REG1', b, provider, 'ready', link, 'm', room);
END $$;
CREATE VIEW t.attendance AS SELECT b."calBookingUid" AS uid, a.role, a.name, a.state, to_char(a.joined_at AT TIME ZONE 'UTC', 'HH24:MI:SS') AS joined,
	to_char(a.left_at AT TIME ZONE 'UTC', 'HH24:MI:SS') AS left, a.joins, a.minutes
	FROM dibs.attendance a JOIN dibs."CalBooking" b ON b."ulid" = a.booking_ulid WHERE a.state <> 'absent';
SELECT dibs.set_secret('jaas.webhook_secret', 'regress');
SELECT t.booking('ours', 'jitsi', 'dibs-0001', 'https://8x8.vc/tenant/dibs-0001'), t.booking('theirs', 'source', NULL, 'https://8x8.vc/tenant/standup?jwt=x');

SELECT t.receive('{"eventType": "USAGE"}', 'another') AS forged, t.receive('{"eventType": "USAGE"}', sent => 1) AS old, t.jaas('USAGE', 0) AS unused,
	t.receive('{"a": 1}') AS nothing, t.jaas('ROOM_CREATED', 0, room => 'nobodys', session => 'x') AS nobodys;
SELECT t.jaas('ROOM_CREATED', 0, '{"conference": "dibs-0001@conference.tenant.8x8.vc"}');
SELECT "status" FROM dibs."CalBooking" WHERE "calBookingUid" = 'ours';
SELECT t.jaas('PARTICIPANT_JOINED_LOBBY', 3, '{"name": "Ada", "participantJid": "l1"}'), t.jaas('PARTICIPANT_LEFT_LOBBY', 5, '{"name": "Ada", "participantJid": "l1"}'),
	t.jaas('PARTICIPANT_JOINED', 6, '{"name": "Somebody", "email": "ADA@example.com", "moderator": "true", "participantJid": "j1", "id": "u1"}'),
	t.jaas('PARTICIPANT_JOINED', 1, '{"name": "Carla", "moderator": true, "participantJid": "j2", "id": "u2"}');
-- a breakout room is neither the beginning nor the end
SELECT t.jaas('ROOM_CREATED', 60, '{"isBreakout": true, "breakoutRoomId": "b1"}'), t.jaas('PARTICIPANT_JOINED', 61, '{"email": "ada@example.com", "participantJid": "j1", "isBreakout": true, "breakoutRoomId": "b1"}'),
	t.jaas('PARTICIPANT_LEFT', 61, '{"email": "ada@example.com", "participantJid": "j1", "disconnectReason": "switch_room"}'), t.jaas('ROOM_DESTROYED', 300, '{"isBreakout": true, "breakoutRoomId": "b1"}');
SELECT "status" FROM dibs."CalBooking" WHERE "calBookingUid" = 'ours';
SELECT t.jaas('RECORDING_STARTED', 70), t.jaas('RECORDING_ENDED', 500);
SELECT t.jaas('ROOM_DESTROYED', 600, key => 'end'), t.jaas('ROOM_DESTROYED', 600, key => 'end') AS again;
SELECT "status" FROM dibs."CalBooking" WHERE "calBookingUid" = 'ours';
SELECT * FROM t.attendance ORDER BY role;
SELECT t.jaas('RECORDING_UPLOADED', 700, '{"recordingSessionId": "rec1", "durationSec": 430, "startTimestamp": 1896084070000, "endTimestamp": 1896084500000,
	"preAuthenticatedLink": "https://files.example/secret-1"}'), t.jaas('TRANSCRIPTION_UPLOADED', 710, '{"preAuthenticatedLink": "https://files.example/secret-2"}');
SELECT r."provider", r."externalId", r."type", r."endTime" - r."startTime" AS length, s."externalUuid", r."downloadUrl", dibs.recording_url(r."ulid")->>'url' AS url, r."tokenUntil" - r."stateAt" AS good_for
	FROM dibs."MeetingRecording" r JOIN dibs."MeetingSession" s ON s."ulid" = r."sessionUlid" ORDER BY r."type";
SELECT dibs.meeting_state('ours')->'recording'->>'state' AS recording;
SELECT count(*) FROM dibs."WebhookEvent" WHERE "payload"::text LIKE '%secret-%';
-- a room that came with a booking; the end before the beginning
SELECT t.jaas('ROOM_DESTROYED', 900, room => 'standup', session => 's2'), t.jaas('PARTICIPANT_JOINED', 30, '{"name": "ada", "participantJid": "x"}', 'standup', 's2'), t.jaas('ROOM_CREATED', 20, room => 'standup', session => 's2');
SELECT "status" FROM dibs."CalBooking" WHERE "calBookingUid" = 'theirs';
SELECT * FROM t.attendance WHERE uid = 'theirs';
-- nothing of use is kept and ignored
SELECT b, t.receive(b) FROM unnest(ARRAY['{"eventType": "ROOM_CREATED"}', '{"eventType": "PARTICIPANT_JOINED", "fqn": "tenant/dibs-0001", "sessionId": "session1"}',
	'{"eventType": "PARTICIPANT_LEFT", "fqn": "dibs-0001", "sessionId": "session1", "timestamp": "x", "data": 7}', '{"eventType": "ROOM_CREATED", "fqn": "tenant/", "sessionId": "y"}']) b;
ROLLBACK;
