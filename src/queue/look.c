/*
 * look.c
 *		What is due, and when the next thing will be. Each part of a look reads one entry of one index; only what a
 *		claim left is looked at row by row.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "queue/instance.h"
#include "queue/look.h"
#include "queue/plan.h"

/* What is due and could not be claimed, because somebody has the row locked, is looked at again after this. */
#define LOCKED_MS 1000
/* So many rows of a due list are looked at for what a claim left. */
#define LEFT_ROWS 500
/* Where there are more, the others are looked at again after this, when some of these may be gone. */
#define MORE_MS 5000

static DibsStatement look_sql = {
	"SELECT coalesce((SELECT b.\"dueAt\" FROM dibs.\"CalBooking\" b WHERE b.\"wanted\" <> b.\"done\""
	"  ORDER BY b.\"dueAt\" LIMIT 1) <= $1, false),"
	" coalesce((SELECT m.\"dueAt\" FROM dibs.\"Meeting\" m WHERE m.\"bookingUlid\" IS NULL AND m.\"state\" <> 'gone'"
	"  ORDER BY m.\"dueAt\" LIMIT 1) <= $1, false),"
	" coalesce((SELECT e.\"dueAt\" FROM dibs.\"WebhookEvent\" e WHERE e.\"dueAt\" IS NOT NULL"
	"  ORDER BY e.\"dueAt\" LIMIT 1) <= $1, false),"
	" coalesce((SELECT j.\"dueAt\" FROM dibs.\"Job\" j WHERE j.\"state\" = 'waiting'"
	"  AND coalesce(j.\"leaseUntil\" <= $1, true) ORDER BY j.\"dueAt\" LIMIT 1) <= $1, false),"
	" coalesce((SELECT b.\"completeAt\" FROM dibs.\"CalBooking\" b WHERE b.\"completeAt\" IS NOT NULL"
	"  ORDER BY b.\"completeAt\" LIMIT 1) <= $1, false),"
	" least("
	" (SELECT b.\"dueAt\" FROM dibs.\"CalBooking\" b WHERE b.\"wanted\" <> b.\"done\" AND b.\"dueAt\" > $1"
	"  ORDER BY b.\"dueAt\" LIMIT 1),"
	" (SELECT p.\"leaseUntil\" FROM dibs.\"PendingMeeting\" p WHERE p.\"inFlight\" AND p.\"leaseUntil\" > $1"
	"  ORDER BY p.\"leaseUntil\" LIMIT 1),"
	" (SELECT m.\"dueAt\" FROM dibs.\"Meeting\" m WHERE m.\"bookingUlid\" IS NULL AND m.\"state\" <> 'gone' AND m.\"dueAt\" > $1"
	"  ORDER BY m.\"dueAt\" LIMIT 1),"
	" (SELECT e.\"dueAt\" FROM dibs.\"WebhookEvent\" e WHERE e.\"dueAt\" IS NOT NULL AND e.\"dueAt\" > $1"
	"  ORDER BY e.\"dueAt\" LIMIT 1),"
	" (SELECT j.\"dueAt\" FROM dibs.\"Job\" j WHERE j.\"state\" = 'waiting' AND j.\"dueAt\" > $1"
	"  ORDER BY j.\"dueAt\" LIMIT 1),"
	" (SELECT b.\"completeAt\" FROM dibs.\"CalBooking\" b WHERE b.\"completeAt\" IS NOT NULL AND b.\"completeAt\" > $1"
	"  ORDER BY b.\"completeAt\" LIMIT 1))",
	1,
	{TIMESTAMPTZOID},
	NULL};

/*
 * $1 now, $2 instance, $3 how far: the head of the due lists, where what was not claimed is. Whether something is free,
 * as a claim sees it; when the next will be; whether there is more than was looked at.
 */
static DibsStatement left_sql = {
	"SELECT coalesce(bool_or(l.free), false), min(l.\"until\"), count(*) >= $3 FROM ("
	" (SELECT coalesce(p.\"leaseUntil\" <= $1 OR (NOT p.\"inFlight\" AND p.\"generation\" <> b.\"wanted\"), true),"
	"   p.\"leaseUntil\" FROM dibs.\"CalBooking\" b LEFT JOIN LATERAL (SELECT q.\"leaseUntil\", q.\"inFlight\", q.\"generation\""
	"   FROM dibs.\"PendingMeeting\" q WHERE q.\"ulid\" = b.\"ulid\" AND q.\"userUlid\" = b.\"userUlid\" LIMIT 1) p ON true"
	"  WHERE b.\"wanted\" <> b.\"done\" AND b.\"dueAt\" <= $1 AND b.\"instance\" = $2 ORDER BY b.\"dueAt\" LIMIT $3)"
	" UNION ALL (SELECT coalesce(p.\"leaseUntil\" <= $1, true), p.\"leaseUntil\" FROM dibs.\"Meeting\" m LEFT JOIN LATERAL ("
	"   SELECT q.\"leaseUntil\" FROM dibs.\"PendingMeeting\" q WHERE q.\"ulid\" = m.\"ulid\" AND q.\"userUlid\" = m.\"userUlid\""
	"   LIMIT 1) p ON true WHERE m.\"bookingUlid\" IS NULL AND m.\"state\" <> 'gone' AND m.\"dueAt\" <= $1 AND m.\"instance\" = $2"
	"  ORDER BY m.\"dueAt\" LIMIT $3)) AS l(free, \"until\")",
	3,
	{TIMESTAMPTZOID, TEXTOID, INT8OID},
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
	look->ended = dibs_column_bool(0, 5);
	look->next = dibs_column_time(0, 6);
	if (look->next == 0)
		look->next = DT_NOEND;
}

TimestampTz
dibs_look_left(TimestampTz now)
{
	Datum values[3] = {TimestampTzGetDatum(now), CStringGetTextDatum(dibs_instance()), Int64GetDatum(LEFT_ROWS)};
	TimestampTz until;

	(void) dibs_execute(&left_sql, values, NULL, false, SPI_OK_SELECT);
	if (dibs_column_bool(0, 1))
		return TimestampTzPlusMilliseconds(now, LOCKED_MS);
	until = dibs_column_time(0, 2);
	if (dibs_column_bool(0, 3))
		until = Min(until, TimestampTzPlusMilliseconds(now, MORE_MS));
	return until == 0 ? DT_NOEND : until;
}
