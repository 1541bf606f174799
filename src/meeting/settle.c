/*
 * settle.c
 *		Writes back what came of claimed work.
 *
 * What a provider answered is always recorded in "Meeting", by the row's own key, also by a claim whose lease somebody
 * else has taken over; a meeting that turns out to be one too many becomes a tombstone. What happens to the work and
 * to the booking depends on the fence. "Meeting" and "PendingMeeting" commit first; the bookings follow in a second
 * transaction that skips locked rows: an application's lock delays a link, not the worker.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "booking/booking.h"
#include "booking/takeup.h"
#include "booking/write_mode.h"
#include "calendar/cal_job.h"
#include "guc.h"
#include "meeting/claim.h"
#include "meeting/registrants.h"
#include "queue/backoff.h"
#include "queue/instance.h"
#include "queue/plan.h"

/* So long what is being settled stays in flight; a booking whose row was locked is looked at again after this. */
#define SKIPPED_MS 1000
/* Two looks at a provider's list for a meeting of unknown fate are this far apart at least. */
#define LOOKUP_PAUSE_MS 5000
/* So many looks have to find nothing before the meeting is made again. */
#define LOOKUPS_NEEDED 2

/*
 * $1 … $19 arrays, $20 now. A positive answer is recorded whoever holds the lease; anything else only under the fence.
 * What is not returned belongs to another meeting than the row knows: one too many.
 */
static DibsStatement record_sql = {
	"UPDATE dibs.\"Meeting\" m SET \"state\" = coalesce(s.\"state\", m.\"state\"),"
	" \"externalId\" = CASE WHEN s.\"state\" = 'gone' THEN m.\"externalId\" ELSE coalesce(s.\"externalId\", m.\"externalId\") END,"
	" \"externalUuid\" = coalesce(s.\"externalUuid\", m.\"externalUuid\"),"
	" \"joinUrl\" = coalesce(s.\"joinUrl\", m.\"joinUrl\"), \"hostUrl\" = coalesce(s.\"hostUrl\", m.\"hostUrl\"),"
	" \"passcode\" = coalesce(s.\"passcode\", m.\"passcode\"), \"host\" = coalesce(s.\"host\", m.\"host\"),"
	" \"digest\" = CASE WHEN s.\"content\" AND m.\"fence\" = s.\"fence\"::char(26) THEN s.\"digest\" ELSE m.\"digest\" END,"
	" \"version\" = CASE WHEN s.\"content\" AND m.\"fence\" = s.\"fence\"::char(26) THEN s.\"version\" ELSE m.\"version\" END,"
	" \"startTime\" = coalesce(s.\"startTime\", m.\"startTime\"), \"endTime\" = coalesce(s.\"endTime\", m.\"endTime\"),"
	" \"lookups\" = s.\"lookups\", \"dueAt\" = s.\"dueAt\", \"errorCode\" = s.\"errorCode\", \"error\" = s.\"error\","
	" \"attempts\" = m.\"attempts\" + 1, \"answeredAt\" = $20, \"updatedAt\" = $20"
	" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
	" AS s(\"ulid\", \"userUlid\", \"state\", \"externalId\", \"externalUuid\", \"joinUrl\", \"hostUrl\", \"passcode\","
	"  \"host\", \"digest\", \"content\", \"version\", \"startTime\", \"endTime\", \"lookups\", \"dueAt\", \"errorCode\","
	"  \"error\", \"fence\")"
	" WHERE m.\"ulid\" = s.\"ulid\"::char(26) AND m.\"userUlid\" = s.\"userUlid\"::char(26)"
	" AND (m.\"fence\" = s.\"fence\"::char(26) OR (s.\"externalId\" IS NOT NULL AND s.\"state\" = 'ready'))"
	" AND (s.\"externalId\" IS NULL OR m.\"externalId\" IS NULL OR m.\"externalId\" = s.\"externalId\")"
	" RETURNING m.\"ulid\"",
	20,
	{TEXTARRAYOID,        TEXTARRAYOID, TEXTARRAYOID,        TEXTARRAYOID,        TEXTARRAYOID,
	 TEXTARRAYOID,        TEXTARRAYOID, TEXTARRAYOID,        TEXTARRAYOID,        BYTEAARRAYOID,
	 BOOLARRAYOID,        INT4ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID,
	 TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID,        TEXTARRAYOID,        TIMESTAMPTZOID},
	NULL};

/*
 * $1, $2 arrays. Locks what can be locked; returns the meetings that somebody else has locked: an open transaction that
 * deleted the booking, which takes it away from its meeting.
 */
static DibsStatement locked_meetings_sql = {
	"WITH s AS MATERIALIZED (SELECT \"ulid\"::char(26), \"userUlid\"::char(26) FROM unnest($1, $2) AS s(\"ulid\", \"userUlid\")),"
	"free AS MATERIALIZED (SELECT m.\"ulid\" FROM s JOIN dibs.\"Meeting\" m ON m.\"ulid\" = s.\"ulid\" AND"
	"  m.\"userUlid\" = s.\"userUlid\" FOR NO KEY UPDATE OF m SKIP LOCKED)"
	"SELECT m.\"ulid\" FROM s JOIN dibs.\"Meeting\" m ON m.\"ulid\" = s.\"ulid\" AND m.\"userUlid\" = s.\"userUlid\""
	" WHERE m.\"ulid\" NOT IN (SELECT \"ulid\" FROM free)",
	2,
	{TEXTARRAYOID, TEXTARRAYOID},
	NULL};

/* $1, $2 arrays. Locks the bookings that nobody else has locked, and returns them. */
static DibsStatement free_bookings_sql = {
	"SELECT b.\"ulid\" FROM unnest($1, $2) AS s(\"ulid\", \"userUlid\") JOIN dibs.\"CalBooking\" b"
	" ON b.\"ulid\" = s.\"ulid\"::char(26) AND b.\"userUlid\" = s.\"userUlid\"::char(26)"
	" FOR NO KEY UPDATE OF b SKIP LOCKED",
	2,
	{TEXTARRAYOID, TEXTARRAYOID},
	NULL};

static DibsStatement surplus_sql = {
	"INSERT INTO dibs.\"Meeting\" (\"ulid\", \"userUlid\", \"provider\", \"state\", \"account\", \"host\", \"externalId\","
	" \"externalUuid\", \"marker\", \"errorCode\") VALUES ($1, $2, $3, 'ready', $4, $5, $6, $7, $8, 'surplus')",
	8,
	{BPCHAROID, BPCHAROID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID},
	NULL};

/*
 * $1 … $9 arrays, $10 now. Returns those that still hold their lease. What is about to be done stays in flight until
 * its booking says so, in the transaction that follows: nobody is to claim it in between.
 */
static DibsStatement release_sql = {
	"UPDATE dibs.\"PendingMeeting\" p SET \"inFlight\" = s.\"inFlight\", \"leaseUntil\" = s.\"nextTry\", \"attempts\" = s.\"attempts\","
	" \"errorCode\" = s.\"errorCode\", \"lastError\" = s.\"error\", \"updatedAt\" = $10"
	" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)"
	" AS s(\"ulid\", \"userUlid\", \"fence\", \"generation\", \"nextTry\", \"attempts\", \"errorCode\", \"error\", \"inFlight\")"
	" WHERE p.\"ulid\" = s.\"ulid\"::char(26) AND p.\"userUlid\" = s.\"userUlid\"::char(26)"
	" AND p.\"fence\" = s.\"fence\"::char(26) AND p.\"generation\" = s.\"generation\""
	" RETURNING p.\"ulid\"",
	10,
	{TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, TEXTARRAYOID,
	 TEXTARRAYOID, BOOLARRAYOID, TIMESTAMPTZOID},
	NULL};

static DibsStatement put_off_sql = {
	"UPDATE dibs.\"PendingMeeting\" SET \"inFlight\" = false, \"leaseUntil\" = $4, \"attempts\" = \"attempts\" + 1,"
	" \"errorCode\" = $5, \"lastError\" = $6, \"updatedAt\" = $7"
	" WHERE \"ulid\" = $1 AND \"userUlid\" = $2 AND \"fence\" = $3",
	7,
	{BPCHAROID, BPCHAROID, BPCHAROID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TIMESTAMPTZOID},
	NULL};

static DibsStatement tombstone_done_sql = {
	"DELETE FROM dibs.\"PendingMeeting\" p USING unnest($1, $2, $3) AS s(\"ulid\", \"userUlid\", \"fence\")"
	" WHERE p.\"ulid\" = s.\"ulid\"::char(26) AND p.\"userUlid\" = s.\"userUlid\"::char(26)"
	" AND p.\"fence\" = s.\"fence\"::char(26)",
	3,
	{TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID},
	NULL};

/* The work of bookings that are no more: their meetings, if any, are tombstones with work of their own. */
static DibsStatement orphans_sql = {
	"DELETE FROM dibs.\"PendingMeeting\" p USING unnest($1, $2, $3) AS s(\"ulid\", \"userUlid\", \"fence\")"
	" WHERE p.\"ulid\" = s.\"ulid\"::char(26) AND p.\"userUlid\" = s.\"userUlid\"::char(26)"
	" AND p.\"fence\" = s.\"fence\"::char(26) AND NOT EXISTS (SELECT FROM dibs.\"CalBooking\" b"
	"  WHERE b.\"ulid\" = p.\"ulid\" AND b.\"userUlid\" = p.\"userUlid\")",
	3,
	{TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID},
	NULL};

/* The work of bookings that somebody has locked: claimed again at its time, or at once where the booking changes. */
static DibsStatement skipped_sql = {
	"UPDATE dibs.\"PendingMeeting\" p SET \"inFlight\" = false FROM unnest($1, $2, $3) AS s(\"ulid\", \"userUlid\", \"fence\")"
	" WHERE p.\"ulid\" = s.\"ulid\"::char(26) AND p.\"userUlid\" = s.\"userUlid\"::char(26)"
	" AND p.\"fence\" = s.\"fence\"::char(26)",
	3,
	{TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID},
	NULL};

/*
 * One update a booking. done is the version that was claimed, which is no longer the wanted one when the row changed
 * meanwhile: then it stays due. Events tell of what was written directly (announced < generation) and of the
 * meeting's state. What was written directly also gets the list of its people, as dibs.derive_participants() makes it:
 * they were taken up just before. Entries without an e-mail are nobody's row; they stay as they were written. LATERAL,
 * not a CTE of its own: a nested loop over two CTEs makes every list once for each booking of the batch.
 */
static DibsStatement bookings_sql = {
	"WITH s AS (SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
	"  AS s(\"ulid\", \"userUlid\", \"generation\", \"done\", \"state\", \"errorCode\", \"retryAt\", \"joinUrl\", \"hostUrl\","
	"   \"meetingId\", \"passcode\", \"links\", \"event\", \"grace\", \"fence\")),"
	"locked AS (SELECT b.\"ulid\", b.\"userUlid\", b.\"wanted\", b.\"announced\", b.\"meetingState\", b.\"status\","
	"  b.\"startTime\", b.\"participants\", s.\"generation\", s.\"done\", s.\"state\", s.\"errorCode\", s.\"retryAt\", s.\"joinUrl\","
	"  s.\"hostUrl\", s.\"meetingId\", s.\"passcode\", s.\"links\", s.\"event\", s.\"grace\", s.\"fence\""
	"  FROM s JOIN dibs.\"CalBooking\" b ON b.\"ulid\" = s.\"ulid\"::char(26) AND b.\"userUlid\" = s.\"userUlid\"::char(26)"
	"  FOR NO KEY UPDATE OF b SKIP LOCKED),"
	"written AS (UPDATE dibs.\"CalBooking\" b SET"
	"  \"participants\" = CASE WHEN q.list <> b.\"participants\" THEN q.list ELSE b.\"participants\" END,"
	"  \"currentParticipants\" = coalesce(q.confirmed, b.\"currentParticipants\"),"
	"  \"done\" = CASE WHEN l.\"done\" THEN l.\"generation\" ELSE b.\"done\" END,"
	"  \"announced\" = CASE WHEN l.\"generation\" <= b.\"wanted\" THEN greatest(b.\"announced\", l.\"generation\")"
	"    ELSE b.\"announced\" END,"
	"  \"dueAt\" = CASE WHEN b.\"wanted\" <> l.\"generation\" THEN b.\"dueAt\""
	"    WHEN l.\"done\" THEN '-infinity' ELSE coalesce(l.\"retryAt\", '-infinity') END,"
	"  \"meetingState\" = coalesce(l.\"state\", b.\"meetingState\"), \"meetingErrorCode\" = l.\"errorCode\","
	"  \"completeAt\" = CASE WHEN b.\"status\" IN ('CONFIRMED', 'IN_PROGRESS')"
	"    THEN greatest(greatest(b.\"endTime\", CASE WHEN b.\"status\" = 'IN_PROGRESS' THEN now() END)"
	"     + make_interval(mins => l.\"grace\"), CASE WHEN b.\"status\" = 'IN_PROGRESS' THEN b.\"completeAt\" END) END,"
	"  \"meetingRetryAt\" = CASE WHEN l.\"done\" THEN NULL ELSE l.\"retryAt\" END,"
	"  \"zoomJoinUrl\" = CASE WHEN l.\"links\" THEN l.\"joinUrl\" ELSE b.\"zoomJoinUrl\" END,"
	"  \"zoomHostUrl\" = CASE WHEN l.\"links\" THEN l.\"hostUrl\" ELSE b.\"zoomHostUrl\" END,"
	"  \"zoomMeetingId\" = CASE WHEN l.\"links\" THEN l.\"meetingId\" ELSE b.\"zoomMeetingId\" END,"
	"  \"zoomPasscode\" = CASE WHEN l.\"links\" THEN l.\"passcode\" ELSE b.\"zoomPasscode\" END"
	"  FROM locked l LEFT JOIN LATERAL (SELECT count(*) FILTER (WHERE p.\"status\" <> 'CANCELLED')::int AS confirmed,"
	"    coalesce(jsonb_agg(jsonb_build_object('email', p.\"email\", 'name', p.\"name\", 'timeZone', p.\"timeZone\")"
	"     || jsonb_strip_nulls(jsonb_build_object('joinUrl', p.\"joinUrl\", 'validationToken', p.\"validationToken\"))"
	"     || jsonb_build_object('status', p.\"status\") ORDER BY p.\"since\", p.\"person\")"
	"     FILTER (WHERE p.\"email\" IS NOT NULL), '[]')"
	"    || coalesce((SELECT jsonb_agg(j) FROM jsonb_array_elements(l.\"participants\") j"
	"     WHERE coalesce(j->>'email', '') = ''), '[]') AS list"
	"   FROM dibs.\"BookingParticipant\" p WHERE p.\"bookingUlid\" = l.\"ulid\" AND p.\"userUlid\" = l.\"userUlid\""
	"   HAVING l.\"announced\" < l.\"generation\") q ON true"
	"  WHERE b.\"ulid\" = l.\"ulid\" AND b.\"userUlid\" = l.\"userUlid\""
	"  RETURNING b.\"ulid\", b.\"userUlid\", b.\"meetingState\", l.\"meetingState\" AS \"before\", b.\"meetingErrorCode\"),"
	"finished AS (DELETE FROM dibs.\"PendingMeeting\" p USING locked l WHERE p.\"ulid\" = l.\"ulid\" AND"
	"  p.\"userUlid\" = l.\"userUlid\" AND p.\"generation\" = l.\"generation\" AND p.\"fence\" = l.\"fence\"::char(26) AND l.\"done\""
	"  AND l.\"errorCode\" IS NULL)"
	"INSERT INTO dibs.\"Event\" (\"userUlid\", \"bookingUlid\", \"type\", \"data\")"
	" SELECT l.\"userUlid\", l.\"ulid\", CASE WHEN l.\"announced\" = 0 THEN 'booking.created' ELSE l.\"event\" END,"
	"  jsonb_build_object('status', l.\"status\", 'startTime', l.\"startTime\")"
	"  FROM locked l WHERE l.\"announced\" < l.\"generation\""
	" UNION ALL"
	" SELECT w.\"userUlid\", w.\"ulid\", 'meeting.' || w.\"meetingState\","
	"  jsonb_strip_nulls(jsonb_build_object('errorCode', w.\"meetingErrorCode\"))"
	"  FROM written w WHERE w.\"meetingState\" IN ('ready', 'failed') AND w.\"meetingState\" <> w.\"before\"",
	15,
	{TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, BOOLARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
	 TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, BOOLARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID},
	NULL};

static void
again(DibsOutcome *out, DibsClaim *claim, TimestampTz now, TimestampTz at)
{
	out->done = false;
	out->next_try = at;
	out->state = claim->state == DIBS_MEETING_READY ? DIBS_MEETING_UNCHANGED : DIBS_MEETING_DELAYED;
	if (claim->tombstone)
		out->state = DIBS_MEETING_UNCHANGED;
}

static void
give_up(DibsOutcome *out, DibsClaim *claim, TimestampTz now)
{
	out->done = true;
	out->state = DIBS_MEETING_FAILED;
	/*
	 * A tombstone that can't be removed stays visible, and is not tried again by itself: its Meeting says so. The claim
	 * ends for both. Were it held for ever, nobody could claim a booking whose row was locked just now, or either after
	 * a resync.
	 */
	out->next_try = dibs_next_try(now, out->attempts + 1, 0, 0);
}

/*
 * Where the booking has a fallback: trouble ends when its time has come. What was in doubt stays behind as a tombstone,
 * and is removed if it turns up.
 */
static void
limit_by_fallback(const DibsClaim *claim, TimestampTz now, DibsOutcome *out)
{
	TimestampTz at = Max(claim->fallback_at, now);

	if (claim->fallback_at == 0)
		return;
	if (out->done && out->state == DIBS_MEETING_FAILED)
	{
		out->done = false;
		out->next_try = at;
	}
	else if (!out->done && (out->state == DIBS_MEETING_DELAYED || out->attempts > 0))
		out->next_try = Min(out->next_try, at);
}

static void
interpret(DibsClaim *claim, TimestampTz now, DibsOutcome *out)
{
	DibsMeetingWork *work = &claim->work;
	TimestampTz start = claim->tombstone ? 0 : claim->wanted.start;

	memset(out, 0, sizeof(*out));
	out->lookups = claim->lookups;
	out->attempts = claim->attempts;
	out->done = true;
	out->state = claim->state;
	out->next_try = TimestampTzPlusMilliseconds(now, SKIPPED_MS);

	if (claim->release)
	{
		/* never sent: as if it had not been claimed */
		out->meeting_state = claim->meeting_insert || claim->new_state == NULL ? NULL : claim->meeting_state;
		if (work->action == DIBS_ACTION_CREATE)
			out->meeting_state = "gone";
		again(out, claim, now, work->retry_at ? work->retry_at : now);
		out->state = DIBS_MEETING_UNCHANGED;
		return;
	}
	if (claim->put_off)
	{
		again(out, claim, now, work->retry_at);
		return;
	}
	if (claim->finished)
	{
		if (work->verdict == DIBS_VERDICT_GONE)
			out->meeting_state = "gone";
		else if (work->verdict == DIBS_VERDICT_DONE && work->provider->make != NULL)
			out->meeting_state = "ready";
		out->content = out->meeting_state != NULL;
		return;
	}
	if (work->verdict == DIBS_VERDICT_RETRY || work->verdict == DIBS_VERDICT_UNKNOWN)
	{
		out->attempts++;
		if (out->attempts >= dibs_max_attempts && work->verdict == DIBS_VERDICT_RETRY)
			work->verdict = DIBS_VERDICT_FAILED;
	}

	switch (work->verdict)
	{
		case DIBS_VERDICT_DONE:
			if (work->action == DIBS_ACTION_DELETE)
				out->meeting_state = "gone";
			else if (work->action == DIBS_ACTION_LOOKUP)
			{
				/* it was made after all; the next claim brings it in line, or removes it */
				out->meeting_state = "ready";
				again(out, claim, now, now);
				out->state = DIBS_MEETING_UNCHANGED;
			}
			else
			{
				out->meeting_state = "ready";
				out->content = true;
				out->state = DIBS_MEETING_READY;
			}
			out->lookups = 0;
			break;

		case DIBS_VERDICT_GONE:
			out->meeting_state = "gone";
			if (work->action != DIBS_ACTION_DELETE)
			{
				/* removed behind our back: the next claim makes a new one, if one is still wanted */
				again(out, claim, now, now);
				out->state = DIBS_MEETING_PENDING;
			}
			break;

		case DIBS_VERDICT_NOT_FOUND:
			out->lookups++;
			/* a meeting that was never asked for from here needs one look only */
			if (out->lookups >= LOOKUPS_NEEDED || claim->meeting_insert)
			{
				out->meeting_state = "gone";
				again(out, claim, now, now);
			}
			else
				again(out, claim, now, TimestampTzPlusMilliseconds(now, LOOKUP_PAUSE_MS));
			out->state = DIBS_MEETING_UNCHANGED;
			if (claim->tombstone && out->meeting_state != NULL)
				out->done = true;
			break;

		case DIBS_VERDICT_RETRY:
			if (work->action == DIBS_ACTION_CREATE)
				out->meeting_state = "gone";
			else if (work->action == DIBS_ACTION_UPDATE)
				out->meeting_state = "ready";
			again(out, claim, now, dibs_next_try(now, out->attempts, work->retry_at, start));
			break;

		case DIBS_VERDICT_UNKNOWN:
			/* the row's state (creating, updating, deleting) says that something was sent */
			again(out, claim, now, dibs_next_try(now, out->attempts, work->retry_at, start));
			break;

		default:
			if (work->action == DIBS_ACTION_CREATE)
				out->meeting_state = "gone";
			else if (work->action == DIBS_ACTION_UPDATE)
				out->meeting_state = "ready";
			give_up(out, claim, now);
			break;
	}
}

/* Is there anything about the meeting to write that the claim's own transaction did not write already? */
static bool
has_record(const DibsClaim *claim)
{
	if (claim->work.known.ulid == NULL)
		return false;
	return !claim->finished || (claim->outcome.meeting_state != NULL && !claim->meeting_insert);
}

static void
record_surplus(const DibsClaim *claim)
{
	const DibsMeetingKnown *known = &claim->work.known;
	char ulid[DIBS_ULID_LEN + 1];
	const char *texts[8];
	Datum values[8];
	char nulls[9] = "        ";

	if (!dibs_ulid_generate(ulid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	texts[0] = ulid;
	texts[1] = claim->user_ulid;
	texts[2] = claim->work.provider->name;
	texts[3] = claim->meeting_account;
	texts[4] = known->host;
	texts[5] = known->external_id;
	texts[6] = known->external_uuid;
	texts[7] = known->marker;
	for (int i = 0; i < 8; i++)
	{
		if (texts[i] == NULL)
			nulls[i] = 'n';
		else
			values[i] = CStringGetTextDatum(texts[i]);
	}
	(void) dibs_execute(&surplus_sql, values, nulls, false, SPI_OK_INSERT);
}

static bool
was_returned(const char *ulid, uint64 rows)
{
	for (uint64 row = 0; row < rows; row++)
	{
		if (strcmp(ulid, dibs_column(row, 1)) == 0)
			return true;
	}
	return false;
}

static void
record_answers(List *claims, TimestampTz now)
{
	DibsColumns *answers = dibs_columns("tttttttttybizzizttt");
	DibsClaim **recorded = palloc0(list_length(claims) * sizeof(DibsClaim *));
	bool *missing = palloc0(list_length(claims) * sizeof(bool));
	Datum values[20];
	ListCell *lc;
	int n = 0;
	uint64 rows;

	foreach (lc, claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);
		const DibsMeetingKnown *known = &claim->work.known;
		const DibsOutcome *out = &claim->outcome;
		TimestampTz due = !claim->tombstone ? DT_NOBEGIN : out->state == DIBS_MEETING_FAILED ? DT_NOEND : out->next_try;

		if (!has_record(claim))
			continue;
		dibs_add_row(answers, known->ulid, claim->user_ulid, out->meeting_state, known->external_id,
					 known->external_uuid, known->join_url, known->host_url, known->passcode, known->host,
					 claim->digest, out->content, claim->generation, out->content ? claim->wanted.start : 0,
					 out->content ? claim->wanted.end : 0, out->lookups, due, claim->work.error_code, claim->work.error,
					 claim->fence);
		recorded[n++] = claim;
	}
	if (dibs_column_arrays(answers, values) == 0)
		return;
	values[19] = TimestampTzGetDatum(now);
	rows = dibs_execute(&record_sql, values, NULL, false, SPI_OK_UPDATE_RETURNING);
	if (rows == (uint64) n)
		return;
	/* the next statement overwrites the result: look first, write afterwards */
	for (int r = 0; r < n; r++)
		missing[r] = !was_returned(recorded[r]->work.known.ulid, rows);
	for (int r = 0; r < n; r++)
	{
		if (missing[r] && recorded[r]->work.verdict == DIBS_VERDICT_DONE &&
			recorded[r]->work.known.external_id != NULL && recorded[r]->work.action != DIBS_ACTION_DELETE)
		{
			record_surplus(recorded[r]);
			/* the booking gets the links of the meeting that stays, which the next claim reads */
			recorded[r]->outcome.done = false;
			recorded[r]->outcome.state = DIBS_MEETING_UNCHANGED;
			recorded[r]->outcome.next_try = now;
		}
	}
}

/* Sets aside the claims whose meeting can't be written now; returns the others. */
static List *
set_locked_aside(List *claims)
{
	DibsColumns *meetings = dibs_columns("tt");
	Datum values[2];
	List *rest = NIL;
	ListCell *lc;
	uint64 rows;

	foreach (lc, claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);

		claim->set_aside = false;
		if (has_record(claim))
			dibs_add_row(meetings, claim->work.known.ulid, claim->user_ulid);
	}
	if (dibs_column_arrays(meetings, values) == 0)
		return claims;
	rows = dibs_execute(&locked_meetings_sql, values, NULL, false, SPI_OK_SELECT);
	if (rows == 0)
		return claims;
	foreach (lc, claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);

		claim->set_aside = has_record(claim) && was_returned(claim->work.known.ulid, rows);
		if (!claim->set_aside)
			rest = lappend(rest, claim);
	}
	return rest;
}

void
dibs_put_off(DibsClaim *claim, TimestampTz now)
{
	Datum values[7];

	values[0] = CStringGetTextDatum(claim->subject);
	values[1] = CStringGetTextDatum(claim->user_ulid);
	values[2] = CStringGetTextDatum(claim->fence);
	values[3] = TimestampTzGetDatum(dibs_next_try(now, claim->attempts + 1, 0, 0));
	values[4] = CStringGetTextDatum(claim->work.error_code);
	values[5] = CStringGetTextDatum(claim->work.error);
	values[6] = TimestampTzGetDatum(now);
	(void) dibs_execute(&put_off_sql, values, NULL, false, SPI_OK_UPDATE);
}

List *
dibs_settle_meetings(List *claims, TimestampTz now)
{
	DibsColumns *work = dibs_columns("tttizittb");
	DibsColumns *ended = dibs_columns("ttt");
	DibsClaim **released = palloc0(list_length(claims) * sizeof(DibsClaim *));
	Datum values[10];
	List *winners = NIL;
	ListCell *lc;
	int n = 0;
	uint64 rows;

	dibs_instance_record();
	foreach (lc, claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);

		interpret(claim, now, &claim->outcome);
		limit_by_fallback(claim, now, &claim->outcome);
	}
	/* first: a claim locks hosts before meetings, too */
	dibs_settle_hosts(claims, now);
	claims = set_locked_aside(claims);
	if (claims == NIL)
		return NIL;
	record_answers(claims, now);

	foreach (lc, claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);
		const DibsOutcome *out = &claim->outcome;

		if (claim->tombstone && out->done && out->state != DIBS_MEETING_FAILED)
		{
			dibs_add_row(ended, claim->subject, claim->user_ulid, claim->fence);
			continue;
		}
		dibs_add_row(work, claim->subject, claim->user_ulid, claim->fence, claim->generation, out->next_try,
					 out->attempts, claim->work.error_code, claim->work.error,
					 out->done && !claim->tombstone && claim->work.error_code == NULL);
		released[n++] = claim;
	}
	if (dibs_column_arrays(work, values) > 0)
	{
		values[9] = TimestampTzGetDatum(now);
		rows = dibs_execute(&release_sql, values, NULL, false, SPI_OK_UPDATE_RETURNING);
		for (int r = 0; r < n; r++)
		{
			if (!released[r]->tombstone && (rows == (uint64) n || was_returned(released[r]->subject, rows)))
				winners = lappend(winners, released[r]);
		}
	}
	if (dibs_column_arrays(ended, values) > 0)
		(void) dibs_execute(&tombstone_done_sql, values, NULL, false, SPI_OK_DELETE);
	return winners;
}

/*
 * Those whose booking is there and locked by nobody else: what follows writes rows that refer to it, too. The others
 * are not done.
 */
static List *
lock_bookings(List *claims)
{
	DibsColumns *bookings = dibs_columns("tt");
	DibsColumns *others = dibs_columns("ttt");
	Datum values[3];
	List *locked = NIL;
	ListCell *lc;
	uint64 rows;

	foreach (lc, claims)
		dibs_add_row(bookings, ((DibsClaim *) lfirst(lc))->booking_ulid, ((DibsClaim *) lfirst(lc))->user_ulid);
	(void) dibs_column_arrays(bookings, values);
	rows = dibs_execute(&free_bookings_sql, values, NULL, false, SPI_OK_SELECT);
	foreach (lc, claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);

		if (was_returned(claim->booking_ulid, rows))
			locked = lappend(locked, claim);
		else
		{
			claim->outcome.done = false;
			dibs_add_row(others, claim->booking_ulid, claim->user_ulid, claim->fence);
		}
	}
	if (dibs_column_arrays(others, values) > 0)
	{
		(void) dibs_execute(&orphans_sql, values, NULL, false, SPI_OK_DELETE);
		(void) dibs_execute(&skipped_sql, values, NULL, false, SPI_OK_UPDATE);
	}
	return locked;
}

/* Where our link is to replace the place that the source gave, the source learns of it. */
static void
links_back(List *claims)
{
	const char **bookings = palloc(sizeof(char *) * list_length(claims));
	const char **coaches = palloc(sizeof(char *) * list_length(claims));
	ListCell *lc;
	int n = 0;

	foreach (lc, claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);

		if (claim->location_policy == NULL || strcmp(claim->location_policy, "replace") != 0 || claim->keep_links ||
			claim->outcome.state != DIBS_MEETING_READY)
			continue;
		bookings[n] = claim->booking_ulid;
		coaches[n++] = claim->user_ulid;
	}
	if (n > 0)
		dibs_cal_links_back(bookings, coaches, n);
}

bool
dibs_settle_bookings(List *claims, TimestampTz now)
{
	DibsColumns *bookings = dibs_columns("ttibttzttttbtit");
	Datum values[15];
	ListCell *lc;

	claims = lock_bookings(claims);
	if (claims == NIL)
		return false;
	foreach (lc, claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);
		const DibsMeetingKnown *known = &claim->work.known;
		const DibsOutcome *out = &claim->outcome;
		bool ended = strcmp(claim->status, "CANCELLED") == 0 || strcmp(claim->status, "REJECTED") == 0;
		bool moved = claim->meeting_start != 0 && claim->meeting_start != claim->wanted.start;
		bool ready = out->state == DIBS_MEETING_READY;
		bool ours = !claim->keep_links && ready;
		bool cleared = claim->clear_links && out->done && out->state == DIBS_MEETING_NOT_NEEDED;
		/* a provider that tells when meetings end is given time to */
		bool tells = claim->work.provider != NULL && claim->work.provider->reports_events;
		const char *code = claim->work.error_code;

		if (code == NULL && ready && claim->fallen_back)
			code = "fallback";
		dibs_add_row(bookings, claim->booking_ulid, claim->user_ulid, claim->generation, out->done,
					 dibs_meeting_state_name(out->state), code, out->done ? 0 : out->next_try,
					 ours ? known->join_url : NULL, ours ? known->host_url : NULL, ours ? known->external_id : NULL,
					 ours ? known->passcode : NULL, ours || cleared,
					 ended   ? "booking.cancelled"
					 : moved ? "booking.rescheduled"
							 : "booking.updated",
					 tells ? dibs_complete_after_silence : dibs_complete_after, claim->fence);
	}
	(void) dibs_column_arrays(bookings, values);
	dibs_take_up(values[0], values[1], values[2]);

	/* read by the trigger: these columns are ours now, and nothing here is a wish */
	dibs_set_write_mode(DIBS_WRITE_SETTLE);
	(void) dibs_execute(&bookings_sql, values, NULL, false, SPI_OK_INSERT);
	dibs_set_write_mode(DIBS_WRITE_DIRECT);
	links_back(claims);
	return dibs_start_registrants(claims);
}
