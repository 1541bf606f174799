/*
 * courier.c
 *		Puts claimed work on the wire and reads the answers: access tokens, throttles, requests.
 *
 * An access token is fetched once for an account; the work that needs it waits with it. What a provider throttles is
 * remembered, so that one host's or account's limit costs one refused request, not one for each booking.
 */
#include "compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/clock.h"
#include "guc.h"
#include "http/http.h"
#include "secrets/secret.h"
#include "worker/courier.h"
#include "worker/shmem.h"

/* A token is not used in its last minute: it could run out on the way. */
#define TOKEN_MARGIN_MS 60000

typedef struct Token
{
	MemoryContext context; /* reset with each new token */
	const DibsMeetingProvider *provider;
	char account[64];
	char *token;
	int64 until; /* monotonic ms; 0: there is none */
	bool fetching;
	List *waiting; /* of DibsClaim */
	int serial;    /* counts the tokens fetched */
	DibsAccess access;
} Token;

/* "Too many" said of a host or an account: nothing more is sent there before `until`. */
typedef struct Throttle
{
	DibsThrottle scope;
	char key[160];
	TimestampTz until;
} Throttle;

/* What a request on the wire is for: one of the two. */
typedef struct Errand
{
	DibsClaim *claim;
	Token *token;
	int serial; /* of the token that a claim's request carries */
} Errand;

static void send_claim(DibsEngine *e, DibsClaim *claim);

static void
throttle_key(const DibsClaim *claim, DibsThrottle scope, char *key, size_t size)
{
	snprintf(key, size, "%s/%s/%s", claim->work.provider->name, claim->meeting_account ? claim->meeting_account : "",
			 scope == DIBS_THROTTLE_HOST && claim->work.known.host ? claim->work.known.host : "");
}

static void
remember_throttle(DibsEngine *e, const DibsClaim *claim)
{
	MemoryContext old;
	Throttle *throttle;

	if (claim->work.throttle == DIBS_THROTTLE_NONE || claim->work.retry_at == 0)
		return;
	old = MemoryContextSwitchTo(e->context);
	throttle = palloc0(sizeof(Throttle));
	throttle->scope = claim->work.throttle;
	throttle->until = claim->work.retry_at;
	throttle_key(claim, throttle->scope, throttle->key, sizeof(throttle->key));
	e->throttles = lappend(e->throttles, throttle);
	MemoryContextSwitchTo(old);
}

/* Until when this claim's host or account is throttled; 0: it is not. Forgets what is over. */
static TimestampTz
throttled_until(DibsEngine *e, const DibsClaim *claim)
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
		/* a host's limit is on creates and updates; removing is always allowed */
		if (throttle->scope == DIBS_THROTTLE_HOST && claim->work.action != DIBS_ACTION_CREATE &&
			claim->work.action != DIBS_ACTION_UPDATE)
			continue;
		throttle_key(claim, throttle->scope, key, sizeof(key));
		if (strcmp(key, throttle->key) == 0)
			until = Max(until, throttle->until);
	}
	return until;
}

static Token *
find_token(DibsEngine *e, const DibsMeetingProvider *provider, const char *account)
{
	ListCell *lc;
	Token *token;
	MemoryContext old;

	foreach (lc, e->tokens)
	{
		token = (Token *) lfirst(lc);
		if (token->provider == provider && strcmp(token->account, account) == 0)
			return token;
	}
	old = MemoryContextSwitchTo(e->context);
	token = palloc0(sizeof(Token));
	token->provider = provider;
	strlcpy(token->account, account, sizeof(token->account));
	token->context = AllocSetContextCreate(e->context, "dibs token", ALLOCSET_SMALL_SIZES);
	e->tokens = lappend(e->tokens, token);
	MemoryContextSwitchTo(old);
	return token;
}

static void
forget_token(Token *token)
{
	if (token->token)
		explicit_bzero(token->token, strlen(token->token));
	token->token = NULL;
	token->until = 0;
	memset(&token->access, 0, sizeof(token->access));
	MemoryContextReset(token->context);
}

/* Everybody who waited for the token learns that there is none. */
static void
fail_waiting(DibsEngine *e, Token *token, const DibsMeetingWork *error)
{
	List *waiting = token->waiting;
	ListCell *lc;

	token->waiting = NIL;
	foreach (lc, waiting)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);
		MemoryContext old = MemoryContextSwitchTo(claim->context);

		claim->work.verdict = error->verdict;
		claim->work.retry_at = error->retry_at;
		claim->work.error_code = error->error_code;
		claim->work.error = error->error ? pstrdup(error->error) : NULL;
		MemoryContextSwitchTo(old);
		dibs_queue_answered(e, claim);
	}
	list_free(waiting);
}

/* Reads the account's credentials, in a transaction of its own. False: error says why there are none. */
static bool
load_credentials(DibsEngine *e, Token *token, DibsMeetingWork *error)
{
	const char **slots[3] = {&token->access.client_id, &token->access.client_secret, &token->access.account_id};
	const char *missing = NULL;
	bool unreadable = false;

	if (!dibs_begin_work(e))
	{
		dibs_work_failed(error, DIBS_VERDICT_RETRY, "worker_role", "%s", e->hold);
		return false;
	}
	for (int i = 0; i < (int) lengthof(slots); i++)
	{
		const char *name = token->provider->secret_names[i];
		List *live;
		ListCell *lc;

		*slots[i] = NULL;
		if (name == NULL)
			continue;
		live = dibs_secret_live_quiet(name, token->context, &unreadable);
		foreach (lc, live)
		{
			DibsSecret *secret = (DibsSecret *) lfirst(lc);

			if (*slots[i] == NULL && strcmp(secret->account, token->account) == 0)
				*slots[i] = secret->value;
		}
		if (*slots[i] == NULL && missing == NULL)
			missing = name;
	}
	dibs_end_work(e);
	token->access.account = token->account;
	if (missing == NULL)
		return true;
	if (unreadable)
		dibs_work_failed(error, DIBS_VERDICT_RETRY, "key_unreadable", "the master key does not open the secret %s",
						 missing);
	else
		dibs_work_failed(error, DIBS_VERDICT_FAILED, "not_connected", "the secret %s is not set", missing);
	return false;
}

static void
start_request(DibsEngine *e, DibsHttpRequest *request, Errand *errand)
{
	DibsWorkerSlot *slot = dibs_my_slot();

	dibs_http_set_private(request, errand);
	dibs_http_start(request);
	e->in_flight++;
	if (slot)
		slot->requests++;
}

static void
fetch_token(DibsEngine *e, Token *token)
{
	DibsMeetingWork error = {0};
	DibsHttpRequest *request;
	Errand *errand;
	MemoryContext old;

	forget_token(token);
	if (!load_credentials(e, token, &error))
	{
		fail_waiting(e, token, &error);
		return;
	}
	old = MemoryContextSwitchTo(token->context);
	request = token->provider->token_request(e->http, &token->access);
	errand = palloc0(sizeof(Errand));
	errand->token = token;
	MemoryContextSwitchTo(old);
	token->fetching = true;
	start_request(e, request, errand);
}

static void
token_answered(DibsEngine *e, Token *token, DibsHttpRequest *request)
{
	DibsMeetingWork error = {0};
	char *value = NULL;
	int ttl;
	MemoryContext old;
	List *waiting;
	ListCell *lc;

	token->fetching = false;
	old = MemoryContextSwitchTo(token->context);
	ttl = token->provider->token_read(request, &value, &error);
	MemoryContextSwitchTo(old);
	dibs_http_free(request);
	if (ttl <= 0)
	{
		fail_waiting(e, token, &error);
		forget_token(token);
		return;
	}
	token->token = value;
	token->serial++;
	token->access.token = value;
	token->until = dibs_monotonic_ms() + Max((int64) ttl * 1000 - TOKEN_MARGIN_MS, (int64) ttl * 500);
	waiting = token->waiting;
	token->waiting = NIL;
	foreach (lc, waiting)
		send_claim(e, (DibsClaim *) lfirst(lc));
	list_free(waiting);
}

/* Gives a claim back unsent; `at` 0: it may be claimed again at once. */
static void
release_claim(DibsEngine *e, DibsClaim *claim, TimestampTz at)
{
	claim->release = true;
	claim->work.retry_at = at;
	dibs_queue_answered(e, claim);
}

/* Builds the action's next request and puts it on the wire, or finds that it can't be. */
static void
send_claim(DibsEngine *e, DibsClaim *claim)
{
	const DibsMeetingProvider *provider = claim->work.provider;
	TimestampTz until;
	Token *token = NULL;
	DibsAccess none = {.account = ""};
	DibsHttpRequest *request;
	MemoryContext old;

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
	until = throttled_until(e, claim);
	if (until != 0)
	{
		release_claim(e, claim, until);
		return;
	}
	if (provider->token_request)
	{
		token = find_token(e, provider, claim->meeting_account ? claim->meeting_account : "");
		if (token->until <= dibs_monotonic_ms())
		{
			old = MemoryContextSwitchTo(e->context);
			token->waiting = lappend(token->waiting, claim);
			MemoryContextSwitchTo(old);
			if (!token->fetching)
				fetch_token(e, token);
			return;
		}
	}
	old = MemoryContextSwitchTo(claim->context);
	request = provider->build(&claim->work, e->http, token ? &token->access : &none);
	if (request != NULL)
	{
		Errand *errand = palloc0(sizeof(Errand));

		errand->claim = claim;
		errand->serial = token ? token->serial : 0;
		start_request(e, request, errand);
	}
	else
		dibs_queue_answered(e, claim);
	MemoryContextSwitchTo(old);
}

static void
claim_answered(DibsEngine *e, DibsClaim *claim, int serial, DibsHttpRequest *request)
{
	MemoryContext old = MemoryContextSwitchTo(claim->context);

	claim->work.verdict = DIBS_VERDICT_NONE;
	claim->work.provider->read(&claim->work, request);
	dibs_http_free(request);
	MemoryContextSwitchTo(old);

	switch (claim->work.verdict)
	{
		case DIBS_VERDICT_MORE:
			claim->work.step++;
			send_claim(e, claim);
			break;
		case DIBS_VERDICT_NEW_TOKEN:
			if (!claim->new_token_tried)
			{
				Token *token = find_token(e, claim->work.provider,
										  claim->meeting_account ? claim->meeting_account : "");

				claim->new_token_tried = true;
				/* others may have fetched a new one while this answer was on its way: theirs will do */
				if (!token->fetching && token->serial == serial)
					token->until = 0;
				send_claim(e, claim);
			}
			else
			{
				old = MemoryContextSwitchTo(claim->context);
				dibs_work_failed(&claim->work, DIBS_VERDICT_FAILED, "not_connected",
								 "%s refuses a new access token, too", claim->work.provider->name);
				MemoryContextSwitchTo(old);
				dibs_queue_answered(e, claim);
			}
			break;
		default:
			remember_throttle(e, claim);
			dibs_queue_answered(e, claim);
			break;
	}
}

void
dibs_read_answers(DibsEngine *e)
{
	DibsHttpRequest *request;

	dibs_http_drive(e->http);
	while ((request = dibs_http_next_done(e->http)) != NULL)
	{
		Errand errand = *(Errand *) dibs_http_private(request);

		e->in_flight--;
		if (errand.token)
			token_answered(e, errand.token, request);
		else
			claim_answered(e, errand.claim, errand.serial, request);
	}
}

void
dibs_send_ready(DibsEngine *e)
{
	while (e->ready != NIL && e->in_flight < dibs_max_in_flight)
	{
		DibsClaim *claim = (DibsClaim *) linitial(e->ready);

		e->ready = list_delete_first(e->ready);
		send_claim(e, claim);
	}
}
