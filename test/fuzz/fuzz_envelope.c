/*
 * fuzz_envelope.c
 *		Any bytes as a sealed value: the parts lie within it, and what is read writes the same header again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/envelope.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DibsEnvelope e;
	uint8_t header[DIBS_ENVELOPE_BOUND_LEN];

	if (dibs_envelope_parse(data, size, &e) != DIBS_ENVELOPE_OK)
		return 0;
	if (e.nonce != data + DIBS_ENVELOPE_BOUND_LEN || e.text != e.nonce + DIBS_ENVELOPE_NONCE_LEN ||
		e.tag != e.text + e.text_len || e.tag + DIBS_ENVELOPE_TAG_LEN != data + size)
		abort();
	dibs_envelope_begin(header, e.version, e.purpose);
	if (memcmp(header, data, sizeof(header)) != 0)
		abort();
	return 0;
}
