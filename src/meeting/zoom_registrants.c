/*
 * zoom_registrants.c
 *		Zoom's registrants: one for each e-mail address of a meeting, each with a join link of their own.
 *
 * What Zoom does with an address that is registered already is not said; whoever may be is looked for first. A
 * registrant's own limits (three registrations, ten changes of status a day) concern nobody else.
 */
#include "compat.h"

#include "core/jsonbuild.h"
#include "core/jsonread.h"
#include "meeting/zoom_answer.h"
#include "meeting/zoom_body.h"
#include "meeting/zoom_limits.h"
#include "meeting/zoom_registrants.h"
#include "meeting/zoom_request.h"

#define PAGE_SIZE 300
/* Zoom's limits on names. */
#define MAX_NAME 64
#define MAX_EMAIL 128

enum
{
	CALL_FIRST, /* not decided yet */
	CALL_LIST_APPROVED,
	CALL_LIST_PENDING,
	CALL_REGISTER,
	CALL_CANCEL,
};

static int
next_call(DibsRegistrant *registrant)
{
	if (registrant->call == CALL_FIRST)
		registrant->call = registrant->cancel       ? CALL_CANCEL
						   : registrant->look_first ? CALL_LIST_APPROVED
													: CALL_REGISTER;
	return registrant->call;
}

static DibsPace
pace(const DibsRegistrant *registrant)
{
	DibsRegistrant copy = *registrant;

	return dibs_zoom_pace(next_call(&copy) == CALL_REGISTER ? DIBS_ZOOM_LIGHT : DIBS_ZOOM_MEDIUM);
}

/* "Mary Ann Smith" is Mary Ann and Smith. Nobody without a name can be registered: then the address has to do. */
static void
put_name(DibsJson *json, const DibsRegistrant *registrant)
{
	char *name = pstrdup(registrant->name && *registrant->name ? registrant->name : registrant->email);
	char *last = strrchr(name, ' ');

	if (registrant->name == NULL || *registrant->name == '\0')
		name[strcspn(name, "@")] = '\0';
	if (last != NULL && last > name && last[1] != '\0')
		*last++ = '\0';
	else
		last = NULL;
	dibs_json_text_member(json, "first_name", dibs_zoom_clipped(name, MAX_NAME));
	if (last != NULL)
		dibs_json_text_member(json, "last_name", dibs_zoom_clipped(last, MAX_NAME));
}

static DibsHttpRequest *
build(DibsRegistrant *registrant, DibsHttp *http, const DibsAccess *access)
{
	char *number = dibs_zoom_number(registrant->meeting);
	DibsHttpRequest *request;
	DibsJson json = {0};

	if (number == NULL || strlen(registrant->email) > MAX_EMAIL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg(number ? "an e-mail address is longer than Zoom takes it"
									  : "the meeting's id is not a Zoom meeting number")));
	switch (next_call(registrant))
	{
		case CALL_LIST_APPROVED:
		case CALL_LIST_PENDING:
		{
			char *path = psprintf("/meetings/%s/registrants?status=%s&page_size=%d", number,
								  registrant->call == CALL_LIST_PENDING ? "pending" : "approved", PAGE_SIZE);

			if (registrant->page)
				path = psprintf("%s&next_page_token=%s", path, dibs_http_escaped(registrant->page));
			return dibs_zoom_request(http, access, "GET", path);
		}
		case CALL_CANCEL:
			dibs_json_begin_object(&json);
			dibs_json_text_member(&json, "action", "cancel");
			dibs_json_key(&json, "registrants");
			dibs_json_begin_array(&json);
			dibs_json_begin_object(&json);
			dibs_json_text_member(&json, "id", registrant->id);
			dibs_json_text_member(&json, "email", registrant->email);
			dibs_json_end_object(&json);
			dibs_json_end_array(&json);
			dibs_json_end_object(&json);
			request = dibs_zoom_request(http, access, "PUT", psprintf("/meetings/%s/registrants/status", number));
			break;
		default:
			dibs_json_begin_object(&json);
			dibs_json_text_member(&json, "email", registrant->email);
			put_name(&json, registrant);
			dibs_json_end_object(&json);
			request = dibs_zoom_request(http, access, "POST", psprintf("/meetings/%s/registrants", number));
			break;
	}
	dibs_zoom_put_body(request, dibs_json_finish(&json));
	return request;
}

static void
more(DibsRegistrant *registrant, int call, DibsFailure *answer)
{
	registrant->call = call;
	answer->verdict = DIBS_VERDICT_MORE;
}

static void
read_list(DibsRegistrant *registrant, const JsonbContainer *object, DibsFailure *answer)
{
	JsonbContainer *list = dibs_json_array(object, "registrants");
	char *page = dibs_json_text(object, "next_page_token");

	for (uint32 i = 0; list != NULL && i < JsonContainerSize(list); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(list, i);
		JsonbContainer *one = item->type == jbvBinary ? item->val.binary.data : NULL;
		char *email = dibs_json_text(one, "email");

		if (email == NULL || pg_strcasecmp(email, registrant->email) != 0)
			continue;
		registrant->id = dibs_json_text(one, "id");
		registrant->join_url = dibs_zoom_link(one, "join_url");
		answer->verdict = DIBS_VERDICT_DONE;
		return;
	}
	registrant->page = page && *page ? page : NULL;
	if (registrant->page != NULL)
		more(registrant, registrant->call, answer);
	else
		more(registrant, registrant->call == CALL_LIST_APPROVED ? CALL_LIST_PENDING : CALL_REGISTER, answer);
}

static void
carried_out(DibsRegistrant *registrant, const JsonbContainer *object, DibsFailure *answer)
{
	char *id;

	answer->verdict = DIBS_VERDICT_DONE;
	switch (registrant->call)
	{
		case CALL_CANCEL:
			break;
		case CALL_REGISTER:
			id = dibs_json_text(object, "registrant_id");
			if (id == NULL || *id == '\0' || strlen(id) > 64)
				dibs_fail(answer, DIBS_VERDICT_UNKNOWN, "provider_down", "Zoom's answer names no registrant");
			registrant->id = id;
			registrant->join_url = dibs_zoom_link(object, "join_url");
			break;
		default:
			read_list(registrant, object, answer);
			break;
	}
}

static void
refused(DibsRegistrant *registrant, DibsHttpRequest *request, const JsonbContainer *object, DibsFailure *answer)
{
	int status = dibs_http_status(request);
	char *message = dibs_json_text(object, "message");
	int64 code;
	DibsZoomAnswer says = dibs_zoom_refusal(request, object, &code, answer);

	if (status == 429 && message && strstr(message, "registrant") != NULL)
	{
		answer->verdict = DIBS_VERDICT_RETRY;
		answer->throttle = DIBS_THROTTLE_NONE;
		answer->error_code = "registrant_daily_limit";
		answer->retry_at = dibs_zoom_next_day();
	}
	/* whether it was carried out is not known */
	else if (says.meaning == DIBS_ZOOM_DOWN)
		answer->verdict = DIBS_VERDICT_UNKNOWN;
	/* adding to a meeting that is gone has the code of an unknown user; who is not there needs no cancelling */
	else if (says.meaning == DIBS_ZOOM_NO_USER || (registrant->call == CALL_CANCEL && status == 400 && code == 300))
		answer->verdict = DIBS_VERDICT_GONE;
}

static void
read_answer(DibsRegistrant *registrant, DibsHttpRequest *request, DibsFailure *answer)
{
	int status = dibs_http_status(request);
	const JsonbContainer *object = dibs_answer_object(request);

	if (dibs_http_failure(request) != DIBS_HTTP_OK)
		dibs_fail_unanswered(answer, request, DIBS_VERDICT_UNKNOWN);
	else if (status >= 200 && status < 300 && dibs_zoom_is_no_answer(request, object))
		dibs_fail(answer, DIBS_VERDICT_UNKNOWN, "provider_down", "the answer is not Zoom's");
	else if (status >= 200 && status < 300)
		carried_out(registrant, object, answer);
	else
		refused(registrant, request, object, answer);
}

const DibsRegistrar dibs_zoom_registrar = {.pace = pace, .build = build, .read = read_answer};
