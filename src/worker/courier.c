/*
 * courier.c
 *		Puts claimed work on the wire and reads the answers: throttles, requests.
 *
 * What a provider throttles is remembered, so that one host's or account's limit costs one refused request, not one
 * for each booking.
 */
#include "compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/clock.h"
#include "guc.h"
#include "http/http.h"
#include "worker/calls.h"
#include "worker/courier.h"
#include "worker/metrics.h"
#include "worker/pace.h"
#include "worker/shmem.h"
#include "worker/tokens.h"

/* "Too many" said of a host or an account: nothing more is sent there before `until`. */
typedef struct Throttle
{
	DibsThrottle scope;
	char key[160];
	TimestampTz until;
} Throttle;

static void send_claim(DibsEngine *e, DibsClaim *claim);

static const char *
account_of(const DibsClaim *claim)
{
	return claim->meeting_account ? claim->meeting_account : "";
}

static void
throttle_key(DibsThrottle scope, const char *provider, const char *account, const char *host, char *key, size_t size)
{
	snprintf(key, size, "%s/%s/%s", provider, account, scope == DIBS_THROTTLE_HOST && host ? host : "");
}

void
dibs_remember_throttle(DibsEngine *e, DibsThrottle scope, const char *provider, const char *account, const char *host,
					   TimestampTz until)
{
	MemoryContext old;
	Throttle *throttle;

	if (scope == DIBS_THROTTLE_NONE || until == 0)
		return;
	old = MemoryContextSwitchTo(e->context);
	throttle = palloc0(sizeof(Throttle));
	throttle->scope = scope;
	throttle->until = until;
	throttle_key(scope, provider, account, host, throttle->key, sizeof(throttle->key));
	e->throttles = lappend(e->throttles, throttle);
	MemoryContextSwitchTo(old);
}

/* Forgets what is over. */
TimestampTz
dibs_throttled_until(DibsEngine *e, const char *provider, const char *account, const char *host)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = 0;
	ListCell *lc;

	foreach (lc, e->throttles)
	{
		Throttle *throttle = (Throttle *) lfirst(lc);
		char key[160];

		if (throttle->until <= now)
		{
			e->throttles = foreach_delete_current(e->throttles, lc);
			pfree(throttle);
			continue;
		}
		if (throttle->scope == DIBS_THROTTLE_HOST && host == NULL)
			continue;
		throttle_key(throttle->scope, provider, account, host, key, sizeof(key));
		if (strcmp(key, throttle->key) == 0)
			until = Max(until, throttle->until);
	}
	return until;
}

void
dibs_start_request(DibsEngine *e, DibsHttpRequest *request, DibsErrand *errand)
{
	DibsWorkerSlot *slot = dibs_my_slot();

	dibs_http_set_private(request, errand);
	dibs_http_start(request);
	e->in_flight++;
	if (slot)
		slot->requests++;
}

char *
dibs_caught(MemoryContext context, const char *what, const char *name)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		PG_RE_THROW();
	FlushErrorState();
	ereport(LOG, (errcode(error->sqlerrcode), errmsg("%s %s failed: %s", what, name, error->message)));
	return error->message;
}

/* The provider's build or read: what goes wrong in it is the claim's. */
static DibsHttpRequest *
try_provider(DibsEngine *e, DibsClaim *claim, const DibsAccess *access, DibsHttpRequest *answered)
{
	DibsMeetingWork *work = &claim->work;
	MemoryContext old = MemoryContextSwitchTo(claim->context);
	DibsHttpRequest *volatile request = NULL;

	PG_TRY();
	{
		if (answered)
			work->provider->read(work, answered);
		else
			request = work->provider->build(work, e->http, access);
	}
	PG_CATCH();
	{
		char *message = dibs_caught(claim->context, "the meeting of", claim->subject);

		/* certainly not carried out is what nothing was sent for */
		dibs_work_failed(work, answered || work->step > 0 ? DIBS_VERDICT_UNKNOWN : DIBS_VERDICT_RETRY, "internal", "%s",
						 message);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return request;
}

/* Gives a claim back unsent; `at` 0: it may be claimed again at once. */
static void
release_claim(DibsEngine *e, DibsClaim *claim, TimestampTz at)
{
	claim->release = true;
	claim->work.retry_at = at;
	dibs_queue_answered(e, claim);
}

/*
 * Keeps the account's pace. False: it is not the claim's turn yet; then it waits here if its lease allows, else it was
 * given back for the time when it will be.
 */
static bool
keep_pace(DibsEngine *e, DibsClaim *claim)
{
	const DibsMeetingProvider *provider = claim->work.provider;
	int64 now = dibs_monotonic_ms();
	MemoryContext old;
	int64 after;

	if (provider->pace == NULL)
		return true;
	if (claim->send_at == 0)
	{
		int64 latest = claim->lease_end - dibs_request_timeout - dibs_lease_margin;

		claim->send_at = dibs_pace_take(provider->name, claim->meeting_account ? claim->meeting_account : "",
										provider->pace(&claim->work), latest, &after);
		if (claim->send_at < 0)
		{
			if (claim->work.step == 0)
				release_claim(e, claim, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), after));
			else
			{
				/* what was sent is on record, the rest is looked up */
				claim->work.verdict = DIBS_VERDICT_UNKNOWN;
				dibs_queue_answered(e, claim);
			}
			return false;
		}
	}
	if (claim->send_at > now)
	{
		old = MemoryContextSwitchTo(e->context);
		e->paced = lappend(e->paced, claim);
		MemoryContextSwitchTo(old);
		return false;
	}
	/* the action's next request takes a turn of its own */
	claim->send_at = 0;
	return true;
}

/* Builds the action's next request and puts it on the wire, or finds that it can't be. */
static void
send_claim(DibsEngine *e, DibsClaim *claim)
{
	const DibsMeetingProvider *provider = claim->work.provider;
	TimestampTz until;
	DibsAccess none = {.account = ""};
	const DibsAccess *access = &none;
	DibsErrand errand = {.claim = claim};
	DibsHttpRequest *request;

	/* by the monotonic clock: an answer must be settled while the lease is still ours */
	if (claim->lease_end - dibs_monotonic_ms() < dibs_request_timeout + dibs_lease_margin)
	{
		if (claim->work.step == 0)
			release_claim(e, claim, 0);
		else
		{
			/* between two requests of one action: what was sent is on record, the rest is looked up */
			claim->work.verdict = DIBS_VERDICT_UNKNOWN;
			dibs_queue_answered(e, claim);
		}
		return;
	}
	/* a host's limit is on creates and updates; removing is always allowed */
	until = dibs_throttled_until(e, provider->name, account_of(claim),
								 claim->work.action == DIBS_ACTION_CREATE || claim->work.action == DIBS_ACTION_UPDATE
									 ? claim->work.known.host
									 : NULL);
	if (until != 0)
	{
		release_claim(e, claim, until);
		return;
	}
	if (provider->needs_token)
	{
		access = dibs_access_for(e, provider->name, account_of(claim), &errand, &errand.serial);
		if (access == NULL)
			return;
	}
	if (!keep_pace(e, claim))
		return;
	request = try_provider(e, claim, access, NULL);
	if (request != NULL)
	{
		DibsErrand *sent = MemoryContextAlloc(claim->context, sizeof(DibsErrand));

		*sent = errand;
		dibs_start_request(e, request, sent);
	}
	else
		dibs_queue_answered(e, claim);
}

static void
claim_answered(DibsEngine *e, DibsClaim *claim, int serial, DibsHttpRequest *request)
{
	DibsMeetingWork *work = &claim->work;
	MemoryContext old;

	work->verdict = DIBS_VERDICT_NONE;
	(void) try_provider(e, claim, NULL, request);
	dibs_http_free(request);

	switch (work->verdict)
	{
		case DIBS_VERDICT_MORE:
			work->step++;
			send_claim(e, claim);
			break;
		case DIBS_VERDICT_NEW_TOKEN:
			if (!claim->new_token_tried)
			{
				claim->new_token_tried = true;
				dibs_access_refused(e, work->provider->name, account_of(claim), serial);
				send_claim(e, claim);
			}
			else
			{
				/* not final: where many tokens die at once, this one may have been refused for another's sake */
				old = MemoryContextSwitchTo(claim->context);
				dibs_work_failed(work, DIBS_VERDICT_RETRY, "not_connected", "%s refuses a new access token, too",
								 work->provider->name);
				MemoryContextSwitchTo(old);
				dibs_queue_answered(e, claim);
			}
			break;
		default:
			dibs_remember_throttle(e, work->throttle, work->provider->name, account_of(claim), work->known.host,
								   work->retry_at);
			dibs_queue_answered(e, claim);
			break;
	}
}

void
dibs_send_errand(DibsEngine *e, const DibsErrand *errand)
{
	if (errand->claim)
		send_claim(e, errand->claim);
	else
		dibs_send_call(e, errand->call);
}

void
dibs_fail_errand(DibsEngine *e, const DibsErrand *errand, const DibsFailure *failure)
{
	DibsClaim *claim = errand->claim;
	MemoryContext old;

	if (claim == NULL)
	{
		dibs_fail_call(e, errand->call, failure);
		return;
	}
	old = MemoryContextSwitchTo(claim->context);
	claim->work.verdict = failure->verdict;
	claim->work.retry_at = failure->retry_at;
	claim->work.error_code = failure->error_code;
	claim->work.error = failure->error ? pstrdup(failure->error) : NULL;
	MemoryContextSwitchTo(old);
	dibs_queue_answered(e, claim);
}

void
dibs_read_answers(DibsEngine *e)
{
	DibsHttpRequest *request;

	dibs_http_drive(e->http);
	while ((request = dibs_http_next_done(e->http)) != NULL)
	{
		DibsErrand errand = *(DibsErrand *) dibs_http_private(request);

		e->in_flight--;
		if (errand.claim)
			dibs_count_call(errand.claim->work.provider->name, request);
		else if (errand.call)
			dibs_count_call(errand.call->provider, request);
		if (errand.token)
			dibs_token_answered(e, errand.token, request);
		else if (errand.call)
			dibs_call_answered(e, errand.call, errand.serial, request);
		else
			claim_answered(e, errand.claim, errand.serial, request);
	}
}

int64
dibs_next_paced(DibsEngine *e)
{
	int64 next = PG_INT64_MAX;
	ListCell *lc;

	foreach (lc, e->paced)
		next = Min(next, ((DibsClaim *) lfirst(lc))->send_at);
	foreach (lc, e->calls_paced)
		next = Min(next, ((DibsCall *) lfirst(lc))->send_at);
	return next;
}

/* Those whose turn has come go to the front of what is ready. */
static void
end_pause(DibsEngine *e)
{
	int64 now = dibs_monotonic_ms();
	MemoryContext old = MemoryContextSwitchTo(e->context);
	List *turn = NIL;
	ListCell *lc;

	foreach (lc, e->paced)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);

		if (claim->send_at > now)
			continue;
		turn = lappend(turn, claim);
		e->paced = foreach_delete_current(e->paced, lc);
	}
	if (turn != NIL)
		e->ready = list_concat(turn, e->ready);
	foreach (lc, e->calls_paced)
	{
		DibsCall *call = (DibsCall *) lfirst(lc);

		if (call->send_at > now)
			continue;
		e->calls = lappend(e->calls, call);
		e->calls_paced = foreach_delete_current(e->calls_paced, lc);
	}
	MemoryContextSwitchTo(old);
}

void
dibs_send_ready(DibsEngine *e)
{
	end_pause(e);
	/* jobs first: few are held at once, and meetings may wait for what they do */
	while (e->calls != NIL && e->in_flight < dibs_max_in_flight)
	{
		DibsCall *call = (DibsCall *) linitial(e->calls);

		e->calls = list_delete_first(e->calls);
		dibs_send_call(e, call);
	}
	while (e->ready != NIL && e->in_flight < dibs_max_in_flight)
	{
		DibsClaim *claim = (DibsClaim *) linitial(e->ready);

		e->ready = list_delete_first(e->ready);
		send_claim(e, claim);
	}
}
