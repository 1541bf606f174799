/*
 * fuzz_encoding.c
 *		Whatever is decoded is encoded to the same text (but for hex case and base64 padding), in the room promised.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/encoding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
hex(const char *text, size_t len)
{
	unsigned char *out = malloc(len / 2 + 1);
	char *again = malloc(len + 1);

	if (dibs_hex_decode(text, len, out, len / 2))
	{
		dibs_hex_encode(out, len / 2, again);
		for (size_t i = 0; i < len; i++)
		{
			if (again[i] != (text[i] >= 'A' && text[i] <= 'F' ? text[i] + 32 : text[i]))
				abort();
		}
	}
	free(out);
	free(again);
}

static void
base64(const char *text, size_t len, int url)
{
	unsigned char *out = malloc(DIBS_BASE64_ROOM(len));
	char *again;
	size_t out_len;
	size_t n;

	if (url ? dibs_base64url_decode(text, len, out, &out_len) : dibs_base64_decode(text, len, out, &out_len))
	{
		again = malloc(DIBS_BASE64_LEN(out_len) + 1);
		n = url ? dibs_base64url_encode(out, out_len, again) : dibs_base64_encode(out, out_len, again);
		if ((url ? n != len || n != DIBS_BASE64URL_LEN(out_len) : n < len) || memcmp(again, text, len) != 0)
			abort();
		free(again);
	}
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hex((const char *) data, size);
	base64((const char *) data, size, 0);
	base64((const char *) data, size, 1);
	return 0;
}
