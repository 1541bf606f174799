/*
 * drain.c
 *		CALL dibs.drain(): the worker's job in the caller's session, for where no worker runs.
 *
 * The same engine; its transactions are the procedure's. Between two of them nothing is open: while requests are on the
 * wire this session holds neither a snapshot nor a transaction id.
 */
#include "compat.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#include "errors.h"
#include "worker/engine.h"

PG_FUNCTION_INFO_V1(dibs_drain);

/*
 * Ends an ERROR and gives a copy of it: the engine's subtransaction takes with it what was open below it, SPI's
 * connections and pinned portals too. An error that went on without that would leave the session in the subtransaction.
 */
static ErrorData *
end_error(int level, MemoryContext home)
{
	ErrorData *error;

	MemoryContextSwitchTo(home);
	HOLD_INTERRUPTS();
	error = CopyErrorData();
	FlushErrorState();
	while (GetCurrentTransactionNestLevel() > level)
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(home);
	RESUME_INTERRUPTS();
	return error;
}

/*
 * One tick. What can't be written is put off, and the others go on, as in the worker; any other error ends the call.
 */
static long
tick(DibsEngine *engine, int *budget, MemoryContext home)
{
	int level = GetCurrentTransactionNestLevel();
	volatile long wait = 0;

	PG_TRY();
	{
		wait = dibs_engine_tick(engine, budget);
	}
	PG_CATCH();
	{
		ErrorData *error;

		/* ends the call, which cleans up */
		if (geterrcode() == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		error = end_error(level, home);
		SPI_rollback();
		MemoryContextSwitchTo(home);
		if (!dibs_engine_recover(engine, error->message))
			ReThrowError(error);
		ereport(WARNING, (errcode(error->sqlerrcode), errmsg("a piece of work has to wait: %s", error->message),
						  errhint("The others go on; this one is tried again later.")));
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(home);
	return wait;
}

static void
work(DibsEngine *engine, int budget, MemoryContext home)
{
	uint32 wait_event = dibs_wait_event("DibsDrain");

	for (;;)
	{
		long wait = tick(engine, &budget, home);

		/* done when nothing is on the wire or waits for its turn, and nothing (more) may or can be claimed */
		if (!dibs_engine_busy(engine) && (budget <= 0 || wait > 0))
			break;
		(void) WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
								 dibs_engine_socket(engine), wait, wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(home);
	}
}

Datum
dibs_drain(PG_FUNCTION_ARGS)
{
	bool atomic = fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
				  ((CallContext *) fcinfo->context)->atomic;
	int budget;
	MemoryContext home;
	DibsEngine *engine;
	int level;
	const char *hold;

	if (PG_ARGISNULL(0) || PG_GETARG_INT32(0) < 1)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("max_jobs must be at least 1")));
	budget = PG_GETARG_INT32(0);
	if (atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("dibs.drain() can't run inside a transaction block or a function"),
				 errhint("It commits between claiming, calling and settling: use CALL dibs.drain() on its own.")));

	SPI_connect_ext(SPI_OPT_NONATOMIC);
	/* the call's own transaction has a snapshot already; the engine's are READ COMMITTED */
	SPI_commit();
	/* PortalContext lives through the commits in between, and ends with the call, by an error too */
	home = AllocSetContextCreate(PortalContext, "dibs drain", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(home);
	engine = dibs_engine_create(home, true);

	level = GetCurrentTransactionNestLevel();
	PG_TRY();
	{
		work(engine, budget, home);
	}
	PG_CATCH();
	{
		/* what recovering from another error has met, too */
		ReThrowError(end_error(level, home));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(home);
	hold = dibs_engine_hold(engine);
	if (hold != NULL)
		ereport(WARNING, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						  errmsg("dibs does nothing in this database: %s", hold)));
	MemoryContextSwitchTo(PortalContext);
	MemoryContextDelete(home);
	SPI_finish();
	PG_RETURN_VOID();
}
