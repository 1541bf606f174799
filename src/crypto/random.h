/*
 * random.h
 *		Random bytes for keys, nonces and tokens.
 */
#ifndef DIBS_CRYPTO_RANDOM_H
#define DIBS_CRYPTO_RANDOM_H

#include <stdbool.h>
#include <stddef.h>

/* Fills the buffer from OpenSSL's generator, which reseeds itself in a forked child; false on failure. */
extern bool dibs_random_bytes(void *out, size_t len);

#endif
