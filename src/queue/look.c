/*
 * look.c
 *		What is due, and when the next thing will be. Each part reads one entry of one index.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "queue/instance.h"
#include "queue/look.h"
#include "queue/plan.h"

/* A due booking whose row somebody has locked is looked at again after this. */
#define LOCKED_MS 1000

static DibsStatement look_sql = {
	"SELECT coalesce((SELECT b.\"dueAt\" FROM dibs.\"CalBooking\" b WHERE b.\"wanted\" <> b.\"done\""
	"  ORDER BY b.\"dueAt\" LIMIT 1) <= $1, false),"
	" coalesce((SELECT m.\"dueAt\" FROM dibs.\"Meeting\" m WHERE m.\"bookingUlid\" IS NULL AND m.\"state\" <> 'gone'"
	"  ORDER BY m.\"dueAt\" LIMIT 1) <= $1, false),"
	" coalesce((SELECT e.\"dueAt\" FROM dibs.\"WebhookEvent\" e WHERE e.\"dueAt\" IS NOT NULL"
	"  ORDER BY e.\"dueAt\" LIMIT 1) <= $1, false),"
	" coalesce((SELECT j.\"dueAt\" FROM dibs.\"Job\" j WHERE j.\"state\" = 'waiting'"
	"  ORDER BY j.\"dueAt\" LIMIT 1) <= $1, false)",
	1,
	{TIMESTAMPTZOID},
	NULL};

/*
 * $1 now, $2 instance, $3 now less a lease, $4 when to look again for what somebody has locked: a booking that is due
 * and that no claim holds could not be claimed just now. A deleted booking's create is waited for as long as its lease.
 */
static DibsStatement next_sql = {
	"SELECT least("
	" (SELECT b.\"dueAt\" FROM dibs.\"CalBooking\" b WHERE b.\"wanted\" <> b.\"done\" AND b.\"dueAt\" > $1"
	"  ORDER BY b.\"dueAt\" LIMIT 1),"
	" (SELECT $4 FROM dibs.\"CalBooking\" b WHERE b.\"wanted\" <> b.\"done\" AND b.\"dueAt\" <= $1 AND b.\"instance\" = $2"
	"  AND coalesce((SELECT p.\"leaseUntil\" <= $1 OR (NOT p.\"inFlight\" AND p.\"generation\" <> b.\"wanted\")"
	"   FROM dibs.\"PendingMeeting\" p WHERE p.\"ulid\" = b.\"ulid\" AND p.\"userUlid\" = b.\"userUlid\"), true)"
	"  LIMIT 1),"
	" (SELECT p.\"leaseUntil\" FROM dibs.\"PendingMeeting\" p WHERE p.\"leaseUntil\" > $1"
	"  ORDER BY p.\"leaseUntil\" LIMIT 1),"
	" (SELECT m.\"dueAt\" FROM dibs.\"Meeting\" m WHERE m.\"bookingUlid\" IS NULL AND m.\"state\" <> 'gone' AND m.\"dueAt\" > $1"
	"  ORDER BY m.\"dueAt\" LIMIT 1),"
	" (SELECT min(m.\"sentAt\") + ($1 - $3) FROM dibs.\"Meeting\" m WHERE m.\"bookingUlid\" IS NULL AND m.\"state\" <> 'gone'"
	"  AND m.\"state\" = 'creating' AND m.\"dueAt\" <= $1 AND m.\"sentAt\" > $3),"
	" (SELECT e.\"dueAt\" FROM dibs.\"WebhookEvent\" e WHERE e.\"dueAt\" IS NOT NULL AND e.\"dueAt\" > $1"
	"  ORDER BY e.\"dueAt\" LIMIT 1),"
	" (SELECT j.\"dueAt\" FROM dibs.\"Job\" j WHERE j.\"state\" = 'waiting' AND j.\"dueAt\" > $1"
	"  ORDER BY j.\"dueAt\" LIMIT 1))",
	4,
	{TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID},
	NULL};

void
dibs_look(TimestampTz now, DibsLook *look)
{
	Datum values[1] = {TimestampTzGetDatum(now)};

	(void) dibs_execute(&look_sql, values, NULL, false, SPI_OK_SELECT);
	look->bookings = dibs_column_bool(0, 1);
	look->tombstones = dibs_column_bool(0, 2);
	look->webhooks = dibs_column_bool(0, 3);
	look->jobs = dibs_column_bool(0, 4);
}

TimestampTz
dibs_next_due(TimestampTz now, int lease_ms)
{
	Datum values[4];
	TimestampTz next;

	values[0] = TimestampTzGetDatum(now);
	values[1] = CStringGetTextDatum(dibs_instance());
	values[2] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(now, -(int64) lease_ms));
	values[3] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(now, LOCKED_MS));
	(void) dibs_execute(&next_sql, values, NULL, false, SPI_OK_SELECT);
	next = dibs_column_time(0, 1);
	return next == 0 ? DT_NOEND : next;
}
