\echo Use "CREATE EXTENSION dibs" to load this file. \quit

-- head: what every room below stands on.

-- Everything is schema-qualified below; operators are pg_catalog's.
SET LOCAL search_path = pg_catalog, pg_temp;

-- The role that the worker switches to. Roles belong to the cluster, so another database may have made it already.
DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dibs_worker') THEN
		CREATE ROLE dibs_worker NOLOGIN NOSUPERUSER NOINHERIT NOCREATEDB NOCREATEROLE NOREPLICATION;
	END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
	NULL;	-- another database's CREATE EXTENSION was quicker
END
$$;

REVOKE ALL ON SCHEMA dibs FROM PUBLIC;
GRANT USAGE ON SCHEMA dibs TO dibs_worker;
COMMENT ON SCHEMA dibs IS 'dibs: bookings, meetings and their webhooks. Not for exposure as a whole: give a gateway wrappers in a schema of its own.';

CREATE OR REPLACE FUNCTION dibs.is_worker() RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answer boolean := false;
BEGIN
	IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
		EXECUTE 'SELECT groupid <> 0 FROM pg_dist_local_group' INTO answer;
	END IF;
	RETURN coalesce(answer, false);
END
$$;
REVOKE ALL ON FUNCTION dibs.is_worker() FROM PUBLIC;
COMMENT ON FUNCTION dibs.is_worker() IS
'True on a node of a distributed database that gets its tables from a coordinator; false everywhere else.';

CREATE OR REPLACE FUNCTION dibs.tables_wanted() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT NOT dibs.is_worker() AND coalesce(nullif(current_setting('dibs.create_tables', true), ''), 'on')::boolean $$;
REVOKE ALL ON FUNCTION dibs.tables_wanted() FROM PUBLIC;
COMMENT ON FUNCTION dibs.tables_wanted() IS
'True where the extension''s script is to make tables: not on a node that gets them from a coordinator, not with dibs.create_tables off (restore of a scaled-out dump).';
