/*
 * fuzz_keyfile.c
 *		Any bytes as a key file: nothing is read beyond them, nothing written beyond the array, what is said holds.
 */
#include <stdint.h>
#include <stdlib.h>

#include "secrets/keyfile.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DibsMasterKey keys[4];
	int n;
	int line;
	DibsKeyfileResult result = dibs_keyfile_parse((const char *) data, size, keys, 4, &n, &line);

	if (n < 0 || n > 4 || line < 0)
		abort();
	if (result == DIBS_KEYFILE_OK && (n == 0 || line != 0))
		abort();
	if (result == DIBS_KEYFILE_EMPTY && n != 0)
		abort();
	for (int i = 0; i < n; i++)
	{
		if (keys[i].version == 0 || keys[i].version > DIBS_KEY_VERSION_MAX)
			abort();
		for (int j = 0; j < i; j++)
		{
			if (keys[i].version == keys[j].version)
				abort();
		}
	}
	return 0;
}
