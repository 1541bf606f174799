/*
 * pace.c
 *		A steady beat for each account and kind of request.
 *
 * A bucket that holds one token: requests are spread over each second instead of coming in bursts that fit the second
 * by chance. The beats are in shared memory, so that a worker and any number of dibs.drain() beside it keep one beat
 * for each account of their database; without preload they are the process's.
 */
#include "compat.h"

#include "common/hashfn.h"
#include "miscadmin.h"

#include "core/clock.h"
#include "worker/pace.h"
#include "worker/shmem.h"

static DibsBeat own_beats[DIBS_MAX_BEATS];

/* The key's beat. Where there is none, the one that has been silent for longest gives way: a past beat says nothing. */
static DibsBeat *
find_beat(uint64 key)
{
	DibsBeat *beats = dibs_shared ? dibs_shared->beats : own_beats;
	DibsBeat *oldest = &beats[0];

	for (int i = 0; i < DIBS_MAX_BEATS; i++)
	{
		if (beats[i].key == key)
			return &beats[i];
		if (Max(beats[i].next, beats[i].row) < Max(oldest->next, oldest->row))
			oldest = &beats[i];
	}
	*oldest = (DibsBeat){.key = key};
	return oldest;
}

/* As dibs_pace_take, which has the lock. */
static int64
take(uint64 key, double step, int64 now, int64 latest, int64 *after)
{
	DibsBeat *beat = find_beat(key);

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

int64
dibs_pace_take(const char *provider, const char *account, DibsPace pace, int64 latest, int64 *after)
{
	char name[160];
	uint64 key;
	int64 at;

	if (pace.per_second <= 0)
		return 0;
	/* the platform's own account has the same name in every database, and may be another */
	snprintf(name, sizeof(name), "%u/%s/%s/%s", MyDatabaseId, provider, pace.label, account);
	key = hash_bytes_extended((const unsigned char *) name, (int) strlen(name), 0);
	if (dibs_shared)
		LWLockAcquire(dibs_shared->pace_lock, LW_EXCLUSIVE);
	at = take(key, 1000.0 / pace.per_second, dibs_monotonic_ms(), latest, after);
	if (dibs_shared)
		LWLockRelease(dibs_shared->pace_lock);
	return at;
}
