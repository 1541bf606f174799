/*
 * statement.h
 *		A statement that a C file runs: its text stands near its use, its plan is made once a backend.
 */
#ifndef DIBS_BOOKING_STATEMENT_H
#define DIBS_BOOKING_STATEMENT_H

#include "postgres.h"

#include "executor/spi.h"

typedef struct DibsStatement
{
	const char *sql;
	int nargs;
	Oid types[8];
	SPIPlanPtr plan; /* NULL: not prepared yet */
} DibsStatement;

/* Runs it, with the result in SPI_tuptable; gives the number of rows. nulls may be NULL: none is null. */
extern uint64 dibs_statement_run(DibsStatement *statement, Datum *values, const bool *nulls);

/* The same for a list of parameters that is longer than eight. */
extern uint64 dibs_plan_run(SPIPlanPtr *plan, const char *sql, int nargs, const Oid *types, Datum *values,
							const bool *nulls);

/* A value of the first row, copied into the caller's memory context; NULL where it is null. */
extern char *dibs_result_text(int row, int column);

#endif
