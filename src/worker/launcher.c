/*
 * launcher.c
 *		Finds the databases that have the extension and keeps a worker in each.
 *
 * Whether a database has the extension can only be seen from inside: the launcher sends a worker, which leaves at once
 * when it finds none. A new database, a commit of CREATE EXTENSION and a slow safety timer make it look (again).
 * Workers are asked to leave before DROP DATABASE, RENAME or CREATE DATABASE … TEMPLATE counts who is connected.
 *
 * The launcher's own list of databases is local memory: it is rebuilt by looking.
 */
#include "compat.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "guc.h"
#include "worker/launcher.h"
#include "worker/shmem.h"
#include "queue/wake.h"

/* A worker that died is started again after this, doubled with each death in a row, up to RESTART_MAX_MS. */
#define RESTART_MS 1000
#define RESTART_MAX_MS 60000
/* One that lived this long before it died was well: its death is the first in a row. */
#define HEALTHY_MS 10000
/* A database without the extension is looked at again after so many poll intervals, should a wake-up have been lost. */
#define RECHECK_POLLS 10
/* When others wait for a slot, a worker may stay this long after it last had work. */
#define TURN_MS 5000

typedef struct KnownDatabase
{
	Oid oid;
	char name[NAMEDATALEN];
	bool seen;         /* in this round of pg_database */
	bool no_extension; /* as the last worker found it */
	bool poked;        /* asked for while a worker was there, which may have looked too early */
	int slot;          /* -1: no worker */
	int deaths;        /* in a row */
	TimestampTz not_before;
} KnownDatabase;

static List *databases = NIL; /* of KnownDatabase; those longest without a worker first */
static ProcessUtility_hook_type prev_process_utility = NULL;

static KnownDatabase *
find_database(Oid oid)
{
	ListCell *lc;

	foreach (lc, databases)
	{
		KnownDatabase *db = (KnownDatabase *) lfirst(lc);

		if (db->oid == oid)
			return db;
	}
	return NULL;
}

/* Reads pg_database: databases that take connections, are no templates and are named by dibs.databases. */
static void
read_databases(void)
{
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;
	ListCell *lc;

	foreach (lc, databases)
		((KnownDatabase *) lfirst(lc))->seen = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		KnownDatabase *db;

		if (!form->datallowconn || form->datistemplate || form->datconnlimit == -2 ||
			!dibs_list_contains(dibs_databases, NameStr(form->datname)))
			continue;
		db = find_database(form->oid);
		if (db == NULL)
		{
			MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

			db = palloc0(sizeof(KnownDatabase));
			db->oid = form->oid;
			db->slot = -1;
			databases = lappend(databases, db);
			MemoryContextSwitchTo(old);
		}
		strlcpy(db->name, NameStr(form->datname), NAMEDATALEN);
		db->seen = true;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();

	foreach (lc, databases)
	{
		KnownDatabase *db = (KnownDatabase *) lfirst(lc);

		if (!db->seen && db->slot < 0)
		{
			databases = foreach_delete_current(databases, lc);
			pfree(db);
		}
	}
}

/* Sends away the workers of databases that are not to be served any more. */
static void
dismiss_unwanted(void)
{
	ListCell *lc;

	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	foreach (lc, databases)
	{
		KnownDatabase *db = (KnownDatabase *) lfirst(lc);
		DibsWorkerSlot *slot;

		if (db->seen || db->slot < 0)
			continue;
		slot = &dibs_shared->slots[db->slot];
		slot->leave = true;
		if (slot->latch)
			SetLatch(slot->latch);
	}
	LWLockRelease(dibs_shared->lock);
}

/* Takes note of workers that have left. True when one did. */
static bool
reap(void)
{
	ListCell *lc;
	bool any = false;

	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	foreach (lc, databases)
	{
		KnownDatabase *db = (KnownDatabase *) lfirst(lc);
		DibsWorkerSlot *slot;

		if (db->slot < 0)
			continue;
		slot = &dibs_shared->slots[db->slot];
		/* started long ago and still not attached: the postmaster never got it going */
		if (slot->pid == 0 && (slot->attached || slot->leave ||
							   TimestampDifferenceExceeds(slot->started, GetCurrentTimestamp(), RESTART_MAX_MS)))
		{
			any = true;
			if (slot->no_extension && !db->poked)
			{
				db->no_extension = true;
				db->deaths = 0;
				db->not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
															 (int64) dibs_poll_interval * RECHECK_POLLS);
			}
			else if (slot->leave || slot->no_extension)
			{
				db->deaths = 0;
				db->not_before = GetCurrentTimestamp();
			}
			else
			{
				int64 wait;

				if (slot->attached && TimestampDifferenceExceeds(slot->started, slot->ended, HEALTHY_MS))
					db->deaths = 0;
				wait = Min((int64) RESTART_MS << Min(db->deaths, 16), RESTART_MAX_MS);
				db->deaths++;
				db->not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait);
			}
			slot->database = InvalidOid;
			db->slot = -1;
		}
	}
	LWLockRelease(dibs_shared->lock);
	return any;
}

/* Backends asked to look at databases: forget what was known of them. */
static void
take_pokes(void)
{
	ListCell *lc;

	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	foreach (lc, databases)
	{
		KnownDatabase *db = (KnownDatabase *) lfirst(lc);
		bool poked = dibs_shared->poke_all;

		for (int i = 0; i < dibs_shared->npokes; i++)
			poked = poked || dibs_shared->pokes[i] == db->oid;
		if (poked && db->slot < 0 && db->no_extension)
		{
			db->no_extension = false;
			db->not_before = 0;
		}
		else if (poked && db->slot >= 0)
			db->poked = true;
	}
	dibs_shared->npokes = 0;
	dibs_shared->poke_all = false;
	LWLockRelease(dibs_shared->lock);
}

static bool
start_worker(KnownDatabase *db)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	int index = -1;

	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DIBS_MAX_WORKERS && index < 0; i++)
	{
		if (!OidIsValid(dibs_shared->slots[i].database))
			index = i;
	}
	if (index >= 0 && !dibs_database_is_closed(db->oid))
	{
		DibsWorkerSlot *slot = &dibs_shared->slots[index];

		memset(slot, 0, sizeof(DibsWorkerSlot));
		slot->database = db->oid;
		slot->started = GetCurrentTimestamp();
	}
	else
		index = -1;
	LWLockRelease(dibs_shared->lock);
	if (index < 0)
		return false;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "dibs", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "dibs_worker_main", sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, BGW_MAXLEN, "dibs worker for %s", db->name);
	strlcpy(worker.bgw_type, "dibs worker", BGW_MAXLEN);
	worker.bgw_main_arg = Int32GetDatum(index);
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
		dibs_shared->slots[index].database = InvalidOid;
		LWLockRelease(dibs_shared->lock);
		return false;
	}
	pfree(handle);
	db->poked = false;
	db->slot = index;
	return true;
}

/* Asks the worker that has been without work longest to make room, if one has been for its turn's length. */
static void
ask_for_room(void)
{
	DibsWorkerSlot *idle = NULL;

	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DIBS_MAX_WORKERS; i++)
	{
		DibsWorkerSlot *slot = &dibs_shared->slots[i];

		if (OidIsValid(slot->database) && slot->pid != 0 && !slot->leave && slot->in_flight == 0 &&
			TimestampDifferenceExceeds(Max(slot->active, slot->started), GetCurrentTimestamp(), TURN_MS) &&
			(idle == NULL || Max(slot->active, slot->started) < Max(idle->active, idle->started)))
			idle = slot;
	}
	if (idle)
	{
		idle->leave = true;
		if (idle->latch)
			SetLatch(idle->latch);
	}
	LWLockRelease(dibs_shared->lock);
}

/* Starts what is due; returns the milliseconds until something else will be. */
static long
start_due_workers(void)
{
	static bool complained = false;
	TimestampTz now = GetCurrentTimestamp();
	long wait = dibs_poll_interval;
	int waiting = 0;
	List *started = NIL;
	ListCell *lc;

	foreach (lc, databases)
	{
		KnownDatabase *db = (KnownDatabase *) lfirst(lc);

		if (db->slot >= 0 || !db->seen)
			continue;
		if (db->not_before > now)
		{
			wait = Min(wait, TimestampDifferenceMilliseconds(now, db->not_before) + 1);
			continue;
		}
		if (!dibs_worker_enabled)
			continue;
		if (start_worker(db))
			started = lappend(started, db);
		else if (dibs_database_is_closed(db->oid))
			wait = Min(wait, RESTART_MS);
		else
			waiting++;
	}
	/* who was served goes to the end: that makes turns of it */
	foreach (lc, started)
	{
		databases = list_delete_ptr(databases, lfirst(lc));
		databases = lappend(databases, lfirst(lc));
	}
	list_free(started);

	if (waiting > 0)
	{
		if (!complained)
			ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
							  errmsg("%d databases wait for a dibs worker; they are served in turns", waiting),
							  errhint("Raise max_worker_processes.")));
		ask_for_room();
		wait = Min(wait, RESTART_MS);
	}
	complained = waiting > 0;
	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	dibs_shared->waiting = waiting;
	LWLockRelease(dibs_shared->lock);
	return wait;
}

static void
launcher_detach(int code, Datum arg)
{
	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	if (dibs_shared->launcher_pid == MyProcPid)
	{
		dibs_shared->launcher_pid = 0;
		dibs_shared->launcher_latch = NULL;
	}
	LWLockRelease(dibs_shared->lock);
}

/* Slots that a dead launcher left behind: workers still there are adopted, the others freed. */
static void
adopt_slots(void)
{
	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	dibs_shared->launcher_pid = MyProcPid;
	dibs_shared->launcher_latch = MyLatch;
	for (int i = 0; i < DIBS_MAX_WORKERS; i++)
	{
		DibsWorkerSlot *slot = &dibs_shared->slots[i];
		KnownDatabase *db;

		if (!OidIsValid(slot->database))
			continue;
		if (slot->pid == 0)
		{
			slot->database = InvalidOid;
			continue;
		}
		db = find_database(slot->database);
		if (db)
			db->slot = i;
		else
			slot->leave = true;
	}
	LWLockRelease(dibs_shared->lock);
}

void
dibs_launcher_main(Datum arg)
{
	MemoryContext tick;
	uint32 wait_event;

	/* die(), not a flag of our own: core's waits know it, so a shutdown never hangs on us */
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("dibs launcher");
	wait_event = dibs_wait_event("DibsLauncherMain");

	before_shmem_exit(launcher_detach, (Datum) 0);
	read_databases();
	adopt_slots();
	tick = AllocSetContextCreate(TopMemoryContext, "dibs launcher tick", ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		long wait;
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		AcceptInvalidationMessages();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		old = MemoryContextSwitchTo(tick);
		read_databases();
		dismiss_unwanted();
		(void) reap();
		take_pokes();
		MemoryContextSwitchTo(TopMemoryContext);
		wait = start_due_workers();
		MemoryContextSwitchTo(old);
		MemoryContextReset(tick);
		pgstat_report_stat(false);

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait, wait_event);
		ResetLatch(MyLatch);
	}
}

/* The database that a utility statement is about to need to itself, or InvalidOid. */
static Oid
database_in_question(Node *statement)
{
	const char *name = NULL;

	if (IsA(statement, DropdbStmt))
		name = ((DropdbStmt *) statement)->dbname;
	else if (IsA(statement, RenameStmt) && ((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
		name = ((RenameStmt *) statement)->subname;
	else if (IsA(statement, AlterDatabaseStmt))
	{
		ListCell *lc;

		foreach (lc, ((AlterDatabaseStmt *) statement)->options)
		{
			if (strcmp(((DefElem *) lfirst(lc))->defname, "tablespace") == 0)
				name = ((AlterDatabaseStmt *) statement)->dbname;
		}
	}
	else if (IsA(statement, CreatedbStmt))
	{
		ListCell *lc;

		foreach (lc, ((CreatedbStmt *) statement)->options)
		{
			DefElem *option = (DefElem *) lfirst(lc);

			if (strcmp(option->defname, "template") == 0 && option->arg != NULL && IsA(option->arg, String))
				name = strVal(option->arg);
		}
	}
	return name ? get_database_oid(name, true) : InvalidOid;
}

/*
 * All of these statements are the owner's, as far as databases with a worker go (a template has none): who may not run
 * one may not send the worker away either, whose requests on the wire would then be of unknown fate.
 */
static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	bool top = context == PROCESS_UTILITY_TOPLEVEL;
	Oid database = top && dibs_shared ? database_in_question(pstmt->utilityStmt) : InvalidOid;

	if (OidIsValid(database) && !dibs_owns_database(GetUserId(), database))
		database = InvalidOid;
	PG_TRY();
	{
		if (OidIsValid(database))
			dibs_close_database(database);
		if (prev_process_utility)
			prev_process_utility(pstmt, query, read_only_tree, context, params, env, dest, qc);
		else
			standard_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest, qc);
	}
	PG_FINALLY();
	{
		if (OidIsValid(database))
			dibs_reopen_database(database);
	}
	PG_END_TRY();
	/* a new database may have come with the extension in its template */
	if (top && dibs_shared && IsA(pstmt->utilityStmt, CreatedbStmt))
		dibs_recheck_at_commit();
}

void
dibs_launcher_init(void)
{
	BackgroundWorker worker;

	dibs_shmem_init();
	/* pg_upgrade runs the server only to move catalogs: nothing may be sent */
	if (IsBinaryUpgrade)
		return;
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	strlcpy(worker.bgw_library_name, "dibs", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "dibs_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "dibs launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "dibs launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}
