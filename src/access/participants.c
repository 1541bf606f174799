/*
 * participants.c
 *		The people of a booking as a member may see them.
 */
#include "compat.h"

#include "fmgr.h"
#include "utils/jsonb.h"

/* What belongs to one participant alone. */
static const char *const hidden[] = {"validationToken", "joinUrl"};

static bool
is_hidden(const JsonbValue *key)
{
	for (int i = 0; i < (int) lengthof(hidden); i++)
	{
		if (key->val.string.len == (int) strlen(hidden[i]) &&
			memcmp(key->val.string.val, hidden[i], key->val.string.len) == 0)
			return true;
	}
	return false;
}

/*
 * Keys stand in a jsonb as they are: where no hidden one does, byte by byte, there is none. A text that says one does
 * no harm, it is only looked at more closely.
 */
static bool
may_have_hidden(Jsonb *people)
{
	const char *data = VARDATA(people);
	const char *end = data + VARSIZE(people) - VARHDRSZ;

	for (int i = 0; i < (int) lengthof(hidden); i++)
	{
		Size len = strlen(hidden[i]);

		for (const char *at = data; (at = memchr(at, hidden[i][0], end - at)) != NULL; at++)
		{
			if ((Size) (end - at) >= len && memcmp(at, hidden[i], len) == 0)
				return true;
		}
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

	if (!may_have_hidden(people))
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
