/*
 * fields.c
 *		Which of a booking's columns a change sets: every group keeps the time at which its sender set it. And what
 *		happens to them when the uid is replaced, or when two rows turn out to be one booking.
 */
#include "compat.h"

#include "utils/builtins.h"

#include "booking/apply.h"

/* Details that came with a change that does not describe the booking: older than anything that does. */
#define WEAK_SHIFT (INT64CONST(36525) * USECS_PER_DAY)

/* The columns of each group. */
static const DibsColumn field_columns[DIBS_FIELD_COUNT][3] = {
	[DIBS_FIELD_STATUS] = {DIBS_COL_STATUS, DIBS_COL_COUNT},
	[DIBS_FIELD_TIME] = {DIBS_COL_START, DIBS_COL_END, DIBS_COL_DURATION},
	[DIBS_FIELD_SOURCE_ID] = {DIBS_COL_SOURCE_ID, DIBS_COL_COUNT},
	[DIBS_FIELD_TITLE] = {DIBS_COL_TITLE, DIBS_COL_COUNT},
	[DIBS_FIELD_DESCRIPTION] = {DIBS_COL_DESCRIPTION, DIBS_COL_COUNT},
	[DIBS_FIELD_EVENT_TYPE] = {DIBS_COL_EVENT_TYPE, DIBS_COL_COUNT},
	[DIBS_FIELD_EVENT_SLUG] = {DIBS_COL_EVENT_SLUG, DIBS_COL_COUNT},
	[DIBS_FIELD_SEATS] = {DIBS_COL_BOOKING_TYPE, DIBS_COL_COUNT},
	[DIBS_FIELD_LOCATION] = {DIBS_COL_LOCATION, DIBS_COL_COUNT},
	[DIBS_FIELD_ANSWERS] = {DIBS_COL_ANSWERS, DIBS_COL_COUNT},
	[DIBS_FIELD_METADATA] = {DIBS_COL_METADATA, DIBS_COL_COUNT},
	[DIBS_FIELD_PAID] = {DIBS_COL_PAID, DIBS_COL_COUNT},
	[DIBS_FIELD_PRICE] = {DIBS_COL_AMOUNT, DIBS_COL_COUNT},
	[DIBS_FIELD_CANCELLATION] = {DIBS_COL_CANCELLATION_REASON, DIBS_COL_CANCELLED_BY, DIBS_COL_COUNT},
	[DIBS_FIELD_RESCHEDULING] = {DIBS_COL_RESCHEDULING_REASON, DIBS_COL_RESCHEDULED_BY, DIBS_COL_COUNT},
	[DIBS_FIELD_UID] = {DIBS_COL_COUNT},
	[DIBS_FIELD_ENDED] = {DIBS_COL_COUNT},
	[DIBS_FIELD_EMPTY] = {DIBS_COL_COUNT},
	[DIBS_FIELD_HOST_ABSENT] = {DIBS_COL_HOST_ABSENT, DIBS_COL_COUNT},
	[DIBS_FIELD_CAPACITY] = {DIBS_COL_MAX_PARTICIPANTS, DIBS_COL_COUNT},
	[DIBS_FIELD_CURRENCY] = {DIBS_COL_CURRENCY, DIBS_COL_COUNT},
};

/* What belongs to a uid, not to the booking: it begins anew when the uid is replaced. */
static const DibsField uid_fields[] = {DIBS_FIELD_STATUS,     DIBS_FIELD_ENDED,     DIBS_FIELD_EMPTY,
									   DIBS_FIELD_TIME,       DIBS_FIELD_SOURCE_ID, DIBS_FIELD_CANCELLATION,
									   DIBS_FIELD_HOST_ABSENT};

/* What a change says strongly that does not describe the booking. */
#define HAPPENED_STRONG                                                                                                \
	(DIBS_FIELD_BIT(DIBS_FIELD_STATUS) | DIBS_FIELD_BIT(DIBS_FIELD_CANCELLATION) |                                     \
	 DIBS_FIELD_BIT(DIBS_FIELD_RESCHEDULING) | DIBS_FIELD_BIT(DIBS_FIELD_PAID) | DIBS_FIELD_BIT(DIBS_FIELD_PRICE) |    \
	 DIBS_FIELD_BIT(DIBS_FIELD_CURRENCY) | DIBS_FIELD_BIT(DIBS_FIELD_HOST_ABSENT))

/* Who did it and why is one statement: what a later one leaves unsaid, nobody has said. */
#define SAID_WHOLE (DIBS_FIELD_BIT(DIBS_FIELD_CANCELLATION) | DIBS_FIELD_BIT(DIBS_FIELD_RESCHEDULING))

static bool
differs(const DibsApply *a, DibsField field)
{
	DibsBookingRow copy = a->row;

	copy.changed = false;
	for (int i = 0; i < 3 && field_columns[field][i] != DIBS_COL_COUNT; i++)
	{
		DibsColumn column = field_columns[field][i];

		if (a->change->present[column])
			dibs_row_set(&copy, column, a->change->values[column], a->change->nulls[column]);
	}
	return copy.changed;
}

bool
dibs_apply_newest(const DibsApply *a)
{
	for (int f = 0; f < DIBS_FIELD_COUNT; f++)
	{
		if (a->row.stamps[f] != DIBS_STAMP_UNSET && a->row.stamps[f] >= a->stamp)
			return false;
	}
	return true;
}

static bool
is_weak(TimestampTz stamp)
{
	return stamp < -WEAK_SHIFT / 2;
}

/*
 * Is it to replace what is known? The answers of a group session are those of who came first, whoever's news arrives
 * first.
 */
static bool
replaces(const DibsApply *a, DibsField field, TimestampTz at, TimestampTz known)
{
	if (field == DIBS_FIELD_ANSWERS && a->change->seated && is_weak(at) == is_weak(known))
		return at < known;
	return at > known;
}

/* Copies a group's columns where at is later than what is known. */
static void
apply_field(DibsApply *a, DibsField field, TimestampTz at)
{
	const DibsBookingChange *change = a->change;
	DibsBookingRow *row = &a->row;
	TimestampTz known = row->stamps[field];
	bool later = replaces(a, field, at, known);

	/* that a host is there is what everybody takes for granted: to read it again and again is no news */
	if (field == DIBS_FIELD_HOST_ABSENT && known == DIBS_STAMP_UNSET && !differs(a, field))
		return;
	/* the application may have added to the metadata: only what has changed at the source replaces it */
	if (known != DIBS_STAMP_UNSET && !later && change->read_at != 0 && change->read_at > known &&
		field != DIBS_FIELD_METADATA && differs(a, field))
	{
		at = change->read_at;
		later = true;
	}
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
		else if (change->read_at == 0 && (SAID_WHOLE & DIBS_FIELD_BIT(field)))
			dibs_row_set_text(row, column, NULL);
	}
	dibs_row_stamp(row, field, at);
}

static bool
is_ended(DibsStatus status)
{
	return status == DIBS_STATUS_CANCELLED || status == DIBS_STATUS_REJECTED;
}

/* The booking was moved, under the same uid, to a time that lay ahead. */
static bool
moves_ahead(const DibsApply *a)
{
	const DibsBookingRow *row = &a->row;

	return a->change->verb == DIBS_VERB_DESCRIBE && a->change->present[DIBS_COL_START] &&
		   a->stamp > row->stamps[DIBS_FIELD_TIME] &&
		   DatumGetTimestampTz(a->change->values[DIBS_COL_START]) >
			   Max(a->stamp, DatumGetTimestampTz(row->values[DIBS_COL_START]));
}

/*
 * What came about here (a meeting that runs or has taken place, a cancellation by the application) is not undone by a
 * source that merely repeats that the booking is on.
 */
static bool
keep_status(const DibsApply *a, DibsStatus from, DibsStatus to, TimestampTz known)
{
	const DibsBookingRow *row = &a->row;

	if (a->is_new || a->moved || ((from == DIBS_STATUS_IN_PROGRESS || dibs_status_is_over(from)) && moves_ahead(a)))
		return false;
	/* it was cancelled before it could take place, and the clock has completed it before that was known here */
	if (dibs_status_is_over(from))
		return !is_ended(to) || a->stamp >= DatumGetTimestampTz(row->values[DIBS_COL_END]);
	if (from == DIBS_STATUS_IN_PROGRESS)
		return !is_ended(to);
	if (is_ended(from) && !is_ended(to))
		return row->stamps[DIBS_FIELD_ENDED] < known || row->stamps[DIBS_FIELD_ENDED] == DIBS_STAMP_UNSET
				   ? row->stamps[DIBS_FIELD_EMPTY] == DIBS_STAMP_UNSET
				   : false;
	return false;
}

/*
 * One more seat that is still to be paid for says nothing about those who are in: that is only what a session begins
 * with.
 */
static bool
begins_payment(const DibsBookingChange *change)
{
	return change->seated && change->verb == DIBS_VERB_HAPPENED && change->present[DIBS_COL_PAID] &&
		   !DatumGetBool(change->values[DIBS_COL_PAID]);
}

static void
apply_status(DibsApply *a)
{
	DibsBookingRow *row = &a->row;
	TimestampTz known = row->stamps[DIBS_FIELD_STATUS];
	text *t = DatumGetTextPP(a->change->values[DIBS_COL_STATUS]);
	DibsStatus from = dibs_row_status(row);
	DibsStatus to = dibs_status_from_text(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
	TimestampTz stamp = begins_payment(a->change) ? a->stamp - WEAK_SHIFT : a->stamp;
	bool keep;

	if (known != DIBS_STAMP_UNSET && stamp <= known && a->change->read_at != 0 && a->change->read_at > known &&
		to != from && !keep_status(a, from, to, known))
		stamp = a->change->read_at;
	if (known != DIBS_STAMP_UNSET && stamp <= known)
	{
		a->lost |= a->stamp < known;
		if (a->change->ends_booking && a->stamp > row->stamps[DIBS_FIELD_ENDED])
			dibs_row_stamp(row, DIBS_FIELD_ENDED, a->stamp);
		return;
	}
	keep = keep_status(a, from, to, known);
	dibs_row_stamp(row, DIBS_FIELD_STATUS, stamp);
	if (a->change->ends_booking)
		dibs_row_stamp(row, DIBS_FIELD_ENDED, stamp);
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

void
dibs_apply_fields(DibsApply *a)
{
	const DibsBookingChange *change = a->change;
	TimestampTz stamp = a->stamp;
	uint32 strong = change->verb == DIBS_VERB_DESCRIBE ? ~(uint32) 0 : begins_payment(change) ? 0 : HAPPENED_STRONG;

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

void
dibs_apply_forget_reasons(DibsBookingRow *row)
{
	TimestampTz said = row->stamps[DIBS_FIELD_CANCELLATION];

	if (said == DIBS_STAMP_UNSET || said >= row->stamps[DIBS_FIELD_STATUS] || is_ended(dibs_row_status(row)))
		return;
	dibs_row_set_text(row, DIBS_COL_CANCELLATION_REASON, NULL);
	dibs_row_set_text(row, DIBS_COL_CANCELLED_BY, NULL);
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
	dibs_row_set(row, DIBS_COL_HOST_ABSENT, BoolGetDatum(false), false);
	row->dirty = true;
}

/* The booking goes on under another uid: the same row, the same ulid, the same meeting. */
void
dibs_apply_move_uid(DibsApply *a)
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
void
dibs_apply_predecessor(DibsApply *a, const char *uid)
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
void
dibs_apply_merge(DibsApply *a, DibsBookingRow *before)
{
	DibsBookingRow *row = &a->row;
	DibsRoster *mine = dibs_apply_roster(a);
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
