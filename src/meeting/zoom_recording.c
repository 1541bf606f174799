/*
 * zoom_recording.c
 *		A fresh token for the files of one run's recording at Zoom.
 */
#include "compat.h"

#include "core/jsonread.h"
#include "meeting/recording_link.h"
#include "meeting/zoom_answer.h"
#include "meeting/zoom_limits.h"
#include "meeting/zoom_request.h"

/* What is asked for; Zoom gives at most a week. */
#define TOKEN_LIFE_S (24 * 3600)
#define NO_RECORDING 3301

static DibsPace
pace(const DibsRecordingFetch *fetch)
{
	return dibs_zoom_pace(DIBS_ZOOM_LIGHT);
}

/* Zoom decodes a uuid in a path twice where it begins with a slash or has two in a row. */
static char *
path_of_run(const char *run)
{
	char *escaped = dibs_http_escaped(run);

	return run[0] == '/' || strstr(run, "//") != NULL ? dibs_http_escaped(escaped) : escaped;
}

static DibsHttpRequest *
build(DibsRecordingFetch *fetch, DibsHttp *http, const DibsAccess *access)
{
	return dibs_zoom_request(http, access, "GET",
							 psprintf("/meetings/%s/recordings?include_fields=download_access_token&ttl=%d",
									  path_of_run(fetch->run), TOKEN_LIFE_S));
}

static void
found(DibsRecordingFetch *fetch, const JsonbContainer *object, DibsFailure *answer)
{
	JsonbContainer *files = dibs_json_array(object, "recording_files");

	fetch->token = dibs_json_text(object, "download_access_token");
	fetch->token_life_s = TOKEN_LIFE_S;
	for (uint32 i = 0; files != NULL && i < JsonContainerSize(files); i++)
	{
		JsonbValue *file = getIthJsonbValueFromContainer(files, i);
		char *id = file->type == jbvBinary ? dibs_json_text(file->val.binary.data, "id") : NULL;

		if (id != NULL && strcmp(id, fetch->file) == 0)
			fetch->download_url = dibs_zoom_link(file->val.binary.data, "download_url");
	}
	if (fetch->token == NULL)
		dibs_fail(answer, DIBS_VERDICT_FAILED, "refused", "Zoom's answer has no token");
	else
		answer->verdict = fetch->download_url != NULL ? DIBS_VERDICT_DONE : DIBS_VERDICT_GONE;
}

static void
read_answer(DibsRecordingFetch *fetch, DibsHttpRequest *request, DibsFailure *answer)
{
	int status = dibs_http_status(request);
	const JsonbContainer *object;
	int64 code;

	if (dibs_http_failure(request) != DIBS_HTTP_OK)
	{
		dibs_fail_unanswered(answer, request, DIBS_VERDICT_RETRY);
		return;
	}
	object = dibs_answer_object(request);
	if (status >= 200 && status < 300)
	{
		if (object != NULL)
			found(fetch, object, answer);
		else
			dibs_fail(answer, DIBS_VERDICT_RETRY, "provider_down", "the answer is not Zoom's");
		return;
	}
	(void) dibs_zoom_refusal(request, object, &code, answer);
	if (status == 404 && code == NO_RECORDING)
		answer->verdict = DIBS_VERDICT_GONE;
}

const DibsRecordingLinks dibs_zoom_recordings = {.pace = pace, .build = build, .read = read_answer};
