/*
 * test_token.c
 *		Participants' tokens: one text for each, and nothing that was changed passes.
 */
#include <stdlib.h>
#include <string.h>

#include "core/encoding.h"
#include "crypto/hmac.h"
#include "join/token.h"

#include "tap.h"

#define MUTATIONS 10000

#define KEY_LEN 32
static const unsigned char key[] = "0123456789abcdef0123456789abcdef";
static const unsigned char other_key[] = "0123456789abcdef0123456789abcdeg";

static const DibsToken sample = {
	.key_version = 7,
	.role = DIBS_TOKEN_PARTICIPANT,
	.booking = "01J9ZK4M8Q0000000000000001",
	.user = "01J9ZK4M8Q0000000000000002",
	.subject = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
	.booking_version = 3,
	.subject_version = 0x01020304,
};

/* What the sample is, made by another implementation (Python's hmac and base64). */
static const char sample_text[] = "dibsEAAAAAcBkn8yURcAAAAAAAAAAAABAZJ_MlEXAAAAAAAAAAAAAv__________"
								  "__________8AAAADAQIDBGZLSSOragSqsAAFVtyKhSJNovgqCgU4wx5OhGE8AaLm";

/* In memory of exactly its size, so that a sanitizer sees a read beyond it. */
static bool
accepts(const char *text, size_t len, const unsigned char *with)
{
	char *copy = malloc(len > 0 ? len : 1);
	unsigned char bytes[DIBS_TOKEN_BYTES];
	DibsToken token;
	bool accepted;

	memcpy(copy, text, len);
	accepted = dibs_token_parse(copy, len, &token, bytes) && dibs_token_is_signed(bytes, with, KEY_LEN);
	free(copy);
	return accepted;
}

static void
test_format(void)
{
	char text[DIBS_TOKEN_LEN + 1];
	unsigned char bytes[DIBS_TOKEN_BYTES];
	DibsToken read;
	DibsToken host = sample;
	DibsToken odd = sample;

	ok(dibs_token_write(&sample, key, KEY_LEN, text) && strcmp(text, sample_text) == 0,
	   "a token is written as another implementation writes it");
	ok(strlen(text) == DIBS_TOKEN_LEN && strncmp(text, "dibs", 4) == 0, "128 characters that begin with dibs");
	ok(dibs_token_parse(text, DIBS_TOKEN_LEN, &read, bytes) && read.key_version == 7 &&
		   read.role == DIBS_TOKEN_PARTICIPANT && strcmp(read.booking, sample.booking) == 0 &&
		   strcmp(read.user, sample.user) == 0 && strcmp(read.subject, sample.subject) == 0 &&
		   read.booking_version == 3 && read.subject_version == 0x01020304,
	   "what was written is read");
	ok(accepts(text, DIBS_TOKEN_LEN, key), "its signature is good");
	ok(!accepts(text, DIBS_TOKEN_LEN, other_key), "under another key it is not");

	host.role = DIBS_TOKEN_HOST;
	ok(dibs_token_write(&host, key, KEY_LEN, text) && accepts(text, DIBS_TOKEN_LEN, key) &&
		   dibs_token_parse(text, DIBS_TOKEN_LEN, &read, bytes) && read.role == DIBS_TOKEN_HOST,
	   "a host's token says so");
	ok(strcmp(text, sample_text) != 0, "and is another one");

	memcpy(odd.booking, "01j9zk4m8q0000000000000001", DIBS_ULID_LEN);
	ok(!dibs_token_write(&odd, key, KEY_LEN, text), "an id in lower case is refused: the row would not be found");
	memcpy(odd.booking, "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", DIBS_ULID_LEN);
	ok(!dibs_token_write(&odd, key, KEY_LEN, text), "so is one beyond 128 bits");
	memcpy(odd.booking, "01J9ZK4M8Q00000000000000\0\0", DIBS_ULID_LEN);
	ok(!dibs_token_write(&odd, key, KEY_LEN, text), "and a short one");
}

static void
test_spellings(void)
{
	char text[2 * DIBS_TOKEN_LEN + 2];
	static const char strangers[] = "=+/ \t\n.%\"'\\\x7f\x80\xff";
	int accepted = 0;

	memset(text, '=', sizeof(text));
	memcpy(text, sample_text, DIBS_TOKEN_LEN);
	for (size_t len = 0; len < DIBS_TOKEN_LEN; len++)
		accepted += accepts(text, len, key);
	ok(accepted == 0, "no beginning of a token is one");
	ok(!accepts(text, DIBS_TOKEN_LEN + 1, key), "padding is refused");
	text[DIBS_TOKEN_LEN] = '\0';
	ok(!accepts(text, DIBS_TOKEN_LEN + 1, key), "a zero behind it is refused");
	memcpy(text + DIBS_TOKEN_LEN, sample_text, DIBS_TOKEN_LEN);
	ok(!accepts(text, 2 * DIBS_TOKEN_LEN, key), "twice is refused");
	memcpy(text + 1, sample_text, DIBS_TOKEN_LEN);
	text[0] = ' ';
	ok(!accepts(text, DIBS_TOKEN_LEN + 1, key), "a blank before it is refused");

	accepted = 0;
	for (size_t i = 0; i < DIBS_TOKEN_LEN; i++)
	{
		for (size_t s = 0; s < sizeof(strangers); s++)
		{
			memcpy(text, sample_text, DIBS_TOKEN_LEN);
			text[i] = strangers[s];
			accepted += accepts(text, DIBS_TOKEN_LEN, key);
		}
	}
	ok(accepted == 0, "no character from outside the alphabet is taken anywhere");

	/* the other alphabet's spelling of the same bytes */
	memcpy(text, sample_text, DIBS_TOKEN_LEN);
	for (size_t i = 0; i < DIBS_TOKEN_LEN; i++)
		text[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	ok(memcmp(text, sample_text, DIBS_TOKEN_LEN) != 0 && !accepts(text, DIBS_TOKEN_LEN, key),
	   "base64's own alphabet is refused");
}

/* The first byte that chooses anything is signed, and there is nothing like "none" to choose. */
static void
test_algorithm_games(void)
{
	unsigned char bytes[DIBS_BASE64_ROOM(DIBS_TOKEN_LEN)];
	unsigned char again[DIBS_TOKEN_BYTES];
	char text[DIBS_TOKEN_LEN];
	DibsToken read;
	int taken = 0;
	int read_as_token = 0;
	size_t n;
	DibsBytes part = {again, DIBS_TOKEN_SIGNED_BYTES};

	dibs_base64url_decode(sample_text, DIBS_TOKEN_LEN, bytes, &n);
	for (int b = 0; b < 256; b++)
	{
		memcpy(again, bytes, sizeof(again));
		again[3] = (unsigned char) b;
		dibs_base64url_encode(again, sizeof(again), text);
		read_as_token += dibs_token_parse(text, sizeof(text), &read, again);
		taken += accepts(text, sizeof(text), key);
	}
	ok(taken == 1, "another format or role under the same signature is refused, all 255");
	ok(read_as_token == 2, "two values of that byte are known");

	memcpy(again, bytes, sizeof(again));
	memset(again + DIBS_TOKEN_SIGNED_BYTES, 0, DIBS_SHA256_LEN);
	dibs_base64url_encode(again, sizeof(again), text);
	ok(!accepts(text, sizeof(text), key), "an empty signature is refused");
	dibs_sha256(again, DIBS_TOKEN_SIGNED_BYTES, again + DIBS_TOKEN_SIGNED_BYTES);
	dibs_base64url_encode(again, sizeof(again), text);
	ok(!accepts(text, sizeof(text), key), "a hash without a key is refused");
	dibs_hmac_sha256("", 0, &part, 1, again + DIBS_TOKEN_SIGNED_BYTES);
	dibs_base64url_encode(again, sizeof(again), text);
	ok(!accepts(text, sizeof(text), key), "a signature under the empty key is refused");
}

static void
test_mutations(void)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char text[DIBS_TOKEN_LEN + 8];
	int accepted = 0;
	int unchanged = 0;

	for (size_t i = 0; i < DIBS_TOKEN_LEN; i++)
	{
		for (size_t c = 0; c < 64; c++)
		{
			memcpy(text, sample_text, DIBS_TOKEN_LEN);
			text[i] = alphabet[c];
			unchanged += text[i] == sample_text[i];
			accepted += accepts(text, DIBS_TOKEN_LEN, key);
		}
	}
	ok(unchanged == DIBS_TOKEN_LEN && accepted == unchanged,
	   "every other character of the alphabet at every place is refused (%d)", DIBS_TOKEN_LEN * 63);

	srandom(20261121);
	accepted = 0;
	for (int m = 0; m < MUTATIONS;)
	{
		size_t len = DIBS_TOKEN_LEN;
		size_t at = random() % DIBS_TOKEN_LEN;
		size_t from = random() % DIBS_TOKEN_LEN;

		memcpy(text, sample_text, DIBS_TOKEN_LEN);
		switch (random() % 6)
		{
			case 0: /* some characters */
				for (int n = 1 + random() % 8; n > 0; n--)
					text[random() % DIBS_TOKEN_LEN] = alphabet[random() % 64];
				break;
			case 1: /* any bytes */
				for (int n = 1 + random() % 8; n > 0; n--)
					text[random() % DIBS_TOKEN_LEN] = (char) random();
				break;
			case 2: /* one left out */
				memmove(text + at, text + at + 1, --len - at);
				break;
			case 3: /* one put in */
				memmove(text + at + 1, text + at, len++ - at);
				text[at] = alphabet[random() % 64];
				break;
			case 4: /* two changed over */
				text[at] = sample_text[from];
				text[from] = sample_text[at];
				break;
			default: /* a part over another */
				memmove(text + at, sample_text + from, DIBS_TOKEN_LEN - (at > from ? at : from));
		}
		if (len == DIBS_TOKEN_LEN && memcmp(text, sample_text, len) == 0)
			continue;
		accepted += accepts(text, len, key);
		m++;
	}
	ok(accepted == 0, "%d random mutations: none is accepted", MUTATIONS);
}

int
main(void)
{
	test_format();
	test_spellings();
	test_algorithm_games();
	test_mutations();
	return done();
}
