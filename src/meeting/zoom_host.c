/*
 * zoom_host.c
 *		Zoom's ways in for a host: a meeting's start_url, and the ZAK that a page embeds it with.
 *
 * Both are credentials (a start_url contains a ZAK) and live two hours. They are not logged, not kept, and not in an
 * error's text.
 */
#include "compat.h"

#include "core/jsonread.h"
#include "meeting/zoom_answer.h"
#include "meeting/zoom_host.h"
#include "meeting/zoom_request.h"
#include "queue/call.h"

/* Longest ZAK that is believed; they are JWTs. */
#define MAX_ZAK 4096

DibsHttpRequest *
dibs_zoom_host_request(const DibsHostWish *wish, DibsHttp *http, const DibsAccess *access)
{
	char *number;

	/* without the type Zoom answers 200 with a sentence in the token's place */
	if (wish->token)
		return dibs_zoom_request(
			http, access, "GET",
			psprintf("/users/%s/token?type=zak&ttl=7200", access->own ? "me" : dibs_http_escaped(wish->host)));
	number = dibs_zoom_number(wish->meeting);
	/* what is no number is asked for all the same: Zoom's refusal says it */
	return dibs_zoom_request(http, access, "GET",
							 psprintf("/meetings/%s", number ? number : dibs_http_escaped(wish->meeting)));
}

/* It goes into a page and a URL as it is. */
static bool
is_token(const char *zak)
{
	size_t len = strlen(zak);

	return len > 0 && len <= MAX_ZAK &&
		   strspn(zak, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") == len;
}

char *
dibs_zoom_host_read(const DibsHostWish *wish, DibsHttpRequest *request, DibsFailure *failure)
{
	int status = dibs_http_status(request);
	const JsonbContainer *answer;
	char *credential;
	int64 code;

	if (dibs_http_failure(request) != DIBS_HTTP_OK)
	{
		dibs_fail_unanswered(failure, request, DIBS_VERDICT_RETRY);
		return NULL;
	}
	if (status < 200 || status >= 300)
	{
		(void) dibs_zoom_refusal(request, dibs_answer_object(request), &code, failure);
		return NULL;
	}
	answer = dibs_answer_object(request);
	credential = wish->token ? dibs_json_text(answer, "token") : dibs_zoom_link(answer, "start_url");
	if (credential == NULL || (wish->token && !is_token(credential)))
	{
		dibs_fail(failure, DIBS_VERDICT_RETRY, "provider_down", "the answer is not Zoom's");
		return NULL;
	}
	return credential;
}

char *
dibs_zoom_zak(const char *account, const char *host)
{
	DibsHostWish wish = {.host = host, .token = true};

	return dibs_host_credential("zoom", account, &wish);
}
