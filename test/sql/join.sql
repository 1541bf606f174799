-- Participants' tokens and what they give. Times lie around now(), and the rows are moved, not the clock.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO';
\pset format unaligned
\pset tuples_only on
\set coach 01JJ01NC0ACH00000000000001
\set other 01JJ01NC0ACH00000000000002

CREATE FUNCTION pg_temp.booking(uid text, start_in interval, people jsonb = '[]') RETURNS char(26) LANGUAGE plpgsql AS $$
DECLARE
	made char(26) := dibs.create_booking(jsonb_build_object('userUlid', '01JJ01NC0ACH00000000000001', 'title', 'Talk', 'attendeeEmail', 'ada@example.com',
		'attendeeName', 'Ada', 'attendeeTimeZone', 'Europe/London', 'startTime', to_char(now() + start_in, 'YYYY-MM-DD"T"HH24:MI:SSOF'),
		'duration', 60, 'guests', people, 'allowOverlap', true, 'maxParticipants', 20))->>'ulid';
BEGIN
	UPDATE dibs."CalBooking" SET "calBookingUid" = uid WHERE "ulid" = made;
	RETURN made;
END $$;
CREATE FUNCTION pg_temp.state(token text) RETURNS text LANGUAGE sql AS $$ SELECT dibs.join_meeting(token)->>'state' || ' ' || dibs.validate_session_token(token) $$;
CREATE FUNCTION pg_temp.move(booking char(26), start_in interval) RETURNS void LANGUAGE sql AS $$
	UPDATE dibs."CalBooking" SET "startTime" = now() + start_in, "endTime" = now() + start_in + interval '1 h' WHERE "ulid" = booking
$$;

CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN SQLSTATE || ': ' || regexp_replace(SQLERRM, ' at \d.*\d:', ' at (a time):') || ' / ' || hint;
END $$;

-- one participant, one booking
SELECT pg_temp.booking('one', '5 min') AS one \gset
SELECT dibs.generate_participant_token(:'one', 'ada@example.com') AS token \gset
SELECT length(:'token'), left(:'token', 4), :'token' ~ '^[A-Za-z0-9_-]+$';
SELECT pg_temp.state(:'token');
-- not made yet: pending; then it has its link, for whoever has a token
SELECT dibs.join_meeting(:'token');
UPDATE dibs."CalBooking" SET "zoomJoinUrl" = 'https://meet.example/ada', "zoomHostUrl" = 'https://meet.example/host' WHERE "ulid" = :'one';
SELECT dibs.join_meeting(:'token');
-- the same token again, whatever the e-mail's case; one entry in the log each
SELECT dibs.generate_participant_token(:'one', 'ADA@example.com') = :'token';
SELECT "action", "data" - 'participant' FROM dibs."AuditLog" WHERE "object" = :'one' ORDER BY "ulid";

-- who gets none
SELECT pg_temp.refused($$SELECT dibs.generate_participant_token('one', 'eve@example.com')$$);
SELECT pg_temp.refused($$SELECT dibs.generate_participant_token('one', NULL)$$);
SELECT pg_temp.refused($$SELECT dibs.generate_participant_token('one', '')$$);
SELECT pg_temp.refused($$SELECT dibs.generate_participant_token('no such booking', 'ada@example.com')$$);
SELECT pg_temp.refused($$SELECT dibs.generate_participant_token(NULL, 'ada@example.com')$$);
SELECT pg_temp.refused($$SELECT dibs.generate_host_token('one')$$);

-- the window: a quarter of an hour before the start, half an hour after the end
SELECT pg_temp.move(:'one', '15 min 1 s');
SELECT pg_temp.state(:'token'), j->>'retryAfter', (j->>'opensAt')::timestamptz = "startTime" - interval '15 min', j->'joinUrl', j->'embed' FROM dibs.join_meeting(:'token') j, dibs."CalBooking" WHERE "ulid" = :'one';
SELECT pg_temp.move(:'one', '15 min');
SELECT pg_temp.state(:'token');
SELECT pg_temp.move(:'one', '-90 min');
SELECT pg_temp.state(:'token');
SELECT pg_temp.move(:'one', '-90 min -1 s');
SELECT pg_temp.state(:'token'), j->'joinUrl', j->'opensAt', j->'retryAfter' FROM dibs.join_meeting(:'token') j;
SELECT pg_temp.refused($$SELECT * FROM dibs.generate_participant_tokens('one')$$);
SET dibs.join_late = '2 h';
SELECT pg_temp.state(:'token');
RESET dibs.join_late;
SET dibs.join_early = '2 d';
SELECT pg_temp.move(:'one', '47 h');
SELECT pg_temp.state(:'token');
RESET dibs.join_early;
SELECT pg_temp.state(:'token');
-- it follows a reschedule, also one that replaces the uid
SELECT pg_temp.move(:'one', '0');
UPDATE dibs."CalBooking" SET "calBookingUid" = 'one-again' WHERE "ulid" = :'one';
SELECT pg_temp.state(:'token');
SELECT dibs.generate_participant_token('one-again', 'ada@example.com') = :'token';
-- every status
BEGIN;
UPDATE dibs."CalBooking" SET "status" = 'IN_PROGRESS' WHERE "ulid" = :'one';
SELECT pg_temp.state(:'token');
UPDATE dibs."CalBooking" SET "status" = 'COMPLETED' WHERE "ulid" = :'one';
SELECT pg_temp.state(:'token');
UPDATE dibs."CalBooking" SET "status" = 'NO_SHOW' WHERE "ulid" = :'one';
SELECT pg_temp.state(:'token');
UPDATE dibs."CalBooking" SET "status" = 'IN_PROGRESS' WHERE "ulid" = :'one';
SELECT pg_temp.state(:'token');
UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "ulid" = :'one';
SELECT pg_temp.state(:'token'), j->'joinUrl', j->'embed' FROM dibs.join_meeting(:'token') j;
SELECT pg_temp.refused($$SELECT dibs.generate_participant_token('one-again', 'ada@example.com')$$);
DELETE FROM dibs."CalBooking" WHERE "ulid" = :'one';
SELECT pg_temp.state(:'token');
ROLLBACK;
BEGIN;
INSERT INTO dibs."CalBooking" ("ulid", "userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "status")
	SELECT dibs.gen_ulid(), "userUlid", 'asked', 'Talk', "startTime", "endTime", 'ada@example.com', 'PENDING' FROM dibs."CalBooking" WHERE "ulid" = :'one';
SELECT pg_temp.refused($$SELECT dibs.generate_participant_token('asked', 'ada@example.com')$$);
ROLLBACK;

-- what is no token: always the same answer, never an error
SELECT j = dibs.join_meeting('x'), j FROM dibs.join_meeting(NULL) j;
-- (a token without - and _ is its own translation)
SELECT count(*) IN (24, 25), bool_or(dibs.validate_session_token(t)), bool_and(dibs.join_meeting(t) = dibs.join_meeting('x')) FROM unnest(ARRAY[
	'', ' ', 'x', 'dibs', left(:'token', 127), left(:'token', 64), :'token' || 'A', :'token' || '=', ' ' || :'token', :'token' || E'\n', :'token' || :'token',
	upper(:'token'), reverse(:'token'), translate(:'token', '-_', '+/') || '', repeat('A', 128), repeat('_', 128), repeat('dibs', 32), repeat('é', 64),
	repeat('x', 100000), 'eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.', :'token' || '.' || :'token', '{"alg":"none"}', E'\x01\x02', '%', '''; DROP TABLE x --']) t
	WHERE t <> :'token';
-- signed parts of two good tokens do not make a third
SELECT pg_temp.booking('two', '5 min', '["bob@example.com"]') AS two \gset
SELECT dibs.generate_participant_token(:'two', 'ada@example.com') AS token2, dibs.generate_participant_token(:'two', 'bob@example.com') AS bob \gset
SELECT pg_temp.state(:'token2'), pg_temp.state(:'bob'), :'token' <> :'token2', :'token2' <> :'bob';
SELECT bool_or(dibs.validate_session_token(overlay(a PLACING substr(b, i, n) FROM i FOR n))), count(*) > 100
FROM (VALUES (:'token', :'token2'), (:'token2', :'bob'), (:'bob', :'token')) v(a, b), generate_series(1, 121, 4) i, unnest(ARRAY[1, 4, 8, 64, 86]) n
WHERE overlay(a PLACING substr(b, i, n) FROM i FOR n) NOT IN (a, b) AND i + n <= 129;
-- one character changed: every place, and 10,000 random mutations
SELECT count(*) > 500, count(*) FILTER (WHERE dibs.validate_session_token(t)) FROM (
	SELECT overlay(:'token' PLACING c FROM i FOR 1) AS t FROM generate_series(1, 128) i, unnest(ARRAY['A', 'b', '7', '-', '_']) c) m WHERE t <> :'token';
SELECT setseed(0.4);
SELECT count(*) >= 10000, count(*) FILTER (WHERE dibs.validate_session_token(t)), count(*) FILTER (WHERE dibs.join_meeting(t)->>'state' <> 'invalid') FROM (
	SELECT CASE (random() * 3)::int
		WHEN 0 THEN overlay(:'token' PLACING substr('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_', 1 + (random() * 63)::int, 1) FROM 1 + (random() * 127)::int FOR 1)
		WHEN 1 THEN overlay(:'token' PLACING substr(:'bob', 1 + (random() * 100)::int, 1 + (random() * 20)::int) FROM 1 + (random() * 127)::int)
		WHEN 2 THEN overlay(:'token' PLACING '' FROM 1 + (random() * 127)::int FOR 1 + (random() * 3)::int)
		ELSE overlay(:'token' PLACING chr(33 + (random() * 90)::int) FROM 1 + (random() * 127)::int FOR (random() * 2)::int) END AS t
	FROM generate_series(1, 11000)) m WHERE t <> :'token' AND t <> :'bob';
-- a token signed for a coach or a booking that is another's, by the very function that signs
SELECT dibs.sign_token(false, :'two', '01JJ01NC0ACH00000000000002', p."ulid", 0, 0) AS other_coach,
	dibs.sign_token(false, :'one', "userUlid", p."ulid", 0, 0) AS other_booking, dibs.sign_token(false, :'two', "userUlid", "userUlid", 0, 0) AS nobody
FROM dibs."BookingParticipant" p WHERE "bookingUlid" = :'two' AND "email" = 'bob@example.com' \gset
SELECT pg_temp.state(:'other_coach'), pg_temp.state(:'other_booking'), pg_temp.state(:'nobody');

-- groups: each their own; removal ends one, for good
SELECT pg_temp.booking('group', '0', '["b@example.com", {"email": "c@example.com", "name": "Cy", "timeZone": "Asia/Tokyo"}]') AS group \gset
UPDATE dibs."CalBooking" SET "zoomJoinUrl" = 'https://meet.example/group' WHERE "ulid" = :'group';
UPDATE dibs."BookingParticipant" SET "joinUrl" = 'https://meet.example/group?tk=cy' WHERE "bookingUlid" = :'group' AND "email" = 'c@example.com';
CREATE TEMP TABLE tokens AS SELECT * FROM dibs.generate_participant_tokens(:'group');
SELECT t.email, t.name, pg_temp.state(t.token), j->>'joinUrl', j->>'displayName', j->>'timeZone', j->>'role' FROM tokens t, dibs.join_meeting(t.token) j ORDER BY 1;
SELECT count(DISTINCT token) FROM tokens;
UPDATE dibs."CalBooking" SET "participants" = jsonb_set("participants", '{2,status}', '"CANCELLED"') WHERE "ulid" = :'group';
CALL dibs.drain();
SELECT t.email, pg_temp.state(t.token), j->>'joinUrl' FROM tokens t, dibs.join_meeting(t.token) j ORDER BY 1;
SELECT email FROM dibs.generate_participant_tokens(:'group') ORDER BY 1;
SELECT "email", "status", "tokenVersion", "validationToken" IS NULL FROM dibs."BookingParticipant" WHERE "bookingUlid" = :'group' ORDER BY 1;
SELECT dibs.add_guests(:'group', '["c@example.com"]') IS NOT NULL;
SELECT t.email, pg_temp.state(t.token), g.token = t.token FROM tokens t JOIN dibs.generate_participant_tokens(:'group') g USING (email) ORDER BY 1;

-- hashes, for applications that match tokens themselves
SELECT p->>'email', p->>'validationToken' = encode(sha256(convert_to(t.token, 'UTF8')), 'hex') FROM dibs."CalBooking", jsonb_array_elements("participants") p,
	dibs.generate_participant_tokens(:'group') t WHERE "ulid" = :'group' AND t.email = p->>'email' ORDER BY 1;
SELECT "customValidationToken" = dibs.token_hash(dibs.generate_participant_token(:'two', 'ada@example.com')) FROM dibs."CalBooking" WHERE "ulid" = :'two';
-- that is no change which anybody has to hear of, and an application's own value stays
SELECT "wanted" = "announced", (SELECT count(*) FROM dibs."Event" e WHERE e."bookingUlid" = b."ulid" AND e."type" = 'booking.updated') FROM dibs."CalBooking" b WHERE "ulid" = :'two';
SELECT pg_temp.booking('own', '0') AS own \gset
UPDATE dibs."CalBooking" SET "customValidationToken" = 'the application''s' WHERE "ulid" = :'own';
SELECT pg_temp.state(dibs.generate_participant_token(:'own', 'ada@example.com'));
SELECT "customValidationToken", "participants"->0 ? 'validationToken' FROM dibs."CalBooking" WHERE "ulid" = :'own';
-- no token stands in any row
SELECT count(*) FROM dibs."CalBooking" b, tokens t WHERE b::text LIKE '%' || t.token || '%';
SELECT count(*) FROM dibs."BookingParticipant" b, tokens t WHERE b::text LIKE '%' || t.token || '%';
SELECT count(*) FROM dibs."AuditLog" b, tokens t WHERE b::text LIKE '%' || t.token || '%';

-- revoking: one, then all; the hashes go; new ones are other ones
SELECT dibs.revoke_tokens(:'two', 'bob@example.com');
SELECT pg_temp.state(:'token2'), pg_temp.state(:'bob');
SELECT dibs.generate_participant_token(:'two', 'bob@example.com') AS bob2 \gset
SELECT :'bob2' <> :'bob', pg_temp.state(:'bob2'), pg_temp.state(:'bob');
SELECT dibs.revoke_tokens(:'two');
SELECT pg_temp.state(:'token2'), pg_temp.state(:'bob2');
SELECT "customValidationToken", "participants"::text ~ 'validationToken', "tokenVersion" FROM dibs."CalBooking" WHERE "ulid" = :'two';
SELECT pg_temp.refused($$SELECT dibs.revoke_tokens('two', 'eve@example.com')$$);
SELECT pg_temp.refused($$SELECT dibs.revoke_tokens('no such booking')$$);
-- a client that writes whole rows back revives nothing
UPDATE dibs."CalBooking" SET "tokenVersion" = 0, "title" = 'Talk again' WHERE "ulid" = :'two';
UPDATE dibs."BookingParticipant" SET "tokenVersion" = 0 WHERE "bookingUlid" = :'two';
SELECT "tokenVersion", "title" FROM dibs."CalBooking" WHERE "ulid" = :'two';
SELECT "email", "tokenVersion" FROM dibs."BookingParticipant" WHERE "bookingUlid" = :'two' ORDER BY 1;
SELECT pg_temp.state(:'token2'), pg_temp.state(:'bob');

-- the host's token is for the coach alone
SET dibs.user_ulid = :'coach';
SELECT dibs.generate_host_token(:'two') AS host \gset
SET dibs.user_ulid = :'other';
SELECT pg_temp.refused($$SELECT dibs.generate_host_token('two')$$);
RESET dibs.user_ulid;
INSERT INTO dibs."Coach" ("userUlid", "name", "timeZone") VALUES (:'coach', 'Cora', 'Europe/Berlin')
	ON CONFLICT ON CONSTRAINT "Coach_pkey" DO UPDATE SET "name" = 'Cora', "timeZone" = 'Europe/Berlin';
UPDATE dibs."CalBooking" SET "zoomJoinUrl" = 'https://meet.example/two', "zoomHostUrl" = 'https://meet.example/two-host' WHERE "ulid" = :'two';
SELECT dibs.join_meeting(:'host');
SELECT dibs.join_meeting(dibs.generate_participant_token(:'two', 'ada@example.com'))->>'joinUrl';
-- reassigned: everybody's tokens end, also if the booking comes back
SELECT dibs.generate_participant_token(:'two', 'ada@example.com') AS before \gset
SELECT dibs.reassign_booking(:'two', :'other') IS NOT NULL;
SELECT pg_temp.state(:'before'), pg_temp.state(:'host');
SELECT "customValidationToken", "participants"::text ~ 'validationToken' FROM dibs."CalBooking" WHERE "ulid" = :'two';
UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "userUlid" = :'coach';
SELECT dibs.reassign_booking(:'two', :'coach') IS NOT NULL;
SELECT pg_temp.state(:'before'), pg_temp.state(:'host');
SELECT pg_temp.state(dibs.generate_participant_token(:'two', 'ada@example.com'));

-- written directly: nobody has taken it up yet
INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "attendeeTimeZone", "participants")
	VALUES (:'coach', 'direct', 'Direct', now(), now() + interval '1 h', 'Dee@example.com', 'America/Lima',
		'[{"email": "dee@example.com", "name": "Dee", "extra": 1}, {"email": "gone@example.com", "status": "CANCELLED"}, "odd"]');
SELECT "wanted", "announced" FROM dibs."CalBooking" WHERE "calBookingUid" = 'direct';
SELECT j->>'state', j->>'displayName', j->>'timeZone' FROM dibs.join_meeting(dibs.generate_participant_token('direct', 'dee@example.com')) j;
SELECT (p - 'validationToken')::text, p ? 'validationToken' FROM dibs."CalBooking", jsonb_array_elements("participants") p WHERE "calBookingUid" = 'direct' AND jsonb_typeof(p) = 'object';
SELECT jsonb_array_length("participants") FROM dibs."CalBooking" WHERE "calBookingUid" = 'direct';
SELECT "wanted", "announced" FROM dibs."CalBooking" WHERE "calBookingUid" = 'direct';
SELECT pg_temp.refused($$SELECT dibs.generate_participant_token('direct', 'gone@example.com')$$);
-- ids that are no ULIDs
INSERT INTO dibs."CalBooking" ("ulid", "userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail")
	VALUES ('01jj01nc0ach000000000000zz', :'coach', 'lower', 'Odd', now(), now() + interval '1 h', 'x@example.com');
SELECT pg_temp.refused($$SELECT dibs.generate_participant_token('lower', 'x@example.com')$$);

-- nothing to join online
INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "location")
	VALUES (:'coach', 'here', 'Here', now(), now() + interval '1 h', 'x@example.com', '{"kind": "in_person", "value": "Main St 1"}');
CALL dibs.drain();
SELECT dibs.join_meeting(dibs.generate_participant_token('here', 'x@example.com'));

-- who may call them: nobody, until somebody is let in
SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'dibs'::regnamespace AND p.proname ~ 'token|join|take_up|live_booking' AND has_function_privilege('public', p.oid, 'execute');
SELECT p.proname, p.provolatile, p.prosecdef FROM pg_proc p WHERE p.pronamespace = 'dibs'::regnamespace AND p.proname IN ('join_meeting', 'validate_session_token') ORDER BY 1;

-- the other tests look at all bookings
DELETE FROM dibs."CalBooking" WHERE "userUlid" IN (:'coach', :'other');
CALL dibs.drain();
