/*
 * jsonscan.c
 *		The strict JSON reader: one function a production of RFC 8259's grammar.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/jsonscan.h"

#define MAX_DEPTH 32
#define MAX_EXPONENT_DIGITS 3
#define MAX_NUMBER_LEN 64

typedef struct Scan
{
	const char *at;
	const char *end;
} Scan;

static bool scan_value(Scan *scan, int depth);

static void
skip_space(Scan *scan)
{
	while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r'))
		scan->at++;
}

static bool
take(Scan *scan, char c)
{
	if (scan->at == scan->end || *scan->at != c)
		return false;
	scan->at++;
	return true;
}

static bool
take_word(Scan *scan, const char *word)
{
	size_t len = strlen(word);

	if ((size_t) (scan->end - scan->at) < len || memcmp(scan->at, word, len) != 0)
		return false;
	scan->at += len;
	return true;
}

static size_t
take_digits(Scan *scan)
{
	const char *start = scan->at;

	while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
		scan->at++;
	return (size_t) (scan->at - start);
}

static bool
scan_number(Scan *scan)
{
	take(scan, '-');
	if (!take(scan, '0') && take_digits(scan) == 0)
		return false;
	if (take(scan, '.') && take_digits(scan) == 0)
		return false;
	if (take(scan, 'e') || take(scan, 'E'))
	{
		size_t digits;

		if (!take(scan, '+'))
			take(scan, '-');
		digits = take_digits(scan);
		if (digits == 0 || digits > MAX_EXPONENT_DIGITS)
			return false;
	}
	return true;
}

/* The four digits after \u; -1 if they are none. */
static int32_t
hex4(const char *s, const char *end)
{
	int32_t value = 0;

	if (end - s < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		char c = s[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value = value << 4 | (c - 'A' + 10);
		else
			return -1;
	}
	return value;
}

/* After the backslash. */
static bool
scan_escape(Scan *scan)
{
	int32_t value;

	if (scan->at == scan->end)
		return false;
	if (*scan->at != 'u')
		return *scan->at != '\0' && strchr("\"\\/bfnrt", *scan->at++) != NULL;
	value = hex4(++scan->at, scan->end);
	if (value <= 0 || (value >= 0xDC00 && value <= 0xDFFF))
		return false;
	scan->at += 4;
	if (value < 0xD800 || value > 0xDBFF)
		return true;
	if (!take_word(scan, "\\u"))
		return false;
	value = hex4(scan->at, scan->end);
	if (value < 0xDC00 || value > 0xDFFF)
		return false;
	scan->at += 4;
	return true;
}

/* One character beyond ASCII, by the table of RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF. */
static bool
scan_utf8(Scan *scan)
{
	const unsigned char *s = (const unsigned char *) scan->at;
	size_t left = (size_t) (scan->end - scan->at);
	size_t len = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;

	if (s[0] < 0xC2 || s[0] > 0xF4 || left < len)
		return false;
	if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF0 && s[1] < 0x90) ||
		(s[0] == 0xF4 && s[1] > 0x8F))
		return false;
	for (size_t i = 1; i < len; i++)
	{
		if ((s[i] & 0xC0) != 0x80)
			return false;
	}
	scan->at += len;
	return true;
}

static bool
scan_string(Scan *scan)
{
	if (!take(scan, '"'))
		return false;
	while (scan->at < scan->end)
	{
		unsigned char c = (unsigned char) *scan->at;

		if (c == '"')
			return take(scan, '"');
		if (c < 0x20)
			return false;
		if (c >= 0x80)
		{
			if (!scan_utf8(scan))
				return false;
			continue;
		}
		scan->at++;
		if (c == '\\' && !scan_escape(scan))
			return false;
	}
	return false;
}

/* After the opening bracket. */
static bool
scan_array(Scan *scan, int depth)
{
	skip_space(scan);
	if (take(scan, ']'))
		return true;
	for (;;)
	{
		if (!scan_value(scan, depth))
			return false;
		skip_space(scan);
		if (take(scan, ']'))
			return true;
		if (!take(scan, ','))
			return false;
	}
}

/* After the opening brace; visit may be NULL. */
static bool
scan_object(Scan *scan, int depth, DibsJsonVisit visit, void *arg)
{
	skip_space(scan);
	if (take(scan, '}'))
		return true;
	for (;;)
	{
		DibsJsonMember member;

		skip_space(scan);
		member.key.data = scan->at + 1;
		if (!scan_string(scan))
			return false;
		member.key.len = (size_t) (scan->at - 1 - (const char *) member.key.data);
		skip_space(scan);
		if (!take(scan, ':'))
			return false;
		skip_space(scan);
		member.value.data = scan->at;
		if (!scan_value(scan, depth))
			return false;
		member.value.len = (size_t) (scan->at - (const char *) member.value.data);
		if (visit != NULL && !visit(&member, arg))
			return false;
		skip_space(scan);
		if (take(scan, '}'))
			return true;
		if (!take(scan, ','))
			return false;
	}
}

/* depth counts the objects and arrays around the value. */
static bool
scan_value(Scan *scan, int depth)
{
	skip_space(scan);
	if (scan->at == scan->end)
		return false;
	switch (*scan->at)
	{
		case '{':
			scan->at++;
			return depth < MAX_DEPTH && scan_object(scan, depth + 1, NULL, NULL);
		case '[':
			scan->at++;
			return depth < MAX_DEPTH && scan_array(scan, depth + 1);
		case '"':
			return scan_string(scan);
		case 't':
			return take_word(scan, "true");
		case 'f':
			return take_word(scan, "false");
		case 'n':
			return take_word(scan, "null");
		default:
			return scan_number(scan);
	}
}

bool
dibs_json_walk(const char *text, size_t len, DibsJsonVisit visit, void *arg)
{
	Scan scan = {text, text + len};

	skip_space(&scan);
	if (!take(&scan, '{') || !scan_object(&scan, 1, visit, arg))
		return false;
	skip_space(&scan);
	return scan.at == scan.end;
}

/* One character, or one byte of a longer one, of a scanned string; *at is put behind it. */
static uint32_t
next_char(const char **at, const char *end)
{
	const char *s = *at;
	uint32_t c = (unsigned char) *s++;

	if (c == '\\')
	{
		c = (unsigned char) *s++;
		switch (c)
		{
			case 'b':
				c = '\b';
				break;
			case 'f':
				c = '\f';
				break;
			case 'n':
				c = '\n';
				break;
			case 'r':
				c = '\r';
				break;
			case 't':
				c = '\t';
				break;
			case 'u':
				c = (uint32_t) hex4(s, end);
				s += 4;
				if (c >= 0xD800 && c <= 0xDBFF)
				{
					c = 0x10000 + ((c - 0xD800) << 10) + ((uint32_t) hex4(s + 2, end) - 0xDC00);
					s += 6;
				}
				break;
		}
	}
	*at = s;
	return c;
}

/* A scanned string's content against plain ASCII. */
static bool
content_is(const char *s, const char *end, const char *what)
{
	for (; *what != '\0'; what++)
	{
		if (s == end || next_char(&s, end) != (unsigned char) *what)
			return false;
	}
	return s == end;
}

bool
dibs_json_key_is(const DibsJsonMember *member, const char *name)
{
	const char *s = member->key.data;

	return content_is(s, s + member->key.len, name);
}

bool
dibs_json_string_is(const DibsJsonMember *member, const char *string)
{
	const char *s = member->value.data;

	return member->value.len >= 2 && *s == '"' && content_is(s + 1, s + member->value.len - 1, string);
}

/* A character takes no more bytes than its escape; what is not escaped is UTF-8 already. */
bool
dibs_json_string(const DibsJsonMember *member, char *out, size_t *len)
{
	const char *s = member->value.data;
	const char *end = s + member->value.len - 1;
	char *p = out;

	if (member->value.len < 2 || *s++ != '"')
		return false;
	while (s < end)
	{
		bool escaped = *s == '\\';
		uint32_t c = next_char(&s, end);

		if (!escaped || c < 0x80)
			*p++ = (char) c;
		else if (c < 0x800)
		{
			*p++ = (char) (0xC0 | c >> 6);
			*p++ = (char) (0x80 | (c & 0x3F));
		}
		else
		{
			if (c < 0x10000)
				*p++ = (char) (0xE0 | c >> 12);
			else
			{
				*p++ = (char) (0xF0 | c >> 18);
				*p++ = (char) (0x80 | (c >> 12 & 0x3F));
			}
			*p++ = (char) (0x80 | (c >> 6 & 0x3F));
			*p++ = (char) (0x80 | (c & 0x3F));
		}
	}
	*len = (size_t) (p - out);
	return true;
}

bool
dibs_json_number(const DibsJsonMember *member, double *out)
{
	const char *s = member->value.data;
	char copy[MAX_NUMBER_LEN + 1];

	if (member->value.len > MAX_NUMBER_LEN || (*s != '-' && (*s < '0' || *s > '9')))
		return false;
	memcpy(copy, s, member->value.len);
	copy[member->value.len] = '\0';
	*out = strtod(copy, NULL);
	return isfinite(*out);
}
