/*
 * completion.h
 *		Bookings that the clock completes.
 */
#ifndef DIBS_MEETING_COMPLETION_H
#define DIBS_MEETING_COMPLETION_H

#include "postgres.h"

#include "utils/timestamp.h"

/*
 * In a transaction: completes up to n bookings whose time is over; true: there may be more. One that can't be completed
 * stops no other.
 */
extern bool dibs_complete_bookings(int n, TimestampTz now);

#endif
