-- secrets: master keys, stored secrets, the application's own tokens.
--
-- Nothing here is open to PUBLIC, and no function gives a stored secret back.

CREATE OR REPLACE FUNCTION dibs.sealed_version(sealed bytea) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_sealed_version';
REVOKE ALL ON FUNCTION dibs.sealed_version(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dibs.sealed_version(bytea) TO dibs_worker;
COMMENT ON FUNCTION dibs.sealed_version(bytea) IS
'Version of the master key that a value was sealed with; NULL for what dibs did not seal.';

CREATE OR REPLACE FUNCTION dibs.secret_changed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'dibs_secret_changed';
REVOKE ALL ON FUNCTION dibs.secret_changed() FROM PUBLIC;
COMMENT ON FUNCTION dibs.secret_changed() IS 'Makes every backend forget the sealed rows of "Secret" that it keeps.';

DO $make$
BEGIN
IF NOT dibs.tables_wanted() THEN
	RETURN;
END IF;

CREATE TABLE dibs."Secret" (
	"ulid"       char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"name"       text COLLATE "C" NOT NULL,
	"account"    text COLLATE "C" NOT NULL DEFAULT '',
	"generation" integer NOT NULL,
	"sealed"     bytea NOT NULL,
	"state"      text NOT NULL DEFAULT 'live',
	"validUntil" timestamptz(6) NOT NULL DEFAULT 'infinity',
	"lastUsedAt" timestamptz(6),
	"createdAt"  timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "Secret_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "Secret_generation_key" UNIQUE ("name", "account", "generation"),
	CONSTRAINT "Secret_state_check" CHECK ("state" IN ('live', 'lost'))
);
COMMENT ON TABLE dibs."Secret" IS
'Secrets, sealed; see dibs.secret_status and dibs.set_sealed_secret(). Several generations of a name may be live at once, until validUntil. lost: sealed with a key that was given up.';

CREATE TABLE dibs."ProviderCredential" (
	"ulid"        char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"accountUlid" char(26) COLLATE "C" NOT NULL,
	"provider"    text NOT NULL,
	"kind"        text NOT NULL,
	"sealed"      bytea NOT NULL,
	"version"     integer NOT NULL DEFAULT 1,
	"issuedAt"    timestamptz(6) NOT NULL DEFAULT now(),
	"expiresAt"   timestamptz(6),
	"scopes"      text[] NOT NULL DEFAULT '{}',
	"state"       text NOT NULL DEFAULT 'live',
	"errorCode"   text,
	"error"       text,
	"fence"       char(26) COLLATE "C",
	"leaseUntil"  timestamptz(6),
	"managed"     boolean NOT NULL DEFAULT false,
	"connectedAt" timestamptz(6) NOT NULL DEFAULT now(),
	"createdAt"   timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"   timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "ProviderCredential_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "ProviderCredential_kind_key" UNIQUE ("accountUlid", "kind"),
	CONSTRAINT "ProviderCredential_account_fkey" FOREIGN KEY ("accountUlid") REFERENCES dibs."ProviderAccount" ("ulid"),
	CONSTRAINT "ProviderCredential_state_check" CHECK ("state" IN ('live', 'revoking', 'reconnect_needed', 'lost'))
);
CREATE INDEX "ProviderCredential_expiresAt_idx" ON dibs."ProviderCredential" ("expiresAt") WHERE "state" = 'live';
COMMENT ON TABLE dibs."ProviderCredential" IS
'What an account is called with (access and refresh token, ZAK …), sealed for its own row. version counts the pairs of tokens; fence and leaseUntil: one refresh at a time. managed: of a user whom the platform made at the provider (dibs.cal_create_managed_user): the platform''s client renews it without anybody''s consent. revoking: kept until what it made is removed. lost: sealed with a key that was given up; the coach has to connect again.';

CREATE TRIGGER "~dibs" AFTER INSERT OR DELETE OR UPDATE OF "name", "account", "generation", "sealed", "state", "validUntil"
	ON dibs."Secret" FOR EACH STATEMENT EXECUTE FUNCTION dibs.secret_changed();
CREATE TRIGGER "~dibs" BEFORE UPDATE ON dibs."ProviderCredential" FOR EACH ROW EXECUTE FUNCTION dibs.touch();

PERFORM pg_extension_config_dump('dibs."Secret"', '');
PERFORM pg_extension_config_dump('dibs."ProviderCredential"', '');

-- The worker opens secrets, notes their use, seals them anew with another key, and keeps the credentials.
GRANT SELECT, UPDATE ON dibs."Secret" TO dibs_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON dibs."ProviderCredential" TO dibs_worker;

END
$make$;

CREATE OR REPLACE FUNCTION dibs.make_secret_views() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	CREATE OR REPLACE VIEW dibs.secret_status AS
	SELECT "name" AS name, "account" AS account, "generation" AS generation,
		(get_byte("sealed", 1) << 24) | (get_byte("sealed", 2) << 16) | (get_byte("sealed", 3) << 8) | get_byte("sealed", 4) AS version,
		now() - "createdAt" AS age, "state" AS state, nullif("validUntil", 'infinity') AS valid_until, "lastUsedAt" AS last_used
	FROM dibs."Secret"
	WHERE "validUntil" > now() AND "name" <> 'dibs.canary';
	REVOKE ALL ON dibs.secret_status FROM PUBLIC;
	COMMENT ON VIEW dibs.secret_status IS
	'Stored secrets without their values: version is the master key''s, generation counts the values that a name had, last_used is right to about an hour, valid_until is set where a newer value took over. state lost: set it again.';
END
$$;
REVOKE ALL ON FUNCTION dibs.make_secret_views() FROM PUBLIC;
COMMENT ON FUNCTION dibs.make_secret_views() IS 'Makes the view of secrets (again): part of the extension''s script, and of a restore without tables.';

-- Restricted: a parallel worker would read the key file, or run the key command, for itself in each query.
CREATE OR REPLACE FUNCTION dibs.encrypt_token(plaintext text, context text DEFAULT '') RETURNS bytea
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'dibs_encrypt_token';
REVOKE ALL ON FUNCTION dibs.encrypt_token(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.encrypt_token(text, text) IS
'Seals an application''s own token with the newest master key (AES-256-GCM, a fresh nonce each time). Only the same context opens it: name table, column and row there. F0000 without a master key.';

CREATE OR REPLACE FUNCTION dibs.decrypt_token(ciphertext bytea, context text DEFAULT '') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'dibs_decrypt_token';
REVOKE ALL ON FUNCTION dibs.decrypt_token(bytea, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.decrypt_token(bytea, text) IS
'Opens what encrypt_token sealed. XX001 for another context, a changed or a foreign value; F0000 where the key is missing or is another one. Opens nothing that dibs itself stored.';

CREATE OR REPLACE FUNCTION dibs.sealing_certificate() RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_sealing_certificate';
REVOKE ALL ON FUNCTION dibs.sealing_certificate() FROM PUBLIC;
COMMENT ON FUNCTION dibs.sealing_certificate() IS
'A certificate (PEM) to encrypt secrets to, anywhere: openssl cms -encrypt -aes256 -binary -outform PEM -recip FILE. Its key is made at the first call and stays here, sealed. F0000 without a master key.';

CREATE OR REPLACE FUNCTION dibs.set_sealed_secret(name text, cms text, keep_previous interval DEFAULT '0', account text DEFAULT '')
RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_set_sealed_secret';
REVOKE ALL ON FUNCTION dibs.set_sealed_secret(text, text, interval, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.set_sealed_secret(text, text, interval, text) IS
'Stores a secret that was encrypted to sealing_certificate(): the best way in, no log and no pooler sees the value. One line end at its end is dropped. Earlier values stay live for keep_previous. 22023 for an unknown name or a message that is none; XX001 where it was encrypted to another certificate.';

-- Runs as its caller, whose right to read files it asks for, and writes as the table's owner.
CREATE OR REPLACE FUNCTION dibs.set_secret_from_file(name text, path text, keep_previous interval DEFAULT '0', account text DEFAULT '')
RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_set_secret_from_file';
REVOKE ALL ON FUNCTION dibs.set_secret_from_file(text, text, interval, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.set_secret_from_file(text, text, interval, text) IS
'Stores what a file on the server holds, without one line end at its end. The caller must have the rights of pg_read_server_files (42501). 22023 for an unknown name, an empty or a too large file, class 58 where it cannot be read.';

CREATE OR REPLACE FUNCTION dibs.set_secret(name text, value text, keep_previous interval DEFAULT '0', account text DEFAULT '')
RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_set_secret';
REVOKE ALL ON FUNCTION dibs.set_secret(text, text, interval, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.set_secret(text, text, interval, text) IS
'Stores a secret given in clear. Statement and parameter logging, poolers and pg_stat_activity while it runs can see it: prefer set_sealed_secret or set_secret_from_file. Earlier values stay live for keep_previous. 22023 for an unknown name or an empty value.';

CREATE OR REPLACE FUNCTION dibs.drop_secret(name text, account text DEFAULT '') RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_drop_secret';
REVOKE ALL ON FUNCTION dibs.drop_secret(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.drop_secret(text, text) IS
'Removes every value of a secret, at once; false if there was none. dibs.sealing_key may be dropped too: the next sealing_certificate() is a new one.';

CREATE OR REPLACE FUNCTION dibs.keyring_status(OUT state text, OUT detail text)
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_keyring_status';
REVOKE ALL ON FUNCTION dibs.keyring_status() FROM PUBLIC;
COMMENT ON FUNCTION dibs.keyring_status() IS
'Whether this server''s master keys open what this database has sealed: none, ok, unreadable, wrong, unknown_version; detail says what mends it.';

CREATE OR REPLACE FUNCTION dibs.use_newest_key() RETURNS integer
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_use_newest_key';
REVOKE ALL ON FUNCTION dibs.use_newest_key() FROM PUBLIC;
COMMENT ON FUNCTION dibs.use_newest_key() IS
'Leaves a canary for the master key that seals, so that another key under its number will be noticed, and gives its version. F0000 without a key.';

CREATE OR REPLACE FUNCTION dibs.has_key_version(version integer) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dibs_has_key_version';
REVOKE ALL ON FUNCTION dibs.has_key_version(integer) FROM PUBLIC;
COMMENT ON FUNCTION dibs.has_key_version(integer) IS
'True where the keyring has this version and it is not known to be another key than the one used here. F0000 without a key.';

CREATE OR REPLACE FUNCTION dibs.rotate_master_key() RETURNS char(26)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	newest integer := dibs.use_newest_key();
	job char(26);
BEGIN
	IF NOT EXISTS (SELECT FROM dibs."Secret" WHERE dibs.sealed_version("sealed") < newest AND "state" = 'live' AND "name" <> 'dibs.canary')
		AND NOT EXISTS (SELECT FROM dibs."ProviderCredential" WHERE dibs.sealed_version("sealed") < newest AND "state" <> 'lost')
		AND NOT EXISTS (SELECT FROM dibs."MeetingRecording" WHERE dibs.sealed_version("token") < newest)
		AND NOT EXISTS (SELECT FROM dibs."SealedPayload" WHERE dibs.sealed_version("sealed") < newest)
	THEN
		RAISE NOTICE 'everything is sealed with master key version % already', newest
			USING HINT = 'Add a line with a higher version to the master keys and reload before rotating.';
		RETURN NULL;
	END IF;
	INSERT INTO dibs."Job" ("kind", "args") VALUES ('rotate_master_key', jsonb_build_object('version', newest))
	ON CONFLICT ("kind", "key") WHERE "state" = 'waiting' DO NOTHING;
	SELECT "ulid" INTO job FROM dibs."Job" WHERE "kind" = 'rotate_master_key' AND "state" = 'waiting';
	PERFORM dibs.note_act('rotate_master_key', job, jsonb_build_object('version', newest));
	RETURN job;
END
$$;
REVOKE ALL ON FUNCTION dibs.rotate_master_key() FROM PUBLIC;
COMMENT ON FUNCTION dibs.rotate_master_key() IS
'Starts the job that seals everything stored anew with the newest master key, and gives its ulid (NULL where nothing is left to do); "Job".progress tells how far it is. Keep the old key until it has ended, and until the application''s own tokens are encrypted anew. F0000 without a key.';

CREATE OR REPLACE FUNCTION dibs.rotate_step(max_rows integer, progress jsonb, OUT finished boolean, OUT next jsonb)
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_rotate_step_sql';
REVOKE ALL ON FUNCTION dibs.rotate_step(integer, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dibs.rotate_step(integer, jsonb) TO dibs_worker;
COMMENT ON FUNCTION dibs.rotate_step(integer, jsonb) IS
'One batch of a rotation: seals up to max_rows stored values with the newest master key. progress is what the last call gave as next, {} at first.';

CREATE OR REPLACE FUNCTION dibs.run_rotation_step(max_rows integer DEFAULT 500) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	job dibs."Job";
	step record;
BEGIN
	SELECT * INTO job FROM dibs."Job" WHERE "kind" = 'rotate_master_key' AND "state" = 'waiting' FOR UPDATE;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	SELECT * INTO step FROM dibs.rotate_step(max_rows, job."progress");
	UPDATE dibs."Job" SET "progress" = step.next, "updatedAt" = clock_timestamp(),
		"state" = CASE WHEN step.finished THEN 'done' ELSE 'waiting' END,
		"endedAt" = CASE WHEN step.finished THEN clock_timestamp() END
	WHERE "ulid" = job."ulid";
	RETURN step.next;
END
$$;
REVOKE ALL ON FUNCTION dibs.run_rotation_step(integer) FROM PUBLIC;
COMMENT ON FUNCTION dibs.run_rotation_step(integer) IS
'Does one batch of the open rotation in this transaction and gives its progress, NULL when there is no open rotation. The worker does the same by itself; this is for a server where none runs.';

CREATE OR REPLACE FUNCTION dibs.abandon_key(version integer)
RETURNS TABLE (lost text, name text, account text, user_ulid char(26), mend text)
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	IF dibs.has_key_version(version) THEN
		RAISE EXCEPTION 'master key version % is not lost: it is among the master keys', version
			USING ERRCODE = '55000', HINT = 'To stop using it, call dibs.rotate_master_key() and take it out when that has ended.';
	END IF;
	RETURN QUERY
	WITH gone AS (
		UPDATE dibs."Secret" SET "state" = 'lost'
		WHERE dibs.sealed_version("sealed") = abandon_key.version AND "state" = 'live' AND "name" <> 'dibs.canary'
		RETURNING "name", "account", "validUntil")
	SELECT 'secret', gone."name", gone."account", NULL::char(26),
		CASE WHEN gone."name" = 'dibs.sealing_key'
			THEN 'Call dibs.sealing_certificate(): it makes a new one. Values encrypted to the old one cannot be taken any more.'
			ELSE 'Set it again with dibs.set_sealed_secret or dibs.set_secret_from_file.' END
	FROM gone GROUP BY gone."name", gone."account" ORDER BY 2, 3;
	RETURN QUERY
	WITH gone AS (
		UPDATE dibs."ProviderCredential" SET "state" = 'lost', "fence" = NULL, "leaseUntil" = NULL
		WHERE dibs.sealed_version("sealed") = abandon_key.version AND "state" <> 'lost'
		RETURNING "accountUlid"),
	accounts AS (
		UPDATE dibs."ProviderAccount" SET "state" = 'reconnect_needed'
		WHERE "ulid" IN (SELECT gone."accountUlid" FROM gone) AND "state" <> 'deauthorized'
		RETURNING "ulid")
	SELECT 'connection', a."provider", coalesce(a."email", a."username", a."externalId"), a."userUlid",
		'The coach has to connect this account again.'
	FROM dibs."ProviderAccount" a WHERE a."ulid" IN (SELECT gone."accountUlid" FROM gone) ORDER BY 2, 3;
	RETURN QUERY
	WITH gone AS (
		UPDATE dibs."MeetingRecording" SET "token" = NULL WHERE dibs.sealed_version("token") = abandon_key.version
		RETURNING "ulid", "provider", "userUlid")
	SELECT 'recording', gone."provider", gone."ulid"::text, gone."userUlid",
		'Its download token is gone; the recording is still at the provider.'
	FROM gone ORDER BY 2, 3;
	RETURN QUERY
	WITH gone AS (
		DELETE FROM dibs."SealedPayload" WHERE dibs.sealed_version("sealed") = abandon_key.version RETURNING "ulid")
	SELECT 'webhook', e."source", e."ulid"::text, e."userUlid",
		'It is applied without the links and tokens that came with it.'
	FROM dibs."WebhookEvent" e WHERE e."ulid" IN (SELECT gone."ulid" FROM gone) ORDER BY 2, 3;
	DELETE FROM dibs."Secret" WHERE "name" = 'dibs.canary' AND "generation" = abandon_key.version;
	PERFORM dibs.use_newest_key();
	RETURN QUERY SELECT 'tokens', 'encrypt_token', NULL::text, NULL::char(26),
		format('What the application encrypted with version %s, wherever it keeps it, cannot be opened any more.', abandon_key.version);
	RETURN QUERY SELECT 'tokens', 'join', NULL::text, NULL::char(26),
		format('Tokens of participants and hosts that were made with version %s let nobody in any more: generate them again.', abandon_key.version);
	PERFORM dibs.note_act('abandon_key', abandon_key.version::text);
END
$$;
REVOKE ALL ON FUNCTION dibs.abandon_key(integer) FROM PUBLIC;
COMMENT ON FUNCTION dibs.abandon_key(integer) IS
'Gives up a master key that is lost for good: marks what was sealed with it and lists it, with what mends each (which coaches must connect again, which secrets must be set again). Bookings stay readable. 55000 while the keyring has the key, F0000 without any key.';

-- with the stored secrets

CREATE OR REPLACE FUNCTION dibs.verify_webhook(source text, headers jsonb, body text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_verify_webhook';
REVOKE ALL ON FUNCTION dibs.verify_webhook(text, jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.verify_webhook(text, jsonb, text) IS
'Whether a raw body was signed with one of the live webhook secrets of its source (cal, zoom, calendly, daily, jaas). False, never NULL and never an error, for a NULL, an unknown source, a missing, malformed or stale header; a warning (F0000) tells of secrets that could not be opened.';

CREATE OR REPLACE FUNCTION dibs.verify_webhook_bytes(source text, headers jsonb, body bytea) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_verify_webhook';
REVOKE ALL ON FUNCTION dibs.verify_webhook_bytes(text, jsonb, bytea) FROM PUBLIC;
COMMENT ON FUNCTION dibs.verify_webhook_bytes(text, jsonb, bytea) IS 'verify_webhook for a body given as bytes: works in any database encoding.';

CREATE OR REPLACE FUNCTION dibs.jwt_sign_with(secret_name text, claims json) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_jwt_sign_with';
REVOKE ALL ON FUNCTION dibs.jwt_sign_with(text, json) FROM PUBLIC;
COMMENT ON FUNCTION dibs.jwt_sign_with(text, json) IS
'Signs claims, in the order given, with a stored secret: RS256 where that is a private key or a Google service account (their key id goes into the header; for JaaS, jaas.app_id where it has the form app/key), else HS256. 22023 for any but zoom.sdk_secret, zoom.video_secret, jitsi.app_secret, jaas.private_key, daily.api_key and google.service_account; F0000 where it is not set.';
