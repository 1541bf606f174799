-- calendar: Cal.com's API.

CREATE OR REPLACE FUNCTION dibs.cal_slots(event_type_id int, range_start timestamptz, range_end timestamptz, time_zone text = 'UTC',
	options jsonb = '{}', OUT slot_start timestamptz, OUT slot_end timestamptz, OUT seats int, OUT as_of timestamptz) RETURNS SETOF record
LANGUAGE c VOLATILE SECURITY DEFINER COST 100000 ROWS 50 SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_cal_slots';
REVOKE ALL ON FUNCTION dibs.cal_slots(int, timestamptz, timestamptz, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.cal_slots(int, timestamptz, timestamptz, text, jsonb) IS
'Free slots of a Cal.com event type, asked now (GET /v2/slots) or at most dibs.cal_cache ago: as_of says when. seats: how many are left, null where the event type has none. options: account, duration (minutes), rescheduleUid. 57014 when canceled, 08006 where Cal.com does not answer, 53400 where it says too many, P0002 for an unknown event type, 22023 for what it refuses, F0000 where it may not be asked.';

CREATE OR REPLACE FUNCTION dibs.cal_busy_times(range_start timestamptz, range_end timestamptz, time_zone text = 'UTC', options jsonb = '{}',
	OUT busy_start timestamptz, OUT busy_end timestamptz, OUT source text, OUT as_of timestamptz) RETURNS SETOF record
LANGUAGE c VOLATILE SECURITY DEFINER COST 100000 ROWS 50 SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_cal_busy_times';
REVOKE ALL ON FUNCTION dibs.cal_busy_times(timestamptz, timestamptz, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.cal_busy_times(timestamptz, timestamptz, text, jsonb) IS
'When the account''s calendars are busy (GET /v2/calendars/busy-times). options: account, eventTypeId (whose coach''s account asks), calendars ([{credentialId, externalId}]; else those that Cal.com looks at). Errors as dibs.cal_slots.';

CREATE OR REPLACE FUNCTION dibs.cal_me(account text = NULL) RETURNS jsonb
LANGUAGE c VOLATILE SECURITY DEFINER COST 100000 SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_cal_me';
REVOKE ALL ON FUNCTION dibs.cal_me(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.cal_me(text) IS
'Who the account is at Cal.com (GET /v2/me): id, username, email, timeZone … account: the ulid of a "ProviderAccount"; the platform''s own by default. Errors as dibs.cal_slots.';

CREATE OR REPLACE FUNCTION dibs.cal_availability(event_type_id int, range_start timestamptz, range_end timestamptz) RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER COST 200000 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_build_object(
		'busy', (SELECT coalesce(jsonb_agg(jsonb_build_object('start', b.busy_start, 'end', b.busy_end) ORDER BY b.busy_start), '[]')
			FROM dibs.cal_busy_times(range_start, range_end, 'UTC', jsonb_build_object('eventTypeId', event_type_id)) b),
		'dateRanges', (SELECT coalesce(jsonb_agg(jsonb_build_object('start', lower(r), 'end', upper(r)) ORDER BY lower(r)), '[]')
			FROM unnest((SELECT range_agg(tstzrange(s.slot_start, s.slot_end)) FROM dibs.cal_slots(event_type_id, range_start, range_end) s)) r))
$$;
REVOKE ALL ON FUNCTION dibs.cal_availability(int, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION dibs.cal_availability(int, timestamptz, timestamptz) IS
'{busy: [{start, end}], dateRanges: [{start, end}]}: when the coach''s calendars are busy, and the ranges that free slots of the event type cover. Errors as dibs.cal_slots.';

CREATE OR REPLACE FUNCTION dibs.cal_accounts() RETURNS TABLE (account text, user_ulid char(26))
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '', NULL::char(26) WHERE EXISTS (SELECT FROM dibs."Secret" s
		WHERE s."name" = 'cal.api_key' AND s."account" = '' AND s."state" = 'live' AND s."validUntil" > now())
	UNION ALL
	SELECT a."ulid"::text, a."userUlid" FROM dibs."ProviderAccount" a WHERE a."provider" = 'cal' AND a."state" = 'linked'
		AND (EXISTS (SELECT FROM dibs."ProviderCredential" c WHERE c."accountUlid" = a."ulid" AND c."state" = 'live')
			OR EXISTS (SELECT FROM dibs."Secret" s WHERE s."name" = 'cal.api_key' AND s."account" = a."ulid"::text
				AND s."state" = 'live' AND s."validUntil" > now()))
$$;
REVOKE ALL ON FUNCTION dibs.cal_accounts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dibs.cal_accounts() TO dibs_worker;
COMMENT ON FUNCTION dibs.cal_accounts() IS
'The accounts at Cal.com that there is a key or a grant for: ''''  is the platform''s own, else the ulid of a "ProviderAccount".';

CREATE OR REPLACE FUNCTION dibs.start_cal_jobs(job_kind text, account text, job_args jsonb) RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	started int;
BEGIN
	INSERT INTO dibs."Job" ("kind", "key", "args")
		SELECT job_kind, a.account, job_args FROM dibs.cal_accounts() a
		WHERE start_cal_jobs.account IS NULL OR a.account = start_cal_jobs.account
	ON CONFLICT ("kind", "key") WHERE "state" = 'waiting' DO UPDATE SET "args" = excluded."args", "dueAt" = '-infinity', "attempts" = 0;
	GET DIAGNOSTICS started = ROW_COUNT;
	IF started = 0 THEN
		RAISE EXCEPTION 'there is no access to the Cal.com account "%"', coalesce(start_cal_jobs.account, '*')
			USING ERRCODE = 'F0000', HINT = 'Set the secret cal.api_key, for the platform or for the account.';
	END IF;
	PERFORM dibs.wake();
	RETURN started;
END
$$;
REVOKE ALL ON FUNCTION dibs.start_cal_jobs(text, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.start_cal_jobs(text, text, jsonb) IS 'Has a job at Cal.com run now for one account or for each; gives how many. F0000 where there is none.';

CREATE OR REPLACE FUNCTION dibs.sync_bookings(account text = NULL, since timestamptz = NULL) RETURNS int
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT dibs.start_cal_jobs('cal_sync', sync_bookings.account, jsonb_strip_nulls(jsonb_build_object('request', dibs.gen_ulid(),
		'since', to_char(greatest(sync_bookings.since, '2001-01-01 00:00Z') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))))
$$;
REVOKE ALL ON FUNCTION dibs.sync_bookings(text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION dibs.sync_bookings(text, timestamptz) IS
'Has the worker bring bookings in step with Cal.com now, for an account ('''' is the platform''s own) or for each: what has changed since the last time, or since a moment; everything the first time, or since ''-infinity''. Gives how many accounts. Progress: dibs.job_progress, kind cal_sync. F0000 where no account may be asked.';

CREATE OR REPLACE FUNCTION dibs.sync_event_types(account text = NULL) RETURNS int
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT dibs.start_cal_jobs('cal_event_types', sync_event_types.account, jsonb_build_object('request', dibs.gen_ulid())) $$;
REVOKE ALL ON FUNCTION dibs.sync_event_types(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.sync_event_types(text) IS
'Has the worker bring "CalEventType" in step with Cal.com now, for an account or for each. Gives how many accounts. F0000 where no account may be asked.';

CREATE OR REPLACE FUNCTION dibs.cal_account_of(coach char(26)) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT a.account FROM dibs.cal_accounts() a WHERE a.account = '' OR a.user_ulid = coach ORDER BY a.account = '' LIMIT 1 $$;
REVOKE ALL ON FUNCTION dibs.cal_account_of(char) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dibs.cal_account_of(char) TO dibs_worker;
COMMENT ON FUNCTION dibs.cal_account_of(char) IS 'The account at Cal.com that acts for a coach: the coach''s own, else the platform''s (''''); null: none.';

CREATE OR REPLACE FUNCTION dibs.want_change(coach char(26), booking char(26), uid text, account text, kind text, data jsonb) RETURNS char(26)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	change char(26) := dibs.gen_ulid();
BEGIN
	INSERT INTO dibs."CalChange" ("ulid", "userUlid", "bookingUlid", "uid", "account", "kind", "data")
		VALUES (change, coach, booking, want_change.uid, want_change.account, want_change.kind, want_change.data);
	INSERT INTO dibs."Job" ("kind", "key") VALUES ('cal_change', change);
	PERFORM dibs.wake();
	RETURN change;
END
$$;
REVOKE ALL ON FUNCTION dibs.want_change(char, char, text, text, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.want_change(char, char, text, text, text, jsonb) IS 'A row of "CalChange", and the job that does it.';

CREATE OR REPLACE FUNCTION dibs.ask_source(booking_id text, kind text, data jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
	row dibs."CalBooking"%ROWTYPE;
	caller text;
	account text;
	wish jsonb := jsonb_strip_nulls(data);
	seat text;
BEGIN
	SELECT * INTO key FROM dibs.find_booking(booking_id, CASE kind WHEN 'cancel' THEN 'former' WHEN 'reschedule' THEN 'attendee' ELSE 'coach' END);
	SELECT * INTO row FROM dibs."CalBooking" b WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid FOR NO KEY UPDATE;
	IF row."source" IS DISTINCT FROM 'cal' THEN
		RETURN NULL;
	END IF;
	account := dibs.cal_account_of(key.user_ulid);
	IF account IS NULL THEN
		RETURN NULL;
	END IF;
	caller := dibs.booking_role(key.ulid, key.user_ulid);
	IF caller = 'former' THEN
		RETURN dibs.booking_json(key.ulid, key.user_ulid);
	END IF;
	IF caller <> 'all' THEN
		wish := wish || jsonb_build_object('by', dibs.current_email());
	END IF;
	IF caller = 'attendee' AND row."bookingType" = 'GROUP' THEN
		SELECT p."seatId" INTO seat FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = key.ulid AND p."userUlid" = key.user_ulid
			AND p."person" = dibs.current_email() AND p."status" <> 'CANCELLED';
		IF seat IS NULL THEN
			RAISE EXCEPTION 'your seat in booking "%" is not known', booking_id USING ERRCODE = '55000', HINT = 'Try again in a minute.';
		END IF;
		wish := wish || jsonb_build_object('seat', seat);
	ELSIF caller = 'attendee' AND lower(row."attendeeEmail") IS DISTINCT FROM dibs.current_email() THEN
		RAISE EXCEPTION 'that is for the coach of booking "%"', booking_id
			USING ERRCODE = '42501', HINT = 'An attendee may move or cancel a booking that is theirs alone.';
	END IF;
	IF kind = 'cancel' AND row."status" = 'CANCELLED' OR kind = 'confirm' AND row."status" = 'CONFIRMED' THEN
		RETURN dibs.booking_json(key.ulid, key.user_ulid);
	END IF;
	IF row."status" IN ('CANCELLED', 'REJECTED') AND kind <> 'location' THEN
		RAISE EXCEPTION 'booking "%" is %', booking_id, row."status" USING ERRCODE = '22023', HINT = 'It has ended; make a new one.';
	END IF;
	PERFORM dibs.want_change(key.user_ulid, key.ulid, row."calBookingUid", account, kind, wish);
	UPDATE dibs."CalBooking" b SET "changeState" = 'pending', "changeError" = NULL
		WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid;
	PERFORM dibs.note_act(kind || '_at_source', key.ulid, wish - 'guests' - 'location');
	RETURN dibs.booking_json(key.ulid, key.user_ulid);
END
$$;
REVOKE ALL ON FUNCTION dibs.ask_source(text, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.ask_source(text, text, jsonb) IS
'Has a booking of Cal.com''s changed there: "changeState" becomes pending, and what comes of it shows there. Null where the booking is not Cal.com''s, or no account may change it.';

CREATE OR REPLACE FUNCTION dibs.create_at_source(data jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	made jsonb;
	row dibs."CalBooking"%ROWTYPE;
	account text;
BEGIN
	IF data->>'source' <> 'cal' THEN
		RAISE EXCEPTION '"%" is no source at which a booking can be made', data->>'source'
			USING ERRCODE = '22023', HINT = 'It is cal, or manual: dibs'' own, as without a source.';
	END IF;
	IF data->>'eventTypeId' IS NULL THEN
		RAISE EXCEPTION 'a booking at Cal.com needs its event type' USING ERRCODE = '22023', HINT = 'Give "eventTypeId", a number.';
	END IF;
	made := dibs.create_booking(data - 'source' || jsonb_build_object('status', 'PENDING', 'allowOverlap', true)
		|| CASE WHEN data ? 'endTime' OR data ? 'duration' THEN '{}' ELSE jsonb_build_object('duration', coalesce((SELECT t."length"
			FROM dibs."CalEventType" t WHERE t."eventTypeId" = (data->>'eventTypeId')::int LIMIT 1), 30)) END);
	SELECT * INTO row FROM dibs."CalBooking" b WHERE b."ulid" = (made->>'ulid')::char(26) FOR NO KEY UPDATE;
	account := dibs.cal_account_of(row."userUlid");
	IF account IS NULL THEN
		RAISE EXCEPTION 'there is no access to Cal.com for coach %', row."userUlid"
			USING ERRCODE = 'F0000', HINT = 'Set the secret cal.api_key, or connect the coach''s account.';
	END IF;
	PERFORM dibs.want_change(row."userUlid", row."ulid", row."calBookingUid", account, 'create', jsonb_strip_nulls(jsonb_build_object(
		'eventTypeId', row."eventTypeId", 'start', to_char(row."startTime" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
		'name', coalesce(row."attendeeName", split_part(row."attendeeEmail", '@', 1)), 'email', row."attendeeEmail",
		'timeZone', coalesce(row."attendeeTimeZone", 'UTC'), 'location', row."location",
		'minutes', CASE WHEN data ? 'duration' THEN row."duration" END, 'answers', nullif(row."bookingFields", '{}'),
		'metadata', nullif(row."metadata", '{}'),
		'guests', (SELECT jsonb_agg(g.email) FROM dibs.read_guests(coalesce(data->'guests', '[]')) g))));
	UPDATE dibs."CalBooking" b SET "source" = 'cal', "changeState" = 'pending' WHERE b."ulid" = row."ulid" AND b."userUlid" = row."userUlid";
	RETURN dibs.booking_json(row."ulid", row."userUlid");
END
$$;
REVOKE ALL ON FUNCTION dibs.create_at_source(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.create_at_source(jsonb) IS 'dibs.create_booking() with source cal: pending here until Cal.com has made it, rejected with its reason where it does not.';

CREATE OR REPLACE FUNCTION dibs.cal_event_type(data jsonb, event_type_id int = NULL, user_ulid char(26) = NULL) RETURNS char(26)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	coach char(26) := coalesce(CASE WHEN cal_event_type.user_ulid IS NOT NULL THEN dibs.read_ulid(cal_event_type.user_ulid::text) END,
		(SELECT t."userUlid" FROM dibs."CalEventType" t WHERE t."eventTypeId" = cal_event_type.event_type_id LIMIT 1),
		nullif(current_setting('dibs.default_user_ulid', true), ''));
	account text;
BEGIN
	PERFORM dibs.check_keys(data, ARRAY['title', 'slug', 'description', 'length', 'hidden', 'seats']);
	IF coach IS NULL THEN
		RAISE EXCEPTION 'whose event type is it?' USING ERRCODE = '22023', HINT = 'Give user_ulid, or the id of an event type that is known.';
	END IF;
	IF event_type_id IS NULL AND NOT (data ? 'title' AND data ? 'slug' AND data ? 'length') THEN
		RAISE EXCEPTION 'a new event type needs title, slug and length' USING ERRCODE = '22023';
	END IF;
	account := dibs.cal_account_of(coach);
	IF account IS NULL THEN
		RAISE EXCEPTION 'there is no access to Cal.com for coach %', coach
			USING ERRCODE = 'F0000', HINT = 'Set the secret cal.api_key, or connect the coach''s account.';
	END IF;
	RETURN dibs.want_change(coach, NULL, event_type_id::text, account,
		CASE WHEN event_type_id IS NULL THEN 'event_type_create' ELSE 'event_type_update' END, data);
END
$$;
REVOKE ALL ON FUNCTION dibs.cal_event_type(jsonb, int, char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.cal_event_type(jsonb, int, char) IS
'Has an event type made at Cal.com, or changed: title, slug, description, length (minutes), hidden, seats. Gives the row of "CalChange" that shows what comes of it. F0000 where no account may.';

CREATE OR REPLACE FUNCTION dibs.cal_keep_key(account text = '', days int = 30) RETURNS char(26)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	whose text := coalesce(cal_keep_key.account, '');
	kept char(26);
BEGIN
	IF cal_keep_key.days IS NULL OR cal_keep_key.days NOT BETWEEN 0 AND 3650 THEN
		RAISE EXCEPTION 'a key cannot live % days', cal_keep_key.days
			USING ERRCODE = '22023', HINT = 'It is 1 to 3650 days, or 0: dibs is to leave the key alone.';
	END IF;
	IF cal_keep_key.days = 0 THEN
		DELETE FROM dibs."CalKey" k WHERE k."account" = whose AND k."state" <> 'renewing' RETURNING k."ulid" INTO kept;
		IF kept IS NULL THEN
			RAISE EXCEPTION 'the key of the account "%" is not kept, or is being renewed', whose
				USING ERRCODE = '55000', HINT = '"CalKey" has those that are.';
		END IF;
		DELETE FROM dibs."Job" j WHERE j."kind" = 'cal_key' AND j."key" = kept AND j."state" = 'waiting';
		PERFORM dibs.note_act('cal_keep_key', kept, jsonb_build_object('account', whose, 'days', 0));
		RETURN kept;
	END IF;
	IF NOT EXISTS (SELECT FROM dibs."Secret" s WHERE s."name" = 'cal.api_key' AND s."account" = whose AND s."state" = 'live' AND s."validUntil" > now()) THEN
		RAISE EXCEPTION 'there is no API key of Cal.com''s for the account "%"', whose
			USING ERRCODE = 'F0000', HINT = 'Set the secret cal.api_key, for the platform or for the account.';
	END IF;
	INSERT INTO dibs."CalKey" AS k ("account", "days") VALUES (whose, cal_keep_key.days)
	ON CONFLICT ON CONSTRAINT "CalKey_account_key" DO UPDATE SET "days" = excluded."days"
	RETURNING k."ulid" INTO kept;
	INSERT INTO dibs."Job" ("kind", "key", "args") VALUES ('cal_key', kept, jsonb_build_object('request', dibs.gen_ulid()))
	ON CONFLICT ("kind", "key") WHERE "state" = 'waiting' DO UPDATE SET "dueAt" = '-infinity', "args" = excluded."args";
	PERFORM dibs.note_act('cal_keep_key', kept, jsonb_build_object('account', whose, 'days', cal_keep_key.days));
	PERFORM dibs.wake();
	RETURN kept;
END
$$;
REVOKE ALL ON FUNCTION dibs.cal_keep_key(text, int) FROM PUBLIC;
COMMENT ON FUNCTION dibs.cal_keep_key(text, int) IS
'Has the worker renew the API key of a Cal.com account ('''' is the platform''s own): now, so that it is known when it runs out, and from then on ahead of that. The new key lives so many days, is sealed here and seen by nobody; the old one is dead, wherever else it is used. days 0: not any more. Gives its row of "CalKey". 22023 for other days, F0000 where there is no key, 55000 where there is nothing to end.';

CREATE OR REPLACE FUNCTION dibs.cal_create_managed_user(user_ulid char(26), email text, name text, time_zone text = NULL) RETURNS char(26)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wish char(26);
	missing text;
BEGIN
	cal_create_managed_user.user_ulid := dibs.read_ulid(cal_create_managed_user.user_ulid::text);
	IF cal_create_managed_user.email IS NULL OR cal_create_managed_user.email !~ '^[^@\s]+@[^@\s]+\.[^@\s]+$' THEN
		RAISE EXCEPTION '"%" is no e-mail address', cal_create_managed_user.email USING ERRCODE = '22023';
	END IF;
	IF coalesce(btrim(cal_create_managed_user.name), '') = '' THEN
		RAISE EXCEPTION 'a user at Cal.com needs a name' USING ERRCODE = '22023';
	END IF;
	IF time_zone IS NOT NULL AND NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = time_zone) THEN
		RAISE EXCEPTION '"%" is no time zone', time_zone USING ERRCODE = '22023', HINT = 'Use an IANA name such as Europe/Berlin.';
	END IF;
	SELECT n INTO missing FROM unnest(ARRAY['cal.platform_client_id', 'cal.platform_client_secret']) n
		WHERE NOT EXISTS (SELECT FROM dibs."Secret" s WHERE s."name" = n AND s."account" = '' AND s."state" = 'live' AND s."validUntil" > now())
		LIMIT 1;
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION 'no user can be made at Cal.com: the secret % is not set', missing
			USING ERRCODE = 'F0000', HINT = 'Set it with dibs.set_sealed_secret or dibs.set_secret_from_file.';
	END IF;
	-- who asks twice is told of the one that is under way
	SELECT c."ulid" INTO wish FROM dibs."CalChange" c JOIN dibs."Job" j ON j."kind" = 'cal_managed_user' AND j."key" = c."ulid" AND j."state" = 'waiting'
		WHERE c."kind" = 'managed_user' AND c."state" = 'waiting' AND c."userUlid" = cal_create_managed_user.user_ulid
			AND lower(c."data"->>'email') = lower(cal_create_managed_user.email);
	IF wish IS NOT NULL THEN
		RETURN wish;
	END IF;
	INSERT INTO dibs."CalChange" ("userUlid", "kind", "data") VALUES (cal_create_managed_user.user_ulid, 'managed_user',
		jsonb_strip_nulls(jsonb_build_object('email', cal_create_managed_user.email, 'name', btrim(cal_create_managed_user.name), 'timeZone', time_zone)))
		RETURNING "ulid" INTO wish;
	INSERT INTO dibs."Job" ("kind", "key") VALUES ('cal_managed_user', wish);
	PERFORM dibs.note_act('cal_create_managed_user', wish, jsonb_build_object('userUlid', cal_create_managed_user.user_ulid));
	PERFORM dibs.wake();
	RETURN wish;
END
$$;
REVOKE ALL ON FUNCTION dibs.cal_create_managed_user(char, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.cal_create_managed_user(char, text, text, text) IS
'Has a managed user made at Cal.com for a coach, by the platform''s client (secrets cal.platform_client_id, cal.platform_client_secret), and connects it: its tokens are sealed, renewed ahead of their expiry, and made anew where they are lost. One for an address: a user who is there already is connected. Gives the row of "CalChange" that shows what comes of it. 22023 for no ULID, address, name or time zone; F0000 where a secret is not set.';

CREATE OR REPLACE FUNCTION dibs.cal_register_webhook(account text, url text) RETURNS char(26)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	registration char(26);
BEGIN
	IF cal_register_webhook.url IS NULL OR cal_register_webhook.url !~ '^https://[^/?#\s@]+(/[^\s?#]*)?$' THEN
		RAISE EXCEPTION '"%" is no URL for webhooks', cal_register_webhook.url
			USING ERRCODE = '22023', HINT = 'It starts with https:// and has no query: PostgREST would take that for filters.';
	END IF;
	IF NOT EXISTS (SELECT FROM dibs.cal_accounts() a WHERE a.account = coalesce(cal_register_webhook.account, '')) THEN
		RAISE EXCEPTION 'there is no access to the Cal.com account "%"', cal_register_webhook.account
			USING ERRCODE = 'F0000', HINT = 'Set the secret cal.api_key, for the platform or for the account.';
	END IF;
	-- a secret of the account's own, made here and seen by nobody; a live one stays, because deliveries bear it
	IF NOT EXISTS (SELECT FROM dibs."Secret" s WHERE s."name" = 'cal.webhook_secret' AND s."state" = 'live'
		AND s."account" = coalesce(cal_register_webhook.account, '') AND s."validUntil" > now()) THEN
		PERFORM dibs.set_secret('cal.webhook_secret', replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), '0',
			coalesce(cal_register_webhook.account, ''));
	END IF;
	INSERT INTO dibs."CalWebhook" AS w ("account", "url") VALUES (coalesce(cal_register_webhook.account, ''), cal_register_webhook.url)
	ON CONFLICT ON CONSTRAINT "CalWebhook_url_key" DO UPDATE SET "state" = 'wanted'
	RETURNING w."ulid" INTO registration;
	INSERT INTO dibs."Job" ("kind", "key") VALUES ('cal_webhook', registration)
	ON CONFLICT ("kind", "key") WHERE "state" = 'waiting' DO UPDATE SET "dueAt" = '-infinity';
	PERFORM dibs.note_act('cal_register_webhook', registration, jsonb_build_object('account', cal_register_webhook.account, 'url', cal_register_webhook.url));
	PERFORM dibs.wake();
	RETURN registration;
END
$$;
REVOKE ALL ON FUNCTION dibs.cal_register_webhook(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.cal_register_webhook(text, text) IS
'Has the worker register a webhook at Cal.com for an account ('''' is the platform''s own), and keep it so: its secret is made and sealed here, checked every six hours and repaired. Gives its row of "CalWebhook". 22023 for no https URL, F0000 where the account may not be asked.';

CREATE OR REPLACE FUNCTION dibs.cal_status() RETURNS TABLE (account text, user_ulid char(26), reachable boolean, authorised boolean,
	webhook text, last_event timestamptz, last_sync timestamptz, lag interval, limit_left int, error text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT a.account, a.user_ulid,
		CASE WHEN j."errorCode" IN ('provider_down', 'provider_tls', 'host_not_allowed', 'not_configured') THEN false
			WHEN j."progress" ? 'limitLeft' OR j."progress" ? 'lastSync' OR j."errorCode" IS NOT NULL THEN true END,
		CASE WHEN j."errorCode" IN ('not_connected', 'reconnect_needed', 'no_permission') THEN false WHEN j."progress" ? 'lastSync' THEN true END,
		coalesce((SELECT string_agg(DISTINCT w."state", ', ') FROM dibs."CalWebhook" w WHERE w."account" = a.account), 'none'),
		(SELECT max(w."createdAt") FROM dibs."WebhookEvent" w WHERE w."source" = 'cal' AND (a.user_ulid IS NULL OR w."userUlid" = a.user_ulid)
			AND w."createdAt" > now() - interval '30 days'),
		(j."progress"->>'lastSync')::timestamptz, now() - (j."progress"->>'asOf')::timestamptz,
		(j."progress"->>'limitLeft')::int, j."error"
	FROM dibs.cal_accounts() a LEFT JOIN dibs."Job" j ON j."kind" = 'cal_sync' AND j."key" = a.account AND j."state" = 'waiting'
$$;
REVOKE ALL ON FUNCTION dibs.cal_status() FROM PUBLIC;
COMMENT ON FUNCTION dibs.cal_status() IS
'Each account at Cal.com: reachable and authorised when it was last asked, its webhook''s state, when the last event came, when the last synchronisation was complete and how far behind it is, and how many requests were left in that minute.';

CREATE OR REPLACE FUNCTION dibs.check_cal(OUT problem text, OUT call text) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('Cal.com account "%s" cannot be synchronised: %s', s.account, s.error), 'SELECT dibs.set_secret(''cal.api_key'', …)'
	FROM dibs.cal_status() s WHERE s.authorised = false
	UNION ALL
	SELECT format('Cal.com is not reachable for account "%s": %s', s.account, s.error), 'SHOW dibs.cal_api_url'
	FROM dibs.cal_status() s WHERE s.reachable = false
	UNION ALL
	SELECT format('Cal.com account "%s" was last in step %s ago', s.account, date_trunc('minute', s.lag)),
		'see dibs.job_progress WHERE kind = ''cal_sync'', and dibs.worker_status'
	FROM dibs.cal_status() s, (SELECT setting::int * interval '1 s' AS every FROM pg_settings WHERE name = 'dibs.cal_sync_interval') i
	WHERE s.authorised IS DISTINCT FROM false AND s.reachable IS DISTINCT FROM false AND i.every > '0' AND s.lag > greatest(3 * i.every, interval '1 h')
	UNION ALL
	SELECT format('the webhook %s is not registered at Cal.com: %s', w."url", w."error"),
		format('SELECT dibs.cal_register_webhook(%L, %L)', w."account", w."url")
	FROM dibs."CalWebhook" w WHERE w."state" = 'failed'
$$;
REVOKE ALL ON FUNCTION dibs.check_cal() FROM PUBLIC;
COMMENT ON FUNCTION dibs.check_cal() IS 'What dibs.health() says of accounts at Cal.com.';
