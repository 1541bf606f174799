/*
 * attendance.c
 *		Who was in a meeting, and when.
 *
 * What is told of somebody is points: joined at, left at. A provider tells them late, twice, in any order, or not at
 * all. A row of "MeetingAttendance" is one presence, from a join to the leave that follows it on the same connection;
 * each new point pairs the connection's points anew. What stays open is closed by the connection's next join or by the
 * end of that run ("closed"): a leave that comes late takes that place.
 *
 * Most events of a meeting that runs are about one person's coming or going, and a meeting may be hundreds': such an
 * event reads the presences of its connection, then those of the participant whom they are, and no others. Everything
 * is read where an event says something of the meeting: its beginning, its end, a run that was not known. That is also
 * when guests are looked at again, who may have been added to the booking meanwhile.
 */
#include "compat.h"

#include <ctype.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/formatting.h"

#include "booking/write_mode.h"
#include "guc.h"
#include "meeting/life.h"
#include "queue/plan.h"

static const char *const role_names[] = {
	[DIBS_ROLE_GUEST] = "guest",
	[DIBS_ROLE_PARTICIPANT] = "participant",
	[DIBS_ROLE_HOST] = "host",
};

#define SELECT_PRESENCES                                                                                               \
	"SELECT a.\"ulid\", a.\"sessionUlid\", a.\"connection\", a.\"participantUlid\", a.\"role\", a.\"externalUserId\"," \
	" a.\"email\", a.\"name\", a.\"registrantId\", a.\"reason\", a.\"waitingAt\", a.\"gaveUpAt\", a.\"admittedAt\","   \
	" a.\"joinedAt\", a.\"leftAt\", a.\"closed\" FROM dibs.\"MeetingAttendance\" a"                                    \
	" WHERE a.\"bookingUlid\" = $1 AND a.\"userUlid\" = $2"

static DibsStatement select_presences = {SELECT_PRESENCES, 2, {BPCHAROID, BPCHAROID}, NULL};

static DibsStatement select_connection = {SELECT_PRESENCES " AND a.\"sessionUlid\" = $3 AND a.\"connection\" = $4",
										  4,
										  {BPCHAROID, BPCHAROID, BPCHAROID, TEXTOID},
										  NULL};

static DibsStatement select_presences_of = {SELECT_PRESENCES " AND a.\"participantUlid\" = ANY ($3::char(26)[])",
											3,
											{BPCHAROID, BPCHAROID, TEXTARRAYOID},
											NULL};

static DibsStatement insert_presence = {
	"INSERT INTO dibs.\"MeetingAttendance\" (\"ulid\", \"userUlid\", \"participantUlid\", \"role\", \"externalUserId\","
	" \"email\", \"name\", \"registrantId\", \"reason\", \"waitingAt\", \"gaveUpAt\", \"admittedAt\", \"joinedAt\","
	" \"leftAt\", \"closed\", \"bookingUlid\", \"sessionUlid\", \"connection\")"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
	18,
	{BPCHAROID, BPCHAROID, BPCHAROID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID,
	 TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID, BPCHAROID, BPCHAROID, TEXTOID},
	NULL};

static DibsStatement update_presence = {
	"UPDATE dibs.\"MeetingAttendance\" SET \"participantUlid\" = $3, \"role\" = $4, \"externalUserId\" = $5,"
	" \"email\" = $6, \"name\" = $7, \"registrantId\" = $8, \"reason\" = $9, \"waitingAt\" = $10, \"gaveUpAt\" = $11,"
	" \"admittedAt\" = $12, \"joinedAt\" = $13, \"leftAt\" = $14, \"closed\" = $15"
	" WHERE \"ulid\" = $1 AND \"userUlid\" = $2",
	15,
	{BPCHAROID, BPCHAROID, BPCHAROID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID,
	 TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID},
	NULL};

#define SELECT_PEOPLE                                                                                                  \
	"SELECT p.\"ulid\", p.\"email\", p.\"name\", p.\"registrantId\", p.\"status\", p.\"joinedAt\", p.\"leftAt\""       \
	" FROM dibs.\"BookingParticipant\" p WHERE p.\"bookingUlid\" = $1 AND p.\"userUlid\" = $2"

static DibsStatement select_people = {SELECT_PEOPLE, 2, {BPCHAROID, BPCHAROID}, NULL};

static DibsStatement select_people_by_ulid = {
	SELECT_PEOPLE " AND p.\"ulid\" = ANY ($3::char(26)[])", 3, {BPCHAROID, BPCHAROID, TEXTARRAYOID}, NULL};

static DibsStatement update_person = {
	"UPDATE dibs.\"BookingParticipant\" SET \"joinedAt\" = $4, \"leftAt\" = $5,"
	" \"status\" = CASE WHEN \"status\" = 'CONFIRMED' THEN 'ATTENDED' ELSE \"status\" END"
	" WHERE \"ulid\" = $1 AND \"userUlid\" = $2 AND \"bookingUlid\" = $3",
	5,
	{BPCHAROID, BPCHAROID, BPCHAROID, TIMESTAMPTZOID, TIMESTAMPTZOID},
	NULL};

static DibsStatement derive_people = {"SELECT dibs.derive_participants($1, $2)", 2, {BPCHAROID, BPCHAROID}, NULL};

/* Every address and name by which the coach may come in. */
static DibsStatement select_hosts = {
	"SELECT lower(e), false FROM (SELECT m.\"host\" AS e FROM dibs.\"Meeting\" m WHERE m.\"ulid\" = $2 AND m.\"userUlid\" = $1"
	" UNION ALL SELECT c.\"email\" FROM dibs.\"Coach\" c WHERE c.\"userUlid\" = $1"
	" UNION ALL SELECT a.\"email\" FROM dibs.\"ProviderAccount\" a WHERE a.\"userUlid\" = $1"
	" UNION ALL SELECT z.\"zoomUserId\" FROM dibs.\"CoachZoomConfig\" z WHERE z.\"userUlid\" = $1"
	" UNION ALL SELECT h FROM dibs.\"CoachZoomConfig\" z, jsonb_array_elements_text(CASE jsonb_typeof(z.\"settings\"->'alternativeHosts')"
	"  WHEN 'array' THEN z.\"settings\"->'alternativeHosts' ELSE '[]' END) h WHERE z.\"userUlid\" = $1) x WHERE e <> ''"
	" UNION ALL SELECT c.\"name\", true FROM dibs.\"Coach\" c WHERE c.\"userUlid\" = $1 AND c.\"name\" <> ''",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

const char *
dibs_role_name(DibsRole role)
{
	return role_names[role];
}

static DibsRole
role_from(const char *name)
{
	for (size_t i = 0; i < lengthof(role_names); i++)
	{
		if (strcmp(role_names[i], name) == 0)
			return (DibsRole) i;
	}
	return DIBS_ROLE_GUEST;
}

/* Everybody, or those named. */
static void
read_people(DibsLife *life, Datum ulids)
{
	Datum values[3] = {CStringGetTextDatum(life->booking), CStringGetTextDatum(life->user), ulids};
	uint64 rows = dibs_execute(ulids == (Datum) 0 ? &select_people : &select_people_by_ulid, values, NULL, false,
							   SPI_OK_SELECT);

	life->people = palloc0(Max(rows, 1) * sizeof(DibsAttendee));
	life->n_people = (int) rows;
	for (uint64 i = 0; i < rows; i++)
	{
		DibsAttendee *p = &life->people[i];
		const char *status = dibs_column(i, 5);

		strlcpy(p->ulid, dibs_column(i, 1), sizeof(p->ulid));
		p->email = dibs_column(i, 2);
		p->name = dibs_column(i, 3);
		p->registrant_id = dibs_column(i, 4);
		p->confirmed = strcmp(status, "CONFIRMED") == 0;
		p->attended = strcmp(status, "ATTENDED") == 0;
		p->joined_at = dibs_column_time(i, 6);
		p->left_at = dibs_column_time(i, 7);
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
note_participant(DibsLife *life, char *ulid)
{
	ListCell *lc;

	if (ulid == NULL)
		return;
	foreach (lc, life->concerned)
	{
		if (strcmp(lfirst(lc), ulid) == 0)
			return;
	}
	life->concerned = lappend(life->concerned, ulid);
}

static bool
is_read(const DibsLife *life, const char *ulid)
{
	for (int i = 0; i < life->n_presences; i++)
	{
		if (strcmp(life->presences[i]->ulid, ulid) == 0)
			return true;
	}
	return false;
}

static void
take_presences(DibsLife *life, uint64 rows, bool settled)
{
	/* an event adds at most one */
	Size room = (life->n_presences + rows + 1) * sizeof(DibsPresence *);

	life->presences = life->presences == NULL ? palloc(room) : repalloc(life->presences, room);
	for (uint64 i = 0; i < rows; i++)
	{
		DibsPresence *p;

		if (settled && is_read(life, dibs_column(i, 1)))
			continue;
		p = palloc0(sizeof(DibsPresence));
		strlcpy(p->ulid, dibs_column(i, 1), sizeof(p->ulid));
		strlcpy(p->run, dibs_column(i, 2), sizeof(p->run));
		p->connection = dibs_column(i, 3);
		p->participant = dibs_column(i, 4);
		p->role = role_from(dibs_column(i, 5));
		p->user_id = dibs_column(i, 6);
		p->email = dibs_column(i, 7);
		p->name = dibs_column(i, 8);
		p->registrant_id = dibs_column(i, 9);
		p->reason = dibs_column(i, 10);
		p->waiting_at = dibs_column_time(i, 11);
		p->gave_up_at = dibs_column_time(i, 12);
		p->admitted_at = dibs_column_time(i, 13);
		p->joined_at = dibs_column_time(i, 14);
		p->left_at = dibs_column_time(i, 15);
		p->closed = dibs_column_bool(i, 16);
		p->unmatched = p->role == DIBS_ROLE_GUEST && !settled;
		p->settled = settled;
		life->presences[life->n_presences++] = p;
	}
	SPI_freetuptable(SPI_tuptable);
}

void
dibs_attendance_read(DibsLife *life)
{
	Datum values[2] = {CStringGetTextDatum(life->booking), CStringGetTextDatum(life->user)};

	take_presences(life, dibs_execute(&select_presences, values, NULL, false, SPI_OK_SELECT), false);
	read_people(life, (Datum) 0);
}

void
dibs_attendance_read_near(DibsLife *life, const DibsRun *run, const char *connection)
{
	Datum values[4] = {CStringGetTextDatum(life->booking), CStringGetTextDatum(life->user),
					   CStringGetTextDatum(run->ulid), CStringGetTextDatum(connection)};

	life->near = true;
	take_presences(life, dibs_execute(&select_connection, values, NULL, false, SPI_OK_SELECT), false);
	for (int i = 0; i < life->n_presences; i++)
		note_participant(life, life->presences[i]->participant);
}

/* Whom an event about one connection may be about, before it and after it: the rest of their presences. */
static void
read_participants(DibsLife *life)
{
	Datum values[3] = {CStringGetTextDatum(life->booking), CStringGetTextDatum(life->user), 0};
	const char **ulids;
	ListCell *lc;
	int n = 0;

	for (int i = 0; i < life->n_presences; i++)
		note_participant(life, life->presences[i]->participant);
	if (life->concerned == NIL)
		return;
	ulids = palloc(list_length(life->concerned) * sizeof(char *));
	foreach (lc, life->concerned)
		ulids[n++] = lfirst(lc);
	values[2] = dibs_text_array(ulids, n);
	take_presences(life, dibs_execute(&select_presences_of, values, NULL, false, SPI_OK_SELECT), true);
	if (life->people == NULL)
		read_people(life, values[2]);
}

static DibsPresence *
add_presence(DibsLife *life, const DibsRun *run, const char *connection)
{
	DibsPresence *p = palloc0(sizeof(DibsPresence));

	if (!dibs_ulid_generate(p->ulid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes for an identifier")));
	strlcpy(p->run, run->ulid, sizeof(p->run));
	p->connection = pstrdup(connection);
	p->is_new = p->dirty = p->unmatched = true;
	life->presences[life->n_presences++] = p;
	return p;
}

/* The time that was told of a presence, for its place among those of its connection. */
static TimestampTz
told_at(const DibsPresence *p)
{
	if (p->joined_at != 0)
		return p->joined_at;
	return p->left_at != 0 && !p->closed ? p->left_at : DT_NOEND;
}

/* By run, connection, time. */
static int
by_connection(const void *a, const void *b)
{
	const DibsPresence *x = *(DibsPresence *const *) a;
	const DibsPresence *y = *(DibsPresence *const *) b;
	int order = strcmp(x->run, y->run);

	if (order == 0)
		order = strcmp(x->connection, y->connection);
	if (order == 0 && told_at(x) != told_at(y))
		order = told_at(x) < told_at(y) ? -1 : 1;
	return order != 0 ? order : strcmp(x->ulid, y->ulid);
}

static bool
same_connection(const DibsPresence *a, const DibsPresence *b)
{
	return strcmp(a->run, b->run) == 0 && strcmp(a->connection, b->connection) == 0;
}

typedef struct Point
{
	TimestampTz at;
	bool left;
} Point;

static int
by_time(const void *a, const void *b)
{
	const Point *x = a;
	const Point *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (int) x->left - (int) y->left;
}

static void
set_interval(DibsPresence *p, TimestampTz joined, TimestampTz left)
{
	if (p->joined_at != joined || p->left_at != left || p->closed)
		p->dirty = true;
	p->joined_at = joined;
	p->left_at = left;
	p->closed = false;
}

/*
 * Adds a point to a connection, whose presences stand next to each other from first on, and pairs all its points anew.
 * There are as many presences as before, or one more. False where the point is known.
 */
static bool
add_point(DibsLife *life, const DibsRun *run, int first, int n, TimestampTz at, bool left)
{
	Point *points = palloc((2 * n + 1) * sizeof(Point));
	int n_points = 0;
	int row = -1;
	bool open = false;
	TimestampTz joined = 0;
	DibsPresence **rows = palloc((n + 1) * sizeof(DibsPresence *));

	for (int i = 0; i < n; i++)
	{
		DibsPresence *p = rows[i] = life->presences[first + i];

		if ((!left && p->joined_at == at) || (left && !p->closed && p->left_at == at))
			return false;
		if (p->joined_at != 0)
			points[n_points++] = (Point){p->joined_at, false};
		if (p->left_at != 0 && !p->closed)
			points[n_points++] = (Point){p->left_at, true};
	}
	points[n_points++] = (Point){at, left};
	qsort(points, n_points, sizeof(Point), by_time);
	rows[n] = NULL;
	for (int i = 0; i < n_points; i++)
	{
		/* gone and back within a second: who is in leaves first */
		if (open && i + 1 < n_points && !points[i].left && points[i + 1].left && points[i].at == points[i + 1].at)
		{
			Point swap = points[i];

			points[i] = points[i + 1];
			points[i + 1] = swap;
		}
		if (points[i].left && open)
			set_interval(rows[row], joined, points[i].at);
		else
		{
			row++;
			if (row > n || (row == n && rows[n] != NULL))
				break; /* cannot be: see above */
			if (row == n)
				rows[n] = add_presence(life, run, rows[0]->connection);
			joined = points[i].left ? 0 : points[i].at;
			set_interval(rows[row], joined, points[i].left ? points[i].at : 0);
		}
		open = !points[i].left;
	}
	for (int i = row + 1; i < n; i++)
		set_interval(rows[i], 0, 0);
	return true;
}

static bool
take_text(char **field, const char *value)
{
	if (value == NULL || *field != NULL)
		return false;
	*field = pstrdup(value);
	return true;
}

/* What this event knows about the person, for all presences of the connection. */
static void
take_person(DibsPresence *p, const DibsMeetingPerson *person)
{
	bool news = take_text(&p->user_id, person->user_id);

	news |= take_text(&p->email, person->email);
	news |= take_text(&p->name, person->name);
	news |= take_text(&p->registrant_id, person->registrant_id);
	if (person->is_host && p->role != DIBS_ROLE_HOST)
	{
		p->role = DIBS_ROLE_HOST;
		p->participant = NULL;
		p->unmatched = false;
		p->dirty = true;
	}
	if (news)
	{
		p->dirty = true;
		p->unmatched |= p->role != DIBS_ROLE_HOST;
	}
}

static bool
take_time(DibsPresence *p, TimestampTz *known, TimestampTz at)
{
	bool news = *known == 0;

	if (news || at < *known)
	{
		*known = at;
		p->dirty = true;
	}
	return news;
}

bool
dibs_attendance_event(DibsLife *life, DibsRun *run, const DibsMeetingEvent *event, TimestampTz at,
					  DibsPresence **presence)
{
	DibsPresence *only;
	int first = 0;
	int n = 0;
	bool news = false;

	qsort(life->presences, life->n_presences, sizeof(DibsPresence *), by_connection);
	for (int i = 0; i < life->n_presences; i++)
	{
		const DibsPresence *p = life->presences[i];

		if (strcmp(p->run, run->ulid) != 0 || strcmp(p->connection, event->person.connection) != 0)
			continue;
		if (n++ == 0)
			first = i;
	}
	if (n == 0)
	{
		only = add_presence(life, run, event->person.connection);
		first = life->n_presences - 1;
		n = 1;
		if (event->kind == DIBS_MEETING_JOINED || event->kind == DIBS_MEETING_LEFT)
			set_interval(only, event->kind == DIBS_MEETING_JOINED ? at : 0, event->kind == DIBS_MEETING_LEFT ? at : 0);
		news = true;
	}
	only = life->presences[first];
	switch (event->kind)
	{
		case DIBS_MEETING_JOINED:
		case DIBS_MEETING_LEFT:
			if (!news)
				news = add_point(life, run, first, n, at, event->kind == DIBS_MEETING_LEFT);
			break;
		case DIBS_MEETING_WAITING:
			news = take_time(only, &only->waiting_at, at);
			break;
		case DIBS_MEETING_GAVE_UP:
			news = take_time(only, &only->gave_up_at, at);
			break;
		case DIBS_MEETING_ADMITTED:
			news = take_time(only, &only->admitted_at, at);
			break;
		default:
			return false;
	}
	*presence = only;
	for (int i = 0; i < life->n_presences; i++)
	{
		DibsPresence *p = life->presences[i];

		if (!same_connection(p, only))
			continue;
		take_person(p, &event->person);
		if (p->is_new && p != only)
		{
			p->role = only->role;
			p->participant = only->participant;
			p->unmatched = only->unmatched;
			(void) take_text(&p->user_id, only->user_id);
			(void) take_text(&p->email, only->email);
			(void) take_text(&p->name, only->name);
			(void) take_text(&p->registrant_id, only->registrant_id);
		}
		if (event->kind == DIBS_MEETING_LEFT && p->left_at == at)
		{
			*presence = p;
			if (take_text(&p->reason, event->person.reason))
				p->dirty = true;
		}
		else if (event->kind == DIBS_MEETING_JOINED && p->joined_at == at)
			*presence = p;
	}
	return news;
}

/* Words in lower case with one space between them. */
static char *
plain_name(const char *name)
{
	char *lower = str_tolower(name, strlen(name), DEFAULT_COLLATION_OID);
	char *out = lower;
	bool space = false;

	for (const char *c = lower; *c != '\0'; c++)
	{
		if (isspace((unsigned char) *c))
		{
			space = out != lower;
			continue;
		}
		if (space)
			*out++ = ' ';
		space = false;
		*out++ = *c;
	}
	*out = '\0';
	return lower;
}

static bool
same_name(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(plain_name(a), plain_name(b)) == 0;
}

/* By registration, by e-mail, by the coach's addresses, by a name that one person alone has. */
static void
match(DibsLife *life, DibsPresence *p, uint64 n_hosts, char **hosts, const bool *is_name)
{
	const DibsAttendee *found = NULL;
	bool host = false;
	int namesakes = 0;

	for (int i = 0; i < life->n_people && found == NULL; i++)
	{
		if (p->registrant_id != NULL && life->people[i].registrant_id != NULL &&
			strcmp(p->registrant_id, life->people[i].registrant_id) == 0)
			found = &life->people[i];
	}
	for (int i = 0; i < life->n_people && found == NULL; i++)
	{
		if (p->email != NULL && life->people[i].email != NULL && pg_strcasecmp(p->email, life->people[i].email) == 0)
			found = &life->people[i];
	}
	for (uint64 i = 0; i < n_hosts && found == NULL && !host; i++)
		host = !is_name[i] && ((p->email != NULL && pg_strcasecmp(p->email, hosts[i]) == 0) ||
							   (p->user_id != NULL && pg_strcasecmp(p->user_id, hosts[i]) == 0));
	if (found == NULL && !host)
	{
		const DibsAttendee *namesake = NULL;

		for (int i = 0; i < life->n_people; i++)
		{
			if (same_name(p->name, life->people[i].name))
			{
				namesake = &life->people[i];
				namesakes++;
			}
		}
		if (namesakes == 1)
			found = namesake;
		for (uint64 i = 0; i < n_hosts && namesakes == 0 && !host; i++)
			host = is_name[i] && same_name(p->name, hosts[i]);
	}
	p->unmatched = false;
	if (found == NULL && !host)
		return;
	p->role = found != NULL ? DIBS_ROLE_PARTICIPANT : DIBS_ROLE_HOST;
	p->participant = found != NULL ? pstrdup(found->ulid) : NULL;
	p->dirty = true;
}

static void
match_all(DibsLife *life)
{
	Datum values[2] = {CStringGetTextDatum(life->user), 0};
	char nulls[3] = "  ";
	uint64 n = 0;
	char **hosts = NULL;
	bool *is_name = NULL;

	for (int i = 0; i < life->n_presences; i++)
	{
		if (!life->presences[i]->unmatched)
			continue;
		if (life->people == NULL)
			read_people(life, (Datum) 0);
		if (hosts == NULL)
		{
			if (life->meeting == NULL)
				nulls[1] = 'n';
			else
				values[1] = CStringGetTextDatum(life->meeting);
			n = dibs_execute(&select_hosts, values, nulls, false, SPI_OK_SELECT);
			hosts = palloc(Max(n, 1) * sizeof(char *));
			is_name = palloc(Max(n, 1) * sizeof(bool));
			for (uint64 h = 0; h < n; h++)
			{
				hosts[h] = dibs_column(h, 1);
				is_name[h] = dibs_column_bool(h, 2);
			}
			SPI_freetuptable(SPI_tuptable);
		}
		match(life, life->presences[i], n, hosts, is_name);
	}
}

/* Of a run that gathers what is of no known run. */
static bool
is_gathering(const DibsRun *run)
{
	return dibs_run_begin(run) == 0 && run->ended_at == 0;
}

static const DibsRun *
run_of(const DibsLife *life, const DibsPresence *p)
{
	for (int i = 0; i < life->n_runs; i++)
	{
		if (strcmp(life->runs[i]->ulid, p->run) == 0)
			return life->runs[i];
	}
	return NULL;
}

/* When the run was over in which somebody came. */
static TimestampTz
end_of(const DibsLife *life, const DibsPresence *p)
{
	const DibsRun *run = run_of(life, p);

	if (run == NULL)
		return 0;
	return is_gathering(run) ? dibs_life_end_at(life, p->joined_at) : run->end;
}

void
dibs_attendance_derive(DibsLife *life)
{
	qsort(life->presences, life->n_presences, sizeof(DibsPresence *), by_connection);
	for (int i = 0; i < life->n_presences; i++)
	{
		DibsPresence *p = life->presences[i];
		const DibsPresence *next = i + 1 < life->n_presences ? life->presences[i + 1] : NULL;
		TimestampTz end;

		if (p->joined_at == 0 || (p->left_at != 0 && !p->closed))
			continue;
		if (next != NULL && same_connection(p, next) && next->joined_at != 0)
			end = next->joined_at;
		else
			end = end_of(life, p);
		if (end != 0 && end < p->joined_at)
			end = p->joined_at;
		if (p->left_at == end && p->closed == (end != 0))
			continue;
		p->left_at = end;
		p->closed = end != 0;
		p->dirty = true;
	}
	match_all(life);
	if (life->near)
		read_participants(life);
}

static bool
was_in(const DibsPresence *p)
{
	return p->joined_at != 0 || p->left_at != 0;
}

bool
dibs_attendance_came(const DibsLife *life)
{
	if (dibs_no_show == DIBS_NO_SHOW_NEVER)
		return true;
	for (int i = 0; i < life->n_presences; i++)
	{
		const DibsPresence *p = life->presences[i];

		if (was_in(p) && (p->role != DIBS_ROLE_HOST || dibs_no_show == DIBS_NO_SHOW_NOBODY))
			return true;
	}
	return false;
}

bool
dibs_attendance_runs_on(const DibsLife *life)
{
	TimestampTz last = 0;
	bool known = false;

	for (int i = 0; i < life->n_runs; i++)
	{
		known |= !is_gathering(life->runs[i]);
		last = Max(last, life->runs[i]->end);
	}
	for (int i = 0; i < life->n_presences; i++)
	{
		const DibsPresence *p = life->presences[i];
		const DibsRun *run = run_of(life, p);

		if (run != NULL && is_gathering(run) && was_in(p) &&
			(!known || (p->joined_at > last && dibs_life_end_at(life, p->joined_at) == 0)))
			return true;
	}
	return false;
}

static void
write_presence(const DibsLife *life, const DibsPresence *p)
{
	Datum values[18];
	char nulls[18];

	dibs_set_text(values, nulls, 0, p->ulid);
	dibs_set_text(values, nulls, 1, life->user);
	dibs_set_text(values, nulls, 2, p->participant);
	dibs_set_text(values, nulls, 3, role_names[p->role]);
	dibs_set_text(values, nulls, 4, p->user_id);
	dibs_set_text(values, nulls, 5, p->email);
	dibs_set_text(values, nulls, 6, p->name);
	dibs_set_text(values, nulls, 7, p->registrant_id);
	dibs_set_text(values, nulls, 8, p->reason);
	dibs_set_time(values, nulls, 9, p->waiting_at);
	dibs_set_time(values, nulls, 10, p->gave_up_at);
	dibs_set_time(values, nulls, 11, p->admitted_at);
	dibs_set_time(values, nulls, 12, p->joined_at);
	dibs_set_time(values, nulls, 13, p->left_at);
	values[14] = BoolGetDatum(p->closed);
	nulls[14] = ' ';
	dibs_set_text(values, nulls, 15, life->booking);
	dibs_set_text(values, nulls, 16, p->run);
	dibs_set_text(values, nulls, 17, p->connection);
	if (p->is_new)
		(void) dibs_execute(&insert_presence, values, nulls, false, SPI_OK_INSERT);
	else
		(void) dibs_execute(&update_presence, values, nulls, false, SPI_OK_UPDATE);
}

/* When each participant came first and left last; nobody has left who is in at present. */
static bool
write_person(const DibsLife *life, const DibsAttendee *person)
{
	TimestampTz joined = 0;
	TimestampTz left = 0;
	bool came = false;
	bool in = false;
	Datum values[5];
	char nulls[5];

	for (int i = 0; i < life->n_presences; i++)
	{
		const DibsPresence *p = life->presences[i];

		if (p->participant == NULL || strcmp(p->participant, person->ulid) != 0 || !was_in(p))
			continue;
		came = true;
		in |= p->left_at == 0;
		if (p->joined_at != 0 && (joined == 0 || p->joined_at < joined))
			joined = p->joined_at;
		if (p->left_at > left)
			left = p->left_at;
	}
	if (in)
		left = 0;
	if (!came || (joined == person->joined_at && left == person->left_at && !person->confirmed))
		return false;
	dibs_set_text(values, nulls, 0, person->ulid);
	dibs_set_text(values, nulls, 1, life->user);
	dibs_set_text(values, nulls, 2, life->booking);
	dibs_set_time(values, nulls, 3, joined);
	dibs_set_time(values, nulls, 4, left);
	(void) dibs_execute(&update_person, values, nulls, false, SPI_OK_UPDATE);
	return person->confirmed;
}

void
dibs_attendance_write(DibsLife *life)
{
	bool dirty = false;
	bool attended = false;

	for (int i = 0; i < life->n_presences; i++)
	{
		if (!life->presences[i]->dirty)
			continue;
		dirty = true;
		write_presence(life, life->presences[i]);
	}
	for (int i = 0; i < life->n_people && dirty; i++)
		attended |= write_person(life, &life->people[i]);
	if (attended)
	{
		Datum values[2] = {CStringGetTextDatum(life->booking), CStringGetTextDatum(life->user)};

		dibs_set_write_mode(DIBS_WRITE_SETTLE);
		(void) dibs_execute(&derive_people, values, NULL, false, SPI_OK_SELECT);
		dibs_set_write_mode(DIBS_WRITE_DIRECT);
	}
}
