/*
 * test_scheme.c
 *		Every vector of every sender verifies, and nothing near it does.
 */
#include <stdlib.h>

#include "core/encoding.h"
#include "crypto/hmac.h"
#include "tap.h"
#include "vectors.h"
#include "webhook/scheme.h"

#define SECOND INT64_C(1000000)

/* A delivery in buffers that a test may change. */
typedef struct Sent
{
	const DibsScheme *scheme;
	DibsDelivery delivery;
	DibsBytes secret;
	char body[1024];
	char signature[4200];
	char sent_at[64];
	char id[64];
	char key[1200];
	int64_t at_us;
} Sent;

static DibsBytes
fill(char *buffer, const char *value)
{
	DibsBytes bytes = {NULL, 0};

	if (value != NULL)
	{
		bytes.len = strlen(value);
		memcpy(buffer, value, bytes.len + 1);
		bytes.data = buffer;
	}
	return bytes;
}

static void
send(Sent *sent, const WebhookVector *vector)
{
	const char *t = vector->sent_at != NULL ? vector->sent_at : strstr(vector->signature, "t=");

	sent->scheme = dibs_scheme_find(vector->source);
	sent->delivery.body = fill(sent->body, vector->body);
	sent->delivery.signature = fill(sent->signature, vector->signature);
	sent->delivery.sent_at = fill(sent->sent_at, vector->sent_at);
	sent->delivery.id = fill(sent->id, vector->id);
	sent->secret = fill(sent->key, vector->secret);
	sent->at_us = 0;
	if (t != NULL)
	{
		int64_t value = strtoll(*t == 't' ? t + 2 : t, NULL, 10);

		sent->at_us = value >= 100000000000 ? value * 1000 : value * SECOND;
	}
}

static DibsSignature
check_at(const Sent *sent, int64_t after_us)
{
	return dibs_scheme_verify(sent->scheme, &sent->delivery, sent->secret, sent->scheme->tolerance_us,
							  sent->at_us + after_us);
}

static DibsSignature
check(const Sent *sent)
{
	return check_at(sent, 0);
}

static const WebhookVector *
vector_of(const char *source)
{
	for (size_t i = 0; i < sizeof(webhook_vectors) / sizeof(webhook_vectors[0]); i++)
	{
		if (strcmp(webhook_vectors[i].source, source) == 0)
			return &webhook_vectors[i];
	}
	exit(2);
}

/* The answer for a vector with another header. */
static DibsSignature
with_header(const char *source, const char *header)
{
	static Sent sent;

	send(&sent, vector_of(source));
	sent.delivery.signature = fill(sent.signature, header);
	return check(&sent);
}

static int
flips(Sent *sent, char *buffer, size_t len)
{
	int taken = 0;

	for (size_t bit = 0; bit < 8 * len; bit++)
	{
		buffer[bit / 8] ^= (char) (1 << bit % 8);
		if (check(sent) != DIBS_SIGNATURE_FORGED)
			taken++;
		buffer[bit / 8] ^= (char) (1 << bit % 8);
	}
	return taken;
}

static void
near_misses(const WebhookVector *vector)
{
	static Sent sent;
	const char *name = vector->name;
	DibsDelivery whole;
	int taken = 0;
	char *digits;

	send(&sent, vector);
	whole = sent.delivery;
	ok(check(&sent) == DIBS_SIGNATURE_GENUINE, "%s: verifies", name);
	ok(flips(&sent, sent.body, whole.body.len) == 0, "%s: no bit of the body may change", name);
	ok(flips(&sent, sent.key + (strncmp(sent.key, "whsec_", 6) == 0 ? 6 : 0),
			 sent.secret.len - (strncmp(sent.key, "whsec_", 6) == 0 ? 6 : 0)) == 0,
	   "%s: no bit of the secret may change", name);
	if (vector->sent_at != NULL)
		ok(flips(&sent, sent.sent_at, whole.sent_at.len) == 0, "%s: no bit of the time may change", name);
	if (vector->id != NULL)
		ok(flips(&sent, sent.id, whole.id.len) == 0, "%s: no bit of the id may change", name);
	/* A flip of bit 5 changes the case of a hex digit, which is the same signature. */
	for (size_t i = 0; i < whole.signature.len; i++)
	{
		char c = sent.signature[i];

		for (int bit = 0; bit < 8; bit++)
		{
			sent.signature[i] = (char) (c ^ 1 << bit);
			if (check(&sent) != DIBS_SIGNATURE_FORGED &&
				!(sent.scheme->encoding == DIBS_ENCODED_HEX && bit == 5 && ((c >= 'a' && c <= 'f'))))
				taken++;
		}
		sent.signature[i] = c;
	}
	ok(taken == 0, "%s: no bit of the header may change", name);
	sent.body[whole.body.len] = '\n';
	sent.delivery.body.len++;
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "%s: a line end after the body", name);
	sent.delivery.body.len -= 2;
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "%s: a byte of the body missing", name);
	sent.delivery.body.len = 0;
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "%s: an empty body", name);
	sent.delivery = whole;
	sent.delivery.body.data = NULL;
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "%s: no body", name);
	sent.delivery = whole;
	sent.delivery.signature.data = NULL;
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "%s: no header", name);
	sent.delivery = whole;
	sent.delivery.signature.len = 0;
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "%s: an empty header", name);
	sent.delivery = whole;
	/* two, because one may be padding, which may be missing */
	sent.delivery.signature.len -= 2;
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "%s: the last characters of the header missing", name);
	sent.delivery = whole;
	sent.secret.len = 0;
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "%s: an empty secret", name);
	sent.secret.data = NULL;
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "%s: no secret", name);
	send(&sent, vector);
	sent.key[sent.secret.len++] = ' ';
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "%s: a blank after the secret", name);
	if (vector->sent_at != NULL)
	{
		send(&sent, vector);
		digits = sent.sent_at + strlen(sent.sent_at) - 1;
		*digits = *digits == '9' ? '8' : (char) (*digits + 1);
		ok(check(&sent) == DIBS_SIGNATURE_FORGED, "%s: one second more in the time's header", name);
		sent.delivery.sent_at.data = NULL;
		ok(check(&sent) == DIBS_SIGNATURE_FORGED, "%s: no time", name);
		sent.delivery.sent_at = fill(sent.sent_at, "");
		ok(check(&sent) == DIBS_SIGNATURE_FORGED, "%s: an empty time", name);
		sent.delivery.sent_at = fill(sent.sent_at, "999999999999999999999999");
		ok(check(&sent) == DIBS_SIGNATURE_FORGED, "%s: a time that fits no number", name);
	}
}

static void
tolerances(const WebhookVector *vector)
{
	static Sent sent;
	int64_t tolerance;

	send(&sent, vector);
	tolerance = sent.scheme->tolerance_us;
	if (tolerance == DIBS_NO_TOLERANCE)
	{
		ok(check_at(&sent, 365 * 86400 * SECOND) == DIBS_SIGNATURE_GENUINE, "%s: has no time", vector->name);
		return;
	}
	ok(check_at(&sent, tolerance) == DIBS_SIGNATURE_GENUINE && check_at(&sent, -tolerance) == DIBS_SIGNATURE_GENUINE,
	   "%s: at the tolerance's ends", vector->name);
	ok(check_at(&sent, tolerance + SECOND) == DIBS_SIGNATURE_STALE &&
		   check_at(&sent, -tolerance - SECOND) == DIBS_SIGNATURE_STALE,
	   "%s: one second beyond it is stale, not forged", vector->name);
	ok(check_at(&sent, INT64_MAX - sent.at_us) == DIBS_SIGNATURE_STALE &&
		   check_at(&sent, INT64_MIN) == DIBS_SIGNATURE_STALE,
	   "%s: at the ends of time", vector->name);
	ok(dibs_scheme_verify(sent.scheme, &sent.delivery, sent.secret, -1, sent.at_us) == DIBS_SIGNATURE_STALE,
	   "%s: a negative tolerance lets nothing in", vector->name);
	ok(dibs_scheme_verify(sent.scheme, &sent.delivery, sent.secret, 0, sent.at_us) == DIBS_SIGNATURE_GENUINE,
	   "%s: none at all the very second", vector->name);
	sent.body[0] ^= 1;
	ok(check_at(&sent, tolerance + SECOND) == DIBS_SIGNATURE_FORGED, "%s: stale and changed is forged", vector->name);
}

#define SHORT_MAC "52e9139eff332240a8d8a64d715ed1179873f7029850de8929d6924c2378019a"
#define UPPER_MAC "52E9139EFF332240A8D8A64D715ED1179873F7029850DE8929D6924C2378019A"
#define OTHER_MAC "00e9139eff332240a8d8a64d715ed1179873f7029850de8929d6924c2378019a"

/* The header of t and v1 in all shapes; the vector is the short one. */
static void
pairs(void)
{
	static Sent sent;
	static const struct
	{
		const char *header;
		DibsSignature expected;
		const char *name;
	} cases[] = {
		{"t=1767225600,v1=" SHORT_MAC, DIBS_SIGNATURE_GENUINE, "as sent"},
		{"v1=" SHORT_MAC ",t=1767225600", DIBS_SIGNATURE_GENUINE, "the other way round"},
		{"t=1767225600, v1=" SHORT_MAC, DIBS_SIGNATURE_GENUINE, "a blank after the comma"},
		{" t=1767225600 ,\tv1=" SHORT_MAC " ", DIBS_SIGNATURE_GENUINE, "blanks everywhere"},
		{"t=1767225600,v1=" UPPER_MAC, DIBS_SIGNATURE_GENUINE, "hex digits in upper case"},
		{"t=1767225600,v1=" OTHER_MAC ",v1=" SHORT_MAC, DIBS_SIGNATURE_GENUINE, "two v1, the second matches"},
		{"t=1767225600,v1=" SHORT_MAC ",v1=" OTHER_MAC, DIBS_SIGNATURE_GENUINE, "two v1, the first matches"},
		{"t=1767225600,v0=x,v1=" SHORT_MAC ",v2=y,,scheme", DIBS_SIGNATURE_GENUINE, "unknown pairs"},
		{"t=1767225600,v1=" OTHER_MAC ",v1=" OTHER_MAC, DIBS_SIGNATURE_FORGED, "two v1, none matches"},
		{"t=1767225600,v0=" SHORT_MAC, DIBS_SIGNATURE_FORGED, "the right value as v0"},
		{"t=1767225600,V1=" SHORT_MAC, DIBS_SIGNATURE_FORGED, "V1"},
		{"t=1767225600", DIBS_SIGNATURE_FORGED, "no v1"},
		{"v1=" SHORT_MAC, DIBS_SIGNATURE_FORGED, "no t"},
		{"t=,v1=" SHORT_MAC, DIBS_SIGNATURE_FORGED, "an empty t"},
		{"t=1767225600x,v1=" SHORT_MAC, DIBS_SIGNATURE_FORGED, "a t that is no number"},
		{"t=+1767225600,v1=" SHORT_MAC, DIBS_SIGNATURE_FORGED, "a t with a sign"},
		{"t=1767225600.0,v1=" SHORT_MAC, DIBS_SIGNATURE_FORGED, "a t with a fraction"},
		{"t=1767225600,t=1767225600,v1=" SHORT_MAC, DIBS_SIGNATURE_FORGED, "t twice"},
		{"t=1767225601,v1=" SHORT_MAC, DIBS_SIGNATURE_FORGED, "one second later"},
		{"t=1767225600,v1=", DIBS_SIGNATURE_FORGED, "an empty v1"},
		{"t=1767225600,v1=" SHORT_MAC "00", DIBS_SIGNATURE_FORGED, "a v1 that is too long"},
		{"t=1767225600;v1=" SHORT_MAC, DIBS_SIGNATURE_FORGED, "a semicolon"},
		{SHORT_MAC, DIBS_SIGNATURE_FORGED, "the bare value"},
		{",,,,=,=,", DIBS_SIGNATURE_FORGED, "nothing but separators"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		send(&sent, vector_of("calendly") + 1);
		sent.delivery.signature = fill(sent.signature, cases[i].header);
		ok(check(&sent) == cases[i].expected, "t and v1: %s", cases[i].name);
	}
	/* A header that goes on and on is not read. */
	send(&sent, vector_of("calendly") + 1);
	memset(sent.signature + strlen(sent.signature), ',', 4096);
	sent.delivery.signature.len = 4097;
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "t and v1: more than 4,096 characters");
	sent.delivery.signature.len = 4096;
	ok(check(&sent) == DIBS_SIGNATURE_GENUINE, "t and v1: 4,096 characters");
}

#define STANDARD "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE"

static void
lists_and_bare(void)
{
	static Sent sent;
	const char *zoom = vector_of("zoom")->signature;
	const char *cal = vector_of("cal")->signature;
	char header[200];

	ok(with_header("standard", "v1," STANDARD "=") == DIBS_SIGNATURE_GENUINE, "list: one");
	ok(with_header("standard", "v1," STANDARD) == DIBS_SIGNATURE_GENUINE, "list: without padding");
	ok(with_header("standard", "v1,AAAA v1a,xyz v1," STANDARD "= v2,x") == DIBS_SIGNATURE_GENUINE,
	   "list: among others");
	ok(with_header("standard", "v1a," STANDARD "=") == DIBS_SIGNATURE_FORGED, "list: as v1a");
	ok(with_header("standard", "v1=" STANDARD "=") == DIBS_SIGNATURE_FORGED, "list: v1=");
	ok(with_header("standard", STANDARD "=") == DIBS_SIGNATURE_FORGED, "list: the bare value");
	ok(with_header("standard", "v1," STANDARD "=,v1,x") == DIBS_SIGNATURE_FORGED, "list: commas between");
	ok(with_header("standard", "v1,") == DIBS_SIGNATURE_FORGED, "list: empty");
	send(&sent, vector_of("standard"));
	sent.secret = fill(sent.key, vector_of("standard")->secret + 6);
	ok(check(&sent) == DIBS_SIGNATURE_GENUINE, "Standard Webhooks: the secret without whsec_");
	sent.secret = fill(sent.key, "whsec_");
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "Standard Webhooks: whsec_ and nothing");
	memset(sent.key, 'A', 1028);
	sent.key[1028] = '\0';
	sent.secret.len = 1028;
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "Standard Webhooks: an overlong secret");
	send(&sent, vector_of("standard"));
	sent.delivery.id.data = NULL;
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "Standard Webhooks: no id");
	sent.delivery.id = fill(sent.id, "");
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "Standard Webhooks: an empty id");

	ok(with_header("zoom", zoom + 3) == DIBS_SIGNATURE_FORGED, "Zoom: without v0=");
	snprintf(header, sizeof(header), "V0=%s", zoom + 3);
	ok(with_header("zoom", header) == DIBS_SIGNATURE_FORGED, "Zoom: V0=");
	snprintf(header, sizeof(header), "v1=%s", zoom + 3);
	ok(with_header("zoom", header) == DIBS_SIGNATURE_FORGED, "Zoom: v1=");
	snprintf(header, sizeof(header), "%s,%s", zoom, zoom);
	ok(with_header("zoom", header) == DIBS_SIGNATURE_FORGED, "Zoom: twice");
	ok(with_header("cal", "no-secret-provided") == DIBS_SIGNATURE_FORGED, "Cal.com: no-secret-provided");
	snprintf(header, sizeof(header), "sha256=%s", cal);
	ok(with_header("cal", header) == DIBS_SIGNATURE_FORGED, "Cal.com: sha256=");
	snprintf(header, sizeof(header), " %s", cal);
	ok(with_header("cal", header) == DIBS_SIGNATURE_FORGED, "Cal.com: a blank before it");
	for (char *p = strcpy(header, cal); *p != '\0'; p++)
		*p = (char) (*p >= 'a' && *p <= 'f' ? *p - 32 : *p);
	ok(with_header("cal", header) == DIBS_SIGNATURE_GENUINE, "Cal.com: hex digits in upper case");

	send(&sent, vector_of("daily"));
	sent.delivery.signature = fill(sent.signature, DAILY_SEC_NOT_DECODED);
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "Daily: signed with the secret's characters");
	send(&sent, vector_of("daily") + 1);
	sent.delivery.signature = fill(sent.signature, DAILY_MS_NOT_DECODED);
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "Daily: signed with the secret's characters, milliseconds");
	send(&sent, vector_of("daily"));
	sent.secret = fill(sent.key, "no base64!");
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "Daily: a secret that is no base64");
	send(&sent, vector_of("stripe"));
	sent.secret = fill(sent.key, "stripe_test");
	ok(check(&sent) == DIBS_SIGNATURE_FORGED, "Stripe: whsec_ belongs to the key");
}

/* Two deliveries whose signed bytes are the same must not both verify. */
static void
no_shifting(void)
{
	static const char key[] = "0123456789abcdef01234567";
	unsigned char mac[DIBS_SHA256_LEN];
	char header[64] = "v1,";
	char secret[40] = "";
	DibsBytes text = {"msg.1.1767225600.{}", 19};
	DibsDelivery delivery = {{header, 0}, {"1", 1}, {"msg", 3}, {"1767225600.{}", 13}};
	DibsBytes secret_bytes = {secret, 0};
	const DibsScheme *standard = dibs_scheme_find("standard");

	dibs_hmac_sha256(key, sizeof(key) - 1, &text, 1, mac);
	delivery.signature.len = 3 + dibs_base64_encode(mac, sizeof(mac), header + 3);
	secret_bytes.len = dibs_base64_encode(key, sizeof(key) - 1, secret);
	ok(dibs_scheme_verify(standard, &delivery, secret_bytes, DIBS_NO_TOLERANCE, 0) == DIBS_SIGNATURE_GENUINE,
	   "id, time and body are joined by dots");
	delivery.id = (DibsBytes){"msg.1", 5};
	delivery.sent_at = (DibsBytes){"1767225600", 10};
	delivery.body = (DibsBytes){"{}", 2};
	ok(dibs_scheme_verify(standard, &delivery, secret_bytes, DIBS_NO_TOLERANCE, 0) == DIBS_SIGNATURE_FORGED,
	   "an id with a dot, under which the time could be moved, is refused");
}

int
main(void)
{
	for (size_t i = 0; i < sizeof(webhook_vectors) / sizeof(webhook_vectors[0]); i++)
	{
		near_misses(&webhook_vectors[i]);
		tolerances(&webhook_vectors[i]);
	}
	pairs();
	lists_and_bare();
	no_shifting();
	ok(dibs_scheme_find("teams") == NULL && dibs_scheme_find("") == NULL && dibs_scheme_find("CAL") == NULL,
	   "other sources have no scheme");
	return done();
}
