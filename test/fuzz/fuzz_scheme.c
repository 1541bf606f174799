/*
 * fuzz_scheme.c
 *		A delivery made of the input's lines: signature, time, id, secret, body. Checked by every scheme, and then by
 *the pairs and lists with a signature that is right, among whatever else the header holds.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/encoding.h"
#include "crypto/hmac.h"
#include "webhook/scheme.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const sources[] = {"cal", "zoom", "calendly", "daily", "standard", "stripe", "jaas"};

static DibsBytes
next_line(const uint8_t **data, size_t *size)
{
	const uint8_t *end = *size == 0 ? NULL : memchr(*data, '\n', *size);
	DibsBytes line = {*data, end == NULL ? *size : (size_t) (end - *data)};

	*data += line.len + (end != NULL);
	*size -= line.len + (end != NULL);
	return line;
}

/* What stands in the header before a right pair must not keep it from being found, unless it names the time, too. */
static void
right_pair(DibsBytes before, DibsBytes body)
{
	char *header;
	DibsBytes parts[2] = {{"1767225600.", 11}, body};
	unsigned char mac[DIBS_SHA256_LEN];
	char hex[2 * DIBS_SHA256_LEN];
	DibsDelivery delivery = {{NULL, 0}, {NULL, 0}, {NULL, 0}, body};
	DibsSignature answer;
	int n;

	if (before.len > 3000 || memchr(before.data, 't', before.len) != NULL)
		return;
	dibs_hmac_sha256("secret", 6, parts, 2, mac);
	dibs_hex_encode(mac, sizeof(mac), hex);
	header = malloc(before.len + 100);
	memcpy(header, before.data, before.len);
	n = snprintf(header + before.len, 100, ",t=1767225600,v1=%.64s", hex);
	delivery.signature.data = header;
	delivery.signature.len = before.len + (size_t) n;
	answer = dibs_scheme_verify(dibs_scheme_find("stripe"), &delivery, (DibsBytes){"secret", 6}, 0,
								INT64_C(1767225600000000));
	if (answer != DIBS_SIGNATURE_GENUINE)
		abort();
	free(header);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t nothing[1];
	DibsDelivery delivery;
	DibsBytes secret;

	if (data == NULL)
		data = nothing;
	delivery.signature = next_line(&data, &size);
	delivery.sent_at = next_line(&data, &size);
	delivery.id = next_line(&data, &size);
	secret = next_line(&data, &size);
	delivery.body.data = data;
	delivery.body.len = size;
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
	{
		const DibsScheme *scheme = dibs_scheme_find(sources[i]);

		if (dibs_scheme_verify(scheme, &delivery, secret, scheme->tolerance_us, INT64_C(1767225600000000)) !=
				DIBS_SIGNATURE_FORGED &&
			secret.len == 0)
			abort();
	}
	right_pair(delivery.signature, delivery.body);
	return 0;
}
