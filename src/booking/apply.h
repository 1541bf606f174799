/*
 * apply.h
 *		One change on its way into the rows: what the files that apply it share. Nobody else's business.
 */
#ifndef DIBS_BOOKING_APPLY_H
#define DIBS_BOOKING_APPLY_H

#include "booking/booking.h"
#include "booking/participants.h"
#include "booking/row.h"

typedef struct DibsApply
{
	const DibsBookingChange *change;
	DibsApplied *applied;
	TimestampTz stamp;
	DibsBookingRow row;
	DibsRoster *roster;
	DibsStatus old_status;
	bool is_new;
	bool moved;   /* the uid was replaced */
	bool earlier; /* the change is for a uid that has been replaced */
	bool lost;    /* something newer was known */
	bool time_moved;
	bool roster_changed;
	bool awaited;             /* of a new booking: events may wait for its uid */
	List *claims;             /* uids to note as the booking's */
	DibsCompanion *companion; /* NULL: none, or none that may be written yet */
} DibsApply;

/* booking.c */
extern void dibs_apply_existing(DibsApply *a);   /* a->row has been read under its lock */
extern bool dibs_apply_lock_known(DibsApply *a); /* for changes that need a booking; false: it waits, or is ignored */
extern void dibs_apply_finish(DibsApply *a);     /* writes what is different, once, and says so */
extern bool dibs_apply_lock_two(const char *ulid, const char *user, DibsBookingRow *row, const char *ulid2,
								const char *user2, DibsBookingRow *row2);

/*
 * forget.c: takes forgotten people out of a change, and says in *changed whether there were any. True: nothing of the
 * change may be taken in.
 */
extern bool dibs_apply_forget(DibsBookingChange *change, TimestampTz received_at, bool *changed);

/* fields.c */
extern void dibs_apply_fields(DibsApply *a);
extern void dibs_apply_forget_reasons(DibsBookingRow *row); /* why it had ended, where it has been taken up again */
extern bool dibs_apply_newest(const DibsApply *a);          /* later than all that is known of the booking */
extern void dibs_apply_move_uid(DibsApply *a);
extern void dibs_apply_predecessor(DibsApply *a, const char *uid);
extern void dibs_apply_merge(DibsApply *a, DibsBookingRow *before);

/* seats.c */
extern DibsRoster *dibs_apply_roster(DibsApply *a);
extern void dibs_apply_people(DibsApply *a);
extern void dibs_apply_derive(DibsApply *a);
extern void dibs_apply_seat_gone(DibsApply *a);
extern void dibs_apply_no_show(DibsApply *a);
extern void dibs_apply_lock_sessions(const char *uid, const char *other);
extern void dibs_apply_seats_leave(DibsApply *a, const char *uid);

#endif
