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
} DibsLook;

/* One statement that reads the head of each due list. */
extern void dibs_look(TimestampTz now, DibsLook *look);

/* When to look again, after all that can be claimed has been; DT_NOEND: nothing waits. lease_ms: a claim's length. */
extern TimestampTz dibs_next_due(TimestampTz now, int lease_ms);

#endif
