/*
 * others.c
 *		Zoom, Calendly, Daily, JaaS: what is known of their envelopes.
 */
#include "compat.h"

#include "core/encoding.h"
#include "core/jsonbuild.h"
#include "core/jsonread.h"
#include "crypto/hmac.h"
#include "webhook/others.h"

/*
 * Zoom's endpoint.url_validation, at set-up and every 72 hours: it wants the HMAC of its own token back
 * (developers.zoom.us, "Using webhooks").
 */
static Jsonb *
zoom_challenge(const Jsonb *payload, DibsBytes secret)
{
	char *event = dibs_json_text(&payload->root, "event");
	char *token = dibs_json_text(dibs_json_object(&payload->root, "payload"), "plainToken");
	unsigned char mac[DIBS_SHA256_LEN];
	char hex[2 * DIBS_SHA256_LEN + 1];
	DibsBytes message;
	DibsJson json = {0};

	if (event == NULL || strcmp(event, "endpoint.url_validation") != 0 || token == NULL)
		return NULL;
	message = (DibsBytes){token, strlen(token)};
	if (!dibs_hmac_sha256(secret.data, secret.len, &message, 1, mac))
		return NULL;
	dibs_hex_encode(mac, sizeof(mac), hex);
	hex[2 * DIBS_SHA256_LEN] = '\0';
	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "plainToken", token);
	dibs_json_text_member(&json, "encryptedToken", hex);
	dibs_json_end_object(&json);
	return dibs_json_finish(&json);
}

static const DibsOtherSource sources[] = {
	{"zoom", "event", zoom_challenge},
	{"calendly", "event", NULL},
	/* at a webhook's creation; without a quick 200 it is not made (docs.daily.co, "Create webhook") */
	{"daily", "type", NULL, "{\"test\":\"test\"}"},
	{"jaas", "eventType", NULL, NULL},
};

const DibsOtherSource *
dibs_other_source(const char *name)
{
	for (size_t i = 0; i < lengthof(sources); i++)
	{
		if (strcmp(sources[i].name, name) == 0)
			return &sources[i];
	}
	return NULL;
}
