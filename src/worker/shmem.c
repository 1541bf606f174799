/*
 * shmem.c
 *		Shared memory: worker slots, wake-ups, databases to keep away from, counters.
 */
#include "compat.h"

#include "access/xact.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/wait_event.h"

#include "guc.h"
#include "worker/shmem.h"
#include "queue/wake.h"

/* Longest wait for a worker to leave a database that somebody wants to drop, rename or copy. */
#define LEAVE_WAIT_MS 5000
/* A closed database opens again by itself after this, should the backend that closed it have died. */
#define CLOSED_MS 60000

DibsShared *dibs_shared = NULL;

static int my_slot = -1;
static bool wake_wanted = false;
static bool recheck_wanted = false;
static bool callback_registered = false;

static shmem_request_hook_type prev_shmem_request = NULL;
static shmem_startup_hook_type prev_shmem_startup = NULL;

static void
shmem_request(void)
{
	if (prev_shmem_request)
		prev_shmem_request();
	RequestAddinShmemSpace(MAXALIGN(sizeof(DibsShared)));
	RequestNamedLWLockTranche("dibs", 2);
}

static void
shmem_startup(void)
{
	bool found;

	if (prev_shmem_startup)
		prev_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	dibs_shared = ShmemInitStruct("dibs", sizeof(DibsShared), &found);
	if (!found)
	{
		memset(dibs_shared, 0, sizeof(DibsShared));
		for (int i = 0; i < DIBS_MAX_SOURCES; i++)
			pg_atomic_init_u64(&dibs_shared->refused[i].count, 0);
		for (int i = 0; i < DIBS_MAX_PROVIDERS; i++)
		{
			DibsCallCounts *counts = &dibs_shared->calls[i];

			pg_atomic_init_u64(&counts->calls, 0);
			pg_atomic_init_u64(&counts->failures, 0);
			pg_atomic_init_u64(&counts->throttled, 0);
			pg_atomic_init_u64(&counts->refusals, 0);
			pg_atomic_init_u64(&counts->microseconds, 0);
		}
		dibs_shared->lock = &GetNamedLWLockTranche("dibs")[0].lock;
		dibs_shared->pace_lock = &GetNamedLWLockTranche("dibs")[1].lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

void
dibs_shmem_init(void)
{
	prev_shmem_request = shmem_request_hook;
	shmem_request_hook = shmem_request;
	prev_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
}

/* Sets the latch of this database's worker, or has the launcher look at the database when it has none. */
static void
wake(bool recheck)
{
	bool served = false;
	bool known = false;

	/* shared first: with a worker in place nothing is written, and committers don't queue up here */
	LWLockAcquire(dibs_shared->lock, LW_SHARED);
	for (int i = 0; i < DIBS_MAX_WORKERS; i++)
	{
		DibsWorkerSlot *slot = &dibs_shared->slots[i];

		if (slot->database == MyDatabaseId)
		{
			served = true;
			if (slot->latch)
				SetLatch(slot->latch);
		}
	}
	LWLockRelease(dibs_shared->lock);
	/* where no worker is to be, nobody needs to look for one */
	if (served && !recheck)
		return;
	if (!dibs_worker_enabled && !recheck)
		return;
	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < dibs_shared->npokes; i++)
		known = known || dibs_shared->pokes[i] == MyDatabaseId;
	if (!known && dibs_shared->npokes < DIBS_MAX_POKES)
		dibs_shared->pokes[dibs_shared->npokes++] = MyDatabaseId;
	else if (!known)
		dibs_shared->poke_all = true;
	/* once is enough until the launcher has taken it up */
	if (!known && dibs_shared->launcher_latch)
		SetLatch(dibs_shared->launcher_latch);
	LWLockRelease(dibs_shared->lock);
}

static void
at_xact_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (wake_wanted)
			{
				bool recheck = recheck_wanted;

				wake_wanted = recheck_wanted = false;
				wake(recheck);
			}
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			wake_wanted = recheck_wanted = false;
			break;
		default:
			break;
	}
}

/* Registered once for the life of the process: one callback, however many rows and transactions. */
void
dibs_wake_at_commit(void)
{
	if (dibs_shared == NULL)
		return;
	if (!callback_registered)
	{
		RegisterXactCallback(at_xact_end, NULL);
		callback_registered = true;
	}
	wake_wanted = true;
}

void
dibs_recheck_at_commit(void)
{
	dibs_wake_at_commit();
	recheck_wanted = true;
}

void
dibs_count_refused(const char *source)
{
	int free_entry = -1;

	if (dibs_shared == NULL)
		return;
	for (int i = 0; i < DIBS_MAX_SOURCES; i++)
	{
		if (strcmp(dibs_shared->refused[i].source, source) == 0)
		{
			pg_atomic_fetch_add_u64(&dibs_shared->refused[i].count, 1);
			return;
		}
		if (free_entry < 0 && dibs_shared->refused[i].source[0] == '\0')
			free_entry = i;
	}
	if (free_entry < 0)
		return;
	/* Two backends may claim one entry for one source at once; the lock and the second look make it one. */
	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DIBS_MAX_SOURCES; i++)
	{
		if (dibs_shared->refused[i].source[0] == '\0')
			strlcpy(dibs_shared->refused[i].source, source, NAMEDATALEN);
		if (strcmp(dibs_shared->refused[i].source, source) == 0)
		{
			pg_atomic_fetch_add_u64(&dibs_shared->refused[i].count, 1);
			break;
		}
	}
	LWLockRelease(dibs_shared->lock);
}

/* Registered before the slot is filled in; leaves the slot only if it is still ours. */
static void
slot_detach(int code, Datum arg)
{
	DibsWorkerSlot *slot;

	if (my_slot < 0)
		return;
	slot = &dibs_shared->slots[my_slot];
	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	if (slot->pid == MyProcPid)
	{
		slot->pid = 0;
		slot->latch = NULL;
		slot->ended = GetCurrentTimestamp();
		slot->in_flight = slot->claimed = 0;
		/* the launcher frees the slot: it wants to know how it ended */
		if (dibs_shared->launcher_latch)
			SetLatch(dibs_shared->launcher_latch);
	}
	LWLockRelease(dibs_shared->lock);
	my_slot = -1;
}

bool
dibs_slot_attach(int index)
{
	DibsWorkerSlot *slot = &dibs_shared->slots[index];
	bool wanted;

	before_shmem_exit(slot_detach, (Datum) 0);
	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	wanted = OidIsValid(slot->database) && slot->pid == 0 && !slot->leave;
	if (wanted)
	{
		my_slot = index;
		slot->pid = MyProcPid;
		slot->latch = MyLatch;
		slot->attached = true;
	}
	LWLockRelease(dibs_shared->lock);
	return wanted;
}

DibsWorkerSlot *
dibs_my_slot(void)
{
	return my_slot < 0 ? NULL : &dibs_shared->slots[my_slot];
}

void
dibs_slot_report(DibsWorkerState state, const char *detail)
{
	DibsWorkerSlot *slot = dibs_my_slot();

	if (slot == NULL)
		return;
	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	slot->state = state;
	strlcpy(slot->detail, detail ? detail : "", sizeof(slot->detail));
	if (state == DIBS_WORKER_WORKING)
		slot->active = GetCurrentTimestamp();
	if (state == DIBS_WORKER_NO_EXTENSION)
		slot->no_extension = true;
	LWLockRelease(dibs_shared->lock);
}

bool
dibs_slot_should_leave(void)
{
	DibsWorkerSlot *slot = dibs_my_slot();
	bool leave;

	if (slot == NULL)
		return false;
	LWLockAcquire(dibs_shared->lock, LW_SHARED);
	leave = slot->leave;
	LWLockRelease(dibs_shared->lock);
	return leave;
}

bool
dibs_database_is_closed(Oid database)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < DIBS_MAX_CLOSED; i++)
	{
		if (dibs_shared->closed[i].database == database && dibs_shared->closed[i].until > now)
			return true;
	}
	return false;
}

void
dibs_close_database(Oid database)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), CLOSED_MS);
	bool closed = false;

	if (dibs_shared == NULL || !OidIsValid(database))
		return;
	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DIBS_MAX_CLOSED; i++)
	{
		if (!OidIsValid(dibs_shared->closed[i].database) || dibs_shared->closed[i].database == database ||
			dibs_shared->closed[i].until <= GetCurrentTimestamp())
		{
			dibs_shared->closed[i].database = database;
			dibs_shared->closed[i].until = until;
			closed = true;
			break;
		}
	}
	LWLockRelease(dibs_shared->lock);
	/* the worker is sent away all the same, but may be back before the statement looks who is there */
	if (!closed)
		ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						  errmsg("too many databases are being dropped, renamed or copied at once"),
						  errhint("Where the statement fails because the dibs worker is connected, run it again.")));

	for (int waited = 0; waited < LEAVE_WAIT_MS; waited += 5)
	{
		bool there = false;

		LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
		for (int i = 0; i < DIBS_MAX_WORKERS; i++)
		{
			DibsWorkerSlot *slot = &dibs_shared->slots[i];

			if (slot->database != database)
				continue;
			slot->leave = true;
			if (slot->pid != 0)
			{
				there = true;
				if (slot->latch)
					SetLatch(slot->latch);
			}
		}
		LWLockRelease(dibs_shared->lock);
		if (!there)
			return;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 5, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
dibs_reopen_database(Oid database)
{
	if (dibs_shared == NULL || !OidIsValid(database))
		return;
	LWLockAcquire(dibs_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DIBS_MAX_CLOSED; i++)
	{
		if (dibs_shared->closed[i].database == database)
			dibs_shared->closed[i].database = InvalidOid;
	}
	dibs_shared->poke_all = true;
	if (dibs_shared->launcher_latch)
		SetLatch(dibs_shared->launcher_latch);
	LWLockRelease(dibs_shared->lock);
}

PG_FUNCTION_INFO_V1(dibs_worker_status);

/* The slots as rows; none where the library is not preloaded. */
Datum
dibs_worker_status(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"starting", "idle", "working", "holding", "off", "no_extension"};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (dibs_shared == NULL)
		return (Datum) 0;
	for (int i = 0; i < DIBS_MAX_WORKERS; i++)
	{
		DibsWorkerSlot slot;
		Datum values[12];
		bool nulls[12] = {0};

		LWLockAcquire(dibs_shared->lock, LW_SHARED);
		slot = dibs_shared->slots[i];
		LWLockRelease(dibs_shared->lock);
		if (!OidIsValid(slot.database))
			continue;
		values[0] = ObjectIdGetDatum(slot.database);
		values[1] = Int32GetDatum((int32) slot.pid);
		nulls[1] = slot.pid == 0;
		values[2] = CStringGetTextDatum(names[slot.state]);
		values[3] = CStringGetTextDatum(slot.detail);
		nulls[3] = slot.detail[0] == '\0';
		values[4] = TimestampTzGetDatum(slot.started);
		values[5] = TimestampTzGetDatum(slot.active);
		nulls[5] = slot.active == 0;
		values[6] = Int32GetDatum(slot.in_flight);
		values[7] = Int32GetDatum(slot.claimed);
		values[8] = Int64GetDatum(slot.requests);
		values[9] = Int64GetDatum(slot.settled);
		values[10] = Int64GetDatum(slot.failed);
		values[11] = Int32GetDatum(dibs_shared->waiting);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(dibs_refused_deliveries);

/* (source, count) of webhook deliveries refused since the server started */
Datum
dibs_refused_deliveries(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (dibs_shared == NULL)
		return (Datum) 0;
	for (int i = 0; i < DIBS_MAX_SOURCES; i++)
	{
		Datum values[2];
		bool nulls[2] = {0};

		if (dibs_shared->refused[i].source[0] == '\0')
			break;
		values[0] = CStringGetTextDatum(dibs_shared->refused[i].source);
		values[1] = Int64GetDatum((int64) pg_atomic_read_u64(&dibs_shared->refused[i].count));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(dibs_wake);

/* Wakes the worker when the transaction commits, and has the launcher look at this database. */
Datum
dibs_wake(PG_FUNCTION_ARGS)
{
	dibs_recheck_at_commit();
	PG_RETURN_BOOL(dibs_shared != NULL);
}
