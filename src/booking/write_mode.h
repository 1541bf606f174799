/*
 * write_mode.h
 *		Who is writing "CalBooking": the row trigger must know, and a setting could be forged.
 */
#ifndef DIBS_BOOKING_WRITE_MODE_H
#define DIBS_BOOKING_WRITE_MODE_H

typedef enum DibsWriteMode
{
	DIBS_WRITE_DIRECT, /* anybody: versions are kept, a watched change bumps wanted */
	DIBS_WRITE_APPLY,  /* booking.c: as direct, and the change counts as announced; uids and sourceAt are taken as given
						*/
	DIBS_WRITE_SETTLE  /* the worker: done, dueAt, instance, announced, links as given; wanted is not bumped */
} DibsWriteMode;

/*
 * Set it right before the UPDATE and back right after it, through dibs_set_write_mode(): that has it reset to DIRECT
 * when the transaction or subtransaction ends, by an error too.
 */
extern DibsWriteMode dibs_write_mode;
extern void dibs_set_write_mode(DibsWriteMode mode);

#endif
