/*
 * fuzz_token.c
 *		Any bytes as a participant's token: what is read writes the same text again, once it is signed; and only what is
 *		signed with the key is good.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "join/token.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char key[] = "0123456789abcdef0123456789abcdef";
	unsigned char bytes[DIBS_TOKEN_BYTES];
	char again[DIBS_TOKEN_LEN + 1];
	DibsToken token;
	bool same;

	if (!dibs_token_parse((const char *) data, size, &token, bytes))
		return 0;
	if (size != DIBS_TOKEN_LEN || !dibs_token_write(&token, key, sizeof(key) - 1, again))
		abort();
	/* all but the signature, and the last byte before it, which shares its characters with it */
	if (memcmp(again, data, DIBS_TOKEN_SIGNED_BYTES / 3 * 4) != 0)
		abort();
	same = memcmp(again, data, size) == 0;
	if (same != dibs_token_is_signed(bytes, key, sizeof(key) - 1))
		abort();
	return 0;
}
