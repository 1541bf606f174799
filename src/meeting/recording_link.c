/*
 * recording_link.c
 *		Tokens for recordings: one that is good is opened for who may have it, else a job fetches a fresh one.
 *
 * The caller never waits for the provider: dibs.recording_url() says "pending", and has the answer a moment later.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "core/jsonread.h"
#include "meeting/meeting.h"
#include "meeting/recording.h"
#include "meeting/recording_link.h"
#include "queue/plan.h"
#include "secrets/seal.h"

PG_FUNCTION_INFO_V1(dibs_open_recording_token);

static DibsStatement select_file = {
	"SELECT r.\"provider\", coalesce(s.\"externalUuid\", m.\"externalId\"), r.\"externalId\", coalesce(m.\"account\", '')"
	" FROM dibs.\"MeetingRecording\" r"
	" LEFT JOIN dibs.\"MeetingSession\" s ON s.\"ulid\" = r.\"sessionUlid\" AND s.\"userUlid\" = r.\"userUlid\""
	" LEFT JOIN dibs.\"Meeting\" m ON m.\"ulid\" = r.\"meetingUlid\" AND m.\"userUlid\" = r.\"userUlid\""
	" WHERE r.\"ulid\" = $1 AND r.\"userUlid\" = $2 AND r.\"state\" = 'ready'",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

static DibsStatement set_url = {
	"UPDATE dibs.\"MeetingRecording\" SET \"downloadUrl\" = $3 WHERE \"ulid\" = $1 AND \"userUlid\" = $2",
	3,
	{BPCHAROID, BPCHAROID, TEXTOID},
	NULL};

static DibsStatement set_gone = {
	"UPDATE dibs.\"MeetingRecording\" SET \"state\" = 'deleted', \"stateAt\" = clock_timestamp(), \"token\" = NULL,"
	" \"tokenUntil\" = NULL WHERE \"ulid\" = $1 AND \"userUlid\" = $2",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

static DibsStatement select_token = {
	"SELECT r.\"token\" FROM dibs.\"MeetingRecording\" r WHERE r.\"ulid\" = $1 AND r.\"token\" IS NOT NULL",
	1,
	{BPCHAROID},
	NULL};

static const DibsRecordingLinks *
links_of(const DibsCall *call)
{
	return dibs_meeting_provider(call->provider)->recordings;
}

static bool
prepare(DibsCall *call)
{
	DibsRecordingFetch *fetch = palloc0(sizeof(DibsRecordingFetch));
	const DibsMeetingProvider *provider;
	char *user = dibs_json_text(&call->args->root, "userUlid");
	Datum values[2];

	if (user == NULL)
		return false;
	values[0] = CStringGetTextDatum(call->key);
	values[1] = CStringGetTextDatum(user);
	if (dibs_execute(&select_file, values, NULL, false, SPI_OK_SELECT) == 0)
		return false;
	provider = dibs_meeting_provider(dibs_column(0, 1));
	fetch->user_ulid = user;
	fetch->run = dibs_column(0, 2);
	fetch->file = dibs_column(0, 3);
	if (provider == NULL || provider->recordings == NULL || fetch->run == NULL)
		return false;
	call->provider = provider->name;
	call->account = dibs_column(0, 4);
	call->state = fetch;
	return true;
}

static DibsPace
pace(const DibsCall *call)
{
	return links_of(call)->pace(call->state);
}

static DibsHttpRequest *
build(DibsCall *call, DibsHttp *http, const DibsAccess *access)
{
	return links_of(call)->build(call->state, http, access);
}

static void
read_answer(DibsCall *call, DibsHttpRequest *request)
{
	links_of(call)->read(call->state, request, &call->answer);
}

static void
settle(DibsCall *call)
{
	DibsRecordingFetch *fetch = call->state;
	Datum values[3] = {CStringGetTextDatum(call->key), CStringGetTextDatum(fetch->user_ulid), 0};

	if (call->answer.verdict == DIBS_VERDICT_GONE)
		(void) dibs_execute(&set_gone, values, NULL, false, SPI_OK_UPDATE);
	else if (call->answer.verdict == DIBS_VERDICT_DONE)
	{
		values[2] = CStringGetTextDatum(fetch->download_url);
		(void) dibs_execute(&set_url, values, NULL, false, SPI_OK_UPDATE);
		dibs_recording_keep_token(call->key, fetch->user_ulid, fetch->token,
								  GetCurrentTimestamp() + fetch->token_life_s * USECS_PER_SEC);
	}
}

const DibsCallKind dibs_recording_link_kind = {
	.name = "recording_link",
	.prepare = prepare,
	.pace = pace,
	.build = build,
	.read = read_answer,
	.settle = settle,
};

/* The token of a recording's row; NULL where there is none. For dibs.recording_url(), which asks who wants it. */
Datum
dibs_open_recording_token(PG_FUNCTION_ARGS)
{
	Datum values[1] = {PG_GETARG_DATUM(0)};
	char *ulid = TextDatumGetCString(PG_GETARG_DATUM(0));
	MemoryContext caller = CurrentMemoryContext;
	bytea *sealed;
	bool isnull;
	char *token;
	Size len;

	SPI_connect();
	if (dibs_execute(&select_token, values, NULL, true, SPI_OK_SELECT) == 0)
	{
		SPI_finish();
		PG_RETURN_NULL();
	}
	MemoryContextSwitchTo(caller);
	sealed = DatumGetByteaPCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	(void) dibs_unseal(DIBS_PURPOSE_RECORDING, dibs_seal_context("MeetingRecording", "token", ulid),
					   VARDATA_ANY(sealed), VARSIZE_ANY_EXHDR(sealed), caller, false, &token, &len);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(token, (int) len));
}
