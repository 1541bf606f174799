/*
 * keyfile.c
 *		Reads master keys from text. No allocation, no copy of key bytes outside the caller's array.
 */
#include <stdbool.h>

#include "secrets/keyfile.h"

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

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* One line without its surrounding white space, never empty. */
static DibsKeyfileResult
parse_line(const char *s, size_t len, DibsMasterKey *out)
{
	uint64_t version = 0;
	size_t i = 0;
	size_t digits;

	while (i < len && s[i] >= '0' && s[i] <= '9')
	{
		version = version * 10 + (uint64_t) (s[i] - '0');
		if (version > DIBS_KEY_VERSION_MAX)
			return DIBS_KEYFILE_BAD_VERSION;
		i++;
	}
	if (i == len || s[i] != ':' || i == 0)
		return DIBS_KEYFILE_SYNTAX;
	if (version == 0)
		return DIBS_KEYFILE_BAD_VERSION;
	out->version = (uint32_t) version;
	s += i + 1;
	digits = len - i - 1;
	for (i = 0; i < digits; i++)
	{
		int value = hex_value(s[i]);

		if (value < 0)
			return DIBS_KEYFILE_BAD_HEX;
		if (i >= 2 * DIBS_MASTER_KEY_LEN)
			return DIBS_KEYFILE_TOO_LONG;
		if (i % 2 == 0)
			out->key[i / 2] = (uint8_t) (value << 4);
		else
			out->key[i / 2] |= (uint8_t) value;
	}
	return digits < 2 * DIBS_MASTER_KEY_LEN ? DIBS_KEYFILE_TRUNCATED : DIBS_KEYFILE_OK;
}

DibsKeyfileResult
dibs_keyfile_parse(const char *text, size_t len, DibsMasterKey *keys, int max_keys, int *n_keys, int *line)
{
	size_t at = 0;

	*n_keys = 0;
	*line = 0;
	while (at < len)
	{
		size_t start = at;
		size_t end;
		DibsKeyfileResult result;

		while (at < len && text[at] != '\n')
			at++;
		end = at;
		if (at < len)
			at++;
		(*line)++;
		while (start < end && is_blank(text[start]))
			start++;
		while (end > start && is_blank(text[end - 1]))
			end--;
		if (start == end || text[start] == '#')
			continue;
		if (*n_keys == max_keys)
			return DIBS_KEYFILE_TOO_MANY;
		result = parse_line(text + start, end - start, &keys[*n_keys]);
		if (result != DIBS_KEYFILE_OK)
			return result;
		for (int i = 0; i < *n_keys; i++)
		{
			if (keys[i].version == keys[*n_keys].version)
				return DIBS_KEYFILE_DUPLICATE;
		}
		(*n_keys)++;
	}
	*line = 0;
	return *n_keys == 0 ? DIBS_KEYFILE_EMPTY : DIBS_KEYFILE_OK;
}
