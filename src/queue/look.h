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

/* Asked after a claim: something is due and nobody holds it, so that its row must have been locked. */
extern bool dibs_look_left(TimestampTz now);

#endif
