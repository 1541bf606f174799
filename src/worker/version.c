/*
 * version.c
 *		Which versions meet here.
 */
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "crypto/version.h"
#include "http/version.h"
#include "worker/version.h"

/* The extension's version as CREATE or ALTER EXTENSION left it, or NULL. */
static char *
installed_version(void)
{
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	char *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("dibs"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;
		Datum value = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);

		if (!isnull)
			version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

const char *
dibs_version_problem(void)
{
	char *version = installed_version();

	if (version != NULL && strcmp(version, DIBS_VERSION) == 0)
		return NULL;
	return "the library is version " DIBS_VERSION ", the SQL objects are not; call ALTER EXTENSION dibs UPDATE";
}

PG_FUNCTION_INFO_V1(dibs_version);

Datum
dibs_version(PG_FUNCTION_ARGS)
{
	char *sql = installed_version();

	PG_RETURN_TEXT_P(cstring_to_text(psprintf("dibs %s (library %s), %s, %s", sql ? sql : "-", DIBS_VERSION,
											  dibs_http_version(), dibs_crypto_version())));
}
