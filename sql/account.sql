-- account: people connect their own accounts; tokens; what is connected.

DO $make$
BEGIN
IF NOT dibs.tables_wanted() THEN
	RETURN;
END IF;

CREATE TABLE dibs."OAuthState" (
	"ulid"           char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"userUlid"       char(26) COLLATE "C",
	"provider"       text NOT NULL,
	"stateHash"      bytea NOT NULL,
	"redirectUrl"    text NOT NULL,
	"state"          text NOT NULL DEFAULT 'open',
	"sealed"         bytea,
	"tokenExpiresAt" timestamptz(6),
	"scope"          text,
	"accountUlid"    char(26) COLLATE "C",
	"errorCode"      text,
	"error"          text,
	"expiresAt"      timestamptz(6) NOT NULL,
	"usedAt"         timestamptz(6),
	"createdAt"      timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"      timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "OAuthState_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "OAuthState_stateHash_key" UNIQUE ("stateHash"),
	CONSTRAINT "OAuthState_state_check" CHECK ("state" IN ('open', 'exchanging', 'connected', 'failed'))
);
CREATE INDEX "OAuthState_user_idx" ON dibs."OAuthState" ("userUlid", "provider", "createdAt");
COMMENT ON TABLE dibs."OAuthState" IS
'Consents under way (dibs.oauth_authorize_url, dibs.oauth_callback) and how they ended. The state is kept as a hash, is for one coach, provider and redirect URL, and is used once. sealed: PKCE verifier and code, then for a moment the tokens. Small; a week after its expiry a row goes.';

PERFORM pg_extension_config_dump('dibs."OAuthState"', '');

GRANT SELECT, UPDATE ON dibs."OAuthState", dibs."ProviderAccount" TO dibs_worker;

END
$make$;

CREATE OR REPLACE FUNCTION dibs.oauth_authorize_url(provider text, user_ulid char(26), redirect_url text) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_oauth_authorize_url';
REVOKE ALL ON FUNCTION dibs.oauth_authorize_url(text, char, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.oauth_authorize_url(text, char, text) IS
'The provider''s page (zoom, cal) on which a coach consents that the app uses the coach''s own account; from there the browser comes back to redirect_url with state and code, for dibs.oauth_callback(). The state is good for 15 minutes, once. user_ulid null: the platform''s own account. 22023 for another provider, what is no ULID or no https URL; F0000 where the app''s client id or secret is not set; 42501 for somebody else''s account.';

CREATE OR REPLACE FUNCTION dibs.oauth_callback(state text, code text) RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_oauth_callback';
REVOKE ALL ON FUNCTION dibs.oauth_callback(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.oauth_callback(text, text) IS
'Takes what the provider sent a coach''s browser back with, seals the code and has a job exchange it: {state: "connecting", provider, userUlid, signIn}. How it ends is in dibs.connections and in events: connection.made, connection.failed. 22023 for a state that is unknown, expired or was used; 42501 where somebody else began it.';

CREATE OR REPLACE FUNCTION dibs.disconnect_account(provider text, user_ulid char(26)) RETURNS integer
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_disconnect_account';
REVOKE ALL ON FUNCTION dibs.disconnect_account(text, char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.disconnect_account(text, char) IS
'Ends the connection of a coach''s accounts at a provider (user_ulid null: of the platform''s): no new meeting is made with them. Tokens are kept until meetings without a booking are removed, then revoked and forgotten by a job. Meetings of bookings stay. Returns the number of accounts. 42501 for somebody else''s.';

CREATE OR REPLACE FUNCTION dibs.account_deauthorized(provider text, external_id text) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dibs_account_deauthorized_sql';
REVOKE ALL ON FUNCTION dibs.account_deauthorized(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.account_deauthorized(text, text) IS
'The provider says that the app was removed from the account with this id there: its tokens are destroyed, the account is marked, connection.lost is announced. Meetings are left alone. False where no account has the id, or it was known. Done by itself for Zoom''s app_deauthorized.';

CREATE OR REPLACE FUNCTION dibs.set_account_url(account char(26), base_url text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	host text := substring(base_url FROM '^https?://([^/?#@[:space:]"]+)');
BEGIN
	IF base_url IS NOT NULL AND (host IS NULL OR base_url ~ '[?#@[:space:]"]' OR
		(base_url NOT LIKE 'https://%' AND NOT (current_setting('dibs.allow_insecure_loopback')::boolean
			AND base_url ~ '^http://(127\.0\.0\.1|\[::1\])(:|/|$)'))) THEN
		RAISE EXCEPTION '"%" is no base URL', base_url
			USING ERRCODE = '22023', HINT = 'It starts with https:// and has no query, fragment, user name or white space.';
	END IF;
	IF host IS NOT NULL AND NOT EXISTS (SELECT FROM unnest(string_to_array(current_setting('dibs.allowed_hosts'), ',')) AS a(name)
		WHERE lower(btrim(a.name, ' "')) IN (lower(host), '*')) THEN
		RAISE EXCEPTION 'the host "%" is not in dibs.allowed_hosts', host
			USING ERRCODE = '22023', HINT = 'The operator allows hosts: ALTER SYSTEM SET dibs.allowed_hosts, then SELECT pg_reload_conf().';
	END IF;
	UPDATE dibs."ProviderAccount" a SET "settings" = CASE WHEN base_url IS NULL THEN a."settings" - 'base_url'
		ELSE a."settings" || jsonb_build_object('base_url', base_url) END
	WHERE a."ulid" = set_account_url.account;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no account "%"', set_account_url.account USING ERRCODE = 'P0002', HINT = 'dibs.connections lists them.';
	END IF;
	PERFORM dibs.note_act('set_account_url', set_account_url.account, jsonb_build_object('base_url', base_url));
END
$$;
REVOKE ALL ON FUNCTION dibs.set_account_url(char, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.set_account_url(char, text) IS
'Where an account''s API is, for a self-hosted Cal.com: https, and a host that dibs.allowed_hosts names. Null: where the setting says. 22023 for another URL, P0002 where there is no such account.';

CREATE OR REPLACE FUNCTION dibs.disconnect_users(users char(26)[]) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	WITH accounts AS (UPDATE dibs."ProviderAccount" SET "state" = 'disconnected' WHERE "userUlid" = ANY (users) AND "state" <> 'disconnected'
		RETURNING "ulid"),
	dead AS (DELETE FROM dibs."ProviderCredential" c USING accounts a WHERE c."accountUlid" = a."ulid" AND c."kind" = 'oauth'
		AND c."state" NOT IN ('live', 'revoking')),
	ended AS (UPDATE dibs."ProviderCredential" c SET "state" = 'revoking' FROM accounts a WHERE c."accountUlid" = a."ulid"
		AND c."kind" = 'oauth' AND c."state" = 'live' RETURNING c."ulid")
	INSERT INTO dibs."Job" ("kind", "key") SELECT 'revoke_grant', e."ulid" FROM ended e
	ON CONFLICT ("kind", "key") WHERE "state" = 'waiting' DO NOTHING
$$;
REVOKE ALL ON FUNCTION dibs.disconnect_users(char[]) FROM PUBLIC;
COMMENT ON FUNCTION dibs.disconnect_users(char[]) IS
'Ends all connections of users who are no more: their grants are kept until the meetings of their deleted bookings are removed, then revoked. For attached tables of users.';

CREATE OR REPLACE FUNCTION dibs.make_account_views() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $make$
BEGIN
	-- a key that was set since is another matter than the one that was kept
	CREATE OR REPLACE VIEW dibs.cal_key_states AS
	SELECT s."account" AS account, s."createdAt" AS since, k."expiresAt" AS expires, coalesce(k."state" = 'lost', false) AS lost,
		k."errorCode" AS error_code, k."error" AS error, k."days" AS days
	FROM (SELECT DISTINCT ON (x."account") x."account", x."generation", x."createdAt" FROM dibs."Secret" x
		WHERE x."name" = 'cal.api_key' AND x."state" = 'live' AND x."validUntil" > now() ORDER BY x."account", x."generation" DESC) s
	LEFT JOIN dibs."CalKey" k ON k."account" = s."account" AND k."secret" = s."generation";
	REVOKE ALL ON dibs.cal_key_states FROM PUBLIC;
	COMMENT ON VIEW dibs.cal_key_states IS
	'Cal.com''s API keys, by account: since when, when they run out where that is known (dibs.cal_keep_key), and whether one is dead. No value.';

	CREATE OR REPLACE VIEW dibs.account_states AS
	SELECT s.user_ulid, s.provider, s.account, s.external_id, s.email, s.state, s.state = 'connected' AS connected,
		s.state = 'reconnect_needed' AS reconnect_needed, s.why_code, s.why, s.scopes, s.since, s.token_expires,
		s.managed
	FROM (
		SELECT a."userUlid" AS user_ulid, a."provider" AS provider, a."ulid" AS account, a."externalId" AS external_id, a."email" AS email,
			CASE WHEN a."state" IN ('deauthorized', 'disconnected') THEN a."state"
				WHEN c."state" IN ('reconnect_needed', 'lost') OR (c."state" IS NULL AND y.lost) THEN 'reconnect_needed'
				WHEN c."state" IS NOT NULL OR y.account IS NOT NULL THEN 'connected'
				ELSE 'linked' END AS state,
			CASE WHEN a."state" = 'deauthorized' THEN 'deauthorized' WHEN c."state" = 'lost' THEN 'key_unreadable' WHEN c."state" IS NULL THEN y.error_code ELSE c."errorCode" END AS why_code,
			CASE WHEN a."state" = 'deauthorized' THEN 'the app was removed from the account at the provider'
				WHEN c."state" = 'lost' THEN 'the master key that its tokens were sealed with was given up' WHEN c."state" IS NULL THEN y.error ELSE c."error" END AS why,
			c."scopes" AS scopes, coalesce(c."connectedAt", a."createdAt") AS since,
			CASE WHEN c."state" IS NULL THEN y.expires ELSE c."expiresAt" END AS token_expires,
			coalesce(c."managed", false) AS managed
		FROM dibs."ProviderAccount" a
		LEFT JOIN dibs."ProviderCredential" c ON c."accountUlid" = a."ulid" AND c."kind" = 'oauth'
		LEFT JOIN dibs.cal_key_states y ON y.account = a."ulid"::text AND a."provider" = 'cal'
		UNION ALL
		-- the platform's own key has no account's row
		SELECT NULL, 'cal', NULL, NULL, NULL, CASE WHEN y.lost THEN 'reconnect_needed' ELSE 'connected' END, y.error_code, y.error, NULL,
			y.since, y.expires, false
		FROM dibs.cal_key_states y WHERE y.account = ''
		UNION ALL
		SELECT s."userUlid", s."provider", NULL, NULL, NULL, CASE s."state" WHEN 'failed' THEN 'failed' ELSE 'connecting' END,
			s."errorCode", s."error", NULL, s."usedAt", NULL, false
		FROM dibs."OAuthState" s
		WHERE s."state" IN ('exchanging', 'failed') AND NOT EXISTS (SELECT FROM dibs."OAuthState" n
			WHERE n."userUlid" IS NOT DISTINCT FROM s."userUlid" AND n."provider" = s."provider" AND n."usedAt" > s."usedAt")
	) s;
	REVOKE ALL ON dibs.account_states FROM PUBLIC;
	COMMENT ON VIEW dibs.account_states IS 'Everybody''s rows of dibs.connections, for who watches the installation.';

	CREATE OR REPLACE VIEW dibs.connections WITH (security_barrier) AS
	SELECT s.user_ulid, s.provider, s.account, s.external_id, s.email, s.state, s.connected, s.reconnect_needed, s.why_code, s.why,
		s.scopes, s.since, s.token_expires, s.managed FROM dibs.account_states s
	WHERE (SELECT dibs.sees_all()) OR s.user_ulid = (SELECT dibs.current_user_ulid());
	REVOKE ALL ON dibs.connections FROM PUBLIC;
	COMMENT ON VIEW dibs.connections IS
	'The caller''s accounts at providers (everybody''s for level app) and whether they can be used: state connected (by consent or key), linked (known by name alone), connecting, failed (the consent came to nothing), reconnect_needed, deauthorized, disconnected; managed: made by the platform (dibs.cal_create_managed_user); why says what happened, and stands beside connected while a refresh has to be tried again.';
END
$make$;
REVOKE ALL ON FUNCTION dibs.make_account_views() FROM PUBLIC;
COMMENT ON FUNCTION dibs.make_account_views() IS 'Makes the view of connections (again): part of the extension''s script, and of a restore without tables.';

CREATE OR REPLACE FUNCTION dibs.check_accounts(OUT problem text, OUT call text) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
BEGIN
	RETURN QUERY SELECT format('%s accounts of %s have to be connected again: %s', count(*), c.provider, min(c.why)),
		format('SELECT dibs.oauth_authorize_url(%L, USER_ULID, REDIRECT_URL): see dibs.account_states WHERE reconnect_needed', c.provider)
	FROM dibs.account_states c WHERE c.reconnect_needed AND NOT c.managed AND NOT EXISTS (SELECT FROM dibs.cal_key_states k
		WHERE k.lost AND k.account = coalesce(c.account::text, '') AND c.provider = 'cal') GROUP BY c.provider;
	RETURN QUERY SELECT format('%s users that the platform made at %s are not there any more: %s', count(*), c.provider, min(c.why)),
		'SELECT dibs.cal_create_managed_user(USER_ULID, EMAIL, NAME): see dibs.account_states WHERE reconnect_needed AND managed'
	FROM dibs.account_states c WHERE c.reconnect_needed AND c.managed GROUP BY c.provider;
	RETURN QUERY SELECT format('the tokens of %s accounts of %s cannot be refreshed for now: %s', count(*), c.provider, min(c.why)),
		'see dibs.account_states and dibs.job_progress WHERE kind = ''refresh_token'''
	FROM dibs.account_states c WHERE c.connected AND c.why_code IS NOT NULL AND c.scopes IS NOT NULL GROUP BY c.provider;
	FOR key IN SELECT k.*, CASE WHEN k.account = '' THEN '' ELSE format(' of the account %s', k.account) END AS whose FROM dibs.cal_key_states k LOOP
		call := format('make a new one at Cal.com, then SELECT dibs.set_secret_from_file(''cal.api_key'', ''PATH'', account => %L)', key.account);
		IF key.lost THEN
			problem := format('the API key of Cal.com%s is not good any more: %s', key.whose, key.error);
			RETURN NEXT;
		ELSIF key.expires IS NULL AND key.since < now() - interval '25 days' THEN
			problem := format('the API key of Cal.com%s is %s days old: keys live 30 days unless they were made to live longer', key.whose,
				extract(day FROM now() - key.since));
			call := format('SELECT dibs.cal_keep_key(%L) has it renewed from now on; or %s', key.account, call);
			RETURN NEXT;
		-- it is renewed a sixth of its life ahead, at most 5 days
		ELSIF key.expires < now() + least(interval '3 days', key.days * interval '2 h') THEN
			problem := format('the API key of Cal.com%s was not renewed, and runs out at %s: %s', key.whose, key.expires,
				coalesce(key.error, 'see dibs.worker_status, and dibs.job_progress WHERE kind = ''cal_key'''));
			RETURN NEXT;
		END IF;
	END LOOP;
END
$$;
REVOKE ALL ON FUNCTION dibs.check_accounts() FROM PUBLIC;
COMMENT ON FUNCTION dibs.check_accounts() IS 'What dibs.health() says of accounts: consents that are over, refreshes that fail, keys that will run out.';
