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
