/*
 * encoding.c
 *		Hex, base64 (RFC 4648 section 4) and base64url (section 5).
 */
#include <stdint.h>

#include "core/encoding.h"

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void
dibs_hex_encode(const void *in, size_t len, char *out)
{
	const unsigned char *p = in;

	for (size_t i = 0; i < len; i++)
	{
		*out++ = hex_digits[p[i] >> 4];
		*out++ = hex_digits[p[i] & 15];
	}
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
dibs_hex_decode(const char *in, size_t len, unsigned char *out, size_t out_len)
{
	if (len % 2 != 0 || len / 2 != out_len)
		return false;
	for (size_t i = 0; i < out_len; i++)
	{
		int high = hex_value(in[2 * i]);
		int low = hex_value(in[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char) (high << 4 | low);
	}
	return true;
}

/* Without padding; gives the number of characters. */
static size_t
encode(const unsigned char *in, size_t len, const char *digits, char *out)
{
	char *start = out;

	for (; len >= 3; len -= 3, in += 3)
	{
		*out++ = digits[in[0] >> 2];
		*out++ = digits[(in[0] & 3) << 4 | in[1] >> 4];
		*out++ = digits[(in[1] & 15) << 2 | in[2] >> 6];
		*out++ = digits[in[2] & 63];
	}
	if (len > 0)
	{
		*out++ = digits[in[0] >> 2];
		if (len == 1)
			*out++ = digits[(in[0] & 3) << 4];
		else
		{
			*out++ = digits[(in[0] & 3) << 4 | in[1] >> 4];
			*out++ = digits[(in[1] & 15) << 2];
		}
	}
	return (size_t) (out - start);
}

size_t
dibs_base64_encode(const void *in, size_t len, char *out)
{
	size_t n = encode(in, len, base64_digits, out);

	while (n % 4 != 0)
		out[n++] = '=';
	return n;
}

size_t
dibs_base64url_encode(const void *in, size_t len, char *out)
{
	return encode(in, len, base64url_digits, out);
}

static int
base64_value(char c, bool url)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (url ? '-' : '+'))
		return 62;
	if (c == (url ? '_' : '/'))
		return 63;
	return -1;
}

/* in is without padding. */
static bool
decode(const char *in, size_t len, bool url, unsigned char *out, size_t *out_len)
{
	uint32_t bits = 0;
	int n_bits = 0;
	size_t n = 0;

	if (len % 4 == 1)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		int value = base64_value(in[i], url);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t) value;
		n_bits += 6;
		if (n_bits >= 8)
		{
			n_bits -= 8;
			out[n++] = (unsigned char) (bits >> n_bits);
			bits &= (1u << n_bits) - 1;
		}
	}
	*out_len = n;
	return bits == 0;
}

bool
dibs_base64_decode(const char *in, size_t len, unsigned char *out, size_t *out_len)
{
	size_t padding = 0;

	while (padding < 2 && padding < len && in[len - 1 - padding] == '=')
		padding++;
	if (padding > 0 && len % 4 != 0)
		return false;
	return decode(in, len - padding, false, out, out_len);
}

bool
dibs_base64url_decode(const char *in, size_t len, unsigned char *out, size_t *out_len)
{
	return decode(in, len, true, out, out_len);
}
