#!/usr/bin/env bash
# Webhooks received, verified and applied per second (4 kB bodies of Cal.com's, 8 clients), against the same rows written
# with the values given (no signature, no reading of the payload) and against PL/pgSQL with pgcrypto, each in two forms.
# Needs a server (PGHOST, PGPORT, PGUSER: a superuser) with dibs and pgcrypto; uses a database of its own, dibs_bench.
# Rounds alternate, so that a machine whose speed drifts is fair; quote the ratios.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
deliveries=${DIBS_BENCH_DELIVERIES:-6000}
rounds=${DIBS_BENCH_ROUNDS:-5}
clients=8
work=$(mktemp -d)
worker=$(psql -qXAt -d postgres -c 'SHOW dibs.worker')
trap 'rm -rf "$work"
[ "$worker" = off ] || psql -qX -d postgres -c "ALTER SYSTEM RESET dibs.worker" -c "SELECT pg_reload_conf()" >/dev/null 2>&1 || true
psql -qX -d postgres -c "DROP DATABASE IF EXISTS dibs_bench" >/dev/null 2>&1 || true' EXIT

# Each client goes through deliveries of its own.
next="\\set i :i + 1
\\set id :client_id * $((deliveries / clients)) + :i"
cat >"$work/dibs.sql" <<X
$next
SELECT dibs.receive_webhook('cal', d.headers, d.body) FROM bench.delivery d WHERE d.id = :id;
X
cat >"$work/plpgsql.sql" <<X
$next
SELECT bench.receive(d.headers, d.body) FROM bench.delivery d WHERE d.id = :id;
X
cat >"$work/bare.sql" <<X
$next
SELECT bench.receive_bare(d.headers, d.body, 'bench-secret') FROM bench.delivery d WHERE d.id = :id;
X
# The same in one statement, which no application would write.
cat >"$work/values.sql" <<X
$next
WITH d AS MATERIALIZED (SELECT d.* FROM bench.delivery d WHERE d.id = :id),
e AS (INSERT INTO dibs."WebhookEvent" ("source", "trigger", "dedupeKey", "sha256", "payload", "uid", "sentAt", "outcome", "processed", "attempts", "userUlid", "processedAt")
 SELECT 'cal', 'BOOKING_CREATED', d.dedupe_key, d.sha256, d.payload, d.uid, d.sent_at, 'applied', true, 1, '01JBENCHC0ACH0000000000000', now() FROM d),
b AS (INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "calBookingId", "title", "description", "eventTypeId", "eventTypeSlug",
 "startTime", "endTime", "duration", "attendeeEmail", "attendeeName", "attendeeTimeZone", "participants", "bookingFields", "metadata", "source", "announced")
 SELECT '01JBENCHC0ACH0000000000000', d.uid, d.id, 'Intro between Coach and Guest', 'A first talk', 7, 'intro', d.start_time, d.end_time, 60,
 d.email, 'Guest', 'Europe/London', jsonb_build_array(jsonb_build_object('email', d.email, 'name', 'Guest', 'timeZone', 'Europe/London', 'status', 'CONFIRMED')),
 d.payload->'payload'->'responses', '{"campaign": "spring"}', 'cal', 1 FROM d RETURNING "ulid", "userUlid", "calBookingUid", "attendeeEmail"),
u AS (INSERT INTO dibs."BookingUid" ("uid", "userUlid", "bookingUlid") SELECT b."calBookingUid", b."userUlid", b."ulid" FROM b),
v AS (INSERT INTO dibs."Event" ("userUlid", "bookingUlid", "type", "data") SELECT b."userUlid", b."ulid", 'booking.created', '{"status": "CONFIRMED"}' FROM b)
INSERT INTO dibs."BookingParticipant" ("userUlid", "bookingUlid", "person", "email", "name", "timeZone", "isPrimary")
SELECT b."userUlid", b."ulid", b."attendeeEmail", b."attendeeEmail", 'Guest', 'Europe/London', true FROM b;
X
# What an application would send: a transaction of five prepared INSERTs, in one network packet, every value a parameter
# (the client has made the identifiers). Only the texts that are the same in every delivery are constants of the script.
cat >"$work/five.sql" <<X
$next
\\startpipeline
BEGIN;
-- the other ways take their delivery from this table: so that this one has as much to read
SELECT length(d.headers::text), length(d.body) FROM bench.delivery d WHERE d.id = :id;
INSERT INTO dibs."CalBooking" ("ulid", "userUlid", "calBookingUid", "calBookingId", "title", "description", "eventTypeId", "eventTypeSlug",
 "startTime", "endTime", "duration", "attendeeEmail", "attendeeName", "attendeeTimeZone", "participants", "bookingFields", "metadata", "source", "announced")
 VALUES (lpad(:id::int::text, 26, '0'), '01JBENCHC0ACH0000000000000', 'five-' || :id::int, :id::int, 'Intro between Coach and Guest', 'A first talk', 7, 'intro',
 now() + :i::int * interval '1 hour', now() + :i::int * interval '1 hour' + interval '1 hour', 60, 'guest' || :id::int || '@example.com', 'Guest', 'Europe/London',
 :people::jsonb, :answers::jsonb, '{"campaign": "spring"}', 'cal', 1);
INSERT INTO dibs."BookingUid" ("uid", "userUlid", "bookingUlid") VALUES ('five-' || :id::int, '01JBENCHC0ACH0000000000000', lpad(:id::int::text, 26, '0'));
INSERT INTO dibs."BookingParticipant" ("userUlid", "bookingUlid", "person", "email", "name", "timeZone", "isPrimary")
 VALUES ('01JBENCHC0ACH0000000000000', lpad(:id::int::text, 26, '0'), 'guest' || :id::int || '@example.com', 'guest' || :id::int || '@example.com', 'Guest', 'Europe/London', true);
INSERT INTO dibs."Event" ("userUlid", "bookingUlid", "type", "data")
 VALUES ('01JBENCHC0ACH0000000000000', lpad(:id::int::text, 26, '0'), 'booking.created', '{"status": "CONFIRMED"}');
INSERT INTO dibs."WebhookEvent" ("source", "trigger", "dedupeKey", "sha256", "payload", "uid", "sentAt", "outcome", "processed", "attempts", "userUlid", "bookingUlid", "processedAt")
 VALUES ('cal', 'BOOKING_CREATED', sha256(:id::int::text::bytea)::text, sha256(:id::int::text::bytea), :payload::jsonb, 'five-' || :id::int, now(), 'applied', true, 1,
 '01JBENCHC0ACH0000000000000', lpad(:id::int::text, 26, '0'), now());
COMMIT;
\\endpipeline
X

quiet() { psql -qXAt -v ON_ERROR_STOP=1 "$@" >/dev/null; }

# The worker would share the machine with whoever is being measured.
quiet -d postgres -c 'ALTER SYSTEM SET dibs.worker = off' -c 'SELECT pg_reload_conf()'

run() { # way round: sets tps
	quiet -d postgres -c 'SET client_min_messages = warning' -c 'DROP DATABASE IF EXISTS dibs_bench' -c 'CREATE DATABASE dibs_bench'
	quiet -d dibs_bench -c 'CREATE EXTENSION dibs' -f "$here/ingest.sql" -c "DO \$\$ BEGIN EXECUTE format('ALTER DATABASE dibs_bench SET bench.key = %L', gen_random_bytes(32)); END \$\$"
	quiet -d dibs_bench <<X
SELECT dibs.set_secret('cal.webhook_secret', 'bench-secret');
SELECT bench.seal('cal.webhook_secret', 'bench-secret');
SELECT dibs.link_account('cal', '01JBENCHC0ACH0000000000000', email => 'coach@example.com');
SELECT bench.fill($deliveries, 'bench-secret', '$1-$2-');
VACUUM ANALYZE bench.delivery;
CHECKPOINT;
X
	local given=(-D i=0)
	if [ "$1" = five ]; then
		given+=(-D "payload=$(psql -qXAt -d dibs_bench -c 'SELECT "body" FROM bench.delivery WHERE id = 1')"
			-D "answers=$(psql -qXAt -d dibs_bench -c "SELECT payload->'payload'->'responses' FROM bench.delivery WHERE id = 1")"
			-D 'people=[{"email": "guest@example.com", "name": "Guest", "timeZone": "Europe/London", "status": "CONFIRMED"}]')
	fi
	pgbench -n -M prepared "${given[@]}" -c $clients -j 2 -t $((deliveries / clients)) -f "$work/$1.sql" dibs_bench >"$work/out" 2>"$work/err" ||
		{ cat "$work/err" >&2; exit 1; }
	tps=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$work/out")
	local n
	n=$(psql -qXAt -d dibs_bench -c 'SELECT count(*) FROM dibs."CalBooking" b JOIN dibs."BookingParticipant" p ON p."bookingUlid" = b."ulid"')
	[ "$n" -eq "$deliveries" ] || { echo "$1: $n bookings of $deliveries" >&2; exit 1; }
}

for ((r = 1; r <= rounds; r++)); do
	for way in five values dibs plpgsql bare; do
		run "$way" "$r"
		echo "$way $r $tps" >>"$work/results"
	done
done
# The ways of one round were measured beside each other: a machine whose speed drifts between rounds is in no ratio.
awk -v n="$rounds" '
function median(a, k,   i, j, t) {
	for (i = 2; i <= k; i++)
		for (j = i; j > 1 && a[j - 1] > a[j]; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
	return a[int((k + 1) / 2)]
}
function line(name, way, goal,   r, rate, ratio) {
	for (r = 1; r <= n; r++) { rate[r] = tps[way, r]; ratio[r] = tps["dibs", r] / tps[way, r] }
	printf "  %-41s%8.0f", name, median(rate, n)
	if (way != "dibs") printf "   dibs against it %.2f%s", median(ratio, n), goal == "" ? "" : " (goal: at least " goal ")"
	printf "\n"
}
{ tps[$1, $2] = $3 }
END {
	printf "webhooks a second, and ratios, medians of %d rounds, 8 clients, 4 kB bodies\n", n
	line("dibs.receive_webhook", "dibs")
	line("values given, five prepared INSERTs", "five", "0.75")
	line("values given, one statement for all", "values")
	line("PL/pgSQL and pgcrypto, the same logic", "plpgsql", "1.40")
	line("PL/pgSQL and pgcrypto, bare INSERTs", "bare")
}' "$work/results"
