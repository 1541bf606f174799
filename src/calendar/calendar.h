/*
 * calendar.h
 *		What a calendar source must give. A new source is one file with one DibsCalendarSource and a line in registry.c.
 *
 * A reader gets a verified payload and turns it into one normalised booking change. It writes nothing, sends nothing
 * and raises nothing because of what stands in the payload: what it can't use it says in change->problem (nothing is
 * applied) or change->remark (the rest is). It also reads payloads that dibs kept: without the bearer values.
 */
#ifndef DIBS_CALENDAR_H
#define DIBS_CALENDAR_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "booking/booking.h"

/* Which delivery this is. The members live as long as the payload. */
typedef struct DibsEventIdentity
{
	char *trigger;       /* NULL: the payload names none; then problem says why it cannot be used */
	char *uid;           /* the booking it is about, NULL: none */
	TimestampTz sent_at; /* 0: it does not say */
	bool fresh;          /* most likely the first word on its booking */
	char *dedupe;        /* equal for deliveries of one event, NULL: the body's hash has to do */
	char *problem;
} DibsEventIdentity;

/* What a sample is to bear, so that it is new, in the future and somebody's. */
typedef struct DibsSampleWish
{
	const char *uid;
	const char *organizer_id; /* digits, or NULL */
	const char *organizer_email;
	const char *organizer_username;
	TimestampTz now;
} DibsSampleWish;

typedef struct DibsCalendarSource
{
	const char *name;

	void (*identify)(const Jsonb *payload, DibsEventIdentity *identity);
	void (*read)(const Jsonb *payload, DibsBookingChange *change);

	/* NULL, or what else is to be done once a delivery's change has been applied: in the same transaction, no request.
	 */
	void (*applied)(const DibsBookingChange *change, const DibsApplied *applied);

	/* Paths of values that give access to something, keys separated by dots, * for every element; ends with NULL. */
	const char *const *bearer_paths;

	/* A body such as the source sends, made from invented values; NULL for a trigger it has no sample of. */
	Jsonb *(*sample)(const char *trigger, const DibsSampleWish *wish);
} DibsCalendarSource;

/* NULL for a name that is no calendar source's */
extern const DibsCalendarSource *dibs_calendar_source(const char *name);

#endif
