/*
 * statement.c
 *		Saved plans for SPI.
 */
#include "compat.h"

#include "errors.h"
#include "booking/statement.h"

#define MAX_PARAMETERS 64

uint64
dibs_plan_run(SPIPlanPtr *plan, const char *sql, int nargs, const Oid *types, Datum *values, const bool *nulls)
{
	char null_flags[MAX_PARAMETERS];
	int rc;

	Assert(nargs <= MAX_PARAMETERS);
	if (*plan == NULL)
	{
		SPIPlanPtr made = SPI_prepare(sql, nargs, unconstify(Oid *, types));

		if (made == NULL || SPI_keepplan(made) != 0)
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("could not prepare a statement: %s", SPI_result_code_string(SPI_result))));
		*plan = made;
	}
	for (int i = 0; i < nargs; i++)
		null_flags[i] = nulls != NULL && nulls[i] ? 'n' : ' ';
	rc = SPI_execute_plan(*plan, values, null_flags, false, 0);
	if (rc < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not run a statement: %s", SPI_result_code_string(rc))));
	return SPI_processed;
}

uint64
dibs_statement_run(DibsStatement *statement, Datum *values, const bool *nulls)
{
	return dibs_plan_run(&statement->plan, statement->sql, statement->nargs, statement->types, values, nulls);
}

char *
dibs_result_text(int row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}
