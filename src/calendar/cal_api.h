/*
 * cal_api.h
 *		Cal.com's API v2: requests and what their answers mean. With calcom.c's readers the only place that knows its
 *names.
 *
 * A call is built without a transaction and sent by whoever has a client: a backend for a function that asks, the
 * worker for everything else. Nothing here waits, writes or raises because of what an answer holds.
 */
#ifndef DIBS_CALENDAR_CAL_API_H
#define DIBS_CALENDAR_CAL_API_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "http/http.h"

/* One request: everything but the host and the credential. */
typedef struct DibsCalCall
{
	const char *method;
	char *path;          /* below the base URL, with its query */
	const char *version; /* cal-api-version; NULL for a group that has none */
	Jsonb *body;         /* NULL: none */
} DibsCalCall;

typedef enum DibsCalOutcome
{
	DIBS_CAL_OK,
	DIBS_CAL_REFUSED,      /* 400: what was asked for is not possible, or not now; error has Cal.com's words */
	DIBS_CAL_CONFLICT,     /* 409 */
	DIBS_CAL_NOT_FOUND,    /* 404 */
	DIBS_CAL_FORBIDDEN,    /* 403 */
	DIBS_CAL_UNAUTHORIZED, /* 401: the key or token is not good */
	DIBS_CAL_EXPIRED,      /* 498: the token has run out */
	DIBS_CAL_THROTTLED,    /* 429: blocked for wait_ms */
	DIBS_CAL_DOWN,         /* not carried out: never sent, or a server that says so */
	DIBS_CAL_UNKNOWN,      /* may have been carried out */
	DIBS_CAL_NOT_ALLOWED,  /* our own settings forbid the URL */
} DibsCalOutcome;

typedef struct DibsCalAnswer
{
	DibsCalOutcome outcome;
	int status;
	Jsonb *json;       /* the whole answer, where it was JSON */
	char *error;       /* for people; Cal.com's words without what it repeats of our input. NULL where OK */
	int64 wait_ms;     /* THROTTLED: how long; else until the minute's count begins anew, 0: it does not say */
	bool too_large;    /* longer than dibs.max_response_size: ask for less */
	int remaining;     /* requests left in this minute; -1: it does not say */
	int limit;         /* requests a minute; -1: it does not say */
	TimestampTz as_of; /* by Cal.com's clock: all that had happened by then is in the answer. 0: it does not say */
} DibsCalAnswer;

/* base: "https://api.cal.com/v2"; token: an API key or an access token, NULL for the calls that need none. */
extern DibsHttpRequest *dibs_cal_request(DibsHttp *http, const char *base, const DibsCalCall *call, const char *token);

/* Copies what it needs: the request may be freed afterwards. */
extern void dibs_cal_answer_read(DibsHttpRequest *request, DibsCalAnswer *answer);

/* A short code for an outcome, as docs/errors.md lists them. */
extern const char *dibs_cal_error_code(DibsCalOutcome outcome);

/* The answer's data: an object's or an array's container, NULL where there is none. */
extern JsonbContainer *dibs_cal_data(const DibsCalAnswer *answer);

/* An instant as the API wants it: UTC with milliseconds and Z. */
extern char *dibs_cal_time(TimestampTz at);

/* A member that is an instant; 0 where it is none. */
extern TimestampTz dibs_cal_instant(const JsonbContainer *object, const char *key);

/* Asking */

typedef struct DibsCalSlotQuery
{
	int event_type_id;
	TimestampTz start;
	TimestampTz end;
	const char *time_zone;
	int minutes;                /* 0: the event type's own length */
	const char *instead_of_uid; /* the booking that is to be moved, NULL: none */
} DibsCalSlotQuery;

typedef struct DibsCalSlot
{
	TimestampTz start;
	TimestampTz end;
	int seats; /* that are left; -1: not by seats */
} DibsCalSlot;

extern DibsCalCall dibs_cal_ask_slots(const DibsCalSlotQuery *query);
extern List *dibs_cal_read_slots(const DibsCalAnswer *answer); /* of DibsCalSlot, in order of time */

typedef struct DibsCalCalendar
{
	char *credential_id;
	char *external_id;
} DibsCalCalendar;

typedef struct DibsCalBusy
{
	TimestampTz start;
	TimestampTz end;
	char *source;
} DibsCalBusy;

extern DibsCalCall dibs_cal_ask_calendars(void);
extern List *dibs_cal_read_calendars(const DibsCalAnswer *answer); /* of DibsCalCalendar: those that count */
extern DibsCalCall dibs_cal_ask_busy(TimestampTz start, TimestampTz end, const char *time_zone, List *calendars);
extern List *dibs_cal_read_busy(const DibsCalAnswer *answer);

extern DibsCalCall dibs_cal_ask_me(void);

/* Keeping in step */

typedef struct DibsCalListQuery
{
	TimestampTz updated_after;  /* in order of change; 0: not asked */
	TimestampTz start_after;    /* in order of start; 0: not asked */
	TimestampTz end_before;     /* 0: not asked */
	const char *event_types;    /* ids with commas; NULL: all */
	const char *attendee_email; /* NULL: anybody's */
	bool newest_first;          /* by when they were made */
	int take;
	int skip;
} DibsCalListQuery;

extern DibsCalCall dibs_cal_list_bookings(const DibsCalListQuery *query);
/* is there more after this page? */
extern bool dibs_cal_has_next(const DibsCalAnswer *answer);
extern DibsCalCall dibs_cal_get_booking(const char *uid);
extern DibsCalCall dibs_cal_list_event_types(void);

/* Doing */

/* What is wanted, in dibs' own terms: a row of "CalChange". */
typedef struct DibsCalWish
{
	const char
		*kind; /* create, reschedule, cancel, confirm, decline, absent, guests, location, reassign, event_type_… */
	const char *uid; /* of the booking, or an event type's id */
	const char *marker;
	Jsonb *data;
} DibsCalWish;

extern DibsCalCall dibs_cal_do(const DibsCalWish *wish);

/* Must be looked for when a request was sent and no answer came: done twice, it would be there twice. */
extern bool dibs_cal_needs_lookup(const DibsCalWish *wish);
/* Its answer does not say what has become of the booking: it is read, as for a lookup. */
extern bool dibs_cal_needs_reading(const DibsCalWish *wish);
extern DibsCalCall dibs_cal_look_up(const DibsCalWish *wish);
extern Jsonb *dibs_cal_find_marked(const DibsCalAnswer *answer, const DibsCalWish *wish);

/* A refusal that says that it is as wanted; maybe_sent: an earlier request may have made it so. */
extern bool dibs_cal_is_so_already(const DibsCalWish *wish, const DibsCalAnswer *answer, bool maybe_sent);

#endif
