/*
 * engine.c
 *		Claim, call, settle.
 *
 * Short transactions around requests that run with none: look and claim (what is about to be sent is durable first),
 * send, record the answers, write the bookings. The window is rolling: an answer makes room for the next request, and
 * at most one window is claimed ahead, so that a slot never waits for a transaction.
 *
 * A claim's memory is its own context, and its requests live in it. An access token is fetched once for an account; the
 * work that needs it waits with it.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "tcop/pquery.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "core/clock.h"
#include "errors.h"
#include "guc.h"
#include "http/http.h"
#include "meeting/claim.h"
#include "queue/instance.h"
#include "queue/look.h"
#include "queue/plan.h"
#include "secrets/canary.h"
#include "secrets/secret.h"
#include "webhook/receive.h"
#include "worker/engine.h"
#include "worker/jobs.h"
#include "worker/shmem.h"

/* A token is not used in its last minute: it could run out on the way. */
#define TOKEN_MARGIN_MS 60000
/* Queued webhook events taken in one transaction. */
#define WEBHOOK_BATCH 50
/* What is due and could not be claimed, because somebody has the row locked, is looked at again after this. */
#define LOCKED_MS 1000
/* An answer whose meeting's row was locked is tried again after this. */
#define SET_ASIDE_MS 500
/* Steps of jobs in one tick, so that meetings do not wait for a long job. */
#define JOB_STEPS 4

typedef struct Token
{
	MemoryContext context; /* reset with each new token */
	const DibsMeetingProvider *provider;
	char account[64];
	char *token;
	int64 until;	/* monotonic ms; 0: there is none */
	bool fetching;
	List *waiting;	/* of DibsClaim */
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
} Errand;

struct DibsEngine
{
	MemoryContext context;
	MemoryContext tick;
	bool in_procedure;
	DibsHttp *http;
	List *ready;	 /* claimed, to be sent */
	List *answered;	 /* to be settled */
	List *settling;	 /* being settled in this moment */
	DibsClaim *unwritten; /* the one whose settling failed, or NULL */
	List *set_aside; /* answers whose meeting's row somebody has locked */
	List *tokens;
	List *throttles;
	int in_flight;
	bool woken;
	bool backlog;	 /* the last claim found as much as it asked for */
	bool standing;	 /* the standing jobs are there */
	bool one_by_one; /* a settle failed: find out for whom */
	int64 next_due;	 /* monotonic ms */
	int64 aside_until;
	TimestampTz cautious_since;
	const char *hold;

	/* while a transaction is open */
	Oid saved_user;
	int saved_context;
	int settings;
};

static void send_claim(DibsEngine *e, DibsClaim *claim);

DibsEngine *
dibs_engine_create(MemoryContext parent, bool in_procedure)
{
	MemoryContext context = AllocSetContextCreate(parent, "dibs engine", ALLOCSET_DEFAULT_SIZES);
	DibsEngine *e = MemoryContextAllocZero(context, sizeof(DibsEngine));

	e->context = context;
	e->tick = AllocSetContextCreate(context, "dibs tick", ALLOCSET_DEFAULT_SIZES);
	e->in_procedure = in_procedure;
	e->http = dibs_http_create(context);
	e->woken = true;
	return e;
}

pgsocket
dibs_engine_socket(DibsEngine *e)
{
	return dibs_http_socket(e->http);
}

int
dibs_engine_in_flight(DibsEngine *e)
{
	return e->in_flight;
}

const char *
dibs_engine_hold(DibsEngine *e)
{
	return e->hold;
}

void
dibs_engine_wake(DibsEngine *e)
{
	e->woken = true;
}

/* The role that the work is done as: anybody's triggers on our tables run as it, too. */
static Oid
worker_role(DibsEngine *e)
{
	Oid role = get_role_oid(dibs_worker_role, true);

	if (!OidIsValid(role))
		e->hold = "the role named by dibs.worker_role does not exist";
	else if (superuser_arg(role))
	{
		e->hold = "the role named by dibs.worker_role is a superuser";
		role = InvalidOid;
	}
	return role;
}

/* What is about to be sent has to outlive a crash, also where the database's commits need not. */
static void
commit_durably(void)
{
	if (synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_FLUSH)
		(void) set_config_option("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/*
 * Opens a transaction, as the worker's role. False: it can't be done now; then none is open (in a procedure: the
 * procedure's own, untouched).
 */
static bool
begin_work(DibsEngine *e)
{
	Oid role;

	if (!e->in_procedure)
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
	}
	else
		EnsurePortalSnapshotExists();
	commit_durably();
	role = worker_role(e);
	if (!OidIsValid(role))
	{
		if (!e->in_procedure)
		{
			PopActiveSnapshot();
			CommitTransactionCommand();
		}
		MemoryContextSwitchTo(e->tick);
		return false;
	}
	SPI_connect();
	GetUserIdAndSecContext(&e->saved_user, &e->saved_context);
	SetUserIdAndSecContext(role, e->saved_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	e->settings = dibs_settings_begin();
	/*
	 * Deferred triggers fire with their statement: a security-restricted operation may leave none for the commit, where
	 * they would run as whoever the process belongs to.
	 */
	(void) SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0);
	MemoryContextSwitchTo(e->tick);
	return true;
}

static void
end_work(DibsEngine *e)
{
	dibs_settings_end(e->settings);
	SetUserIdAndSecContext(e->saved_user, e->saved_context);
	SPI_finish();
	if (e->in_procedure)
		SPI_commit();
	else
	{
		PopActiveSnapshot();
		CommitTransactionCommand();
		pgstat_report_stat(false);
	}
	MemoryContextSwitchTo(e->tick);
}

static void
queue_answered(DibsEngine *e, DibsClaim *claim)
{
	MemoryContext old = MemoryContextSwitchTo(e->context);

	e->answered = lappend(e->answered, claim);
	MemoryContextSwitchTo(old);
}

/* Gives a claim back unsent; `at` 0: it may be claimed again at once. */
static void
release_claim(DibsEngine *e, DibsClaim *claim, TimestampTz at)
{
	claim->release = true;
	claim->work.retry_at = at;
	queue_answered(e, claim);
}

/* ---- throttles ---- */

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

/* ---- tokens ---- */

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
		queue_answered(e, claim);
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

	if (!begin_work(e))
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
	end_work(e);
	token->access.account = token->account;
	if (missing == NULL)
		return true;
	if (unreadable)
		dibs_work_failed(error, DIBS_VERDICT_RETRY, "key_unreadable",
						 "the master key does not open the secret %s", missing);
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
	token->access.token = value;
	token->until = dibs_monotonic_ms() + Max((int64) ttl * 1000 - TOKEN_MARGIN_MS, (int64) ttl * 500);
	waiting = token->waiting;
	token->waiting = NIL;
	foreach (lc, waiting)
		send_claim(e, (DibsClaim *) lfirst(lc));
	list_free(waiting);
}

/* ---- sending ---- */

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
			queue_answered(e, claim);
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
		start_request(e, request, errand);
	}
	else
		queue_answered(e, claim);
	MemoryContextSwitchTo(old);
}

static void
claim_answered(DibsEngine *e, DibsClaim *claim, DibsHttpRequest *request)
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
				Token *token =
					find_token(e, claim->work.provider, claim->meeting_account ? claim->meeting_account : "");

				claim->new_token_tried = true;
				/* others may have fetched a new one while this answer was on its way: theirs will do */
				if (!token->fetching)
					token->until = 0;
				send_claim(e, claim);
			}
			else
			{
				old = MemoryContextSwitchTo(claim->context);
				dibs_work_failed(&claim->work, DIBS_VERDICT_FAILED, "not_connected",
								 "%s refuses a new access token, too", claim->work.provider->name);
				MemoryContextSwitchTo(old);
				queue_answered(e, claim);
			}
			break;
		default:
			remember_throttle(e, claim);
			queue_answered(e, claim);
			break;
	}
}

static void
read_answers(DibsEngine *e)
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
			claim_answered(e, errand.claim, request);
	}
}

static void
send_ready(DibsEngine *e)
{
	while (e->ready != NIL && e->in_flight < dibs_max_in_flight)
	{
		DibsClaim *claim = (DibsClaim *) linitial(e->ready);

		e->ready = list_delete_first(e->ready);
		send_claim(e, claim);
	}
}

/* ---- settling ---- */

static void
settle(DibsEngine *e)
{
	DibsWorkerSlot *slot = dibs_my_slot();

	while (e->answered != NIL || e->settling != NIL)
	{
		MemoryContext old = MemoryContextSwitchTo(e->context);
		TimestampTz now = GetCurrentTimestamp();
		List *batch;
		List *winners;
		ListCell *lc;

		if (e->settling == NIL && e->one_by_one)
		{
			e->settling = list_make1(linitial(e->answered));
			e->answered = list_delete_first(e->answered);
		}
		else if (e->settling == NIL)
		{
			e->settling = e->answered;
			e->answered = NIL;
		}
		MemoryContextSwitchTo(old);
		batch = e->settling;

		if (!begin_work(e))
			return;
		winners = dibs_settle_meetings(batch, now);
		end_work(e);
		if (winners != NIL && begin_work(e))
		{
			dibs_settle_bookings(winners, now);
			end_work(e);
		}

		e->settling = NIL;
		foreach (lc, batch)
		{
			DibsClaim *claim = (DibsClaim *) lfirst(lc);
			TimestampTz next = claim->outcome.next_try;

			if (claim->set_aside)
			{
				old = MemoryContextSwitchTo(e->context);
				e->set_aside = lappend(e->set_aside, claim);
				e->aside_until = dibs_monotonic_ms() + SET_ASIDE_MS;
				MemoryContextSwitchTo(old);
				continue;
			}
			/* a next try, or a booking that was locked: not to be left to the poll */
			if (!claim->outcome.done && !TIMESTAMP_IS_NOEND(next))
				e->next_due = Min(e->next_due, dibs_monotonic_ms() + TimestampDifferenceMilliseconds(now, next) + 1);
			if (slot)
			{
				slot->settled++;
				if (claim->work.verdict == DIBS_VERDICT_FAILED)
					slot->failed++;
			}
			MemoryContextDelete(claim->context);
		}
		list_free(batch);
	}
	e->one_by_one = false;
}

/* The claim that can't be written, with the error, in a transaction of its own: it comes back after its back-off. */
static void
put_off(DibsEngine *e)
{
	DibsClaim *claim = e->unwritten;

	e->unwritten = NULL;
	if (begin_work(e))
	{
		dibs_put_off(claim, GetCurrentTimestamp());
		end_work(e);
	}
	MemoryContextDelete(claim->context);
}

bool
dibs_engine_recover(DibsEngine *e, const char *message)
{
	MemoryContext old = MemoryContextSwitchTo(e->context);
	bool progress = e->settling != NIL;

	if (list_length(e->settling) == 1 && e->one_by_one)
	{
		e->unwritten = (DibsClaim *) linitial(e->settling);
		MemoryContextSwitchTo(e->unwritten->context);
		dibs_work_failed(&e->unwritten->work, DIBS_VERDICT_RETRY, "not_writable", "%s", message);
		MemoryContextSwitchTo(e->context);
		list_free(e->settling);
	}
	else
		e->answered = list_concat(e->settling, e->answered);
	e->settling = NIL;
	e->one_by_one = e->answered != NIL;
	/* what it was woken for may not have been looked at */
	e->woken = true;
	MemoryContextReset(e->tick);
	MemoryContextSwitchTo(old);
	return progress;
}

/* ---- claiming ---- */

/* Is this database one to work in? Sets e->hold. In a transaction. */
static void
check_hold(DibsEngine *e)
{
	Oid extension = get_extension_oid("dibs", true);

	e->hold = NULL;
	if (!OidIsValid(extension))
		e->hold = "the extension is not here (any more)";
	else
		e->hold = dibs_instance_hold(&e->cautious_since);
}

/* Takes over what was claimed and committed: to be sent, or only to be settled. Frees the list. */
static void
take_claims(DibsEngine *e, List *claims, int *budget)
{
	MemoryContext old = MemoryContextSwitchTo(e->context);
	ListCell *lc;

	foreach (lc, claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);

		MemoryContextSetParent(claim->context, e->context);
		if (claim->finished)
			e->answered = lappend(e->answered, claim);
		else
			e->ready = lappend(e->ready, claim);
	}
	MemoryContextSwitchTo(old);
	*budget -= list_length(claims);
	list_free(claims);
}

/*
 * Once in a process, in a transaction: the jobs that come back, and whether the master key fits what is stored. Not
 * before this database has work of its own: both write rows, and while a dump is being restored one row too many makes
 * the COPY of the whole table fail. False: not yet.
 */
static bool
first_look(void)
{
	const char *detail = NULL;
	DibsKeyState keys;

	if (!dibs_instance_recorded())
		return false;
	keys = dibs_keyring_check(&detail);
	if (keys != DIBS_KEYS_OK && keys != DIBS_KEYS_NONE)
		ereport(WARNING, (errcode(DIBS_ERR_CONFIG), errmsg("stored secrets can't be read: %s", detail),
						  errhint("SELECT dibs.health() says what to do.")));
	dibs_start_standing_jobs();
	return true;
}

static void
claim_work(DibsEngine *e, int *budget)
{
	TimestampTz now = GetCurrentTimestamp();
	int room = Min(2 * dibs_max_in_flight - e->in_flight - list_length(e->ready), *budget);
	DibsLook look;
	List *tombstones = NIL;
	List *bookings = NIL;
	bool standing;
	bool more = false;

	e->woken = false;
	e->backlog = false;
	e->next_due = dibs_monotonic_ms() + dibs_poll_interval;
	if (!begin_work(e))
		return;
	check_hold(e);
	if (e->hold != NULL)
	{
		end_work(e);
		return;
	}
	standing = e->standing || first_look();
	dibs_look(now, &look);
	if (look.webhooks)
		more = dibs_apply_due_events(WEBHOOK_BATCH) >= WEBHOOK_BATCH;
	if (look.tombstones && room > 0)
	{
		int asked = room;

		tombstones = dibs_claim_tombstones(e->tick, room);
		more = more || list_length(tombstones) == asked;
		room -= list_length(tombstones);
	}
	if ((look.bookings || look.webhooks) && room > 0)
	{
		bookings = dibs_claim_bookings(e->tick, room, e->cautious_since);
		more = more || list_length(bookings) == room;
	}
	if (!more && !look.jobs)
	{
		TimestampTz next = dibs_next_due(now, dibs_lease_ms());

		if (!TIMESTAMP_IS_NOEND(next))
			e->next_due = Min(e->next_due, dibs_monotonic_ms() + TimestampDifferenceMilliseconds(now, next) + 1);
		if (look.bookings || look.tombstones)
			e->next_due = Min(e->next_due, dibs_monotonic_ms() + LOCKED_MS);
	}
	end_work(e);
	/* from here on it is on record, and may be sent */
	e->standing = standing;
	take_claims(e, tombstones, budget);
	take_claims(e, bookings, budget);

	for (int i = 0; look.jobs && i < JOB_STEPS; i++)
	{
		if (!begin_work(e))
			break;
		look.jobs = dibs_run_job();
		end_work(e);
		more = more || look.jobs;
	}
	e->backlog = more;
}

long
dibs_engine_tick(DibsEngine *e, int *budget)
{
	int64 now;
	long wait;

	MemoryContextSwitchTo(e->tick);
	if (e->unwritten != NULL)
		put_off(e);
	read_answers(e);
	now = dibs_monotonic_ms();
	if (e->set_aside != NIL && now >= e->aside_until)
	{
		List *answered = e->answered;

		e->answered = list_concat(e->set_aside, answered);
		list_free(answered);
		e->set_aside = NIL;
	}
	settle(e);
	now = dibs_monotonic_ms();
	/* claimed ahead: one window at most, and a full half at a time, so that a claim is worth its transaction */
	if (*budget > 0 && (e->woken || e->backlog || now >= e->next_due) &&
		e->in_flight + list_length(e->ready) <= dibs_max_in_flight + dibs_max_in_flight / 2)
		claim_work(e, budget);
	send_ready(e);
	dibs_http_drive(e->http);
	if (e->answered != NIL)
		settle(e);

	MemoryContextSwitchTo(e->context);
	MemoryContextReset(e->tick);
	now = dibs_monotonic_ms();
	wait = (long) Max(e->next_due - now, 0);
	if (e->woken || (e->backlog && *budget > 0 &&
					 e->in_flight + list_length(e->ready) <= dibs_max_in_flight + dibs_max_in_flight / 2))
		wait = 0;
	if (e->set_aside != NIL)
		wait = Min(wait, (long) Max(e->aside_until - now, 1));
	return Min(wait, dibs_poll_interval);
}
