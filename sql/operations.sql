-- operations: views for people who run it, and the doctor.

CREATE OR REPLACE FUNCTION dibs.due_bookings(OUT state text, OUT count bigint, OUT oldest timestamptz, OUT next timestamptz)
RETURNS SETOF record
-- that wanted and done nearly always are equal, no statistics say: the planner would read the whole table
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
	SELECT CASE WHEN b."dueAt" <= now() THEN 'due' ELSE 'waiting' END, count(*), min(b."updatedAt"), nullif(min(b."dueAt"), '-infinity')
	FROM dibs."CalBooking" b WHERE b."wanted" <> b."done" GROUP BY 1
$$;
REVOKE ALL ON FUNCTION dibs.due_bookings() FROM PUBLIC;
COMMENT ON FUNCTION dibs.due_bookings() IS 'Bookings whose meeting is not as wanted, for dibs.queue_status: read off the due list.';

CREATE OR REPLACE FUNCTION dibs.make_operation_views() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $make$
BEGIN
	CREATE OR REPLACE VIEW dibs.worker_status AS
	SELECT d.datname AS database, w.pid, w.state, w.detail, w.started, w.active, w.in_flight, w.requests, w.settled, w.failed,
		w.databases_waiting
	FROM dibs.worker_slots() w LEFT JOIN pg_database d ON d.oid = w.database;
	REVOKE ALL ON dibs.worker_status FROM PUBLIC;
	COMMENT ON VIEW dibs.worker_status IS
	'The background workers, one row a database that has one: state (starting, idle, working, holding, off), why it holds, requests on the wire, counts since it started. Empty where the library is not preloaded.';

	CREATE OR REPLACE VIEW dibs.queue_status AS
	SELECT 'booking' AS kind, b.state, b.count, b.oldest, b.next FROM dibs.due_bookings() b
	UNION ALL
	SELECT 'removal', CASE WHEN m."dueAt" <= now() THEN 'due' WHEN m."dueAt" = 'infinity' THEN 'failed' ELSE 'waiting' END,
		count(*), min(m."updatedAt"), nullif(nullif(min(m."dueAt"), '-infinity'), 'infinity')
	FROM dibs."Meeting" m WHERE m."bookingUlid" IS NULL AND m."state" <> 'gone' GROUP BY 2
	UNION ALL
	SELECT 'webhook', CASE WHEN e."dueAt" <= now() THEN 'due' ELSE 'waiting' END, count(*), min(e."createdAt"), min(e."dueAt")
	FROM dibs."WebhookEvent" e WHERE e."outcome" = 'queued' GROUP BY 2
	UNION ALL
	SELECT 'job', CASE WHEN j."dueAt" <= now() THEN 'due' ELSE 'waiting' END, count(*), min(j."createdAt"),
		nullif(min(j."dueAt"), '-infinity')
	FROM dibs."Job" j WHERE j."state" = 'waiting' GROUP BY 2;
	REVOKE ALL ON dibs.queue_status FROM PUBLIC;
	COMMENT ON VIEW dibs.queue_status IS
	'What is due and what waits for its time: bookings whose meeting is not as wanted, meetings to be removed, queued webhooks, jobs.';

	CREATE OR REPLACE VIEW dibs.job_progress AS
	SELECT j."ulid" AS job, j."kind" AS kind, j."state" AS state, j."progress" AS progress, j."attempts" AS steps,
		j."error" AS error, j."createdAt" AS created, j."updatedAt" AS updated, j."endedAt" AS ended, j."key" AS key,
		j."errorCode" AS error_code, nullif(j."dueAt", '-infinity') AS due, coalesce(j."leaseUntil" > now(), false) AS running
	FROM dibs."Job" j;
	REVOKE ALL ON dibs.job_progress FROM PUBLIC;
	COMMENT ON VIEW dibs.job_progress IS 'Jobs and how far they are.';

	CREATE OR REPLACE VIEW dibs.metrics AS
	-- one look at the queues, and no condition on their state: it would be tried on every row there is
	SELECT v.name, jsonb_build_object('kind', q.kind, 'state', q.state) AS labels, v.value
	FROM dibs.queue_status q, LATERAL (VALUES ('dibs_queue', q.count::float8),
		('dibs_queue_oldest_seconds', extract(epoch FROM clock_timestamp() - q.oldest)::float8)) v(name, value)
	UNION ALL
	SELECT 'dibs_bookings_next_day', jsonb_build_object('status', b."status", 'meeting_state', b."meetingState"), count(*)::float8
	FROM dibs."CalBooking" b WHERE b."startTime" >= now() AND b."startTime" < now() + interval '1 day'
	GROUP BY b."status", b."meetingState"
	UNION ALL
	SELECT 'dibs_meetings_in_work', jsonb_build_object('action', p."action", 'error', coalesce(p."errorCode", '')), count(*)::float8
	FROM dibs."PendingMeeting" p GROUP BY p."action", p."errorCode"
	UNION ALL
	SELECT 'dibs_host_day_used_max', jsonb_build_object('provider', u."provider"), max(u."used")::float8
	FROM dibs."HostUsage" u WHERE u."day" > now() - interval '1 day' GROUP BY u."provider"
	UNION ALL
	SELECT 'dibs_webhooks', jsonb_build_object('source', w."source", 'outcome', w."outcome"), count(*)::float8
	FROM (SELECT e."source", e."outcome" FROM dibs."WebhookEvent" e WHERE e."outcome" = 'queued' AND e."dueAt" IS NOT NULL
		UNION ALL SELECT e."source", e."outcome" FROM dibs."WebhookEvent" e WHERE e."outcome" = 'unmatched'
		UNION ALL SELECT e."source", e."outcome" FROM dibs."WebhookEvent" e WHERE e."outcome" = 'failed') w
	GROUP BY w."source", w."outcome"
	UNION ALL
	SELECT 'dibs_webhooks_refused_total', jsonb_build_object('source', r.source), r.count::float8 FROM dibs.refused_deliveries() r
	UNION ALL
	SELECT 'dibs_jobs', jsonb_build_object('kind', j.kind, 'state', j.state), count(*)::float8
	FROM dibs.job_progress j WHERE j.state <> 'done' GROUP BY j.kind, j.state
	UNION ALL
	SELECT v.name, jsonb_build_object('provider', c.provider), v.value
	FROM dibs.provider_calls() c, LATERAL (VALUES ('dibs_provider_calls_total', c.calls::float8),
		('dibs_provider_failures_total', c.failures::float8), ('dibs_provider_throttled_total', c.throttled::float8),
		('dibs_provider_refusals_total', c.refusals::float8), ('dibs_provider_seconds_total', c.seconds)) v(name, value)
	UNION ALL
	SELECT v.name, jsonb_build_object('database', w.database), v.value
	FROM dibs.worker_status w, LATERAL (VALUES ('dibs_worker_up', (w.state IN ('idle', 'working'))::int::float8),
		('dibs_worker_in_flight', w.in_flight::float8), ('dibs_worker_requests_total', w.requests::float8),
		('dibs_worker_settled_total', w.settled::float8), ('dibs_worker_failed_total', w.failed::float8)) v(name, value);
	REVOKE ALL ON dibs.metrics FROM PUBLIC;
	COMMENT ON VIEW dibs.metrics IS
	'Numbers for a monitor, as (name, labels, value): queues and how long the oldest due work waits, bookings of the next 24 hours by the state of their meetings, work in hand by error, the fullest host''s day, webhooks that wait or failed, jobs, and since the server started calls by provider and what the workers did. Reads what waits and the next day''s bookings, never all rows. No name, address or link is in it.';
END
$make$;
REVOKE ALL ON FUNCTION dibs.make_operation_views() FROM PUBLIC;
COMMENT ON FUNCTION dibs.make_operation_views() IS 'Makes the operators'' views (again): part of the extension''s script, and of a restore without tables.';

CREATE OR REPLACE FUNCTION dibs.check_installation(OUT problem text, OUT call text) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	preloaded boolean := 'dibs' = ANY (string_to_array(translate(current_setting('shared_preload_libraries'), ' "', ''), ','));
	holding text;
BEGIN
	IF getdatabaseencoding() <> 'UTF8' THEN
		RETURN QUERY SELECT format('the database''s encoding is %s: the json and text faces need UTF8', getdatabaseencoding()),
			'CREATE DATABASE … ENCODING ''UTF8'' TEMPLATE template0';
	END IF;
	RETURN QUERY SELECT format('row level security is on for %s: the worker''s role sees no row', c.oid::regclass),
		format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY, or a policy for the role %s', c.oid::regclass, current_setting('dibs.worker_role'))
	FROM pg_class c WHERE c.relnamespace = 'dibs'::regnamespace AND c.relkind = 'r' AND c.relrowsecurity
	AND NOT (SELECT r.rolbypassrls FROM pg_roles r WHERE r.rolname = current_setting('dibs.worker_role'))
	AND NOT EXISTS (SELECT FROM pg_policy p JOIN pg_roles r ON r.oid = ANY (p.polroles) WHERE p.polrelid = c.oid AND r.rolname = current_setting('dibs.worker_role'));
	RETURN QUERY SELECT k.detail, 'put the right key into dibs.master_key_file and reload; see docs/secrets.md'
	FROM dibs.keyring_status() k WHERE k.detail IS NOT NULL;
	IF NOT preloaded THEN
		RETURN QUERY SELECT 'no worker: the library is not in shared_preload_libraries',
			'ALTER SYSTEM SET shared_preload_libraries = ''dibs''; and restart (or have a scheduler run CALL dibs.drain())';
	ELSE
		SELECT w.detail INTO holding FROM dibs.worker_slots() w
		WHERE w.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND w.state IN ('holding', 'off');
		IF FOUND THEN
			RETURN QUERY SELECT format('the worker does nothing here: %s', holding),
				CASE WHEN holding LIKE '%adopt%' THEN 'SELECT dibs.adopt()'
					WHEN holding LIKE '%ALTER EXTENSION%' THEN 'ALTER EXTENSION dibs UPDATE' ELSE 'see dibs.worker_status' END;
		END IF;
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dibs.check_installation() FROM PUBLIC;
COMMENT ON FUNCTION dibs.check_installation() IS 'What dibs.health() says of the server: preload, encoding, a worker that holds.';

CREATE OR REPLACE FUNCTION dibs.check_first_booking(OUT problem text, OUT call text) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	provider text := current_setting('dibs.default_meeting_provider');
BEGIN
	IF coalesce(current_setting('dibs.master_key_file', true), '') = '' AND
		coalesce(current_setting('dibs.master_key_command', true), '') = '' THEN
		RETURN QUERY SELECT 'no master key: secrets can''t be stored',
			'scripts/make-key FILE (as the server''s user), then ALTER SYSTEM SET dibs.master_key_file = ''FILE''; SELECT pg_reload_conf()';
	END IF;
	IF NOT EXISTS (SELECT FROM dibs.secret_status s WHERE s.name = 'cal.webhook_secret') THEN
		RETURN QUERY SELECT 'no webhook secret of Cal.com''s: its deliveries get 503',
			'SELECT dibs.set_secret_from_file(''cal.webhook_secret'', ''PATH'') (or set_sealed_secret)';
	END IF;
	IF NOT EXISTS (SELECT FROM dibs."ProviderAccount" a WHERE a."provider" = 'cal') AND
		coalesce(current_setting('dibs.default_user_ulid', true), '') = '' AND
		NOT current_setting('dibs.auto_register_coaches')::boolean THEN
		RETURN QUERY SELECT 'no organizer is linked to a coach: bookings stay unmatched',
			'SELECT dibs.link_account(''cal'', USER_ULID, email => ''coach@example.com'')';
	END IF;
	IF provider = 'zoom' THEN
		RETURN QUERY SELECT format('the secret %s is not set', n.name), format('SELECT dibs.set_secret_from_file(%L, ''PATH'')', n.name)
		FROM unnest(ARRAY['zoom.account_id', 'zoom.client_id', 'zoom.client_secret']) AS n(name)
		WHERE NOT EXISTS (SELECT FROM dibs.secret_status s WHERE s.name = n.name);
	ELSIF provider = 'jitsi' AND current_setting('dibs.jitsi_base_url') LIKE '%//meet.jit.si%' THEN
		RETURN QUERY SELECT 'rooms are made on meet.jit.si, which is a place to try things',
			'ALTER SYSTEM SET dibs.jitsi_base_url = ''https://meet.example.com''; SELECT pg_reload_conf()';
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dibs.check_first_booking() FROM PUBLIC;
COMMENT ON FUNCTION dibs.check_first_booking() IS 'What dibs.health() says is missing for the first booking.';

CREATE OR REPLACE FUNCTION dibs.table_objects() RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH t AS (SELECT c.oid, c.relname FROM pg_class c
		JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
		JOIN pg_extension x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass AND x.extname = 'dibs'
		WHERE c.relkind = 'r')
	SELECT format('column %I.%I', t.relname, a.attname) FROM t JOIN pg_attribute a ON a.attrelid = t.oid
	WHERE a.attnum > 0 AND NOT a.attisdropped
	UNION ALL SELECT format('index %I', c.relname) FROM t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class c ON c.oid = i.indexrelid
	UNION ALL SELECT format('trigger %I.%I', t.relname, g.tgname) FROM t JOIN pg_trigger g ON g.tgrelid = t.oid WHERE NOT g.tgisinternal
	UNION ALL SELECT format('constraint %I.%I', t.relname, k.conname) FROM t JOIN pg_constraint k ON k.conrelid = t.oid
	WHERE k.contype IN ('c', 'f', 'u', 'p', 'x')
$$;
REVOKE ALL ON FUNCTION dibs.table_objects() FROM PUBLIC;
COMMENT ON FUNCTION dibs.table_objects() IS 'Columns, indexes, triggers and constraints of dibs'' tables as they are now; compared with what the script made.';

CREATE OR REPLACE FUNCTION dibs.check_work(OUT problem text, OUT call text) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT format('%s webhook deliveries are of an organizer that no coach is linked to, the oldest since %s',
			count(*), min(e."createdAt")),
		'SELECT dibs.link_account(''cal'', USER_ULID, email => …): see dibs."WebhookEvent" WHERE outcome = ''unmatched'''
	FROM dibs."WebhookEvent" e WHERE e."outcome" = 'unmatched' HAVING count(*) > 0;
	RETURN QUERY SELECT format('%s webhook deliveries could not be applied', count(*)),
		'SELECT "ulid", "error" FROM dibs."WebhookEvent" WHERE outcome = ''failed''; then dibs.replay_webhook(ulid)'
	FROM dibs."WebhookEvent" e WHERE e."outcome" = 'failed' HAVING count(*) > 0;
	RETURN QUERY SELECT format('%s bookings ahead have no meeting: %s', count(*), b."meetingErrorCode"),
		'mend the cause, then SELECT dibs.retry_meeting(ulid) for each, or dibs.resync() for all'
	FROM dibs."CalBooking" b WHERE b."startTime" > now() AND b."meetingState" = 'failed'
	GROUP BY b."meetingErrorCode";
	RETURN QUERY SELECT format('%s meetings of deleted bookings could not be removed: %s', count(*), m."errorCode"),
		'mend the cause, then SELECT dibs.resync()'
	FROM dibs."Meeting" m WHERE m."bookingUlid" IS NULL AND m."state" <> 'gone' AND m."dueAt" = 'infinity'
	GROUP BY m."errorCode";
	RETURN QUERY SELECT format('%s was added to a table of dibs: a dump leaves it out', o), 'keep it in a table of your own'
	FROM dibs.table_objects() o WHERE o <> ALL (dibs.own_objects());
END
$$;
REVOKE ALL ON FUNCTION dibs.check_work() FROM PUBLIC;
COMMENT ON FUNCTION dibs.check_work() IS 'What dibs.health() says of work that is stuck, and of what was added to our tables.';

CREATE OR REPLACE FUNCTION dibs.setting_problem(table_name text, key text, value jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN k.kind IS NULL THEN 'is none that is known'
		WHEN k.kind = 'coach' AND table_name <> 'CoachZoomConfig' THEN 'is the coach''s alone'
		WHEN jsonb_typeof(value) = 'null' THEN NULL
		WHEN k.kind IN ('bool', 'coach') AND jsonb_typeof(value) <> 'boolean' THEN 'must be true or false'
		WHEN k.kind = 'text' AND jsonb_typeof(value) <> 'string' THEN 'must be a text'
		WHEN k.kind = 'list' AND jsonb_typeof(value) NOT IN ('array', 'string') THEN 'must be an array of e-mails'
		WHEN k.choices IS NOT NULL AND (jsonb_typeof(value) <> 'string' OR value #>> '{}' <> ALL (string_to_array(k.choices, ' ')))
			THEN 'must be one of ' || replace(k.choices, ' ', ', ')
		END
	FROM (SELECT) one LEFT JOIN (VALUES
		('provider', 'choice', 'zoom jitsi static manual source'),
		('fallbackProvider', 'choice', 'zoom jitsi static manual source'),
		('locationPolicy', 'choice', 'keep replace'),
		('topicTemplate', 'text', NULL), ('agendaTemplate', 'text', NULL), ('timeZone', 'text', NULL),
		('waitingRoom', 'bool', NULL), ('joinBeforeHost', 'bool', NULL), ('muteUponEntry', 'bool', NULL),
		('hostVideo', 'bool', NULL), ('participantVideo', 'bool', NULL),
		('recording', 'choice', 'none local cloud'), ('audio', 'choice', 'both telephony voip thirdParty'),
		('alternativeHosts', 'list', NULL), ('registrants', 'bool', NULL), ('approval', 'choice', 'automatic manual'),
		('manageAdopted', 'coach', NULL), ('personalRoom', 'bool', NULL)) k(key, kind, choices) ON k.key = setting_problem.key
$$;
REVOKE ALL ON FUNCTION dibs.setting_problem(text, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.setting_problem(text, text, jsonb) IS
'What is wrong with a key of "CoachZoomConfig".settings or "CalEventType".settings, or NULL. The write is not refused.';

CREATE OR REPLACE FUNCTION dibs.check_settings(OUT problem text, OUT call text) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('the key %s in the settings of %s rows of %I %s', quote_literal(s.key), count(*), s.name, s.wrong),
		format('UPDATE dibs.%I SET "settings" = "settings" - %L WHERE "ulid" = ANY (%L)', s.name, s.key,
			(array_agg(s."ulid" ORDER BY s."ulid"))[1:20])
	FROM (SELECT x.name, x."ulid", e.key, dibs.setting_problem(x.name, e.key, e.value) AS wrong
		FROM (SELECT 'CoachZoomConfig' AS name, z."ulid", z."settings" FROM dibs."CoachZoomConfig" z
			UNION ALL SELECT 'CalEventType', t."ulid", t."settings" FROM dibs."CalEventType" t) x,
			jsonb_each(CASE jsonb_typeof(x."settings") WHEN 'object' THEN x."settings" ELSE '{}' END) e) s
	WHERE s.wrong IS NOT NULL
	GROUP BY s.name, s.key, s.wrong ORDER BY s.name, s.key
$$;
REVOKE ALL ON FUNCTION dibs.check_settings() FROM PUBLIC;
COMMENT ON FUNCTION dibs.check_settings() IS 'What dibs.health() says of keys in settings that are misspelled or hold something else than they should.';

CREATE OR REPLACE FUNCTION dibs.health() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_build_object('ok', count(*) = 0, 'version', dibs.version(), 'instance', dibs.instance_id(), 'problems',
		coalesce(jsonb_agg(jsonb_build_object('problem', p.problem, 'call', p.call)), '[]'),
		'calendars', (SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.account), '[]') FROM dibs.cal_status() s))
	FROM (
		SELECT * FROM dibs.check_installation()
		UNION ALL SELECT * FROM dibs.check_first_booking()
		UNION ALL SELECT * FROM dibs.check_work()
		UNION ALL SELECT * FROM dibs.check_access()
		UNION ALL SELECT * FROM dibs.check_accounts()
		UNION ALL SELECT * FROM dibs.check_cal()
		UNION ALL SELECT * FROM dibs.check_settings()
	) p
$$;
REVOKE ALL ON FUNCTION dibs.health() FROM PUBLIC;
COMMENT ON FUNCTION dibs.health() IS
'A doctor: {ok, version, instance, problems: [{problem, call}]}, each problem with the exact call that mends it. ok is true where there is none.';
