/*
 * jsonparse.c
 *		A look at the bytes first, so that jsonb's own input function finds nothing to complain about.
 *
 * PostgreSQL's parser gives syntax errors as a result; what would raise nevertheless (nesting that exhausts the stack,
 * numbers beyond numeric's range, text in another encoding) is found by a pass over the bytes before it.
 */
#include "compat.h"

#include "common/jsonapi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "core/jsonparse.h"

#define MAX_LENGTH (64 * 1024 * 1024)
#define MAX_DEPTH 64
/* numeric takes 131,072 digits before the point; no API has use for them */
#define MAX_NUMBER 100

/* Nesting, and numbers of a length and an exponent that numeric takes; everything else is the parser's. */
static bool
looks_harmless(const char *text, size_t len)
{
	int depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < len; i++)
	{
		char c = text[i];

		if (c == '\0')
			return false;
		if (quoted)
		{
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
		}
		else if (c == '"')
			quoted = true;
		else if (c == '{' || c == '[')
		{
			if (++depth > MAX_DEPTH)
				return false;
		}
		else if (c == '}' || c == ']')
			depth--;
		else if (c == '-' || (c >= '0' && c <= '9'))
		{
			size_t n = strspn(text + i, "+-.0123456789eE");
			size_t mantissa = strcspn(text + i, "eE");

			/* an exponent of more than a sign and two digits */
			if (n > MAX_NUMBER || (mantissa < n && n - mantissa > 4))
				return false;
			i += n - 1;
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
	JsonLexContext *lex;
	char *copy;

	/* some servers put a byte order mark in front */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
	{
		text += 3;
		len -= 3;
	}
	if (len == 0 || len > MAX_LENGTH || !pg_verify_mbstr(PG_UTF8, text, (int) len, true))
		return NULL;
	copy = pnstrdup(text, len);
	if (GetDatabaseEncoding() != PG_UTF8)
		ascii_only(copy);
	if (!looks_harmless(copy, len))
		return NULL;

	/* with escapes resolved, so that \u0000 and lone surrogates are found here */
	lex = dibs_json_lexer(copy, len, GetDatabaseEncoding());
	if (pg_parse_json(lex, &nullSemAction) != JSON_SUCCESS)
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
