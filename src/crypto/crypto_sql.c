/*
 * crypto_sql.c
 *		The SQL faces of crypto/: tokens, and Zoom's answer to a challenge. Errors hide their statement: it may hold a
 *		secret.
 */
#include "compat.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "core/encoding.h"
#include "core/hide.h"
#include "crypto/hmac.h"
#include "crypto/jwt.h"
#include "errors.h"

PG_FUNCTION_INFO_V1(dibs_jwt_sign);
PG_FUNCTION_INFO_V1(dibs_jwt_verify);
PG_FUNCTION_INFO_V1(dibs_zoom_url_validation);

static void
need_secret(Size len)
{
	if (len == 0)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("the secret is empty")));
}

static text *
sign_claims(const text *claims, const void *secret, Size secret_len)
{
	const char *data = VARDATA_ANY(claims);
	Size len = VARSIZE_ANY_EXHDR(claims);
	Size at = 0;
	Size token_len;
	text *token;

	need_secret(secret_len);
	/* What json let through is an object if it begins like one. */
	while (at < len && (data[at] == ' ' || data[at] == '\t' || data[at] == '\n' || data[at] == '\r'))
		at++;
	if (at == len || data[at] != '{')
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("the claims are not a JSON object")));
	token_len = len > DIBS_JWT_MAX_LEN ? DIBS_JWT_MAX_LEN + 1 : DIBS_JWT_HS256_LEN(len);
	if (token_len > DIBS_JWT_MAX_LEN)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("the claims are too long for a token: %zu bytes", len),
						errhint("A token has at most %d characters.", DIBS_JWT_MAX_LEN)));
	token = palloc(VARHDRSZ + token_len);
	SET_VARSIZE(token, VARHDRSZ + token_len);
	if (!dibs_jwt_sign_hs256(data, len, secret, secret_len, VARDATA(token)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not sign")));
	return token;
}

Datum
dibs_jwt_sign(PG_FUNCTION_ARGS)
{
	ErrorContextCallback hiding;
	text *secret = PG_GETARG_TEXT_PP(1);
	text *token;

	dibs_hide_begin(&hiding);
	token = sign_claims(PG_GETARG_TEXT_PP(0), VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret));
	dibs_hide_end(&hiding);
	PG_RETURN_TEXT_P(token);
}

Datum
dibs_jwt_verify(PG_FUNCTION_ARGS)
{
	text *token;
	text *secret;
	TimestampTz as_of;
	char *claims;
	ErrorContextCallback hiding;
	Datum result;
	size_t claims_len;
	double now_s;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	token = PG_GETARG_TEXT_PP(0);
	secret = PG_GETARG_TEXT_PP(1);
	as_of = PG_GETARG_TIMESTAMPTZ(2);
	if (TIMESTAMP_NOT_FINITE(as_of) || VARSIZE_ANY_EXHDR(token) > DIBS_JWT_MAX_LEN)
		PG_RETURN_NULL();
	now_s = (double) as_of / USECS_PER_SEC + (double) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
	claims = palloc(VARSIZE_ANY_EXHDR(token) + 1);
	if (!dibs_jwt_verify_hs256(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), VARDATA_ANY(secret),
							   VARSIZE_ANY_EXHDR(secret), now_s, claims, &claims_len))
		PG_RETURN_NULL();
	claims[claims_len] = '\0';
	/* Both may fail where the database is not UTF8. */
	dibs_hide_begin(&hiding);
	result = DirectFunctionCall1(jsonb_in, CStringGetDatum(pg_any_to_server(claims, (int) claims_len, PG_UTF8)));
	dibs_hide_end(&hiding);
	return result;
}

/* What Zoom wants to hear from an endpoint: its token back, and that the endpoint knows the secret. */
Datum
dibs_zoom_url_validation(PG_FUNCTION_ARGS)
{
	text *plain = PG_GETARG_TEXT_PP(0);
	text *secret = PG_GETARG_TEXT_PP(1);
	DibsBytes token = {VARDATA_ANY(plain), VARSIZE_ANY_EXHDR(plain)};
	unsigned char mac[DIBS_SHA256_LEN];
	char hex[2 * DIBS_SHA256_LEN + 1];
	StringInfoData answer;
	ErrorContextCallback hiding;
	Datum result;

	dibs_hide_begin(&hiding);
	need_secret(VARSIZE_ANY_EXHDR(secret));
	if (!dibs_hmac_sha256(VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret), &token, 1, mac))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not sign")));
	dibs_hex_encode(mac, sizeof(mac), hex);
	hex[2 * DIBS_SHA256_LEN] = '\0';
	initStringInfo(&answer);
	appendStringInfoString(&answer, "{\"plainToken\":");
	escape_json(&answer, text_to_cstring(plain));
	appendStringInfo(&answer, ",\"encryptedToken\":\"%s\"}", hex);
	result = DirectFunctionCall1(jsonb_in, CStringGetDatum(answer.data));
	dibs_hide_end(&hiding);
	return result;
}
