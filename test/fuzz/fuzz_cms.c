/*
 * fuzz_cms.c
 *		What is pasted as a sealed value: the armour's readers and OpenSSL's behind them. Without a pair, so that
 *nothing is decrypted.
 */
#include <stdint.h>
#include <stdlib.h>

#include "crypto/cms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *value = malloc(size + 1);
	size_t len;

	if (dibs_cms_decrypt("", 0, (const char *) data, size, value, size, &len) == DIBS_CMS_OK || len != 0)
		abort();
	free(value);
	return 0;
}
