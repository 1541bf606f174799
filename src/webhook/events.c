/*
 * events.c
 *		Keeps deliveries and applies them: at once where that is possible, else when the worker finds them due.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timeout.h"

#include "errors.h"
#include "guc.h"
#include "queue/attempt.h"
#include "queue/instance.h"
#include "queue/insert.h"
#include "queue/plan.h"
#include "secrets/seal.h"
#include "webhook/events.h"
#include "queue/wake.h"

/* Nobody's lock is worth more of a sender's patience: Zoom allows three seconds in all. */
#define LOCK_WAIT_MS 500
/* A subtransaction waits for at most this many locks: the booking, a second one, two uids. */
#define LOCKS_IN_A_ROW 4
/* Tries when another transaction made the same booking at the same moment. */
#define MAX_TRIES 4
/* What cannot be matched is looked at once more: its booking or its account may have been committing meanwhile. */
#define SECOND_LOOK (60 * USECS_PER_SEC)
#define FIRST_BACKOFF (1 * USECS_PER_SEC)
#define MAX_BACKOFF (600 * USECS_PER_SEC)

/* What an attempt came to. */
typedef struct Attempt
{
	DibsApplied applied;
	bool recorded; /* false: another delivery of the same event was quicker */
	int sqlstate;  /* 0: it went through */
	bool foreign;  /* raised in a trigger: an application's */
	char *error;
} Attempt;

typedef bool (*RecordFunction)(void *arg, const DibsApplied *applied);

/* What is to be applied, and how its fate is kept. */
typedef struct Subject
{
	const DibsCalendarSource *calendar;
	const DibsMeetingSource *meeting;
	const Jsonb *payload;
	const Jsonb *whole; /* with its bearer values; NULL: they are not known any more */
	bool stale;
	TimestampTz received_at;
	RecordFunction record;
	void *arg;
	DibsCompanion *companion; /* writes the record with a booking; NULL: record always does */
} Subject;

/*
 * How long to wait for a lock: all waits together must end within what statement_timeout leaves, because when that
 * fires nothing can be kept.
 */
static int
lock_wait_ms(void)
{
	static const TimeoutId ends[] = DIBS_STATEMENT_ENDS;
	int wait = LOCK_WAIT_MS;

	for (int i = 0; i < (int) lengthof(ends); i++)
	{
		long left;

		if (!get_timeout_active(ends[i]))
			continue;
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), get_timeout_finish_time(ends[i]));
		wait = Min(wait, Max(left / (LOCKS_IN_A_ROW + 1), 1));
	}
	if (LockTimeout > 0)
		wait = Min(wait, LockTimeout);
	return wait;
}

static void
set_lock_timeout(void)
{
	char value[16];

	snprintf(value, sizeof(value), "%d", lock_wait_ms());
	(void) set_config_option("lock_timeout", value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static DibsStatement requeue_sql = {
	"UPDATE dibs.\"WebhookEvent\" SET \"outcome\" = 'queued', \"dueAt\" = '-infinity', \"waitsFor\" = NULL "
	"WHERE \"waitsFor\" = ANY ($1)",
	1,
	{TEXTARRAYOID},
	NULL};

void
dibs_requeue_waiting(List *uids)
{
	const char **texts = palloc(list_length(uids) * sizeof(char *));
	Datum values[1];
	ListCell *lc;
	int n = 0;

	foreach (lc, uids)
		texts[n++] = lfirst(lc);
	values[0] = dibs_text_array(texts, n);
	if (dibs_execute(&requeue_sql, values, NULL, false, SPI_OK_UPDATE) > 0)
		dibs_wake_at_commit();
}

/*
 * Something that the same payload will meet again. What an application's trigger says of its own data may be mended
 * tomorrow, and is none of the sender's business; dibs' own triggers find nothing wrong with what a reader has passed.
 */
static bool
is_data_error(const Attempt *attempt)
{
	int sqlstate = attempt->sqlstate;

	return !attempt->foreign &&
		   (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_DATA_EXCEPTION || sqlstate == ERRCODE_NOT_NULL_VIOLATION ||
			sqlstate == ERRCODE_CHECK_VIOLATION || sqlstate == ERRCODE_PROGRAM_LIMIT_EXCEEDED);
}

static bool
is_final(const Attempt *attempt, int attempts)
{
	return is_data_error(attempt) || attempts >= dibs_max_attempts;
}

/* Some senders tell of bookings and of their meetings. */
static bool
is_about_meeting(const DibsMeetingSource *meeting, const Jsonb *payload)
{
	return meeting != NULL && (meeting->concerns == NULL || meeting->concerns(payload));
}

static void
apply_subject(const Subject *subject, bool hopeful, DibsApplied *applied)
{
	memset(applied, 0, sizeof(*applied));
	if (subject->stale)
	{
		applied->outcome = DIBS_OUTCOME_STALE;
		applied->problem = pstrdup("it was sent more than a day before it came");
	}
	else if (is_about_meeting(subject->meeting, subject->payload))
	{
		DibsMeetingEvent event;

		subject->meeting->read(subject->whole != NULL ? subject->whole : subject->payload, &event);
		dibs_meeting_event_apply(&event, subject->received_at, applied);
	}
	else if (subject->calendar != NULL)
	{
		DibsBookingChange change;

		subject->calendar->read(subject->payload, &change);
		dibs_booking_apply(&change, subject->received_at, hopeful, subject->companion, applied);
		if (applied->new_uids != NIL)
			dibs_requeue_waiting(applied->new_uids);
		if (subject->calendar->applied != NULL && !applied->hopeless)
			subject->calendar->applied(&change, applied);
	}
	else
		applied->outcome = DIBS_OUTCOME_IGNORED;
}

typedef struct Try
{
	const Subject *subject;
	bool hopeful;
	int depth; /* of triggers */
	Attempt *attempt;
} Try;

/* Called where an error is raised, while it is still known in what. */
static void
note_raiser(void *arg)
{
	const Try *try = arg;

	try->attempt->foreign = dibs_trigger_depth() > try->depth;
}

static bool
apply_and_record(void *arg)
{
	Try *try = arg;
	const Subject *subject = try->subject;
	Attempt *attempt = try->attempt;
	ErrorContextCallback callback = {error_context_stack, note_raiser, try};

	error_context_stack = &callback;
	/* the subtransaction's own nest level puts it back */
	set_lock_timeout();
	if (subject->companion != NULL)
		subject->companion->written = false;
	apply_subject(subject, try->hopeful, &attempt->applied);
	if (!attempt->applied.hopeless && (subject->companion == NULL || !subject->companion->written))
		attempt->recorded = subject->record(subject->arg, &attempt->applied);
	error_context_stack = callback.previous;
	return attempt->recorded;
}

static void
apply_once(const Subject *subject, bool hopeful, Attempt *attempt)
{
	Try try = {subject, hopeful, dibs_trigger_depth(), attempt};
	ErrorData *error;

	attempt->sqlstate = 0;
	attempt->recorded = true;
	error = dibs_attempt(apply_and_record, &try);
	if (error == NULL)
		return;
	if (error->sqlerrcode == ERRCODE_OUT_OF_MEMORY)
		ReThrowError(error);
	attempt->sqlstate = error->sqlerrcode;
	attempt->error = error->message;
}

/* Somebody else was quicker: this snapshot does not see it yet, the next one does. */
static bool
lost_a_race(const Attempt *attempt)
{
	/* a delivery's key is an exclusion constraint */
	return attempt->sqlstate == ERRCODE_T_R_SERIALIZATION_FAILURE || attempt->sqlstate == ERRCODE_UNIQUE_VIOLATION ||
		   attempt->sqlstate == ERRCODE_EXCLUSION_VIOLATION;
}

static void
apply(const Subject *subject, Attempt *attempt)
{
	for (int i = 0; i < MAX_TRIES; i++)
	{
		apply_once(subject, false, attempt);
		if (!lost_a_race(attempt) || XactIsoLevel >= XACT_REPEATABLE_READ)
			break;
	}
}

/* What a row of "WebhookEvent" says of an event's fate. */
enum
{
	FATE_OUTCOME,
	FATE_ERROR,
	FATE_ERROR_CODE,
	FATE_PROCESSED,
	FATE_USER,
	FATE_BOOKING,
	FATE_WAITS,
	FATE_DUE,
	FATE_COUNT
};

static void
set_fate(Datum *values, char *nulls, int i, const char *text)
{
	nulls[i] = text == NULL || *text == '\0' ? 'n' : ' ';
	values[i] = nulls[i] == 'n' ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
set_due(Datum *values, char *nulls, TimestampTz at)
{
	nulls[FATE_DUE] = at == 0 ? 'n' : ' ';
	values[FATE_DUE] = TimestampTzGetDatum(at);
}

static void
fate_of_applied(Datum *values, char *nulls, const DibsApplied *applied, bool second_look)
{
	bool waits = applied->waits_for != NULL || applied->outcome == DIBS_OUTCOME_UNMATCHED;
	/* an account has meetings that are nobody's booking: nothing waits for them for good */
	bool foreign = second_look && applied->foreign && applied->outcome == DIBS_OUTCOME_UNMATCHED;

	set_fate(values, nulls, FATE_OUTCOME, dibs_outcome_name(foreign ? DIBS_OUTCOME_IGNORED : applied->outcome));
	set_fate(values, nulls, FATE_ERROR, applied->problem);
	set_fate(values, nulls, FATE_ERROR_CODE, NULL);
	values[FATE_PROCESSED] = BoolGetDatum(applied->outcome != DIBS_OUTCOME_UNMATCHED || foreign);
	nulls[FATE_PROCESSED] = ' ';
	set_fate(values, nulls, FATE_USER, applied->user_ulid);
	set_fate(values, nulls, FATE_BOOKING, applied->booking_ulid);
	set_fate(values, nulls, FATE_WAITS, applied->waits_for);
	set_due(values, nulls, waits && !second_look ? GetCurrentTimestamp() + SECOND_LOOK : 0);
}

static void
fate_of_error(Datum *values, char *nulls, const Attempt *attempt, int attempts)
{
	bool final = is_final(attempt, attempts);
	TimestampTz wait = FIRST_BACKOFF;

	for (int i = 1; i < attempts && wait < MAX_BACKOFF; i++)
		wait *= 2;
	memset(nulls, 'n', FATE_COUNT);
	set_fate(values, nulls, FATE_OUTCOME, final ? "failed" : "queued");
	set_fate(values, nulls, FATE_ERROR, attempt->error);
	set_fate(values, nulls, FATE_ERROR_CODE, unpack_sql_state(attempt->sqlstate));
	values[FATE_PROCESSED] = BoolGetDatum(final);
	nulls[FATE_PROCESSED] = ' ';
	set_due(values, nulls, final ? 0 : GetCurrentTimestamp() + Min(wait, MAX_BACKOFF));
	if (!final)
		dibs_wake_at_commit();
}

static DibsStatement known_sql = {
	"SELECT \"ulid\" FROM dibs.\"WebhookEvent\" WHERE \"dedupeKey\" = $1", 1, {TEXTOID}, NULL};

/* A delivery's row: its fate, then what it is. */
static const DibsInsertColumn delivery_columns[] = {
	{"outcome", TEXTOID},       {"error", TEXTOID},        {"errorCode", TEXTOID},
	{"processed", BOOLOID},     {"userUlid", BPCHAROID},   {"bookingUlid", BPCHAROID},
	{"waitsFor", TEXTOID},      {"dueAt", TIMESTAMPTZOID}, {"ulid", BPCHAROID},
	{"source", TEXTOID},        {"trigger", TEXTOID},      {"dedupeKey", TEXTOID},
	{"sha256", BYTEAOID},       {"payload", JSONBOID},     {"uid", TEXTOID},
	{"sentAt", TIMESTAMPTZOID}, {"attempts", INT4OID},     {"processedAt", TIMESTAMPTZOID}};

#define DELIVERY_COLUMNS ((int) lengthof(delivery_columns))

static DibsInsert insert_event = {"WebhookEvent", delivery_columns, DELIVERY_COLUMNS, "WebhookEvent_dedupeKey_key"};

static void
fill_delivery(const DibsIncoming *d, Datum *values, char *nulls)
{
	const char *texts[] = {d->ulid, d->source, d->identity.trigger, d->dedupe_key};
	int i = FATE_COUNT;

	for (size_t t = 0; t < lengthof(texts); t++)
		set_fate(values, nulls, i++, texts[t]);
	values[i] = PointerGetDatum(d->sha256);
	nulls[i++] = ' ';
	values[i] = JsonbPGetDatum(d->payload);
	nulls[i++] = d->payload == NULL ? 'n' : ' ';
	set_fate(values, nulls, i++, d->identity.uid);
	values[i] = TimestampTzGetDatum(d->identity.sent_at);
	nulls[i++] = d->identity.sent_at == 0 ? 'n' : ' ';
	values[i] = Int32GetDatum(1);
	nulls[i++] = ' ';
	values[i] = TimestampTzGetDatum(d->received_at);
	nulls[i++] = DatumGetBool(values[FATE_PROCESSED]) ? ' ' : 'n';
	Assert(i == DELIVERY_COLUMNS);
}

static DibsStatement seal_sql = {
	"INSERT INTO dibs.\"SealedPayload\" (\"ulid\", \"sealed\") VALUES ($1, $2)", 2, {BPCHAROID, BYTEAOID}, NULL};

static char *
seal_context(const char *ulid)
{
	return dibs_seal_context("SealedPayload", "sealed", ulid);
}

static bool
seal_whole(void *arg)
{
	const DibsIncoming *d = arg;
	char *text = JsonbToCString(NULL, &d->whole->root, VARSIZE(d->whole));
	Datum values[2] = {CStringGetTextDatum(d->ulid)};

	values[1] = PointerGetDatum(dibs_seal(DIBS_PURPOSE_PAYLOAD, seal_context(d->ulid), text, strlen(text)));
	return dibs_execute(&seal_sql, values, NULL, false, SPI_OK_INSERT) > 0;
}

/*
 * What opens a recording comes once, with its webhook. Only readers of meetings look at it. Where it cannot be sealed
 * the event is worth more than its links.
 */
static void
keep_bearer_values(const DibsIncoming *d)
{
	ErrorData *error;

	if (d->payload == NULL || d->payload == d->whole || !is_about_meeting(d->meeting, d->payload))
		return;
	error = dibs_attempt(seal_whole, unconstify(DibsIncoming *, d));
	if (error != NULL)
		ereport(WARNING,
				(errcode(error->sqlerrcode), errmsg("a webhook's links could not be kept: %s", error->message)));
}

/* False: another delivery of the same event was quicker. */
static bool
insert_delivery(const DibsIncoming *d, Datum *values, char *nulls)
{
	DibsNewRow row = {&insert_event, values, nulls};

	fill_delivery(d, values, nulls);
	if (!dibs_insert_if_new(&row))
		return false;
	if (!DatumGetBool(values[FATE_PROCESSED]))
		keep_bearer_values(d);
	return true;
}

static DibsNewRow
companion_row(void *arg, const DibsApplied *applied)
{
	Datum *values = palloc(DELIVERY_COLUMNS * sizeof(Datum));
	char *nulls = palloc(DELIVERY_COLUMNS);

	fate_of_applied(values, nulls, applied, false);
	fill_delivery(arg, values, nulls);
	return (DibsNewRow){&insert_event, values, nulls};
}

static bool
record_delivery(void *arg, const DibsApplied *applied)
{
	/* a copy: what cannot be recorded now is queued with its payload, and looked at again */
	DibsIncoming delivery = *(DibsIncoming *) arg;
	Datum values[DELIVERY_COLUMNS];
	char nulls[DELIVERY_COLUMNS];

	if (applied->forgotten)
		delivery.payload = NULL;
	fate_of_applied(values, nulls, applied, false);
	return insert_delivery(&delivery, values, nulls);
}

static bool
is_known(DibsIncoming *delivery)
{
	Datum values[1] = {CStringGetTextDatum(delivery->dedupe_key)};

	if (dibs_execute(&known_sql, values, NULL, false, SPI_OK_SELECT) == 0)
		return false;
	strlcpy(delivery->ulid, dibs_column(0, 1), sizeof(delivery->ulid));
	return true;
}

DibsDelivered
dibs_event_deliver(DibsIncoming *delivery, DibsApplied *applied)
{
	DibsCompanion companion = {companion_row, delivery};
	Subject subject = {delivery->calendar,    delivery->meeting, delivery->payload, delivery->whole, delivery->stale,
					   delivery->received_at, record_delivery,   delivery,          &companion};
	bool hopeful = delivery->identity.fresh;
	Attempt attempt = {0};
	Datum values[DELIVERY_COLUMNS];
	char nulls[DELIVERY_COLUMNS];
	int level;

	/* where nothing is known of the booking, nothing is of this delivery */
	if (hopeful)
		apply_once(&subject, true, &attempt);
	if (!hopeful || attempt.applied.hopeless || lost_a_race(&attempt))
	{
		if (is_known(delivery))
			return DIBS_DELIVERED_DUPLICATE;
		apply(&subject, &attempt);
	}
	*applied = attempt.applied;
	if (attempt.sqlstate == 0)
		return attempt.recorded ? DIBS_DELIVERED_DONE : DIBS_DELIVERED_DUPLICATE;

	fate_of_error(values, nulls, &attempt, 1);
	level = NewGUCNestLevel();
	set_lock_timeout();
	if (!insert_delivery(delivery, values, nulls))
	{
		AtEOXact_GUC(true, level);
		return DIBS_DELIVERED_DUPLICATE;
	}
	AtEOXact_GUC(true, level);
	memset(applied, 0, sizeof(*applied));
	applied->problem = attempt.error;
	if (!is_data_error(&attempt))
		return DIBS_DELIVERED_QUEUED;
	applied->outcome = DIBS_OUTCOME_FAILED;
	return DIBS_DELIVERED_DONE;
}

#define SEALED "(SELECT s.\"sealed\" FROM dibs.\"SealedPayload\" s WHERE s.\"ulid\" = e.\"ulid\") "

static DibsStatement due_sql = {
	"SELECT e.\"ulid\", e.\"source\", e.\"payload\", e.\"createdAt\", e.\"attempts\", e.\"outcome\" = 'queued', " SEALED
	"FROM dibs.\"WebhookEvent\" e WHERE e.\"dueAt\" IS NOT NULL AND e.\"dueAt\" <= $1 AND e.\"instance\" = $3 "
	"ORDER BY e.\"dueAt\", e.\"sentAt\" LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED",
	3,
	{TIMESTAMPTZOID, INT4OID, TEXTOID},
	NULL};

static DibsStatement one_sql = {
	"SELECT e.\"ulid\", e.\"source\", e.\"payload\", e.\"createdAt\", e.\"attempts\", true, " SEALED
	"FROM dibs.\"WebhookEvent\" e WHERE e.\"ulid\" = $1 FOR NO KEY UPDATE",
	1,
	{BPCHAROID},
	NULL};

static DibsStatement update_sql = {
	"UPDATE dibs.\"WebhookEvent\" SET \"outcome\" = $1, \"error\" = $2, \"errorCode\" = $3, \"processed\" = $4, "
	"\"userUlid\" = $5, \"bookingUlid\" = $6, \"waitsFor\" = $7, \"dueAt\" = $8, \"attempts\" = $10, "
	"\"processedAt\" = CASE WHEN $4 THEN $11 END WHERE \"ulid\" = $9",
	11,
	{TEXTOID, TEXTOID, TEXTOID, BOOLOID, BPCHAROID, BPCHAROID, TEXTOID, TIMESTAMPTZOID, BPCHAROID, INT4OID,
	 TIMESTAMPTZOID},
	NULL};

#define UPDATE_PARAMETERS 11

static DibsStatement drop_sealed_sql = {"DELETE FROM dibs.\"SealedPayload\" WHERE \"ulid\" = $1", 1, {BPCHAROID}, NULL};

/* A kept event that is being applied (again). */
typedef struct Kept
{
	char *ulid;
	char *source;
	Jsonb *payload; /* NULL: past its retention */
	bytea *sealed;  /* the whole of it; NULL: there is no more to it */
	TimestampTz received_at;
	int attempts;
	bool queued;
} Kept;

static void
update_kept(const Kept *kept, Datum *values, char *nulls)
{
	set_fate(values, nulls, FATE_COUNT, kept->ulid);
	values[FATE_COUNT + 1] = Int32GetDatum(kept->attempts);
	nulls[FATE_COUNT + 1] = ' ';
	values[FATE_COUNT + 2] = TimestampTzGetDatum(GetCurrentTimestamp());
	nulls[FATE_COUNT + 2] = ' ';
	(void) dibs_execute(&update_sql, values, nulls, false, SPI_OK_UPDATE);
	if (kept->sealed != NULL && DatumGetBool(values[FATE_PROCESSED]))
		(void) dibs_execute(&drop_sealed_sql, &values[FATE_COUNT], NULL, false, SPI_OK_DELETE);
}

static bool
record_kept(void *arg, const DibsApplied *applied)
{
	const Kept *kept = arg;
	Datum values[UPDATE_PARAMETERS];
	char nulls[UPDATE_PARAMETERS];

	/* an event that was queued has its second look before it */
	fate_of_applied(values, nulls, applied, !kept->queued);
	update_kept(kept, values, nulls);
	return true;
}

static Kept *
read_kept(uint64 row)
{
	Kept *kept = palloc0(sizeof(Kept));
	bool isnull;
	Datum payload = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 3, &isnull);

	kept->ulid = dibs_column(row, 1);
	kept->source = dibs_column(row, 2);
	kept->payload = isnull ? NULL : DatumGetJsonbPCopy(payload);
	kept->received_at = dibs_column_time(row, 4);
	kept->attempts = dibs_column_int(row, 5) + 1;
	kept->queued = dibs_column_bool(row, 6);
	payload = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 7, &isnull);
	kept->sealed = isnull ? NULL : DatumGetByteaPCopy(payload);
	return kept;
}

/* NULL where it does not open: it is applied as far as it is kept. */
static const Jsonb *
open_whole(const Kept *kept)
{
	char *text;
	Size len;

	if (kept->sealed == NULL ||
		dibs_unseal(DIBS_PURPOSE_PAYLOAD, seal_context(kept->ulid), VARDATA(kept->sealed),
					VARSIZE(kept->sealed) - VARHDRSZ, CurrentMemoryContext, true, &text, &len) != DIBS_UNSEAL_OK)
		return NULL;
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

static void
apply_kept(Kept *kept, Attempt *attempt)
{
	Subject subject = {0};
	Datum values[UPDATE_PARAMETERS];
	char nulls[UPDATE_PARAMETERS];

	memset(attempt, 0, sizeof(*attempt));
	if (kept->payload == NULL)
	{
		attempt->applied.outcome = DIBS_OUTCOME_FAILED;
		attempt->applied.problem = "its payload is past its retention";
		record_kept(kept, &attempt->applied);
		return;
	}
	subject.calendar = dibs_calendar_source(kept->source);
	subject.meeting = dibs_meeting_source(kept->source);
	subject.payload = kept->payload;
	subject.whole = open_whole(kept);
	subject.received_at = kept->received_at;
	subject.record = record_kept;
	subject.arg = kept;
	apply(&subject, attempt);
	if (attempt->sqlstate == 0)
		return;
	fate_of_error(values, nulls, attempt, kept->attempts);
	update_kept(kept, values, nulls);
}

int
dibs_apply_due_events(int max)
{
	Datum values[3] = {TimestampTzGetDatum(GetCurrentTimestamp()), Int32GetDatum(max),
					   CStringGetTextDatum(dibs_instance())};
	List *due = NIL;
	ListCell *lc;
	uint64 rows;

	SPI_connect();
	rows = dibs_execute(&due_sql, values, NULL, false, SPI_OK_SELECT);
	for (uint64 i = 0; i < rows; i++)
		due = lappend(due, read_kept(i));
	foreach (lc, due)
	{
		Attempt attempt;

		CHECK_FOR_INTERRUPTS();
		apply_kept(lfirst(lc), &attempt);
	}
	SPI_finish();
	return (int) rows;
}

PG_FUNCTION_INFO_V1(dibs_apply_events);
PG_FUNCTION_INFO_V1(dibs_replay_webhook);

Datum
dibs_apply_events(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(dibs_apply_due_events(PG_GETARG_INT32(0)));
}

/* Applies a kept event again; 'queued' where that did not work out at once. */
Datum
dibs_replay_webhook(PG_FUNCTION_ARGS)
{
	Datum values[1] = {PG_GETARG_DATUM(0)};
	Attempt attempt;
	Kept *kept;
	const char *outcome;
	MemoryContext caller = CurrentMemoryContext;
	text *answer;

	SPI_connect();
	if (dibs_execute(&one_sql, values, NULL, false, SPI_OK_SELECT) == 0)
		ereport(ERROR, (errcode(DIBS_ERR_NOT_FOUND),
						errmsg("there is no webhook event \"%s\"", TextDatumGetCString(values[0])),
						errhint("dibs.\"WebhookEvent\".ulid names one.")));
	kept = read_kept(0);
	if (kept->payload == NULL)
		ereport(ERROR, (errcode(DIBS_ERR_STATE),
						errmsg("the payload of webhook event \"%s\" is past its retention", kept->ulid),
						errhint("Have the source send it again.")));
	apply_kept(kept, &attempt);
	if (attempt.sqlstate == 0)
		outcome = dibs_outcome_name(attempt.applied.outcome);
	else
		outcome = is_final(&attempt, kept->attempts) ? "failed" : "queued";
	MemoryContextSwitchTo(caller);
	answer = cstring_to_text(outcome);
	SPI_finish();
	PG_RETURN_TEXT_P(answer);
}
