-- following: "Event" in the order in which followers read it.

CREATE OR REPLACE FUNCTION dibs.event_before_insert() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'dibs_event_before_insert';
REVOKE ALL ON FUNCTION dibs.event_before_insert() FROM PUBLIC;
COMMENT ON FUNCTION dibs.event_before_insert() IS
'Puts a new event after its booking''s last one, in xid and ulid, so that dibs.events_after() keeps each booking''s order. Rows that come with a position of their own (a restore) keep it.';

CREATE OR REPLACE FUNCTION dibs.write_event(user_ulid char(26), booking_ulid char(26), type text, data jsonb = '{}') RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dibs_write_event';
REVOKE ALL ON FUNCTION dibs.write_event(char, char, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.write_event(char, char, text, jsonb) IS
'A row of "Event", for dibs'' own functions. 22004 without a coach or a type.';

DO $make$
BEGIN
IF NOT dibs.tables_wanted() THEN
	RETURN;
END IF;
-- without a WHEN, which every statement would prepare anew: the function itself leaves a booking's first event alone
CREATE TRIGGER "~dibs" BEFORE INSERT ON dibs."Event" FOR EACH ROW EXECUTE FUNCTION dibs.event_before_insert();
END
$make$;

CREATE OR REPLACE FUNCTION dibs.events_after(cursor text = NULL, max_events int = 100)
RETURNS TABLE (cursor_after text, ulid char(26), type text, booking_ulid char(26), user_ulid char(26), data jsonb, created timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	me constant text := dibs.instance_id();
	at_instance text COLLATE "C" := '';
	at_xid xid8 := '0';
	at_ulid char(26) := '';
	parts text[];
	left_over int := coalesce(events_after.max_events, 100);
	found bigint;
BEGIN
	IF left_over < 1 THEN
		RAISE EXCEPTION '% is no number of events', left_over USING ERRCODE = '22023', HINT = 'Ask for 1 or more.';
	END IF;
	IF events_after.cursor <> '' THEN
		parts := regexp_match(events_after.cursor, '^(.*)/(\d{1,20})/([0-9A-Z]{26})$');
		IF parts IS NULL OR parts[2]::numeric > 18446744073709551615 THEN
			RAISE EXCEPTION '"%" is no cursor', left(events_after.cursor, 100)
				USING ERRCODE = '22023', HINT = 'Give cursor_after of the last event that you have seen; null begins with the first.';
		END IF;
		at_instance := parts[1];
		at_xid := parts[2]::xid8;
		at_ulid := parts[3];
	END IF;
	-- what another instance wrote (before a move, a dump, an upgrade) has long been committed, and comes first
	IF at_instance <> me THEN
		RETURN QUERY
		SELECT concat_ws('/', e."instance", e."xid", e."ulid"), e."ulid", e."type", e."bookingUlid", e."userUlid", e."data", e."createdAt"
		FROM dibs."Event" e
		WHERE (e."instance", e."xid", e."ulid") > (at_instance, at_xid, at_ulid) AND e."instance" < me
		ORDER BY e."instance", e."xid", e."ulid" LIMIT left_over;
		GET DIAGNOSTICS found = ROW_COUNT;
		left_over := left_over - found;
		RETURN QUERY
		SELECT concat_ws('/', e."instance", e."xid", e."ulid"), e."ulid", e."type", e."bookingUlid", e."userUlid", e."data", e."createdAt"
		FROM dibs."Event" e
		WHERE (e."instance", e."xid", e."ulid") > (at_instance, at_xid, at_ulid) AND e."instance" > me
		ORDER BY e."instance", e."xid", e."ulid" LIMIT left_over;
		GET DIAGNOSTICS found = ROW_COUNT;
		left_over := left_over - found;
		at_xid := '0';
		at_ulid := '';
	END IF;
	IF left_over > 0 THEN
		-- below the oldest transaction that is still open nothing can appear any more
		RETURN QUERY
		SELECT concat_ws('/', e."instance", e."xid", e."ulid"), e."ulid", e."type", e."bookingUlid", e."userUlid", e."data", e."createdAt"
		FROM dibs."Event" e
		WHERE e."instance" = me AND (e."xid", e."ulid") > (at_xid, at_ulid) AND e."xid" < pg_snapshot_xmin(pg_current_snapshot())
		ORDER BY e."xid", e."ulid" LIMIT left_over;
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dibs.events_after(text, int) FROM PUBLIC;
COMMENT ON FUNCTION dibs.events_after(text, int) IS
'The events after a cursor, in order, at most max_events; null begins with the first there is. Keep cursor_after of the last one you have dealt with. None is skipped, however late its transaction commits, and each booking''s come in their order; what an open transaction may still precede comes later. 22023 for what is no cursor.';
