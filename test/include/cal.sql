-- Deliveries such as Cal.com makes, signed with the secret 'regress', and what became of the bookings. Schema t is there.
CREATE FUNCTION t.deliver(body text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', r->>'status', r->>'outcome', r->'response'->>'error')
	FROM dibs.receive_webhook('cal', jsonb_build_object('x-cal-signature-256', pg_temp.hmac(convert_to(body, 'UTF8'), 'regress')), body) r $$;
-- send(trigger, minute, more of the payload): the booking "uid" as Cal.com describes it
CREATE FUNCTION t.send(trigger text, minute int, more jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT t.deliver((jsonb_build_object('triggerEvent', trigger, 'createdAt',
		to_char(timestamp '2024-01-01' + minute * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS.000"Z"'), 'payload', '{
		"bookingId": 41, "title": "Talk between Ada and Coach", "eventTitle": "Talk", "type": "talk", "eventTypeId": 9, "length": 30,
		"startTime": "2030-02-01T10:00:00Z", "endTime": "2030-02-01T10:30:00Z", "description": "Bring tea", "location": "integrations:daily",
		"organizer": {"id": 7, "name": "Coach", "email": "coach@example.org", "username": "coach", "timeZone": "Europe/Berlin"},
		"attendees": [{"name": "Ada", "email": "ada@example.org", "timeZone": "Europe/London", "language": {"locale": "en"}}],
		"responses": {"name": {"label": "your_name", "value": "Ada"}, "email": {"label": "email_address", "value": "ada@example.org"},
			"notes": {"label": "notes", "isHidden": false}, "topic": {"label": "Topic", "value": ["tea", "cake"]}},
		"price": 0, "currency": "usd", "seatsPerTimeSlot": null}'::jsonb || more))::text) $$;
CREATE FUNCTION t.show(uid text) RETURNS TABLE (uid text, before text, status text, start timestamp, minutes int, people text) LANGUAGE sql AS $$
	SELECT "calBookingUid", array_to_string("previousUids", ','), "status", "startTime" AT TIME ZONE 'UTC', "duration",
		(SELECT string_agg(concat_ws(' ', p->>'email', CASE WHEN p->>'status' <> 'CONFIRMED' THEN p->>'status' END), ', ')
			FROM jsonb_array_elements("participants") p) || ' = ' || "currentParticipants"
	FROM dibs."CalBooking" WHERE "calBookingUid" LIKE $1 ORDER BY "calBookingUid" $$;
