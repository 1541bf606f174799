/*
 * participants.h
 *		Who is in a booking: the roster is read, changed in memory and written back while the booking's row is locked.
 */
#ifndef DIBS_BOOKING_PARTICIPANTS_H
#define DIBS_BOOKING_PARTICIPANTS_H

#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "booking/booking.h"

typedef enum DibsParticipantStatus
{
	DIBS_PARTICIPANT_CONFIRMED,
	DIBS_PARTICIPANT_CANCELLED,
	DIBS_PARTICIPANT_ATTENDED
} DibsParticipantStatus;

typedef struct DibsParticipant
{
	char ulid[DIBS_ULID_LEN + 1];
	char *person; /* the e-mail in lower case, else the seat's id */
	char *email;
	char *name;
	char *time_zone;
	char *phone;
	char *seat_id;
	char *join_url;
	char *validation_token;
	char *reason; /* why a seat was given up, and whose doing it was */
	char *cancelled_by;
	bool is_primary;
	DibsParticipantStatus status;
	bool no_show;
	TimestampTz since;     /* the earliest time at which somebody said that the person is in */
	TimestampTz source_at; /* when the status was said */
	TimestampTz no_show_at;
	TimestampTz seat_at; /* when it was said which seat it is */
	bool is_new;
	bool dirty;
} DibsParticipant;

typedef struct DibsRoster
{
	DibsParticipant **people;
	int n;
	int allocated;
	HTAB *index; /* NULL while the list is short */
	int added;   /* since it was read: people that are in and were not */
	int removed;
} DibsRoster;

extern DibsRoster *dibs_roster_new(void);
/* One more, of whom nothing is known yet. */
extern DibsParticipant *dibs_roster_append(DibsRoster *roster);
extern DibsRoster *dibs_roster_read(const char *booking_ulid, const char *user_ulid);

/*
 * Each gives true when it changed who is in, or how. at orders what several events say about one person; weak: only
 * where the person is not known at all.
 */
extern bool dibs_roster_add(DibsRoster *roster, const DibsPerson *person, TimestampTz at, int position, bool weak);
extern bool dibs_roster_remove(DibsRoster *roster, const DibsPerson *person, TimestampTz at);
extern bool dibs_roster_no_show(DibsRoster *roster, const DibsPerson *person, TimestampTz at);

/* The person is in, and all that is said of them is known. */
extern bool dibs_roster_knows(DibsRoster *roster, const DibsPerson *person);
/* Is somebody marked as not having come? */
extern bool dibs_roster_absence(DibsRoster *roster, const DibsPerson *person);
/* Removes who has a seat and is not in the list, unless they came, or were spoken of, later than at. */
extern bool dibs_roster_keep_only(DibsRoster *roster, const List *people, TimestampTz at);

/* Takes another booking's people in: both were one booking all the time. */
extern void dibs_roster_merge(DibsRoster *roster, const DibsRoster *other);

/* What let people into a meeting that is no longer theirs: their own links, and what tokens are matched by. */
extern void dibs_roster_end_access(DibsRoster *roster);

/* Who left last; NULL: nobody did. */
extern const DibsParticipant *dibs_roster_last_leaver(const DibsRoster *roster);

/* Puts people in the order in which they came and settles who is the primary one (NULL: nobody has an e-mail). */
extern DibsParticipant *dibs_roster_settle(DibsRoster *roster);

extern const char *dibs_participant_status(const DibsParticipant *participant);
extern int dibs_roster_confirmed(const DibsRoster *roster);
extern Jsonb *dibs_roster_json(const DibsRoster *roster);

/* Writes what changed; all: everything, for a booking that was inserted anew. SPI is connected, the booking exists. */
extern void dibs_roster_write(DibsRoster *roster, const char *booking_ulid, const char *user_ulid, bool all);

#endif
