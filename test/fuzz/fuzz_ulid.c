/*
 * fuzz_ulid.c
 *		Whatever is read as a ULID is written as the same value, and bytewise order is the values' order.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/ulid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DibsUlid ulid;
	DibsUlid back;
	DibsUlid next;
	char text[DIBS_ULID_LEN];
	char next_text[DIBS_ULID_LEN];
	unsigned char bytes[16];

	if (!dibs_ulid_parse((const char *) data, size, &ulid))
		return 0;
	dibs_ulid_format(&ulid, text);
	if (!dibs_ulid_parse(text, DIBS_ULID_LEN, &back) || back.hi != ulid.hi || back.lo != ulid.lo)
		abort();
	dibs_ulid_to_bytes(&ulid, bytes);
	dibs_ulid_from_bytes(bytes, &back);
	if (back.hi != ulid.hi || back.lo != ulid.lo)
		abort();
	next = ulid;
	if ((ulid.hi != 0 || ulid.lo != 0) && dibs_ulid_ms(&ulid) < DIBS_ULID_MAX_MS && dibs_ulid_next(&next, 0))
	{
		dibs_ulid_format(&next, next_text);
		if (memcmp(text, next_text, DIBS_ULID_LEN) >= 0)
			abort();
	}
	return 0;
}
