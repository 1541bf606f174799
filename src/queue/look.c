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
	" (SELECT p.\"leaseUntil\" FROM dibs.\"PendingMeeting\" p WHERE p.\"leaseUntil\" > $1"
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

static DibsStatement left_sql = {
	"SELECT EXISTS (SELECT FROM dibs.\"CalBooking\" b WHERE b.\"wanted\" <> b.\"done\" AND b.\"dueAt\" <= $1 AND b.\"instance\" = $2"
	"  AND coalesce((SELECT p.\"leaseUntil\" <= $1 FROM dibs.\"PendingMeeting\" p WHERE p.\"ulid\" = b.\"ulid\" AND"
	"   p.\"userUlid\" = b.\"userUlid\"), true))"
	" OR EXISTS (SELECT FROM dibs.\"Meeting\" m WHERE m.\"bookingUlid\" IS NULL AND m.\"state\" <> 'gone'"
	"  AND m.\"dueAt\" <= $1 AND m.\"instance\" = $2"
	"  AND coalesce((SELECT p.\"leaseUntil\" <= $1 FROM dibs.\"PendingMeeting\" p WHERE p.\"ulid\" = m.\"ulid\" AND"
	"   p.\"userUlid\" = m.\"userUlid\"), true))",
	2,
	{TIMESTAMPTZOID, TEXTOID},
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

bool
dibs_look_left(TimestampTz now)
{
	Datum values[2] = {TimestampTzGetDatum(now), CStringGetTextDatum(dibs_instance())};

	(void) dibs_execute(&left_sql, values, NULL, false, SPI_OK_SELECT);
	return dibs_column_bool(0, 1);
}
