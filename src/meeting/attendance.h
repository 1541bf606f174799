/*
 * attendance.h
 *		What the files of attendance have in common; the rest of the meeting's life sees life.h.
 */
#ifndef DIBS_MEETING_ATTENDANCE_H
#define DIBS_MEETING_ATTENDANCE_H

#include "meeting/life.h"

/* Everybody of the booking. */
extern void dibs_attendance_read_people(DibsLife *life);

/* Whom an event about one connection may be about, before it and after it: the rest of their presences. */
extern void dibs_attendance_read_participants(DibsLife *life);

/* Gives each presence that is nobody's yet to its participant, or to the host. */
extern void dibs_attendance_match(DibsLife *life);

static inline bool
dibs_was_in(const DibsPresence *p)
{
	return p->joined_at != 0 || p->left_at != 0;
}

#endif
