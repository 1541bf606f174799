/*
 * access.c
 *		What an account is called with: the platform's secrets, a key, or a person's grant.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "account/access.h"
#include "account/calls.h"
#include "account/grant.h"
#include "core/clock.h"
#include "errors.h"
#include "queue/plan.h"
#include "secrets/seal.h"
#include "secrets/secret.h"

/* A key has no expiry that is known here; it is read again after this. */
#define KEY_TTL_MS (5 * 60 * 1000)
/* A token is not used in its last second. */
#define MIN_TTL_MS 1000
/* A platform's token that a backend keeps is not used in its last minute. */
#define TOKEN_MARGIN_MS 60000

/* The platform's tokens that this backend has fetched. */
typedef struct KeptToken
{
	MemoryContext context;
	char provider[32];
	char account[32];
	char *token;
	int64 until; /* monotonic ms */
} KeptToken;

static List *kept = NIL;

static DibsStatement base_url_sql = {
	"SELECT a.\"settings\"->>'base_url' FROM dibs.\"ProviderAccount\" a WHERE a.\"ulid\" = $1", 1, {BPCHAROID}, NULL};

/* when the refresh that failed is tried again */
static DibsStatement next_refresh_sql = {"SELECT j.\"dueAt\" FROM dibs.\"Job\" j WHERE j.\"kind\" = '" DIBS_REFRESH_JOB
										 "' AND j.\"key\" = $1"
										 " AND j.\"state\" = 'waiting'",
										 1,
										 {TEXTOID},
										 NULL};

static DibsStatement renewing_sql = {
	"SELECT FROM dibs.\"CalKey\" k WHERE k.\"account\" = $1 AND k.\"state\" = 'renewing' AND k.\"secret\" = $2",
	2,
	{TEXTOID, INT4OID},
	NULL};

/* What a refresh may have failed of: a code outlives the row that it was read from. */
static const char *const known_codes[] = {"provider_down", "provider_tls", "host_not_allowed", "not_connected",
										  "key_unreadable"};

/* The newest live value of a name for an account; NULL: there is none. */
static const char *
live_secret(const char *name, const char *account, MemoryContext mcxt, bool *unreadable, int *generation)
{
	List *live = dibs_secret_live_quiet(name, mcxt, unreadable);
	ListCell *lc;

	foreach (lc, live)
	{
		DibsSecret *secret = (DibsSecret *) lfirst(lc);

		if (strcmp(secret->account, account) == 0)
		{
			dibs_secret_used(secret);
			*generation = secret->generation;
			return secret->value;
		}
	}
	return NULL;
}

static void
no_secret(DibsFailure *failure, const char *name, bool unreadable)
{
	if (unreadable)
		dibs_fail(failure, DIBS_VERDICT_RETRY, "key_unreadable", "the master key does not open the secret %s", name);
	else
		dibs_fail(failure, DIBS_VERDICT_FAILED, "not_connected", "the secret %s is not set", name);
}

static bool
load_secrets(const char *const *names, const char *account, const char **slots[], int n, MemoryContext mcxt,
			 DibsFailure *failure)
{
	for (int i = 0; i < n; i++)
	{
		bool unreadable = false;
		int generation;

		if (names[i] == NULL)
			continue;
		*slots[i] = live_secret(names[i], account, mcxt, &unreadable, &generation);
		if (*slots[i] == NULL)
		{
			no_secret(failure, names[i], unreadable);
			return false;
		}
	}
	return true;
}

bool
dibs_access_client(const DibsAccountProvider *provider, MemoryContext mcxt, DibsAccess *access, DibsFailure *failure)
{
	const char **slots[2] = {&access->client_id, &access->client_secret};

	return load_secrets(provider->client_secrets, "", slots, lengthof(slots), mcxt, failure);
}

bool
dibs_access_managing_client(const DibsAccountProvider *provider, MemoryContext mcxt, DibsAccess *access,
							DibsFailure *failure)
{
	const char **slots[2] = {&access->client_id, &access->client_secret};

	return load_secrets(provider->managed_secrets, "", slots, lengthof(slots), mcxt, failure);
}

static DibsAccessState
load_grant(const DibsGrant *grant, int refused, bool may_write, MemoryContext mcxt, DibsAccess *access, int64 *ttl_ms,
		   DibsFailure *failure)
{
	TimestampTz now = GetCurrentTimestamp();
	bool good = grant->version != refused && grant->expires > TimestampTzPlusMilliseconds(now, MIN_TTL_MS);
	char *token;
	char *refresh;

	access->own = true;
	access->version = grant->version;
	if (!dibs_grant_usable(grant))
	{
		dibs_fail(failure, DIBS_VERDICT_FAILED, "reconnect_needed", "the account has to be connected again: %s",
				  grant->error ? grant->error : grant->state);
		return DIBS_ACCESS_NONE;
	}
	if (good)
	{
		if (!dibs_grant_open(grant, mcxt, &token, &refresh, failure))
			return DIBS_ACCESS_NONE;
		access->token = token;
		*ttl_ms = (grant->expires - now) / 1000;
		return DIBS_ACCESS_READY;
	}
	if (grant->error_code != NULL && grant->version != refused)
	{
		Datum values[1] = {CStringGetTextDatum(grant->ulid)};

		dibs_fail(failure, DIBS_VERDICT_RETRY, "provider_down", "%s", grant->error ? grant->error : "");
		for (int i = 0; i < (int) lengthof(known_codes); i++)
			if (strcmp(known_codes[i], grant->error_code) == 0)
				failure->error_code = known_codes[i];
		if (dibs_execute(&next_refresh_sql, values, NULL, !may_write, SPI_OK_SELECT) > 0)
			failure->retry_at = Max(dibs_column_time(0, 1), now) + USECS_PER_SEC;
		return DIBS_ACCESS_NONE;
	}
	if (may_write)
	{
		if (grant->version == refused)
			dibs_grant_expire(grant);
		if (grant->fence == NULL || grant->lease_until <= now)
			dibs_job_start(DIBS_REFRESH_JOB, grant->ulid, NULL, 0);
	}
	dibs_fail(failure, DIBS_VERDICT_RETRY, "token_pending", "its access token has run out, and is being refreshed");
	return DIBS_ACCESS_WAIT;
}

/* Then the key that was refused just now may be dead, and the next one is on its way. */
static bool
is_being_renewed(const char *account, int version, bool may_write)
{
	Datum values[2] = {CStringGetTextDatum(account), Int32GetDatum(version)};

	return dibs_execute(&renewing_sql, values, NULL, !may_write, SPI_OK_SELECT) > 0;
}

DibsAccessState
dibs_access_load(const DibsAccountProvider *provider, const char *account, int refused, bool may_write,
				 MemoryContext mcxt, DibsAccess *access, int64 *ttl_ms, DibsFailure *failure)
{
	const char **slots[3] = {&access->client_id, &access->client_secret, &access->account_id};
	bool unreadable = false;
	DibsGrant grant;

	memset(access, 0, sizeof(*access));
	access->account = MemoryContextStrdup(mcxt, account);
	if (*account)
	{
		Datum values[1] = {CStringGetTextDatum(account)};

		if (dibs_execute(&base_url_sql, values, NULL, !may_write, SPI_OK_SELECT) > 0)
		{
			char *base = dibs_column(0, 1);

			access->base_url = base ? MemoryContextStrdup(mcxt, dibs_url_below(base, "")) : NULL;
		}
		if (dibs_grant_of(account, &grant))
			return load_grant(&grant, refused, may_write, mcxt, access, ttl_ms, failure);
	}
	if (provider->key_secret)
	{
		access->token = live_secret(provider->key_secret, account, mcxt, &unreadable, &access->version);
		*ttl_ms = KEY_TTL_MS;
		if (access->token && refused == access->version && is_being_renewed(account, refused, may_write))
		{
			dibs_fail(failure, DIBS_VERDICT_RETRY, "token_pending", "its key is being renewed");
			return DIBS_ACCESS_WAIT;
		}
		if (access->token)
			return DIBS_ACCESS_READY;
	}
	if (provider->platform_request && *account == '\0')
		return load_secrets(provider->platform_secrets, account, slots, lengthof(slots), mcxt, failure)
				   ? DIBS_ACCESS_FETCH
				   : DIBS_ACCESS_NONE;
	if (*account)
		dibs_fail(failure, DIBS_VERDICT_FAILED, "not_connected", "the account is not connected to %s", provider->label);
	else
		no_secret(failure, provider->key_secret, unreadable);
	return DIBS_ACCESS_NONE;
}

static KeptToken *
find_kept(const char *provider, const char *account)
{
	ListCell *lc;

	foreach (lc, kept)
	{
		KeptToken *token = (KeptToken *) lfirst(lc);

		if (strcmp(token->provider, provider) == 0 && strcmp(token->account, account) == 0)
			return token;
	}
	return NULL;
}

void
dibs_access_forget(const char *provider, const char *account)
{
	KeptToken *token = find_kept(provider, account);

	if (token == NULL)
		return;
	kept = list_delete_ptr(kept, token);
	MemoryContextDelete(token->context);
}

static void
keep(const char *provider, const char *account, const DibsTokens *tokens)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "dibs platform token", ALLOCSET_SMALL_SIZES);
	KeptToken *token = MemoryContextAllocZero(context, sizeof(KeptToken));
	int64 ttl_ms = (int64) tokens->ttl * 1000;
	MemoryContext old;

	dibs_access_forget(provider, account);
	token->context = context;
	strlcpy(token->provider, provider, sizeof(token->provider));
	strlcpy(token->account, account, sizeof(token->account));
	token->token = dibs_alloc_cleansed(context, strlen(tokens->access) + 1);
	strcpy(token->token, tokens->access);
	token->until = dibs_monotonic_ms() + Max(ttl_ms - TOKEN_MARGIN_MS, ttl_ms / 2);
	old = MemoryContextSwitchTo(TopMemoryContext);
	kept = lappend(kept, token);
	MemoryContextSwitchTo(old);
}

static void
raise_failure(const DibsAccountProvider *provider, const DibsFailure *failure)
{
	const char *code = failure->error_code ? failure->error_code : "";
	int sqlstate = DIBS_ERR_PROVIDER;

	if (strcmp(code, "not_connected") == 0 || strcmp(code, "key_unreadable") == 0)
		sqlstate = DIBS_ERR_CONFIG;
	else if (strcmp(code, "reconnect_needed") == 0)
		sqlstate = DIBS_ERR_STATE;
	ereport(ERROR, (errcode(sqlstate), errmsg("no access to %s: %s", provider->label, failure->error),
					errhint("SELECT dibs.health() says what to do.")));
}

void
dibs_access_for_call(const char *name, const char *account, MemoryContext mcxt, DibsAccess *access)
{
	const DibsAccountProvider *provider = dibs_account_provider(name);
	DibsFailure failure = {0};
	DibsAccessState state;
	DibsHttpRequest *request;
	DibsTokens tokens;
	KeptToken *token;
	char *copy;
	int64 ttl_ms;

	if (provider == NULL)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("\"%s\" is no provider of accounts", name)));
	SPI_connect();
	state = dibs_access_load(provider, account, 0, false, mcxt, access, &ttl_ms, &failure);
	if (failure.error)
		failure.error = MemoryContextStrdup(mcxt, failure.error);
	SPI_finish();
	switch (state)
	{
		case DIBS_ACCESS_READY:
			return;
		case DIBS_ACCESS_WAIT:
			ereport(ERROR,
					(errcode(DIBS_ERR_STATE), errmsg("the access token of the %s account has run out", provider->label),
					 errhint("The worker refreshes it: try again in a moment.")));
			break;
		case DIBS_ACCESS_NONE:
			raise_failure(provider, &failure);
			break;
		case DIBS_ACCESS_FETCH:
			break;
	}
	token = find_kept(name, account);
	if (token == NULL || token->until <= dibs_monotonic_ms())
	{
		request = provider->platform_request(dibs_http_backend(), access);
		dibs_http_perform(request);
		if (!dibs_oauth_read_tokens(provider, request, &tokens, &failure))
			raise_failure(provider, &failure);
		dibs_http_free(request);
		keep(name, account, &tokens);
		explicit_bzero(tokens.access, strlen(tokens.access));
		token = find_kept(name, account);
	}
	copy = dibs_alloc_cleansed(mcxt, strlen(token->token) + 1);
	strcpy(copy, token->token);
	access->token = copy;
}
