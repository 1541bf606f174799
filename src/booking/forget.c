/*
 * forget.c
 *		What a change says of people whom dibs was told to forget is not taken in.
 */
#include "compat.h"

#include "access/forgotten.h"
#include "booking/apply.h"
#include "booking/coach.h"

static void
drop_field(DibsBookingChange *change, DibsField field, DibsColumn column)
{
	change->fields &= ~DIBS_FIELD_BIT(field);
	change->present[column] = false;
}

static bool
is_forgotten_coach(const DibsBookingChange *change)
{
	const char *names[] = {change->organizer_id, change->organizer_email, change->organizer_username};
	char user[DIBS_ULID_LEN + 1];

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		/* linked again, they are back */
		if (names[i] != NULL && dibs_account_forgotten(change->source, names[i]))
			return !dibs_coach_find_linked(change, user);
	}
	return false;
}

bool
dibs_apply_forget(DibsBookingChange *change, TimestampTz received_at, bool *changed)
{
	TimestampTz at = change->sent_at != 0 ? change->sent_at : received_at;
	List *kept = NIL;
	ListCell *lc;
	bool first = true;

	*changed = false;
	if (!dibs_anybody_forgotten())
		return false;
	if (is_forgotten_coach(change))
	{
		*changed = true;
		return true;
	}
	foreach (lc, change->people)
	{
		DibsPerson *person = lfirst(lc);

		if (person->email != NULL &&
			(dibs_person_forgotten(person->email, at, change->uid) ||
			 (change->previous_uid != NULL && dibs_person_forgotten(person->email, at, change->previous_uid))))
		{
			*changed = true;
			/* whose booking it is, or the only one a seat's event is about */
			if (first && !change->seated)
				return true;
		}
		else
			kept = lappend(kept, person);
		first = false;
	}
	if (!*changed)
		return false;
	if (kept == NIL)
		return true;
	change->people = kept;
	drop_field(change, DIBS_FIELD_ANSWERS, DIBS_COL_ANSWERS);
	drop_field(change, DIBS_FIELD_DESCRIPTION, DIBS_COL_DESCRIPTION);
	drop_field(change, DIBS_FIELD_METADATA, DIBS_COL_METADATA);
	return false;
}
