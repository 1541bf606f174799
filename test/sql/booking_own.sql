-- Bookings of dibs' own. In one transaction: no worker sees any of it.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
\set coach 01HZX00000000000000000XWN1
BEGIN;
CREATE FUNCTION pg_temp.make(data jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN dibs.create_booking('{"userUlid": "01HZX00000000000000000XWN1", "attendeeEmail": "ada@example.org", "duration": 30}' || data)->>'startTime';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
-- times: an offset, or a zone; what the clocks skip and what they show twice
SELECT t, pg_temp.make(t::jsonb) FROM (VALUES
	('{"startTime": "2030-01-01T10:00:00Z"}'), ('{"startTime": "2030-01-02T10:00:00+05:30"}'), ('{"startTime": "2030-01-03 10:00-08"}'),
	('{"startTime": "2030-01-04T10:00:00"}'), ('{"startTime": "2030-01-04T10:00:00", "timeZone": "Europe/Berlin"}'),
	('{"startTime": "2030-03-31T02:30:00", "timeZone": "Europe/Berlin"}'), ('{"startTime": "2030-10-27T02:30:00", "timeZone": "Europe/Berlin"}'),
	('{"startTime": "2030-10-27T02:30:00+01:00"}'), ('{"startTime": "2030-10-06T01:45:00", "timeZone": "Australia/Lord_Howe"}'),
	('{"startTime": "2030-10-06T02:15:00", "timeZone": "Australia/Lord_Howe"}'), ('{"startTime": "2030-04-07T01:45:00", "timeZone": "Australia/Lord_Howe"}'),
	('{"startTime": "2030-01-05T10:00:00", "timeZone": "Mars/Base"}'), ('{"startTime": "now"}'), ('{"startTime": 5}'), ('{}')) v(t);
-- overlaps of one coach
SELECT t, pg_temp.make(t::jsonb) AS said FROM (VALUES
	('{"startTime": "2030-01-01T10:29:00Z"}'), ('{"startTime": "2030-01-01T09:31:00Z"}'), ('{"startTime": "2030-01-01T09:30:00Z"}'), ('{"startTime": "2030-01-01T10:30:00Z"}'),
	('{"startTime": "2030-01-01T09:00:00Z", "duration": 180}'), ('{"startTime": "2030-01-01T10:05:00Z", "allowOverlap": true}'),
	('{"startTime": "2030-01-01T10:05:00Z", "userUlid": "01HZX00000000000000000XWN2"}')) v(t);
-- what cannot be
SELECT t, pg_temp.make(t::jsonb || '{"startTime": "2031-01-01T10:00:00Z"}') FROM (VALUES
	('{"wanted": 5}'), ('{"status": "CANCELLED"}'), ('{"attendeeEmail": "nobody"}'), ('{"userUlid": "me"}'), ('{"endTime": "2031-01-01T09:00:00Z"}'),
	('{"guests": "x"}'), ('{"guests": ["x"]}'), ('{"guests": [5]}'), ('{"maxParticipants": 1, "guests": ["b@example.org"]}'), ('{"duration": "long"}'), ('{"bookingType": "HUGE"}')) v(t);
SELECT dibs.create_booking(jsonb_build_object('userUlid', :'coach', 'status', 'PENDING', 'title', 'Own', 'startTime', '2032-01-01T10:00:00Z', 'endTime', '2032-01-01T11:00:00Z',
	'attendeeEmail', 'ada@example.org', 'attendeeName', 'Ada', 'guests', '["bo@example.org", {"email": "BO@example.org", "name": "Bo"}]'::jsonb, 'maxParticipants', 3)) AS made \gset
SELECT :'made'::jsonb - ARRAY['ulid', 'calBookingUid', 'createdAt', 'updatedAt'] AS booking;
SELECT :'made'::jsonb->>'calBookingUid' AS uid, :'made'::jsonb->>'ulid' AS ulid \gset
SELECT :'uid' LIKE 'dibs\_%' AS made_up;
SELECT "person", "email", "isPrimary", "status" FROM dibs."BookingParticipant" WHERE "bookingUlid" = :'ulid' ORDER BY "since";
-- named by its ulid, in any case, or its uid
SELECT count(DISTINCT f.ulid) FROM (VALUES (:'ulid'), (lower(:'ulid')), (:'uid')) v(id), dibs.find_booking(id) f;
SELECT dibs.confirm_booking(:'uid')->>'status' AS status, dibs.confirm_booking(:'ulid')->>'status' AS again;
SELECT dibs.add_guests(:'uid', '["cy@example.org", "ada@example.org"]')->'currentParticipants' AS people;
SAVEPOINT s;
SELECT dibs.add_guests(:'uid', '["di@example.org"]');
ROLLBACK TO s;
SELECT dibs.update_booking(:'uid', '{"maxParticipants": 2}');
ROLLBACK TO s;
SELECT dibs.update_booking(:'uid', '{"startTime": "2032-01-01T10:00:00Z"}');
ROLLBACK TO s;
SELECT b->>'title' AS title, b->'metadata' AS metadata, b->>'attendeeName' AS name FROM dibs.update_booking(:'uid', '{"title": "Renamed", "metadata": {"k": 1}}') b;
SELECT b->>'startTime' AS start, b->>'endTime' AS "end", b->>'reschedulingReason' AS why, b->>'ulid' = :'ulid' AS same FROM dibs.reschedule_booking(:'uid', '2032-02-01 10:00+00', 'ill', 'ada@example.org') b;
\set VERBOSITY sqlstate
SELECT dibs.reschedule_booking(:'uid', '2030-01-01 10:00+00');
\set VERBOSITY default
ROLLBACK TO s;
SELECT b->>'startTime' AS onto_itself FROM dibs.reschedule_booking(:'uid', '2032-02-01 10:15+00') b;
SELECT dibs.mark_no_show(:'uid', 'CY@example.org') IS NOT NULL AS marked;
SELECT "email", "noShow" FROM dibs."BookingParticipant" WHERE "bookingUlid" = :'ulid' AND "noShow";
SELECT b->>'hostAbsent' AS host_absent FROM dibs.mark_no_show(:'uid', NULL) b;
\set VERBOSITY sqlstate
SELECT dibs.mark_no_show(:'uid', 'nobody@example.org');
\set VERBOSITY default
ROLLBACK TO s;
SELECT dibs.rate_booking(:'uid', 5)->'rating' AS rating;
SELECT dibs.rate_booking(:'uid', 6);
ROLLBACK TO s;
-- another coach: the same ulid, a meeting of its own, tokens end
INSERT INTO dibs."Meeting" ("userUlid", "bookingUlid", "provider", "state", "marker") VALUES (:'coach', :'ulid', 'zoom', 'ready', 'm');
SELECT b->>'userUlid' AS coach, b->>'ulid' = :'ulid' AS same FROM dibs.reassign_booking(:'uid', '01HZX00000000000000000XWN2') b;
SELECT "bookingUlid" IS NULL AS tombstone, "userUlid" FROM dibs."Meeting";
SELECT "userUlid", count(*), min("tokenVersion") AS token FROM dibs."BookingParticipant" WHERE "bookingUlid" = :'ulid' GROUP BY 1;
SELECT "userUlid" FROM dibs."BookingUid" WHERE "uid" = :'uid';
SELECT b->>'status' AS status, b->>'cancellationReason' AS why, b->>'cancelledByEmail' AS by FROM dibs.cancel_booking(:'uid', 'enough', 'ada@example.org') b;
SELECT b->>'cancellationReason' AS first_word FROM dibs.cancel_booking(:'uid', 'again') b;
SAVEPOINT s;
SELECT dibs.confirm_booking(:'uid');
ROLLBACK TO s;
SELECT dibs.reschedule_booking(:'uid', '2033-01-01Z');
ROLLBACK TO s;
\set VERBOSITY sqlstate
SELECT dibs.add_guests(:'uid', '[]');
\set VERBOSITY default
ROLLBACK TO s;
SELECT dibs.cancel_booking('no such');
ROLLBACK TO s;
-- one that belongs to its source
INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "source", "status")
VALUES (:'coach', 'own-cal', 'Cal''s', '2034-01-01Z', '2034-01-02Z', 'x@example.org', 'cal', 'PENDING');
SELECT dibs.confirm_booking('own-cal');
ROLLBACK TO s;
INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "source", "status")
VALUES (:'coach', 'own-cal', 'Cal''s', '2034-01-01Z', '2034-01-02Z', 'x@example.org', 'cal', 'PENDING');
SELECT dibs.update_booking('own-cal', '{"metadata": {"ours": true}}')->'metadata' AS metadata, dibs.rate_booking('own-cal', 4)->'rating' AS rating;
-- why it is as it is
SELECT kind, what, data - 'role' - 'uid' AS data FROM dibs.booking_timeline(:'uid') WHERE kind <> 'event' OR what NOT LIKE '%reassigned';
-- accounts
SELECT dibs.link_account('cal', :'coach', external_id => '70') - 'account' - 'eventsQueued' AS by_id;
SELECT dibs.link_account('cal', '01HZX00000000000000000XWN2', email => 'Seven@example.org') - 'account' - 'eventsQueued' AS by_email;
SELECT dibs.link_account('cal', :'coach', external_id => '70', email => 'seven@example.org', username => 'seven') - 'account' - 'eventsQueued' AS one;
SELECT count(*) FROM dibs."ProviderAccount" WHERE "provider" = 'cal';
SAVEPOINT s;
SELECT dibs.link_account('fax', :'coach', external_id => '1');
ROLLBACK TO s;
SELECT dibs.link_account('cal', 'me', external_id => '1');
ROLLBACK TO s;
SELECT dibs.link_account('cal', :'coach');
ROLLBACK;
