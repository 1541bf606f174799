/*
 * fuzz_jwt.c
 *		Tokens twice: the bytes as a token, and the bytes as header and claims (cut at the first zero byte) of a token
 *that is signed rightly, so that the readers behind the signature are reached.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/jsonscan.h"
#include "crypto/hmac.h"
#include "crypto/jwt.h"

#define NOW 1767225700.0

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
verify(const char *token, size_t len)
{
	char *claims = malloc(len + 1);
	size_t claims_len;

	if (dibs_jwt_verify_hs256(token, len, "secret", 6, NOW, claims, &claims_len) &&
		(claims_len > len || memchr(claims, 0, claims_len) != NULL))
		abort();
	free(claims);
}

static void
forge(const char *header, size_t header_len, const char *claims, size_t claims_len)
{
	char *token = malloc(DIBS_BASE64URL_LEN(header_len) + DIBS_BASE64URL_LEN(claims_len) + 45);
	char *p = token;
	DibsBytes part;
	unsigned char mac[DIBS_SHA256_LEN];

	p += dibs_base64url_encode(header, header_len, p);
	*p++ = '.';
	p += dibs_base64url_encode(claims, claims_len, p);
	part.data = token;
	part.len = (size_t) (p - token);
	dibs_hmac_sha256("secret", 6, &part, 1, mac);
	*p++ = '.';
	p += dibs_base64url_encode(mac, sizeof(mac), p);
	verify(token, (size_t) (p - token));
	free(token);
}

/* Strings with their escapes resolved are no longer, and hold no zero. */
static bool
copy_string(const DibsJsonMember *member, void *arg)
{
	char *copy = malloc(member->value.len + 1);
	size_t len = 0;

	(void) arg;
	if (dibs_json_string(member, copy, &len) != (*(const char *) member->value.data == '"') ||
		len > member->value.len || memchr(copy, 0, len) != NULL)
		abort();
	free(copy);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	const char *cut = size == 0 ? NULL : memchr(text, 0, size);

	verify(text, size);
	dibs_json_walk(text, size, copy_string, NULL);
	if (cut == NULL)
		forge(DIBS_JWT_HEADER, strlen(DIBS_JWT_HEADER), text, size);
	else
		forge(text, (size_t) (cut - text), cut + 1, size - (size_t) (cut + 1 - text));
	return 0;
}
