/*
 * backoff.c
 *		When to try again.
 */
#include "compat.h"

#include "common/pg_prng.h"

#include "queue/backoff.h"

#define FIRST_MS 2000
#define LONGEST_MS (15 * 60 * 1000)

TimestampTz
dibs_next_try(TimestampTz now, int attempts, TimestampTz not_before, TimestampTz start)
{
	int64 step = Min((int64) FIRST_MS << Min(Max(attempts - 1, 0), 20), LONGEST_MS);
	/* jitter, so that what failed together does not come back together */
	int64 wait = step / 2 + (int64) (pg_prng_double(&pg_global_prng_state) * (step / 2.0));
	TimestampTz next = TimestampTzPlusMilliseconds(now, wait);

	if (start > now && next > start)
		next = start;
	return Max(next, not_before);
}
