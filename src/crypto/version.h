/*
 * version.h
 *		Which OpenSSL is in use.
 */
#ifndef DIBS_CRYPTO_VERSION_H
#define DIBS_CRYPTO_VERSION_H

extern const char *dibs_crypto_version(void);

#endif
