/*
 * probe.h
 *		A row by the equality of an index's columns, without a plan: for what every webhook looks up. A statement costs
 *		several times what it finds.
 */
#ifndef DIBS_QUEUE_PROBE_H
#define DIBS_QUEUE_PROBE_H

#include "postgres.h"

#define DIBS_PROBE_KEYS 2
#define DIBS_PROBE_COLUMNS 3

typedef struct DibsProbe
{
	const char *table; /* in schema dibs */
	const char *index; /* a unique btree, or one that says whether there is a row, of texts, chars and expressions */
	int nkeys;
	const char *columns[DIBS_PROBE_COLUMNS]; /* whose values are asked for; NULL: no more */
} DibsProbe;

/*
 * Looks for keys, one text for each column of the index, in what is committed now and in what this transaction has
 * written. False: there is none. Else the columns of one row as texts in the current context, NULL for SQL null; values
 * may be NULL where none is asked for. Privileges and row-level security are not looked at. 55000 where there is
 * no such index, or it is not valid.
 */
extern bool dibs_probe(const DibsProbe *probe, const char *const *keys, char **values);

#endif
