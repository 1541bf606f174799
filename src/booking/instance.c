/*
 * instance.c
 *		Which database this is. A dump or a template copy gets another name; a physical copy keeps it (dibs.site).
 */
#include "compat.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(dibs_instance_id);

Datum
dibs_instance_id(PG_FUNCTION_ARGS)
{
	char id[48];

	snprintf(id, sizeof(id), UINT64_FORMAT "/%u", GetSystemIdentifier(), MyDatabaseId);
	PG_RETURN_TEXT_P(cstring_to_text(id));
}
