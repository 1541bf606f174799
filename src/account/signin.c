/*
 * signin.c
 *		The two SQL functions of a consent: where to send a person, and what comes back.
 *
 * The state is 256 random bits, kept as a hash, for one coach, one provider and one redirect URL; it is used once and
 * lives 15 minutes. Nothing is asked of the provider here: the code is sealed, and a job exchanges it.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "access/who.h"
#include "account/access.h"
#include "account/calls.h"
#include "account/grant.h"
#include "account/signin.h"
#include "core/encoding.h"
#include "core/hide.h"
#include "core/jsonbuild.h"
#include "crypto/hmac.h"
#include "crypto/random.h"
#include "errors.h"
#include "guc.h"
#include "queue/plan.h"
#include "secrets/seal.h"

PG_FUNCTION_INFO_V1(dibs_oauth_authorize_url);
PG_FUNCTION_INFO_V1(dibs_oauth_callback);

/* RFC 7636 asks for 43 characters at least: 32 bytes in base64url. */
#define RANDOM_LEN 32
#define RANDOM_TEXT_LEN 43
#define MAX_REDIRECT 2000
#define MAX_CODE 4096

/* Consents that were never finished go after a while. */
static DibsStatement sweep_sql = {
	"DELETE FROM dibs.\"OAuthState\" WHERE \"ulid\" = ANY (ARRAY(SELECT s.\"ulid\" FROM dibs.\"OAuthState\" s"
	" WHERE s.\"expiresAt\" < now() - interval '7 days' AND s.\"state\" <> 'exchanging' LIMIT 100 FOR UPDATE SKIP LOCKED))",
	0,
	{InvalidOid},
	NULL};

static DibsStatement insert_sql = {
	"INSERT INTO dibs.\"OAuthState\" (\"ulid\", \"userUlid\", \"provider\", \"stateHash\", \"redirectUrl\", \"sealed\", \"expiresAt\")"
	" VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(mins => $7))",
	7,
	{BPCHAROID, BPCHAROID, TEXTOID, BYTEAOID, TEXTOID, BYTEAOID, INT4OID},
	NULL};

static DibsStatement find_sql = {
	"SELECT s.\"ulid\", s.\"userUlid\", s.\"provider\", s.\"state\", s.\"expiresAt\" <= clock_timestamp(), s.\"sealed\""
	" FROM dibs.\"OAuthState\" s WHERE s.\"stateHash\" = $1 FOR UPDATE",
	1,
	{BYTEAOID},
	NULL};

static DibsStatement use_sql = {
	"UPDATE dibs.\"OAuthState\" SET \"state\" = 'exchanging', \"sealed\" = $2, \"usedAt\" = now(), \"updatedAt\" = now()"
	" WHERE \"ulid\" = $1",
	2,
	{BPCHAROID, BYTEAOID},
	NULL};

static char *
random_text(MemoryContext mcxt)
{
	unsigned char bytes[RANDOM_LEN];
	char *text = dibs_alloc_cleansed(mcxt, RANDOM_TEXT_LEN + 1);

	if (!dibs_random_bytes(bytes, sizeof(bytes)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	text[dibs_base64url_encode(bytes, sizeof(bytes), text)] = '\0';
	explicit_bzero(bytes, sizeof(bytes));
	return text;
}

static void
sha256(const char *text, unsigned char hash[DIBS_SHA256_LEN])
{
	if (!dibs_sha256(text, strlen(text), hash))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not hash a value")));
}

static Datum
hash_datum(const char *text)
{
	bytea *hash = palloc(VARHDRSZ + DIBS_SHA256_LEN);

	SET_VARSIZE(hash, VARHDRSZ + DIBS_SHA256_LEN);
	sha256(text, (unsigned char *) VARDATA(hash));
	return PointerGetDatum(hash);
}

static const DibsAccountProvider *
oauth_provider(const char *name)
{
	const DibsAccountProvider *provider = dibs_account_provider(name);

	if (provider == NULL || provider->client_secrets[0] == NULL)
		ereport(ERROR,
				(errcode(DIBS_ERR_BAD_VALUE), errmsg("\"%s\" is no provider that people connect an account of", name),
				 errhint("The providers are cal and zoom.")));
	return provider;
}

/* The page that the provider sends people back to: ours, over TLS; a developer's own machine excepted. */
static void
check_redirect(const char *url)
{
	static const char *const local[] = {"http://localhost", "http://127.0.0.1", "http://[::1]"};
	bool ok = strncmp(url, "https://", 8) == 0 && url[8] != '\0' && url[8] != '/';

	for (int i = 0; i < (int) lengthof(local) && !ok; i++)
	{
		size_t len = strlen(local[i]);

		ok = strncmp(url, local[i], len) == 0 && (url[len] == '\0' || url[len] == ':' || url[len] == '/');
	}
	for (const char *p = url; *p && ok; p++)
		ok = (unsigned char) *p > ' ' && (unsigned char) *p < 127 && *p != '#' && *p != '"' && *p != '\\';
	if (!ok || strlen(url) > MAX_REDIRECT)
		ereport(ERROR,
				(errcode(DIBS_ERR_BAD_VALUE), errmsg("\"%.200s\" is no redirect URL", url),
				 errhint("It is the https URL that the app is registered with at the provider, without a fragment.")));
}

/* People connect accounts for themselves; whoever sees everybody's, for everybody, and the platform's own. */
static void
check_right(const char *user)
{
	char me[DIBS_ULID_LEN + 1];

	if (dibs_sees_all() || (user != NULL && dibs_current_user(me) && strcmp(me, user) == 0))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("this account is not the caller's to connect"),
					errhint("A member connects accounts for itself; level app for others, after dibs.act_as().")));
}

Datum
dibs_oauth_authorize_url(PG_FUNCTION_ARGS)
{
	MemoryContext mcxt = CurrentMemoryContext;
	const DibsAccountProvider *provider;
	DibsAccess access = {0};
	DibsFailure failure = {0};
	DibsSigninSecrets secrets = {0};
	unsigned char hash[DIBS_SHA256_LEN];
	char challenge[RANDOM_TEXT_LEN + 1];
	char ulid[DIBS_ULID_LEN + 1];
	char *user = NULL;
	char *redirect;
	char *state;
	char *page;
	Datum values[7];
	char nulls[8] = "       ";

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("provider and redirect_url must not be null")));
	provider = oauth_provider(TextDatumGetCString(PG_GETARG_DATUM(0)));
	redirect = TextDatumGetCString(PG_GETARG_DATUM(2));
	check_redirect(redirect);
	if (!PG_ARGISNULL(1))
	{
		user = TextDatumGetCString(PG_GETARG_DATUM(1));
		if (!dibs_ulid_canonical(user, user))
			ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("\"%s\" is no ULID", user),
							errhint("dibs.uuid_to_ulid() turns a uuid into one.")));
	}
	check_right(user);

	SPI_connect();
	if (!dibs_access_client(provider, mcxt, &access, &failure))
		ereport(ERROR,
				(errcode(DIBS_ERR_CONFIG), errmsg("nobody can connect to %s: %s", provider->label, failure.error),
				 errhint("Set it with dibs.set_sealed_secret or dibs.set_secret_from_file.")));
	(void) dibs_execute(&sweep_sql, NULL, NULL, false, SPI_OK_DELETE);
	if (!dibs_ulid_generate(ulid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	MemoryContextSwitchTo(mcxt);
	state = random_text(mcxt);
	secrets.verifier = random_text(mcxt);
	sha256(secrets.verifier, hash);
	challenge[dibs_base64url_encode(hash, sizeof(hash), challenge)] = '\0';

	values[0] = CStringGetTextDatum(ulid);
	values[1] = user ? CStringGetTextDatum(user) : (Datum) 0;
	nulls[1] = user ? ' ' : 'n';
	values[2] = CStringGetTextDatum(provider->name);
	values[3] = hash_datum(state);
	values[4] = CStringGetTextDatum(redirect);
	values[5] = PointerGetDatum(dibs_signin_seal(ulid, &secrets, mcxt));
	values[6] = Int32GetDatum(DIBS_SIGNIN_MINUTES);
	(void) dibs_execute(&insert_sql, values, nulls, false, SPI_OK_INSERT);
	page = dibs_oauth_authorize_page(provider, access.client_id, redirect, state, challenge);
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(page));
}

static void
refuse_state(const char *what)
{
	ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("this sign-in %s", what),
					errhint("Begin again with dibs.oauth_authorize_url().")));
}

/* A code as RFC 6749 has them: printable, without a blank. It is one line of what is sealed. */
static void
check_code(const char *code)
{
	bool ok = *code != '\0' && strlen(code) <= MAX_CODE;

	for (const char *p = code; *p && ok; p++)
		ok = (unsigned char) *p > ' ' && (unsigned char) *p < 127;
	if (!ok)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("the code is none"),
						errhint("It is the parameter \"code\" of the URL that the provider sent the person back to.")));
}

static Jsonb *
callback_answer(const DibsSignin *signin)
{
	DibsJson json = {0};

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "state", "connecting");
	dibs_json_text_member(&json, "provider", signin->provider);
	dibs_json_optional_member(&json, "userUlid", signin->user_ulid);
	dibs_json_text_member(&json, "signIn", signin->ulid);
	dibs_json_end_object(&json);
	return dibs_json_finish(&json);
}

Datum
dibs_oauth_callback(PG_FUNCTION_ARGS)
{
	MemoryContext mcxt = CurrentMemoryContext;
	DibsSignin signin = {0};
	DibsSigninSecrets secrets;
	DibsFailure failure = {0};
	ErrorContextCallback hiding;
	char me[DIBS_ULID_LEN + 1];
	char *code;
	char *progress;
	Datum values[2];
	Jsonb *answer;
	bool isnull;
	Datum sealed;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("state and code must not be null")));
	dibs_hide_statement(&hiding);
	code = TextDatumGetCString(PG_GETARG_DATUM(1));
	check_code(code);

	SPI_connect();
	values[0] = hash_datum(TextDatumGetCString(PG_GETARG_DATUM(0)));
	if (dibs_execute(&find_sql, values, NULL, false, SPI_OK_SELECT) == 0)
		refuse_state("is not known here");
	MemoryContextSwitchTo(mcxt);
	strlcpy(signin.ulid, dibs_column(0, 1), sizeof(signin.ulid));
	signin.user_ulid = dibs_column(0, 2);
	signin.provider = dibs_column(0, 3);
	progress = dibs_column(0, 4);
	if (strcmp(progress, "open") != 0)
		refuse_state("was used before");
	if (dibs_column_bool(0, 5))
		refuse_state("has expired");
	sealed = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 6, &isnull);
	signin.sealed = DatumGetByteaPCopy(sealed);
	/* somebody who is known must be the one who began; a gateway without a user is let in by the state alone */
	if (!dibs_sees_all() && dibs_current_user(me) && (signin.user_ulid == NULL || strcmp(me, signin.user_ulid) != 0))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("this sign-in was begun for somebody else")));

	if (!dibs_signin_open(&signin, mcxt, &secrets, &failure))
		ereport(ERROR, (errcode(DIBS_ERR_CONFIG), errmsg("%s", failure.error),
						errhint("SELECT dibs.health() says what is wrong with the master keys.")));
	secrets.code = code;
	values[0] = CStringGetTextDatum(signin.ulid);
	values[1] = PointerGetDatum(dibs_signin_seal(signin.ulid, &secrets, mcxt));
	(void) dibs_execute(&use_sql, values, NULL, false, SPI_OK_UPDATE);
	dibs_job_start(DIBS_EXCHANGE_JOB, signin.ulid, NULL, 0);
	MemoryContextSwitchTo(mcxt);
	answer = callback_answer(&signin);
	SPI_finish();
	explicit_bzero(code, strlen(code));
	dibs_hide_end(&hiding);
	PG_RETURN_JSONB_P(answer);
}
