-- worker: draining by hand, waking, adopting, and what the workers are doing.

CREATE OR REPLACE PROCEDURE dibs.drain(max_jobs integer DEFAULT 100)
LANGUAGE c AS 'MODULE_PATHNAME', 'dibs_drain';
REVOKE ALL ON PROCEDURE dibs.drain(integer) FROM PUBLIC;
COMMENT ON PROCEDURE dibs.drain(integer) IS
'Does the worker''s job in this session, for a scheduler where no worker runs: claims up to max_jobs due bookings and tombstones, calls the providers, settles. Commits in between, so it can''t be called in a transaction block (25000). Its transactions are READ COMMITTED, whatever the session''s default is. Safe beside a worker and beside itself. 22023 for max_jobs below 1.';

CREATE OR REPLACE FUNCTION dibs.wake() RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dibs_wake';
REVOKE ALL ON FUNCTION dibs.wake() FROM PUBLIC;
COMMENT ON FUNCTION dibs.wake() IS
'Has this database''s worker look for due work when the transaction commits. False where the library is not preloaded. Needed only after writes that no trigger saw.';

CREATE OR REPLACE FUNCTION dibs.version() RETURNS text
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dibs_version';
REVOKE ALL ON FUNCTION dibs.version() FROM PUBLIC;
COMMENT ON FUNCTION dibs.version() IS 'Versions of the SQL objects, the loaded library, libcurl and OpenSSL.';

CREATE OR REPLACE FUNCTION dibs.worker_slots(
	OUT database oid, OUT pid integer, OUT state text, OUT detail text, OUT started timestamptz, OUT active timestamptz,
	OUT in_flight integer, OUT claimed integer, OUT requests bigint, OUT settled bigint, OUT failed bigint,
	OUT databases_waiting integer) RETURNS SETOF record
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dibs_worker_status';
REVOKE ALL ON FUNCTION dibs.worker_slots() FROM PUBLIC;
COMMENT ON FUNCTION dibs.worker_slots() IS 'The workers of all databases as shared memory has them; what dibs.worker_status shows.';

CREATE OR REPLACE FUNCTION dibs.refused_deliveries(OUT source text, OUT count bigint) RETURNS SETOF record
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dibs_refused_deliveries';
REVOKE ALL ON FUNCTION dibs.refused_deliveries() FROM PUBLIC;
COMMENT ON FUNCTION dibs.refused_deliveries() IS
'Webhook deliveries refused since the server started (wrong or missing signature), over all databases. They leave no row.';

CREATE OR REPLACE FUNCTION dibs.provider_calls(OUT provider text, OUT calls bigint, OUT failures bigint, OUT throttled bigint,
	OUT refusals bigint, OUT seconds float8) RETURNS SETOF record
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dibs_provider_calls';
REVOKE ALL ON FUNCTION dibs.provider_calls() FROM PUBLIC;
COMMENT ON FUNCTION dibs.provider_calls() IS
'Requests to each provider since the server started, over all databases: without a whole answer or with 5xx (failures), 429 (throttled), other answers that say no (refusals), and the time they took. Empty where the library is not preloaded.';

CREATE OR REPLACE FUNCTION dibs.current_timeline() RETURNS integer
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dibs_current_timeline';
REVOKE ALL ON FUNCTION dibs.current_timeline() FROM PUBLIC;
COMMENT ON FUNCTION dibs.current_timeline() IS 'The server''s WAL timeline: another one than recorded means a failover or a recovery to a point in time. 25006 on a standby.';

CREATE OR REPLACE FUNCTION dibs.adopt() RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM dibs."Instance" WHERE "instance" <> dibs.instance_id();
	INSERT INTO dibs."Instance" ("instance", "site", "timeline", "cautiousSince")
	VALUES (dibs.instance_id(), coalesce(current_setting('dibs.site', true), ''), dibs.current_timeline(), now())
	ON CONFLICT ON CONSTRAINT "Instance_pkey" DO UPDATE
	SET "site" = excluded."site", "timeline" = excluded."timeline", "cautiousSince" = excluded."cautiousSince",
		"updatedAt" = excluded."cautiousSince";
	-- a job of its own instance: those of the other one are among what it restamps
	INSERT INTO dibs."Job" ("kind") VALUES ('adopt') ON CONFLICT ("kind", "key") WHERE "state" = 'waiting'
	DO UPDATE SET "instance" = excluded."instance", "dueAt" = '-infinity';
	PERFORM dibs.note_act('adopt', dibs.instance_id());
	PERFORM dibs.wake();
	RETURN dibs.instance_id();
END
$$;
REVOKE ALL ON FUNCTION dibs.adopt() FROM PUBLIC;
COMMENT ON FUNCTION dibs.adopt() IS
'Says that this database, a copy, is to act on its rows from now on: a restored dump, a clone, the survivor of a move. Rows are restamped by a job; meetings of bookings older than this moment are looked for at the provider before they are made. Make sure that the original acts no more. Returns the instance.';

CREATE OR REPLACE FUNCTION dibs.resync() RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO dibs."Job" ("kind", "args") VALUES ('resync', '{"all": true}') ON CONFLICT ("kind", "key") WHERE "state" = 'waiting'
	DO UPDATE SET "args" = excluded."args", "dueAt" = '-infinity', "progress" = '{}';
	PERFORM dibs.wake();
	RETURN (SELECT "ulid" FROM dibs."Job" WHERE "kind" = 'resync' AND "state" = 'waiting');
END
$$;
REVOKE ALL ON FUNCTION dibs.resync() FROM PUBLIC;
COMMENT ON FUNCTION dibs.resync() IS
'Has the resync job look at every live booking that lies ahead, and at every meeting without one, now: for rows that no trigger saw, and after settings of coaches, event types or the server changed. It also runs by itself, daily and when a worker first looks, and then touches only what does not fit. Returns the job''s ulid; see dibs.job_progress.';

-- What the worker's own statements and the tables' defaults call.
GRANT EXECUTE ON FUNCTION dibs.instance_id(), dibs.gen_ulid() TO dibs_worker;
