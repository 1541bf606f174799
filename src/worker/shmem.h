/*
 * shmem.h
 *		What the launcher, the workers and ordinary backends share. Exists only where the library is preloaded.
 *
 * Nothing here is needed for correctness: the tables are the truth. It carries wake-ups, requests to leave a database,
 * and what worker_status shows.
 */
#ifndef DIBS_WORKER_SHMEM_H
#define DIBS_WORKER_SHMEM_H

#include "postgres.h"

#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

/* Workers at once; more databases than that are served in turns. */
#define DIBS_MAX_WORKERS 64
/* Databases that a backend may ask the launcher to look at before it has looked; more set poke_all. */
#define DIBS_MAX_POKES 64
/* Databases that are to be left alone at one moment: each is a DROP, RENAME or copy that runs just now. */
#define DIBS_MAX_CLOSED 64
/* Sources of webhooks that are counted apart. */
#define DIBS_MAX_SOURCES 8
/* Accounts, by kind of request, that are paced at one moment: a beat that has passed gives way to another. */
#define DIBS_MAX_BEATS 1024
/* Providers whose calls are counted apart. */
#define DIBS_MAX_PROVIDERS 8

typedef enum DibsWorkerState
{
	DIBS_WORKER_STARTING,
	DIBS_WORKER_IDLE,
	DIBS_WORKER_WORKING,
	DIBS_WORKER_HOLDING,      /* a copy, or the library is newer than the SQL: detail says why */
	DIBS_WORKER_OFF,          /* dibs.worker is off, or dibs.databases leaves this one out */
	DIBS_WORKER_NO_EXTENSION, /* about to leave */
} DibsWorkerState;

typedef struct DibsWorkerSlot
{
	Oid database; /* InvalidOid: the slot is free */
	pid_t pid;    /* 0: not attached yet */
	Latch *latch;
	DibsWorkerState state;
	bool attached;     /* a worker has been here */
	bool leave;        /* asked to exit: the database is about to go, or others wait for a slot */
	bool no_extension; /* left by a worker that found none */
	TimestampTz started;
	TimestampTz active; /* last time that it had work */
	TimestampTz ended;
	int in_flight;
	int claimed;
	int64 requests;
	int64 settled;
	int64 failed;
	char detail[128];
} DibsWorkerSlot;

/* Calls of one provider's; refusals are answers that say no. */
typedef struct DibsCallCounts
{
	char provider[NAMEDATALEN];
	pg_atomic_uint64 calls;
	pg_atomic_uint64 failures;
	pg_atomic_uint64 throttled;
	pg_atomic_uint64 refusals;
	pg_atomic_uint64 microseconds;
} DibsCallCounts;

/* When the next request of an account's and a kind may be sent (src/worker/pace.c). Times are ms, monotonic. */
typedef struct DibsBeat
{
	uint64 key; /* a hash of both and the database; 0: free */
	double next;
	double row; /* the same for those that could not wait for theirs */
} DibsBeat;

typedef struct DibsShared
{
	LWLock *lock;
	LWLock *pace_lock; /* beats, and nothing else */
	pid_t launcher_pid;
	Latch *launcher_latch;
	Oid pokes[DIBS_MAX_POKES];
	int npokes;
	bool poke_all;
	struct
	{
		Oid database;
		TimestampTz until;
	} closed[DIBS_MAX_CLOSED];
	struct
	{
		char source[NAMEDATALEN];
		pg_atomic_uint64 count;
	} refused[DIBS_MAX_SOURCES];
	DibsCallCounts calls[DIBS_MAX_PROVIDERS];
	DibsBeat beats[DIBS_MAX_BEATS];
	int waiting; /* databases that have no worker for want of a slot */
	DibsWorkerSlot slots[DIBS_MAX_WORKERS];
} DibsShared;

/* NULL where the library is not preloaded */
extern DibsShared *dibs_shared;

extern void dibs_shmem_init(void);

/* A worker's own slot, from attach to exit; false: somebody asked for the database meanwhile, so leave. */
extern bool dibs_slot_attach(int index);
extern DibsWorkerSlot *dibs_my_slot(void);
extern void dibs_slot_report(DibsWorkerState state, const char *detail);
extern bool dibs_slot_should_leave(void);

/* Keeps workers away from a database, and waits (at most 5 s) until those there have left; reopen ends it. */
extern void dibs_close_database(Oid database);
extern void dibs_reopen_database(Oid database);
extern bool dibs_database_is_closed(Oid database);

#endif
