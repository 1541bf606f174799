/*
 * coach.c
 *		"ProviderAccount" and "Coach": which userUlid an organizer is.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "booking/coach.h"
#include "errors.h"
#include "guc.h"
#include "queue/plan.h"

#define ACCOUNT_BY(name)                                                                                                    \
	{                                                                                                                       \
		"SELECT \"userUlid\" FROM dibs.\"ProviderAccount\" WHERE \"provider\" = $1 AND \"userUlid\" IS NOT NULL AND " name, \
			2,                                                                                                              \
		{                                                                                                                   \
			TEXTOID, TEXTOID                                                                                                \
		}                                                                                                                   \
	}

/*
 * By the strongest name that is known: an id stays, an e-mail and a user name may change hands. One after the other:
 * the first mostly finds it, and one look costs less than a statement that could take three.
 */
bool
dibs_coach_find_linked(const DibsBookingChange *change, char user_ulid[DIBS_ULID_LEN + 1])
{
	static DibsStatement accounts[3] = {ACCOUNT_BY("\"externalId\" = $2"), ACCOUNT_BY("lower(\"email\") = lower($2)"),
										ACCOUNT_BY("lower(\"username\") = lower($2)")};
	const char *names[3] = {change->organizer_id, change->organizer_email, change->organizer_username};
	Datum values[2] = {CStringGetTextDatum(change->source)};
	bool found = false;

	for (int i = 0; i < 3 && !found; i++)
	{
		if (names[i] == NULL)
			continue;
		values[1] = CStringGetTextDatum(names[i]);
		found = dibs_execute(&accounts[i], values, NULL, false, SPI_OK_SELECT) > 0;
		if (found)
			strlcpy(user_ulid, dibs_column(0, 1), DIBS_ULID_LEN + 1);
		SPI_freetuptable(SPI_tuptable);
	}
	return found;
}

/*
 * A new coach of that organizer. Where another transaction registers the same one at this moment, the loser gets 23505,
 * is called again and finds the winner's.
 */
static bool
auto_register(const DibsBookingChange *change, char user_ulid[DIBS_ULID_LEN + 1])
{
	static DibsStatement statement = {
		"INSERT INTO dibs.\"ProviderAccount\" (\"provider\", \"userUlid\", \"externalId\", \"email\", \"username\") "
		"SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM dibs.\"ProviderAccount\" AS a WHERE a.\"provider\" = $1 "
		"AND (a.\"externalId\" = $3 OR lower(a.\"email\") = lower($4) OR lower(a.\"username\") = lower($5)))",
		5,
		{TEXTOID, BPCHAROID, TEXTOID, TEXTOID, TEXTOID},
	};
	const char *names[3] = {change->organizer_id, change->organizer_email, change->organizer_username};
	Datum values[5] = {0};
	char nulls[6] = "     ";
	char ulid[DIBS_ULID_LEN + 1];

	if (names[0] == NULL && names[1] == NULL && names[2] == NULL)
		return false;
	if (!dibs_ulid_generate(ulid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes for an identifier")));
	values[0] = CStringGetTextDatum(change->source);
	values[1] = CStringGetTextDatum(ulid);
	for (int i = 0; i < 3; i++)
	{
		nulls[i + 2] = names[i] == NULL ? 'n' : ' ';
		if (names[i] != NULL)
			values[i + 2] = CStringGetTextDatum(names[i]);
	}
	(void) dibs_execute(&statement, values, nulls, false, SPI_OK_INSERT);
	return dibs_coach_find_linked(change, user_ulid);
}

bool
dibs_coach_find(const DibsBookingChange *change, bool may_register, char user_ulid[DIBS_ULID_LEN + 1])
{
	if (dibs_coach_find_linked(change, user_ulid))
		return true;
	if (dibs_auto_register_coaches && !may_register)
		return false;
	if (dibs_auto_register_coaches && auto_register(change, user_ulid))
		return true;
	if (dibs_default_user_ulid == NULL || *dibs_default_user_ulid == '\0')
		return false;
	strlcpy(user_ulid, dibs_default_user_ulid, DIBS_ULID_LEN + 1);
	return true;
}

/*
 * Looked at before it is written: a coach's row is what concurrent bookings of theirs lock, and is complete after the
 * first of them. The same look tells whether an event waits for uid, which hardly ever is so.
 */
bool
dibs_coach_seen(const DibsBookingChange *change, const char *user_ulid, const char *uid)
{
	static DibsStatement complete = {
		"SELECT (\"name\" IS NOT NULL OR $2 IS NULL) AND (\"email\" IS NOT NULL OR $3 IS NULL) AND "
		"(\"timeZone\" IS NOT NULL OR $4 IS NULL), "
		"EXISTS (SELECT FROM dibs.\"WebhookEvent\" AS e WHERE e.\"waitsFor\" = $5) "
		"FROM dibs.\"Coach\" WHERE \"userUlid\" = $1",
		5,
		{BPCHAROID, TEXTOID, TEXTOID, TEXTOID, TEXTOID},
	};
	static DibsStatement write = {
		"INSERT INTO dibs.\"Coach\" AS c (\"userUlid\", \"name\", \"email\", \"timeZone\") VALUES ($1, $2, $3, $4) "
		"ON CONFLICT ON CONSTRAINT \"Coach_pkey\" DO UPDATE SET \"name\" = coalesce(c.\"name\", excluded.\"name\"), "
		"\"email\" = coalesce(c.\"email\", excluded.\"email\"), "
		"\"timeZone\" = coalesce(c.\"timeZone\", excluded.\"timeZone\")",
		4,
		{BPCHAROID, TEXTOID, TEXTOID, TEXTOID},
	};
	const char *texts[5] = {user_ulid, change->organizer_name, change->organizer_email, change->organizer_time_zone,
							uid};
	Datum values[5] = {0};
	char nulls[5];
	bool known, awaited;

	for (int i = 0; i < 5; i++)
	{
		nulls[i] = texts[i] == NULL ? 'n' : ' ';
		if (texts[i] != NULL)
			values[i] = CStringGetTextDatum(texts[i]);
	}
	known = dibs_execute(&complete, values, nulls, false, SPI_OK_SELECT) > 0;
	awaited = !known || dibs_column_bool(0, 2);
	known = known && dibs_column_bool(0, 1);
	SPI_freetuptable(SPI_tuptable);
	if (!known)
		(void) dibs_execute(&write, values, nulls, false, SPI_OK_INSERT);
	return awaited;
}
