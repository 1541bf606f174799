/*
 * clock.c
 *		What is told of a meeting by who did not see it: its time has come.
 *
 * Such an event is kept for followers and leaves no fact: nobody joined because a clock struck. But where no provider
 * will ever tell how the meeting goes, the clock is all there is: a booking that is CONFIRMED while its time runs is
 * taken to be IN_PROGRESS. It is COMPLETED as ever without a witness, dibs.complete_after its end, because people
 * overrun and what is completed is not joined any more; an end that is told later than that completes it at once. The
 * times are the booking's own and the clock is ours; the event only has us look. So one that comes late, twice, early
 *or for a time that the booking had before does no harm. Whatever a witness said decides, whichever of them came first.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "guc.h"
#include "meeting/life.h"
#include "meeting/meeting.h"
#include "queue/plan.h"

/* Clocks differ. */
#define CLOCK_SLACK (60 * USECS_PER_SEC)

static DibsStatement select_witness = {
	"SELECT m.\"provider\", b.\"meetingState\" = 'not_needed',"
	" EXISTS (SELECT FROM dibs.\"MeetingSession\" s WHERE s.\"bookingUlid\" = b.\"ulid\" AND s.\"userUlid\" = b.\"userUlid\""
	"  AND coalesce(s.\"startedAt\", s.\"endedAt\", s.\"seenAt\") IS NOT NULL)"
	" OR EXISTS (SELECT FROM dibs.\"MeetingAttendance\" a WHERE a.\"bookingUlid\" = b.\"ulid\" AND a.\"userUlid\" = b.\"userUlid\""
	"  AND coalesce(a.\"joinedAt\", a.\"leftAt\") IS NOT NULL)"
	" FROM dibs.\"CalBooking\" b LEFT JOIN dibs.\"Meeting\" m ON m.\"bookingUlid\" = b.\"ulid\" AND"
	" m.\"userUlid\" = b.\"userUlid\" AND m.\"state\" <> 'gone' WHERE b.\"ulid\" = $1 AND b.\"userUlid\" = $2",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

/* Nobody else tells how this meeting goes, and nobody has. */
static bool
clock_decides(const DibsLife *life)
{
	Datum values[2] = {CStringGetTextDatum(life->booking), CStringGetTextDatum(life->user)};
	const DibsMeetingProvider *provider;
	bool decides = false;

	if (dibs_execute(&select_witness, values, NULL, false, SPI_OK_SELECT) > 0 && !dibs_column_bool(0, 3))
	{
		const char *name = dibs_column(0, 1);

		provider = dibs_meeting_provider(name);
		/* which provider it will be is not known before it has a meeting, or needs none */
		decides = name == NULL ? dibs_column_bool(0, 2) : provider != NULL && !provider->reports_events;
	}
	SPI_freetuptable(SPI_tuptable);
	return decides;
}

static DibsStatus
status_by_clock(const DibsMeetingEvent *event, const DibsLife *life, TimestampTz now)
{
	if (event->kind == DIBS_MEETING_STARTED)
		return life->status == DIBS_STATUS_CONFIRMED && now >= life->start - CLOCK_SLACK && now < life->end
				   ? DIBS_STATUS_IN_PROGRESS
				   : life->status;
	return (life->status == DIBS_STATUS_CONFIRMED || life->status == DIBS_STATUS_IN_PROGRESS) &&
				   now >= life->end + dibs_complete_after * USECS_PER_MINUTE - CLOCK_SLACK
			   ? DIBS_STATUS_COMPLETED
			   : life->status;
}

void
dibs_meeting_clock(const DibsMeetingEvent *event, DibsLife *life, DibsApplied *applied)
{
	DibsStatus status = status_by_clock(event, life, GetCurrentTimestamp());
	DibsJson json = {0};
	bool news;

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "by", "clock");
	dibs_json_text_member(&json, "provider", life->provider);
	dibs_json_time_member(&json, "at", event->at);
	dibs_json_end_object(&json);
	news = dibs_event_write_once(life->user, life->booking,
								 event->kind == DIBS_MEETING_STARTED ? "booking.start_time_reached"
																	 : "booking.end_time_reached",
								 JsonbPGetDatum(dibs_json_finish(&json)));
	if (status != life->status && dibs_status_may_become(life->status, status, false) && clock_decides(life))
	{
		dibs_life_set_status(life, status);
		if (status == DIBS_STATUS_COMPLETED)
		{
			DibsJson done = {0};

			dibs_json_begin_object(&done);
			dibs_json_text_member(&done, "by", "clock");
			dibs_json_text_member(&done, "previousStatus", dibs_status_name(life->status));
			dibs_json_end_object(&done);
			dibs_event_write(life->user, life->booking, "booking.completed", JsonbPGetDatum(dibs_json_finish(&done)));
		}
		news = true;
	}
	if (!news)
		applied->outcome = DIBS_OUTCOME_STALE;
}
