-- Deliveries to be received, and the two rivals' way of writing the same rows. See ingest.sh.
CREATE SCHEMA bench;
CREATE EXTENSION IF NOT EXISTS pgcrypto;

CREATE TABLE bench.delivery (
	id int PRIMARY KEY,
	headers jsonb NOT NULL,
	body text NOT NULL,
	uid text NOT NULL,
	dedupe_key text NOT NULL,
	sha256 bytea NOT NULL,
	payload jsonb NOT NULL,
	sent_at timestamptz NOT NULL,
	start_time timestamptz NOT NULL,
	end_time timestamptz NOT NULL,
	email text NOT NULL
);

CREATE FUNCTION bench.body(i int, tag text) RETURNS text LANGUAGE sql AS $$
SELECT json_build_object('triggerEvent', 'BOOKING_CREATED', 'createdAt', to_char(timestamp '2026-01-01' + i * interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS".000Z"'),
	'payload', json_build_object('uid', tag || i, 'bookingId', i, 'type', 'intro', 'title', 'Intro between Coach and Guest ' || i,
	'eventTitle', 'Intro', 'eventTypeId', 7, 'description', 'A first talk', 'startTime', to_char(now() AT TIME ZONE 'UTC' + interval '30 days' + i * interval '1 hour', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
	'endTime', to_char(now() AT TIME ZONE 'UTC' + interval '30 days 1 hour' + i * interval '1 hour', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
	'length', 60, 'price', 0, 'currency', 'usd', 'status', 'ACCEPTED', 'location', 'integrations:daily',
	'organizer', json_build_object('id', 1, 'name', 'Coach', 'email', 'coach@example.com', 'username', 'coach', 'timeZone', 'UTC',
		'language', json_build_object('locale', 'en'), 'utcOffset', 0),
	'attendees', json_build_array(json_build_object('name', 'Guest ' || i, 'email', 'guest' || i || '@example.com',
		'timeZone', 'Europe/London', 'language', json_build_object('locale', 'en'), 'utcOffset', 0)),
	'responses', json_build_object('name', json_build_object('label', 'your_name', 'value', 'Guest ' || i),
		'email', json_build_object('label', 'email_address', 'value', 'guest' || i || '@example.com'),
		'notes', json_build_object('label', 'additional_notes', 'value', repeat('What I would like to talk about. ', 75))),
	'metadata', json_build_object('campaign', 'spring'), 'iCalUID', tag || i || '@example.com', 'iCalSequence', 0,
	'customInputs', '{}'::json, 'userFieldsResponses', '{}'::json))::text $$;

CREATE FUNCTION bench.fill(n int, secret text, tag text) RETURNS void LANGUAGE sql AS $$
INSERT INTO bench.delivery
SELECT i, jsonb_build_object('x-cal-signature-256', encode(hmac(b, secret, 'sha256'), 'hex'), 'content-type', 'application/json'), b,
	tag || i, encode(digest('cal:BOOKING_CREATED:' || i || tag, 'sha256'), 'hex'), digest(b, 'sha256'), b::jsonb,
	timestamp '2026-01-01' + i * interval '1 second', ((b::jsonb)->'payload'->>'startTime')::timestamptz,
	((b::jsonb)->'payload'->>'endTime')::timestamptz, 'guest' || i || '@example.com'
FROM generate_series(1, n) i, LATERAL (SELECT bench.body(i, tag) AS b) x $$;

-- The same logic as an application's developer would write it in PL/pgSQL with pgcrypto, for what a new booking needs:
-- bearer values cut out, an earlier or deleted booking of the uid (or of the one it replaces) found, every group of
-- columns kept unless it is newer, the coach completed, events that wait for the uid queued, a lock waited for
-- briefly and whatever goes wrong kept as queued. The secret lies sealed in a table, as dibs' does (by raw AES:
-- pgp_sym_decrypt() would take many times as long), and whoever was to be forgotten does not come back. Other
-- triggers, seats and merges are not in it: they'd make it slower.
CREATE TABLE bench.secret (name text PRIMARY KEY, sealed bytea NOT NULL, iv bytea NOT NULL, valid_until timestamptz NOT NULL DEFAULT 'infinity');
CREATE FUNCTION bench.seal(name text, secret text) RETURNS void LANGUAGE sql AS $$
INSERT INTO bench.secret (name, sealed, iv)
SELECT $1, encrypt_iv(convert_to($2, 'UTF8'), current_setting('bench.key')::bytea, i.iv, 'aes'), i.iv FROM gen_random_bytes(16) AS i(iv) $$;
CREATE FUNCTION bench.receive(headers jsonb, body text) RETURNS jsonb LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
	j jsonb;
	p jsonb;
	o jsonb;
	kept jsonb;
	path text[];
	key text;
	who char(26);
	event_ulid char(26) := dibs.gen_ulid();
	booking char(26);
	owner char(26);
	row dibs."CalBooking"%ROWTYPE;
	stamp timestamptz;
	stamps timestamptz[];
	answers jsonb;
	place jsonb;
	people jsonb := '[]';
	person jsonb;
	problem text;
	problem_code text;
	secret text;
	n int := 0;
BEGIN
	SELECT convert_from(decrypt_iv(s.sealed, current_setting('bench.key')::bytea, s.iv, 'aes'), 'UTF8') INTO secret
	FROM bench.secret s WHERE s.name = 'cal.webhook_secret' AND s.valid_until > now();
	IF secret IS NULL OR encode(hmac(body, secret, 'sha256'), 'hex') <> lower(headers->>'x-cal-signature-256') THEN
		RETURN jsonb_build_object('status', 401);
	END IF;
	j := body::jsonb;
	p := j->'payload';
	o := p->'organizer';
	key := 'cal:event:' || encode(digest(concat_ws(':', j->>'triggerEvent', j->>'createdAt', p->>'uid', p->>'attendeeSeatId', p->>'startTime',
		(SELECT string_agg(a->>'email', ',') FROM jsonb_array_elements(p->'attendees') a)), 'sha256'), 'hex');
	PERFORM FROM dibs."WebhookEvent" w WHERE w."dedupeKey" = key;
	IF FOUND THEN
		RETURN jsonb_build_object('status', 200, 'outcome', 'duplicate');
	END IF;
	kept := j;
	FOREACH path SLICE 1 IN ARRAY ARRAY[['oneTimePassword', ''], ['videoCallData', 'password'], ['connectAndJoinUrl', ''], ['downloadLink', ''],
		['downloadLinks', ''], ['hashedLink', ''], ['paymentData', ''], ['credential', 'key'], ['webhook', 'secret']]
	LOOP
		IF p ? path[1] THEN
			kept := kept #- (ARRAY['payload'] || array_remove(path, ''));
		END IF;
	END LOOP;
	BEGIN
		PERFORM set_config('lock_timeout', '500', true);
		stamp := (j->>'createdAt')::timestamptz;
		SELECT b."ulid", b."userUlid" INTO booking, owner FROM dibs."CalBooking" b WHERE b."calBookingUid" = p->>'uid';
		IF booking IS NULL THEN
			SELECT u."bookingUlid", u."userUlid" INTO booking, owner FROM dibs."BookingUid" u WHERE u."uid" IN (p->>'uid', p->>'rescheduleUid');
		END IF;
		SELECT coalesce(
			(SELECT a."userUlid" FROM dibs."ProviderAccount" a WHERE a."provider" = 'cal' AND a."externalId" = o->>'id'),
			(SELECT a."userUlid" FROM dibs."ProviderAccount" a WHERE a."provider" = 'cal' AND lower(a."email") = lower(o->>'email')),
			(SELECT a."userUlid" FROM dibs."ProviderAccount" a WHERE a."provider" = 'cal' AND lower(a."username") = lower(o->>'username'))) INTO who;
		SELECT jsonb_object_agg(a.key, coalesce(a.value->'value', a.value)) INTO answers FROM jsonb_each(p->'responses') a;
		place := CASE WHEN p->>'location' LIKE 'integrations:%' THEN jsonb_build_object('kind', 'provider', 'value', split_part(p->>'location', ':', 2))
			WHEN p->>'location' LIKE 'http%' THEN jsonb_build_object('kind', 'link', 'value', p->>'location')
			WHEN p->>'location' IS NOT NULL THEN jsonb_build_object('kind', 'in_person', 'value', p->>'location') END;
		SELECT coalesce(jsonb_agg(jsonb_build_object('email', a->>'email', 'name', a->>'name', 'timeZone', a->>'timeZone', 'status', 'CONFIRMED')), '[]')
			INTO people FROM jsonb_array_elements(p->'attendees') a WHERE lower(a->>'email') <> lower(o->>'email');
		IF EXISTS (SELECT FROM dibs."Forgotten") THEN
			SELECT coalesce(jsonb_agg(a), '[]') INTO people FROM jsonb_array_elements(people) a
			WHERE NOT EXISTS (SELECT FROM dibs."Forgotten" f WHERE f."hash" = dibs.forgotten_hash('person', a->>'email') AND f."createdAt" >= stamp);
		END IF;
		stamps := array_fill(stamp, ARRAY[18]);
		IF booking IS NULL AND who IS NOT NULL THEN
			INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "calBookingId", "title", "description", "eventTypeId", "eventTypeSlug",
				"startTime", "endTime", "duration", "attendeeEmail", "attendeeName", "attendeeTimeZone", "participants", "currentParticipants", "status",
				"bookingFields", "metadata", "location", "source", "sourceAt", "rescheduledFromUid", "announced")
			VALUES (who, p->>'uid', (p->>'bookingId')::int, p->>'title', p->>'description', (p->>'eventTypeId')::int, p->>'type',
				(p->>'startTime')::timestamptz, (p->>'endTime')::timestamptz, (p->>'length')::int, people->0->>'email', people->0->>'name',
				people->0->>'timeZone', people, jsonb_array_length(people), CASE p->>'status' WHEN 'PENDING' THEN 'PENDING' ELSE 'CONFIRMED' END,
				answers, p->'metadata', place, 'cal', stamps, p->>'rescheduleUid', 1)
			RETURNING "ulid" INTO booking;
			INSERT INTO dibs."BookingUid" ("uid", "userUlid", "bookingUlid") VALUES (p->>'uid', who, booking);
			FOR person IN SELECT * FROM jsonb_array_elements(people) LOOP
				INSERT INTO dibs."BookingParticipant" ("userUlid", "bookingUlid", "person", "email", "name", "timeZone", "isPrimary", "since", "sourceAt")
				VALUES (who, booking, lower(person->>'email'), person->>'email', person->>'name', person->>'timeZone', n = 0, stamp, stamp)
				ON CONFLICT ON CONSTRAINT "BookingParticipant_person_key" DO NOTHING;
				n := n + 1;
			END LOOP;
			PERFORM FROM dibs."Coach" c WHERE c."userUlid" = who AND (c."name" IS NOT NULL OR o->>'name' IS NULL)
				AND (c."email" IS NOT NULL OR o->>'email' IS NULL) AND (c."timeZone" IS NOT NULL OR o->>'timeZone' IS NULL);
			IF NOT FOUND THEN
				INSERT INTO dibs."Coach" AS c ("userUlid", "name", "email", "timeZone") VALUES (who, o->>'name', o->>'email', o->>'timeZone')
				ON CONFLICT ON CONSTRAINT "Coach_pkey" DO UPDATE SET "name" = coalesce(c."name", excluded."name"),
					"email" = coalesce(c."email", excluded."email"), "timeZone" = coalesce(c."timeZone", excluded."timeZone");
			END IF;
			INSERT INTO dibs."Event" ("userUlid", "bookingUlid", "type", "data")
			VALUES (who, booking, 'booking.created', jsonb_build_object('uid', p->>'uid', 'status', 'CONFIRMED'));
			UPDATE dibs."WebhookEvent" SET "outcome" = 'queued', "dueAt" = '-infinity', "waitsFor" = NULL WHERE "waitsFor" = p->>'uid';
		ELSIF booking IS NOT NULL THEN
			SELECT * INTO row FROM dibs."CalBooking" b WHERE b."ulid" = booking AND b."userUlid" = owner FOR NO KEY UPDATE;
			IF row."sourceAt"[4] < stamp THEN
				UPDATE dibs."CalBooking" b SET "calBookingUid" = p->>'uid', "startTime" = (p->>'startTime')::timestamptz,
					"endTime" = (p->>'endTime')::timestamptz, "title" = p->>'title', "sourceAt" = stamps
				WHERE b."ulid" = booking AND b."userUlid" = owner;
			END IF;
		END IF;
		INSERT INTO dibs."WebhookEvent" ("ulid", "source", "trigger", "dedupeKey", "sha256", "payload", "uid", "sentAt", "outcome", "processed", "attempts",
			"userUlid", "bookingUlid", "dueAt", "processedAt")
		VALUES (event_ulid, 'cal', j->>'triggerEvent', key, digest(body, 'sha256'), kept, p->>'uid', stamp,
			CASE WHEN booking IS NULL THEN 'unmatched' ELSE 'applied' END, booking IS NOT NULL, 1, who, booking,
			CASE WHEN booking IS NULL THEN now() + interval '1 minute' END, now())
		ON CONFLICT ON CONSTRAINT "WebhookEvent_dedupeKey_key" DO NOTHING;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, problem_code = RETURNED_SQLSTATE;
		INSERT INTO dibs."WebhookEvent" ("ulid", "source", "trigger", "dedupeKey", "sha256", "payload", "uid", "sentAt", "outcome", "attempts", "error",
			"errorCode", "dueAt")
		VALUES (event_ulid, 'cal', j->>'triggerEvent', key, digest(body, 'sha256'), kept, p->>'uid', stamp, 'queued', 1, problem, problem_code, now());
		RETURN jsonb_build_object('status', 200, 'outcome', 'queued', 'event', event_ulid);
	END;
	RETURN jsonb_build_object('status', 200, 'outcome', CASE WHEN booking IS NULL THEN 'unmatched' ELSE 'applied' END, 'event', event_ulid);
END
$$;

-- The least that writes these rows in PL/pgSQL with pgcrypto: right for a first BOOKING_CREATED of a linked coach only.
CREATE FUNCTION bench.receive_bare(headers jsonb, body text, secret text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	j jsonb;
	p jsonb;
	who char(26);
	event_ulid char(26);
	booking char(26);
	person jsonb;
BEGIN
	IF encode(hmac(body, secret, 'sha256'), 'hex') <> lower(headers->>'x-cal-signature-256') THEN
		RETURN jsonb_build_object('status', 401);
	END IF;
	j := body::jsonb;
	p := j->'payload';
	INSERT INTO dibs."WebhookEvent" ("source", "trigger", "dedupeKey", "sha256", "payload", "uid", "sentAt", "outcome", "processed")
	VALUES ('cal', j->>'triggerEvent', encode(digest('cal:' || (j->>'triggerEvent') || ':' || (j->>'createdAt') || ':' || (p->>'uid'), 'sha256'), 'hex'),
		digest(body, 'sha256'), j #- '{payload,oneTimePassword}' #- '{payload,videoCallData,password}', p->>'uid', (j->>'createdAt')::timestamptz, 'applied', true)
	ON CONFLICT ON CONSTRAINT "WebhookEvent_dedupeKey_key" DO NOTHING RETURNING "ulid" INTO event_ulid;
	IF event_ulid IS NULL THEN
		RETURN jsonb_build_object('status', 200, 'outcome', 'duplicate');
	END IF;
	SELECT "userUlid" INTO who FROM dibs."ProviderAccount"
	WHERE "provider" = 'cal' AND lower("email") = lower(p->'organizer'->>'email');
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "calBookingId", "title", "description", "eventTypeId", "eventTypeSlug",
		"startTime", "endTime", "duration", "attendeeEmail", "attendeeName", "attendeeTimeZone", "participants", "status",
		"bookingFields", "metadata", "source", "announced")
	VALUES (who, p->>'uid', (p->>'bookingId')::int, p->>'title', p->>'description', (p->>'eventTypeId')::int, p->>'type',
		(p->>'startTime')::timestamptz, (p->>'endTime')::timestamptz, (p->>'length')::int, p->'attendees'->0->>'email',
		p->'attendees'->0->>'name', p->'attendees'->0->>'timeZone',
		(SELECT jsonb_agg(jsonb_build_object('email', a->>'email', 'name', a->>'name', 'timeZone', a->>'timeZone', 'status', 'CONFIRMED'))
		 FROM jsonb_array_elements(p->'attendees') a), 'CONFIRMED', p->'responses', p->'metadata', 'cal', 1)
	ON CONFLICT ON CONSTRAINT "CalBooking_calBookingUid_key" DO UPDATE SET "startTime" = excluded."startTime", "endTime" = excluded."endTime"
	RETURNING "ulid" INTO booking;
	INSERT INTO dibs."BookingUid" ("uid", "userUlid", "bookingUlid") VALUES (p->>'uid', who, booking)
	ON CONFLICT ON CONSTRAINT "BookingUid_pkey" DO NOTHING;
	FOR person IN SELECT * FROM jsonb_array_elements(p->'attendees') LOOP
		INSERT INTO dibs."BookingParticipant" ("userUlid", "bookingUlid", "person", "email", "name", "timeZone", "isPrimary")
		VALUES (who, booking, lower(person->>'email'), person->>'email', person->>'name', person->>'timeZone', true)
		ON CONFLICT ON CONSTRAINT "BookingParticipant_person_key" DO NOTHING;
	END LOOP;
	INSERT INTO dibs."Event" ("userUlid", "bookingUlid", "type", "data")
	VALUES (who, booking, 'booking.created', jsonb_build_object('uid', p->>'uid', 'status', 'CONFIRMED'));
	RETURN jsonb_build_object('status', 200, 'outcome', 'applied', 'event', event_ulid);
END
$$;
