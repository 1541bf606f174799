/*
 * insert.c
 *		New rows, written as the worker of logical replication writes them: by the executor's own parts, without a plan.
 */
#include "compat.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "errors.h"
#include "queue/insert.h"
#include "queue/plan.h"

/* Where a column's value comes from. */
typedef struct Source
{
	int given;       /* which of the values; -1: none */
	int32 length;    /* of a char(n) that is given, with its header; 0: another type */
	bool read;       /* it is given as text, and read by its type's input function */
	FmgrInfo input;  /* where it is read */
	Oid input_param; /* likewise */
	int32 typmod;    /* likewise */
	Expr *preset;    /* the default of a column that is not given; NULL: none */
} Source;

typedef struct DibsInsertShape
{
	MemoryContext context; /* holds this and all below */
	Oid table;
	bool valid;
	bool plain;    /* nothing about the table itself needs a statement */
	List *depends; /* of PlanInvalItem: the functions and domains of its defaults */
	DibsStatement statement;
	DibsStatement if_new;                  /* with ON CONFLICT; where there is a key */
	Source sources[FLEXIBLE_ARRAY_MEMBER]; /* by column of the table */
} DibsInsertShape;

/* Those that have a shape. */
static DibsInsert *first_known;

/* How often anything has been said to have changed: also while a shape is made, and not among the known ones yet. */
static uint64 changes;

static void
on_relation(Datum arg, Oid relation)
{
	changes++;
	for (DibsInsert *insert = first_known; insert != NULL; insert = insert->next)
	{
		if (relation == InvalidOid || insert->shape->table == relation)
			insert->shape->valid = false;
	}
}

static bool
depends_on(const DibsInsertShape *shape, int cache, uint32 hash)
{
	ListCell *lc;

	foreach (lc, shape->depends)
	{
		const PlanInvalItem *item = lfirst(lc);

		if (item->cacheId == cache && (hash == 0 || item->hashValue == hash))
			return true;
	}
	return false;
}

static void
on_object(Datum arg, int cache, uint32 hash)
{
	changes++;
	for (DibsInsert *insert = first_known; insert != NULL; insert = insert->next)
	{
		if (depends_on(insert->shape, cache, hash))
			insert->shape->valid = false;
	}
}

static void
watch(void)
{
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterRelcacheCallback(on_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, on_object, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, on_object, (Datum) 0);
	watching = true;
}

/* What an INSERT does besides writing the row. */
static bool
is_plain(Relation table)
{
	const TriggerDesc *triggers = table->trigdesc;

	return table->rd_rel->relkind == RELKIND_RELATION && !table->rd_rel->relispartition && table->rd_rules == NULL &&
		   (triggers == NULL || !(triggers->trig_insert_before_statement || triggers->trig_insert_after_statement ||
								  triggers->trig_insert_new_table)) &&
		   !OidIsValid(get_extension_oid("citus", true));
}

/* The modifiers that dibs' columns have: a length, which is looked at, and microseconds, which change nothing. */
static bool
fits(Form_pg_attribute column, Oid type)
{
	if (column->atttypid != type)
		return false;
	switch (type)
	{
		case BPCHAROID:
			return true;
		case TIMESTAMPTZOID:
		case TIMESTAMPTZARRAYOID:
			return column->atttypmod == -1 || column->atttypmod == MAX_TIMESTAMP_PRECISION;
		default:
			return column->atttypmod == -1;
	}
}

static void
set_given(DibsInsertShape *shape, Form_pg_attribute column, const DibsInsertColumn *given, Source *source)
{
	Oid function;

	if (column->attgenerated != '\0' || column->attidentity != '\0')
		shape->plain = false;
	else if (fits(column, given->type))
		source->length = given->type == BPCHAROID ? Max(column->atttypmod, 0) : 0;
	else if (given->type == TEXTOID)
	{
		getTypeInputInfo(column->atttypid, &function, &source->input_param);
		fmgr_info_cxt(function, &source->input, shape->context);
		source->typmod = column->atttypmod;
		source->read = true;
	}
	else
		shape->plain = false;
}

/* Planning leaves a lot behind, which is not to stay with the shape. */
static void
set_preset(DibsInsertShape *shape, Relation table, Form_pg_attribute column, Source *source)
{
	Node *preset = column->attgenerated == '\0' ? build_column_default(table, column->attnum) : NULL;
	List *relations = NIL;
	List *depends = NIL;
	MemoryContext caller;

	if (preset == NULL)
		return;
	preset = (Node *) expression_planner_with_deps((Expr *) preset, &relations, &depends);
	caller = MemoryContextSwitchTo(shape->context);
	source->preset = (Expr *) copyObject(preset);
	shape->depends = list_concat(shape->depends, copyObject(depends));
	MemoryContextSwitchTo(caller);
}

/* The statement, for when there is to be one. */
static char *
insert_sql(const DibsInsert *insert, Relation table, const AttrNumber *numbers)
{
	StringInfoData names, values;

	initStringInfo(&names);
	initStringInfo(&values);
	for (int i = 0; i < insert->ncolumns; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(table), numbers[i] - 1);
		bool same = column->atttypid == insert->columns[i].type;

		appendStringInfo(&names, "%s%s", i == 0 ? "" : ", ", quote_identifier(insert->columns[i].name));
		appendStringInfo(&values, "%s$%d%s%s", i == 0 ? "" : ", ", i + 1,
						 same ? "" : "::", same ? "" : format_type_be_qualified(column->atttypid));
	}
	return psprintf("INSERT INTO dibs.%s (%s) VALUES (%s)", quote_identifier(insert->table), names.data, values.data);
}

static DibsInsertShape *
make_shape(const DibsInsert *insert, Relation table)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "dibs insert", ALLOCSET_SMALL_SIZES);
	TupleDesc desc = RelationGetDescr(table);
	DibsInsertShape *shape = MemoryContextAllocZero(context,
													offsetof(DibsInsertShape, sources) + desc->natts * sizeof(Source));
	AttrNumber numbers[lengthof(shape->statement.types)];
	uint64 before = changes;

	Assert(insert->ncolumns <= (int) lengthof(numbers));
	shape->context = context;
	shape->table = RelationGetRelid(table);
	shape->plain = is_plain(table);
	shape->statement.nargs = insert->ncolumns;
	for (int a = 0; a < desc->natts; a++)
		shape->sources[a].given = -1;
	for (int i = 0; i < insert->ncolumns; i++)
	{
		const DibsInsertColumn *given = &insert->columns[i];
		Source *source;

		numbers[i] = get_attnum(RelationGetRelid(table), given->name);
		if (numbers[i] == InvalidAttrNumber)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("dibs.\"%s\" has no column \"%s\"", insert->table, given->name),
							errhint("The tables of dibs must not be altered.")));
		source = &shape->sources[numbers[i] - 1];
		source->given = i;
		set_given(shape, TupleDescAttr(desc, numbers[i] - 1), given, source);
		shape->statement.types[i] = given->type;
	}
	for (int a = 0; a < desc->natts; a++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, a);

		if (column->attisdropped)
			continue;
		if (shape->sources[a].given < 0)
			set_preset(shape, table, column, &shape->sources[a]);
		/* it may have something to say to a null, too */
		if (get_typtype(column->atttypid) == TYPTYPE_DOMAIN)
			shape->plain = false;
	}
	shape->statement.sql = MemoryContextStrdup(context, insert_sql(insert, table, numbers));
	shape->if_new = shape->statement;
	if (insert->key != NULL)
		shape->if_new.sql = MemoryContextStrdup(context, psprintf("%s ON CONFLICT ON CONSTRAINT %s DO NOTHING",
																  shape->statement.sql, quote_identifier(insert->key)));
	shape->valid = changes == before;
	return shape;
}

static void
set_shape(DibsInsert *insert, DibsInsertShape *shape)
{
	DibsInsertShape *old = insert->shape;

	MemoryContextSetParent(shape->context, CacheMemoryContext);
	insert->shape = shape;
	if (old == NULL)
	{
		insert->next = first_known;
		first_known = insert;
		return;
	}
	/* a trigger, or a default, may have come here while the old one is in use; plans see to themselves */
	if (strcmp(old->statement.sql, shape->statement.sql) == 0)
	{
		shape->statement.plan = old->statement.plan;
		shape->if_new.plan = old->if_new.plan;
	}
	MemoryContextSetParent(old->context, TopTransactionContext);
}

/* The table, locked, with a shape that is its own. */
static Relation
open_table(DibsInsert *insert)
{
	RangeVar *name = makeRangeVar("dibs", unconstify(char *, insert->table), -1);
	/* under the lock it does not change any more, and what has changed is known */
	Relation table = table_openrv_extended(name, RowExclusiveLock, true);

	if (table == NULL)
		ereport(ERROR, (errcode(DIBS_ERR_STATE), errmsg("dibs.\"%s\" is missing", insert->table),
						errhint("CREATE EXTENSION dibs makes it.")));
	watch();
	if (insert->shape == NULL || !insert->shape->valid || insert->shape->table != RelationGetRelid(table))
		set_shape(insert, make_shape(insert, table));
	pfree(name);
	return table;
}

static bool
is_direct(const DibsInsert *insert, Relation table)
{
	Oid oid = RelationGetRelid(table);

	return insert->shape->plain && ExecutorCheckPerms_hook == NULL && !XactReadOnly && !IsInParallelMode() &&
		   pg_class_aclcheck(oid, GetUserId(), ACL_INSERT) == ACLCHECK_OK &&
		   (!table->rd_rel->relrowsecurity || check_enable_rls(oid, InvalidOid, true) != RLS_ENABLED);
}

/* Of a default's execution nothing is kept: a function of it may write such a row itself, or have failed half-way. */
static Datum
value_of(Source *source, const DibsNewRow *row, ExprContext *context, bool *isnull)
{
	Datum value;

	*isnull = source->given < 0 || row->nulls[source->given] == 'n';
	if (source->preset != NULL)
	{
		if (!IsA(source->preset, Const))
			return ExecEvalExpr(ExecInitExpr(source->preset, NULL), context, isnull);
		*isnull = ((Const *) source->preset)->constisnull;
		return ((Const *) source->preset)->constvalue;
	}
	if (*isnull)
		return (Datum) 0;
	value = row->values[source->given];
	if (source->read)
		return InputFunctionCall(&source->input, TextDatumGetCString(value), source->input_param, source->typmod);
	if (source->length > 0 && VARSIZE_ANY_EXHDR(DatumGetPointer(value)) + VARHDRSZ != (Size) source->length)
		return DirectFunctionCall3(bpchar, value, Int32GetDatum(source->length), BoolGetDatum(false));
	return value;
}

static void
fill(TupleTableSlot *slot, const DibsNewRow *row, EState *estate)
{
	Source *sources = row->into->shape->sources;
	ExprContext *context = GetPerTupleExprContext(estate);
	MemoryContext caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));

	for (int a = 0; a < slot->tts_tupleDescriptor->natts; a++)
		slot->tts_values[a] = value_of(&sources[a], row, context, &slot->tts_isnull[a]);
	ExecStoreVirtualTuple(slot);
	MemoryContextSwitchTo(caller);
}

static void
insert_row(EState *estate, Relation table, const DibsNewRow *row)
{
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *slot = ExecInitExtraTupleSlot(estate, RelationGetDescr(table), &TTSOpsVirtual);

	InitResultRelInfo(target, table, 0, NULL, 0);
	/* where the triggers find it, and the end what is to be closed */
	estate->es_opened_result_relations = lappend(estate->es_opened_result_relations, target);
	ExecOpenIndices(target, false);
	slot->tts_tableOid = RelationGetRelid(table);
	fill(slot, row, estate);
	ExecSimpleRelationInsert(target, estate, slot);
	ResetPerTupleExprContext(estate);
}

static void
insert_directly(const DibsNewRow *rows, Relation *tables, int n)
{
	EState *estate;
	MemoryContext caller;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	estate = CreateExecutorState();
	caller = MemoryContextSwitchTo(estate->es_query_cxt);
	estate->es_snapshot = GetActiveSnapshot();
	estate->es_output_cid = GetCurrentCommandId(true);
	AfterTriggerBeginQuery();
	for (int i = 0; i < n; i++)
		insert_row(estate, tables[i], &rows[i]);
	AfterTriggerEndQuery(estate);
	ExecCloseResultRelations(estate);
	ExecResetTupleTable(estate->es_tupleTable, false);
	MemoryContextSwitchTo(caller);
	FreeExecutorState(estate);
	PopActiveSnapshot();
	CommandCounterIncrement();
}

static uint64
insert_by(DibsStatement *statement, const DibsNewRow *row)
{
	return dibs_execute(statement, unconstify(Datum *, row->values), row->nulls, false, SPI_OK_INSERT);
}

void
dibs_insert(const DibsNewRow *rows, int n)
{
	Relation *tables = palloc(n * sizeof(Relation));
	bool direct = true;

	for (int i = 0; i < n; i++)
	{
		tables[i] = open_table(rows[i].into);
		direct &= is_direct(rows[i].into, tables[i]);
	}
	if (direct)
		insert_directly(rows, tables, n);
	else
	{
		for (int i = 0; i < n; i++)
			(void) insert_by(&rows[i].into->shape->statement, &rows[i]);
	}
	/* the locks stay until the transaction ends, as a statement's do */
	for (int i = 0; i < n; i++)
		table_close(tables[i], NoLock);
	pfree(tables);
}

bool
dibs_insert_if_new(const DibsNewRow *row)
{
	Relation table = open_table(row->into);
	bool written;

	Assert(row->into->key != NULL);
	written = insert_by(&row->into->shape->if_new, row) > 0;
	table_close(table, NoLock);
	return written;
}
