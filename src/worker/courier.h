/*
 * courier.h
 *		The engine's state, and what engine.c and courier.c need of each other.
 */
#ifndef DIBS_WORKER_COURIER_H
#define DIBS_WORKER_COURIER_H

#include "postgres.h"

#include "utils/resowner.h"

#include "http/http.h"
#include "meeting/claim.h"
#include "queue/call.h"
#include "worker/engine.h"

typedef struct DibsToken DibsToken;

/* What a request on the wire is for: one of the three. */
typedef struct DibsErrand
{
	DibsClaim *claim; /* a meeting's */
	DibsCall *call;   /* a job's */
	DibsToken *token; /* a token itself */
	int serial;       /* of the token that the request carries */
} DibsErrand;

struct DibsEngine
{
	MemoryContext context;
	MemoryContext tick;
	bool in_procedure;
	DibsHttp *http;
	List *ready;          /* claimed, to be sent */
	List *paced;          /* to be sent when their account's pace allows */
	List *calls_paced;    /* the same for jobs */
	List *answered;       /* to be settled */
	List *settling;       /* being settled in this moment */
	DibsClaim *unwritten; /* the one whose settling failed, or NULL */
	List *set_aside;      /* answers whose meeting's row somebody has locked */
	List *calls;          /* claimed jobs, to be sent */
	List *calls_answered; /* to be settled */
	DibsCall *settling_call;
	int calls_held;          /* claimed and not yet settled */
	int64 calls_aside_until; /* a call could not be settled: not again before */
	List *tokens;            /* tokens.c's */
	DibsToken *getting;      /* the token that is being got in this moment */
	int waiting;             /* errands that wait for a token */
	List *throttles;         /* courier.c's */
	int in_flight;
	bool woken;
	bool look_again;   /* once something is settled */
	bool backlog;      /* the last claim found as much as it asked for */
	bool standing;     /* the standing jobs are there */
	bool settle_first; /* there was an error: nothing is sent before what was answered is settled */
	bool one_by_one;   /* a settle failed: find out for whom */
	int64 next_due;    /* monotonic ms */
	int64 aside_until;
	DibsCaution caution;
	const char *hold;
	bool absent; /* the extension is */

	/* while a transaction is open */
	Oid saved_user;
	int saved_context;
	int settings;
	ResourceOwner saved_owner;
};

/*
 * Opens a transaction, as the worker's role. False: it can't be done now; then none is open (in a procedure: the
 * procedure's own, untouched).
 */
extern bool dibs_begin_work(DibsEngine *e);
extern void dibs_end_work(DibsEngine *e);

/* Puts a request on the wire. */
extern void dibs_start_request(DibsEngine *e, DibsHttpRequest *request, DibsErrand *errand);

/* What has waited for a token goes on, or ends with the failure. */
extern void dibs_send_errand(DibsEngine *e, const DibsErrand *errand);
extern void dibs_fail_errand(DibsEngine *e, const DibsErrand *errand, const DibsFailure *failure);

/*
 * Throttles: nothing is sent to the account, or for a host's creates and updates, before that moment. host NULL: the
 * whole account's alone. 0: it is not throttled.
 */
extern void dibs_remember_throttle(DibsEngine *e, DibsThrottle scope, const char *provider, const char *account,
								   const char *host, TimestampTz until);
extern TimestampTz dibs_throttled_until(DibsEngine *e, const char *provider, const char *account, const char *host);

/*
 * For a PG_CATCH around what runs in no transaction: ends the error, with a line in the log of what failed, and gives
 * its message in that context, which is current then. A cancel goes on.
 */
extern char *dibs_caught(MemoryContext context, const char *what, const char *name);

/* This claim's outcome is known, and is to be settled. */
extern void dibs_queue_answered(DibsEngine *e, DibsClaim *claim);

/* Reads what has come back: claims go on with their next request, or are queued as answered. */
extern void dibs_read_answers(DibsEngine *e);

/* Sends claimed work as far as the window and the accounts' pace allow. */
extern void dibs_send_ready(DibsEngine *e);

/* Monotonic ms at which the next of what is paced may be sent; PG_INT64_MAX: nothing waits for that. */
extern int64 dibs_next_paced(DibsEngine *e);

#endif
