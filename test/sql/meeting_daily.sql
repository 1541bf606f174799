-- Daily's webhooks: the room that came with a booking, who was in it, what was recorded. In one transaction: no worker
-- sees any of it.
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
-- signed as Daily does it: the key is the secret's base64, decoded
CREATE FUNCTION t.receive(body text, sent text = extract(epoch FROM now())::bigint::text, key bytea = 'regress') RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', r->>'status', r->>'outcome', r->'response'->>'error')
	FROM dibs.receive_webhook('daily', jsonb_build_object('x-webhook-timestamp', sent,
		'x-webhook-signature', pg_temp.hmac(convert_to(sent || '.' || body, 'UTF8'), key, 'base64')), body) r $$;
-- seconds after ten o'clock of the meeting's day
CREATE FUNCTION t.s(s numeric) RETURNS numeric LANGUAGE sql AS $$
	SELECT extract(epoch FROM timestamptz '2030-01-31 10:00Z')::numeric + s $$;
CREATE SEQUENCE t.id;
CREATE FUNCTION t.daily(type text, payload jsonb, sent numeric = 0, id text = 'e' || nextval('t.id')) RETURNS text LANGUAGE sql AS $$
	SELECT t.receive(jsonb_strip_nulls(jsonb_build_object('version', '1.0.0', 'type', type, 'id', id, 'event_ts', t.s(sent) + 0.25, 'payload', payload))::text) $$;
CREATE FUNCTION t.began(s numeric, room text, meeting text) RETURNS text LANGUAGE sql AS $$
	SELECT t.daily('meeting.started', jsonb_build_object('start_ts', t.s(s), 'meeting_id', meeting, 'room', room), s + 1) $$;
CREATE FUNCTION t.ended(s numeric, e numeric, room text, meeting text) RETURNS text LANGUAGE sql AS $$
	SELECT t.daily('meeting.ended', jsonb_build_object('start_ts', t.s(s), 'end_ts', t.s(e), 'meeting_id', meeting, 'room', room), e + 20) $$;
CREATE FUNCTION t.person(room text, session text, name text, j numeric, l numeric = NULL, more jsonb = '{}', door text = '') RETURNS text LANGUAGE sql AS $$
	SELECT t.daily(door || 'participant.' || CASE WHEN l IS NULL THEN 'joined' ELSE 'left' END, jsonb_strip_nulls(jsonb_build_object('joined_at', t.s(j),
		'duration', l - j, 'session_id', session, 'room', room, 'user_id', session, 'user_name', name, 'owner', false)) || more, coalesce(l, j)) $$;
CREATE FUNCTION t.booking(uid text, link text, h numeric = 0, provider text = 'source', status text = 'CONFIRMED') RETURNS void LANGUAGE plpgsql AS $$
DECLARE b char(26);
BEGIN
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "status", "source",
		"meetingState", "wanted", "done", "announced")
	VALUES ('01HZX00000000000000000REG1', uid, 'x', timestamptz '2030-01-31 10:00Z' + h * interval '1 hour', timestamptz '2030-01-31 11:00Z' + h * interval '1 hour',
		'ada@example.com', status, 'cal', 'ready', 1, 1, 1) RETURNING "ulid" INTO b;
	UPDATE dibs."CalBooking" SET "completeAt" = "endTime" + interval '15 min' WHERE "ulid" = b;
	INSERT INTO dibs."BookingUid" ("uid", "bookingUlid", "userUlid") VALUES (uid, b, '01HZX00000000000000000REG1');
	INSERT INTO dibs."BookingParticipant" ("userUlid", "bookingUlid", "person", "email", "name", "isPrimary")
		VALUES ('01HZX00000000000000000REG1', b, 'ada@example.com', 'ada@example.com', 'Ada', true), ('01HZX00000000000000000REG1', b, 'bo@example.com', 'bo@example.com', 'Bo', false);
	INSERT INTO dibs."Meeting" ("userUlid", "bookingUlid", "provider", "state", "joinUrl", "marker", "externalId")
		VALUES ('01HZX00000000000000000REG1', b, provider, 'ready', link, 'm', CASE WHEN provider = 'daily' THEN link END);
END $$;
CREATE VIEW t.statuses AS SELECT "calBookingUid" AS uid, "status", "wanted" - 1 AS bumped, "completeAt" - "endTime" AS grace FROM dibs."CalBooking";
CREATE VIEW t.attendance AS SELECT b."calBookingUid" AS uid, a.role, a.name, a.state, to_char(a.joined_at AT TIME ZONE 'UTC', 'HH24:MI:SS') AS joined,
	to_char(a.left_at AT TIME ZONE 'UTC', 'HH24:MI:SS') AS left, a.joins, a.minutes
	FROM dibs.attendance a JOIN dibs."CalBooking" b ON b."ulid" = a.booking_ulid WHERE a.state <> 'absent';
CREATE VIEW t.events AS SELECT e."ulid", "calBookingUid" AS uid, e."type", e."data" - 'recording' - 'participant' AS data
	FROM dibs."Event" e JOIN dibs."CalBooking" b ON b."ulid" = e."bookingUlid";

-- the delivery at the webhook's creation is answered, before there is a secret, and leaves nothing
SELECT r->>'status' AS status, r->>'outcome' AS outcome, r->'event' AS event FROM dibs.receive_webhook('daily', '{}', '{"test":"test"}') r;
SELECT dibs.daily_webhook('{ "test" : "test" }')::jsonb, current_setting('response.status');
SELECT r->>'status' AS status FROM unnest(ARRAY['{"test":"tes"}', '{"test":"test"}x', '{"test":"test","a":1}', '']) b, dibs.receive_webhook('daily', '{}', b) r;
SELECT count(*) FROM dibs."WebhookEvent";
SELECT dibs.set_secret('daily.webhook_secret', encode('regress', 'base64'));
-- signed, in seconds and in milliseconds; by another key; a day old, and older
SELECT t.receive('{"type": "dialin.ready", "id": "a"}'), t.receive('{"type": "dialin.ready", "id": "b"}', (extract(epoch FROM now()) * 1000)::bigint::text),
	t.receive('{"type": "dialin.ready", "id": "c"}', key => 'another');
SELECT t.receive('{"type": "dialin.ready", "id": "d"}', (extract(epoch FROM now()) - 80000)::bigint::text) AS late,
	t.receive('{"type": "dialin.ready", "id": "e"}', (extract(epoch FROM now()) - 90000)::bigint::text) AS older,
	t.receive('{"type": "dialin.ready", "id": "f"}', ((extract(epoch FROM now()) - 90000) * 1000)::bigint::text) AS older_ms,
	t.receive('{"type": "dialin.ready", "id": "g"}', (extract(epoch FROM now()) + 90000)::bigint::text) AS ahead;

-- a life: two come, one of them twice, somebody knocks in vain, the owner ends it
SELECT t.booking('life', 'https://coach.daily.co/blue-room?t=token'), t.booking('other', 'https://coach.daily.co/red-room');
SELECT t.began(-30, 'blue-room', 'm1');
SELECT * FROM t.statuses ORDER BY uid;
SELECT t.person('blue-room', 's1', 'Ada', -31), t.person('blue-room', 's2', 'Carla', 5, more => '{"owner": true, "user_id": "coach-7"}'),
	t.person('blue-room', 's3', 'bo', 10.5), t.person('blue-room', 'k1', 'Stranger', 20, door => 'waiting-');
SELECT * FROM t.attendance ORDER BY joined;
SELECT t.person('blue-room', 'k1', 'Stranger', 20, 80, door => 'waiting-'), t.person('blue-room', 's3', 'bo', 10.5, 610.5), t.person('blue-room', 's4', ' BO ', 700);
SELECT t.ended(-30, 1800.671, 'blue-room', 'm1');
SELECT * FROM t.attendance ORDER BY joined;
SELECT * FROM t.statuses ORDER BY uid;
SELECT "type", "data" FROM t.events WHERE uid = 'life' ORDER BY "ulid";
SELECT started_at, ended_at, minutes, runs FROM dibs.meeting_times;
-- the leave that was told late takes the place of the end; the same delivery again, and another id
SELECT t.person('blue-room', 's4', 'BO', 700, 1700), t.daily('meeting.ended', jsonb_build_object('start_ts', t.s(-30), 'end_ts', t.s(1800.671), 'meeting_id', 'm1', 'room', 'blue-room'), 1, 'e11');
SELECT t.ended(-30, 1800.671, 'blue-room', 'm1') AS again;
SELECT name, "left", minutes FROM t.attendance WHERE name = 'Bo';
-- it starts again, and the first word of it is somebody's coming
SELECT t.person('blue-room', 's5', 'Ada', 2400);
SELECT "status" FROM t.statuses WHERE uid = 'life';
SELECT t.ended(2399, 3000, 'blue-room', 'm2');
SELECT "status" FROM t.statuses WHERE uid = 'life';
SELECT * FROM t.attendance WHERE name = 'Ada';
SELECT started_at, ended_at, minutes, runs FROM dibs.meeting_times;
SELECT "type", "data"->>'run' AS run, "data"->>'at' AS at FROM t.events WHERE uid = 'life' AND "type" ~ '^meeting' ORDER BY "ulid";

-- the end before the beginning and before who was there
SELECT t.ended(0, 600, 'red-room', 'm3');
SELECT "status" FROM t.statuses WHERE uid = 'other';
SELECT t.person('red-room', 'r1', 'Ada', 60, 500), t.began(0, 'red-room', 'm3');
SELECT "status" FROM t.statuses WHERE uid = 'other';
SELECT t.person('red-room', 'r1', 'Ada', 60);
SELECT * FROM t.attendance WHERE uid = 'other';
SELECT "type" FROM t.events WHERE uid = 'other' ORDER BY "ulid";

-- one room of a coach's for all of theirs: the one whose time it is; elsewhere's links, and rooms that are nobody's
SELECT t.booking('first', 'https://coach.daily.co/ada/', 24, 'static'), t.booking('second', 'https://coach.daily.co/ada/', 26, 'static'),
	t.booking('elsewhere', 'https://daily.co.example.com/grey', 24), t.booking('adopted', 'owned-room', 24, 'daily');
SELECT t.began(24 * 3600, 'ada', 'm4'), t.began(26 * 3600, 'ada', 'm5'), t.began(24 * 3600, 'grey', 'm6'), t.began(24 * 3600, 'nobodys', 'm7'),
	t.began(24 * 3600, 'owned-room', 'm8'), t.began(48 * 3600, 'ada', 'm9');
SELECT t.person('ada', 'x1', 'Ada', 24 * 3600 + 5), t.person('ada', 'x2', 'Ada', 26 * 3600 + 5);
SELECT uid, "status" FROM t.statuses WHERE uid IN ('first', 'second', 'elsewhere', 'adopted') ORDER BY uid;
SELECT uid, name, joined FROM t.attendance WHERE uid IN ('first', 'second') ORDER BY uid;
SELECT t.ended(24 * 3600, 29 * 3600, 'ada', 'm4') AS by_its_run;
SELECT uid, "status" FROM t.statuses WHERE uid IN ('first', 'second') ORDER BY uid;

-- recordings: what is told of them names no run; a file that is there is of one that has stopped
SELECT t.booking('filmed', 'https://coach.daily.co/film', 72);
SELECT t.daily('recording.started', jsonb_build_object('recording_id', 'rec1', 'action', 'start-cloud-recording', 'start_ts', t.s(72 * 3600 + 60), 'room_name', 'film'), 72 * 3600 + 61);
SELECT dibs.meeting_state('filmed')->'recording' AS recording;
SELECT t.daily('recording.started', jsonb_build_object('recording_id', 'rec9', 'start_ts', t.s(72 * 3600 + 60))) AS of_no_room;
SELECT t.daily('recording.ready-to-download', jsonb_build_object('type', 'cloud', 'recording_id', 'rec1', 'room_name', 'film', 'start_ts', t.s(72 * 3600 + 60), 'status', 'finished',
	'max_participants', 2, 'duration', 600, 'share_token', 'bearer-1', 's3_key', 'coach/film/1'), 72 * 3600 + 700);
SELECT t.daily('recording.ready-to-download', jsonb_build_object('recording_id', 'rec1', 'room_name', 'film', 'start_ts', t.s(72 * 3600 + 60), 'duration', 600), 72 * 3600 + 700) AS again;
SELECT jsonb_path_query_array(dibs.meeting_state('filmed')->'recording', '$.files[*].state') AS files, dibs.meeting_state('filmed')->'recording'->>'state' AS state;
SELECT t.daily('transcript.ready-to-download', jsonb_build_object('id', 'tr1', 'room_name', 'film', 'duration', 600, 'status', 't_finished'), 72 * 3600 + 720);
SELECT t.daily('recording.error', jsonb_build_object('action', 'cloud-recording-err', 'error_msg', 'out of space', 'instance_id', 'i', 'room_name', 'film', 'timestamp', t.s(72 * 3600 + 900)), 72 * 3600 + 901);
SELECT r."provider", r."externalId", r."type", r."state", r."startTime", r."endTime" - r."startTime" AS length, r."downloadUrl", r."token", dibs.recording_url(r."ulid")->>'errorCode' AS url
	FROM dibs."MeetingRecording" r ORDER BY r."type";
SELECT "type", "data" FROM t.events WHERE uid = 'filmed' ORDER BY "ulid";
SELECT count(*) FILTER (WHERE "payload"::text LIKE '%bearer-1%') AS bearers, count(*) FILTER (WHERE "payload"::text LIKE '%coach/film/1%') AS kept FROM dibs."WebhookEvent";

-- the clock's word and the witness's, in both orders: the witness decides
SELECT t.booking('clocked', 'https://coach.daily.co/clock'), t.booking('clocked2', 'https://coach.daily.co/clock2');
UPDATE dibs."CalBooking" SET "startTime" = now() - interval '50 min', "endTime" = now() - interval '20 min' WHERE "calBookingUid" LIKE 'clocked%';
SELECT dibs.set_secret('cal.webhook_secret', 'regress');
CREATE FUNCTION t.cal(trigger text, uid text) RETURNS text LANGUAGE sql AS $$
	SELECT r->>'outcome' FROM format('{"triggerEvent": "%s", "createdAt": "2030-01-31T10:00:00Z", "payload": {"uid": "%s"}}', trigger, uid) body,
		dibs.receive_webhook('cal', jsonb_build_object('x-cal-signature-256', pg_temp.hmac(convert_to(body, 'UTF8'), 'regress')), body) r $$;
SELECT t.cal('MEETING_ENDED', 'clocked');
SELECT uid, "status" FROM t.statuses WHERE uid LIKE 'clocked%' ORDER BY uid;
SELECT t.daily('meeting.started', jsonb_build_object('start_ts', extract(epoch FROM now() - interval '40 min'), 'meeting_id', m, 'room', m)) FROM unnest(ARRAY['clock', 'clock2']) m;
SELECT t.cal('MEETING_ENDED', 'clocked2'), t.cal('MEETING_STARTED', 'clocked');
SELECT uid, "status" FROM t.statuses WHERE uid LIKE 'clocked%' ORDER BY uid;
SELECT t.daily('meeting.ended', jsonb_build_object('start_ts', extract(epoch FROM now() - interval '40 min'), 'end_ts', extract(epoch FROM now()), 'meeting_id', m, 'room', m)) FROM unnest(ARRAY['clock', 'clock2']) m;
SELECT uid, "status" FROM t.statuses WHERE uid LIKE 'clocked%' ORDER BY uid;

-- in any order, some twice, with the clock's words between them: the same rows, and each thing told once
SELECT t.booking('shuffled', 'https://coach.daily.co/shuffle');
UPDATE dibs."CalBooking" SET "startTime" = now() - interval '90 min', "endTime" = now() - interval '30 min' WHERE "calBookingUid" = 'shuffled';
CREATE TABLE t.said (n int GENERATED ALWAYS AS IDENTITY, source text, type text, payload jsonb);
INSERT INTO t.said (source, type, payload) SELECT 'daily', type, replace(payload, '@', (extract(epoch FROM now())::bigint - 5400)::text)::jsonb FROM (VALUES
	('meeting.started', '{"start_ts": @.5, "meeting_id": "r1", "room": "shuffle"}'), ('meeting.ended', '{"start_ts": @.5, "end_ts": @.9, "meeting_id": "r0", "room": "shuffle"}'),
	('participant.joined', '{"joined_at": @, "session_id": "p1", "room": "shuffle", "user_name": "Ada"}'),
	('participant.joined', '{"joined_at": @.7, "session_id": "p2", "room": "shuffle", "user_name": "Bo"}'),
	('participant.left', '{"joined_at": @.7, "duration": 600, "session_id": "p2", "room": "shuffle", "user_name": "Bo"}'),
	('participant.joined', '{"joined_at": @.8, "session_id": "p3", "room": "shuffle", "user_name": "Carla", "owner": true}'),
	('waiting-participant.joined', '{"joined_at": @.1, "session_id": "p2", "room": "shuffle", "user_name": "Bo"}'),
	('recording.started', '{"start_ts": @, "room_name": "shuffle"}'),
	('recording.ready-to-download', '{"start_ts": @, "duration": 60, "recording_id": "f1", "room_name": "shuffle"}')) v(type, payload);
UPDATE t.said SET payload = jsonb_set(payload, '{end_ts}', to_jsonb((payload->>'end_ts')::numeric + 1800)) || '{"meeting_id": "r1"}' WHERE type = 'meeting.ended';
-- a second run: somebody comes back, and nobody tells of the leaving
INSERT INTO t.said (source, type, payload) SELECT source, type, jsonb_strip_nulls(payload || jsonb_build_object('meeting_id', 'r2' , 'session_id', 'p4',
	'start_ts', (payload->>'start_ts')::numeric + 2000, 'end_ts', (payload->>'end_ts')::numeric + 1000, 'joined_at', (payload->>'joined_at')::numeric + 2001))
	FROM t.said WHERE n IN (1, 2, 3);
INSERT INTO t.said (source, type) VALUES ('cal', 'MEETING_STARTED'), ('cal', 'MEETING_ENDED');
CREATE FUNCTION t.shuffle(round int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	e record;
	answer text;
BEGIN
	BEGIN
		FOR e IN SELECT s.* FROM t.said s, generate_series(1, 2) twice WHERE twice = 1 OR n % 3 = 0 ORDER BY md5(round || ' ' || n || ' ' || twice) LOOP
			PERFORM CASE e.source WHEN 'cal' THEN t.cal(e.type, 'shuffled') ELSE t.daily(e.type, e.payload, 0, 'shuffled-' || e.n) END;
		END LOOP;
		SELECT string_agg(line, E'\n' ORDER BY line COLLATE "C") INTO answer FROM (
			SELECT 'booking ' || b."status" || ' ' || (SELECT string_agg(p."name" || ' ' || p."status", ', ' ORDER BY p."name") FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid")
				|| ', recording ' || (dibs.meeting_state(b."ulid")->'recording'->>'state') FROM dibs."CalBooking" b WHERE "calBookingUid" = 'shuffled'
			UNION ALL SELECT 'ran ' || m.minutes || ' minutes in ' || m.runs FROM dibs.meeting_times m JOIN dibs."CalBooking" b ON b."ulid" = m.booking_ulid WHERE b."calBookingUid" = 'shuffled'
			UNION ALL SELECT concat_ws(' ', a.role, a.name, a.state, a.joins, a.minutes) FROM t.attendance a WHERE a.uid = 'shuffled'
			UNION ALL SELECT 'told ' || type || ' ' || count(*) FROM t.events WHERE uid = 'shuffled' AND type NOT LIKE 'booking.%ed' AND type NOT IN ('booking.no_show', 'recording.started') GROUP BY type) x(line);
		RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = answer;
	EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
		RETURN SQLERRM;
	END;
END $$;
SELECT t.shuffle(round) AS rows, count(*) FROM generate_series(1, 60) round GROUP BY 1 \gx

-- nothing that a body says is refused but what is no event: a refusal counts as a failure there
SELECT b, t.receive(b) FROM unnest(ARRAY['{"type": "participant.joined"}', '{"type": "participant.joined", "payload": {"room": "blue-room"}}',
	'{"type": "participant.left", "payload": {"room": "blue-room", "session_id": "z", "joined_at": "x", "duration": -1}}',
	'{"type": "meeting.started", "payload": {"room": 5, "meeting_id": {}}}', '{"type": "meeting.ended", "payload": {"room": "blue-room", "meeting_id": "m1", "end_ts": 1e400}}',
	'{"type": "recording.ready-to-download", "payload": {"room_name": "film"}}', '{"type": "meeting.teleported", "payload": []}', '{"type": 7}', '{}', 'x']) b;
SELECT "outcome", count(*) FROM dibs."WebhookEvent" GROUP BY 1 ORDER BY 1;
-- a booking that was given to another coach and came back: its run is there, and belongs to none
SELECT t.booking('back', 'https://coach.daily.co/back-room');
SELECT t.person('back-room', 'q1', 'Ada', 60);
UPDATE dibs."MeetingSession" s SET "bookingUlid" = NULL FROM dibs."CalBooking" b WHERE b."ulid" = s."bookingUlid" AND b."calBookingUid" = 'back';
SELECT t.person('back-room', 'q2', 'Bo', 120);
SELECT count(DISTINCT s."ulid") AS runs, count(*) AS presences FROM dibs."CalBooking" b JOIN dibs."MeetingSession" s ON s."bookingUlid" = b."ulid"
	JOIN dibs."MeetingAttendance" a ON a."sessionUlid" = s."ulid" AND a."bookingUlid" = b."ulid" WHERE b."calBookingUid" = 'back';
-- a room is found by its index
SET LOCAL enable_seqscan = off;
CREATE FUNCTION t.plan() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
	found boolean := false;
BEGIN
	FOR line IN EXPLAIN (COSTS OFF) SELECT FROM dibs."Meeting" m WHERE m."provider" IN ('source', 'static', 'manual') AND substring(m."joinUrl" FROM '([^/?#]+)/*([?#].*)?$') = 'x'
		AND octet_length(m."joinUrl") <= 2048 LOOP
		found := found OR line LIKE '%Meeting_room_idx%';
	END LOOP;
	RETURN found;
END $$;
SELECT t.plan();
ROLLBACK;
