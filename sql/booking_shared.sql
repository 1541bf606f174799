-- booking_shared: what the functions on bookings share: whose a booking is, its JSON, times, places, people; and link_account.

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
	link_account.user_ulid := dibs.read_ulid(link_account.user_ulid::text);
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
	RETURN (SELECT CASE p."status" WHEN 'CANCELLED' THEN 'former' ELSE 'attendee' END FROM dibs."BookingParticipant" p
		WHERE p."bookingUlid" = booking_role.ulid AND p."userUlid" = booking_role.user_ulid AND p."person" = dibs.current_email());
END
$$;
REVOKE ALL ON FUNCTION dibs.booking_role(char, char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.booking_role(char, char) IS
'What the caller is to a booking: all (the application, an administrator), coach, attendee, former (left it or was removed, and sees what has become of their seat), or NULL: nobody.';

CREATE OR REPLACE FUNCTION dibs.find_booking(booking_id text, at_least text = 'coach', OUT ulid char(26), OUT user_ulid char(26))
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	caller text;
BEGIN
	IF dibs.is_ulid(booking_id) THEN
		SELECT b."ulid", b."userUlid" INTO find_booking.ulid, find_booking.user_ulid
			FROM dibs."CalBooking" b WHERE b."ulid" IN (booking_id::char(26), dibs.read_ulid(booking_id))
			ORDER BY b."ulid" <> booking_id LIMIT 1;
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
	IF caller = 'former' AND at_least <> 'former' THEN
		RAISE EXCEPTION 'you are no longer in booking "%"', booking_id USING ERRCODE = '42501';
	END IF;
	IF caller = 'attendee' AND at_least = 'coach' THEN
		RAISE EXCEPTION 'that is for the coach of booking "%"', booking_id USING ERRCODE = '42501';
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dibs.find_booking(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.find_booking(text, text) IS
'The booking with that ulid, calBookingUid or earlier uid, if it is the caller''s business. at_least: who may, as dibs.booking_role() names them: coach, attendee or former; level app and admin always. P0002 where there is none for them, 42501 where they may not.';

CREATE OR REPLACE FUNCTION dibs.booking_json(ulid char(26), user_ulid char(26)) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	caller text := dibs.booking_role(booking_json.ulid, booking_json.user_ulid);
	answer jsonb;
BEGIN
	IF caller IN ('attendee', 'former') THEN
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
'A booking as dibs'' functions give it, without the host''s page, tokens, people''s own links and bookkeeping: to its coach without the passcode and the application''s metadata, to an attendee, also a former one, what concerns their seat. NULL to others.';

CREATE OR REPLACE FUNCTION dibs.read_time(value text, zone text, name text) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	at timestamptz;
	wall timestamp;
BEGIN
	BEGIN
		IF value ~ '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?([Zz]|[+-]\d\d(:?\d\d)?)$' THEN
			RETURN value::timestamptz;
		ELSIF value ~ '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?$' THEN
			wall := value::timestamp;
		END IF;
	EXCEPTION WHEN data_exception THEN
		-- 30 February
		wall := NULL;
	END;
	IF wall IS NULL THEN
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
	allow boolean = NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF end_time <= start_time THEN
		RAISE EXCEPTION 'the booking would end at %, not after its start at %', end_time, start_time USING ERRCODE = '22023';
	END IF;
	-- Whoever books the same coach waits here until this booking is there to be seen. The row is written, not only locked:
	-- who had to wait above READ COMMITTED would not see the booking, and is told to begin again (40001).
	INSERT INTO dibs."Coach" AS c ("userUlid") VALUES (coach)
	ON CONFLICT ON CONSTRAINT "Coach_pkey" DO UPDATE SET "updatedAt" = excluded."updatedAt";
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
			USING ERRCODE = '23P01', HINT = CASE WHEN allow IS NULL THEN 'The coach has to be free then.'
				ELSE 'Choose another time, or allow it: {"allowOverlap": true}.' END;
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dibs.hold_slot(char, timestamptz, timestamptz, char, boolean) FROM PUBLIC;
COMMENT ON FUNCTION dibs.hold_slot(char, timestamptz, timestamptz, char, boolean) IS
'Locks the coach for this transaction and refuses (23P01) a time at which they have a booking; allow: whether that is allowed, null where nobody can say so. 40001 where somebody else booked the coach since this transaction, above READ COMMITTED, began to see.';

CREATE OR REPLACE FUNCTION dibs.own_booking(booking_id text, at_least text = 'coach', OUT ulid char(26), OUT user_ulid char(26))
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	booking record;
BEGIN
	SELECT f.ulid, f.user_ulid INTO own_booking.ulid, own_booking.user_ulid FROM dibs.find_booking(booking_id, at_least) f;
	SELECT b."source", b."wanted", b."announced" INTO booking FROM dibs."CalBooking" b
		WHERE b."ulid" = own_booking.ulid AND b."userUlid" = own_booking.user_ulid FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no booking "%"', booking_id USING ERRCODE = 'P0002', HINT = 'It was deleted just now.';
	END IF;
	IF booking."source" <> 'manual' THEN
		RAISE EXCEPTION 'booking "%" belongs to its calendar source (%): dibs cannot change it there', booking_id, booking."source"
			USING ERRCODE = '0A000', HINT = 'Change it at the source: its webhook brings the change here.';
	END IF;
	-- whom a direct write has put in or out is known before anybody acts, and not lost when the json column is derived
	IF booking."announced" < booking."wanted" THEN
		PERFORM dibs.take_up_booking(own_booking.ulid, own_booking.user_ulid, booking."wanted");
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dibs.own_booking(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.own_booking(text, text) IS
'Finds and locks a booking that dibs itself may change, its participants brought in line, if it is the caller''s business (at_least as for dibs.find_booking()); P0002 for an unknown one, 0A000 for one that belongs to a calendar source.';

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

CREATE OR REPLACE FUNCTION dibs.check_values(data jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place jsonb := nullif(data->'location', 'null');
	link text;
BEGIN
	BEGIN
		PERFORM jsonb_populate_record(NULL::dibs."CalBooking", data - ARRAY['startTime', 'endTime', 'userUlid']), (data->>'allowOverlap')::boolean;
	EXCEPTION WHEN data_exception THEN
		RAISE EXCEPTION '%', SQLERRM USING ERRCODE = '22023', HINT = 'A key takes what its column takes: numbers, true or false, a text.';
	END;
	IF place IS NOT NULL AND (jsonb_typeof(place) <> 'object' OR NOT coalesce(place->>'kind' IN ('link', 'provider', 'in_person', 'phone'), false)) THEN
		RAISE EXCEPTION '% is no location', left(place::text, 200)
			USING ERRCODE = '22023', HINT = 'It is {"kind": "link", "value": "https://example.com/room"}, or of the kind provider, in_person or phone.';
	END IF;
	FOREACH link IN ARRAY ARRAY[nullif(data->>'zoomJoinUrl', ''), CASE place->>'kind' WHEN 'link' THEN coalesce(place->>'value', '') END] LOOP
		IF NOT dibs.is_link(link) THEN
			RAISE EXCEPTION '"%" is no link', left(link, 200)
				USING ERRCODE = '22023', HINT = 'A link starts with https:// or http:// and has no blanks.';
		END IF;
	END LOOP;
END
$$;
REVOKE ALL ON FUNCTION dibs.check_values(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.check_values(jsonb) IS
'Refuses (22023) data whose values its columns do not take, a zoomJoinUrl, or a location of the kind link, that is no link (dibs.is_link()), and a location that is no {kind, value}.';

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
