-- Bookings of dibs' own: what is given to their functions, and what they say to it. In one transaction: no worker sees it.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO';
BEGIN;
\getenv test PG_ABS_SRCDIR
\set try :test '/include/try.sql'
\set echo :ECHO
\set ECHO none
\i :try
\set ECHO :echo
CREATE FUNCTION pg_temp.one(data jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT dibs.create_booking('{"userUlid": "01HZX00000000000000000XWT1", "attendeeEmail": "Ada@x.example", "duration": 30}' || data) $$;
CREATE FUNCTION pg_temp.people(booking text) RETURNS TABLE (seats text, list text) LANGUAGE sql AS $$
	SELECT (SELECT string_agg(concat_ws(' ', p."person", p."name", p."timeZone"), ', ' ORDER BY p."person")
			FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid" AND p."userUlid" = b."userUlid"),
		(SELECT string_agg(concat_ws(' ', e.j->>'email', e.j->>'name', e.j->>'timeZone'), ', ' ORDER BY e.j->>'email') FROM jsonb_array_elements(b."participants") e(j))
	FROM dibs."CalBooking" b WHERE b."calBookingUid" = booking $$;

-- what is unusable is said so, by the codes that the functions promise
SELECT d, pg_temp.try(format('SELECT pg_temp.one(%L)->>''status''', '{"startTime": "2031-01-01T10:00:00Z", "allowOverlap": true}' || d::jsonb)) FROM (VALUES
	('{"userUlid": "01HZX00000000000000000XWT1 and more"}'), ('{"userUlid": null}'), ('{"duration": "long"}'), ('{"duration": 1.5}'), ('{"duration": 99999999999}'), ('{"duration": -5}'),
	('{"duration": 60000000, "userUlid": "01HZX00000000000000000XWT9"}'), ('{"bookingType": "HUGE"}'), ('{"allowOverlap": "perhaps"}'), ('{"allowOverlap": null}'), ('{"eventTypeId": "x"}'), ('{"sessionUlid": "01HZX00000000000000000XWT1 and more"}'),
	('{"paid": "much"}'), ('{"startTime": "2031-02-30T10:00:00Z"}'), ('{"startTime": "2031-02-30T10:00:00", "timeZone": "Europe/Berlin"}'), ('{"endTime": "2031-01-01T25:00:00Z"}'),
	('{"startTime": "2031-01-01T10:00:00+99:00"}'), ('{"location": "text"}'), ('{"location": ["x"]}'), ('{"source": "manual"}'), ('{"source": null}'), ('{"source": "fax"}'),
	('{"source": "cal"}'), ('{"source": "cal", "eventTypeId": 1.5}'), ('{"title": null}')) v(d);
SELECT pg_temp.try('SELECT dibs.create_booking(''["source"]'')'), pg_temp.try('SELECT dibs.create_booking(''"source"'')'), pg_temp.try('SELECT dibs.create_booking(NULL)');

-- a hint names only what the function takes
SELECT pg_temp.one('{"startTime": "2032-01-01T10:00:00Z", "attendeeName": "Ada", "timeZone": "Europe/Berlin", "guests": ["bo@x.example"]}')->>'calBookingUid' AS uid \gset
SELECT b->>'calBookingUid' AS other FROM pg_temp.one('{"userUlid": "01HZX00000000000000000XWT2", "startTime": "2032-01-01T10:15:00Z"}') b \gset
SELECT c, pg_temp.try(format(c, :'uid')) FROM (VALUES ('SELECT pg_temp.one(''{"startTime": "2032-01-01T10:15:00Z"}'')'), ('SELECT dibs.reschedule_booking(%L, ''2031-01-01 10:10Z'')'),
	('SELECT dibs.reassign_booking(%L, ''01HZX00000000000000000XWT2'')'), ('SELECT dibs.reschedule_booking(%L, NULL)'), ('SELECT dibs.reschedule_booking(%L, ''infinity'')')) v(c);

-- an update keeps to what a booking is made by
SELECT d, pg_temp.try(format('SELECT dibs.update_booking(%L, %L)', :'uid', d)) FROM (VALUES ('{"title": null}'), ('{"maxParticipants": "many"}'), ('{"location": "text"}'), ('{"location": 5}'),
	('{"amount": "x"}'), ('{"maxParticipants": 1}'), ('[]'), ('{"source": "cal"}')) v(d);
SELECT b->>'attendeeName' AS name, b->>'attendeeTimeZone' AS zone FROM dibs.update_booking(:'uid', '{"attendeeName": "Ada L."}') b;
SELECT * FROM pg_temp.people(:'uid');
SELECT b->>'attendeeName' AS name, b->>'attendeeTimeZone' AS zone FROM dibs.update_booking(:'uid', '{"attendeeTimeZone": "Asia/Tokyo"}') b;
SELECT * FROM pg_temp.people(:'uid');
SELECT d, b->>'bookingType' AS type, b->>'maxParticipants' AS places FROM (VALUES ('{"title": "Still one"}'), ('{"maxParticipants": 5}'), ('{"maxParticipants": null}'), ('{"maxParticipants": 2}')) v(d),
	dibs.update_booking(:'uid', d::jsonb) b;
SELECT b->>'bookingType' AS one FROM dibs.update_booking(:'other', '{"maxParticipants": 1}') b;
SELECT b->>'bookingType' AS made, pg_temp.try(format('SELECT b->>''bookingType'' FROM dibs.update_booking(%L, ''{"title": "Renamed"}'') b', b->>'calBookingUid')) AS stays
FROM pg_temp.one('{"startTime": "2032-02-01T10:00:00Z", "bookingType": "GROUP"}') b;

-- who gets another's booking is told, and so is who had it
SELECT b->>'userUlid' AS to FROM dibs.reassign_booking(:'uid', '01HZX00000000000000000XWT3') b;
SELECT "userUlid", "data" FROM dibs."Event" WHERE "type" = 'booking.reassigned' ORDER BY 1;
ROLLBACK;
