/*
 * plan.c
 *		Saved plans, bulk arguments, and the settings of dibs' own statements.
 */
#include "compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/plancache.h"

#include "queue/plan.h"

/* As every function of dibs' that is called from outside sets it: to change it has every plan look it up anew. */
#define SEARCH_PATH "pg_catalog, pg_temp"

static void
prepare(DibsStatement *statement)
{
	SPIPlanPtr plan = SPI_prepare_cursor(statement->sql, statement->nargs, statement->types, CURSOR_OPT_GENERIC_PLAN);

	if (plan == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg_internal("could not prepare: %s", SPI_result_code_string(SPI_result))));
	SPI_keepplan(plan);
	statement->plan = plan;
}

/* Under dibs' settings, which end before it is executed: what that calls, triggers of applications' too, has its own.
 */
static void
make_plan(DibsStatement *statement)
{
	int level = dibs_settings_begin();
	CachedPlan *made;

	if (statement->plan == NULL)
		prepare(statement);
	made = SPI_plan_get_cached_plan(statement->plan);
	if (made != NULL)
		ReleaseCachedPlan(made, CurrentResourceOwner);
	dibs_settings_end(level);
}

uint64
dibs_execute(DibsStatement *statement, Datum *values, const char *nulls, bool read_only, int expect)
{
	/* SPI leaves its own context current, which goes with SPI_finish(): what the caller makes next must not */
	MemoryContext context = CurrentMemoryContext;
	/* here a plan is made anew by each execution, or by each that comes from elsewhere */
	bool foreign = plan_cache_mode == PLAN_CACHE_MODE_FORCE_CUSTOM_PLAN ||
				   strcmp(namespace_search_path, SEARCH_PATH) != 0;
	int level = 0;
	int rc;

	/* what has changed is heard of now, not by the first lock of the execution: that would plan under the caller's */
	AcceptInvalidationMessages();
	if (statement->plan == NULL || !SPI_plan_is_valid(statement->plan))
		make_plan(statement);
	if (foreign)
		level = dibs_settings_begin();
	rc = SPI_execute_plan(statement->plan, values, nulls, read_only, 0);
	if (foreign)
		dibs_settings_end(level);
	MemoryContextSwitchTo(context);
	if (rc != expect)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg_internal("unexpected result of a statement: %s", SPI_result_code_string(rc))));
	return SPI_processed;
}

char *
dibs_column(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

static Datum
column_datum(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

int
dibs_column_int(uint64 row, int column)
{
	bool isnull;
	Datum value = column_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

bool
dibs_column_bool(uint64 row, int column)
{
	bool isnull;
	Datum value = column_datum(row, column, &isnull);

	return !isnull && DatumGetBool(value);
}

TimestampTz
dibs_column_time(uint64 row, int column)
{
	bool isnull;
	Datum value = column_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

void
dibs_set_text(Datum *values, char *nulls, int i, const char *text)
{
	nulls[i] = text == NULL ? 'n' : ' ';
	values[i] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

void
dibs_set_time(Datum *values, char *nulls, int i, TimestampTz at)
{
	nulls[i] = at == 0 ? 'n' : ' ';
	values[i] = TimestampTzGetDatum(at);
}

static Datum
make_array(Datum *datums, bool *nulls, int n, Oid type, int16 len, bool byval, char align)
{
	int dims[1] = {n};
	int lbs[1] = {1};

	return PointerGetDatum(construct_md_array(datums, nulls, 1, dims, lbs, type, len, byval, align));
}

Datum
dibs_text_array(const char *const *values, int n)
{
	Datum *datums = palloc0(sizeof(Datum) * Max(n, 1));
	bool *nulls = palloc0(sizeof(bool) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		nulls[i] = values[i] == NULL;
		if (!nulls[i])
			datums[i] = CStringGetTextDatum(values[i]);
	}
	return make_array(datums, nulls, n, TEXTOID, -1, false, TYPALIGN_INT);
}

Datum
dibs_int_array(const int *values, int n)
{
	Datum *datums = palloc0(sizeof(Datum) * Max(n, 1));
	bool *nulls = palloc0(sizeof(bool) * Max(n, 1));

	for (int i = 0; i < n; i++)
		datums[i] = Int32GetDatum(values[i]);
	return make_array(datums, nulls, n, INT4OID, 4, true, TYPALIGN_INT);
}

struct DibsColumns
{
	const char *kinds;
	int rows;
	int room;
	Datum *datums[32];
	bool *nulls[32];
};

DibsColumns *
dibs_columns(const char *kinds)
{
	DibsColumns *columns = palloc0(sizeof(DibsColumns));

	Assert(strlen(kinds) <= lengthof(columns->datums));
	columns->kinds = kinds;
	columns->room = 16;
	for (int c = 0; kinds[c]; c++)
	{
		columns->datums[c] = palloc(columns->room * sizeof(Datum));
		columns->nulls[c] = palloc(columns->room * sizeof(bool));
	}
	return columns;
}

static void
make_room(DibsColumns *columns)
{
	columns->room *= 2;
	for (int c = 0; columns->kinds[c]; c++)
	{
		columns->datums[c] = repalloc(columns->datums[c], columns->room * sizeof(Datum));
		columns->nulls[c] = repalloc(columns->nulls[c], columns->room * sizeof(bool));
	}
}

void
dibs_add_row(DibsColumns *columns, ...)
{
	int row = columns->rows++;
	va_list args;

	if (row >= columns->room)
		make_room(columns);
	va_start(args, columns);
	for (int c = 0; columns->kinds[c]; c++)
	{
		Datum value = (Datum) 0;
		bool isnull = false;

		switch (columns->kinds[c])
		{
			case 'i':
				value = Int32GetDatum(va_arg(args, int));
				break;
			case 'b':
				value = BoolGetDatum(va_arg(args, int) != 0);
				break;
			case 'z':
			{
				TimestampTz at = va_arg(args, TimestampTz);

				isnull = at == 0;
				value = TimestampTzGetDatum(at);
				break;
			}
			case 'y':
			{
				bytea *bytes = va_arg(args, bytea *);

				isnull = bytes == NULL;
				value = PointerGetDatum(bytes);
				break;
			}
			default:
			{
				const char *text = va_arg(args, const char *);

				isnull = text == NULL;
				if (!isnull)
					value = CStringGetTextDatum(text);
				break;
			}
		}
		columns->datums[c][row] = value;
		columns->nulls[c][row] = isnull;
	}
	va_end(args);
}

int
dibs_column_arrays(DibsColumns *columns, Datum *values)
{
	for (int c = 0; columns->kinds[c]; c++)
	{
		Datum *datums = columns->datums[c];
		bool *nulls = columns->nulls[c];

		switch (columns->kinds[c])
		{
			case 'i':
				values[c] = make_array(datums, nulls, columns->rows, INT4OID, 4, true, TYPALIGN_INT);
				break;
			case 'b':
				values[c] = make_array(datums, nulls, columns->rows, BOOLOID, 1, true, TYPALIGN_CHAR);
				break;
			case 'z':
				values[c] = make_array(datums, nulls, columns->rows, TIMESTAMPTZOID, sizeof(TimestampTz),
									   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
				break;
			case 'y':
				values[c] = make_array(datums, nulls, columns->rows, BYTEAOID, -1, false, TYPALIGN_INT);
				break;
			default:
				values[c] = make_array(datums, nulls, columns->rows, TEXTOID, -1, false, TYPALIGN_INT);
				break;
		}
	}
	return columns->rows;
}

int
dibs_settings_begin(void)
{
	static const char *const settings[][2] = {
		{"search_path", SEARCH_PATH},
		{"enable_seqscan", "off"},
		{"enable_bitmapscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"jit", "off"},
		{"plan_cache_mode", "force_generic_plan"},
	};
	int level = NewGUCNestLevel();

	for (int i = 0; i < (int) lengthof(settings); i++)
	{
		if (i == 0 && strcmp(namespace_search_path, settings[i][1]) == 0)
			continue;
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	}
	return level;
}

void
dibs_settings_end(int level)
{
	AtEOXact_GUC(true, level);
}
