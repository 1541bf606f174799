/*
 * takeup.h
 *		What follows a booking's row that was written directly, once the worker takes it up.
 */
#ifndef DIBS_BOOKING_TAKEUP_H
#define DIBS_BOOKING_TAKEUP_H

#include "postgres.h"

/*
 * In a transaction, for bookings (arrays of ulid, userUlid, version) whose direct changes nobody has told of yet:
 * "Coach", "BookingUid" and "BookingParticipant" follow. Idempotent.
 */
extern void dibs_take_up(Datum ulids, Datum users, Datum versions);

#endif
