/*
 * seats.c
 *		Who is in: people who come, leave, move to another session or stay away, and what follows for the booking.
 */
#include "compat.h"

#include "booking/apply.h"

DibsRoster *
dibs_apply_roster(DibsApply *a)
{
	if (a->roster == NULL)
		a->roster = a->is_new ? dibs_roster_new() : dibs_roster_read(a->row.ulid, a->row.stored_user_ulid);
	return a->roster;
}

/*
 * Who is in by what was read at the source. What is known already stays untouched, so that reading a booking again and
 * again writes nothing.
 */
static void
read_people(DibsApply *a)
{
	const DibsBookingChange *change = a->change;
	DibsRoster *roster = dibs_apply_roster(a);
	TimestampTz at = Max(change->read_at, a->stamp);
	int position = 0;
	ListCell *lc;

	foreach (lc, change->people)
	{
		const DibsPerson *person = lfirst(lc);

		if (!dibs_roster_knows(roster, person))
			a->roster_changed |= dibs_roster_add(roster, person, a->is_new ? a->stamp : at, position, false);
		if (dibs_roster_absence(roster, person) != person->no_show)
			a->roster_changed |= dibs_roster_no_show(roster, person, at);
		position++;
	}
	if (change->everybody && change->people != NIL && !a->earlier)
		a->roster_changed |= dibs_roster_keep_only(roster, change->people, at);
}

void
dibs_apply_people(DibsApply *a)
{
	bool weak = a->change->verb != DIBS_VERB_DESCRIBE;
	int position = 0;
	ListCell *lc;

	if (a->change->read_at != 0)
	{
		/* what has been replaced has its people no more, and an empty list may be a hidden one */
		if (!a->earlier && a->change->people != NIL)
			read_people(a);
		return;
	}
	foreach (lc, a->change->people)
		a->roster_changed |= dibs_roster_add(dibs_apply_roster(a), lfirst(lc), a->stamp, position++, weak);
}

/* A session that its last person's leaving has ended has that person's reasons, unless its source gave its own. */
static void
give_reasons(DibsBookingRow *row, const DibsParticipant *last)
{
	if (row->stamps[DIBS_FIELD_CANCELLATION] != DIBS_STAMP_UNSET)
		return;
	dibs_row_set_text(row, DIBS_COL_CANCELLATION_REASON, last != NULL ? last->reason : NULL);
	dibs_row_set_text(row, DIBS_COL_CANCELLED_BY, last != NULL ? last->cancelled_by : NULL);
}

/* The columns that are derived from who is in, and a group session's end when the last one left. */
void
dibs_apply_derive(DibsApply *a)
{
	DibsBookingRow *row = &a->row;
	DibsParticipant *primary;
	int confirmed;
	DibsStatus status;

	/* a status that a group session's source repeats says nothing about whether anybody is left */
	if (row->dirty && dibs_row_text_is(row, DIBS_COL_BOOKING_TYPE, "GROUP"))
		(void) dibs_apply_roster(a);
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
		give_reasons(row, NULL);
		dibs_row_stamp(row, DIBS_FIELD_EMPTY, DIBS_STAMP_UNSET);
	}
	if (confirmed == 0 && row->stamps[DIBS_FIELD_EMPTY] != DIBS_STAMP_UNSET)
		give_reasons(row, dibs_roster_last_leaver(a->roster));
}

/* A change that names a seat may list all the people of the session that it moves to. */
static const DibsPerson *
one_who_moves(const DibsBookingChange *change)
{
	ListCell *lc;

	foreach (lc, change->people)
	{
		const DibsPerson *person = lfirst(lc);

		if (person->seat_id != NULL && strcmp(person->seat_id, change->seat_id) == 0)
			return person;
	}
	return linitial(change->people);
}

/* The people who left for another booking. */
void
dibs_apply_seats_leave(DibsApply *a, const char *uid)
{
	DibsApply old = *a;
	DibsApplied unused = {0};
	char ulid[DIBS_ULID_LEN + 1];
	char user[DIBS_ULID_LEN + 1];
	bool everybody = list_length(a->change->people) > 1 && a->change->seat_id == NULL;
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
	dibs_apply_existing(&old);
	foreach (lc, a->change->people)
	{
		if (a->change->seat_id == NULL || lfirst(lc) == one_who_moves(a->change))
			old.roster_changed |= dibs_roster_remove(dibs_apply_roster(&old), lfirst(lc), a->stamp);
	}
	if (everybody &&
		(old.row.stamps[DIBS_FIELD_STATUS] == DIBS_STAMP_UNSET || a->stamp > old.row.stamps[DIBS_FIELD_STATUS]))
	{
		/* the owner moved the whole session onto another: the old one is closed without a word of its own */
		if (!dibs_status_is_over(old.old_status))
			dibs_row_set_text(&old.row, DIBS_COL_STATUS, dibs_status_name(DIBS_STATUS_CANCELLED));
		dibs_row_stamp(&old.row, DIBS_FIELD_STATUS, a->stamp);
		dibs_row_stamp(&old.row, DIBS_FIELD_ENDED, a->stamp);
	}
	dibs_apply_finish(&old);
}

/* A seat that moves touches two sessions: both are locked before either is read, in dibs_apply_lock_two()'s order. */
void
dibs_apply_lock_sessions(const char *uid, const char *other)
{
	char ulid[DIBS_ULID_LEN + 1], user[DIBS_ULID_LEN + 1];
	char ulid2[DIBS_ULID_LEN + 1], user2[DIBS_ULID_LEN + 1];
	DibsBookingRow row, row2;

	if (dibs_row_resolve(uid, ulid, user) == DIBS_FOUND_LIVE &&
		dibs_row_resolve(other, ulid2, user2) == DIBS_FOUND_LIVE && strcmp(ulid, ulid2) != 0 &&
		!dibs_apply_lock_two(ulid, user, &row, ulid2, user2, &row2))
		dibs_row_conflict();
}

void
dibs_apply_seat_gone(DibsApply *a)
{
	ListCell *lc;

	if (!dibs_apply_lock_known(a))
		return;
	foreach (lc, a->change->people)
		a->roster_changed |= dibs_roster_remove(dibs_apply_roster(a), lfirst(lc), a->stamp);
	a->lost = !a->roster_changed;
	dibs_apply_finish(a);
}

void
dibs_apply_no_show(DibsApply *a)
{
	ListCell *lc;

	if (!dibs_apply_lock_known(a))
		return;
	foreach (lc, a->change->people)
		a->roster_changed |= dibs_roster_no_show(dibs_apply_roster(a), lfirst(lc), a->stamp);
	a->lost = !a->roster_changed;
	dibs_apply_finish(a);
}
