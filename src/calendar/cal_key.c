/*
 * cal_key.c
 *		Renews API keys of Cal.com's ahead of their expiry.
 *
 * A renewal makes a new key and kills the old one in the same moment, and nothing gives the new one again. So it is one
 *at a time ("CalKey", state renewing, committed before the request), and the new key is sealed and committed before
 * anything uses it. Where the answer was lost the old key is tried once more: it is still good if Cal.com had not
 *acted, and refused if it had; then a new one has to be made there, by hand, and that is said.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "account/grant.h"
#include "account/oauth.h"
#include "calendar/cal_job.h"
#include "core/jsonread.h"
#include "guc.h"
#include "queue/plan.h"
#include "secrets/secret.h"
#include "secrets/store.h"

#define SECRET "cal.api_key"
/* Renewed when the last sixth of its life begins, at most 5 days ahead of its end. */
#define REFRESH_PART 6
#define LONGEST_LEAD_S (5 * SECS_PER_DAY)
/* How often it is looked whether a dead or missing key has been replaced. */
#define LOOK_S 3600
/* After what Cal.com does not do. */
#define REFUSED_S (6 * 3600)
/* A renewal whose answer did not come may still be at work there. */
#define SETTLE_DOWN_MS 3000

typedef struct Renewal
{
	DibsCalAnswer answer;
	char *base_url;
	char *user_ulid;
	int days;
	char *state;
	bool same;   /* the key that "CalKey" is about */
	bool unsure; /* an earlier renewal with this key may have been carried out */
	char *request;
	DibsSecret secret;
	char *key; /* the new one */
} Renewal;

static DibsStatement take_sql = {
	"SELECT k.\"account\", k.\"days\", k.\"state\", k.\"secret\", k.\"expiresAt\", k.\"sentAt\", a.\"settings\"->>'base_url', a.\"userUlid\""
	" FROM dibs.\"CalKey\" k LEFT JOIN dibs.\"ProviderAccount\" a ON a.\"ulid\"::text = k.\"account\" WHERE k.\"ulid\" = $1"
	" FOR NO KEY UPDATE OF k",
	1,
	{BPCHAROID},
	NULL};

static DibsStatement sending_sql = {
	"UPDATE dibs.\"CalKey\" SET \"state\" = 'renewing', \"sentAt\" = clock_timestamp(), \"updatedAt\" = clock_timestamp(),"
	" \"expiresAt\" = CASE WHEN \"secret\" = $2 THEN \"expiresAt\" END, \"secret\" = $2 WHERE \"ulid\" = $1",
	2,
	{BPCHAROID, INT4OID},
	NULL};

static DibsStatement renewed_sql = {
	"UPDATE dibs.\"CalKey\" SET \"state\" = 'renewed', \"secret\" = $2, \"renewedAt\" = clock_timestamp(), \"expiresAt\" = $3,"
	" \"errorCode\" = NULL, \"error\" = NULL, \"updatedAt\" = clock_timestamp() WHERE \"ulid\" = $1",
	3,
	{BPCHAROID, INT4OID, TIMESTAMPTZOID},
	NULL};

static DibsStatement trouble_sql = {
	"UPDATE dibs.\"CalKey\" SET \"state\" = $2, \"errorCode\" = $3, \"error\" = $4, \"updatedAt\" = clock_timestamp()"
	" WHERE \"ulid\" = $1 AND \"secret\" = $5",
	5,
	{BPCHAROID, TEXTOID, TEXTOID, TEXTOID, INT4OID},
	NULL};

static bool
later(DibsCall *call, TimestampTz at)
{
	call->outcome = DIBS_CALL_AGAIN;
	call->next_at = at;
	return false;
}

static TimestampTz
due_before(TimestampTz expires, int days)
{
	return dibs_plus_seconds(expires, -Min((int64) days * SECS_PER_DAY / REFRESH_PART, LONGEST_LEAD_S));
}

static bool
key_prepare(DibsCall *call)
{
	Renewal *r = palloc0(sizeof(Renewal));
	Datum values[2] = {CStringGetTextDatum(call->key)};
	TimestampTz now = GetCurrentTimestamp();
	char *heeded = dibs_json_text(&call->progress->root, "request");
	int known;
	TimestampTz expires, sent;
	bool asked;

	if (dibs_execute(&take_sql, values, NULL, false, SPI_OK_SELECT) == 0)
		return false;
	call->state = r;
	call->account = dibs_column(0, 1);
	r->days = dibs_column_int(0, 2);
	r->state = dibs_column(0, 3);
	known = dibs_column_int(0, 4);
	expires = dibs_column_time(0, 5);
	sent = dibs_column_time(0, 6);
	r->base_url = dibs_column(0, 7);
	r->user_ulid = dibs_column(0, 8);
	r->request = dibs_json_text(&call->args->root, "request");
	asked = r->request != NULL && (heeded == NULL || strcmp(heeded, r->request) != 0);
	/* it may be connected again */
	if (!dibs_cal_account_stands(call->account))
		return later(call, dibs_plus_seconds(now, LOOK_S));
	if (!dibs_secret_get(SECRET, call->account, call->context, &r->secret))
		return later(call, dibs_plus_seconds(now, LOOK_S));
	r->same = known == r->secret.generation;
	r->unsure = r->same && strcmp(r->state, "renewing") == 0;
	if (r->same && strcmp(r->state, "lost") == 0)
		return later(call, dibs_plus_seconds(now, LOOK_S));
	if (r->same && strcmp(r->state, "renewed") == 0 && !asked && now < due_before(expires, r->days))
		return later(call, due_before(expires, r->days));
	if (r->unsure && now < TimestampTzPlusMilliseconds(sent, Max(dibs_request_timeout, SETTLE_DOWN_MS)))
		return later(call, TimestampTzPlusMilliseconds(sent, Max(dibs_request_timeout, SETTLE_DOWN_MS)));
	values[1] = Int32GetDatum(r->secret.generation);
	(void) dibs_execute(&sending_sql, values, NULL, false, SPI_OK_UPDATE);
	call->provider = "cal";
	call->no_token = true;
	return true;
}

static DibsHttpRequest *
key_build(DibsCall *call, DibsHttp *http, const DibsAccess *none)
{
	const Renewal *r = call->state;
	DibsAccess access = {.account = call->account, .token = r->secret.value, .base_url = r->base_url};
	DibsCalCall request = {.method = "POST", .path = "/api-keys/refresh"};
	DibsJson json = {0};

	dibs_json_begin_object(&json);
	dibs_json_key(&json, "apiKeyDaysValid");
	dibs_json_put_int(&json, r->days);
	dibs_json_end_object(&json);
	request.body = dibs_json_finish(&json);
	return dibs_cal_send(call, http, &access, &request);
}

static void
key_read(DibsCall *call, DibsHttpRequest *request)
{
	Renewal *r = call->state;

	dibs_cal_answer_read(request, &r->answer);
	dibs_cal_judge(call, &r->answer);
	if (r->answer.outcome == DIBS_CAL_UNAUTHORIZED || r->answer.outcome == DIBS_CAL_EXPIRED)
		dibs_call_failed(call, DIBS_VERDICT_FAILED, "reconnect_needed",
						 r->unsure ? "the key was renewed, and the answer with the new one was lost"
								   : "the key was refused: it has run out, or was removed at Cal.com");
	if (r->answer.outcome != DIBS_CAL_OK)
		return;
	r->key = dibs_json_text(dibs_cal_data(&r->answer), "apiKey");
	if (!dibs_is_token(r->key))
		dibs_call_failed(call, DIBS_VERDICT_UNKNOWN, "provider_down", "the answer has no key");
}

/* False where it is not about this key any more: somebody who took the job over was quicker. */
static bool
note_trouble(DibsCall *call, const char *state)
{
	const Renewal *r = call->state;
	Datum values[5] = {CStringGetTextDatum(call->key), CStringGetTextDatum(state), (Datum) 0, (Datum) 0,
					   Int32GetDatum(r->secret.generation)};
	char nulls[6] = "  nn ";

	if (call->answer.error_code)
	{
		values[2] = CStringGetTextDatum(call->answer.error_code);
		nulls[2] = ' ';
	}
	if (call->answer.error)
	{
		values[3] = CStringGetTextDatum(call->answer.error);
		nulls[3] = ' ';
	}
	return dibs_execute(&trouble_sql, values, nulls, false, SPI_OK_UPDATE) > 0;
}

/* What it is where this request has changed nothing; another key than the one that was renewed or lost is new. */
static const char *
state_before(const Renewal *r)
{
	return r->unsure ? "renewing" : r->same && strcmp(r->state, "renewed") == 0 ? "renewed" : "wanted";
}

static void
keep_key(DibsCall *call, Renewal *r)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz expires = dibs_plus_seconds(now, (int64) r->days * SECS_PER_DAY);
	Datum values[3] = {CStringGetTextDatum(call->key), (Datum) 0, TimestampTzGetDatum(expires)};
	DibsSecret newest;
	DibsJson json = {0};

	call->outcome = DIBS_CALL_AGAIN;
	call->next_at = 0;
	/* somebody has set another one meanwhile: that one is what they want, and is looked at by the next step */
	if (!dibs_secret_get(SECRET, call->account, call->context, &newest) || newest.generation != r->secret.generation)
		return;
	values[1] = Int32GetDatum(dibs_secret_store(SECRET, call->account, r->key, strlen(r->key), 0));
	(void) dibs_execute(&renewed_sql, values, NULL, false, SPI_OK_UPDATE);
	dibs_json_begin_object(&json);
	dibs_json_optional_member(&json, "request", r->request);
	dibs_json_end_object(&json);
	call->progress = dibs_json_finish(&json);
	call->next_at = due_before(expires, r->days);
}

static void
key_settle(DibsCall *call)
{
	Renewal *r = call->state;
	TimestampTz now = GetCurrentTimestamp();

	switch (call->answer.verdict)
	{
		case DIBS_VERDICT_DONE:
			keep_key(call, r);
			return;
		case DIBS_VERDICT_UNKNOWN:
			(void) note_trouble(call, "renewing");
			call->outcome = DIBS_CALL_RETRY;
			return;
		case DIBS_VERDICT_FAILED:
			break;
		default:
			/* certainly not carried out, this time */
			(void) note_trouble(call, state_before(r));
			call->outcome = DIBS_CALL_RETRY;
			return;
	}
	if (strcmp(call->answer.error_code, "reconnect_needed") == 0)
	{
		if (note_trouble(call, "lost"))
			dibs_account_event(r->user_ulid, call->account, "cal", "connection.lost", call->answer.error_code,
							   call->answer.error);
		call->outcome = DIBS_CALL_RETRY;
		call->next_at = dibs_plus_seconds(now, LOOK_S);
		return;
	}
	(void) note_trouble(call, state_before(r));
	call->outcome = DIBS_CALL_RETRY;
	call->next_at = dibs_plus_seconds(now, REFUSED_S);
}

static void
key_unsent(DibsCall *call)
{
	(void) note_trouble(call, state_before(call->state));
}

const DibsCallKind dibs_cal_key_job = {
	.name = "cal_key",
	.max_attempts = -1,
	.prepare = key_prepare,
	.build = key_build,
	.read = key_read,
	.settle = key_settle,
	.unsent = key_unsent,
};
