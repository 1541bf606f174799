/*
 * sign.c
 *		jwt_sign_with(): tokens signed with a stored secret.
 */
#include "compat.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "crypto/jwt.h"
#include "errors.h"
#include "secrets/seal.h"
#include "secrets/secret.h"
#include "secrets/store.h"

PG_FUNCTION_INFO_V1(dibs_jwt_sign_with);

static const char pem_begin[] = "-----BEGIN ";

/* A key in PEM, and the id that goes into the header; both in mcxt. kid may be NULL. */
typedef struct PrivateKey
{
	const char *pem;
	Size pem_len;
	const char *kid;
} PrivateKey;

static char *
member(Jsonb *object, const char *name, MemoryContext mcxt, Size *len)
{
	JsonbValue buffer;
	JsonbValue *value = getKeyJsonValueFromContainer(&object->root, name, strlen(name), &buffer);
	char *copy;

	if (value == NULL || value->type != jbvString)
		return NULL;
	copy = dibs_alloc_cleansed(mcxt, value->val.string.len + 1);
	memcpy(copy, value->val.string.val, value->val.string.len);
	copy[value->val.string.len] = '\0';
	*len = value->val.string.len;
	return copy;
}

/* Google's key file holds the key and its id. */
static void
read_service_account(const DibsSecret *secret, MemoryContext mcxt, PrivateKey *out)
{
	Jsonb *volatile object = NULL;
	Size kid_len;
	volatile bool failed = false;
	MemoryContext old = CurrentMemoryContext;

	/* jsonb_in's error would quote the value. */
	PG_TRY();
	{
		object = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(secret->value)));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		FlushErrorState();
		failed = true;
	}
	PG_END_TRY();
	if (!failed && JB_ROOT_IS_OBJECT(object))
	{
		out->pem = member(object, "private_key", mcxt, &out->pem_len);
		out->kid = member(object, "private_key_id", mcxt, &kid_len);
		explicit_bzero(object, VARSIZE(object));
	}
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
		/* JaaS calls "<AppID>/<key>" the API key's id; whoever stored that as the app's id gets the header filled in. */
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

	if (!dibs_secret_is_known(name))
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("unknown secret name \"%s\"", name),
						errhint("Names are %s.", dibs_secret_known_list())));
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
