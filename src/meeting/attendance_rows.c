/*
 * attendance_rows.c
 *		"MeetingAttendance" and "BookingParticipant", as a meeting's event reads and writes them.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "booking/write_mode.h"
#include "meeting/attendance.h"
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

void
dibs_attendance_read_people(DibsLife *life)
{
	read_people(life, (Datum) 0);
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

void
dibs_attendance_read_participants(DibsLife *life)
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

		if (p->participant == NULL || strcmp(p->participant, person->ulid) != 0 || !dibs_was_in(p))
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
