-- tail: what needs everything above.

CREATE OR REPLACE FUNCTION dibs.make_views() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $make$
DECLARE
	room text;
BEGIN
	FOR room IN SELECT p.proname FROM pg_proc p
		WHERE p.pronamespace = 'dibs'::regnamespace AND p.proname LIKE 'make\_%\_views' ORDER BY 1
	LOOP
		EXECUTE format('SELECT dibs.%I()', room);
	END LOOP;
END
$make$;
REVOKE ALL ON FUNCTION dibs.make_views() FROM PUBLIC;
COMMENT ON FUNCTION dibs.make_views() IS 'Makes every view (again): called by the script, and after a restore that ran with dibs.create_tables off.';

CREATE OR REPLACE FUNCTION dibs.remember_objects() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $make$
BEGIN
	EXECUTE format('CREATE OR REPLACE FUNCTION dibs.own_objects() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE '
		'SET search_path = pg_catalog, pg_temp AS %L',
		format('SELECT %L::text[]', (SELECT array_agg(o ORDER BY o) FROM dibs.table_objects() o)));
	REVOKE ALL ON FUNCTION dibs.own_objects() FROM PUBLIC;
	COMMENT ON FUNCTION dibs.own_objects() IS 'Columns, indexes, triggers and constraints that the extension''s scripts made.';
END
$make$;
REVOKE ALL ON FUNCTION dibs.remember_objects() FROM PUBLIC;
COMMENT ON FUNCTION dibs.remember_objects() IS 'Called at the end of the extension''s scripts: writes down which objects are its own, so that health() can name what was added.';

DO $make$
BEGIN
	IF dibs.tables_wanted() THEN
		PERFORM dibs.make_views();
		-- an upgrade brings objects that nobody was given yet
		PERFORM dibs.restore_access();
	END IF;
	PERFORM dibs.remember_objects();
	-- at commit, the launcher looks at this database
	PERFORM dibs.wake();
END
$make$;
