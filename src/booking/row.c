/*
 * row.c
 *		Reads and writes "CalBooking" rows for booking.c; all that knows the columns' names is here.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"

#include "booking/row.h"
#include "booking/write_mode.h"
#include "errors.h"
#include "queue/insert.h"
#include "queue/plan.h"

typedef struct ColumnInfo
{
	const char *name;
	Oid type;
	const char *read; /* how it is read and written where that differs from its name */
	const char *cast;
} ColumnInfo;

static const ColumnInfo infos[DIBS_COL_COUNT] = {
	[DIBS_COL_UID] = {"calBookingUid", TEXTOID},
	[DIBS_COL_SOURCE_ID] = {"calBookingId", INT4OID},
	[DIBS_COL_TITLE] = {"title", TEXTOID},
	[DIBS_COL_DESCRIPTION] = {"description", TEXTOID},
	[DIBS_COL_EVENT_TYPE] = {"eventTypeId", INT4OID},
	[DIBS_COL_EVENT_SLUG] = {"eventTypeSlug", TEXTOID},
	/* an enum of ours: its OID differs in every database */
	[DIBS_COL_BOOKING_TYPE] = {"bookingType", TEXTOID, "::text", "::dibs.\"CalBookingType\""},
	[DIBS_COL_MAX_PARTICIPANTS] = {"maxParticipants", INT4OID},
	[DIBS_COL_CURRENT_PARTICIPANTS] = {"currentParticipants", INT4OID},
	[DIBS_COL_START] = {"startTime", TIMESTAMPTZOID},
	[DIBS_COL_END] = {"endTime", TIMESTAMPTZOID},
	[DIBS_COL_DURATION] = {"duration", INT4OID},
	[DIBS_COL_ATTENDEE_EMAIL] = {"attendeeEmail", TEXTOID},
	[DIBS_COL_ATTENDEE_NAME] = {"attendeeName", TEXTOID},
	[DIBS_COL_ATTENDEE_TIME_ZONE] = {"attendeeTimeZone", TEXTOID},
	[DIBS_COL_PARTICIPANTS] = {"participants", JSONBOID},
	[DIBS_COL_STATUS] = {"status", TEXTOID},
	[DIBS_COL_CANCELLATION_REASON] = {"cancellationReason", TEXTOID},
	[DIBS_COL_CANCELLED_BY] = {"cancelledByEmail", TEXTOID},
	[DIBS_COL_RESCHEDULING_REASON] = {"reschedulingReason", TEXTOID},
	[DIBS_COL_RESCHEDULED_BY] = {"rescheduledByEmail", TEXTOID},
	[DIBS_COL_RESCHEDULED_FROM] = {"rescheduledFromUid", TEXTOID},
	[DIBS_COL_ANSWERS] = {"bookingFields", JSONBOID},
	[DIBS_COL_METADATA] = {"metadata", JSONBOID},
	[DIBS_COL_SOURCE] = {"source", TEXTOID},
	[DIBS_COL_LOCATION] = {"location", JSONBOID},
	[DIBS_COL_PAID] = {"paid", BOOLOID},
	[DIBS_COL_AMOUNT] = {"amount", INT8OID},
	[DIBS_COL_CURRENCY] = {"currency", TEXTOID},
	[DIBS_COL_PREVIOUS_UIDS] = {"previousUids", TEXTARRAYOID},
	[DIBS_COL_HOST_ABSENT] = {"hostAbsent", BOOLOID},
	[DIBS_COL_SOURCE_AT] = {"sourceAt", TIMESTAMPTZARRAYOID},
};

/* parameters 1 and 2 are the key */
#define FIRST_COLUMN_PARAMETER 3
#define PARAMETER_COUNT (DIBS_COL_COUNT + FIRST_COLUMN_PARAMETER - 1)

static bool
by_value(DibsColumn column, int16 *len)
{
	switch (infos[column].type)
	{
		case INT4OID:
			*len = 4;
			return true;
		case BOOLOID:
			*len = 1;
			return true;
		case INT8OID:
		case TIMESTAMPTZOID:
			*len = 8;
			return FLOAT8PASSBYVAL;
		default:
			*len = -1;
			return false;
	}
}

static Datum
array_of_text(List *uids)
{
	int n = list_length(uids);
	Datum *values = palloc(Max(n, 1) * sizeof(Datum));
	ListCell *lc;

	n = 0;
	foreach (lc, uids)
		values[n++] = CStringGetTextDatum((char *) lfirst(lc));
	return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}

void
dibs_row_conflict(void)
{
	ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					errmsg("another transaction wrote the same booking first"), errhint("Try again.")));
}

static DibsStatement resolve_uid = {
	"SELECT \"ulid\", \"userUlid\", true FROM dibs.\"CalBooking\" WHERE \"calBookingUid\" = $1 UNION ALL "
	"SELECT u.\"bookingUlid\", u.\"userUlid\", b.\"ulid\" IS NOT NULL FROM dibs.\"BookingUid\" AS u "
	"LEFT JOIN dibs.\"CalBooking\" AS b ON b.\"ulid\" = u.\"bookingUlid\" AND b.\"userUlid\" = u.\"userUlid\" "
	"WHERE u.\"uid\" = $1 LIMIT 1",
	1,
	{TEXTOID},
};

DibsFound
dibs_row_resolve(const char *uid, char *ulid, char *user_ulid)
{
	Datum values[1] = {CStringGetTextDatum(uid)};
	DibsFound found = DIBS_FOUND_NONE;

	if (dibs_execute(&resolve_uid, values, NULL, false, SPI_OK_SELECT) > 0)
	{
		bool isnull;

		strlcpy(ulid, dibs_column(0, 1), DIBS_ULID_LEN + 1);
		strlcpy(user_ulid, dibs_column(0, 2), DIBS_ULID_LEN + 1);
		found = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull))
					? DIBS_FOUND_LIVE
					: DIBS_FOUND_DELETED;
	}
	SPI_freetuptable(SPI_tuptable);
	return found;
}

static char *
lock_sql(void)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < DIBS_COL_COUNT; i++)
		appendStringInfo(&sql, "%s\"%s\"%s", i == 0 ? "" : ", ", infos[i].name, infos[i].read ? infos[i].read : "");
	/* the key is not touched, so a claim of the worker's (FOR KEY SHARE) does not wait for us, nor we for it */
	appendStringInfoString(&sql,
						   " FROM dibs.\"CalBooking\" WHERE \"ulid\" = $1 AND \"userUlid\" = $2 FOR NO KEY UPDATE");
	return sql.data;
}

bool
dibs_row_lock(const char *ulid, const char *user_ulid, DibsBookingRow *row)
{
	static DibsStatement statement = {NULL, 2, {BPCHAROID, BPCHAROID}};
	Datum values[2] = {CStringGetTextDatum(ulid), CStringGetTextDatum(user_ulid)};
	ArrayType *stamps;
	int n;

	if (statement.plan == NULL)
		statement.sql = lock_sql();
	if (dibs_execute(&statement, values, NULL, false, SPI_OK_SELECT) == 0)
		return false;
	memset(row, 0, sizeof(*row));
	strlcpy(row->ulid, ulid, sizeof(row->ulid));
	strlcpy(row->user_ulid, user_ulid, sizeof(row->user_ulid));
	strlcpy(row->stored_user_ulid, user_ulid, sizeof(row->stored_user_ulid));
	for (int i = 0; i < DIBS_COL_COUNT; i++)
	{
		int16 len;
		bool byval = by_value((DibsColumn) i, &len);
		Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &row->nulls[i]);

		if (!row->nulls[i])
			row->values[i] = len == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(value)) : datumCopy(value, byval, len);
	}
	SPI_freetuptable(SPI_tuptable);

	for (int i = 0; i < DIBS_FIELD_COUNT; i++)
		row->stamps[i] = DIBS_STAMP_UNSET;
	stamps = DatumGetArrayTypeP(row->values[DIBS_COL_SOURCE_AT]);
	n = ArrayGetNItems(ARR_NDIM(stamps), ARR_DIMS(stamps));
	if (!ARR_HASNULL(stamps))
		memcpy(row->stamps, ARR_DATA_PTR(stamps), Min(n, DIBS_FIELD_COUNT) * sizeof(TimestampTz));
	return true;
}

void
dibs_row_init(DibsBookingRow *row, const char *user_ulid)
{
	memset(row, 0, sizeof(*row));
	if (!dibs_ulid_generate(row->ulid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes for an identifier")));
	strlcpy(row->user_ulid, user_ulid, sizeof(row->user_ulid));
	for (int i = 0; i < DIBS_COL_COUNT; i++)
		row->nulls[i] = true;
	for (int i = 0; i < DIBS_FIELD_COUNT; i++)
		row->stamps[i] = DIBS_STAMP_UNSET;
	dibs_row_set_text(row, DIBS_COL_BOOKING_TYPE, "ONE_ON_ONE");
	dibs_row_set_text(row, DIBS_COL_STATUS, "CONFIRMED");
	dibs_row_set(row, DIBS_COL_PREVIOUS_UIDS, array_of_text(NIL), false);
	dibs_row_set(row, DIBS_COL_HOST_ABSENT, BoolGetDatum(false), false);
	dibs_row_set(row, DIBS_COL_ANSWERS, DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")), false);
	dibs_row_set(row, DIBS_COL_METADATA, DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")), false);
}

void
dibs_row_set(DibsBookingRow *row, DibsColumn column, Datum value, bool isnull)
{
	int16 len;
	bool byval = by_value(column, &len);

	if (isnull ? row->nulls[column] : !row->nulls[column] && datum_image_eq(row->values[column], value, byval, len))
		return;
	row->values[column] = isnull ? (Datum) 0 : value;
	row->nulls[column] = isnull;
	row->changed = true;
	row->dirty = true;
}

void
dibs_row_set_text(DibsBookingRow *row, DibsColumn column, const char *value)
{
	dibs_row_set(row, column, value == NULL ? (Datum) 0 : CStringGetTextDatum(value), value == NULL);
}

void
dibs_row_stamp(DibsBookingRow *row, DibsField field, TimestampTz at)
{
	if (row->stamps[field] == at)
		return;
	row->stamps[field] = at;
	row->dirty = true;
}

char *
dibs_row_text(const DibsBookingRow *row, DibsColumn column)
{
	return row->nulls[column] ? NULL : TextDatumGetCString(row->values[column]);
}

bool
dibs_row_text_is(const DibsBookingRow *row, DibsColumn column, const char *value)
{
	text *t;

	if (row->nulls[column])
		return false;
	t = DatumGetTextPP(row->values[column]);
	return VARSIZE_ANY_EXHDR(t) == strlen(value) && memcmp(VARDATA_ANY(t), value, strlen(value)) == 0;
}

DibsStatus
dibs_row_status(const DibsBookingRow *row)
{
	text *t = DatumGetTextPP(row->values[DIBS_COL_STATUS]);

	return dibs_status_from_text(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
}

List *
dibs_row_previous(const DibsBookingRow *row)
{
	ArrayType *array = DatumGetArrayTypeP(row->values[DIBS_COL_PREVIOUS_UIDS]);
	Datum *values;
	bool *nulls;
	int n;
	List *uids = NIL;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			uids = lappend(uids, TextDatumGetCString(values[i]));
	}
	return uids;
}

void
dibs_row_set_previous(DibsBookingRow *row, List *uids)
{
	dibs_row_set(row, DIBS_COL_PREVIOUS_UIDS, array_of_text(uids), false);
}

static char *
update_sql(void)
{
	StringInfoData sets;

	initStringInfo(&sets);
	for (int i = 0; i < DIBS_COL_COUNT; i++)
		appendStringInfo(&sets, "%s\"%s\" = $%d%s", i == 0 ? "" : ", ", infos[i].name, i + FIRST_COLUMN_PARAMETER,
						 infos[i].cast ? infos[i].cast : "");
	return psprintf("UPDATE dibs.\"CalBooking\" SET %s WHERE \"ulid\" = $1 AND \"userUlid\" = $2", sets.data);
}

/* What of a row no source knows, and goes with it to another coach. */
typedef struct Kept
{
	int tokens; /* how often they were revoked: who held one with the old coach shall not have one if it comes back */
	Datum values[3];
	bool nulls[3];
} Kept;

static void
take_away(const char *ulid, const char *user_ulid, Kept *kept)
{
	static DibsStatement statement = {
		"DELETE FROM dibs.\"CalBooking\" WHERE \"ulid\" = $1 AND \"userUlid\" = $2"
		" RETURNING \"tokenVersion\", \"rating\", \"sessionUlid\", \"meetingProvider\"",
		2,
		{BPCHAROID, BPCHAROID},
	};
	Datum values[2] = {CStringGetTextDatum(ulid), CStringGetTextDatum(user_ulid)};

	memset(kept, 0, sizeof(*kept));
	for (int i = 0; i < 3; i++)
		kept->nulls[i] = true;
	if (dibs_execute(&statement, values, NULL, false, SPI_OK_DELETE_RETURNING) == 0)
		return;
	kept->tokens = dibs_column_int(0, 1);
	for (int i = 0; i < 3; i++)
	{
		kept->values[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 2, &kept->nulls[i]);
		if (!kept->nulls[i] && i > 0)
			kept->values[i] = PointerGetDatum(PG_DETOAST_DATUM_COPY(kept->values[i]));
	}
}

static void
give_back(const char *ulid, const char *user_ulid, const Kept *kept)
{
	static DibsStatement statement = {
		"UPDATE dibs.\"CalBooking\" SET \"tokenVersion\" = $3, \"rating\" = $4, \"sessionUlid\" = $5, \"meetingProvider\" = $6"
		" WHERE \"ulid\" = $1 AND \"userUlid\" = $2",
		6,
		{BPCHAROID, BPCHAROID, INT4OID, INT4OID, BPCHAROID, TEXTOID},
	};
	Datum values[6] = {CStringGetTextDatum(ulid), CStringGetTextDatum(user_ulid), Int32GetDatum(kept->tokens + 1)};
	char nulls[7] = "      ";

	for (int i = 0; i < 3; i++)
	{
		values[3 + i] = kept->values[i];
		nulls[3 + i] = kept->nulls[i] ? 'n' : ' ';
	}
	(void) dibs_execute(&statement, values, nulls, false, SPI_OK_UPDATE);
}

void
dibs_row_delete(const char *ulid, const char *user_ulid)
{
	static DibsStatement statement = {
		"DELETE FROM dibs.\"CalBooking\" WHERE \"ulid\" = $1 AND \"userUlid\" = $2",
		2,
		{BPCHAROID, BPCHAROID},
	};
	Datum values[2] = {CStringGetTextDatum(ulid), CStringGetTextDatum(user_ulid)};

	(void) dibs_execute(&statement, values, NULL, false, SPI_OK_DELETE);
}

static const DibsInsertColumn uid_columns[] = {{"uid", TEXTOID}, {"userUlid", BPCHAROID}, {"bookingUlid", BPCHAROID}};

static DibsInsert insert_uid = {"BookingUid", uid_columns, lengthof(uid_columns), "BookingUid_pkey"};

/* What is written of a booking: the key, the columns and, of a new one only, announced, since its event goes with it.
 */
static DibsInsertColumn booking_columns[PARAMETER_COUNT + 1];

static DibsInsert insert_booking = {"CalBooking", booking_columns, lengthof(booking_columns),
									"CalBooking_calBookingUid_key"};

static void
name_columns(void)
{
	if (booking_columns[0].name != NULL)
		return;
	for (int i = 0; i < DIBS_COL_COUNT; i++)
		booking_columns[i + FIRST_COLUMN_PARAMETER - 1] = (DibsInsertColumn){infos[i].name, infos[i].type};
	booking_columns[PARAMETER_COUNT] = (DibsInsertColumn){"announced", INT4OID};
	booking_columns[1] = (DibsInsertColumn){"userUlid", BPCHAROID};
	booking_columns[0] = (DibsInsertColumn){"ulid", BPCHAROID};
}

/* The row as it is to be, in the caller's values and nulls. */
static DibsNewRow
booking_row(DibsBookingRow *row, Datum values[PARAMETER_COUNT + 1], char nulls[PARAMETER_COUNT + 1])
{
	Datum stamps[DIBS_FIELD_COUNT];

	name_columns();
	for (int i = 0; i < DIBS_FIELD_COUNT; i++)
		stamps[i] = TimestampTzGetDatum(row->stamps[i]);
	row->values[DIBS_COL_SOURCE_AT] = PointerGetDatum(
		construct_array(stamps, DIBS_FIELD_COUNT, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	row->nulls[DIBS_COL_SOURCE_AT] = false;

	memset(nulls, ' ', PARAMETER_COUNT + 1);
	values[0] = CStringGetTextDatum(row->ulid);
	values[1] = CStringGetTextDatum(row->user_ulid);
	for (int i = 0; i < DIBS_COL_COUNT; i++)
	{
		int parameter = i + FIRST_COLUMN_PARAMETER - 1;

		values[parameter] = row->values[i];
		nulls[parameter] = row->nulls[i] ? 'n' : ' ';
	}
	values[PARAMETER_COUNT] = Int32GetDatum(1);
	return (DibsNewRow){&insert_booking, values, nulls};
}

static uint64
update_row(Datum *values, const char *nulls)
{
	static DibsStatement statement = {NULL, PARAMETER_COUNT};

	if (statement.plan == NULL)
	{
		statement.sql = update_sql();
		for (int i = 0; i < PARAMETER_COUNT; i++)
			statement.types[i] = booking_columns[i].type;
	}
	return dibs_execute(&statement, values, nulls, false, SPI_OK_UPDATE);
}

void
dibs_row_write(DibsBookingRow *row)
{
	bool insert = strcmp(row->stored_user_ulid, row->user_ulid) != 0;
	bool moves = insert && row->stored_user_ulid[0] != '\0';
	Kept kept;
	Datum values[PARAMETER_COUNT + 1];
	char nulls[PARAMETER_COUNT + 1];
	DibsNewRow new = booking_row(row, values, nulls);

	if (moves)
		take_away(row->ulid, row->stored_user_ulid, &kept);
	dibs_set_write_mode(DIBS_WRITE_APPLY);
	if (!(insert ? dibs_insert_if_new(&new) : update_row(values, nulls) > 0))
		dibs_row_conflict();
	if (moves)
		give_back(row->ulid, row->user_ulid, &kept);
	dibs_set_write_mode(DIBS_WRITE_DIRECT);
	row->dirty = false;
}

static const DibsInsertColumn person_columns[] = {
	{"userUlid", BPCHAROID},      {"bookingUlid", BPCHAROID}, {"isPrimary", BOOLOID}, {"ulid", BPCHAROID},
	{"person", TEXTOID},          {"email", TEXTOID},         {"name", TEXTOID},      {"timeZone", TEXTOID},
	{"phone", TEXTOID},           {"seatId", TEXTOID},        {"status", TEXTOID},    {"since", TIMESTAMPTZOID},
	{"sourceAt", TIMESTAMPTZOID}, {"seatAt", TIMESTAMPTZOID}};

static DibsInsert insert_person = {"BookingParticipant", person_columns, lengthof(person_columns)};

static DibsNewRow
person_row(const DibsParticipant *person, const Datum *key, Datum *values, char *nulls)
{
	const char *texts[] = {person->ulid,      person->person, person->email,   person->name,
						   person->time_zone, person->phone,  person->seat_id, dibs_participant_status(person)};
	int i = 0;

	memset(nulls, ' ', lengthof(person_columns));
	values[i++] = key[1];
	values[i++] = key[0];
	values[i++] = BoolGetDatum(true);
	for (size_t t = 0; t < lengthof(texts); t++)
		dibs_set_text(values, nulls, i++, texts[t]);
	values[i++] = TimestampTzGetDatum(person->since);
	values[i++] = TimestampTzGetDatum(person->source_at);
	values[i++] = TimestampTzGetDatum(person->seat_at);
	Assert(i == lengthof(person_columns));
	return (DibsNewRow){&insert_person, values, nulls};
}

void
dibs_row_write_whole(DibsBookingRow *row, const DibsParticipant *person, const char *event, Datum data,
					 DibsCompanion *companion, const DibsApplied *applied)
{
	Datum values[PARAMETER_COUNT + 1];
	char nulls[PARAMETER_COUNT + 1];
	Datum event_values[DIBS_EVENT_COLUMNS];
	char event_nulls[DIBS_EVENT_COLUMNS];
	Datum person_values[lengthof(person_columns)];
	char person_nulls[lengthof(person_columns)];
	DibsNewRow booking = booking_row(row, values, nulls);
	DibsNewRow rows[5];
	int n = 0;

	/* the uid first: whoever loses a race, or hoped in vain, has written one row; then what is also unique */
	rows[n++] = (DibsNewRow){&insert_uid, (Datum[]){row->values[DIBS_COL_UID], values[1], values[0]}, "   "};
	if (companion != NULL)
		rows[n++] = companion->row(companion->arg, applied);
	rows[n++] = booking;
	rows[n++] = person_row(person, values, person_values, person_nulls);
	/* last: a trigger of the application's finds all that it is about */
	rows[n++] = dibs_event_row(row->user_ulid, row->ulid, event, data, event_values, event_nulls);
	dibs_insert(rows, n);
	dibs_event_hint();
	if (companion != NULL)
		companion->written = true;
	row->dirty = false;
}

void
dibs_uid_claim(const char *uid, const char *ulid, const char *user_ulid)
{
	char owner[DIBS_ULID_LEN + 1];
	char owner_user[DIBS_ULID_LEN + 1];
	Datum values[3] = {CStringGetTextDatum(uid), CStringGetTextDatum(user_ulid), CStringGetTextDatum(ulid)};
	DibsNewRow row = {&insert_uid, values, "   "};

	if (dibs_insert_if_new(&row))
		return;
	if (dibs_row_resolve(uid, owner, owner_user) == DIBS_FOUND_NONE || strcmp(owner, ulid) != 0)
		dibs_row_conflict();
}

/* Deleted and inserted: "userUlid" is what rows are spread by, and is never updated. */
void
dibs_uid_repoint(const char *from_ulid, const char *from_user, const char *to_ulid, const char *to_user)
{
	static DibsStatement statement = {
		"WITH moved AS (DELETE FROM dibs.\"BookingUid\" WHERE \"bookingUlid\" = $1 AND \"userUlid\" = $2 "
		"RETURNING \"uid\", \"createdAt\") "
		"INSERT INTO dibs.\"BookingUid\" (\"uid\", \"bookingUlid\", \"userUlid\", \"createdAt\") "
		"SELECT m.\"uid\", $3, $4, m.\"createdAt\" FROM moved AS m",
		4,
		{BPCHAROID, BPCHAROID, BPCHAROID, BPCHAROID},
	};
	Datum values[4] = {CStringGetTextDatum(from_ulid), CStringGetTextDatum(from_user), CStringGetTextDatum(to_ulid),
					   CStringGetTextDatum(to_user)};

	(void) dibs_execute(&statement, values, NULL, false, SPI_OK_INSERT);
}
