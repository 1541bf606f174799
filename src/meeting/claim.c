/*
 * claim.c
 *		Takes due work off the tables, under a lease.
 *
 * The due list is the partial index on "CalBooking"."dueAt". A claim does not touch the booking's row (that would be
 * one more version of it): it inserts or takes over the "PendingMeeting" row, whose unique key decides between two
 * claimers. That they seldom meet there is the claims' lock: one transaction of a database claims at a time. FOR KEY
 * SHARE SKIP LOCKED keeps away from rows that are being deleted, and from nothing else.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "core/clock.h"
#include "errors.h"
#include "guc.h"
#include "meeting/claim.h"
#include "queue/attempt.h"
#include "queue/backoff.h"
#include "queue/instance.h"
#include "queue/plan.h"

/* The claims' lock, as pg_locks shows it: advisory; "dibs" in ASCII; an objsubid that no SQL function takes. */
#define CLAIM_LOCK_CLASSID 0x64696273
#define CLAIM_LOCK_OBJSUBID 100

/* How long every row is looked at for work on record after one had some that nothing told of. */
#define LOOK_MS 1000

/* So much of an error is kept with the row that it is about. */
#define MAX_REASON 250

/*
 * The columns that the two claims have in common, after their own: Meeting, and whether an adopted one is ours to
 * change: the coach says so, and no other booking has the same.
 */
#define MEETING_COLUMNS                                                                                                \
	" m.\"ulid\", m.\"state\", m.\"provider\", m.\"account\", m.\"host\", m.\"externalId\", m.\"externalUuid\", "      \
	" m.\"marker\", m.\"adopted\", m.\"joinUrl\", m.\"hostUrl\", m.\"passcode\", m.\"digest\", m.\"lookups\", "        \
	" m.\"sentAt\", m.\"startTime\", CASE WHEN m.\"adopted\" THEN (SELECT true FROM dibs.\"Meeting\" o"                \
	"  WHERE o.\"provider\" = m.\"provider\" AND o.\"externalId\" = m.\"externalId\" AND o.\"ulid\" <> m.\"ulid\""     \
	"  AND o.\"state\" <> 'gone' LIMIT 1) IS NULL AND (SELECT true FROM dibs.\"CoachZoomConfig\" y"                    \
	"  WHERE y.\"userUlid\" = m.\"userUlid\" AND y.\"settings\"->'manageAdopted' = 'true' LIMIT 1) END "

enum MeetingColumn
{
	M_ULID,
	M_STATE,
	M_PROVIDER,
	M_ACCOUNT,
	M_HOST,
	M_EXTERNAL_ID,
	M_EXTERNAL_UUID,
	M_MARKER,
	M_ADOPTED,
	M_JOIN_URL,
	M_HOST_URL,
	M_PASSCODE,
	M_DIGEST,
	M_LOOKUPS,
	M_SENT_AT,
	M_START,
	M_MANAGED,
	M_COUNT
};

/*
 * Work q is nobody's at $1: its claim or its back-off is over, or its lease is longer than any that ends at $5 or soon
 * after, so that it was made before the clock was set back.
 */
#define LEASE_IS_OVER                                                                                                  \
	"(q.\"leaseUntil\" <= $1 OR (q.\"inFlight\" AND q.\"leaseUntil\" > $5 + ($5 - $1) + interval '1 minute'))"

/* Or it waits for a version or a coach that booking t no longer has. */
#define WORK_IS_FREE                                                                                                   \
	"(" LEASE_IS_OVER                                                                                                  \
	" OR (NOT q.\"inFlight\" AND (q.\"generation\" <> t.\"wanted\" OR q.\"userUlid\" <> t.\"userUlid\")))"

/* $6, or something says that row t has work on record: it is due again, or under way. */
#define MAY_HAVE_WORK                                                                                                  \
	"($6 OR t.\"dueAt\" > '-infinity' OR t.\"ulid\" IN (SELECT f.\"ulid\" FROM dibs.\"PendingMeeting\" f"              \
	" WHERE f.\"inFlight\" AND f.\"leaseUntil\" > $1))"

/*
 * $1 now, $2 instance, $3 how many, $4 fence, $5 end of the lease. A booking that went to another coach takes over the
 * work of the one that it was. Where nothing says that there is work on record none is looked for: it is inserted,
 * which fails where there is some after all, and then $6 has every row looked at. The sub-selects are LATERAL, or
 * scalars, with a LIMIT on purpose: each is a probe of an index for a claimed row, whatever the statistics of these
 * churning tables say, where EXISTS may be made one hash of a whole table.
 */
static DibsStatement claim_bookings_sql = {
	"WITH due AS MATERIALIZED ("
	" SELECT t.*, p.* FROM dibs.\"CalBooking\" t LEFT JOIN LATERAL ("
	"  SELECT " WORK_IS_FREE
	" AS \"pendingFree\" FROM dibs.\"PendingMeeting\" q WHERE q.\"ulid\" = t.\"ulid\" AND (t.\"meetingRetryAt\" IS NOT NULL"
	"   OR t.\"meetingErrorCode\" IS NOT NULL OR " MAY_HAVE_WORK ") LIMIT 1) p ON true"
	" WHERE t.\"wanted\" <> t.\"done\" AND t.\"dueAt\" <= $1 AND t.\"instance\" = $2 AND coalesce(p.\"pendingFree\", true)"
	" ORDER BY t.\"dueAt\", (t.\"status\" IN ('PENDING', 'CONFIRMED', 'IN_PROGRESS')), t.\"startTime\""
	" LIMIT $3 FOR KEY SHARE OF t SKIP LOCKED),"
	"made AS ("
	" INSERT INTO dibs.\"PendingMeeting\" (\"ulid\", \"userUlid\", \"bookingUlid\", \"action\", \"generation\","
	"  \"fence\", \"inFlight\", \"leaseUntil\", \"instance\")"
	" SELECT t.\"ulid\", t.\"userUlid\", t.\"ulid\", 'claimed', t.\"wanted\", $4, true, $5, $2 FROM due t"
	" WHERE t.\"pendingFree\" IS NULL),"
	"taken AS ("
	" UPDATE dibs.\"PendingMeeting\" q SET \"action\" = 'claimed', \"userUlid\" = t.\"userUlid\","
	"  \"attempts\" = CASE WHEN q.\"generation\" = t.\"wanted\" AND q.\"userUlid\" = t.\"userUlid\" THEN q.\"attempts\""
	"   ELSE 0 END, \"generation\" = t.\"wanted\", \"fence\" = $4, \"inFlight\" = true, \"leaseUntil\" = $5, \"updatedAt\" = now()"
	" FROM due t WHERE q.\"ulid\" = ANY (ARRAY(SELECT e.\"ulid\" FROM due e WHERE e.\"pendingFree\"))"
	"  AND t.\"ulid\" = q.\"ulid\" AND " WORK_IS_FREE " RETURNING q.\"ulid\", q.\"attempts\")"
	"SELECT d.\"ulid\", d.\"userUlid\", coalesce(k.\"attempts\", 0), d.\"wanted\", d.\"calBookingUid\", d.\"title\","
	" d.\"description\", d.\"startTime\", d.\"endTime\", d.\"status\", d.\"bookingType\" = 'GROUP',"
	" coalesce(d.\"maxParticipants\", 0), d.\"location\"->>'kind', d.\"location\"->>'value', d.\"meetingProvider\","
	" d.\"zoomJoinUrl\", d.\"zoomHostUrl\", d.\"zoomMeetingId\", d.\"zoomPasscode\", d.\"meetingState\","
	" d.\"meetingErrorCode\", d.\"createdAt\","
	" z.\"isCustomUrl\", z.\"defaultJoinUrl\", z.\"defaultHostUrl\", z.\"personalMeetingId\","
	" coalesce(z.\"zoomUserId\", a.\"externalId\", a.\"email\"),"
	" coalesce(z.\"settings\", '{}') || coalesce(t.\"settings\", '{}'),"
	" t.\"settings\"->>'provider', z.\"settings\"->>'provider',"
	" coalesce(t.\"settings\"->>'locationPolicy', z.\"settings\"->>'locationPolicy'),"
	" coalesce(z.\"settings\"->>'timeZone', o.\"timeZone\"), g.\"ulid\"," MEETING_COLUMNS "FROM due d"
	" LEFT JOIN LATERAL (SELECT * FROM dibs.\"Meeting\" m WHERE m.\"bookingUlid\" = d.\"ulid\" AND m.\"userUlid\" ="
	"  d.\"userUlid\" LIMIT 1) m ON true"
	" LEFT JOIN LATERAL (SELECT * FROM dibs.\"CoachZoomConfig\" z WHERE z.\"userUlid\" = d.\"userUlid\" LIMIT 1) z ON true"
	" LEFT JOIN LATERAL (SELECT * FROM dibs.\"CalEventType\" t WHERE t.\"eventTypeId\" = d.\"eventTypeId\" AND"
	"  t.\"userUlid\" = d.\"userUlid\" LIMIT 1) t ON true"
	" LEFT JOIN LATERAL (SELECT * FROM dibs.\"Coach\" o WHERE o.\"userUlid\" = d.\"userUlid\" LIMIT 1) o ON true"
	" LEFT JOIN LATERAL (SELECT * FROM dibs.\"ProviderAccount\" a WHERE a.\"userUlid\" = d.\"userUlid\" AND"
	"  a.\"provider\" = 'zoom' AND a.\"state\" = 'linked' LIMIT 1) a ON true"
	" LEFT JOIN LATERAL (SELECT g.\"ulid\" FROM dibs.\"ProviderAccount\" g JOIN dibs.\"ProviderCredential\" c ON"
	"  c.\"accountUlid\" = g.\"ulid\" AND c.\"kind\" = 'oauth' AND c.\"state\" <> 'revoking'"
	"  WHERE g.\"userUlid\" = d.\"userUlid\" AND g.\"provider\" = 'zoom' AND g.\"state\" IN ('linked', 'reconnect_needed')"
	"  ORDER BY c.\"connectedAt\" DESC LIMIT 1) g ON true"
	" LEFT JOIN taken k ON k.\"ulid\" = d.\"ulid\" WHERE d.\"pendingFree\" IS NULL OR k.\"ulid\" IS NOT NULL",
	6,
	{TIMESTAMPTZOID, TEXTOID, INT8OID, BPCHAROID, TIMESTAMPTZOID, BOOLOID},
	NULL};

enum BookingColumn
{
	B_ULID = 1,
	B_USER,
	B_ATTEMPTS,
	B_WANTED,
	B_UID,
	B_TITLE,
	B_DESCRIPTION,
	B_START,
	B_END,
	B_STATUS,
	B_GROUP,
	B_SEATS,
	B_LOCATION_KIND,
	B_LOCATION_VALUE,
	B_WISH,
	B_JOIN_URL,
	B_HOST_URL,
	B_MEETING_ID,
	B_PASSCODE,
	B_STATE,
	B_ERROR,
	B_CREATED,
	B_STATIC,
	B_STATIC_JOIN_URL,
	B_STATIC_HOST_URL,
	B_ROOM,
	B_ZOOM_HOST,
	B_SETTINGS,
	B_EVENT_TYPE_PROVIDER,
	B_COACH_PROVIDER,
	B_LOCATION_POLICY,
	B_TIME_ZONE,
	B_GRANT,
	B_MEETING
};

/*
 * A create that may still be on the wire (its lease, as long as $5 - $1, was the booking's) is not looked for yet: what
 * is not there now may be made in the next moment. Nor while the booking, now another coach's or written anew, has a
 * create of its own whose outcome is not known: both bear the same marker. What is on record as a booking's is not
 * removed.
 */
static DibsStatement claim_tombstones_sql = {
	"WITH due AS MATERIALIZED ("
	" SELECT t.*, p.* FROM dibs.\"Meeting\" t LEFT JOIN LATERAL ("
	"  SELECT " LEASE_IS_OVER
	" AS \"pendingFree\" FROM dibs.\"PendingMeeting\" q WHERE q.\"ulid\" = t.\"ulid\" AND " MAY_HAVE_WORK
	" LIMIT 1) p ON true"
	" WHERE t.\"bookingUlid\" IS NULL AND t.\"state\" <> 'gone' AND t.\"dueAt\" <= $1 AND t.\"instance\" = $2"
	" AND (t.\"state\" <> 'creating' OR ((t.\"sentAt\" IS NULL OR t.\"sentAt\" <= $1 - ($5 - $1))"
	"  AND (SELECT true FROM dibs.\"Meeting\" o WHERE o.\"bookingUlid\" = substr(t.\"marker\", 6, 26)::char(26)"
	"   AND o.\"state\" = 'creating' LIMIT 1) IS NULL"
	"  AND (SELECT true FROM dibs.\"CalBooking\" b JOIN dibs.\"Meeting\" o ON o.\"bookingUlid\" = b.\"ulid\" AND"
	"   o.\"userUlid\" = b.\"userUlid\" WHERE b.\"calBookingUid\" = substr(t.\"marker\", 33) AND o.\"state\" = 'creating'"
	"   LIMIT 1) IS NULL))"
	" AND coalesce(p.\"pendingFree\", true)"
	" ORDER BY t.\"dueAt\" LIMIT $3 FOR KEY SHARE OF t SKIP LOCKED),"
	"made AS ("
	" INSERT INTO dibs.\"PendingMeeting\" (\"ulid\", \"userUlid\", \"meetingUlid\", \"action\", \"generation\","
	"  \"fence\", \"inFlight\", \"leaseUntil\", \"instance\")"
	" SELECT t.\"ulid\", t.\"userUlid\", t.\"ulid\", 'claimed', 0, $4, true, $5, $2 FROM due t"
	" WHERE t.\"pendingFree\" IS NULL),"
	"taken AS ("
	" UPDATE dibs.\"PendingMeeting\" q SET \"action\" = 'claimed', \"fence\" = $4, \"inFlight\" = true,"
	"  \"leaseUntil\" = $5, \"updatedAt\" = now()"
	" WHERE q.\"ulid\" = ANY (ARRAY(SELECT e.\"ulid\" FROM due e WHERE e.\"pendingFree\")) AND " LEASE_IS_OVER
	" RETURNING q.\"ulid\", q.\"attempts\")"
	"SELECT m.\"ulid\", m.\"userUlid\", coalesce(k.\"attempts\", 0)," MEETING_COLUMNS
	", (SELECT true FROM dibs.\"Meeting\" o WHERE o.\"provider\" = m.\"provider\" AND o.\"externalId\" = m.\"externalId\""
	"  AND o.\"bookingUlid\" IS NOT NULL AND o.\"state\" <> 'gone' LIMIT 1) IS NOT NULL "
	"FROM due m LEFT JOIN taken k ON k.\"ulid\" = m.\"ulid\" WHERE m.\"pendingFree\" IS NULL OR k.\"ulid\" IS NOT NULL",
	6,
	{TIMESTAMPTZOID, TEXTOID, INT8OID, BPCHAROID, TIMESTAMPTZOID, BOOLOID},
	NULL};

/*
 * What the claims are about to do, in the same transaction: new meetings, what becomes of existing ones, and meetings
 * that lose their booking to a new one. $1 … arrays, one element a claim.
 */
static DibsStatement detach_sql = {
	"UPDATE dibs.\"Meeting\" m SET \"bookingUlid\" = NULL, \"dueAt\" = '-infinity', \"updatedAt\" = $3"
	" FROM unnest($1, $2) AS s(\"ulid\", \"userUlid\")"
	" WHERE m.\"ulid\" = s.\"ulid\"::char(26) AND m.\"userUlid\" = s.\"userUlid\"::char(26)",
	3,
	{TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID},
	NULL};

static DibsStatement insert_meetings_sql = {
	"INSERT INTO dibs.\"Meeting\" (\"ulid\", \"userUlid\", \"bookingUlid\", \"provider\", \"state\", \"account\", \"host\","
	" \"externalId\", \"marker\", \"adopted\", \"joinUrl\", \"hostUrl\", \"passcode\", \"startTime\", \"endTime\","
	" \"digest\", \"version\", \"sentAt\", \"fence\")"
	" SELECT s.*, $18::timestamptz, $19::char(26)"
	" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) AS s",
	19,
	{TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	 TEXTARRAYOID, BOOLARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID,
	 BYTEAARRAYOID, INT4ARRAYOID, TIMESTAMPTZOID, BPCHAROID},
	NULL};

static DibsStatement update_meetings_sql = {
	"UPDATE dibs.\"Meeting\" m SET \"state\" = coalesce(s.\"state\", m.\"state\"), \"fence\" = $13, \"updatedAt\" = $12,"
	" \"provider\" = s.\"provider\", \"host\" = coalesce(s.\"host\", m.\"host\"), \"marker\" = s.\"marker\","
	" \"account\" = CASE WHEN m.\"state\" = 'gone' THEN coalesce(s.\"account\", '') ELSE m.\"account\" END,"
	" \"externalId\" = CASE WHEN m.\"state\" = 'gone' THEN NULL ELSE m.\"externalId\" END,"
	" \"externalUuid\" = CASE WHEN m.\"state\" = 'gone' THEN NULL ELSE m.\"externalUuid\" END,"
	" \"lookups\" = CASE WHEN s.\"state\" = 'creating' AND m.\"state\" = 'gone' THEN 0 ELSE m.\"lookups\" END,"
	" \"digest\" = CASE WHEN s.\"fresh\" THEN s.\"digest\" ELSE m.\"digest\" END,"
	" \"startTime\" = coalesce(s.\"startTime\", m.\"startTime\"), \"endTime\" = coalesce(s.\"endTime\", m.\"endTime\"),"
	" \"sentAt\" = CASE WHEN s.\"state\" IS NULL THEN m.\"sentAt\" ELSE $12 END"
	" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
	" AS s(\"ulid\", \"userUlid\", \"state\", \"provider\", \"host\", \"marker\", \"digest\", \"fresh\","
	"  \"startTime\", \"endTime\", \"account\")"
	" WHERE m.\"ulid\" = s.\"ulid\"::char(26) AND m.\"userUlid\" = s.\"userUlid\"::char(26)",
	13,
	{TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, BYTEAARRAYOID, BOOLARRAYOID,
	 TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID, BPCHAROID},
	NULL};

static DibsStatement update_pending_sql = {
	"UPDATE dibs.\"PendingMeeting\" p SET \"action\" = s.\"action\", \"meetingUlid\" = s.\"meetingUlid\""
	" FROM unnest($1, $2, $3, $4) AS s(\"ulid\", \"userUlid\", \"action\", \"meetingUlid\")"
	" WHERE p.\"ulid\" = s.\"ulid\"::char(26) AND p.\"userUlid\" = s.\"userUlid\"::char(26) AND p.\"fence\" = $5",
	5,
	{TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, BPCHAROID},
	NULL};

/*
 * $1 … $3 arrays: rows that look for their meeting by its marker, with the two halves of that. What is on record of
 * other rows whose meetings bear one of these: a booking that goes to another coach keeps its ulid, one that is deleted
 * and written anew its uid, so the marker alone does not tell an old meeting from the new one.
 */
static DibsStatement recorded_sql = {
	"SELECT s.\"ulid\", o.\"externalId\""
	" FROM unnest($1, $2, $3) AS s(\"ulid\", \"booking\", \"uid\") CROSS JOIN LATERAL ("
	" SELECT m.* FROM dibs.\"Meeting\" m WHERE m.\"bookingUlid\" = s.\"booking\"::char(26)"
	" UNION ALL SELECT m.* FROM dibs.\"CalBooking\" b JOIN dibs.\"Meeting\" m ON m.\"bookingUlid\" = b.\"ulid\" AND"
	"  m.\"userUlid\" = b.\"userUlid\" WHERE b.\"calBookingUid\" = s.\"uid\" AND b.\"ulid\" <> s.\"booking\"::char(26)"
	" UNION ALL SELECT m.* FROM dibs.\"Meeting\" m WHERE m.\"bookingUlid\" IS NULL AND m.\"state\" <> 'gone'"
	"  AND (substr(m.\"marker\", 6, 26) = s.\"booking\" OR substr(m.\"marker\", 33) = s.\"uid\")) o"
	" WHERE o.\"ulid\" <> s.\"ulid\"::char(26) AND o.\"state\" <> 'gone' AND o.\"externalId\" IS NOT NULL",
	3,
	{TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID},
	NULL};

static const char *const action_names[] = {"none", "create", "update", "delete", "lookup"};

int
dibs_lease_ms(void)
{
	return dibs_request_timeout + 2 * dibs_lease_margin;
}

const char *
dibs_meeting_state_name(DibsMeetingState state)
{
	static const char *const names[] = {"pending", "ready", "delayed", "failed", "not_needed", NULL};

	return names[state];
}

static void
read_meeting(DibsClaim *claim, uint64 row, int first)
{
	DibsMeetingKnown *known = &claim->work.known;
	bool isnull;
	Datum digest;

	known->ulid = dibs_column(row, first + M_ULID);
	claim->meeting_state = dibs_column(row, first + M_STATE);
	claim->meeting_provider = dibs_column(row, first + M_PROVIDER);
	claim->meeting_account = dibs_column(row, first + M_ACCOUNT);
	known->host = dibs_column(row, first + M_HOST);
	known->external_id = dibs_column(row, first + M_EXTERNAL_ID);
	known->external_uuid = dibs_column(row, first + M_EXTERNAL_UUID);
	known->marker = dibs_column(row, first + M_MARKER);
	claim->adopted = dibs_column_bool(row, first + M_ADOPTED);
	known->join_url = dibs_column(row, first + M_JOIN_URL);
	known->host_url = dibs_column(row, first + M_HOST_URL);
	known->passcode = dibs_column(row, first + M_PASSCODE);
	claim->managed = dibs_column_bool(row, first + M_MANAGED);
	claim->lookups = dibs_column_int(row, first + M_LOOKUPS);
	claim->meeting_sent = dibs_column_time(row, first + M_SENT_AT);
	claim->meeting_start = dibs_column_time(row, first + M_START);
	digest = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, first + M_DIGEST, &isnull);
	if (!isnull)
		claim->known_digest = DatumGetByteaPCopy(digest);
}

/*
 * When was this booking made, at the latest? A client may set "createdAt", so its ulid has a say, too. What lies ahead
 * says nothing: such a booking counts as old, and is looked for where that matters.
 */
static TimestampTz
made_at(const char *ulid, TimestampTz created, TimestampTz now)
{
	static const int64 epoch_ms = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;
	DibsUlid parsed;
	TimestampTz at;

	if (!dibs_ulid_parse(ulid, strlen(ulid), &parsed))
		return DT_NOBEGIN;
	at = ((int64) dibs_ulid_ms(&parsed) - epoch_ms) * 1000;
	at = Min(at, created);
	return at > now ? DT_NOBEGIN : at;
}

static void
read_booking(DibsClaim *claim, uint64 row, TimestampTz now)
{
	DibsMeetingWanted *wanted = &claim->wanted;
	bool isnull;
	Datum settings;

	claim->subject = claim->booking_ulid = dibs_column(row, B_ULID);
	claim->user_ulid = dibs_column(row, B_USER);
	claim->attempts = dibs_column_int(row, B_ATTEMPTS);
	claim->generation = dibs_column_int(row, B_WANTED);
	claim->status = dibs_column(row, B_STATUS);
	claim->wish = dibs_column(row, B_WISH);
	claim->location_kind = dibs_column(row, B_LOCATION_KIND);
	claim->location_value = dibs_column(row, B_LOCATION_VALUE);
	claim->row_join_url = dibs_column(row, B_JOIN_URL);
	claim->row_host_url = dibs_column(row, B_HOST_URL);
	claim->row_meeting_id = dibs_column(row, B_MEETING_ID);
	claim->row_passcode = dibs_column(row, B_PASSCODE);
	claim->row_state = dibs_column(row, B_STATE);
	claim->row_error = dibs_column(row, B_ERROR);
	claim->created = made_at(claim->booking_ulid, dibs_column_time(row, B_CREATED), now);
	claim->static_links = dibs_column_bool(row, B_STATIC);
	claim->static_join_url = dibs_column(row, B_STATIC_JOIN_URL);
	claim->static_host_url = dibs_column(row, B_STATIC_HOST_URL);
	claim->zoom_host = dibs_column(row, B_ZOOM_HOST);
	claim->zoom_grant = dibs_column(row, B_GRANT);
	claim->event_type_provider = dibs_column(row, B_EVENT_TYPE_PROVIDER);
	claim->coach_provider = dibs_column(row, B_COACH_PROVIDER);
	claim->location_policy = dibs_column(row, B_LOCATION_POLICY);

	wanted->booking_ulid = claim->booking_ulid;
	wanted->user_ulid = claim->user_ulid;
	wanted->uid = dibs_column(row, B_UID);
	wanted->topic = dibs_column(row, B_TITLE);
	wanted->agenda = dibs_column(row, B_DESCRIPTION);
	wanted->start = dibs_column_time(row, B_START);
	wanted->end = dibs_column_time(row, B_END);
	wanted->group = dibs_column_bool(row, B_GROUP);
	wanted->seats = dibs_column_int(row, B_SEATS);
	wanted->room = dibs_column(row, B_ROOM);
	wanted->time_zone = dibs_column(row, B_TIME_ZONE);
	settings = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, B_SETTINGS, &isnull);
	if (!isnull)
		wanted->settings = DatumGetJsonbPCopy(settings);
	read_meeting(claim, row, B_MEETING);
}

static DibsClaim *
new_claim(MemoryContext parent, const char *fence, int64 lease_end)
{
	MemoryContext context = AllocSetContextCreate(parent, "dibs claim", ALLOCSET_SMALL_SIZES);
	DibsClaim *claim = MemoryContextAllocZero(context, sizeof(DibsClaim));

	claim->context = context;
	claim->lease_end = lease_end;
	strlcpy(claim->fence, fence, sizeof(claim->fence));
	claim->state = DIBS_MEETING_UNCHANGED;
	claim->work.wanted = &claim->wanted;
	return claim;
}

/* One of the two claims; its rows are SPI's last result. */
typedef struct ClaimRun
{
	DibsStatement *statement;
	const DibsCaution *caution; /* NULL for tombstones */
	MemoryContext parent;
	TimestampTz now;
	char fence[DIBS_ULID_LEN + 1];
	int64 lease_end; /* by the monotonic clock */
	Datum values[6];
	uint64 rows;
	SPITupleTable *table;
	List *claims; /* that are decided next */
} ClaimRun;

static bool
execute_claim(void *arg)
{
	ClaimRun *run = (ClaimRun *) arg;

	run->rows = dibs_execute(run->statement, run->values, NULL, false, SPI_OK_SELECT);
	run->table = SPI_tuptable;
	return true;
}

bool
dibs_claims_lock(bool wait)
{
	LOCKTAG tag;
	int level;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, CLAIM_LOCK_CLASSID, 0, CLAIM_LOCK_OBJSUBID);
	if (!wait)
		return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
	/* a session's lock_timeout is about what it locks; this is a moment's queue, which a cancel ends */
	level = NewGUCNestLevel();
	(void) set_config_option("lock_timeout", "0", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	AtEOXact_GUC(true, level);
	return true;
}

/*
 * Takes it for granted that what nothing says it of has no work on record. Where that is wrong (a lease that was lost,
 * an outcome that could not be written to its booking yet), every row is looked at, and for a while at once. Where it
 * is wrong even then, another claimer was quicker, and nothing is claimed. NULL, or what else went wrong.
 */
static ErrorData *
run_claim(ClaimRun *run, int n)
{
	static int64 look_until = 0;
	int64 begun = dibs_monotonic_ms();

	if (!dibs_ulid_generate(run->fence))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	run->lease_end = begun + dibs_lease_ms();
	run->values[0] = TimestampTzGetDatum(run->now);
	run->values[1] = CStringGetTextDatum(dibs_instance());
	run->values[2] = Int64GetDatum(n);
	run->values[3] = CStringGetTextDatum(run->fence);
	run->values[4] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(run->now, dibs_lease_ms()));
	for (int look = begun < look_until; look <= 1; look++)
	{
		ErrorData *error;

		run->values[5] = BoolGetDatum(look == 1);
		error = dibs_attempt(execute_claim, run);
		if (error == NULL || error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
			return error;
		FreeErrorData(error);
		look_until = begun + LOOK_MS;
	}
	run->rows = 0;
	return NULL;
}

/* Tells those that look for a meeting by its marker ("dibs:", a ulid, a colon, a uid) which ones are another row's. */
static void
note_recorded(List *claims)
{
	const size_t uid = strlen("dibs:") + DIBS_ULID_LEN + 1;
	DibsColumns *lookups = dibs_columns("ttt");
	Datum values[3];
	ListCell *lc;
	uint64 rows;

	foreach (lc, claims)
	{
		const DibsClaim *claim = (DibsClaim *) lfirst(lc);
		const char *marker = claim->work.known.marker;

		if (claim->work.action == DIBS_ACTION_LOOKUP && marker != NULL && strlen(marker) >= uid)
			dibs_add_row(lookups, claim->work.known.ulid, pnstrdup(marker + strlen("dibs:"), DIBS_ULID_LEN),
						 marker + uid);
	}
	if (dibs_column_arrays(lookups, values) == 0)
		return;
	rows = dibs_execute(&recorded_sql, values, NULL, false, SPI_OK_SELECT);
	for (uint64 row = 0; row < rows; row++)
	{
		const char *ulid = dibs_column(row, 1);

		foreach (lc, claims)
		{
			DibsClaim *claim = (DibsClaim *) lfirst(lc);
			MemoryContext old;

			if (claim->work.action != DIBS_ACTION_LOOKUP || strcmp(claim->work.known.ulid, ulid) != 0)
				continue;
			old = MemoryContextSwitchTo(claim->context);
			claim->work.recorded = lappend(claim->work.recorded, dibs_column(row, 2));
			MemoryContextSwitchTo(old);
		}
	}
}

/* Writes down what is about to be done; nothing goes on the wire before this is committed. */
static void
record_intent(List *claims, const char *fence, TimestampTz now)
{
	DibsColumns *detached = dibs_columns("tt");
	DibsColumns *made = dibs_columns("tttttttttbtttzzyi");
	DibsColumns *changed = dibs_columns("ttttttybzzt");
	DibsColumns *pending = dibs_columns("tttt");
	Datum values[19];
	ListCell *lc;

	foreach (lc, claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);
		const DibsMeetingKnown *known = &claim->work.known;
		bool sent = claim->new_state && !claim->tombstone;

		if (claim->detach != NULL)
			dibs_add_row(detached, claim->detach, claim->user_ulid);
		if (claim->meeting_insert)
			dibs_add_row(made, known->ulid, claim->user_ulid, claim->booking_ulid, claim->work.provider->name,
						 claim->new_state, claim->meeting_account ? claim->meeting_account : "", known->host,
						 known->external_id, known->marker, claim->adopted, known->join_url, known->host_url,
						 known->passcode, claim->wanted.start, claim->wanted.end, claim->digest, claim->generation);
		/* nothing to send, and nothing to write about it either */
		else if (known->ulid != NULL &&
				 !(claim->finished && claim->work.verdict != DIBS_VERDICT_GONE &&
				   (claim->work.verdict != DIBS_VERDICT_DONE || claim->work.provider->make == NULL)))
			/*
			 * A create's content is known from here on, an update's only once it was answered; the host's time is taken
			 * whatever the provider will say.
			 */
			dibs_add_row(changed, known->ulid, claim->user_ulid, claim->new_state, claim->work.provider->name,
						 known->host, known->marker, claim->digest, claim->work.action == DIBS_ACTION_CREATE,
						 sent ? claim->wanted.start : 0, sent ? claim->wanted.end : 0, claim->meeting_account);
		if (!claim->finished)
			dibs_add_row(pending, claim->subject, claim->user_ulid, action_names[claim->work.action], known->ulid);
	}
	if (dibs_column_arrays(detached, values) > 0)
	{
		values[2] = TimestampTzGetDatum(now);
		(void) dibs_execute(&detach_sql, values, NULL, false, SPI_OK_UPDATE);
	}
	if (dibs_column_arrays(made, values) > 0)
	{
		values[17] = TimestampTzGetDatum(now);
		values[18] = CStringGetTextDatum(fence);
		(void) dibs_execute(&insert_meetings_sql, values, NULL, false, SPI_OK_INSERT);
	}
	if (dibs_column_arrays(changed, values) > 0)
	{
		values[11] = TimestampTzGetDatum(now);
		values[12] = CStringGetTextDatum(fence);
		(void) dibs_execute(&update_meetings_sql, values, NULL, false, SPI_OK_UPDATE);
	}
	if (dibs_column_arrays(pending, values) > 0)
	{
		values[4] = CStringGetTextDatum(fence);
		(void) dibs_execute(&update_pending_sql, values, NULL, false, SPI_OK_UPDATE);
	}
}

static DibsClaim *
read_claim(const ClaimRun *run, uint64 row)
{
	DibsClaim *claim = new_claim(run->parent, run->fence, run->lease_end);
	MemoryContext old = MemoryContextSwitchTo(claim->context);

	SPI_tuptable = run->table;
	if (run->caution != NULL)
		read_booking(claim, row, run->now);
	else
	{
		claim->tombstone = true;
		claim->subject = dibs_column(row, 1);
		claim->user_ulid = dibs_column(row, 2);
		claim->attempts = dibs_column_int(row, 3);
		read_meeting(claim, row, 4);
		claim->recorded_elsewhere = dibs_column_bool(row, 4 + M_COUNT);
		claim->work.wanted = NULL;
	}
	MemoryContextSwitchTo(old);
	return claim;
}

/* What is to be done for the run's claims, and its record. */
static bool
decide(void *arg)
{
	ClaimRun *run = (ClaimRun *) arg;
	ListCell *lc;

	foreach (lc, run->claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);
		MemoryContext old = MemoryContextSwitchTo(claim->context);

		dibs_reconcile(claim, run->now, run->caution);
		MemoryContextSwitchTo(old);
	}
	if (run->caution != NULL)
		dibs_assign_hosts(run->claims, run->now);
	note_recorded(run->claims);
	record_intent(run->claims, run->fence, run->now);
	return true;
}

/*
 * What could not be decided goes to its booking, and comes back after its back-off. An error that says nothing of the
 * row leaves nothing on it.
 */
static void
put_off(DibsClaim *claim, TimestampTz now, const ErrorData *error)
{
	MemoryContext old = MemoryContextSwitchTo(claim->context);
	const char *message = error->message;

	if (dibs_error_passes(error))
	{
		claim->finished = claim->release = true;
		claim->work.retry_at = dibs_next_try(now, 1, 0, 0);
	}
	else
	{
		claim->attempts++;
		dibs_claim_wait(claim, dibs_next_try(now, claim->attempts, 0, 0), "not_claimable", "%.*s",
						pg_mbcliplen(message, (int) strlen(message), MAX_REASON), message);
		ereport(WARNING, (errcode(error->sqlerrcode),
						  errmsg("nothing can be done for the %s %s: %s", claim->tombstone ? "meeting" : "booking",
								 claim->subject, message)));
	}
	MemoryContextSwitchTo(old);
}

/*
 * Claims, and decides for all rows at once. Where that fails it is decided for one after the other, so that a row for
 * which it can't be done stops no other; not, where the error would meet each of them.
 */
static List *
claim_rows(ClaimRun *run, int n, ErrorData **failed)
{
	ErrorData *error;
	List *claims = NIL;

	run->now = GetCurrentTimestamp();
	*failed = run_claim(run, n);
	if (*failed != NULL || run->rows == 0)
		return NIL;
	for (uint64 row = 0; row < run->rows; row++)
		run->claims = lappend(run->claims, read_claim(run, row));
	error = dibs_attempt(decide, run);
	if (error == NULL)
		return run->claims;
	for (uint64 row = 0; row < run->rows; row++)
	{
		DibsClaim *claim = read_claim(run, row);

		if (error == NULL || !dibs_error_passes(error))
		{
			run->claims = list_make1(claim);
			error = dibs_attempt(decide, run);
			if (error != NULL)
				claim = read_claim(run, row);
		}
		if (error != NULL)
			put_off(claim, run->now, error);
		claims = lappend(claims, claim);
	}
	if (error != NULL && dibs_error_passes(error))
		ereport(WARNING, (errcode(error->sqlerrcode), errmsg("what is due has to wait: %s", error->message)));
	return claims;
}

List *
dibs_claim_bookings(MemoryContext parent, int n, const DibsCaution *caution, ErrorData **failed)
{
	ClaimRun run = {.statement = &claim_bookings_sql, .parent = parent, .caution = caution};

	return claim_rows(&run, n, failed);
}

List *
dibs_claim_tombstones(MemoryContext parent, int n, ErrorData **failed)
{
	ClaimRun run = {.statement = &claim_tombstones_sql, .parent = parent};

	return claim_rows(&run, n, failed);
}
