-- meeting: asking for a meeting again.

CREATE OR REPLACE FUNCTION dibs.make_due(ulid char(26), user_ulid char(26)) RETURNS boolean
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'dibs_make_due';
REVOKE ALL ON FUNCTION dibs.make_due(char, char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.make_due(char, char) IS 'Makes one booking due at once, whatever the next try was to be. False where there is no such booking.';
