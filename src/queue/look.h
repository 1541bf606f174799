/*
 * look.h
 *		What is due, and when the next thing will be.
 */
#ifndef DIBS_QUEUE_LOOK_H
#define DIBS_QUEUE_LOOK_H

#include "postgres.h"

#include "utils/timestamp.h"

typedef struct DibsLook
{
	bool bookings; /* something of the kind is due */
	bool tombstones;
	bool webhooks;
	bool jobs;
	bool ended; /* bookings that the clock completes */
} DibsLook;

/* One statement that reads the head of each due list. */
extern void dibs_look(TimestampTz now, DibsLook *look);

/*
 * The moment of the next thing that is not due yet; DT_NOEND: none. Asked after a claim: *left says that something is
 * due and nobody holds it, so that its row must have been locked.
 */
extern TimestampTz dibs_next_due(TimestampTz now, bool *left);

#endif
