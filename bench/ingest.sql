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

-- The same logic as an application's developer would write it in PL/pgSQL with pgcrypto.
CREATE FUNCTION bench.receive(headers jsonb, body text, secret text, coach char(26)) RETURNS jsonb LANGUAGE plpgsql AS $$
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
