/*
 * changes.c
 *		What somebody does at the provider behind our back: changes or deletes a meeting, registers, takes the account's
 *		permission back.
 *
 * Such an event is not believed as to what is there now: it may be old, or the echo of a request of our own. A meeting
 * that may differ from what is wanted is made due with its content forgotten, so that the worker sends what is wanted
 * again and sees what the provider says.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "account/deauthorize.h"
#include "core/jsonbuild.h"
#include "guc.h"
#include "meeting/life.h"
#include "meeting/resync.h"
#include "queue/plan.h"
#include "secrets/secret.h"

/* Clocks differ, and an answer is recorded a moment after the provider acted. */
#define CLOCK_SLACK (5 * USECS_PER_SEC)

static DibsStatement select_meeting = {
	"SELECT m.\"state\", m.\"adopted\", m.\"answeredAt\", m.\"startTime\", m.\"endTime\", b.\"source\""
	" FROM dibs.\"Meeting\" m JOIN dibs.\"CalBooking\" b ON b.\"ulid\" = m.\"bookingUlid\" AND b.\"userUlid\" = m.\"userUlid\""
	" WHERE m.\"ulid\" = $1 AND m.\"userUlid\" = $2 AND m.\"bookingUlid\" = $3 AND m.\"externalId\" = $4",
	4,
	{BPCHAROID, BPCHAROID, BPCHAROID, TEXTOID},
	NULL};

static DibsStatement forget_content = {
	"UPDATE dibs.\"Meeting\" SET \"digest\" = NULL WHERE \"ulid\" = $1 AND \"userUlid\" = $2",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

static DibsStatement accept_time = {
	"UPDATE dibs.\"CalBooking\" SET \"startTime\" = $3, \"endTime\" = $4,"
	" \"duration\" = (extract(epoch FROM $4 - $3) / 60)::int WHERE \"ulid\" = $1 AND \"userUlid\" = $2",
	4,
	{BPCHAROID, BPCHAROID, TIMESTAMPTZOID, TIMESTAMPTZOID},
	NULL};

static DibsStatement accept_deletion = {
	"UPDATE dibs.\"CalBooking\" SET \"status\" = 'CANCELLED',"
	" \"cancellationReason\" = coalesce(\"cancellationReason\", 'the meeting was deleted at its provider')"
	" WHERE \"ulid\" = $1 AND \"userUlid\" = $2",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

static DibsStatement register_person = {
	"UPDATE dibs.\"BookingParticipant\" SET \"registrantId\" = $4, \"joinUrl\" = coalesce($5, \"joinUrl\")"
	" WHERE \"bookingUlid\" = $1 AND \"userUlid\" = $2 AND lower(\"email\") = lower($3)"
	" AND (\"registrantId\" IS DISTINCT FROM $4 OR \"joinUrl\" IS DISTINCT FROM coalesce($5, \"joinUrl\"))",
	5,
	{BPCHAROID, BPCHAROID, TEXTOID, TEXTOID, TEXTOID},
	NULL};

static void
tell(const DibsLife *life, const char *type, const char *done)
{
	DibsJson json = {0};

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "provider", life->provider);
	dibs_json_text_member(&json, "then", done);
	dibs_json_end_object(&json);
	dibs_event_write(life->user, life->booking, type, JsonbPGetDatum(dibs_json_finish(&json)));
}

/* Does what the event names differ from what the meeting was told, and from what the booking says now? */
static bool
differs(const DibsMeetingEvent *event, const DibsLife *life, TimestampTz start, TimestampTz end)
{
	TimestampTz length = (TimestampTz) event->new_duration * USECS_PER_MINUTE;

	if (event->new_start != 0 && event->new_start != start && event->new_start != life->start)
		return true;
	/* Zoom's durations are whole minutes */
	return event->new_duration != 0 &&
		   length / USECS_PER_MINUTE != (end - start + USECS_PER_MINUTE - 1) / USECS_PER_MINUTE &&
		   length / USECS_PER_MINUTE != (life->end - life->start + USECS_PER_MINUTE - 1) / USECS_PER_MINUTE;
}

static void
take_over(const DibsMeetingEvent *event, const DibsLife *life)
{
	Datum values[4] = {CStringGetTextDatum(life->booking), CStringGetTextDatum(life->user)};
	TimestampTz start = event->new_start != 0 ? event->new_start : life->start;
	TimestampTz length = event->new_duration != 0 ? (TimestampTz) event->new_duration * USECS_PER_MINUTE
												  : life->end - life->start;

	if (event->kind == DIBS_MEETING_DELETED)
	{
		(void) dibs_execute(&accept_deletion, values, NULL, false, SPI_OK_UPDATE);
		return;
	}
	values[2] = TimestampTzGetDatum(start);
	values[3] = TimestampTzGetDatum(start + length);
	(void) dibs_execute(&accept_time, values, NULL, false, SPI_OK_UPDATE);
}

void
dibs_meeting_changed(const DibsMeetingEvent *event, DibsLife *life, DibsApplied *applied)
{
	Datum values[4] = {0, CStringGetTextDatum(life->user), CStringGetTextDatum(life->booking), 0};
	TimestampTz at = event->sent_at;
	TimestampTz answered, start, end;
	const char *type = event->kind == DIBS_MEETING_CHANGED   ? "meeting.changed"
					   : event->kind == DIBS_MEETING_DELETED ? "meeting.deleted"
															 : "meeting.recovered";
	char *state;
	bool adopted, own, on, accept;

	if (life->meeting == NULL || event->external_id == NULL)
	{
		applied->outcome = DIBS_OUTCOME_IGNORED;
		return;
	}
	values[0] = CStringGetTextDatum(life->meeting);
	values[3] = CStringGetTextDatum(event->external_id);
	if (dibs_execute(&select_meeting, values, NULL, false, SPI_OK_SELECT) == 0)
	{
		applied->outcome = DIBS_OUTCOME_STALE;
		return;
	}
	state = dibs_column(0, 1);
	adopted = dibs_column_bool(0, 2);
	answered = dibs_column_time(0, 3);
	start = dibs_column_time(0, 4);
	end = dibs_column_time(0, 5);
	own = strcmp(dibs_column(0, 6), "manual") == 0;
	SPI_freetuptable(SPI_tuptable);

	/* what we did ourselves, or have overwritten since */
	on = strcmp(state, "ready") == 0 || strcmp(state, "updating") == 0;
	if (!on || at == 0 || at <= answered + CLOCK_SLACK ||
		(event->kind == DIBS_MEETING_CHANGED && !adopted && !differs(event, life, start, end)))
	{
		applied->outcome = DIBS_OUTCOME_STALE;
		return;
	}
	if (adopted)
	{
		tell(life, type, "nothing");
		return;
	}
	accept = dibs_zoom_changes == DIBS_CHANGES_ACCEPT && own && life->status == DIBS_STATUS_CONFIRMED &&
			 event->kind != DIBS_MEETING_RECOVERED;
	(void) dibs_execute(&forget_content, values, NULL, false, SPI_OK_UPDATE);
	if (accept)
		take_over(event, life);
	else
		(void) dibs_booking_make_due(life->booking, life->user);
	if (accept)
		tell(life, type, "accepted");
	else
		tell(life, type,
			 life->status == DIBS_STATUS_CONFIRMED || life->status == DIBS_STATUS_IN_PROGRESS ? "restored" : "nothing");
}

void
dibs_meeting_registered(const DibsMeetingEvent *event, DibsLife *life)
{
	Datum values[5] = {CStringGetTextDatum(life->booking), CStringGetTextDatum(life->user),
					   CStringGetTextDatum(event->person.email), CStringGetTextDatum(event->person.registrant_id), 0};
	char nulls[6] = "     ";

	if (event->person.join_url != NULL)
		values[4] = CStringGetTextDatum(event->person.join_url);
	else
		nulls[4] = 'n';
	(void) dibs_execute(&register_person, values, nulls, false, SPI_OK_UPDATE);
}

/* Several apps may deliver here: the end of another one's permission is no end of ours. */
static bool
is_our_app(const char *client_id)
{
	bool unreadable = false;
	List *known = dibs_secret_live_quiet("zoom.oauth_client_id", CurrentMemoryContext, &unreadable);
	ListCell *lc;

	if (client_id == NULL || known == NIL)
		return true;
	foreach (lc, known)
	{
		if (strcmp(((DibsSecret *) lfirst(lc))->value, client_id) == 0)
			return true;
	}
	return false;
}

void
dibs_meeting_deauthorized(const DibsMeetingEvent *event, TimestampTz at, DibsApplied *applied)
{
	char *user;

	if (!is_our_app(event->client_id))
	{
		applied->outcome = DIBS_OUTCOME_IGNORED;
		applied->problem = pstrdup("it is about another app");
		return;
	}
	if (!dibs_account_deauthorized(event->provider, event->person.user_id, at, &user))
	{
		applied->outcome = DIBS_OUTCOME_IGNORED;
		applied->problem = pstrdup("its account is not linked here, or was connected again since");
		return;
	}
	if (user != NULL)
		strlcpy(applied->user_ulid, user, sizeof(applied->user_ulid));
}
