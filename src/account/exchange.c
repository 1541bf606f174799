/*
 * exchange.c
 *		The job that turns a code into a connected account: the exchange, then whose account it is.
 *
 * Two steps, so that the tokens are committed before the second one uses them. A code is good for one exchange: where
 * the answer was lost it is tried once more, and if it is refused then, the person has to consent again.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "account/access.h"
#include "account/calls.h"
#include "account/connect.h"
#include "account/grant.h"
#include "account/signin.h"
#include "core/jsonread.h"
#include "queue/plan.h"
#include "secrets/seal.h"

/* Providers' codes live 5 to 10 minutes; whoever comes later need not ask. */
#define CODE_LIFE_S (10 * 60)
#define MAX_TRIES 6

typedef struct Exchange
{
	const DibsAccountProvider *provider;
	DibsSignin signin;
	DibsSigninSecrets secrets;
	DibsAccess access;
	bool naming; /* the second step */
	bool unsure;
	DibsTokens got;
	DibsIdentity who;
} Exchange;

static DibsStatement lock_sql = {
	"SELECT s.\"userUlid\", s.\"provider\", s.\"redirectUrl\", s.\"state\", s.\"usedAt\", s.\"tokenExpiresAt\","
	" s.\"scope\", s.\"sealed\" FROM dibs.\"OAuthState\" s WHERE s.\"ulid\" = $1 FOR NO KEY UPDATE",
	1,
	{BPCHAROID},
	NULL};

static DibsStatement tokens_sql = {
	"UPDATE dibs.\"OAuthState\" SET \"sealed\" = $2, \"tokenExpiresAt\" = $3, \"scope\" = $4, \"updatedAt\" = now()"
	" WHERE \"ulid\" = $1 AND \"state\" = 'exchanging'",
	4,
	{BPCHAROID, BYTEAOID, TIMESTAMPTZOID, TEXTOID},
	NULL};

/* whatever comes of it, nothing secret stays behind */
static DibsStatement end_sql = {
	"UPDATE dibs.\"OAuthState\" SET \"state\" = $2, \"sealed\" = NULL, \"accountUlid\" = $3, \"errorCode\" = $4, \"error\" = $5,"
	" \"updatedAt\" = now() WHERE \"ulid\" = $1 AND \"state\" = 'exchanging'",
	5,
	{BPCHAROID, TEXTOID, BPCHAROID, TEXTOID, TEXTOID},
	NULL};

static char *
context_of(const char *ulid)
{
	return dibs_seal_context("OAuthState", "sealed", ulid);
}

bytea *
dibs_signin_seal(const char *ulid, const DibsSigninSecrets *secrets, MemoryContext mcxt)
{
	const char *lines[4] = {secrets->verifier, secrets->code, secrets->access, secrets->refresh};
	char *text = dibs_join_lines(mcxt, lines, lengthof(lines));

	return dibs_seal(DIBS_PURPOSE_CREDENTIAL, context_of(ulid), text, strlen(text));
}

bool
dibs_signin_open(const DibsSignin *signin, MemoryContext mcxt, DibsSigninSecrets *secrets, DibsFailure *failure)
{
	char *lines[4];
	char *plain;
	Size len;

	if (dibs_unseal(DIBS_PURPOSE_CREDENTIAL, context_of(signin->ulid), VARDATA_ANY(signin->sealed),
					VARSIZE_ANY_EXHDR(signin->sealed), mcxt, true, &plain, &len) != DIBS_UNSEAL_OK)
	{
		dibs_fail(failure, DIBS_VERDICT_RETRY, "key_unreadable", "the master key does not open the code");
		return false;
	}
	dibs_split_lines(mcxt, plain, lines, lengthof(lines));
	secrets->verifier = lines[0];
	secrets->code = lines[1];
	secrets->access = lines[2];
	secrets->refresh = lines[3];
	return true;
}

static bool
lock_signin(const char *ulid, DibsSignin *signin)
{
	Datum values[1] = {CStringGetTextDatum(ulid)};
	bool isnull;
	Datum sealed;

	memset(signin, 0, sizeof(*signin));
	if (dibs_execute(&lock_sql, values, NULL, false, SPI_OK_SELECT) == 0)
		return false;
	strlcpy(signin->ulid, ulid, sizeof(signin->ulid));
	signin->user_ulid = dibs_column(0, 1);
	signin->provider = dibs_column(0, 2);
	signin->redirect = dibs_column(0, 3);
	signin->state = dibs_column(0, 4);
	signin->used = dibs_column_time(0, 5);
	signin->token_expires = dibs_column_time(0, 6);
	signin->scope = dibs_column(0, 7);
	sealed = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 8, &isnull);
	signin->sealed = isnull ? NULL : DatumGetByteaPCopy(sealed);
	return true;
}

static void
end_signin(const DibsSignin *signin, const char *state, const char *account, const char *code, const char *error)
{
	Datum values[5] = {CStringGetTextDatum(signin->ulid), CStringGetTextDatum(state)};
	char nulls[6] = "     ";

	dibs_set_text(values, nulls, 2, account);
	dibs_set_text(values, nulls, 3, code);
	dibs_set_text(values, nulls, 4, error);
	(void) dibs_execute(&end_sql, values, nulls, false, SPI_OK_UPDATE);
}

/* The person has to begin again. */
static void
fail_signin(DibsCall *call, const DibsSignin *signin, const char *code, const char *error)
{
	end_signin(signin, "failed", NULL, code, error);
	dibs_account_event(signin->user_ulid, signin->ulid, signin->provider, "connection.failed", code, error);
	dibs_call_failed(call, DIBS_VERDICT_FAILED, code, "%s", error);
	call->outcome = DIBS_CALL_FAILED;
}

static bool
exchange_prepare(DibsCall *call)
{
	Exchange *x = palloc0(sizeof(Exchange));
	DibsSignin *signin = &x->signin;

	call->state = x;
	if (!lock_signin(call->key, signin) || strcmp(signin->state, "exchanging") != 0 || signin->sealed == NULL)
		return false;
	x->provider = dibs_account_provider(signin->provider);
	x->unsure = call->taken_over || call->attempts > 0;
	if (x->provider == NULL)
		return false;
	if (!dibs_signin_open(signin, call->context, &x->secrets, &call->answer) ||
		!dibs_access_client(x->provider, call->context, &x->access, &call->answer))
	{
		call->outcome = DIBS_CALL_RETRY;
		if (GetCurrentTimestamp() < dibs_plus_seconds(signin->used, CODE_LIFE_S))
			return false;
		fail_signin(call, signin, call->answer.error_code, call->answer.error);
		return false;
	}
	x->naming = x->secrets.access != NULL;
	if (!x->naming && GetCurrentTimestamp() >= dibs_plus_seconds(signin->used, CODE_LIFE_S))
	{
		fail_signin(call, signin, "code_expired", "the code could not be exchanged in time");
		return false;
	}
	call->provider = signin->provider;
	call->account = call->key;
	call->no_token = true;
	return true;
}

static DibsHttpRequest *
exchange_build(DibsCall *call, DibsHttp *http, const DibsAccess *access)
{
	Exchange *x = call->state;

	if (x->naming)
		return dibs_oauth_who(x->provider, http, x->secrets.access);
	return dibs_oauth_exchange(x->provider, http, &x->access, x->secrets.code, x->secrets.verifier, x->signin.redirect);
}

static void
exchange_read(DibsCall *call, DibsHttpRequest *request)
{
	Exchange *x = call->state;

	if (x->naming ? dibs_oauth_read_who(x->provider, request, &x->who, &call->answer)
				  : dibs_oauth_read_tokens(x->provider, request, &x->got, &call->answer))
		call->answer.verdict = DIBS_VERDICT_DONE;
}

/* The first step: the tokens are ours, and nothing else is needed for the second. */
static void
keep_tokens(DibsCall *call, Exchange *x)
{
	DibsSigninSecrets secrets = {.access = x->got.access, .refresh = x->got.refresh};
	Datum values[4];
	char nulls[5] = "    ";

	values[0] = CStringGetTextDatum(x->signin.ulid);
	values[1] = PointerGetDatum(dibs_signin_seal(x->signin.ulid, &secrets, call->context));
	values[2] = TimestampTzGetDatum(dibs_plus_seconds(GetCurrentTimestamp(), x->got.ttl));
	dibs_set_text(values, nulls, 3, x->got.scope);
	(void) dibs_execute(&tokens_sql, values, nulls, false, SPI_OK_UPDATE);
	call->outcome = DIBS_CALL_AGAIN;
	call->next_at = 0;
}

/* The second step: this coach has this account. */
static void
connect_account(DibsCall *call, Exchange *x)
{
	const DibsSignin *signin = &x->signin;
	TimestampTz now = GetCurrentTimestamp();
	DibsTokens tokens = {.access = x->secrets.access, .refresh = x->secrets.refresh, .scope = signin->scope};
	char *account;

	tokens.ttl = (int) Max((signin->token_expires - now) / USECS_PER_SEC, 1);
	account = dibs_account_row(signin->provider, signin->user_ulid, &x->who);
	if (account == NULL)
	{
		fail_signin(call, signin, "account_taken", "this account is another coach's here");
		return;
	}
	end_signin(signin, "connected", account, NULL, NULL);
	dibs_account_connect(account, signin->provider, signin->user_ulid, &tokens);
	call->outcome = DIBS_CALL_DONE;
}

static void
exchange_settle(DibsCall *call)
{
	Exchange *x = call->state;
	DibsFailure *answer = &call->answer;

	if (answer->verdict == DIBS_VERDICT_DONE)
	{
		if (x->naming)
			connect_account(call, x);
		else
			keep_tokens(call, x);
		return;
	}
	if (answer->verdict != DIBS_VERDICT_FAILED && !call->last_try)
		return;
	if (!x->naming && strcmp(answer->error_code, "reconnect_needed") == 0)
		fail_signin(call, &x->signin, "code_refused",
					x->unsure ? "the code is used up: the answer to an earlier exchange was lost"
							  : "the code was refused: expired, used before, or of another redirect URL");
	else
		fail_signin(call, &x->signin, answer->error_code, answer->error);
}

const DibsCallKind dibs_exchange_call = {
	.name = DIBS_EXCHANGE_JOB,
	.max_attempts = MAX_TRIES,
	.prepare = exchange_prepare,
	.build = exchange_build,
	.read = exchange_read,
	.settle = exchange_settle,
};
