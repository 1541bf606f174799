/*
 * probe.c
 *		Single index probes.
 */
#include "compat.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "errors.h"
#include "queue/probe.h"

static char *
column_text(TupleTableSlot *slot, const char *name)
{
	AttrNumber attribute = get_attnum(slot->tts_tableOid, name);
	bool isnull;
	Datum value;

	if (attribute == InvalidAttrNumber)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("dibs.\"%s\" has no column \"%s\"", get_rel_name(slot->tts_tableOid), name)));
	value = slot_getattr(slot, attribute, &isnull);
	/* text and char(n) are alike inside */
	return isnull ? NULL : TextDatumGetCString(value);
}

bool
dibs_probe(const DibsProbe *probe, const char *const *keys, char **values)
{
	Oid schema = get_namespace_oid("dibs", false);
	Oid table_oid = get_relname_relid(probe->table, schema);
	Oid index_oid;
	ScanKeyData scan_keys[DIBS_PROBE_KEYS];
	Relation table;
	Relation index;
	Snapshot snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	int n = probe->nkeys;
	bool found;

	Assert(n <= DIBS_PROBE_KEYS);
	if (!OidIsValid(table_oid))
		ereport(ERROR, (errcode(DIBS_ERR_STATE), errmsg("dibs.\"%s\" is missing", probe->table),
						errhint("CREATE EXTENSION dibs makes it.")));
	table = table_open(table_oid, AccessShareLock);
	/* under the lock: REINDEX CONCURRENTLY swaps names */
	index_oid = get_relname_relid(probe->index, schema);
	if (!OidIsValid(index_oid))
		ereport(ERROR, (errcode(DIBS_ERR_STATE), errmsg("dibs.\"%s\" has no index \"%s\"", probe->table, probe->index),
						errhint("Make it anew as CREATE EXTENSION dibs does.")));
	index = index_open(index_oid, AccessShareLock);
	if (index->rd_index->indrelid != table_oid || !index->rd_index->indisvalid ||
		IndexRelationGetNumberOfKeyAttributes(index) != n)
		ereport(ERROR, (errcode(DIBS_ERR_STATE),
						errmsg("dibs.\"%s\" is not the index that it was, or not valid", probe->index),
						errhint("Make it anew as CREATE EXTENSION dibs does; REINDEX mends one that is not valid.")));
	for (int i = 0; i < n; i++)
		ScanKeyEntryInitialize(&scan_keys[i], 0, i + 1, BTEqualStrategyNumber, InvalidOid, index->rd_indcollation[i],
							   index->rd_opcintype[i] == BPCHAROID ? F_BPCHAREQ : F_TEXTEQ,
							   CStringGetTextDatum(keys[i]));
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	slot = table_slot_create(table, NULL);
	scan = dibs_index_beginscan(table, index, snapshot, n);
	index_rescan(scan, scan_keys, n, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	for (int c = 0; found && c < DIBS_PROBE_COLUMNS && probe->columns[c] != NULL; c++)
		values[c] = column_text(slot, probe->columns[c]);
	ExecDropSingleTupleTableSlot(slot);
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);
	return found;
}
