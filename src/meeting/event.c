/*
 * event.c
 *		Meeting events: which booking one is about, and what it changes.
 *
 * The booking's row is locked first, so that the events of one booking are applied one after the other; those of
 * others go on. Facts are written as they come; the status follows from all of them. It is changed only by an event
 * that changes what follows from the facts: what somebody set by hand stays when an old event comes late.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "access/forgotten.h"
#include "booking/row.h"
#include "booking/write_mode.h"
#include "core/jsonbuild.h"
#include "core/jsonread.h"
#include "errors.h"
#include "guc.h"
#include "meeting/life.h"
#include "queue/plan.h"

/* How many hours after a booking's end a room that came with it may still be in use for it, and files come of that. */
#define EVENTS_AFTER_H 1
#define FILES_AFTER_H 24

/* Who comes first is told to have come a moment before the meeting began. */
#define BEGIN_SLACK (60 * USECS_PER_SEC)

static const DibsMeetingSource *const sources[] = {&dibs_meeting_source_zoom, &dibs_meeting_source_calcom,
												   &dibs_meeting_source_daily, &dibs_meeting_source_jitsi};

char *
dibs_event_text(const JsonbContainer *object, const char *key)
{
	char *value = dibs_json_scalar_text(object, key);

	return value != NULL && *value != '\0' ? value : NULL;
}

char *
dibs_event_id(const JsonbContainer *object, const char *key)
{
	char *value = dibs_event_text(object, key);

	return value != NULL && strlen(value) <= DIBS_MAX_ID_LEN ? value : NULL;
}

const DibsMeetingSource *
dibs_meeting_source(const char *name)
{
	for (size_t i = 0; i < lengthof(sources); i++)
	{
		if (strcmp(sources[i]->name, name) == 0)
			return sources[i];
	}
	return NULL;
}

/* A run belongs to the booking that its first event was about. */
static DibsStatement find_by_run = {
	"SELECT s.\"bookingUlid\", s.\"userUlid\", s.\"meetingUlid\" FROM dibs.\"MeetingSession\" s"
	" WHERE s.\"provider\" = $1 AND s.\"externalUuid\" = $2 AND s.\"bookingUlid\" IS NOT NULL LIMIT 1",
	2,
	{TEXTOID, TEXTOID},
	NULL};

/* One id may be several bookings' (a personal room, an adopted series): then it is the one whose time it is. */
static DibsStatement find_by_id = {
	"SELECT m.\"bookingUlid\", m.\"userUlid\", m.\"ulid\" FROM dibs.\"Meeting\" m LEFT JOIN dibs.\"CalBooking\" b"
	" ON b.\"ulid\" = m.\"bookingUlid\" AND b.\"userUlid\" = m.\"userUlid\""
	" WHERE m.\"provider\" = $1 AND m.\"externalId\" = $2"
	" ORDER BY m.\"bookingUlid\" IS NULL, b.\"status\" IN ('PENDING', 'CANCELLED', 'REJECTED'), m.\"state\" = 'gone',"
	"  greatest(b.\"startTime\" - $3, $3 - b.\"endTime\", interval '0'), b.\"startTime\", m.\"ulid\" LIMIT 1",
	3,
	{TEXTOID, TEXTOID, TIMESTAMPTZOID},
	NULL};

/*
 * A room that came with bookings: the last part of their links. It may be one coach's for all of theirs, so that only
 * the one counts whose time it is. The expression is that of "Meeting_room_idx".
 */
static DibsStatement find_by_link = {
	"SELECT b.\"ulid\", b.\"userUlid\", m.\"ulid\" FROM dibs.\"Meeting\" m JOIN dibs.\"CalBooking\" b"
	" ON b.\"ulid\" = m.\"bookingUlid\" AND b.\"userUlid\" = m.\"userUlid\""
	" WHERE m.\"provider\" IN ('source', 'static', 'manual') AND octet_length(m.\"joinUrl\") <= 2048 AND substring(m.\"joinUrl\" FROM '([^/?#]+)/*([?#].*)?$') = $2"
	" AND m.\"joinUrl\" ~* $1 AND m.\"state\" <> 'gone'"
	" AND b.\"startTime\" < $3 + interval '1 hour' AND b.\"endTime\" > $3 - make_interval(hours => $4)"
	" ORDER BY b.\"status\" IN ('PENDING', 'CANCELLED', 'REJECTED'),"
	"  greatest(b.\"startTime\" - $3, $3 - b.\"endTime\", interval '0'), b.\"startTime\", b.\"ulid\" LIMIT 1",
	4,
	{TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID},
	NULL};

/* Events of a personal room bear its number, not that of the meeting that was made for it. */
static DibsStatement find_by_room = {
	"SELECT b.\"ulid\", b.\"userUlid\", m.\"ulid\" FROM dibs.\"CoachZoomConfig\" c JOIN dibs.\"CalBooking\" b"
	" ON b.\"userUlid\" = c.\"userUlid\" JOIN dibs.\"Meeting\" m ON m.\"bookingUlid\" = b.\"ulid\" AND"
	" m.\"userUlid\" = b.\"userUlid\" AND m.\"provider\" = $1 WHERE c.\"personalMeetingId\" = $2"
	" AND b.\"startTime\" < $3 + interval '1 hour' AND b.\"endTime\" > $3 - interval '1 hour'"
	" AND b.\"status\" NOT IN ('PENDING', 'CANCELLED', 'REJECTED')"
	" ORDER BY greatest(b.\"startTime\" - $3, $3 - b.\"endTime\", interval '0'), b.\"startTime\", b.\"ulid\" LIMIT 1",
	3,
	{TEXTOID, TEXTOID, TIMESTAMPTZOID},
	NULL};

static DibsStatement lock_booking = {"SELECT b.\"status\", b.\"startTime\", b.\"endTime\" FROM dibs.\"CalBooking\" b"
									 " WHERE b.\"ulid\" = $1 AND b.\"userUlid\" = $2 FOR NO KEY UPDATE",
									 2,
									 {BPCHAROID, BPCHAROID},
									 NULL};

static DibsStatement select_runs = {
	"SELECT s.\"ulid\", s.\"externalUuid\", s.\"startedAt\", s.\"endedAt\", s.\"seenAt\", s.\"recordingState\","
	" s.\"recordingAt\" FROM dibs.\"MeetingSession\" s WHERE s.\"bookingUlid\" = $1 AND s.\"userUlid\" = $2",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

/* A run of a booking that was taken away from its coach, and came back, is there already and belongs to none. */
static DibsStatement insert_run = {
	"INSERT INTO dibs.\"MeetingSession\" AS s (\"ulid\", \"userUlid\", \"startedAt\", \"endedAt\", \"seenAt\", \"recordingState\","
	" \"recordingAt\", \"bookingUlid\", \"meetingUlid\", \"provider\", \"externalId\", \"externalUuid\")"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
	" ON CONFLICT ON CONSTRAINT \"MeetingSession_externalUuid_key\" DO UPDATE SET \"bookingUlid\" = excluded.\"bookingUlid\","
	"  \"meetingUlid\" = excluded.\"meetingUlid\", \"startedAt\" = coalesce(s.\"startedAt\", excluded.\"startedAt\"),"
	"  \"endedAt\" = coalesce(s.\"endedAt\", excluded.\"endedAt\"), \"seenAt\" = least(s.\"seenAt\", excluded.\"seenAt\")"
	"  WHERE s.\"bookingUlid\" IS NULL"
	" RETURNING \"ulid\"",
	12,
	{BPCHAROID, BPCHAROID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID, BPCHAROID,
	 BPCHAROID, TEXTOID, TEXTOID, TEXTOID},
	NULL};

static DibsStatement update_run = {
	"UPDATE dibs.\"MeetingSession\" SET \"startedAt\" = $3, \"endedAt\" = $4, \"seenAt\" = $5, \"recordingState\" = $6,"
	" \"recordingAt\" = $7 WHERE \"ulid\" = $1 AND \"userUlid\" = $2",
	7,
	{BPCHAROID, BPCHAROID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID},
	NULL};

static DibsStatement set_status = {
	"UPDATE dibs.\"CalBooking\" SET \"status\" = $3 WHERE \"ulid\" = $1 AND \"userUlid\" = $2",
	3,
	{BPCHAROID, BPCHAROID, TEXTOID},
	NULL};

/* Somebody tells how this meeting goes, whatever its provider is: the clock is to wait for their word. */
static DibsStatement set_running = {
	"UPDATE dibs.\"CalBooking\" SET \"status\" = $3,"
	" \"completeAt\" = greatest(\"completeAt\", \"endTime\" + make_interval(mins => $4))"
	" WHERE \"ulid\" = $1 AND \"userUlid\" = $2",
	4,
	{BPCHAROID, BPCHAROID, TEXTOID, INT4OID},
	NULL};

/* Runs a statement that finds at most one booking; true where it did. */
static bool
found_one(DibsStatement *statement, const char *where, const char *name, TimestampTz at, int hours_after,
		  DibsLife *life, bool *tombstone)
{
	Datum values[4] = {CStringGetTextDatum(where), CStringGetTextDatum(name), TimestampTzGetDatum(at),
					   Int32GetDatum(hours_after)};
	char *booking;
	bool found = dibs_execute(statement, values, NULL, false, SPI_OK_SELECT) > 0;

	if (found)
	{
		booking = dibs_column(0, 1);
		*tombstone = booking == NULL;
		if (booking != NULL)
			strlcpy(life->booking, booking, sizeof(life->booking));
		strlcpy(life->user, dibs_column(0, 2), sizeof(life->user));
		life->meeting = dibs_column(0, 3);
	}
	SPI_freetuptable(SPI_tuptable);
	return found;
}

static bool
find_booking(const DibsMeetingEvent *event, const char *run, TimestampTz at, DibsLife *life, bool *tombstone)
{
	*tombstone = false;
	if (event->booking_uid != NULL)
	{
		DibsFound found = dibs_row_resolve(event->booking_uid, life->booking, life->user);

		*tombstone = found == DIBS_FOUND_DELETED;
		return found != DIBS_FOUND_NONE;
	}
	if (run != NULL && found_one(&find_by_run, event->provider, run, at, 0, life, tombstone))
		return true;
	if (event->external_id == NULL)
		return false;
	if (found_one(&find_by_id, event->provider, event->external_id, at, 0, life, tombstone))
		return true;
	if (event->links != NULL)
		return found_one(&find_by_link, event->links, event->external_id, at,
						 event->kind == DIBS_MEETING_FILES ? FILES_AFTER_H : EVENTS_AFTER_H, life, tombstone);
	return found_one(&find_by_room, event->provider, event->external_id, at, 0, life, tombstone);
}

static void
read_runs(DibsLife *life)
{
	Datum values[2] = {CStringGetTextDatum(life->booking), CStringGetTextDatum(life->user)};
	uint64 rows = dibs_execute(&select_runs, values, NULL, false, SPI_OK_SELECT);

	/* room for the one that an event may add */
	life->runs = palloc0((rows + 1) * sizeof(DibsRun *));
	for (uint64 i = 0; i < rows; i++)
	{
		DibsRun *run = palloc0(sizeof(DibsRun));

		strlcpy(run->ulid, dibs_column(i, 1), sizeof(run->ulid));
		run->name = dibs_column(i, 2);
		run->started_at = dibs_column_time(i, 3);
		run->ended_at = dibs_column_time(i, 4);
		run->seen_at = dibs_column_time(i, 5);
		run->recording_state = dibs_column(i, 6);
		run->recording_at = dibs_column_time(i, 7);
		life->runs[life->n_runs++] = run;
	}
	SPI_freetuptable(SPI_tuptable);
}

static bool
lock_booking_row(DibsLife *life)
{
	Datum values[2] = {CStringGetTextDatum(life->booking), CStringGetTextDatum(life->user)};
	char *status;

	if (dibs_execute(&lock_booking, values, NULL, false, SPI_OK_SELECT) == 0)
		return false;
	status = dibs_column(0, 1);
	life->status = dibs_status_from_text(status, strlen(status));
	life->start = dibs_column_time(0, 2);
	life->end = dibs_column_time(0, 3);
	SPI_freetuptable(SPI_tuptable);
	return true;
}

DibsRun *
dibs_life_run(DibsLife *life, const char *name)
{
	DibsRun *run;

	for (int i = 0; i < life->n_runs; i++)
	{
		if (strcmp(life->runs[i]->name, name) == 0)
			return life->runs[i];
	}
	run = palloc0(sizeof(DibsRun));
	if (!dibs_ulid_generate(run->ulid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes for an identifier")));
	run->name = pstrdup(name);
	run->is_new = run->dirty = true;
	life->runs[life->n_runs++] = run;
	return run;
}

bool
dibs_life_note(DibsLife *life, DibsRun *run, TimestampTz *known, TimestampTz at)
{
	bool news = *known == 0;

	if (news || at < *known)
	{
		*known = at;
		run->dirty = true;
	}
	life->changed |= news;
	return news;
}

TimestampTz
dibs_run_begin(const DibsRun *run)
{
	return run->started_at != 0 ? run->started_at : run->seen_at;
}

static int
by_begin(const void *a, const void *b)
{
	const DibsRun *x = *(DibsRun *const *) a;
	const DibsRun *y = *(DibsRun *const *) b;

	if (dibs_run_begin(x) != dibs_run_begin(y))
		return dibs_run_begin(x) < dibs_run_begin(y) ? -1 : 1;
	return strcmp(x->name, y->name);
}

/*
 * When each run was over. A meeting runs once at a time: where the end of a run was not said, the next one's beginning
 * ended it.
 */
static void
derive_ends(DibsLife *life)
{
	qsort(life->runs, life->n_runs, sizeof(DibsRun *), by_begin);
	for (int i = 0; i < life->n_runs; i++)
	{
		DibsRun *run = life->runs[i];

		run->end = run->ended_at;
		if (run->end == 0 && dibs_run_begin(run) != 0 && i + 1 < life->n_runs)
			run->end = dibs_run_begin(life->runs[i + 1]);
	}
}

TimestampTz
dibs_life_end_at(const DibsLife *life, TimestampTz at)
{
	const DibsRun *ran = NULL;

	for (int i = 0; i < life->n_runs; i++)
	{
		const DibsRun *run = life->runs[i];

		if (dibs_run_begin(run) == 0)
			continue;
		if (dibs_run_begin(run) <= at)
			ran = run;
		else if ((ran == NULL || (ran->end != 0 && ran->end < at)) && dibs_run_begin(run) - at <= BEGIN_SLACK)
			return run->end;
	}
	return ran == NULL || ran->end < at ? 0 : ran->end;
}

/* What the facts say of the booking: it runs, or it is over and somebody came, or nobody. NONE: nothing has run yet. */
static DibsStatus
derived_status(const DibsLife *life)
{
	const DibsRun *last = NULL;

	for (int i = 0; i < life->n_runs; i++)
	{
		if (dibs_run_begin(life->runs[i]) != 0)
			last = life->runs[i];
	}
	if ((last != NULL && last->end == 0) || dibs_attendance_runs_on(life))
		return DIBS_STATUS_IN_PROGRESS;
	if (last == NULL)
		return DIBS_STATUS_NONE;
	return dibs_attendance_came(life) ? DIBS_STATUS_COMPLETED : DIBS_STATUS_NO_SHOW;
}

static void
insert_new_run(DibsLife *life, DibsRun *run, Datum *values, const char *nulls)
{
	const char *ulid;

	if (dibs_execute(&insert_run, values, nulls, false, SPI_OK_INSERT_RETURNING) == 0)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("another transaction was quicker to write a meeting's run")));
	ulid = dibs_column(0, 1);
	for (int i = 0; i < life->n_presences; i++)
	{
		if (strcmp(life->presences[i]->run, run->ulid) == 0)
			strlcpy(life->presences[i]->run, ulid, sizeof(life->presences[i]->run));
	}
	strlcpy(run->ulid, ulid, sizeof(run->ulid));
}

static void
write_runs(DibsLife *life)
{
	for (int i = 0; i < life->n_runs; i++)
	{
		DibsRun *run = life->runs[i];
		Datum values[12];
		char nulls[12];

		if (!run->dirty)
			continue;
		dibs_set_text(values, nulls, 0, run->ulid);
		dibs_set_text(values, nulls, 1, life->user);
		dibs_set_time(values, nulls, 2, run->started_at);
		dibs_set_time(values, nulls, 3, run->ended_at);
		dibs_set_time(values, nulls, 4, run->seen_at);
		dibs_set_text(values, nulls, 5, run->recording_state);
		dibs_set_time(values, nulls, 6, run->recording_at);
		dibs_set_text(values, nulls, 7, life->booking);
		dibs_set_text(values, nulls, 8, life->meeting);
		dibs_set_text(values, nulls, 9, life->provider);
		dibs_set_text(values, nulls, 10, life->external_id);
		dibs_set_text(values, nulls, 11, run->name);
		if (run->is_new)
			insert_new_run(life, run, values, nulls);
		else
			(void) dibs_execute(&update_run, values, nulls, false, SPI_OK_UPDATE);
	}
}

static void
set_running_status(DibsLife *life)
{
	Datum values[4] = {CStringGetTextDatum(life->booking), CStringGetTextDatum(life->user),
					   CStringGetTextDatum(dibs_status_name(DIBS_STATUS_IN_PROGRESS)),
					   Int32GetDatum(dibs_complete_after_silence)};

	dibs_set_write_mode(DIBS_WRITE_SETTLE);
	(void) dibs_execute(&set_running, values, NULL, false, SPI_OK_UPDATE);
	dibs_set_write_mode(DIBS_WRITE_DIRECT);
}

void
dibs_life_set_status(DibsLife *life, DibsStatus status)
{
	Datum values[3] = {CStringGetTextDatum(life->booking), CStringGetTextDatum(life->user),
					   CStringGetTextDatum(dibs_status_name(status))};

	/* no wish: what is wanted of the meeting does not change because it runs */
	dibs_set_write_mode(DIBS_WRITE_SETTLE);
	(void) dibs_execute(&set_status, values, NULL, false, SPI_OK_UPDATE);
	dibs_set_write_mode(DIBS_WRITE_DIRECT);
}

/*
 * A booking that is not on (asked for, cancelled, rejected) stays as it is, whatever happens in its room. The meeting's
 * own events are no change of what is wanted of the meeting: no version is bumped.
 */
static void
write_status(DibsLife *life, DibsStatus before)
{
	DibsStatus after = derived_status(life);
	DibsJson json = {0};

	if (after == before || after == DIBS_STATUS_NONE || after == life->status || life->status == DIBS_STATUS_PENDING ||
		!dibs_status_may_become(life->status, after, false))
		return;
	if (after == DIBS_STATUS_IN_PROGRESS)
	{
		set_running_status(life);
		return;
	}
	dibs_life_set_status(life, after);
	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "previousStatus", dibs_status_name(life->status));
	dibs_json_end_object(&json);
	dibs_event_write(life->user, life->booking,
					 after == DIBS_STATUS_COMPLETED ? "booking.completed" : "booking.no_show",
					 JsonbPGetDatum(dibs_json_finish(&json)));
}

static void
tell_of_run(DibsLife *life, const DibsMeetingEvent *event, const char *type, TimestampTz at)
{
	DibsJson json = {0};

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "provider", life->provider);
	if (!event->any_run)
		dibs_json_text_member(&json, "run", event->run != NULL ? event->run : event->external_id);
	dibs_json_optional_member(&json, "message", event->message);
	dibs_json_time_member(&json, "at", at);
	dibs_json_end_object(&json);
	dibs_event_write(life->user, life->booking, type, JsonbPGetDatum(dibs_json_finish(&json)));
}

static void
tell_of_person(DibsLife *life, const DibsPresence *p, const char *type, TimestampTz at)
{
	DibsJson json = {0};

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "provider", life->provider);
	dibs_json_text_member(&json, "role", dibs_role_name(p->role));
	dibs_json_optional_member(&json, "participant", p->participant);
	dibs_json_optional_member(&json, "email", p->email);
	dibs_json_optional_member(&json, "name", p->name);
	dibs_json_time_member(&json, "at", at);
	dibs_json_end_object(&json);
	dibs_event_write(life->user, life->booking, type, JsonbPGetDatum(dibs_json_finish(&json)));
}

static const char *
person_event(DibsMeetingEventKind kind)
{
	switch (kind)
	{
		case DIBS_MEETING_JOINED:
			return "participant.joined";
		case DIBS_MEETING_LEFT:
			return "participant.left";
		case DIBS_MEETING_WAITING:
			return "participant.waiting";
		case DIBS_MEETING_ADMITTED:
			return "participant.admitted";
		default:
			return NULL;
	}
}

/* The run that has no times of its own, of this booking alone. */
static DibsRun *
gathering_run(DibsLife *life)
{
	return dibs_life_run(life, psprintf("any:%s", life->booking));
}

/* The recording's state; the latest word stands. */
static bool
note_recording(DibsLife *life, DibsRun *run, const char *state, TimestampTz at)
{
	if (at <= run->recording_at)
		return false;
	run->recording_state = pstrdup(state);
	run->recording_at = at;
	run->dirty = life->changed = true;
	return true;
}

/* The last run that began has no end: whoever comes or goes, it is in progress. */
static bool
is_running(const DibsLife *life)
{
	const DibsRun *last = NULL;

	for (int i = 0; i < life->n_runs; i++)
	{
		if (dibs_run_begin(life->runs[i]) != 0)
			last = life->runs[i];
	}
	return last != NULL && last->end == 0;
}

/* It is about one person's coming or going, and tells nothing of when a run began. */
static bool
is_of_one(const DibsMeetingEvent *event, const DibsRun *run, TimestampTz at)
{
	switch (event->kind)
	{
		case DIBS_MEETING_JOINED:
		case DIBS_MEETING_LEFT:
			return event->any_run || run->started_at != 0 || (run->seen_at != 0 && at >= run->seen_at);
		case DIBS_MEETING_WAITING:
		case DIBS_MEETING_GAVE_UP:
		case DIBS_MEETING_ADMITTED:
			return true;
		default:
			return false;
	}
}

/* What happened while it ran. */
static void
apply_to_run(const DibsMeetingEvent *event, DibsLife *life, TimestampTz at, DibsApplied *applied)
{
	DibsPresence *presence = NULL;
	const char *tell = NULL;
	bool begin_is_news = false;
	DibsStatus before;
	DibsRun *run;

	read_runs(life);
	run = event->any_run ? gathering_run(life)
						 : dibs_life_run(life, event->run != NULL ? event->run : event->external_id);
	derive_ends(life);
	if (is_running(life) && is_of_one(event, run, at))
		dibs_attendance_read_near(life, run, event->person.connection);
	else
		dibs_attendance_read(life);
	before = derived_status(life);
	switch (event->kind)
	{
		case DIBS_MEETING_STARTED:
			if (dibs_life_note(life, run, &run->started_at, at))
				tell = "meeting.started";
			break;
		case DIBS_MEETING_ENDED:
			if (event->began != 0 && dibs_life_note(life, run, &run->started_at, event->began))
				begin_is_news = true;
			if (dibs_life_note(life, run, &run->ended_at, at))
				tell = "meeting.ended";
			(void) dibs_life_note(life, run, &run->seen_at, at);
			break;
		case DIBS_MEETING_RECORDING:
			if (note_recording(life, run, event->recording_state, at))
				tell = psprintf("recording.%s",
								strcmp(event->recording_state, "recording") == 0 ? "started" : event->recording_state);
			break;
		default:
			if (dibs_attendance_event(life, run, event, at, &presence))
			{
				life->changed = true;
				if (!event->any_run && (event->kind == DIBS_MEETING_JOINED || event->kind == DIBS_MEETING_LEFT))
					(void) dibs_life_note(life, run, &run->seen_at, at);
			}
			else
				presence = NULL;
			break;
	}
	derive_ends(life);
	dibs_attendance_derive(life);
	if (!life->changed)
		applied->outcome = DIBS_OUTCOME_STALE;
	write_runs(life);
	dibs_attendance_write(life);
	if (begin_is_news)
		tell_of_run(life, event, "meeting.started", event->began);
	if (tell != NULL)
		tell_of_run(life, event, tell, at);
	if (presence != NULL && person_event(event->kind) != NULL)
		tell_of_person(life, presence, person_event(event->kind), at);
	write_status(life, before);
}

/* Locks the booking that the event, or that run, is about; false: there is none, and applied says why. */
static bool
begin(const DibsMeetingEvent *event, const char *run, TimestampTz at, DibsLife *life, DibsApplied *applied)
{
	bool tombstone;

	memset(life, 0, sizeof(*life));
	life->provider = event->provider;
	life->external_id = event->external_id;
	if (!find_booking(event, run, at, life, &tombstone))
	{
		applied->outcome = DIBS_OUTCOME_UNMATCHED;
		if (event->booking_uid != NULL)
		{
			applied->waits_for = pstrdup(event->booking_uid);
			return false;
		}
		applied->foreign = true;
		applied->problem = pstrdup("no booking has this meeting");
		return false;
	}
	strlcpy(applied->user_ulid, life->user, sizeof(applied->user_ulid));
	if (tombstone)
	{
		applied->outcome = DIBS_OUTCOME_IGNORED;
		applied->problem = pstrdup("its booking has been deleted");
		return false;
	}
	/* deleted, merged into another or given to another coach since it was found: found anew, it says which */
	if (!lock_booking_row(life))
		dibs_row_conflict();
	strlcpy(applied->booking_ulid, life->booking, sizeof(applied->booking_ulid));
	return true;
}

/* When the last of the files' recordings stopped. */
static TimestampTz
recording_end(const DibsRecordingSet *set, TimestampTz at)
{
	TimestampTz end = 0;
	ListCell *lc;

	foreach (lc, set->files)
		end = Max(end, ((DibsRecordingFile *) lfirst(lc))->end);
	return end != 0 ? end : at;
}

/* When the meeting was that files are of: they come later, some much later. */
static TimestampTz
files_of_time(const DibsRecordingSet *set, TimestampTz at)
{
	ListCell *lc;

	foreach (lc, set->files)
	{
		const DibsRecordingFile *file = lfirst(lc);

		if (file->start != 0)
			return file->start;
	}
	return at;
}

/* Each set is one run's, and may be another booking's. */
static void
apply_files(const DibsMeetingEvent *event, TimestampTz at, DibsApplied *applied)
{
	ListCell *lc;
	bool any = false;
	DibsLife life;

	foreach (lc, event->sets)
	{
		const DibsRecordingSet *set = lfirst(lc);
		DibsApplied one = {0};

		if (!begin(event, set->run, files_of_time(set, at), &life, &one))
		{
			if (!any)
				*applied = one;
			continue;
		}
		if (set->run != NULL || event->ends_recording)
		{
			read_runs(&life);
			if (set->run != NULL)
				(void) dibs_life_run(&life, set->run);
			if (event->ends_recording)
				(void) note_recording(&life, gathering_run(&life), "stopped", recording_end(set, at));
			write_runs(&life);
		}
		dibs_recording_files(event, &life, set, at);
		one.outcome = life.changed ? DIBS_OUTCOME_APPLIED : DIBS_OUTCOME_STALE;
		if (!any || one.outcome == DIBS_OUTCOME_APPLIED)
			*applied = one;
		any = true;
	}
}

/* The payload speaks of somebody who was forgotten. What it tells of the meeting holds all the same. */
static bool
mentions_forgotten(const DibsMeetingEvent *event, TimestampTz received_at)
{
	ListCell *lc;

	if (event->mentioned == NIL || !dibs_anybody_forgotten())
		return false;
	foreach (lc, event->mentioned)
	{
		if (dibs_person_forgotten(lfirst(lc), event->sent_at != 0 ? event->sent_at : received_at, event->booking_uid))
			return true;
	}
	return false;
}

static void
apply_event(const DibsMeetingEvent *event, TimestampTz at, DibsApplied *applied)
{
	DibsLife life;

	switch (event->kind)
	{
		case DIBS_MEETING_IGNORE:
			applied->outcome = DIBS_OUTCOME_IGNORED;
			break;
		case DIBS_MEETING_DEAUTHORIZED:
			dibs_meeting_deauthorized(event, at, applied);
			break;
		case DIBS_MEETING_FILES:
			apply_files(event, at, applied);
			break;
		case DIBS_MEETING_CHANGED:
		case DIBS_MEETING_DELETED:
		case DIBS_MEETING_RECOVERED:
			if (begin(event, NULL, at, &life, applied))
				dibs_meeting_changed(event, &life, applied);
			break;
		case DIBS_MEETING_REGISTERED:
			if (begin(event, NULL, at, &life, applied))
				dibs_meeting_registered(event, &life);
			break;
		default:
			if (!begin(event, event->run, at, &life, applied))
				break;
			if (event->by_clock)
				dibs_meeting_clock(event, &life, applied);
			else
				apply_to_run(event, &life, at, applied);
			break;
	}
}

void
dibs_meeting_event_apply(const DibsMeetingEvent *event, TimestampTz received_at, DibsApplied *applied)
{
	memset(applied, 0, sizeof(*applied));
	applied->outcome = DIBS_OUTCOME_APPLIED;
	if (event->problem != NULL)
	{
		applied->outcome = DIBS_OUTCOME_FAILED;
		applied->problem = pstrdup(event->problem);
		return;
	}
	apply_event(event, event->at != 0 ? event->at : received_at, applied);
	applied->forgotten = mentions_forgotten(event, received_at);
	/* without its payload it cannot wait for its booking */
	if (applied->forgotten && applied->outcome == DIBS_OUTCOME_UNMATCHED)
	{
		applied->outcome = DIBS_OUTCOME_IGNORED;
		applied->waits_for = NULL;
		applied->problem = pstrdup("it is about somebody who was forgotten");
	}
}
