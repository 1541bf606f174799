-- access: levels, what each may, and what members read. One table says it for every object of the schema.

CREATE OR REPLACE FUNCTION dibs.access_table() RETURNS TABLE (objects text, levels text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	-- Every table, view and function of the schema is here, once: by name, all of one name together. Levels are those that
	-- may call a function or read a view or table; "=rawd" after one says more (read, add, write, delete). No level:
	-- for dibs' own functions, which run as the owner.
	VALUES
	-- tables of the application's own concern, as an ORM needs them
	('CalBooking CoachZoomConfig', 'app=rawd admin=rawd'),
	('Coach CalEventType UserKey', 'app=rawd admin=rawd'),
	-- what the application may look up
	('BookingParticipant BookingUid CalChange Event Meeting MeetingAttendance MeetingRecording MeetingSession ProviderAccount', 'app=r admin=r'),
	-- what an administrator may look up
	('CalWebhook CalKey', 'app=r admin=r'),
	('AccessGrant AuditLog HostUsage Instance Job PendingMeeting WebhookEvent', 'admin=r'),
	('ProviderCredential Secret SealedPayload OAuthState', ''),

	-- senders of webhooks, and nothing else for them
	('WebhookInbox', 'webhook=a app=a admin=a'),
	('receive_webhook receive_webhook_bytes cal_webhook zoom_webhook calendly_webhook daily_webhook jaas_webhook', 'webhook app admin'),

	-- everybody who may come near
	('gen_ulid is_ulid ulid_to_timestamp ulid_from_timestamp ulid_to_uuid uuid_to_ulid', 'public member app admin'),
	('cal_event_types', 'public member app admin'),
	('join_meeting validate_session_token cal_slots', 'public member app admin'),

	-- members: coaches and participants, each with what is theirs
	('current_user_ulid current_email is_admin sees_all', 'public member app admin'),
	('my_bookings my_seats cal_bookings', 'member app admin'),
	('public_participants', 'member app admin'),
	('create_booking update_booking confirm_booking decline_booking cancel_booking reschedule_booking', 'member app admin'),
	('generate_participant_token generate_participant_tokens generate_host_token revoke_tokens', 'member app admin'),
	('add_guests mark_no_show rate_booking booking_timeline', 'member app admin'),
	('create_meeting retry_meeting host_url meeting_state update_meeting_status recording_url', 'member app admin'),
	('oauth_authorize_url disconnect_account connections', 'member app admin'),
	-- the state alone lets in: where the provider sends a browser back to, nobody may be signed in
	('oauth_callback', 'public member app admin'),

	-- the application's server
	('act_as reassign_booking link_account', 'app admin'),
	('attendance meeting_times coach_attendance events_after minutes_present', 'app admin'),
	('cal_create_managed_user', 'app admin'),
	('cal_busy_times cal_availability cal_me cal_event_type sync_bookings sync_event_types cal_register_webhook', 'app admin'),
	('instance_id wake drain apply_webhooks', 'app admin'),
	('verify_cal_signature verify_cal_signature_bytes verify_zoom_signature verify_zoom_signature_bytes', 'app admin'),
	('verify_calendly_signature verify_calendly_signature_bytes verify_daily_signature verify_daily_signature_bytes', 'app admin'),
	('verify_standard_webhook verify_standard_webhook_bytes verify_stripe_signature verify_stripe_signature_bytes', 'app admin'),
	('verify_webhook verify_webhook_bytes zoom_url_validation', 'app admin'),
	('jwt_sign jwt_verify jwt_sign_with encrypt_token decrypt_token', 'app admin'),
	('generate_meeting_signature generate_video_signature', 'app admin'),

	-- who watches it, on a standby too
	('account_states', 'monitor admin'),
	('metrics worker_status queue_status webhook_status failed_webhooks job_progress secret_status', 'monitor admin'),
	('health version worker_slots refused_deliveries provider_calls due_bookings', 'monitor admin'),
	('cal_status', 'app monitor admin'),

	-- who runs it
	('sealing_certificate set_sealed_secret set_secret_from_file set_secret drop_secret', 'admin'),
	('rotate_master_key run_rotation_step abandon_key keyring_status sealed_version', 'admin'),
	('test_webhook replay_webhook replay_webhooks adopt resync', 'admin'),
	('set_account_url cal_keep_key', 'admin'),
	('grant_access revoke_access restore_access access_table', 'admin'),
	('forget_person forget_user export_person', 'app admin'),
	('attach_users detach_users attach_sessions detach_sessions', 'admin'),
	-- these run as their caller
	('expose unexpose expose_table exposed_objects drop_exposed apply_exposed wrapper_body note_exposure access_objects', 'admin'),

	-- the worker's and dibs' own
	('forget_payloads forget_audit make_due rotate_step use_newest_key has_key_version current_timeline', ''),
	('cal_key_states', ''),
	('check_cal cal_accounts start_cal_jobs cal_account_of want_change ask_source create_at_source', ''),
	('fetch_host_url note_act find_booking own_booking booking_json booking_role leave_booking meeting_json hold_slot check_keys', ''),
	('read_guests read_time seat_people derive_participants set_booking_status claimed_email', ''),
	('apply_access withdraw_access check_access check_installation check_first_booking check_work check_settings setting_problem', ''),
	('sign_token token_hash take_up_booking note_tokens live_booking issue_tokens participant_before_update', ''),
	('booking_before_write booking_after_delete refuse_truncate event_before_insert write_event open_recording_token touch secret_changed webhook_inbox_insert', ''),
	('is_participant_status is_outcome is_link check_values read_ulid', ''),
	('is_worker tables_wanted make_views make_secret_views make_webhook_views make_operation_views make_access_views make_attendance_views', ''),
	('account_deauthorized disconnect_users check_accounts make_account_views', ''),
	('user_ulid_of user_ulids_of needs_user_key users_deleted users_added user_renamed users_truncated sessions_deleted session_renamed', ''),
	('check_attachable drop_triggers', ''),
	('Forgotten', 'admin=r'),
	('forgotten_changed forgotten_hash remember_forgotten scrub_json start_forgetting forget_added forget_ahead forget_rows', ''),
	('forget_mentions drop_sealed_payloads forget_person_step forget_coach_rows forget_user_step', ''),
	('remember_objects own_objects table_objects', '')
$$;
REVOKE ALL ON FUNCTION dibs.access_table() FROM PUBLIC;
COMMENT ON FUNCTION dibs.access_table() IS
'Which level may what: every table, view and function of dibs by name, and the levels that may use it. What a level may with a table stands after it: r read, a add, w write, d delete.';

CREATE OR REPLACE FUNCTION dibs.access_objects() RETURNS TABLE (object text, name text, kind text, level text, privileges text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH rights AS (
		SELECT o.name, split_part(l.word, '=', 1) AS level, nullif(split_part(l.word, '=', 2), '') AS letters
		FROM dibs.access_table() t, string_to_table(t.objects, ' ') AS o(name),
			string_to_table(t.levels, ' ') AS l(word)
		WHERE l.word <> ''),
	things AS (
		SELECT format('dibs.%I', c.relname) AS object, c.relname::text AS name, 'TABLE' AS kind FROM pg_class c
		WHERE c.relnamespace = 'dibs'::regnamespace AND c.relkind IN ('r', 'p', 'v')
		UNION ALL
		SELECT format('dibs.%I(%s)', p.proname, pg_get_function_identity_arguments(p.oid)), p.proname::text, 'ROUTINE' FROM pg_proc p
		WHERE p.pronamespace = 'dibs'::regnamespace)
	SELECT t.object, t.name, t.kind, r.level, CASE WHEN t.kind = 'ROUTINE' THEN 'EXECUTE' ELSE concat_ws(', ',
		CASE WHEN coalesce(r.letters, 'r') LIKE '%r%' THEN 'SELECT' END, CASE WHEN r.letters LIKE '%a%' THEN 'INSERT' END,
		CASE WHEN r.letters LIKE '%w%' THEN 'UPDATE' END, CASE WHEN r.letters LIKE '%d%' THEN 'DELETE' END) END
	FROM things t JOIN rights r ON r.name = t.name
$$;
REVOKE ALL ON FUNCTION dibs.access_objects() FROM PUBLIC;
COMMENT ON FUNCTION dibs.access_objects() IS 'What dibs.access_table() means for the objects that there are: one row an object and level.';

CREATE OR REPLACE FUNCTION dibs.apply_access(role text, level text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	grants record;
BEGIN
	EXECUTE format('GRANT USAGE ON SCHEMA dibs TO %I', role);
	FOR grants IN SELECT o.privileges, o.kind, string_agg(o.object, ', ') AS list FROM dibs.access_objects() o
		WHERE o.level = apply_access.level GROUP BY o.privileges, o.kind
	LOOP
		EXECUTE format('GRANT %s ON %s %s TO %I', grants.privileges, grants.kind, grants.list, role);
	END LOOP;
	PERFORM dibs.apply_exposed(role, level);
END
$$;
REVOKE ALL ON FUNCTION dibs.apply_access(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.apply_access(text, text) IS 'Gives a role the privileges of a level.';

CREATE OR REPLACE FUNCTION dibs.withdraw_access(role text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	one record;
BEGIN
	FOR one IN SELECT e.kind, e.object FROM dibs.exposed_objects() e LOOP
		EXECUTE format('REVOKE ALL ON %s %s FROM %I', one.kind, one.object, role);
	END LOOP;
	EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA dibs FROM %I', role);
	EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA dibs FROM %I', role);
	EXECUTE format('REVOKE ALL ON SCHEMA dibs FROM %I', role);
END
$$;
REVOKE ALL ON FUNCTION dibs.withdraw_access(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.withdraw_access(text) IS 'Takes from a role whatever it has in the schema dibs, and of what dibs.expose() has made.';

CREATE OR REPLACE FUNCTION dibs.grant_access(role regrole, level text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	grantee text := (SELECT r.rolname FROM pg_roles r WHERE r.oid = grant_access.role::oid);
BEGIN
	IF grantee IS NULL THEN
		RAISE EXCEPTION 'there is no such role' USING ERRCODE = '22023', HINT = 'CREATE ROLE first; PUBLIC cannot be given a level.';
	END IF;
	IF grant_access.level IS NULL OR grant_access.level NOT IN ('webhook', 'public', 'member', 'app', 'monitor', 'admin') THEN
		RAISE EXCEPTION '"%" is no level of access', grant_access.level
			USING ERRCODE = '22023', HINT = 'The levels are webhook, public, member, app, monitor and admin.';
	END IF;
	IF grantee IN ('dibs_worker', current_setting('dibs.worker_role')) THEN
		RAISE EXCEPTION 'the role "%" is the worker''s', grantee
			USING ERRCODE = '22023', HINT = 'Its privileges come with the extension. Make another role.';
	END IF;
	INSERT INTO dibs."AccessGrant" ("role", "level") VALUES (grantee, grant_access.level)
		ON CONFLICT ON CONSTRAINT "AccessGrant_pkey" DO NOTHING;
	PERFORM dibs.apply_access(grantee, grant_access.level);
	PERFORM dibs.note_act('grant_access', grantee, jsonb_build_object('level', grant_access.level));
END
$$;
REVOKE ALL ON FUNCTION dibs.grant_access(regrole, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.grant_access(regrole, text) IS
'Gives a role a level of access: webhook (may deliver, no more), public (event types, free slots, joining with a token), member (a coach or participant: what is theirs, by views and functions), app (the application''s server), monitor (status, on a standby too), admin. Remembered in "AccessGrant"; a role may have several. 22023 for an unknown level or role.';

CREATE OR REPLACE FUNCTION dibs.revoke_access(role regrole, level text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	grantee text := (SELECT r.rolname FROM pg_roles r WHERE r.oid = revoke_access.role::oid);
	left_over record;
BEGIN
	DELETE FROM dibs."AccessGrant" g WHERE g."role" = grantee AND g."level" = revoke_access.level;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	PERFORM dibs.withdraw_access(grantee);
	FOR left_over IN SELECT g."level" FROM dibs."AccessGrant" g WHERE g."role" = grantee LOOP
		PERFORM dibs.apply_access(grantee, left_over."level");
	END LOOP;
	PERFORM dibs.note_act('revoke_access', grantee, jsonb_build_object('level', revoke_access.level));
	RETURN true;
END
$$;
REVOKE ALL ON FUNCTION dibs.revoke_access(regrole, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.revoke_access(regrole, text) IS
'Takes a level from a role, and with it every privilege in the schema dibs that its other levels do not give; false where it had not been given.';

CREATE OR REPLACE FUNCTION dibs.restore_access() RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known record;
	given int := 0;
BEGIN
	FOR known IN SELECT g."role", g."level", r.oid IS NOT NULL AS here FROM dibs."AccessGrant" g
		LEFT JOIN pg_roles r ON r.rolname = g."role" ORDER BY 1, 2
	LOOP
		IF known.here THEN
			PERFORM dibs.apply_access(known."role", known."level");
			given := given + 1;
		ELSE
			RAISE WARNING 'there is no role "%": level % was not given', known."role", known."level"
				USING HINT = 'CREATE ROLE, then call dibs.restore_access() again; or dibs.revoke_access() is not needed any more: delete the row of "AccessGrant".';
		END IF;
	END LOOP;
	RETURN given;
END
$$;
REVOKE ALL ON FUNCTION dibs.restore_access() FROM PUBLIC;
COMMENT ON FUNCTION dibs.restore_access() IS
'Gives every role in "AccessGrant" its privileges again: after a restore, and after roles were made anew. An upgrade does it by itself. Gives how many it gave; a WARNING names roles that are not there.';

CREATE OR REPLACE FUNCTION dibs.check_access(OUT problem text, OUT call text) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('role %s has level %s, and not all of its privileges', g."role", g."level"), 'SELECT dibs.restore_access()'
	FROM dibs."AccessGrant" g JOIN pg_roles r ON r.rolname = g."role"
	WHERE EXISTS (SELECT FROM dibs.access_objects() o WHERE o.level = g."level" AND NOT CASE WHEN o.kind = 'TABLE'
		THEN (SELECT bool_and(has_table_privilege(r.oid, o.object, p)) FROM string_to_table(o.privileges, ', ') p)
		ELSE has_function_privilege(r.oid, (SELECT f.oid FROM pg_proc f WHERE f.pronamespace = 'dibs'::regnamespace
			AND format('dibs.%I(%s)', f.proname, pg_get_function_identity_arguments(f.oid)) = o.object), 'EXECUTE') END)
	UNION ALL
	SELECT format('there is no role %s, which has level %s', g."role", g."level"),
		format('CREATE ROLE %I; SELECT dibs.restore_access() (or DELETE FROM dibs."AccessGrant" WHERE "role" = %L)', g."role", g."role")
	FROM dibs."AccessGrant" g WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = g."role")
$$;
REVOKE ALL ON FUNCTION dibs.check_access() FROM PUBLIC;
COMMENT ON FUNCTION dibs.check_access() IS 'What dibs.health() says of levels whose privileges are not there.';

-- What members read. The views run as their owner and say themselves whose rows there are.

CREATE OR REPLACE FUNCTION dibs.public_participants(participants jsonb) RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_public_participants';
REVOKE ALL ON FUNCTION dibs.public_participants(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.public_participants(jsonb) IS 'The people of a booking without their own links and tokens.';

CREATE OR REPLACE FUNCTION dibs.make_access_views() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $make$
BEGIN
	CREATE OR REPLACE VIEW dibs.my_bookings WITH (security_barrier) AS
	SELECT b."ulid", b."userUlid", b."calBookingUid", b."title", b."description", b."eventTypeId", b."eventTypeSlug", b."bookingType",
		b."maxParticipants", b."currentParticipants", b."startTime", b."endTime", b."duration", b."attendeeEmail", b."attendeeName",
		b."attendeeTimeZone", dibs.public_participants(b."participants") AS "participants", b."status", b."cancellationReason",
		b."cancelledByEmail", b."reschedulingReason", b."rescheduledByEmail", b."bookingFields", b."rating", b."source", b."location",
		b."meetingProvider", b."meetingState", b."meetingErrorCode", b."meetingRetryAt", b."zoomJoinUrl", b."paid", b."amount",
		b."currency", b."sessionUlid", b."createdAt", b."updatedAt"
	FROM dibs."CalBooking" b WHERE b."userUlid" = dibs.current_user_ulid();
	REVOKE ALL ON dibs.my_bookings FROM PUBLIC;
	COMMENT ON VIEW dibs.my_bookings IS
	'The bookings of the coach who asks (dibs.current_user_ulid()): without host page, passcode, tokens and people''s own links.';

	CREATE OR REPLACE VIEW dibs.my_seats WITH (security_barrier) AS
	SELECT b."ulid", b."title", b."description", b."eventTypeSlug", b."bookingType", b."startTime", b."endTime", b."duration", b."status",
		b."meetingState", p."ulid" AS "seatUlid", p."status" AS "seatStatus", p."email", p."name", p."timeZone", p."isPrimary", p."noShow",
		p."joinedAt", p."leftAt", c."name" AS "coachName", c."timeZone" AS "coachTimeZone", p."createdAt"
	FROM dibs."BookingParticipant" p
	JOIN dibs."CalBooking" b ON b."ulid" = p."bookingUlid" AND b."userUlid" = p."userUlid"
	LEFT JOIN dibs."Coach" c ON c."userUlid" = p."userUlid"
	WHERE p."person" = dibs.current_email();
	REVOKE ALL ON dibs.my_seats FROM PUBLIC;
	COMMENT ON VIEW dibs.my_seats IS
	'The bookings in which the one who asks (dibs.current_email()) has a seat: nobody else''s name or address but the coach''s name, no link. A token of one''s own lets one in.';

	CREATE OR REPLACE VIEW dibs.cal_event_types WITH (security_barrier) AS
	SELECT e."ulid" AS id, e."eventTypeId" AS cal_event_type_id, e."slug" AS slug, e."title" AS title, e."description" AS description,
		e."length" AS length, e."price" AS price, e."currency" AS currency, e."active" AS active, e."metadata" AS metadata,
		e."lastSyncedAt" AS last_synced_at, e."createdAt" AS created_at
	FROM dibs."CalEventType" e WHERE e."active" OR (SELECT dibs.sees_all());
	REVOKE ALL ON dibs.cal_event_types FROM PUBLIC;
	COMMENT ON VIEW dibs.cal_event_types IS
	'Event types for everybody: the active ones (the application and administrators see all). price is in minor units, length in minutes.';

	CREATE OR REPLACE VIEW dibs.cal_bookings WITH (security_barrier) AS
	SELECT b."ulid" AS id, b."calBookingId" AS cal_booking_id, b."calBookingUid" AS cal_uid, b."eventTypeId" AS event_type_id,
		b."eventTypeSlug" AS event_type_slug, b."title" AS title, b."startTime" AS start_time, b."endTime" AS end_time,
		b."attendeeName" AS attendee_name, b."attendeeEmail" AS attendee_email, b."attendeeTimeZone" AS attendee_timezone,
		CASE WHEN b."status" IN ('CANCELLED', 'REJECTED') THEN 'cancelled'
			WHEN b."status" IN ('COMPLETED', 'NO_SHOW') OR b."status" = 'CONFIRMED' AND b."endTime" < now() THEN 'completed'
			WHEN cardinality(b."previousUids") > 0 OR b."rescheduledFromUid" IS NOT NULL THEN 'rescheduled'
			ELSE 'scheduled' END AS status,
		b."zoomJoinUrl" AS meeting_url, b."location" AS location, b."metadata" AS metadata, b."createdAt" AS created_at,
		b."updatedAt" AS updated_at
	-- two scans, of which the second is skipped for a coach: with OR in one, it would read everybody's rows
	FROM (SELECT o.* FROM dibs."CalBooking" o WHERE o."userUlid" = dibs.current_user_ulid()
		UNION ALL SELECT a.* FROM dibs."CalBooking" a
			WHERE (SELECT dibs.sees_all()) AND a."userUlid" IS DISTINCT FROM dibs.current_user_ulid()) b;
	REVOKE ALL ON dibs.cal_bookings FROM PUBLIC;
	COMMENT ON VIEW dibs.cal_bookings IS
	'Bookings in snake_case, for applications that come from a Cal.com schema of their own: a coach''s own for the coach, all for administrators and the application. status is scheduled, rescheduled, completed or cancelled.';
END
$make$;
REVOKE ALL ON FUNCTION dibs.make_access_views() FROM PUBLIC;
COMMENT ON FUNCTION dibs.make_access_views() IS 'Makes the members'' views (again): part of the extension''s script, and of a restore without tables.';
