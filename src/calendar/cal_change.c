/*
 * cal_change.c
 *		Does at Cal.com what the application wants done: bookings made, moved, cancelled, confirmed; people; places;
 *event types.
 *
 * A wish is a row of "CalChange", written with the booking's row in the application's transaction. Wishes about one
 * booking are done in their order. Cal.com has no idempotency key. What is done twice without harm, or refused the
 * second time, is simply sent again when no answer came; a create is looked for first, by a marker in its metadata.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "calendar/cal_job.h"
#include "calendar/cal_read.h"
#include "core/jsonread.h"
#include "guc.h"
#include "queue/plan.h"
#include "queue/wake.h"

/* A wish waits so long for the one before it. */
#define TURN_MS 500
/* A create whose answer did not come may still be at work there: it is looked for after this, at least. */
#define SETTLE_DOWN_MS 3000

typedef enum Phase
{
	PHASE_LOOK_UP,
	PHASE_SEND,
	PHASE_READ,
} Phase;

typedef struct Change
{
	DibsCalAnswer answer;
	DibsCalWish wish;
	char *user_ulid;
	char *booking_ulid; /* NULL: none, or it is gone */
	bool maybe_sent;    /* by an earlier claim */
	TimestampTz sent_at;
	Phase phase;
	bool already; /* it is as wanted, though not by this request */
	Jsonb *found; /* what the lookup found */
} Change;

/* $1 the wish; its booking's uid as it is now. Locked, so that an answer of an earlier claim and this one take turns.
 */
static DibsStatement take_sql = {
	"SELECT c.\"kind\", c.\"data\", c.\"userUlid\", b.\"ulid\", coalesce(b.\"calBookingUid\", c.\"uid\"), c.\"account\","
	" c.\"maybeSent\", c.\"sentAt\", EXISTS (SELECT FROM dibs.\"CalChange\" e WHERE e.\"bookingUlid\" = c.\"bookingUlid\""
	"  AND e.\"userUlid\" = c.\"userUlid\""
	"  AND e.\"state\" = 'waiting' AND e.\"ulid\" < c.\"ulid\")"
	" FROM dibs.\"CalChange\" c LEFT JOIN dibs.\"CalBooking\" b ON b.\"ulid\" = c.\"bookingUlid\""
	"  AND b.\"userUlid\" = c.\"userUlid\""
	" WHERE c.\"ulid\" = $1 AND c.\"state\" = 'waiting' FOR NO KEY UPDATE OF c",
	1,
	{BPCHAROID},
	NULL};

static DibsStatement sending_sql = {
	"UPDATE dibs.\"CalChange\" SET \"maybeSent\" = true, \"sentAt\" = clock_timestamp(), \"updatedAt\" = clock_timestamp()"
	" WHERE \"ulid\" = $1",
	1,
	{BPCHAROID},
	NULL};

static DibsStatement unsent_sql = {
	"UPDATE dibs.\"CalChange\" SET \"maybeSent\" = $2, \"errorCode\" = $3, \"error\" = $4, \"updatedAt\" = clock_timestamp()"
	" WHERE \"ulid\" = $1 AND \"state\" = 'waiting'",
	4,
	{BPCHAROID, BOOLOID, TEXTOID, TEXTOID},
	NULL};

/*
 * $1 the wish, $2 what became of it, $3 code, $4 Cal.com's words, $5 the uid there; and the booking's row, which says
 * it. A booking that never came about there is rejected.
 */
static DibsStatement end_sql = {
	"WITH c AS (UPDATE dibs.\"CalChange\" SET \"state\" = $2, \"errorCode\" = $3, \"error\" = $4, \"answer\" = $5,"
	"  \"updatedAt\" = clock_timestamp(), \"endedAt\" = clock_timestamp() WHERE \"ulid\" = $1 AND \"state\" = 'waiting'"
	"  RETURNING \"ulid\", \"bookingUlid\", \"userUlid\", \"kind\"),"
	"b AS (UPDATE dibs.\"CalBooking\" b SET \"changeState\" = CASE WHEN $2 <> 'done' THEN $2"
	"   WHEN EXISTS (SELECT FROM dibs.\"CalChange\" o WHERE o.\"bookingUlid\" = b.\"ulid\" AND o.\"userUlid\" = b.\"userUlid\" AND o.\"state\" = 'waiting'"
	"    AND o.\"ulid\" <> c.\"ulid\") THEN 'pending' END,"
	"  \"changeError\" = CASE WHEN $2 <> 'done' THEN $4 END,"
	"  \"status\" = CASE WHEN $2 <> 'done' AND c.\"kind\" = 'create' AND b.\"status\" = 'PENDING' THEN 'REJECTED' ELSE b.\"status\" END,"
	"  \"cancellationReason\" = CASE WHEN $2 <> 'done' AND c.\"kind\" = 'create' THEN $4 ELSE b.\"cancellationReason\" END,"
	"  \"rescheduledFromUid\" = CASE WHEN c.\"kind\" = 'create' AND b.\"rescheduledFromUid\" LIKE 'dibs\\_%' THEN NULL"
	"   ELSE b.\"rescheduledFromUid\" END"
	" FROM c WHERE b.\"ulid\" = c.\"bookingUlid\" AND b.\"userUlid\" = c.\"userUlid\" RETURNING b.\"ulid\", b.\"userUlid\")"
	"INSERT INTO dibs.\"Event\" (\"userUlid\", \"bookingUlid\", \"type\", \"data\")"
	" SELECT b.\"userUlid\", b.\"ulid\", CASE $2 WHEN 'done' THEN 'change.done' ELSE 'change.' || $2 END,"
	"  jsonb_strip_nulls(jsonb_build_object('change', c.\"ulid\", 'kind', c.\"kind\", 'errorCode', $3, 'error', $4)) FROM b, c",
	5,
	{BPCHAROID, TEXTOID, TEXTOID, TEXTOID, JSONBOID},
	NULL};

/* $1 a booking, $2 whose it was, $3 whose it is: what else is wanted of it goes with it. */
static DibsStatement follow_sql = {
	"WITH old AS (DELETE FROM dibs.\"CalChange\" c WHERE c.\"bookingUlid\" = $1 AND c.\"userUlid\" = $2 AND c.\"state\" = 'waiting'"
	"  AND EXISTS (SELECT FROM dibs.\"CalBooking\" b WHERE b.\"ulid\" = $1 AND b.\"userUlid\" = $3) RETURNING c.*)"
	"INSERT INTO dibs.\"CalChange\" (\"ulid\", \"userUlid\", \"bookingUlid\", \"uid\", \"account\", \"kind\", \"data\", \"state\","
	" \"maybeSent\", \"sentAt\", \"createdAt\") SELECT o.\"ulid\", $3, o.\"bookingUlid\", o.\"uid\","
	" coalesce(dibs.cal_account_of($3), o.\"account\"), o.\"kind\", o.\"data\", o.\"state\", o.\"maybeSent\", o.\"sentAt\", o.\"createdAt\""
	" FROM old o",
	3,
	{BPCHAROID, BPCHAROID, BPCHAROID},
	NULL};

/*
 * $1 bookings, $2 their coaches. Once for a link: who changes the place at Cal.com after that has the last word.
 */
static DibsStatement links_sql = {
	"WITH b AS MATERIALIZED (SELECT b.\"ulid\", b.\"userUlid\", b.\"calBookingUid\", b.\"zoomJoinUrl\" AS link,"
	"  dibs.cal_account_of(b.\"userUlid\") AS account FROM unnest($1, $2) AS s(u, c)"
	"  JOIN dibs.\"CalBooking\" b ON b.\"ulid\" = s.u::char(26) AND b.\"userUlid\" = s.c::char(26)"
	"  WHERE b.\"source\" = 'cal' AND b.\"calBookingUid\" NOT LIKE 'dibs\\_%' AND b.\"meetingState\" = 'ready'"
	"   AND b.\"location\"->>'value' IS DISTINCT FROM b.\"zoomJoinUrl\""
	"   AND NOT EXISTS (SELECT FROM dibs.\"CalChange\" c WHERE c.\"bookingUlid\" = b.\"ulid\" AND c.\"userUlid\" = b.\"userUlid\""
	"    AND c.\"kind\" = 'location' AND c.\"data\"->'location'->>'value' = b.\"zoomJoinUrl\")),"
	"c AS (INSERT INTO dibs.\"CalChange\" (\"userUlid\", \"bookingUlid\", \"uid\", \"account\", \"kind\", \"data\")"
	"  SELECT b.\"userUlid\", b.\"ulid\", b.\"calBookingUid\", b.account, 'location', jsonb_build_object('location',"
	"   jsonb_build_object('kind', 'link', 'value', b.link)) FROM b WHERE b.account IS NOT NULL AND b.link IS NOT NULL"
	"  RETURNING \"ulid\")"
	"INSERT INTO dibs.\"Job\" (\"kind\", \"key\") SELECT 'cal_change', c.\"ulid\" FROM c",
	2,
	{TEXTARRAYOID, TEXTARRAYOID},
	NULL};

void
dibs_cal_links_back(const char *const *bookings, const char *const *coaches, int n)
{
	Datum values[2] = {dibs_text_array(bookings, n), dibs_text_array(coaches, n)};

	if (dibs_execute(&links_sql, values, NULL, false, SPI_OK_INSERT) > 0)
		dibs_wake_at_commit();
}

static bool
change_prepare(DibsCall *call)
{
	Change *change = palloc0(sizeof(Change));
	Datum values[1] = {CStringGetTextDatum(call->key)};
	bool isnull;

	if (dibs_execute(&take_sql, values, NULL, false, SPI_OK_SELECT) == 0)
		return false;
	change->wish.kind = dibs_column(0, 1);
	change->wish.data = DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	change->user_ulid = dibs_column(0, 3);
	change->booking_ulid = dibs_column(0, 4);
	change->wish.uid = dibs_column(0, 5);
	change->wish.marker = call->key;
	change->maybe_sent = dibs_column_bool(0, 7);
	change->sent_at = dibs_column_time(0, 8);
	call->provider = "cal";
	call->account = dibs_column(0, 6);
	if (dibs_column_bool(0, 9))
	{
		call->outcome = DIBS_CALL_AGAIN;
		call->next_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TURN_MS);
		return false;
	}
	change->phase = change->maybe_sent && dibs_cal_needs_lookup(&change->wish) ? PHASE_LOOK_UP : PHASE_SEND;
	/* before the request, whatever comes of it; a lookup that finds nothing is followed by the request */
	(void) dibs_execute(&sending_sql, values, NULL, false, SPI_OK_UPDATE);
	call->state = change;
	return true;
}

static DibsHttpRequest *
change_build(DibsCall *call, DibsHttp *http, const DibsAccess *access)
{
	Change *change = call->state;
	DibsCalCall request = change->phase == PHASE_SEND ? dibs_cal_do(&change->wish) : dibs_cal_look_up(&change->wish);

	return dibs_cal_send(call, http, access, &request);
}

static void
change_read(DibsCall *call, DibsHttpRequest *request)
{
	Change *change = call->state;
	TimestampTz ready;

	dibs_cal_answer_read(request, &change->answer);
	dibs_cal_judge(call, &change->answer);
	if (change->phase == PHASE_LOOK_UP)
	{
		if (change->answer.outcome != DIBS_CAL_OK)
			return;
		change->found = dibs_cal_find_marked(&change->answer, &change->wish);
		if (change->found != NULL)
			return;
		ready = TimestampTzPlusMilliseconds(change->sent_at, Max(dibs_request_timeout, SETTLE_DOWN_MS));
		if (GetCurrentTimestamp() < ready)
		{
			dibs_call_failed(call, DIBS_VERDICT_UNKNOWN, "provider_down", "it is not known yet whether it was made");
			call->answer.retry_at = ready;
			return;
		}
		change->phase = PHASE_SEND;
		call->answer.verdict = DIBS_VERDICT_MORE;
		return;
	}
	if (change->phase == PHASE_READ)
	{
		if (change->answer.outcome == DIBS_CAL_OK)
			change->found = dibs_cal_find_marked(&change->answer, &change->wish);
		/* it is done all the same, and what this reading does not show a later one will */
		if (call->answer.verdict == DIBS_VERDICT_FAILED)
			call->answer.verdict = DIBS_VERDICT_DONE;
		change->already = change->found == NULL && call->answer.verdict == DIBS_VERDICT_DONE;
		return;
	}
	if (change->answer.outcome == DIBS_CAL_OK && dibs_cal_needs_reading(&change->wish))
	{
		change->phase = PHASE_READ;
		call->answer.verdict = DIBS_VERDICT_MORE;
		return;
	}
	if (change->answer.outcome == DIBS_CAL_REFUSED || change->answer.outcome == DIBS_CAL_CONFLICT)
		change->already = dibs_cal_is_so_already(&change->wish, &change->answer, change->maybe_sent);
	if (change->already)
		call->answer.verdict = DIBS_VERDICT_DONE;
}

static void
end_change(DibsCall *call, const char *state, const char *code, const char *error, const char *uid)
{
	Change *change = call->state;
	Datum values[5];
	char nulls[6] = "     ";
	DibsJson json = {0};

	values[0] = CStringGetTextDatum(call->key);
	values[1] = CStringGetTextDatum(state);
	nulls[2] = code == NULL ? 'n' : ' ';
	values[2] = code == NULL ? (Datum) 0 : CStringGetTextDatum(code);
	nulls[3] = error == NULL ? 'n' : ' ';
	values[3] = error == NULL ? (Datum) 0 : CStringGetTextDatum(error);
	dibs_json_begin_object(&json);
	dibs_json_optional_member(&json, "uid", uid);
	dibs_json_end_object(&json);
	values[4] = JsonbPGetDatum(dibs_json_finish(&json));
	(void) dibs_execute(&end_sql, values, nulls, false, SPI_OK_INSERT);
	if (change->already && change->wish.uid != NULL)
		dibs_cal_read_soon(change->wish.uid, change->user_ulid, 0);
}

static void
follow_booking(const Change *change)
{
	char *to = dibs_json_text(&change->wish.data->root, "userUlid");
	Datum values[3] = {CStringGetTextDatum(change->booking_ulid), CStringGetTextDatum(change->user_ulid), (Datum) 0};

	if (to == NULL)
		return;
	values[2] = CStringGetTextDatum(to);
	(void) dibs_execute(&follow_sql, values, NULL, false, SPI_OK_INSERT);
}

/* Applies a booking that an answer has. The uid of it, or NULL. */
static char *
apply_booking(Change *change, const JsonbContainer *booking, bool first)
{
	DibsCalBookingFacts facts;
	DibsBookingChange made;
	DibsApplied applied;

	dibs_cal_read_booking(booking, change->answer.as_of, &made, &facts);
	if (made.problem != NULL || facts.superseded)
		return facts.uid;
	/* a booking that was made here under a name of its own goes on under Cal.com's: one row, whoever tells of it first
	 */
	if (first && strcmp(change->wish.kind, "create") == 0 && change->booking_ulid != NULL)
		made.previous_uid = unconstify(char *, change->wish.uid);
	made.host_moved = dibs_cal_needs_reading(&change->wish);
	if (!dibs_cal_apply(&made, &applied))
		dibs_cal_read_soon(facts.uid, change->user_ulid, 5000);
	if (made.host_moved && change->booking_ulid != NULL)
		follow_booking(change);
	return facts.uid;
}

static char *
apply_answer(DibsCall *call)
{
	Change *change = call->state;
	JsonbContainer *data;
	char *uid = NULL;

	if (change->already)
		return NULL;
	data = change->found != NULL ? &change->found->root : dibs_cal_data(&change->answer);
	if (data == NULL)
		return NULL;
	if (strncmp(change->wish.kind, "event_type", strlen("event_type")) == 0)
	{
		DibsCalEventType type;

		if (dibs_cal_read_event_type(data, &type))
		{
			type.coach = change->user_ulid;
			(void) dibs_cal_write_event_type(&type, call->account, GetCurrentTimestamp());
			uid = psprintf("%d", type.id);
		}
		return uid;
	}
	if (JsonContainerIsObject(data))
		return apply_booking(change, data, true);
	/* a series: each is a booking, the first one is the row's */
	for (uint32 i = 0; i < JsonContainerSize(data); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(data, i);
		char *one = item->type == jbvBinary ? apply_booking(change, item->val.binary.data, i == 0) : NULL;

		uid = uid == NULL ? one : uid;
	}
	return uid;
}

static void
not_done_yet(DibsCall *call, bool maybe_sent)
{
	Datum values[4] = {CStringGetTextDatum(call->key), BoolGetDatum(maybe_sent), 0, 0};
	char nulls[5] = "  nn";

	if (call->answer.error_code != NULL)
	{
		values[2] = CStringGetTextDatum(call->answer.error_code);
		nulls[2] = ' ';
	}
	if (call->answer.error != NULL)
	{
		values[3] = CStringGetTextDatum(call->answer.error);
		nulls[3] = ' ';
	}
	(void) dibs_execute(&unsent_sql, values, nulls, false, SPI_OK_UPDATE);
}

static void
change_settle(DibsCall *call)
{
	Change *change = call->state;

	switch (call->answer.verdict)
	{
		case DIBS_VERDICT_DONE:
			end_change(call, "done", NULL, NULL, apply_answer(call));
			return;
		case DIBS_VERDICT_RETRY:
		case DIBS_VERDICT_NEW_TOKEN:
		case DIBS_VERDICT_MORE:
		case DIBS_VERDICT_UNKNOWN:
			if (call->outcome == DIBS_CALL_FAILED)
				break;
			/* what was certainly not carried out, this time, was not sent */
			not_done_yet(call, change->maybe_sent || change->phase == PHASE_READ ||
								   (change->phase == PHASE_SEND && call->answer.verdict == DIBS_VERDICT_UNKNOWN));
			return;
		default:
			break;
	}
	/* Cal.com's last word is the wish's end, and the job has done its work */
	end_change(call,
			   change->answer.outcome == DIBS_CAL_REFUSED || change->answer.outcome == DIBS_CAL_CONFLICT ||
					   change->answer.outcome == DIBS_CAL_NOT_FOUND || change->answer.outcome == DIBS_CAL_FORBIDDEN
				   ? "refused"
				   : "failed",
			   call->answer.error_code, call->answer.error, NULL);
	if (change->answer.outcome == DIBS_CAL_REFUSED && change->wish.uid != NULL && change->booking_ulid != NULL &&
		strcmp(change->wish.kind, "create") != 0)
		dibs_cal_read_soon(change->wish.uid, change->user_ulid, 0);
	call->outcome = DIBS_CALL_DONE;
}

const DibsCallKind dibs_cal_change_job = {
	.name = "cal_change",
	.prepare = change_prepare,
	.build = change_build,
	.read = change_read,
	.settle = change_settle,
};
