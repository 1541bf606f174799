/*
 * seat.h
 *		Whom a token is for, and whether they may come in now.
 */
#ifndef DIBS_JOIN_SEAT_H
#define DIBS_JOIN_SEAT_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "join/token.h"

/* How long a client should wait before it asks again, where nothing better is known. */
#define DIBS_JOIN_RETRY_S 5

typedef enum DibsSeatState
{
	DIBS_SEAT_INVALID,     /* no token of ours, or one that was revoked */
	DIBS_SEAT_UNKNOWN,     /* the master keys cannot be read: nobody can tell */
	DIBS_SEAT_CANCELLED,   /* the booking, or this person's place in it */
	DIBS_SEAT_ENDED,       /* it is over, and so is dibs.join_late */
	DIBS_SEAT_UNCONFIRMED, /* a booking that is PENDING (again) */
	DIBS_SEAT_EARLY,       /* before dibs.join_early */
	DIBS_SEAT_OPEN
} DibsSeatState;

/* What is asked of the rows for each token; the columns of a look-up come in the order of dibs_seat_columns. */
typedef struct DibsSeat
{
	DibsToken token; /* not set where the state is INVALID or UNKNOWN */
	DibsSeatState state;
	TimestampTz opens_at;
} DibsSeat;

/*
 * The columns by which a seat is judged, for a statement that calls the booking b and the participant p; p is null for
 * a host's token. DIBS_SEAT_FROM has the parameters $1 booking, $2 coach, $3 participant, all BPCHAROID.
 */
#define DIBS_SEAT_COLUMNS                                                                                              \
	"b.\"status\", b.\"startTime\", b.\"endTime\", b.\"tokenVersion\", p.\"status\", p.\"tokenVersion\""
#define DIBS_SEAT_COLUMN_COUNT 6
#define DIBS_SEAT_FROM                                                                                                 \
	" FROM dibs.\"CalBooking\" b LEFT JOIN dibs.\"BookingParticipant\" p ON p.\"ulid\" = $3 AND"                       \
	" p.\"bookingUlid\" = b.\"ulid\" AND p.\"userUlid\" = b.\"userUlid\""
#define DIBS_SEAT_WHERE " WHERE b.\"ulid\" = $1 AND b.\"userUlid\" = $2"

/* Reads the token and checks its signature; state is INVALID, UNKNOWN, or OPEN for one whose rows decide. */
extern void dibs_seat_read(const char *text, size_t len, DibsSeat *seat);

/* The parameters of a look-up. */
extern void dibs_seat_values(const DibsSeat *seat, Datum values[3]);

/* Judges by row 0 of the last result. */
extern void dibs_seat_judge(DibsSeat *seat);

#endif
