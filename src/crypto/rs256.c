/*
 * rs256.c
 *		RS256 tokens for service accounts. Parsing a key costs as much as signing with it: the last few are kept, found
 *		again by a hash of their text.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "crypto/hmac.h"
#include "crypto/jwt.h"
#include "crypto/memory.h"

/* An installation has one or two: Google's, JaaS's. */
#define KEPT_KEYS 4
#define MIN_BITS 2048
#define MAX_SIGNATURE 2048

typedef struct KeptKey
{
	unsigned char id[DIBS_SHA256_LEN];
	EVP_PKEY *key;
} KeptKey;

static KeptKey kept[KEPT_KEYS];
static int next_kept = 0;

void
dibs_jwt_forget_keys(void)
{
	for (int i = 0; i < KEPT_KEYS; i++)
		EVP_PKEY_free(kept[i].key);
	OPENSSL_cleanse(kept, sizeof(kept));
	next_kept = 0;
}

/* OpenSSL asks on the terminal where it finds an encrypted key and no callback. */
static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void) buf;
	(void) size;
	(void) rwflag;
	(void) arg;
	return -1;
}

static EVP_PKEY *
parse_key(const char *pem, size_t len)
{
	char *text = len > INT_MAX ? NULL : OPENSSL_malloc(len + 1);
	size_t n = 0;
	BIO *bio;
	EVP_PKEY *key;

	if (text == NULL)
		return NULL;
	for (size_t i = 0; i < len; i++)
	{
		if (pem[i] == '\\' && i + 1 < len && pem[i + 1] == 'n')
		{
			text[n++] = '\n';
			i++;
		}
		else
			text[n++] = pem[i];
	}
	bio = BIO_new_mem_buf(text, (int) n);
	key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	OPENSSL_clear_free(text, len + 1);
	if (key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= MIN_BITS &&
		EVP_PKEY_get_size(key) <= MAX_SIGNATURE)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

static EVP_PKEY *
find_key(const char *pem, size_t len)
{
	static bool at_exit = false;
	unsigned char id[DIBS_SHA256_LEN];
	EVP_PKEY *key;

	if (!dibs_sha256(pem, len, id))
		return NULL;
	for (int i = 0; i < KEPT_KEYS; i++)
	{
		if (kept[i].key != NULL && memcmp(kept[i].id, id, sizeof(id)) == 0)
			return kept[i].key;
	}
	key = parse_key(pem, len);
	if (key == NULL)
		return NULL;
	if (!at_exit)
		at_exit = atexit(dibs_jwt_forget_keys) == 0;
	EVP_PKEY_free(kept[next_kept].key);
	memcpy(kept[next_kept].id, id, sizeof(id));
	kept[next_kept].key = key;
	next_kept = (next_kept + 1) % KEPT_KEYS;
	return key;
}

static bool
sign(EVP_PKEY *key, const void *data, size_t len, unsigned char *signature, size_t *signature_len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok;

	*signature_len = MAX_SIGNATURE;
	ok = ctx != NULL && EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
		 EVP_DigestSign(ctx, signature, signature_len, data, len) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

bool
dibs_jwt_sign_rs256(const char *header, size_t header_len, const char *claims, size_t claims_len, const char *pem,
					size_t pem_len, char *out, size_t *len)
{
	unsigned char signature[MAX_SIGNATURE];
	size_t signature_len;
	EVP_PKEY *key = find_key(pem, pem_len);
	char *p = out;

	if (key != NULL)
	{
		p += dibs_base64url_encode(header, header_len, p);
		*p++ = '.';
		p += dibs_base64url_encode(claims, claims_len, p);
		if (sign(key, out, (size_t) (p - out), signature, &signature_len))
		{
			*p++ = '.';
			p += dibs_base64url_encode(signature, signature_len, p);
			*len = (size_t) (p - out);
			return true;
		}
	}
	ERR_clear_error();
	return false;
}
