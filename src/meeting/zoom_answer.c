/*
 * zoom_answer.c
 *		Zoom's error table: developers.zoom.us/docs/api/errors, the operations' own pages, and what is met in practice.
 */
#include "meeting/zoom_answer.h"

#include <stddef.h>
#include <string.h>

#define ANY (-1)

typedef struct ZoomRule
{
	int status; /* or ANY */
	int64_t code;
	DibsZoomMeaning meaning;
	const char *error_code;
} ZoomRule;

static const ZoomRule rules[] = {
	/* expired, revoked and wrong tokens have one code, with 400 or 401 */
	{ANY, 124, DIBS_ZOOM_TOKEN, "not_connected"},
	{401, ANY, DIBS_ZOOM_TOKEN, "not_connected"},
	/* 4711 is what is met, 4700 what the documents say */
	{400, 4711, DIBS_ZOOM_FINAL, "scope_missing"},
	{400, 4700, DIBS_ZOOM_FINAL, "scope_missing"},
	{404, 3001, DIBS_ZOOM_GONE, "meeting_gone"},
	{404, 1001, DIBS_ZOOM_NO_USER, "no_host"},
	{400, 1001, DIBS_ZOOM_NO_USER, "no_host"},
	{400, 1010, DIBS_ZOOM_NO_USER, "no_host"},
	/* invited, and never accepted */
	{400, 1120, DIBS_ZOOM_FINAL, "no_host"},
	/* a user without a licence to host */
	{400, 3161, DIBS_ZOOM_FINAL, "host_not_licensed"},
	{400, 3002, DIBS_ZOOM_RUNNING, "meeting_running"},
	{400, 3007, DIBS_ZOOM_KEPT, "meeting_ended"},
	{400, 3018, DIBS_ZOOM_KEPT, "personal_room"},
	{400, 3037, DIBS_ZOOM_KEPT, "personal_room"},
	{400, 3003, DIBS_ZOOM_FINAL, "not_the_host"},
	{400, 200, DIBS_ZOOM_FINAL, "no_permission"},
	{403, ANY, DIBS_ZOOM_FINAL, "no_permission"},
	{400, 300, DIBS_ZOOM_FINAL, "bad_request"},
	{404, 2300, DIBS_ZOOM_FINAL, "bad_request"},
	{400, 2300, DIBS_ZOOM_FINAL, "bad_request"},
	{409, ANY, DIBS_ZOOM_BUSY, "provider_busy"},
};

static DibsZoomAnswer
too_many(const char *message)
{
	/* the host's own limit comes without the headers that the account's has, and looks healthy in those it has */
	if (strstr(message, "Create/Update") != NULL || strstr(message, "this particular user") != NULL)
		return (DibsZoomAnswer){DIBS_ZOOM_HOST_DAY, "host_daily_limit"};
	if (strstr(message, "per-second") != NULL)
		return (DibsZoomAnswer){DIBS_ZOOM_PER_SECOND, "rate_limited"};
	if (strstr(message, "daily rate limit") != NULL)
		return (DibsZoomAnswer){DIBS_ZOOM_ACCOUNT_DAY, "account_daily_limit"};
	if (strstr(message, "concurrent") != NULL)
		return (DibsZoomAnswer){DIBS_ZOOM_BUSY, "provider_busy"};
	return (DibsZoomAnswer){DIBS_ZOOM_PER_SECOND, "rate_limited"};
}

DibsZoomAnswer
dibs_zoom_answer(int status, int64_t code, const char *message)
{
	/* a proxy's page, a redirect, a server's error: whether the request got through to the API cannot be known */
	if (code < 0 || status < 400 || status >= 500 || status == 408 || status == 425)
		return (DibsZoomAnswer){DIBS_ZOOM_DOWN, "provider_down"};
	if (status == 429)
		return too_many(message ? message : "");
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
	{
		const ZoomRule *rule = &rules[i];

		if ((rule->status == ANY || rule->status == status) && (rule->code == ANY || rule->code == code))
			return (DibsZoomAnswer){rule->meaning, rule->error_code};
	}
	return (DibsZoomAnswer){DIBS_ZOOM_FINAL, "refused"};
}
