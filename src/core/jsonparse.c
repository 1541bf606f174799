/*
 * jsonparse.c
 *		A look at the bytes first, so that jsonb's own input function finds nothing to complain about.
 */
#include "compat.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "core/jsonparse.h"
#include "core/jsonscan.h"

/* jsonb takes strings of up to 256 MB */
#define MAX_LENGTH (64 * 1024 * 1024)
/* numeric takes 131,072 digits; no API has use for them */
#define MAX_NUMBER 100

/* text is JSON: numbers are what stands outside of strings and begins with a digit */
static bool
numbers_fit(const char *text)
{
	for (; *text; text++)
	{
		if (*text == '"')
		{
			for (text++; *text != '"'; text++)
				if (*text == '\\')
					text++;
		}
		else if (*text >= '0' && *text <= '9')
		{
			size_t len = strspn(text, "+-.0123456789eE");

			if (len > MAX_NUMBER)
				return false;
			text += len - 1;
		}
	}
	return true;
}

static void
ascii_only(char *text)
{
	for (; *text; text++)
		if (IS_HIGHBIT_SET(*text))
			*text = '?';
}

Jsonb *
dibs_json_parse(const char *text, size_t len)
{
	char *copy;

	/* some servers put a byte order mark in front */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
	{
		text += 3;
		len -= 3;
	}
	if (len == 0 || len > MAX_LENGTH || !pg_verify_mbstr(PG_UTF8, text, (int) len, true) ||
		memchr(text, 0, len) != NULL)
		return NULL;
	copy = pnstrdup(text, len);
	if (GetDatabaseEncoding() != PG_UTF8)
		ascii_only(copy);
	if (!dibs_json_walk(copy, len, NULL, NULL) || !numbers_fit(copy))
		return NULL;
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(copy)));
}

char *
dibs_json_print(Jsonb *json)
{
	char *text = JsonbToCString(NULL, &json->root, VARSIZE(json));

	if (GetDatabaseEncoding() != PG_UTF8)
		ascii_only(text);
	return text;
}
