/*
 * connect.c
 *		An account becomes a coach's, whichever way its tokens were got.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "account/calls.h"
#include "account/connect.h"
#include "account/grant.h"
#include "queue/plan.h"

/* $1 provider, $2 id, $3 e-mail, $4 user name, $5 coach. The id decides; the other names help to find an older row. */
static DibsStatement find_account_sql = {
	"SELECT a.\"ulid\", a.\"userUlid\" IS NOT NULL AND a.\"userUlid\" IS DISTINCT FROM $5 FROM dibs.\"ProviderAccount\" a"
	" WHERE a.\"provider\" = $1 AND (a.\"externalId\" = $2 OR (a.\"externalId\" IS NULL"
	"  AND (lower(a.\"email\") = lower($3) OR lower(a.\"username\") = lower($4))))"
	" ORDER BY a.\"externalId\" = $2 DESC NULLS LAST, a.\"createdAt\" LIMIT 1 FOR NO KEY UPDATE",
	5,
	{TEXTOID, TEXTOID, TEXTOID, TEXTOID, BPCHAROID},
	NULL};

/* $6 the row found or null. A name that another row has stays there. */
#define FREE_NAME(column, value)                                                                                       \
	"CASE WHEN NOT EXISTS (SELECT FROM dibs.\"ProviderAccount\" o WHERE o.\"provider\" = $1"                           \
	" AND lower(o.\"" column "\") = lower(" value ") AND o.\"ulid\" IS DISTINCT FROM $6) THEN " value " END"

static DibsStatement update_account_sql = {
	"UPDATE dibs.\"ProviderAccount\" a SET \"userUlid\" = $5, \"externalId\" = $2,"
	" \"email\" = coalesce(" FREE_NAME("email", "$3") ", a.\"email\"),"
													  " \"username\" = coalesce(" FREE_NAME(
														  "username",
														  "$4") ", a.\"username\"), \"state\" = 'linked'"
																" WHERE a.\"ulid\" = $6 RETURNING a.\"ulid\"",
	6,
	{TEXTOID, TEXTOID, TEXTOID, TEXTOID, BPCHAROID, BPCHAROID},
	NULL};

static DibsStatement insert_account_sql = {
	"INSERT INTO dibs.\"ProviderAccount\" (\"provider\", \"externalId\", \"email\", \"username\", \"userUlid\")"
	" SELECT $1, $2, " FREE_NAME("email", "$3") ", " FREE_NAME("username", "$4") ", $5 RETURNING \"ulid\"",
	6,
	{TEXTOID, TEXTOID, TEXTOID, TEXTOID, BPCHAROID, BPCHAROID},
	NULL};

static DibsStatement coach_sql = {
	"INSERT INTO dibs.\"Coach\" (\"userUlid\") VALUES ($1) ON CONFLICT ON CONSTRAINT \"Coach_pkey\" DO NOTHING",
	1,
	{BPCHAROID},
	NULL};

/* What waited for this account: deliveries that named nobody, and bookings that found no way to a meeting. */
static DibsStatement waiting_events_sql = {
	"UPDATE dibs.\"WebhookEvent\" e SET \"outcome\" = 'queued', \"dueAt\" = '-infinity'"
	" WHERE e.\"outcome\" = 'unmatched' AND e.\"source\" = $1 AND e.\"waitsFor\" IS NULL",
	1,
	{TEXTOID},
	NULL};

static DibsStatement waiting_bookings_sql = {
	"SELECT dibs.make_due(w.\"ulid\", w.\"userUlid\") FROM (SELECT b.\"ulid\", b.\"userUlid\" FROM dibs.\"CalBooking\" b"
	" WHERE b.\"userUlid\" = $1 AND b.\"endTime\" > now() AND b.\"meetingState\" IN ('pending', 'delayed', 'failed')"
	" AND b.\"status\" IN ('CONFIRMED', 'IN_PROGRESS') FOR NO KEY UPDATE SKIP LOCKED) w",
	1,
	{BPCHAROID},
	NULL};

static void
need_coach(const char *user_ulid)
{
	Datum values[1] = {CStringGetTextDatum(user_ulid)};

	(void) dibs_execute(&coach_sql, values, NULL, false, SPI_OK_INSERT);
}

char *
dibs_account_row(const char *provider, const char *user_ulid, const DibsIdentity *who)
{
	Datum values[6];
	char nulls[7] = "      ";
	DibsStatement *statement = &insert_account_sql;

	if (user_ulid)
		need_coach(user_ulid);
	values[0] = CStringGetTextDatum(provider);
	values[1] = CStringGetTextDatum(who->id);
	dibs_set_text(values, nulls, 2, who->email);
	dibs_set_text(values, nulls, 3, who->username);
	dibs_set_text(values, nulls, 4, user_ulid);
	dibs_set_text(values, nulls, 5, NULL);
	if (dibs_execute(&find_account_sql, values, nulls, false, SPI_OK_SELECT) > 0)
	{
		if (dibs_column_bool(0, 2))
			return NULL;
		dibs_set_text(values, nulls, 5, dibs_column(0, 1));
		statement = &update_account_sql;
	}
	(void) dibs_execute(statement, values, nulls, false,
						statement == &insert_account_sql ? SPI_OK_INSERT_RETURNING : SPI_OK_UPDATE_RETURNING);
	return dibs_column(0, 1);
}

void
dibs_account_connect(const char *account, const char *provider, const char *user_ulid, const DibsTokens *tokens)
{
	TimestampTz now = GetCurrentTimestamp();
	char *grant = dibs_grant_connect(account, provider, tokens);
	Datum values[1] = {CStringGetTextDatum(provider)};

	dibs_job_start(DIBS_REFRESH_JOB, grant, NULL, dibs_grant_refresh_at(now, dibs_plus_seconds(now, tokens->ttl)));
	dibs_account_event(user_ulid, account, provider, "connection.made", NULL, NULL);
	(void) dibs_execute(&waiting_events_sql, values, NULL, false, SPI_OK_UPDATE);
	if (user_ulid)
	{
		values[0] = CStringGetTextDatum(user_ulid);
		(void) dibs_execute(&waiting_bookings_sql, values, NULL, false, SPI_OK_SELECT);
	}
}
