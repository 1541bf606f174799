/*
 * cal_event_types.c
 *		Keeps "CalEventType" in step with an account's event types at Cal.com.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "calendar/cal_job.h"
#include "calendar/cal_read.h"
#include "core/jsonread.h"
#include "guc.h"
#include "queue/plan.h"

/* Event types change seldom. */
#define EVERY_MINUTES 60
#define FAILED_MINUTES 15

/* Whose event type it is: by the owner's account, else the account's own coach, else by its bookings. */
static DibsStatement owner_sql = {
	"SELECT coalesce((SELECT a.\"userUlid\" FROM dibs.\"ProviderAccount\" a WHERE a.\"provider\" = 'cal' AND a.\"externalId\" = $1),"
	" (SELECT a.\"userUlid\" FROM dibs.\"ProviderAccount\" a WHERE a.\"ulid\"::text = $2),"
	" (SELECT b.\"userUlid\" FROM dibs.\"CalBooking\" b WHERE b.\"eventTypeId\" = $3 AND b.\"source\" = 'cal' LIMIT 1),"
	" nullif(current_setting('dibs.default_user_ulid', true), '')::char(26))",
	3,
	{TEXTOID, TEXTOID, INT4OID},
	NULL};

static DibsStatement write_sql = {
	"INSERT INTO dibs.\"CalEventType\" AS t (\"userUlid\", \"eventTypeId\", \"slug\", \"title\", \"description\", \"length\","
	" \"price\", \"currency\", \"active\", \"seats\", \"metadata\", \"lastSyncedAt\")"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce($11, '{}'), $12)"
	" ON CONFLICT ON CONSTRAINT \"CalEventType_eventTypeId_key\" DO UPDATE SET \"slug\" = excluded.\"slug\","
	" \"title\" = excluded.\"title\", \"description\" = excluded.\"description\", \"length\" = excluded.\"length\","
	" \"price\" = excluded.\"price\", \"currency\" = excluded.\"currency\", \"active\" = excluded.\"active\","
	" \"seats\" = excluded.\"seats\", \"metadata\" = excluded.\"metadata\", \"lastSyncedAt\" = excluded.\"lastSyncedAt\"",
	12,
	{BPCHAROID, INT4OID, TEXTOID, TEXTOID, TEXTOID, INT4OID, INT8OID, TEXTOID, BOOLOID, INT4OID, JSONBOID,
	 TIMESTAMPTZOID},
	NULL};

/* What an account's list had and has no more, is not offered any more. $1 coaches, $2 the ids in the list. */
static DibsStatement gone_sql = {
	"UPDATE dibs.\"CalEventType\" t SET \"active\" = false WHERE t.\"userUlid\" = ANY ($1::char(26)[]) AND t.\"active\""
	" AND t.\"lastSyncedAt\" IS NOT NULL AND t.\"eventTypeId\" <> ALL ($2)",
	2,
	{TEXTARRAYOID, INT4ARRAYOID},
	NULL};

static bool
types_prepare(DibsCall *call)
{
	call->provider = "cal";
	call->account = call->key;
	call->state = palloc0(sizeof(DibsCalAnswer));
	return dibs_cal_account_stands(call->account);
}

static DibsHttpRequest *
types_build(DibsCall *call, DibsHttp *http, const DibsAccess *access)
{
	DibsCalCall request = dibs_cal_list_event_types();

	return dibs_cal_send(call, http, access, &request);
}

static void
types_read(DibsCall *call, DibsHttpRequest *request)
{
	dibs_cal_answer_read(request, call->state);
	dibs_cal_judge(call, call->state);
}

static Datum
text_or_null(const char *text, char *null)
{
	*null = text == NULL ? 'n' : ' ';
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* The coach's ulid, or NULL: then the event type is left out. */
char *
dibs_cal_write_event_type(const DibsCalEventType *type, const char *account, TimestampTz now)
{
	Datum values[12];
	char nulls[13] = "            ";
	char *owner;

	values[0] = text_or_null(type->owner_id, &nulls[0]);
	values[1] = CStringGetTextDatum(account);
	values[2] = Int32GetDatum(type->id);
	owner = type->coach != NULL ? pstrdup(type->coach) : NULL;
	if (owner == NULL)
	{
		(void) dibs_execute(&owner_sql, values, nulls, true, SPI_OK_SELECT);
		owner = dibs_column(0, 1);
	}
	if (owner == NULL)
		return NULL;
	nulls[0] = ' ';
	values[0] = CStringGetTextDatum(owner);
	values[1] = Int32GetDatum(type->id);
	values[2] = text_or_null(type->slug, &nulls[2]);
	values[3] = text_or_null(type->title, &nulls[3]);
	values[4] = text_or_null(type->description, &nulls[4]);
	values[5] = Int32GetDatum(type->length);
	nulls[5] = type->length > 0 ? ' ' : 'n';
	values[6] = Int64GetDatum(type->price);
	values[7] = text_or_null(type->currency, &nulls[7]);
	values[8] = BoolGetDatum(!type->hidden);
	values[9] = Int32GetDatum(type->seats);
	nulls[9] = type->seats > 0 ? ' ' : 'n';
	values[10] = JsonbPGetDatum(type->metadata);
	nulls[10] = type->metadata != NULL ? ' ' : 'n';
	values[11] = TimestampTzGetDatum(now);
	(void) dibs_execute(&write_sql, values, nulls, false, SPI_OK_INSERT);
	return owner;
}

static void
write_list(DibsCall *call, JsonbContainer *list)
{
	int n = (int) JsonContainerSize(list);
	const char **coaches = palloc(sizeof(char *) * Max(n, 1));
	const char **owners = palloc(sizeof(char *) * Max(n, 1));
	bool *done = palloc0(sizeof(bool) * Max(n, 1));
	int *ids = palloc(sizeof(int) * Max(n, 1));
	TimestampTz now = GetCurrentTimestamp();
	Datum values[2];
	DibsJson json = {0};
	int written = 0;

	/* whose they are is known of some at first: the owner's others are the same coach's */
	for (int round = 0; round < 2; round++)
	{
		for (int i = 0; i < n; i++)
		{
			JsonbValue *item = getIthJsonbValueFromContainer(list, i);
			DibsCalEventType type;
			char *coach;

			if (done[i] || item->type != jbvBinary || !dibs_cal_read_event_type(item->val.binary.data, &type))
				continue;
			for (int k = 0; k < written && type.coach == NULL && type.owner_id != NULL; k++)
			{
				if (owners[k] != NULL && strcmp(owners[k], type.owner_id) == 0)
					type.coach = coaches[k];
			}
			coach = dibs_cal_write_event_type(&type, call->account, now);
			if (coach == NULL)
				continue;
			done[i] = true;
			owners[written] = type.owner_id;
			coaches[written] = coach;
			ids[written++] = type.id;
		}
	}
	values[0] = dibs_text_array(coaches, written);
	values[1] = dibs_int_array(ids, written);
	if (written > 0)
		(void) dibs_execute(&gone_sql, values, NULL, false, SPI_OK_UPDATE);
	dibs_json_begin_object(&json);
	dibs_cal_put_time(&json, "lastSync", now);
	dibs_json_key(&json, "read");
	dibs_json_put_int(&json, n);
	dibs_json_key(&json, "unmatched");
	dibs_json_put_int(&json, n - written);
	dibs_json_end_object(&json);
	call->progress = dibs_json_finish(&json);
}

static void
types_settle(DibsCall *call)
{
	const DibsCalAnswer *answer = call->state;
	JsonbContainer *list = dibs_cal_data(answer);
	int minutes = EVERY_MINUTES;

	if (call->answer.verdict == DIBS_VERDICT_DONE && list != NULL && JsonContainerIsArray(list))
		write_list(call, list);
	else
		minutes = FAILED_MINUTES;
	dibs_cal_come_back(call, dibs_cal_sync_interval > 0
								 ? TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) minutes * 60 * 1000)
								 : DT_NOEND);
}

const DibsCallKind dibs_cal_event_types_job = {
	.name = "cal_event_types",
	.max_attempts = -1,
	.prepare = types_prepare,
	.build = types_build,
	.read = types_read,
	.settle = types_settle,
};
