/*
 * encoding.c
 *		Hex, base64 (RFC 4648 section 4) and base64url (section 5).
 */
#include <stdint.h>

#include "core/encoding.h"

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Values plus one; zero is no digit. Tables, because a branch on random digits is guessed wrong half of the time. */
static const unsigned char hex_values[256] = {
	['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
	['8'] = 9,  ['9'] = 10, ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
	['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

static const unsigned char base64_values[256] = {
	['+'] = 63, ['/'] = 64, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58,
	['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,
	['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,  ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12,
	['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20,
	['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28,
	['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36,
	['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44,
	['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52,
};

static const unsigned char base64url_values[256] = {
	['-'] = 63, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59,
	['7'] = 60, ['8'] = 61, ['9'] = 62, ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,
	['F'] = 6,  ['G'] = 7,  ['H'] = 8,  ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13,
	['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21,
	['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['_'] = 64, ['a'] = 27, ['b'] = 28,
	['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36,
	['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44,
	['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52,
};

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

bool
dibs_hex_decode(const char *in, size_t len, unsigned char *out, size_t out_len)
{
	if (len % 2 != 0 || len / 2 != out_len)
		return false;
	for (size_t i = 0; i < out_len; i++)
	{
		unsigned high = hex_values[(unsigned char) in[2 * i]];
		unsigned low = hex_values[(unsigned char) in[2 * i + 1]];

		if (high == 0 || low == 0)
			return false;
		out[i] = (unsigned char) ((high - 1) << 4 | (low - 1));
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

/* in is without padding. */
static bool
decode(const char *in, size_t len, const unsigned char *values, unsigned char *out, size_t *out_len)
{
	uint32_t bits = 0;
	int n_bits = 0;
	size_t n = 0;

	if (len % 4 == 1)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		unsigned value = values[(unsigned char) in[i]];

		if (value == 0)
			return false;
		bits = bits << 6 | (value - 1);
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
	return decode(in, len - padding, base64_values, out, out_len);
}

bool
dibs_base64url_decode(const char *in, size_t len, unsigned char *out, size_t *out_len)
{
	return decode(in, len, base64url_values, out, out_len);
}
