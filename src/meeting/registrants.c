/*
 * registrants.c
 *		One job for each participant of a group who needs a registrant, or whose registrant is to go.
 *
 * "BookingParticipant" says what is wanted (status) and what is known (registrantId, and registrantMeeting, the
 * provider's id of the meeting it is for: with another meeting everybody is registered anew). The jobs know nothing
 * of each other, so that one that is stuck delays nobody else; each looks at the rows again before it calls.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "booking/booking.h"
#include "booking/write_mode.h"
#include "core/jsonread.h"
#include "meeting/claim.h"
#include "meeting/registrants.h"
#include "queue/plan.h"
#include "queue/wake.h"

/* $1 bookings, $2 coaches, $3 the meetings' ids at the provider */
static DibsStatement start_sql = {
	"INSERT INTO dibs.\"Job\" (\"kind\", \"key\", \"args\")"
	" SELECT 'registrant', p.\"ulid\", jsonb_build_object('userUlid', p.\"userUlid\")"
	" FROM unnest($1, $2, $3) AS s(\"ulid\", \"userUlid\", \"meeting\") JOIN dibs.\"BookingParticipant\" p"
	"  ON p.\"bookingUlid\" = s.\"ulid\"::char(26) AND p.\"userUlid\" = s.\"userUlid\"::char(26)"
	" WHERE CASE WHEN p.\"status\" = 'CANCELLED' THEN p.\"registrantMeeting\" = s.\"meeting\""
	"  ELSE p.\"email\" <> '' AND p.\"registrantMeeting\" IS DISTINCT FROM s.\"meeting\" END"
	" ON CONFLICT (\"kind\", \"key\") WHERE \"state\" = 'waiting' DO UPDATE SET \"dueAt\" = '-infinity'",
	3,
	{TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID},
	NULL};

/* $1 participant, $2 coach: what is to be done; no row: nothing (any more) */
static DibsStatement read_sql = {
	"SELECT p.\"status\" = 'CANCELLED', p.\"email\", p.\"name\", p.\"registrantId\", m.\"externalId\", m.\"provider\","
	" coalesce(m.\"account\", '')"
	" FROM dibs.\"BookingParticipant\" p"
	" JOIN dibs.\"CalBooking\" b ON b.\"ulid\" = p.\"bookingUlid\" AND b.\"userUlid\" = p.\"userUlid\""
	" JOIN dibs.\"Meeting\" m ON m.\"bookingUlid\" = p.\"bookingUlid\" AND m.\"userUlid\" = p.\"userUlid\""
	" WHERE p.\"ulid\" = $1 AND p.\"userUlid\" = $2 AND m.\"state\" IN ('ready', 'updating') AND m.\"externalId\" IS NOT NULL"
	" AND b.\"status\" IN ('CONFIRMED', 'IN_PROGRESS') AND b.\"endTime\" > now()"
	" AND CASE WHEN p.\"status\" = 'CANCELLED' THEN p.\"registrantMeeting\" = m.\"externalId\""
	"  ELSE p.\"email\" <> '' AND p.\"registrantMeeting\" IS DISTINCT FROM m.\"externalId\" END",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

/* The booking first: that is the order in which everybody locks the two. $3 e-mail, $4 link or null */
static DibsStatement list_sql = {
	"UPDATE dibs.\"CalBooking\" b SET \"participants\" = coalesce((SELECT jsonb_agg(CASE"
	"   WHEN lower(e->>'email') IS DISTINCT FROM lower($3) THEN e WHEN $4 IS NULL THEN e - 'joinUrl'"
	"   ELSE e || jsonb_build_object('joinUrl', $4) END ORDER BY n)"
	"  FROM jsonb_array_elements(b.\"participants\") WITH ORDINALITY AS x(e, n)), '[]')"
	" WHERE b.\"userUlid\" = $2 AND b.\"ulid\" = (SELECT p.\"bookingUlid\" FROM dibs.\"BookingParticipant\" p"
	"  WHERE p.\"ulid\" = $1 AND p.\"userUlid\" = $2) RETURNING b.\"ulid\"",
	4,
	{BPCHAROID, BPCHAROID, TEXTOID, TEXTOID},
	NULL};

/* $3 id, $4 link, $5 the meeting: all null once cancelled */
static DibsStatement write_sql = {
	"UPDATE dibs.\"BookingParticipant\" SET \"registrantId\" = $3, \"joinUrl\" = $4, \"registrantMeeting\" = $5"
	" WHERE \"ulid\" = $1 AND \"userUlid\" = $2 RETURNING \"status\" = 'CANCELLED'",
	5,
	{BPCHAROID, BPCHAROID, TEXTOID, TEXTOID, TEXTOID},
	NULL};

/* One for each participant ever is too many to keep; what was wished for meanwhile is done first. */
static DibsStatement end_sql = {
	"DELETE FROM dibs.\"Job\" WHERE \"ulid\" = $1 AND \"dueAt\" IS NOT DISTINCT FROM \"leaseUntil\"",
	1,
	{BPCHAROID},
	NULL};

static DibsStatement event_sql = {"SELECT jsonb_build_object('participant', $1)", 1, {TEXTOID}, NULL};

bool
dibs_start_registrants(List *claims)
{
	DibsColumns *bookings = dibs_columns("ttt");
	Datum values[3];
	ListCell *lc;

	foreach (lc, claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);
		bool wanted = false;

		if (claim->outcome.state != DIBS_MEETING_READY || !claim->outcome.done || !claim->wanted.group ||
			claim->wanted.settings == NULL || claim->work.provider == NULL || claim->work.provider->registrar == NULL ||
			claim->work.known.external_id == NULL || claim->adopted ||
			!dibs_json_bool(&claim->wanted.settings->root, "registrants", &wanted) || !wanted)
			continue;
		dibs_add_row(bookings, claim->booking_ulid, claim->user_ulid, claim->work.known.external_id);
	}
	if (dibs_column_arrays(bookings, values) == 0)
		return false;
	return dibs_execute(&start_sql, values, NULL, false, SPI_OK_INSERT) > 0;
}

static const DibsRegistrar *
registrar_of(const DibsCall *call)
{
	return dibs_meeting_provider(call->provider)->registrar;
}

static char *
user_of(const DibsCall *call)
{
	char *user = dibs_json_text(&call->args->root, "userUlid");

	return user ? user : "";
}

static bool
prepare(DibsCall *call)
{
	DibsRegistrant *registrant = palloc0(sizeof(DibsRegistrant));
	const DibsMeetingProvider *provider;
	Datum values[2];

	values[0] = CStringGetTextDatum(call->key);
	values[1] = CStringGetTextDatum(user_of(call));
	if (dibs_execute(&read_sql, values, NULL, false, SPI_OK_SELECT) == 0)
	{
		values[0] = CStringGetTextDatum(call->ulid);
		(void) dibs_execute(&end_sql, values, NULL, false, SPI_OK_DELETE);
		return false;
	}
	registrant->cancel = dibs_column_bool(0, 1);
	registrant->email = dibs_column(0, 2);
	registrant->name = dibs_column(0, 3);
	registrant->id = dibs_column(0, 4);
	registrant->meeting = dibs_column(0, 5);
	registrant->look_first = call->taken_over || call->attempts > 0;
	provider = dibs_meeting_provider(dibs_column(0, 6));
	if (provider == NULL || provider->registrar == NULL)
		return false;
	call->provider = provider->name;
	call->account = dibs_column(0, 7);
	call->state = registrant;
	return true;
}

static DibsPace
pace(const DibsCall *call)
{
	return registrar_of(call)->pace(call->state);
}

static DibsHttpRequest *
build(DibsCall *call, DibsHttp *http, const DibsAccess *access)
{
	return registrar_of(call)->build(call->state, http, access);
}

static void
read_answer(DibsCall *call, DibsHttpRequest *request)
{
	registrar_of(call)->read(call->state, request, &call->answer);
}

static void
settle(DibsCall *call)
{
	DibsRegistrant *registrant = call->state;
	Datum values[5];
	char nulls[6] = "     ";
	char *booking;
	bool isnull;

	if (call->outcome != DIBS_CALL_DONE)
		return;
	/* gone: with its meeting, so that the next one's claim starts this anew */
	if (registrant->cancel || call->answer.verdict == DIBS_VERDICT_GONE)
		registrant->id = registrant->join_url = NULL;
	values[0] = CStringGetTextDatum(call->key);
	values[1] = CStringGetTextDatum(user_of(call));
	values[2] = CStringGetTextDatum(registrant->email);
	if (registrant->join_url)
		values[3] = CStringGetTextDatum(registrant->join_url);
	else
		nulls[3] = 'n';
	/* it is ours to say where somebody joins: nothing here is a wish */
	dibs_set_write_mode(DIBS_WRITE_SETTLE);
	if (dibs_execute(&list_sql, values, nulls, false, SPI_OK_UPDATE_RETURNING) == 0)
	{
		dibs_set_write_mode(DIBS_WRITE_DIRECT);
		return;
	}
	dibs_set_write_mode(DIBS_WRITE_DIRECT);
	booking = dibs_column(0, 1);
	if (registrant->id)
	{
		values[2] = CStringGetTextDatum(registrant->id);
		values[4] = CStringGetTextDatum(registrant->meeting);
	}
	else
		nulls[2] = nulls[4] = 'n';
	if (dibs_execute(&write_sql, values, nulls, false, SPI_OK_UPDATE_RETURNING) > 0 &&
		call->answer.verdict == DIBS_VERDICT_DONE && dibs_column_bool(0, 1) != registrant->cancel)
	{
		/* they left, or came back, meanwhile */
		call->outcome = DIBS_CALL_AGAIN;
		return;
	}
	if (registrant->join_url)
	{
		values[0] = CStringGetTextDatum(call->key);
		(void) dibs_execute(&event_sql, values, NULL, true, SPI_OK_SELECT);
		dibs_event_write(user_of(call), booking, "participant.registered",
						 SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	if (!call->lost)
	{
		values[0] = CStringGetTextDatum(call->ulid);
		(void) dibs_execute(&end_sql, values, NULL, false, SPI_OK_DELETE);
	}
}

const DibsCallKind dibs_registrant_kind = {
	.name = "registrant",
	.prepare = prepare,
	.pace = pace,
	.build = build,
	.read = read_answer,
	.settle = settle,
};
