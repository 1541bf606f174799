/*
 * booking.c
 *		Applies one normalised change, whoever sent it.
 *
 * Why the order of arrival does not matter:
 * - Every group of columns keeps the time at which its sender set it; only a later one replaces it ("sourceAt",
 *   fields.c).
 * - A change that only says what became of a booking fills gaps with details older than anything (WEAK_SHIFT).
 * - When a uid is replaced, what earlier uids said counts as said before that moment; status, time and number begin
 *   anew. So a change for an earlier uid never moves them.
 * - The parts of one booking that came in as two, because the link between them came last, are merged.
 * - People are ordered one by one (seats.c, participants.c).
 * - What cannot be said without the booking waits for its uid (applied->waits_for).
 *
 * Locks: the booking's row, in the order of ulids where there are two; "BookingUid" serialises whoever makes a booking.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "booking/apply.h"
#include "booking/coach.h"
#include "core/jsonbuild.h"
#include "errors.h"
#include "queue/plan.h"
#include "queue/wake.h"

/* A sender's clock that is further ahead would block every later change. */
#define MAX_CLOCK_LEAD USECS_PER_DAY

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
	if (change->seated && change->people != NIL && change->read_at == 0)
	{
		const DibsPerson *first = linitial(change->people);
		const char *id = first->seat_id != NULL ? first->seat_id : first->email;

		if (id != NULL)
			tie = hash_bytes((const unsigned char *) id, (int) strlen(id)) % 100;
	}
	return ms + change->rank * 100 + tie;
}

static void
fail(DibsApply *a, const char *problem)
{
	a->applied->outcome = DIBS_OUTCOME_FAILED;
	a->applied->problem = pstrdup(problem);
}

static const char *
event_type(const DibsApply *a, DibsStatus status)
{
	if (a->is_new)
		return "booking.created";
	if (status != a->old_status && status == DIBS_STATUS_CANCELLED)
		return "booking.cancelled";
	if (status != a->old_status && status == DIBS_STATUS_REJECTED)
		return "booking.rejected";
	/* what was made here first under a name of its own has not moved when it gets the source's */
	if ((a->moved && strncmp(dibs_row_text(&a->row, DIBS_COL_RESCHEDULED_FROM), "dibs_", 5) != 0) || a->time_moved)
		return "booking.rescheduled";
	if (a->old_status == DIBS_STATUS_PENDING && status == DIBS_STATUS_CONFIRMED)
		return "booking.confirmed";
	return "booking.updated";
}

static Datum
event_data(const DibsApply *a)
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
result(DibsApply *a)
{
	DibsApplied *applied = a->applied;

	strlcpy(applied->booking_ulid, a->row.ulid, sizeof(applied->booking_ulid));
	strlcpy(applied->user_ulid, a->row.user_ulid, sizeof(applied->user_ulid));
}

/* Writes what is different, once, and says so. */
void
dibs_apply_finish(DibsApply *a)
{
	DibsBookingRow *row = &a->row;
	bool reassigned = !a->is_new && strcmp(row->user_ulid, row->stored_user_ulid) != 0;
	ListCell *lc;

	if (reassigned)
		dibs_roster_end_access(dibs_apply_roster(a));
	dibs_apply_derive(a);
	dibs_apply_forget_reasons(row);
	if (reassigned)
	{
		(void) dibs_coach_seen(a->change, row->user_ulid, NULL);
		dibs_uid_repoint(row->ulid, row->stored_user_ulid, row->ulid, row->user_ulid);
	}
	if (a->is_new && list_length(a->claims) == 1 && a->roster != NULL && a->roster->n == 1 &&
		a->roster->people[0]->is_primary)
	{
		if (a->awaited)
			a->applied->new_uids = a->claims;
		dibs_wake_at_commit();
		result(a);
		dibs_row_write_whole(row, a->roster->people[0], "booking.created", event_data(a), a->companion, a->applied);
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

void
dibs_apply_existing(DibsApply *a)
{
	a->old_status = dibs_row_status(&a->row);
	a->row.changed = a->row.dirty = false;
}

static void
wait_for(DibsApply *a, const char *uid)
{
	a->applied->waits_for = pstrdup(uid);
	a->applied->outcome = DIBS_OUTCOME_UNMATCHED;
}

static void
ignore_deleted(DibsApply *a, const char *ulid, const char *user_ulid)
{
	a->applied->outcome = DIBS_OUTCOME_IGNORED;
	a->applied->problem = pstrdup("its booking has been deleted");
	strlcpy(a->applied->booking_ulid, ulid, DIBS_ULID_LEN + 1);
	strlcpy(a->applied->user_ulid, user_ulid, DIBS_ULID_LEN + 1);
}

/* What a booking cannot be made without. */
static bool
may_create(DibsApply *a)
{
	const DibsBookingChange *change = a->change;

	if (!(change->fields & DIBS_FIELD_BIT(DIBS_FIELD_TIME)))
	{
		fail(a, change->remark != NULL ? change->remark : "there is no start time, and the booking is not known");
		return false;
	}
	if (change->people == NIL)
	{
		fail(a, "it names no attendee, and the booking is not known");
		return false;
	}
	return true;
}

static void
create_for(DibsApply *a, const char *user, bool fork)
{
	const DibsBookingChange *change = a->change;

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
			dibs_apply_predecessor(a, change->previous_uid);
			dibs_row_stamp(&a->row, DIBS_FIELD_UID, a->stamp);
		}
	}
	dibs_apply_fields(a);
	dibs_apply_people(a);
	a->awaited = dibs_coach_seen(change, user, change->uid);
	dibs_apply_finish(a);
}

static void
create(DibsApply *a, bool fork)
{
	char user[DIBS_ULID_LEN + 1];

	if (!may_create(a))
		return;
	if (!dibs_coach_find(a->change, true, user))
	{
		/* without an organizer it can only be found by what others say of the booking */
		if (a->change->organizer_id == NULL && a->change->organizer_email == NULL &&
			a->change->organizer_username == NULL)
			a->applied->waits_for = pstrdup(a->change->uid);
		a->applied->outcome = DIBS_OUTCOME_UNMATCHED;
		a->applied->problem = pstrdup("its organizer is no coach's account yet: dibs.link_account() links it");
		return;
	}
	create_for(a, user, fork);
}

/*
 * Most deliveries are the first word on their booking. The unique keys say it when one is not, so nothing is looked up
 * before. False: this one has to be looked up.
 */
static bool
create_hopefully(DibsApply *a)
{
	const DibsBookingChange *change = a->change;
	char user[DIBS_ULID_LEN + 1];

	if (change->problem != NULL || change->verb != DIBS_VERB_DESCRIBE || change->seated ||
		change->previous_uid != NULL || !(change->fields & DIBS_FIELD_BIT(DIBS_FIELD_TIME)) || change->people == NIL ||
		!dibs_coach_find(change, false, user))
		return false;
	a->applied->problem = change->remark;
	create_for(a, user, false);
	return true;
}

/* Another coach has taken the booking over, where the newest word on its time says so. */
static void
follow_organizer(DibsApply *a)
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
apply_to_row(DibsApply *a)
{
	Datum start = a->row.values[DIBS_COL_START];
	Datum end = a->row.values[DIBS_COL_END];

	dibs_apply_fields(a);
	dibs_apply_people(a);
	a->time_moved = DatumGetTimestampTz(start) != DatumGetTimestampTz(a->row.values[DIBS_COL_START]) ||
					DatumGetTimestampTz(end) != DatumGetTimestampTz(a->row.values[DIBS_COL_END]);
	dibs_apply_finish(a);
}

/* Locks both rows in one order, so that two moves in opposite directions do not wait for each other. */
bool
dibs_apply_lock_two(const char *ulid, const char *user, DibsBookingRow *row, const char *ulid2, const char *user2,
					DibsBookingRow *row2)
{
	if (strcmp(ulid, ulid2) < 0)
		return dibs_row_lock(ulid, user, row) && dibs_row_lock(ulid2, user2, row2);
	return dibs_row_lock(ulid2, user2, row2) && dibs_row_lock(ulid, user, row);
}

static void
apply_booking(DibsApply *a)
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
		dibs_apply_existing(a);
		if (!dibs_row_text_is(&a->row, DIBS_COL_UID, previous))
		{
			/* it has been replaced by something else: this is a booking of its own */
			create(a, true);
			return;
		}
		dibs_apply_move_uid(a);
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
		if (!dibs_apply_lock_two(ulid, user, &a->row, ulid2, user2, &before))
			dibs_row_conflict();
		dibs_apply_existing(a);
		/* the predecessor's last uid, and our first: else they are not one booking */
		if (dibs_row_text_is(&before, DIBS_COL_UID, previous) &&
			(dibs_row_previous(&a->row) == NIL ? dibs_row_text_is(&a->row, DIBS_COL_UID, change->uid)
											   : strcmp(linitial(dibs_row_previous(&a->row)), change->uid) == 0))
			dibs_apply_merge(a, &before);
	}
	else
	{
		if (!dibs_row_lock(ulid, user, &a->row))
			dibs_row_conflict();
		dibs_apply_existing(a);
		if (previous != NULL && found2 == DIBS_FOUND_NONE)
			dibs_apply_predecessor(a, previous);
	}
	a->earlier = !dibs_row_text_is(&a->row, DIBS_COL_UID, change->uid);
	/* no event tells of another host; only what has changed there since counts, so that a move made here stays */
	if (!a->earlier && change->read_at != 0 && (change->host_moved || dibs_apply_newest(a)))
		follow_organizer(a);
	if (!a->earlier && previous != NULL &&
		(a->row.stamps[DIBS_FIELD_UID] == DIBS_STAMP_UNSET || a->stamp < a->row.stamps[DIBS_FIELD_UID]))
		dibs_row_stamp(&a->row, DIBS_FIELD_UID, a->stamp);
	apply_to_row(a);
}

/* Changes that need a booking that is known. False: they wait, or are ignored. */
bool
dibs_apply_lock_known(DibsApply *a)
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
	dibs_apply_existing(a);
	return true;
}

static void
apply_note(DibsApply *a)
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
	if (a->change->fields != 0)
	{
		if (!dibs_apply_lock_known(a))
			return;
		a->earlier = !dibs_row_text_is(&a->row, DIBS_COL_UID, a->change->uid);
		dibs_apply_fields(a);
		dibs_apply_finish(a);
		a->applied->outcome = DIBS_OUTCOME_APPLIED;
	}
	(void) dibs_event_write_once(user, ulid, a->change->note, a->change->note_data);
	strlcpy(a->applied->booking_ulid, ulid, DIBS_ULID_LEN + 1);
	strlcpy(a->applied->user_ulid, user, DIBS_ULID_LEN + 1);
}

void
dibs_booking_apply(const DibsBookingChange *change, TimestampTz received_at, bool hopeful, DibsCompanion *companion,
				   DibsApplied *applied)
{
	DibsApply a = {0};
	DibsBookingChange without = *change;

	memset(applied, 0, sizeof(*applied));
	applied->outcome = DIBS_OUTCOME_APPLIED;
	if (dibs_apply_forget(&without, received_at, &applied->forgotten))
	{
		applied->outcome = DIBS_OUTCOME_IGNORED;
		applied->problem = "it is about somebody who was forgotten";
		return;
	}
	if (applied->forgotten)
		change = &without;
	a.change = change;
	a.applied = applied;
	a.stamp = change_stamp(change, received_at);
	/* what a move does to the session that is left comes after the booking, and may be part of the outcome */
	a.companion = change->seat_moves || applied->forgotten ? NULL : companion;

	if (hopeful)
	{
		applied->hopeless = !create_hopefully(&a);
		return;
	}
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
				dibs_apply_lock_sessions(change->uid, change->previous_uid);
			apply_booking(&a);
			if (change->seat_moves && applied->outcome != DIBS_OUTCOME_UNMATCHED &&
				applied->outcome != DIBS_OUTCOME_FAILED)
				dibs_apply_seats_leave(&a, change->previous_uid);
			break;
		case DIBS_VERB_HAPPENED:
			/* a group session's end says nothing about how it came about: without the session it waits for it */
			if (change->seated && change->ends_booking)
			{
				if (!dibs_apply_lock_known(&a))
					break;
				a.earlier = !dibs_row_text_is(&a.row, DIBS_COL_UID, change->uid);
				dibs_apply_fields(&a);
				dibs_apply_finish(&a);
			}
			else
				apply_booking(&a);
			break;
		case DIBS_VERB_SEAT_GONE:
			dibs_apply_seat_gone(&a);
			break;
		case DIBS_VERB_NO_SHOW:
			dibs_apply_no_show(&a);
			break;
		case DIBS_VERB_NOTE:
			apply_note(&a);
			break;
	}
}
