/*
 * life.h
 *		What is known of one booking's meeting as it ran: its runs, and who was in them. Read under the booking's lock
 *		as far as an event can change it, changed in memory, written back where it differs.
 */
#ifndef DIBS_MEETING_LIFE_H
#define DIBS_MEETING_LIFE_H

#include "postgres.h"

#include "booking/status.h"
#include "core/jsonbuild.h"
#include "core/ulid.h"
#include "meeting/event.h"

/*
 * A row of "MeetingSession". Times are 0 where nothing said them. One row of a booking may have none for good: it
 * gathers what does not say which run it is of.
 */
typedef struct DibsRun
{
	char ulid[DIBS_ULID_LEN + 1];
	char *name; /* DibsMeetingEvent.run */
	TimestampTz started_at;
	TimestampTz ended_at;
	TimestampTz seen_at; /* the earliest thing that can only happen while a meeting runs */
	char *recording_state;
	TimestampTz recording_at;
	bool is_new;
	bool dirty;
	TimestampTz end; /* derived: when it was over; 0: it runs, or never did */
} DibsRun;

typedef enum DibsRole
{
	DIBS_ROLE_GUEST, /* nobody knows who that was */
	DIBS_ROLE_PARTICIPANT,
	DIBS_ROLE_HOST,
} DibsRole;

/* A row of "MeetingAttendance". */
typedef struct DibsPresence
{
	char ulid[DIBS_ULID_LEN + 1];
	char run[DIBS_ULID_LEN + 1];
	char *connection;
	char *participant; /* ulid, NULL: none of the booking's */
	DibsRole role;
	char *user_id;
	char *email;
	char *name;
	char *registrant_id;
	char *reason;
	TimestampTz waiting_at;
	TimestampTz gave_up_at;
	TimestampTz admitted_at;
	TimestampTz joined_at;
	TimestampTz left_at;
	bool closed; /* left_at was not said: another join, or the end of the meeting, closed it */
	bool is_new;
	bool dirty;
	bool unmatched; /* to be matched (again) */
	bool settled;   /* read to know its participant's times; this event changes nothing about it */
} DibsPresence;

/* What attendance needs of a row of "BookingParticipant". */
typedef struct DibsAttendee
{
	char ulid[DIBS_ULID_LEN + 1];
	char *email;
	char *name;
	char *registrant_id;
	bool confirmed;
	bool attended;
	TimestampTz joined_at;
	TimestampTz left_at;
} DibsAttendee;

typedef struct DibsLife
{
	char booking[DIBS_ULID_LEN + 1];
	char user[DIBS_ULID_LEN + 1];
	char *meeting; /* ulid of the "Meeting" row, NULL: the booking's room is not one of ours */
	const char *provider;
	char *external_id;
	DibsStatus status;
	TimestampTz start;
	TimestampTz end;
	DibsRun **runs;
	int n_runs;
	DibsPresence **presences;
	int n_presences;
	DibsAttendee *people;
	int n_people;
	List *concerned; /* near: ulids of the participants whom the connection was, or is */
	bool changed;    /* a fact is new */
	bool near;       /* presences are those of the event's connection, and of the people in them: see attendance.c */
} DibsLife;

/* find.c: sets booking, user and meeting. False: it is about none. run: NULL where the event bears no run's name. */
extern bool dibs_life_find(const DibsMeetingEvent *event, const char *run, TimestampTz at, DibsLife *life,
						   bool *tombstone);

/* runs.c, with room for one more */
extern void dibs_runs_read(DibsLife *life);
/*
 * When each run was over. A meeting runs once at a time: where the end of a run was not said, the next one's beginning
 * ended it.
 */
extern void dibs_runs_derive(DibsLife *life);
extern void dibs_runs_write(DibsLife *life);

/* The run of that name, made where there is none. */
extern DibsRun *dibs_life_run(DibsLife *life, const char *name);

/* A fact about a run that comes once: the earlier one stands. True where it is new. */
extern bool dibs_life_note(DibsLife *life, DibsRun *run, TimestampTz *known, TimestampTz at);

/* When the run began, as far as anybody said; 0: nobody did. */
extern TimestampTz dibs_run_begin(const DibsRun *run);

/* When the run was over that ran at that time, whichever it was; 0: it runs, or is not known. The runs are in order. */
extern TimestampTz dibs_life_end_at(const DibsLife *life, TimestampTz at);

/* Writes the booking's status, which bumps no version. The table of statuses was asked. */
extern void dibs_life_set_status(DibsLife *life, DibsStatus status);

/* attendance.c; attendance_rows.c reads and writes */
extern void dibs_attendance_read(DibsLife *life);
/* Only what an event about one connection of this run can change, where it changes nothing about runs. */
extern void dibs_attendance_read_near(DibsLife *life, const DibsRun *run, const char *connection);
/* True where it is news. */
extern bool dibs_attendance_event(DibsLife *life, DibsRun *run, const DibsMeetingEvent *event, TimestampTz at,
								  DibsPresence **presence);
/* Closes what is open and matches people, once the runs' ends are known. */
extern void dibs_attendance_derive(DibsLife *life);
extern bool dibs_attendance_came(const DibsLife *life);
/* Somebody is in who is of no known run, or came when none that is known ran. */
extern bool dibs_attendance_runs_on(const DibsLife *life);
/* Rows of both tables; the booking's json column where somebody has come. */
extern void dibs_attendance_write(DibsLife *life);
extern const char *dibs_role_name(DibsRole role);

/* recording.c */
extern void dibs_recording_files(const DibsMeetingEvent *event, DibsLife *life, const DibsRecordingSet *set,
								 TimestampTz at);

/* clock.c: what nobody saw */
extern void dibs_meeting_clock(const DibsMeetingEvent *event, DibsLife *life, DibsApplied *applied);

/* changes.c: somebody changed the meeting at the provider */
extern void dibs_meeting_changed(const DibsMeetingEvent *event, DibsLife *life, DibsApplied *applied);
extern void dibs_meeting_registered(const DibsMeetingEvent *event, DibsLife *life);
extern void dibs_meeting_deauthorized(const DibsMeetingEvent *event, TimestampTz at, DibsApplied *applied);

#endif
