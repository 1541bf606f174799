/*
 * calls.h
 *		Drives jobs that talk to a provider (queue/call.h).
 */
#ifndef DIBS_WORKER_CALLS_H
#define DIBS_WORKER_CALLS_H

#include "postgres.h"

#include "worker/courier.h"

/*
 * In a transaction: claims due jobs and prepares them; those with something to send are handed over by
 * dibs_take_calls once that is committed. Returns how many were claimed.
 */
extern List *dibs_claim_calls(DibsEngine *e, int room, int *claimed);
extern void dibs_take_calls(DibsEngine *e, List *calls);

/* Builds a call's next request and puts it on the wire, or finds that it can't be. */
extern void dibs_send_call(DibsEngine *e, DibsCall *call);
extern void dibs_call_answered(DibsEngine *e, DibsCall *call, int serial, DibsHttpRequest *request);
extern void dibs_fail_call(DibsEngine *e, DibsCall *call, const DibsFailure *failure);

/* Settles what is answered, each in a transaction of its own. */
extern void dibs_settle_calls(DibsEngine *e);

/* After an error in the settling of a call and the transaction's abort: that one is tried again later. */
extern bool dibs_recover_call(DibsEngine *e, const char *message);

#endif
