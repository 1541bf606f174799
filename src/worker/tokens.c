/*
 * tokens.c
 *		Access tokens: fetched once for an account, kept in memory; what needs one waits with it.
 */
#include "compat.h"

#include "utils/memutils.h"

#include "account/access.h"
#include "account/oauth.h"
#include "core/clock.h"
#include "secrets/seal.h"
#include "worker/tokens.h"

/* A token is not used in its last minute: it could run out on the way. */
#define TOKEN_MARGIN_MS 60000

/* While a job gets a token it is looked again after this, and after this long the work is given back. */
#define LOOK_MS 200
#define LOOK_LIMIT_MS 10000

/* However short it lives, one request is worth a try with it. */
#define SHORTEST_MS 1000

struct DibsToken
{
	MemoryContext context; /* reset with each new token */
	const DibsAccountProvider *provider;
	char account[64];
	int64 until; /* monotonic ms; 0: there is none */
	bool fetching;
	List *waiting; /* of DibsErrand */
	int serial;    /* counts the tokens */
	int refused;   /* version of a grant whose token was refused */
	int64 look_at; /* monotonic ms: a job gets it, so look again then; 0: nobody waits for one */
	int64 give_up_at;
	DibsAccess access;
};

static DibsToken *
find_token(DibsEngine *e, const char *provider, const char *account)
{
	ListCell *lc;
	DibsToken *token;
	MemoryContext old;

	foreach (lc, e->tokens)
	{
		token = (DibsToken *) lfirst(lc);
		if (strcmp(token->provider->name, provider) == 0 && strcmp(token->account, account) == 0)
			return token;
	}
	old = MemoryContextSwitchTo(e->context);
	token = palloc0(sizeof(DibsToken));
	token->provider = dibs_account_provider(provider);
	strlcpy(token->account, account, sizeof(token->account));
	token->context = AllocSetContextCreate(e->context, "dibs token", ALLOCSET_SMALL_SIZES);
	e->tokens = lappend(e->tokens, token);
	MemoryContextSwitchTo(old);
	return token;
}

static void
forget_token(DibsToken *token)
{
	token->until = 0;
	memset(&token->access, 0, sizeof(token->access));
	MemoryContextReset(token->context);
}

static void
wait_for(DibsEngine *e, DibsToken *token, const DibsErrand *errand)
{
	MemoryContext old = MemoryContextSwitchTo(e->context);
	DibsErrand *copy = palloc(sizeof(DibsErrand));

	*copy = *errand;
	token->waiting = lappend(token->waiting, copy);
	e->waiting++;
	MemoryContextSwitchTo(old);
}

/* Everybody who waits goes on, or, with a failure, learns that there is no token. */
static void
end_wait(DibsEngine *e, DibsToken *token, const DibsFailure *failure)
{
	/* one at a time: an error in one loses none of the others, and what comes to wait again is for the next time */
	for (int n = list_length(token->waiting); n > 0 && token->waiting != NIL; n--)
	{
		DibsErrand *first = (DibsErrand *) linitial(token->waiting);
		DibsErrand errand = *first;

		token->waiting = list_delete_first(token->waiting);
		e->waiting--;
		pfree(first);
		if (failure)
			dibs_fail_errand(e, &errand, failure);
		else
			dibs_send_errand(e, &errand);
	}
}

static void
have_token(DibsToken *token, int64 ttl_ms)
{
	token->serial++;
	token->until = dibs_monotonic_ms() + Max(Max(ttl_ms - TOKEN_MARGIN_MS, ttl_ms / 2), SHORTEST_MS);
}

/* Reads what is stored, and sends the request for a token where one is needed. */
static void
get_token(DibsEngine *e, DibsToken *token)
{
	DibsFailure failure = {0};
	DibsHttpRequest *request;
	DibsErrand *errand;
	DibsAccessState state;
	int64 ttl_ms = 0;
	MemoryContext old;

	e->getting = token;
	forget_token(token);
	if (!dibs_begin_work(e))
	{
		e->getting = NULL;
		token->look_at = 0;
		dibs_fail(&failure, DIBS_VERDICT_RETRY, "worker_role", "%s", e->hold);
		end_wait(e, token, &failure);
		return;
	}
	state = dibs_access_load(token->provider, token->account, token->refused, true, token->context, &token->access,
							 &ttl_ms, &failure);
	dibs_end_work(e);
	if (state == DIBS_ACCESS_FETCH)
	{
		old = MemoryContextSwitchTo(token->context);
		request = token->provider->platform_request(e->http, &token->access);
		errand = palloc0(sizeof(DibsErrand));
		errand->token = token;
		MemoryContextSwitchTo(old);
		dibs_start_request(e, request, errand);
		token->fetching = true;
	}
	e->getting = NULL;
	if (state != DIBS_ACCESS_WAIT)
		token->look_at = 0;
	switch (state)
	{
		case DIBS_ACCESS_READY:
			have_token(token, ttl_ms);
			end_wait(e, token, NULL);
			break;
		case DIBS_ACCESS_FETCH:
			break;
		case DIBS_ACCESS_WAIT:
			/* the job may be this engine's own: it is looked for */
			e->woken = true;
			if (token->look_at == 0)
				token->give_up_at = dibs_monotonic_ms() + LOOK_LIMIT_MS;
			token->look_at = dibs_monotonic_ms() + LOOK_MS;
			if (dibs_monotonic_ms() < token->give_up_at)
				break;
			token->look_at = 0;
			end_wait(e, token, &failure);
			break;
		case DIBS_ACCESS_NONE:
			end_wait(e, token, &failure);
			break;
	}
}

const DibsAccess *
dibs_access_for(DibsEngine *e, const char *provider, const char *account, const DibsErrand *errand, int *serial)
{
	DibsToken *token = find_token(e, provider, account);

	if (token->until > dibs_monotonic_ms())
	{
		*serial = token->serial;
		return &token->access;
	}
	wait_for(e, token, errand);
	if (!token->fetching && token->look_at == 0)
		get_token(e, token);
	return NULL;
}

int64
dibs_tokens_look(DibsEngine *e)
{
	int64 next = PG_INT64_MAX;
	ListCell *lc;

	foreach (lc, e->tokens)
	{
		DibsToken *token = (DibsToken *) lfirst(lc);

		if (token->look_at != 0 && token->look_at <= dibs_monotonic_ms())
			get_token(e, token);
		if (token->look_at != 0)
			next = Min(next, token->look_at);
	}
	return next;
}

void
dibs_access_refused(DibsEngine *e, const char *provider, const char *account, int serial)
{
	DibsToken *token = find_token(e, provider, account);

	/* others may have got a new one while this answer was on its way: theirs will do */
	if (!token->fetching && token->serial == serial)
	{
		token->until = 0;
		token->refused = token->access.version;
	}
}

void
dibs_token_answered(DibsEngine *e, DibsToken *token, DibsHttpRequest *request)
{
	DibsFailure failure = {0};
	DibsTokens tokens = {0};
	bool got;
	MemoryContext old;

	token->fetching = false;
	e->getting = token;
	old = MemoryContextSwitchTo(token->context);
	got = dibs_oauth_read_tokens(token->provider, request, &tokens, &failure);
	if (got)
	{
		char *kept = dibs_alloc_cleansed(token->context, strlen(tokens.access) + 1);

		strcpy(kept, tokens.access);
		explicit_bzero(tokens.access, strlen(tokens.access));
		token->access.token = kept;
	}
	MemoryContextSwitchTo(old);
	dibs_http_free(request);
	e->getting = NULL;
	if (got)
	{
		have_token(token, (int64) tokens.ttl * 1000);
		end_wait(e, token, NULL);
		return;
	}
	/* a lost answer costs nothing here: another one is fetched */
	if (failure.verdict == DIBS_VERDICT_UNKNOWN)
		failure.verdict = DIBS_VERDICT_RETRY;
	end_wait(e, token, &failure);
	forget_token(token);
}

bool
dibs_recover_token(DibsEngine *e, const char *message)
{
	DibsToken *token = e->getting;
	DibsFailure failure = {0};

	if (token == NULL)
		return false;
	e->getting = NULL;
	token->look_at = 0;
	/* a request of its own that was answered goes with it */
	forget_token(token);
	dibs_fail(&failure, DIBS_VERDICT_RETRY, "internal", "%s", message);
	end_wait(e, token, &failure);
	return true;
}
