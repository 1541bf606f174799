/*
 * takeup.c
 *		Rows that follow a directly written booking. Triggers may not write other tables, so the worker does.
 */
#include "compat.h"

#include "catalog/pg_type.h"

#include "booking/takeup.h"
#include "queue/plan.h"

#define FRESH                                                                                                          \
	"WITH b AS MATERIALIZED (SELECT b.* FROM unnest($1, $2, $3) AS s(\"ulid\", \"userUlid\", \"version\")"             \
	" JOIN dibs.\"CalBooking\" b ON b.\"ulid\" = s.\"ulid\"::char(26) AND b.\"userUlid\" = s.\"userUlid\"::char(26)"   \
	" WHERE b.\"announced\" < s.\"version\") "

static DibsStatement coach_sql = {FRESH
								  "INSERT INTO dibs.\"Coach\" (\"userUlid\") SELECT DISTINCT b.\"userUlid\" FROM b"
								  " ON CONFLICT ON CONSTRAINT \"Coach_pkey\" DO NOTHING",
								  3,
								  {TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID},
								  NULL};

static DibsStatement uid_sql = {
	FRESH "INSERT INTO dibs.\"BookingUid\" (\"uid\", \"userUlid\", \"bookingUlid\")"
		  " SELECT u, b.\"userUlid\", b.\"ulid\" FROM b, unnest(b.\"previousUids\" || b.\"calBookingUid\") AS u"
		  " ON CONFLICT ON CONSTRAINT \"BookingUid_pkey\" DO NOTHING",
	3,
	{TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID},
	NULL};

/* Who is in the json column, or is the attendee, and not among the participants yet (by e-mail). */
static DibsStatement join_sql = {
	FRESH
	", x AS (SELECT b.\"ulid\", b.\"userUlid\", lower(j->>'email') AS person, j->>'email' AS email, j->>'name' AS name,"
	"  j->>'timeZone' AS zone, lower(j->>'email') = lower(b.\"attendeeEmail\") AS first"
	"  FROM b, jsonb_array_elements(b.\"participants\") AS j"
	"  WHERE j->>'email' <> '' AND coalesce(j->>'status', 'CONFIRMED') <> 'CANCELLED'"
	" UNION ALL SELECT b.\"ulid\", b.\"userUlid\", lower(b.\"attendeeEmail\"), b.\"attendeeEmail\", b.\"attendeeName\","
	"  b.\"attendeeTimeZone\", true FROM b WHERE b.\"attendeeEmail\" <> '')"
	"INSERT INTO dibs.\"BookingParticipant\" (\"userUlid\", \"bookingUlid\", \"person\", \"email\", \"name\","
	" \"timeZone\", \"isPrimary\")"
	" SELECT DISTINCT ON (x.\"ulid\", x.person) x.\"userUlid\", x.\"ulid\", x.person, x.email, x.name, x.zone, x.first"
	" FROM x WHERE NOT EXISTS (SELECT FROM dibs.\"BookingParticipant\" p WHERE p.\"bookingUlid\" = x.\"ulid\" AND"
	"  p.\"userUlid\" = x.\"userUlid\" AND lower(p.\"email\") = x.person)"
	" ON CONFLICT ON CONSTRAINT \"BookingParticipant_person_key\" DO NOTHING",
	3,
	{TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID},
	NULL};

/* Only an explicit CANCELLED removes somebody; who is merely absent from the column stays. */
static DibsStatement leave_sql = {
	FRESH "UPDATE dibs.\"BookingParticipant\" p SET \"status\" = 'CANCELLED'"
		  " FROM b, jsonb_array_elements(b.\"participants\") AS j"
		  " WHERE p.\"bookingUlid\" = b.\"ulid\" AND p.\"userUlid\" = b.\"userUlid\" AND p.\"status\" = 'CONFIRMED'"
		  " AND j->>'status' = 'CANCELLED' AND lower(p.\"email\") = lower(j->>'email')",
	3,
	{TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID},
	NULL};

/* Whose the booking is may cancel all of it: that is the attendee whom the row names, and nobody beside them. */
static DibsStatement primary_sql = {
	FRESH "UPDATE dibs.\"BookingParticipant\" p SET \"isPrimary\" = NOT p.\"isPrimary\""
		  " FROM b WHERE p.\"bookingUlid\" = b.\"ulid\" AND p.\"userUlid\" = b.\"userUlid\""
		  " AND p.\"isPrimary\" IS DISTINCT FROM (p.\"person\" = lower(b.\"attendeeEmail\"))"
		  " AND EXISTS (SELECT FROM dibs.\"BookingParticipant\" a WHERE a.\"bookingUlid\" = b.\"ulid\""
		  "  AND a.\"userUlid\" = b.\"userUlid\" AND a.\"person\" = lower(b.\"attendeeEmail\"))",
	3,
	{TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID},
	NULL};

void
dibs_take_up(Datum ulids, Datum users, Datum versions)
{
	Datum values[3] = {ulids, users, versions};

	(void) dibs_execute(&coach_sql, values, NULL, false, SPI_OK_INSERT);
	(void) dibs_execute(&uid_sql, values, NULL, false, SPI_OK_INSERT);
	(void) dibs_execute(&join_sql, values, NULL, false, SPI_OK_INSERT);
	(void) dibs_execute(&leave_sql, values, NULL, false, SPI_OK_UPDATE);
	(void) dibs_execute(&primary_sql, values, NULL, false, SPI_OK_UPDATE);
}
