/*
 * trigger.c
 *		The row triggers. They change NEW, raise, and ask for a wake at commit; they never write elsewhere, so that a
 *		dump restores every row and a distributed table can carry them.
 */
#include "compat.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "booking/booking.h"
#include "booking/status.h"
#include "booking/write_mode.h"
#include "errors.h"
#include "queue/attempt.h"
#include "queue/wake.h"

PG_FUNCTION_INFO_V1(dibs_booking_before_write);
PG_FUNCTION_INFO_V1(dibs_booking_after_delete);
PG_FUNCTION_INFO_V1(dibs_participant_before_update);
PG_FUNCTION_INFO_V1(dibs_refuse_truncate);
PG_FUNCTION_INFO_V1(dibs_touch);

/* More triggers within one another than anybody has. */
#define MAX_DEPTH 100

/*
 * The mode of the statement that runs at each depth of triggers. What a trigger of an application's writes while such a
 * statement runs is one level deeper, and so the application's; what dibs does there, called by it, leaves the
 * statement's own mode alone.
 */
static DibsWriteMode modes[MAX_DEPTH];

/* Columns that the trigger itself reads or sets. */
enum
{
	COL_ULID,
	COL_USER,
	COL_STATUS,
	COL_UID,
	COL_PREVIOUS,
	COL_SOURCE_AT,
	COL_TOKENS,
	COL_WANTED,
	COL_DONE,
	COL_ANNOUNCED,
	COL_DUE,
	COL_INSTANCE,
	COL_UPDATED,
	COL_START,
	COL_END,
	COL_PARTICIPANTS,
	COL_RATING,
	COL_MEETING_STATE,
	COL_MEETING_ID,
	COL_COUNT
};

static const char *const own_columns[COL_COUNT] = {
	[COL_ULID] = "ulid",
	[COL_USER] = "userUlid",
	[COL_STATUS] = "status",
	[COL_UID] = "calBookingUid",
	[COL_PREVIOUS] = "previousUids",
	[COL_SOURCE_AT] = "sourceAt",
	[COL_TOKENS] = "tokenVersion",
	[COL_WANTED] = "wanted",
	[COL_DONE] = "done",
	[COL_ANNOUNCED] = "announced",
	[COL_DUE] = "dueAt",
	[COL_INSTANCE] = "instance",
	[COL_UPDATED] = "updatedAt",
	[COL_START] = "startTime",
	[COL_END] = "endTime",
	[COL_PARTICIPANTS] = "participants",
	[COL_RATING] = "rating",
	[COL_MEETING_STATE] = "meetingState",
	[COL_MEETING_ID] = "zoomMeetingId",
};

static const char *const meeting_states[] = {"pending", "ready", "delayed", "failed", "not_needed"};

/*
 * The watched columns: a change of one of these is a new wish. The links are among them: with a meeting of ours the
 * worker writes them back from it, without one they are taken as set by hand.
 */
static const char *const watched_columns[] = {
	"status",        "startTime",        "endTime",         "duration",     "title",
	"description",   "location",         "meetingProvider", "eventTypeId",  "eventTypeSlug",
	"calBookingUid", "bookingType",      "maxParticipants", "participants", "attendeeEmail",
	"attendeeName",  "attendeeTimeZone", "zoomHostUrl",     "zoomJoinUrl",  "zoomMeetingId",
	"zoomPasscode",
};

typedef struct ColumnMap
{
	Oid relid; /* InvalidOid: to be looked up (again) */
	int own[COL_COUNT];
	int watched[lengthof(watched_columns)];
} ColumnMap;

static ColumnMap columns = {InvalidOid};

static void
forget_columns(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == columns.relid)
		columns.relid = InvalidOid;
}

static int
column_number(TupleDesc desc, const char *name)
{
	int attnum = SPI_fnumber(desc, name);

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("column \"%s\" of dibs.\"CalBooking\" is missing", name),
				 errhint("The tables of dibs must not be altered.")));
	return attnum;
}

static void
map_columns(Relation rel)
{
	static bool registered = false;
	TupleDesc desc = RelationGetDescr(rel);

	if (columns.relid == RelationGetRelid(rel))
		return;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_columns, (Datum) 0);
		registered = true;
	}
	columns.relid = InvalidOid;
	for (int i = 0; i < COL_COUNT; i++)
		columns.own[i] = column_number(desc, own_columns[i]);
	for (size_t i = 0; i < lengthof(watched_columns); i++)
		columns.watched[i] = column_number(desc, watched_columns[i]);
	columns.relid = RelationGetRelid(rel);
}

static void
forget_modes(int from)
{
	memset(&modes[Min(from, MAX_DEPTH)], 0, (MAX_DEPTH - Min(from, MAX_DEPTH)) * sizeof(modes[0]));
}

static void
mode_xact_end(XactEvent event, void *arg)
{
	forget_modes(0);
}

static void
mode_subxact_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	/* a trigger that catches an error ends what it began, and not the statement that fired it */
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_modes(dibs_trigger_depth());
}

void
dibs_set_write_mode(DibsWriteMode mode)
{
	static bool registered = false;
	int depth = dibs_trigger_depth();

	if (!registered)
	{
		RegisterXactCallback(mode_xact_end, NULL);
		RegisterSubXactCallback(mode_subxact_end, NULL);
		registered = true;
	}
	if (depth >= MAX_DEPTH)
		ereport(ERROR, (errcode(ERRCODE_STATEMENT_TOO_COMPLEX), errmsg("triggers are nested too deeply"),
						errhint("A trigger of the application's may cause itself.")));
	modes[depth] = mode;
}

/* Of the statement that fired the trigger in which we are. */
static DibsWriteMode
firing_mode(void)
{
	int depth = dibs_trigger_depth() - 1;

	return depth < MAX_DEPTH ? modes[depth] : DIBS_WRITE_DIRECT;
}

static bool
column_differs(HeapTuple old, HeapTuple new, TupleDesc desc, int attnum)
{
	Form_pg_attribute att = TupleDescAttr(desc, attnum - 1);
	bool old_null, new_null;
	Datum old_value = heap_getattr(old, attnum, desc, &old_null);
	Datum new_value = heap_getattr(new, attnum, desc, &new_null);

	if (old_null || new_null)
		return old_null != new_null;
	return !datum_image_eq(old_value, new_value, att->attbyval, att->attlen);
}

static DibsStatus
tuple_status(HeapTuple tuple, TupleDesc desc, bool check)
{
	bool isnull;
	Datum value = heap_getattr(tuple, columns.own[COL_STATUS], desc, &isnull);
	text *t;
	DibsStatus status;

	/* the NOT NULL constraint comes after this trigger and says it better */
	if (isnull)
		return DIBS_STATUS_NONE;
	t = DatumGetTextPP(value);
	status = dibs_status_from_text(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
	if (status == DIBS_STATUS_NONE && check)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("\"%s\" is not a status of a booking", text_to_cstring(t)),
						errhint("The statuses are %s.", DIBS_STATUS_LIST)));
	return status;
}

static void
violated(Relation rel, const char *constraint, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_CHECK_VIOLATION),
					errmsg("new row for relation \"%s\" violates check constraint \"%s\"", RelationGetRelationName(rel),
						   constraint),
					errhint("%s", hint), errtableconstraint(rel, constraint)));
}

/*
 * What would be CHECK constraints: those are parsed and prepared anew by every statement, which for a single row costs
 * more than the rest of this trigger.
 */
static void
check_row(HeapTuple tuple, Relation rel)
{
	TupleDesc desc = RelationGetDescr(rel);
	bool isnull, isnull2;
	Datum value = heap_getattr(tuple, columns.own[COL_START], desc, &isnull);
	Datum value2 = heap_getattr(tuple, columns.own[COL_END], desc, &isnull2);

	if (!isnull && !isnull2 && DatumGetTimestampTz(value2) < DatumGetTimestampTz(value))
		violated(rel, "CalBooking_time_check", "\"endTime\" must not be before \"startTime\".");

	value = heap_getattr(tuple, columns.own[COL_RATING], desc, &isnull);
	if (!isnull && (DatumGetInt32(value) < 1 || DatumGetInt32(value) > 5))
		violated(rel, "CalBooking_rating_check", "A rating is a number from 1 to 5.");

	/* "Meeting" has an index of it */
	value = heap_getattr(tuple, columns.own[COL_MEETING_ID], desc, &isnull);
	if (!isnull && toast_raw_datum_size(value) - VARHDRSZ > DIBS_MAX_ID_LEN)
		violated(rel, "CalBooking_zoomMeetingId_check", "A meeting's id has at most 255 bytes.");

	value = heap_getattr(tuple, columns.own[COL_PARTICIPANTS], desc, &isnull);
	if (!isnull)
	{
		/* the root's header says it; the rest of a long list stays compressed */
		Jsonb *head = (Jsonb *) PG_DETOAST_DATUM_SLICE(value, 0, sizeof(JsonbContainer));

		if (!JB_ROOT_IS_ARRAY(head) || JB_ROOT_IS_SCALAR(head))
			violated(rel, "CalBooking_participants_check", "\"participants\" is a json array of people.");
	}

	value = heap_getattr(tuple, columns.own[COL_MEETING_STATE], desc, &isnull);
	if (!isnull)
	{
		text *t = DatumGetTextPP(value);
		bool known = false;

		for (size_t i = 0; i < lengthof(meeting_states) && !known; i++)
			known = VARSIZE_ANY_EXHDR(t) == strlen(meeting_states[i]) &&
					memcmp(VARDATA_ANY(t), meeting_states[i], strlen(meeting_states[i])) == 0;
		if (!known)
			violated(rel, "CalBooking_meetingState_check",
					 "The states of a meeting are pending, ready, delayed, failed and not_needed.");
	}
}

/* Appends the replaced uid to OLD's list; a client's own idea of the list is not taken. */
static Datum
with_previous_uid(HeapTuple old, TupleDesc desc)
{
	bool isnull;
	Datum list = heap_getattr(old, columns.own[COL_PREVIOUS], desc, &isnull);
	Datum uid = heap_getattr(old, columns.own[COL_UID], desc, &isnull);
	ArrayType *array = DatumGetArrayTypeP(list);
	int at = ARR_NDIM(array) == 0 ? 1 : ARR_LBOUND(array)[0] + ARR_DIMS(array)[0];

	return array_set_element(PointerGetDatum(array), 1, &at, uid, false, -1, -1, false, TYPALIGN_INT);
}

/* What an UPDATE sets or keeps, column by column. */
typedef struct Replacement
{
	int n;
	int attnums[COL_COUNT];
	Datum values[COL_COUNT];
	bool nulls[COL_COUNT];
} Replacement;

static void
replace_with(Replacement *r, int col, Datum value)
{
	r->attnums[r->n] = columns.own[col];
	r->values[r->n] = value;
	r->nulls[r->n] = false;
	r->n++;
}

static void
keep_old(Replacement *r, int col, HeapTuple old, TupleDesc desc)
{
	r->attnums[r->n] = columns.own[col];
	r->values[r->n] = heap_getattr(old, columns.own[col], desc, &r->nulls[r->n]);
	r->n++;
}

/* A client that writes whole rows back must not bring revoked tokens back to life. */
static bool
number_fell(HeapTuple old, HeapTuple new, TupleDesc desc, int attnum)
{
	bool old_null, new_null;
	int32 before = DatumGetInt32(heap_getattr(old, attnum, desc, &old_null));
	int32 after = DatumGetInt32(heap_getattr(new, attnum, desc, &new_null));

	return !old_null && !new_null && after < before;
}

static HeapTuple
before_update(HeapTuple old, HeapTuple new, TupleDesc desc)
{
	Replacement r = {0};
	DibsWriteMode mode = firing_mode();
	DibsStatus from, to;
	bool changed = false;
	bool isnull;

	if (column_differs(old, new, desc, columns.own[COL_ULID]) || column_differs(old, new, desc, columns.own[COL_USER]))
		ereport(ERROR, (errcode(DIBS_ERR_REFUSED), errmsg("a booking's \"ulid\" and \"userUlid\" cannot be changed"),
						errhint("Use dibs.reassign_booking(booking_id, user_ulid).")));

	from = tuple_status(old, desc, false);
	to = tuple_status(new, desc, true);
	if (from != DIBS_STATUS_NONE && to != DIBS_STATUS_NONE &&
		!dibs_status_may_become(from, to, mode == DIBS_WRITE_APPLY))
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE),
						errmsg("a booking that is %s cannot become %s", dibs_status_name(from), dibs_status_name(to)),
						errhint("What may follow %s: %s.", dibs_status_name(from), dibs_status_next(from))));

	for (size_t i = 0; i < lengthof(watched_columns) && !changed; i++)
		changed = column_differs(old, new, desc, columns.watched[i]);

	replace_with(&r, COL_UPDATED, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	if (number_fell(old, new, desc, columns.own[COL_TOKENS]))
		keep_old(&r, COL_TOKENS, old, desc);
	if (mode == DIBS_WRITE_SETTLE)
	{
		keep_old(&r, COL_WANTED, old, desc);
		keep_old(&r, COL_PREVIOUS, old, desc);
		keep_old(&r, COL_SOURCE_AT, old, desc);
		return heap_modify_tuple_by_cols(new, desc, r.n, r.attnums, r.values, r.nulls);
	}

	keep_old(&r, COL_INSTANCE, old, desc);
	if (mode == DIBS_WRITE_DIRECT)
	{
		keep_old(&r, COL_SOURCE_AT, old, desc);
		if (column_differs(old, new, desc, columns.own[COL_UID]))
			replace_with(&r, COL_PREVIOUS, with_previous_uid(old, desc));
		else
			keep_old(&r, COL_PREVIOUS, old, desc);
	}
	if (changed)
	{
		int32 wanted = DatumGetInt32(heap_getattr(old, columns.own[COL_WANTED], desc, &isnull));
		bool starts_anew = wanted == PG_INT32_MAX;

		/* a restored row may be at the end of the numbers: it goes on as one whose first version is done */
		wanted = starts_anew ? 2 : wanted + 1;
		replace_with(&r, COL_WANTED, Int32GetDatum(wanted));
		if (starts_anew)
			replace_with(&r, COL_DONE, Int32GetDatum(1));
		else
			keep_old(&r, COL_DONE, old, desc);
		replace_with(&r, COL_DUE, TimestampTzGetDatum(DT_NOBEGIN));
		if (mode == DIBS_WRITE_APPLY)
			replace_with(&r, COL_ANNOUNCED, Int32GetDatum(wanted));
		else if (starts_anew)
			replace_with(&r, COL_ANNOUNCED, Int32GetDatum(1));
		else
			keep_old(&r, COL_ANNOUNCED, old, desc);
		dibs_wake_at_commit();
	}
	else
	{
		keep_old(&r, COL_WANTED, old, desc);
		keep_old(&r, COL_DONE, old, desc);
		keep_old(&r, COL_DUE, old, desc);
		keep_old(&r, COL_ANNOUNCED, old, desc);
	}
	return heap_modify_tuple_by_cols(new, desc, r.n, r.attnums, r.values, r.nulls);
}

/*
 * A restored row keeps everything that it brings. But what isn't done and is due at no time at all would never be done:
 * it is due.
 */
static HeapTuple
before_insert(HeapTuple new, TupleDesc desc)
{
	bool due_null, wanted_null, done_null;
	Datum due = heap_getattr(new, columns.own[COL_DUE], desc, &due_null);
	Datum wanted = heap_getattr(new, columns.own[COL_WANTED], desc, &wanted_null);
	Datum done = heap_getattr(new, columns.own[COL_DONE], desc, &done_null);
	Replacement r = {0};

	if (due_null || wanted_null || done_null || !TIMESTAMP_IS_NOEND(DatumGetTimestampTz(due)) ||
		DatumGetInt32(wanted) == DatumGetInt32(done))
		return new;
	replace_with(&r, COL_DUE, TimestampTzGetDatum(DT_NOBEGIN));
	return heap_modify_tuple_by_cols(new, desc, r.n, r.attnums, r.values, r.nulls);
}

static void
check_trigger_call(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function dibs.%s() is a trigger function", name)));
}

static bool
is_infinite(HeapTuple tuple, TupleDesc desc, int attnum)
{
	bool isnull;
	Datum value = heap_getattr(tuple, attnum, desc, &isnull);

	return !isnull && TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value));
}

static void
check_finite(HeapTuple tuple, Relation rel)
{
	TupleDesc desc = RelationGetDescr(rel);

	if (is_infinite(tuple, desc, columns.own[COL_START]) || is_infinite(tuple, desc, columns.own[COL_END]))
		violated(rel, "CalBooking_time_check", "A booking takes place at some time.");
}

Datum
dibs_booking_before_write(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	TupleDesc desc;

	check_trigger_call(fcinfo, "booking_before_write");
	map_columns(data->tg_relation);
	desc = RelationGetDescr(data->tg_relation);
	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
	{
		check_row(data->tg_newtuple, data->tg_relation);
		/* a row that is older than the rule, or came past it, can still be settled */
		if (column_differs(data->tg_trigtuple, data->tg_newtuple, desc, columns.own[COL_START]) ||
			column_differs(data->tg_trigtuple, data->tg_newtuple, desc, columns.own[COL_END]))
			check_finite(data->tg_newtuple, data->tg_relation);
		return PointerGetDatum(before_update(data->tg_trigtuple, data->tg_newtuple, desc));
	}

	check_row(data->tg_trigtuple, data->tg_relation);
	check_finite(data->tg_trigtuple, data->tg_relation);
	(void) tuple_status(data->tg_trigtuple, desc, true);
	dibs_wake_at_commit();
	return PointerGetDatum(before_insert(data->tg_trigtuple, desc));
}

Datum
dibs_booking_after_delete(PG_FUNCTION_ARGS)
{
	check_trigger_call(fcinfo, "booking_after_delete");
	dibs_wake_at_commit();
	return PointerGetDatum(NULL);
}

/* A truncated table leaves nobody who knows what is to be removed at the provider. */
#define SQL_MEETING_EXISTS                                                                                             \
	"SELECT FROM dibs.\"Meeting\" WHERE \"state\" OPERATOR(pg_catalog.<>) 'gone' AND NOT \"adopted\" LIMIT 1"

Datum
dibs_refuse_truncate(PG_FUNCTION_ARGS)
{
	check_trigger_call(fcinfo, "refuse_truncate");
	SPI_connect();
	if (SPI_execute(SQL_MEETING_EXISTS, true, 1) != SPI_OK_SELECT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not look for meetings")));
	if (SPI_processed > 0)
		ereport(ERROR, (errcode(DIBS_ERR_REFUSED), errmsg("meetings that dibs made still exist at their providers"),
						errhint("Use DELETE: the worker then removes them.")));
	SPI_finish();
	return PointerGetDatum(NULL);
}

Datum
dibs_touch(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	TupleDesc desc;
	int attnum;
	Datum now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	bool isnull = false;

	check_trigger_call(fcinfo, "touch");
	desc = RelationGetDescr(data->tg_relation);
	attnum = column_number(desc, "updatedAt");
	return PointerGetDatum(heap_modify_tuple_by_cols(data->tg_newtuple, desc, 1, &attnum, &now, &isnull));
}

static bool
status_is_cancelled(HeapTuple tuple, TupleDesc desc, int attnum)
{
	static const char cancelled[] = "CANCELLED";
	bool isnull;
	Datum value = heap_getattr(tuple, attnum, desc, &isnull);
	text *t;

	if (isnull)
		return false;
	t = DatumGetTextPP(value);
	return VARSIZE_ANY_EXHDR(t) == strlen(cancelled) && memcmp(VARDATA_ANY(t), cancelled, strlen(cancelled)) == 0;
}

Datum
dibs_participant_before_update(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	HeapTuple old, new;
	TupleDesc desc;
	int attnums[3];
	Datum values[3];
	bool nulls[3] = {false};
	int status, tokens;
	int n = 1;

	check_trigger_call(fcinfo, "participant_before_update");
	desc = RelationGetDescr(data->tg_relation);
	old = data->tg_trigtuple;
	new = data->tg_newtuple;
	status = column_number(desc, "status");
	tokens = column_number(desc, "tokenVersion");
	attnums[0] = column_number(desc, "updatedAt");
	values[0] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	if (status_is_cancelled(new, desc, status) && !status_is_cancelled(old, desc, status))
	{
		/* a hash that stayed would let them in where an application looks for it alone */
		attnums[n] = column_number(desc, "validationToken");
		nulls[n++] = true;
		attnums[n] = tokens;
		values[n] = heap_getattr(old, tokens, desc, &nulls[n]);
		values[n] = Int32GetDatum(DatumGetInt32(values[n]) + 1);
		n++;
	}
	else if (number_fell(old, new, desc, tokens))
	{
		attnums[n] = tokens;
		values[n] = heap_getattr(old, tokens, desc, &nulls[n]);
		n++;
	}
	return PointerGetDatum(heap_modify_tuple_by_cols(new, desc, n, attnums, values, nulls));
}
