/*
 * disconnect.c
 *		The end of a connection: asked for here, or told of by the provider.
 *
 * A grant that is not wanted any more is kept until the meetings that were made with it and have lost their booking are
 * removed; then it is revoked at the provider and forgotten. One that the provider has ended is forgotten at once.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "access/who.h"
#include "account/access.h"
#include "account/calls.h"
#include "account/deauthorize.h"
#include "account/grant.h"
#include "errors.h"
#include "queue/plan.h"

PG_FUNCTION_INFO_V1(dibs_disconnect_account);
PG_FUNCTION_INFO_V1(dibs_account_deauthorized_sql);

/* How often it is looked whether the removals are done. */
#define REMOVALS_S 60
#define MAX_TRIES 5

typedef struct Revoke
{
	const DibsAccountProvider *provider;
	DibsGrant grant;
	DibsAccess client;
} Revoke;

/* a dead grant has nothing to revoke */
static DibsStatement disconnect_sql = {
	"WITH a AS (UPDATE dibs.\"ProviderAccount\" SET \"state\" = 'disconnected' WHERE \"provider\" = $1"
	"  AND (\"userUlid\" IS NOT DISTINCT FROM $2 OR \"userUlid\" = $3) AND \"state\" <> 'disconnected' RETURNING \"ulid\"),"
	" dead AS (DELETE FROM dibs.\"ProviderCredential\" c USING a WHERE c.\"accountUlid\" = a.\"ulid\""
	"  AND c.\"kind\" = 'oauth' AND c.\"state\" NOT IN ('live', 'revoking')),"
	" c AS (UPDATE dibs.\"ProviderCredential\" c SET \"state\" = 'revoking' FROM a WHERE c.\"accountUlid\" = a.\"ulid\""
	"  AND c.\"kind\" = 'oauth' AND c.\"state\" = 'live' RETURNING c.\"ulid\", c.\"accountUlid\")"
	"SELECT a.\"ulid\", c.\"ulid\" FROM a LEFT JOIN c ON c.\"accountUlid\" = a.\"ulid\"",
	3,
	{TEXTOID, BPCHAROID, BPCHAROID},
	NULL};

/* meetings that this account made and that are still to be removed, or on their way */
static DibsStatement removals_sql = {
	"SELECT FROM dibs.\"Meeting\" m WHERE m.\"account\" = $1 AND m.\"state\" <> 'gone'"
	" AND (m.\"state\" IN ('creating', 'deleting') OR m.\"bookingUlid\" IS NULL) AND m.\"dueAt\" <> 'infinity' LIMIT 1",
	1,
	{TEXTOID},
	NULL};

static DibsStatement forget_sql = {
	"DELETE FROM dibs.\"ProviderCredential\" WHERE \"ulid\" = $1 AND \"state\" = 'revoking'", 1, {BPCHAROID}, NULL};

static DibsStatement deauthorize_sql = {
	"WITH a AS (UPDATE dibs.\"ProviderAccount\" SET \"state\" = 'deauthorized' WHERE \"provider\" = $1"
	"  AND \"externalId\" = $2 AND \"state\" <> 'deauthorized' AND NOT EXISTS (SELECT FROM dibs.\"ProviderCredential\" n"
	"   WHERE n.\"accountUlid\" = \"ProviderAccount\".\"ulid\" AND n.\"connectedAt\" > $3) RETURNING \"ulid\", \"userUlid\"),"
	" c AS (DELETE FROM dibs.\"ProviderCredential\" c USING a WHERE c.\"accountUlid\" = a.\"ulid\" RETURNING c.\"ulid\")"
	"SELECT a.\"ulid\", a.\"userUlid\", (SELECT count(*) FROM c)::int FROM a",
	3,
	{TEXTOID, TEXTOID, TIMESTAMPTZOID},
	NULL};

static bool
revoke_prepare(DibsCall *call)
{
	Revoke *r = palloc0(sizeof(Revoke));
	Datum values[1];

	call->state = r;
	if (!dibs_grant_lock(call->key, &r->grant) || strcmp(r->grant.state, "revoking") != 0)
		return false;
	r->provider = dibs_account_provider(r->grant.provider);
	values[0] = CStringGetTextDatum(r->grant.account);
	if (dibs_execute(&removals_sql, values, NULL, false, SPI_OK_SELECT) > 0)
	{
		call->outcome = DIBS_CALL_AGAIN;
		call->next_at = dibs_plus_seconds(GetCurrentTimestamp(), REMOVALS_S);
		return false;
	}
	values[0] = CStringGetTextDatum(r->grant.ulid);
	if (r->provider == NULL || r->provider->url(DIBS_URL_REVOKE) == NULL ||
		!dibs_access_client(r->provider, call->context, &r->client, &call->answer))
	{
		(void) dibs_execute(&forget_sql, values, NULL, false, SPI_OK_DELETE);
		return false;
	}
	call->provider = r->grant.provider;
	call->account = r->grant.account;
	return true;
}

static DibsHttpRequest *
revoke_build(DibsCall *call, DibsHttp *http, const DibsAccess *access)
{
	Revoke *r = call->state;

	return dibs_oauth_revoke(r->provider, http, &r->client, access->token);
}

static void
revoke_read(DibsCall *call, DibsHttpRequest *request)
{
	int status = dibs_http_status(request);

	if (dibs_http_failure(request) != DIBS_HTTP_OK)
		dibs_fail_unanswered(&call->answer, request, DIBS_VERDICT_RETRY);
	else if (status == 429 || status >= 500)
	{
		dibs_call_failed(call, DIBS_VERDICT_RETRY, "provider_down", "the grant is not revoked: HTTP status %d", status);
		call->answer.retry_at = dibs_retry_after_header(request, 0);
	}
	else
		/* refused means that it is worth nothing already */
		call->answer.verdict = DIBS_VERDICT_DONE;
}

static void
revoke_settle(DibsCall *call)
{
	Revoke *r = call->state;
	Datum values[1] = {CStringGetTextDatum(r->grant.ulid)};

	if (call->outcome == DIBS_CALL_RETRY)
		return;
	/* revoked, or we could not: what is not here any more is not used from here any more */
	(void) dibs_execute(&forget_sql, values, NULL, false, SPI_OK_DELETE);
	call->outcome = DIBS_CALL_DONE;
}

const DibsCallKind dibs_revoke_call = {
	.name = DIBS_REVOKE_JOB,
	.max_attempts = MAX_TRIES,
	.prepare = revoke_prepare,
	.build = revoke_build,
	.read = revoke_read,
	.settle = revoke_settle,
};

/* (provider, user_ulid): the number of accounts that were connected, or linked, and are not from now on */
Datum
dibs_disconnect_account(PG_FUNCTION_ARGS)
{
	MemoryContext mcxt = CurrentMemoryContext;
	char me[DIBS_ULID_LEN + 1];
	char *provider;
	char *user = NULL;
	Datum values[3];
	char nulls[4] = "   ";
	char **accounts;
	char **grants;
	int n;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("provider must not be null")));
	provider = TextDatumGetCString(PG_GETARG_DATUM(0));
	if (!PG_ARGISNULL(1))
	{
		user = TextDatumGetCString(PG_GETARG_DATUM(1));
		/* as given, too: rows that are older than the one spelling */
		values[2] = CStringGetTextDatum(user);
		(void) dibs_ulid_canonical(user, user);
	}
	if (!dibs_sees_all() && (user == NULL || !dibs_current_user(me) || strcmp(me, user) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("this account is not the caller's to disconnect")));
	if (dibs_account_provider(provider) == NULL)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE),
						errmsg("\"%s\" is no provider that people connect an account of", provider),
						errhint("The providers are cal and zoom.")));
	SPI_connect();
	values[0] = CStringGetTextDatum(provider);
	values[1] = user ? CStringGetTextDatum(user) : (Datum) 0;
	nulls[1] = nulls[2] = user ? ' ' : 'n';
	n = (int) dibs_execute(&disconnect_sql, values, nulls, false, SPI_OK_SELECT);
	MemoryContextSwitchTo(mcxt);
	accounts = palloc(sizeof(char *) * Max(n, 1));
	grants = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		accounts[i] = dibs_column(i, 1);
		grants[i] = dibs_column(i, 2);
	}
	for (int i = 0; i < n; i++)
	{
		dibs_account_event(user, accounts[i], provider, "connection.ended", NULL, NULL);
		if (grants[i])
			dibs_job_start(DIBS_REVOKE_JOB, grants[i], NULL, 0);
	}
	SPI_finish();
	PG_RETURN_INT32(n);
}

bool
dibs_account_deauthorized(const char *provider, const char *external_id, TimestampTz at, char **user_ulid)
{
	Datum values[3] = {CStringGetTextDatum(provider), CStringGetTextDatum(external_id), TimestampTzGetDatum(at)};

	*user_ulid = NULL;
	if (dibs_execute(&deauthorize_sql, values, NULL, false, SPI_OK_SELECT) == 0)
		return false;
	*user_ulid = dibs_column(0, 2);
	dibs_account_event(*user_ulid, dibs_column(0, 1), provider, "connection.lost", "deauthorized",
					   "the app was removed from the account at the provider");
	return true;
}

Datum
dibs_account_deauthorized_sql(PG_FUNCTION_ARGS)
{
	char *user;
	bool found;

	SPI_connect();
	found = dibs_account_deauthorized(TextDatumGetCString(PG_GETARG_DATUM(0)), TextDatumGetCString(PG_GETARG_DATUM(1)),
									  GetCurrentTimestamp(), &user);
	SPI_finish();
	PG_RETURN_BOOL(found);
}
