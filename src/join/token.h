/*
 * token.h
 *		A participant's token: what it says, as bytes and as text, and its signature. No server, no rows.
 *
 *	bytes 0-2    0x76 0x26 0xec: as base64url "dibs", so that one knows a token when one sees it
 *	byte 3       format and role: 0x10 a participant's, 0x11 a host's
 *	bytes 4-7    version of the master key, big endian
 *	bytes 8-23   the booking's ulid
 *	bytes 24-39  its coach's ulid: with it the booking is one look-up in one place, also where rows are spread by coach
 *	bytes 40-55  the participant's ulid; a host's: the coach's again
 *	bytes 56-59  the booking's tokenVersion
 *	bytes 60-63  the participant's tokenVersion; a host's: 0
 *	bytes 64-95  HMAC-SHA256 of all that, under a key derived from the master key for this purpose
 *
 * 96 bytes are 128 characters without a bit to spare: each token has one text. There is no algorithm to choose, no time
 * in it (the row knows when the booking is) and nothing random: while nothing is revoked, it is the same token.
 */
#ifndef DIBS_JOIN_TOKEN_H
#define DIBS_JOIN_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/ulid.h"

#define DIBS_TOKEN_BYTES 96
#define DIBS_TOKEN_SIGNED_BYTES 64
#define DIBS_TOKEN_LEN 128

typedef enum DibsTokenRole
{
	DIBS_TOKEN_PARTICIPANT = 0,
	DIBS_TOKEN_HOST = 1
} DibsTokenRole;

typedef struct DibsToken
{
	uint32_t key_version;
	DibsTokenRole role;
	char booking[DIBS_ULID_LEN + 1];
	char user[DIBS_ULID_LEN + 1];
	char subject[DIBS_ULID_LEN + 1];
	uint32_t booking_version;
	uint32_t subject_version;
} DibsToken;

/* What a text says, whoever wrote it; bytes get what dibs_token_is_signed() needs. False for what is no token. */
extern bool dibs_token_parse(const char *text, size_t len, DibsToken *out, unsigned char bytes[DIBS_TOKEN_BYTES]);

/* Whether the bytes were signed with this key; in a time that does not tell how much of the signature is right. */
extern bool dibs_token_is_signed(const unsigned char bytes[DIBS_TOKEN_BYTES], const void *key, size_t key_len);

/* Writes the text, DIBS_TOKEN_LEN characters and a zero. False for an id that is no ULID in upper case. */
extern bool dibs_token_write(const DibsToken *token, const void *key, size_t key_len, char out[DIBS_TOKEN_LEN + 1]);

#endif
