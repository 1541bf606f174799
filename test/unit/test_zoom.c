/*
 * test_zoom.c
 *		Zoom's error table, and the forms of Retry-After; no PostgreSQL.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "http/retry_after.h"
#include "meeting/zoom_answer.h"

static int checks;
static int failures;

static void
check(bool ok, const char *what)
{
	checks++;
	if (!ok)
		failures++;
	printf("%s %d - %s\n", ok ? "ok" : "not ok", checks, what);
}

static const struct
{
	int status;
	int code;
	const char *message;
	DibsZoomMeaning meaning;
	const char *error_code;
} table[] = {
	{401, 124, "Access token is expired.", DIBS_ZOOM_TOKEN, "not_connected"},
	{400, 124, "Invalid access token.", DIBS_ZOOM_TOKEN, "not_connected"},
	{401, 99, "", DIBS_ZOOM_TOKEN, "not_connected"},
	{400, 4711, "Invalid access token, does not contain scopes:[meeting:write:meeting].", DIBS_ZOOM_FINAL,
	 "scope_missing"},
	{400, 4700, "", DIBS_ZOOM_FINAL, "scope_missing"},
	{404, 3001, "Meeting does not exist: 1.", DIBS_ZOOM_GONE, "meeting_gone"},
	{404, 1001, "User does not exist.", DIBS_ZOOM_NO_USER, "no_host"},
	{400, 1010, "", DIBS_ZOOM_NO_USER, "no_host"},
	{400, 1120, "", DIBS_ZOOM_FINAL, "no_host"},
	{400, 3161, "", DIBS_ZOOM_FINAL, "host_not_licensed"},
	{400, 3002, "", DIBS_ZOOM_RUNNING, "meeting_running"},
	{400, 3007, "", DIBS_ZOOM_KEPT, "meeting_ended"},
	{400, 3018, "", DIBS_ZOOM_KEPT, "personal_room"},
	{400, 300, "Validation Failed.", DIBS_ZOOM_FINAL, "bad_request"},
	{400, 200, "", DIBS_ZOOM_FINAL, "no_permission"},
	{403, 0, "", DIBS_ZOOM_FINAL, "no_permission"},
	{404, 2300, "", DIBS_ZOOM_FINAL, "bad_request"},
	{409, 1005, "", DIBS_ZOOM_BUSY, "provider_busy"},
	{400, 3000, "You cannot schedule a meeting for x.", DIBS_ZOOM_FINAL, "refused"},
	{418, 1, NULL, DIBS_ZOOM_FINAL, "refused"},
	/* the same number means another thing with another status: a 404 is no scope */
	{404, 4711, "", DIBS_ZOOM_FINAL, "refused"},
	{429, 429, "You have reached the maximum per-second rate limit for this API. Try again later.",
	 DIBS_ZOOM_PER_SECOND, "rate_limited"},
	{429, 429,
	 "You have reached the maximum daily rate limit for this API. Refer to the response header for details on when you "
	 "can make another request.",
	 DIBS_ZOOM_ACCOUNT_DAY, "account_daily_limit"},
	{429, 429,
	 "You have exceeded the daily rate limit (100) of Meeting Create/Update API requests permitted for this particular "
	 "user. You may resume these requests at GMT 00:00:00.",
	 DIBS_ZOOM_HOST_DAY, "host_daily_limit"},
	{429, 429, "Too many concurrent requests. A request to create this resource is already in progress.",
	 DIBS_ZOOM_BUSY, "provider_busy"},
	{429, 429, NULL, DIBS_ZOOM_PER_SECOND, "rate_limited"},
	/* not Zoom's JSON, or not an answer to rely on: nobody knows what was done */
	{429, -1, NULL, DIBS_ZOOM_DOWN, "provider_down"},
	{404, -1, NULL, DIBS_ZOOM_DOWN, "provider_down"},
	{302, -1, NULL, DIBS_ZOOM_DOWN, "provider_down"},
	{408, 300, "", DIBS_ZOOM_DOWN, "provider_down"},
	{425, 300, "", DIBS_ZOOM_DOWN, "provider_down"},
	{500, 300, "", DIBS_ZOOM_DOWN, "provider_down"},
	{503, -1, NULL, DIBS_ZOOM_DOWN, "provider_down"},
};

/* 2026-05-04 09:30:00 UTC */
#define NOW INT64_C(1777887000000)

static const struct
{
	const char *value;
	int64_t wait;
} waits[] = {
	{"0", 0},
	{"120", 120000},
	{"2026-05-04T09:31:00Z", 60000},
	{"2026-05-04T09:30:00.500Z", 500},
	{"2026-05-05T00:00:00Z", INT64_C(52200000)},
	{"2026-05-04T11:30:30+02:00", 30000},
	{"2020-05-31T00:00:00Z", 0},
	{"Mon, 04 May 2026 09:30:10 GMT", 10000},
	{"Sun, 06 Nov 1994 08:49:37 GMT", 0},
	{"", -1},
	{"-5", -1},
	{"soon", -1},
	{"1e3", -1},
	{"2026-05-04T09:31:00", -1},
	{"Mon, 04 Mai 2026 09:30:10 GMT", -1},
	{"Mon, 04 May 2026 09:30:10 PST", -1},
	{"Mon, 99 May 2026 09:30:10 GMT", -1},
	{"Mon, 04 anF 2026 09:30:10 GMT", -1},
};

int
main(void)
{
	char what[160];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		DibsZoomAnswer answer = dibs_zoom_answer(table[i].status, table[i].code, table[i].message);

		snprintf(what, sizeof(what), "%d/%d %.60s: %s", table[i].status, table[i].code,
				 table[i].message ? table[i].message : "", table[i].error_code);
		check(answer.meaning == table[i].meaning && strcmp(answer.error_code, table[i].error_code) == 0, what);
	}
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
	{
		int64_t wait = dibs_retry_after(waits[i].value, NOW);

		snprintf(what, sizeof(what), "Retry-After '%s' is %lld ms", waits[i].value, (long long) waits[i].wait);
		check(wait == waits[i].wait, what);
	}
	/* long numbers neither overflow nor wait for ever */
	check(dibs_retry_after("99999999999999999999999999", NOW) > 86400000, "a very long number is a long wait");
	printf("1..%d\n", checks);
	return failures > 0;
}
