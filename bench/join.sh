#!/usr/bin/env bash
# validate_session_token() and join_meeting() against a look-up by primary key, with 1,000,000 bookings, their participants
# and their meetings. Prepared statements over one connection, each with a random booking of 10,000 that have a token; what
# counts is the statement's own latency, the wire included, as pgbench tells it. Rounds alternate; quote the ratios.
# Needs a server (PGHOST, PGPORT, PGUSER: a superuser) with dibs and a master key; uses a database of its own, dibs_bench.
set -euo pipefail
bookings=${DIBS_BENCH_BOOKINGS:-1000000}
rounds=${DIBS_BENCH_ROUNDS:-5}
seconds=${DIBS_BENCH_SECONDS:-5}
tokens=10000
work=$(mktemp -d)
worker=$(psql -qXAt -d postgres -c 'SHOW dibs.worker')
trap 'rm -rf "$work"
[ "$worker" = off ] || psql -qX -d postgres -c "ALTER SYSTEM RESET dibs.worker" -c "SELECT pg_reload_conf()" >/dev/null 2>&1 || true
psql -qX -d postgres -c "DROP DATABASE IF EXISTS dibs_bench" >/dev/null 2>&1 || true' EXIT

quiet() { psql -qXAt -v ON_ERROR_STOP=1 "$@" >/dev/null; }

# The worker would share the machine with whoever is being measured.
quiet -d postgres -c 'ALTER SYSTEM SET dibs.worker = off' -c 'SELECT pg_reload_conf()'
quiet -d postgres -c 'SET client_min_messages = warning' -c 'DROP DATABASE IF EXISTS dibs_bench' -c 'CREATE DATABASE dibs_bench'
quiet -d dibs_bench -v n="$bookings" -v tokens="$tokens" <<'X'
CREATE EXTENSION dibs;
SET session_replication_role = replica; -- a million foreign keys and triggers are not what is measured
SET synchronous_commit = off;
CREATE SCHEMA bench;
-- a thousand coaches; ids in an order of their own, as they come over the years
CREATE TABLE bench.id AS SELECT i, dibs.ulid_from_timestamp('2025-01-01'::timestamptz + (i * 7919 % :n) * interval '30 s') AS ulid
FROM generate_series(1, :n::bigint) i;
CREATE TABLE bench.coach AS SELECT i, dibs.gen_ulid() AS ulid FROM generate_series(0, 999) i;
INSERT INTO dibs."Coach" ("userUlid", "name", "timeZone") SELECT ulid, 'Coach', 'Europe/Berlin' FROM bench.coach;
INSERT INTO dibs."CalBooking" ("ulid", "userUlid", "calBookingUid", "title", "startTime", "endTime", "duration", "attendeeEmail", "attendeeName",
	"participants", "zoomJoinUrl", "zoomHostUrl", "zoomMeetingId", "zoomPasscode", "meetingState", "done", "announced")
SELECT d.ulid, c.ulid, 'uid-' || d.i, 'Session ' || d.i, now() - interval '10 min', now() + interval '3 h', 190,
	'guest' || d.i || '@example.com', 'Guest', jsonb_build_array(jsonb_build_object('email', 'guest' || d.i || '@example.com', 'name', 'Guest', 'status', 'CONFIRMED')),
	'https://zoom.example/j/' || (90000000000 + d.i) || '?pwd=x', 'https://zoom.example/s/' || (90000000000 + d.i), (90000000000 + d.i)::text, 'x', 'ready', 1, 1
FROM bench.id d JOIN bench.coach c ON c.i = d.i % 1000;
INSERT INTO dibs."BookingParticipant" ("userUlid", "bookingUlid", "person", "email", "name", "timeZone", "isPrimary")
SELECT b."userUlid", b."ulid", b."attendeeEmail", b."attendeeEmail", 'Guest', 'Europe/London', true FROM dibs."CalBooking" b;
INSERT INTO dibs."Meeting" ("userUlid", "bookingUlid", "provider", "state", "externalId", "marker", "joinUrl")
SELECT b."userUlid", b."ulid", 'zoom', 'ready', b."zoomMeetingId", 'dibs:' || b."ulid", b."zoomJoinUrl" FROM dibs."CalBooking" b;
SET session_replication_role = origin;
SELECT dibs.set_secret('zoom.sdk_key', 'benchSdkKey000000001');
SELECT dibs.set_secret('zoom.sdk_secret', 'benchSdkSecret0000000000000000001');
CREATE TABLE bench.token AS SELECT row_number() OVER () AS id, t.* FROM (
	SELECT p."bookingUlid" AS ulid, dibs.sign_token(false, p."bookingUlid", p."userUlid", p."ulid", 0, 0) AS token
	FROM dibs."BookingParticipant" p ORDER BY md5(p."ulid") LIMIT :tokens) t;
ALTER TABLE bench.token ADD PRIMARY KEY (id);
X
quiet -d dibs_bench -c 'VACUUM ANALYZE' -c CHECKPOINT

for way in key validate join garbage; do
	case $way in
		key) statement='SELECT "title", "status", "startTime", "endTime", "attendeeName", "zoomJoinUrl" FROM dibs."CalBooking" WHERE "ulid" = :ulid;' ;;
		validate) statement='SELECT dibs.validate_session_token(:token);' ;;
		join) statement='SELECT dibs.join_meeting(:token);' ;;
		garbage) statement='SELECT dibs.validate_session_token(translate(:token, '"'aAbB', 'AaBb'"'));' ;;
	esac
	printf '\\set r random(1, %d)\nSELECT ulid, token FROM bench.token WHERE id = :r \\gset\n%s\n' "$tokens" "$statement" >"$work/$way.sql"
done
answers=$(psql -qXAt -d dibs_bench -c "SELECT count(*) FILTER (WHERE dibs.validate_session_token(token)) || ' ' ||
	count(*) FILTER (WHERE dibs.join_meeting(token)->'embed'->>'signature' <> '') FROM bench.token WHERE id <= 1000")
[ "$answers" = '1000 1000' ] || { echo "valid and embedded of 1000: $answers" >&2; exit 1; }

for ((r = 1; r <= rounds; r++)); do
	for way in key validate join garbage; do
		pgbench -n -M prepared -c 1 -T "$seconds" -r -f "$work/$way.sql" dibs_bench >"$work/out" 2>"$work/err" || { cat "$work/err" >&2; exit 1; }
		# the last statement's line: latency in ms, failures on newer versions, the statement
		echo "$way $(awk '/dibs\./ && /^ *[0-9.]+ / {v = $1} END {print v * 1000}' "$work/out")" >>"$work/results"
	done
done
median() { awk -v w="$1" '$1 == w {print $2}' "$work/results" | sort -n | awk '{a[NR] = $1} END {print a[int((NR + 1) / 2)]}'; }
awk -v n="$bookings" -v r="$rounds" -v k="$(median key)" -v v="$(median validate)" -v j="$(median join)" -v g="$(median garbage)" 'BEGIN {
	printf "microseconds a statement, the wire included; median of %d rounds; %d bookings\n", r, n
	printf "  look-up by primary key                    %7.1f\n", k
	printf "  validate_session_token                    %7.1f   %.2f times it (goal: at most 2)\n", v, v / k
	printf "  validate_session_token, a forged token    %7.1f   %.2f times it\n", g, g / k
	printf "  join_meeting with an SDK signature        %7.1f   %.2f times it (goal: at most 10)\n", j, j / k
}'
