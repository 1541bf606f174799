-- booking: coaches and their accounts; bookings that are not a calendar source's.

CREATE OR REPLACE FUNCTION dibs.link_account(provider text, user_ulid char(26), external_id text = NULL, email text = NULL,
	username text = NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	account dibs."ProviderAccount"%ROWTYPE;
	known dibs."ProviderAccount"%ROWTYPE;
	known_id text := nullif(link_account.external_id, '');
	known_email text := nullif(link_account.email, '');
	known_name text := nullif(link_account.username, '');
	waiting bigint;
BEGIN
	IF link_account.provider IS NULL OR link_account.provider NOT IN ('cal', 'calendly', 'zoom', 'daily', 'google', 'teams') THEN
		RAISE EXCEPTION '"%" is no provider of accounts', link_account.provider
			USING ERRCODE = '22023', HINT = 'The providers are cal, calendly, zoom, daily, google and teams.';
	END IF;
	IF NOT dibs.is_ulid(link_account.user_ulid::text) THEN
		RAISE EXCEPTION '"%" is no ULID', rtrim(link_account.user_ulid)
			USING ERRCODE = '22023', HINT = 'dibs.gen_ulid() makes one, dibs.uuid_to_ulid() turns a uuid into one.';
	END IF;
	IF known_id IS NULL AND known_email IS NULL AND known_name IS NULL THEN
		RAISE EXCEPTION 'an account needs an external_id, an email or a username'
			USING ERRCODE = '22023', HINT = 'Cal.com''s webhooks name the organizer by all three: any one will do.';
	END IF;

	INSERT INTO dibs."Coach" ("userUlid") VALUES (link_account.user_ulid) ON CONFLICT ON CONSTRAINT "Coach_pkey" DO NOTHING;
	-- One account may have been seen under several of its names: they become one row, the oldest.
	FOR known IN
		SELECT * FROM dibs."ProviderAccount" a
		WHERE a."provider" = link_account.provider
			AND (a."externalId" = known_id OR lower(a."email") = lower(known_email) OR lower(a."username") = lower(known_name))
		-- one with tokens stays: they are sealed for it
		ORDER BY NOT EXISTS (SELECT FROM dibs."ProviderCredential" c WHERE c."accountUlid" = a."ulid"), a."createdAt", a."ulid"
		FOR UPDATE
	LOOP
		known_id := coalesce(known_id, known."externalId");
		known_email := coalesce(known_email, known."email");
		known_name := coalesce(known_name, known."username");
		IF account."ulid" IS NULL THEN
			account := known;
		ELSE
			DELETE FROM dibs."ProviderAccount" a WHERE a."ulid" = known."ulid";
		END IF;
	END LOOP;
	IF account."ulid" IS NULL THEN
		INSERT INTO dibs."ProviderAccount" ("provider", "userUlid", "externalId", "email", "username")
			VALUES (link_account.provider, link_account.user_ulid, known_id, known_email, known_name) RETURNING * INTO account;
	ELSE
		UPDATE dibs."ProviderAccount" a SET "userUlid" = link_account.user_ulid, "externalId" = known_id, "email" = known_email,
			"username" = known_name, "state" = 'linked' WHERE a."ulid" = account."ulid" RETURNING * INTO account;
	END IF;

	UPDATE dibs."WebhookEvent" e SET "outcome" = 'queued', "dueAt" = '-infinity'
		WHERE e."outcome" = 'unmatched' AND e."source" = link_account.provider AND e."waitsFor" IS NULL;
	GET DIAGNOSTICS waiting = ROW_COUNT;
	PERFORM dibs.wake();
	RETURN jsonb_build_object('account', account."ulid", 'provider', account."provider", 'userUlid', account."userUlid",
		'externalId', account."externalId", 'email', account."email", 'username', account."username", 'eventsQueued', waiting);
END
$$;
REVOKE ALL ON FUNCTION dibs.link_account(text, char, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.link_account(text, char, text, text, text) IS
'Says which coach an organizer (or video account) is: by the provider''s user id, e-mail or username. Events that waited for it are applied. 22023 for an unknown provider, no name at all, or what is no ULID.';

CREATE OR REPLACE FUNCTION dibs.booking_role(ulid char(26), user_ulid char(26)) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF dibs.sees_all() THEN
		RETURN 'all';
	END IF;
	IF user_ulid = dibs.current_user_ulid() THEN
		RETURN 'coach';
	END IF;
	IF EXISTS (SELECT FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = booking_role.ulid AND p."userUlid" = booking_role.user_ulid
		AND p."person" = dibs.current_email()) THEN
		RETURN 'attendee';
	END IF;
	RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION dibs.booking_role(char, char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.booking_role(char, char) IS
'What the caller is to a booking: all (the application, an administrator), coach, attendee, or NULL: nobody.';

CREATE OR REPLACE FUNCTION dibs.find_booking(booking_id text, attendees_too boolean = false, OUT ulid char(26), OUT user_ulid char(26))
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	caller text;
BEGIN
	IF dibs.is_ulid(booking_id) THEN
		SELECT b."ulid", b."userUlid" INTO find_booking.ulid, find_booking.user_ulid
			FROM dibs."CalBooking" b WHERE b."ulid" = upper(booking_id)::char(26);
	END IF;
	IF find_booking.ulid IS NULL THEN
		SELECT b."ulid", b."userUlid" INTO find_booking.ulid, find_booking.user_ulid
			FROM dibs."CalBooking" b WHERE b."calBookingUid" = booking_id;
	END IF;
	IF find_booking.ulid IS NULL THEN
		SELECT b."ulid", b."userUlid" INTO find_booking.ulid, find_booking.user_ulid
			FROM dibs."BookingUid" u JOIN dibs."CalBooking" b ON b."ulid" = u."bookingUlid" AND b."userUlid" = u."userUlid"
			WHERE u."uid" = booking_id;
	END IF;
	caller := dibs.booking_role(find_booking.ulid, find_booking.user_ulid);
	-- somebody else's booking is none: that it exists is nobody's business
	IF find_booking.ulid IS NULL OR caller IS NULL THEN
		RAISE EXCEPTION 'there is no booking "%"', booking_id
			USING ERRCODE = 'P0002', HINT = 'A booking is named by its ulid, its calBookingUid or an earlier uid of it.';
	END IF;
	IF caller = 'attendee' AND NOT attendees_too THEN
		RAISE EXCEPTION 'that is for the coach of booking "%"', booking_id USING ERRCODE = '42501';
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dibs.find_booking(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION dibs.find_booking(text, boolean) IS
'The booking with that ulid, calBookingUid or earlier uid, if it is the caller''s business: level app and admin any, a member their own as coach, and with attendees_too those in which they have a seat. P0002 where there is none for them, 42501 where only its coach may.';

CREATE OR REPLACE FUNCTION dibs.booking_json(ulid char(26), user_ulid char(26)) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	caller text := dibs.booking_role(booking_json.ulid, booking_json.user_ulid);
	answer jsonb;
BEGIN
	IF caller = 'attendee' THEN
		SELECT to_jsonb(b) || jsonb_build_object('seat', (SELECT jsonb_build_object('email', p."email", 'name', p."name",
				'timeZone', p."timeZone", 'status', p."status") FROM dibs."BookingParticipant" p
				WHERE p."bookingUlid" = b."ulid" AND p."userUlid" = b."userUlid" AND p."person" = dibs.current_email()))
			INTO answer
		FROM (SELECT c."ulid", c."title", c."description", c."eventTypeSlug", c."bookingType", c."startTime", c."endTime", c."duration",
			c."status", c."meetingState", c."rating", c."createdAt", c."updatedAt", c."userUlid" FROM dibs."CalBooking" c
			WHERE c."ulid" = booking_json.ulid AND c."userUlid" = booking_json.user_ulid) b;
		RETURN answer;
	END IF;
	SELECT to_jsonb(b) - ARRAY['zoomHostUrl', 'customValidationToken', 'tokenVersion', 'sourceAt', 'wanted', 'done', 'announced', 'dueAt', 'completeAt', 'instance']
		- CASE WHEN caller = 'all' THEN '{}'::text[] ELSE ARRAY['zoomPasscode', 'metadata'] END
		|| jsonb_build_object('participants', dibs.public_participants(b."participants")) INTO answer
	FROM dibs."CalBooking" b WHERE b."ulid" = booking_json.ulid AND b."userUlid" = booking_json.user_ulid
		AND caller IS NOT NULL;
	RETURN answer;
END
$$;
REVOKE ALL ON FUNCTION dibs.booking_json(char, char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.booking_json(char, char) IS
'A booking as dibs'' functions give it, without the host''s page, tokens, people''s own links and bookkeeping: to its coach without the passcode and the application''s metadata, to an attendee what concerns their seat. NULL to others.';

CREATE OR REPLACE FUNCTION dibs.read_time(value text, zone text, name text) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	at timestamptz;
	wall timestamp;
BEGIN
	IF value ~ '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?([Zz]|[+-]\d\d(:?\d\d)?)$' THEN
		RETURN value::timestamptz;
	END IF;
	IF value IS NULL OR value !~ '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?$' THEN
		RAISE EXCEPTION '"%" is no time (%)', value, name
			USING ERRCODE = '22007', HINT = 'Write 2030-01-31T09:30:00Z, or with another offset.';
	END IF;
	IF zone IS NULL THEN
		RAISE EXCEPTION '"%" has no offset (%)', value, name
			USING ERRCODE = '22007', HINT = 'Add Z or an offset such as +02:00, or give a "timeZone" with it.';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = zone) THEN
		RAISE EXCEPTION '"%" is no time zone', zone USING ERRCODE = '22023', HINT = 'Use an IANA name such as Europe/Berlin.';
	END IF;
	wall := value::timestamp;
	at := wall AT TIME ZONE zone;
	IF at AT TIME ZONE zone <> wall THEN
		RAISE EXCEPTION 'there is no % in %: the clocks are put forward then (%)', value, zone, name
			USING ERRCODE = '22007', HINT = 'Choose another time, or write it with an offset.';
	END IF;
	-- what the clocks show twice is the first of the two; an offset names the second
	FOR shift IN 1..4 LOOP
		IF (at - shift * interval '30 minutes') AT TIME ZONE zone = wall THEN
			RETURN at - shift * interval '30 minutes';
		END IF;
	END LOOP;
	RETURN at;
END
$$;
REVOKE ALL ON FUNCTION dibs.read_time(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.read_time(text, text, text) IS
'An instant from a time with an offset, or from a local time and its zone: what the clocks skip is refused (22007), what they show twice is the first.';

CREATE OR REPLACE FUNCTION dibs.hold_slot(coach char(26), start_time timestamptz, end_time timestamptz, except_ulid char(26) = NULL,
	allow boolean = false) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF end_time <= start_time THEN
		RAISE EXCEPTION 'the booking would end at %, not after its start at %', end_time, start_time USING ERRCODE = '22023';
	END IF;
	INSERT INTO dibs."Coach" ("userUlid") VALUES (coach) ON CONFLICT ON CONSTRAINT "Coach_pkey" DO NOTHING;
	-- whoever books the same coach waits here until this booking is there to be seen
	PERFORM FROM dibs."Coach" c WHERE c."userUlid" = coach FOR UPDATE;
	IF allow THEN
		RETURN;
	END IF;
	PERFORM FROM dibs."CalBooking" b
		WHERE b."userUlid" = coach AND b."startTime" < end_time AND b."endTime" > start_time
			AND b."status" IN ('PENDING', 'CONFIRMED', 'IN_PROGRESS') AND b."ulid" IS DISTINCT FROM except_ulid
		LIMIT 1;
	IF FOUND THEN
		-- which one is nobody's business who only wants to book
		RAISE EXCEPTION 'coach % already has a booking between % and %', coach, start_time, end_time
			USING ERRCODE = '23P01', HINT = 'Choose another time, or allow it: {"allowOverlap": true}.';
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dibs.hold_slot(char, timestamptz, timestamptz, char, boolean) FROM PUBLIC;
COMMENT ON FUNCTION dibs.hold_slot(char, timestamptz, timestamptz, char, boolean) IS
'Locks the coach for this transaction and refuses (23P01) a time at which they have a booking.';

CREATE OR REPLACE FUNCTION dibs.own_booking(booking_id text, attendees_too boolean = false, OUT ulid char(26), OUT user_ulid char(26))
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	origin text;
BEGIN
	SELECT f.ulid, f.user_ulid INTO own_booking.ulid, own_booking.user_ulid FROM dibs.find_booking(booking_id, attendees_too) f;
	SELECT b."source" INTO origin FROM dibs."CalBooking" b
		WHERE b."ulid" = own_booking.ulid AND b."userUlid" = own_booking.user_ulid FOR NO KEY UPDATE;
	IF origin IS NULL THEN
		RAISE EXCEPTION 'there is no booking "%"', booking_id USING ERRCODE = 'P0002', HINT = 'It was deleted just now.';
	END IF;
	IF origin <> 'manual' THEN
		RAISE EXCEPTION 'booking "%" belongs to its calendar source (%): dibs cannot change it there', booking_id, origin
			USING ERRCODE = '0A000', HINT = 'Change it at the source: its webhook brings the change here.';
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dibs.own_booking(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION dibs.own_booking(text, boolean) IS
'Finds and locks a booking that dibs itself may change, if it is the caller''s business; P0002 for an unknown one, 0A000 for one that belongs to a calendar source.';

CREATE OR REPLACE FUNCTION dibs.check_keys(data jsonb, allowed text[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unknown text;
BEGIN
	IF data IS NULL OR jsonb_typeof(data) <> 'object' THEN
		RAISE EXCEPTION 'the data of a booking must be a JSON object' USING ERRCODE = '22023';
	END IF;
	SELECT k INTO unknown FROM jsonb_object_keys(data) k WHERE k <> ALL (allowed) LIMIT 1;
	IF unknown IS NOT NULL THEN
		RAISE EXCEPTION '"%" cannot be set here', unknown
			USING ERRCODE = '22023', HINT = format('What can: %s.', array_to_string(allowed, ', '));
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dibs.check_keys(jsonb, text[]) FROM PUBLIC;
COMMENT ON FUNCTION dibs.check_keys(jsonb, text[]) IS 'Refuses (22023) data with a key that is not in the list.';

CREATE OR REPLACE FUNCTION dibs.read_guests(guests jsonb) RETURNS TABLE (email text, name text, zone text, ord bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF guests IS NULL OR jsonb_typeof(guests) <> 'array' THEN
		RAISE EXCEPTION 'guests must be an array' USING ERRCODE = '22023',
			HINT = 'For example [{"email": "guest@example.com", "name": "Guest"}].';
	END IF;
	RETURN QUERY
	SELECT CASE jsonb_typeof(g.g) WHEN 'string' THEN g.g #>> '{}' ELSE g.g->>'email' END,
		g.g->>'name', g.g->>'timeZone', g.ord
	FROM jsonb_array_elements(guests) WITH ORDINALITY AS g(g, ord);
	IF EXISTS (SELECT FROM jsonb_array_elements(guests) g(g)
		WHERE coalesce(CASE jsonb_typeof(g.g) WHEN 'string' THEN g.g #>> '{}' ELSE g.g->>'email' END, '') !~ '^[^@\s]+@[^@\s]+$')
	THEN
		RAISE EXCEPTION 'a guest has no usable e-mail address' USING ERRCODE = '22023',
			HINT = 'For example [{"email": "guest@example.com", "name": "Guest"}].';
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dibs.read_guests(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.read_guests(jsonb) IS 'The people in a list of e-mails or {email, name, timeZone}; 22023 where one has no usable address.';

CREATE OR REPLACE FUNCTION dibs.derive_participants(ulid char(26), user_ulid char(26)) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE dibs."CalBooking" b SET "participants" = p.list, "currentParticipants" = p.confirmed
	FROM (SELECT coalesce(jsonb_agg(jsonb_build_object('email', p."email", 'name', p."name", 'timeZone', p."timeZone")
			|| jsonb_strip_nulls(jsonb_build_object('joinUrl', p."joinUrl", 'validationToken', p."validationToken"))
			|| jsonb_build_object('status', p."status") ORDER BY p."since", p."person") FILTER (WHERE p."email" IS NOT NULL), '[]') AS list,
			(count(*) FILTER (WHERE p."status" <> 'CANCELLED'))::int AS confirmed
		FROM dibs."BookingParticipant" p
		WHERE p."bookingUlid" = derive_participants.ulid AND p."userUlid" = derive_participants.user_ulid) p
	WHERE b."ulid" = derive_participants.ulid AND b."userUlid" = derive_participants.user_ulid
$$;
REVOKE ALL ON FUNCTION dibs.derive_participants(char, char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.derive_participants(char, char) IS 'Brings the json column of a booking in line with "BookingParticipant".';

CREATE OR REPLACE FUNCTION dibs.seat_people(ulid char(26), user_ulid char(26), guests jsonb) RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	capacity int;
	seated int;
	added int;
	began timestamptz := clock_timestamp();
BEGIN
	WITH people AS (
		SELECT DISTINCT ON (lower(g.email)) g.* FROM dibs.read_guests(guests) g ORDER BY lower(g.email), g.ord)
	INSERT INTO dibs."BookingParticipant" AS p ("userUlid", "bookingUlid", "person", "email", "name", "timeZone", "since", "isPrimary")
		SELECT seat_people.user_ulid, seat_people.ulid, lower(g.email), g.email, g.name, g.zone, began + g.ord * interval '1 microsecond',
			NOT EXISTS (SELECT FROM dibs."BookingParticipant" q
				WHERE q."bookingUlid" = seat_people.ulid AND q."userUlid" = seat_people.user_ulid) AND g.ord = 1
		FROM people g ORDER BY g.ord
	ON CONFLICT ON CONSTRAINT "BookingParticipant_person_key" DO UPDATE SET "status" = 'CONFIRMED'
		WHERE p."status" = 'CANCELLED';
	GET DIAGNOSTICS added = ROW_COUNT;
	SELECT b."maxParticipants" INTO capacity FROM dibs."CalBooking" b
		WHERE b."ulid" = seat_people.ulid AND b."userUlid" = seat_people.user_ulid;
	SELECT count(*) INTO seated FROM dibs."BookingParticipant" p
		WHERE p."bookingUlid" = seat_people.ulid AND p."userUlid" = seat_people.user_ulid AND p."status" <> 'CANCELLED';
	IF seated > capacity THEN
		RAISE EXCEPTION 'the booking has % places, % people would be in it', capacity, seated
			USING ERRCODE = '23514', HINT = 'Raise "maxParticipants" with dibs.update_booking(), or ask for fewer.';
	END IF;
	PERFORM dibs.derive_participants(seat_people.ulid, seat_people.user_ulid);
	RETURN added;
END
$$;
REVOKE ALL ON FUNCTION dibs.seat_people(char, char, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.seat_people(char, char, jsonb) IS
'Puts people into a booking whose row is locked; 23514 where there are not enough places. Gives how many are new.';

CREATE OR REPLACE FUNCTION dibs.create_booking(data jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	allowed constant text[] := ARRAY['userUlid', 'title', 'description', 'startTime', 'endTime', 'duration', 'timeZone',
		'attendeeEmail', 'attendeeName', 'attendeeTimeZone', 'guests', 'bookingType', 'maxParticipants', 'eventTypeId', 'eventTypeSlug',
		'status', 'location', 'meetingProvider', 'bookingFields', 'metadata', 'paid', 'amount', 'currency', 'sessionUlid',
		'zoomJoinUrl', 'allowOverlap'];
	coach char(26) := coalesce(data->>'userUlid', dibs.current_user_ulid(),
		nullif(current_setting('dibs.default_user_ulid', true), ''));
	new_ulid char(26) := dibs.gen_ulid();
	new_uid text := 'dibs_' || dibs.gen_ulid();
	status text := coalesce(data->>'status', 'CONFIRMED');
	start_time timestamptz;
	end_time timestamptz;
	row dibs."CalBooking"%ROWTYPE;
	people jsonb;
	seated jsonb;
BEGIN
	IF data ? 'source' THEN
		RETURN dibs.create_at_source(data);
	END IF;
	PERFORM dibs.check_keys(data, allowed);
	IF coach IS NULL OR NOT dibs.is_ulid(coach::text) THEN
		RAISE EXCEPTION '"%" is no coach''s userUlid', rtrim(coach)
			USING ERRCODE = '22023', HINT = 'Give "userUlid": a ULID; dibs.uuid_to_ulid() turns a uuid into one.';
	END IF;
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
		row."maxParticipants", jsonb_array_length(seated), seated, start_time, end_time, extract(epoch FROM end_time - start_time)::int / 60, row."attendeeEmail", row."attendeeName",
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
'Makes a booking of dibs'' own, or with source cal (and an eventTypeId) one at Cal.com: pending until it is made there, rejected where it is not. data: userUlid, startTime, endTime or duration (minutes), attendeeEmail, and more columns by name; guests: more people; timeZone: for local times; allowOverlap. 23P01 where the coach has a booking then, 22007 for a time without an offset and zone or one that the clocks skip, 23514 for more people than places, 22023 for anything else unusable.';

CREATE OR REPLACE FUNCTION dibs.update_booking(booking_id text, data jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	ours constant text[] := ARRAY['metadata', 'meetingProvider', 'sessionUlid'];
	allowed constant text[] := ours || ARRAY['title', 'description', 'attendeeName', 'attendeeTimeZone', 'maxParticipants', 'eventTypeId',
		'eventTypeSlug', 'location', 'bookingFields', 'paid', 'amount', 'currency', 'zoomJoinUrl'];
	-- a coach does not say what was paid, nor writes the application's columns
	for_coaches constant text[] := ARRAY['title', 'description', 'location', 'maxParticipants', 'zoomJoinUrl'];
	key record;
	row dibs."CalBooking"%ROWTYPE;
	answer jsonb;
BEGIN
	PERFORM dibs.check_keys(data, CASE WHEN dibs.sees_all() THEN allowed ELSE for_coaches END);
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
	row := jsonb_populate_record(row, data);
	IF row."maxParticipants" < row."currentParticipants" THEN
		RAISE EXCEPTION '% people are in the booking, more than %', row."currentParticipants", row."maxParticipants"
			USING ERRCODE = '23514';
	END IF;
	UPDATE dibs."CalBooking" b SET "title" = row."title", "description" = row."description", "attendeeName" = row."attendeeName",
		"attendeeTimeZone" = row."attendeeTimeZone", "maxParticipants" = row."maxParticipants", "eventTypeId" = row."eventTypeId",
		"eventTypeSlug" = row."eventTypeSlug", "location" = row."location", "bookingFields" = row."bookingFields", "paid" = row."paid",
		"amount" = row."amount", "currency" = row."currency", "zoomJoinUrl" = row."zoomJoinUrl", "metadata" = row."metadata",
		"meetingProvider" = row."meetingProvider", "sessionUlid" = row."sessionUlid"
		WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid;
	PERFORM dibs.note_act('update_booking', key.ulid, jsonb_build_object('keys', (SELECT jsonb_agg(k) FROM jsonb_object_keys(data) k)));
	RETURN dibs.booking_json(key.ulid, key.user_ulid);
END
$$;
REVOKE ALL ON FUNCTION dibs.update_booking(text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.update_booking(text, jsonb) IS
'Changes columns of a booking by name; metadata, meetingProvider and sessionUlid of any, location also of Cal.com''s (there), the others only of dibs'' own (else 0A000). Times: dibs.reschedule_booking(); status: the functions named for it.';

CREATE OR REPLACE FUNCTION dibs.leave_booking(ulid char(26), user_ulid char(26), reason text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- who booked a one-on-one may cancel all of it
	IF EXISTS (SELECT FROM dibs."CalBooking" b JOIN dibs."BookingParticipant" p ON p."bookingUlid" = b."ulid" AND p."userUlid" = b."userUlid"
		WHERE b."ulid" = leave_booking.ulid AND b."userUlid" = leave_booking.user_ulid AND b."bookingType" = 'ONE_ON_ONE'
			AND p."isPrimary" AND p."person" = dibs.current_email()) THEN
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
	SELECT * INTO key FROM dibs.own_booking(booking_id, action = 'cancel_booking');
	caller := dibs.booking_role(key.ulid, key.user_ulid);
	IF caller <> 'all' THEN
		actor := dibs.current_email();
	END IF;
	IF caller = 'attendee' AND dibs.leave_booking(key.ulid, key.user_ulid, reason) THEN
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
	answer jsonb := dibs.ask_source(booking_id, 'reschedule', jsonb_build_object('reason', reason, 'by', rescheduled_by,
		'start', to_char(start_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')));
BEGIN
	IF answer IS NOT NULL THEN
		RETURN answer;
	END IF;
	-- the coach before the booking, as when one is made
	SELECT * INTO key FROM dibs.find_booking(booking_id, true);
	PERFORM FROM dibs."Coach" c WHERE c."userUlid" = key.user_ulid FOR UPDATE;
	SELECT * INTO key FROM dibs.own_booking(booking_id, true);
	SELECT * INTO row FROM dibs."CalBooking" b WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid;
	caller := dibs.booking_role(key.ulid, key.user_ulid);
	IF caller <> 'all' THEN
		actor := dibs.current_email();
	END IF;
	IF caller = 'attendee' AND (row."bookingType" <> 'ONE_ON_ONE' OR lower(row."attendeeEmail") <> actor) THEN
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
'Moves a booking, at Cal.com where it is Cal.com''s; it keeps its ulid, its length and its meeting. 23P01 where the coach has another then, 22023 where it has ended.';

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
	answer jsonb := dibs.ask_source(booking_id, 'absent', jsonb_build_object('email', email));
BEGIN
	IF answer IS NOT NULL THEN
		RETURN answer;
	END IF;
	SELECT * INTO key FROM dibs.own_booking(booking_id);
	UPDATE dibs."BookingParticipant" p SET "noShow" = true, "noShowAt" = transaction_timestamp()
		WHERE p."bookingUlid" = key.ulid AND p."userUlid" = key.user_ulid AND lower(p."email") = lower(mark_no_show.email);
	IF NOT FOUND THEN
		RAISE EXCEPTION '"%" is not in booking "%"', email, booking_id USING ERRCODE = 'P0002';
	END IF;
	PERFORM dibs.note_act('mark_no_show', key.ulid, jsonb_build_object('email', email));
	RETURN dibs.booking_json(key.ulid, key.user_ulid);
END
$$;
REVOKE ALL ON FUNCTION dibs.mark_no_show(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.mark_no_show(text, text) IS 'Notes that somebody did not come ("BookingParticipant"."noShow"). P0002 where they are not in the booking.';

CREATE OR REPLACE FUNCTION dibs.rate_booking(booking_id text, rating int) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
BEGIN
	IF rating IS NULL OR rating NOT BETWEEN 1 AND 5 THEN
		RAISE EXCEPTION '% is no rating', coalesce(rating::text, 'null') USING ERRCODE = '22023', HINT = 'A rating is 1 to 5.';
	END IF;
	SELECT * INTO key FROM dibs.find_booking(booking_id, true);
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
BEGIN
	IF NOT dibs.is_ulid(reassign_booking.user_ulid::text) THEN
		RAISE EXCEPTION '"%" is no ULID', rtrim(reassign_booking.user_ulid) USING ERRCODE = '22023';
	END IF;
	SELECT * INTO key FROM dibs.find_booking(booking_id);
	IF key.user_ulid = reassign_booking.user_ulid THEN
		RETURN dibs.booking_json(key.ulid, key.user_ulid);
	END IF;
	-- coaches before bookings, in one order
	PERFORM FROM dibs."Coach" c WHERE c."userUlid" IN (key.user_ulid, reassign_booking.user_ulid) ORDER BY c."userUlid" FOR UPDATE;
	SELECT * INTO row FROM dibs."CalBooking" b WHERE b."ulid" = key.ulid AND b."userUlid" = key.user_ulid FOR UPDATE;
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
'Gives a booking to another coach: the same ulid and uids, a new meeting; the old coach''s meeting goes, tokens end. 23P01 where the other coach has a booking then.';

CREATE OR REPLACE FUNCTION dibs.booking_timeline(booking_id text) RETURNS TABLE (at timestamptz, kind text, what text, data jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key record;
	caller text;
BEGIN
	SELECT * INTO key FROM dibs.find_booking(booking_id, true);
	caller := dibs.booking_role(key.ulid, key.user_ulid);
	IF caller = 'attendee' THEN
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
