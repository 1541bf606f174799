/*
 * grant.c
 *		Rows of "ProviderCredential": read, sealed, replaced, declared dead.
 *
 * Every change names the version that it is based on, so that the answer to a refresh that came too late never takes
 * the place of a newer consent.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "utils/builtins.h"

#include "access/audit.h"
#include "account/grant.h"
#include "booking/booking.h"
#include "core/jsonbuild.h"
#include "errors.h"
#include "queue/plan.h"
#include "secrets/seal.h"

#define OAUTH_KIND "oauth"

/* A pair is renewed when the last sixth of its life begins, at most 10 minutes ahead of its end. */
#define REFRESH_PART 6
#define LONGEST_LEAD_MS (10 * 60 * 1000)
#define SHORTEST_LEAD_MS 1000

#define GRANT_COLUMNS                                                                                                  \
	" c.\"ulid\", c.\"accountUlid\", a.\"userUlid\", c.\"provider\", c.\"state\", c.\"errorCode\", c.\"error\","       \
	" c.\"fence\", c.\"leaseUntil\", c.\"version\", c.\"issuedAt\", c.\"expiresAt\", c.\"sealed\","                    \
	" c.\"managed\", a.\"externalId\""                                                                                 \
	" FROM dibs.\"ProviderCredential\" c JOIN dibs.\"ProviderAccount\" a ON a.\"ulid\" = c.\"accountUlid\""            \
	" WHERE c.\"kind\" = '" OAUTH_KIND "'"

static DibsStatement lock_sql = {
	"SELECT" GRANT_COLUMNS " AND c.\"ulid\" = $1 FOR NO KEY UPDATE OF c", 1, {BPCHAROID}, NULL};

static DibsStatement of_sql = {"SELECT" GRANT_COLUMNS " AND c.\"accountUlid\" = $1", 1, {BPCHAROID}, NULL};

static DibsStatement lease_sql = {
	"UPDATE dibs.\"ProviderCredential\" SET \"fence\" = $2, \"leaseUntil\" = $3 WHERE \"ulid\" = $1",
	3,
	{BPCHAROID, BPCHAROID, TIMESTAMPTZOID},
	NULL};

/* $1 ulid, $2 version, $3 sealed, $4 issued, $5 expires, $6 scopes or null: as before */
static DibsStatement store_sql = {
	"UPDATE dibs.\"ProviderCredential\" SET \"sealed\" = $3, \"issuedAt\" = $4, \"expiresAt\" = $5,"
	" \"scopes\" = coalesce($6, \"scopes\"), \"version\" = \"version\" + 1, \"errorCode\" = NULL, \"error\" = NULL,"
	" \"fence\" = NULL, \"leaseUntil\" = NULL WHERE \"ulid\" = $1 AND \"version\" = $2",
	6,
	{BPCHAROID, INT4OID, BYTEAOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTARRAYOID},
	NULL};

static DibsStatement replace_sql = {
	"UPDATE dibs.\"ProviderCredential\" SET \"sealed\" = $3, \"issuedAt\" = $4, \"expiresAt\" = $5,"
	" \"scopes\" = coalesce($6, '{}'), \"version\" = $2 + 1, \"state\" = 'live', \"errorCode\" = NULL, \"error\" = NULL,"
	" \"fence\" = NULL, \"leaseUntil\" = NULL, \"connectedAt\" = $4, \"managed\" = $7 WHERE \"ulid\" = $1",
	7,
	{BPCHAROID, INT4OID, BYTEAOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTARRAYOID, BOOLOID},
	NULL};

static DibsStatement insert_sql = {
	"INSERT INTO dibs.\"ProviderCredential\" (\"ulid\", \"accountUlid\", \"provider\", \"kind\", \"sealed\", \"issuedAt\","
	" \"expiresAt\", \"scopes\", \"connectedAt\", \"managed\") VALUES ($1, $2, $3, '" OAUTH_KIND
	"', $4, $5, $6, coalesce($7, '{}'), $5, $8)",
	8,
	{BPCHAROID, BPCHAROID, TEXTOID, BYTEAOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTARRAYOID, BOOLOID},
	NULL};

static DibsStatement trouble_sql = {
	"UPDATE dibs.\"ProviderCredential\" SET \"errorCode\" = $3, \"error\" = $4, \"fence\" = NULL, \"leaseUntil\" = NULL"
	" WHERE \"ulid\" = $1 AND \"version\" = $2",
	4,
	{BPCHAROID, INT4OID, TEXTOID, TEXTOID},
	NULL};

static DibsStatement lost_sql = {
	"WITH c AS (UPDATE dibs.\"ProviderCredential\" SET \"state\" = 'reconnect_needed', \"errorCode\" = $3, \"error\" = $4,"
	"  \"fence\" = NULL, \"leaseUntil\" = NULL WHERE \"ulid\" = $1 AND \"version\" = $2 AND \"state\" = 'live'"
	"  RETURNING \"accountUlid\")"
	"UPDATE dibs.\"ProviderAccount\" a SET \"state\" = 'reconnect_needed' FROM c WHERE a.\"ulid\" = c.\"accountUlid\""
	" AND a.\"state\" = 'linked'",
	4,
	{BPCHAROID, INT4OID, TEXTOID, TEXTOID},
	NULL};

/* a grant that was only kept for removals has nothing left that it could do */
static DibsStatement drop_sql = {
	"DELETE FROM dibs.\"ProviderCredential\" WHERE \"ulid\" = $1 AND \"version\" = $2 AND \"state\" = 'revoking'",
	2,
	{BPCHAROID, INT4OID},
	NULL};

static DibsStatement expire_sql = {
	"UPDATE dibs.\"ProviderCredential\" SET \"expiresAt\" = now() WHERE \"ulid\" = $1 AND \"version\" = $2"
	" AND \"expiresAt\" > now()",
	2,
	{BPCHAROID, INT4OID},
	NULL};

bool
dibs_grant_usable(const DibsGrant *grant)
{
	return strcmp(grant->state, "live") == 0 || strcmp(grant->state, "revoking") == 0;
}

static bool
read_grant(DibsStatement *statement, const char *ulid, DibsGrant *grant)
{
	Datum values[1] = {CStringGetTextDatum(ulid)};
	bool isnull;

	memset(grant, 0, sizeof(*grant));
	if (dibs_execute(statement, values, NULL, false, SPI_OK_SELECT) == 0)
		return false;
	strlcpy(grant->ulid, dibs_column(0, 1), sizeof(grant->ulid));
	strlcpy(grant->account, dibs_column(0, 2), sizeof(grant->account));
	grant->user_ulid = dibs_column(0, 3);
	grant->provider = dibs_column(0, 4);
	grant->state = dibs_column(0, 5);
	grant->error_code = dibs_column(0, 6);
	grant->error = dibs_column(0, 7);
	grant->fence = dibs_column(0, 8);
	grant->lease_until = dibs_column_time(0, 9);
	grant->version = dibs_column_int(0, 10);
	grant->issued = dibs_column_time(0, 11);
	grant->expires = dibs_column_time(0, 12);
	grant->sealed = DatumGetByteaPCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 13, &isnull));
	grant->managed = dibs_column_bool(0, 14);
	grant->external_id = dibs_column(0, 15);
	return true;
}

bool
dibs_grant_lock(const char *ulid, DibsGrant *grant)
{
	return read_grant(&lock_sql, ulid, grant);
}

bool
dibs_grant_of(const char *account, DibsGrant *grant)
{
	return read_grant(&of_sql, account, grant);
}

static char *
context_of(const char *ulid, const char *account)
{
	return dibs_seal_context("ProviderCredential", "sealed", psprintf("%s/%s/" OAUTH_KIND, ulid, account));
}

void
dibs_split_lines(MemoryContext mcxt, const char *text, char **lines, int n)
{
	for (int i = 0; i < n; i++)
	{
		size_t len = text ? strcspn(text, "\n") : 0;

		lines[i] = NULL;
		if (len > 0)
		{
			lines[i] = dibs_alloc_cleansed(mcxt, len + 1);
			memcpy(lines[i], text, len);
			lines[i][len] = '\0';
		}
		text = text && text[len] == '\n' ? text + len + 1 : NULL;
	}
}

char *
dibs_join_lines(MemoryContext mcxt, const char *const *lines, int n)
{
	size_t len = 0;
	char *text;
	char *at;

	for (int i = 0; i < n; i++)
		len += (lines[i] ? strlen(lines[i]) : 0) + 1;
	at = text = dibs_alloc_cleansed(mcxt, len);
	for (int i = 0; i < n; i++)
	{
		size_t part = lines[i] ? strlen(lines[i]) : 0;

		if (part > 0)
			memcpy(at, lines[i], part);
		at += part;
		*at++ = i < n - 1 ? '\n' : '\0';
	}
	return text;
}

bool
dibs_grant_open(const DibsGrant *grant, MemoryContext mcxt, char **access, char **refresh, DibsFailure *failure)
{
	char *plain;
	char *lines[2];
	Size len;

	if (dibs_unseal(DIBS_PURPOSE_CREDENTIAL, context_of(grant->ulid, grant->account), VARDATA_ANY(grant->sealed),
					VARSIZE_ANY_EXHDR(grant->sealed), mcxt, true, &plain, &len) != DIBS_UNSEAL_OK)
	{
		dibs_fail(failure, DIBS_VERDICT_RETRY, "key_unreadable", "the master key does not open the account's tokens");
		return false;
	}
	dibs_split_lines(mcxt, plain, lines, lengthof(lines));
	*access = lines[0];
	*refresh = lines[1];
	return true;
}

static bytea *
seal_pair(const char *ulid, const char *account, const DibsTokens *tokens, const char *old_refresh)
{
	const char *lines[2] = {tokens->access, tokens->refresh ? tokens->refresh : old_refresh};
	char *text = dibs_join_lines(CurrentMemoryContext, lines, lengthof(lines));

	return dibs_seal(DIBS_PURPOSE_CREDENTIAL, context_of(ulid, account), text, strlen(text));
}

/* "a b c" as an array, the null flag set where nothing was said */
static Datum
scopes_of(const DibsTokens *tokens, char *null)
{
	const char *names[256];
	int n = 0;

	*null = tokens->scope ? ' ' : 'n';
	if (tokens->scope)
	{
		char *rest = pstrdup(tokens->scope);
		char *name;

		while (n < (int) lengthof(names) && (name = strsep(&rest, " ,")) != NULL)
			if (*name)
				names[n++] = name;
	}
	return dibs_text_array(names, n);
}

void
dibs_grant_lease(const DibsGrant *grant, const char *fence, TimestampTz until)
{
	Datum values[3] = {CStringGetTextDatum(grant->ulid), CStringGetTextDatum(fence), TimestampTzGetDatum(until)};

	(void) dibs_execute(&lease_sql, values, NULL, false, SPI_OK_UPDATE);
}

bool
dibs_grant_store(const DibsGrant *grant, const DibsTokens *tokens)
{
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext mcxt = CurrentMemoryContext;
	char *access;
	char *refresh = NULL;
	DibsFailure failure = {0};
	Datum values[6];
	char nulls[7] = "      ";

	/* a provider that does not rotate gives none: the old one goes on */
	if (tokens->refresh == NULL && !dibs_grant_open(grant, mcxt, &access, &refresh, &failure))
		ereport(ERROR, (errcode(DIBS_ERR_CONFIG), errmsg("%s", failure.error)));
	values[0] = CStringGetTextDatum(grant->ulid);
	values[1] = Int32GetDatum(grant->version);
	values[2] = PointerGetDatum(seal_pair(grant->ulid, grant->account, tokens, refresh));
	values[3] = TimestampTzGetDatum(now);
	values[4] = TimestampTzGetDatum(dibs_plus_seconds(now, tokens->ttl));
	values[5] = scopes_of(tokens, &nulls[5]);
	return dibs_execute(&store_sql, values, nulls, false, SPI_OK_UPDATE) > 0;
}

char *
dibs_grant_connect(const char *account, const char *provider, const DibsTokens *tokens)
{
	TimestampTz now = GetCurrentTimestamp();
	char *ulid = palloc(DIBS_ULID_LEN + 1);
	DibsGrant old;
	Datum values[8];
	char nulls[9] = "        ";

	if (dibs_grant_of(account, &old) && dibs_grant_lock(old.ulid, &old))
	{
		strlcpy(ulid, old.ulid, DIBS_ULID_LEN + 1);
		values[0] = CStringGetTextDatum(ulid);
		values[1] = Int32GetDatum(old.version);
		values[2] = PointerGetDatum(seal_pair(ulid, account, tokens, NULL));
		values[3] = TimestampTzGetDatum(now);
		values[4] = TimestampTzGetDatum(dibs_plus_seconds(now, tokens->ttl));
		values[5] = scopes_of(tokens, &nulls[5]);
		values[6] = BoolGetDatum(tokens->managed);
		(void) dibs_execute(&replace_sql, values, nulls, false, SPI_OK_UPDATE);
		return ulid;
	}
	if (!dibs_ulid_generate(ulid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	values[0] = CStringGetTextDatum(ulid);
	values[1] = CStringGetTextDatum(account);
	values[2] = CStringGetTextDatum(provider);
	values[3] = PointerGetDatum(seal_pair(ulid, account, tokens, NULL));
	values[4] = TimestampTzGetDatum(now);
	values[5] = TimestampTzGetDatum(dibs_plus_seconds(now, tokens->ttl));
	values[6] = scopes_of(tokens, &nulls[6]);
	values[7] = BoolGetDatum(tokens->managed);
	(void) dibs_execute(&insert_sql, values, nulls, false, SPI_OK_INSERT);
	return ulid;
}

static void
set_error(DibsStatement *statement, const DibsGrant *grant, const char *code, const char *error)
{
	Datum values[4] = {CStringGetTextDatum(grant->ulid), Int32GetDatum(grant->version), (Datum) 0, (Datum) 0};
	char nulls[5] = "  nn";

	if (code)
	{
		values[2] = CStringGetTextDatum(code);
		nulls[2] = ' ';
	}
	if (error)
	{
		values[3] = CStringGetTextDatum(error);
		nulls[3] = ' ';
	}
	(void) dibs_execute(statement, values, nulls, false, SPI_OK_UPDATE);
}

void
dibs_grant_trouble(const DibsGrant *grant, const DibsFailure *failure)
{
	set_error(&trouble_sql, grant, failure->error_code, failure->error);
}

void
dibs_grant_lost(const DibsGrant *grant, const char *code, const char *why)
{
	Datum values[2] = {CStringGetTextDatum(grant->ulid), Int32GetDatum(grant->version)};

	if (dibs_execute(&drop_sql, values, NULL, false, SPI_OK_DELETE) > 0)
		return;
	set_error(&lost_sql, grant, code, why);
	if (SPI_processed > 0)
		dibs_account_event(grant->user_ulid, grant->account, grant->provider, "connection.lost", code, why);
}

void
dibs_grant_expire(const DibsGrant *grant)
{
	Datum values[2] = {CStringGetTextDatum(grant->ulid), Int32GetDatum(grant->version)};

	(void) dibs_execute(&expire_sql, values, NULL, false, SPI_OK_UPDATE);
}

static int64
lead_ms(TimestampTz issued, TimestampTz expires)
{
	return Max(Min((expires - issued) / 1000 / REFRESH_PART, LONGEST_LEAD_MS), SHORTEST_LEAD_MS);
}

TimestampTz
dibs_grant_refresh_at(TimestampTz issued, TimestampTz expires)
{
	int64 lead = lead_ms(issued, expires);

	/* those who connected together don't come together for ever */
	lead += (int64) (pg_prng_double(&pg_global_prng_state) * (lead / 4));
	return TimestampTzPlusMilliseconds(expires, -lead);
}

bool
dibs_grant_is_due(const DibsGrant *grant, TimestampTz now)
{
	int64 lead = lead_ms(grant->issued, grant->expires);

	return TimestampTzPlusMilliseconds(grant->expires, -(lead + lead / 4)) <= now;
}

void
dibs_account_event(const char *user_ulid, const char *account, const char *provider, const char *type, const char *code,
				   const char *why)
{
	DibsJson json = {0};
	Jsonb *data;

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "account", account);
	dibs_json_text_member(&json, "provider", provider);
	dibs_json_optional_member(&json, "code", code);
	dibs_json_optional_member(&json, "why", why);
	dibs_json_end_object(&json);
	data = dibs_json_finish(&json);
	dibs_audit(type, account, data);
	if (user_ulid)
		dibs_event_write(user_ulid, NULL, type, JsonbPGetDatum(data));
}
