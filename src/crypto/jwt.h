/*
 * jwt.h
 *		JSON Web Tokens (RFC 7519) in the compact form: HS256 both ways, RS256 signing.
 */
#ifndef DIBS_CRYPTO_JWT_H
#define DIBS_CRYPTO_JWT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/encoding.h"

/* Longer than any token that fits a request's headers. */
#define DIBS_JWT_MAX_LEN 16384
/* How far the clocks of issuer and verifier may be apart, in seconds. */
#define DIBS_JWT_LEEWAY 30
#define DIBS_JWT_HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
/* header, dot, claims, dot, 32 bytes of signature */
#define DIBS_JWT_HS256_LEN(claims_len) (36 + 1 + DIBS_BASE64URL_LEN(claims_len) + 1 + 43)
/* An RSA key of 16,384 bits is the largest that OpenSSL signs with. */
#define DIBS_JWT_RS256_ROOM(header_len, claims_len)                                                                    \
	(DIBS_BASE64URL_LEN(header_len) + 1 + DIBS_BASE64URL_LEN(claims_len) + 1 + DIBS_BASE64URL_LEN(2048))

/*
 * Signs the text of a JSON object as it stands. Writes DIBS_JWT_HS256_LEN(claims_len) characters, no terminating zero.
 * False for an empty secret and for a token beyond DIBS_JWT_MAX_LEN.
 */
extern bool dibs_jwt_sign_hs256(const char *claims, size_t claims_len, const void *secret, size_t secret_len,
								char *out);

/*
 * True for a token of ours: three parts of canonical base64url, a header that says HS256 once and asks for nothing
 * more ("crit"), the right signature, claims that are a JSON object, and exp, nbf and iat, where they stand, at most
 * once, as numbers, and in keeping with now_s, give or take DIBS_JWT_LEEWAY. claims has room for len bytes and gets
 * the claims' text. Whatever is wrong, the answer is the same.
 */
extern bool dibs_jwt_verify_hs256(const char *token, size_t len, const void *secret, size_t secret_len, double now_s,
								  char *claims, size_t *claims_len);

/*
 * Signs with an RSA private key in PEM (PKCS#8 or PKCS#1; line ends may be the two characters \n, as in Google's key
 * files). header is a JSON object that says RS256. The parsed key is kept for later calls. out has
 * DIBS_JWT_RS256_ROOM bytes. False for a key that is none, is encrypted, is not RSA or has fewer than 2,048 bits.
 */
extern bool dibs_jwt_sign_rs256(const char *header, size_t header_len, const char *claims, size_t claims_len,
								const char *pem, size_t pem_len, char *out, size_t *len);

/* Frees the keys that dibs_jwt_sign_rs256 kept. */
extern void dibs_jwt_forget_keys(void);

#endif
