-- core: identifiers, links.

CREATE OR REPLACE FUNCTION dibs.gen_ulid() RETURNS char(26)
LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_gen_ulid';
REVOKE ALL ON FUNCTION dibs.gen_ulid() FROM PUBLIC;
COMMENT ON FUNCTION dibs.gen_ulid() IS
'A new ULID (github.com/ulid/spec): 48 bits of milliseconds, 80 random bits. Ascending within a backend: in one millisecond the random bits count up.';

CREATE OR REPLACE FUNCTION dibs.ulid_to_timestamp(ulid char(26)) RETURNS timestamptz
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_ulid_to_timestamp';
REVOKE ALL ON FUNCTION dibs.ulid_to_timestamp(char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.ulid_to_timestamp(char) IS
'The millisecond in which a ULID was made. 22023 for what is none.';

CREATE OR REPLACE FUNCTION dibs.ulid_from_timestamp(at timestamptz) RETURNS char(26)
LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_ulid_from_timestamp';
REVOKE ALL ON FUNCTION dibs.ulid_from_timestamp(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION dibs.ulid_from_timestamp(timestamptz) IS
'A ULID with this time, cut to milliseconds, and fresh random bits. 22023 before 1970 and after 10889-08-02 UTC.';

CREATE OR REPLACE FUNCTION dibs.ulid_to_uuid(ulid char(26)) RETURNS uuid
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_ulid_to_uuid';
REVOKE ALL ON FUNCTION dibs.ulid_to_uuid(char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.ulid_to_uuid(char) IS 'The same 128 bits as a uuid; order is kept. 22023 for what is no ULID.';

CREATE OR REPLACE FUNCTION dibs.uuid_to_ulid(uuid) RETURNS char(26)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_uuid_to_ulid';
REVOKE ALL ON FUNCTION dibs.uuid_to_ulid(uuid) FROM PUBLIC;
COMMENT ON FUNCTION dibs.uuid_to_ulid(uuid) IS
'The same 128 bits as a ULID, one to one. The time in it means something only for a uuid that came from a ULID.';

CREATE OR REPLACE FUNCTION dibs.is_ulid(text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_is_ulid';
REVOKE ALL ON FUNCTION dibs.is_ulid(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.is_ulid(text) IS
'Whether a text is a ULID: 26 characters of Crockford''s base32 that fit 128 bits. Lower case and I, L, O (read as 1, 1, 0) count; to be asked before a cast.';

CREATE OR REPLACE FUNCTION dibs.read_ulid(given text) RETURNS char(26)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT coalesce(dibs.is_ulid(given), false) THEN
		RAISE EXCEPTION '% is no ULID', coalesce('"' || left(given, 64) || '"', 'null')
			USING ERRCODE = '22023', HINT = 'dibs.gen_ulid() makes one, dibs.uuid_to_ulid() turns a uuid into one.';
	END IF;
	RETURN dibs.uuid_to_ulid(dibs.ulid_to_uuid(given::char(26)));
END
$$;
REVOKE ALL ON FUNCTION dibs.read_ulid(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.read_ulid(text) IS
'A ULID in the one spelling that rows have and dibs.current_user_ulid() gives: upper case, 1 and 0 for I, L and O. 22023 for what is none.';

CREATE OR REPLACE FUNCTION dibs.is_link(text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_is_link_sql';
REVOKE ALL ON FUNCTION dibs.is_link(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.is_link(text) IS
'Whether a text may be handed out as a link: http:// or https://, at most 8000 bytes, no blank, quote or angle bracket.';
