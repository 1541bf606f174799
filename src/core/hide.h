/*
 * hide.h
 *		Keeps a statement that holds a secret out of what is logged of its failure.
 */
#ifndef DIBS_CORE_HIDE_H
#define DIBS_CORE_HIDE_H

#include "postgres.h"

/* Until dibs_hide_end, an error logs neither its statement nor its context. The caller's frame holds the callback. */
extern void dibs_hide_begin(ErrorContextCallback *callback);
extern void dibs_hide_end(const ErrorContextCallback *callback);

/* As dibs_hide_begin; and neither pg_stat_activity nor what fails later in the same statement shows its text. */
extern void dibs_hide_statement(ErrorContextCallback *callback);

#endif
