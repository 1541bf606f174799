-- calendar: asking Cal.com.

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
