-- The application's own tables: keys of all kinds, single rows and many. In one transaction: no worker sees any of it.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
BEGIN;
CREATE SCHEMA own;
CREATE TABLE own."Users" ("the key" char(26) PRIMARY KEY, n int);
CREATE TABLE own.by_uuid (id uuid PRIMARY KEY);
CREATE TABLE own.by_number (id bigint PRIMARY KEY);
CREATE TABLE own.by_text (id text PRIMARY KEY) PARTITION BY HASH (id);
CREATE TABLE own.by_text_0 PARTITION OF own.by_text FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE own.by_text_1 PARTITION OF own.by_text FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO own."Users" SELECT dibs.gen_ulid(), i FROM generate_series(1, 1000) i;
INSERT INTO own.by_number VALUES (7), (8);
INSERT INTO own.by_text VALUES ('auth0|1'), ('01HZX00000000000000000XWT1'), ('123e4567-e89b-12d3-a456-426614174000');
CREATE FUNCTION pg_temp.book(coach char(26), session char(26) = NULL) RETURNS void LANGUAGE sql AS $$
	INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "sessionUlid")
	VALUES (coach, 'attach ' || dibs.gen_ulid(), 'attach', now() + interval '1 day', now() + interval '1 day 1 hour', 'a@example.org', session)
$$;
SELECT dibs.attach_users('own."Users"', 'the key'), dibs.attach_users('own.by_uuid', 'id'), dibs.attach_users('own.by_number', 'id'),
	dibs.attach_users('own.by_text', 'id');
-- again is the same
SELECT dibs.attach_users('own.by_number', 'id');
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE starts_with(tgname, 'dibs_') AND tgparentid = 0 ORDER BY tgrelid::regclass::text COLLATE "C", tgname;
INSERT INTO own.by_number VALUES (9);
INSERT INTO own.by_text VALUES ('auth0|2');
SELECT "key" FROM dibs."UserKey" WHERE "key" ~ '^(auth0\||\d+$|01HZ|123e)' ORDER BY 1;
-- each kind of key has its bookings
INSERT INTO own.by_uuid VALUES ('123e4567-e89b-12d3-a456-426614174001');
SELECT pg_temp.book(dibs.uuid_to_ulid('123e4567-e89b-12d3-a456-426614174001'));
SELECT count(pg_temp.book("userUlid") IS NULL) FROM dibs."UserKey" WHERE "key" IN ('7', '8', 'auth0|1');
SELECT pg_temp.book('01HZX00000000000000000XWT1'), pg_temp.book(dibs.uuid_to_ulid('123e4567-e89b-12d3-a456-426614174000'));
SELECT count(pg_temp.book("the key") IS NULL) FROM own."Users" WHERE n <= 300;
SELECT count(*) FROM dibs."CalBooking" WHERE "title" = 'attach';
-- a key that changes is followed where it can be
UPDATE own.by_number SET id = 77 WHERE id = 7;
SELECT count(*) FROM dibs."CalBooking" b JOIN dibs."UserKey" k ON k."userUlid" = b."userUlid" WHERE k."key" = '77';
SAVEPOINT a;
UPDATE own.by_uuid SET id = '123e4567-e89b-12d3-a456-4266141740ff';
ROLLBACK TO a;
TRUNCATE own."Users";
ROLLBACK TO a;
-- deleting takes the bookings, many at once
DELETE FROM own.by_uuid;
DELETE FROM own.by_number WHERE id = 77;
DELETE FROM own.by_text WHERE id LIKE '0%' OR id LIKE '1%';
DELETE FROM own."Users" WHERE n > 100;
SELECT count(*) FROM dibs."CalBooking" WHERE "title" = 'attach';
SELECT "key" FROM dibs."UserKey" WHERE "key" ~ '^(auth0\||\d+$)' ORDER BY 1;
SELECT count(*), count(DISTINCT "object") FROM dibs."AuditLog" WHERE "action" = 'user_deleted';
-- sessions
CREATE TABLE own.sessions (id uuid);
INSERT INTO own.sessions SELECT gen_random_uuid() FROM generate_series(1, 3);
SELECT dibs.attach_sessions('own.sessions', 'id');
SELECT count(pg_temp.book('01HZX00000000000000000XWT2', dibs.uuid_to_ulid(id)) IS NULL) FROM own.sessions;
UPDATE own.sessions SET id = '123e4567-e89b-12d3-a456-4266141740aa' WHERE id = (SELECT id FROM own.sessions LIMIT 1);
SELECT count("sessionUlid"), count(*) FILTER (WHERE "sessionUlid" = dibs.uuid_to_ulid('123e4567-e89b-12d3-a456-4266141740aa'))
FROM dibs."CalBooking" WHERE "userUlid" = '01HZX00000000000000000XWT2';
DELETE FROM own.sessions WHERE id = '123e4567-e89b-12d3-a456-4266141740aa';
SELECT count("sessionUlid"), count(*) FROM dibs."CalBooking" WHERE "userUlid" = '01HZX00000000000000000XWT2';
TRUNCATE own.sessions;
SELECT count("sessionUlid"), count(*) FROM dibs."CalBooking" WHERE "userUlid" = '01HZX00000000000000000XWT2';
-- detached, nothing follows
SELECT dibs.detach_users('own."Users"'), dibs.detach_users('own."Users"'), dibs.detach_sessions('own.sessions');
DELETE FROM own."Users";
SELECT count(*) FROM dibs."CalBooking" WHERE "title" = 'attach' AND "userUlid" <> '01HZX00000000000000000XWT2';
-- what cannot be attached
SAVEPOINT b;
SELECT dibs.attach_users('own."Users"', 'none');
ROLLBACK TO b;
SELECT dibs.attach_users('dibs."Coach"', 'userUlid');
ROLLBACK TO b;
SELECT dibs.attach_users('pg_class', 'oid');
ROLLBACK TO b;
SELECT dibs.attach_sessions('own.by_number', 'id');
ROLLBACK TO b;
CREATE ROLE attach_admin;
SELECT dibs.grant_access('attach_admin', 'admin');
GRANT USAGE ON SCHEMA own TO attach_admin;
SET LOCAL ROLE attach_admin;
SELECT dibs.attach_users('own.by_uuid', 'id');
ROLLBACK TO b;
ROLLBACK;
