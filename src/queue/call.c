/*
 * call.c
 *		Failures and jobs, for whoever calls a provider.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "datatype/timestamp.h"
#include "utils/builtins.h"

#include "core/jsonparse.h"
#include "http/retry_after.h"
#include "queue/call.h"
#include "queue/plan.h"
#include "queue/wake.h"

/* Longest text of a provider's that is kept. */
#define MAX_ERROR 300
/* however far away a Retry-After may be */
#define LONGEST_WAIT_MS (25 * 60 * 60 * 1000)
/* Not everybody who was sent away comes back in the same moment. */
#define RETRY_JITTER_MS 500

static DibsStatement start_sql = {
	"INSERT INTO dibs.\"Job\" AS j (\"kind\", \"key\", \"args\", \"dueAt\") VALUES ($1, $2, coalesce($3, '{}'), $4)"
	" ON CONFLICT (\"kind\", \"key\") WHERE \"state\" = 'waiting'"
	" DO UPDATE SET \"dueAt\" = CASE WHEN j.\"leaseUntil\" IS NULL THEN least(j.\"dueAt\", excluded.\"dueAt\")"
	"  ELSE excluded.\"dueAt\" END, \"args\" = coalesce($3, j.\"args\")",
	4,
	{TEXTOID, TEXTOID, JSONBOID, TIMESTAMPTZOID},
	NULL};

static void set_failure(DibsFailure *failure, DibsVerdict verdict, const char *code, const char *fmt, va_list args)
	pg_attribute_printf(4, 0);

static void
set_failure(DibsFailure *failure, DibsVerdict verdict, const char *code, const char *fmt, va_list args)
{
	char text[MAX_ERROR];

	vsnprintf(text, sizeof(text), fmt, args);
	failure->verdict = verdict;
	failure->error_code = code;
	failure->error = pstrdup(text);
}

void
dibs_fail(DibsFailure *failure, DibsVerdict verdict, const char *code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	set_failure(failure, verdict, code, fmt, args);
	va_end(args);
}

void
dibs_call_failed(DibsCall *call, DibsVerdict verdict, const char *code, const char *fmt, ...)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);
	va_list args;

	va_start(args, fmt);
	set_failure(&call->answer, verdict, code, fmt, args);
	va_end(args);
	MemoryContextSwitchTo(old);
}

void
dibs_job_start(const char *kind, const char *key, Jsonb *args, TimestampTz at)
{
	Datum values[4];
	char nulls[5] = "    ";

	values[0] = CStringGetTextDatum(kind);
	values[1] = CStringGetTextDatum(key);
	values[2] = JsonbPGetDatum(args);
	nulls[2] = args ? ' ' : 'n';
	values[3] = TimestampTzGetDatum(at == 0 ? DT_NOBEGIN : at);
	(void) dibs_execute(&start_sql, values, nulls, false, SPI_OK_INSERT);
	dibs_wake_at_commit();
}

void
dibs_fail_unanswered(DibsFailure *failure, DibsHttpRequest *request, DibsVerdict if_sent)
{
	const char *code = "provider_down";

	if (dibs_http_failure(request) == DIBS_HTTP_TLS)
		code = "provider_tls";
	else if (dibs_http_failure(request) == DIBS_HTTP_REFUSED_URL)
		code = "host_not_allowed";
	dibs_fail(failure, dibs_http_maybe_sent(request) ? if_sent : DIBS_VERDICT_RETRY, code, "%s",
			  dibs_http_error(request));
}

TimestampTz
dibs_retry_after_header(DibsHttpRequest *request, TimestampTz otherwise)
{
	TimestampTz now = GetCurrentTimestamp();
	int64 unix_ms = now / 1000 + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;
	char value[64];
	int64 wait = -1;

	if (dibs_http_answer_header(request, "Retry-After", value, sizeof(value)) != NULL)
		wait = dibs_retry_after(value, unix_ms);
	if (wait < 0)
		return otherwise;
	wait = Min(wait, LONGEST_WAIT_MS) + (int64) (pg_prng_double(&pg_global_prng_state) * RETRY_JITTER_MS);
	return TimestampTzPlusMilliseconds(now, wait);
}

const JsonbContainer *
dibs_answer_object(DibsHttpRequest *request)
{
	size_t len;
	const char *text = dibs_http_answer(request, &len);
	Jsonb *json = dibs_json_parse(text, len);

	return json ? &json->root : NULL;
}
