/*
 * entropy.h
 *		Random bytes from the kernel.
 */
#ifndef DIBS_CORE_ENTROPY_H
#define DIBS_CORE_ENTROPY_H

#include <stdbool.h>
#include <stddef.h>

/* Fills the buffer; false where the kernel gives nothing. */
extern bool dibs_entropy(void *out, size_t len);

/*
 * As dibs_entropy, from a pool that is filled 4 kB at a time: for small values that are asked for often and are no
 * secret afterwards. What was given out is wiped, and a forked child begins with an empty pool.
 */
extern bool dibs_entropy_pooled(void *out, size_t len);

/* Counts the forks that led to this process: state that must not be shared with the parent is kept with its value. */
extern unsigned dibs_fork_generation(void);

#endif
