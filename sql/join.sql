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
