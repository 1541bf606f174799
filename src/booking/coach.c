/*
 * coach.c
 *		"ProviderAccount" and "Coach": which userUlid an organizer is.
 */
#include "compat.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/formatting.h"

#include "booking/coach.h"
#include "errors.h"
#include "guc.h"
#include "queue/plan.h"
#include "queue/probe.h"

/* By the strongest name that is known: an id stays, an e-mail and a user name may change hands. */
bool
dibs_coach_find_linked(const DibsBookingChange *change, char user_ulid[DIBS_ULID_LEN + 1])
{
	static const DibsProbe accounts[3] = {{"ProviderAccount", "ProviderAccount_externalId_key", 2, {"userUlid"}},
										  {"ProviderAccount", "ProviderAccount_email_key", 2, {"userUlid"}},
										  {"ProviderAccount", "ProviderAccount_username_key", 2, {"userUlid"}}};
	const char *names[3] = {change->organizer_id, change->organizer_email, change->organizer_username};

	for (int i = 0; i < 3; i++)
	{
		const char *keys[2] = {change->source, names[i]};
		char *user = NULL;

		if (names[i] == NULL)
			continue;
		/* as the indexes' lower() has it */
		if (i > 0)
			keys[1] = str_tolower(names[i], strlen(names[i]), DEFAULT_COLLATION_OID);
		/* an account that nobody has linked to a coach yet says nothing */
		if (dibs_probe(&accounts[i], keys, &user) && user != NULL)
		{
			strlcpy(user_ulid, user, DIBS_ULID_LEN + 1);
			return true;
		}
	}
	return false;
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
 * first of them.
 */
bool
dibs_coach_seen(const DibsBookingChange *change, const char *user_ulid, const char *uid)
{
	static const DibsProbe coach = {"Coach", "Coach_pkey", 1, {"name", "email", "timeZone"}};
	static const DibsProbe waiting = {"WebhookEvent", "WebhookEvent_waitsFor_idx", 1, {NULL}};
	static DibsStatement write = {
		"INSERT INTO dibs.\"Coach\" AS c (\"userUlid\", \"name\", \"email\", \"timeZone\") VALUES ($1, $2, $3, $4) "
		"ON CONFLICT ON CONSTRAINT \"Coach_pkey\" DO UPDATE SET \"name\" = coalesce(c.\"name\", excluded.\"name\"), "
		"\"email\" = coalesce(c.\"email\", excluded.\"email\"), "
		"\"timeZone\" = coalesce(c.\"timeZone\", excluded.\"timeZone\")",
		4,
		{BPCHAROID, TEXTOID, TEXTOID, TEXTOID},
	};
	const char *texts[4] = {user_ulid, change->organizer_name, change->organizer_email, change->organizer_time_zone};
	char *known[3] = {NULL, NULL, NULL};
	bool complete = dibs_probe(&coach, &user_ulid, known);
	Datum values[4];
	char nulls[4];

	for (int i = 0; i < 3; i++)
		complete = complete && (known[i] != NULL || texts[i + 1] == NULL);
	if (!complete)
	{
		for (int i = 0; i < 4; i++)
			dibs_set_text(values, nulls, i, texts[i]);
		(void) dibs_execute(&write, values, nulls, false, SPI_OK_INSERT);
	}
	return uid != NULL && dibs_probe(&waiting, &uid, NULL);
}
