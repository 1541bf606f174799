/*
 * ulid.c
 *		ULIDs by the ulid spec (github.com/ulid/spec): making, reading, writing. No allocation, no PostgreSQL.
 */
#include <string.h>
#include <time.h>

#include "core/entropy.h"
#include "core/ulid.h"

#define RANDOM_LEN 10

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* The value of a character plus one; zero is none. I and L read as 1, O as 0; U is left out of the alphabet. */
static const unsigned char values[256] = {
	['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,  ['8'] = 9,
	['9'] = 10, ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16, ['G'] = 17, ['H'] = 18,
	['J'] = 19, ['K'] = 20, ['M'] = 21, ['N'] = 22, ['P'] = 23, ['Q'] = 24, ['R'] = 25, ['S'] = 26, ['T'] = 27,
	['V'] = 28, ['W'] = 29, ['X'] = 30, ['Y'] = 31, ['Z'] = 32, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14,
	['e'] = 15, ['f'] = 16, ['g'] = 17, ['h'] = 18, ['j'] = 19, ['k'] = 20, ['m'] = 21, ['n'] = 22, ['p'] = 23,
	['q'] = 24, ['r'] = 25, ['s'] = 26, ['t'] = 27, ['v'] = 28, ['w'] = 29, ['x'] = 30, ['y'] = 31, ['z'] = 32,
	['I'] = 2,  ['L'] = 2,  ['O'] = 1,  ['i'] = 2,  ['l'] = 2,  ['o'] = 1,
};

static uint64_t
big_endian(const unsigned char *in, int n)
{
	uint64_t value = 0;

	for (int i = 0; i < n; i++)
		value = value << 8 | in[i];
	return value;
}

bool
dibs_ulid_at(uint64_t ms, DibsUlid *out)
{
	unsigned char random[RANDOM_LEN];

	if (ms > DIBS_ULID_MAX_MS || !dibs_entropy_pooled(random, RANDOM_LEN))
		return false;
	out->hi = ms << 16 | big_endian(random, 2);
	out->lo = big_endian(random + 2, 8);
	return true;
}

bool
dibs_ulid_next(DibsUlid *last, uint64_t now_ms)
{
	bool first = last->hi == 0 && last->lo == 0;
	uint64_t last_ms = dibs_ulid_ms(last);

	if ((first || now_ms > last_ms) && dibs_ulid_at(now_ms, last))
		return true;
	if (first)
		return false;
	if (++last->lo != 0)
		return true;
	/* A carry out of the upper random bits lands in the milliseconds; it is given fresh bits like any other one. */
	last->hi++;
	if (dibs_ulid_ms(last) != last_ms)
	{
		DibsUlid fresh;

		if (dibs_ulid_at(last_ms + 1, &fresh))
			*last = fresh;
	}
	return true;
}

bool
dibs_ulid_after(const DibsUlid *other, DibsUlid *out)
{
	uint64_t distance;

	if (!dibs_entropy_pooled(&distance, sizeof(distance)))
		return false;
	distance >>= 1;
	*out = *other;
	out->lo += distance + 1;
	if (out->lo <= distance)
		out->hi++;
	return true;
}

bool
dibs_ulid_generate(char out[DIBS_ULID_LEN + 1])
{
	static DibsUlid last = {0, 0};
	static unsigned generation = 0;
	struct timespec now;

	/* A child that counted on from its parent's last one would meet the parent's next. */
	if (generation != dibs_fork_generation())
	{
		generation = dibs_fork_generation();
		last.hi = last.lo = 0;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	if (!dibs_ulid_next(&last, now.tv_sec < 0 ? 0 : (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000))
		return false;
	dibs_ulid_format(&last, out);
	out[DIBS_ULID_LEN] = '\0';
	return true;
}

uint64_t
dibs_ulid_ms(const DibsUlid *ulid)
{
	return ulid->hi >> 16;
}

/* From the right: 12 characters of lo's 60 lower bits, 4 of its rest and hi's 16 random bits, 10 of the milliseconds.
 */
void
dibs_ulid_format(const DibsUlid *ulid, char *out)
{
	uint64_t bits = ulid->lo;
	int i = DIBS_ULID_LEN;

	for (; i > 14; bits >>= 5)
		out[--i] = alphabet[bits & 31];
	for (bits = ulid->lo >> 60 | (ulid->hi & 0xFFFF) << 4; i > 10; bits >>= 5)
		out[--i] = alphabet[bits & 31];
	for (bits = ulid->hi >> 16; i > 0; bits >>= 5)
		out[--i] = alphabet[bits & 31];
}

/* 26 characters are 130 bits: the first may only be 0 to 7. */
bool
dibs_ulid_parse(const char *s, size_t len, DibsUlid *out)
{
	uint64_t hi = 0;
	uint64_t lo = 0;

	if (len != DIBS_ULID_LEN || values[(unsigned char) s[0]] > 8)
		return false;
	for (int i = 0; i < DIBS_ULID_LEN; i++)
	{
		unsigned char value = values[(unsigned char) s[i]];

		if (value == 0)
			return false;
		hi = hi << 5 | lo >> 59;
		lo = lo << 5 | (uint64_t) (value - 1);
	}
	out->hi = hi;
	out->lo = lo;
	return true;
}

bool
dibs_ulid_is_valid(const char *s, size_t len)
{
	DibsUlid ignored;

	return dibs_ulid_parse(s, len, &ignored);
}

bool
dibs_ulid_canonical(const char *s, char out[DIBS_ULID_LEN + 1])
{
	DibsUlid ulid;

	if (!dibs_ulid_parse(s, strlen(s), &ulid))
		return false;
	dibs_ulid_format(&ulid, out);
	out[DIBS_ULID_LEN] = '\0';
	return true;
}

void
dibs_ulid_to_bytes(const DibsUlid *ulid, unsigned char out[16])
{
	for (int i = 0; i < 8; i++)
	{
		out[i] = (unsigned char) (ulid->hi >> (56 - 8 * i));
		out[8 + i] = (unsigned char) (ulid->lo >> (56 - 8 * i));
	}
}

void
dibs_ulid_from_bytes(const unsigned char in[16], DibsUlid *out)
{
	out->hi = big_endian(in, 8);
	out->lo = big_endian(in + 8, 8);
}
