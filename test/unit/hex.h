/*
 * hex.h
 *		Published vectors stand in the tests as hex; this reads them without the code under test.
 */
#ifndef DIBS_TEST_HEX_H
#define DIBS_TEST_HEX_H

#include <stdio.h>
#include <stdlib.h>

/* The bytes of a constant; *len is how many. */
static inline unsigned char *
from_hex(const char *hex, unsigned char *out, size_t *len)
{
	*len = 0;
	for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2)
	{
		const char digits[3] = {hex[0], hex[1], '\0'};

		out[(*len)++] = (unsigned char) strtoul(digits, NULL, 16);
	}
	return out;
}

#endif
