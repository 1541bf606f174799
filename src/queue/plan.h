/*
 * plan.h
 *		Saved plans, arrays for bulk statements, and the settings under which dibs' own statements run.
 */
#ifndef DIBS_QUEUE_PLAN_H
#define DIBS_QUEUE_PLAN_H

#include "postgres.h"

#include "executor/spi.h"
#include "utils/timestamp.h"

/* A statement near its use: its text, and the plan that the first use saves for the life of the process. */
typedef struct DibsStatement
{
	const char *sql;
	int nargs;
	Oid types[64];
	SPIPlanPtr plan;
} DibsStatement;

/*
 * Runs it under SPI (connected); read_only and nulls as in SPI_execute_plan. Its plan is one for all values, made under
 * dibs_settings_begin()'s settings, which would cost more than many a statement if they were set each time; who comes
 * with another search_path, or has custom plans forced, pays for that. Returns SPI_processed.
 */
extern uint64 dibs_execute(DibsStatement *statement, Datum *values, const char *nulls, bool read_only, int expect);

/* Column of a row of the last result as a C string in the current context; NULL for SQL null. 1-based. */
extern char *dibs_column(uint64 row, int column);
extern int dibs_column_int(uint64 row, int column);
extern bool dibs_column_bool(uint64 row, int column);
extern TimestampTz dibs_column_time(uint64 row, int column); /* 0 for null */

/* The i-th of a statement's arguments: a NULL string and a time of 0 become SQL nulls. */
extern void dibs_set_text(Datum *values, char *nulls, int i, const char *text);
extern void dibs_set_time(Datum *values, char *nulls, int i, TimestampTz at);

/* Bulk arguments. A NULL string becomes an SQL null; in the columns below a NULL bytea and a time of 0, too. */
extern Datum dibs_text_array(const char *const *values, int n);
extern Datum dibs_int_array(const int *values, int n);

/*
 * Parallel arrays for a bulk statement, built a row at a time. kinds has a letter for each column: t const char *,
 * i int, b bool, z TimestampTz, y bytea *; rows give their values in that order.
 */
typedef struct DibsColumns DibsColumns;
extern DibsColumns *dibs_columns(const char *kinds);
extern void dibs_add_row(DibsColumns *columns, ...);

/* The arrays, as arguments from values[0] on. Returns how many rows there are. */
extern int dibs_column_arrays(DibsColumns *columns, Datum *values);

/*
 * Settings for dibs' own statements until the nest level is closed: a search_path that nobody can plant operators in,
 * and plans that follow the due list's index however wrong the statistics of a churning table are.
 */
extern int dibs_settings_begin(void);
extern void dibs_settings_end(int level);

#endif
