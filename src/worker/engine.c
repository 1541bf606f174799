/*
 * engine.c
 *		Claim, call, settle.
 *
 * Short transactions around requests that run with none: look and claim (what is about to be sent is durable first),
 * send, record the answers, write the bookings. The window is rolling: an answer makes room for the next request, and
 * at most one window is claimed ahead, so that a slot never waits for a transaction.
 *
 * A claim's memory is its own context, and its requests live in it. courier.c sends and reads; this file has the
 * transactions.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "commands/extension.h"
#include "commands/trigger.h"
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
#include "meeting/completion.h"
#include "queue/instance.h"
#include "queue/look.h"
#include "queue/plan.h"
#include "secrets/canary.h"
#include "webhook/events.h"
#include "worker/calls.h"
#include "worker/courier.h"
#include "worker/engine.h"
#include "worker/jobs.h"
#include "worker/shmem.h"
#include "worker/tokens.h"
#include "worker/version.h"

/* Queued webhook events taken in one transaction. */
#define WEBHOOK_BATCH 50
/* Bookings that the clock completes in one transaction. */
#define COMPLETE_BATCH 200
/* While another claims. */
#define TURN_MS 20
/* An answer whose meeting's row was locked is tried again after this. */
#define SET_ASIDE_MS 500
/* Steps of jobs in one tick, so that meetings do not wait for a long job. */
#define JOB_STEPS 4

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
	/* what waits for a token is under way, too; so is an answer that could not be written yet */
	return e->in_flight + e->waiting + list_length(e->calls_answered);
}

bool
dibs_engine_absent(DibsEngine *e)
{
	return e->absent;
}

bool
dibs_engine_busy(DibsEngine *e)
{
	return dibs_engine_in_flight(e) > 0 || e->ready != NIL || e->calls != NIL || e->paced != NIL ||
		   e->calls_paced != NIL || e->answered != NIL;
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
		(void) set_config_option("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
}

/*
 * A claim that waited for another's end has to see what that one took. In the worker this is its default; a session
 * that calls drain() may have another, and says so before the transaction's first snapshot.
 */
static void
read_committed(void)
{
	(void) set_config_option("transaction_isolation", "read committed", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
							 true, 0, false);
}

/*
 * Opens a transaction, as the worker's role. False: it can't be done now; then none is open (in a procedure: the
 * procedure's own, untouched).
 */
bool
dibs_begin_work(DibsEngine *e)
{
	ConstraintsSetStmt immediate = {.type = T_ConstraintsSetStmt};
	Oid role;

	if (!e->in_procedure)
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
	}
	else
	{
		read_committed();
		EnsurePortalSnapshotExists();
	}
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
	/* what an error leaves open below a procedure, portals too, goes with a subtransaction */
	e->saved_owner = CurrentResourceOwner;
	if (e->in_procedure)
		BeginInternalSubTransaction(NULL);
	SPI_connect();
	GetUserIdAndSecContext(&e->saved_user, &e->saved_context);
	SetUserIdAndSecContext(role, e->saved_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	e->settings = dibs_settings_begin();
	/*
	 * Deferred triggers fire with their statement: a security-restricted operation may leave none for the commit, where
	 * they would run as whoever the process belongs to.
	 */
	AfterTriggerSetState(&immediate);
	MemoryContextSwitchTo(e->tick);
	return true;
}

void
dibs_end_work(DibsEngine *e)
{
	dibs_settings_end(e->settings);
	SetUserIdAndSecContext(e->saved_user, e->saved_context);
	SPI_finish();
	if (e->in_procedure)
	{
		ReleaseCurrentSubTransaction();
		CurrentResourceOwner = e->saved_owner;
		SPI_commit();
	}
	else
	{
		PopActiveSnapshot();
		CommitTransactionCommand();
		pgstat_report_stat(false);
	}
	MemoryContextSwitchTo(e->tick);
}

void
dibs_queue_answered(DibsEngine *e, DibsClaim *claim)
{
	MemoryContext old = MemoryContextSwitchTo(e->context);

	e->answered = lappend(e->answered, claim);
	MemoryContextSwitchTo(old);
}

/*
 * Between two transactions: whose answer has come gives its place on the wire to the next. Not after an error: sending
 * may have been what failed, and what is answered must not wait for that.
 */
static void
refill(DibsEngine *e)
{
	dibs_read_answers(e);
	if (e->settle_first)
		return;
	dibs_send_ready(e);
	dibs_http_drive(e->http);
}

/* Settles what was answered when it was called; what comes meanwhile is for the next time. */
static void
settle(DibsEngine *e)
{
	DibsWorkerSlot *slot = dibs_my_slot();
	int left = list_length(e->answered) + list_length(e->settling);

	while (left > 0)
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

		if (!dibs_begin_work(e))
			return;
		winners = dibs_settle_meetings(batch, now);
		dibs_end_work(e);
		refill(e);
		if (winners != NIL && dibs_begin_work(e))
		{
			e->woken = dibs_settle_bookings(winners, now) || e->woken;
			dibs_end_work(e);
		}

		e->settling = NIL;
		left -= list_length(batch);
		e->woken = e->woken || e->look_again;
		e->look_again = false;
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
	if (dibs_begin_work(e))
	{
		dibs_put_off(claim, GetCurrentTimestamp());
		dibs_end_work(e);
	}
	MemoryContextDelete(claim->context);
}

bool
dibs_engine_recover(DibsEngine *e, const char *message)
{
	MemoryContext old = MemoryContextSwitchTo(e->tick);
	bool recovered = dibs_recover_token(e, message) || dibs_recover_call(e, message);
	bool progress = recovered || e->settling != NIL || (e->answered != NIL && !e->settle_first);

	MemoryContextSwitchTo(e->context);

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
	e->settle_first = true;
	/* what it was woken for may not have been looked at */
	e->woken = true;
	MemoryContextReset(e->tick);
	MemoryContextSwitchTo(old);
	return progress;
}

/* Is this database one to work in? Sets e->hold. In a transaction; reads catalogs only. */
static void
check_extension(DibsEngine *e)
{
	e->absent = !OidIsValid(get_extension_oid("dibs", true));
	e->hold = e->absent ? "the extension is not here (any more)" : dibs_version_problem();
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

/* When to look again, should nothing wake us before. */
static void
see_next(DibsEngine *e, TimestampTz now, TimestampTz next)
{
	if (!TIMESTAMP_IS_NOEND(next))
		e->next_due = Min(e->next_due, dibs_monotonic_ms() + TimestampDifferenceMilliseconds(now, next) + 1);
}

/* The same after claims, in a transaction. */
static void
see_left(DibsEngine *e, TimestampTz now)
{
	DibsLook look;

	dibs_look(now, &look);
	see_next(e, now, look.next);
	see_next(e, now, dibs_look_left(now));
}

/*
 * In a transaction: what is due. False: nothing is to be done here; e->hold says why. At a poll, when nobody has woken
 * us and nothing is due, only one question is asked.
 */
static bool
look_around(DibsEngine *e, TimestampTz now, bool woken, DibsLook *look, bool *standing)
{
	bool ask = woken || e->hold != NULL;
	bool due;

	check_extension(e);
	if (e->hold == NULL && ask)
		e->hold = dibs_instance_hold(&e->caution);
	if (e->hold != NULL)
		return false;
	dibs_look(now, look);
	due = look->bookings || look->tombstones || look->webhooks || look->jobs || look->ended;
	if (due && !ask)
		e->hold = dibs_instance_hold(&e->caution);
	if (e->hold != NULL)
		return false;
	if (!e->standing)
		*standing = first_look();
	if (*standing && !e->standing)
		/* the jobs that were just started may be due */
		dibs_look(now, look);
	return true;
}

static void
claim_work(DibsEngine *e, int *budget)
{
	TimestampTz now = GetCurrentTimestamp();
	int room = Min(2 * dibs_max_in_flight - e->in_flight - list_length(e->ready), *budget);
	bool turn = true;
	DibsLook look;
	List *tombstones = NIL;
	List *bookings = NIL;
	ErrorData *failed = NULL;
	bool standing = e->standing;
	bool due_jobs;
	bool more = false;
	bool woken = e->woken;

	e->woken = false;
	e->backlog = false;
	e->next_due = dibs_monotonic_ms() + dibs_poll_interval;
	if (!dibs_begin_work(e))
		return;
	if (!look_around(e, now, woken, &look, &standing))
	{
		dibs_end_work(e);
		return;
	}
	due_jobs = look.jobs;
	/* what is due may be what is on the wire, changed meanwhile: then it can be claimed once that is settled */
	e->look_again = (look.bookings || look.tombstones) && (dibs_engine_busy(e) || e->set_aside != NIL);
	/* the worker has answers to wait for: it comes back; a drain() waits for its turn */
	if ((look.bookings || look.tombstones) && room > 0)
		turn = dibs_claims_lock(e->in_procedure);
	if (look.tombstones && turn && room > 0)
	{
		int asked = room;

		tombstones = dibs_claim_tombstones(e->tick, room, &failed);
		more = more || list_length(tombstones) == asked;
		room -= list_length(tombstones);
	}
	if (look.bookings && turn && room > 0 && failed == NULL)
	{
		bookings = dibs_claim_bookings(e->tick, room, &e->caution, &failed);
		more = more || list_length(bookings) == room;
	}
	if (!turn)
		e->next_due = Min(e->next_due, dibs_monotonic_ms() + TURN_MS);
	else if (look.bookings || look.tombstones)
	{
		if (!more && !look.jobs && !look.webhooks)
			see_left(e, now);
	}
	else
		see_next(e, now, look.next);
	dibs_end_work(e);
	/* from here on it is on record, and may be sent */
	e->standing = standing;
	take_claims(e, tombstones, budget);
	take_claims(e, bookings, budget);
	/* now, whatever goes wrong in what follows */
	refill(e);

	/* not with the claim: each may wait a moment for a booking that somebody has locked */
	if (look.webhooks && dibs_begin_work(e))
	{
		more = dibs_apply_due_events(WEBHOOK_BATCH) > 0 || more;
		dibs_end_work(e);
	}
	if (look.ended && dibs_begin_work(e))
	{
		more = dibs_complete_bookings(COMPLETE_BATCH, now) || more;
		dibs_end_work(e);
	}
	if (look.jobs && *budget > 0 && dibs_begin_work(e))
	{
		int claimed;
		List *calls = dibs_claim_calls(e, *budget, &claimed);

		dibs_end_work(e);
		dibs_take_calls(e, calls);
		refill(e);
		*budget -= claimed;
		more = more || claimed > 0;
	}
	for (int i = 0; look.jobs && i < JOB_STEPS; i++)
	{
		if (!dibs_begin_work(e))
			break;
		look.jobs = dibs_run_job();
		dibs_end_work(e);
		more = more || look.jobs;
	}
	/* what is due, and could not be done now, must not hide what will be due */
	if (!more && (due_jobs || look.webhooks) && dibs_begin_work(e))
	{
		see_left(e, now);
		dibs_end_work(e);
	}
	e->backlog = more;
	if (failed != NULL)
		ReThrowError(failed);
}

long
dibs_engine_tick(DibsEngine *e, int *budget)
{
	int64 now;
	int64 token_look;
	long wait;

	MemoryContextSwitchTo(e->tick);
	if (e->unwritten != NULL)
		put_off(e);
	refill(e);
	now = dibs_monotonic_ms();
	if (e->set_aside != NIL && now >= e->aside_until)
	{
		List *answered = e->answered;

		e->answered = list_concat(e->set_aside, answered);
		list_free(answered);
		e->set_aside = NIL;
	}
	settle(e);
	refill(e);
	dibs_settle_calls(e);
	e->settle_first = false;
	/* what an error has left unsent: the next one must not find it here, too */
	refill(e);
	token_look = dibs_tokens_look(e);
	now = dibs_monotonic_ms();
	/* claimed ahead: one window at most, and a full half at a time, so that a claim is worth its transaction */
	if (*budget > 0 && (e->woken || e->backlog || now >= e->next_due) &&
		e->in_flight + list_length(e->ready) <= dibs_max_in_flight + dibs_max_in_flight / 2)
		claim_work(e, budget);
	dibs_send_ready(e);
	dibs_http_drive(e->http);
	if (e->answered != NIL)
		settle(e);
	if (e->calls_answered != NIL)
		dibs_settle_calls(e);

	MemoryContextSwitchTo(e->context);
	MemoryContextReset(e->tick);
	now = dibs_monotonic_ms();
	wait = (long) Max(e->next_due - now, 0);
	if (e->woken || (e->backlog && *budget > 0 &&
					 e->in_flight + list_length(e->ready) <= dibs_max_in_flight + dibs_max_in_flight / 2))
		wait = 0;
	if (dibs_http_has_done(e->http) || (e->answered != NIL && e->hold == NULL))
		wait = 0;
	if (e->set_aside != NIL)
		wait = Min(wait, (long) Max(e->aside_until - now, 1));
	if (e->waiting > 0)
		wait = Min(wait, (long) Max(Min(token_look, now + 1000) - now, 1));
	if (e->calls_answered != NIL)
		wait = Min(wait, (long) Max(e->calls_aside_until - now, 1));
	if (e->paced != NIL || e->calls_paced != NIL)
		wait = Min(wait, (long) Max(dibs_next_paced(e) - now, 1));
	return Min(wait, dibs_poll_interval);
}
