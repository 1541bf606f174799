/*
 * participants.c
 *		Who is in a booking. Every person carries the time of the last word about them, so that events may come in any
 *		order; somebody who left stays in the list, or a late older event would bring them back.
 */
#include "compat.h"

#include "utils/builtins.h"

#include "booking/participants.h"
#include "core/jsonbuild.h"
#include "errors.h"

/* Up to here a walk through the list is quicker than making an index. */
#define SHORT_LIST 32
/* a letter for the kind, an id or a mailbox, a terminating zero */
#define INDEX_KEY_LEN (DIBS_MAX_ID_LEN + 3)

typedef struct IndexEntry
{
	char key[INDEX_KEY_LEN];
	DibsParticipant *participant;
} IndexEntry;

static const char *const status_names[] = {
	[DIBS_PARTICIPANT_CONFIRMED] = "CONFIRMED",
	[DIBS_PARTICIPANT_CANCELLED] = "CANCELLED",
	[DIBS_PARTICIPANT_ATTENDED] = "ATTENDED",
};

DibsRoster *
dibs_roster_new(void)
{
	return palloc0(sizeof(DibsRoster));
}

/* Mailboxes are compared in ASCII lower case: what a domain is in, and what every sender varies. */
static char *
mailbox(const char *email)
{
	char *lower = pstrdup(email);

	for (char *c = lower; *c != '\0'; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	return lower;
}

static bool
is_in(const DibsParticipant *p)
{
	return p->status != DIBS_PARTICIPANT_CANCELLED;
}

static void
index_key(HTAB *index, char kind, const char *id, DibsParticipant *p)
{
	char key[INDEX_KEY_LEN];
	IndexEntry *entry;
	bool found;

	if (id == NULL)
		return;
	snprintf(key, sizeof(key), "%c:%s", kind, id);
	entry = hash_search(index, key, HASH_ENTER, &found);
	entry->participant = p;
}

static void
index_one(DibsRoster *roster, DibsParticipant *p)
{
	index_key(roster->index, 's', p->seat_id, p);
	if (p->email != NULL)
		index_key(roster->index, 'e', mailbox(p->email), p);
}

static void
make_index(DibsRoster *roster)
{
	HASHCTL ctl = {0};

	ctl.keysize = INDEX_KEY_LEN;
	ctl.entrysize = sizeof(IndexEntry);
	ctl.hcxt = CurrentMemoryContext;
	if (roster->index != NULL)
		hash_destroy(roster->index);
	roster->index = hash_create("dibs roster", Max(roster->n * 2, 64), &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	for (int i = 0; i < roster->n; i++)
		index_one(roster, roster->people[i]);
}

DibsParticipant *
dibs_roster_append(DibsRoster *roster)
{
	DibsParticipant *p = palloc0(sizeof(DibsParticipant));

	if (roster->n == roster->allocated)
	{
		roster->allocated = Max(8, roster->allocated * 2);
		roster->people = roster->people == NULL
							 ? palloc(roster->allocated * sizeof(DibsParticipant *))
							 : repalloc(roster->people, roster->allocated * sizeof(DibsParticipant *));
	}
	roster->people[roster->n++] = p;
	p->since = DT_NOEND;
	p->source_at = DT_NOBEGIN;
	p->seat_at = DT_NOBEGIN;
	p->no_show_at = DT_NOBEGIN;
	return p;
}

/*
 * By mailbox; else by the seat's id, where somebody's e-mail is not known. Seats come and go, and not every event names
 * one; a scheduler does not let one person in twice.
 */
static DibsParticipant *
find_in_list(const DibsRoster *roster, const DibsPerson *person)
{
	DibsParticipant *by_seat = NULL;

	for (int i = 0; i < roster->n; i++)
	{
		DibsParticipant *p = roster->people[i];

		if (person->email != NULL && p->email != NULL)
		{
			if (pg_strcasecmp(p->email, person->email) == 0)
				return p;
		}
		else if (person->seat_id != NULL && p->seat_id != NULL && strcmp(person->seat_id, p->seat_id) == 0)
			by_seat = p;
	}
	return by_seat;
}

static DibsParticipant *
find_key(const DibsRoster *roster, char kind, const char *id)
{
	char key[INDEX_KEY_LEN];
	IndexEntry *entry;

	if (id == NULL)
		return NULL;
	snprintf(key, sizeof(key), "%c:%s", kind, id);
	entry = hash_search(roster->index, key, HASH_FIND, NULL);
	return entry != NULL ? entry->participant : NULL;
}

static DibsParticipant *
find(DibsRoster *roster, const DibsPerson *person)
{
	DibsParticipant *p = NULL;

	if (roster->index == NULL && roster->n <= SHORT_LIST)
		return find_in_list(roster, person);
	if (roster->index == NULL)
		make_index(roster);
	if (person->email != NULL)
		p = find_key(roster, 'e', mailbox(person->email));
	if (p == NULL)
	{
		p = find_key(roster, 's', person->seat_id);
		if (p != NULL && p->email != NULL && person->email != NULL)
			p = NULL;
	}
	return p;
}

static void
set_text(DibsParticipant *p, char **field, const char *value, bool newer)
{
	if (value == NULL || (*field != NULL && (!newer || strcmp(*field, value) == 0)))
		return;
	*field = pstrdup(value);
	p->dirty = true;
}

static char *
person_key(const DibsParticipant *p)
{
	return p->email != NULL ? mailbox(p->email) : psprintf("seat:%s", p->seat_id);
}

/*
 * What is known about the person: the newer event's word, and the older one's where the newer says nothing. The seat
 * has a time of its own: not every event names it, and who left and came back has another.
 */
static void
set_details(DibsRoster *roster, DibsParticipant *p, const DibsPerson *person, TimestampTz at, bool newer)
{
	bool newer_seat = person->seat_id != NULL && at > p->seat_at;

	set_text(p, &p->email, person->email, newer);
	set_text(p, &p->name, person->name, newer);
	set_text(p, &p->time_zone, person->time_zone, newer);
	set_text(p, &p->phone, person->phone, newer);
	set_text(p, &p->seat_id, person->seat_id, newer_seat);
	if (newer_seat)
	{
		p->seat_at = at;
		p->dirty = true;
	}
	p->person = person_key(p);
	if (roster->index != NULL)
		index_one(roster, p);
}

static DibsParticipant *
append_new(DibsRoster *roster)
{
	DibsParticipant *p = dibs_roster_append(roster);

	if (!dibs_ulid_generate(p->ulid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes for an identifier")));
	p->is_new = true;
	p->dirty = true;
	return p;
}

static DibsParticipant *
add_new(DibsRoster *roster, const DibsPerson *person, TimestampTz at)
{
	DibsParticipant *p;

	if (person->seat_id == NULL && person->email == NULL)
		return NULL;
	p = append_new(roster);
	p->email = person->email;
	p->name = person->name;
	p->time_zone = person->time_zone;
	p->phone = person->phone;
	p->seat_id = person->seat_id;
	if (p->seat_id != NULL)
		p->seat_at = at;
	p->person = person_key(p);
	p->status = DIBS_PARTICIPANT_CANCELLED;
	if (roster->index != NULL)
		index_one(roster, p);
	return p;
}

/*
 * Somebody left of whom only the seat was known, and now it is known whose seat it was.
 */
static void
heed_lone_seat(DibsRoster *roster, DibsParticipant *p, const DibsPerson *person)
{
	DibsParticipant *left = NULL;

	if (person->seat_id == NULL || p->email == NULL)
		return;
	for (int i = 0; i < roster->n && left == NULL; i++)
	{
		DibsParticipant *other = roster->people[i];

		/* whoever was forgotten has neither */
		if (other->email == NULL && other->seat_id != NULL && strcmp(other->seat_id, person->seat_id) == 0)
			left = other;
	}
	if (left == NULL || left->source_at <= p->source_at)
		return;
	p->status = left->status;
	p->source_at = left->source_at;
	p->reason = left->reason;
	p->cancelled_by = left->cancelled_by;
	p->dirty = true;
}

bool
dibs_roster_add(DibsRoster *roster, const DibsPerson *person, TimestampTz at, int position, bool weak)
{
	DibsParticipant *p = find(roster, person);
	/* several people of one event keep their order; an event's time has whole milliseconds */
	TimestampTz since = at - at % 1000 + Min(position, 999);
	bool was_in = p != NULL && is_in(p);
	bool fresh = p == NULL;
	bool newer;

	if (fresh)
	{
		p = add_new(roster, person, at);
		if (p == NULL)
			return false;
	}
	newer = !weak && at > p->source_at;
	if (!fresh)
		set_details(roster, p, person, at, newer);
	if (since < p->since)
	{
		p->since = since;
		p->dirty = true;
	}
	if (fresh || newer)
	{
		if (newer)
			p->source_at = at;
		if (p->status == DIBS_PARTICIPANT_CANCELLED)
			p->status = DIBS_PARTICIPANT_CONFIRMED;
		p->reason = p->cancelled_by = NULL;
		p->dirty = true;
	}
	heed_lone_seat(roster, p, person);
	if (is_in(p) && !was_in)
		roster->added++;
	else if (was_in && !is_in(p))
		roster->removed++;
	return p->dirty;
}

bool
dibs_roster_remove(DibsRoster *roster, const DibsPerson *person, TimestampTz at)
{
	DibsParticipant *p = find(roster, person);

	if (p == NULL)
	{
		/* who leaves before we heard of their coming: remembered, so that the late news brings nobody back */
		p = add_new(roster, person, at);
		if (p == NULL)
			return false;
		p->source_at = at;
		p->since = at;
		p->reason = person->reason;
		p->cancelled_by = person->cancelled_by;
		return true;
	}
	set_details(roster, p, person, at, at > p->source_at);
	if (at <= p->source_at)
		return p->dirty;
	if (is_in(p))
		roster->removed++;
	p->source_at = at;
	p->status = DIBS_PARTICIPANT_CANCELLED;
	p->reason = person->reason;
	p->cancelled_by = person->cancelled_by;
	p->dirty = true;
	return true;
}

bool
dibs_roster_no_show(DibsRoster *roster, const DibsPerson *person, TimestampTz at)
{
	DibsParticipant *p = find(roster, person);

	if (p == NULL)
	{
		/* it can only be somebody who is in */
		if (!dibs_roster_add(roster, person, at, 0, true))
			return false;
		p = find(roster, person);
	}
	if (at <= p->no_show_at)
		return p->dirty;
	p->no_show_at = at;
	p->no_show = person->no_show;
	p->dirty = true;
	return true;
}

static bool
same_or_unsaid(const char *said, const char *known)
{
	return said == NULL || (known != NULL && strcmp(said, known) == 0);
}

bool
dibs_roster_knows(DibsRoster *roster, const DibsPerson *person)
{
	DibsParticipant *p = find(roster, person);

	return p != NULL && is_in(p) && same_or_unsaid(person->name, p->name) &&
		   same_or_unsaid(person->time_zone, p->time_zone) && same_or_unsaid(person->phone, p->phone) &&
		   same_or_unsaid(person->seat_id, p->seat_id);
}

bool
dibs_roster_absence(DibsRoster *roster, const DibsPerson *person)
{
	DibsParticipant *p = find(roster, person);

	return p != NULL && p->no_show;
}

bool
dibs_roster_keep_only(DibsRoster *roster, const List *people, TimestampTz at)
{
	bool changed = false;

	for (int i = 0; i < roster->n; i++)
	{
		DibsParticipant *p = roster->people[i];
		bool listed = false;
		ListCell *lc;

		if (!is_in(p) || p->seat_id == NULL || p->since >= at || p->source_at >= at)
			continue;
		foreach (lc, people)
		{
			const DibsPerson *person = lfirst(lc);

			listed = listed || (person->seat_id != NULL && strcmp(person->seat_id, p->seat_id) == 0) ||
					 (person->email != NULL && p->email != NULL && pg_strcasecmp(person->email, p->email) == 0);
		}
		if (listed)
			continue;
		p->status = DIBS_PARTICIPANT_CANCELLED;
		p->source_at = at;
		p->dirty = true;
		roster->removed++;
		changed = true;
	}
	return changed;
}

/* Whoever was forgotten is a row under a key of its own, and nobody that an event could speak of. */
static bool
is_nameless(const DibsParticipant *p)
{
	return p->email == NULL && p->seat_id == NULL;
}

void
dibs_roster_merge(DibsRoster *roster, const DibsRoster *other)
{
	for (int i = 0; i < other->n; i++)
	{
		const DibsParticipant *o = other->people[i];
		DibsPerson person = {o->email, o->name, o->time_zone, o->phone, o->seat_id, o->no_show};
		DibsParticipant *p = is_nameless(o) ? append_new(roster) : find(roster, &person);
		bool newer;

		if (p == NULL)
			p = add_new(roster, &person, o->seat_at);
		newer = o->source_at > p->source_at;
		if (is_nameless(o))
			p->person = o->person;
		else
			set_details(roster, p, &person, o->seat_at, newer);
		if (newer || p->is_new)
		{
			p->status = o->status;
			p->reason = o->reason;
			p->cancelled_by = o->cancelled_by;
			p->source_at = Max(o->source_at, p->source_at);
		}
		p->since = Min(p->since, o->since);
		if (o->no_show_at > p->no_show_at)
		{
			p->no_show_at = o->no_show_at;
			p->no_show = o->no_show;
		}
		p->dirty = true;
	}
}

void
dibs_roster_end_access(DibsRoster *roster)
{
	for (int i = 0; i < roster->n; i++)
	{
		roster->people[i]->join_url = NULL;
		roster->people[i]->validation_token = NULL;
	}
}

const DibsParticipant *
dibs_roster_last_leaver(const DibsRoster *roster)
{
	const DibsParticipant *last = NULL;

	for (int i = 0; i < roster->n; i++)
	{
		if (!is_in(roster->people[i]) && (last == NULL || roster->people[i]->source_at > last->source_at))
			last = roster->people[i];
	}
	return last;
}

static int
by_coming(const void *a, const void *b)
{
	const DibsParticipant *x = *(DibsParticipant *const *) a;
	const DibsParticipant *y = *(DibsParticipant *const *) b;

	if (x->since != y->since)
		return x->since < y->since ? -1 : 1;
	return strcmp(x->person, y->person);
}

DibsParticipant *
dibs_roster_settle(DibsRoster *roster)
{
	DibsParticipant *primary = NULL;

	if (roster->n > 1)
		qsort(roster->people, roster->n, sizeof(DibsParticipant *), by_coming);
	for (int i = 0; i < roster->n; i++)
	{
		DibsParticipant *p = roster->people[i];

		if (p->email != NULL && (primary == NULL || (is_in(p) && !is_in(primary))))
			primary = p;
	}
	for (int i = 0; i < roster->n; i++)
	{
		DibsParticipant *p = roster->people[i];

		if (p->is_primary != (p == primary))
		{
			p->is_primary = p == primary;
			p->dirty = true;
		}
	}
	return primary;
}

const char *
dibs_participant_status(const DibsParticipant *participant)
{
	return status_names[participant->status];
}

int
dibs_roster_confirmed(const DibsRoster *roster)
{
	int n = 0;

	for (int i = 0; i < roster->n; i++)
		n += is_in(roster->people[i]);
	return n;
}

static void
json_person(DibsJson *json, const DibsParticipant *p)
{
	dibs_json_begin_object(json);
	dibs_json_text_member(json, "email", p->email);
	dibs_json_text_member(json, "name", p->name);
	dibs_json_text_member(json, "timeZone", p->time_zone);
	dibs_json_optional_member(json, "joinUrl", p->join_url);
	/* whoever is not in has none that is good */
	if (is_in(p))
		dibs_json_optional_member(json, "validationToken", p->validation_token);
	dibs_json_text_member(json, "status", status_names[p->status]);
	dibs_json_end_object(json);
}

Jsonb *
dibs_roster_json(const DibsRoster *roster)
{
	DibsJson json = {0};

	dibs_json_begin_array(&json);
	for (int i = 0; i < roster->n; i++)
	{
		if (roster->people[i]->email != NULL)
			json_person(&json, roster->people[i]);
	}
	dibs_json_end_array(&json);
	return dibs_json_finish(&json);
}
