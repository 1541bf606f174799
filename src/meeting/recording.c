/*
 * recording.c
 *		Recordings: their files as the provider's events tell of them, and the tokens that open them.
 *
 * A token that comes with an event lives for hours. It is sealed for its row when the event is applied; applied again,
 * an event has none. dibs.recording_url() has a fresh one fetched. A link that opens its file by itself is sealed in
 * the token's place, and "downloadUrl" stays null.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "core/jsonbuild.h"
#include "meeting/life.h"
#include "meeting/recording.h"
#include "queue/plan.h"
#include "secrets/seal.h"

static DibsStatement select_file = {
	"SELECT r.\"ulid\", r.\"state\", r.\"stateAt\" FROM dibs.\"MeetingRecording\" r"
	" WHERE r.\"provider\" = $1 AND r.\"externalId\" = $2 AND r.\"userUlid\" = $3 FOR NO KEY UPDATE",
	3,
	{TEXTOID, TEXTOID, BPCHAROID},
	NULL};

static DibsStatement insert_file = {
	"INSERT INTO dibs.\"MeetingRecording\" (\"ulid\", \"userUlid\", \"state\", \"stateAt\", \"type\", \"format\","
	" \"startTime\", \"endTime\", \"bytes\", \"downloadUrl\", \"playUrl\", \"expiresAt\", \"bookingUlid\", \"meetingUlid\","
	" \"sessionUlid\", \"provider\", \"externalId\")"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
	17,
	{BPCHAROID, BPCHAROID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, TEXTOID,
	 TEXTOID, TIMESTAMPTZOID, BPCHAROID, BPCHAROID, BPCHAROID, TEXTOID, TEXTOID},
	NULL};

/* What a later word leaves out stays as it was; of an earlier one only what nobody has said yet is taken. */
static DibsStatement update_file = {
	"UPDATE dibs.\"MeetingRecording\" r SET"
	" \"state\" = CASE WHEN $4 > r.\"stateAt\" THEN $3 ELSE r.\"state\" END, \"stateAt\" = greatest(r.\"stateAt\", $4),"
	" \"type\" = CASE WHEN $4 > r.\"stateAt\" THEN coalesce($5, r.\"type\") ELSE coalesce(r.\"type\", $5) END,"
	" \"format\" = CASE WHEN $4 > r.\"stateAt\" THEN coalesce($6, r.\"format\") ELSE coalesce(r.\"format\", $6) END,"
	" \"startTime\" = coalesce(r.\"startTime\", $7), \"endTime\" = coalesce(r.\"endTime\", $8),"
	" \"bytes\" = CASE WHEN $4 > r.\"stateAt\" THEN coalesce($9, r.\"bytes\") ELSE coalesce(r.\"bytes\", $9) END,"
	" \"downloadUrl\" = CASE WHEN $4 > r.\"stateAt\" THEN coalesce($10, r.\"downloadUrl\")"
	"  ELSE coalesce(r.\"downloadUrl\", $10) END,"
	" \"playUrl\" = CASE WHEN $4 > r.\"stateAt\" THEN coalesce($11, r.\"playUrl\") ELSE coalesce(r.\"playUrl\", $11) END,"
	" \"expiresAt\" = CASE WHEN $4 > r.\"stateAt\" THEN $12 ELSE r.\"expiresAt\" END,"
	" \"sessionUlid\" = coalesce(r.\"sessionUlid\", $13), \"bookingUlid\" = coalesce(r.\"bookingUlid\", $14)"
	" WHERE r.\"ulid\" = $1 AND r.\"userUlid\" = $2",
	14,
	{BPCHAROID, BPCHAROID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, TEXTOID,
	 TEXTOID, TIMESTAMPTZOID, BPCHAROID, BPCHAROID},
	NULL};

static DibsStatement set_token = {
	"UPDATE dibs.\"MeetingRecording\" SET \"token\" = $3, \"tokenUntil\" = $4 WHERE \"ulid\" = $1 AND \"userUlid\" = $2",
	4,
	{BPCHAROID, BPCHAROID, BYTEAOID, TIMESTAMPTZOID},
	NULL};

static DibsStatement drop_token = {
	"UPDATE dibs.\"MeetingRecording\" SET \"token\" = NULL, \"tokenUntil\" = NULL WHERE \"ulid\" = $1 AND \"userUlid\" = $2"
	" AND \"token\" IS NOT NULL",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

static DibsStatement select_files_of_run = {
	"SELECT r.\"externalId\", r.\"type\", r.\"format\" FROM dibs.\"MeetingRecording\" r WHERE r.\"bookingUlid\" = $1 AND r.\"userUlid\" = $2"
	" AND r.\"sessionUlid\" IS NOT DISTINCT FROM $3",
	3,
	{BPCHAROID, BPCHAROID, BPCHAROID},
	NULL};

static bool
is_transcript(const DibsRecordingFile *file)
{
	return (file->type != NULL && strstr(file->type, "transcript") != NULL) ||
		   (file->format != NULL &&
			(pg_strcasecmp(file->format, "TRANSCRIPT") == 0 || pg_strcasecmp(file->format, "VTT") == 0));
}

static void
tell(const DibsRecordingWrite *w, const char *ulid, const char *type)
{
	DibsJson json = {0};

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "recording", ulid);
	dibs_json_text_member(&json, "provider", w->provider);
	dibs_json_optional_member(&json, "type", w->file->type);
	dibs_json_optional_member(&json, "format", w->file->format);
	dibs_json_end_object(&json);
	dibs_event_write(w->user_ulid, w->booking_ulid, type, JsonbPGetDatum(dibs_json_finish(&json)));
}

void
dibs_recording_keep_token(const char *ulid, const char *user_ulid, const char *token, TimestampTz until)
{
	Datum values[4] = {CStringGetTextDatum(ulid), CStringGetTextDatum(user_ulid), 0, TimestampTzGetDatum(until)};

	values[2] = PointerGetDatum(
		dibs_seal(DIBS_PURPOSE_RECORDING, dibs_seal_context("MeetingRecording", "token", ulid), token, strlen(token)));
	(void) dibs_execute(&set_token, values, NULL, false, SPI_OK_UPDATE);
}

bool
dibs_recording_write(const DibsRecordingWrite *w)
{
	char ulid[DIBS_ULID_LEN + 1];
	char *known_state = NULL;
	TimestampTz known_at = 0;
	Datum values[17];
	char nulls[17];
	bool later;

	values[0] = CStringGetTextDatum(w->provider);
	values[1] = CStringGetTextDatum(w->file->external_id);
	values[2] = CStringGetTextDatum(w->user_ulid);
	if (dibs_execute(&select_file, values, NULL, false, SPI_OK_SELECT) > 0)
	{
		strlcpy(ulid, dibs_column(0, 1), sizeof(ulid));
		known_state = dibs_column(0, 2);
		known_at = dibs_column_time(0, 3);
	}
	else if (!dibs_ulid_generate(ulid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes for an identifier")));
	SPI_freetuptable(SPI_tuptable);
	/* the whole run goes into the bin, and this file is past that */
	if (known_state != NULL && strcmp(known_state, "deleted") == 0 && strcmp(w->state, "trashed") == 0)
		return false;
	later = known_state == NULL || w->at > known_at;

	dibs_set_text(values, nulls, 0, ulid);
	dibs_set_text(values, nulls, 1, w->user_ulid);
	dibs_set_text(values, nulls, 2, w->state);
	values[3] = TimestampTzGetDatum(w->at);
	nulls[3] = ' ';
	dibs_set_text(values, nulls, 4, w->file->type);
	dibs_set_text(values, nulls, 5, w->file->format);
	dibs_set_time(values, nulls, 6, w->file->start);
	dibs_set_time(values, nulls, 7, w->file->end);
	values[8] = Int64GetDatum(w->file->bytes);
	nulls[8] = w->file->bytes < 0 ? 'n' : ' ';
	dibs_set_text(values, nulls, 9, w->file->download_url);
	dibs_set_text(values, nulls, 10, w->file->play_url);
	dibs_set_time(values, nulls, 11, w->expires_at);
	if (known_state == NULL)
	{
		dibs_set_text(values, nulls, 12, w->booking_ulid);
		dibs_set_text(values, nulls, 13, w->meeting_ulid);
		dibs_set_text(values, nulls, 14, w->session_ulid);
		dibs_set_text(values, nulls, 15, w->provider);
		dibs_set_text(values, nulls, 16, w->file->external_id);
		(void) dibs_execute(&insert_file, values, nulls, false, SPI_OK_INSERT);
	}
	else
	{
		dibs_set_text(values, nulls, 12, w->session_ulid);
		dibs_set_text(values, nulls, 13, w->booking_ulid);
		(void) dibs_execute(&update_file, values, nulls, false, SPI_OK_UPDATE);
	}
	if (later && w->token != NULL && strcmp(w->state, "ready") == 0)
		dibs_recording_keep_token(ulid, w->user_ulid, w->token, w->token_until);
	else if (later && strcmp(w->state, "ready") != 0)
		(void) dibs_execute(&drop_token, values, nulls, false, SPI_OK_UPDATE);

	/* a file that is told of once more, later, is no news */
	if (!later || (known_state != NULL && strcmp(known_state, w->state) == 0))
		return false;
	if (strcmp(w->state, "ready") != 0)
		tell(w, ulid, psprintf("recording.%s", w->state));
	else if (known_state != NULL)
		tell(w, ulid, "recording.recovered");
	else
		tell(w, ulid, is_transcript(w->file) ? "transcript.ready" : "recording.ready");
	return true;
}

/* The files of a run of which only the run was named. */
static List *
files_of_run(const DibsLife *life, const char *session)
{
	Datum values[3] = {CStringGetTextDatum(life->booking), CStringGetTextDatum(life->user), 0};
	char nulls[4] = "   ";
	List *files = NIL;
	uint64 rows;

	if (session == NULL)
		nulls[2] = 'n';
	else
		values[2] = CStringGetTextDatum(session);
	rows = dibs_execute(&select_files_of_run, values, nulls, false, SPI_OK_SELECT);
	for (uint64 i = 0; i < rows; i++)
	{
		DibsRecordingFile *file = palloc0(sizeof(DibsRecordingFile));

		file->external_id = dibs_column(i, 1);
		file->type = dibs_column(i, 2);
		file->format = dibs_column(i, 3);
		file->bytes = -1;
		files = lappend(files, file);
	}
	SPI_freetuptable(SPI_tuptable);
	return files;
}

void
dibs_recording_files(const DibsMeetingEvent *event, DibsLife *life, const DibsRecordingSet *set, TimestampTz at)
{
	const char *session = set->run != NULL ? dibs_life_run(life, set->run)->ulid : NULL;
	List *files = set->files != NIL ? set->files : files_of_run(life, session);
	ListCell *lc;

	foreach (lc, files)
	{
		const DibsRecordingFile *file = lfirst(lc);
		DibsRecordingWrite write = {
			.user_ulid = life->user,
			.booking_ulid = life->booking,
			.meeting_ulid = life->meeting,
			.session_ulid = session,
			.provider = life->provider,
			.file = file,
			.state = event->recording_state,
			.at = at,
			.token = file->link != NULL ? file->link : event->token,
			.token_until = event->token_until,
			.expires_at = event->files_until,
		};

		life->changed |= dibs_recording_write(&write);
	}
}
