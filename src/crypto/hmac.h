/*
 * hmac.h
 *		SHA-256 and HMAC-SHA256 (RFC 2104).
 */
#ifndef DIBS_CRYPTO_HMAC_H
#define DIBS_CRYPTO_HMAC_H

#include <stdbool.h>
#include <stddef.h>

#include "core/bytes.h"

#define DIBS_SHA256_LEN 32

/*
 * Of the parts one after the other, so that nobody has to copy a body to put a timestamp before it. What was made of
 * the key is kept until another key comes, dibs_hmac_forget or the process's end. False on failure.
 */
extern bool dibs_hmac_sha256(const void *key, size_t key_len, const DibsBytes *parts, int n_parts,
							 unsigned char out[DIBS_SHA256_LEN]);

/* Overwrites what is kept of the last key: to be called where the key itself is overwritten. */
extern void dibs_hmac_forget(void);

extern bool dibs_sha256(const void *data, size_t len, unsigned char out[DIBS_SHA256_LEN]);

#endif
