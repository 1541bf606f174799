/*
 * random.c
 *		OpenSSL's generator.
 */
#include <limits.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include "crypto/random.h"

bool
dibs_random_bytes(void *out, size_t len)
{
	if (len <= INT_MAX && RAND_bytes(out, (int) len) == 1)
		return true;
	ERR_clear_error();
	return false;
}
