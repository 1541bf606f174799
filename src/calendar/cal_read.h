/*
 * cal_read.h
 *		Bookings and event types as Cal.com's API gives them, in dibs' own terms.
 */
#ifndef DIBS_CALENDAR_CAL_READ_H
#define DIBS_CALENDAR_CAL_READ_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "booking/booking.h"

/* What a synchronisation has to know of a booking beside the change. */
typedef struct DibsCalBookingFacts
{
	char *uid;
	char *previous_uid;
	TimestampTz updated_at;
	TimestampTz start;
	bool superseded;     /* it was rescheduled: the change only links it with what was before it */
	char *successor_uid; /* to what, where superseded */
	int event_type_id;   /* 0: not said */
} DibsCalBookingFacts;

/* as_of: by the source's clock, the moment up to which the answer tells everything; 0: not known. */
extern void dibs_cal_read_booking(const JsonbContainer *booking, TimestampTz as_of, DibsBookingChange *change,
								  DibsCalBookingFacts *facts);

typedef struct DibsCalEventType
{
	int id;
	char *owner_id;
	const char *coach; /* where it is known whose it is */
	char *slug;
	char *title;
	char *description;
	int length; /* minutes, 0: not said */
	int64 price;
	char *currency;
	bool hidden;
	int seats; /* 0: none */
	Jsonb *metadata;
} DibsCalEventType;

/* False for what has no id. */
extern bool dibs_cal_read_event_type(const JsonbContainer *item, DibsCalEventType *type);

/*
 * In a transaction, as the worker's role: writes a row of "CalEventType". Gives the coach's ulid, NULL where the owner
 * is nobody's account; then nothing is written.
 */
extern char *dibs_cal_write_event_type(const DibsCalEventType *type, const char *account, TimestampTz now);

#endif
