/*
 * coach.h
 *		Which coach an organizer is.
 */
#ifndef DIBS_BOOKING_COACH_H
#define DIBS_BOOKING_COACH_H

#include "booking/booking.h"

/*
 * By the linked account, else by auto_register_coaches, else default_user_ulid. False: nobody's, or nobody's yet where
 * registering is not allowed to this call.
 */
extern bool dibs_coach_find(const DibsBookingChange *change, bool may_register, char user_ulid[DIBS_ULID_LEN + 1]);

/* By the linked account only. */
extern bool dibs_coach_find_linked(const DibsBookingChange *change, char user_ulid[DIBS_ULID_LEN + 1]);

/* A row in "Coach" for every userUlid seen. True where an event waits for uid (NULL: nobody asks). */
extern bool dibs_coach_seen(const DibsBookingChange *change, const char *user_ulid, const char *uid);

#endif
