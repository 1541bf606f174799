/*
 * resync.h
 *		Bookings that no trigger saw, and bookings to be looked at again.
 */
#ifndef DIBS_MEETING_RESYNC_H
#define DIBS_MEETING_RESYNC_H

#include "postgres.h"

#include "utils/jsonb.h"

/* A step of the job: true when the last row was looked at. args {"all": true}: every live booking is made due. */
extern bool dibs_resync_step(Jsonb *args, Jsonb **progress);

/* This booking is due again, and its attempts count from the start; false where there is none. SPI is connected. */
extern bool dibs_booking_make_due(const char *ulid, const char *user_ulid);

#endif
