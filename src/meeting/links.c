/*
 * links.c
 *		Providers that make no meeting: the link is the coach's own, was set by hand, or came with the booking.
 */
#include "compat.h"

#include "core/link.h"
#include "meeting/meeting.h"

static void
hand_out(DibsMeetingWork *work, const char *code, const char *missing)
{
	const DibsMeetingWanted *wanted = work->wanted;

	if (wanted->given_join_url == NULL || *wanted->given_join_url == '\0')
	{
		dibs_work_failed(work, DIBS_VERDICT_FAILED, code, "%s", missing);
		return;
	}
	if (!dibs_is_link(wanted->given_join_url))
	{
		dibs_work_failed(work, DIBS_VERDICT_FAILED, "bad_link",
						 "the link starts with neither https:// nor http://, or has blanks");
		return;
	}
	work->known.join_url = pstrdup(wanted->given_join_url);
	work->known.host_url = wanted->given_host_url ? pstrdup(wanted->given_host_url) : NULL;
	work->known.passcode = wanted->given_passcode ? pstrdup(wanted->given_passcode) : NULL;
	work->verdict = DIBS_VERDICT_DONE;
}

static void
make_static(DibsMeetingWork *work)
{
	hand_out(work, "no_static_link", "\"CoachZoomConfig\".\"defaultJoinUrl\" is empty");
}

static void
make_source(DibsMeetingWork *work)
{
	hand_out(work, "no_source_link", "the booking came without a link");
}

/* A link that will still be set is nothing that failed: setting it makes the booking due. */
static void
make_manual(DibsMeetingWork *work)
{
	hand_out(work, "no_manual_link", "nobody has set \"zoomJoinUrl\" yet");
	if (work->verdict == DIBS_VERDICT_FAILED)
		work->verdict = DIBS_VERDICT_RETRY;
}

const DibsMeetingProvider dibs_provider_static = {.name = "static", .make = make_static};
const DibsMeetingProvider dibs_provider_source = {.name = "source", .make = make_source};
const DibsMeetingProvider dibs_provider_manual = {.name = "manual", .make = make_manual};
