/*
 * memory.c
 *		OpenSSL's ways of forgetting and of comparing.
 */
#include <openssl/crypto.h>

#include "crypto/memory.h"

void
dibs_cleanse(void *p, size_t len)
{
	if (p != NULL && len > 0)
		OPENSSL_cleanse(p, len);
}

bool
dibs_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}
