/*
 * test_secrets.c
 *		The readers of the key file and of a sealed value's header; no server.
 */
#include <stdlib.h>
#include <string.h>

#include "secrets/envelope.h"
#include "secrets/keyfile.h"

#include "tap.h"

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "FFEEDDCCBBAA99887766554433221100ffeeddccbbaa99887766554433221100"

/* In memory of exactly its size, so that a sanitizer sees a read beyond it. */
static DibsKeyfileResult
parse(const char *text, size_t len, DibsMasterKey *keys, int max, int *n, int *line)
{
	char *copy = malloc(len > 0 ? len : 1);
	DibsKeyfileResult result;

	memcpy(copy, text, len);
	result = dibs_keyfile_parse(copy, len, keys, max, n, line);
	free(copy);
	return result;
}

typedef struct KeyfileCase
{
	const char *name;
	const char *text;
	DibsKeyfileResult result;
	int n;
	int line;
} KeyfileCase;

static const KeyfileCase keyfile_cases[] = {
	{"nothing", "", DIBS_KEYFILE_EMPTY, 0, 0},
	{"comments and blank lines alone", "# a\n\n  \t\n#b", DIBS_KEYFILE_EMPTY, 0, 0},
	{"one key", "1:" KEY_A "\n", DIBS_KEYFILE_OK, 1, 0},
	{"no line end at the end", "1:" KEY_A, DIBS_KEYFILE_OK, 1, 0},
	{"CRLF", "1:" KEY_A "\r\n2:" KEY_B "\r\n", DIBS_KEYFILE_OK, 2, 0},
	{"white space around, a comment between", "  1:" KEY_A " \n# x\n\t2:" KEY_B "\n", DIBS_KEYFILE_OK, 2, 0},
	{"the largest version", "2147483647:" KEY_A, DIBS_KEYFILE_OK, 1, 0},
	{"leading zeros", "007:" KEY_A, DIBS_KEYFILE_OK, 1, 0},
	{"a version too large", "2147483648:" KEY_A, DIBS_KEYFILE_BAD_VERSION, 0, 1},
	{"a version beyond 64 bits", "99999999999999999999999999:" KEY_A, DIBS_KEYFILE_BAD_VERSION, 0, 1},
	{"version zero", "1:" KEY_B "\n0:" KEY_A, DIBS_KEYFILE_BAD_VERSION, 1, 2},
	{"a negative version", "-1:" KEY_A, DIBS_KEYFILE_SYNTAX, 0, 1},
	{"no version", ":" KEY_A, DIBS_KEYFILE_SYNTAX, 0, 1},
	{"no colon", "1 " KEY_A, DIBS_KEYFILE_SYNTAX, 0, 1},
	{"a version alone", "1", DIBS_KEYFILE_SYNTAX, 0, 1},
	{"a blank after the colon", "1: " KEY_A, DIBS_KEYFILE_BAD_HEX, 0, 1},
	{"not hex", "1:" KEY_A "\n\n2:zz", DIBS_KEYFILE_BAD_HEX, 1, 3},
	{"a comment behind the key", "1:" KEY_A "#", DIBS_KEYFILE_BAD_HEX, 0, 1},
	{"no key", "1:", DIBS_KEYFILE_TRUNCATED, 0, 1},
	{"an odd number of digits", "1:abc", DIBS_KEYFILE_TRUNCATED, 0, 1},
	{"one digit too few", "1:00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", DIBS_KEYFILE_TRUNCATED,
	 0, 1},
	{"one digit too many", "1:" KEY_A "0", DIBS_KEYFILE_TOO_LONG, 0, 1},
	{"a version twice", "1:" KEY_A "\n2:" KEY_B "\n1:" KEY_B, DIBS_KEYFILE_DUPLICATE, 2, 3},
	{"a version twice, spelt otherwise", "1:" KEY_A "\n01:" KEY_B, DIBS_KEYFILE_DUPLICATE, 1, 2},
	{"more than there is room for", "1:" KEY_A "\n2:" KEY_A "\n3:" KEY_A "\n4:" KEY_A "\n5:" KEY_A,
	 DIBS_KEYFILE_TOO_MANY, 4, 5}};

static void
test_keyfile(void)
{
	DibsMasterKey keys[4];
	size_t len = 0;
	int n;
	int line;

	for (size_t i = 0; i < sizeof(keyfile_cases) / sizeof(keyfile_cases[0]); i++)
	{
		const KeyfileCase *c = &keyfile_cases[i];
		DibsKeyfileResult result = parse(c->text, strlen(c->text), keys, 4, &n, &line);

		ok(result == c->result && n == c->n && line == c->line, "key file: %s (result %d, %d keys, line %d)", c->name,
		   (int) result, n, line);
	}
	parse("7:" KEY_A "\n9:" KEY_B, strlen("7:" KEY_A "\n9:" KEY_B), keys, 4, &n, &line);
	ok(keys[0].version == 7 && keys[1].version == 9, "key file: versions, in the file's order");
	ok(keys[0].key[0] == 0 && keys[0].key[1] == 1 && keys[0].key[31] == 31, "key file: bytes of the first key");
	ok(keys[1].key[0] == 0xff && keys[1].key[2] == 0xdd && keys[1].key[31] == 0, "key file: bytes of the second");
	ok(parse("1:" KEY_A "\0", strlen("1:" KEY_A) + 1, keys, 4, &n, &line) == DIBS_KEYFILE_BAD_HEX,
	   "key file: a zero byte is no line end");
	while (len < strlen("12:" KEY_A) && parse("12:" KEY_A, len, keys, 4, &n, &line) != DIBS_KEYFILE_OK)
		len++;
	ok(len == strlen("12:" KEY_A), "key file: no beginning of a line is a key");
}

static DibsEnvelopeResult
read_envelope(const uint8_t *sealed, size_t len, DibsEnvelope *out, size_t *text_len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	DibsEnvelopeResult result;

	memcpy(copy, sealed, len);
	memset(out, 0, sizeof(*out));
	result = dibs_envelope_parse(copy, len, out);
	if (result == DIBS_ENVELOPE_OK)
	{
		/* the parts lie one behind the other and end with the value */
		if (out->nonce != copy + 6 || out->text != copy + 18 || out->tag != out->text + out->text_len ||
			out->tag + 16 != copy + len)
			result = DIBS_ENVELOPE_BAD_FORMAT;
	}
	*text_len = out->text_len;
	free(copy);
	return result;
}

static void
test_envelope(void)
{
	uint8_t sealed[DIBS_ENVELOPE_OVERHEAD + 100];
	DibsEnvelope e;
	size_t text_len;
	size_t len = 0;

	memset(sealed, 0xAA, sizeof(sealed));
	dibs_envelope_begin(sealed, 0x01020304, 5);
	ok(memcmp(sealed, "\xD1\x01\x02\x03\x04\x05\xAA", 7) == 0, "envelope: format, version and purpose");
	while (len < DIBS_ENVELOPE_OVERHEAD && read_envelope(sealed, len, &e, &text_len) == DIBS_ENVELOPE_TOO_SHORT)
		len++;
	ok(len == DIBS_ENVELOPE_OVERHEAD, "envelope: shorter than header and tag");
	ok(read_envelope(sealed, DIBS_ENVELOPE_OVERHEAD, &e, &text_len) == DIBS_ENVELOPE_OK && text_len == 0,
	   "envelope: around nothing");
	ok(read_envelope(sealed, sizeof(sealed), &e, &text_len) == DIBS_ENVELOPE_OK && text_len == 100,
	   "envelope: around 100");
	ok(e.version == 0x01020304 && e.purpose == 5, "envelope: version and purpose are read back");
	sealed[0] = 0xD0;
	ok(read_envelope(sealed, sizeof(sealed), &e, &text_len) == DIBS_ENVELOPE_BAD_FORMAT, "envelope: another format");
	dibs_envelope_begin(sealed, 0, 1);
	ok(read_envelope(sealed, sizeof(sealed), &e, &text_len) == DIBS_ENVELOPE_BAD_VERSION, "envelope: version zero");
	dibs_envelope_begin(sealed, 0x7FFFFFFF, 1);
	ok(read_envelope(sealed, sizeof(sealed), &e, &text_len) == DIBS_ENVELOPE_OK, "envelope: the largest version");
	dibs_envelope_begin(sealed, 0x80000000, 1);
	ok(read_envelope(sealed, sizeof(sealed), &e, &text_len) == DIBS_ENVELOPE_BAD_VERSION,
	   "envelope: no version that SQL cannot hold");
}

int
main(void)
{
	test_keyfile();
	test_envelope();
	return done();
}
