/*
 * pace.h
 *		Sends no faster than a provider takes it: a steady beat for each account and kind of request.
 */
#ifndef DIBS_WORKER_PACE_H
#define DIBS_WORKER_PACE_H

#include "postgres.h"

#include "queue/verdict.h"

/*
 * The moment (monotonic ms) at which a request of this kind may be sent; it is then the caller's, and the next one's is
 * later. 0: at once. -1: not before `latest`, and nothing was taken; then *after is how many ms from now it may be,
 * a place of its own in the long row of those that cannot wait here.
 */
extern int64 dibs_pace_take(const char *provider, const char *account, DibsPace pace, int64 latest, int64 *after);

#endif
