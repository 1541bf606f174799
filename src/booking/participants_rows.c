/*
 * participants_rows.c
 *		"BookingParticipant": a booking's people, read and written.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "booking/participants.h"
#include "queue/plan.h"

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
		DibsParticipant *p = dibs_roster_append(roster);
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
		while (p->status < DIBS_PARTICIPANT_ATTENDED && strcmp(status, dibs_participant_status(p)) != 0)
			p->status++;
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
		statuses[i] = CStringGetTextDatum(dibs_participant_status(people[i]));
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
