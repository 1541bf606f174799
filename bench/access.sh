#!/usr/bin/env bash
# What row-level rules cost: a coach's booking list through dibs.my_bookings (whose rows they are is decided in the view,
# by a JWT's claim), against the same rows and columns read from the table by a role that may read it all.
# Needs a server (PGHOST, PGPORT, PGUSER: a superuser) with dibs; uses a database of its own, dibs_bench, and a role
# bench_gateway, which has to be among dibs.gateway_roles: the script adds it while it runs.
# Rounds alternate, so that a machine whose speed drifts is fair; quote the ratio.
set -euo pipefail
bookings=${DIBS_BENCH_BOOKINGS:-100000}
coaches=1000
seconds=${DIBS_BENCH_SECONDS:-4}
rounds=${DIBS_BENCH_ROUNDS:-5}
work=$(mktemp -d)
cleanup()
{
	rm -rf "$work"
	psql -qX -d postgres -c "ALTER SYSTEM RESET dibs.gateway_roles" -c "ALTER SYSTEM RESET dibs.worker" -c "SELECT pg_reload_conf()" >/dev/null 2>&1 || true
	psql -qX -d postgres -c "DROP DATABASE IF EXISTS dibs_bench" -c "DROP ROLE IF EXISTS bench_gateway" >/dev/null 2>&1 || true
}
trap cleanup EXIT

psql -qX -d postgres -c "DROP DATABASE IF EXISTS dibs_bench" -c "DROP ROLE IF EXISTS bench_gateway" -c "CREATE DATABASE dibs_bench" \
	-c "CREATE ROLE bench_gateway LOGIN SUPERUSER" -c "ALTER SYSTEM SET dibs.gateway_roles = 'authenticator', 'bench_gateway'" \
	-c "ALTER SYSTEM SET dibs.worker = off" -c "SELECT pg_reload_conf()" >/dev/null
psql -qX -d dibs_bench >/dev/null <<X
CREATE EXTENSION dibs;
SET session_replication_role = replica;
INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "attendeeName", "participants", "wanted", "done", "dueAt")
SELECT lpad((i % $coaches)::text, 26, '0'), 'bench-' || i, 'Session ' || i, now() + i * interval '1 minute', now() + i * interval '1 minute' + interval '30 min',
	'guest' || i || '@example.com', 'Guest', jsonb_build_array(jsonb_build_object('email', 'guest' || i || '@example.com', 'name', 'Guest', 'status', 'CONFIRMED')), 1, 1, '-infinity'
FROM generate_series(1, $bookings) i;
VACUUM ANALYZE dibs."CalBooking";
X
columns=$(psql -qXAt -d dibs_bench -c "SELECT string_agg(format('b.%I', attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'dibs.my_bookings'::regclass AND attnum > 0")
# Both set the claim, as PostgREST does for every request: what is compared is the reading.
claim="SELECT set_config('request.jwt.claims', json_build_object('sub', lpad(:coach::text, 26, '0'))::text, true);"
cat >"$work/rules.sql" <<X
\set coach random(0, $((coaches - 1)))
BEGIN;
$claim
SELECT $columns FROM dibs.my_bookings b ORDER BY b."startTime" LIMIT 100;
COMMIT;
X
cat >"$work/table.sql" <<X
\set coach random(0, $((coaches - 1)))
BEGIN;
$claim
SELECT $columns FROM dibs."CalBooking" b WHERE b."userUlid" = lpad(:coach::text, 26, '0')::char(26) ORDER BY b."startTime" LIMIT 100;
COMMIT;
X
rows()
{
	sed -e '1s/.*/\\set coach 7/' "$work/$1.sql" | psql -qXAt -U bench_gateway -d dibs_bench | grep -c 'bench-' || true
}
[ "$(rows rules)" = "$(rows table)" ] && [ "$(rows rules)" = "$((bookings / coaches))" ] || { echo "the two do not give the same rows"; exit 1; }
: >"$work/ratios"
for ((round = 0; round < rounds; round++)); do
	declare -A ms=()
	for way in rules table; do
		ms[$way]=$(pgbench -n -M prepared -U bench_gateway -T "$seconds" -f "$work/$way.sql" dibs_bench 2>/dev/null | awk '/^latency average/ { print $4 }')
	done
	echo "round $round: table ${ms[table]} ms, my_bookings ${ms[rules]} ms"
	awk -v a="${ms[rules]}" -v b="${ms[table]}" 'BEGIN { print a / b }' >>"$work/ratios"
done
sort -n "$work/ratios" | awk '{ r[NR] = $1 } END { printf "row-level rules: a coach'"'"'s booking list takes %.2f x the time of the table alone (goal: at most 1.15)\n", r[int((NR + 1) / 2)] }'
