/*
 * cal_api.c
 *		Cal.com's API v2: how a request is made and what an answer means; and the calls that only ask.
 *
 * Each group of endpoints has a version of its own, and a wrong one is not refused but answered in another shape.
 * Unknown parameters are dropped without a word. Limits come without Retry-After: over 120 a minute everything is
 * blocked for another minute.
 */
#include "compat.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"

#include "calendar/cal_api.h"
#include "core/iso8601.h"
#include "core/jsonparse.h"
#include "core/jsonread.h"
#include "http/retry_after.h"

#define VERSION_BOOKINGS "2024-08-13"
#define VERSION_EVENT_TYPES "2024-06-14"
#define VERSION_SLOTS "2024-09-04"

/* The block after too many requests, where the answer does not say how long it is. */
#define BLOCK_MS 60000
/* What of an error's text is kept. */
#define MAX_ERROR_LEN 300
/* 1970-01-01 to 2000-01-01 */
#define EPOCHS_APART_US (INT64CONST(946684800) * USECS_PER_SEC)

DibsHttpRequest *
dibs_cal_request(DibsHttp *http, const char *base, const DibsCalCall *call, const char *token)
{
	size_t len = strlen(base);
	DibsHttpRequest *request;

	while (len > 0 && base[len - 1] == '/')
		len--;
	request = dibs_http_request(http, call->method, psprintf("%.*s%s", (int) len, base, call->path));
	dibs_http_header(request, "Accept", "application/json");
	if (call->version != NULL)
		dibs_http_header(request, "cal-api-version", call->version);
	if (token != NULL)
		dibs_http_bearer(request, token);
	if (call->body != NULL)
	{
		char *text = dibs_json_print(call->body);

		dibs_http_body(request, "application/json", text, strlen(text));
	}
	return request;
}

/* The suffix of the header's name is that of the limit. */
static int
header_number(DibsHttpRequest *request, const char *name)
{
	char value[32];
	int64 number = -1;

	if (dibs_http_answer_header(request, name, value, sizeof(value)) != NULL && strspn(value, "0123456789") > 0)
		number = strtol(value, NULL, 10);
	return (int) Min(number, PG_INT32_MAX);
}

/*
 * The moment, by Cal.com's clock, up to which an answer tells everything: its Date less the time the request took. Date
 * has whole seconds, rounded down, so this is never too late.
 */
static TimestampTz
read_as_of(DibsHttpRequest *request)
{
	char value[64];
	int64 ms;

	if (dibs_http_answer_header(request, "Date", value, sizeof(value)) == NULL)
		return 0;
	ms = dibs_retry_after(value, 0);
	if (ms <= 0)
		return 0;
	return ms * 1000 - EPOCHS_APART_US - dibs_http_times(request).total;
}

/* The text of {error: {message}}, or of an OAuth endpoint's error_description; details repeat our own input. */
static char *
error_text(const Jsonb *json, int status)
{
	const JsonbContainer *error = json != NULL ? dibs_json_object(&json->root, "error") : NULL;
	char *text = dibs_json_text(error, "message");

	if (text == NULL && json != NULL)
		text = dibs_json_text(&json->root, "error_description");
	if (text == NULL && json != NULL)
		text = dibs_json_text(&json->root, "message");
	if (text == NULL)
		return psprintf("status %d", status);
	text[pg_mbcliplen(text, (int) strlen(text), MAX_ERROR_LEN)] = '\0';
	return text;
}

static DibsCalOutcome
outcome_of(int status, bool changes)
{
	switch (status)
	{
		case 400:
		case 422:
			return DIBS_CAL_REFUSED;
		case 401:
			return DIBS_CAL_UNAUTHORIZED;
		case 403:
			return DIBS_CAL_FORBIDDEN;
		case 404:
			return DIBS_CAL_NOT_FOUND;
		case 409:
			return DIBS_CAL_CONFLICT;
		case 429:
			return DIBS_CAL_THROTTLED;
		case 498:
			return DIBS_CAL_EXPIRED;
		default:
			if (status >= 200 && status < 300)
				return DIBS_CAL_OK;
			/* a server that broke down half-way, or a proxy that gave up on it, may have done it */
			if (status >= 500 && status != 501 && status != 503)
				return changes ? DIBS_CAL_UNKNOWN : DIBS_CAL_DOWN;
			/* a redirect is not followed: nobody has done anything */
			return status >= 500 || status < 400 || status == 408 || status == 425 ? DIBS_CAL_DOWN : DIBS_CAL_REFUSED;
	}
}

void
dibs_cal_answer_read(DibsHttpRequest *request, DibsCalAnswer *answer)
{
	bool changes = strcmp(dibs_http_method(request), "GET") != 0;
	DibsHttpFailure failure = dibs_http_failure(request);
	const char *text;
	size_t len;
	int reset;

	memset(answer, 0, sizeof(*answer));
	answer->remaining = answer->limit = -1;
	if (failure != DIBS_HTTP_OK)
	{
		answer->outcome = failure == DIBS_HTTP_REFUSED_URL           ? DIBS_CAL_NOT_ALLOWED
						  : changes && dibs_http_maybe_sent(request) ? DIBS_CAL_UNKNOWN
																	 : DIBS_CAL_DOWN;
		answer->error = pstrdup(dibs_http_error(request));
		answer->too_large = failure == DIBS_HTTP_TOO_LARGE;
		return;
	}
	answer->status = dibs_http_status(request);
	answer->limit = header_number(request, "X-RateLimit-Limit-Default");
	answer->remaining = header_number(request, "X-RateLimit-Remaining-Default");
	answer->as_of = read_as_of(request);
	text = dibs_http_answer(request, &len);
	answer->json = dibs_json_parse(text, len);
	answer->outcome = outcome_of(answer->status, changes);
	if (answer->outcome == DIBS_CAL_OK && answer->json == NULL)
	{
		/* a proxy's page with a good status */
		answer->outcome = changes ? DIBS_CAL_UNKNOWN : DIBS_CAL_DOWN;
		answer->error = pstrdup("the answer is not JSON");
	}
	else if (answer->outcome != DIBS_CAL_OK)
		answer->error = error_text(answer->json, answer->status);
	/* seconds, as far as is known; a number that is none of a block's is not believed */
	reset = header_number(request, "X-RateLimit-Reset-Default");
	if (reset > 0 && reset <= 600)
		answer->wait_ms = (int64) reset * 1000;
	else if (answer->outcome == DIBS_CAL_THROTTLED)
		answer->wait_ms = BLOCK_MS;
}

const char *
dibs_cal_error_code(DibsCalOutcome outcome)
{
	switch (outcome)
	{
		case DIBS_CAL_OK:
			return NULL;
		case DIBS_CAL_REFUSED:
		case DIBS_CAL_CONFLICT:
			return "refused";
		case DIBS_CAL_NOT_FOUND:
			return "not_found";
		case DIBS_CAL_FORBIDDEN:
			return "no_permission";
		case DIBS_CAL_UNAUTHORIZED:
		case DIBS_CAL_EXPIRED:
			return "not_connected";
		case DIBS_CAL_THROTTLED:
			return "rate_limited";
		case DIBS_CAL_NOT_ALLOWED:
			return "host_not_allowed";
		case DIBS_CAL_DOWN:
		case DIBS_CAL_UNKNOWN:
			break;
	}
	return "provider_down";
}

JsonbContainer *
dibs_cal_data(const DibsCalAnswer *answer)
{
	JsonbValue *data;

	if (answer->json == NULL)
		return NULL;
	data = dibs_json_member(&answer->json->root, "data");
	return data != NULL && data->type == jbvBinary ? data->val.binary.data : NULL;
}

char *
dibs_cal_time(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t fsec;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
					tm.tm_sec, (int) (fsec / 1000));
}

TimestampTz
dibs_cal_instant(const JsonbContainer *object, const char *key)
{
	char *text = dibs_json_text(object, key);
	int64 at;

	if (text == NULL || dibs_iso8601_parse(text, strlen(text), &at) != DIBS_ISO_OK)
		return 0;
	return at;
}

DibsCalCall
dibs_cal_ask_slots(const DibsCalSlotQuery *query)
{
	DibsCalCall call = {.method = "GET", .version = VERSION_SLOTS};
	StringInfoData path;

	initStringInfo(&path);
	appendStringInfo(&path, "/slots?eventTypeId=%d&start=%s&end=%s&timeZone=%s&format=range", query->event_type_id,
					 dibs_http_escaped(dibs_cal_time(query->start)), dibs_http_escaped(dibs_cal_time(query->end)),
					 dibs_http_escaped(query->time_zone));
	if (query->minutes > 0)
		appendStringInfo(&path, "&duration=%d", query->minutes);
	if (query->instead_of_uid != NULL)
		appendStringInfo(&path, "&bookingUidToReschedule=%s", dibs_http_escaped(query->instead_of_uid));
	call.path = path.data;
	return call;
}

static int
by_start(const ListCell *a, const ListCell *b)
{
	TimestampTz x = *(const TimestampTz *) lfirst(a);
	TimestampTz y = *(const TimestampTz *) lfirst(b);

	return x < y ? -1 : x > y;
}

/* data: {"2050-09-05": [{start, end, seatsRemaining?}]} */
List *
dibs_cal_read_slots(const DibsCalAnswer *answer)
{
	JsonbContainer *days = dibs_cal_data(answer);
	List *slots = NIL;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue key, value;

	if (days == NULL || !JsonContainerIsObject(days))
		return NIL;
	it = JsonbIteratorInit(days);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		if (value.type != jbvBinary || !JsonContainerIsArray(value.val.binary.data))
			continue;
		for (uint32 i = 0; i < JsonContainerSize(value.val.binary.data); i++)
		{
			JsonbValue *item = getIthJsonbValueFromContainer(value.val.binary.data, i);
			DibsCalSlot *slot = palloc0(sizeof(DibsCalSlot));
			int64 seats;

			if (item->type != jbvBinary)
				continue;
			slot->start = dibs_cal_instant(item->val.binary.data, "start");
			slot->end = dibs_cal_instant(item->val.binary.data, "end");
			slot->seats = -1;
			if (dibs_json_int64(item->val.binary.data, "seatsRemaining", 0, PG_INT32_MAX, &seats))
				slot->seats = (int) seats;
			else if (dibs_json_int64(item->val.binary.data, "seatsTotal", 0, PG_INT32_MAX, &seats))
			{
				/* the document's own shape: how many are in already */
				int64 taken = 0;

				(void) dibs_json_int64(item->val.binary.data, "attendeesCount", 0, PG_INT32_MAX, &taken);
				slot->seats = (int) Max(seats - taken, 0);
			}
			if (slot->start != 0 && slot->end != 0)
				slots = lappend(slots, slot);
		}
	}
	list_sort(slots, by_start);
	return slots;
}

DibsCalCall
dibs_cal_ask_calendars(void)
{
	DibsCalCall call = {.method = "GET", .path = "/calendars"};

	return call;
}

/* Those that Cal.com itself looks at when it offers times. */
List *
dibs_cal_read_calendars(const DibsCalAnswer *answer)
{
	JsonbContainer *connected = dibs_json_array(dibs_cal_data(answer), "connectedCalendars");
	List *found = NIL;

	for (uint32 i = 0; connected != NULL && i < JsonContainerSize(connected); i++)
	{
		JsonbValue *one = getIthJsonbValueFromContainer(connected, i);
		JsonbContainer *calendars = one->type == jbvBinary ? dibs_json_array(one->val.binary.data, "calendars") : NULL;

		for (uint32 j = 0; calendars != NULL && j < JsonContainerSize(calendars); j++)
		{
			JsonbValue *item = getIthJsonbValueFromContainer(calendars, j);
			DibsCalCalendar *calendar = palloc0(sizeof(DibsCalCalendar));
			bool selected = false;

			if (item->type != jbvBinary || !dibs_json_bool(item->val.binary.data, "isSelected", &selected) || !selected)
				continue;
			calendar->credential_id = dibs_json_scalar_text(item->val.binary.data, "credentialId");
			if (calendar->credential_id == NULL)
				calendar->credential_id = dibs_json_scalar_text(one->val.binary.data, "credentialId");
			calendar->external_id = dibs_json_text(item->val.binary.data, "externalId");
			if (calendar->credential_id != NULL && calendar->external_id != NULL)
				found = lappend(found, calendar);
		}
	}
	return found;
}

DibsCalCall
dibs_cal_ask_busy(TimestampTz start, TimestampTz end, const char *time_zone, List *calendars)
{
	DibsCalCall call = {.method = "GET"};
	StringInfoData path;
	ListCell *lc;

	initStringInfo(&path);
	appendStringInfo(&path, "/calendars/busy-times?timeZone=%s&dateFrom=%s&dateTo=%s", dibs_http_escaped(time_zone),
					 dibs_http_escaped(dibs_cal_time(start)), dibs_http_escaped(dibs_cal_time(end)));
	foreach (lc, calendars)
	{
		DibsCalCalendar *calendar = (DibsCalCalendar *) lfirst(lc);
		int i = foreach_current_index(lc);

		/* with the brackets as they are: that is how its example has them */
		appendStringInfo(&path, "&calendarsToLoad[%d][credentialId]=%s&calendarsToLoad[%d][externalId]=%s", i,
						 dibs_http_escaped(calendar->credential_id), i, dibs_http_escaped(calendar->external_id));
	}
	call.path = path.data;
	return call;
}

List *
dibs_cal_read_busy(const DibsCalAnswer *answer)
{
	JsonbContainer *times = dibs_cal_data(answer);
	List *found = NIL;

	for (uint32 i = 0; times != NULL && JsonContainerIsArray(times) && i < JsonContainerSize(times); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(times, i);
		DibsCalBusy *busy = palloc0(sizeof(DibsCalBusy));

		if (item->type != jbvBinary)
			continue;
		busy->start = dibs_cal_instant(item->val.binary.data, "start");
		busy->end = dibs_cal_instant(item->val.binary.data, "end");
		busy->source = dibs_json_text(item->val.binary.data, "source");
		if (busy->start != 0 && busy->end != 0)
			found = lappend(found, busy);
	}
	list_sort(found, by_start);
	return found;
}

DibsCalCall
dibs_cal_ask_me(void)
{
	DibsCalCall call = {.method = "GET", .path = "/me"};

	return call;
}

DibsCalCall
dibs_cal_list_bookings(const DibsCalListQuery *query)
{
	DibsCalCall call = {.method = "GET", .version = VERSION_BOOKINGS};
	StringInfoData path;

	initStringInfo(&path);
	appendStringInfo(&path, "/bookings?take=%d", query->take);
	if (query->skip > 0)
		appendStringInfo(&path, "&skip=%d", query->skip);
	if (query->updated_after != 0)
		appendStringInfo(&path, "&afterUpdatedAt=%s&sortUpdatedAt=asc",
						 dibs_http_escaped(dibs_cal_time(query->updated_after)));
	if (query->start_after != 0)
		appendStringInfo(&path, "&afterStart=%s&sortStart=asc", dibs_http_escaped(dibs_cal_time(query->start_after)));
	if (query->newest_first)
		appendStringInfoString(&path, "&sortCreated=desc");
	if (query->end_before != 0)
		appendStringInfo(&path, "&beforeEnd=%s", dibs_http_escaped(dibs_cal_time(query->end_before)));
	if (query->event_types != NULL)
		appendStringInfo(&path, "&eventTypeIds=%s", dibs_http_escaped(query->event_types));
	if (query->attendee_email != NULL)
		appendStringInfo(&path, "&attendeeEmail=%s", dibs_http_escaped(query->attendee_email));
	call.path = path.data;
	return call;
}

bool
dibs_cal_has_next(const DibsCalAnswer *answer)
{
	bool more = false;

	if (answer->json != NULL)
		(void) dibs_json_bool(dibs_json_object(&answer->json->root, "pagination"), "hasNextPage", &more);
	return more;
}

DibsCalCall
dibs_cal_get_booking(const char *uid)
{
	DibsCalCall call = {.method = "GET", .version = VERSION_BOOKINGS};

	call.path = psprintf("/bookings/%s", dibs_http_escaped(uid));
	return call;
}

DibsCalCall
dibs_cal_list_event_types(void)
{
	DibsCalCall call = {.method = "GET", .version = VERSION_EVENT_TYPES, .path = "/event-types"};

	return call;
}
