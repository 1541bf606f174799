-- Every event of Zoom's that does something, and what it does. In one transaction: no worker sees any of it.
SET client_min_messages = warning;
SET datestyle = 'ISO';
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
CREATE FUNCTION t.receive(body text, sent bigint = extract(epoch FROM now())::bigint, key text = 'regress') RETURNS jsonb LANGUAGE sql AS $$
	SELECT dibs.receive_webhook('zoom', jsonb_build_object('x-zm-request-timestamp', sent::text,
		'x-zm-signature', 'v0=' || pg_temp.hmac(convert_to('v0:' || sent || ':' || body, 'UTF8'), convert_to(key, 'UTF8'))), body) $$;
CREATE FUNCTION t.said(r jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', r->>'status', r->>'outcome', r->'response'->>'error') $$;
-- minutes after ten o'clock of the meeting's day; events are sent a second after what they tell
CREATE FUNCTION t.at(m numeric) RETURNS text LANGUAGE sql AS $$
	SELECT to_char(timestamp '2030-01-31 10:00' + m * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') $$;
CREATE FUNCTION t.ms(m numeric) RETURNS bigint LANGUAGE sql AS $$
	SELECT extract(epoch FROM timestamptz '2030-01-31 10:00Z' + m * interval '1 minute' + interval '1 second')::bigint * 1000 $$;
CREATE FUNCTION t.zoom(event text, m numeric, object jsonb = '{}', more jsonb = '{}', top jsonb = '{}') RETURNS text LANGUAGE sql AS $$
	SELECT t.said(t.receive((jsonb_build_object('event', event, 'event_ts', t.ms(m), 'payload', jsonb_build_object('account_id', 'acc',
		'object', jsonb_build_object('id', '85746065432', 'uuid', 'run1==', 'host_id', 'HOSTID', 'topic', 'x', 'type', 2, 'timezone', 'UTC',
		'duration', 60) || object) || more) || top)::text)) $$;
CREATE FUNCTION t.person(event text, m numeric, who text, person jsonb = '{}', run text = 'run1==', number text = '85746065432') RETURNS text LANGUAGE sql AS $$
	SELECT t.zoom('meeting.participant_' || event, m, jsonb_build_object('uuid', run, 'id', number, 'participant', jsonb_build_object('user_id', who,
		'user_name', 'Somebody', 'participant_uuid', 'p' || who, 'email', '', 'id', '', 'participant_user_id', '', 'registrant_id', '',
		CASE event WHEN 'joined' THEN 'join_time' WHEN 'left' THEN 'leave_time' ELSE 'date_time' END, t.at(m)) || person)) $$;
-- a booking with its meeting, as the worker leaves it
CREATE FUNCTION t.booking(uid text, number text, people text[], status text = 'CONFIRMED') RETURNS void LANGUAGE plpgsql AS $$
DECLARE b char(26);
BEGIN
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "status", "meetingProvider",
		"meetingState", "wanted", "done", "announced")
	VALUES ('01HZX00000000000000000REG1', uid, 'x', '2030-01-31T10:00Z', '2030-01-31T11:00Z', people[1], status, 'zoom', 'ready', 1, 1, 1) RETURNING "ulid" INTO b;
	INSERT INTO dibs."BookingParticipant" ("userUlid", "bookingUlid", "person", "email", "name", "isPrimary")
	SELECT '01HZX00000000000000000REG1', b, p, p, initcap(split_part(p, '@', 1)), n = 1 FROM unnest(people) WITH ORDINALITY AS u(p, n);
	PERFORM dibs.derive_participants(b, '01HZX00000000000000000REG1');
	UPDATE dibs."CalBooking" SET "wanted" = "wanted" WHERE "ulid" = b;
	INSERT INTO dibs."Meeting" ("userUlid", "bookingUlid", "provider", "state", "host", "externalId", "marker", "digest", "startTime", "endTime", "answeredAt")
	VALUES ('01HZX00000000000000000REG1', b, 'zoom', 'ready', 'coach@example.com', number, 'm', '\x00', '2030-01-31T10:00Z', '2030-01-31T11:00Z', '2029-01-01Z');
END $$;
CREATE VIEW t.status AS SELECT "calBookingUid" AS uid, "status", "wanted" - 1 AS bumped,
	(SELECT string_agg(p->>'status', ' ' ORDER BY p->>'email') FROM jsonb_array_elements("participants") p) AS people FROM dibs."CalBooking";
CREATE VIEW t.attendance AS SELECT b."calBookingUid" AS uid, a.role, a.email, a.state, to_char(a.joined_at AT TIME ZONE 'UTC', 'HH24:MI') AS joined,
	to_char(a.left_at AT TIME ZONE 'UTC', 'HH24:MI') AS left, a.joins, a.minutes, (extract(epoch FROM a.late_by) / 60)::int AS late
	FROM dibs.attendance a JOIN dibs."CalBooking" b ON b."ulid" = a.booking_ulid;
CREATE VIEW t.events AS SELECT e."ulid", "calBookingUid" AS uid, e."type", e."data" FROM dibs."Event" e JOIN dibs."CalBooking" b ON b."ulid" = e."bookingUlid";
SELECT dibs.set_secret('zoom.webhook_secret', 'regress');
INSERT INTO dibs."Coach" ("userUlid", "name", "email") VALUES ('01HZX00000000000000000REG1', 'Carla Coach', 'carla@example.com');

-- a life: somebody waits, is let in, drops, comes back on another device, the host comes and ends it
SELECT t.booking('life', '85746065432', '{guest@example.com,other@example.com}');
SELECT t.zoom('meeting.created', -5000), t.zoom('meeting.started', 0, '{"start_time": "2030-01-31T10:00:00Z"}');
SELECT "status", bumped FROM t.status WHERE uid = 'life';
SELECT t.person('joined', 0, '100', '{"id": "HOSTID", "participant_user_id": "HOSTID", "user_name": "Carla"}');
SELECT t.person('joined_waiting_room', 2, '101', '{"email": "Guest@Example.com"}'), t.person('admitted', 3, '101', '{"email": "guest@example.com"}');
SELECT t.person('joined', 3, '101', '{"email": "guest@example.com"}'), t.person('left', 13, '101', '{"leave_reason": "lost"}');
SELECT t.person('joined', 14, '102', '{"user_name": "guest"}'), t.person('joined', 20, '103', '{"user_name": "  GUEST "}');
SELECT t.person('joined', 21, '104', '{"user_name": "iPhone"}'), t.person('left', 25, '104', '{"user_name": "iPhone"}');
SELECT (s->>'status'), s->'recording'->>'state' AS recording, jsonb_path_query_array(s, '$.participants[*].state') AS states
	FROM dibs.meeting_state('life') s;
-- 102 and 103 never leave: the end closes them
SELECT t.zoom('meeting.ended', 45, '{"end_time": "2030-01-31T10:45:00Z"}');
SELECT * FROM t.status WHERE uid = 'life';
SELECT * FROM t.attendance WHERE uid = 'life' ORDER BY role, joined;
SELECT to_char(started_at AT TIME ZONE 'UTC', 'HH24:MI') AS started, to_char(ended_at AT TIME ZONE 'UTC', 'HH24:MI') AS ended, minutes, runs FROM dibs.meeting_times;
SELECT "email", to_char("joinedAt" AT TIME ZONE 'UTC', 'HH24:MI') AS joined, to_char("leftAt" AT TIME ZONE 'UTC', 'HH24:MI') AS left, "status" FROM dibs."BookingParticipant" ORDER BY 1;
SELECT "type", "data"->>'role' AS role, "data"->>'at' AS at FROM t.events WHERE uid = 'life' ORDER BY "ulid";
-- the leave that comes after the end takes its place; told twice, and told again by another subscription
SELECT t.person('left', 40, '103', '{"user_name": "guest"}'), t.person('left', 40, '103', '{"user_name": "guest"}');
SELECT t.zoom('meeting.ended', 46, '{"end_time": "2030-01-31T10:45:00Z"}') AS again;
SELECT minutes, "left" FROM t.attendance WHERE uid = 'life' AND email = 'guest@example.com';
-- it starts again: another run
SELECT t.zoom('meeting.started', 50, '{"uuid": "run2==", "start_time": "2030-01-31T10:50:00Z"}');
SELECT "status" FROM t.status WHERE uid = 'life';
SELECT t.person('joined', 51, '201', '{"email": "other@example.com"}', 'run2==');
SELECT * FROM t.status WHERE uid = 'life';
SELECT t.zoom('meeting.ended', 60, '{"uuid": "run2==", "end_time": "2030-01-31T11:00:00Z"}');
SELECT "status" FROM t.status WHERE uid = 'life';
SELECT minutes, runs FROM dibs.meeting_times;
SELECT bookings, completed, no_shows, no_show_rate, participants, attended, attendance_rate, late_rate, minutes FROM dibs.coach_attendance;

-- the end before the start, and before who was there
SELECT t.booking('late', '111', '{late@example.com}');
SELECT t.zoom('meeting.ended', 30, '{"id": 111, "uuid": "r3", "end_time": "2030-01-31T10:30:00Z"}');
SELECT "status" FROM t.status WHERE uid = 'late';
SELECT t.person('left', 29, '1', '{"email": "late@example.com"}', 'r3');
SELECT "status", people FROM t.status WHERE uid = 'late';
SELECT t.zoom('meeting.started', 1, '{"id": 111, "uuid": "r3", "start_time": "2030-01-31T10:01:00Z"}'), t.person('joined', 9, '1', '{"email": "late@example.com"}', 'r3');
SELECT "status" FROM t.status WHERE uid = 'late';
SELECT * FROM t.attendance WHERE uid = 'late';

-- nobody but the host; by setting; and what somebody said by hand stays, but for news
SELECT t.booking('noshow', '222', '{no@example.com}'), t.booking('noshow2', '223', '{no@example.com}');
SELECT t.person('joined', 0, '1', '{"email": "carla@example.com"}', 'r9', '999') AS unknown_meeting;
SELECT t.zoom('meeting.started', 0, '{"id": 222, "uuid": "r4", "start_time": "2030-01-31T10:00:00Z"}'), t.person('joined', 0.5, '1', '{"email": "carla@example.com"}', 'r4');
SELECT t.zoom('meeting.ended', 30, '{"id": 222, "uuid": "r4", "end_time": "2030-01-31T10:30:00Z"}');
SET LOCAL dibs.no_show = 'nobody';
SELECT t.zoom('meeting.started', 0, '{"id": 223, "uuid": "r5", "start_time": "2030-01-31T10:00:00Z"}'), t.person('joined', 0.5, '1', '{"user_name": "carla  coach"}', 'r5');
SELECT t.zoom('meeting.ended', 30, '{"id": 223, "uuid": "r5", "end_time": "2030-01-31T10:30:00Z"}');
RESET dibs.no_show;
SELECT uid, "status", people FROM t.status WHERE uid LIKE 'noshow%' ORDER BY 1;
SELECT dibs.update_meeting_status('noshow', 'COMPLETED')->>'status';
SELECT t.person('left', 29, '1', '{}', 'r4'), (SELECT "status" FROM t.status WHERE uid = 'noshow');
SAVEPOINT s;
SELECT dibs.update_meeting_status('noshow', 'PENDING');
ROLLBACK TO SAVEPOINT s;
SELECT dibs.update_meeting_status('nobody knows it', 'COMPLETED');
ROLLBACK TO SAVEPOINT s;

-- a cancellation is never undone, a booking that was only asked for does not begin; who was there is known all the same
SELECT t.booking('cancelled', '333', '{c@example.com}', 'CANCELLED'), t.booking('pending', '334', '{c@example.com}', 'PENDING');
SELECT t.zoom('meeting.started', 0, '{"id": 333, "uuid": "r6", "start_time": "2030-01-31T10:00:00Z"}'),
	t.zoom('meeting.started', 0, '{"id": 334, "uuid": "r7", "start_time": "2030-01-31T10:00:00Z"}');
SELECT t.person('joined', 1, '1', '{"email": "c@example.com"}', 'r6'), t.zoom('meeting.ended', 30, '{"id": 333, "uuid": "r6", "end_time": "2030-01-31T10:30:00Z"}');
SELECT uid, "status", bumped, people FROM t.status WHERE uid IN ('cancelled', 'pending') ORDER BY 1;
DELETE FROM dibs."CalBooking" WHERE "calBookingUid" = 'cancelled';
SELECT t.person('left', 30, '1', '{"email": "c@example.com"}', 'r6', '333') AS of_a_deleted_booking;

-- pairs of points on one connection, in any order: two joins and two leaves, one leave missing, gone and back at once
SELECT t.booking('points', '444', '{pat@example.com}'), t.zoom('meeting.started', 0, '{"id": 444, "uuid": "r8", "start_time": "2030-01-31T10:00:00Z"}');
SELECT t.person('left', 20, '1', '{"email": "pat@example.com"}', 'r8');
SELECT joins, minutes FROM t.attendance WHERE uid = 'points';
SELECT t.person('joined', 15, '1', '{}', 'r8');
SELECT joins, minutes FROM t.attendance WHERE uid = 'points';
SELECT t.person('joined', 1, '1', '{}', 'r8');
SELECT joins, minutes FROM t.attendance WHERE uid = 'points';
SELECT t.person('left', 5, '1', '{}', 'r8'), t.person('joined', 5, '1', '{}', 'r8'), t.person('left', 9, '1', '{}', 'r8');
SELECT joins, minutes FROM t.attendance WHERE uid = 'points';
SELECT to_char("joinedAt" AT TIME ZONE 'UTC', 'MI') AS j, to_char("leftAt" AT TIME ZONE 'UTC', 'MI') AS l, "closed" FROM dibs."MeetingAttendance"
	WHERE "sessionUlid" = (SELECT "ulid" FROM dibs."MeetingSession" WHERE "externalUuid" = 'r8') ORDER BY 1;
-- a breakout room is part of the meeting; who is waiting for the host has no connection yet
SELECT t.zoom('meeting.participant_joined_breakout_room', 18, '{"id": 444, "uuid": "r8", "breakout_room_uuid": "room", "participant": {"user_id": "9", "user_name": "pat", "date_time": "2030-01-31T10:18:00Z"}}'),
	t.zoom('meeting.participant_left_breakout_room', 28, '{"id": 444, "uuid": "r8", "breakout_room_uuid": "room", "participant": {"user_id": "9", "user_name": "pat", "leave_time": "2030-01-31T10:28:00Z"}}');
SELECT joins, minutes FROM t.attendance WHERE uid = 'points';
SELECT t.booking('waits', '445', '{wes@example.com}');
SELECT t.zoom('meeting.participant_jbh_waiting', -3, '{"id": 445, "uuid": "r10", "participant": {"user_name": "wes", "id": "wesid"}}');
SELECT "status", people, a.state, a.minutes FROM t.status s JOIN t.attendance a USING (uid) WHERE uid = 'waits';
SELECT t.zoom('meeting.participant_jbh_waiting_left', 9, '{"id": 445, "uuid": "r10", "participant": {"user_name": "wes", "id": "wesid"}}');
SELECT "status", people, a.state, a.minutes FROM t.status s JOIN t.attendance a USING (uid) WHERE uid = 'waits';

-- registration: the registrant's id tells who comes, whatever name and address they give
SELECT t.zoom('meeting.registration_created', -100, '{"id": 445, "uuid": "r10", "registrant": {"id": "REG1", "email": "WES@example.com", "status": "pending"}}'),
	t.zoom('meeting.registration_approved', -99, '{"id": 445, "uuid": "r10", "registrant": {"id": "REG1", "email": "WES@example.com", "join_url": "https://zoom.test/w/personal"}}');
SELECT "registrantId", "joinUrl" FROM dibs."BookingParticipant" WHERE "email" = 'wes@example.com';
SELECT count(*) AS personal_links_kept FROM dibs."WebhookEvent" WHERE "payload"::text LIKE '%personal%';
SELECT t.person('joined', 1, '5', '{"registrant_id": "REG1", "email": "another@example.com", "user_name": "X"}', 'r10', '445');
SELECT email, state FROM t.attendance WHERE uid = 'waits';

-- changed and deleted at Zoom's side: an echo of our own is none, the rest is brought back, or accepted
SELECT t.booking('moved', '555', '{m@example.com}'), t.booking('moved2', '556', '{m@example.com}');
SELECT t.zoom('meeting.updated', 1, '{"id": 555, "start_time": "2030-01-31T10:00:00Z", "duration": 60}') AS as_it_is,
	t.zoom('meeting.updated', 2, '{"id": 555, "topic": "another"}') AS not_ours;
SELECT "digest" IS NULL AS due FROM dibs."Meeting" WHERE "externalId" = '555';
SELECT t.zoom('meeting.updated', 3, '{"id": 555, "start_time": "2030-01-31T12:00:00Z"}');
SELECT "digest" IS NULL AS forgotten, "wanted" <> "done" AS due FROM dibs."Meeting" m JOIN dibs."CalBooking" b ON b."ulid" = m."bookingUlid" WHERE "externalId" = '555';
UPDATE dibs."Meeting" SET "answeredAt" = '2030-01-31T12:00Z' WHERE "externalId" = '556';
SELECT t.zoom('meeting.deleted', 4, '{"id": 556}') AS before_our_last_word;
UPDATE dibs."Meeting" SET "answeredAt" = '2030-01-01Z' WHERE "externalId" = '556';
SET LOCAL dibs.zoom_changes = 'accept';
UPDATE dibs."CalBooking" SET "source" = 'cal' WHERE "calBookingUid" = 'moved';
SELECT t.zoom('meeting.updated', 5, '{"id": 556, "start_time": "2030-01-31T12:00:00Z", "duration": 30}'),
	t.zoom('meeting.updated', 5, '{"id": 555, "start_time": "2030-01-31T15:00:00Z"}');
SELECT "calBookingUid", "startTime" AT TIME ZONE 'UTC' AS start, "duration", "status" FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'moved%' ORDER BY 1;
SELECT t.zoom('meeting.deleted', 6, '{"id": 556}'), t.zoom('meeting.permanently_deleted', 7, '{"id": 556}'), t.zoom('meeting.recovered', 8, '{"id": 556}');
SELECT "calBookingUid", "status", "cancellationReason" FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'moved%' ORDER BY 1;
SELECT uid, "type", "data"->>'then' AS then FROM t.events WHERE uid LIKE 'moved%' ORDER BY "ulid";

-- recordings
SELECT t.booking('rec', '666', '{rec@example.com}');
SELECT t.zoom('recording.started', 1, '{"id": 666, "uuid": "r11", "recording_file": {"recording_start": "2030-01-31T10:01:00Z", "recording_end": ""}}'),
	t.zoom('recording.paused', 2, '{"id": 666, "uuid": "r11"}');
SELECT dibs.meeting_state('rec')->'recording'->>'state';
SELECT t.zoom('recording.stopped', 20, '{"id": 666, "uuid": "r11"}'), t.zoom('recording.resumed', 3, '{"id": 666, "uuid": "r11"}');
SELECT dibs.meeting_state('rec')->'recording'->>'state' AS state, (SELECT "status" FROM t.status WHERE uid = 'rec');
CREATE FUNCTION t.files(ids text[], kind text = 'MP4') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('id', 666, 'uuid', 'r11', 'recording_play_passcode', 'PLAYPASS', 'auto_delete', true, 'auto_delete_date', '2031-01-31', 'recording_files', jsonb_agg(jsonb_build_object('id', i,
		'file_type', kind, 'file_extension', kind, 'file_size', 1000, 'recording_type', CASE kind WHEN 'VTT' THEN 'audio_transcript' ELSE 'speaker_view' END,
		'recording_start', t.at(1), 'recording_end', t.at(20), 'download_url', 'https://zoom.test/dl/' || i, 'play_url', 'https://zoom.test/play/' || i, 'status', 'completed')))
	FROM unnest(ids) i $$;
SELECT t.zoom('recording.completed', 60, t.files('{f1,f2}'), '{}', '{"download_token": "TOKEN-A"}'),
	t.zoom('recording.completed', 60, t.files('{f1,f2}'), '{}', '{"download_token": "TOKEN-B"}') AS other_token_same_event,
	t.zoom('recording.transcript_completed', 61, t.files('{f3}', 'VTT'), '{}', '{"download_token": "TOKEN-C"}');
SELECT "externalId", "type", "format", "state", "bytes", "downloadUrl", "token" IS NOT NULL AS token, "tokenUntil" AT TIME ZONE 'UTC' AS until, "expiresAt" AT TIME ZONE 'UTC' AS expires
	FROM dibs."MeetingRecording" ORDER BY 1;
SELECT count(*) AS tokens_in_clear FROM dibs."WebhookEvent" w, dibs."MeetingRecording" r WHERE w."payload"::text ~ 'TOKEN-|PLAYPASS' OR encode(r."token", 'escape') LIKE '%TOKEN%';
SELECT t.zoom('recording.trashed', 70, t.files('{f1}')), t.zoom('recording.recovered', 75, t.files('{f1}')), t.zoom('recording.trashed', 72, t.files('{f1}')) AS comes_late;
SELECT t.zoom('recording.batch_deleted', 80, '{"meetings": [{"meeting_uuid": "r11", "recording_file_ids": ["f2"]}, {"meeting_uuid": "unknown", "recording_file_ids": ["z"]}]}');
SELECT t.zoom('recording.batch_trashed', 85, '{"meeting_uuids": ["unknown", "r11"]}'), t.zoom('recording.batch_recovered', 90, '{"meetings": [{"meeting_uuid": "r11", "recording_file_ids": ["f1"]}]}');
SELECT t.zoom('recording.deleted', 95, t.files('{f3}'));
SELECT "externalId", "state", "token" IS NOT NULL AS token FROM dibs."MeetingRecording" ORDER BY 1;
SELECT "type", "data"->>'type' AS file FROM t.events WHERE uid = 'rec' ORDER BY "ulid";

-- the permission ends: tokens go, meetings stay; another app's end is none of ours
INSERT INTO dibs."ProviderAccount" ("provider", "userUlid", "externalId") VALUES ('zoom', '01HZX00000000000000000REG1', 'ZUSER');
INSERT INTO dibs."ProviderCredential" ("accountUlid", "provider", "kind", "sealed") SELECT "ulid", 'zoom', 'oauth', '\x00' FROM dibs."ProviderAccount";
SELECT dibs.set_secret('zoom.oauth_client_id', 'OURAPP');
CREATE FUNCTION t.deauthorized(zoom_user text, app text) RETURNS text LANGUAGE sql AS $$
	SELECT t.said(t.receive(format('{"event":"app_deauthorized","payload":{"account_id":"acc","user_id":"%s","signature":"x","deauthorization_time":"2030-06-17T13:52:28.632Z","client_id":"%s","event_ts":"2030-06-17 13:52:28"}}', zoom_user, app))) $$;
SELECT t.deauthorized('ZUSER', 'OTHERAPP'), t.deauthorized('NOBODY', 'OURAPP'), (SELECT count(*) FROM dibs."ProviderCredential") AS credentials;
SELECT t.deauthorized('ZUSER', 'OURAPP'), t.deauthorized('ZUSER', 'OURAPP') AS again;
SELECT a."state", (SELECT count(*) FROM dibs."ProviderCredential") AS credentials,
	(SELECT count(*) FROM dibs."AuditLog" l WHERE l."action" = 'connection.lost' AND l."object" = a."ulid") AS audited,
	(SELECT "data"->>'code' FROM dibs."Event" e WHERE e."type" = 'connection.lost') AS told, (SELECT count(*) FROM dibs."Meeting" WHERE "state" = 'ready') AS meetings
	FROM dibs."ProviderAccount" a;

-- receiving: what dibs does not use, what nobody could, what is too old, a second app's secret
SELECT t.zoom('meeting.sharing_started', 1), t.zoom('meeting.from_next_year', 1), t.zoom('meeting.started', 1, '{"id": null, "uuid": null}'),
	t.zoom('meeting.participant_joined', 1, '{"participant": {}}');
SELECT t.said(t.receive('{"event": 5}')), t.said(t.receive('{"event": "meeting.ended"}')), t.said(t.receive('{"event": "meeting.ended", "payload": {"object": []}}')),
	t.said(t.receive('{"event": "meeting.started", "event_ts": "x", "payload": {"object": {"id": {}, "uuid": [], "start_time": 5}}}'));
SELECT t.said(t.receive('{"event": "meeting.ended", "event_ts": 1, "payload": {"object": {"id": "666", "uuid": "r11"}}}', extract(epoch FROM now() - interval '25 hours')::bigint)) AS old,
	t.said(t.receive('{"event": "meeting.ended", "event_ts": 2, "payload": {"object": {"id": "666", "uuid": "r11"}}}', extract(epoch FROM now() + interval '25 hours')::bigint)) AS future,
	(SELECT "status" FROM t.status WHERE uid = 'rec');
SELECT dibs.set_secret('zoom.webhook_secret', 'second', '1 hour');
SELECT t.receive('{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,"event":"endpoint.url_validation"}', key => 'second')->'response'->>'plainToken',
	t.said(t.receive('{"event": "meeting.alert", "event_ts": 3, "payload": {}}')), t.said(t.receive('{"event": "meeting.alert", "event_ts": 4, "payload": {}}', key => 'third')) AS wrong;
-- a meeting that is nobody's here is looked for once more, and then let be
SELECT "outcome", "dueAt" > now() AS once_more FROM dibs."WebhookEvent" WHERE "error" = 'no booking has this meeting' ORDER BY "ulid" LIMIT 1;
UPDATE dibs."WebhookEvent" SET "dueAt" = '-infinity' WHERE "outcome" = 'unmatched';
SELECT dibs.apply_webhooks();
SELECT "outcome", count(*), count("dueAt") AS due FROM dibs."WebhookEvent" WHERE "error" = 'no booking has this meeting' GROUP BY 1;
ROLLBACK;
