/*
 * scheme_sql.c
 *		The verify_..._signature functions: one row of the scheme table each. text and bytea look alike from here, so
 *that each function serves both of its SQL names.
 */
#include "compat.h"

#include "common/int.h"
#include "fmgr.h"
#include "utils/timestamp.h"

#include "webhook/scheme.h"

PG_FUNCTION_INFO_V1(dibs_verify_cal_signature);
PG_FUNCTION_INFO_V1(dibs_verify_zoom_signature);
PG_FUNCTION_INFO_V1(dibs_verify_calendly_signature);
PG_FUNCTION_INFO_V1(dibs_verify_daily_signature);
PG_FUNCTION_INFO_V1(dibs_verify_standard_webhook);
PG_FUNCTION_INFO_V1(dibs_verify_stripe_signature);

/* NULL stays missing, which the verifier takes for a forgery. */
static DibsBytes
bytes_argument(FunctionCallInfo fcinfo, int n)
{
	DibsBytes bytes = {NULL, 0};

	if (n >= 0 && !PG_ARGISNULL(n))
	{
		struct varlena *given = PG_GETARG_VARLENA_PP(n);

		bytes.data = VARDATA_ANY(given);
		bytes.len = VARSIZE_ANY_EXHDR(given);
	}
	return bytes;
}

/* Months count 30 days, as everywhere where an interval has no date to stand on. Beyond that it is as good as endless.
 */
static int64
interval_us(const Interval *interval)
{
	double us = (double) interval->time +
				((double) interval->day + (double) interval->month * DAYS_PER_MONTH) * (double) USECS_PER_DAY;

	if (us > (double) (PG_INT64_MAX / 4))
		return PG_INT64_MAX / 4;
	return us < 0 ? -1 : (int64) us;
}

/*
 * Argument numbers; -1 where a scheme has none. The body is the first, the secret stands before the tolerance, and
 * as_of is the last.
 */
static Datum
verify(FunctionCallInfo fcinfo, const char *source, int signature, int sent_at, int id, int secret, bool timed)
{
	static const int64 epoch_us = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	DibsDelivery delivery;
	int64 tolerance_us = DIBS_NO_TOLERANCE;
	int64 now_us = 0;

	delivery.body = bytes_argument(fcinfo, 0);
	delivery.signature = bytes_argument(fcinfo, signature);
	delivery.sent_at = bytes_argument(fcinfo, sent_at);
	delivery.id = bytes_argument(fcinfo, id);
	if (timed)
	{
		if (PG_ARGISNULL(secret + 1) || PG_ARGISNULL(secret + 2))
			PG_RETURN_BOOL(false);
		tolerance_us = interval_us(PG_GETARG_INTERVAL_P(secret + 1));
		if (TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(secret + 2)) ||
			pg_add_s64_overflow(PG_GETARG_TIMESTAMPTZ(secret + 2), epoch_us, &now_us))
			PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(dibs_scheme_verify(dibs_scheme_find(source), &delivery, bytes_argument(fcinfo, secret), tolerance_us,
									  now_us) == DIBS_SIGNATURE_GENUINE);
}

Datum
dibs_verify_cal_signature(PG_FUNCTION_ARGS)
{
	return verify(fcinfo, "cal", 1, -1, -1, 2, false);
}

Datum
dibs_verify_zoom_signature(PG_FUNCTION_ARGS)
{
	return verify(fcinfo, "zoom", 1, 2, -1, 3, true);
}

Datum
dibs_verify_calendly_signature(PG_FUNCTION_ARGS)
{
	return verify(fcinfo, "calendly", 1, -1, -1, 2, true);
}

Datum
dibs_verify_daily_signature(PG_FUNCTION_ARGS)
{
	return verify(fcinfo, "daily", 1, 2, -1, 3, false);
}

Datum
dibs_verify_standard_webhook(PG_FUNCTION_ARGS)
{
	return verify(fcinfo, "standard", 3, 2, 1, 4, true);
}

Datum
dibs_verify_stripe_signature(PG_FUNCTION_ARGS)
{
	return verify(fcinfo, "stripe", 1, -1, -1, 2, true);
}
