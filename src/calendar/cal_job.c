/*
 * cal_job.c
 *		What the worker's jobs at Cal.com share: verdicts, pace, applying what was read, and reading one booking.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "booking/row.h"
#include "calendar/cal_job.h"
#include "calendar/cal_read.h"
#include "core/jsonbuild.h"
#include "core/jsonread.h"
#include "errors.h"
#include "guc.h"
#include "queue/attempt.h"
#include "queue/plan.h"
#include "webhook/events.h"

/* Of each minute's requests so many in a hundred are left to what cannot wait: changes, other jobs, other programs. */
#define RESERVED_PERCENT 20
/* Another transaction made the same booking first, so often at most. */
#define MAX_CONFLICTS 3
/* Several webhooks about one booking come together; one reading does for all. */
#define READ_DELAY_MS 2000
/* A booking that somebody has locked is read again after this. */
#define LOCKED_DELAY_MS 15000

DibsHttpRequest *
dibs_cal_send(DibsCall *call, DibsHttp *http, const DibsAccess *access, const DibsCalCall *request)
{
	const char *base = access->base_url != NULL ? access->base_url : dibs_cal_api_url;

	if (base == NULL || *base == '\0')
	{
		dibs_call_failed(call, DIBS_VERDICT_FAILED, "not_configured", "dibs.cal_api_url is not set");
		return NULL;
	}
	return dibs_cal_request(http, base, request, access->token);
}

static DibsStatement stands_sql = {"SELECT FROM dibs.\"ProviderAccount\" a WHERE a.\"ulid\"::text = $1"
								   " AND a.\"state\" NOT IN ('disconnected', 'deauthorized')",
								   1,
								   {TEXTOID},
								   NULL};

bool
dibs_cal_account_stands(const char *account)
{
	Datum values[1] = {CStringGetTextDatum(account)};

	return *account == '\0' || dibs_execute(&stands_sql, values, NULL, false, SPI_OK_SELECT) > 0;
}

void
dibs_cal_judge(DibsCall *call, const DibsCalAnswer *answer)
{
	DibsVerdict verdict = DIBS_VERDICT_FAILED;

	switch (answer->outcome)
	{
		case DIBS_CAL_OK:
			call->answer.verdict = DIBS_VERDICT_DONE;
			return;
		case DIBS_CAL_UNAUTHORIZED:
		case DIBS_CAL_EXPIRED:
			verdict = DIBS_VERDICT_NEW_TOKEN;
			break;
		case DIBS_CAL_THROTTLED:
		case DIBS_CAL_DOWN:
			verdict = DIBS_VERDICT_RETRY;
			break;
		case DIBS_CAL_UNKNOWN:
			verdict = DIBS_VERDICT_UNKNOWN;
			break;
		default:
			break;
	}
	dibs_call_failed(call, verdict, dibs_cal_error_code(answer->outcome), "%s", answer->error);
	if (answer->outcome == DIBS_CAL_THROTTLED)
	{
		/* everything of this account is blocked now, and asking prolongs nothing but the trouble */
		call->answer.throttle = DIBS_THROTTLE_ACCOUNT;
		call->answer.retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), answer->wait_ms + 500);
	}
}

void
dibs_cal_come_back(DibsCall *call, TimestampTz next)
{
	switch (call->answer.verdict)
	{
		case DIBS_VERDICT_RETRY:
		case DIBS_VERDICT_UNKNOWN:
		case DIBS_VERDICT_NEW_TOKEN:
			call->outcome = DIBS_CALL_RETRY;
			break;
		case DIBS_VERDICT_FAILED:
			call->outcome = DIBS_CALL_RETRY;
			call->next_at = next;
			break;
		default:
			call->outcome = DIBS_CALL_AGAIN;
			call->next_at = next;
			break;
	}
}

TimestampTz
dibs_cal_next_page(const DibsCalAnswer *answer)
{
	if (answer->limit <= 0 || answer->remaining < 0 || answer->wait_ms <= 0 ||
		answer->remaining > answer->limit * RESERVED_PERCENT / 100)
		return 0;
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), answer->wait_ms + 100);
}

typedef struct Application
{
	const DibsBookingChange *change;
	DibsApplied *applied;
} Application;

static bool
apply_change(void *arg)
{
	Application *a = arg;

	dibs_booking_apply(a->change, GetCurrentTimestamp(), false, NULL, a->applied);
	if (a->applied->new_uids != NIL)
		dibs_requeue_waiting(a->applied->new_uids);
	return true;
}

bool
dibs_cal_apply(const DibsBookingChange *change, DibsApplied *applied)
{
	Application application = {change, applied};

	for (int i = 0; i < MAX_CONFLICTS; i++)
	{
		ErrorData *error = dibs_attempt(apply_change, &application);

		if (error == NULL)
			return true;
		if (error->sqlerrcode == ERRCODE_OUT_OF_MEMORY || error->sqlerrcode == ERRCODE_DISK_FULL)
			ReThrowError(error);
		memset(applied, 0, sizeof(*applied));
		applied->outcome = DIBS_OUTCOME_FAILED;
		applied->problem = error->message;
		if (error->sqlerrcode != ERRCODE_T_R_SERIALIZATION_FAILURE && error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
			return false;
	}
	return false;
}

void
dibs_cal_put_time(DibsJson *json, const char *key, TimestampTz at)
{
	if (at != 0)
		dibs_json_text_member(json, key, dibs_cal_time(at));
}

/*
 * Which account may read this coach's bookings: the coach's own, else the platform's. No row: nobody.
 */
static DibsStatement reader_sql = {
	"SELECT account FROM (SELECT 1 AS rank, a.\"ulid\"::text AS account FROM dibs.\"ProviderAccount\" a"
	"  WHERE a.\"provider\" = 'cal' AND a.\"userUlid\" = $1 AND (EXISTS (SELECT FROM dibs.\"ProviderCredential\" c"
	"   WHERE c.\"accountUlid\" = a.\"ulid\" AND c.\"state\" = 'live') OR EXISTS (SELECT FROM dibs.\"Secret\" s"
	"   WHERE s.\"name\" = 'cal.api_key' AND s.\"account\" = a.\"ulid\"::text AND s.\"state\" = 'live'))"
	" UNION ALL SELECT 2, '' WHERE EXISTS (SELECT FROM dibs.\"Secret\" s"
	"  WHERE s.\"name\" = 'cal.api_key' AND s.\"account\" = '' AND s.\"state\" = 'live')) x ORDER BY rank LIMIT 1",
	1,
	{BPCHAROID},
	NULL};

void
dibs_cal_read_soon(const char *uid, const char *user_ulid, int delay_ms)
{
	Datum values[1] = {CStringGetTextDatum(user_ulid)};
	DibsJson json = {0};
	char *account;

	if (dibs_execute(&reader_sql, values, NULL, false, SPI_OK_SELECT) == 0)
		return;
	account = dibs_column(0, 1);
	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "account", account);
	dibs_json_end_object(&json);
	dibs_job_start(dibs_cal_read_job.name, uid, dibs_json_finish(&json),
				   TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay_ms));
}

void
dibs_cal_applied(const DibsBookingChange *change, const DibsApplied *applied)
{
	/* no event says whether the host came: who is absent may have been told together with that */
	bool absence = change->verb == DIBS_VERB_NO_SHOW ||
				   (change->note != NULL && strcmp(change->note, "host.absent") == 0);

	if ((change->seated || absence) && applied->booking_ulid[0] != '\0' && applied->outcome == DIBS_OUTCOME_APPLIED)
		dibs_cal_read_soon(change->uid, applied->user_ulid, READ_DELAY_MS);
}

/* Jobs that are there already are left alone: they know how far they are. */
static DibsStatement schedule_sql = {
	"INSERT INTO dibs.\"Job\" (\"kind\", \"key\") SELECT k, a.account FROM dibs.cal_accounts() a, unnest($1) AS k"
	" WHERE NOT EXISTS (SELECT FROM dibs.\"Job\" j WHERE j.\"kind\" = k AND j.\"key\" = a.account AND j.\"state\" = 'waiting')"
	" ON CONFLICT (\"kind\", \"key\") WHERE \"state\" = 'waiting' DO NOTHING",
	1,
	{TEXTARRAYOID},
	NULL};

bool
dibs_cal_schedule_step(Jsonb *args, Jsonb **progress)
{
	const char *const kinds[] = {dibs_cal_event_types_job.name, dibs_cal_sync_job.name};
	Datum values[1] = {dibs_text_array(kinds, lengthof(kinds))};

	if (dibs_cal_sync_interval > 0)
		(void) dibs_execute(&schedule_sql, values, NULL, false, SPI_OK_INSERT);
	return true;
}

/* Reading one booking */

static bool
read_prepare(DibsCall *call)
{
	call->provider = "cal";
	call->account = dibs_json_text(&call->args->root, "account");
	if (call->account == NULL)
		call->account = "";
	call->state = palloc0(sizeof(DibsCalAnswer));
	return true;
}

static DibsHttpRequest *
read_build(DibsCall *call, DibsHttp *http, const DibsAccess *access)
{
	DibsCalCall request = dibs_cal_get_booking(call->key);

	return dibs_cal_send(call, http, access, &request);
}

static void
read_read(DibsCall *call, DibsHttpRequest *request)
{
	dibs_cal_answer_read(request, call->state);
	dibs_cal_judge(call, call->state);
}

/* What is not there any more was deleted, and that is no cancellation: it is left as it is. */
static void
read_settle(DibsCall *call)
{
	const DibsCalAnswer *answer = call->state;
	DibsCalBookingFacts facts;
	DibsBookingChange change;
	DibsApplied applied;
	JsonbContainer *data = dibs_cal_data(answer);

	if (answer->outcome == DIBS_CAL_NOT_FOUND)
		call->outcome = DIBS_CALL_DONE;
	if (call->answer.verdict != DIBS_VERDICT_DONE || data == NULL || !JsonContainerIsObject(data))
		return;
	dibs_cal_read_booking(data, answer->as_of, &change, &facts);
	if (change.problem != NULL)
		return;
	if (facts.superseded)
	{
		/* nobody has told of its successor; that one knows whose it is */
		dibs_job_start(dibs_cal_read_job.name, facts.successor_uid, call->args, 0);
		return;
	}
	if (!dibs_cal_apply(&change, &applied))
	{
		call->outcome = DIBS_CALL_RETRY;
		call->next_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOCKED_DELAY_MS);
		dibs_call_failed(call, DIBS_VERDICT_RETRY, "not_writable", "%s", applied.problem);
	}
}

const DibsCallKind dibs_cal_read_job = {
	.name = "cal_read",
	.prepare = read_prepare,
	.build = read_build,
	.read = read_read,
	.settle = read_settle,
};
