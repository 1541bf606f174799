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

#include "guc.h"
#include "meeting/attendance.h"

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
	dibs_attendance_match(life);
	if (life->near)
		dibs_attendance_read_participants(life);
}

bool
dibs_attendance_came(const DibsLife *life)
{
	if (dibs_no_show == DIBS_NO_SHOW_NEVER)
		return true;
	for (int i = 0; i < life->n_presences; i++)
	{
		const DibsPresence *p = life->presences[i];

		if (dibs_was_in(p) && (p->role != DIBS_ROLE_HOST || dibs_no_show == DIBS_NO_SHOW_NOBODY))
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

		if (run != NULL && is_gathering(run) && dibs_was_in(p) &&
			(!known || (p->joined_at > last && dibs_life_end_at(life, p->joined_at) == 0)))
			return true;
	}
	return false;
}
