/*
 * calcom_read.h
 *		What the files that read Cal.com's payloads share, here and in the meetings' room. Nobody else's business.
 */
#ifndef DIBS_CALENDAR_CALCOM_READ_H
#define DIBS_CALENDAR_CALCOM_READ_H

#include "calendar/calcom.h"
#include "core/jsonread.h"

typedef struct DibsCalTrigger
{
	const char *name;
	DibsVerb verb;
	DibsStatus status;
	/* Among events of one millisecond, which counts as later: what ends a booking is the last word. */
	int rank;
	const char *note;
} DibsCalTrigger;

/* calcom.c: the trigger of that name; one of no consequence where there is none */
extern const DibsCalTrigger *dibs_cal_trigger(const char *name);
extern char *dibs_cal_non_empty(char *text);
extern char *dibs_cal_text(const JsonbContainer *object, const char *key);
extern char *dibs_cal_seat_id(const JsonbContainer *booking);
/* The booking's object: payload where there is one, else the root (MEETING_* of the older sender). */
extern const JsonbContainer *dibs_cal_booking_object(const Jsonb *payload);
/* Which delivery it is, but for the dedupe key. */
extern void dibs_cal_read_identity(const Jsonb *payload, DibsEventIdentity *identity);
/* The answer to a question: {label, value} in most triggers, the bare value in some. */
extern JsonbValue *dibs_cal_answer(const JsonbContainer *responses, const char *slug);
extern char *dibs_cal_answer_text(const JsonbContainer *responses, const char *slug);
extern void dibs_cal_remark(DibsBookingChange *change, const char *key, const char *what);
/* Says that a member that is there is not what it should be. */
extern void dibs_cal_remark_type(DibsBookingChange *change, const JsonbContainer *object, const char *key,
								 const char *what);
extern void dibs_cal_read_text(DibsBookingChange *change, const JsonbContainer *object, const char *key,
							   DibsField field, DibsColumn column);
extern void dibs_cal_read_int(DibsBookingChange *change, const JsonbContainer *object, const char *key, DibsField field,
							  DibsColumn column);

/* calcom_people.c */
extern void dibs_cal_read_organizer(DibsBookingChange *change, const JsonbContainer *booking);
extern void dibs_cal_read_people(DibsBookingChange *change, const JsonbContainer *booking);
extern void dibs_cal_read_host_absent(DibsBookingChange *change, const JsonbContainer *booking, const char *key);
extern void dibs_cal_read_seats(DibsBookingChange *change, const JsonbContainer *booking, DibsStatus status);

/* calcom_details.c */
extern void dibs_cal_read_location(DibsBookingChange *change, const JsonbContainer *booking);
extern void dibs_cal_read_answers(DibsBookingChange *change, const JsonbContainer *booking);
extern void dibs_cal_read_payment(DibsBookingChange *change, const JsonbContainer *booking,
								  const DibsCalTrigger *trigger);
extern void dibs_cal_read_metadata(DibsBookingChange *change, const JsonbContainer *booking,
								   const DibsCalTrigger *trigger);

/* calcom_sample.c */
extern Jsonb *dibs_cal_sample(const char *trigger, const DibsSampleWish *wish);

#endif
