/*
 * insert.h
 *		New rows, written without a plan: for what every webhook writes. A statement costs as much again as its row.
 */
#ifndef DIBS_QUEUE_INSERT_H
#define DIBS_QUEUE_INSERT_H

#include "postgres.h"

/* A column that is given, and the type of its values: the column's own, or text for one of another type (an enum). */
typedef struct DibsInsertColumn
{
	const char *name;
	Oid type;
} DibsInsertColumn;

/* Near its use, as a DibsStatement is. */
typedef struct DibsInsert
{
	const char *table; /* in schema dibs */
	const DibsInsertColumn *columns;
	int ncolumns;
	const char *key; /* the constraint that dibs_insert_if_new() minds; NULL: none */
	struct DibsInsertShape
		*shape; /* what the table looks like: noted by the first use, and by the next after a change */
	struct DibsInsert *next;
} DibsInsert;

/* values and nulls as in SPI_execute_plan, one for each column that is given; the others get their defaults. */
typedef struct DibsNewRow
{
	DibsInsert *into;
	const Datum *values;
	const char *nulls;
} DibsNewRow;

/*
 * Writes rows, in this order, as one command: defaults, row triggers, checks, indexes, foreign keys as with INSERT.
 * Where there is more to it than that, it is INSERT itself, a statement a row (SPI must be connected), so that a row's
 * AFTER triggers do not see those that come later: rules, policies that apply, triggers of statements, domains, a
 * privilege that is missing, somebody who looks at every statement's privileges (pgaudit), Citus, a transaction that
 * may not write. Raises whatever the tables raise, and 42703 where a column is missing.
 */
extern void dibs_insert(const DibsNewRow *rows, int n);

/*
 * INSERT … ON CONFLICT ON CONSTRAINT its key DO NOTHING, a statement always (SPI must be connected). False: a row with
 * that key was there, or a trigger kept the new one out.
 */
extern bool dibs_insert_if_new(const DibsNewRow *row);

#endif
