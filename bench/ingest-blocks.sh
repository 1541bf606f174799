#!/usr/bin/env bash
# Blocks touched by receiving a delivery, by knowing a duplicate and by dibs.webhook_status, with 1,000 events kept and
# with 1,000,000 (DIBS_BENCH_EVENTS). The second table has as many bookings of others beside them (DIBS_BENCH_BOOKINGS).
# Needs a server (PGHOST, PGPORT, PGUSER: a superuser) with dibs; uses a database of its own, dibs_bench.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
events=${DIBS_BENCH_EVENTS:-1000000}
bookings=${DIBS_BENCH_BOOKINGS:-200000}
worker=$(psql -qXAt -d postgres -c 'SHOW dibs.worker')
trap '[ "$worker" = off ] || psql -qX -d postgres -c "ALTER SYSTEM RESET dibs.worker" -c "SELECT pg_reload_conf()" >/dev/null 2>&1 || true
psql -qX -d postgres -c "DROP DATABASE IF EXISTS dibs_bench" >/dev/null 2>&1 || true' EXIT

psql -qXAt -d postgres -c 'ALTER SYSTEM SET dibs.worker = off' -c 'SELECT pg_reload_conf()' >/dev/null
for n in 0 "$bookings"; do
	psql -qXAt -v ON_ERROR_STOP=1 -d postgres -c 'SET client_min_messages = warning' -c 'DROP DATABASE IF EXISTS dibs_bench' -c 'CREATE DATABASE dibs_bench'
	psql -qXAt -v ON_ERROR_STOP=1 -d dibs_bench -c 'CREATE EXTENSION dibs'
	printf '%-28s %10s %10s   %s\n' 'blocks touched, events kept:' 1000 "$events" "$([ "$n" = 0 ] || echo "and $n bookings more")"
	PG_ABS_SRCDIR=$here/../test psql -qXAt -v ON_ERROR_STOP=1 -v many="$events" -v bookings="$n" -v show=1 -d dibs_bench -f "$here/../test/sql/webhook_many.sql" | grep '%'
done
