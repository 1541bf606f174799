-- join: what lets somebody into a meeting.

-- iat lies half a minute back by default: Zoom refuses a signature from the future, and clocks differ.
CREATE OR REPLACE FUNCTION dibs.generate_meeting_signature(meeting_number text, role integer, issued_at timestamptz DEFAULT now() - interval '30 s', ttl interval DEFAULT '2 h') RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_generate_meeting_signature';
REVOKE ALL ON FUNCTION dibs.generate_meeting_signature(text, integer, timestamptz, interval) FROM PUBLIC;
COMMENT ON FUNCTION dibs.generate_meeting_signature(text, integer, timestamptz, interval) IS
'A Zoom Meeting SDK signature (Zoom, Meeting SDK auth) with zoom.sdk_key and zoom.sdk_secret. 22023 unless the number has 9 to 11 digits (blanks and dashes are left out), the role is 0 or 1 and ttl 30 minutes to 48 hours. Role 1 is for the host alone.';

CREATE OR REPLACE FUNCTION dibs.generate_video_signature(topic text, role integer, user_key text DEFAULT NULL, issued_at timestamptz DEFAULT now() - interval '30 s', ttl interval DEFAULT '2 h') RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_generate_video_signature';
REVOKE ALL ON FUNCTION dibs.generate_video_signature(text, integer, text, timestamptz, interval) FROM PUBLIC;
COMMENT ON FUNCTION dibs.generate_video_signature(text, integer, text, timestamptz, interval) IS
'A Zoom Video SDK signature (Zoom, Video SDK authorization) with zoom.video_key and zoom.video_secret. 22023 unless the topic has 1 to 200 of the characters Zoom takes, user_key at most 36, the role is 0 or 1 and ttl 30 minutes to 48 hours. NULL for any other NULL.';

-- Participants' tokens. Signing is in C; who gets one is decided here.

CREATE OR REPLACE FUNCTION dibs.sign_token(host boolean, booking char(26), user_ulid char(26), subject char(26), booking_version integer,
	subject_version integer) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dibs_sign_token';
REVOKE ALL ON FUNCTION dibs.sign_token(boolean, char, char, char, integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION dibs.sign_token(boolean, char, char, char, integer, integer) IS
'A token with the newest master key, for dibs'' own functions: it asks nobody whether there is such a participant. F0000 without a key, 22023 for what is no ULID.';

CREATE OR REPLACE FUNCTION dibs.token_hash(token text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_token_hash';
REVOKE ALL ON FUNCTION dibs.token_hash(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.token_hash(text) IS 'SHA-256 of a token, in hex: what stands in "validationToken" and "customValidationToken".';

CREATE OR REPLACE FUNCTION dibs.take_up_booking(ulid char(26), user_ulid char(26), version integer) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dibs_take_up_booking';
REVOKE ALL ON FUNCTION dibs.take_up_booking(char, char, integer) FROM PUBLIC;
COMMENT ON FUNCTION dibs.take_up_booking(char, char, integer) IS
'Brings "BookingParticipant", "BookingUid" and "Coach" in line with a booking that was written directly, as the worker does when it takes the booking up.';

CREATE OR REPLACE FUNCTION dibs.note_tokens(ulid char(26), user_ulid char(26), participants text[], hashes text[]) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dibs_note_tokens';
REVOKE ALL ON FUNCTION dibs.note_tokens(char, char, text[], text[]) FROM PUBLIC;
COMMENT ON FUNCTION dibs.note_tokens(char, char, text[], text[]) IS
'Writes the hashes of participants'' tokens where they differ: "BookingParticipant"."validationToken", the json column, and the primary one''s in "customValidationToken" unless an application has its own there. No change of the booking that makes work.';

CREATE OR REPLACE FUNCTION dibs.live_booking(booking_id text, at_least text = 'coach', OUT ulid char(26), OUT user_ulid char(26), OUT token_version integer)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	booking record;
BEGIN
	SELECT f.ulid, f.user_ulid INTO live_booking.ulid, live_booking.user_ulid FROM dibs.find_booking(booking_id, at_least) f;
	SELECT b."status", b."endTime", b."tokenVersion", b."wanted", b."announced" INTO booking
		FROM dibs."CalBooking" b WHERE b."ulid" = live_booking.ulid AND b."userUlid" = live_booking.user_ulid;
	IF booking."status" NOT IN ('CONFIRMED', 'IN_PROGRESS') THEN
		RAISE EXCEPTION 'booking "%" is %: nobody gets a token', booking_id, booking."status"
			USING ERRCODE = '22023', HINT = 'Tokens are for bookings that are CONFIRMED or IN_PROGRESS.';
	END IF;
	IF booking."endTime" + current_setting('dibs.join_late')::interval < now() THEN
		RAISE EXCEPTION 'booking "%" ended at %: nobody gets a token', booking_id, booking."endTime"
			USING ERRCODE = '22023', HINT = 'Tokens are good until dibs.join_late after the end.';
	END IF;
	-- written directly a moment ago, and the worker has not been there yet
	IF booking."announced" < booking."wanted" THEN
		PERFORM dibs.take_up_booking(live_booking.ulid, live_booking.user_ulid, booking."wanted");
	END IF;
	token_version := booking."tokenVersion";
END
$$;
REVOKE ALL ON FUNCTION dibs.live_booking(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.live_booking(text, text) IS
'A booking of the caller''s that tokens can be made for, its participants brought in line; P0002 where there is none, 22023 where it is not confirmed or is over.';

CREATE OR REPLACE FUNCTION dibs.issue_tokens(ulid char(26), user_ulid char(26), token_version integer, for_email text = NULL)
RETURNS TABLE (participant char(26), email text, name text, token text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	person record;
	people text[] := '{}';
	hashes text[] := '{}';
BEGIN
	FOR person IN
		SELECT p."ulid", p."email", p."name", p."tokenVersion", p."validationToken" FROM dibs."BookingParticipant" p
		WHERE p."bookingUlid" = issue_tokens.ulid AND p."userUlid" = issue_tokens.user_ulid AND p."status" <> 'CANCELLED'
			AND (for_email IS NULL OR lower(p."email") = lower(for_email))
		ORDER BY p."since", p."person"
	LOOP
		participant := person."ulid";
		email := person."email";
		name := person."name";
		token := dibs.sign_token(false, issue_tokens.ulid, issue_tokens.user_ulid, person."ulid", token_version, person."tokenVersion");
		IF person."validationToken" IS DISTINCT FROM dibs.token_hash(token) THEN
			people := people || person."ulid"::text;
			hashes := hashes || dibs.token_hash(token);
		END IF;
		RETURN NEXT;
	END LOOP;
	IF people <> '{}' THEN
		-- the booking before its people, as everybody does
		PERFORM FROM dibs."CalBooking" b WHERE b."ulid" = issue_tokens.ulid AND b."userUlid" = issue_tokens.user_ulid FOR NO KEY UPDATE;
		PERFORM dibs.note_tokens(issue_tokens.ulid, issue_tokens.user_ulid, people, hashes);
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dibs.issue_tokens(char, char, integer, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.issue_tokens(char, char, integer, text) IS
'Tokens of those who are in a booking, or of one of them; notes their hashes. For the functions that look at who asks.';

CREATE OR REPLACE FUNCTION dibs.generate_participant_token(booking_id text, email text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	booking record;
	issued record;
BEGIN
	SELECT * INTO booking FROM dibs.live_booking(booking_id, 'attendee');
	-- an attendee comes in as nobody else
	IF dibs.booking_role(booking.ulid, booking.user_ulid) IN ('attendee', 'former') AND lower(email) IS DISTINCT FROM dibs.current_email() THEN
		RAISE EXCEPTION '"%" is somebody else', email USING ERRCODE = '42501', HINT = 'An attendee gets their own token only.';
	END IF;
	SELECT * INTO issued FROM dibs.issue_tokens(booking.ulid, booking.user_ulid, booking.token_version, coalesce(generate_participant_token.email, ''))
		LIMIT 1;
	IF issued.token IS NULL THEN
		RAISE EXCEPTION '"%" is not a confirmed participant of booking "%"', generate_participant_token.email, booking_id
			USING ERRCODE = '42501', HINT = 'Tokens are for those who are in the booking and were not cancelled; see "CalBooking".participants.';
	END IF;
	PERFORM dibs.note_act('generate_participant_token', booking.ulid, jsonb_build_object('participant', issued.participant));
	RETURN issued.token;
END
$$;
REVOKE ALL ON FUNCTION dibs.generate_participant_token(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.generate_participant_token(text, text) IS
'The token with which one participant joins one booking (dibs.join_meeting). The same until it is revoked, or the master key changes. For the application, the coach, and the participant. 42501 for somebody who is not in it, 22023 for a booking that is not confirmed or is over, P0002 where there is none, F0000 without a master key.';

CREATE OR REPLACE FUNCTION dibs.generate_participant_tokens(booking_id text)
RETURNS TABLE (participant char(26), email text, name text, token text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	booking record;
	issued bigint;
BEGIN
	SELECT * INTO booking FROM dibs.live_booking(booking_id);
	RETURN QUERY SELECT * FROM dibs.issue_tokens(booking.ulid, booking.user_ulid, booking.token_version);
	GET DIAGNOSTICS issued = ROW_COUNT;
	PERFORM dibs.note_act('generate_participant_tokens', booking.ulid, jsonb_build_object('participants', issued));
END
$$;
REVOKE ALL ON FUNCTION dibs.generate_participant_tokens(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.generate_participant_tokens(text) IS
'The tokens of all who are in a booking, each their own; email is null where only a seat is known. For the application and the coach. Errors as dibs.generate_participant_token().';

CREATE OR REPLACE FUNCTION dibs.generate_host_token(booking_id text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	booking record;
BEGIN
	SELECT * INTO booking FROM dibs.live_booking(booking_id);
	IF booking.user_ulid IS DISTINCT FROM dibs.current_user_ulid() THEN
		RAISE EXCEPTION 'booking "%" is not yours to host', booking_id
			USING ERRCODE = '42501', HINT = 'A host''s token is for the booking''s coach alone: a server calls dibs.act_as() first.';
	END IF;
	PERFORM dibs.note_act('generate_host_token', booking.ulid);
	RETURN dibs.sign_token(true, booking.ulid, booking.user_ulid, booking.user_ulid, booking.token_version, 0);
END
$$;
REVOKE ALL ON FUNCTION dibs.generate_host_token(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.generate_host_token(text) IS
'The token with which a booking''s coach joins as its host; 42501 for anybody else. Other errors as dibs.generate_participant_token().';

CREATE OR REPLACE FUNCTION dibs.revoke_tokens(booking_id text, email text = NULL) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
	people text[];
BEGIN
	SELECT * INTO key FROM dibs.find_booking(booking_id);
	PERFORM FROM dibs."CalBooking" b WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid FOR NO KEY UPDATE;
	SELECT array_agg(p."ulid"::text) INTO people FROM dibs."BookingParticipant" p
		WHERE p."bookingUlid" = key.ulid AND p."userUlid" = key.user_ulid
			AND (revoke_tokens.email IS NULL OR lower(p."email") = lower(revoke_tokens.email));
	IF revoke_tokens.email IS NULL THEN
		UPDATE dibs."CalBooking" b SET "tokenVersion" = b."tokenVersion" + 1 WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid;
	ELSIF people IS NULL THEN
		RAISE EXCEPTION '"%" is not in booking "%"', revoke_tokens.email, booking_id USING ERRCODE = 'P0002';
	ELSE
		UPDATE dibs."BookingParticipant" p SET "tokenVersion" = p."tokenVersion" + 1
			WHERE p."bookingUlid" = key.ulid AND p."userUlid" = key.user_ulid AND p."ulid" = ANY (people::char(26)[]);
	END IF;
	PERFORM dibs.note_tokens(key.ulid, key.user_ulid, coalesce(people, '{}'), array_fill(NULL::text, ARRAY[coalesce(cardinality(people), 0)]));
	PERFORM dibs.note_act('revoke_tokens', key.ulid, jsonb_build_object('participants', coalesce(to_jsonb(people), '[]'), 'all', revoke_tokens.email IS NULL));
	RETURN coalesce(cardinality(people), 0);
END
$$;
REVOKE ALL ON FUNCTION dibs.revoke_tokens(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.revoke_tokens(text, text) IS
'Ends every token of a booking, the host''s included, or one participant''s; gives how many participants that are. New ones can be generated at once. For the application and the coach. P0002 where there is no such booking or participant.';

CREATE OR REPLACE FUNCTION dibs.validate_session_token(token text) RETURNS boolean
LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_validate_session_token';
REVOKE ALL ON FUNCTION dibs.validate_session_token(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.validate_session_token(text) IS
'Whether somebody may join with this token now: genuine, not revoked, its booking and participant confirmed, between dibs.join_early before the start and dibs.join_late after the end. False for anything else, NULL included; never an error. A warning (F0000) where the master keys cannot be read.';

CREATE OR REPLACE FUNCTION dibs.join_meeting(token text) RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_join_meeting';
REVOKE ALL ON FUNCTION dibs.join_meeting(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.join_meeting(text) IS
'What whoever has a token needs to join: {state: early|ready|pending|ended|cancelled|invalid, opensAt, retryAfter (seconds), provider, joinUrl, embed: false | {what Zoom''s Meeting SDK takes in join()}, displayName, timeZone, role: participant|host}. Never an error, whatever the token is. May be called again: a signature is fresh each time.';
