/*
 * event.h
 *		The normalised meeting event: what a meeting's side says, in nobody's own words, and its application.
 *
 * A source's reader (zoom_event.c) fills a DibsMeetingEvent; dibs_meeting_event_apply() brings "MeetingSession",
 * "MeetingAttendance", "MeetingRecording", "BookingParticipant", the booking's status and "Event" in line. Events come
 * in any order, twice, and at the same time as others. So each leaves facts (when a meeting began, who joined when),
 * and everything else is derived from the facts there are: the rows end up the same.
 *
 * A source that is no witness (a scheduler, which knows when a meeting was to begin and no more) says so: what it tells
 * "by the clock" is no fact, see clock.c.
 */
#ifndef DIBS_MEETING_EVENT_H
#define DIBS_MEETING_EVENT_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "booking/booking.h"
#include "calendar/calendar.h"

typedef enum DibsMeetingEventKind
{
	DIBS_MEETING_IGNORE, /* understood, and of no consequence here */
	DIBS_MEETING_STARTED,
	DIBS_MEETING_ENDED,
	DIBS_MEETING_JOINED,
	DIBS_MEETING_LEFT,
	DIBS_MEETING_WAITING,  /* somebody is in front of the door */
	DIBS_MEETING_GAVE_UP,  /* and is there no more, let in or not */
	DIBS_MEETING_ADMITTED, /* and was let in */
	DIBS_MEETING_CHANGED,  /* at the provider, by somebody */
	DIBS_MEETING_DELETED,
	DIBS_MEETING_RECOVERED,
	DIBS_MEETING_REGISTERED,   /* somebody has a registration */
	DIBS_MEETING_RECORDING,    /* the recording's state, while the meeting runs */
	DIBS_MEETING_FILES,        /* the recording's files: there, in the bin, gone, back */
	DIBS_MEETING_DEAUTHORIZED, /* an account took its permission back */
} DibsMeetingEventKind;

/* One person as the provider knows them. Any member may be missing. */
typedef struct DibsMeetingPerson
{
	char *connection; /* names one way in, among those of one run of the meeting */
	char *user_id;    /* the provider's account */
	char *email;
	char *name;
	char *registrant_id;
	char *join_url; /* of a registration */
	bool is_host;
	char *reason; /* why they left, the provider's words */
} DibsMeetingPerson;

typedef struct DibsRecordingFile
{
	char *external_id; /* the file's */
	char *type;        /* audio_only, audio_transcript … */
	char *format;      /* MP4, VTT … */
	TimestampTz start;
	TimestampTz end;
	int64 bytes; /* -1: not said */
	char *download_url;
	char *play_url;
	char *link; /* a download link that is a bearer value as a whole; never kept in clear */
} DibsRecordingFile;

/* What became of files: with no list, of every file of that run. */
typedef struct DibsRecordingSet
{
	char *run;   /* DibsMeetingEvent.run of the meeting that they are of */
	List *files; /* of DibsRecordingFile */
} DibsRecordingSet;

typedef struct DibsMeetingEvent
{
	const char *provider;
	DibsMeetingEventKind kind;
	char *external_id; /* the meeting's id at the provider */
	/*
	 * A regular expression: where such links lead, their last part is external_id. For rooms that came with a booking.
	 * NULL: there are none.
	 */
	const char *links;
	char *booking_uid; /* the booking's, from a source that knows no meeting; then that names it, and nothing else */
	char *run;         /* names one time that it ran: it may run again under the same id */
	bool any_run;      /* it does not say which run it is of: that one whose time it was */
	bool by_clock;     /* STARTED, ENDED: its time has come; nobody was seen */
	TimestampTz at;    /* when it happened; 0: it does not say */
	TimestampTz began; /* ENDED: when the run had begun, where that is said; else 0 */
	TimestampTz sent_at;
	char *host_id;
	DibsMeetingPerson person;
	char *message; /* RECORDING: in the source's words */

	/* CHANGED: the new values that it names */
	TimestampTz new_start;
	int new_duration; /* minutes; 0: not named */

	/* RECORDING, FILES */
	const char *recording_state; /* recording, paused, stopped, failed; ready, trashed, deleted */
	bool ends_recording;         /* FILES: nobody else tells that the recording has stopped */
	List *sets;                  /* of DibsRecordingSet */
	char *token;                 /* a bearer value that opens the files; never kept in clear */
	TimestampTz token_until;     /* how long the token, or the files' links, are good */
	TimestampTz files_until;     /* when the provider deletes them; 0: it does not say */

	List *mentioned; /* of char *: addresses of people of whom the payload speaks beside; it is kept for no forgotten
						one */

	/* DEAUTHORIZED */
	char *account_id;
	char *client_id;

	char *problem; /* what makes it unusable; then nothing else counts */
} DibsMeetingEvent;

typedef struct DibsMeetingSource
{
	const char *name;

	/* Whether a delivery is about a meeting, where the same sender is a calendar source too; NULL: each is. */
	bool (*concerns)(const Jsonb *payload);

	/* Which delivery this is; NULL: the calendar source of that name says it, and which values may not be kept. */
	void (*identify)(const Jsonb *payload, DibsEventIdentity *identity);

	/*
	 * Reads a verified payload: as it came, or as it was kept, without the bearer values. Writes nothing, sends nothing
	 * and raises nothing because of what stands in it.
	 */
	void (*read)(const Jsonb *payload, DibsMeetingEvent *event);

	/* Paths of values that give access to something; see DibsCalendarSource. */
	const char *const *bearer_paths;
} DibsMeetingSource;

extern const DibsMeetingSource dibs_meeting_source_zoom;
extern const DibsMeetingSource dibs_meeting_source_calcom;
extern const DibsMeetingSource dibs_meeting_source_daily;
extern const DibsMeetingSource dibs_meeting_source_jitsi;

/* For readers: a scalar member as text, NULL where it is not there or empty; and an id, which must fit an index. */
extern char *dibs_event_text(const JsonbContainer *object, const char *key);
extern char *dibs_event_id(const JsonbContainer *object, const char *key);

/* NULL for a name that is no meeting source's */
extern const DibsMeetingSource *dibs_meeting_source(const char *name);

/*
 * Applies one event in the caller's transaction; SPI must be connected. Raises 40001 when another transaction was
 * quicker (roll back to a savepoint and call again), and whatever the tables raise. received_at stands for missing
 * times. Where no booking has such a meeting the outcome is DIBS_OUTCOME_UNMATCHED; where it was named by its uid, it
 * waits for that.
 */
extern void dibs_meeting_event_apply(const DibsMeetingEvent *event, TimestampTz received_at, DibsApplied *applied);

#endif
