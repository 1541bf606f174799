-- access_expose: wrappers and views for PostgREST in a schema of the application's. Not part of the extension.

CREATE OR REPLACE FUNCTION dibs.expose_table() RETURNS TABLE (part text, objects text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
	('webhooks', 'cal_webhook zoom_webhook calendly_webhook daily_webhook jaas_webhook'),
	('bookings', 'my_bookings my_seats create_booking update_booking confirm_booking decline_booking cancel_booking reschedule_booking '
		'add_guests mark_no_show rate_booking booking_timeline create_meeting retry_meeting meeting_state update_meeting_status'),
	('joining', 'join_meeting validate_session_token generate_participant_token generate_participant_tokens generate_host_token revoke_tokens '
		'host_url'),
	('slots', 'cal_slots'),
	('accounts', 'oauth_authorize_url oauth_callback disconnect_account connections'),
	('cal_bookings', 'cal_bookings'),
	('cal_event_types', 'cal_event_types')
$$;
REVOKE ALL ON FUNCTION dibs.expose_table() FROM PUBLIC;
COMMENT ON FUNCTION dibs.expose_table() IS 'The parts of dibs.expose(), and which functions and views each has.';

CREATE OR REPLACE FUNCTION dibs.exposed_objects(in_schema name = NULL) RETURNS TABLE (object text, name text, kind text, schema name)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), p.proname::text, 'ROUTINE', n.nspname
	FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
	JOIN pg_description d ON d.classoid = 'pg_proc'::regclass AND d.objoid = p.oid AND d.objsubid = 0
	WHERE d.description LIKE '%[made by dibs.expose()]' AND (in_schema IS NULL OR n.nspname = in_schema)
	UNION ALL
	SELECT format('%I.%I', n.nspname, c.relname), c.relname::text, 'TABLE', n.nspname
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0
	WHERE c.relkind = 'v' AND d.description LIKE '%[made by dibs.expose()]' AND (in_schema IS NULL OR n.nspname = in_schema)
$$;
REVOKE ALL ON FUNCTION dibs.exposed_objects(name) FROM PUBLIC;
COMMENT ON FUNCTION dibs.exposed_objects(name) IS 'What dibs.expose() has made and is still there, known by its COMMENT.';

CREATE OR REPLACE FUNCTION dibs.note_exposure(action text, schema name, parts text[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT dibs.note_act(action, schema::text, jsonb_build_object('parts', parts)) WHERE action IN ('expose', 'unexpose') $$;
REVOKE ALL ON FUNCTION dibs.note_exposure(text, name, text[]) FROM PUBLIC;
COMMENT ON FUNCTION dibs.note_exposure(text, name, text[]) IS 'The audit row of dibs.expose(), which runs as its caller.';

CREATE OR REPLACE FUNCTION dibs.wrapper_body(function_oid oid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	f pg_proc%ROWTYPE;
	call text;
	before text := '';
BEGIN
	SELECT * INTO f FROM pg_proc p WHERE p.oid = function_oid;
	call := format('dibs.%I(%s)', f.proname, (SELECT string_agg('$' || i, ', ' ORDER BY i) FROM generate_series(1, f.pronargs) i));
	IF f.proname = 'create_booking' THEN
		before := E'\tPERFORM pg_catalog.set_config(''response.status'', ''201'', true);\n';
	ELSIF f.proname IN ('join_meeting', 'generate_participant_token', 'generate_participant_tokens', 'generate_host_token', 'host_url') THEN
		before := E'\tPERFORM pg_catalog.set_config(''response.headers'', ''[{"Cache-Control": "no-store"}]'', true);\n';
	END IF;
	RETURN format($body$
DECLARE
	said text;
	hint text;
BEGIN
%s	%s;%s
EXCEPTION
	WHEN no_data_found THEN
		GET STACKED DIAGNOSTICS said = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
		RAISE EXCEPTION USING ERRCODE = 'PT404', MESSAGE = said, HINT = hint;
	WHEN exclusion_violation OR object_not_in_prerequisite_state THEN
		GET STACKED DIAGNOSTICS said = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
		RAISE EXCEPTION USING ERRCODE = 'PT409', MESSAGE = said, HINT = hint;
	WHEN config_file_error THEN
		GET STACKED DIAGNOSTICS said = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
		RAISE EXCEPTION USING ERRCODE = 'PT503', MESSAGE = said, HINT = hint;
END
$body$, before,
		CASE WHEN f.proretset THEN 'RETURN QUERY SELECT * FROM ' || call
			WHEN f.prorettype = 'void'::regtype THEN 'PERFORM ' || call ELSE 'RETURN ' || call END,
		CASE WHEN f.proretset THEN E'\n\tRETURN;' ELSE '' END);
END
$$;
REVOKE ALL ON FUNCTION dibs.wrapper_body(oid) FROM PUBLIC;
COMMENT ON FUNCTION dibs.wrapper_body(oid) IS 'The body of the wrapper around one of dibs'' functions: the same, with SQLSTATEs from which PostgREST makes the right HTTP status.';

CREATE OR REPLACE FUNCTION dibs.drop_exposed(in_schema name) RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	one record;
	dropped int := 0;
BEGIN
	FOR one IN SELECT * FROM dibs.exposed_objects(in_schema) LOOP
		EXECUTE format('DROP %s %s', CASE one.kind WHEN 'ROUTINE' THEN 'FUNCTION' ELSE 'VIEW' END, one.object);
		dropped := dropped + 1;
	END LOOP;
	RETURN dropped;
END
$$;
REVOKE ALL ON FUNCTION dibs.drop_exposed(name) FROM PUBLIC;
COMMENT ON FUNCTION dibs.drop_exposed(name) IS 'Drops what dibs.expose() made in a schema, and nothing else.';

CREATE OR REPLACE FUNCTION dibs.expose(schema name = 'dibs_api',
	parts text[] = '{webhooks,bookings,joining,slots,accounts,cal_bookings,cal_event_types}') RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unknown text;
	one record;
	made int := 0;
	mark constant text := ' [made by dibs.expose()]';
BEGIN
	IF expose.schema IS NULL OR expose.schema IN ('dibs', 'information_schema') OR starts_with(expose.schema::text, 'pg_') THEN
		RAISE EXCEPTION '"%" is no schema to expose things in', expose.schema
			USING ERRCODE = '22023', HINT = 'Name one of the application''s, such as dibs_api; a missing one is made.';
	END IF;
	SELECT p INTO unknown FROM unnest(expose.parts) p WHERE p IS NULL OR p NOT IN (SELECT t.part FROM dibs.expose_table() t) LIMIT 1;
	IF unknown IS NOT NULL OR expose.parts IS NULL OR cardinality(expose.parts) = 0 THEN
		RAISE EXCEPTION '"%" is no part', unknown USING ERRCODE = '22023',
			HINT = format('The parts are %s.', (SELECT string_agg(t.part, ', ') FROM dibs.expose_table() t));
	END IF;
	IF NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = expose.schema) THEN
		EXECUTE format('CREATE SCHEMA %I', expose.schema);
	END IF;
	PERFORM dibs.drop_exposed(expose.schema);

	FOR one IN
		SELECT p.oid, p.proname::text AS name, 'FUNCTION' AS kind, p.pronargs, p.provolatile, p.proargnames,
			format('%I.%I(%s)', expose.schema, p.proname, pg_get_function_identity_arguments(p.oid)) AS object,
			format('%I.%I(%s)', expose.schema, p.proname, pg_get_function_arguments(p.oid)) AS declared,
			obj_description(p.oid, 'pg_proc') AS comment
		FROM dibs.expose_table() t, string_to_table(t.objects, ' ') o JOIN pg_proc p ON p.pronamespace = 'dibs'::regnamespace AND p.proname = o
		WHERE t.part = ANY (expose.parts)
		UNION ALL
		SELECT c.oid, c.relname::text, 'VIEW', 0, NULL, NULL, format('%I.%I', expose.schema, c.relname), NULL, obj_description(c.oid, 'pg_class')
		FROM dibs.expose_table() t, string_to_table(t.objects, ' ') o JOIN pg_class c ON c.relnamespace = 'dibs'::regnamespace AND c.relname = o
		WHERE t.part = ANY (expose.parts) AND c.relkind = 'v'
	LOOP
		-- by name alone: an overload would keep PostgREST from choosing
		IF EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = expose.schema
				AND p.proname = one.name AND one.kind = 'FUNCTION' AND NOT EXISTS (SELECT FROM dibs.exposed_objects(expose.schema) e
					WHERE e.name = one.name AND e.kind = 'ROUTINE'))
			OR EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = expose.schema
				AND c.relname = one.name AND one.kind = 'VIEW') THEN
			RAISE EXCEPTION 'there is a % % already, which dibs did not make', lower(one.kind), format('%I.%I', expose.schema, one.name)
				USING ERRCODE = '42710', HINT = 'Choose another schema, leave that part out, or drop it.';
		END IF;
		IF one.kind = 'VIEW' THEN
			EXECUTE format('CREATE VIEW %s WITH (security_invoker) AS SELECT * FROM dibs.%I', one.object, one.name);
		ELSIF one.proargnames IS NULL THEN
			-- a raw body has no name, and its functions raise nothing for what a sender did
			EXECUTE format('CREATE FUNCTION %s RETURNS %s LANGUAGE sql %s AS %L', one.declared, pg_get_function_result(one.oid),
				'VOLATILE', format('SELECT dibs.%I($1)', one.name));
		ELSE
			EXECUTE format('CREATE FUNCTION %s RETURNS %s LANGUAGE plpgsql %s AS %L', one.declared, pg_get_function_result(one.oid),
				CASE one.provolatile WHEN 'v' THEN 'VOLATILE' ELSE 'STABLE' END, dibs.wrapper_body(one.oid));
		END IF;
		EXECUTE format('REVOKE ALL ON %s %s FROM PUBLIC', CASE one.kind WHEN 'VIEW' THEN 'TABLE' ELSE 'FUNCTION' END, one.object);
		EXECUTE format('COMMENT ON %s %s IS %L', one.kind, one.object, coalesce(one.comment, '') || mark);
		made := made + 1;
	END LOOP;

	FOR one IN SELECT g."role", g."level" FROM dibs."AccessGrant" g JOIN pg_roles r ON r.rolname = g."role" LOOP
		PERFORM dibs.apply_exposed(one."role", one."level", expose.schema);
	END LOOP;
	PERFORM dibs.note_exposure('expose', expose.schema, expose.parts);
	PERFORM pg_notify('pgrst', 'reload schema');
	RETURN made;
END
$$;
REVOKE ALL ON FUNCTION dibs.expose(name, text[]) FROM PUBLIC;
COMMENT ON FUNCTION dibs.expose(name, text[]) IS
'Makes thin wrappers and views for PostgREST in a schema of the application''s: parts webhooks, bookings, joining, slots, accounts, cal_bookings, cal_event_types. They do what dibs'' own do, as their caller, who needs the level for it; SQLSTATEs become HTTP statuses (docs/postgrest.md). Again: made anew, what an earlier call made there and this one does not name goes, nothing else is touched. Runs as its caller, who needs CREATE there. 42710 where something of that name is there that dibs did not make; 22023 for an unknown part. Gives how many objects it made.';

CREATE OR REPLACE FUNCTION dibs.unexpose(schema name = 'dibs_api') RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	dropped int := dibs.drop_exposed(unexpose.schema);
BEGIN
	IF dropped > 0 THEN
		PERFORM dibs.note_exposure('unexpose', unexpose.schema, NULL);
		PERFORM pg_notify('pgrst', 'reload schema');
	END IF;
	RETURN dropped;
END
$$;
REVOKE ALL ON FUNCTION dibs.unexpose(name) FROM PUBLIC;
COMMENT ON FUNCTION dibs.unexpose(name) IS 'Drops what dibs.expose() made in a schema; the schema and everything else in it stay. Gives how many objects that were.';

CREATE OR REPLACE FUNCTION dibs.apply_exposed(role text, level text, in_schema name = NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	one record;
BEGIN
	FOR one IN
		SELECT e.object, e.kind, e.schema, max(o.privileges) AS privileges
		FROM dibs.exposed_objects(in_schema) e JOIN dibs.access_objects() o ON o.name = e.name AND o.kind = e.kind
		WHERE o.level = apply_exposed.level GROUP BY 1, 2, 3
	LOOP
		EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', one.schema, role);
		EXECUTE format('GRANT %s ON %s %s TO %I', one.privileges, one.kind, one.object, role);
	END LOOP;
END
$$;
REVOKE ALL ON FUNCTION dibs.apply_exposed(text, text, name) FROM PUBLIC;
COMMENT ON FUNCTION dibs.apply_exposed(text, text, name) IS 'Gives a role what its level may of what dibs.expose() has made.';
