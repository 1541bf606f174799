/*
 * participants.c
 *		The people of a booking as a member may see them.
 */
#include "compat.h"

#include "fmgr.h"
#include "utils/jsonb.h"

/* What belongs to one participant alone. */
static bool
is_hidden(const JsonbValue *key)
{
	static const char *const hidden[] = {"validationToken", "joinUrl"};

	for (int i = 0; i < (int) lengthof(hidden); i++)
	{
		if (key->val.string.len == (int) strlen(hidden[i]) &&
			memcmp(key->val.string.val, hidden[i], key->val.string.len) == 0)
			return true;
	}
	return false;
}

static bool
has_hidden(Jsonb *people)
{
	JsonbIterator *it = JsonbIteratorInit(&people->root);
	JsonbIteratorToken token;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		if (token == WJB_KEY && is_hidden(&value))
			return true;
	}
	return false;
}

PG_FUNCTION_INFO_V1(dibs_public_participants);

/* Once a row of a list: nearly all have nothing to hide, and stay as they are. */
Datum
dibs_public_participants(PG_FUNCTION_ARGS)
{
	Jsonb *people = PG_GETARG_JSONB_P(0);
	JsonbParseState *state = NULL;
	JsonbValue *result = NULL;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;

	if (!has_hidden(people))
		PG_RETURN_JSONB_P(people);
	it = JsonbIteratorInit(&people->root);
	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		if (token == WJB_KEY && is_hidden(&value))
		{
			(void) JsonbIteratorNext(&it, &value, true);
			continue;
		}
		result = pushJsonbValue(&state, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(result));
}
