/*
 * zoom.c
 *		Zoom: meetings by its REST API (version 2), with a server-to-server app's token.
 *
 * A create has no idempotency key there. The agenda's first line is the meeting's marker, which the host's list shows
 * (its first 250 characters); after an unknown outcome it is looked for before anything is made again. Times go out in
 * UTC with a Z, the only form that no zone can shift. A start link is a credential: it is not even read.
 */
#include "compat.h"

#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "core/iso8601.h"
#include "core/jsonbuild.h"
#include "core/jsonparse.h"
#include "core/jsonread.h"
#include "guc.h"
#include "meeting/meeting.h"
#include "meeting/recording_link.h"
#include "meeting/zoom_answer.h"
#include "meeting/zoom_body.h"
#include "meeting/zoom_host.h"
#include "meeting/zoom_limits.h"
#include "meeting/zoom_registrants.h"
#include "meeting/zoom_request.h"
#include "queue/call.h"

#define PAGE_SIZE 300
/* 60,000 meetings of one host: a list that never ends is not searched for ever */
#define MAX_PAGES 200

#define RUNNING_WAIT_MS (5 * 60 * 1000)
#define SECOND_WAIT_MS 1000
#define BUSY_WAIT_MS 2000

typedef enum ZoomCall
{
	CALL_CREATE,
	CALL_UPDATE,
	CALL_DELETE,
	CALL_END,
	CALL_LIST,
	CALL_DROP, /* a second meeting that bears our marker */
	CALL_GET,
} ZoomCall;

/* What an action remembers between its requests. */
typedef struct ZoomNotes
{
	ZoomCall call;
	bool ended;
	int pages;
	char *next_page;
	int64 found; /* 0: none yet */
	int64 found_created;
	List *surplus; /* of int64 * */
} ZoomNotes;

static ZoomNotes *
notes_of(DibsMeetingWork *work)
{
	static const ZoomCall first_calls[] = {
		[DIBS_ACTION_CREATE] = CALL_CREATE,
		[DIBS_ACTION_UPDATE] = CALL_UPDATE,
		[DIBS_ACTION_DELETE] = CALL_DELETE,
		[DIBS_ACTION_LOOKUP] = CALL_LIST,
	};
	ZoomNotes *notes = work->notes;

	if (notes == NULL)
	{
		work->notes = notes = palloc0(sizeof(ZoomNotes));
		notes->call = first_calls[work->action];
	}
	return notes;
}

static DibsHttpRequest *
list_request(DibsMeetingWork *work, DibsHttp *http, const DibsAccess *access, const ZoomNotes *notes)
{
	char *path = psprintf("/users/%s/meetings?type=scheduled&page_size=%d", dibs_http_escaped(work->known.host),
						  PAGE_SIZE);

	if (notes->next_page != NULL)
		path = psprintf("%s&next_page_token=%s", path, dibs_http_escaped(notes->next_page));
	return dibs_zoom_request(http, access, "GET", path);
}

static DibsHttpRequest *
zoom_build(DibsMeetingWork *work, DibsHttp *http, const DibsAccess *access)
{
	ZoomNotes *notes = notes_of(work);
	bool by_host = notes->call == CALL_CREATE || notes->call == CALL_LIST;
	DibsHttpRequest *request;
	char *number = NULL;

	if (by_host && (work->known.host == NULL || *work->known.host == '\0'))
	{
		dibs_work_failed(work, DIBS_VERDICT_FAILED, "no_host", "no Zoom user is known for this coach");
		return NULL;
	}
	if (notes->call == CALL_DROP)
		number = psprintf(INT64_FORMAT, *(int64 *) linitial(notes->surplus));
	else if (!by_host)
	{
		number = work->known.external_id ? dibs_zoom_number(work->known.external_id) : NULL;
		if (number == NULL)
		{
			dibs_work_failed(work, DIBS_VERDICT_FAILED, "bad_meeting_id",
							 "the meeting's id is not a Zoom meeting number");
			return NULL;
		}
	}

	switch (notes->call)
	{
		case CALL_CREATE:
			request = dibs_zoom_request(http, access, "POST",
										psprintf("/users/%s/meetings", dibs_http_escaped(work->known.host)));
			dibs_zoom_put_body(request, dibs_zoom_body(work->wanted, work->known.marker, true));
			return request;
		case CALL_UPDATE:
			request = dibs_zoom_request(http, access, "PATCH", psprintf("/meetings/%s", number));
			dibs_zoom_put_body(request, dibs_zoom_body(work->wanted, work->known.marker, false));
			return request;
		case CALL_DELETE:
		case CALL_DROP:
			return dibs_zoom_request(http, access, "DELETE", psprintf("/meetings/%s", number));
		case CALL_END:
		{
			DibsJson json = {0};

			dibs_json_begin_object(&json);
			dibs_json_text_member(&json, "action", "end");
			dibs_json_end_object(&json);
			request = dibs_zoom_request(http, access, "PUT", psprintf("/meetings/%s/status", number));
			dibs_zoom_put_body(request, dibs_json_finish(&json));
			return request;
		}
		case CALL_LIST:
			return list_request(work, http, access, notes);
		case CALL_GET:
			break;
	}
	return dibs_zoom_request(http, access, "GET", psprintf("/meetings/%s", number));
}

static void
next_call(DibsMeetingWork *work, ZoomCall call)
{
	notes_of(work)->call = call;
	work->verdict = DIBS_VERDICT_MORE;
}

/* https://us05web.zoom.us/j/123?pwd=… is for everybody; …/s/123 starts the meeting for whoever is signed in as host. */
static char *
host_page(const char *join_url, const char *number)
{
	const char *path = strchr(join_url + strlen("https://"), '/');
	int origin = path ? (int) (path - join_url) : (int) strlen(join_url);

	if (path != NULL && strncmp(path, "/j/", 3) == 0)
	{
		int digits = (int) strspn(path + 3, "0123456789");

		if (digits > 0)
			return psprintf("%.*s/s/%.*s", origin, join_url, digits, path + 3);
	}
	return psprintf("%.*s/s/%s", origin, join_url, number);
}

/* Id, uuid, links and passcode of a meeting as create and get answer it; false where it lacks one of the first. */
static bool
read_meeting(DibsMeetingKnown *known, const JsonbContainer *answer)
{
	int64 id;
	char *link = dibs_zoom_link(answer, "join_url");
	char *text;

	if (link == NULL || !dibs_json_int64(answer, "id", 1, PG_INT64_MAX, &id))
		return false;
	known->external_id = psprintf(INT64_FORMAT, id);
	known->join_url = link;
	known->host_url = host_page(link, known->external_id);
	text = dibs_json_text(answer, "uuid");
	known->external_uuid = text && strlen(text) <= 64 ? text : NULL;
	text = dibs_json_text(answer, "password");
	known->passcode = text && strlen(text) <= 64 ? text : NULL;
	return true;
}

/*
 * dibs:ULID:uid, at the very beginning: what follows is the booking's text, which an attendee may have written. Either
 * half may match, since a reschedule replaces the uid and a restored copy may have other ulids.
 */
static bool
bears_marker(const char *agenda, const char *marker)
{
	const size_t prefix = strlen("dibs:");
	const size_t ulid = 26;
	size_t len = strcspn(agenda, "\r\n");
	char *wanted = dibs_zoom_marker_line(marker);
	const char *uid;

	if (strncmp(agenda, "dibs:", prefix) != 0 || len <= prefix + ulid || agenda[prefix + ulid] != ':' ||
		strlen(wanted) <= prefix + ulid)
		return false;
	if (strncmp(agenda, wanted, prefix + ulid) == 0)
		return true;
	uid = wanted + prefix + ulid + 1;
	return *uid != '\0' && strlen(uid) == len - prefix - ulid - 1 &&
		   strncmp(agenda + prefix + ulid + 1, uid, strlen(uid)) == 0;
}

/* Of two meetings with our marker of which neither is on record the older one stays; the other goes. */
static void
note_found(ZoomNotes *notes, int64 id, int64 created)
{
	int64 *surplus;

	if (notes->found == id)
		return;
	if (notes->found == 0)
	{
		notes->found = id;
		notes->found_created = created;
		return;
	}
	surplus = palloc(sizeof(int64));
	if (created < notes->found_created || (created == notes->found_created && id < notes->found))
	{
		*surplus = notes->found;
		notes->found = id;
		notes->found_created = created;
	}
	else
		*surplus = id;
	notes->surplus = lappend(notes->surplus, surplus);
}

/* After the last page, and after each surplus meeting. */
static void
after_list(DibsMeetingWork *work)
{
	ZoomNotes *notes = notes_of(work);

	if (notes->found == 0 && work->hosts != NIL)
	{
		work->known.host = linitial(work->hosts);
		work->hosts = list_delete_first(work->hosts);
		notes->next_page = NULL;
		next_call(work, CALL_LIST);
	}
	else if (notes->found == 0)
		work->verdict = DIBS_VERDICT_NOT_FOUND;
	else if (notes->surplus != NIL)
		next_call(work, CALL_DROP);
	else
	{
		/* the list has no passcode */
		work->known.external_id = psprintf(INT64_FORMAT, notes->found);
		next_call(work, CALL_GET);
	}
}

static bool
is_recorded(const DibsMeetingWork *work, int64 id)
{
	ListCell *lc;

	foreach (lc, work->recorded)
	{
		if (strtoll((char *) lfirst(lc), NULL, 10) == id)
			return true;
	}
	return false;
}

/* A listed meeting bears our marker, and is on no record: its id, and when it was made (PG_INT64_MAX: unknown). */
static bool
is_ours(const DibsMeetingWork *work, const JsonbValue *item, int64 *id, int64 *at)
{
	JsonbContainer *meeting = item->type == jbvBinary ? item->val.binary.data : NULL;
	char *agenda = dibs_json_text(meeting, "agenda");
	char *created = dibs_json_text(meeting, "created_at");

	*at = PG_INT64_MAX;
	if (agenda == NULL || work->known.marker == NULL || !bears_marker(agenda, work->known.marker) ||
		!dibs_json_int64(meeting, "id", 1, PG_INT64_MAX, id) || is_recorded(work, *id))
		return false;
	if (created != NULL)
		(void) dibs_iso8601_parse(created, strlen(created), at);
	return true;
}

static void
read_list(DibsMeetingWork *work, const JsonbContainer *answer)
{
	ZoomNotes *notes = notes_of(work);
	JsonbContainer *meetings = dibs_json_array(answer, "meetings");
	char *next_page = dibs_json_text(answer, "next_page_token");
	MemoryContext action = CurrentMemoryContext;
	MemoryContext item_context;

	if (meetings == NULL)
	{
		dibs_work_failed(work, DIBS_VERDICT_RETRY, "provider_down", "Zoom's list of meetings is not one");
		return;
	}
	item_context = AllocSetContextCreate(action, "meeting of a list", ALLOCSET_SMALL_SIZES);
	for (uint32 i = 0; i < JsonContainerSize(meetings); i++)
	{
		int64 id;
		int64 at;
		bool ours;

		MemoryContextReset(item_context);
		MemoryContextSwitchTo(item_context);
		ours = is_ours(work, getIthJsonbValueFromContainer(meetings, i), &id, &at);
		MemoryContextSwitchTo(action);
		if (ours)
			note_found(notes, id, at);
	}
	MemoryContextDelete(item_context);

	if (next_page == NULL || *next_page == '\0')
		after_list(work);
	else if (++notes->pages >= MAX_PAGES)
		dibs_work_failed(work, DIBS_VERDICT_FAILED, "list_too_long", "the host's list of meetings has no end");
	else
	{
		notes->next_page = next_page;
		next_call(work, CALL_LIST);
	}
}

/* One surplus meeting is gone. */
static void
dropped(DibsMeetingWork *work)
{
	ZoomNotes *notes = notes_of(work);

	notes->surplus = list_delete_first(notes->surplus);
	after_list(work);
}

/* 2xx */
static void
carried_out(DibsMeetingWork *work, const JsonbContainer *answer)
{
	switch (notes_of(work)->call)
	{
		case CALL_CREATE:
		case CALL_GET:
			if (read_meeting(&work->known, answer))
				work->verdict = DIBS_VERDICT_DONE;
			else
				dibs_work_failed(work, work->action == DIBS_ACTION_CREATE ? DIBS_VERDICT_UNKNOWN : DIBS_VERDICT_RETRY,
								 "provider_down", "Zoom's answer names no meeting");
			break;
		case CALL_UPDATE:
			/* its link may be another one now */
			if (work->known.join_url == NULL || dibs_zoom_uses_personal_room(work->wanted))
				next_call(work, CALL_GET);
			else
				work->verdict = DIBS_VERDICT_DONE;
			break;
		case CALL_DELETE:
			work->verdict = DIBS_VERDICT_DONE;
			break;
		case CALL_END:
			notes_of(work)->ended = true;
			next_call(work, CALL_DELETE);
			break;
		case CALL_LIST:
			read_list(work, answer);
			break;
		case CALL_DROP:
			dropped(work);
			break;
	}
}

/* Nobody knows whether it was done: for a create that is another thing than for what can simply be asked again. */
static DibsVerdict
unclear(const DibsMeetingWork *work)
{
	ZoomCall call = ((ZoomNotes *) work->notes)->call;

	return call == CALL_CREATE || call == CALL_UPDATE ? DIBS_VERDICT_UNKNOWN : DIBS_VERDICT_RETRY;
}

static void
refused(DibsMeetingWork *work, DibsHttpRequest *request, const JsonbContainer *answer)
{
	ZoomNotes *notes = notes_of(work);
	int status = dibs_http_status(request);
	int64 code = -1;
	char *message = dibs_json_text(answer, "message");
	char *words = dibs_zoom_words(answer, status);
	DibsZoomAnswer says;

	if (!dibs_json_int64(answer, "code", 0, PG_INT32_MAX, &code))
		code = -1;
	says = dibs_zoom_answer(status, code, message);

	/* unless a case below knows better */
	dibs_work_failed(work, DIBS_VERDICT_FAILED, says.error_code, "%s", words);
	switch (says.meaning)
	{
		case DIBS_ZOOM_DOWN:
			work->verdict = unclear(work);
			work->retry_at = dibs_retry_after_header(request, 0);
			break;
		case DIBS_ZOOM_TOKEN:
			work->verdict = DIBS_VERDICT_NEW_TOKEN;
			break;
		case DIBS_ZOOM_GONE:
			if (notes->call == CALL_DELETE || notes->call == CALL_END)
				work->verdict = DIBS_VERDICT_DONE;
			else if (notes->call == CALL_DROP)
				dropped(work);
			else if (notes->call == CALL_UPDATE)
				work->verdict = DIBS_VERDICT_GONE;
			else if (notes->call == CALL_GET)
				work->verdict = DIBS_VERDICT_RETRY;
			break;
		case DIBS_ZOOM_NO_USER:
			/* a user's meetings go with the user */
			if (notes->call == CALL_LIST)
				after_list(work);
			else if (notes->call == CALL_DELETE)
				work->verdict = DIBS_VERDICT_DONE;
			break;
		case DIBS_ZOOM_RUNNING:
			if (notes->call == CALL_DELETE && !notes->ended)
				next_call(work, CALL_END);
			else
			{
				work->verdict = DIBS_VERDICT_RETRY;
				work->retry_at = dibs_zoom_after_ms(RUNNING_WAIT_MS);
			}
			break;
		case DIBS_ZOOM_KEPT:
			if (notes->call == CALL_DELETE)
				work->verdict = DIBS_VERDICT_DONE;
			else if (notes->call == CALL_DROP)
				dropped(work);
			break;
		case DIBS_ZOOM_BUSY:
			work->verdict = DIBS_VERDICT_RETRY;
			work->retry_at = dibs_retry_after_header(
				request, dibs_zoom_after_ms(BUSY_WAIT_MS + dibs_zoom_jitter_ms(BUSY_WAIT_MS)));
			break;
		case DIBS_ZOOM_PER_SECOND:
			work->verdict = DIBS_VERDICT_RETRY;
			work->throttle = DIBS_THROTTLE_ACCOUNT;
			work->retry_at = dibs_retry_after_header(
				request, dibs_zoom_after_ms(SECOND_WAIT_MS + dibs_zoom_jitter_ms(SECOND_WAIT_MS / 2)));
			break;
		case DIBS_ZOOM_ACCOUNT_DAY:
			work->verdict = DIBS_VERDICT_RETRY;
			work->throttle = DIBS_THROTTLE_ACCOUNT;
			work->retry_at = dibs_retry_after_header(request, dibs_zoom_next_day());
			break;
		case DIBS_ZOOM_HOST_DAY:
			work->verdict = DIBS_VERDICT_RETRY;
			work->throttle = DIBS_THROTTLE_HOST;
			work->retry_at = dibs_zoom_next_day();
			break;
		case DIBS_ZOOM_FINAL:
			/* whatever ending says, deleting has the last word; an expired page makes the look begin anew */
			if (notes->call == CALL_END)
			{
				notes->ended = true;
				next_call(work, CALL_DELETE);
			}
			else if (notes->call == CALL_LIST && notes->next_page != NULL)
				work->verdict = DIBS_VERDICT_RETRY;
			break;
	}
	if (work->verdict == DIBS_VERDICT_DONE || work->verdict == DIBS_VERDICT_MORE ||
		work->verdict == DIBS_VERDICT_NOT_FOUND)
	{
		work->error_code = NULL;
		work->error = NULL;
	}
}

static void
zoom_read(DibsMeetingWork *work, DibsHttpRequest *request)
{
	int status = dibs_http_status(request);
	MemoryContext action = CurrentMemoryContext;
	/* a host's list may have many pages: what is read of one does not outlive it */
	MemoryContext answer_context = AllocSetContextCreate(action, "answer of Zoom's", ALLOCSET_DEFAULT_SIZES);
	const JsonbContainer *object;

	MemoryContextSwitchTo(answer_context);
	object = dibs_answer_object(request);
	MemoryContextSwitchTo(action);
	work->retry_at = 0;
	work->throttle = DIBS_THROTTLE_NONE;
	work->error_code = NULL;
	work->error = NULL;
	(void) notes_of(work);
	if (dibs_http_failure(request) != DIBS_HTTP_OK)
	{
		DibsFailure failure = {0};

		dibs_fail_unanswered(&failure, request, unclear(work));
		work->verdict = failure.verdict;
		work->error_code = failure.error_code;
		work->error = failure.error;
	}
	else if (status >= 200 && status < 300 && dibs_zoom_is_no_answer(request, object))
		dibs_work_failed(work, unclear(work), "provider_down", "the answer is not Zoom's");
	else if (status >= 200 && status < 300)
		carried_out(work, object);
	else
		refused(work, request, object);
	MemoryContextDelete(answer_context);
}

static DibsPace
zoom_pace(const DibsMeetingWork *work)
{
	const ZoomNotes *notes = work->notes;
	bool list = notes ? notes->call == CALL_LIST : work->action == DIBS_ACTION_LOOKUP;

	return dibs_zoom_pace(list ? DIBS_ZOOM_MEDIUM : DIBS_ZOOM_LIGHT);
}

const DibsMeetingProvider dibs_provider_zoom = {
	.name = "zoom",
	.reports_events = true,
	.describe = dibs_zoom_describe,
	.needs_token = true,
	.pace = zoom_pace,
	.host_limits = dibs_zoom_host_limits,
	.host_request = dibs_zoom_host_request,
	.host_read = dibs_zoom_host_read,
	.registrar = &dibs_zoom_registrar,
	.recordings = &dibs_zoom_recordings,
	.build = zoom_build,
	.read = zoom_read,
};
