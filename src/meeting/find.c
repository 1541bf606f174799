/*
 * find.c
 *		Which booking a meeting's event is about.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "booking/row.h"
#include "meeting/life.h"
#include "queue/plan.h"

/* How many hours after a booking's end a room that came with it may still be in use for it, and files come of that. */
#define EVENTS_AFTER_H 1
#define FILES_AFTER_H 24

/* A run belongs to the booking that its first event was about. */
static DibsStatement find_by_run = {
	"SELECT s.\"bookingUlid\", s.\"userUlid\", s.\"meetingUlid\" FROM dibs.\"MeetingSession\" s"
	" WHERE s.\"provider\" = $1 AND s.\"externalUuid\" = $2 AND s.\"bookingUlid\" IS NOT NULL LIMIT 1",
	2,
	{TEXTOID, TEXTOID},
	NULL};

/* One id may be several bookings' (a personal room, an adopted series): then it is the one whose time it is. */
static DibsStatement find_by_id = {
	"SELECT m.\"bookingUlid\", m.\"userUlid\", m.\"ulid\" FROM dibs.\"Meeting\" m LEFT JOIN dibs.\"CalBooking\" b"
	" ON b.\"ulid\" = m.\"bookingUlid\" AND b.\"userUlid\" = m.\"userUlid\""
	" WHERE m.\"provider\" = $1 AND m.\"externalId\" = $2"
	" ORDER BY m.\"bookingUlid\" IS NULL, b.\"status\" IN ('PENDING', 'CANCELLED', 'REJECTED'), m.\"state\" = 'gone',"
	"  greatest(b.\"startTime\" - $3, $3 - b.\"endTime\", interval '0'), b.\"startTime\", m.\"ulid\" LIMIT 1",
	3,
	{TEXTOID, TEXTOID, TIMESTAMPTZOID},
	NULL};

/*
 * A room that came with bookings: the last part of their links. It may be one coach's for all of theirs, so that only
 * the one counts whose time it is. The expression is that of "Meeting_room_idx".
 */
static DibsStatement find_by_link = {
	"SELECT b.\"ulid\", b.\"userUlid\", m.\"ulid\" FROM dibs.\"Meeting\" m JOIN dibs.\"CalBooking\" b"
	" ON b.\"ulid\" = m.\"bookingUlid\" AND b.\"userUlid\" = m.\"userUlid\""
	" WHERE m.\"provider\" IN ('source', 'static', 'manual') AND octet_length(m.\"joinUrl\") <= 2048 AND substring(m.\"joinUrl\" FROM '([^/?#]+)/*([?#].*)?$') = $2"
	" AND m.\"joinUrl\" ~* $1 AND m.\"state\" <> 'gone'"
	" AND b.\"startTime\" < $3 + interval '1 hour' AND b.\"endTime\" > $3 - make_interval(hours => $4)"
	" ORDER BY b.\"status\" IN ('PENDING', 'CANCELLED', 'REJECTED'),"
	"  greatest(b.\"startTime\" - $3, $3 - b.\"endTime\", interval '0'), b.\"startTime\", b.\"ulid\" LIMIT 1",
	4,
	{TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID},
	NULL};

/* Events of a personal room bear its number, not that of the meeting that was made for it. */
static DibsStatement find_by_room = {
	"SELECT b.\"ulid\", b.\"userUlid\", m.\"ulid\" FROM dibs.\"CoachZoomConfig\" c JOIN dibs.\"CalBooking\" b"
	" ON b.\"userUlid\" = c.\"userUlid\" JOIN dibs.\"Meeting\" m ON m.\"bookingUlid\" = b.\"ulid\" AND"
	" m.\"userUlid\" = b.\"userUlid\" AND m.\"provider\" = $1 WHERE c.\"personalMeetingId\" = $2"
	" AND b.\"startTime\" < $3 + interval '1 hour' AND b.\"endTime\" > $3 - interval '1 hour'"
	" AND b.\"status\" NOT IN ('PENDING', 'CANCELLED', 'REJECTED')"
	" ORDER BY greatest(b.\"startTime\" - $3, $3 - b.\"endTime\", interval '0'), b.\"startTime\", b.\"ulid\" LIMIT 1",
	3,
	{TEXTOID, TEXTOID, TIMESTAMPTZOID},
	NULL};

/* Runs a statement that finds at most one booking; true where it did. */
static bool
found_one(DibsStatement *statement, const char *where, const char *name, TimestampTz at, int hours_after,
		  DibsLife *life, bool *tombstone)
{
	Datum values[4] = {CStringGetTextDatum(where), CStringGetTextDatum(name), TimestampTzGetDatum(at),
					   Int32GetDatum(hours_after)};
	char *booking;
	bool found = dibs_execute(statement, values, NULL, false, SPI_OK_SELECT) > 0;

	if (found)
	{
		booking = dibs_column(0, 1);
		*tombstone = booking == NULL;
		if (booking != NULL)
			strlcpy(life->booking, booking, sizeof(life->booking));
		strlcpy(life->user, dibs_column(0, 2), sizeof(life->user));
		life->meeting = dibs_column(0, 3);
	}
	SPI_freetuptable(SPI_tuptable);
	return found;
}

bool
dibs_life_find(const DibsMeetingEvent *event, const char *run, TimestampTz at, DibsLife *life, bool *tombstone)
{
	*tombstone = false;
	if (event->booking_uid != NULL)
	{
		DibsFound found = dibs_row_resolve(event->booking_uid, life->booking, life->user);

		*tombstone = found == DIBS_FOUND_DELETED;
		return found != DIBS_FOUND_NONE;
	}
	if (run != NULL && found_one(&find_by_run, event->provider, run, at, 0, life, tombstone))
		return true;
	if (event->external_id == NULL)
		return false;
	if (found_one(&find_by_id, event->provider, event->external_id, at, 0, life, tombstone))
		return true;
	if (event->links != NULL)
		return found_one(&find_by_link, event->links, event->external_id, at,
						 event->kind == DIBS_MEETING_FILES ? FILES_AFTER_H : EVENTS_AFTER_H, life, tombstone);
	return found_one(&find_by_room, event->provider, event->external_id, at, 0, life, tombstone);
}
