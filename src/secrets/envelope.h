/*
 * envelope.h
 *		What stands around a sealed value: format, key version, purpose, nonce; then ciphertext and tag. Pure bytes.
 *
 *	byte 0       format, 0xD1
 *	bytes 1-4    version of the master key, big endian
 *	byte 5       purpose
 *	bytes 6-17   nonce
 *	then         ciphertext, as long as the plaintext
 *	last 16      GCM tag
 *
 * Bytes 0-5 and the context (table, row, column) are the associated data.
 */
#ifndef DIBS_SECRETS_ENVELOPE_H
#define DIBS_SECRETS_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

#define DIBS_ENVELOPE_FORMAT 0xD1
#define DIBS_ENVELOPE_NONCE_LEN 12
#define DIBS_ENVELOPE_TAG_LEN 16
/* the part of the header that is associated data */
#define DIBS_ENVELOPE_BOUND_LEN 6
#define DIBS_ENVELOPE_HEADER_LEN (DIBS_ENVELOPE_BOUND_LEN + DIBS_ENVELOPE_NONCE_LEN)
#define DIBS_ENVELOPE_OVERHEAD (DIBS_ENVELOPE_HEADER_LEN + DIBS_ENVELOPE_TAG_LEN)

typedef enum DibsEnvelopeResult
{
	DIBS_ENVELOPE_OK,
	DIBS_ENVELOPE_TOO_SHORT,
	DIBS_ENVELOPE_BAD_FORMAT,
	DIBS_ENVELOPE_BAD_VERSION
} DibsEnvelopeResult;

/* Pointers into the sealed bytes. */
typedef struct DibsEnvelope
{
	uint32_t version;
	uint8_t purpose;
	const uint8_t *nonce;
	const uint8_t *text;
	size_t text_len;
	const uint8_t *tag;
} DibsEnvelope;

extern DibsEnvelopeResult dibs_envelope_parse(const uint8_t *sealed, size_t len, DibsEnvelope *out);

/* Writes format, version and purpose: DIBS_ENVELOPE_BOUND_LEN bytes. The nonce comes after them. */
extern void dibs_envelope_begin(uint8_t *out, uint32_t version, uint8_t purpose);

#endif
