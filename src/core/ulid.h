/*
 * ulid.h
 *		ULIDs: 48 bits of milliseconds, 80 random bits, 26 characters of Crockford's base32.
 */
#ifndef DIBS_CORE_ULID_H
#define DIBS_CORE_ULID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIBS_ULID_LEN 26

/* Writes a new ULID, monotonic within the process, and a terminating zero. False only where the kernel gives no entropy. */
extern bool dibs_ulid_generate(char out[DIBS_ULID_LEN + 1]);

/* True for 26 characters of base32 that fit 128 bits; lower case and the aliases I, L, O count. */
extern bool dibs_ulid_is_valid(const char *s, size_t len);

#endif
