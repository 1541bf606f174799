/*
 * backoff.h
 *		When to try again.
 */
#ifndef DIBS_QUEUE_BACKOFF_H
#define DIBS_QUEUE_BACKOFF_H

#include "postgres.h"

#include "utils/timestamp.h"

/*
 * The next try after `attempts` failed ones: exponential from 2 s to 15 min, with jitter of half, never before
 * not_before (0: none) and, where `start` lies ahead, never after it.
 */
extern TimestampTz dibs_next_try(TimestampTz now, int attempts, TimestampTz not_before, TimestampTz start);

#endif
