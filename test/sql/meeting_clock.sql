-- What Cal.com tells of meetings: by the clock, and of its video's files. In one transaction: no worker sees any of it.
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
CREATE FUNCTION t.deliver(body text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', r->>'status', r->>'outcome', r->'response'->>'error')
	FROM dibs.receive_webhook('cal', jsonb_build_object('x-cal-signature-256', pg_temp.hmac(convert_to(body, 'UTF8'), 'regress')), body) r $$;
CREATE FUNCTION t.at(minute numeric) RETURNS text LANGUAGE sql AS $$
	SELECT to_char(now() AT TIME ZONE 'UTC' + minute * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;
-- the newer sender's shape, and the older one's: flat, with the booking's own createdAt
CREATE FUNCTION t.nested(trigger text, uid text, more jsonb = '{}', sent numeric = 0) RETURNS text LANGUAGE sql AS $$
	SELECT t.deliver(jsonb_build_object('triggerEvent', trigger, 'createdAt', t.at(sent), 'payload', jsonb_build_object('uid', uid) || more)::text) $$;
CREATE FUNCTION t.flat(trigger text, uid text, more jsonb = '{}') RETURNS text LANGUAGE sql AS $$
	SELECT t.deliver((jsonb_build_object('triggerEvent', trigger, 'createdAt', '2024-01-01T00:00:00.000Z', 'uid', uid, 'id', 5, 'status', 'ACCEPTED') || more)::text) $$;
-- a booking from minute to minute of now, with its meeting as the worker leaves it
CREATE FUNCTION t.booking(uid text, provider text, start numeric, stop numeric, status text = 'CONFIRMED') RETURNS void LANGUAGE plpgsql AS $$
DECLARE b char(26);
BEGIN
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "status", "source",
		"meetingState", "wanted", "done", "announced")
	VALUES ('01HZX00000000000000000REG1', uid, 'x', now() + start * interval '1 minute', now() + stop * interval '1 minute', 'ada@example.com', status, 'cal',
		CASE WHEN provider IN ('none', 'unmade') THEN CASE provider WHEN 'none' THEN 'not_needed' ELSE 'pending' END ELSE 'ready' END, 1, 1, 1) RETURNING "ulid" INTO b;
	INSERT INTO dibs."BookingUid" ("uid", "bookingUlid", "userUlid") VALUES (uid, b, '01HZX00000000000000000REG1');
	INSERT INTO dibs."BookingParticipant" ("userUlid", "bookingUlid", "person", "email", "name", "isPrimary")
		VALUES ('01HZX00000000000000000REG1', b, 'ada@example.com', 'ada@example.com', 'Ada', true);
	IF provider NOT IN ('none', 'unmade') THEN
		INSERT INTO dibs."Meeting" ("userUlid", "bookingUlid", "provider", "state", "joinUrl", "marker")
			VALUES ('01HZX00000000000000000REG1', b, provider, 'ready', 'https://video.example/' || uid, 'm');
	END IF;
END $$;
CREATE VIEW t.events AS SELECT "calBookingUid" AS uid, e."ulid", e."type", e."data" - 'at' - 'recording' AS data, e."data" ? 'at' AS timed
	FROM dibs."Event" e JOIN dibs."CalBooking" b ON b."ulid" = e."bookingUlid";
CREATE VIEW t.statuses AS SELECT "calBookingUid" AS uid, "status", "wanted" - 1 AS bumped FROM dibs."CalBooking";
SELECT dibs.set_secret('cal.webhook_secret', 'regress');
SELECT dibs.link_account('cal', '01HZX00000000000000000REG1', external_id => '7') ? 'account' AS linked;

-- while its time runs, a booking whose provider tells nothing is in progress; nobody is said to have come
SELECT t.booking(p, p, -5, 25) FROM unnest(ARRAY['source', 'jitsi', 'static', 'manual', 'zoom', 'none', 'unmade']) p;
SELECT uid, t.flat('MEETING_STARTED', uid, jsonb_build_object('startTime', t.at(-5))) FROM t.statuses ORDER BY uid COLLATE "C";
SELECT * FROM t.statuses ORDER BY uid COLLATE "C";
SELECT count(*) AS sessions, (SELECT count(*) FROM dibs."MeetingAttendance") AS presences, (SELECT count(*) FROM dibs.meeting_times) AS times,
	(SELECT count(*) FROM dibs."BookingParticipant" WHERE "joinedAt" IS NOT NULL OR "status" <> 'CONFIRMED' OR "noShow") AS claimed FROM dibs."MeetingSession";
SELECT s - 'participants' - 'booking' AS state, jsonb_path_query_array(s, '$.participants[*].state') FROM dibs.meeting_state('source') s;
-- told twice, by the other sender, and applied again: one event, and no other status
SELECT t.flat('MEETING_STARTED', 'source', jsonb_build_object('startTime', t.at(-5))), t.nested('MEETING_STARTED', 'source', jsonb_build_object('startTime', t.at(-5)));
SELECT dibs.replay_webhook("ulid") FROM dibs."WebhookEvent" WHERE "uid" = 'source';
SELECT "type", "data", timed FROM t.events WHERE uid = 'source';
-- the end by the clock, before there is one by ours: told, and no more
SELECT t.nested('MEETING_ENDED', 'source', jsonb_build_object('endTime', t.at(-1)));
SELECT * FROM t.statuses WHERE uid = 'source';

-- over, and for longer than people overrun: the end completes, in each order of the two, and without the beginning
SELECT t.booking('over', 'jitsi', -60, -30), t.booking('over2', 'jitsi', -60, -30), t.booking('over3', 'zoom', -60, -30), t.booking('over4', 'jitsi', -60, -30);
SELECT t.flat('MEETING_STARTED', 'over', jsonb_build_object('startTime', t.at(-60)));
SELECT "status" FROM t.statuses WHERE uid = 'over';
SELECT t.nested('MEETING_ENDED', 'over', jsonb_build_object('endTime', t.at(-30))), t.nested('MEETING_ENDED', 'over2'), t.nested('MEETING_ENDED', 'over3');
SELECT t.nested('MEETING_STARTED', 'over2', jsonb_build_object('startTime', t.at(-60)));
SELECT * FROM t.statuses WHERE uid LIKE 'over%' ORDER BY uid;
SELECT "type", "data", timed FROM t.events WHERE uid = 'over' ORDER BY "ulid";
-- within that time it is not closed to them
SELECT t.booking('overruns', 'jitsi', -35, -5), t.flat('MEETING_STARTED', 'overruns', jsonb_build_object('startTime', t.at(-35))),
	t.nested('MEETING_ENDED', 'overruns', jsonb_build_object('endTime', t.at(-5)));
SELECT * FROM t.statuses WHERE uid = 'overruns';
SET LOCAL dibs.complete_after = 0;
SELECT t.nested('MEETING_ENDED', 'overruns', jsonb_build_object('endTime', t.at(-4)), 1);
RESET dibs.complete_after;
SELECT * FROM t.statuses WHERE uid = 'overruns';
-- what is not on, what lies ahead, what somebody said by hand
SELECT t.booking('pending', 'jitsi', -60, -30, 'PENDING'), t.booking('cancelled', 'jitsi', -60, -30, 'CANCELLED'), t.booking('ahead', 'jitsi', 60, 90),
	t.booking('hand', 'jitsi', -60, -30, 'NO_SHOW');
SELECT uid, t.flat('MEETING_STARTED', uid), t.nested('MEETING_ENDED', uid) FROM unnest(ARRAY['pending', 'cancelled', 'ahead', 'hand']) uid;
SELECT * FROM t.statuses WHERE uid IN ('pending', 'cancelled', 'ahead', 'hand') ORDER BY uid;

-- a witness decides, whatever the clock says before or after
SELECT t.booking('seen', 'source', -60, -30);
INSERT INTO dibs."MeetingSession" ("userUlid", "bookingUlid", "provider", "externalUuid", "seenAt")
	SELECT "userUlid", "ulid", 'other', 'run', now() - interval '10 min' FROM dibs."CalBooking" WHERE "calBookingUid" = 'seen';
UPDATE dibs."CalBooking" SET "status" = 'IN_PROGRESS' WHERE "calBookingUid" = 'seen';
SELECT t.nested('MEETING_ENDED', 'seen');
SELECT "status" FROM t.statuses WHERE uid = 'seen';

-- a booking that is not known yet; one that was deleted; none at all
SELECT t.nested('MEETING_STARTED', 'later', jsonb_build_object('startTime', t.at(-5)));
SELECT t.booking('gone', 'jitsi', -5, 25);
DELETE FROM dibs."CalBooking" WHERE "calBookingUid" = 'gone';
SELECT t.nested('MEETING_STARTED', 'gone'), t.deliver('{"triggerEvent": "MEETING_STARTED", "createdAt": "2024-01-01T00:00:00Z", "payload": {}}');
SELECT t.nested('BOOKING_CREATED', 'later', jsonb_build_object('startTime', t.at(-5), 'endTime', t.at(25), 'title', 'x', 'organizer', '{"id": 7}'::jsonb,
	'attendees', '[{"email": "ada@example.com", "name": "Ada", "timeZone": "UTC"}]'::jsonb), -60);
SELECT dibs.apply_webhooks();
SELECT "type", "data", timed FROM t.events WHERE uid = 'later' ORDER BY "ulid";

-- the source's own word comes over the clock's: a cancellation, and a move of the session under the same uid
SELECT t.nested('BOOKING_CANCELLED', 'jitsi', '{"organizer": {"id": 7}, "attendees": []}', -2);
SELECT "status" FROM t.statuses WHERE uid = 'jitsi';
SELECT t.nested('BOOKING_RESCHEDULED', 'static', jsonb_build_object('rescheduleUid', 'static', 'startTime', t.at(1440), 'endTime', t.at(1470), 'title', 'x',
	'organizer', '{"id": 7}'::jsonb, 'attendees', '[{"email": "ada@example.com", "name": "Ada", "timeZone": "UTC"}]'::jsonb), -1);
SELECT "status" FROM t.statuses WHERE uid = 'static';
SELECT t.nested('MEETING_STARTED', 'static', jsonb_build_object('startTime', t.at(-5)), 1);
SELECT "status" FROM t.statuses WHERE uid = 'static';
-- who merely says again that the booking is on changes nothing
SELECT t.nested('BOOKING_PAID', 'manual', jsonb_build_object('price', 1, 'currency', 'usd', 'startTime', t.at(-5), 'endTime', t.at(25), 'title', 'x',
	'organizer', '{"id": 7}'::jsonb, 'attendees', '[{"email": "ada@example.com", "name": "Ada", "timeZone": "UTC"}]'::jsonb), -1);
SELECT "status" FROM t.statuses WHERE uid = 'manual';

-- in each order of the source's word, the beginning and the end
SELECT t.booking('o1', 'jitsi', -60, -30), t.booking('o2', 'jitsi', -60, -30), t.booking('o3', 'jitsi', -60, -30), t.booking('o4', 'jitsi', -5, 25);
CREATE FUNCTION t.say(what text, uid text) RETURNS text LANGUAGE sql AS $$
	SELECT CASE what WHEN 'start' THEN t.flat('MEETING_STARTED', uid) WHEN 'end' THEN t.nested('MEETING_ENDED', uid) WHEN 'nothing' THEN ''
		WHEN 'cancel' THEN t.nested('BOOKING_CANCELLED', uid, '{"organizer": {"id": 7}, "attendees": []}', -70)
		ELSE t.nested('BOOKING_RESCHEDULED', CASE what WHEN 'moved' THEN uid ELSE uid || '-b' END, jsonb_build_object('rescheduleUid', uid, 'startTime', t.at(1440), 'endTime', t.at(1470),
			'title', 'x', 'organizer', '{"id": 7}'::jsonb, 'attendees', '[{"email": "ada@example.com", "name": "Ada", "timeZone": "UTC"}]'::jsonb), -65) END $$;
CREATE FUNCTION t.in_order(uid text, a text, b text, c text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE now text;
BEGIN
	BEGIN
		PERFORM t.say(a, uid), t.say(b, uid), t.say(c, uid);
		SELECT "status" || CASE WHEN "startTime" > now() THEN ' tomorrow' ELSE '' END INTO now FROM dibs."CalBooking" x WHERE x."calBookingUid" IN ($1, $1 || '-b');
		RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = now;
	EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
		RETURN SQLERRM;
	END;
END $$;
SELECT what, uid, t.in_order(uid, (ARRAY[what, 'start', 'end'])[i], (ARRAY[what, 'start', 'end'])[j], (ARRAY[what, 'start', 'end'])[6 - i - j]) AS then, count(*)
	FROM (VALUES ('cancel', 'o1'), ('moved', 'o2'), ('renamed', 'o3'), ('cancel', 'o4'), ('moved', 'o4'), ('renamed', 'o4'), ('nothing', 'o1')) v(what, uid),
		generate_series(1, 3) i, generate_series(1, 3) j WHERE i <> j GROUP BY 1, 2, 3 ORDER BY 1, 2;

-- files: a link that opens one by itself is sealed, and given to who may have it; a kept payload has none
SELECT t.nested('RECORDING_READY', 'source', '{"downloadLink": "https://video.example/secret-1"}', 1);
SELECT t.nested('RECORDING_TRANSCRIPTION_GENERATED', 'source', '{"downloadLinks": {"recording": "https://video.example/secret-2",
	"transcription": [{"format": "json", "link": "https://video.example/secret-3"}, {"format": "vtt", "link": "https://video.example/secret-4"},
	{"format": "txt", "link": "https://video.example/secret-5"}, {"format": "odd"}, 7]}}', 2);
SELECT r."provider", r."type", r."format", r."state", r."downloadUrl", r."token" IS NOT NULL AS sealed, r."tokenUntil" - r."stateAt" AS good_for, r."sessionUlid", f.url - 'recording' - 'tokenUntil' AS url
	FROM dibs."MeetingRecording" r, LATERAL (SELECT dibs.recording_url(r."ulid")) f(url) ORDER BY r."type";
SELECT dibs.replay_webhook("ulid") FROM dibs."WebhookEvent" WHERE "uid" = 'source' AND "trigger" LIKE 'RECORDING%' ORDER BY "trigger";
SELECT count(*), count("token") FROM dibs."MeetingRecording";
SELECT "type", "data" FROM t.events WHERE uid = 'source' AND "type" LIKE '%.ready' ORDER BY "ulid";
UPDATE dibs."MeetingRecording" SET "tokenUntil" = now();
SELECT dibs.recording_url("ulid") - 'recording' AS ended FROM dibs."MeetingRecording" WHERE "type" = 'recording';
SELECT count(*) AS secrets FROM dibs."WebhookEvent" WHERE "payload"::text LIKE '%secret-%';

-- what cannot be applied at once keeps its links, sealed, until it is: by an error of the moment, and before its booking
-- or its coach is known
CREATE FUNCTION t.busy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE lock_not_available; END $$;
CREATE TRIGGER busy BEFORE INSERT ON dibs."MeetingRecording" FOR EACH ROW EXECUTE FUNCTION t.busy();
SELECT t.nested('RECORDING_READY', 'zoom', '{"downloadLink": "https://video.example/secret-6"}', 4),
	t.nested('RECORDING_READY', 'late', '{"downloadLink": "https://video.example/secret-7"}', 5),
	t.nested('RECORDING_TRANSCRIPTION_GENERATED', 'late', '{}', 6);
SELECT dibs.replay_webhook("ulid") FROM dibs."WebhookEvent" WHERE "uid" = 'zoom' AND "trigger" LIKE 'RECORDING%';
CREATE VIEW t.sealed AS SELECT e."uid", e."trigger", e."outcome", dibs.sealed_version(s."sealed") AS key, encode(s."sealed", 'escape') LIKE '%secret%' AS legible
	FROM dibs."WebhookEvent" e LEFT JOIN dibs."SealedPayload" s USING ("ulid") WHERE e."uid" IN ('zoom', 'late') AND e."trigger" LIKE 'RECORDING%';
SELECT * FROM t.sealed ORDER BY 1, 2;
DROP TRIGGER busy ON dibs."MeetingRecording";
SELECT t.booking('late', 'none', -60, -30);
UPDATE dibs."WebhookEvent" SET "dueAt" = now() WHERE "uid" IN ('zoom', 'late') AND "trigger" LIKE 'RECORDING%';
SELECT dibs.apply_webhooks();
SELECT * FROM t.sealed ORDER BY 1, 2;
SELECT b."calBookingUid" AS uid, f.url->'state' AS state, f.url->'url' AS url FROM dibs."MeetingRecording" r JOIN dibs."CalBooking" b ON b."ulid" = r."bookingUlid",
	LATERAL (SELECT dibs.recording_url(r."ulid")) f(url) WHERE b."calBookingUid" IN ('zoom', 'late') ORDER BY 1, r."type";
-- one that is never to be: sealed as long as its payload is kept
SELECT t.nested('RECORDING_READY', 'never', '{"downloadLink": "https://video.example/secret-8"}', 7);
SELECT count(*) AS sealed FROM dibs."SealedPayload";
UPDATE dibs."WebhookEvent" SET "createdAt" = now() - interval '31 days', "dueAt" = NULL WHERE "uid" = 'never';
SELECT dibs.forget_payloads();
SELECT count(*) AS sealed FROM dibs."SealedPayload";
SELECT t.nested('RECORDING_READY', 'never', '{"downloadLink": "https://video.example/secret-9", "attendees": [{"email": "gone@example.com"}]}', 8);
SELECT dibs.forget_mentions(1, ARRAY['gone@example.com'], NULL, '{"part": 1}') ? 'payloads' AS forgotten, count(*) AS before FROM dibs."SealedPayload";
SELECT count(*) AS sealed, (SELECT count(*) FROM dibs."WebhookEvent" WHERE "uid" = 'never' AND "payload" IS NOT NULL) AS payloads FROM dibs."SealedPayload";

-- nobody had come by a time: told, and nobody is marked absent
SELECT t.nested('AFTER_HOSTS_CAL_VIDEO_NO_SHOW', 'source', '{"bookingUid": "source", "hostEmail": "coach@example.com", "message": "Host did not join"}', 3),
	t.nested('AFTER_GUESTS_CAL_VIDEO_NO_SHOW', 'source', '{"bookingUid": "source", "message": "Guest did not join"}', 3);
SELECT dibs.replay_webhook("ulid") FROM dibs."WebhookEvent" WHERE "trigger" LIKE 'AFTER%';
SELECT "type", "data", timed FROM t.events WHERE uid = 'source' AND "type" LIKE '%absent' ORDER BY "ulid";
SELECT (SELECT "status" FROM t.statuses WHERE uid = 'source'), count(*) FILTER (WHERE "noShow") AS absent, count("joinedAt") AS came FROM dibs."BookingParticipant";
ROLLBACK;
