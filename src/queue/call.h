/*
 * call.h
 *		Jobs ("Job" rows) that talk to a provider: a token's refresh, a synchronisation, a clean-up.
 *
 * A step of such a job is claimed under a lease, prepared and committed; then its requests go out with no transaction
 * open; then it is settled. The worker and dibs.drain() drive it with the same window, throttles and access tokens as
 * meetings (worker/calls.c). A new kind is one DibsCallKind and one line in worker/jobs.c; a job of it is a row:
 * dibs_job_start(), or INSERT INTO dibs."Job" ("kind", "key", "args") … ON CONFLICT ("kind", "key") WHERE "state" =
 * 'waiting' DO UPDATE SET "dueAt" = '-infinity', and a wake.
 *
 * One open job for each kind and key. A row whose "dueAt" somebody changes while its step is on the wire is done once
 * more after that step: a wish is never lost to an answer that came from before it.
 */
#ifndef DIBS_QUEUE_CALL_H
#define DIBS_QUEUE_CALL_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "core/ulid.h"
#include "http/http.h"
#include "queue/verdict.h"

typedef enum DibsCallOutcome
{
	DIBS_CALL_DONE,   /* the job has ended */
	DIBS_CALL_AGAIN,  /* its next step at next_at (0: now); attempts count anew */
	DIBS_CALL_RETRY,  /* the same step at next_at, or after the usual back-off */
	DIBS_CALL_FAILED, /* given up, with error_code and error */
} DibsCallOutcome;

/* One step of one job, from claim to settle. Everything it points to lives in context, which is deleted after settle.
 */
typedef struct DibsCall
{
	MemoryContext context;
	const struct DibsCallKind *kind;
	char ulid[DIBS_ULID_LEN + 1];
	char fence[DIBS_ULID_LEN + 1];
	int64 lease_end; /* ms of the monotonic clock */
	int lease_ms;    /* how long it is */
	const char *key;
	Jsonb *args;
	Jsonb *progress; /* '{}' at first; prepare and settle may put another in its place, and settling stores it */
	int attempts;    /* failed ones before this */
	bool taken_over; /* an earlier claim of this step was never settled: its requests may have been sent */
	bool last_try;   /* at settle: a retry will not be granted */

	/*
	 * Prepare's: whose account is called, for throttles and for the access token. Without a provider build gets no
	 * access; account "" is the platform's own.
	 */
	const char *provider;
	const char *account;
	bool no_token; /* a provider's throttles, but no access token */

	/* the kind's own memory */
	void *state;
	int step; /* counts the requests of this claim */

	/* what the answer meant; settle may change the outcome that follows from it */
	DibsFailure answer;
	DibsCallOutcome outcome;
	TimestampTz next_at;
	bool lost; /* at settle: the lease has run out and somebody else has the job; what was answered is recorded still */

	/* the engine's */
	bool new_token_tried;
	bool release;
	int64 send_at; /* monotonic ms: the turn it has been given; 0: none yet */
	int settle_tries;
} DibsCall;

typedef struct DibsCallKind
{
	const char *name;
	/* retries before it fails for good; 0: dibs.max_attempts, negative: never */
	int max_attempts;

	/*
	 * In a transaction, as the worker's role, in a subtransaction of its own: reads what the requests need and writes
	 * what must be durable before they are sent. False: there is nothing to call; outcome (DIBS_CALL_DONE at first) and
	 * next_at say what becomes of the job.
	 */
	bool (*prepare)(DibsCall *call);

	/* The rate at which requests like the next one may be sent to this account; NULL: any. */
	DibsPace (*pace)(const DibsCall *call);

	/* No transaction is open. The next request; NULL: there is none to make, and answer says why. */
	DibsHttpRequest *(*build)(DibsCall *call, DibsHttp *http, const DibsAccess *access);

	/*
	 * No transaction is open. Reads the answer, or the failure, into call->answer. DIBS_VERDICT_MORE has build called
	 * again, DIBS_VERDICT_NEW_TOKEN too, once, with another access token. An account's throttle with a retry_at holds
	 * up everybody who calls that account.
	 */
	void (*read)(DibsCall *call, DibsHttpRequest *request);

	/*
	 * In a transaction, as prepare; may be NULL. Records what was answered, also where call->lost. The outcome follows
	 * from the verdict: RETRY and UNKNOWN are tried again, FAILED fails, MORE (the lease was too short for another
	 * request) is AGAIN, everything else is DONE. Runs again where its transaction could not be committed.
	 */
	void (*settle)(DibsCall *call);

	/* In a transaction, as settle; may be NULL: what was prepared was given back unsent, and is claimed anew. */
	void (*unsent)(DibsCall *call);
} DibsCallKind;

/* Sets the answer's verdict, code and text. */
extern void dibs_call_failed(DibsCall *call, DibsVerdict verdict, const char *code, const char *fmt, ...)
	pg_attribute_printf(4, 5);

/* No whole answer: its code by what went wrong; if_sent where the request may have been received, else RETRY. */
extern void dibs_fail_unanswered(DibsFailure *failure, DibsHttpRequest *request, DibsVerdict if_sent);

/* When the server wants to be asked again, by its Retry-After, with some jitter; otherwise where it does not say. */
extern TimestampTz dibs_retry_after_header(DibsHttpRequest *request, TimestampTz otherwise);

/* The answer's JSON object in the current context; NULL where it is none. */
extern const JsonbContainer *dibs_answer_object(DibsHttpRequest *request);

/*
 * In a transaction: there is an open job of this kind and key, due at `at` (0: now) or, where one was open, not later.
 * args may be NULL; those of an open job are replaced unless NULL. Wakes the worker at commit.
 */
extern void dibs_job_start(const char *kind, const char *key, Jsonb *args, TimestampTz at);

#endif
