-- Who one is: claims count in a gateway's session alone, act_as() for one transaction. Rolled back.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
BEGIN;
CREATE ROLE who_gateway; CREATE ROLE "Who_gateway"; CREATE ROLE who_member; CREATE ROLE who_app;
GRANT who_member TO who_gateway, "Who_gateway";
GRANT USAGE ON SCHEMA dibs TO who_gateway, "Who_gateway", who_member, who_app;
GRANT EXECUTE ON FUNCTION dibs.current_user_ulid(), dibs.is_admin(), dibs.sees_all() TO who_gateway, "Who_gateway", who_member, who_app;
GRANT EXECUTE ON FUNCTION dibs.act_as(char) TO who_app;
INSERT INTO dibs."UserKey" ("key", "userUlid") VALUES ('auth0|7', '01HZX00000000000000000XWH7');
CREATE FUNCTION pg_temp.who(claims text = NULL) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', dibs.current_user_ulid(), CASE WHEN dibs.is_admin() THEN 'admin' END, CASE WHEN dibs.sees_all() THEN 'all' END)
	FROM (SELECT set_config('request.jwt.claims', claims, true) WHERE claims IS NOT NULL UNION ALL SELECT '' LIMIT 1) s
$$;
GRANT EXECUTE ON FUNCTION pg_temp.who(text) TO PUBLIC;
CREATE TEMP TABLE claim (ord serial, claims text);
GRANT SELECT ON claim TO PUBLIC;
INSERT INTO claim (claims) VALUES
	('{"sub": "01hzx00000000000000000xwh1"}'), ('{"sub": "123E4567-e89b-12d3-a456-426614174000"}'), ('{"sub": "auth0|7"}'),
	('{"sub": "auth0|8"}'), ('{"sub": ""}'), ('{"sub": null}'), ('{"sub": ["01HZX00000000000000000XWH1"]}'), ('{}'), ('[]'), ('"x"'), (''),
	('{"sub": "123e4567e89b12d3a456426614174000----"}'),
	('{"sub": "01HZX00000000000000000XWH1", "app": {"role": "dibs_admin"}}'), ('{"app": {"role": ["x", "dibs_admin"]}}'),
	('{"app.role": "dibs_admin"}'), ('{"app": {"role": "dibs_administrator"}}'), ('{"app": "dibs_admin"}'), ('{"role": "dibs_admin"}');
SELECT pg_temp.who();
-- dibs.gateway_roles is the server's: here it says authenticator, which need not exist
SELECT count(*) AS here FROM pg_roles WHERE rolname = 'authenticator' \gset
SELECT :here = 0 AS make_it \gset
\if :make_it
CREATE ROLE authenticator;
\endif
GRANT who_member TO authenticator;
GRANT USAGE ON SCHEMA dibs TO authenticator;
GRANT EXECUTE ON FUNCTION dibs.current_user_ulid(), dibs.is_admin(), dibs.sees_all() TO authenticator;
SET LOCAL dibs.claim_role = 'app.role';
SET SESSION AUTHORIZATION authenticator;
SET ROLE who_member;
SELECT claims, pg_temp.who(claims) FROM claim ORDER BY ord;
SELECT set_config('request.jwt.claims', '{"sub": "01HZX00000000000000000XWH1"}', true);
SELECT pg_temp.who();
-- nobody else's word counts: not the member's own login, not a role that looks like the gateway, not one that may be it
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION who_member;
SELECT pg_temp.who();
RESET SESSION AUTHORIZATION;
GRANT authenticator TO who_app;
SET SESSION AUTHORIZATION who_app;
SET ROLE authenticator;
SELECT session_user, current_user, pg_temp.who();
RESET ROLE;
-- nor may it name somebody by the setting
SAVEPOINT a;
SET dibs.user_ulid = '01HZX00000000000000000XWH1';
ROLLBACK TO a;
-- the application: everybody's, until it says for whom it acts
SELECT has_function_privilege('dibs.act_as(char)', 'EXECUTE'), pg_temp.who();
SELECT dibs.act_as('01hzx00000000000000000xwh2');
SELECT pg_temp.who();
SAVEPOINT b;
SELECT dibs.act_as('01HZX00000000000000000XWH3');
SAVEPOINT c;
SELECT dibs.act_as('01HZX00000000000000000XWH4');
RELEASE c;
SELECT pg_temp.who();
ROLLBACK TO b;
SELECT pg_temp.who();
SELECT dibs.act_as('nobody');
ROLLBACK TO b;
SELECT dibs.act_as(NULL);
SELECT pg_temp.who();
RELEASE b;
RESET SESSION AUTHORIZATION;
-- what was done names login, role and user
SELECT dibs.act_as('01HZX00000000000000000XWH2');
SELECT dibs.note_act('who', 'x', '{"before": null, "after": 1}');
SELECT "login" = session_user AS login, "role" = current_user AS role, "subject", "data" FROM dibs."AuditLog" WHERE "action" = 'who';
ROLLBACK;
SELECT dibs.current_user_ulid() IS NULL AS over;
BEGIN; SELECT dibs.act_as('01HZX00000000000000000XWH2'); PREPARE TRANSACTION 'who'; SELECT dibs.current_user_ulid() IS NULL AS over; ROLLBACK PREPARED 'who';
