/*
 * zoom_request.c
 *		What all of Zoom's operations have in common: a request's address and body, an answer's links and words.
 */
#include "compat.h"

#include "core/jsonparse.h"
#include "core/jsonread.h"
#include "guc.h"
#include "meeting/zoom_body.h"
#include "meeting/zoom_limits.h"
#include "meeting/zoom_request.h"
#include "queue/call.h"

/* "Too many a second" is asked again after this, and up to as much again. */
#define SECOND_WAIT_MS 1000
/* A start link has a token in it. */
#define MAX_LINK 4000

DibsHttpRequest *
dibs_zoom_request(DibsHttp *http, const DibsAccess *access, const char *method, const char *path)
{
	const char *base = access->base_url ? access->base_url : dibs_zoom_api_url ? dibs_zoom_api_url : "";
	int len = (int) strlen(base);
	DibsHttpRequest *request;

	while (len > 0 && base[len - 1] == '/')
		len--;
	request = dibs_http_request(http, method, psprintf("%.*s%s", len, base, path));
	dibs_http_bearer(request, access->token);
	return request;
}

void
dibs_zoom_put_body(DibsHttpRequest *request, Jsonb *body)
{
	char *text = dibs_json_print(body);

	dibs_http_body(request, "application/json", text, strlen(text));
}

/* An id as Zoom's paths take it: its digits. People write them in groups. NULL: it is none. */
char *
dibs_zoom_number(const char *id)
{
	char *number = palloc(strlen(id) + 1);
	char *out = number;

	for (; *id; id++)
	{
		if (*id >= '0' && *id <= '9')
			*out++ = *id;
		else if (*id != ' ' && *id != '-')
			return NULL;
	}
	*out = '\0';
	return out - number >= 9 && out - number <= 18 ? number : NULL;
}

/* A link is kept for people to click on: https, and nothing that could end it early where it is shown. */
char *
dibs_zoom_link(const JsonbContainer *answer, const char *key)
{
	char *link = dibs_json_text(answer, key);

	if (link == NULL || strncmp(link, "https://", 8) != 0 || strlen(link) > MAX_LINK)
		return NULL;
	for (char *p = link; *p; p++)
		if ((unsigned char) *p <= ' ' || (unsigned char) *p == 127 || strchr("\"<>\\^`{|}", *p) != NULL)
			return NULL;
	return link;
}

/* "Validation Failed. (settings.audio: Invalid field.)": Zoom's words, for people. */
char *
dibs_zoom_words(const JsonbContainer *answer, int status)
{
	char *message = dibs_json_text(answer, "message");
	JsonbContainer *errors = dibs_json_array(answer, "errors");
	JsonbValue *first = errors && JsonContainerSize(errors) > 0 ? getIthJsonbValueFromContainer(errors, 0) : NULL;
	JsonbContainer *error = first && first->type == jbvBinary ? first->val.binary.data : NULL;
	char *field = dibs_json_text(error, "field");
	char *words = psprintf("Zoom: %s", message ? message : psprintf("HTTP status %d", status));

	if (field != NULL)
		words = psprintf("%s (%s: %s)", words, field, dibs_json_text(error, "message"));
	for (char *p = words; *p; p++)
		if ((unsigned char) *p < ' ' || *p == 127)
			*p = ' ';
	return dibs_zoom_clipped(words, 250);
}

DibsZoomAnswer
dibs_zoom_refusal(DibsHttpRequest *request, const JsonbContainer *object, int64 *code, DibsFailure *answer)
{
	int status = dibs_http_status(request);
	DibsZoomAnswer says;

	if (!dibs_json_int64(object, "code", 0, PG_INT32_MAX, code))
		*code = -1;
	says = dibs_zoom_answer(status, *code, dibs_json_text(object, "message"));
	dibs_fail(answer, DIBS_VERDICT_FAILED, says.error_code, "%s", dibs_zoom_words(object, status));
	switch (says.meaning)
	{
		case DIBS_ZOOM_TOKEN:
			answer->verdict = DIBS_VERDICT_NEW_TOKEN;
			break;
		case DIBS_ZOOM_GONE:
			answer->verdict = DIBS_VERDICT_GONE;
			break;
		case DIBS_ZOOM_DOWN:
		case DIBS_ZOOM_BUSY:
			answer->verdict = DIBS_VERDICT_RETRY;
			answer->retry_at = dibs_retry_after_header(request, 0);
			break;
		case DIBS_ZOOM_PER_SECOND:
		case DIBS_ZOOM_ACCOUNT_DAY:
			answer->verdict = DIBS_VERDICT_RETRY;
			answer->throttle = DIBS_THROTTLE_ACCOUNT;
			answer->retry_at = dibs_retry_after_header(
				request, says.meaning == DIBS_ZOOM_ACCOUNT_DAY
							 ? dibs_zoom_next_day()
							 : dibs_zoom_after_ms(SECOND_WAIT_MS + dibs_zoom_jitter_ms(SECOND_WAIT_MS)));
			break;
		default:
			break;
	}
	return says;
}

/* A page that says 200 in Zoom's place, as proxies and hotels have them: nothing, or JSON, is what Zoom answers. */
bool
dibs_zoom_is_no_answer(DibsHttpRequest *request, const JsonbContainer *object)
{
	size_t len;

	(void) dibs_http_answer(request, &len);
	return len > 0 && object == NULL;
}
