/*
 * token.c
 *		Writes and reads participants' tokens.
 */
#include <string.h>

#include "core/encoding.h"
#include "crypto/hmac.h"
#include "crypto/memory.h"
#include "join/token.h"

#define ULID_BYTES 16

enum
{
	AT_FORMAT = 3,
	AT_KEY_VERSION = 4,
	AT_BOOKING = 8,
	AT_USER = 24,
	AT_SUBJECT = 40,
	AT_BOOKING_VERSION = 56,
	AT_SUBJECT_VERSION = 60
};

static const unsigned char magic[AT_FORMAT] = {0x76, 0x26, 0xec};

/* The upper half of the byte is the format's number, the lower half the role. */
#define FORMAT 0x10

static void
put_uint32(unsigned char *out, uint32_t value)
{
	out[0] = (unsigned char) (value >> 24);
	out[1] = (unsigned char) (value >> 16);
	out[2] = (unsigned char) (value >> 8);
	out[3] = (unsigned char) value;
}

static uint32_t
get_uint32(const unsigned char *in)
{
	return (uint32_t) in[0] << 24 | (uint32_t) in[1] << 16 | (uint32_t) in[2] << 8 | in[3];
}

/* Only what would be read back as the same characters: the row is looked up by them. */
static bool
put_ulid(unsigned char *out, const char *text)
{
	char again[DIBS_ULID_LEN];
	DibsUlid ulid;

	if (strlen(text) != DIBS_ULID_LEN || !dibs_ulid_parse(text, DIBS_ULID_LEN, &ulid))
		return false;
	dibs_ulid_format(&ulid, again);
	dibs_ulid_to_bytes(&ulid, out);
	return memcmp(again, text, DIBS_ULID_LEN) == 0;
}

static void
get_ulid(const unsigned char *in, char *out)
{
	DibsUlid ulid;

	dibs_ulid_from_bytes(in, &ulid);
	dibs_ulid_format(&ulid, out);
	out[DIBS_ULID_LEN] = '\0';
}

bool
dibs_token_parse(const char *text, size_t len, DibsToken *out, unsigned char bytes[DIBS_TOKEN_BYTES])
{
	unsigned char room[DIBS_BASE64_ROOM(DIBS_TOKEN_LEN)];
	size_t n;

	if (len != DIBS_TOKEN_LEN || !dibs_base64url_decode(text, len, room, &n) || n != DIBS_TOKEN_BYTES)
		return false;
	if (memcmp(room, magic, sizeof(magic)) != 0)
		return false;
	if (room[AT_FORMAT] != (FORMAT | DIBS_TOKEN_PARTICIPANT) && room[AT_FORMAT] != (FORMAT | DIBS_TOKEN_HOST))
		return false;
	memcpy(bytes, room, DIBS_TOKEN_BYTES);
	out->role = (DibsTokenRole) (room[AT_FORMAT] & 0x0f);
	out->key_version = get_uint32(room + AT_KEY_VERSION);
	get_ulid(room + AT_BOOKING, out->booking);
	get_ulid(room + AT_USER, out->user);
	get_ulid(room + AT_SUBJECT, out->subject);
	out->booking_version = get_uint32(room + AT_BOOKING_VERSION);
	out->subject_version = get_uint32(room + AT_SUBJECT_VERSION);
	return true;
}

static bool
sign(const unsigned char *bytes, const void *key, size_t key_len, unsigned char mac[DIBS_SHA256_LEN])
{
	DibsBytes part = {bytes, DIBS_TOKEN_SIGNED_BYTES};

	return dibs_hmac_sha256(key, key_len, &part, 1, mac);
}

bool
dibs_token_is_signed(const unsigned char bytes[DIBS_TOKEN_BYTES], const void *key, size_t key_len)
{
	unsigned char mac[DIBS_SHA256_LEN];

	return sign(bytes, key, key_len, mac) && dibs_equal(mac, bytes + DIBS_TOKEN_SIGNED_BYTES, DIBS_SHA256_LEN);
}

bool
dibs_token_write(const DibsToken *token, const void *key, size_t key_len, char out[DIBS_TOKEN_LEN + 1])
{
	unsigned char bytes[DIBS_TOKEN_BYTES];

	memcpy(bytes, magic, sizeof(magic));
	bytes[AT_FORMAT] = (unsigned char) (FORMAT | token->role);
	put_uint32(bytes + AT_KEY_VERSION, token->key_version);
	if (!put_ulid(bytes + AT_BOOKING, token->booking) || !put_ulid(bytes + AT_USER, token->user) ||
		!put_ulid(bytes + AT_SUBJECT, token->subject))
		return false;
	put_uint32(bytes + AT_BOOKING_VERSION, token->booking_version);
	put_uint32(bytes + AT_SUBJECT_VERSION, token->subject_version);
	if (!sign(bytes, key, key_len, bytes + DIBS_TOKEN_SIGNED_BYTES))
		return false;
	out[dibs_base64url_encode(bytes, DIBS_TOKEN_BYTES, out)] = '\0';
	return true;
}
