/*
 * sdk_signature_sql.c
 *		The SQL faces of Zoom's SDK signatures, with the stored keys.
 */
#include "compat.h"

#include <math.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "join/sdk_signature.h"
#include "secrets/secret.h"

PG_FUNCTION_INFO_V1(dibs_generate_meeting_signature);
PG_FUNCTION_INFO_V1(dibs_generate_video_signature);

/* Months and days in a life of at most two days: 30 days and 24 hours. Rounded down to the second. */
static int64
interval_seconds(const Interval *interval)
{
	double seconds = floor((double) interval->time / USECS_PER_SEC) +
					 ((double) interval->day + (double) interval->month * DAYS_PER_MONTH) * SECS_PER_DAY;

	if (fabs(seconds) > (double) PG_INT32_MAX)
		return seconds < 0 ? PG_INT32_MIN : PG_INT32_MAX;
	return (int64) seconds;
}

static text *
take_token(char *token)
{
	text *result = cstring_to_text(token);

	pfree(token);
	return result;
}

Datum
dibs_generate_meeting_signature(PG_FUNCTION_ARGS)
{
	DibsSecret key;
	DibsSecret secret;

	dibs_secret_need("zoom.sdk_key", "", CurrentMemoryContext, &key);
	dibs_secret_need("zoom.sdk_secret", "", CurrentMemoryContext, &secret);
	PG_RETURN_TEXT_P(take_token(
		dibs_zoom_meeting_signature(key.value, secret.value, text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_INT32(1),
									PG_GETARG_TIMESTAMPTZ(2), interval_seconds(PG_GETARG_INTERVAL_P(3)))));
}

/* Not strict: user_key may be NULL. */
Datum
dibs_generate_video_signature(PG_FUNCTION_ARGS)
{
	DibsSecret key;
	DibsSecret secret;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3) || PG_ARGISNULL(4))
		PG_RETURN_NULL();
	dibs_secret_need("zoom.video_key", "", CurrentMemoryContext, &key);
	dibs_secret_need("zoom.video_secret", "", CurrentMemoryContext, &secret);
	PG_RETURN_TEXT_P(take_token(
		dibs_zoom_video_signature(key.value, secret.value, text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_INT32(1),
								  PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)),
								  PG_GETARG_TIMESTAMPTZ(3), interval_seconds(PG_GETARG_INTERVAL_P(4)))));
}
