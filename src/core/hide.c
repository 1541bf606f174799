/*
 * hide.c
 *		An error context callback that adds nothing and takes two fields away.
 */
#include "compat.h"

#include "core/hide.h"

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
