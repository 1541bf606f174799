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
 * Set it right before the statement and back right after it. It is of that statement's own rows: what triggers write
 * meanwhile, an application's among them, is DIRECT. An error that ends the transaction or subtransaction sets it back.
 */
extern void dibs_set_write_mode(DibsWriteMode mode);

#endif
