/*
 * scheme.c
 *		The table of signature schemes and the verifier.
 *
 * Sources: Cal.com's sendPayload (hex of HMAC over the body, no time); Zoom's "Using webhooks" (v0:time:body);
 *Calendly's "Webhook signatures" (time.body); Daily's "Webhooks" (key in base64, time.body); Standard Webhooks 1.0.0
 * (id.time.body); Stripe's and 8x8 JaaS' "Verify signatures" (time.body, hex and base64).
 */
#include <stdbool.h>
#include <string.h>

#include "core/encoding.h"
#include "crypto/hmac.h"
#include "crypto/memory.h"
#include "webhook/scheme.h"

#define SECONDS(n) ((int64_t) (n) *1000000)
/* The longest header that is looked at, and the longest key in base64 (Standard Webhooks allows 64 bytes). */
#define HEADER_MAX 4096
#define SECRET_MAX 1024
/* 11 digits of seconds reach the year 5138; from 12 digits on they are milliseconds. */
#define SECONDS_DIGITS 11
#define TIME_DIGITS 14
#define MAX_PARTS 8

static const DibsScheme schemes[] = {
	{.source = "cal",
	 .signature_header = "x-cal-signature-256",
	 .form = DIBS_FORM_BARE,
	 .prefix = "",
	 .signed_text = "%b",
	 .encoding = DIBS_ENCODED_HEX,
	 .secret = DIBS_SECRET_TEXT,
	 .tolerance_us = DIBS_NO_TOLERANCE},
	{.source = "zoom",
	 .signature_header = "x-zm-signature",
	 .time_header = "x-zm-request-timestamp",
	 .form = DIBS_FORM_BARE,
	 .prefix = "v0=",
	 .signed_text = "v0:%t:%b",
	 .encoding = DIBS_ENCODED_HEX,
	 .secret = DIBS_SECRET_TEXT,
	 .tolerance_us = SECONDS(300)},
	{.source = "calendly",
	 .signature_header = "calendly-webhook-signature",
	 .form = DIBS_FORM_PAIRS,
	 .signed_text = "%t.%b",
	 .encoding = DIBS_ENCODED_HEX,
	 .secret = DIBS_SECRET_TEXT,
	 .tolerance_us = SECONDS(180)},
	{.source = "daily",
	 .signature_header = "x-webhook-signature",
	 .time_header = "x-webhook-timestamp",
	 .form = DIBS_FORM_BARE,
	 .prefix = "",
	 .signed_text = "%t.%b",
	 .encoding = DIBS_ENCODED_BASE64,
	 .secret = DIBS_SECRET_BASE64,
	 .tolerance_us = SECONDS(300)},
	{.source = "standard",
	 .signature_header = "webhook-signature",
	 .time_header = "webhook-timestamp",
	 .id_header = "webhook-id",
	 .form = DIBS_FORM_LIST,
	 .signed_text = "%i.%t.%b",
	 .encoding = DIBS_ENCODED_BASE64,
	 .secret = DIBS_SECRET_BASE64,
	 .tolerance_us = SECONDS(300)},
	{.source = "stripe",
	 .signature_header = "stripe-signature",
	 .form = DIBS_FORM_PAIRS,
	 .signed_text = "%t.%b",
	 .encoding = DIBS_ENCODED_HEX,
	 .secret = DIBS_SECRET_TEXT,
	 .tolerance_us = SECONDS(300)},
	{.source = "jaas",
	 .signature_header = "x-jaas-signature",
	 .form = DIBS_FORM_PAIRS,
	 .signed_text = "%t.%b",
	 .encoding = DIBS_ENCODED_BASE64,
	 .secret = DIBS_SECRET_TEXT,
	 .tolerance_us = SECONDS(300)},
};

const DibsScheme *
dibs_scheme_find(const char *source)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
	{
		if (strcmp(schemes[i].source, source) == 0)
			return &schemes[i];
	}
	return NULL;
}

/* A header's value cut into candidates, each held against the signature that was computed. */
typedef struct Cut
{
	const char *at;
	const char *end;
} Cut;

/* The next piece before a separator, without spaces around it; false at the end. */
static bool
next_piece(Cut *cut, char separator, DibsBytes *piece)
{
	const char *start = cut->at;
	const char *stop;

	if (start == NULL)
		return false;
	stop = memchr(start, separator, (size_t) (cut->end - start));
	cut->at = stop == NULL ? NULL : stop + 1;
	if (stop == NULL)
		stop = cut->end;
	while (start < stop && (*start == ' ' || *start == '\t'))
		start++;
	while (stop > start && (stop[-1] == ' ' || stop[-1] == '\t'))
		stop--;
	piece->data = start;
	piece->len = (size_t) (stop - start);
	return true;
}

/* Takes "v1=" or the like off the front. */
static bool
take_prefix(DibsBytes *piece, const char *prefix)
{
	size_t len = strlen(prefix);

	if (piece->len < len || memcmp(piece->data, prefix, len) != 0)
		return false;
	piece->data = (const char *) piece->data + len;
	piece->len -= len;
	return true;
}

/* Where the time stands among the pairs; false if it does not, or does twice. */
static bool
find_time(DibsBytes header, DibsBytes *sent_at)
{
	Cut cut = {header.data, (const char *) header.data + header.len};
	DibsBytes piece;

	sent_at->data = NULL;
	while (next_piece(&cut, ',', &piece))
	{
		if (!take_prefix(&piece, "t="))
			continue;
		if (sent_at->data != NULL)
			return false;
		*sent_at = piece;
	}
	return sent_at->data != NULL;
}

static bool
parse_time(DibsBytes sent_at, int64_t *us)
{
	const char *s = sent_at.data;
	int64_t value = 0;

	if (sent_at.data == NULL || sent_at.len == 0 || sent_at.len > TIME_DIGITS)
		return false;
	for (size_t i = 0; i < sent_at.len; i++)
	{
		if (s[i] < '0' || s[i] > '9')
			return false;
		value = value * 10 + (s[i] - '0');
	}
	*us = value * (sent_at.len > SECONDS_DIGITS ? 1000 : 1000000);
	return true;
}

static bool
compute(const DibsScheme *scheme, const DibsDelivery *delivery, DibsBytes sent_at, DibsBytes secret,
		unsigned char mac[DIBS_SHA256_LEN])
{
	unsigned char key[DIBS_BASE64_ROOM(SECRET_MAX)];
	DibsBytes parts[MAX_PARTS];
	int n = 0;
	bool ok;

	for (const char *p = scheme->signed_text; *p != '\0'; n++)
	{
		if (*p == '%')
		{
			parts[n] = p[1] == 't' ? sent_at : p[1] == 'i' ? delivery->id : delivery->body;
			p += 2;
		}
		else
		{
			parts[n].data = p;
			parts[n].len = strcspn(p, "%");
			p += parts[n].len;
		}
	}
	if (scheme->secret == DIBS_SECRET_BASE64)
	{
		take_prefix(&secret, "whsec_");
		if (secret.len > SECRET_MAX || !dibs_base64_decode(secret.data, secret.len, key, &secret.len))
		{
			dibs_cleanse(key, sizeof(key));
			return false;
		}
		secret.data = key;
	}
	ok = secret.len > 0 && dibs_hmac_sha256(secret.data, secret.len, parts, n, mac);
	if (secret.data == key)
		dibs_cleanse(key, sizeof(key));
	return ok;
}

static bool
matches(const DibsScheme *scheme, DibsBytes candidate, const unsigned char mac[DIBS_SHA256_LEN])
{
	unsigned char given[DIBS_BASE64_ROOM(DIBS_BASE64_LEN(DIBS_SHA256_LEN))];
	size_t given_len;

	if (scheme->encoding == DIBS_ENCODED_HEX)
		return dibs_hex_decode(candidate.data, candidate.len, given, DIBS_SHA256_LEN) &&
			   dibs_equal(given, mac, DIBS_SHA256_LEN);
	return candidate.len <= DIBS_BASE64_LEN(DIBS_SHA256_LEN) &&
		   dibs_base64_decode(candidate.data, candidate.len, given, &given_len) && given_len == DIBS_SHA256_LEN &&
		   dibs_equal(given, mac, DIBS_SHA256_LEN);
}

/* Every candidate is looked at, whether or not one before it matched. */
static bool
any_matches(const DibsScheme *scheme, DibsBytes header, const unsigned char mac[DIBS_SHA256_LEN])
{
	Cut cut = {header.data, (const char *) header.data + header.len};
	DibsBytes piece;
	bool found = false;

	if (scheme->form == DIBS_FORM_BARE)
		return take_prefix(&header, scheme->prefix) && matches(scheme, header, mac);
	while (next_piece(&cut, scheme->form == DIBS_FORM_PAIRS ? ',' : ' ', &piece))
	{
		if (take_prefix(&piece, scheme->form == DIBS_FORM_PAIRS ? "v1=" : "v1,"))
			found |= matches(scheme, piece, mac);
	}
	return found;
}

DibsSignature
dibs_scheme_verify(const DibsScheme *scheme, const DibsDelivery *delivery, DibsBytes secret, int64_t tolerance_us,
				   int64_t now_us)
{
	unsigned char mac[DIBS_SHA256_LEN];
	DibsBytes sent_at = delivery->sent_at;
	int64_t sent_us = now_us;
	bool ok;

	if (delivery->signature.data == NULL || delivery->signature.len > HEADER_MAX || delivery->body.data == NULL ||
		secret.data == NULL || secret.len == 0)
		return DIBS_SIGNATURE_FORGED;
	if (scheme->form == DIBS_FORM_PAIRS && !find_time(delivery->signature, &sent_at))
		return DIBS_SIGNATURE_FORGED;
	if ((scheme->form == DIBS_FORM_PAIRS || scheme->time_header != NULL) && !parse_time(sent_at, &sent_us))
		return DIBS_SIGNATURE_FORGED;
	/* A dot in the id would let its end be read as the time. */
	if (scheme->id_header != NULL && (delivery->id.data == NULL || delivery->id.len == 0 ||
									  memchr(delivery->id.data, '.', delivery->id.len) != NULL))
		return DIBS_SIGNATURE_FORGED;
	ok = compute(scheme, delivery, sent_at, secret, mac) && any_matches(scheme, delivery->signature, mac);
	if (!ok)
		return DIBS_SIGNATURE_FORGED;
	if (tolerance_us == DIBS_NO_TOLERANCE)
		return DIBS_SIGNATURE_GENUINE;
	/* Nothing was sent in a year that far off, and the difference below must not overflow. */
	if (now_us < -INT64_MAX / 2 || now_us > INT64_MAX / 2)
		return DIBS_SIGNATURE_STALE;
	return (now_us >= sent_us ? now_us - sent_us : sent_us - now_us) <= tolerance_us ? DIBS_SIGNATURE_GENUINE
																					 : DIBS_SIGNATURE_STALE;
}
