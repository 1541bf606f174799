-- meeting: asking for a meeting again.

CREATE OR REPLACE FUNCTION dibs.make_due(ulid char(26), user_ulid char(26)) RETURNS boolean
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'dibs_make_due';
REVOKE ALL ON FUNCTION dibs.make_due(char, char) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dibs.make_due(char, char) TO dibs_worker;
COMMENT ON FUNCTION dibs.make_due(char, char) IS 'Makes one booking due at once, whatever the next try was to be. False where there is no such booking. For dibs.retry_meeting().';

CREATE OR REPLACE FUNCTION dibs.retry_meeting(booking_id text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found record;
BEGIN
	SELECT * INTO found FROM dibs.find_booking(booking_id);
	PERFORM dibs.make_due(found.ulid, found.user_ulid);
	PERFORM dibs.note_act('retry_meeting', found.ulid);
	RETURN dibs.meeting_json(found.ulid, found.user_ulid);
END
$$;
REVOKE ALL ON FUNCTION dibs.retry_meeting(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.retry_meeting(text) IS
'Has the worker look at a booking''s meeting again at once: after a failure whose cause is mended, or while it waits for its next try. Returns {state, provider, joinUrl, errorCode, error, retryAt} as of now. P0002 where there is no such booking.';

CREATE OR REPLACE FUNCTION dibs.create_meeting(booking_id text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found record;
	meeting jsonb;
BEGIN
	SELECT * INTO found FROM dibs.find_booking(booking_id);
	meeting := dibs.meeting_json(found.ulid, found.user_ulid);
	IF meeting->>'state' NOT IN ('ready', 'not_needed') THEN
		PERFORM dibs.make_due(found.ulid, found.user_ulid);
	END IF;
	RETURN meeting;
END
$$;
REVOKE ALL ON FUNCTION dibs.create_meeting(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.create_meeting(text) IS
'Asks for a booking''s meeting now and says how it stands: {state: pending|ready|delayed|failed|not_needed, provider, joinUrl, errorCode, error, retryAt}. The worker would make it anyway; a meeting that exists is not made again. P0002 where there is no such booking.';

CREATE OR REPLACE FUNCTION dibs.meeting_json(ulid char(26), user_ulid char(26)) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_strip_nulls(jsonb_build_object('state', b."meetingState", 'provider', m."provider", 'joinUrl', b."zoomJoinUrl",
		'errorCode', b."meetingErrorCode", 'error', coalesce(p."lastError", m."error"), 'retryAt', b."meetingRetryAt"))
	FROM dibs."CalBooking" b
	LEFT JOIN dibs."Meeting" m ON m."bookingUlid" = b."ulid" AND m."userUlid" = b."userUlid"
	LEFT JOIN dibs."PendingMeeting" p ON p."ulid" = b."ulid" AND p."userUlid" = b."userUlid"
	WHERE b."ulid" = meeting_json.ulid AND b."userUlid" = meeting_json.user_ulid
$$;
REVOKE ALL ON FUNCTION dibs.meeting_json(char, char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.meeting_json(char, char) IS 'How a booking''s meeting stands, for the functions that ask for one.';

CREATE OR REPLACE FUNCTION dibs.fetch_host_url(ulid char(26), user_ulid char(26)) RETURNS text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'dibs_fetch_host_url';
REVOKE ALL ON FUNCTION dibs.fetch_host_url(char, char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.fetch_host_url(char, char) IS 'The host''s link of a booking that the caller has found and may start. For dibs.host_url().';

CREATE OR REPLACE FUNCTION dibs.host_url(booking_id text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found record;
BEGIN
	SELECT * INTO found FROM dibs.find_booking(booking_id);
	RETURN dibs.fetch_host_url(found.ulid, found.user_ulid);
END
$$;
REVOKE ALL ON FUNCTION dibs.host_url(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.host_url(text) IS
'A fresh link that starts the meeting as its host, for its coach and for levels app and admin: a credential, never stored, good for two hours (Zoom''s start_url); of other providers the host''s link. Asks the provider in the caller''s own time (at most dibs.connect_timeout and dibs.request_timeout, twice), cancelable (57014). P0002 for no such booking, 42501 for an attendee, 55000 where there is no meeting or the provider says no, 08006 where it cannot be asked, F0000 where a secret is missing.';
