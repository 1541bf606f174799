/*
 * test_encoding.c
 *		Hex, base64 and base64url: RFC 4648's vectors, and every text that is not the one text of its bytes.
 */
#include <stdlib.h>

#include "core/encoding.h"
#include "tap.h"

static bool
base64_is(const char *plain, const char *expected)
{
	char text[64];
	unsigned char back[64];
	size_t n = dibs_base64_encode(plain, strlen(plain), text);
	size_t len;

	return n == strlen(expected) && n == DIBS_BASE64_LEN(strlen(plain)) && memcmp(text, expected, n) == 0 &&
		   dibs_base64_decode(expected, n, back, &len) && len == strlen(plain) && memcmp(back, plain, len) == 0;
}

static bool
refused(bool url, const char *text)
{
	unsigned char out[64];
	size_t len;

	return url ? !dibs_base64url_decode(text, strlen(text), out, &len)
			   : !dibs_base64_decode(text, strlen(text), out, &len);
}

static bool
accepted(bool url, const char *text, const char *plain)
{
	unsigned char out[64];
	size_t len;
	bool read = url ? dibs_base64url_decode(text, strlen(text), out, &len)
					: dibs_base64_decode(text, strlen(text), out, &len);

	return read && len == strlen(plain) && memcmp(out, plain, len) == 0;
}

static void
hex(void)
{
	static const unsigned char bytes[4] = {0x00, 0x9f, 0xa0, 0xff};
	char text[8];
	unsigned char out[4];

	dibs_hex_encode(bytes, 4, text);
	ok(memcmp(text, "009fa0ff", 8) == 0, "hex is written in lower case");
	ok(dibs_hex_decode("009FA0fF", 8, out, 4) && memcmp(out, bytes, 4) == 0, "hex of either case is read");
	ok(!dibs_hex_decode("009fa0f", 7, out, 4) && !dibs_hex_decode("009fa0ff00", 10, out, 4) &&
		   !dibs_hex_decode("", 0, out, 4),
	   "another length is refused");
	ok(!dibs_hex_decode("009fa0fg", 8, out, 4) && !dibs_hex_decode("0x9fa0ff", 8, out, 4) &&
		   !dibs_hex_decode(" 09fa0ff", 8, out, 4) && !dibs_hex_decode("009fa0f\xe9", 8, out, 4),
	   "another character is refused");
}

static void
base64(void)
{
	ok(base64_is("", "") && base64_is("f", "Zg==") && base64_is("fo", "Zm8=") && base64_is("foo", "Zm9v") &&
		   base64_is("foob", "Zm9vYg==") && base64_is("fooba", "Zm9vYmE=") && base64_is("foobar", "Zm9vYmFy"),
	   "RFC 4648 section 10");
	ok(accepted(false, "Zg", "f") && accepted(false, "Zm8", "fo") && accepted(false, "Zm9vYg", "foob"),
	   "padding may be missing");
	ok(refused(false, "Zg=") && refused(false, "Zm8==") && refused(false, "Zm9v=") && refused(false, "Zm9v==") &&
		   refused(false, "Zg===") && refused(false, "=") && refused(false, "==") && refused(false, "===="),
	   "padding that does not fit is refused");
	ok(refused(false, "Z") && refused(false, "Zm9vY"), "a character that is no byte is refused");
	ok(refused(false, "Zh==") && refused(false, "Zm9=") && refused(false, "Zh") && refused(true, "Zh") &&
		   refused(true, "Zm9"),
	   "bits that belong to no byte are refused");
	ok(refused(false, "Zm9 v") && refused(false, "Zm9v\n") && refused(false, " Zm9v") && refused(false, "Zm=v"),
	   "white space, and padding in the middle, are refused");
	ok(accepted(false, "+/++", "\xfb\xff\xbe") && accepted(true, "-_--", "\xfb\xff\xbe") && refused(false, "-_--") &&
		   refused(true, "+/++"),
	   "each alphabet is its own");
	ok(accepted(true, "Zg", "f") && refused(true, "Zg==") && refused(true, "Zm8="), "base64url has no padding");
}

static void
round_trips(void)
{
	unsigned char bytes[200];
	unsigned char back[DIBS_BASE64_ROOM(DIBS_BASE64_LEN(200))];
	char text[DIBS_BASE64_LEN(200)];
	size_t len;
	int bad = 0;

	for (size_t n = 0; n <= sizeof(bytes); n++)
	{
		size_t text_len;

		for (size_t i = 0; i < n; i++)
			bytes[i] = (unsigned char) (rand() >> 3);
		text_len = dibs_base64_encode(bytes, n, text);
		if (text_len != DIBS_BASE64_LEN(n) || !dibs_base64_decode(text, text_len, back, &len) || len != n ||
			memcmp(back, bytes, n) != 0)
			bad++;
		text_len = dibs_base64url_encode(bytes, n, text);
		if (text_len != DIBS_BASE64URL_LEN(n) || !dibs_base64url_decode(text, text_len, back, &len) || len != n ||
			memcmp(back, bytes, n) != 0)
			bad++;
	}
	ok(bad == 0, "every length from 0 to 200 comes back, in the room that was promised");
}

int
main(void)
{
	hex();
	base64();
	round_trips();
	return done();
}
