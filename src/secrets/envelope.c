/*
 * envelope.c
 *		Reads and writes the header of a sealed value.
 */
#include "secrets/envelope.h"
#include "secrets/keyfile.h"

DibsEnvelopeResult
dibs_envelope_parse(const uint8_t *sealed, size_t len, DibsEnvelope *out)
{
	if (len < DIBS_ENVELOPE_OVERHEAD)
		return DIBS_ENVELOPE_TOO_SHORT;
	if (sealed[0] != DIBS_ENVELOPE_FORMAT)
		return DIBS_ENVELOPE_BAD_FORMAT;
	out->version = (uint32_t) sealed[1] << 24 | (uint32_t) sealed[2] << 16 | (uint32_t) sealed[3] << 8 | sealed[4];
	if (out->version == 0 || out->version > DIBS_KEY_VERSION_MAX)
		return DIBS_ENVELOPE_BAD_VERSION;
	out->purpose = sealed[5];
	out->nonce = sealed + DIBS_ENVELOPE_BOUND_LEN;
	out->text = sealed + DIBS_ENVELOPE_HEADER_LEN;
	out->text_len = len - DIBS_ENVELOPE_OVERHEAD;
	out->tag = sealed + len - DIBS_ENVELOPE_TAG_LEN;
	return DIBS_ENVELOPE_OK;
}

void
dibs_envelope_begin(uint8_t *out, uint32_t version, uint8_t purpose)
{
	out[0] = DIBS_ENVELOPE_FORMAT;
	out[1] = (uint8_t) (version >> 24);
	out[2] = (uint8_t) (version >> 16);
	out[3] = (uint8_t) (version >> 8);
	out[4] = (uint8_t) version;
	out[5] = purpose;
}
