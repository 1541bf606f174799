-- Bookings of dibs' own: who may do what, as the application acts for each of them. In one transaction: no worker sees it.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
\set coach 01HZX00000000000000000XWP1
\set old 01HZX00000000000000000XWP2
\set new 01HZX00000000000000000XWP3
\set guest 01HZX00000000000000000XWP4
BEGIN;
INSERT INTO dibs."Coach" ("userUlid", "email") VALUES (:'old', 'old@x.example'), (:'new', 'new@x.example'), (:'guest', 'guest@x.example');
\getenv test PG_ABS_SRCDIR
\set try :test '/include/try.sql'
\set echo :ECHO
\set ECHO none
\i :try
\set ECHO :echo
CREATE FUNCTION pg_temp.people(booking text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', p."email", p."name", p."status", CASE WHEN p."isPrimary" THEN 'primary' END), ', ' ORDER BY p."person")
	FROM dibs."BookingParticipant" p JOIN dibs."CalBooking" b ON b."ulid" = p."bookingUlid" AND b."userUlid" = p."userUlid"
	WHERE b."calBookingUid" = booking $$;
CREATE FUNCTION pg_temp.one(data jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT dibs.create_booking('{"userUlid": "01HZX00000000000000000XWP1", "attendeeEmail": "old@x.example", "duration": 30}' || data)->>'calBookingUid' $$;

-- somebody who was replaced and removed is nobody's attendee: not before the worker has looked, nor after
SELECT pg_temp.one('{"startTime": "2031-01-01T10:00:00Z", "guests": ["guest@x.example"]}') AS uid \gset
UPDATE dibs."CalBooking" SET "attendeeEmail" = 'new@x.example',
	"participants" = '[{"email": "old@x.example", "status": "CANCELLED"}, {"email": "new@x.example", "name": "New"}]' WHERE "calBookingUid" = :'uid';
SAVEPOINT s;
SELECT dibs.act_as(:'old');
SELECT b->>'status' AS status, b->'seat'->>'status' AS seat FROM dibs.cancel_booking(:'uid', 'revenge') b;
SELECT dibs.act_as(NULL);
SELECT "status", "cancellationReason", "participants" @> '[{"email": "new@x.example"}]' AS new_is_in FROM dibs."CalBooking" WHERE "calBookingUid" = :'uid';
ROLLBACK TO s;
SELECT dibs.take_up_booking("ulid", "userUlid", "wanted") FROM dibs."CalBooking" WHERE "calBookingUid" = :'uid';
SELECT pg_temp.people(:'uid');
SELECT dibs.act_as(:'old');
SELECT c, pg_temp.try(format(c, :'uid')) FROM (VALUES
	('SELECT b->''seat''->>''status'' FROM dibs.cancel_booking(%L, ''revenge'') b'), ('SELECT dibs.rate_booking(%L, 1)'),
	('SELECT dibs.reschedule_booking(%L, ''2031-01-01 12:00Z'')'), ('SELECT dibs.generate_participant_token(%L, ''new@x.example'')'),
	('SELECT dibs.add_guests(%L, ''["x@x.example"]'')'), ('SELECT count(*) > 0 FROM dibs.booking_timeline(%L)')) v(c);
SELECT "status", "seatStatus", "isPrimary" FROM dibs.my_seats;
-- a guest who leaves may rate it no more, and leaving again is nothing
SELECT dibs.act_as(:'guest');
SELECT b->>'status' AS status, b->'seat'->>'status' AS seat FROM dibs.cancel_booking(:'uid') b;
SELECT b->>'status' AS status, b->'seat'->>'status' AS seat FROM dibs.cancel_booking(:'uid') b;
SELECT pg_temp.try(format('SELECT dibs.rate_booking(%L, 5)', :'uid'));
-- whose it is now may do with it what they like
SELECT dibs.act_as(:'new');
SELECT b->'rating' AS rating FROM dibs.rate_booking(:'uid', 4) b;
SELECT b->>'status' AS status FROM dibs.cancel_booking(:'uid', 'mine') b;
SELECT dibs.act_as(NULL);
SELECT "status", "cancellationReason", "cancelledByEmail", pg_temp.people(:'uid') FROM dibs."CalBooking" WHERE "calBookingUid" = :'uid';

-- what is no link to the web is none: neither taken, nor, where the application wrote it, handed out
SELECT dibs.act_as(:'coach');
SELECT pg_temp.one(jsonb_build_object('startTime', to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))) AS uid \gset
SELECT d, pg_temp.try(format('SELECT b->>''zoomJoinUrl'' FROM dibs.update_booking(%L, %L) b', :'uid', d)) AS updated,
	pg_temp.try(format('SELECT pg_temp.one(%L)', '{"startTime": "2031-02-01T10:00:00Z", "allowOverlap": true}' || d::jsonb)) ~ '^dibs_' AS created FROM (VALUES
	('{"zoomJoinUrl": "javascript:alert(document.cookie)"}'), ('{"zoomJoinUrl": "https://x.example/a b"}'), ('{"zoomJoinUrl": "data:text/html,x"}'),
	('{"location": {"kind": "link", "value": "javascript:alert(1)"}}'), ('{"location": {"kind": "link"}}'), ('{"location": "text"}'), ('{"location": {"kind": "moon"}}'),
	('{"location": {"kind": "phone", "value": "+49 30 1"}}'), ('{"location": null}'), ('{"zoomJoinUrl": "HTTPS://x.example/room"}')) v(d);
SELECT dibs.act_as(NULL);
SELECT dibs.generate_participant_token(:'uid', 'old@x.example') AS token \gset
SELECT j->>'state' AS state, j->>'joinUrl' AS link FROM dibs.join_meeting(:'token') j;
CREATE FUNCTION pg_temp.join(token text, link text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	UPDATE dibs."CalBooking" SET "zoomJoinUrl" = link, "zoomHostUrl" = link WHERE "attendeeEmail" = 'old@x.example' AND "status" = 'CONFIRMED';
	RETURN dibs.join_meeting(token) - '{displayName,embed,timeZone,opensAt,provider,role}'::text[];
END $$;
SELECT l, pg_temp.join(:'token', l) FROM (VALUES ('javascript:alert(1)'), (' https://x.example'), ('https://x.example/1')) v(l);
UPDATE dibs."CalBooking" SET "zoomJoinUrl" = 'javascript:alert(1)', "zoomHostUrl" = NULL, "meetingState" = 'not_needed' WHERE "calBookingUid" = :'uid';
SELECT j->>'state' AS state, j->>'joinUrl' AS link FROM dibs.join_meeting(:'token') j;
SELECT pg_temp.try(format('SELECT dibs.host_url(%L)', :'uid'));

-- what is the application's to say, a coach says neither afterwards nor at once
SELECT dibs.act_as(:'coach');
SELECT d, split_part(pg_temp.try(format('SELECT pg_temp.one(%L)', '{"startTime": "2031-03-01T10:00:00Z", "allowOverlap": true}' || d::jsonb)), ' (', 1) AS by_coach FROM (VALUES
	('{"paid": true}'), ('{"amount": 5}'), ('{"currency": "EUR"}'), ('{"metadata": {}}'), ('{"meetingProvider": "zoom"}'), ('{"sessionUlid": "01HZX00000000000000000XWS1"}')) v(d);
SELECT pg_temp.one('{"startTime": "2031-03-01T10:00:00Z", "bookingFields": {"q": "a"}, "eventTypeId": 5}') IS NOT NULL AS made;
SELECT dibs.act_as(NULL);
SELECT pg_temp.one('{"startTime": "2031-03-02T10:00:00Z", "paid": true, "amount": 5, "currency": "EUR", "metadata": {}, "meetingProvider": "jitsi"}') IS NOT NULL AS by_application;

-- a ULID has one spelling in the rows, however it is given: the coach sees what was booked, and overlaps are seen
CREATE TABLE pg_temp.spellings (n int, given text);
INSERT INTO pg_temp.spellings VALUES (1, '01hzx00000000000000000xwq1'), (2, 'olHZXoooooooooooooooooXWQI'), (3, 'OIHZX00000000000000000XWQl');
\set q 01HZX00000000000000000XWQ1
SELECT n, pg_temp.try(format('SELECT pg_temp.one(%L) ~ ''^dibs_''', jsonb_build_object('userUlid', given, 'startTime', '2031-04-01T10:00:00Z'))) FROM pg_temp.spellings ORDER BY n;
SELECT n, dibs.link_account('cal', given, external_id => '4711')->>'userUlid' AS linked FROM pg_temp.spellings ORDER BY n;
SELECT pg_temp.one('{"startTime": "2031-04-02T10:00:00Z"}') AS uid \gset
SELECT n, b->>'userUlid' AS to FROM pg_temp.spellings, dibs.reassign_booking(:'uid', given) b ORDER BY n;
SELECT count(*) FROM dibs."Coach" WHERE "userUlid" IN (SELECT given FROM pg_temp.spellings);
SELECT dibs.act_as(:'q');
SELECT "userUlid", "startTime" FROM dibs.my_bookings ORDER BY 2;
SELECT b->>'userUlid' AS mine FROM dibs.create_booking('{"userUlid": "01hzx00000000000000000xwq1", "attendeeEmail": "x@x.example", "startTime": "2031-04-03T10:00:00Z", "duration": 30}') b;
SELECT n, pg_temp.try(format('SELECT dibs.disconnect_account(''cal'', %L)', given)) AS disconnected FROM pg_temp.spellings ORDER BY n;
SELECT dibs.act_as(NULL);
SELECT "ulid" AS ulid FROM dibs."CalBooking" WHERE "calBookingUid" = :'uid' \gset
SELECT count(*) FROM dibs.find_booking(translate(lower(:'ulid'), '01', 'ol')) f WHERE f.ulid = :'ulid';
SET LOCAL dibs.default_user_ulid = '01hzx00000000000000000xwqi';
SHOW dibs.default_user_ulid;
SELECT b->>'userUlid' AS default_coach FROM dibs.create_booking('{"attendeeEmail": "x@x.example", "startTime": "2031-04-04T10:00:00Z", "duration": 30}') b;
RESET dibs.default_user_ulid;
-- what stands there in another spelling is found by it
INSERT INTO dibs."CalBooking" ("ulid", "userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail")
VALUES ('01hzx00000000000000000old1', '01hzx00000000000000000xwr1', 'spelled', 'x', '2031-04-05Z', '2031-04-06Z', 'x@x.example');
SELECT f.ulid, f.user_ulid FROM dibs.find_booking('01hzx00000000000000000old1') f;
CREATE TABLE pg_temp.users (id text PRIMARY KEY);
INSERT INTO pg_temp.users VALUES ('01hzx00000000000000000xwr1'), (:'q'), ('cuid');
SELECT dibs.user_ulids_of(id) FROM pg_temp.users ORDER BY 1;
SELECT pg_temp.try(c) FROM (VALUES ('SELECT dibs.link_account(''cal'', NULL, external_id => ''1'')'), ('SELECT dibs.reassign_booking(''spelled'', NULL)'),
	('SELECT dibs.reassign_booking(''spelled'', ''me'')'), ('SELECT dibs.forget_user(NULL)')) v(c);
ROLLBACK;
