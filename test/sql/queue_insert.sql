-- New rows are written without a plan where a table is as dibs made it, and by INSERT where there is more to it. Either
-- way it is as if they had been inserted. In one transaction: no worker sees any of it.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
BEGIN;
CREATE SCHEMA t;
\getenv test PG_ABS_SRCDIR
\set hmac :test '/include/hmac.sql'
\set echo :ECHO
\set ECHO none
\i :hmac
\set ECHO :echo
CREATE FUNCTION t.deliver(uid text, minute int = 0) RETURNS text LANGUAGE sql AS $$
	WITH d AS (SELECT jsonb_build_object('triggerEvent', 'BOOKING_CREATED', 'createdAt', format('2024-01-01T00:0%s:00.000Z', minute), 'payload', jsonb_build_object('uid', uid,
		'title', 'Talk', 'length', 30, 'startTime', '2030-02-01T10:00:00Z', 'organizer', jsonb_build_object('email', 'coach@example.org'),
		'attendees', jsonb_build_array(jsonb_build_object('name', 'Ada', 'email', 'ada@example.org'))))::text AS body)
	SELECT concat_ws(' ', r->>'status', r->>'outcome', r->'response'->>'error')
	FROM d, dibs.receive_webhook('cal', jsonb_build_object('x-cal-signature-256', pg_temp.hmac(convert_to(body, 'UTF8'), 'regress')), body) r $$;
SELECT dibs.set_secret('cal.webhook_secret', 'regress');
SELECT dibs.link_account('cal', '01HZX00000000000000000QW01', email => 'coach@example.org') - 'account' AS linked;

-- a row trigger of an application's sees each row, and what stands behind it
CREATE TABLE t.seen (n serial, relation name, by text, bookings int);
CREATE FUNCTION t.see() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	stack text;
BEGIN
	GET DIAGNOSTICS stack = PG_CONTEXT;
	INSERT INTO t.seen (relation, by, bookings) VALUES (TG_RELNAME, TG_LEVEL || CASE WHEN stack ~ 'SQL statement "INSERT INTO dibs' THEN ' of INSERT' ELSE '' END,
		(SELECT count(*) FROM dibs."CalBooking" WHERE "userUlid" = '01HZX00000000000000000QW01'));
	RETURN NEW;
END $$;
CREATE FUNCTION t.seen() RETURNS TABLE (relation name, by text, bookings int) LANGUAGE sql AS $$
	WITH gone AS (DELETE FROM t.seen RETURNING *) SELECT g.relation, g.by, g.bookings FROM gone g ORDER BY g.n $$;
CREATE TRIGGER see AFTER INSERT ON dibs."BookingUid" FOR EACH ROW EXECUTE FUNCTION t.see();
CREATE TRIGGER see AFTER INSERT ON dibs."WebhookEvent" FOR EACH ROW EXECUTE FUNCTION t.see();
CREATE TRIGGER see AFTER INSERT ON dibs."CalBooking" FOR EACH ROW EXECUTE FUNCTION t.see();
CREATE TRIGGER see AFTER INSERT ON dibs."Event" FOR EACH ROW EXECUTE FUNCTION t.see();
CREATE TRIGGER see BEFORE INSERT ON dibs."BookingParticipant" FOR EACH ROW EXECUTE FUNCTION t.see();
SELECT t.deliver('w1');
SELECT * FROM t.seen();
-- every column has what an INSERT would give it
\pset format unaligned
SELECT (to_jsonb(b) - '{ulid,createdAt,updatedAt,completeAt,instance,sourceAt}'::text[]) - 'participants' AS booking, "createdAt" = now() AS now, "instance" = dibs.instance_id() AS here
FROM dibs."CalBooking" b WHERE "calBookingUid" = 'w1';
SELECT to_jsonb(e) - '{ulid,createdAt,bookingUlid,xid,instance}'::text[] AS event, "xid" = pg_current_xact_id() AS xid, "instance" = dibs.instance_id() AS here
FROM dibs."Event" e WHERE "userUlid" = '01HZX00000000000000000QW01';
SELECT to_jsonb(p) - '{ulid,createdAt,updatedAt,bookingUlid}'::text[] AS participant FROM dibs."BookingParticipant" p WHERE "userUlid" = '01HZX00000000000000000QW01';
SELECT to_jsonb(w) - '{ulid,createdAt,processedAt,bookingUlid,instance,sha256,dedupeKey}'::text[] AS delivery, "processedAt" = now() AS now FROM dibs."WebhookEvent" w WHERE "uid" = 'w1';
\pset format aligned

-- columns of an application's: a default, one that is changed, one that has gone, one that is computed
ALTER TABLE dibs."Event" ADD "n" int DEFAULT 7, ADD "gone" text DEFAULT 'x', ADD "loud" text GENERATED ALWAYS AS (upper("type")) STORED;
ALTER TABLE dibs."Event" DROP "gone";
CREATE FUNCTION t.number() RETURNS int LANGUAGE sql AS 'SELECT 8';
CREATE FUNCTION t.event(type text) RETURNS void LANGUAGE sql AS $$ SELECT dibs.write_event('01HZX00000000000000000QW01', NULL, type) $$;
SELECT t.event('test.seven');
ALTER TABLE dibs."Event" ALTER "n" SET DEFAULT t.number();
SELECT t.event('test.eight');
CREATE OR REPLACE FUNCTION t.number() RETURNS int LANGUAGE sql AS 'SELECT 9';
SELECT t.event('test.nine');
SAVEPOINT s;
ALTER TABLE dibs."Event" ALTER "n" SET DEFAULT 10;
SELECT t.event('test.ten');
ROLLBACK TO s;
SELECT t.event('test.nine again');
SELECT "type", "n", "loud" FROM dibs."Event" WHERE "type" LIKE 'test.%' ORDER BY "ulid";
SELECT * FROM t.seen();
-- a domain that takes no null has to be asked, which INSERT does
CREATE DOMAIN t.filled AS int NOT NULL;
SAVEPOINT s;
ALTER TABLE dibs."Event" ADD "filled" t.filled DEFAULT 1;
ALTER TABLE dibs."Event" ALTER "filled" DROP DEFAULT;
SELECT t.event('test.domain');
ROLLBACK TO s;
ALTER TABLE dibs."Event" DROP "n" CASCADE, DROP "loud";

-- a domain that is altered, of a column and in a default
CREATE DOMAIN t.small AS int;
SAVEPOINT s;
ALTER TABLE dibs."Event" ADD "small" t.small DEFAULT 5;
SELECT t.event('test.small');
ALTER DOMAIN t.small ADD CHECK (value > 10) NOT VALID;
SELECT t.event('test.small');
ROLLBACK TO s;
ALTER TABLE dibs."Event" ADD "n" int DEFAULT 5::t.small;
SELECT t.event('test.small');
ALTER DOMAIN t.small ADD CHECK (value > 10) NOT VALID;
SELECT t.event('test.small');
ROLLBACK TO s;
-- a column that dibs gives a value is to be computed
ALTER TABLE dibs."CalBooking" ALTER "announced" DROP DEFAULT, ALTER "announced" ADD GENERATED ALWAYS AS IDENTITY;
SELECT t.deliver('w7');
SELECT "errorCode" FROM dibs."WebhookEvent" WHERE "uid" = 'w7';
ROLLBACK TO s;
-- the length of an identifier, and the table that a row is of
SELECT dibs.write_event(repeat('Z', 40), NULL, 'test.long');
ROLLBACK TO s;
SELECT dibs.write_event('SHORT', NULL, 'test.short');
SELECT octet_length("userUlid") FROM dibs."Event" WHERE "type" = 'test.short';
ALTER TABLE dibs."Event" ADD CONSTRAINT "own" CHECK (tableoid = 'dibs."Event"'::regclass) NOT VALID;
SELECT t.event('test.own');
ROLLBACK TO s;
-- a default that writes an event itself, while the outer one is in the midst of its own
CREATE TABLE t.depth (d int);
INSERT INTO t.depth VALUES (0);
CREATE FUNCTION t.inner_event(d int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF d = 1 THEN PERFORM t.event('test.inner'); END IF; RETURN d; END $$;
CREATE FUNCTION t.deeper() RETURNS int LANGUAGE sql VOLATILE AS $$ UPDATE t.depth SET d = d + 1; SELECT t.inner_event(d) FROM t.depth $$;
ALTER TABLE dibs."Event" ADD "n" int;
ALTER TABLE dibs."Event" ALTER "n" SET DEFAULT t.deeper();
SELECT t.event('test.outer');
SELECT string_agg("type" || ' ' || "n", ', ' ORDER BY "n") FROM dibs."Event" WHERE "type" IN ('test.inner', 'test.outer');
ROLLBACK TO s;
-- one that fails, and is tried again
CREATE TABLE t.counter (n int CHECK (n <> 2));
INSERT INTO t.counter VALUES (0);
CREATE FUNCTION t.count() RETURNS int LANGUAGE sql VOLATILE AS $$ UPDATE t.counter SET n = n + 1 RETURNING n $$;
ALTER TABLE dibs."Event" ADD "n" int;
ALTER TABLE dibs."Event" ALTER "n" SET DEFAULT t.count();
SELECT t.event('test.count');
SAVEPOINT inside;
SELECT t.event('test.count');
ROLLBACK TO inside;
UPDATE t.counter SET n = 2 - 3;
SELECT t.event('test.count');
SELECT string_agg("n"::text, ' ' ORDER BY "ulid") FROM dibs."Event" WHERE "type" = 'test.count';
ROLLBACK TO s;
DELETE FROM t.seen;

-- a trigger that keeps a row out, one that changes it, one that writes a row of the same table and has dibs look at it anew
CREATE FUNCTION t.meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	CASE NEW."type"
		WHEN 'test.out' THEN
			RETURN NULL;
		WHEN 'test.change' THEN
			NEW."data" := '{"changed": true}';
		WHEN 'test.more' THEN
			CREATE OR REPLACE FUNCTION t.number() RETURNS int LANGUAGE sql AS 'SELECT 0';
			PERFORM t.event('test.nested');
		ELSE
	END CASE;
	RETURN NEW;
END $$;
CREATE TRIGGER meddle BEFORE INSERT ON dibs."Event" FOR EACH ROW EXECUTE FUNCTION t.meddle();
SELECT t.event('test.out'), t.event('test.change'), t.event('test.more');
SELECT "type", "data" FROM dibs."Event" WHERE "type" IN ('test.out', 'test.change', 'test.more', 'test.nested') ORDER BY "ulid";
DROP TRIGGER meddle ON dibs."Event";
SELECT count(*) FROM t.seen();

-- what a trigger raises keeps the delivery out of the booking, and says why
CREATE FUNCTION t.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no participants today' USING ERRCODE = 'check_violation'; END $$;
CREATE TRIGGER refuse AFTER INSERT ON dibs."BookingParticipant" FOR EACH ROW EXECUTE FUNCTION t.refuse();
SELECT t.deliver('w2');
SELECT "outcome", "error", "errorCode", "bookingUlid" FROM dibs."WebhookEvent" WHERE "uid" = 'w2';
SELECT count(*) FROM dibs."BookingUid" WHERE "uid" = 'w2';
DROP TRIGGER refuse ON dibs."BookingParticipant";
-- deferred until the end
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON dibs."BookingParticipant" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION t.refuse();
SAVEPOINT s;
SELECT t.deliver('w3');
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK TO s;
DROP TRIGGER refuse ON dibs."BookingParticipant";
SELECT count(*) FROM t.seen();

-- by INSERT: a statement's trigger with what it wrote
SAVEPOINT s;
CREATE FUNCTION t.look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO t.seen (relation, by, bookings) SELECT TG_RELNAME, TG_LEVEL || ' ' || string_agg("calBookingUid", ','), 0 FROM new_rows;
	RETURN NULL;
END $$;
CREATE TRIGGER look AFTER INSERT ON dibs."CalBooking" REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION t.look();
SELECT t.deliver('w4');
SELECT * FROM t.seen();
ROLLBACK TO s;
-- a rule
SAVEPOINT s;
CREATE RULE also AS ON INSERT TO dibs."BookingUid" DO ALSO INSERT INTO t.seen (relation, by) VALUES ('BookingUid', 'RULE ' || NEW."uid");
SELECT t.deliver('w5');
SELECT * FROM t.seen();
ROLLBACK TO s;
-- a table that is not spread by Citus yet, but may be
SAVEPOINT s;
SET LOCAL allow_system_table_mods = on;
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) VALUES (4711, 'citus', 10, 11, false, '0');
ALTER TABLE dibs."Event" SET (fillfactor = 90);
SELECT t.event('test.citus');
SELECT * FROM t.seen();
ROLLBACK TO s;
-- a transaction that only reads, as PostgREST's is for GET
SAVEPOINT s;
SET TRANSACTION READ ONLY;
SELECT t.event('test.read only');
ROLLBACK TO s;
SAVEPOINT s;
SET TRANSACTION READ ONLY;
SELECT t.deliver('w6');
ROLLBACK TO s;
-- what is made under dibs' settings is a statement's plan alone: a trigger sees the session's, at the first row and later
SAVEPOINT s;
CREATE FUNCTION t.settings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO t.seen (relation, by) VALUES (TG_RELNAME, concat_ws(' ', current_setting('enable_seqscan'), current_setting('plan_cache_mode')));
	RETURN NEW;
END $$;
CREATE TRIGGER settings BEFORE UPDATE ON dibs."CalBooking" FOR EACH ROW EXECUTE FUNCTION t.settings();
SELECT t.deliver('w1', minute => 5), t.deliver('w1', minute => 6);
SELECT relation, by FROM t.seen() WHERE relation = 'CalBooking';
ROLLBACK TO s;
-- a role that may not write it, and one whose rows a policy looks at
CREATE ROLE regress_dibs_writer;
GRANT USAGE ON SCHEMA dibs, t TO regress_dibs_writer;
GRANT EXECUTE ON FUNCTION dibs.write_event(char, char, text, jsonb), dibs.gen_ulid(), dibs.instance_id() TO regress_dibs_writer;
GRANT ALL ON t.seen, t.seen_n_seq TO regress_dibs_writer;
GRANT SELECT ON dibs."CalBooking" TO regress_dibs_writer;
SAVEPOINT s;
SET LOCAL ROLE regress_dibs_writer;
SELECT t.event('test.denied');
ROLLBACK TO s;
GRANT INSERT ON dibs."Event" TO regress_dibs_writer;
REVOKE EXECUTE ON FUNCTION dibs.instance_id() FROM regress_dibs_writer;
SELECT t.event('test.granted');
SAVEPOINT s;
SET LOCAL ROLE regress_dibs_writer;
SELECT t.event('test.denied');
ROLLBACK TO s;
GRANT EXECUTE ON FUNCTION dibs.instance_id() TO regress_dibs_writer;
ALTER TABLE dibs."Event" ENABLE ROW LEVEL SECURITY;
CREATE POLICY one ON dibs."Event" FOR INSERT TO regress_dibs_writer WITH CHECK ("type" = 'test.policy');
SAVEPOINT s;
SET LOCAL ROLE regress_dibs_writer;
SELECT t.event('test.policy');
SELECT t.event('test.other');
ROLLBACK TO s;
SELECT t.event('test.owner');
SELECT * FROM t.seen();

-- a column that is gone
ALTER TABLE dibs."Event" RENAME "data" TO "details";
SELECT t.event('test.renamed');
ROLLBACK;
-- as before
SELECT dibs.write_event('01HZX00000000000000000QW01', NULL, 'test.after');
DELETE FROM dibs."Event" WHERE "type" = 'test.after';
