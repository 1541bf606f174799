/*
 * pace.c
 *		A steady beat for each account and kind of request.
 *
 * A bucket that holds one token: requests are spread over each second instead of coming in bursts that fit the second
 * by chance. The beats are the process's, not the engine's, so that dibs.drain() called again and again keeps them.
 */
#include "compat.h"

#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "core/clock.h"
#include "worker/pace.h"

/* An account that was silent for so long has no beat to remember. */
#define FORGET_MS 3600000

typedef struct Beat
{
	char key[160];
	double next; /* monotonic ms at which the next request may go */
	double row;  /* the same for those that could not wait for theirs */
} Beat;

static List *beats = NIL;

static Beat *
find_beat(const char *key, int64 now)
{
	MemoryContext old;
	ListCell *lc;
	Beat *beat;

	foreach (lc, beats)
	{
		beat = (Beat *) lfirst(lc);
		if (strcmp(beat->key, key) == 0)
			return beat;
		if (Max(beat->next, beat->row) < (double) (now - FORGET_MS))
		{
			beats = foreach_delete_current(beats, lc);
			pfree(beat);
		}
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	beat = palloc0(sizeof(Beat));
	strlcpy(beat->key, key, sizeof(beat->key));
	beats = lappend(beats, beat);
	MemoryContextSwitchTo(old);
	return beat;
}

int64
dibs_pace_take(const char *provider, const char *account, DibsPace pace, int64 latest, int64 *after)
{
	int64 now = dibs_monotonic_ms();
	char key[160];
	double step;
	Beat *beat;

	if (pace.per_second <= 0)
		return 0;
	snprintf(key, sizeof(key), "%s/%s/%s", provider, pace.label, account);
	step = 1000.0 / pace.per_second;
	beat = find_beat(key, now);
	if (beat->next > (double) latest)
	{
		beat->row = Max(beat->row, beat->next) + step;
		*after = (int64) beat->row - now;
		return -1;
	}
	if (beat->next <= (double) now)
	{
		beat->next = (double) now + step;
		return 0;
	}
	beat->next += step;
	/* the time after which it comes is the one before which it must not: rounded up */
	return (int64) (beat->next - step) + 1;
}
