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
#include "queue/attempt.h"
#include "queue/instance.h"
#include "queue/plan.h"

/* A booking that can't be completed is tried again after this. */
#define AGAIN_MINUTES "10"

/*
 * $1 now, $2 instance, $3 how many, $4 which one, NULL: the first ones. A booking that was moved and is not settled yet
 * gets its new time then. What somebody has locked stays due.
 */
static DibsStatement complete_sql = {
	"WITH due AS MATERIALIZED (SELECT b.\"ulid\", b.\"userUlid\","
	"  b.\"status\" IN ('CONFIRMED', 'IN_PROGRESS') AND b.\"endTime\" <= $1 AS \"over\" FROM dibs.\"CalBooking\" b"
	"  WHERE b.\"completeAt\" <= $1 AND b.\"instance\" = $2 AND ($4 IS NULL OR b.\"ulid\" = $4)"
	"  ORDER BY b.\"completeAt\" LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED),"
	"completed AS (UPDATE dibs.\"CalBooking\" b SET \"completeAt\" = NULL,"
	"  \"status\" = CASE WHEN due.\"over\" THEN 'COMPLETED' ELSE b.\"status\" END"
	"  FROM due WHERE b.\"ulid\" = due.\"ulid\" AND b.\"userUlid\" = due.\"userUlid\""
	"  RETURNING b.\"ulid\", b.\"userUlid\", due.\"over\"),"
	"told AS (INSERT INTO dibs.\"Event\" (\"userUlid\", \"bookingUlid\", \"type\", \"data\")"
	"  SELECT c.\"userUlid\", c.\"ulid\", 'booking.completed', '{\"status\": \"COMPLETED\", \"by\": \"clock\"}'"
	"  FROM completed c WHERE c.\"over\")"
	"SELECT FROM completed",
	4,
	{TIMESTAMPTZOID, TEXTOID, INT8OID, BPCHAROID},
	NULL};

static DibsStatement due_sql = {
	"SELECT b.\"ulid\" FROM dibs.\"CalBooking\" b WHERE b.\"completeAt\" <= $1 AND b.\"instance\" = $2"
	" ORDER BY b.\"completeAt\" LIMIT $3",
	3,
	{TIMESTAMPTZOID, TEXTOID, INT8OID},
	NULL};

static DibsStatement again_sql = {"UPDATE dibs.\"CalBooking\" SET \"completeAt\" = $1 + interval '" AGAIN_MINUTES
								  " minutes' WHERE \"ulid\" = $2",
								  2,
								  {TIMESTAMPTZOID, BPCHAROID},
								  NULL};

typedef struct Completion
{
	Datum values[4];
	char nulls[5];
	uint64 rows;
} Completion;

static bool
complete(void *arg)
{
	Completion *c = arg;

	/* no wish: what is over wants nothing of its meeting */
	dibs_set_write_mode(DIBS_WRITE_SETTLE);
	c->rows = dibs_execute(&complete_sql, c->values, c->nulls, false, SPI_OK_SELECT);
	dibs_set_write_mode(DIBS_WRITE_DIRECT);
	return true;
}

static bool
put_off(void *arg)
{
	Completion *c = arg;
	Datum values[2] = {c->values[0], c->values[3]};

	dibs_set_write_mode(DIBS_WRITE_SETTLE);
	(void) dibs_execute(&again_sql, values, NULL, false, SPI_OK_UPDATE);
	dibs_set_write_mode(DIBS_WRITE_DIRECT);
	return true;
}

/*
 * Each by itself. Which of them can't be completed is said, and it comes back later. True: there may be more than
 * these, and none of these is in the way.
 */
static bool
complete_singly(Completion *c, int n)
{
	bool moved = true;
	uint64 rows = dibs_execute(&due_sql, c->values, NULL, false, SPI_OK_SELECT);
	char **due = palloc(sizeof(char *) * rows);

	for (uint64 row = 0; row < rows; row++)
		due[row] = dibs_column(row, 1);
	c->nulls[3] = ' ';
	for (uint64 row = 0; row < rows; row++)
	{
		ErrorData *error;

		c->values[3] = CStringGetTextDatum(due[row]);
		error = dibs_attempt(complete, c);
		if (error == NULL)
			continue;
		ereport(WARNING, (errcode(error->sqlerrcode),
						  errmsg("the booking %s is over, and can't be completed: %s", due[row], error->message)));
		if (dibs_error_passes(error))
			return false;
		if (dibs_attempt(put_off, c) != NULL)
			moved = false;
	}
	return moved && rows == (uint64) n;
}

bool
dibs_complete_bookings(int n, TimestampTz now)
{
	Completion c = {.nulls = "   n"};

	c.values[0] = TimestampTzGetDatum(now);
	c.values[1] = CStringGetTextDatum(dibs_instance());
	c.values[2] = Int64GetDatum(n);
	if (dibs_attempt(complete, &c) == NULL)
		return c.rows == (uint64) n;
	return complete_singly(&c, n);
}
