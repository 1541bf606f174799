/*
 * version.c
 *		Which OpenSSL is in use.
 */
#include <openssl/crypto.h>

#include "crypto/version.h"

const char *
dibs_crypto_version(void)
{
	return OpenSSL_version(OPENSSL_VERSION);
}
