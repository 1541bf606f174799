/*
 * instance.h
 *		Which database this is, and whether it may act: a copy never does until it is adopted.
 */
#ifndef DIBS_QUEUE_INSTANCE_H
#define DIBS_QUEUE_INSTANCE_H

#include "postgres.h"

#include "utils/timestamp.h"

/* system identifier/database oid; the same string for the life of the process */
extern const char *dibs_instance(void);

/* What a failover or an adoption left unknown. */
typedef struct DibsCaution
{
	TimestampTz since;       /* bookings from before it may have meetings that no row tells of: look first */
	TimestampTz quiet_until; /* a request of the server that was lost may be carried out until then: not even look */
} DibsCaution;

/* In a transaction: NULL where this database may act, else the reason, in a sentence. */
extern const char *dibs_instance_hold(DibsCaution *caution);

/* In a transaction: has work been done here, by this database? */
extern bool dibs_instance_recorded(void);

/* In a transaction: writes down whose rows these are, before anything is sent for the first time. */
extern void dibs_instance_record(void);

#endif
