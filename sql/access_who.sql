-- access_who: who is asking, and what was done. Below the other rooms, because their functions ask it.

CREATE OR REPLACE FUNCTION dibs.act_as(user_ulid char(26)) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dibs_act_as';
REVOKE ALL ON FUNCTION dibs.act_as(char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.act_as(char) IS
'Says for whom the application acts, until the transaction ends: from then on it sees and may do what that user may. A rollback to a savepoint takes it back; NULL ends it. For level app alone. 22023 for what is no ULID.';

CREATE OR REPLACE FUNCTION dibs.current_user_ulid() RETURNS char(26)
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'dibs_current_user_ulid';
REVOKE ALL ON FUNCTION dibs.current_user_ulid() FROM PUBLIC;
COMMENT ON FUNCTION dibs.current_user_ulid() IS
'Who one is: whom dibs.act_as() named in this transaction; in a session of one of dibs.gateway_roles the claim dibs.claim_user of the JWT (a ULID, a uuid, or a key in "UserKey"); else dibs.user_ulid, which only a superuser can set. NULL: nobody.';

CREATE OR REPLACE FUNCTION dibs.is_admin() RETURNS boolean
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'dibs_is_admin_sql';
REVOKE ALL ON FUNCTION dibs.is_admin() FROM PUBLIC;
COMMENT ON FUNCTION dibs.is_admin() IS
'True for a role with level admin, and where the JWT''s claim dibs.claim_role says dibs_admin (in a session of one of dibs.gateway_roles). False while dibs.act_as() is in effect.';

CREATE OR REPLACE FUNCTION dibs.sees_all() RETURNS boolean
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'dibs_sees_all_sql';
REVOKE ALL ON FUNCTION dibs.sees_all() FROM PUBLIC;
COMMENT ON FUNCTION dibs.sees_all() IS
'True where every user''s rows are the caller''s business: level app or admin, or an administrator by claim. False while dibs.act_as() is in effect. Of the role that the session has set, also within a function that runs as its owner.';

CREATE OR REPLACE FUNCTION dibs.note_act(action text, object text, data jsonb = '{}') RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dibs_note_act';
REVOKE ALL ON FUNCTION dibs.note_act(text, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.note_act(text, text, jsonb) IS
'A row of "AuditLog": who did what to which object, and why; data with before and after where something changed, never with a secret. For dibs'' own functions, which run as the owner.';

CREATE OR REPLACE FUNCTION dibs.claimed_email() RETURNS text
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'dibs_claimed_email_sql';
REVOKE ALL ON FUNCTION dibs.claimed_email() FROM PUBLIC;
COMMENT ON FUNCTION dibs.claimed_email() IS
'The JWT''s claim dibs.claim_email, in a session of one of dibs.gateway_roles, unless the JWT has email_verified false. NULL while dibs.act_as() is in effect.';

CREATE OR REPLACE FUNCTION dibs.current_email() RETURNS text
LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT lower(coalesce(dibs.claimed_email(),
		(SELECT c."email" FROM dibs."Coach" c WHERE c."userUlid" = dibs.current_user_ulid())))
$$;
REVOKE ALL ON FUNCTION dibs.current_email() FROM PUBLIC;
COMMENT ON FUNCTION dibs.current_email() IS
'The address by which one has a seat: the JWT''s claim dibs.claim_email, else what "Coach" says of dibs.current_user_ulid(); in lower case. NULL: none known.';
