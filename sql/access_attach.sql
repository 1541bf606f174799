-- access_attach: the application's own tables of users and sessions.

CREATE OR REPLACE FUNCTION dibs.user_ulid_of(key text) RETURNS char(26)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF dibs.is_ulid(key) THEN
		RETURN dibs.read_ulid(key);
	END IF;
	IF key ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
		RETURN dibs.uuid_to_ulid(key::uuid);
	END IF;
	RETURN (SELECT k."userUlid" FROM dibs."UserKey" k WHERE k."key" = user_ulid_of.key);
END
$$;
REVOKE ALL ON FUNCTION dibs.user_ulid_of(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.user_ulid_of(text) IS
'The userUlid of an application''s user key: a ULID is it, a uuid maps one to one, anything else is looked up in "UserKey". NULL where that does not have it.';

CREATE OR REPLACE FUNCTION dibs.user_ulids_of(key text) RETURNS SETOF char(26)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT u FROM (SELECT dibs.user_ulid_of(key) UNION SELECT key::char(26) WHERE dibs.is_ulid(key)) s(u) WHERE u IS NOT NULL
$$;
REVOKE ALL ON FUNCTION dibs.user_ulids_of(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.user_ulids_of(text) IS
'What rows may have of an application''s key: what dibs.user_ulid_of() says, and a ULID as the application itself spells it.';

CREATE OR REPLACE FUNCTION dibs.needs_user_key(key text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT key IS NOT NULL AND NOT dibs.is_ulid(key) AND key !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' $$;
REVOKE ALL ON FUNCTION dibs.needs_user_key(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.needs_user_key(text) IS 'Whether a user key is neither a ULID nor a uuid, and so needs a row in "UserKey".';

CREATE OR REPLACE FUNCTION dibs.users_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	keys text[];
	users char(26)[];
	gone record;
BEGIN
	EXECUTE format('SELECT array_agg(DISTINCT %I::text) FROM old_rows', TG_ARGV[0]) INTO keys;
	SELECT array_agg(u) INTO users FROM unnest(keys) k, dibs.user_ulids_of(k) u;
	IF users IS NULL THEN
		RETURN NULL;
	END IF;
	FOR gone IN
		WITH deleted AS (DELETE FROM dibs."CalBooking" b WHERE b."userUlid" = ANY (users) RETURNING b."userUlid")
		SELECT d."userUlid" AS user_ulid, count(*) AS bookings FROM deleted d GROUP BY 1
	LOOP
		PERFORM dibs.note_act('user_deleted', gone.user_ulid, jsonb_build_object('bookings', gone.bookings,
			'table', format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME)));
	END LOOP;
	PERFORM dibs.disconnect_users(users);
	DELETE FROM dibs."UserKey" k WHERE k."key" = ANY (keys);
	RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION dibs.users_deleted() FROM PUBLIC;
COMMENT ON FUNCTION dibs.users_deleted() IS 'Trigger of an attached table of users: a deleted user''s bookings go, and with them their meetings.';

CREATE OR REPLACE FUNCTION dibs.users_added() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('INSERT INTO dibs."UserKey" ("key") SELECT DISTINCT %1$I::text FROM new_rows WHERE dibs.needs_user_key(%1$I::text) '
		'ON CONFLICT ON CONSTRAINT "UserKey_pkey" DO NOTHING', TG_ARGV[0]);
	RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION dibs.users_added() FROM PUBLIC;
COMMENT ON FUNCTION dibs.users_added() IS 'Trigger of an attached table of users: a key that is neither ULID nor uuid gets its userUlid.';

CREATE OR REPLACE FUNCTION dibs.user_renamed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	old_key text := to_jsonb(OLD)->>TG_ARGV[0];
	new_key text := to_jsonb(NEW)->>TG_ARGV[0];
BEGIN
	IF dibs.needs_user_key(old_key) AND dibs.needs_user_key(new_key) THEN
		UPDATE dibs."UserKey" k SET "key" = new_key WHERE k."key" = old_key;
	ELSIF EXISTS (SELECT FROM dibs."CalBooking" b WHERE b."userUlid" IN (SELECT dibs.user_ulids_of(old_key))) THEN
		RAISE EXCEPTION 'the key of user "%" cannot become "%": bookings carry it', old_key, new_key
			USING ERRCODE = '0A000', HINT = 'Give the bookings to the new user with dibs.reassign_booking() first.';
	ELSIF dibs.needs_user_key(new_key) THEN
		INSERT INTO dibs."UserKey" ("key") VALUES (new_key) ON CONFLICT ON CONSTRAINT "UserKey_pkey" DO NOTHING;
	END IF;
	RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION dibs.user_renamed() FROM PUBLIC;
COMMENT ON FUNCTION dibs.user_renamed() IS 'Trigger of an attached table of users: a changed key stays the same user''s. 0A000 where bookings carry the key itself.';

CREATE OR REPLACE FUNCTION dibs.users_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM dibs."CalBooking") THEN
		RAISE EXCEPTION 'TRUNCATE of % would leave bookings without their users', format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME)
			USING ERRCODE = '0A000', HINT = 'DELETE the rows, or call dibs.detach_users() first.';
	END IF;
	RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION dibs.users_truncated() FROM PUBLIC;
COMMENT ON FUNCTION dibs.users_truncated() IS 'Trigger of an attached table of users: TRUNCATE is refused (0A000) while there are bookings.';

CREATE OR REPLACE FUNCTION dibs.sessions_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	sessions char(26)[];
BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		UPDATE dibs."CalBooking" b SET "sessionUlid" = NULL WHERE b."sessionUlid" IS NOT NULL;
		RETURN NULL;
	END IF;
	EXECUTE format('SELECT array_agg(u) FROM old_rows, dibs.user_ulids_of(%I::text) u', TG_ARGV[0]) INTO sessions;
	UPDATE dibs."CalBooking" b SET "sessionUlid" = NULL WHERE b."sessionUlid" = ANY (sessions);
	RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION dibs.sessions_deleted() FROM PUBLIC;
COMMENT ON FUNCTION dibs.sessions_deleted() IS 'Trigger of an attached table of sessions: a deleted session leaves "sessionUlid".';

CREATE OR REPLACE FUNCTION dibs.session_renamed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE dibs."CalBooking" b SET "sessionUlid" = dibs.user_ulid_of(to_jsonb(NEW)->>TG_ARGV[0])
		WHERE b."sessionUlid" IN (SELECT dibs.user_ulids_of(to_jsonb(OLD)->>TG_ARGV[0]));
	RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION dibs.session_renamed() FROM PUBLIC;
COMMENT ON FUNCTION dibs.session_renamed() IS 'Trigger of an attached table of sessions: a changed key is followed.';

CREATE OR REPLACE FUNCTION dibs.check_attachable(tab regclass, key_column name) RETURNS regtype
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	caller text := CASE current_setting('role') WHEN 'none' THEN session_user::text ELSE current_setting('role') END;
	of_type regtype;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = tab AND c.relkind IN ('r', 'p') AND c.relnamespace <> 'dibs'::regnamespace
		AND c.relnamespace <> 'pg_catalog'::regnamespace) THEN
		RAISE EXCEPTION '% is no table of the application''s', tab USING ERRCODE = '22023';
	END IF;
	-- this runs as dibs' owner, who may do more
	IF NOT has_table_privilege(caller, tab, 'TRIGGER') THEN
		RAISE EXCEPTION 'permission denied for table %', tab USING ERRCODE = '42501', HINT = 'It takes the right to make triggers on it.';
	END IF;
	SELECT a.atttypid INTO of_type FROM pg_attribute a WHERE a.attrelid = tab AND a.attname = key_column AND a.attnum > 0
		AND NOT a.attisdropped;
	IF of_type IS NULL THEN
		RAISE EXCEPTION '% has no column "%"', tab, key_column USING ERRCODE = '22023';
	END IF;
	RETURN of_type;
END
$$;
REVOKE ALL ON FUNCTION dibs.check_attachable(regclass, name) FROM PUBLIC;
COMMENT ON FUNCTION dibs.check_attachable(regclass, name) IS 'Refuses what cannot be attached; gives the type of the key.';

CREATE OR REPLACE FUNCTION dibs.drop_triggers(tab regclass, prefix text) RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	one record;
	dropped int := 0;
BEGIN
	FOR one IN SELECT t.tgname FROM pg_trigger t WHERE t.tgrelid = tab AND NOT t.tgisinternal AND starts_with(t.tgname::text, prefix) LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', one.tgname, tab);
		dropped := dropped + 1;
	END LOOP;
	RETURN dropped;
END
$$;
REVOKE ALL ON FUNCTION dibs.drop_triggers(regclass, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.drop_triggers(regclass, text) IS 'Drops the triggers that were made on an attached table.';

CREATE OR REPLACE FUNCTION dibs.attach_users(users_table regclass, key_column name) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	of_type regtype := dibs.check_attachable(users_table, key_column);
BEGIN
	PERFORM dibs.drop_triggers(users_table, 'dibs_users_');
	EXECUTE format('CREATE TRIGGER dibs_users_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows '
		'FOR EACH STATEMENT EXECUTE FUNCTION dibs.users_deleted(%L)', users_table, key_column);
	EXECUTE format('CREATE TRIGGER dibs_users_update AFTER UPDATE OF %1$I ON %2$s FOR EACH ROW WHEN (OLD.%1$I IS DISTINCT FROM NEW.%1$I) '
		'EXECUTE FUNCTION dibs.user_renamed(%3$L)', key_column, users_table, key_column);
	EXECUTE format('CREATE TRIGGER dibs_users_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION dibs.users_truncated()',
		users_table);
	IF of_type NOT IN ('uuid'::regtype, 'bpchar'::regtype) THEN
		EXECUTE format('CREATE TRIGGER dibs_users_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows '
			'FOR EACH STATEMENT EXECUTE FUNCTION dibs.users_added(%L)', users_table, key_column);
		EXECUTE format('INSERT INTO dibs."UserKey" ("key") SELECT DISTINCT %1$I::text FROM %2$s WHERE dibs.needs_user_key(%1$I::text) '
			'ON CONFLICT ON CONSTRAINT "UserKey_pkey" DO NOTHING', key_column, users_table);
	END IF;
	PERFORM dibs.note_act('attach_users', users_table::text, jsonb_build_object('key', key_column));
END
$$;
REVOKE ALL ON FUNCTION dibs.attach_users(regclass, name) FROM PUBLIC;
COMMENT ON FUNCTION dibs.attach_users(regclass, name) IS
'Puts triggers on the application''s own table of users: a user''s deletion takes their bookings, and the meetings go. A key that is a ULID is the userUlid, a uuid maps one to one, any other gets a userUlid in "UserKey". Again: made anew. 22023 for what is no table of the application''s or has no such column, 42501 without the right to make triggers there.';

CREATE OR REPLACE FUNCTION dibs.detach_users(users_table regclass) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	dropped int;
BEGIN
	PERFORM dibs.check_attachable(users_table, (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = users_table AND a.attnum > 0
		AND NOT a.attisdropped LIMIT 1));
	dropped := dibs.drop_triggers(users_table, 'dibs_users_');
	IF dropped > 0 THEN
		PERFORM dibs.note_act('detach_users', users_table::text);
	END IF;
	RETURN dropped > 0;
END
$$;
REVOKE ALL ON FUNCTION dibs.detach_users(regclass) FROM PUBLIC;
COMMENT ON FUNCTION dibs.detach_users(regclass) IS 'Takes the triggers of dibs.attach_users() off again; bookings and "UserKey" stay. False where there were none.';

CREATE OR REPLACE FUNCTION dibs.attach_sessions(sessions_table regclass, key_column name) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	of_type regtype := dibs.check_attachable(sessions_table, key_column);
BEGIN
	IF of_type NOT IN ('uuid'::regtype, 'bpchar'::regtype, 'text'::regtype, 'varchar'::regtype) THEN
		RAISE EXCEPTION 'a session''s key of type % has no place in "sessionUlid"', of_type
			USING ERRCODE = '22023', HINT = 'It takes a ULID or a uuid.';
	END IF;
	PERFORM dibs.drop_triggers(sessions_table, 'dibs_sessions_');
	EXECUTE format('CREATE TRIGGER dibs_sessions_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows '
		'FOR EACH STATEMENT EXECUTE FUNCTION dibs.sessions_deleted(%L)', sessions_table, key_column);
	EXECUTE format('CREATE TRIGGER dibs_sessions_update AFTER UPDATE OF %1$I ON %2$s FOR EACH ROW WHEN (OLD.%1$I IS DISTINCT FROM NEW.%1$I) '
		'EXECUTE FUNCTION dibs.session_renamed(%3$L)', key_column, sessions_table, key_column);
	EXECUTE format('CREATE TRIGGER dibs_sessions_truncate AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION dibs.sessions_deleted(%L)',
		sessions_table, key_column);
	PERFORM dibs.note_act('attach_sessions', sessions_table::text, jsonb_build_object('key', key_column));
END
$$;
REVOKE ALL ON FUNCTION dibs.attach_sessions(regclass, name) FROM PUBLIC;
COMMENT ON FUNCTION dibs.attach_sessions(regclass, name) IS
'Puts triggers on the application''s own table of sessions: "sessionUlid" of a booking is cleared when its session is deleted. The key is a ULID, or a uuid, which maps one to one (dibs.uuid_to_ulid). 22023, 42501 as dibs.attach_users().';

CREATE OR REPLACE FUNCTION dibs.detach_sessions(sessions_table regclass) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	dropped int;
BEGIN
	PERFORM dibs.check_attachable(sessions_table, (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = sessions_table AND a.attnum > 0
		AND NOT a.attisdropped LIMIT 1));
	dropped := dibs.drop_triggers(sessions_table, 'dibs_sessions_');
	IF dropped > 0 THEN
		PERFORM dibs.note_act('detach_sessions', sessions_table::text);
	END IF;
	RETURN dropped > 0;
END
$$;
REVOKE ALL ON FUNCTION dibs.detach_sessions(regclass) FROM PUBLIC;
COMMENT ON FUNCTION dibs.detach_sessions(regclass) IS 'Takes the triggers of dibs.attach_sessions() off again; "sessionUlid" stays. False where there were none.';
