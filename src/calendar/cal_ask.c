/*
 * cal_ask.c
 *		The SQL functions that ask Cal.com in the caller's own time: free slots, busy times, who the account is.
 *
 * One request at a time, cancelable, bounded by dibs.request_timeout, and nothing is written: they work on a standby.
 * Answers may be kept in the backend's memory for dibs.cal_cache; as_of says how old one is.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "pgtime.h"

#include "account/access.h"
#include "calendar/cal_api.h"
#include "core/jsonread.h"
#include "core/ulid.h"
#include "errors.h"
#include "guc.h"
#include "queue/plan.h"

/* Answers that a backend keeps; more are no short cache any more. */
#define MAX_KEPT 64
/* Cal.com itself looks no further ahead. */
#define MAX_RANGE (INT64CONST(366) * USECS_PER_DAY)

typedef struct Kept
{
	char key[32]; /* hash of account, URL and version */
	MemoryContext context;
	Jsonb *json;
	TimestampTz at; /* when it was asked */
} Kept;

static HTAB *kept_answers = NULL;

/* What one call asks with. */
typedef struct Asker
{
	DibsAccess access;
	const char *base;
	char key[DIBS_ULID_LEN + 1]; /* the account's, for the cache */
} Asker;

static void
refuse_worker(void)
{
	if (MyBackendType == B_BG_WORKER)
		ereport(ERROR, (errcode(DIBS_ERR_REFUSED), errmsg("Cal.com is not asked from a background worker")));
}

/*
 * Which account asks: the one given, else the event type's coach's own, else the platform's. Its key or unexpired
 * token; an access without a token where there is none, which does for what is public.
 */
static DibsStatement account_sql = {
	"SELECT a.\"ulid\" FROM dibs.\"CalEventType\" t JOIN dibs.\"ProviderAccount\" a"
	" ON a.\"userUlid\" = t.\"userUlid\" AND a.\"provider\" = 'cal'"
	" JOIN dibs.\"ProviderCredential\" c ON c.\"accountUlid\" = a.\"ulid\" AND c.\"state\" = 'live'"
	" WHERE t.\"eventTypeId\" = $1 ORDER BY c.\"expiresAt\" DESC NULLS FIRST LIMIT 1",
	1,
	{INT4OID},
	NULL};

static void
find_asker(Asker *asker, const char *account, int event_type_id, bool needed)
{
	DibsFailure failure = {0};
	DibsAccessState state;
	int64 ttl;
	char *name;

	memset(asker, 0, sizeof(*asker));
	if (account != NULL)
		strlcpy(asker->key, account, sizeof(asker->key));
	else if (event_type_id > 0)
	{
		Datum values[1] = {Int32GetDatum(event_type_id)};

		SPI_connect();
		if (dibs_execute(&account_sql, values, NULL, true, SPI_OK_SELECT) > 0)
			strlcpy(asker->key, dibs_column(0, 1), sizeof(asker->key));
		SPI_finish();
	}
	name = pstrdup(asker->key);
	SPI_connect();
	state = dibs_access_load(dibs_account_provider("cal"), name, 0, false, CurTransactionContext, &asker->access, &ttl,
							 &failure);
	SPI_finish();
	asker->base = asker->access.base_url != NULL ? asker->access.base_url : dibs_cal_api_url;
	if (asker->base == NULL || *asker->base == '\0')
		ereport(ERROR, (errcode(DIBS_ERR_CONFIG), errmsg("dibs.cal_api_url is not set"),
						errhint("Cal.com's own is https://api.cal.com/v2.")));
	if (state == DIBS_ACCESS_READY || !needed)
		return;
	ereport(ERROR, (errcode(DIBS_ERR_CONFIG), errmsg("there is no access to Cal.com: %s", failure.error),
					errhint("dibs.set_secret('cal.api_key', …) sets the platform's key.")));
}

static int
sqlstate_of(DibsCalOutcome outcome)
{
	switch (outcome)
	{
		case DIBS_CAL_REFUSED:
			return DIBS_ERR_BAD_VALUE;
		case DIBS_CAL_NOT_FOUND:
			return DIBS_ERR_NOT_FOUND;
		case DIBS_CAL_CONFLICT:
			return DIBS_ERR_STATE;
		case DIBS_CAL_THROTTLED:
			return ERRCODE_CONFIGURATION_LIMIT_EXCEEDED;
		case DIBS_CAL_UNAUTHORIZED:
		case DIBS_CAL_FORBIDDEN:
		case DIBS_CAL_EXPIRED:
		case DIBS_CAL_NOT_ALLOWED:
			return DIBS_ERR_CONFIG;
		default:
			return DIBS_ERR_PROVIDER;
	}
}

static const char *
hint_of(const DibsCalAnswer *answer)
{
	switch (answer->outcome)
	{
		case DIBS_CAL_THROTTLED:
			return psprintf("Ask again in " INT64_FORMAT " s; dibs.cal_cache saves requests.", answer->wait_ms / 1000);
		case DIBS_CAL_UNAUTHORIZED:
		case DIBS_CAL_EXPIRED:
			return "The key or token has run out or was revoked: set cal.api_key anew, or connect the account again.";
		case DIBS_CAL_NOT_ALLOWED:
			return "See dibs.cal_api_url, dibs.allowed_hosts and dibs.allow_insecure_loopback.";
		default:
			return NULL;
	}
}

static void
raise_answer(const DibsCalAnswer *answer)
{
	const char *hint = hint_of(answer);

	ereport(ERROR, (errcode(sqlstate_of(answer->outcome)),
					answer->status > 0 ? errmsg("Cal.com says no (%d): %s", answer->status, answer->error)
									   : errmsg("Cal.com cannot be asked: %s", answer->error),
					hint != NULL ? errhint("%s", hint) : 0));
}

static void
make_cache(void)
{
	HASHCTL control = {.keysize = sizeof(((Kept *) NULL)->key), .entrysize = sizeof(Kept), .hcxt = TopMemoryContext};

	kept_answers = hash_create("dibs answers", MAX_KEPT, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
forget(Kept *kept)
{
	MemoryContext context = kept->context;

	(void) hash_search(kept_answers, kept->key, HASH_REMOVE, NULL);
	MemoryContextDelete(context);
}

/* Makes room: what is too old goes, and where that is nothing, the oldest. */
static void
make_room(TimestampTz now)
{
	HASH_SEQ_STATUS status;
	Kept *kept;
	Kept *oldest = NULL;

	hash_seq_init(&status, kept_answers);
	while ((kept = hash_seq_search(&status)) != NULL)
	{
		if (TimestampDifferenceExceeds(kept->at, now, dibs_cal_cache))
			forget(kept);
		else if (oldest == NULL || kept->at < oldest->at)
			oldest = kept;
	}
	if (oldest != NULL && hash_get_num_entries(kept_answers) >= MAX_KEPT)
		forget(oldest);
}

static void
cache_key(const Asker *asker, const DibsCalCall *call, char *key)
{
	char *text = psprintf("%s\n%s\n%s\n%s", asker->key, asker->base, call->path,
						  call->version != NULL ? call->version : "");
	uint64 one = hash_bytes_extended((unsigned char *) text, (int) strlen(text), 0);
	uint64 two = hash_bytes_extended((unsigned char *) text, (int) strlen(text), 1);

	memset(key, 0, sizeof(((Kept *) NULL)->key));
	memcpy(key, &one, sizeof(one));
	memcpy(key + sizeof(one), &two, sizeof(two));
}

static void
keep(const char *key, const DibsCalAnswer *answer, TimestampTz at)
{
	bool found;
	Kept *kept;
	MemoryContext old;

	if (kept_answers == NULL)
		make_cache();
	make_room(at);
	kept = hash_search(kept_answers, key, HASH_ENTER, &found);
	if (found)
		MemoryContextDelete(kept->context);
	kept->at = at;
	kept->context = AllocSetContextCreate(TopMemoryContext, "dibs answer", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(kept->context);
	kept->json = (Jsonb *) PG_DETOAST_DATUM_COPY(JsonbPGetDatum(answer->json));
	MemoryContextSwitchTo(old);
}

/* The answer to one call, which may be a kept one; *at is when it was asked. Raises for anything but a good answer. */
static void
ask(const Asker *asker, const DibsCalCall *call, DibsCalAnswer *answer, TimestampTz *at)
{
	char key[sizeof(((Kept *) NULL)->key)];
	DibsHttpRequest *request;

	cache_key(asker, call, key);
	if (dibs_cal_cache > 0 && kept_answers != NULL)
	{
		Kept *kept = hash_search(kept_answers, key, HASH_FIND, NULL);

		if (kept != NULL && !TimestampDifferenceExceeds(kept->at, GetCurrentTimestamp(), dibs_cal_cache))
		{
			memset(answer, 0, sizeof(*answer));
			answer->json = (Jsonb *) PG_DETOAST_DATUM_COPY(JsonbPGetDatum(kept->json));
			*at = kept->at;
			return;
		}
	}
	*at = GetCurrentTimestamp();
	request = dibs_cal_request(dibs_http_backend(), asker->base, call, asker->access.token);
	dibs_http_perform(request);
	dibs_cal_answer_read(request, answer);
	dibs_http_free(request);
	if (answer->outcome != DIBS_CAL_OK)
		raise_answer(answer);
	if (dibs_cal_cache > 0)
		keep(key, answer, *at);
}

static void
check_range(TimestampTz start, TimestampTz end)
{
	if (TIMESTAMP_NOT_FINITE(start) || TIMESTAMP_NOT_FINITE(end) || end <= start || end - start > MAX_RANGE)
		ereport(ERROR,
				(errcode(DIBS_ERR_BAD_VALUE), errmsg("the range must end after its start, and within a year of it")));
}

static char *
check_zone(const char *zone)
{
	if (*zone == '\0' || strlen(zone) > 64 || pg_tzset(zone) == NULL)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("\"%s\" is no time zone", zone),
						errhint("Use an IANA name such as Europe/Berlin.")));
	return pstrdup(zone);
}

/* The options' account: the ulid of a "ProviderAccount", "" for the platform's; NULL where none is named. */
static char *
account_option(const JsonbContainer *options)
{
	char *account = dibs_json_text(options, "account");

	if (account != NULL && *account != '\0' && !dibs_ulid_is_valid(account, strlen(account)))
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("\"%s\" is no account", account),
						errhint("An account is the ulid of a \"ProviderAccount\", or '' for the platform's own.")));
	return account;
}

static const JsonbContainer *
options_argument(FunctionCallInfo fcinfo, int n, const char *const *known)
{
	Jsonb *options = PG_GETARG_JSONB_P(n);
	JsonbIterator *it;
	JsonbValue key;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("options must be a JSON object")));
	it = JsonbIteratorInit(&options->root);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		int i = 0;

		if (token != WJB_KEY)
			continue;
		while (known[i] != NULL && (strlen(known[i]) != (size_t) key.val.string.len ||
									memcmp(known[i], key.val.string.val, key.val.string.len) != 0))
			i++;
		if (known[i] == NULL)
			ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE),
							errmsg("\"%s\" is no option here", pnstrdup(key.val.string.val, key.val.string.len))));
	}
	return &options->root;
}

static void
check_nulls(FunctionCallInfo fcinfo)
{
	for (int i = 0; i < PG_NARGS(); i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("no argument may be null")));
	}
}

PG_FUNCTION_INFO_V1(dibs_cal_slots);

Datum
dibs_cal_slots(PG_FUNCTION_ARGS)
{
	static const char *const known[] = {"account", "duration", "rescheduleUid", NULL};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DibsCalSlotQuery query = {0};
	const JsonbContainer *options;
	DibsCalAnswer answer;
	DibsCalCall call;
	Asker asker;
	TimestampTz at;
	int64 minutes;
	ListCell *lc;

	check_nulls(fcinfo);
	refuse_worker();
	query.event_type_id = PG_GETARG_INT32(0);
	query.start = PG_GETARG_TIMESTAMPTZ(1);
	query.end = PG_GETARG_TIMESTAMPTZ(2);
	check_range(query.start, query.end);
	query.time_zone = check_zone(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	options = options_argument(fcinfo, 4, known);
	if (dibs_json_member(options, "duration") != NULL)
	{
		if (!dibs_json_int64(options, "duration", 1, 24 * 60, &minutes))
			ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("duration must be a number of minutes")));
		query.minutes = (int) minutes;
	}
	query.instead_of_uid = dibs_json_text(options, "rescheduleUid");

	find_asker(&asker, account_option(options), query.event_type_id, false);
	call = dibs_cal_ask_slots(&query);
	ask(&asker, &call, &answer, &at);
	InitMaterializedSRF(fcinfo, 0);
	foreach (lc, dibs_cal_read_slots(&answer))
	{
		DibsCalSlot *slot = (DibsCalSlot *) lfirst(lc);
		Datum values[4] = {TimestampTzGetDatum(slot->start), TimestampTzGetDatum(slot->end), Int32GetDatum(slot->seats),
						   TimestampTzGetDatum(at)};
		bool nulls[4] = {false, false, slot->seats < 0, false};

		/* a day at the edge of the range is given whole */
		if (slot->start >= query.start && slot->start < query.end)
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* The calendars named in the options, or those that the account has Cal.com look at. */
static List *
calendars_option(const JsonbContainer *options, const Asker *asker)
{
	JsonbContainer *given = dibs_json_array(options, "calendars");
	List *calendars = NIL;
	DibsCalAnswer answer;
	DibsCalCall call;
	TimestampTz at;

	if (given == NULL)
	{
		call = dibs_cal_ask_calendars();
		ask(asker, &call, &answer, &at);
		return dibs_cal_read_calendars(&answer);
	}
	for (uint32 i = 0; i < JsonContainerSize(given); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(given, i);
		DibsCalCalendar *calendar = palloc0(sizeof(DibsCalCalendar));

		if (item->type == jbvBinary)
		{
			calendar->credential_id = dibs_json_scalar_text(item->val.binary.data, "credentialId");
			calendar->external_id = dibs_json_text(item->val.binary.data, "externalId");
		}
		if (calendar->credential_id == NULL || calendar->external_id == NULL)
			ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("a calendar needs a credentialId and an externalId")));
		calendars = lappend(calendars, calendar);
	}
	return calendars;
}

PG_FUNCTION_INFO_V1(dibs_cal_busy_times);

Datum
dibs_cal_busy_times(PG_FUNCTION_ARGS)
{
	static const char *const known[] = {"account", "calendars", "eventTypeId", NULL};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const JsonbContainer *options;
	TimestampTz start, end, at;
	DibsCalAnswer answer;
	DibsCalCall call;
	Asker asker;
	List *calendars;
	char *zone;
	int64 event_type = 0;
	ListCell *lc;

	check_nulls(fcinfo);
	refuse_worker();
	start = PG_GETARG_TIMESTAMPTZ(0);
	end = PG_GETARG_TIMESTAMPTZ(1);
	check_range(start, end);
	zone = check_zone(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	options = options_argument(fcinfo, 3, known);
	(void) dibs_json_int64(options, "eventTypeId", 1, PG_INT32_MAX, &event_type);
	find_asker(&asker, account_option(options), (int) event_type, true);
	calendars = calendars_option(options, &asker);
	InitMaterializedSRF(fcinfo, 0);
	if (calendars == NIL)
		return (Datum) 0;
	call = dibs_cal_ask_busy(start, end, zone, calendars);
	ask(&asker, &call, &answer, &at);
	foreach (lc, dibs_cal_read_busy(&answer))
	{
		DibsCalBusy *busy = (DibsCalBusy *) lfirst(lc);
		Datum values[4] = {TimestampTzGetDatum(busy->start), TimestampTzGetDatum(busy->end), (Datum) 0,
						   TimestampTzGetDatum(at)};
		bool nulls[4] = {false, false, busy->source == NULL, false};

		if (busy->source != NULL)
			values[2] = CStringGetTextDatum(busy->source);
		if (busy->start < end && busy->end > start)
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(dibs_cal_me);

Datum
dibs_cal_me(PG_FUNCTION_ARGS)
{
	char *account = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	DibsCalAnswer answer;
	DibsCalCall call = dibs_cal_ask_me();
	Asker asker;
	TimestampTz at;
	Jsonb *me;

	refuse_worker();
	if (account != NULL && *account != '\0' && !dibs_ulid_is_valid(account, strlen(account)))
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("\"%s\" is no account", account),
						errhint("An account is the ulid of a \"ProviderAccount\", or '' for the platform's own.")));
	find_asker(&asker, account, 0, true);
	ask(&asker, &call, &answer, &at);
	me = dibs_json_whole(&answer.json->root, "data");
	if (me == NULL)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("Cal.com's answer has no data")));
	PG_RETURN_JSONB_P(me);
}
