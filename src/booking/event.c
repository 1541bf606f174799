/*
 * event.c
 *		"Event": what applications follow.
 *
 * A follower reads in the order of (instance, xid, ulid) and stops at the oldest transaction that is still open, so it
 * skips nothing that commits late. For that order to be each booking's own, an event must not sort before those of its
 * booking that are there: a transaction may have had its id for a while before it came to that booking. The row's
 * trigger sees to it: it raises xid and ulid to those of the booking's last event. A row whose xid is raised is still
 * visible before any follower gets there, since the id it was raised to is later than its own transaction's.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/xid8.h"

#include "booking/booking.h"
#include "errors.h"
#include "guc.h"
#include "queue/plan.h"

PG_FUNCTION_INFO_V1(dibs_event_before_insert);
PG_FUNCTION_INFO_V1(dibs_write_event);

#define CHANNEL "dibs_events"
/* Every booking has one, and it comes before all others of it. */
#define FIRST_EVENT "booking.created"

static const DibsInsertColumn event_columns[DIBS_EVENT_COLUMNS] = {
	{"userUlid", BPCHAROID}, {"bookingUlid", BPCHAROID}, {"type", TEXTOID}, {"data", JSONBOID}};

static DibsInsert insert_event = {"Event", event_columns, lengthof(event_columns)};

static DibsStatement same_event = {
	"SELECT FROM dibs.\"Event\" e WHERE e.\"bookingUlid\" = $1 AND e.\"userUlid\" = $2 AND e.\"type\" = $3"
	" AND e.\"data\" = $4 LIMIT 1",
	4,
	{BPCHAROID, BPCHAROID, TEXTOID, JSONBOID},
	NULL};

static DibsStatement last_event = {
	"SELECT e.\"ulid\", e.\"xid\", e.\"instance\" FROM dibs.\"Event\" e WHERE e.\"bookingUlid\" OPERATOR(pg_catalog.=) $1"
	" ORDER BY e.\"ulid\" USING OPERATOR(pg_catalog.>) LIMIT 1",
	1,
	{BPCHAROID},
	NULL};

void
dibs_event_hint(void)
{
	/* one NOTIFY a transaction, however many events: equal ones are sent once */
	if (dibs_notify_events)
		Async_Notify(CHANNEL, "");
}

DibsNewRow
dibs_event_row(const char *user_ulid, const char *booking_ulid, const char *type, Datum data,
			   Datum values[DIBS_EVENT_COLUMNS], char nulls[DIBS_EVENT_COLUMNS])
{
	dibs_set_text(values, nulls, 0, user_ulid);
	dibs_set_text(values, nulls, 1, booking_ulid);
	dibs_set_text(values, nulls, 2, type);
	values[3] = data;
	nulls[3] = ' ';
	return (DibsNewRow){&insert_event, values, nulls};
}

void
dibs_event_write(const char *user_ulid, const char *booking_ulid, const char *type, Datum data)
{
	Datum values[DIBS_EVENT_COLUMNS];
	char nulls[DIBS_EVENT_COLUMNS];
	DibsNewRow row = dibs_event_row(user_ulid, booking_ulid, type, data, values, nulls);

	dibs_insert(&row, 1);
	dibs_event_hint();
}

bool
dibs_event_write_once(const char *user_ulid, const char *booking_ulid, const char *type, Datum data)
{
	Datum values[4] = {CStringGetTextDatum(booking_ulid), CStringGetTextDatum(user_ulid), CStringGetTextDatum(type),
					   data};

	if (dibs_execute(&same_event, values, NULL, false, SPI_OK_SELECT) > 0)
		return false;
	dibs_event_write(user_ulid, booking_ulid, type, data);
	return true;
}

/* A later one, that nobody else has: the writer of `ulid` itself goes on with the next larger one. */
static void
later_ulid(const char *ulid, char out[DIBS_ULID_LEN + 1])
{
	DibsUlid value;

	if (!dibs_ulid_parse(ulid, DIBS_ULID_LEN, &value))
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("\"%s\" is not a ULID", ulid)));
	if (!dibs_ulid_after(&value, &value))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	dibs_ulid_format(&value, out);
	out[DIBS_ULID_LEN] = '\0';
}

/* Rows that say themselves where they belong, such as those of a dump, stay as they are. */
Datum
dibs_event_before_insert(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	TupleDesc desc;
	HeapTuple tuple;
	int columns[2];
	Datum values[2];
	bool nulls[2] = {false, false};
	bool isnull;
	int type, booking, ulid, xid, instance;
	FullTransactionId own, last;
	char *last_ulid, *last_instance;
	char *own_ulid;
	char later[DIBS_ULID_LEN + 1];
	MemoryContext context = CurrentMemoryContext;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(data->tg_event) || !TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(data->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function dibs.event_before_insert() is a trigger function")));
	tuple = data->tg_trigtuple;
	desc = RelationGetDescr(data->tg_relation);
	type = SPI_fnumber(desc, "type");
	booking = SPI_fnumber(desc, "bookingUlid");
	ulid = SPI_fnumber(desc, "ulid");
	xid = SPI_fnumber(desc, "xid");
	instance = SPI_fnumber(desc, "instance");
	if (type <= 0 || booking <= 0 || ulid <= 0 || xid <= 0 || instance <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("a column of dibs.\"Event\" is missing"),
						errhint("The tables of dibs must not be altered.")));
	values[0] = heap_getattr(tuple, type, desc, &isnull);
	/* the first has none before it: receiving a new booking is not to pay for the look */
	if (isnull || strcmp(TextDatumGetCString(values[0]), FIRST_EVENT) == 0)
		return PointerGetDatum(tuple);
	values[0] = heap_getattr(tuple, xid, desc, &isnull);
	if (isnull)
		return PointerGetDatum(tuple);
	own = DatumGetFullTransactionId(values[0]);
	if (!FullTransactionIdEquals(own, GetTopFullTransactionId()))
		return PointerGetDatum(tuple);
	/* a column that must not be NULL is the table's to refuse, after its triggers */
	values[0] = heap_getattr(tuple, ulid, desc, &isnull);
	if (isnull)
		return PointerGetDatum(tuple);
	own_ulid = TextDatumGetCString(values[0]);
	values[0] = heap_getattr(tuple, booking, desc, &isnull);
	if (isnull)
		return PointerGetDatum(tuple);

	SPI_connect();
	if (dibs_execute(&last_event, values, NULL, false, SPI_OK_SELECT) == 0)
	{
		SPI_finish();
		return PointerGetDatum(tuple);
	}
	MemoryContextSwitchTo(context);
	last_ulid = dibs_column(0, 1);
	last = DatumGetFullTransactionId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	last_instance = dibs_column(0, 3);
	values[1] = heap_getattr(tuple, instance, desc, &isnull);
	/* another instance's come first in any case, and its transaction ids mean nothing here */
	if (isnull || strcmp(TextDatumGetCString(values[1]), last_instance) != 0)
	{
		SPI_finish();
		return PointerGetDatum(tuple);
	}
	SPI_finish();
	if (strcmp(own_ulid, last_ulid) <= 0)
	{
		later_ulid(last_ulid, later);
		own_ulid = later;
	}
	columns[0] = ulid;
	values[0] = CStringGetTextDatum(own_ulid);
	columns[1] = xid;
	values[1] = FullTransactionIdGetDatum(FullTransactionIdFollows(last, own) ? last : own);
	return PointerGetDatum(heap_modify_tuple_by_cols(tuple, desc, 2, columns, values, nulls));
}

/* (userUlid, bookingUlid, type, data): for dibs' SQL functions. */
Datum
dibs_write_event(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("an event needs a userUlid and a type")));
	SPI_connect();
	dibs_event_write(TextDatumGetCString(PG_GETARG_DATUM(0)),
					 PG_ARGISNULL(1) ? NULL : TextDatumGetCString(PG_GETARG_DATUM(1)),
					 TextDatumGetCString(PG_GETARG_DATUM(2)),
					 PG_ARGISNULL(3) ? DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")) : PG_GETARG_DATUM(3));
	SPI_finish();
	PG_RETURN_VOID();
}
