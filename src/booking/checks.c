/*
 * checks.c
 *		The words that columns may have, for the tables' CHECK constraints.
 */
#include "compat.h"

#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(dibs_is_participant_status);
PG_FUNCTION_INFO_V1(dibs_is_outcome);

static bool
is_one_of(const text *t, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		if (VARSIZE_ANY_EXHDR(t) == strlen(words[i]) && memcmp(VARDATA_ANY(t), words[i], strlen(words[i])) == 0)
			return true;
	}
	return false;
}

Datum
dibs_is_participant_status(PG_FUNCTION_ARGS)
{
	static const char *const words[] = {"CONFIRMED", "CANCELLED", "ATTENDED"};

	PG_RETURN_BOOL(is_one_of(PG_GETARG_TEXT_PP(0), words, lengthof(words)));
}

Datum
dibs_is_outcome(PG_FUNCTION_ARGS)
{
	static const char *const words[] = {"applied", "queued", "stale", "ignored", "unmatched", "failed"};

	PG_RETURN_BOOL(is_one_of(PG_GETARG_TEXT_PP(0), words, lengthof(words)));
}
