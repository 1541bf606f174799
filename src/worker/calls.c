/*
 * calls.c
 *		Drives jobs that talk to a provider: claim and prepare, send, settle.
 *
 * A claim puts the end of its lease into "dueAt", so that a job whose worker died is simply due again then, and a wish
 * that comes in meanwhile shows as another "dueAt".
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/clock.h"
#include "guc.h"
#include "queue/attempt.h"
#include "queue/backoff.h"
#include "queue/instance.h"
#include "queue/plan.h"
#include "worker/calls.h"
#include "worker/jobs.h"
#include "worker/pace.h"
#include "worker/shmem.h"
#include "worker/tokens.h"

/* A settling that failed (a lock, no space) is tried again after this, doubled each time, so many times. */
#define SETTLE_AGAIN_MS 500
#define MAX_SETTLE_TRIES 8
/* Jobs may hold this part of the window, so that a long synchronisation leaves room for meetings. */
#define MIN_HELD 4
#define WINDOW_SHARE 4

/* $1 now, $2 instance, $3 kinds, $4 end of the lease, $5 how many, $6 fence */
static DibsStatement claim_sql = {
	"WITH due AS MATERIALIZED ("
	" SELECT j.\"ulid\", j.\"fence\" FROM dibs.\"Job\" j"
	" WHERE j.\"state\" = 'waiting' AND j.\"dueAt\" <= $1 AND coalesce(j.\"leaseUntil\" <= $1, true)"
	"  AND j.\"instance\" = $2 AND j.\"kind\" = ANY ($3)"
	" ORDER BY j.\"dueAt\" LIMIT $5 FOR NO KEY UPDATE SKIP LOCKED)"
	"UPDATE dibs.\"Job\" j SET \"fence\" = $6, \"leaseUntil\" = $4, \"dueAt\" = $4, \"updatedAt\" = $1"
	" FROM due WHERE j.\"ulid\" = due.\"ulid\""
	" RETURNING j.\"ulid\", j.\"kind\", j.\"key\", j.\"args\", j.\"progress\", j.\"attempts\", due.\"fence\" IS NOT NULL",
	6,
	{TIMESTAMPTZOID, TEXTOID, TEXTARRAYOID, TIMESTAMPTZOID, INT8OID, BPCHAROID},
	NULL};

/* Is it still ours, and has somebody wished for it once more? */
static DibsStatement own_sql = {
	"SELECT j.\"dueAt\" IS DISTINCT FROM j.\"leaseUntil\" FROM dibs.\"Job\" j"
	" WHERE j.\"ulid\" = $1 AND j.\"fence\" = $2 AND j.\"state\" = 'waiting' FOR NO KEY UPDATE",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

/*
 * $1 ulid, $2 state where nobody wished for more, $3 next try there, $4 attempts, $5 progress, $6 error code, $7 error,
 * $8 now, $9 fence to keep: a step that was given back unsent may have been sent by an earlier claim
 */
static DibsStatement write_sql = {
	"UPDATE dibs.\"Job\" j SET \"state\" = CASE WHEN j.\"dueAt\" IS DISTINCT FROM j.\"leaseUntil\" THEN 'waiting' ELSE $2 END,"
	" \"dueAt\" = CASE WHEN j.\"dueAt\" IS DISTINCT FROM j.\"leaseUntil\" THEN j.\"dueAt\" ELSE $3 END,"
	" \"endedAt\" = CASE WHEN $2 <> 'waiting' AND j.\"dueAt\" IS NOT DISTINCT FROM j.\"leaseUntil\" THEN $8 END,"
	" \"leaseUntil\" = NULL, \"fence\" = $9, \"attempts\" = $4,"
	" \"progress\" = CASE WHEN $2 = 'done' AND j.\"dueAt\" IS DISTINCT FROM j.\"leaseUntil\" THEN '{}' ELSE $5 END,"
	" \"errorCode\" = $6, \"error\" = $7, \"updatedAt\" = $8 WHERE j.\"ulid\" = $1",
	9,
	{BPCHAROID, TEXTOID, TIMESTAMPTZOID, INT4OID, JSONBOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BPCHAROID},
	NULL};

typedef struct Step
{
	DibsCall *call;
	bool (*prepare)(DibsCall *);
	void (*settle)(DibsCall *);
	bool *result;
} Step;

static bool
run_step(void *arg)
{
	Step *step = arg;

	if (step->prepare)
		*step->result = step->prepare(step->call);
	else
		step->settle(step->call);
	return true;
}

/* prepare or settle: what goes wrong is the job's, not the worker's. False with *message where it raised. */
static bool
try_step(DibsCall *call, bool (*prepare)(DibsCall *), void (*settle)(DibsCall *), bool *result, char **message)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);
	Step step = {call, prepare, settle, result};
	ErrorData *error = dibs_attempt(run_step, &step);

	MemoryContextSwitchTo(old);
	if (error == NULL)
		return true;
	ereport(LOG, (errcode(error->sqlerrcode), errmsg("the job %s failed: %s", call->kind->name, error->message)));
	*message = error->message;
	return false;
}

/* Writes what became of a step whose row is ours and locked. */
static void
write_outcome(DibsCall *call, TimestampTz now)
{
	Datum values[9];
	char nulls[10] = "         ";
	const char *state = "waiting";
	TimestampTz next = Max(call->next_at, now);
	int attempts = 0;

	if (call->release)
		attempts = call->attempts;
	else if (call->outcome == DIBS_CALL_RETRY)
	{
		attempts = call->attempts + 1;
		if (call->next_at == 0)
			next = dibs_next_try(now, attempts, call->answer.retry_at, 0);
	}
	else if (call->outcome == DIBS_CALL_DONE)
		state = "done";
	else if (call->outcome == DIBS_CALL_FAILED)
	{
		state = "failed";
		attempts = call->attempts + 1;
	}

	values[0] = CStringGetTextDatum(call->ulid);
	values[1] = CStringGetTextDatum(state);
	values[2] = TimestampTzGetDatum(next);
	values[3] = Int32GetDatum(attempts);
	values[4] = JsonbPGetDatum(call->progress);
	if (attempts > 0 && call->answer.error_code)
		values[5] = CStringGetTextDatum(call->answer.error_code);
	else
		nulls[5] = 'n';
	if (attempts > 0 && call->answer.error)
		values[6] = CStringGetTextDatum(call->answer.error);
	else
		nulls[6] = 'n';
	values[7] = TimestampTzGetDatum(now);
	values[8] = CStringGetTextDatum(call->fence);
	if (!call->release || !call->taken_over)
		nulls[8] = 'n';
	(void) dibs_execute(&write_sql, values, nulls, false, SPI_OK_UPDATE);
}

static bool
tries_left(const DibsCall *call)
{
	int most = call->kind->max_attempts == 0 ? dibs_max_attempts : call->kind->max_attempts;

	return most < 0 || call->attempts + 1 < most;
}

/* Prepares one; NULL: there is nothing to send, and what became of it is written. */
static DibsCall *
prepare(DibsCall *call, TimestampTz now)
{
	bool send = false;
	char *message;

	call->outcome = DIBS_CALL_DONE;
	if (!try_step(call, call->kind->prepare, NULL, &send, &message))
	{
		dibs_call_failed(call, DIBS_VERDICT_RETRY, "internal", "%s", message);
		call->outcome = tries_left(call) ? DIBS_CALL_RETRY : DIBS_CALL_FAILED;
		send = false;
	}
	if (send)
		return call;
	write_outcome(call, now);
	MemoryContextDelete(call->context);
	return NULL;
}

static DibsCall *
read_call(DibsEngine *e, uint64 row, const char *fence, int64 lease_end)
{
	MemoryContext context = AllocSetContextCreate(e->tick, "dibs call", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	DibsCall *call = palloc0(sizeof(DibsCall));
	bool isnull;

	call->context = context;
	call->lease_end = lease_end;
	call->lease_ms = dibs_lease_ms();
	strlcpy(call->ulid, dibs_column(row, 1), sizeof(call->ulid));
	strlcpy(call->fence, fence, sizeof(call->fence));
	call->kind = dibs_call_kind(dibs_column(row, 2));
	call->key = dibs_column(row, 3);
	call->args = DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 4, &isnull));
	call->progress = DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 5, &isnull));
	call->attempts = dibs_column_int(row, 6);
	call->taken_over = dibs_column_bool(row, 7);
	call->account = "";
	MemoryContextSwitchTo(old);
	return call;
}

List *
dibs_claim_calls(DibsEngine *e, int room, int *claimed)
{
	TimestampTz now = GetCurrentTimestamp();
	int lease_ms = dibs_lease_ms();
	int64 lease_end = dibs_monotonic_ms() + lease_ms;
	int most = Max(MIN_HELD, dibs_max_in_flight / WINDOW_SHARE) - e->calls_held;
	char fence[DIBS_ULID_LEN + 1];
	Datum values[6];
	DibsCall **calls;
	List *ready = NIL;
	int n;

	*claimed = 0;
	room = Min(room, most);
	if (room <= 0)
		return NIL;
	if (!dibs_ulid_generate(fence))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	values[0] = TimestampTzGetDatum(now);
	values[1] = CStringGetTextDatum(dibs_instance());
	values[2] = dibs_call_kind_names();
	values[3] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(now, lease_ms));
	values[4] = Int64GetDatum(room);
	values[5] = CStringGetTextDatum(fence);
	n = (int) dibs_execute(&claim_sql, values, NULL, false, SPI_OK_UPDATE_RETURNING);
	calls = palloc(sizeof(DibsCall *) * Max(n, 1));
	for (int i = 0; i < n; i++)
		calls[i] = read_call(e, i, fence, lease_end);
	for (int i = 0; i < n; i++)
	{
		DibsCall *call = prepare(calls[i], now);

		if (call != NULL)
			ready = lappend(ready, call);
	}
	*claimed = n;
	return ready;
}

void
dibs_take_calls(DibsEngine *e, List *calls)
{
	MemoryContext old = MemoryContextSwitchTo(e->context);
	ListCell *lc;

	foreach (lc, calls)
	{
		DibsCall *call = (DibsCall *) lfirst(lc);

		MemoryContextSetParent(call->context, e->context);
		e->calls = lappend(e->calls, call);
		e->calls_held++;
	}
	MemoryContextSwitchTo(old);
	list_free(calls);
}

static void
queue_answered(DibsEngine *e, DibsCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(e->context);

	e->calls_answered = lappend(e->calls_answered, call);
	MemoryContextSwitchTo(old);
}

static void
release(DibsEngine *e, DibsCall *call, TimestampTz at)
{
	/* between two requests what was sent is settled; before the first there is nothing to settle */
	if (call->step == 0)
		call->release = true;
	else
		call->answer.verdict = DIBS_VERDICT_MORE;
	call->next_at = at;
	queue_answered(e, call);
}

/* build or read, outside any transaction: what goes wrong in it is the job's. */
static DibsHttpRequest *
try_kind(DibsEngine *e, DibsCall *call, const DibsAccess *access, DibsHttpRequest *answered)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);
	DibsHttpRequest *volatile request = NULL;

	memset(&call->answer, 0, sizeof(call->answer));
	PG_TRY();
	{
		if (answered)
			call->kind->read(call, answered);
		else
			request = call->kind->build(call, e->http, access);
	}
	PG_CATCH();
	{
		char *message = dibs_caught(call->context, "the job", call->kind->name);

		dibs_call_failed(call, answered ? DIBS_VERDICT_UNKNOWN : DIBS_VERDICT_RETRY, "internal", "%s", message);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return request;
}

/* As the courier does for meetings. False: it is not its turn yet. */
static bool
keep_pace(DibsEngine *e, DibsCall *call)
{
	int64 after;
	MemoryContext old;

	if (call->kind->pace == NULL || call->provider == NULL)
		return true;
	if (call->send_at == 0)
	{
		int64 latest = call->lease_end - dibs_request_timeout - dibs_lease_margin;

		call->send_at = dibs_pace_take(call->provider, call->account, call->kind->pace(call), latest, &after);
		if (call->send_at < 0)
		{
			release(e, call, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), after));
			return false;
		}
	}
	if (call->send_at > dibs_monotonic_ms())
	{
		old = MemoryContextSwitchTo(e->context);
		e->calls_paced = lappend(e->calls_paced, call);
		MemoryContextSwitchTo(old);
		return false;
	}
	call->send_at = 0;
	return true;
}

void
dibs_send_call(DibsEngine *e, DibsCall *call)
{
	static const DibsAccess none = {.account = ""};
	const DibsAccess *access = &none;
	DibsErrand errand = {.call = call};
	DibsHttpRequest *request;
	MemoryContext old;

	/* by the monotonic clock: an answer must be settled while the lease is still ours */
	if (call->lease_end - dibs_monotonic_ms() < dibs_request_timeout + dibs_lease_margin)
	{
		release(e, call, 0);
		return;
	}
	if (call->provider != NULL)
	{
		TimestampTz until = dibs_throttled_until(e, call->provider, call->account, NULL);

		if (until != 0)
		{
			release(e, call, until);
			return;
		}
		if (!call->no_token)
			access = dibs_access_for(e, call->provider, call->account, &errand, &errand.serial);
		if (access == NULL || !keep_pace(e, call))
			return;
	}
	request = try_kind(e, call, access, NULL);
	if (request == NULL)
	{
		queue_answered(e, call);
		return;
	}
	old = MemoryContextSwitchTo(call->context);
	{
		DibsErrand *sent = palloc(sizeof(DibsErrand));

		*sent = errand;
		dibs_start_request(e, request, sent);
	}
	MemoryContextSwitchTo(old);
}

void
dibs_call_answered(DibsEngine *e, DibsCall *call, int serial, DibsHttpRequest *request)
{
	(void) try_kind(e, call, NULL, request);
	dibs_http_free(request);
	call->step++;
	switch (call->answer.verdict)
	{
		case DIBS_VERDICT_MORE:
			dibs_send_call(e, call);
			return;
		case DIBS_VERDICT_NEW_TOKEN:
			if (!call->new_token_tried && call->provider != NULL)
			{
				call->new_token_tried = true;
				call->step--;
				dibs_access_refused(e, call->provider, call->account, serial);
				dibs_send_call(e, call);
				return;
			}
			dibs_call_failed(call, DIBS_VERDICT_FAILED, "not_connected", "%s refuses a new access token, too",
							 call->provider ? call->provider : "the provider");
			break;
		default:
			if (call->provider != NULL && call->answer.throttle == DIBS_THROTTLE_ACCOUNT)
				dibs_remember_throttle(e, DIBS_THROTTLE_ACCOUNT, call->provider, call->account, NULL,
									   call->answer.retry_at);
			break;
	}
	queue_answered(e, call);
}

void
dibs_fail_call(DibsEngine *e, DibsCall *call, const DibsFailure *failure)
{
	call->answer = *failure;
	if (failure->error)
		call->answer.error = MemoryContextStrdup(call->context, failure->error);
	queue_answered(e, call);
}

static DibsCallOutcome
outcome_of(const DibsCall *call)
{
	switch (call->answer.verdict)
	{
		case DIBS_VERDICT_MORE:
			return DIBS_CALL_AGAIN;
		case DIBS_VERDICT_RETRY:
		case DIBS_VERDICT_UNKNOWN:
		case DIBS_VERDICT_NEW_TOKEN:
			return tries_left(call) ? DIBS_CALL_RETRY : DIBS_CALL_FAILED;
		case DIBS_VERDICT_FAILED:
			return DIBS_CALL_FAILED;
		default:
			return DIBS_CALL_DONE;
	}
}

/* In a transaction. False: it is to be tried again. */
static bool
settle_call(DibsCall *call, TimestampTz now)
{
	Datum values[2];
	char *message;

	values[0] = CStringGetTextDatum(call->ulid);
	values[1] = CStringGetTextDatum(call->fence);
	call->lost = dibs_execute(&own_sql, values, NULL, false, SPI_OK_SELECT) == 0;
	if (call->release)
	{
		if (!call->lost && call->kind->unsent)
			(void) try_step(call, NULL, call->kind->unsent, NULL, &message);
	}
	else
	{
		if (call->answer.verdict != DIBS_VERDICT_MORE)
			call->next_at = 0;
		call->outcome = outcome_of(call);
		call->last_try = !tries_left(call);
		if (call->kind->settle && !try_step(call, NULL, call->kind->settle, NULL, &message))
		{
			if (++call->settle_tries < MAX_SETTLE_TRIES)
				return false;
			dibs_call_failed(call, DIBS_VERDICT_RETRY, "not_writable", "%s", message);
			call->outcome = outcome_of(call);
		}
	}
	if (!call->lost)
		write_outcome(call, now);
	return true;
}

/* Not now: it stays with the answered ones, and the others go first. */
static void
put_aside(DibsEngine *e, DibsCall *call)
{
	queue_answered(e, call);
	e->calls_aside_until = dibs_monotonic_ms() + ((int64) SETTLE_AGAIN_MS << Min(call->settle_tries, 6));
}

void
dibs_settle_calls(DibsEngine *e)
{
	DibsWorkerSlot *slot = dibs_my_slot();
	int n = list_length(e->calls_answered);

	if (dibs_monotonic_ms() < e->calls_aside_until)
		return;
	while (n-- > 0)
	{
		TimestampTz now = GetCurrentTimestamp();
		DibsCall *call;
		bool settled;

		if (!dibs_begin_work(e))
			return;
		call = (DibsCall *) linitial(e->calls_answered);
		e->calls_answered = list_delete_first(e->calls_answered);
		e->settling_call = call;
		settled = settle_call(call, now);
		dibs_end_work(e);
		e->settling_call = NULL;
		if (!settled)
		{
			put_aside(e, call);
			continue;
		}
		if (slot)
		{
			slot->settled++;
			if (call->outcome == DIBS_CALL_FAILED && !call->release)
				slot->failed++;
		}
		MemoryContextDelete(call->context);
		e->calls_held--;
		/* its next step, or what waited for room, is found by the next look */
		e->woken = true;
	}
}

bool
dibs_recover_call(DibsEngine *e, const char *message)
{
	DibsCall *call = e->settling_call;

	if (call == NULL)
		return false;
	e->settling_call = NULL;
	if (++call->settle_tries < MAX_SETTLE_TRIES)
	{
		put_aside(e, call);
		return true;
	}
	/* its lease runs out, and it is done once more */
	ereport(LOG, (errcode(ERRCODE_INTERNAL_ERROR),
				  errmsg("what came of the job %s could not be written: %s", call->kind->name, message)));
	MemoryContextDelete(call->context);
	e->calls_held--;
	return true;
}
