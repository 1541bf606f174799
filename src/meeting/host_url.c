/*
 * host_url.c
 *		The host's way in: a start link that is fetched anew for each call.
 *
 * A start link makes whoever has it the host. It is asked for when it is needed, given to who asked, and written
 * nowhere. Nothing is changed, here or at the provider; a cancel takes effect at once.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "account/access.h"
#include "core/link.h"
#include "errors.h"
#include "http/http.h"
#include "meeting/host_url.h"
#include "meeting/meeting.h"
#include "queue/plan.h"

PG_FUNCTION_INFO_V1(dibs_fetch_host_url);

static DibsStatement meeting_sql = {
	"SELECT coalesce(m.\"provider\", ''), coalesce(m.\"account\", ''), m.\"externalId\", coalesce(m.\"host\", ''),"
	" coalesce(b.\"zoomHostUrl\", m.\"hostUrl\", b.\"zoomJoinUrl\")"
	" FROM dibs.\"CalBooking\" b LEFT JOIN dibs.\"Meeting\" m ON m.\"bookingUlid\" = b.\"ulid\" AND"
	"  m.\"userUlid\" = b.\"userUlid\" AND m.\"state\" IN ('ready', 'updating')"
	" WHERE b.\"ulid\" = $1 AND b.\"userUlid\" = $2 AND b.\"status\" IN ('CONFIRMED', 'IN_PROGRESS')",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

static void
raise_failure(const char *provider, const DibsFailure *failure)
{
	bool final = failure->verdict == DIBS_VERDICT_FAILED || failure->verdict == DIBS_VERDICT_GONE;

	ereport(ERROR, (errcode(final ? DIBS_ERR_STATE : DIBS_ERR_PROVIDER),
					errmsg("%s gives no way in for the host: %s", provider, failure->error ? failure->error : ""),
					failure->verdict == DIBS_VERDICT_GONE
						? errhint("SELECT dibs.retry_meeting(booking_id) has the worker look at the meeting again.")
					: final ? errhint("docs/errors.md says what to do about the code %s.", failure->error_code)
							: errhint("Try again in a moment.")));
}

char *
dibs_host_credential(const char *name, const char *account, const DibsHostWish *wish)
{
	const DibsMeetingProvider *provider = dibs_meeting_provider(name);
	DibsFailure failure = {0};
	char *credential = NULL;

	if (provider == NULL || provider->host_request == NULL)
		ereport(ERROR, (errcode(DIBS_ERR_STATE), errmsg("%s has no way in for hosts alone", name)));
	/* a second time with a new access token, where the first one was refused */
	for (int tries = 0; credential == NULL && tries < 2; tries++)
	{
		DibsAccess access = {0};
		DibsHttpRequest *request;

		dibs_access_for_call(name, account, CurrentMemoryContext, &access);
		memset(&failure, 0, sizeof(failure));
		request = provider->host_request(wish, dibs_http_backend(), &access);
		dibs_http_perform(request);
		credential = provider->host_read(wish, request, &failure);
		dibs_http_free(request);
		if (credential == NULL && failure.verdict != DIBS_VERDICT_NEW_TOKEN)
			break;
		if (credential == NULL)
			dibs_access_forget(name, account);
	}
	if (credential == NULL)
		raise_failure(name, &failure);
	return credential;
}

/* fetch_host_url(ulid, user_ulid): the caller has found the booking, and may. */
Datum
dibs_fetch_host_url(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	DibsHostWish wish = {0};
	char *provider = "", *account = "", *link = NULL;
	Datum values[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	const DibsMeetingProvider *known;

	SPI_connect();
	MemoryContextSwitchTo(context);
	if (dibs_execute(&meeting_sql, values, NULL, true, SPI_OK_SELECT) > 0)
	{
		provider = dibs_column(0, 1);
		account = dibs_column(0, 2);
		wish.meeting = dibs_column(0, 3);
		wish.host = dibs_column(0, 4);
		link = dibs_column(0, 5);
	}
	SPI_finish();
	known = dibs_meeting_provider(provider);
	if (known != NULL && known->host_request != NULL && wish.meeting != NULL)
		PG_RETURN_TEXT_P(cstring_to_text(dibs_host_credential(provider, account, &wish)));
	if (link == NULL)
		ereport(ERROR, (errcode(DIBS_ERR_STATE), errmsg("the booking has no meeting"),
						errhint("SELECT dibs.booking_timeline(booking_id) says why.")));
	if (!dibs_is_link(link))
		ereport(ERROR, (errcode(DIBS_ERR_STATE), errmsg("what the booking has as its link is none"),
						errhint("A link starts with https:// or http:// and has no blanks.")));
	PG_RETURN_TEXT_P(cstring_to_text(link));
}
