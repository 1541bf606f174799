/*
 * jwt.c
 *		HS256 tokens. The algorithm is the caller's, never the token's: a header that says anything else is refused
 *		before a key is touched.
 */
#include <stdint.h>
#include <string.h>

#include "core/jsonscan.h"
#include "crypto/hmac.h"
#include "crypto/jwt.h"
#include "crypto/memory.h"

/* A header of ours has 27 bytes; some issuers add a key id or a URL. */
#define HEADER_MAX 1024
#define SIGNATURE_LEN 43

static const char encoded_header[] = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

bool
dibs_jwt_sign_hs256(const char *claims, size_t claims_len, const void *secret, size_t secret_len, char *out)
{
	unsigned char mac[DIBS_SHA256_LEN];
	char *p = out;
	DibsBytes signed_part;

	if (secret_len == 0 || claims_len > DIBS_JWT_MAX_LEN || DIBS_JWT_HS256_LEN(claims_len) > DIBS_JWT_MAX_LEN)
		return false;
	memcpy(p, encoded_header, sizeof(encoded_header) - 1);
	p += sizeof(encoded_header) - 1;
	*p++ = '.';
	p += dibs_base64url_encode(claims, claims_len, p);
	signed_part.data = out;
	signed_part.len = (size_t) (p - out);
	if (!dibs_hmac_sha256(secret, secret_len, &signed_part, 1, mac))
		return false;
	*p++ = '.';
	dibs_base64url_encode(mac, DIBS_SHA256_LEN, p);
	return true;
}

typedef struct Header
{
	int n_alg;
	bool hs256;
	bool critical;
} Header;

static bool
visit_header(const DibsJsonMember *member, void *arg)
{
	Header *header = arg;

	if (dibs_json_key_is(member, "alg"))
	{
		header->n_alg++;
		header->hs256 = dibs_json_string_is(member, "HS256");
	}
	else if (dibs_json_key_is(member, "crit"))
		header->critical = true;
	return true;
}

static bool
header_is_ours(const char *encoded, size_t len)
{
	unsigned char text[DIBS_BASE64_ROOM(HEADER_MAX)];
	size_t text_len;
	Header header = {0, false, false};

	if (len == sizeof(encoded_header) - 1 && memcmp(encoded, encoded_header, len) == 0)
		return true;
	return len <= HEADER_MAX && dibs_base64url_decode(encoded, len, text, &text_len) &&
		   dibs_json_walk((const char *) text, text_len, visit_header, &header) && header.n_alg == 1 && header.hs256 &&
		   !header.critical;
}

typedef struct Times
{
	double now;
	bool seen_exp;
	bool seen_nbf;
	bool seen_iat;
} Times;

/* A claim that stands there twice would be one value to us and another one to whoever reads the claims. */
static bool
visit_claims(const DibsJsonMember *member, void *arg)
{
	Times *times = arg;
	double value;
	bool *seen;

	if (dibs_json_key_is(member, "exp"))
		seen = &times->seen_exp;
	else if (dibs_json_key_is(member, "nbf"))
		seen = &times->seen_nbf;
	else if (dibs_json_key_is(member, "iat"))
		seen = &times->seen_iat;
	else
		return true;
	if (*seen || !dibs_json_number(member, &value))
		return false;
	*seen = true;
	if (seen == &times->seen_exp)
		return times->now < value + DIBS_JWT_LEEWAY;
	return times->now + DIBS_JWT_LEEWAY >= value;
}

bool
dibs_jwt_verify_hs256(const char *token, size_t len, const void *secret, size_t secret_len, double now_s, char *claims,
					  size_t *claims_len)
{
	Times times = {now_s, false, false, false};
	const char *first;
	const char *second;
	DibsBytes signed_part;
	unsigned char given[DIBS_BASE64_ROOM(SIGNATURE_LEN)];
	unsigned char mac[DIBS_SHA256_LEN];
	size_t given_len;

	if (len > DIBS_JWT_MAX_LEN || secret_len == 0)
		return false;
	first = memchr(token, '.', len);
	if (first == NULL)
		return false;
	second = memchr(first + 1, '.', len - (size_t) (first + 1 - token));
	if (second == NULL || token + len - (second + 1) != SIGNATURE_LEN)
		return false;
	if (!header_is_ours(token, (size_t) (first - token)) ||
		!dibs_base64url_decode(second + 1, SIGNATURE_LEN, given, &given_len))
		return false;
	signed_part.data = token;
	signed_part.len = (size_t) (second - token);
	if (!dibs_hmac_sha256(secret, secret_len, &signed_part, 1, mac) || !dibs_equal(mac, given, DIBS_SHA256_LEN))
		return false;
	return dibs_base64url_decode(first + 1, (size_t) (second - first - 1), (unsigned char *) claims, claims_len) &&
		   dibs_json_walk(claims, *claims_len, visit_claims, &times);
}
