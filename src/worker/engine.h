/*
 * engine.h
 *		Claim, call, settle: the one loop that does the work, for the background worker and for dibs.drain().
 */
#ifndef DIBS_WORKER_ENGINE_H
#define DIBS_WORKER_ENGINE_H

#include "postgres.h"

typedef struct DibsEngine DibsEngine;

/*
 * in_procedure: transactions are those of a running procedure (SPI connected, non-atomic), else the engine's own.
 * Everything it holds is freed with parent.
 */
extern DibsEngine *dibs_engine_create(MemoryContext parent, bool in_procedure);

/*
 * Moves everything on that can move: reads answers, settles, claims (at most *budget further jobs, and counts it down),
 * sends. Returns the milliseconds until something falls due; 0: call again at once. No transaction is open when it
 * returns, unless it runs in a procedure, where the open one holds neither snapshot nor transaction id.
 */
extern long dibs_engine_tick(DibsEngine *engine, int *budget);

/* Something may have become due: the next tick looks. */
extern void dibs_engine_wake(DibsEngine *engine);

/*
 * After an ERROR in a tick and the transaction's abort: what was being settled is settled one by one from here on, and
 * the one that fails by itself is put off. True: that was it, so that the next tick need not wait.
 */
extern bool dibs_engine_recover(DibsEngine *engine, const char *message);

/* Wait on this and the latch between ticks. */
extern pgsocket dibs_engine_socket(DibsEngine *engine);
extern int dibs_engine_in_flight(DibsEngine *engine);

/* Claimed work is on the wire, waits for its turn there, or is about to be settled. */
extern bool dibs_engine_busy(DibsEngine *engine);

/* Why nothing is claimed here (a copy that was not adopted, …), or NULL. */
extern const char *dibs_engine_hold(DibsEngine *engine);

/* The reason is that the extension is not in this database. */
extern bool dibs_engine_absent(DibsEngine *engine);

#endif
