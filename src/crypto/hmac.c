/*
 * hmac.c
 *		SHA-256 by OpenSSL, and HMAC (RFC 2104) over it.
 *
 * The digest is fetched and its context made once a process. OpenSSL's own HMAC takes twice as long for a webhook's
 * body: it sets its key up each time. Here the hash's state after either pad of the last key is kept, because whoever
 * verifies one body after another does so with one secret.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "crypto/hmac.h"

#define BLOCK_LEN 64
#define INNER_PAD 0x36
#define OUTER_PAD 0x5c

static EVP_MD_CTX *sha256 = NULL;

/* The last key (hashed, if it was longer than a block), and what follows from it. Without a key len is NO_KEY. */
#define NO_KEY SIZE_MAX
static struct
{
	unsigned char key[BLOCK_LEN];
	size_t len;
	EVP_MD_CTX *inner;
	EVP_MD_CTX *outer;
} last = {.len = NO_KEY};

/* Begins a hash in the one context; where it has lost its digest (a copy failed), in a new one. */
static bool
begin(void)
{
	EVP_MD *md;

	if (sha256 != NULL && EVP_DigestInit_ex2(sha256, NULL, NULL) == 1)
		return true;
	EVP_MD_CTX_free(sha256);
	md = EVP_MD_fetch(NULL, "SHA256", NULL);
	sha256 = md == NULL ? NULL : EVP_MD_CTX_new();
	if (sha256 != NULL && EVP_DigestInit_ex2(sha256, md, NULL) != 1)
	{
		EVP_MD_CTX_free(sha256);
		sha256 = NULL;
	}
	EVP_MD_free(md);
	return sha256 != NULL;
}

static bool
add(const void *data, size_t len)
{
	return len == 0 || EVP_DigestUpdate(sha256, data, len) == 1;
}

static bool
finish(unsigned char out[DIBS_SHA256_LEN])
{
	return EVP_DigestFinal_ex(sha256, out, NULL) == 1;
}

bool
dibs_sha256(const void *data, size_t len, unsigned char out[DIBS_SHA256_LEN])
{
	if (begin() && add(data, len) && finish(out))
		return true;
	ERR_clear_error();
	return false;
}

void
dibs_hmac_forget(void)
{
	if (last.len == NO_KEY)
		return;
	last.len = NO_KEY;
	OPENSSL_cleanse(last.key, BLOCK_LEN);
	EVP_MD_CTX_reset(last.inner);
	EVP_MD_CTX_reset(last.outer);
	(void) begin();
}

/* Hashes the key, padded with a repeated byte, and keeps the state. */
static bool
absorb(const unsigned char block[BLOCK_LEN], unsigned char with, EVP_MD_CTX **state)
{
	unsigned char padded[BLOCK_LEN];
	bool ok;

	for (int i = 0; i < BLOCK_LEN; i++)
		padded[i] = block[i] ^ with;
	if (*state == NULL)
		*state = EVP_MD_CTX_new();
	ok = *state != NULL && begin() && add(padded, BLOCK_LEN) && EVP_MD_CTX_copy_ex(*state, sha256) == 1;
	OPENSSL_cleanse(padded, BLOCK_LEN);
	return ok;
}

/* Makes the key the last one, unless it is. */
static bool
use_key(const void *key, size_t key_len)
{
	static bool at_exit = false;
	unsigned char hashed[DIBS_SHA256_LEN];
	bool ok = true;

	if (key_len > BLOCK_LEN)
	{
		ok = dibs_sha256(key, key_len, hashed);
		key = hashed;
		key_len = DIBS_SHA256_LEN;
	}
	if (ok && !(key_len == last.len && CRYPTO_memcmp(key, last.key, key_len) == 0))
	{
		dibs_hmac_forget();
		memset(last.key, 0, BLOCK_LEN);
		if (key_len > 0)
			memcpy(last.key, key, key_len);
		last.len = key_len;
		ok = absorb(last.key, INNER_PAD, &last.inner) && absorb(last.key, OUTER_PAD, &last.outer);
		/* After OpenSSL's own, which the first hash registers, so that it runs before that. */
		if (ok && !at_exit)
			at_exit = atexit(dibs_hmac_forget) == 0;
		if (!ok)
			dibs_hmac_forget();
	}
	if (key == hashed)
		OPENSSL_cleanse(hashed, sizeof(hashed));
	return ok;
}

bool
dibs_hmac_sha256(const void *key, size_t key_len, const DibsBytes *parts, int n_parts,
				 unsigned char out[DIBS_SHA256_LEN])
{
	bool ok = use_key(key, key_len) && (sha256 != NULL || begin()) && EVP_MD_CTX_copy_ex(sha256, last.inner) == 1;

	for (int i = 0; ok && i < n_parts; i++)
		ok = add(parts[i].data, parts[i].len);
	ok = ok && finish(out) && EVP_MD_CTX_copy_ex(sha256, last.outer) == 1 && add(out, DIBS_SHA256_LEN) && finish(out);
	if (!ok)
		ERR_clear_error();
	return ok;
}
