/*
 * attempt.h
 *		Something that may fail for reasons of its own, in a subtransaction.
 */
#ifndef DIBS_QUEUE_ATTEMPT_H
#define DIBS_QUEUE_ATTEMPT_H

#include "postgres.h"

/* False: what was written is to be rolled back. */
typedef bool (*DibsAttempt)(void *arg);

/*
 * Runs it in the current memory context. NULL where it raised nothing, else the error, which is the caller's to judge;
 * what is nobody's but the operator's (class 57: a cancel, a time-out, the server's end) is raised again.
 */
extern ErrorData *dibs_attempt(DibsAttempt attempt, void *arg);

/* A lock, a conflict with another transaction, no room: it says nothing of the rows that it met. */
extern bool dibs_error_passes(const ErrorData *error);

/* How many triggers we are in, one within another. */
extern int dibs_trigger_depth(void);

#endif
