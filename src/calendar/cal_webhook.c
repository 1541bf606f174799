/*
 * cal_webhook.c
 *		Registers webhooks at Cal.com, and keeps them as they should be.
 *
 * The list is read first: Cal.com has one registration for each URL and refuses a second one, and what is there may be
 * an earlier try of ours, or somebody's whose secret is another. Checked again and again, because a registration can be
 * switched off there, by its owner or by Cal.com itself.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "calendar/cal_job.h"
#include "core/jsonread.h"
#include "queue/plan.h"
#include "secrets/secret.h"

#define SECRET "cal.webhook_secret"
#define CHECK_HOURS 6
#define FAILED_MINUTES 15
/* As many as one page has; nobody has more. */
#define TAKE 250

static const char *const triggers[] = {
	"BOOKING_CREATED",  "BOOKING_REQUESTED", "BOOKING_RESCHEDULED",       "BOOKING_CANCELLED",
	"BOOKING_REJECTED", "BOOKING_PAID",      "BOOKING_PAYMENT_INITIATED", "BOOKING_NO_SHOW_UPDATED",
	"MEETING_STARTED",  "MEETING_ENDED",     "RECORDING_READY",           "RECORDING_TRANSCRIPTION_GENERATED",
};

typedef struct Registration
{
	DibsCalAnswer answer;
	char *url;
	char *secret;
	char *id;     /* what there is at Cal.com already */
	bool writing; /* the list has been read, and is not as it should be */
} Registration;

static DibsStatement take_sql = {
	"SELECT w.\"url\", w.\"account\" FROM dibs.\"CalWebhook\" w WHERE w.\"ulid\" = $1 FOR NO KEY UPDATE",
	1,
	{BPCHAROID},
	NULL};

static DibsStatement write_sql = {
	"UPDATE dibs.\"CalWebhook\" SET \"state\" = $2, \"externalId\" = coalesce($3, \"externalId\"), \"errorCode\" = $4,"
	" \"error\" = $5, \"updatedAt\" = clock_timestamp(),"
	" \"checkedAt\" = CASE WHEN $2 = 'registered' THEN clock_timestamp() ELSE \"checkedAt\" END,"
	" \"repairs\" = \"repairs\" + CASE WHEN $6 AND \"state\" = 'registered' THEN 1 ELSE 0 END WHERE \"ulid\" = $1",
	6,
	{BPCHAROID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID},
	NULL};

static bool
webhook_prepare(DibsCall *call)
{
	Registration *reg = palloc0(sizeof(Registration));
	Datum values[1] = {CStringGetTextDatum(call->key)};
	DibsSecret secret;

	/* forgotten: so is the job */
	if (dibs_execute(&take_sql, values, NULL, false, SPI_OK_SELECT) == 0)
		return false;
	reg->url = dibs_column(0, 1);
	call->provider = "cal";
	call->account = dibs_column(0, 2);
	if (!dibs_cal_account_stands(call->account) || !dibs_secret_get(SECRET, call->account, call->context, &secret))
		return false;
	reg->secret = secret.value;
	call->state = reg;
	return true;
}

static Jsonb *
wanted(const Registration *reg)
{
	DibsJson json = {0};

	dibs_json_begin_object(&json);
	dibs_json_key(&json, "active");
	dibs_json_put_bool(&json, true);
	dibs_json_text_member(&json, "subscriberUrl", reg->url);
	dibs_json_key(&json, "triggers");
	dibs_json_begin_array(&json);
	for (size_t i = 0; i < lengthof(triggers); i++)
		dibs_json_put_text(&json, triggers[i]);
	dibs_json_end_array(&json);
	dibs_json_text_member(&json, "secret", reg->secret);
	dibs_json_end_object(&json);
	return dibs_json_finish(&json);
}

static DibsHttpRequest *
webhook_build(DibsCall *call, DibsHttp *http, const DibsAccess *access)
{
	const Registration *reg = call->state;
	DibsCalCall request = {.method = "GET", .path = psprintf("/webhooks?take=%d", TAKE)};

	if (reg->writing)
	{
		request.method = reg->id != NULL ? "PATCH" : "POST";
		request.path = reg->id != NULL ? psprintf("/webhooks/%s", reg->id) : "/webhooks";
		request.body = wanted(reg);
	}
	return dibs_cal_send(call, http, access, &request);
}

static bool
has_trigger(JsonbContainer *list, const char *trigger)
{
	for (uint32 i = 0; list != NULL && i < JsonContainerSize(list); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(list, i);

		if (item->type == jbvString && strlen(trigger) == (size_t) item->val.string.len &&
			memcmp(trigger, item->val.string.val, item->val.string.len) == 0)
			return true;
	}
	return false;
}

/* Is what there is as it should be? Sets its id. */
static bool
is_right(Registration *reg, JsonbContainer *list)
{
	for (uint32 i = 0; list != NULL && i < JsonContainerSize(list); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(list, i);
		const JsonbContainer *one = item->type == jbvBinary ? item->val.binary.data : NULL;
		char *url = dibs_json_text(one, "subscriberUrl");
		char *secret = dibs_json_text(one, "secret");
		char *template = dibs_json_text(one, "payloadTemplate");
		bool active = false;

		if (url == NULL || strcmp(url, reg->url) != 0)
			continue;
		reg->id = dibs_json_scalar_text(one, "id");
		if (!dibs_json_bool(one, "active", &active) || !active || secret == NULL || strcmp(secret, reg->secret) != 0 ||
			(template != NULL && *template != '\0'))
			return false;
		for (size_t k = 0; k < lengthof(triggers); k++)
		{
			if (!has_trigger(dibs_json_array(one, "triggers"), triggers[k]))
				return false;
		}
		return true;
	}
	return false;
}

static void
webhook_read(DibsCall *call, DibsHttpRequest *request)
{
	Registration *reg = call->state;
	JsonbContainer *data;

	dibs_cal_answer_read(request, &reg->answer);
	dibs_cal_judge(call, &reg->answer);
	data = dibs_cal_data(&reg->answer);
	if (reg->writing)
	{
		if (reg->answer.outcome == DIBS_CAL_OK && reg->id == NULL)
			reg->id = dibs_json_scalar_text(data, "id");
		/* there is one for this URL meanwhile, perhaps our own: the list says which */
		if (reg->answer.outcome == DIBS_CAL_CONFLICT || reg->answer.outcome == DIBS_CAL_NOT_FOUND)
			call->answer.verdict = DIBS_VERDICT_RETRY;
		return;
	}
	if (reg->answer.outcome != DIBS_CAL_OK || (data != NULL && is_right(reg, data)))
		return;
	reg->writing = true;
	call->answer.verdict = DIBS_VERDICT_MORE;
}

static void
webhook_settle(DibsCall *call)
{
	const Registration *reg = call->state;
	bool good = call->answer.verdict == DIBS_VERDICT_DONE;
	const char *texts[5] = {call->key, good ? "registered" : "failed", reg->id, good ? NULL : call->answer.error_code,
							good ? NULL : call->answer.error};
	Datum values[6];
	char nulls[7] = "      ";

	for (int i = 0; i < 5; i++)
	{
		nulls[i] = texts[i] == NULL ? 'n' : ' ';
		values[i] = texts[i] == NULL ? (Datum) 0 : CStringGetTextDatum(texts[i]);
	}
	values[5] = BoolGetDatum(reg->writing);
	(void) dibs_execute(&write_sql, values, nulls, false, SPI_OK_UPDATE);
	dibs_cal_come_back(call,
					   TimestampTzPlusMilliseconds(GetCurrentTimestamp(), good ? (int64) CHECK_HOURS * 3600 * 1000
																			   : (int64) FAILED_MINUTES * 60 * 1000));
}

const DibsCallKind dibs_cal_webhook_job = {
	.name = "cal_webhook",
	.max_attempts = -1,
	.prepare = webhook_prepare,
	.build = webhook_build,
	.read = webhook_read,
	.settle = webhook_settle,
};
