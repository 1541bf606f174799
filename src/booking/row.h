/*
 * row.h
 *		A "CalBooking" row in memory: read under a lock, changed, written back in one statement.
 */
#ifndef DIBS_BOOKING_ROW_H
#define DIBS_BOOKING_ROW_H

#include "compat.h"

#include "utils/timestamp.h"

#include "booking/booking.h"
#include "booking/participants.h"

/* A group of columns that no source has set yet. */
#define DIBS_STAMP_UNSET DT_NOBEGIN

typedef struct DibsBookingRow
{
	char ulid[DIBS_ULID_LEN + 1];
	char user_ulid[DIBS_ULID_LEN + 1];
	char stored_user_ulid[DIBS_ULID_LEN + 1]; /* whose it is in the table; "" for a row that is new */
	Datum values[DIBS_COL_COUNT];
	bool nulls[DIBS_COL_COUNT];
	TimestampTz stamps[DIBS_FIELD_COUNT];
	bool changed; /* something that one can see */
	bool dirty;   /* that, or a stamp */
} DibsBookingRow;

typedef enum DibsFound
{
	DIBS_FOUND_NONE,
	DIBS_FOUND_LIVE,
	DIBS_FOUND_DELETED, /* the uid was a booking's that is gone */
} DibsFound;

/* Which booking has, or had, this uid. Locks nothing. */
extern DibsFound dibs_row_resolve(const char *uid, char *ulid, char *user_ulid);

/* Reads and locks it; false when it is gone. */
extern bool dibs_row_lock(const char *ulid, const char *user_ulid, DibsBookingRow *row);

extern void dibs_row_init(DibsBookingRow *row, const char *user_ulid);

/* Sets a column and notes whether that makes a difference. */
extern void dibs_row_set(DibsBookingRow *row, DibsColumn column, Datum value, bool isnull);
extern void dibs_row_set_text(DibsBookingRow *row, DibsColumn column, const char *value);
extern void dibs_row_stamp(DibsBookingRow *row, DibsField field, TimestampTz at);

/* The column's text, NULL where it is null; for text columns. */
extern char *dibs_row_text(const DibsBookingRow *row, DibsColumn column);
extern bool dibs_row_text_is(const DibsBookingRow *row, DibsColumn column, const char *value);
extern DibsStatus dibs_row_status(const DibsBookingRow *row);

/* previousUids as a List of char *, and back. */
extern List *dibs_row_previous(const DibsBookingRow *row);
extern void dibs_row_set_previous(DibsBookingRow *row, List *uids);

/*
 * Writes the row: INSERT for a new one (40001 where another transaction was quicker), UPDATE, or DELETE and INSERT
 * where it goes to another coach.
 */
extern void dibs_row_write(DibsBookingRow *row);
/*
 * A new booking with its uid, its one participant, its event and the companion's row (NULL: none) in one command:
 * what most deliveries bring. 23505 where another transaction was quicker.
 */
extern void dibs_row_write_whole(DibsBookingRow *row, const DibsParticipant *person, const char *event, Datum data,
								 DibsCompanion *companion, const DibsApplied *applied);
extern void dibs_row_delete(const char *ulid, const char *user_ulid);

/* Notes a uid as the booking's; 40001 where it became another booking's meanwhile. */
extern void dibs_uid_claim(const char *uid, const char *ulid, const char *user_ulid);
/* The uids of one booking become another's, or another coach's. */
extern void dibs_uid_repoint(const char *from_ulid, const char *from_user, const char *to_ulid, const char *to_user);

/* Says that this transaction has to begin again from a savepoint. */
pg_noreturn extern void dibs_row_conflict(void);

#endif
