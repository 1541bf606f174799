/*
 * booking.c
 *		Applies one normalised change, whoever sent it.
 *
 * Why the order of arrival does not matter:
 * - Every group of columns keeps the time at which its sender set it; only a later one replaces it ("sourceAt").
 * - A change that only says what became of a booking fills gaps with details older than anything (WEAK_SHIFT).
 * - When a uid is replaced, what earlier uids said counts as said before that moment; status, time and number begin
 *anew. So a change for an earlier uid never moves them.
 * - The parts of one booking that came in as two, because the link between them came last, are merged.
 * - People are ordered one by one (participants.c).
 * - What cannot be said without the booking waits for its uid (applied->waits_for).
 *
 * Locks: the booking's row, in the order of ulids where there are two; "BookingUid" serialises whoever makes a booking.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datum.h"

#include "booking/coach.h"
#include "booking/participants.h"
#include "booking/row.h"
#include "core/jsonbuild.h"
#include "errors.h"
#include "queue/plan.h"
#include "queue/wake.h"

/* Details that came with a change that does not describe the booking: older than anything that does. */
#define WEAK_SHIFT (INT64CONST(36525) * USECS_PER_DAY)
/* A sender's clock that is further ahead would block every later change. */
#define MAX_CLOCK_LEAD USECS_PER_DAY

typedef struct Apply
{
	const DibsBookingChange *change;
	DibsApplied *applied;
	TimestampTz stamp;
	DibsBookingRow row;
	DibsRoster *roster;
	DibsStatus old_status;
	bool is_new;
	bool moved;   /* the uid was replaced */
	bool earlier; /* the change is for a uid that has been replaced */
	bool lost;    /* something newer was known */
	bool time_moved;
	bool roster_changed;
	List *claims; /* uids to note as the booking's */
} Apply;

/* The columns of each group. */
static const DibsColumn field_columns[DIBS_FIELD_COUNT][3] = {
	[DIBS_FIELD_STATUS] = {DIBS_COL_STATUS, DIBS_COL_COUNT},
	[DIBS_FIELD_TIME] = {DIBS_COL_START, DIBS_COL_END, DIBS_COL_DURATION},
	[DIBS_FIELD_SOURCE_ID] = {DIBS_COL_SOURCE_ID, DIBS_COL_COUNT},
	[DIBS_FIELD_TITLE] = {DIBS_COL_TITLE, DIBS_COL_COUNT},
	[DIBS_FIELD_DESCRIPTION] = {DIBS_COL_DESCRIPTION, DIBS_COL_COUNT},
	[DIBS_FIELD_EVENT_TYPE] = {DIBS_COL_EVENT_TYPE, DIBS_COL_COUNT},
	[DIBS_FIELD_EVENT_SLUG] = {DIBS_COL_EVENT_SLUG, DIBS_COL_COUNT},
	[DIBS_FIELD_SEATS] = {DIBS_COL_BOOKING_TYPE, DIBS_COL_MAX_PARTICIPANTS, DIBS_COL_COUNT},
	[DIBS_FIELD_LOCATION] = {DIBS_COL_LOCATION, DIBS_COL_COUNT},
	[DIBS_FIELD_ANSWERS] = {DIBS_COL_ANSWERS, DIBS_COL_COUNT},
	[DIBS_FIELD_METADATA] = {DIBS_COL_METADATA, DIBS_COL_COUNT},
	[DIBS_FIELD_PAID] = {DIBS_COL_PAID, DIBS_COL_COUNT},
	[DIBS_FIELD_PRICE] = {DIBS_COL_AMOUNT, DIBS_COL_CURRENCY, DIBS_COL_COUNT},
	[DIBS_FIELD_CANCELLATION] = {DIBS_COL_CANCELLATION_REASON, DIBS_COL_CANCELLED_BY, DIBS_COL_COUNT},
	[DIBS_FIELD_RESCHEDULING] = {DIBS_COL_RESCHEDULING_REASON, DIBS_COL_RESCHEDULED_BY, DIBS_COL_COUNT},
	[DIBS_FIELD_UID] = {DIBS_COL_COUNT},
	[DIBS_FIELD_ENDED] = {DIBS_COL_COUNT},
	[DIBS_FIELD_EMPTY] = {DIBS_COL_COUNT},
};

/* What belongs to a uid, not to the booking: it begins anew when the uid is replaced. */
static const DibsField uid_fields[] = {DIBS_FIELD_STATUS, DIBS_FIELD_ENDED,     DIBS_FIELD_EMPTY,
									   DIBS_FIELD_TIME,   DIBS_FIELD_SOURCE_ID, DIBS_FIELD_CANCELLATION};

/* What a change says strongly that does not describe the booking. */
#define HAPPENED_STRONG                                                                                                \
	(DIBS_FIELD_BIT(DIBS_FIELD_STATUS) | DIBS_FIELD_BIT(DIBS_FIELD_CANCELLATION) |                                     \
	 DIBS_FIELD_BIT(DIBS_FIELD_RESCHEDULING) | DIBS_FIELD_BIT(DIBS_FIELD_PAID) | DIBS_FIELD_BIT(DIBS_FIELD_PRICE))

static const char *const outcome_names[] = {
	[DIBS_OUTCOME_APPLIED] = "applied",     [DIBS_OUTCOME_STALE] = "stale",   [DIBS_OUTCOME_IGNORED] = "ignored",
	[DIBS_OUTCOME_UNMATCHED] = "unmatched", [DIBS_OUTCOME_FAILED] = "failed",
};

const char *
dibs_outcome_name(DibsEventOutcome outcome)
{
	return outcome_names[outcome];
}

void
dibs_change_set(DibsBookingChange *change, DibsField field, DibsColumn column, Datum value)
{
	change->fields |= DIBS_FIELD_BIT(field);
	change->values[column] = value;
	change->nulls[column] = false;
	change->present[column] = true;
}

void
dibs_change_set_null(DibsBookingChange *change, DibsField field, DibsColumn column)
{
	dibs_change_set(change, field, column, (Datum) 0);
	change->nulls[column] = true;
}

/*
 * The sender's millisecond, then the rank of what is said, then something of the seat's: a total order over events that
 * are not equal.
 */
static TimestampTz
change_stamp(const DibsBookingChange *change, TimestampTz received_at)
{
	TimestampTz at = change->sent_at;
	TimestampTz ms;
	uint32 tie = 0;

	if (at == 0 || at > received_at + MAX_CLOCK_LEAD)
		at = received_at;
	ms = at - (at % 1000 + 1000) % 1000;
	if (change->seated && change->people != NIL)
	{
		const DibsPerson *first = linitial(change->people);
		const char *id = first->seat_id != NULL ? first->seat_id : first->email;

		if (id != NULL)
			tie = hash_bytes((const unsigned char *) id, (int) strlen(id)) % 100;
	}
	return ms + change->rank * 100 + tie;
}

static void
fail(Apply *a, const char *problem)
{
	a->applied->outcome = DIBS_OUTCOME_FAILED;
	a->applied->problem = pstrdup(problem);
}

/* Copies a group's columns where at is later than what is known. */
static void
apply_field(Apply *a, DibsField field, TimestampTz at)
{
	const DibsBookingChange *change = a->change;
	DibsBookingRow *row = &a->row;
	TimestampTz known = row->stamps[field];
	/* the answers of a group session are those of who came first, whoever's news arrives first */
	bool later = field == DIBS_FIELD_ANSWERS && change->seated ? at < known : at > known;

	if (known != DIBS_STAMP_UNSET && !later)
	{
		a->lost |= at < known;
		return;
	}
	for (int i = 0; i < 3 && field_columns[field][i] != DIBS_COL_COUNT; i++)
	{
		DibsColumn column = field_columns[field][i];

		if (change->present[column])
			dibs_row_set(row, column, change->values[column], change->nulls[column]);
	}
	dibs_row_stamp(row, field, at);
}

static bool
is_over(DibsStatus status)
{
	return status == DIBS_STATUS_COMPLETED || status == DIBS_STATUS_NO_SHOW;
}

static bool
is_ended(DibsStatus status)
{
	return status == DIBS_STATUS_CANCELLED || status == DIBS_STATUS_REJECTED;
}

/*
 * What came about here (a meeting that runs or has taken place, a cancellation by the application) is not undone by a
 * source that merely repeats that the booking is on.
 */
static bool
keep_status(const Apply *a, DibsStatus from, DibsStatus to, TimestampTz known)
{
	const DibsBookingRow *row = &a->row;

	if (a->is_new || a->moved)
		return false;
	if (is_over(from))
		return true;
	if (from == DIBS_STATUS_IN_PROGRESS)
		return !is_ended(to);
	if (is_ended(from) && !is_ended(to))
		return row->stamps[DIBS_FIELD_ENDED] < known || row->stamps[DIBS_FIELD_ENDED] == DIBS_STAMP_UNSET
				   ? row->stamps[DIBS_FIELD_EMPTY] == DIBS_STAMP_UNSET
				   : false;
	return false;
}

static void
apply_status(Apply *a)
{
	DibsBookingRow *row = &a->row;
	TimestampTz known = row->stamps[DIBS_FIELD_STATUS];
	text *t = DatumGetTextPP(a->change->values[DIBS_COL_STATUS]);
	DibsStatus from = dibs_row_status(row);
	DibsStatus to = dibs_status_from_text(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
	bool keep;

	if (known != DIBS_STAMP_UNSET && a->stamp <= known)
	{
		a->lost |= a->stamp < known;
		if (a->change->ends_booking && a->stamp > row->stamps[DIBS_FIELD_ENDED])
			dibs_row_stamp(row, DIBS_FIELD_ENDED, a->stamp);
		return;
	}
	keep = keep_status(a, from, to, known);
	dibs_row_stamp(row, DIBS_FIELD_STATUS, a->stamp);
	if (a->change->ends_booking)
		dibs_row_stamp(row, DIBS_FIELD_ENDED, a->stamp);
	if (!keep)
		dibs_row_set(row, DIBS_COL_STATUS, a->change->values[DIBS_COL_STATUS], false);
}

static bool
is_uid_field(DibsField field)
{
	for (size_t i = 0; i < lengthof(uid_fields); i++)
	{
		if (uid_fields[i] == field)
			return true;
	}
	return false;
}

static void
apply_fields(Apply *a)
{
	const DibsBookingChange *change = a->change;
	TimestampTz stamp = a->stamp;
	uint32 strong = change->verb == DIBS_VERB_DESCRIBE ? ~(uint32) 0 : HAPPENED_STRONG;

	if (a->earlier)
		stamp = Min(stamp, a->row.stamps[DIBS_FIELD_UID] - 1);
	for (int f = 0; f < DIBS_FIELD_COUNT; f++)
	{
		DibsField field = (DibsField) f;

		if (!(change->fields & DIBS_FIELD_BIT(f)))
			continue;
		if (a->earlier && is_uid_field(field))
			a->lost = true;
		else if (field == DIBS_FIELD_STATUS)
			apply_status(a);
		else
			apply_field(a, field, strong & DIBS_FIELD_BIT(f) ? stamp : stamp - WEAK_SHIFT);
	}
}

static DibsRoster *
roster(Apply *a)
{
	if (a->roster == NULL)
		a->roster = a->is_new ? dibs_roster_new() : dibs_roster_read(a->row.ulid, a->row.stored_user_ulid);
	return a->roster;
}

static void
apply_people(Apply *a)
{
	bool weak = a->change->verb != DIBS_VERB_DESCRIBE;
	int position = 0;
	ListCell *lc;

	foreach (lc, a->change->people)
		a->roster_changed |= dibs_roster_add(roster(a), lfirst(lc), a->stamp, position++, weak);
}

/* The columns that are derived from who is in, and a group session's end when the last one left. */
static void
derive_from_roster(Apply *a)
{
	DibsBookingRow *row = &a->row;
	DibsParticipant *primary;
	int confirmed;
	DibsStatus status;

	/* a status that a group session's source repeats says nothing about whether anybody is left */
	if (row->dirty && dibs_row_text_is(row, DIBS_COL_BOOKING_TYPE, "GROUP"))
		(void) roster(a);
	if (a->roster == NULL)
		return;
	primary = dibs_roster_settle(a->roster);
	confirmed = dibs_roster_confirmed(a->roster);
	dibs_row_set(row, DIBS_COL_PARTICIPANTS, JsonbPGetDatum(dibs_roster_json(a->roster)), false);
	dibs_row_set(row, DIBS_COL_CURRENT_PARTICIPANTS, Int32GetDatum(confirmed), false);
	if (primary != NULL)
	{
		dibs_row_set_text(row, DIBS_COL_ATTENDEE_EMAIL, primary->email);
		dibs_row_set_text(row, DIBS_COL_ATTENDEE_NAME, primary->name);
		dibs_row_set_text(row, DIBS_COL_ATTENDEE_TIME_ZONE, primary->time_zone);
	}
	if (!dibs_row_text_is(row, DIBS_COL_BOOKING_TYPE, "GROUP"))
		return;
	status = dibs_row_status(row);
	if (confirmed == 0 && a->roster->n > 0 && (status == DIBS_STATUS_CONFIRMED || status == DIBS_STATUS_PENDING))
	{
		dibs_row_set_text(row, DIBS_COL_STATUS, dibs_status_name(DIBS_STATUS_CANCELLED));
		dibs_row_stamp(row, DIBS_FIELD_EMPTY, a->stamp);
	}
	else if (confirmed > 0 && row->stamps[DIBS_FIELD_EMPTY] != DIBS_STAMP_UNSET)
	{
		bool ended = row->stamps[DIBS_FIELD_ENDED] != DIBS_STAMP_UNSET &&
					 row->stamps[DIBS_FIELD_ENDED] >= row->stamps[DIBS_FIELD_STATUS];

		if (status == DIBS_STATUS_CANCELLED && !ended)
			dibs_row_set_text(row, DIBS_COL_STATUS, dibs_status_name(DIBS_STATUS_CONFIRMED));
		dibs_row_stamp(row, DIBS_FIELD_EMPTY, DIBS_STAMP_UNSET);
	}
}

static void
begin_uid_anew(DibsBookingRow *row, TimestampTz at)
{
	for (int f = 0; f < DIBS_FIELD_COUNT; f++)
	{
		if (row->stamps[f] != DIBS_STAMP_UNSET && row->stamps[f] >= at)
			row->stamps[f] = at - 1;
	}
	for (size_t i = 0; i < lengthof(uid_fields); i++)
		row->stamps[uid_fields[i]] = DIBS_STAMP_UNSET;
	dibs_row_set(row, DIBS_COL_SOURCE_ID, (Datum) 0, true);
	dibs_row_set_text(row, DIBS_COL_CANCELLATION_REASON, NULL);
	dibs_row_set_text(row, DIBS_COL_CANCELLED_BY, NULL);
	row->dirty = true;
}

/* The booking goes on under another uid: the same row, the same ulid, the same meeting. */
static void
move_uid(Apply *a)
{
	DibsBookingRow *row = &a->row;
	char *old = dibs_row_text(row, DIBS_COL_UID);

	dibs_row_set_previous(row, lappend(dibs_row_previous(row), old));
	dibs_row_set_text(row, DIBS_COL_RESCHEDULED_FROM, old);
	dibs_row_set_text(row, DIBS_COL_UID, a->change->uid);
	begin_uid_anew(row, a->stamp);
	dibs_row_stamp(row, DIBS_FIELD_UID, a->stamp);
	a->moved = true;
	a->claims = lappend(a->claims, a->change->uid);
	a->claims = lappend(a->claims, old);
}

static bool
list_has(List *uids, const char *uid)
{
	ListCell *lc;

	foreach (lc, uids)
	{
		if (strcmp((char *) lfirst(lc), uid) == 0)
			return true;
	}
	return false;
}

/* The link to a uid that was replaced before the booking was known here. */
static void
note_predecessor(Apply *a, const char *uid)
{
	DibsBookingRow *row = &a->row;
	List *previous = dibs_row_previous(row);

	if (list_has(previous, uid))
		return;
	dibs_row_set_previous(row, lcons(unconstify(char *, uid), previous));
	if (previous == NIL)
		dibs_row_set_text(row, DIBS_COL_RESCHEDULED_FROM, uid);
	a->claims = lappend(a->claims, unconstify(char *, uid));
}

/*
 * row (which has the newest uid) and before turn out to be one booking. The older ulid survives: people have its links.
 * The other row's meeting becomes a tombstone.
 */
static void
merge_rows(Apply *a, DibsBookingRow *before)
{
	DibsBookingRow *row = &a->row;
	DibsRoster *mine = roster(a);
	DibsRoster *theirs = dibs_roster_read(before->ulid, before->stored_user_ulid);
	char *uid = dibs_row_text(before, DIBS_COL_UID);
	bool first = dibs_row_previous(row) == NIL;
	List *previous = lappend(dibs_row_previous(before), uid);

	begin_uid_anew(before, a->stamp);
	for (int f = 0; f < DIBS_FIELD_COUNT; f++)
	{
		if (is_uid_field((DibsField) f) || f == DIBS_FIELD_UID || before->stamps[f] <= row->stamps[f])
			continue;
		for (int i = 0; i < 3 && field_columns[f][i] != DIBS_COL_COUNT; i++)
			dibs_row_set(row, field_columns[f][i], before->values[field_columns[f][i]],
						 before->nulls[field_columns[f][i]]);
		dibs_row_stamp(row, (DibsField) f, before->stamps[f]);
	}
	dibs_row_set_previous(row, list_concat(previous, dibs_row_previous(row)));
	if (first)
		dibs_row_set_text(row, DIBS_COL_RESCHEDULED_FROM, uid);
	if (row->stamps[DIBS_FIELD_UID] == DIBS_STAMP_UNSET)
		dibs_row_stamp(row, DIBS_FIELD_UID, a->stamp);
	a->roster_changed = true;

	if (strcmp(before->ulid, row->ulid) < 0)
	{
		dibs_row_delete(row->ulid, row->stored_user_ulid);
		dibs_uid_repoint(row->ulid, row->stored_user_ulid, before->ulid, row->user_ulid);
		strlcpy(row->ulid, before->ulid, sizeof(row->ulid));
		strlcpy(row->stored_user_ulid, before->stored_user_ulid, sizeof(row->stored_user_ulid));
		dibs_roster_merge(theirs, mine);
		a->roster = theirs;
	}
	else
	{
		dibs_row_delete(before->ulid, before->stored_user_ulid);
		dibs_uid_repoint(before->ulid, before->stored_user_ulid, row->ulid, row->user_ulid);
		dibs_roster_merge(mine, theirs);
	}
	row->dirty = row->changed = true;
}

static DibsStatement insert_event = {
	"INSERT INTO dibs.\"Event\" (\"userUlid\", \"bookingUlid\", \"type\", \"data\") VALUES ($1, $2, $3, $4)",
	4,
	{BPCHAROID, BPCHAROID, TEXTOID, JSONBOID},
};

void
dibs_event_write(const char *user_ulid, const char *booking_ulid, const char *type, Datum data)
{
	Datum values[4] = {CStringGetTextDatum(user_ulid), CStringGetTextDatum(booking_ulid), CStringGetTextDatum(type),
					   data};

	(void) dibs_execute(&insert_event, values, NULL, false, SPI_OK_INSERT);
}

static const char *
event_type(const Apply *a, DibsStatus status)
{
	if (a->is_new)
		return "booking.created";
	if (status != a->old_status && status == DIBS_STATUS_CANCELLED)
		return "booking.cancelled";
	if (status != a->old_status && status == DIBS_STATUS_REJECTED)
		return "booking.rejected";
	if (a->moved || a->time_moved)
		return "booking.rescheduled";
	if (a->old_status == DIBS_STATUS_PENDING && status == DIBS_STATUS_CONFIRMED)
		return "booking.confirmed";
	return "booking.updated";
}

static Datum
event_data(const Apply *a)
{
	DibsStatus status = dibs_row_status(&a->row);
	DibsJson json = {0};

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "uid", dibs_row_text(&a->row, DIBS_COL_UID));
	dibs_json_text_member(&json, "status", dibs_status_name(status));
	if (!a->is_new && status != a->old_status)
		dibs_json_text_member(&json, "previousStatus", dibs_status_name(a->old_status));
	if (a->roster != NULL && (a->roster->added > 0 || a->roster->removed > 0))
	{
		dibs_json_key(&json, "participantsAdded");
		dibs_json_put_int(&json, a->roster->added);
		dibs_json_key(&json, "participantsRemoved");
		dibs_json_put_int(&json, a->roster->removed);
	}
	dibs_json_end_object(&json);
	return JsonbPGetDatum(dibs_json_finish(&json));
}

static void
result(Apply *a)
{
	DibsApplied *applied = a->applied;

	strlcpy(applied->booking_ulid, a->row.ulid, sizeof(applied->booking_ulid));
	strlcpy(applied->user_ulid, a->row.user_ulid, sizeof(applied->user_ulid));
}

/* Writes what is different, once, and says so. */
static void
finish(Apply *a)
{
	DibsBookingRow *row = &a->row;
	bool reassigned = !a->is_new && strcmp(row->user_ulid, row->stored_user_ulid) != 0;
	ListCell *lc;

	derive_from_roster(a);
	if (reassigned)
	{
		(void) roster(a);
		dibs_coach_seen(a->change, row->user_ulid);
		dibs_uid_repoint(row->ulid, row->stored_user_ulid, row->ulid, row->user_ulid);
	}
	if (a->is_new && list_length(a->claims) == 1 && a->roster != NULL && a->roster->n == 1 &&
		a->roster->people[0]->is_primary)
	{
		dibs_row_write_whole(row, a->roster->people[0], "booking.created", event_data(a));
		a->applied->new_uids = a->claims;
		dibs_wake_at_commit();
		result(a);
		return;
	}
	/* the uids first: whoever makes the same booking at this moment waits there */
	foreach (lc, a->claims)
	{
		dibs_uid_claim(lfirst(lc), row->ulid, row->user_ulid);
		a->applied->new_uids = lappend(a->applied->new_uids, lfirst(lc));
	}
	if (row->dirty || reassigned)
		dibs_row_write(row);
	if (a->roster != NULL && (a->roster_changed || reassigned))
		dibs_roster_write(a->roster, row->ulid, row->user_ulid, reassigned);
	if (row->changed || a->roster_changed)
	{
		dibs_event_write(row->user_ulid, row->ulid, event_type(a, dibs_row_status(row)), event_data(a));
		dibs_wake_at_commit();
	}
	else if (a->lost)
		a->applied->outcome = DIBS_OUTCOME_STALE;
	result(a);
}

static void
existing(Apply *a)
{
	a->old_status = dibs_row_status(&a->row);
	a->row.changed = a->row.dirty = false;
}

static void
wait_for(Apply *a, const char *uid)
{
	a->applied->waits_for = pstrdup(uid);
	a->applied->outcome = DIBS_OUTCOME_UNMATCHED;
}

static void
ignore_deleted(Apply *a, const char *ulid, const char *user_ulid)
{
	a->applied->outcome = DIBS_OUTCOME_IGNORED;
	a->applied->problem = pstrdup("its booking has been deleted");
	strlcpy(a->applied->booking_ulid, ulid, DIBS_ULID_LEN + 1);
	strlcpy(a->applied->user_ulid, user_ulid, DIBS_ULID_LEN + 1);
}

static void
create(Apply *a, bool fork)
{
	const DibsBookingChange *change = a->change;
	char user[DIBS_ULID_LEN + 1];

	if (!(change->fields & DIBS_FIELD_BIT(DIBS_FIELD_TIME)))
	{
		fail(a, change->remark != NULL ? change->remark : "there is no start time, and the booking is not known");
		return;
	}
	if (change->people == NIL)
	{
		fail(a, "it names no attendee, and the booking is not known");
		return;
	}
	if (!dibs_coach_find(change, user))
	{
		a->applied->outcome = DIBS_OUTCOME_UNMATCHED;
		a->applied->problem = pstrdup("its organizer is no coach's account yet: dibs.link_account() links it");
		return;
	}
	a->is_new = true;
	a->old_status = DIBS_STATUS_NONE;
	dibs_row_init(&a->row, user);
	dibs_row_set_text(&a->row, DIBS_COL_UID, change->uid);
	dibs_row_set_text(&a->row, DIBS_COL_SOURCE, change->source);
	dibs_row_set_text(&a->row, DIBS_COL_TITLE, "Booking");
	dibs_row_set_text(&a->row, DIBS_COL_ATTENDEE_EMAIL, "");
	a->claims = list_make1(change->uid);
	if (change->previous_uid != NULL)
	{
		/* what a seat leaves stands, and what has gone on under another uid is that one's predecessor */
		if (change->seat_moves || fork)
			dibs_row_set_text(&a->row, DIBS_COL_RESCHEDULED_FROM, change->previous_uid);
		else
		{
			note_predecessor(a, change->previous_uid);
			dibs_row_stamp(&a->row, DIBS_FIELD_UID, a->stamp);
		}
	}
	apply_fields(a);
	apply_people(a);
	dibs_coach_seen(change, user);
	finish(a);
}

/* Another coach has taken the booking over, where the newest word on its time says so. */
static void
follow_organizer(Apply *a)
{
	char user[DIBS_ULID_LEN + 1];

	if (dibs_coach_find_linked(a->change, user) && strcmp(user, a->row.user_ulid) != 0)
	{
		strlcpy(a->row.user_ulid, user, sizeof(a->row.user_ulid));
		a->row.dirty = a->row.changed = true;
	}
}

/* Compares the times before and after. */
static void
apply_to_row(Apply *a)
{
	Datum start = a->row.values[DIBS_COL_START];
	Datum end = a->row.values[DIBS_COL_END];

	apply_fields(a);
	apply_people(a);
	a->time_moved = DatumGetTimestampTz(start) != DatumGetTimestampTz(a->row.values[DIBS_COL_START]) ||
					DatumGetTimestampTz(end) != DatumGetTimestampTz(a->row.values[DIBS_COL_END]);
	finish(a);
}

/* The people who left for another booking. */
static void
seats_leave(Apply *a, const char *uid)
{
	Apply old = *a;
	DibsApplied unused = {0};
	char ulid[DIBS_ULID_LEN + 1];
	char user[DIBS_ULID_LEN + 1];
	bool everybody = list_length(a->change->people) > 1;
	ListCell *lc;

	switch (dibs_row_resolve(uid, ulid, user))
	{
		case DIBS_FOUND_NONE:
			a->applied->waits_for = pstrdup(uid);
			return;
		case DIBS_FOUND_DELETED:
			return;
		case DIBS_FOUND_LIVE:
			break;
	}
	old.applied = &unused;
	old.roster = NULL;
	old.is_new = old.moved = old.lost = old.roster_changed = old.time_moved = false;
	old.claims = NIL;
	if (!dibs_row_lock(ulid, user, &old.row))
		return;
	existing(&old);
	foreach (lc, a->change->people)
		old.roster_changed |= dibs_roster_remove(roster(&old), lfirst(lc), a->stamp);
	if (everybody &&
		(old.row.stamps[DIBS_FIELD_STATUS] == DIBS_STAMP_UNSET || a->stamp > old.row.stamps[DIBS_FIELD_STATUS]))
	{
		/* the owner moved the whole session onto another: the old one is closed without a word of its own */
		if (!is_over(old.old_status))
			dibs_row_set_text(&old.row, DIBS_COL_STATUS, dibs_status_name(DIBS_STATUS_CANCELLED));
		dibs_row_stamp(&old.row, DIBS_FIELD_STATUS, a->stamp);
		dibs_row_stamp(&old.row, DIBS_FIELD_ENDED, a->stamp);
	}
	finish(&old);
}

/* Locks both rows in one order, so that two moves in opposite directions do not wait for each other. */
static bool
lock_two(const char *ulid, const char *user, DibsBookingRow *row, const char *ulid2, const char *user2,
		 DibsBookingRow *row2)
{
	if (strcmp(ulid, ulid2) < 0)
		return dibs_row_lock(ulid, user, row) && dibs_row_lock(ulid2, user2, row2);
	return dibs_row_lock(ulid2, user2, row2) && dibs_row_lock(ulid, user, row);
}

/* A seat that moves touches two sessions: both are locked before either is read, in lock_two()'s order. */
static void
lock_sessions(const char *uid, const char *other)
{
	char ulid[DIBS_ULID_LEN + 1], user[DIBS_ULID_LEN + 1];
	char ulid2[DIBS_ULID_LEN + 1], user2[DIBS_ULID_LEN + 1];
	DibsBookingRow row, row2;

	if (dibs_row_resolve(uid, ulid, user) == DIBS_FOUND_LIVE &&
		dibs_row_resolve(other, ulid2, user2) == DIBS_FOUND_LIVE && strcmp(ulid, ulid2) != 0 &&
		!lock_two(ulid, user, &row, ulid2, user2, &row2))
		dibs_row_conflict();
}

static void
apply_booking(Apply *a)
{
	const DibsBookingChange *change = a->change;
	const char *previous = change->seat_moves ? NULL : change->previous_uid;
	char ulid[DIBS_ULID_LEN + 1], user[DIBS_ULID_LEN + 1];
	char ulid2[DIBS_ULID_LEN + 1], user2[DIBS_ULID_LEN + 1];
	DibsFound found = dibs_row_resolve(change->uid, ulid, user);
	DibsFound found2 = DIBS_FOUND_NONE;
	DibsBookingRow before;

	if (previous != NULL)
		found2 = dibs_row_resolve(previous, ulid2, user2);

	if (found == DIBS_FOUND_DELETED)
	{
		ignore_deleted(a, ulid, user);
		return;
	}
	if (found == DIBS_FOUND_NONE && found2 == DIBS_FOUND_DELETED)
	{
		/* what replaces a deleted booking is deleted with it */
		dibs_uid_claim(change->uid, ulid2, user2);
		ignore_deleted(a, ulid2, user2);
		return;
	}
	if (found == DIBS_FOUND_NONE && found2 == DIBS_FOUND_LIVE)
	{
		if (!dibs_row_lock(ulid2, user2, &a->row))
			dibs_row_conflict();
		existing(a);
		if (!dibs_row_text_is(&a->row, DIBS_COL_UID, previous))
		{
			/* it has been replaced by something else: this is a booking of its own */
			create(a, true);
			return;
		}
		move_uid(a);
		if (change->verb == DIBS_VERB_DESCRIBE)
			follow_organizer(a);
		apply_to_row(a);
		return;
	}
	if (found == DIBS_FOUND_NONE)
	{
		create(a, false);
		return;
	}

	if (found2 == DIBS_FOUND_LIVE && strcmp(ulid, ulid2) != 0)
	{
		if (!lock_two(ulid, user, &a->row, ulid2, user2, &before))
			dibs_row_conflict();
		existing(a);
		/* the predecessor's last uid, and our first: else they are not one booking */
		if (dibs_row_text_is(&before, DIBS_COL_UID, previous) &&
			(dibs_row_previous(&a->row) == NIL ? dibs_row_text_is(&a->row, DIBS_COL_UID, change->uid)
											   : strcmp(linitial(dibs_row_previous(&a->row)), change->uid) == 0))
			merge_rows(a, &before);
	}
	else
	{
		if (!dibs_row_lock(ulid, user, &a->row))
			dibs_row_conflict();
		existing(a);
		if (previous != NULL && found2 == DIBS_FOUND_NONE)
			note_predecessor(a, previous);
	}
	a->earlier = !dibs_row_text_is(&a->row, DIBS_COL_UID, change->uid);
	if (!a->earlier && previous != NULL &&
		(a->row.stamps[DIBS_FIELD_UID] == DIBS_STAMP_UNSET || a->stamp < a->row.stamps[DIBS_FIELD_UID]))
		dibs_row_stamp(&a->row, DIBS_FIELD_UID, a->stamp);
	apply_to_row(a);
}

/* Changes that need a booking that is known. False: they wait, or are ignored. */
static bool
lock_known(Apply *a)
{
	char ulid[DIBS_ULID_LEN + 1], user[DIBS_ULID_LEN + 1];

	switch (dibs_row_resolve(a->change->uid, ulid, user))
	{
		case DIBS_FOUND_NONE:
			wait_for(a, a->change->uid);
			return false;
		case DIBS_FOUND_DELETED:
			ignore_deleted(a, ulid, user);
			return false;
		case DIBS_FOUND_LIVE:
			break;
	}
	if (!dibs_row_lock(ulid, user, &a->row))
		dibs_row_conflict();
	existing(a);
	return true;
}

static void
apply_seat_gone(Apply *a)
{
	ListCell *lc;

	if (!lock_known(a))
		return;
	foreach (lc, a->change->people)
		a->roster_changed |= dibs_roster_remove(roster(a), lfirst(lc), a->stamp);
	a->lost = !a->roster_changed;
	finish(a);
}

static void
apply_no_show(Apply *a)
{
	ListCell *lc;

	if (!lock_known(a))
		return;
	foreach (lc, a->change->people)
		a->roster_changed |= dibs_roster_no_show(roster(a), lfirst(lc), a->stamp);
	a->lost = !a->roster_changed;
	finish(a);
}

static void
apply_note(Apply *a)
{
	char ulid[DIBS_ULID_LEN + 1], user[DIBS_ULID_LEN + 1];

	switch (dibs_row_resolve(a->change->uid, ulid, user))
	{
		case DIBS_FOUND_NONE:
			wait_for(a, a->change->uid);
			return;
		case DIBS_FOUND_DELETED:
			ignore_deleted(a, ulid, user);
			return;
		case DIBS_FOUND_LIVE:
			break;
	}
	dibs_event_write(user, ulid, a->change->note, a->change->note_data);
	strlcpy(a->applied->booking_ulid, ulid, DIBS_ULID_LEN + 1);
	strlcpy(a->applied->user_ulid, user, DIBS_ULID_LEN + 1);
}

void
dibs_booking_apply(const DibsBookingChange *change, TimestampTz received_at, DibsApplied *applied)
{
	Apply a = {0};

	memset(applied, 0, sizeof(*applied));
	applied->outcome = DIBS_OUTCOME_APPLIED;
	a.change = change;
	a.applied = applied;
	a.stamp = change_stamp(change, received_at);

	if (change->problem != NULL)
	{
		fail(&a, change->problem);
		return;
	}
	applied->problem = change->remark;
	switch (change->verb)
	{
		case DIBS_VERB_IGNORE:
			applied->outcome = DIBS_OUTCOME_IGNORED;
			break;
		case DIBS_VERB_DESCRIBE:
			if (change->seat_moves)
				lock_sessions(change->uid, change->previous_uid);
			apply_booking(&a);
			if (change->seat_moves && applied->outcome != DIBS_OUTCOME_UNMATCHED &&
				applied->outcome != DIBS_OUTCOME_FAILED)
				seats_leave(&a, change->previous_uid);
			break;
		case DIBS_VERB_HAPPENED:
			/* a group session's end says nothing about how it came about: without the session it waits for it */
			if (change->seated && change->ends_booking)
			{
				if (!lock_known(&a))
					break;
				a.earlier = !dibs_row_text_is(&a.row, DIBS_COL_UID, change->uid);
				apply_fields(&a);
				finish(&a);
			}
			else
				apply_booking(&a);
			break;
		case DIBS_VERB_SEAT_GONE:
			apply_seat_gone(&a);
			break;
		case DIBS_VERB_NO_SHOW:
			apply_no_show(&a);
			break;
		case DIBS_VERB_NOTE:
			apply_note(&a);
			break;
	}
}
