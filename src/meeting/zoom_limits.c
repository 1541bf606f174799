/*
 * zoom_limits.c
 *		How much Zoom takes, and when to come again.
 *
 * The numbers are those of developers.zoom.us/docs/api/rate-limits. An account's limits are shared by everything that
 * uses it, so that a part is left to others; what they take all the same, Zoom's 429s tell of.
 */
#include "compat.h"

#include "common/pg_prng.h"

#include "guc.h"
#include "meeting/zoom_limits.h"

/* Of the account's rate: the rest is for its other users, and for requests that the network brings closer together. */
#define SHARE 0.9
/* Not everybody who waits for the new day comes in the same moment. */
#define DAY_JITTER_MS 2000
/* In this part of a day a refusal may be the day before's: clocks differ. */
#define DAY_SKEW 1000

static const char *const labels[] = {"Light", "Medium", "Heavy", "Resource-intensive"};

/* Requests a second; rows are the values of dibs.zoom_plan. */
static const double per_second[][lengthof(labels)] = {
	{4, 2, 1, 10.0 / 60},
	{30, 20, 10, 10.0 / 60},
	{80, 60, 40, 20.0 / 60},
	{0, 0, 0, 0},
};

DibsPace
dibs_zoom_pace(DibsZoomLabel label)
{
	DibsPace pace = {labels[label], per_second[dibs_zoom_plan][label] * SHARE};

	return pace;
}

DibsHostLimits
dibs_zoom_host_limits(void)
{
	DibsHostLimits limits = {dibs_zoom_host_daily_limit, dibs_zoom_day, dibs_zoom_meetings_at_once,
							 dibs_zoom_default_hosts};

	return limits;
}

TimestampTz
dibs_zoom_after_ms(int64 milliseconds)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
}

static int64
unix_ms(void)
{
	return GetCurrentTimestamp() / 1000 + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;
}

int64
dibs_zoom_jitter_ms(int64 most)
{
	return (int64) (pg_prng_double(&pg_global_prng_state) * most);
}

/* Daily limits begin anew at 00:00 UTC. */
TimestampTz
dibs_zoom_next_day(void)
{
	int64 into = unix_ms() % dibs_zoom_day;

	/* by Zoom's clock the day has still to turn */
	if (into < dibs_zoom_day / DAY_SKEW)
		return dibs_zoom_after_ms(dibs_zoom_day / DAY_SKEW - into + dibs_zoom_jitter_ms(DAY_JITTER_MS));
	return dibs_zoom_after_ms(dibs_zoom_day - into + dibs_zoom_jitter_ms(DAY_JITTER_MS));
}
