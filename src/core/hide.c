/*
 * hide.c
 *		An error context callback that adds nothing and takes two fields away.
 */
#include "compat.h"

#include "pgstat.h"
#include "tcop/tcopprot.h"

#include "core/hide.h"

static const char hidden_statement[] = "<a statement with a secret>";

static void
hide_statement(void *arg)
{
	errhidestmt(true);
	errhidecontext(true);
}

void
dibs_hide_begin(ErrorContextCallback *callback)
{
	callback->callback = hide_statement;
	callback->arg = NULL;
	callback->previous = error_context_stack;
	error_context_stack = callback;
}

void
dibs_hide_end(const ErrorContextCallback *callback)
{
	error_context_stack = callback->previous;
}

void
dibs_hide_statement(ErrorContextCallback *callback)
{
	dibs_hide_begin(callback);
	/* What fails later in the same statement logs this instead of its text. */
	debug_query_string = hidden_statement;
	pgstat_report_activity(STATE_RUNNING, hidden_statement);
}
