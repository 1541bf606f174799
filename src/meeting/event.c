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
#include "guc.h"
#include "meeting/life.h"
#include "queue/plan.h"

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

static DibsStatement lock_booking = {"SELECT b.\"status\", b.\"startTime\", b.\"endTime\" FROM dibs.\"CalBooking\" b"
									 " WHERE b.\"ulid\" = $1 AND b.\"userUlid\" = $2 FOR NO KEY UPDATE",
									 2,
									 {BPCHAROID, BPCHAROID},
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

	dibs_runs_read(life);
	run = event->any_run ? gathering_run(life)
						 : dibs_life_run(life, event->run != NULL ? event->run : event->external_id);
	dibs_runs_derive(life);
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
	dibs_runs_derive(life);
	dibs_attendance_derive(life);
	if (!life->changed)
		applied->outcome = DIBS_OUTCOME_STALE;
	dibs_runs_write(life);
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
	if (!dibs_life_find(event, run, at, life, &tombstone))
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
			dibs_runs_read(&life);
			if (set->run != NULL)
				(void) dibs_life_run(&life, set->run);
			if (event->ends_recording)
				(void) note_recording(&life, gathering_run(&life), "stopped", recording_end(set, at));
			dibs_runs_write(&life);
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
