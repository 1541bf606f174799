/*
 * sign.c
 *		jwt_sign_with(): tokens signed with a stored secret.
 */
#include "compat.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "core/jsonscan.h"
#include "crypto/jwt.h"
#include "errors.h"
#include "secrets/seal.h"
#include "secrets/secret.h"

PG_FUNCTION_INFO_V1(dibs_jwt_sign_with);

/*
 * Secrets that are made for signing tokens. Webhook secrets are not among them: whoever may sign must not be able to
 * ask for signatures under a sender's key.
 */
static const char *const signers[] = {"zoom.sdk_secret",  "zoom.video_secret", "jitsi.app_secret",
									  "jaas.private_key", "daily.api_key",     "google.service_account"};

static const char pem_begin[] = "-----BEGIN ";

/* A key in PEM, and the id that goes into the header, or NULL. */
typedef struct PrivateKey
{
	const char *pem;
	Size pem_len;
	const char *kid;
} PrivateKey;

/* The two members of Google's key file that matter. */
typedef struct KeyFileParts
{
	DibsJsonMember key;
	DibsJsonMember id;
} KeyFileParts;

static bool
take_part(const DibsJsonMember *found, void *arg)
{
	KeyFileParts *parts = arg;

	if (dibs_json_key_is(found, "private_key"))
		parts->key = *found;
	else if (dibs_json_key_is(found, "private_key_id"))
		parts->id = *found;
	return true;
}

/* NULL where the member is missing or no string. Some that write JSON escape = and /, which PEM is full of. */
static char *
copy_string(const DibsJsonMember *member, MemoryContext mcxt, Size *len)
{
	char *copy;

	if (member->value.data == NULL)
		return NULL;
	copy = dibs_alloc_cleansed(mcxt, member->value.len + 1);
	if (!dibs_json_string(member, copy, len))
		return NULL;
	copy[*len] = '\0';
	return copy;
}

static void
read_service_account(const DibsSecret *secret, MemoryContext mcxt, PrivateKey *out)
{
	KeyFileParts parts = {0};
	Size kid_len;

	if (!dibs_json_walk(secret->value, secret->len, take_part, &parts))
		return;
	out->pem = copy_string(&parts.key, mcxt, &out->pem_len);
	out->kid = copy_string(&parts.id, mcxt, &kid_len);
}

static bool
read_private_key(const DibsSecret *secret, MemoryContext mcxt, PrivateKey *out)
{
	DibsSecret app;

	memset(out, 0, sizeof(*out));
	if (strcmp(secret->name, "google.service_account") == 0)
		read_service_account(secret, mcxt, out);
	else if (strncmp(secret->value, pem_begin, strlen(pem_begin)) == 0)
	{
		out->pem = secret->value;
		out->pem_len = secret->len;
		/* JaaS calls "<AppID>/<key>" the API key's id; whoever stored that as the app's id gets the header filled in.
		 */
		if (strcmp(secret->name, "jaas.private_key") == 0 &&
			dibs_secret_get("jaas.app_id", secret->account, mcxt, &app) && strchr(app.value, '/') != NULL)
			out->kid = app.value;
	}
	else
		return false;
	if (out->pem == NULL)
		ereport(ERROR, (errcode(DIBS_ERR_CONFIG), errmsg("the secret \"%s\" holds no private key", secret->name),
						errhint("Set it to the JSON key file of a service account, whole.")));
	return true;
}

static text *
sign_rs256(const PrivateKey *key, const char *name, const char *claims, Size claims_len)
{
	StringInfoData header;
	size_t len;
	text *token;

	initStringInfo(&header);
	appendStringInfoString(&header, "{\"alg\":\"RS256\",");
	if (key->kid != NULL)
	{
		appendStringInfoString(&header, "\"kid\":");
		escape_json(&header, key->kid);
		appendStringInfoChar(&header, ',');
	}
	appendStringInfoString(&header, "\"typ\":\"JWT\"}");
	token = palloc(VARHDRSZ + DIBS_JWT_RS256_ROOM(header.len, claims_len));
	if (!dibs_jwt_sign_rs256(header.data, header.len, claims, claims_len, key->pem, key->pem_len, VARDATA(token), &len))
		ereport(ERROR, (errcode(DIBS_ERR_CONFIG), errmsg("the secret \"%s\" holds no usable RSA key", name),
						errhint("It takes an unencrypted RSA private key in PEM of 2048 bits or more.")));
	SET_VARSIZE(token, VARHDRSZ + len);
	return token;
}

static text *
sign_hs256(const DibsSecret *secret, const char *claims, Size claims_len)
{
	text *token = palloc(VARHDRSZ + DIBS_JWT_HS256_LEN(claims_len));

	if (!dibs_jwt_sign_hs256(claims, claims_len, secret->value, secret->len, VARDATA(token)))
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("the claims are too long for a token"),
						errhint("A token has at most %d characters.", DIBS_JWT_MAX_LEN)));
	SET_VARSIZE(token, VARHDRSZ + DIBS_JWT_HS256_LEN(claims_len));
	return token;
}

static void
check_signer(const char *name)
{
	for (int i = 0; i < (int) lengthof(signers); i++)
	{
		if (strcmp(signers[i], name) == 0)
			return;
	}
	ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("\"%s\" is not a secret that signs tokens", name),
					errhint("Those are zoom.sdk_secret, zoom.video_secret, jitsi.app_secret, jaas.private_key, "
							"daily.api_key and google.service_account.")));
}

Datum
dibs_jwt_sign_with(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	text *claims = PG_GETARG_TEXT_PP(1);
	const char *text_of = VARDATA_ANY(claims);
	Size len = VARSIZE_ANY_EXHDR(claims);
	MemoryContext mcxt;
	DibsSecret secret;
	PrivateKey key;
	text *token;

	check_signer(name);
	while (len > 0 && strchr(" \t\r\n", text_of[len - 1]) != NULL)
		len--;
	while (len > 0 && strchr(" \t\r\n", *text_of) != NULL)
	{
		text_of++;
		len--;
	}
	if (len == 0 || *text_of != '{')
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("the claims of a token must be a JSON object")));
	if (len > DIBS_JWT_MAX_LEN)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("the claims are too long for a token"),
						errhint("A token has at most %d characters.", DIBS_JWT_MAX_LEN)));
	mcxt = AllocSetContextCreate(CurrentMemoryContext, "dibs signing secret", ALLOCSET_SMALL_SIZES);
	dibs_secret_need(name, "", mcxt, &secret);
	if (read_private_key(&secret, mcxt, &key))
		token = sign_rs256(&key, name, text_of, len);
	else
		token = sign_hs256(&secret, text_of, len);
	MemoryContextDelete(mcxt);
	PG_RETURN_TEXT_P(token);
}
