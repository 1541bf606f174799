/*
 * worker.c
 *		One database's worker: waits, ticks the engine, leaves when asked.
 */
#include "compat.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "guc.h"
#include "worker/engine.h"
#include "worker/launcher.h"
#include "worker/shmem.h"
#include "worker/version.h"

/* After an error the worker rests this long, doubled with each in a row, so that the log is not flooded. */
#define REST_MS 1000
#define REST_MAX_MS 60000
/* Our statements skip locked rows; where one could still wait for an application, it waits no longer than this. */
#define LOCK_WAIT "100ms"

static bool
extension_is_here(void)
{
	bool here;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	here = OidIsValid(get_extension_oid("dibs", true));
	CommitTransactionCommand();
	return here;
}

static void
report_hold(const char *hold)
{
	static char last[256];

	dibs_slot_report(DIBS_WORKER_HOLDING, hold);
	if (strcmp(last, hold) == 0)
		return;
	strlcpy(last, hold, sizeof(last));
	ereport(WARNING, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					  errmsg("dibs does nothing in this database: %s", hold)));
}

/* One tick, with whatever goes wrong in it caught. Returns how long to wait, ms. */
static long
tick(DibsEngine *engine, MemoryContext home)
{
	static int errors = 0;
	volatile long wait = 0;
	int budget = INT_MAX;

	PG_TRY();
	{
		DibsWorkerSlot *slot = dibs_my_slot();
		const char *hold;
		bool busy;

		wait = dibs_engine_tick(engine, &budget);
		errors = 0;
		hold = dibs_engine_hold(engine);
		busy = dibs_engine_in_flight(engine) > 0 || wait == 0;
		if (hold != NULL)
			report_hold(hold);
		else
		{
			if (slot->state != (busy ? DIBS_WORKER_WORKING : DIBS_WORKER_IDLE) || busy)
				dibs_slot_report(busy ? DIBS_WORKER_WORKING : DIBS_WORKER_IDLE, NULL);
			pgstat_report_activity(busy ? STATE_RUNNING : STATE_IDLE, NULL);
		}
		slot->in_flight = dibs_engine_in_flight(engine);
	}
	PG_CATCH();
	{
		ErrorData *error;

		/* a failed settle is tried again one by one, at once; anything else after a rest */
		MemoryContextSwitchTo(home);
		HOLD_INTERRUPTS();
		error = CopyErrorData();
		EmitErrorReport();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(home);
		FlushErrorState();
		if (dibs_engine_recover(engine, error->message))
			wait = 0;
		else
		{
			wait = Min((long) REST_MS << Min(errors, 16), REST_MAX_MS);
			errors++;
		}
		FreeErrorData(error);
		pgstat_report_activity(STATE_IDLE, NULL);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(home);
	return wait;
}

void
dibs_worker_main(Datum arg)
{
	int index = DatumGetInt32(arg);
	MemoryContext home;
	DibsEngine *engine;
	uint32 wait_event;

	/* die(), not a flag of our own: core's waits know it, so a shutdown never hangs on us */
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	if (!dibs_slot_attach(index))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(dibs_my_slot()->database, InvalidOid, 0);
	pgstat_report_appname("dibs worker");
	/* as autovacuum does: what a database or role sets for its sessions is not meant for us */
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	/* not before PostgreSQL 17 */
	if (GetConfigOption("transaction_timeout", true, false) != NULL)
		SetConfigOption("transaction_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("idle_in_transaction_session_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", LOCK_WAIT, PGC_SUSET, PGC_S_OVERRIDE);
	wait_event = dibs_wait_event("DibsWorkerMain");

	if (!extension_is_here())
	{
		dibs_slot_report(DIBS_WORKER_NO_EXTENSION, NULL);
		proc_exit(0);
	}
	home = AllocSetContextCreate(TopMemoryContext, "dibs worker", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(home);
	engine = dibs_engine_create(home, false);

	for (;;)
	{
		long wait;
		int events;

		/* a cancel is for a statement, and between two ticks none is running: it must not end the process */
		QueryCancelPending = false;
		CHECK_FOR_INTERRUPTS();
		/* what is in flight is on record: whoever works here next looks it up */
		if (dibs_slot_should_leave())
			proc_exit(0);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			dibs_engine_wake(engine);
		}

		if (!dibs_worker_enabled)
		{
			dibs_slot_report(DIBS_WORKER_OFF, "dibs.worker is off");
			wait = dibs_poll_interval;
		}
		else
		{
			wait = tick(engine, home);
			if (dibs_engine_absent(engine))
			{
				dibs_slot_report(DIBS_WORKER_NO_EXTENSION, NULL);
				proc_exit(0);
			}
		}

		events = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
								   dibs_engine_socket(engine), wait, wait_event);
		if (events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			dibs_engine_wake(engine);
		}
	}
}
