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
#define DIBS_ULID_MAX_MS ((UINT64_C(1) << 48) - 1)

/* The 128 bits: hi holds the milliseconds and the 16 upper random bits, lo the 64 lower ones. */
typedef struct DibsUlid
{
	uint64_t hi;
	uint64_t lo;
} DibsUlid;

/* Writes a new ULID, monotonic within the process, and a terminating zero. False only where the kernel gives no
 * entropy. */
extern bool dibs_ulid_generate(char out[DIBS_ULID_LEN + 1]);

/* True for 26 characters of base32 that fit 128 bits; lower case and the aliases I, L, O count. */
extern bool dibs_ulid_is_valid(const char *s, size_t len);

/*
 * The next after *last at the time now_ms, kept in *last: fresh random bits in a later millisecond, the last one plus
 * one otherwise (also when the clock went back), the following millisecond when these bits run over. A *last of zero is
 * none. False only where the kernel gives no entropy and there is no last one to count on from.
 */
extern bool dibs_ulid_next(DibsUlid *last, uint64_t now_ms);

/*
 * A later one than another process's, at a random distance: that process counts on from its own by ones. False only
 * where the kernel gives no entropy.
 */
extern bool dibs_ulid_after(const DibsUlid *other, DibsUlid *out);

/* A ULID of a given millisecond with fresh random bits; false for a time beyond DIBS_ULID_MAX_MS or without entropy. */
extern bool dibs_ulid_at(uint64_t ms, DibsUlid *out);

extern uint64_t dibs_ulid_ms(const DibsUlid *ulid);

/* Exactly 26 characters, in upper case; no terminating zero. */
extern void dibs_ulid_format(const DibsUlid *ulid, char *out);

/* As dibs_ulid_is_valid, and gives the value. */
extern bool dibs_ulid_parse(const char *s, size_t len, DibsUlid *out);

/* The one spelling of a ULID in any, in upper case and without aliases, and a terminating zero; false for what is none.
 */
extern bool dibs_ulid_canonical(const char *s, char out[DIBS_ULID_LEN + 1]);

/* The 16 bytes in network order, which is how a uuid holds them. */
extern void dibs_ulid_to_bytes(const DibsUlid *ulid, unsigned char out[16]);
extern void dibs_ulid_from_bytes(const unsigned char in[16], DibsUlid *out);

#endif
