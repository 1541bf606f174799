-- The booking's row, whoever writes it. In one transaction: no worker sees any of it.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
BEGIN;
CREATE FUNCTION pg_temp.versions() RETURNS TABLE (wanted int, done int, announced int, due bool, instance bool) LANGUAGE sql AS $$
	SELECT "wanted", "done", "announced", "dueAt" = '-infinity', "instance" = dibs.instance_id() FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'row%' $$;
-- as a Prisma client writes it: only the columns of the model
INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail")
VALUES ('01HZX00000000000000000ROW1', 'row1', 'Plain', '2030-01-01 10:00Z', '2030-01-01 10:30Z', 'row@example.org');
SELECT * FROM pg_temp.versions();
SELECT length("ulid"), "status", "bookingType", "currentParticipants", "participants", "source", "meetingState" FROM dibs."CalBooking" WHERE "calBookingUid" = 'row1';
-- a watched column bumps the version, another one does not, the same value neither
UPDATE dibs."CalBooking" SET "startTime" = '2030-01-01 11:00Z', "endTime" = '2030-01-01 11:30Z' WHERE "calBookingUid" = 'row1';
UPDATE dibs."CalBooking" SET "rating" = 5, "metadata" = '{"a": 1}', "title" = 'Plain' WHERE "calBookingUid" = 'row1';
SELECT * FROM pg_temp.versions();
-- whatever a client writes back of what is dibs' own
UPDATE dibs."CalBooking" SET "wanted" = 99, "done" = 99, "announced" = 99, "dueAt" = 'infinity', "instance" = 'x', "previousUids" = '{x}',
	"sourceAt" = '{2020-01-01}', "updatedAt" = '2000-01-01' WHERE "calBookingUid" = 'row1';
SELECT * FROM pg_temp.versions();
SELECT "previousUids", "sourceAt", "updatedAt" = now() AS touched FROM dibs."CalBooking" WHERE "calBookingUid" = 'row1';
-- versions end with their type, and go on; a booking that is to be done at no time is due, one that is done is not
INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "wanted", "done", "announced", "dueAt")
VALUES ('01HZX00000000000000000ROW1', 'last1', 'x', '2030-01-01Z', '2030-01-01Z', 'x', 2147483647, 1, 2147483647, 'infinity'),
	('01HZX00000000000000000ROW1', 'last2', 'x', '2030-01-01Z', '2030-01-01Z', 'x', 2147483647, 2147483647, 2147483647, 'infinity'),
	('01HZX00000000000000000ROW1', 'last3', 'x', '2030-01-01Z', '2030-01-01Z', 'x', 2, 1, 1, '2030-01-01Z');
SELECT "calBookingUid", "wanted", "done", "announced", "dueAt" AT TIME ZONE 'UTC' AS due FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'last%' ORDER BY 1;
UPDATE dibs."CalBooking" SET "title" = 'y' WHERE "calBookingUid" LIKE 'last%';
UPDATE dibs."CalBooking" SET "title" = 'z' WHERE "calBookingUid" = 'last2';
SELECT "calBookingUid", "wanted", "done", "announced", "dueAt" AT TIME ZONE 'UTC' AS due FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'last%' ORDER BY 1;
DELETE FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'last%';
-- every watched column
CREATE FUNCTION pg_temp.watched() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	c record;
	before int;
	after int;
BEGIN
	FOR c IN SELECT * FROM (VALUES ('status', $v$'PENDING'$v$), ('startTime', $v$'2030-01-01 11:01Z'$v$), ('endTime', $v$'2030-01-01 12:00Z'$v$), ('duration', '5'),
		('title', $v$'New'$v$), ('description', $v$'d'$v$), ('location', $v$'{}'$v$), ('meetingProvider', $v$'zoom'$v$), ('eventTypeId', '1'), ('eventTypeSlug', $v$'s'$v$),
		('calBookingUid', $v$'row1b'$v$), ('bookingType', $v$'GROUP'$v$), ('maxParticipants', '3'), ('participants', $v$'[{}]'$v$), ('attendeeEmail', $v$'n@example.org'$v$),
		('attendeeName', $v$'n'$v$), ('attendeeTimeZone', $v$'UTC'$v$), ('zoomHostUrl', $v$'h'$v$), ('zoomJoinUrl', $v$'j'$v$), ('zoomMeetingId', $v$'1'$v$), ('zoomPasscode', $v$'p'$v$),
		('calBookingId', '1'), ('rating', '1'), ('bookingFields', $v$'{"q": 1}'$v$), ('cancellationReason', $v$'r'$v$), ('sessionUlid', $v$'01HZX00000000000000000SESS'$v$),
		('customValidationToken', $v$'t'$v$), ('meetingState', $v$'ready'$v$), ('currentParticipants', '2'), ('paid', 'true')) v(name, value)
	LOOP
		BEGIN
			SELECT "wanted" INTO before FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'row%';
			IF c.name = 'status' THEN
				INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "status")
					VALUES ('01HZX00000000000000000ROW1', 'status1', 'x', '2030-01-01Z', '2030-01-01Z', 'x', 'PENDING');
				UPDATE dibs."CalBooking" SET "status" = 'CONFIRMED' WHERE "calBookingUid" = 'status1';
				SELECT "wanted" + before - 1 INTO after FROM dibs."CalBooking" WHERE "calBookingUid" = 'status1';
			ELSE
				EXECUTE format('UPDATE dibs."CalBooking" SET %I = %s WHERE "calBookingUid" LIKE ''row%%''', c.name, c.value);
				SELECT "wanted" INTO after FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'row%';
			END IF;
			RETURN NEXT c.name || CASE WHEN after > before THEN ' bumps' ELSE ' does not' END;
			RAISE EXCEPTION 'undo' USING ERRCODE = 'DB001';
		EXCEPTION WHEN SQLSTATE 'DB001' THEN
			NULL;
		END;
	END LOOP;
END $$;
SELECT * FROM pg_temp.watched();
-- a replaced uid is remembered
UPDATE dibs."CalBooking" SET "calBookingUid" = 'row2' WHERE "calBookingUid" = 'row1';
UPDATE dibs."CalBooking" SET "calBookingUid" = 'row3', "previousUids" = '{}' WHERE "calBookingUid" = 'row2';
SELECT "calBookingUid", "previousUids" FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'row%';
-- statuses: which may follow which
CREATE FUNCTION pg_temp.step(was text, becomes text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "status")
		VALUES ('01HZX00000000000000000ROW1', 'step', 'x', '2030-01-01Z', '2030-01-01Z', 'x', was);
	UPDATE dibs."CalBooking" SET "status" = becomes WHERE "calBookingUid" = 'step';
	DELETE FROM dibs."CalBooking" WHERE "calBookingUid" = 'step';
	RETURN 'x';
EXCEPTION WHEN invalid_parameter_value THEN
	RETURN '';
END $$;
WITH s(ord, status) AS (SELECT ordinality, name FROM unnest(ARRAY['PENDING', 'CONFIRMED', 'IN_PROGRESS', 'COMPLETED', 'NO_SHOW', 'CANCELLED', 'REJECTED']) WITH ORDINALITY AS u(name, ordinality))
SELECT a.status AS "from", string_agg(b.status, ', ' ORDER BY b.ord) FILTER (WHERE pg_temp.step(a.status, b.status) = 'x') AS "to"
FROM s a, s b GROUP BY a.ord, a.status ORDER BY a.ord;
SAVEPOINT s;
INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "status")
VALUES ('01HZX00000000000000000ROW1', 'bad', 'x', '2030-01-01Z', '2030-01-01Z', 'x', 'confirmed');
ROLLBACK TO s;
UPDATE dibs."CalBooking" SET "status" = 'DONE' WHERE "calBookingUid" = 'row3';
ROLLBACK TO s;
UPDATE dibs."CalBooking" SET "status" = 'REJECTED' WHERE "calBookingUid" = 'row3';
ROLLBACK TO s;
\set VERBOSITY terse
UPDATE dibs."CalBooking" SET "status" = NULL WHERE "calBookingUid" = 'row3';
ROLLBACK TO s;
\set VERBOSITY default
UPDATE dibs."CalBooking" SET "userUlid" = '01HZX00000000000000000ROW2' WHERE "calBookingUid" = 'row3';
ROLLBACK TO s;
UPDATE dibs."CalBooking" SET "ulid" = '01HZX00000000000000000ROW2' WHERE "calBookingUid" = 'row3';
ROLLBACK TO s;
-- what the trigger checks in the place of CHECK constraints, also of who inserts
UPDATE dibs."CalBooking" SET "endTime" = "startTime" - interval '1 second' WHERE "calBookingUid" = 'row3';
ROLLBACK TO s;
UPDATE dibs."CalBooking" SET "endTime" = 'infinity' WHERE "calBookingUid" = 'row3';
ROLLBACK TO s;
UPDATE dibs."CalBooking" SET "rating" = 6 WHERE "calBookingUid" = 'row3';
ROLLBACK TO s;
UPDATE dibs."CalBooking" SET "participants" = '{"email": "a@example.com"}' WHERE "calBookingUid" = 'row3';
ROLLBACK TO s;
UPDATE dibs."CalBooking" SET "participants" = '"a"' WHERE "calBookingUid" = 'row3';
ROLLBACK TO s;
UPDATE dibs."CalBooking" SET "meetingState" = 'read' WHERE "calBookingUid" = 'row3';
ROLLBACK TO s;
INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "rating")
VALUES ('01HZX00000000000000000ROW1', 'bad', 'x', '2030-01-01Z', '2030-01-01Z', 'x', 0);
ROLLBACK TO s;
UPDATE dibs."CalBooking" SET "endTime" = '2040-01-01', "rating" = NULL, "meetingState" = 'not_needed',
	"participants" = (SELECT jsonb_agg(jsonb_build_object('email', 'a' || i || '@example.com')) FROM generate_series(1, 2000) i)
WHERE "calBookingUid" = 'row3';
UPDATE dibs."CalBooking" SET "rating" = 5 WHERE "calBookingUid" = 'row3';
ROLLBACK TO s;
-- and the tables that only dibs writes
\set VERBOSITY terse
INSERT INTO dibs."WebhookEvent" ("source", "dedupeKey", "sha256", "outcome") VALUES ('cal', 'x', '', 'lost');
ROLLBACK TO s;
INSERT INTO dibs."BookingParticipant" ("userUlid", "bookingUlid", "person", "status")
SELECT "userUlid", "ulid", 'x', 'GONE' FROM dibs."CalBooking" WHERE "calBookingUid" = 'row3';
ROLLBACK TO s;
\set VERBOSITY default
-- what is restored keeps what it brings
INSERT INTO dibs."CalBooking" ("ulid", "userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "wanted", "done", "announced", "dueAt", "instance", "previousUids", "updatedAt")
VALUES ('01HZX00000000000000000ROW9', '01HZX00000000000000000ROW1', 'restored', 'x', '2030-01-01Z', '2030-01-01Z', 'x', 7, 6, 5, '2031-01-01Z', 'elsewhere', '{a,b}', '2020-01-01Z');
SELECT "wanted", "done", "announced", "dueAt" = '2031-01-01Z' AS due, "instance", "previousUids", "updatedAt" = '2020-01-01Z' AS then FROM dibs."CalBooking" WHERE "calBookingUid" = 'restored';
-- TRUNCATE is refused while a meeting of ours exists, and only then
SAVEPOINT t;
TRUNCATE dibs."CalBooking", dibs."BookingParticipant", dibs."Meeting", dibs."MeetingSession", dibs."MeetingAttendance";
ROLLBACK TO t;
INSERT INTO dibs."Meeting" ("userUlid", "provider", "state", "marker") VALUES ('01HZX00000000000000000ROW1', 'zoom', 'ready', 'm');
SAVEPOINT u;
TRUNCATE dibs."CalBooking", dibs."BookingParticipant", dibs."Meeting", dibs."MeetingSession", dibs."MeetingAttendance";
ROLLBACK TO u;
UPDATE dibs."Meeting" SET "state" = 'gone';
TRUNCATE dibs."Meeting", dibs."CalBooking", dibs."BookingParticipant", dibs."MeetingSession", dibs."MeetingAttendance";
SELECT count(*) FROM dibs."CalBooking";
-- settings with keys that nobody reads, or values that mean nothing: taken, and named by the doctor with what mends it
INSERT INTO dibs."CoachZoomConfig" ("ulid", "userUlid", "settings") VALUES ('01HZX00000000000000000SET1', '01HZX00000000000000000ROW1',
	'{"waitingroom": true, "hostVideo": "yes", "audio": "loud", "registrants": true, "timeZone": null, "alternativeHosts": ["a@example.org"], "provider": "zoom"}');
INSERT INTO dibs."CalEventType" ("ulid", "userUlid", "eventTypeId", "settings") VALUES ('01HZX00000000000000000SET2', '01HZX00000000000000000ROW1', 987654, '{"manageAdopted": true}');
SELECT p->>'problem' AS problem, p->>'call' AS call FROM jsonb_array_elements(dibs.health()->'problems') p WHERE p->>'problem' LIKE 'the key%' AND p->>'call' LIKE '%0SET_}%';
SELECT call FROM dibs.check_settings() WHERE call LIKE '%0SET_}%' \gexec
SELECT count(*) FROM dibs.check_settings() WHERE call LIKE '%0SET_}%';
SELECT "settings" FROM dibs."CoachZoomConfig" WHERE "ulid" = '01HZX00000000000000000SET1';
-- not to be called by hand
SAVEPOINT v;
SELECT dibs.booking_before_write();
ROLLBACK TO v;
SELECT dibs.instance_id() = (SELECT system_identifier FROM pg_control_system()) || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()) AS instance;
ROLLBACK;
