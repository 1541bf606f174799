-- booking: coaches and their accounts; bookings that are not a calendar source's.

CREATE OR REPLACE FUNCTION dibs.link_account(provider text, user_ulid char(26), external_id text = NULL, email text = NULL,
	username text = NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	account dibs."ProviderAccount"%ROWTYPE;
	known dibs."ProviderAccount"%ROWTYPE;
	known_id text := nullif(link_account.external_id, '');
	known_email text := nullif(link_account.email, '');
	known_name text := nullif(link_account.username, '');
	waiting bigint;
BEGIN
	IF link_account.provider IS NULL OR link_account.provider NOT IN ('cal', 'calendly', 'zoom', 'daily', 'google', 'teams') THEN
		RAISE EXCEPTION '"%" is no provider of accounts', link_account.provider
			USING ERRCODE = '22023', HINT = 'The providers are cal, calendly, zoom, daily, google and teams.';
	END IF;
	IF NOT dibs.is_ulid(link_account.user_ulid::text) THEN
		RAISE EXCEPTION '"%" is no ULID', link_account.user_ulid
			USING ERRCODE = '22023', HINT = 'dibs.gen_ulid() makes one, dibs.uuid_to_ulid() turns a uuid into one.';
	END IF;
	IF known_id IS NULL AND known_email IS NULL AND known_name IS NULL THEN
		RAISE EXCEPTION 'an account needs an external_id, an email or a username'
			USING ERRCODE = '22023', HINT = 'Cal.com''s webhooks name the organizer by all three: any one will do.';
	END IF;

	INSERT INTO dibs."Coach" ("userUlid") VALUES (link_account.user_ulid) ON CONFLICT ON CONSTRAINT "Coach_pkey" DO NOTHING;
	-- One account may have been seen under several of its names: they become one row, the oldest.
	FOR known IN
		SELECT * FROM dibs."ProviderAccount" a
		WHERE a."provider" = link_account.provider
			AND (a."externalId" = known_id OR lower(a."email") = lower(known_email) OR lower(a."username") = lower(known_name))
		ORDER BY a."createdAt", a."ulid" FOR UPDATE
	LOOP
		known_id := coalesce(known_id, known."externalId");
		known_email := coalesce(known_email, known."email");
		known_name := coalesce(known_name, known."username");
		IF account."ulid" IS NULL THEN
			account := known;
		ELSE
			DELETE FROM dibs."ProviderAccount" a WHERE a."ulid" = known."ulid";
		END IF;
	END LOOP;
	IF account."ulid" IS NULL THEN
		INSERT INTO dibs."ProviderAccount" ("provider", "userUlid", "externalId", "email", "username")
			VALUES (link_account.provider, link_account.user_ulid, known_id, known_email, known_name) RETURNING * INTO account;
	ELSE
		UPDATE dibs."ProviderAccount" a SET "userUlid" = link_account.user_ulid, "externalId" = known_id, "email" = known_email,
			"username" = known_name, "state" = 'linked' WHERE a."ulid" = account."ulid" RETURNING * INTO account;
	END IF;

	UPDATE dibs."WebhookEvent" e SET "outcome" = 'queued', "dueAt" = '-infinity'
		WHERE e."outcome" = 'unmatched' AND e."source" = link_account.provider AND e."waitsFor" IS NULL;
	GET DIAGNOSTICS waiting = ROW_COUNT;
	PERFORM dibs.wake();
	RETURN jsonb_build_object('account', account."ulid", 'provider', account."provider", 'userUlid', account."userUlid",
		'externalId', account."externalId", 'email', account."email", 'username', account."username", 'eventsQueued', waiting);
END
$$;
REVOKE ALL ON FUNCTION dibs.link_account(text, char, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.link_account(text, char, text, text, text) IS
'Says which coach an organizer (or video account) is: by the provider''s user id, e-mail or username. Events that waited for it are applied. 22023 for an unknown provider, no name at all, or what is no ULID.';
