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
	bool ended;       /* bookings that the clock completes */
	TimestampTz next; /* of the next thing that is not due yet; DT_NOEND: none */
} DibsLook;

/* One statement that reads the head of each due list: all that a worker with nothing to do asks. */
extern void dibs_look(TimestampTz now, DibsLook *look);

/*
 * Asked after a claim: when to look again for what is due and was not claimed. What nobody holds was locked; what is
 * held, or put off while its booking was locked, is free when that ends. DT_NOEND: nothing is left.
 */
extern TimestampTz dibs_look_left(TimestampTz now);

#endif
