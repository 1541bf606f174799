-- Tokens of the application, stored secrets, what is refused. No result shows a key byte.
SET client_min_messages = warning;

-- tokens: fresh each time, bound to their context
SELECT dibs.encrypt_token('t') = dibs.encrypt_token('t') AS same, length(dibs.encrypt_token(repeat('x', 64))) AS length;
SELECT dibs.decrypt_token(dibs.encrypt_token(t, 'c'), 'c') = t AS round_trip, length(t)
FROM (VALUES (''), ('a'), ('schön ☃'), (repeat('long', 100000))) v(t);
SELECT dibs.decrypt_token(dibs.encrypt_token('t', repeat('c', 1000)), repeat('c', 1000)) AS long_context;
SELECT dibs.encrypt_token(NULL) IS NULL AS null_in, dibs.decrypt_token(NULL) IS NULL AS null_out;
SELECT dibs.sealed_version(dibs.encrypt_token('t')) > 0 AS version, dibs.sealed_version('\xd1') AS no_version,
	dibs.sealed_version(decode(repeat('00', 40), 'hex')) AS foreign_value;

-- every bit counts
CREATE FUNCTION pg_temp.opens(sealed bytea, context text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN 'opens: ' || dibs.decrypt_token(sealed, context);
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
SELECT pg_temp.opens(set_bit(t, bit, 1 - get_bit(t, bit)), 'c') IN ('F0000', 'XX001') AS refused, count(*)
FROM (SELECT dibs.encrypt_token('t', 'c') AS t) x, generate_series(0, 8 * 35 - 1) bit GROUP BY 1 ORDER BY 1;
SELECT pg_temp.opens(substr(t, 1, n), 'c') AS answer, count(*)
FROM (SELECT dibs.encrypt_token('t', 'c') AS t) x, generate_series(0, 34) n GROUP BY 1 ORDER BY 1;
SELECT pg_temp.opens(dibs.encrypt_token('t', 'c'), context) AS answer
FROM (VALUES ('c'), ('C'), ('c '), (''), ('cc')) v(context);
SELECT dibs.decrypt_token(dibs.encrypt_token('t', 'row 1'), 'row 2');
SELECT dibs.decrypt_token('\x0123');
-- what is sealed for something else, whatever the context
SELECT dibs.set_secret('jitsi.app_secret', 'to be opened');
SELECT DISTINCT pg_temp.opens("sealed", c) AS answer FROM dibs."Secret",
	LATERAL (VALUES (''), ('Secret/sealed/' || "ulid" || '/' || "name" || '/')) v(c);

-- stored secrets
BEGIN;
SELECT dibs.set_secret('zoom.sdk_key', 'first');
SELECT dibs.set_secret('zoom.sdk_key', 'second', '1 hour');
SELECT dibs.set_secret('zoom.sdk_key', 'third', '10 minutes');
SELECT dibs.set_secret('zoom.sdk_key', 'of an account', '0', 'account/1');
SELECT name, account, generation, state, valid_until - now() AS lives_for, last_used, age < '1 minute' AS young
FROM dibs.secret_status WHERE name = 'zoom.sdk_key' ORDER BY account, generation;
SELECT dibs.set_secret('zoom.sdk_key', 'fourth');
SELECT name, account, generation FROM dibs.secret_status WHERE name = 'zoom.sdk_key' ORDER BY account, generation;
SELECT bool_or(position('fourth'::bytea IN "sealed") > 0) AS in_clear FROM dibs."Secret";
SELECT dibs.drop_secret('zoom.sdk_key'), dibs.drop_secret('zoom.sdk_key'), dibs.drop_secret('zoom.sdk_key', 'account/1');
SELECT count(*) FROM dibs.secret_status WHERE name = 'zoom.sdk_key';
SELECT "action", "object", "data" FROM dibs."AuditLog" WHERE "object" LIKE 'zoom.sdk_key%' AND "createdAt" = now() ORDER BY "ulid";
ROLLBACK;
SELECT count(*) FROM dibs.secret_status WHERE name = 'zoom.sdk_key';

-- refused: the error names what is wrong, never the value
SELECT dibs.set_secret('zoom.sdkkey', 'not to be seen');
\echo :LAST_ERROR_SQLSTATE
SELECT dibs.set_secret('dibs.sealing_key', 'not to be seen');
\echo :LAST_ERROR_SQLSTATE
SELECT dibs.set_secret('zoom.sdk_key', '');
\echo :LAST_ERROR_SQLSTATE
SELECT dibs.set_secret('zoom.sdk_key', 'not to be seen', '-1 second');
\echo :LAST_ERROR_SQLSTATE
SELECT dibs.set_secret('zoom.sdk_key', 'not to be seen', '11 years');
\echo :LAST_ERROR_SQLSTATE
SELECT dibs.set_secret('zoom.sdk_key', repeat('x', 65537));
\echo :LAST_ERROR_SQLSTATE
SELECT dibs.drop_secret('zoom.sdkkey');
\echo :LAST_ERROR_SQLSTATE
SELECT dibs.set_sealed_secret('zoom.sdk_key', 'no message');
\echo :LAST_ERROR_SQLSTATE
SELECT dibs.set_secret_from_file('zoom.sdk_key', '/nonexistent/file');
\echo :LAST_ERROR_SQLSTATE

-- the certificate is made once
SELECT dibs.sealing_certificate() = dibs.sealing_certificate() AS same,
	dibs.sealing_certificate() LIKE E'-----BEGIN CERTIFICATE-----\n%' AS pem,
	dibs.sealing_certificate() LIKE '%PRIVATE%' AS private;
SELECT state, detail FROM dibs.keyring_status();
BEGIN READ ONLY;
SELECT dibs.sealing_certificate() IS NOT NULL AS reads, dibs.decrypt_token(dibs.encrypt_token('read only')) AS works;
SELECT dibs.set_secret('zoom.sdk_key', 'not to be seen');
ROLLBACK;

-- with the stored secrets: HMAC-SHA256 of {"b": 1} with the keys shh and new, computed by openssl
\set old b8171b09a784fcd543094ada9aabd794d7756abbc649280d1f8ca7b608367fd5
\set new 1790bf143a5cdc1694af2ed065dc59bc9c89f395044232bbedc6288e46a2f576
SELECT dibs.verify_webhook('cal', jsonb_build_object('x-cal-signature-256', :'old'), '{"b": 1}') AS none_set;
SELECT dibs.set_secret('cal.webhook_secret', 'shh');
SELECT header, dibs.verify_webhook('cal', jsonb_build_object(header, :'old'), '{"b": 1}') AS text,
	dibs.verify_webhook_bytes('cal', jsonb_build_object('a', 1, header, :'old', 'z', '{}'::jsonb), '{"b": 1}'::bytea) AS bytes,
	dibs.verify_webhook('cal', jsonb_build_object(header, :'old'), '{"b":1}') AS other_body,
	dibs.verify_webhook('cal', jsonb_build_object(header, :'new'), '{"b": 1}') AS other_key
FROM (VALUES ('x-cal-signature-256'), ('X-Cal-Signature-256'), ('signature')) v(header);
SELECT last_used > now() - interval '1 minute' AS noted FROM dibs.secret_status WHERE name = 'cal.webhook_secret';
SELECT dibs.verify_webhook('cal', h, '{"b": 1}') FROM (VALUES (NULL::jsonb), ('{}'), ('[]'), ('"x"'), ('{"x-cal-signature-256": 7}'),
	('{"x-cal-signature-256": null}'), ('{"x-cal-signature-256": ["x"]}'), ('{"a": {"x-cal-signature-256": "x"}}')) v(h);
SELECT dibs.verify_webhook(NULL, '{}', '') AS no_source, dibs.verify_webhook('cal', '{}', NULL) AS no_body,
	dibs.verify_webhook('nobody', '{}', '') AS unknown_source, dibs.verify_webhook('standard', '{}', '') AS no_stored_secret;
-- a change is seen at once, also one that is rolled back
\set check 'SELECT dibs.verify_webhook(''cal'', jsonb_build_object(''x-cal-signature-256'', :''old''), ''{"b": 1}'') AS old, dibs.verify_webhook(''cal'', jsonb_build_object(''x-cal-signature-256'', :''new''), ''{"b": 1}'') AS new;'
BEGIN;
SELECT dibs.set_secret('cal.webhook_secret', 'new');
:check
ROLLBACK;
:check
BEGIN;
SAVEPOINT s;
SELECT dibs.set_secret('cal.webhook_secret', 'new', '1 h');
:check
ROLLBACK TO s;
:check
COMMIT;
SELECT dibs.set_secret('cal.webhook_secret', 'new', '1 h');
:check
SELECT dibs.set_secret('cal.webhook_secret', 'new');
:check
SELECT dibs.set_secret('cal.webhook_secret', 'shh', account => 'calendar/7');
:check
UPDATE dibs."Secret" SET "validUntil" = now() WHERE "name" = 'cal.webhook_secret' AND "account" <> '';
:check
-- what cannot be opened is told, and does not hide the others
UPDATE dibs."Secret" SET "validUntil" = 'infinity', "sealed" = set_byte("sealed", 20, get_byte("sealed", 20) # 1)
WHERE "name" = 'cal.webhook_secret' AND "account" <> '';
:check
DELETE FROM dibs."Secret" WHERE "name" = 'cal.webhook_secret';
:check

-- tokens signed with a stored secret
SELECT dibs.jwt_sign_with('zoom.sdk_secret', '{"a": 1}');
SELECT dibs.set_secret('zoom.sdk_secret', 'the signing secret');
SELECT dibs.jwt_verify(dibs.jwt_sign_with('zoom.sdk_secret', ' {"b": 1, "a": 2} '), 'the signing secret') AS claims,
	dibs.jwt_sign_with('zoom.sdk_secret', '{"b": 1, "a": 2}') = dibs.jwt_sign('{"b": 1, "a": 2}', 'the signing secret') AS same,
	dibs.jwt_verify(dibs.jwt_sign_with('zoom.sdk_secret', '{"a": 1}'), 'another') AS other;
SELECT dibs.jwt_sign_with('zoom.sdk_secret', '[1]');
SELECT dibs.jwt_sign_with('cal.webhook_secret', '{}');
SELECT dibs.jwt_sign_with('dibs.sealing_key', '{}');
SELECT dibs.set_secret('google.service_account', '{"private_key": "not to be seen", "private_key_id": "k"}');
SELECT dibs.jwt_sign_with('google.service_account', '{}');
SELECT dibs.set_secret('google.service_account', 'not to be seen');
SELECT dibs.jwt_sign_with('google.service_account', '{}');
SELECT dibs.drop_secret('zoom.sdk_secret'), dibs.drop_secret('google.service_account');

-- nothing is open to PUBLIC
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = 'dibs'::regnamespace AND has_function_privilege('pg_monitor', p.oid, 'EXECUTE')
	AND p.proname ~ 'secret|token|seal|key|sign|rotat|webhook'
ORDER BY 1::text;
SELECT has_table_privilege('pg_monitor', 'dibs."Secret"', 'SELECT') AS secret,
	has_table_privilege('pg_monitor', 'dibs."ProviderCredential"', 'SELECT') AS credential,
	has_table_privilege('pg_monitor', 'dibs.secret_status', 'SELECT') AS status;

-- the rooms with a right to one function need none on the table
CREATE ROLE regress_dibs_app;
GRANT USAGE ON SCHEMA dibs TO regress_dibs_app;
GRANT EXECUTE ON FUNCTION dibs.set_secret(text, text, interval, text), dibs.encrypt_token(text, text),
	dibs.decrypt_token(bytea, text), dibs.set_secret_from_file(text, text, interval, text) TO regress_dibs_app;
SET ROLE regress_dibs_app;
SELECT dibs.set_secret('cal.api_key', 'set by an application');
SELECT dibs.decrypt_token(dibs.encrypt_token('by an application'));
SELECT dibs.set_secret_from_file('cal.api_key', '/etc/hostname');
SELECT count(*) FROM dibs."Secret";
RESET ROLE;
SELECT name FROM dibs.secret_status WHERE name = 'cal.api_key';
SELECT dibs.drop_secret('cal.api_key'), dibs.drop_secret('jitsi.app_secret');
REVOKE ALL ON FUNCTION dibs.set_secret(text, text, interval, text), dibs.encrypt_token(text, text),
	dibs.decrypt_token(bytea, text), dibs.set_secret_from_file(text, text, interval, text) FROM regress_dibs_app;
REVOKE USAGE ON SCHEMA dibs FROM regress_dibs_app;
DROP ROLE regress_dibs_app;
