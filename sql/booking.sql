-- booking: making and changing bookings, and why one is as it is.

CREATE OR REPLACE FUNCTION dibs.create_booking(data jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	for_coaches constant text[] := ARRAY['userUlid', 'title', 'description', 'startTime', 'endTime', 'duration', 'timeZone',
		'attendeeEmail', 'attendeeName', 'attendeeTimeZone', 'guests', 'bookingType', 'maxParticipants', 'eventTypeId', 'eventTypeSlug',
		'status', 'location', 'bookingFields', 'zoomJoinUrl', 'allowOverlap', 'source'];
	-- a coach does not say what was paid, nor writes the application's columns
	allowed constant text[] := for_coaches || ARRAY['metadata', 'meetingProvider', 'sessionUlid', 'paid', 'amount', 'currency'];
	named text := coalesce(data->>'userUlid', dibs.current_user_ulid()::text, nullif(current_setting('dibs.default_user_ulid', true), ''));
	coach char(26);
	new_ulid char(26) := dibs.gen_ulid();
	new_uid text := 'dibs_' || dibs.gen_ulid();
	status text := coalesce(data->>'status', 'CONFIRMED');
	start_time timestamptz;
	end_time timestamptz;
	row dibs."CalBooking"%ROWTYPE;
	people jsonb;
	seated jsonb;
BEGIN
	PERFORM dibs.check_keys(data, CASE WHEN dibs.sees_all() THEN allowed ELSE for_coaches END);
	PERFORM dibs.check_values(data);
	IF coalesce(data->>'source', 'manual') <> 'manual' THEN
		RETURN dibs.create_at_source(data);
	END IF;
	IF NOT coalesce(dibs.is_ulid(named), false) THEN
		RAISE EXCEPTION '% is no coach''s userUlid', coalesce('"' || left(named, 64) || '"', 'null')
			USING ERRCODE = '22023', HINT = 'Give "userUlid": a ULID; dibs.uuid_to_ulid() turns a uuid into one.';
	END IF;
	coach := dibs.read_ulid(named);
	IF NOT dibs.sees_all() AND coach IS DISTINCT FROM dibs.current_user_ulid() THEN
		RAISE EXCEPTION 'a booking of coach % is not yours to make', coach
			USING ERRCODE = '42501', HINT = 'A coach makes their own bookings; others have the application make one (dibs.act_as).';
	END IF;
	IF status NOT IN ('PENDING', 'CONFIRMED') THEN
		RAISE EXCEPTION 'a new booking cannot be "%"', status USING ERRCODE = '22023', HINT = 'It is PENDING or CONFIRMED.';
	END IF;
	IF coalesce(data->>'attendeeEmail', '') !~ '^[^@\s]+@[^@\s]+$' THEN
		RAISE EXCEPTION '"%" is no e-mail address (attendeeEmail)', data->>'attendeeEmail' USING ERRCODE = '22023';
	END IF;
	row := jsonb_populate_record(NULL::dibs."CalBooking", data - ARRAY['startTime', 'endTime', 'userUlid']);
	start_time := dibs.read_time(data->>'startTime', data->>'timeZone', 'startTime');
	IF data ? 'endTime' THEN
		end_time := dibs.read_time(data->>'endTime', data->>'timeZone', 'endTime');
	ELSIF row."duration" IS NOT NULL THEN
		end_time := start_time + row."duration" * interval '1 minute';
	ELSE
		RAISE EXCEPTION 'a booking needs an endTime or a duration' USING ERRCODE = '22023', HINT = 'duration is in minutes.';
	END IF;
	PERFORM dibs.hold_slot(coach, start_time, end_time, NULL, coalesce((data->>'allowOverlap')::boolean, false));

	-- the row has its people from the start: derived later they would be a second change, announced as such
	people := jsonb_build_array(jsonb_build_object('email', row."attendeeEmail", 'name', row."attendeeName",
		'timeZone', coalesce(row."attendeeTimeZone", data->>'timeZone'))) || coalesce(data->'guests', '[]');
	SELECT jsonb_agg(jsonb_build_object('email', g.email, 'name', g.name, 'timeZone', g.zone, 'status', 'CONFIRMED') ORDER BY g.ord) INTO seated
		FROM (SELECT DISTINCT ON (lower(r.email)) r.* FROM dibs.read_guests(people) r ORDER BY lower(r.email), r.ord) g;
	INSERT INTO dibs."CalBooking" ("ulid", "userUlid", "calBookingUid", "title", "description", "eventTypeId", "eventTypeSlug", "bookingType",
		"maxParticipants", "currentParticipants", "participants", "startTime", "endTime", "duration", "attendeeEmail", "attendeeName",
		"attendeeTimeZone", "status", "bookingFields",
		"metadata", "source", "location", "meetingProvider", "paid", "amount", "currency", "sessionUlid", "zoomJoinUrl", "announced")
	VALUES (new_ulid, coach, new_uid, coalesce(row."title", 'Booking'), row."description", row."eventTypeId", row."eventTypeSlug",
		coalesce(row."bookingType", CASE WHEN row."maxParticipants" > 1 THEN 'GROUP' ELSE 'ONE_ON_ONE' END::dibs."CalBookingType"),
		row."maxParticipants", jsonb_array_length(seated), seated, start_time, end_time, trunc(extract(epoch FROM end_time - start_time) / 60), row."attendeeEmail", row."attendeeName",
		coalesce(row."attendeeTimeZone", data->>'timeZone'), status, coalesce(row."bookingFields", '{}'), coalesce(row."metadata", '{}'), 'manual',
		row."location", row."meetingProvider", row."paid", row."amount", row."currency", row."sessionUlid", row."zoomJoinUrl", 1);
	INSERT INTO dibs."BookingUid" ("uid", "userUlid", "bookingUlid") VALUES (new_uid, coach, new_ulid);
	PERFORM dibs.seat_people(new_ulid, coach, people);
	PERFORM dibs.write_event(coach, new_ulid, 'booking.created', jsonb_build_object('uid', new_uid, 'status', status));
	PERFORM dibs.note_act('create_booking', new_ulid);
	RETURN dibs.booking_json(new_ulid, coach);
END
$$;
REVOKE ALL ON FUNCTION dibs.create_booking(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.create_booking(jsonb) IS
'Makes a booking of dibs'' own, or with source cal (and an eventTypeId) one at Cal.com: pending until it is made there, rejected where it is not. data: userUlid, startTime, endTime or duration (minutes), attendeeEmail, and more columns by name (paid, amount, currency, metadata, meetingProvider and sessionUlid not by a coach); guests: more people; timeZone: for local times; allowOverlap. 23P01 where the coach has a booking then, 22007 for what is no time, one without an offset and zone or one that the clocks skip, 23514 for more people than places, 22023 for anything else unusable.';

CREATE OR REPLACE FUNCTION dibs.update_booking(booking_id text, data jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	ours constant text[] := ARRAY['metadata', 'meetingProvider', 'sessionUlid'];
	allowed constant text[] := ours || ARRAY['title', 'description', 'attendeeName', 'attendeeTimeZone', 'maxParticipants', 'eventTypeId',
		'eventTypeSlug', 'location', 'bookingFields', 'paid', 'amount', 'currency', 'zoomJoinUrl'];
	-- as in dibs.create_booking()
	for_coaches constant text[] := ARRAY['title', 'description', 'location', 'maxParticipants', 'zoomJoinUrl'];
	key record;
	row dibs."CalBooking"%ROWTYPE;
	was int;
	answer jsonb;
BEGIN
	PERFORM dibs.check_keys(data, CASE WHEN dibs.sees_all() THEN allowed ELSE for_coaches END);
	PERFORM dibs.check_values(data);
	IF jsonb_typeof(data->'title') = 'null' THEN
		RAISE EXCEPTION '"title" cannot be null' USING ERRCODE = '22023', HINT = 'Leave the key out to keep the title.';
	END IF;
	IF data ? 'location' THEN
		answer := dibs.ask_source(booking_id, 'location', jsonb_build_object('location', data->'location'));
		IF answer IS NOT NULL THEN
			data := data - 'location';
			IF data = '{}' THEN
				RETURN answer;
			END IF;
		END IF;
	END IF;
	-- some columns are the application's own, whoever the booking belongs to
	IF EXISTS (SELECT FROM jsonb_object_keys(data) k WHERE k <> ALL (ours)) THEN
		SELECT * INTO key FROM dibs.own_booking(booking_id);
	ELSE
		SELECT * INTO key FROM dibs.find_booking(booking_id);
	END IF;
	SELECT * INTO row FROM dibs."CalBooking" b WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid FOR NO KEY UPDATE;
	was := row."maxParticipants";
	row := jsonb_populate_record(row, data);
	-- as when one is made
	IF row."maxParticipants" <> coalesce(was, 0) THEN
		row."bookingType" := CASE WHEN row."maxParticipants" > 1 THEN 'GROUP' ELSE 'ONE_ON_ONE' END;
	END IF;
	IF row."maxParticipants" < row."currentParticipants" THEN
		RAISE EXCEPTION '% people are in the booking, more than %', row."currentParticipants", row."maxParticipants"
			USING ERRCODE = '23514';
	END IF;
	UPDATE dibs."CalBooking" b SET "title" = row."title", "description" = row."description", "attendeeName" = row."attendeeName",
		"attendeeTimeZone" = row."attendeeTimeZone", "maxParticipants" = row."maxParticipants", "bookingType" = row."bookingType", "eventTypeId" = row."eventTypeId",
		"eventTypeSlug" = row."eventTypeSlug", "location" = row."location", "bookingFields" = row."bookingFields", "paid" = row."paid",
		"amount" = row."amount", "currency" = row."currency", "zoomJoinUrl" = row."zoomJoinUrl", "metadata" = row."metadata",
		"meetingProvider" = row."meetingProvider", "sessionUlid" = row."sessionUlid"
		WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid;
	-- what the row says of its attendee, the attendee's seat says, too
	IF data ?| ARRAY['attendeeName', 'attendeeTimeZone'] THEN
		UPDATE dibs."BookingParticipant" p SET "name" = CASE WHEN data ? 'attendeeName' THEN row."attendeeName" ELSE p."name" END,
			"timeZone" = CASE WHEN data ? 'attendeeTimeZone' THEN row."attendeeTimeZone" ELSE p."timeZone" END
			WHERE p."bookingUlid" = key.ulid AND p."userUlid" = key.user_ulid AND p."person" = lower(row."attendeeEmail");
		PERFORM dibs.derive_participants(key.ulid, key.user_ulid);
	END IF;
	PERFORM dibs.note_act('update_booking', key.ulid, jsonb_build_object('keys', (SELECT jsonb_agg(k) FROM jsonb_object_keys(data) k)));
	RETURN dibs.booking_json(key.ulid, key.user_ulid);
END
$$;
REVOKE ALL ON FUNCTION dibs.update_booking(text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.update_booking(text, jsonb) IS
'Changes columns of a booking by name; metadata, meetingProvider and sessionUlid of any, location also of Cal.com''s (there), the others only of dibs'' own (else 0A000). maxParticipants above 1 makes a group of it, 1 a one-on-one. location is {kind: link, provider, in_person or phone, value}; a link is http(s). 22023 for anything else. Times: dibs.reschedule_booking(); status: the functions named for it.';

CREATE OR REPLACE FUNCTION dibs.leave_booking(ulid char(26), user_ulid char(26), reason text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- whose a one-on-one is may cancel all of it, as long as they are in
	IF EXISTS (SELECT FROM dibs."CalBooking" b JOIN dibs."BookingParticipant" p ON p."bookingUlid" = b."ulid" AND p."userUlid" = b."userUlid"
		WHERE b."ulid" = leave_booking.ulid AND b."userUlid" = leave_booking.user_ulid AND b."bookingType" = 'ONE_ON_ONE'
			AND lower(b."attendeeEmail") = dibs.current_email() AND p."isPrimary" AND p."person" = dibs.current_email()
			AND p."status" <> 'CANCELLED') THEN
		RETURN false;
	END IF;
	UPDATE dibs."BookingParticipant" p SET "status" = 'CANCELLED', "tokenVersion" = p."tokenVersion" + 1
		WHERE p."bookingUlid" = leave_booking.ulid AND p."userUlid" = leave_booking.user_ulid AND p."person" = dibs.current_email()
			AND p."status" <> 'CANCELLED';
	IF FOUND THEN
		PERFORM dibs.derive_participants(leave_booking.ulid, leave_booking.user_ulid);
		PERFORM dibs.note_act('leave_booking', leave_booking.ulid, jsonb_build_object('reason', reason, 'by', dibs.current_email()));
	END IF;
	RETURN true;
END
$$;
REVOKE ALL ON FUNCTION dibs.leave_booking(char, char, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.leave_booking(char, char, text) IS
'Gives up the caller''s own seat; false, and nothing done, where the booking is theirs alone and is to be cancelled whole.';

CREATE OR REPLACE FUNCTION dibs.set_booking_status(booking_id text, status text, action text, reason text = NULL, by text = NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
	caller text;
	actor text := by;
	answer jsonb;
BEGIN
	answer := dibs.ask_source(booking_id, split_part(action, '_', 1), jsonb_build_object('reason', reason, 'by', by));
	IF answer IS NOT NULL THEN
		RETURN answer;
	END IF;
	SELECT * INTO key FROM dibs.own_booking(booking_id, CASE action WHEN 'cancel_booking' THEN 'former' ELSE 'coach' END);
	caller := dibs.booking_role(key.ulid, key.user_ulid);
	IF caller <> 'all' THEN
		actor := dibs.current_email();
	END IF;
	IF caller IN ('attendee', 'former') AND dibs.leave_booking(key.ulid, key.user_ulid, reason) THEN
		RETURN dibs.booking_json(key.ulid, key.user_ulid);
	END IF;
	UPDATE dibs."CalBooking" b SET "status" = set_booking_status.status,
		"cancellationReason" = coalesce(set_booking_status.reason, b."cancellationReason"),
		"cancelledByEmail" = coalesce(actor, b."cancelledByEmail")
		WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid AND b."status" <> set_booking_status.status;
	IF FOUND THEN
		PERFORM dibs.note_act(action, key.ulid, jsonb_build_object('reason', reason, 'by', actor, 'after', set_booking_status.status));
	END IF;
	RETURN dibs.booking_json(key.ulid, key.user_ulid);
END
$$;
REVOKE ALL ON FUNCTION dibs.set_booking_status(text, text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.set_booking_status(text, text, text, text, text) IS 'A step of a booking of dibs'' own; nothing where it was taken before.';

CREATE OR REPLACE FUNCTION dibs.confirm_booking(booking_id text) RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT dibs.set_booking_status(booking_id, 'CONFIRMED', 'confirm_booking') $$;
REVOKE ALL ON FUNCTION dibs.confirm_booking(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.confirm_booking(text) IS
'Confirms a pending booking, at Cal.com where it is Cal.com''s: then it gets its meeting. 22023 where it has ended, 0A000 where it belongs to a calendar source.';

CREATE OR REPLACE FUNCTION dibs.decline_booking(booking_id text, reason text = NULL) RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT dibs.set_booking_status(booking_id, 'REJECTED', 'decline_booking', reason) $$;
REVOKE ALL ON FUNCTION dibs.decline_booking(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.decline_booking(text, text) IS 'Declines a pending booking, at Cal.com where it is Cal.com''s. 22023 where it is not pending.';

CREATE OR REPLACE FUNCTION dibs.cancel_booking(booking_id text, reason text = NULL, cancelled_by text = NULL) RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT dibs.set_booking_status(booking_id, 'CANCELLED', 'cancel_booking', reason, cancelled_by) $$;
REVOKE ALL ON FUNCTION dibs.cancel_booking(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.cancel_booking(text, text, text) IS
'Cancels a booking, at Cal.com where it is Cal.com''s; its meeting goes. Again: nothing. 22023 where it is over.';

CREATE OR REPLACE FUNCTION dibs.reschedule_booking(booking_id text, start_time timestamptz, reason text = NULL, rescheduled_by text = NULL)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
	row dibs."CalBooking"%ROWTYPE;
	new_end timestamptz;
	caller text;
	actor text := rescheduled_by;
	answer jsonb;
BEGIN
	IF start_time IS NULL OR NOT isfinite(start_time) THEN
		RAISE EXCEPTION 'a booking cannot be moved to %', coalesce(start_time::text, 'null')
			USING ERRCODE = '22023', HINT = 'Give the time at which it is to start.';
	END IF;
	answer := dibs.ask_source(booking_id, 'reschedule', jsonb_build_object('reason', reason, 'by', rescheduled_by,
		'start', to_char(start_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')));
	IF answer IS NOT NULL THEN
		RETURN answer;
	END IF;
	-- the coach before the booking, as when one is made
	SELECT * INTO key FROM dibs.find_booking(booking_id, 'attendee');
	PERFORM FROM dibs."Coach" c WHERE c."userUlid" = key.user_ulid FOR UPDATE;
	SELECT * INTO key FROM dibs.own_booking(booking_id, 'attendee');
	SELECT * INTO row FROM dibs."CalBooking" b WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid;
	caller := dibs.booking_role(key.ulid, key.user_ulid);
	IF caller <> 'all' THEN
		actor := dibs.current_email();
	END IF;
	IF caller IN ('attendee', 'former') AND (caller = 'former' OR row."bookingType" <> 'ONE_ON_ONE' OR lower(row."attendeeEmail") <> actor) THEN
		RAISE EXCEPTION 'that is for the coach of booking "%"', booking_id
			USING ERRCODE = '42501', HINT = 'An attendee may move a booking that is theirs alone.';
	END IF;
	IF row."status" NOT IN ('PENDING', 'CONFIRMED') THEN
		RAISE EXCEPTION 'a booking that is % cannot be moved', row."status"
			USING ERRCODE = '22023', HINT = 'Only PENDING and CONFIRMED bookings can; make a new one.';
	END IF;
	new_end := start_time + (row."endTime" - row."startTime");
	PERFORM dibs.hold_slot(key.user_ulid, start_time, new_end, key.ulid);
	UPDATE dibs."CalBooking" b SET "startTime" = reschedule_booking.start_time, "endTime" = new_end,
		"reschedulingReason" = reason, "rescheduledByEmail" = actor
		WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid;
	PERFORM dibs.note_act('reschedule_booking', key.ulid, jsonb_build_object('before', row."startTime", 'after', start_time,
		'reason', reason, 'by', actor));
	RETURN dibs.booking_json(key.ulid, key.user_ulid);
END
$$;
REVOKE ALL ON FUNCTION dibs.reschedule_booking(text, timestamptz, text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.reschedule_booking(text, timestamptz, text, text) IS
'Moves a booking, at Cal.com where it is Cal.com''s; it keeps its ulid, its length and its meeting. 23P01 where the coach has another then, 22023 where it has ended, and for no time.';

CREATE OR REPLACE FUNCTION dibs.add_guests(booking_id text, guests jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
	added int;
	answer jsonb := dibs.ask_source(booking_id, 'guests', jsonb_build_object('guests', (SELECT jsonb_agg(jsonb_strip_nulls(
		jsonb_build_object('email', g.email, 'name', g.name, 'timeZone', g.zone)) ORDER BY g.ord) FROM dibs.read_guests(guests) g)));
BEGIN
	IF answer IS NOT NULL THEN
		RETURN answer;
	END IF;
	SELECT * INTO key FROM dibs.own_booking(booking_id);
	PERFORM FROM dibs."CalBooking" b WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid
		AND b."status" IN ('PENDING', 'CONFIRMED', 'IN_PROGRESS');
	IF NOT FOUND THEN
		RAISE EXCEPTION 'booking "%" has ended', booking_id USING ERRCODE = '22023';
	END IF;
	added := dibs.seat_people(key.ulid, key.user_ulid, guests);
	PERFORM dibs.note_act('add_guests', key.ulid, jsonb_build_object('added', added));
	RETURN dibs.booking_json(key.ulid, key.user_ulid);
END
$$;
REVOKE ALL ON FUNCTION dibs.add_guests(text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.add_guests(text, jsonb) IS
'Adds people (e-mails or {email, name, timeZone}) to a booking of dibs'' own; who is in already stays once. 23514 where there are not enough places: nobody is added then.';

CREATE OR REPLACE FUNCTION dibs.mark_no_show(booking_id text, email text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
	host boolean;
	answer jsonb;
BEGIN
	SELECT * INTO key FROM dibs.find_booking(booking_id);
	-- the coach's own address, unless a guest has it, too
	host := email IS NULL OR (EXISTS (
			SELECT FROM dibs."Coach" c WHERE c."userUlid" = key.user_ulid AND lower(c."email") = lower(mark_no_show.email)
			UNION ALL
			SELECT FROM dibs."ProviderAccount" a WHERE a."userUlid" = key.user_ulid AND lower(a."email") = lower(mark_no_show.email))
		AND NOT EXISTS (SELECT FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = key.ulid AND p."userUlid" = key.user_ulid
			AND lower(p."email") = lower(mark_no_show.email)));
	answer := dibs.ask_source(booking_id, 'absent', CASE WHEN host THEN '{"host": true}' ELSE jsonb_build_object('email', email) END);
	IF answer IS NOT NULL THEN
		RETURN answer;
	END IF;
	SELECT * INTO key FROM dibs.own_booking(booking_id);
	IF host THEN
		UPDATE dibs."CalBooking" b SET "hostAbsent" = true WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid;
	ELSE
		UPDATE dibs."BookingParticipant" p SET "noShow" = true, "noShowAt" = transaction_timestamp()
			WHERE p."bookingUlid" = key.ulid AND p."userUlid" = key.user_ulid AND lower(p."email") = lower(mark_no_show.email);
		IF NOT FOUND THEN
			RAISE EXCEPTION '"%" is not in booking "%"', email, booking_id USING ERRCODE = 'P0002';
		END IF;
	END IF;
	PERFORM dibs.note_act('mark_no_show', key.ulid, CASE WHEN host THEN '{"host": true}' ELSE jsonb_build_object('email', email) END);
	RETURN dibs.booking_json(key.ulid, key.user_ulid);
END
$$;
REVOKE ALL ON FUNCTION dibs.mark_no_show(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.mark_no_show(text, text) IS
'Notes that somebody did not come: "BookingParticipant"."noShow", or for the coach''s own address, or null, "hostAbsent" of the booking. At Cal.com for its bookings. P0002 where they are not in the booking.';

CREATE OR REPLACE FUNCTION dibs.rate_booking(booking_id text, rating int) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
BEGIN
	IF rating IS NULL OR rating NOT BETWEEN 1 AND 5 THEN
		RAISE EXCEPTION '% is no rating', coalesce(rating::text, 'null') USING ERRCODE = '22023', HINT = 'A rating is 1 to 5.';
	END IF;
	SELECT * INTO key FROM dibs.find_booking(booking_id, 'attendee');
	UPDATE dibs."CalBooking" b SET "rating" = rate_booking.rating WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid;
	PERFORM dibs.note_act('rate_booking', key.ulid, jsonb_build_object('rating', rating));
	RETURN dibs.booking_json(key.ulid, key.user_ulid);
END
$$;
REVOKE ALL ON FUNCTION dibs.rate_booking(text, int) FROM PUBLIC;
COMMENT ON FUNCTION dibs.rate_booking(text, int) IS 'Rates a booking, 1 to 5, whoever it belongs to.';

CREATE OR REPLACE FUNCTION dibs.reassign_booking(booking_id text, user_ulid char(26)) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
	row dibs."CalBooking"%ROWTYPE;
	people jsonb;
	answer jsonb;
	at_source text;
BEGIN
	reassign_booking.user_ulid := dibs.read_ulid(reassign_booking.user_ulid::text);
	SELECT * INTO key FROM dibs.find_booking(booking_id);
	IF key.user_ulid = reassign_booking.user_ulid THEN
		RETURN dibs.booking_json(key.ulid, key.user_ulid);
	END IF;
	IF dibs.cal_account_of(key.user_ulid) IS NOT NULL AND EXISTS (SELECT FROM dibs."CalBooking" b
		WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid AND b."source" = 'cal') THEN
		SELECT a."externalId" INTO at_source FROM dibs."ProviderAccount" a WHERE a."provider" = 'cal'
			AND a."userUlid" = reassign_booking.user_ulid AND a."externalId" ~ '^\d{1,15}$' AND a."state" IN ('linked', 'reconnect_needed')
			ORDER BY a."createdAt" LIMIT 1;
		IF at_source IS NULL THEN
			RAISE EXCEPTION 'who coach % is at Cal.com is not known', reassign_booking.user_ulid USING ERRCODE = 'P0002',
				HINT = format('SELECT dibs.link_account(''cal'', %L, external_id => the user''s id at Cal.com), or connect the account.', reassign_booking.user_ulid);
		END IF;
		answer := dibs.ask_source(booking_id, 'reassign', jsonb_build_object('userId', at_source::bigint, 'userUlid', reassign_booking.user_ulid));
		IF answer IS NOT NULL THEN
			RETURN answer;
		END IF;
	END IF;
	-- coaches before bookings, in one order
	PERFORM FROM dibs."Coach" c WHERE c."userUlid" IN (key.user_ulid, reassign_booking.user_ulid) ORDER BY c."userUlid" FOR UPDATE;
	SELECT * INTO row FROM dibs."CalBooking" b WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no booking "%"', booking_id
			USING ERRCODE = 'P0002', HINT = 'It went to another coach just now, or was deleted.';
	END IF;
	IF row."source" = 'manual' AND row."status" IN ('PENDING', 'CONFIRMED', 'IN_PROGRESS') THEN
		PERFORM dibs.hold_slot(reassign_booking.user_ulid, row."startTime", row."endTime", key.ulid);
	ELSE
		INSERT INTO dibs."Coach" ("userUlid") VALUES (reassign_booking.user_ulid) ON CONFLICT ON CONSTRAINT "Coach_pkey" DO NOTHING;
	END IF;

	SELECT coalesce(jsonb_agg(to_jsonb(p)), '[]') INTO people FROM dibs."BookingParticipant" p
		WHERE p."bookingUlid" = key.ulid AND p."userUlid" = key.user_ulid;
	-- the old coach's meeting loses its booking by the foreign key: a tombstone
	DELETE FROM dibs."CalBooking" b WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid;
	row."userUlid" := reassign_booking.user_ulid;
	row."zoomHostUrl" := NULL;
	row."zoomMeetingId" := NULL;
	row."zoomPasscode" := NULL;
	row."zoomJoinUrl" := NULL;
	row."meetingState" := 'pending';
	row."meetingErrorCode" := NULL;
	row."meetingRetryAt" := NULL;
	-- nobody's token, own link or hash goes with it
	IF EXISTS (SELECT FROM jsonb_array_elements(people) p WHERE p->>'validationToken' = row."customValidationToken") THEN
		row."customValidationToken" := NULL;
	END IF;
	SELECT coalesce(jsonb_agg(CASE jsonb_typeof(e.j) WHEN 'object' THEN e.j - 'validationToken' - 'joinUrl' ELSE e.j END ORDER BY e.ord), '[]')
		INTO row."participants" FROM jsonb_array_elements(row."participants") WITH ORDINALITY AS e(j, ord);
	row."tokenVersion" := row."tokenVersion" + 1;
	-- as the trigger counts
	IF row."wanted" = 2147483647 THEN
		row."wanted" := 1;
		row."done" := 1;
	END IF;
	row."wanted" := row."wanted" + 1;
	row."announced" := row."wanted";
	row."dueAt" := '-infinity';
	row."updatedAt" := now();
	INSERT INTO dibs."CalBooking" SELECT row.*;
	INSERT INTO dibs."BookingParticipant" SELECT (jsonb_populate_record(NULL::dibs."BookingParticipant",
		p || jsonb_build_object('userUlid', reassign_booking.user_ulid, 'tokenVersion', (p->>'tokenVersion')::int + 1,
			'joinUrl', NULL, 'validationToken', NULL, 'registrantId', NULL))).* FROM jsonb_array_elements(people) p;
	WITH old AS (
		DELETE FROM dibs."BookingUid" u WHERE u."bookingUlid" = key.ulid AND u."userUlid" = key.user_ulid RETURNING u."uid", u."createdAt")
	INSERT INTO dibs."BookingUid" ("uid", "userUlid", "bookingUlid", "createdAt")
		SELECT old."uid", reassign_booking.user_ulid, key.ulid, old."createdAt" FROM old;
	PERFORM dibs.write_event(key.user_ulid, key.ulid, 'booking.reassigned', jsonb_build_object('to', reassign_booking.user_ulid));
	PERFORM dibs.write_event(reassign_booking.user_ulid, key.ulid, 'booking.reassigned', jsonb_build_object('from', key.user_ulid));
	PERFORM dibs.note_act('reassign_booking', key.ulid, jsonb_build_object('from', key.user_ulid, 'to', reassign_booking.user_ulid));
	RETURN dibs.booking_json(key.ulid, reassign_booking.user_ulid);
END
$$;
REVOKE ALL ON FUNCTION dibs.reassign_booking(text, char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.reassign_booking(text, char) IS
'Gives a booking to another coach: the same ulid and uids, a new meeting; the old coach''s meeting goes, tokens end. One of Cal.com''s, where an account may change it, is reassigned there (to the user whom the coach is by "ProviderAccount": P0002 where that is not known), and goes over here when that is done. 23P01 where the other coach has a booking then, 22023 for what is no ULID.';

CREATE OR REPLACE FUNCTION dibs.booking_timeline(booking_id text) RETURNS TABLE (at timestamptz, kind text, what text, data jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
	caller text;
BEGIN
	SELECT * INTO key FROM dibs.find_booking(booking_id, 'former');
	caller := dibs.booking_role(key.ulid, key.user_ulid);
	IF caller IN ('attendee', 'former') THEN
		-- what happened, and nobody else's names in it
		RETURN QUERY SELECT e."createdAt", 'event', e."type", '{}'::jsonb FROM dibs."Event" e
			WHERE e."bookingUlid" = key.ulid AND e."userUlid" = key.user_ulid AND (e."type" LIKE 'booking.%' OR e."type" LIKE 'meeting.%')
			ORDER BY e."createdAt", e."ulid";
		RETURN;
	END IF;
	RETURN QUERY
	SELECT t.at, t.kind, t.what, jsonb_strip_nulls(t.data) FROM (
		SELECT e."createdAt" AS at, 'event' AS kind, e."type" AS what, e."data" AS data, e."ulid" AS ulid
		FROM dibs."Event" e WHERE e."bookingUlid" = key.ulid
		UNION ALL
		SELECT w."createdAt", 'webhook', w."trigger", jsonb_build_object('source', w."source", 'outcome', w."outcome", 'sentAt', w."sentAt",
			'error', w."error", 'uid', w."uid"), w."ulid"
		FROM dibs."WebhookEvent" w
		WHERE w."uid" IN (SELECT u."uid" FROM dibs."BookingUid" u WHERE u."bookingUlid" = key.ulid AND u."userUlid" = key.user_ulid)
		UNION ALL
		SELECT a."createdAt", 'act', a."action", a."data" || CASE WHEN caller = 'all' THEN jsonb_build_object('role', a."role", 'subject', a."subject") ELSE '{}' END, a."ulid"
		FROM dibs."AuditLog" a WHERE a."object" = key.ulid
		UNION ALL
		SELECT m."updatedAt", 'meeting', m."state", jsonb_build_object('provider', m."provider", 'errorCode', m."errorCode", 'error', m."error"),
			m."ulid"
		FROM dibs."Meeting" m WHERE m."bookingUlid" = key.ulid AND m."userUlid" = key.user_ulid
	) t ORDER BY t.at, t.ulid;
END
$$;
REVOKE ALL ON FUNCTION dibs.booking_timeline(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.booking_timeline(text) IS
'Why a booking is as it is: its webhooks with what became of each, what applications were told, who did what through dibs, and its meeting; in order of time.';
