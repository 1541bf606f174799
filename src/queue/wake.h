/*
 * wake.h
 *		Waking this database's worker when the current transaction commits, and counting what left no row.
 */
#ifndef DIBS_QUEUE_WAKE_H
#define DIBS_QUEUE_WAKE_H

/*
 * Sets the worker's latch once when the transaction commits; cheap to call for every row. A rolled-back transaction
 * wakes nobody; a prepared one neither (the poll finds its rows). Does nothing where the library is not preloaded.
 */
extern void dibs_wake_at_commit(void);

/* Like dibs_wake_at_commit(), and has the launcher look whether this database (still) has the extension. */
extern void dibs_recheck_at_commit(void);

/* Counts a refused webhook delivery of a source in shared memory: it leaves no row that a flood could multiply. */
extern void dibs_count_refused(const char *source);

#endif
