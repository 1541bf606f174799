/*
 * jobs.h
 *		Due work that is not a meeting: rows of "Job", done a step at a time.
 */
#ifndef DIBS_WORKER_JOBS_H
#define DIBS_WORKER_JOBS_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "queue/call.h"

/*
 * A job's step: does a bounded piece of the work in the current transaction. Returns true when nothing is left.
 * progress is what the last step left ('{}' at first); a new one may be stored in its place.
 */
typedef bool (*DibsJobStep)(Jsonb *args, Jsonb **progress);

/*
 * In a transaction: takes one due job, does a step of it, and writes down how far it got. False: none was due. A job
 * that is locked by somebody else is left to them.
 */
extern bool dibs_run_job(void);

/* The kinds of jobs that call a provider: one by its name, and all their names as a text array. */
extern const DibsCallKind *dibs_call_kind(const char *name);
extern Datum dibs_call_kind_names(void);

/* In a transaction: makes sure that the jobs that come back by the clock (resync …) are there. */
extern void dibs_start_standing_jobs(void);

#endif
