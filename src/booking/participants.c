/*
 * participants.c
 *		Who is in a booking. Every person carries the time of the last word about them, so that events may come in any
 *		order; somebody who left stays in the list, or a late older event would bring them back.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "booking/participants.h"
#include "core/jsonbuild.h"
#include "errors.h"
#include "queue/plan.h"

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

static DibsParticipant *
append(DibsRoster *roster)
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

static DibsStatement select_people = {
	"SELECT \"ulid\", \"person\", \"email\", \"name\", \"timeZone\", \"phone\", \"seatId\", \"joinUrl\", \"validationToken\", "
	"\"status\", \"isPrimary\", \"noShow\", \"since\", \"sourceAt\", \"noShowAt\", \"seatAt\", "
	"\"cancellationReason\", \"cancelledByEmail\" FROM dibs.\"BookingParticipant\" "
	"WHERE \"bookingUlid\" = $1 AND \"userUlid\" = $2",
	2,
	{BPCHAROID, BPCHAROID},
};

DibsRoster *
dibs_roster_read(const char *booking_ulid, const char *user_ulid)
{
	DibsRoster *roster = dibs_roster_new();
	Datum values[2] = {CStringGetTextDatum(booking_ulid), CStringGetTextDatum(user_ulid)};
	uint64 rows = dibs_execute(&select_people, values, NULL, false, SPI_OK_SELECT);

	for (uint64 i = 0; i < rows; i++)
	{
		DibsParticipant *p = append(roster);
		char *status = dibs_column(i, 10);

		strlcpy(p->ulid, dibs_column(i, 1), sizeof(p->ulid));
		p->person = dibs_column(i, 2);
		p->email = dibs_column(i, 3);
		p->name = dibs_column(i, 4);
		p->time_zone = dibs_column(i, 5);
		p->phone = dibs_column(i, 6);
		p->seat_id = dibs_column(i, 7);
		p->join_url = dibs_column(i, 8);
		p->validation_token = dibs_column(i, 9);
		for (int s = 0; s < (int) lengthof(status_names); s++)
		{
			if (strcmp(status, status_names[s]) == 0)
				p->status = (DibsParticipantStatus) s;
		}
		p->is_primary = dibs_column_bool(i, 11);
		p->no_show = dibs_column_bool(i, 12);
		p->since = dibs_column_time(i, 13);
		p->source_at = dibs_column_time(i, 14);
		p->no_show_at = dibs_column_time(i, 15);
		p->seat_at = dibs_column_time(i, 16);
		p->reason = dibs_column(i, 17);
		p->cancelled_by = dibs_column(i, 18);
	}
	SPI_freetuptable(SPI_tuptable);
	return roster;
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
	DibsParticipant *p = append(roster);

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

/* The people as parallel arrays: one statement, however many they are. */
enum
{
	ARG_BOOKING,
	ARG_USER,
	ARG_ULID,
	ARG_PERSON,
	ARG_EMAIL,
	ARG_NAME,
	ARG_TIME_ZONE,
	ARG_PHONE,
	ARG_SEAT,
	ARG_STATUS,
	ARG_PRIMARY,
	ARG_NO_SHOW,
	ARG_SINCE,
	ARG_SOURCE_AT,
	ARG_NO_SHOW_AT,
	ARG_SEAT_AT,
	ARG_REASON,
	ARG_CANCELLED_BY,
	ARG_COUNT
};

#define ARG_TYPES                                                                                                      \
	{                                                                                                                  \
		BPCHAROID, BPCHAROID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,      \
			TEXTARRAYOID, TEXTARRAYOID, BOOLARRAYOID, BOOLARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID,          \
			TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID                                       \
	}

#define PEOPLE_ARRAYS                                                                                                                     \
	"unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) AS p(ulid, person, email, name, zone, phone, seat, " \
	"status, prim, noshow, since, source_at, no_show_at, seat_at, reason, cancelled_by)"

static DibsStatement insert_people = {
	"INSERT INTO dibs.\"BookingParticipant\" (\"ulid\", \"userUlid\", \"bookingUlid\", \"person\", \"email\", \"name\", "
	"\"timeZone\", \"phone\", \"seatId\", \"isPrimary\", \"status\", \"noShow\", \"since\", \"sourceAt\", \"noShowAt\", \"seatAt\", "
	"\"cancellationReason\", \"cancelledByEmail\") "
	"SELECT p.ulid, $2, $1, p.person, p.email, p.name, p.zone, p.phone, p.seat, p.prim, p.status, p.noshow, p.since, "
	"p.source_at, p.no_show_at, p.seat_at, p.reason, p.cancelled_by FROM " PEOPLE_ARRAYS,
	ARG_COUNT,
	ARG_TYPES,
};

/* Not by "bookingUlid", too: a plan by that would read everybody for each of them. */
static DibsStatement update_people = {
	"UPDATE dibs.\"BookingParticipant\" AS b SET \"person\" = p.person, \"email\" = p.email, \"name\" = p.name, "
	"\"timeZone\" = p.zone, \"phone\" = p.phone, \"seatId\" = p.seat, \"isPrimary\" = p.prim, \"status\" = p.status, "
	"\"noShow\" = p.noshow, \"since\" = p.since, \"sourceAt\" = p.source_at, \"noShowAt\" = p.no_show_at, "
	"\"seatAt\" = p.seat_at, \"cancellationReason\" = p.reason, \"cancelledByEmail\" = p.cancelled_by FROM " PEOPLE_ARRAYS
	" WHERE b.\"userUlid\" = $2 AND b.\"ulid\" = p.ulid::char(26)",
	ARG_COUNT,
	ARG_TYPES,
};

static Datum
text_array(DibsParticipant **people, int n, size_t offset)
{
	Datum *values = palloc(n * sizeof(Datum));
	bool *nulls = palloc(n * sizeof(bool));
	int lbound = 1;

	for (int i = 0; i < n; i++)
	{
		char *value = *(char **) ((char *) people[i] + offset);

		nulls[i] = value == NULL;
		values[i] = value == NULL ? (Datum) 0 : CStringGetTextDatum(value);
	}
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lbound, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
time_array(DibsParticipant **people, int n, size_t offset)
{
	Datum *values = palloc(n * sizeof(Datum));

	for (int i = 0; i < n; i++)
		values[i] = TimestampTzGetDatum(*(TimestampTz *) ((char *) people[i] + offset));
	return PointerGetDatum(construct_array(values, n, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static Datum
bool_array(DibsParticipant **people, int n, size_t offset)
{
	Datum *values = palloc(n * sizeof(Datum));

	for (int i = 0; i < n; i++)
		values[i] = BoolGetDatum(*(bool *) ((char *) people[i] + offset));
	return PointerGetDatum(construct_array(values, n, BOOLOID, 1, true, TYPALIGN_CHAR));
}

static void
write_people(DibsStatement *statement, int expect, DibsParticipant **people, int n, const char *booking,
			 const char *user)
{
	Datum args[ARG_COUNT];
	Datum *ulids = palloc(n * sizeof(Datum));
	Datum *statuses = palloc(n * sizeof(Datum));

	for (int i = 0; i < n; i++)
	{
		ulids[i] = CStringGetTextDatum(people[i]->ulid);
		statuses[i] = CStringGetTextDatum(status_names[people[i]->status]);
	}
	args[ARG_BOOKING] = CStringGetTextDatum(booking);
	args[ARG_USER] = CStringGetTextDatum(user);
	args[ARG_ULID] = PointerGetDatum(construct_array(ulids, n, TEXTOID, -1, false, TYPALIGN_INT));
	args[ARG_STATUS] = PointerGetDatum(construct_array(statuses, n, TEXTOID, -1, false, TYPALIGN_INT));
	args[ARG_PERSON] = text_array(people, n, offsetof(DibsParticipant, person));
	args[ARG_EMAIL] = text_array(people, n, offsetof(DibsParticipant, email));
	args[ARG_NAME] = text_array(people, n, offsetof(DibsParticipant, name));
	args[ARG_TIME_ZONE] = text_array(people, n, offsetof(DibsParticipant, time_zone));
	args[ARG_PHONE] = text_array(people, n, offsetof(DibsParticipant, phone));
	args[ARG_SEAT] = text_array(people, n, offsetof(DibsParticipant, seat_id));
	args[ARG_PRIMARY] = bool_array(people, n, offsetof(DibsParticipant, is_primary));
	args[ARG_NO_SHOW] = bool_array(people, n, offsetof(DibsParticipant, no_show));
	args[ARG_SINCE] = time_array(people, n, offsetof(DibsParticipant, since));
	args[ARG_SOURCE_AT] = time_array(people, n, offsetof(DibsParticipant, source_at));
	args[ARG_NO_SHOW_AT] = time_array(people, n, offsetof(DibsParticipant, no_show_at));
	args[ARG_SEAT_AT] = time_array(people, n, offsetof(DibsParticipant, seat_at));
	args[ARG_REASON] = text_array(people, n, offsetof(DibsParticipant, reason));
	args[ARG_CANCELLED_BY] = text_array(people, n, offsetof(DibsParticipant, cancelled_by));
	(void) dibs_execute(statement, args, NULL, false, expect);
}

void
dibs_roster_write(DibsRoster *roster, const char *booking_ulid, const char *user_ulid, bool all)
{
	DibsParticipant **fresh = palloc(Max(roster->n, 1) * sizeof(DibsParticipant *));
	DibsParticipant **dirty = palloc(Max(roster->n, 1) * sizeof(DibsParticipant *));
	int n_fresh = 0;
	int n_dirty = 0;

	for (int i = 0; i < roster->n; i++)
	{
		DibsParticipant *p = roster->people[i];

		if (p->is_new || all)
			fresh[n_fresh++] = p;
		else if (p->dirty)
			dirty[n_dirty++] = p;
	}
	if (n_dirty > 0)
		write_people(&update_people, SPI_OK_UPDATE, dirty, n_dirty, booking_ulid, user_ulid);
	if (n_fresh > 0)
		write_people(&insert_people, SPI_OK_INSERT, fresh, n_fresh, booking_ulid, user_ulid);
	for (int i = 0; i < roster->n; i++)
		roster->people[i]->is_new = roster->people[i]->dirty = false;
}
