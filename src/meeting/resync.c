/*
 * resync.c
 *		Compares bookings with meetings, for what no trigger saw: a restore or subscription with triggers off,
 *somebody's trigger after ours. Also makes bookings due again whose settings changed, or that failed.
 *
 * Done a batch at a time by ulid. A booking is made due by taking back `done`; the claim then finds what is to be done,
 * which is nothing where all is well.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "booking/write_mode.h"
#include "meeting/resync.h"
#include "queue/instance.h"
#include "queue/plan.h"
#include "queue/wake.h"

#define BATCH 500

/* What is due again is tried at once, and its attempts count from the start. */
#define FORGET_WAITS                                                                                                   \
	"waits AS (UPDATE dibs.\"PendingMeeting\" p SET \"leaseUntil\" = '-infinity', \"attempts\" = 0 FROM due d"         \
	"  WHERE p.\"ulid\" = d.\"ulid\" AND p.\"userUlid\" = d.\"userUlid\" AND NOT p.\"inFlight\")"

/*
 * Whoever has a booking locked is writing it, and makes it due where that matters: it is left out, nobody is waited
 * for. $1 where the last batch ended, $2 how many, $3 every live one, $4 instance. Gives where this batch ended, and
 * counts.
 */
static DibsStatement bookings_sql = {
	"WITH batch AS MATERIALIZED (SELECT b.\"ulid\", b.\"userUlid\", b.\"status\", b.\"startTime\", b.\"endTime\", b.\"wanted\","
	"  b.\"done\", b.\"meetingState\" FROM dibs.\"CalBooking\" b WHERE b.\"ulid\" > $1 AND b.\"instance\" = $4"
	"  ORDER BY b.\"ulid\" LIMIT $2),"
	"off AS (SELECT b.\"ulid\", b.\"userUlid\" FROM batch b"
	"  LEFT JOIN LATERAL (SELECT m.\"state\", m.\"startTime\", m.\"endTime\", m.\"adopted\" FROM dibs.\"Meeting\" m"
	"   WHERE m.\"bookingUlid\" = b.\"ulid\" AND m.\"userUlid\" = b.\"userUlid\" LIMIT 1) m ON true"
	"  WHERE b.\"wanted\" = b.\"done\" AND CASE"
	"   WHEN b.\"status\" IN ('CONFIRMED', 'IN_PROGRESS') AND b.\"endTime\" > now() THEN $3 OR"
	"    (b.\"meetingState\" IN ('pending', 'ready', 'delayed') AND (m.\"state\" IS DISTINCT FROM 'ready' OR"
	"     (NOT m.\"adopted\" AND (m.\"startTime\" <> b.\"startTime\" OR m.\"endTime\" <> b.\"endTime\"))))"
	"   WHEN b.\"status\" IN ('PENDING', 'CANCELLED', 'REJECTED') THEN m.\"state\" <> 'gone' ELSE false END),"
	"free AS MATERIALIZED (SELECT b.\"ulid\", b.\"userUlid\" FROM off JOIN dibs.\"CalBooking\" b ON b.\"ulid\" = off.\"ulid\""
	"  AND b.\"userUlid\" = off.\"userUlid\" FOR NO KEY UPDATE OF b SKIP LOCKED),"
	"due AS (UPDATE dibs.\"CalBooking\" b SET \"done\" = b.\"wanted\" - 1, \"dueAt\" = '-infinity'"
	"  FROM free WHERE b.\"ulid\" = free.\"ulid\" AND b.\"userUlid\" = free.\"userUlid\" AND b.\"wanted\" = b.\"done\""
	"  RETURNING b.\"ulid\", b.\"userUlid\")," FORGET_WAITS
	"SELECT max(batch.\"ulid\"), count(*)::int, (SELECT count(*) FROM due)::int FROM batch",
	4,
	{BPCHAROID, INT4OID, BOOLOID, TEXTOID},
	NULL};

/* The same over meetings: those of bookings that are no more become tombstones; those given up are tried again. */
static DibsStatement meetings_sql = {
	"WITH batch AS MATERIALIZED (SELECT m.\"ulid\", m.\"userUlid\", m.\"bookingUlid\", m.\"state\", m.\"dueAt\""
	"  FROM dibs.\"Meeting\" m WHERE m.\"ulid\" > $1 AND m.\"instance\" = $3 ORDER BY m.\"ulid\" LIMIT $2),"
	"off AS (SELECT m.\"ulid\", m.\"userUlid\" FROM batch m WHERE m.\"state\" <> 'gone' AND"
	"  CASE WHEN m.\"bookingUlid\" IS NULL THEN m.\"dueAt\" = 'infinity' ELSE NOT EXISTS (SELECT FROM dibs.\"CalBooking\" b"
	"   WHERE b.\"ulid\" = m.\"bookingUlid\" AND b.\"userUlid\" = m.\"userUlid\") END),"
	"due AS (UPDATE dibs.\"Meeting\" m SET \"bookingUlid\" = NULL, \"dueAt\" = '-infinity', \"updatedAt\" = now()"
	"  FROM off WHERE m.\"ulid\" = off.\"ulid\" AND m.\"userUlid\" = off.\"userUlid\""
	"  RETURNING m.\"ulid\", m.\"userUlid\")," FORGET_WAITS
	"SELECT max(batch.\"ulid\"), count(*)::int, (SELECT count(*) FROM due)::int FROM batch",
	3,
	{BPCHAROID, INT4OID, TEXTOID},
	NULL};

/* $1 instance. Work on bookings that are no more, which were deleted after it had failed, or that no trigger saw go. */
static DibsStatement orphans_sql = {
	"DELETE FROM dibs.\"PendingMeeting\" p WHERE NOT p.\"inFlight\" AND p.\"bookingUlid\" IS NOT NULL"
	" AND p.\"instance\" = $1 AND NOT EXISTS (SELECT FROM dibs.\"CalBooking\" b WHERE b.\"ulid\" = p.\"ulid\" AND"
	"  b.\"userUlid\" = p.\"userUlid\")",
	1,
	{TEXTOID},
	NULL};

static DibsStatement progress_sql = {"SELECT jsonb_build_object('part', $1, 'after', $2,"
									 " 'seen', CASE WHEN $3 ? 'part' THEN ($3->>'seen')::bigint ELSE 0 END + $4,"
									 " 'due', CASE WHEN $3 ? 'part' THEN ($3->>'due')::bigint ELSE 0 END + $5)",
									 5,
									 {TEXTOID, TEXTOID, JSONBOID, INT4OID, INT4OID},
									 NULL};

/* A member of a flat object as text; NULL where there is none. */
static char *
member(Jsonb *object, const char *key)
{
	JsonbValue value;

	if (getKeyJsonValueFromContainer(&object->root, key, (int) strlen(key), &value) == NULL)
		return NULL;
	if (value.type == jbvString)
		return pnstrdup(value.val.string.val, value.val.string.len);
	return pstrdup(value.type == jbvBool && value.val.boolean ? "true" : "");
}

bool
dibs_resync_step(Jsonb *args, Jsonb **progress)
{
	char *part = member(*progress, "part");
	char *after = member(*progress, "after");
	char *all = member(args, "all");
	bool meetings = part != NULL && strcmp(part, "meetings") == 0;
	char *end;
	int seen, due;
	Datum values[5];
	bool isnull;

	if (part == NULL)
	{
		values[0] = CStringGetTextDatum(dibs_instance());
		(void) dibs_execute(&orphans_sql, values, NULL, false, SPI_OK_DELETE);
	}
	values[0] = CStringGetTextDatum(after ? after : "");
	values[1] = Int32GetDatum(BATCH);
	if (meetings)
	{
		values[2] = CStringGetTextDatum(dibs_instance());
		(void) dibs_execute(&meetings_sql, values, NULL, false, SPI_OK_SELECT);
	}
	else
	{
		values[2] = BoolGetDatum(all != NULL && strcmp(all, "true") == 0);
		values[3] = CStringGetTextDatum(dibs_instance());
		dibs_set_write_mode(DIBS_WRITE_SETTLE);
		(void) dibs_execute(&bookings_sql, values, NULL, false, SPI_OK_SELECT);
		dibs_set_write_mode(DIBS_WRITE_DIRECT);
	}
	end = dibs_column(0, 1);
	seen = dibs_column_int(0, 2);
	due = dibs_column_int(0, 3);
	if (due > 0)
		dibs_wake_at_commit();

	values[0] = CStringGetTextDatum(meetings || seen < BATCH ? "meetings" : "bookings");
	values[1] = CStringGetTextDatum(seen < BATCH && !meetings ? "" : end ? end : "");
	values[2] = JsonbPGetDatum(*progress);
	values[3] = Int32GetDatum(seen);
	values[4] = Int32GetDatum(due);
	(void) dibs_execute(&progress_sql, values, NULL, false, SPI_OK_SELECT);
	*progress = DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	return meetings && seen < BATCH;
}

static DibsStatement again_sql = {
	"UPDATE dibs.\"CalBooking\" SET \"done\" = \"wanted\" - 1, \"dueAt\" = '-infinity', \"meetingRetryAt\" = NULL"
	" WHERE \"ulid\" = $1 AND \"userUlid\" = $2",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

static DibsStatement forget_wait_sql = {
	"UPDATE dibs.\"PendingMeeting\" SET \"leaseUntil\" = '-infinity', \"attempts\" = 0"
	" WHERE \"ulid\" = $1 AND \"userUlid\" = $2 AND NOT \"inFlight\"",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

PG_FUNCTION_INFO_V1(dibs_make_due);

bool
dibs_booking_make_due(const char *ulid, const char *user_ulid)
{
	Datum values[2] = {CStringGetTextDatum(ulid), CStringGetTextDatum(user_ulid)};
	bool found;

	/* the booking first, as settling it does */
	dibs_set_write_mode(DIBS_WRITE_SETTLE);
	found = dibs_execute(&again_sql, values, NULL, false, SPI_OK_UPDATE) > 0;
	dibs_set_write_mode(DIBS_WRITE_DIRECT);
	(void) dibs_execute(&forget_wait_sql, values, NULL, false, SPI_OK_UPDATE);
	dibs_wake_at_commit();
	return found;
}

Datum
dibs_make_due(PG_FUNCTION_ARGS)
{
	bool found;

	SPI_connect();
	found = dibs_booking_make_due(TextDatumGetCString(PG_GETARG_DATUM(0)), TextDatumGetCString(PG_GETARG_DATUM(1)));
	SPI_finish();
	PG_RETURN_BOOL(found);
}
