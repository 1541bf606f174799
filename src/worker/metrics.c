/*
 * metrics.c
 *		Counts calls by provider, since the server started and over all databases, for dibs.metrics.
 */
#include "compat.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "worker/metrics.h"
#include "worker/shmem.h"

PG_FUNCTION_INFO_V1(dibs_provider_calls);

static DibsCallCounts *
find_counts(const char *provider)
{
	DibsCallCounts *found = NULL;

	for (int i = 0; i < DIBS_MAX_PROVIDERS && dibs_shared->calls[i].provider[0] != '\0'; i++)
	{
		if (strcmp(dibs_shared->calls[i].provider, provider) == 0)
			return &dibs_shared->calls[i];
	}
	/* the first call to it; somebody else may be making the same entry */
	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DIBS_MAX_PROVIDERS && found == NULL; i++)
	{
		if (dibs_shared->calls[i].provider[0] == '\0')
			strlcpy(dibs_shared->calls[i].provider, provider, sizeof(dibs_shared->calls[i].provider));
		if (strcmp(dibs_shared->calls[i].provider, provider) == 0)
			found = &dibs_shared->calls[i];
	}
	LWLockRelease(dibs_shared->lock);
	return found;
}

void
dibs_count_call(const char *provider, DibsHttpRequest *request)
{
	int status = dibs_http_failure(request) == DIBS_HTTP_OK ? dibs_http_status(request) : 0;
	DibsCallCounts *counts;

	if (dibs_shared == NULL || provider == NULL || (counts = find_counts(provider)) == NULL)
		return;
	pg_atomic_fetch_add_u64(&counts->calls, 1);
	pg_atomic_fetch_add_u64(&counts->microseconds, (uint64) dibs_http_times(request).total);
	if (status == 0 || status >= 500)
		pg_atomic_fetch_add_u64(&counts->failures, 1);
	else if (status == 429)
		pg_atomic_fetch_add_u64(&counts->throttled, 1);
	else if (status >= 300)
		pg_atomic_fetch_add_u64(&counts->refusals, 1);
}

/* (provider, calls, failures, throttled, refusals, seconds) */
Datum
dibs_provider_calls(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; dibs_shared != NULL && i < DIBS_MAX_PROVIDERS; i++)
	{
		DibsCallCounts *counts = &dibs_shared->calls[i];
		Datum values[6];
		bool nulls[6] = {0};

		if (counts->provider[0] == '\0')
			break;
		values[0] = CStringGetTextDatum(counts->provider);
		values[1] = Int64GetDatum((int64) pg_atomic_read_u64(&counts->calls));
		values[2] = Int64GetDatum((int64) pg_atomic_read_u64(&counts->failures));
		values[3] = Int64GetDatum((int64) pg_atomic_read_u64(&counts->throttled));
		values[4] = Int64GetDatum((int64) pg_atomic_read_u64(&counts->refusals));
		values[5] = Float8GetDatum((double) pg_atomic_read_u64(&counts->microseconds) / 1000000.0);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
