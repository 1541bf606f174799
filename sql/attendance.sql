-- attendance: how meetings ran, who was in them, and what was recorded.

CREATE OR REPLACE FUNCTION dibs.minutes_present(presences tstzmultirange) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT round(coalesce(sum(extract(epoch FROM upper(r) - lower(r))), 0) / 60, 2) FROM unnest(presences) r $$;
REVOKE ALL ON FUNCTION dibs.minutes_present(tstzmultirange) FROM PUBLIC;
COMMENT ON FUNCTION dibs.minutes_present(tstzmultirange) IS 'The length of several stretches of time in minutes; where they overlap they count once.';

CREATE OR REPLACE FUNCTION dibs.make_attendance_views() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $make$
BEGIN
	-- Somebody who is in has been so until now; in and out within one second is a stretch without length.
	CREATE OR REPLACE VIEW dibs.attendance AS
	SELECT p."bookingUlid" AS booking_ulid, p."userUlid" AS user_ulid, p."ulid" AS participant_ulid, 'participant'::text AS role,
		p."email" AS email, p."name" AS name,
		CASE WHEN a.present THEN 'present' WHEN a.came THEN 'left' WHEN a.waiting THEN 'waiting' ELSE 'absent' END AS state,
		a.waiting_at, a.joined_at, CASE WHEN NOT a.present THEN a.left_at END AS left_at, coalesce(a.joins, 0)::int AS joins,
		coalesce(a.minutes, 0) AS minutes,
		CASE WHEN a.joined_at > b."startTime" THEN a.joined_at - b."startTime" ELSE CASE WHEN a.joined_at IS NOT NULL THEN interval '0' END END AS late_by,
		p."noShow" AS no_show, p."status" AS status
	FROM dibs."BookingParticipant" p
	JOIN dibs."CalBooking" b ON b."ulid" = p."bookingUlid" AND b."userUlid" = p."userUlid"
	LEFT JOIN LATERAL (
		SELECT min(m."waitingAt") AS waiting_at, min(m."joinedAt") AS joined_at, max(m."leftAt") AS left_at, count(m."joinedAt") AS joins,
			coalesce(bool_or(m."joinedAt" IS NOT NULL AND m."leftAt" IS NULL), false) AS present,
			coalesce(bool_or(m."joinedAt" IS NOT NULL OR m."leftAt" IS NOT NULL), false) AS came,
			coalesce(bool_or(m."waitingAt" IS NOT NULL AND m."gaveUpAt" IS NULL AND m."admittedAt" IS NULL), false) AS waiting,
			dibs.minutes_present(range_agg(tstzrange(m."joinedAt", greatest(coalesce(m."leftAt", now()), m."joinedAt")))
				FILTER (WHERE m."joinedAt" IS NOT NULL)) AS minutes
		FROM dibs."MeetingAttendance" m
		WHERE m."bookingUlid" = p."bookingUlid" AND m."userUlid" = p."userUlid" AND m."participantUlid" = p."ulid") a ON true
	UNION ALL
	SELECT o."bookingUlid", o."userUlid", NULL, o."role", max(o."email"), max(o."name"),
		CASE WHEN bool_or(o."joinedAt" IS NOT NULL AND o."leftAt" IS NULL) THEN 'present'
			WHEN bool_or(o."joinedAt" IS NOT NULL OR o."leftAt" IS NOT NULL) THEN 'left'
			WHEN bool_or(o."waitingAt" IS NOT NULL AND o."gaveUpAt" IS NULL AND o."admittedAt" IS NULL) THEN 'waiting' ELSE 'absent' END,
		min(o."waitingAt"), min(o."joinedAt"),
		CASE WHEN NOT bool_or(o."joinedAt" IS NOT NULL AND o."leftAt" IS NULL) THEN max(o."leftAt") END, count(o."joinedAt")::int,
		dibs.minutes_present(range_agg(tstzrange(o."joinedAt", greatest(coalesce(o."leftAt", now()), o."joinedAt")))
			FILTER (WHERE o."joinedAt" IS NOT NULL)),
		CASE WHEN min(o."joinedAt") > min(c."startTime") THEN min(o."joinedAt") - min(c."startTime")
			WHEN min(o."joinedAt") IS NOT NULL THEN interval '0' END,
		false, NULL
	FROM dibs."MeetingAttendance" o
	JOIN dibs."CalBooking" c ON c."ulid" = o."bookingUlid" AND c."userUlid" = o."userUlid"
	WHERE o."participantUlid" IS NULL
	GROUP BY o."bookingUlid", o."userUlid", o."role", CASE o."role" WHEN 'guest' THEN coalesce(lower(o."email"), o."externalUserId", o."name", o."connection") END;
	REVOKE ALL ON dibs.attendance FROM PUBLIC;
	COMMENT ON VIEW dibs.attendance IS
	'Who was in each booking''s meeting: its participants, who came or not, the host, and guests whom nobody knows. state is present, left, waiting or absent; minutes counts overlapping presences once; late_by is against the booking''s start.';

	CREATE OR REPLACE VIEW dibs.meeting_times AS
	SELECT s."bookingUlid" AS booking_ulid, s."userUlid" AS user_ulid, min(coalesce(s."startedAt", s."seenAt")) AS started_at,
		CASE WHEN bool_and(s."endedAt" IS NOT NULL) FILTER (WHERE s.last) THEN max(s."endedAt") END AS ended_at,
		dibs.minutes_present(range_agg(tstzrange(coalesce(s."startedAt", s."seenAt"),
			greatest(coalesce(s."endedAt", s.next, now()), coalesce(s."startedAt", s."seenAt"))))) AS minutes,
		count(*)::int AS runs
	FROM (SELECT m.*, lead(coalesce(m."startedAt", m."seenAt")) OVER w AS next, lead(m."ulid") OVER w IS NULL AS last
		FROM dibs."MeetingSession" m WHERE coalesce(m."startedAt", m."seenAt") IS NOT NULL
		WINDOW w AS (PARTITION BY m."bookingUlid", m."userUlid" ORDER BY coalesce(m."startedAt", m."seenAt"), m."externalUuid")) s
	WHERE s."bookingUlid" IS NOT NULL
	GROUP BY s."bookingUlid", s."userUlid";
	REVOKE ALL ON dibs.meeting_times FROM PUBLIC;
	COMMENT ON VIEW dibs.meeting_times IS
	'When each booking''s meeting really began and ended, for how many minutes it ran, and how many times it was started. ended_at is null while it runs.';

	CREATE OR REPLACE VIEW dibs.coach_attendance AS
	SELECT b."userUlid" AS user_ulid, count(*)::int AS bookings, (count(*) FILTER (WHERE b."status" = 'COMPLETED'))::int AS completed,
		(count(*) FILTER (WHERE b."status" = 'NO_SHOW'))::int AS no_shows,
		round((count(*) FILTER (WHERE b."status" = 'NO_SHOW'))::numeric / count(*), 4) AS no_show_rate,
		sum(p.expected)::int AS participants, sum(p.came)::int AS attended, round(sum(p.came)::numeric / nullif(sum(p.expected), 0), 4) AS attendance_rate,
		round(sum(p.late)::numeric / nullif(sum(p.came), 0), 4) AS late_rate, coalesce(sum(t.minutes), 0) AS minutes
	FROM dibs."CalBooking" b
	LEFT JOIN dibs.meeting_times t ON t.booking_ulid = b."ulid" AND t.user_ulid = b."userUlid"
	CROSS JOIN LATERAL (
		SELECT count(*) AS expected, count(*) FILTER (WHERE q."status" = 'ATTENDED' AND NOT q."noShow") AS came,
			count(*) FILTER (WHERE q."status" = 'ATTENDED' AND q."joinedAt" > b."startTime" + interval '5 minutes') AS late
		FROM dibs."BookingParticipant" q
		WHERE q."bookingUlid" = b."ulid" AND q."userUlid" = b."userUlid" AND q."status" <> 'CANCELLED') p
	WHERE b."status" IN ('COMPLETED', 'NO_SHOW')
	GROUP BY b."userUlid";
	REVOKE ALL ON dibs.coach_attendance FROM PUBLIC;
	COMMENT ON VIEW dibs.coach_attendance IS
	'Each coach''s bookings that are over: how many took place, how many nobody came to, how many of the people came, how many of those more than five minutes late, and the minutes that meetings ran.';
END
$make$;
REVOKE ALL ON FUNCTION dibs.make_attendance_views() FROM PUBLIC;
COMMENT ON FUNCTION dibs.make_attendance_views() IS 'Makes the views of attendance (again): part of the extension''s script, and of a restore without tables.';

CREATE OR REPLACE FUNCTION dibs.meeting_state(booking_id text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
	answer jsonb;
BEGIN
	SELECT * INTO key FROM dibs.find_booking(booking_id);
	SELECT jsonb_build_object('booking', b."ulid", 'status', b."status", 'meetingState', b."meetingState",
		'startedAt', t.started_at, 'endedAt', t.ended_at, 'minutes', coalesce(t.minutes, 0)) INTO answer
	FROM dibs."CalBooking" b
	LEFT JOIN dibs.meeting_times t ON t.booking_ulid = b."ulid" AND t.user_ulid = b."userUlid"
	WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid;
	RETURN answer || jsonb_build_object(
		'participants', (SELECT coalesce(jsonb_agg(jsonb_build_object('participant', a.participant_ulid, 'role', a.role, 'email', a.email,
				'name', a.name, 'state', a.state, 'joinedAt', a.joined_at, 'leftAt', a.left_at, 'joins', a.joins, 'minutes', a.minutes,
				'lateSeconds', extract(epoch FROM a.late_by)::int)
				ORDER BY a.role, a.joined_at, a.email, a.name), '[]')
			FROM dibs.attendance a
			WHERE a.booking_ulid = key.ulid AND a.user_ulid = key.user_ulid AND (a.status IS DISTINCT FROM 'CANCELLED' OR a.state <> 'absent')),
		'recording', jsonb_build_object(
			'state', coalesce((SELECT s."recordingState" FROM dibs."MeetingSession" s
				WHERE s."bookingUlid" = key.ulid AND s."userUlid" = key.user_ulid AND s."recordingState" IS NOT NULL
				ORDER BY s."recordingAt" DESC LIMIT 1), 'none'),
			'files', (SELECT coalesce(jsonb_agg(jsonb_build_object('recording', r."ulid", 'type', r."type", 'format', r."format",
				'state', r."state", 'startTime', r."startTime", 'endTime', r."endTime", 'bytes', r."bytes", 'expiresAt', r."expiresAt")
				ORDER BY r."startTime", r."type", r."ulid"), '[]')
			FROM dibs."MeetingRecording" r WHERE r."bookingUlid" = key.ulid AND r."userUlid" = key.user_ulid)));
END
$$;
REVOKE ALL ON FUNCTION dibs.meeting_state(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.meeting_state(text) IS
'How a booking''s meeting stands, in one call: {booking, status, meetingState, startedAt, endedAt, minutes, participants: [{participant, role, email, name, state: present|left|waiting|absent, joinedAt, leftAt, joins, minutes, lateSeconds}], recording: {state: none|recording|paused|stopped|failed, files}}. P0002 for an unknown booking.';

CREATE OR REPLACE FUNCTION dibs.update_meeting_status(booking_id text, status text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
	was text;
BEGIN
	IF status IS NULL OR status NOT IN ('IN_PROGRESS', 'COMPLETED', 'NO_SHOW') THEN
		RAISE EXCEPTION '"%" is no status of a meeting', status USING ERRCODE = '22023', HINT = 'It is IN_PROGRESS, COMPLETED or NO_SHOW.';
	END IF;
	SELECT * INTO key FROM dibs.find_booking(booking_id);
	SELECT b."status" INTO was FROM dibs."CalBooking" b WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid FOR NO KEY UPDATE;
	IF was IS DISTINCT FROM update_meeting_status.status THEN
		UPDATE dibs."CalBooking" b SET "status" = update_meeting_status.status WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid;
		PERFORM dibs.note_act('update_meeting_status', key.ulid, jsonb_build_object('from', was, 'to', update_meeting_status.status));
		IF update_meeting_status.status <> 'IN_PROGRESS' THEN
			PERFORM dibs.write_event(key.user_ulid, key.ulid, CASE update_meeting_status.status WHEN 'COMPLETED' THEN 'booking.completed' ELSE 'booking.no_show' END,
				jsonb_build_object('previousStatus', was));
		END IF;
	END IF;
	RETURN dibs.booking_json(key.ulid, key.user_ulid);
END
$$;
REVOKE ALL ON FUNCTION dibs.update_meeting_status(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.update_meeting_status(text, text) IS
'Says by hand how a meeting went: IN_PROGRESS, COMPLETED or NO_SHOW, of any booking. A later event of the meeting''s own that changes how it stands comes over it. 22023 for another status, or where the booking cannot become that; P0002 for an unknown booking.';

CREATE OR REPLACE FUNCTION dibs.open_recording_token(recording char(26)) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dibs_open_recording_token';
REVOKE ALL ON FUNCTION dibs.open_recording_token(char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.open_recording_token(char) IS 'The token of a recording''s row, opened. For dibs.recording_url() alone, which asks who wants it.';

CREATE OR REPLACE FUNCTION dibs.recording_url(recording char(26)) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	file dibs."MeetingRecording"%ROWTYPE;
	caller text;
	failed text;
	answer jsonb;
BEGIN
	SELECT r.* INTO file FROM dibs."MeetingRecording" r WHERE r."ulid" = recording;
	caller := CASE WHEN file."bookingUlid" IS NOT NULL THEN dibs.booking_role(file."bookingUlid", file."userUlid")
		WHEN dibs.sees_all() THEN 'all' WHEN file."userUlid" = dibs.current_user_ulid() THEN 'coach' END;
	IF file."ulid" IS NULL OR caller IS NULL THEN
		RAISE EXCEPTION 'there is no recording "%"', rtrim(recording)
			USING ERRCODE = 'P0002', HINT = 'dibs.meeting_state() names a booking''s recordings.';
	END IF;
	IF caller = 'former' OR caller = 'attendee'
		AND NOT coalesce(nullif(current_setting('dibs.recordings_for_participants', true), ''), 'off')::boolean THEN
		RAISE EXCEPTION 'recording "%" is for the coach', rtrim(recording)
			USING ERRCODE = '42501', HINT = 'dibs.recordings_for_participants opens recordings to participants.';
	END IF;
	answer := jsonb_build_object('recording', file."ulid", 'type', file."type", 'format', file."format", 'expiresAt', file."expiresAt");
	IF file."state" <> 'ready' THEN
		RETURN answer || jsonb_build_object('state', file."state");
	END IF;
	-- a token that ends while somebody downloads is of no use
	IF file."token" IS NOT NULL AND file."tokenUntil" > now() + interval '5 minutes' THEN
		PERFORM dibs.note_act('recording_url', file."ulid");
		-- a link that opens the file by itself stands sealed where else its token does
		RETURN answer || CASE WHEN file."downloadUrl" IS NULL THEN jsonb_build_object('url', dibs.open_recording_token(file."ulid"))
			ELSE jsonb_build_object('url', file."downloadUrl", 'token', dibs.open_recording_token(file."ulid")) END
			|| jsonb_build_object('state', 'ready', 'tokenUntil', file."tokenUntil", 'playUrl', file."playUrl");
	END IF;
	SELECT j."errorCode" INTO failed FROM dibs."Job" j
		WHERE j."kind" = 'recording_link' AND j."key" = file."ulid" AND j."state" = 'failed' AND j."endedAt" > now() - interval '1 minute'
		ORDER BY j."endedAt" DESC LIMIT 1;
	IF failed IS NOT NULL OR file."provider" <> 'zoom' THEN
		RETURN answer || jsonb_build_object('state', 'failed', 'errorCode', coalesce(failed, 'no_link'), 'playUrl', file."playUrl");
	END IF;
	INSERT INTO dibs."Job" ("kind", "key", "args") VALUES ('recording_link', file."ulid", jsonb_build_object('userUlid', file."userUlid"))
		ON CONFLICT ("kind", "key") WHERE "state" = 'waiting' DO NOTHING;
	PERFORM dibs.wake();
	RETURN answer || jsonb_build_object('state', 'pending', 'retryAfter', 2, 'playUrl', file."playUrl");
END
$$;
REVOKE ALL ON FUNCTION dibs.recording_url(char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.recording_url(char) IS
'A link to a recording''s file for who may have it: the application, the coach, and participants with dibs.recordings_for_participants. {recording, type, format, expiresAt, state}: ready, with url, token (a Bearer token for url; none where the link opens the file by itself), tokenUntil and playUrl; pending, while the worker fetches a fresh token (ask again after retryAfter seconds); failed, with errorCode (no_link: of a file whose provider sends links once, with its webhook, and that link is none or has ended); trashed; deleted. P0002 where there is none, 42501 for a participant who may not.';

-- What applying a meeting's events calls as the worker's role.
GRANT EXECUTE ON FUNCTION dibs.derive_participants(char, char) TO dibs_worker;
GRANT UPDATE ("state") ON dibs."ProviderAccount" TO dibs_worker;
