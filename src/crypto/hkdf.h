/*
 * hkdf.h
 *		Keys from a key: HKDF with SHA-256 (RFC 5869), extract and expand.
 */
#ifndef DIBS_CRYPTO_HKDF_H
#define DIBS_CRYPTO_HKDF_H

#include <stdbool.h>
#include <stddef.h>

/* salt and info may be NULL with a length of zero. False on failure, and for more than 255 * 32 bytes. */
extern bool dibs_hkdf_sha256(const void *key, size_t key_len, const void *salt, size_t salt_len, const void *info,
							 size_t info_len, unsigned char *out, size_t out_len);

#endif
