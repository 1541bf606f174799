/*
 * aead.h
 *		AES-256-GCM. A cipher holds one key's schedule, so that a message costs no key set-up.
 */
#ifndef DIBS_CRYPTO_AEAD_H
#define DIBS_CRYPTO_AEAD_H

#include <stdbool.h>
#include <stddef.h>

#define DIBS_AEAD_KEY_LEN 32
#define DIBS_AEAD_NONCE_LEN 12
#define DIBS_AEAD_TAG_LEN 16

typedef struct DibsAead DibsAead;

/* NULL on failure. The caller may cleanse the key at once. */
extern DibsAead *dibs_aead_new(const unsigned char key[DIBS_AEAD_KEY_LEN]);

/* Cleanses the key schedule. NULL is nothing to do. */
extern void dibs_aead_free(DibsAead *cipher);

/* out gets len bytes of ciphertext and the tag. A nonce is never used twice with one key. False on failure. */
extern bool dibs_aead_seal(DibsAead *cipher, const unsigned char nonce[DIBS_AEAD_NONCE_LEN], const void *aad,
						   size_t aad_len, const void *plain, size_t len, unsigned char *out);

/* out gets len bytes, all zero where the tag does not fit. text and out may be the same. */
extern bool dibs_aead_open(DibsAead *cipher, const unsigned char nonce[DIBS_AEAD_NONCE_LEN], const void *aad,
						   size_t aad_len, const void *text, size_t len, const unsigned char tag[DIBS_AEAD_TAG_LEN],
						   unsigned char *out);

#endif
