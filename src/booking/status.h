/*
 * status.h
 *		A booking's statuses and which may follow which.
 */
#ifndef DIBS_BOOKING_STATUS_H
#define DIBS_BOOKING_STATUS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum DibsStatus
{
	DIBS_STATUS_NONE = -1, /* not one of them */
	DIBS_STATUS_PENDING,
	DIBS_STATUS_CONFIRMED,
	DIBS_STATUS_IN_PROGRESS,
	DIBS_STATUS_COMPLETED,
	DIBS_STATUS_NO_SHOW,
	DIBS_STATUS_CANCELLED,
	DIBS_STATUS_REJECTED
} DibsStatus;

#define DIBS_STATUS_COUNT (DIBS_STATUS_REJECTED + 1)
#define DIBS_STATUS_LIST "PENDING, CONFIRMED, IN_PROGRESS, COMPLETED, NO_SHOW, CANCELLED, REJECTED"

extern DibsStatus dibs_status_from_text(const char *s, size_t len);
extern const char *dibs_status_name(DibsStatus status);

/*
 * True when a booking may go from one status to the other. A source's events come out of order, and a reschedule goes
 * on with the same row: for it, what ended may be open again.
 */
extern bool dibs_status_may_become(DibsStatus from, DibsStatus to, bool by_source);

/* COMPLETED and NO_SHOW: its time has been, whatever came of it. */
extern bool dibs_status_is_over(DibsStatus status);

/* The statuses that may follow, for a hint. */
extern const char *dibs_status_next(DibsStatus from);

#endif
