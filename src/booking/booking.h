/*
 * booking.h
 *		The normalised booking change: what a calendar source says, in nobody's own words, and its application.
 *
 * A source's reader (calendar/) fills a DibsBookingChange; dibs_booking_apply() brings "CalBooking",
 * "BookingParticipant", "BookingUid", "Coach" and "Event" in line. Changes may come in any order, twice, and at the
 *same time as others: every field remembers when its sender set it ("sourceAt"), so the rows end up the same.
 */
#ifndef DIBS_BOOKING_H
#define DIBS_BOOKING_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "booking/status.h"
#include "core/limits.h"
#include "core/ulid.h"
#include "queue/insert.h"

typedef enum DibsVerb
{
	DIBS_VERB_IGNORE,    /* understood, and of no consequence for a booking */
	DIBS_VERB_DESCRIBE,  /* created, requested, rescheduled: says what the booking is */
	DIBS_VERB_HAPPENED,  /* cancelled, rejected, paid: says what became of it; its details only fill gaps */
	DIBS_VERB_SEAT_GONE, /* a person left; the booking stands as long as others are in */
	DIBS_VERB_NO_SHOW,   /* people marked absent, or not absent */
	DIBS_VERB_NOTE,      /* something about a known booking that applications may follow; few have fields, too */
} DibsVerb;

/*
 * Groups of columns that are set together, each with the time at which its sender set it. The order is that of the
 * array "CalBooking"."sourceAt" (from 1) and stays: new groups go to the end.
 */
typedef enum DibsField
{
	DIBS_FIELD_UID,       /* since when the current uid is the booking's */
	DIBS_FIELD_STATUS,    /* status, as the source says it */
	DIBS_FIELD_ENDED,     /* the last time the source said that the whole booking is cancelled or rejected */
	DIBS_FIELD_TIME,      /* startTime, endTime, duration */
	DIBS_FIELD_SOURCE_ID, /* calBookingId */
	DIBS_FIELD_TITLE,
	DIBS_FIELD_DESCRIPTION,
	DIBS_FIELD_EVENT_TYPE, /* eventTypeId */
	DIBS_FIELD_EVENT_SLUG,
	DIBS_FIELD_SEATS, /* bookingType */
	DIBS_FIELD_LOCATION,
	DIBS_FIELD_ANSWERS, /* bookingFields */
	DIBS_FIELD_METADATA,
	DIBS_FIELD_PAID,
	DIBS_FIELD_PRICE,        /* amount */
	DIBS_FIELD_CANCELLATION, /* cancellationReason, cancelledByEmail */
	DIBS_FIELD_RESCHEDULING, /* reschedulingReason, rescheduledByEmail */
	DIBS_FIELD_EMPTY,        /* when the last seat of a group session was given up, which cancelled it */
	DIBS_FIELD_HOST_ABSENT,  /* hostAbsent */
	DIBS_FIELD_CAPACITY,     /* maxParticipants */
	DIBS_FIELD_CURRENCY,
	DIBS_FIELD_COUNT
} DibsField;

#define DIBS_FIELD_BIT(f) (1u << (f))

/* The columns that a change may write, in the order of the INSERT's and UPDATE's parameters. */
typedef enum DibsColumn
{
	DIBS_COL_UID,
	DIBS_COL_SOURCE_ID,
	DIBS_COL_TITLE,
	DIBS_COL_DESCRIPTION,
	DIBS_COL_EVENT_TYPE,
	DIBS_COL_EVENT_SLUG,
	DIBS_COL_BOOKING_TYPE,
	DIBS_COL_MAX_PARTICIPANTS,
	DIBS_COL_CURRENT_PARTICIPANTS,
	DIBS_COL_START,
	DIBS_COL_END,
	DIBS_COL_DURATION,
	DIBS_COL_ATTENDEE_EMAIL,
	DIBS_COL_ATTENDEE_NAME,
	DIBS_COL_ATTENDEE_TIME_ZONE,
	DIBS_COL_PARTICIPANTS,
	DIBS_COL_STATUS,
	DIBS_COL_CANCELLATION_REASON,
	DIBS_COL_CANCELLED_BY,
	DIBS_COL_RESCHEDULING_REASON,
	DIBS_COL_RESCHEDULED_BY,
	DIBS_COL_RESCHEDULED_FROM,
	DIBS_COL_ANSWERS,
	DIBS_COL_METADATA,
	DIBS_COL_SOURCE,
	DIBS_COL_LOCATION,
	DIBS_COL_PAID,
	DIBS_COL_AMOUNT,
	DIBS_COL_CURRENCY,
	DIBS_COL_PREVIOUS_UIDS,
	DIBS_COL_HOST_ABSENT,
	DIBS_COL_SOURCE_AT,
	DIBS_COL_COUNT
} DibsColumn;

/* One person in a change. email NULL: the source no longer knows it; then there is a seat id. */
typedef struct DibsPerson
{
	char *email;
	char *name;
	char *time_zone;
	char *phone;
	char *seat_id;
	bool no_show; /* for DIBS_VERB_NO_SHOW, and where a booking was read at its source */
	char *reason; /* for DIBS_VERB_SEAT_GONE: why the seat was given up, and whose doing it was */
	char *cancelled_by;
} DibsPerson;

typedef struct DibsBookingChange
{
	const char *source; /* 'cal', 'calendly' … */
	DibsVerb verb;
	char *uid;
	char *previous_uid; /* the booking that this one replaces, or the one that a seat leaves */

	/*
	 * When the sender sent it; 0: it does not say. rank orders what was sent in the same millisecond: what ends a
	 * booking is last.
	 */
	TimestampTz sent_at;
	int rank;

	/*
	 * The booking as it was read at its source, not an event: whatever had happened there by this time, by the source's
	 * clock, is in it. So what is known otherwise, from before then, is wrong. 0: an event.
	 */
	TimestampTz read_at;
	bool host_moved; /* it was given to this organizer for us, so it is this coach's, whatever else is known */
	bool everybody;  /* people is the whole list: who has a seat here and none there has left */

	/* who holds the meeting, for finding the coach */
	char *organizer_id;
	char *organizer_email;
	char *organizer_username;
	char *organizer_name;
	char *organizer_time_zone;

	/* the groups that are present, and their columns that are */
	uint32 fields;
	Datum values[DIBS_COL_COUNT];
	bool nulls[DIBS_COL_COUNT];
	bool present[DIBS_COL_COUNT];

	bool seated;       /* people are in by seats: people lists those whom the change is about, never everybody */
	bool ends_booking; /* status says that the whole booking is cancelled or rejected */
	bool seat_moves;   /* previous_uid is the group session that the listed people leave; it stands */
	char *seat_id;     /* the one seat that the change is about; NULL: it names none */
	List *people;      /* of DibsPerson, the one who booked first */

	char *note;      /* DIBS_VERB_NOTE: the type of the "Event" row */
	Datum note_data; /* its data, jsonb; 0: none */

	char *problem; /* what makes it unusable; then nothing else counts */
	char *remark;  /* what was left out of it, for the event's row */
} DibsBookingChange;

extern void dibs_change_set(DibsBookingChange *change, DibsField field, DibsColumn column, Datum value);
extern void dibs_change_set_null(DibsBookingChange *change, DibsField field, DibsColumn column);

typedef enum DibsEventOutcome
{
	DIBS_OUTCOME_APPLIED,
	DIBS_OUTCOME_STALE, /* newer is known */
	DIBS_OUTCOME_IGNORED,
	DIBS_OUTCOME_UNMATCHED, /* the organizer is nobody's, or the booking is not known yet */
	DIBS_OUTCOME_FAILED,    /* unusable for good */
} DibsEventOutcome;

extern const char *dibs_outcome_name(DibsEventOutcome outcome);

typedef struct DibsApplied
{
	DibsEventOutcome outcome;
	char user_ulid[DIBS_ULID_LEN + 1];    /* "" where it is not known */
	char booking_ulid[DIBS_ULID_LEN + 1]; /* "" where there is none */
	char *waits_for; /* a uid: the change (or a part of it) is to be applied again when a booking has it */
	bool foreign;    /* unmatched, and perhaps nobody's: not to be waited for longer than for a commit under way */
	List *new_uids;  /* of char *: what a booking has now and had not before, and what events may wait for */
	char *problem;
	bool hopeless;  /* nothing has been done: call again without hope */
	bool forgotten; /* it speaks of somebody who was forgotten: its payload is not to be kept */
} DibsApplied;

/*
 * A row that is to be written with a new booking, in one command where that is possible. row gives it when the outcome
 * is known; its values live as long as the call that arg belongs to.
 */
typedef struct DibsCompanion
{
	DibsNewRow (*row)(void *arg, const DibsApplied *applied);
	void *arg;
	bool written;
} DibsCompanion;

/*
 * Applies one change in the caller's transaction; SPI must be connected. Raises 40001 or 23505 when another transaction
 * made the same booking first (roll back to a savepoint and call again), and whatever the tables raise. received_at
 * stands for a missing sent_at. hopeful: the change is taken for the first word on its booking without looking, so
 * that both codes may also say that it was not; the next call is then to be without hope.
 */
extern void dibs_booking_apply(const DibsBookingChange *change, TimestampTz received_at, bool hopeful,
							   DibsCompanion *companion, DibsApplied *applied);

/* A row of "Event"; data is jsonb, booking_ulid may be NULL. SPI is connected. */
extern void dibs_event_write(const char *user_ulid, const char *booking_ulid, const char *type, Datum data);
/* The same where the booking has no event of that type and data: what is told again is no news. True where it was. */
extern bool dibs_event_write_once(const char *user_ulid, const char *booking_ulid, const char *type, Datum data);

/* Such a row, in the caller's values and nulls, for who writes it together with others; dibs_event_hint() follows. */
#define DIBS_EVENT_COLUMNS 4
extern DibsNewRow dibs_event_row(const char *user_ulid, const char *booking_ulid, const char *type, Datum data,
								 Datum values[DIBS_EVENT_COLUMNS], char nulls[DIBS_EVENT_COLUMNS]);

/* Followers that listen are told at commit. */
extern void dibs_event_hint(void);

#endif
