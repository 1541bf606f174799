/*
 * memory.h
 *		Memory that held a secret, and comparing with one.
 */
#ifndef DIBS_CRYPTO_MEMORY_H
#define DIBS_CRYPTO_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Overwrites; the compiler cannot leave it out. NULL is nothing to do. */
extern void dibs_cleanse(void *p, size_t len);

/* Whether two runs of one length are equal, in a time that does not tell where they differ. */
extern bool dibs_equal(const void *a, const void *b, size_t len);

#endif
