/*
 * test_jwt.c
 *		Tokens: RFC 7515 and 7519, the providers' vectors, and every way in which a token can lie.
 */
#include <stdlib.h>

#include "core/encoding.h"
#include "crypto/hmac.h"
#include "crypto/jwt.h"
#include "tap.h"
#include "vectors.h"

#define NOW 1767225700.0
#define SECRET "dibs-test-secret"

static bool
verifies(const char *token, size_t len, const void *secret, size_t secret_len, double now, const char *claims)
{
	char *out = malloc(len + 1);
	size_t out_len = 0;
	bool valid = dibs_jwt_verify_hs256(token, len, secret, secret_len, now, out, &out_len);

	if (valid && claims != NULL && (out_len != strlen(claims) || memcmp(out, claims, out_len) != 0))
		valid = false;
	free(out);
	return valid;
}

/* A token with any header, signed rightly. */
static char *
forge(const char *header, const char *claims, const char *secret)
{
	char *token = malloc(DIBS_BASE64URL_LEN(strlen(header)) + DIBS_BASE64URL_LEN(strlen(claims)) + 46);
	char *p = token;
	DibsBytes part;
	unsigned char mac[DIBS_SHA256_LEN];

	p += dibs_base64url_encode(header, strlen(header), p);
	*p++ = '.';
	p += dibs_base64url_encode(claims, strlen(claims), p);
	part.data = token;
	part.len = (size_t) (p - token);
	dibs_hmac_sha256(secret, strlen(secret), &part, 1, mac);
	*p++ = '.';
	p += dibs_base64url_encode(mac, sizeof(mac), p);
	*p = '\0';
	return token;
}

static bool
takes(const char *header, const char *claims)
{
	char *token = forge(header, claims, SECRET);
	bool valid = verifies(token, strlen(token), SECRET, strlen(SECRET), NOW, claims);

	free(token);
	return valid;
}

static bool
takes_claims(const char *claims)
{
	return takes(DIBS_JWT_HEADER, claims);
}

static void
rfcs(void)
{
	static const char a1[] =
		"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
		"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
		"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
	static const char key_text[] =
		"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
	static const char unsecured[] =
		"eyJhbGciOiJub25lIn0."
		"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";
	unsigned char key[DIBS_BASE64_ROOM(86)];
	size_t key_len;
	double in_time = 1300819379;

	dibs_base64url_decode(key_text, strlen(key_text), key, &key_len);
	ok(verifies(a1, strlen(a1), key, key_len, in_time,
				"{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"),
	   "RFC 7515 A.1, which is RFC 7519 3.1");
	ok(!verifies(a1, strlen(a1), key, key_len, 1300819380 + DIBS_JWT_LEEWAY, NULL), "and it has expired since");
	ok(!verifies(a1, strlen(a1), key, key_len - 1, in_time, NULL), "and needs the whole key");
	ok(!verifies(unsecured, strlen(unsecured), key, key_len, in_time, NULL) &&
		   !verifies(unsecured, strlen(unsecured), "", 0, in_time, NULL),
	   "RFC 7519 6.1, the unsecured token, is refused");
}

static void
vector(const TokenVector *v)
{
	size_t claims_len = strlen(v->claims);
	size_t len = DIBS_JWT_HS256_LEN(claims_len);
	char *token = malloc(len);
	double now = strstr(v->claims, "1768467600") != NULL ? 1768467700 : NOW;
	int taken = 0;

	ok(dibs_jwt_sign_hs256(v->claims, claims_len, v->secret, strlen(v->secret), token) && len == strlen(v->token) &&
		   memcmp(token, v->token, len) == 0,
	   "%s: signs", v->name);
	ok(verifies(token, len, v->secret, strlen(v->secret), now, v->claims), "%s: verifies", v->name);
	for (size_t bit = 0; bit < 8 * len; bit++)
	{
		token[bit / 8] ^= (char) (1 << bit % 8);
		if (verifies(token, len, v->secret, strlen(v->secret), now, NULL))
			taken++;
		token[bit / 8] ^= (char) (1 << bit % 8);
	}
	ok(taken == 0, "%s: no bit may change", v->name);
	taken = 0;
	for (size_t n = 0; n < len; n++)
	{
		if (verifies(token, n, v->secret, strlen(v->secret), now, NULL))
			taken++;
	}
	ok(taken == 0, "%s: nothing may be missing at the end", v->name);
	ok(!verifies(token, len, v->secret, strlen(v->secret) - 1, now, NULL) && !verifies(token, len, "x", 1, now, NULL),
	   "%s: another secret", v->name);
	free(token);
}

static void
headers(void)
{
	static const char *const good[] = {
		"{\"alg\":\"HS256\"}",
		"{\"typ\":\"JWT\",\"alg\":\"HS256\"}",
		" { \"alg\" : \"HS256\" , \"kid\" : \"1\" } ",
		"{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}",
		"{\"al\\u0067\":\"HS256\"}",
	};
	static const char *const bad[] = {
		"{\"alg\":\"none\"}",
		"{\"alg\":\"None\"}",
		"{\"alg\":\"\"}",
		"{\"alg\":null}",
		"{\"alg\":[\"HS256\"]}",
		"{\"alg\":\"RS256\"}",
		"{\"alg\":\"HS384\"}",
		"{\"alg\":\"HS512\"}",
		"{\"alg\":\"ES256\"}",
		"{\"alg\":\"hs256\"}",
		"{\"alg\":\"HS256 \"}",
		"{\"alg\":\"HS256\",\"alg\":\"none\"}",
		"{\"alg\":\"none\",\"alg\":\"HS256\"}",
		"{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
		"{\"alg\":\"HS256\",\"al\\u0067\":\"none\"}",
		"{\"ALG\":\"HS256\"}",
		"{}",
		"{\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}",
		"{\"alg\":\"HS256\",\"crit\":[]}",
		"{\"a\":{\"alg\":\"HS256\"}}",
		"[{\"alg\":\"HS256\"}]",
		"{\"alg\":\"HS256\"",
		"{\"alg\":\"HS256\"}}",
		"{\"alg\":\"HS256\"}\n{\"alg\":\"none\"}",
		"alg HS256",
		"",
	};
	char large[1200];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(takes(good[i], "{}"), "header taken: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!takes(bad[i], "{}"), "header refused: number %zu", i);
	memset(large, ' ', sizeof(large));
	memcpy(large, "{\"alg\":\"HS256\"", 14);
	large[768 - 1] = '}';
	large[768] = '\0';
	ok(takes(large, "{}"), "a header of 1,024 characters is read");
	large[768 - 1] = ' ';
	large[768] = '}';
	large[769] = '\0';
	ok(!takes(large, "{}"), "a longer one is not");
}

static void
claims(void)
{
	ok(takes_claims("{}") && takes_claims(" {\"a\": [1, 2]}\n"), "claims without times");
	ok(!takes_claims("") && !takes_claims("[]") && !takes_claims("1") && !takes_claims("\"a\"") && !takes_claims("{") &&
		   !takes_claims("{\"a\":\"\\u0000\"}") && !takes_claims("{\"a\":\"\xff\"}"),
	   "claims that are no JSON object");
	ok(takes_claims("{\"exp\":1767225671}"), "exp 29 s ago is within the leeway");
	ok(!takes_claims("{\"exp\":1767225670}"), "exp 30 s ago is not");
	ok(takes_claims("{\"exp\":1767225670.5}") && !takes_claims("{\"exp\":1767225669.5}"), "exp with a fraction");
	ok(takes_claims("{\"nbf\":1767225730}") && !takes_claims("{\"nbf\":1767225731}"), "nbf 30 s ahead, and 31");
	ok(takes_claims("{\"iat\":1767225730}") && !takes_claims("{\"iat\":1767225731}"), "iat 30 s ahead, and 31");
	ok(takes_claims("{\"iat\":1767225600,\"nbf\":1767225600,\"exp\":1767229200}"), "all three");
	ok(!takes_claims("{\"exp\":\"1767229200\"}") && !takes_claims("{\"exp\":null}") && !takes_claims("{\"exp\":[]}") &&
		   !takes_claims("{\"exp\":true}") && !takes_claims("{\"exp\":{}}"),
	   "exp that is no number");
	ok(!takes_claims("{\"nbf\":\"0\"}") && !takes_claims("{\"iat\":null}"), "nbf and iat that are none");
	ok(!takes_claims("{\"exp\":1767229200,\"exp\":1}") && !takes_claims("{\"exp\":1,\"exp\":1767229200}") &&
		   !takes_claims("{\"exp\":1767229200,\"\\u0065xp\":1767229200}"),
	   "exp twice");
	ok(!takes_claims("{\"exp\":1e999}") && !takes_claims("{\"exp\":-1}") && takes_claims("{\"exp\":1e300}"),
	   "exp far off");
	ok(takes_claims("{\"a\":{\"exp\":1}}") && takes_claims("{\"EXP\":1}"), "what is no exp is none");
}

static void
shapes(void)
{
	char *token = forge(DIBS_JWT_HEADER, "{\"a\":1}", SECRET);
	size_t len = strlen(token);
	char changed[256];
	static char large[DIBS_JWT_MAX_LEN + 100];
	static char out[DIBS_JWT_MAX_LEN + 100];
	size_t max_claims = (DIBS_JWT_MAX_LEN - 36 - 1 - 1 - 43) * 3 / 4;

	ok(verifies(token, len, SECRET, strlen(SECRET), NOW, "{\"a\":1}"), "a token of ours");
	snprintf(changed, sizeof(changed), "%s=", token);
	ok(!verifies(changed, len + 1, SECRET, strlen(SECRET), NOW, NULL), "with padding");
	snprintf(changed, sizeof(changed), "%s.", token);
	ok(!verifies(changed, len + 1, SECRET, strlen(SECRET), NOW, NULL), "with a third dot");
	snprintf(changed, sizeof(changed), "%s\n", token);
	ok(!verifies(changed, len + 1, SECRET, strlen(SECRET), NOW, NULL), "with a line end");
	snprintf(changed, sizeof(changed), " %s", token);
	ok(!verifies(changed, len + 1, SECRET, strlen(SECRET), NOW, NULL), "with a blank before it");
	snprintf(changed, sizeof(changed), "Bearer %s", token);
	ok(!verifies(changed, len + 7, SECRET, strlen(SECRET), NOW, NULL), "with Bearer before it");
	ok(!verifies("", 0, SECRET, strlen(SECRET), NOW, NULL) && !verifies(".", 1, SECRET, strlen(SECRET), NOW, NULL) &&
		   !verifies("..", 2, SECRET, strlen(SECRET), NOW, NULL) &&
		   !verifies("a.b.c.d", 7, SECRET, strlen(SECRET), NOW, NULL),
	   "nothing but dots");
	ok(!verifies(token, len, "", 0, NOW, NULL), "an empty secret verifies nothing");
	free(token);
	token = forge(DIBS_JWT_HEADER, "{\"a\":1}", "");
	ok(!verifies(token, strlen(token), "", 0, NOW, NULL), "not even what was signed with one");
	free(token);
	ok(!dibs_jwt_sign_hs256("{}", 2, "", 0, out), "an empty secret signs nothing");
	memset(large, ' ', sizeof(large));
	large[0] = '{';
	large[max_claims - 1] = '}';
	ok(DIBS_JWT_HS256_LEN(max_claims) <= DIBS_JWT_MAX_LEN &&
		   dibs_jwt_sign_hs256(large, max_claims, SECRET, strlen(SECRET), out) &&
		   verifies(out, DIBS_JWT_HS256_LEN(max_claims), SECRET, strlen(SECRET), NOW, NULL),
	   "the largest token signs and verifies");
	ok(!dibs_jwt_sign_hs256(large, max_claims + 1, SECRET, strlen(SECRET), out) &&
		   !dibs_jwt_sign_hs256(large, (size_t) -1, SECRET, strlen(SECRET), out),
	   "a larger one does not sign");
	ok(!verifies(out, DIBS_JWT_MAX_LEN + 1, SECRET, strlen(SECRET), NOW, NULL), "nor verify");
}

/* HS256 with a public key as the secret is what a verifier that trusts the header falls for. */
static void
rs256(void)
{
	static char out[4096];
	static char escaped[sizeof(rsa_key) * 2];
	char *p = escaped;
	size_t len;

	for (size_t i = 0; i < sizeof(rsa_vectors) / sizeof(rsa_vectors[0]); i++)
	{
		const RsaVector *v = &rsa_vectors[i];

		for (int again = 0; again < 2; again++)
			ok(dibs_jwt_sign_rs256(v->header, strlen(v->header), v->claims, strlen(v->claims), rsa_key, strlen(rsa_key),
								   out, &len) &&
				   len == strlen(v->token) && memcmp(out, v->token, len) == 0,
			   "%s: signs%s", v->name, again ? " again" : "");
		ok(!verifies(v->token, strlen(v->token), rsa_key, strlen(rsa_key), NOW, NULL),
		   "%s: an RS256 token is none for HS256", v->name);
	}
	for (const char *c = rsa_key; *c != '\0'; c++)
	{
		if (*c == '\n')
			*p++ = '\\';
		*p++ = *c == '\n' ? 'n' : *c;
	}
	ok(dibs_jwt_sign_rs256(rsa_vectors[0].header, strlen(rsa_vectors[0].header), rsa_vectors[0].claims,
						   strlen(rsa_vectors[0].claims), escaped, (size_t) (p - escaped), out, &len) &&
		   len == strlen(rsa_vectors[0].token) && memcmp(out, rsa_vectors[0].token, len) == 0,
	   "a key whose line ends are written as \\n");
	ok(!dibs_jwt_sign_rs256("{}", 2, "{}", 2, "", 0, out, &len) &&
		   !dibs_jwt_sign_rs256("{}", 2, "{}", 2, "no key", 6, out, &len) &&
		   !dibs_jwt_sign_rs256("{}", 2, "{}", 2, rsa_key, strlen(rsa_key) / 2, out, &len),
	   "what is no key signs nothing");
	for (int i = 0; i < 6; i++)
	{
		/* other texts of the same key push each other out */
		memset(escaped, '\n', 8);
		memcpy(escaped + i, rsa_key, strlen(rsa_key));
		if (!dibs_jwt_sign_rs256("{}", 2, "{}", 2, escaped, strlen(rsa_key) + (size_t) i, out, &len))
			break;
		len = (size_t) i;
	}
	ok(len == 5, "more keys than are kept");
	dibs_jwt_forget_keys();
	ok(dibs_jwt_sign_rs256("{}", 2, "{}", 2, rsa_key, strlen(rsa_key), out, &len), "a key after all were forgotten");
	dibs_jwt_forget_keys();
}

int
main(void)
{
	rfcs();
	for (size_t i = 0; i < sizeof(token_vectors) / sizeof(token_vectors[0]); i++)
		vector(&token_vectors[i]);
	headers();
	claims();
	shapes();
	rs256();
	return done();
}
