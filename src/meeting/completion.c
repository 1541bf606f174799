/*
 * completion.c
 *		Completes bookings by the clock, where nobody has said that they are over.
 *
 * "completeAt" is written with the settling: the end and a grace, short where the provider never tells, long where its
 * word is late. It is a due time like the others, so that nothing is looked for while nothing is due.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "booking/write_mode.h"
#include "meeting/completion.h"
#include "queue/instance.h"
#include "queue/plan.h"

/*
 * $1 now, $2 instance, $3 how many. A booking that was moved and is not settled yet gets its new time then. What
 * somebody has locked stays due.
 */
static DibsStatement complete_sql = {
	"WITH due AS MATERIALIZED (SELECT b.\"ulid\", b.\"userUlid\","
	"  b.\"status\" IN ('CONFIRMED', 'IN_PROGRESS') AND b.\"endTime\" <= $1 AS \"over\" FROM dibs.\"CalBooking\" b"
	"  WHERE b.\"completeAt\" <= $1 AND b.\"instance\" = $2 ORDER BY b.\"completeAt\" LIMIT $3"
	"  FOR NO KEY UPDATE SKIP LOCKED),"
	"completed AS (UPDATE dibs.\"CalBooking\" b SET \"completeAt\" = NULL,"
	"  \"status\" = CASE WHEN due.\"over\" THEN 'COMPLETED' ELSE b.\"status\" END"
	"  FROM due WHERE b.\"ulid\" = due.\"ulid\" AND b.\"userUlid\" = due.\"userUlid\""
	"  RETURNING b.\"ulid\", b.\"userUlid\", due.\"over\"),"
	"told AS (INSERT INTO dibs.\"Event\" (\"userUlid\", \"bookingUlid\", \"type\", \"data\")"
	"  SELECT c.\"userUlid\", c.\"ulid\", 'booking.completed', '{\"status\": \"COMPLETED\", \"by\": \"clock\"}'"
	"  FROM completed c WHERE c.\"over\")"
	"SELECT FROM completed",
	3,
	{TIMESTAMPTZOID, TEXTOID, INT8OID},
	NULL};

bool
dibs_complete_bookings(int n, TimestampTz now)
{
	Datum values[3];
	uint64 rows;

	values[0] = TimestampTzGetDatum(now);
	values[1] = CStringGetTextDatum(dibs_instance());
	values[2] = Int64GetDatum(n);
	/* no wish: what is over wants nothing of its meeting */
	dibs_set_write_mode(DIBS_WRITE_SETTLE);
	rows = dibs_execute(&complete_sql, values, NULL, false, SPI_OK_SELECT);
	dibs_set_write_mode(DIBS_WRITE_DIRECT);
	return rows == (uint64) n;
}
