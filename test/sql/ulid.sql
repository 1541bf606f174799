-- ULIDs: the spec's values, both ways, order, bounds.
\pset null '(null)'

-- form, and the clock's time
SELECT length(u::text), u ~ '^[0-7][0-9A-HJKMNP-TV-Z]{25}$' AS form,
	abs(extract(epoch FROM dibs.ulid_to_timestamp(u) - clock_timestamp())) < 60 AS now
FROM (SELECT dibs.gen_ulid() AS u) _;
SELECT pg_typeof(dibs.gen_ulid());

-- unique and ascending in one backend
CREATE TEMP TABLE made AS SELECT i, dibs.gen_ulid() COLLATE "C" AS u FROM generate_series(1, 100000) i;
SELECT count(DISTINCT u), bool_and(u > earlier) AS ascending FROM (SELECT u, lag(u) OVER (ORDER BY i) AS earlier FROM made) _;
-- also through the types they turn into
SELECT bool_and(dibs.ulid_to_uuid(u) > earlier) AS ascending
FROM (SELECT u, lag(dibs.ulid_to_uuid(u)) OVER (ORDER BY i) AS earlier FROM made) _;
SELECT bool_and(dibs.ulid_to_timestamp(u) >= earlier) AS ascending
FROM (SELECT u, lag(dibs.ulid_to_timestamp(u)) OVER (ORDER BY i) AS earlier FROM made) _;
SELECT count(*) FROM made WHERE dibs.uuid_to_ulid(dibs.ulid_to_uuid(u)) <> u;

-- parallel workers do not begin where the leader was
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE TABLE ulid_rows AS SELECT generate_series(1, 20000) AS i;
ANALYZE ulid_rows;
SELECT count(DISTINCT u) FROM (SELECT dibs.gen_ulid() AS u FROM ulid_rows UNION ALL SELECT dibs.gen_ulid() FROM ulid_rows) _;
DROP TABLE ulid_rows;
RESET ALL;

-- the spec's example
SET timezone = 'UTC';
SELECT dibs.ulid_to_timestamp('01ARYZ6S41TSV4RRFFQ69G5FAV'), dibs.ulid_to_uuid('01ARYZ6S41TSV4RRFFQ69G5FAV');
SELECT dibs.uuid_to_ulid('01563df3-6481-d676-4c61-efb99302bd5b');
SELECT dibs.ulid_to_timestamp('00000000000000000000000000'), dibs.ulid_to_timestamp('7ZZZZZZZZZZZZZZZZZZZZZZZZZ');
SELECT dibs.uuid_to_ulid('00000000-0000-0000-0000-000000000000'), dibs.uuid_to_ulid('ffffffff-ffff-ffff-ffff-ffffffffffff');

-- what an application asks before it casts
SELECT s, dibs.is_ulid(s) FROM (VALUES
	('01ARYZ6S41TSV4RRFFQ69G5FAV'), ('01aryz6s41tsv4rrffq69g5fav'), ('oiARYZ6S4lTSV4RRFFQ69G5FAV'),
	('80000000000000000000000000'), ('01ARYZ6S41TSV4RRFFQ69G5FAU'), ('01ARYZ6S41TSV4RRFFQ69G5FA'),
	('01ARYZ6S41TSV4RRFFQ69G5FAVX'), ('01ARYZ6S41TSV4RRFFQ69G5FA '), ('01ARYZ6S41TSV4RRFFQ69G5FÄ'), (''), (NULL)) _ (s);

-- lower case and aliases are read, and written as they should be
SELECT dibs.uuid_to_ulid(dibs.ulid_to_uuid('oiaryz6s4ltsv4rrffq69g5fav'));

-- times, cut to milliseconds
SELECT dibs.ulid_to_timestamp(dibs.ulid_from_timestamp(t)) FROM (VALUES
	(timestamptz '2026-01-15 09:00:00.123456Z'), ('1970-01-01 00:00:00Z'), ('1999-12-31 23:59:59.999999Z'),
	('10889-08-02 05:31:50.655Z')) _ (t);
SELECT left(dibs.ulid_from_timestamp('2026-01-15 09:00Z'), 10), dibs.ulid_from_timestamp('2026-01-15 09:00Z') =
	dibs.ulid_from_timestamp('2026-01-15 09:00Z') AS same;
SELECT dibs.ulid_from_timestamp('1969-12-31 23:59:59.999Z');
SELECT dibs.ulid_from_timestamp('10889-08-02 05:31:50.656Z');
SELECT dibs.ulid_from_timestamp('infinity');
SELECT dibs.ulid_to_timestamp('80000000000000000000000000');
SELECT dibs.ulid_to_timestamp('no ULID');
SELECT dibs.ulid_to_uuid('');
SELECT dibs.ulid_to_uuid(repeat('ä', 100));
SELECT dibs.ulid_to_uuid(NULL), dibs.uuid_to_ulid(NULL), dibs.ulid_to_timestamp(NULL), dibs.ulid_from_timestamp(NULL);

-- the planner makes each of them again for each row, but not the pure ones
SELECT proname, provolatile, proparallel, proisstrict FROM pg_proc
WHERE pronamespace = 'dibs'::regnamespace AND (proname LIKE '%ulid%') AND proname <> 'current_user_ulid' AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'c')
ORDER BY 1;
