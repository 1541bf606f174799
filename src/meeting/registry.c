/*
 * registry.c
 *		The meeting providers there are.
 */
#include "compat.h"

#include "meeting/meeting.h"

static const DibsMeetingProvider *const providers[] = {
	&dibs_provider_jitsi, &dibs_provider_static, &dibs_provider_manual, &dibs_provider_source, &dibs_provider_zoom,
};

/* Longest text of a provider's that is kept. */
#define MAX_ERROR 300

const DibsMeetingProvider *
dibs_meeting_provider(const char *name)
{
	for (int i = 0; name != NULL && i < (int) lengthof(providers); i++)
	{
		if (strcmp(providers[i]->name, name) == 0)
			return providers[i];
	}
	return NULL;
}

void
dibs_work_failed(DibsMeetingWork *work, DibsVerdict verdict, const char *code, const char *fmt, ...)
{
	char text[MAX_ERROR];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	work->verdict = verdict;
	work->error_code = code;
	work->error = pstrdup(text);
}
