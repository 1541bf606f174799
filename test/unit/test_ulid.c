/*
 * test_ulid.c
 *		ULIDs: the spec's examples, bounds, order, clocks that misbehave, forks.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/entropy.h"
#include "core/ulid.h"
#include "tap.h"

static bool
parses(const char *s)
{
	return dibs_ulid_is_valid(s, strlen(s));
}

static bool
formats_as(DibsUlid ulid, const char *expected)
{
	char text[DIBS_ULID_LEN + 1] = "";

	dibs_ulid_format(&ulid, text);
	return strcmp(text, expected) == 0;
}

static void
reading(void)
{
	DibsUlid ulid;
	DibsUlid other;
	char text[DIBS_ULID_LEN + 1];
	unsigned char bytes[16];
	static const unsigned char expected[16] = {0x01, 0x56, 0x3D, 0xF3, 0x64, 0x81, 0x01, 0x05,
											   0x6A, 0x1C, 0x2D, 0x3E, 0x4F, 0x50, 0x61, 0x72};

	ok(dibs_ulid_parse("01ARYZ6S41TSV4RRFFQ69G5FAV", 26, &ulid) && dibs_ulid_ms(&ulid) == 1469918176385,
	   "the spec's example has its time");
	ok(formats_as(ulid, "01ARYZ6S41TSV4RRFFQ69G5FAV"), "and is written as it was read");
	ok(dibs_ulid_parse("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", 26, &ulid) && ulid.hi == UINT64_MAX && ulid.lo == UINT64_MAX,
	   "the largest ULID has all bits set");
	ok(dibs_ulid_ms(&ulid) == DIBS_ULID_MAX_MS && DIBS_ULID_MAX_MS == 281474976710655,
	   "its time is the spec's maximum");
	ok(!parses("80000000000000000000000000") && !parses("8ZZZZZZZZZZZZZZZZZZZZZZZZZ") &&
		   !parses("ZZZZZZZZZZZZZZZZZZZZZZZZZZ"),
	   "what does not fit 128 bits is refused");
	ok(dibs_ulid_parse("00000000000000000000000000", 26, &ulid) && ulid.hi == 0 && ulid.lo == 0, "zero is a ULID");
	ok(dibs_ulid_parse("01aryz6s41tsv4rrffq69g5fav", 26, &ulid) && formats_as(ulid, "01ARYZ6S41TSV4RRFFQ69G5FAV"),
	   "lower case is read");
	ok(dibs_ulid_parse("0IARYZ6S4LTSV4RRFFQ69G5FAV", 26, &ulid) &&
		   dibs_ulid_parse("01ARYZ6S41TSV4RRFFQ69G5FAV", 26, &other) && ulid.hi == other.hi && ulid.lo == other.lo,
	   "I and L are read as 1");
	ok(dibs_ulid_parse("oiARYZ6S4lTSV4RRFFQ69G5FAV", 26, &other) && ulid.hi == other.hi && ulid.lo == other.lo,
	   "so are i and l, and o as 0");
	ok(dibs_ulid_canonical("oiARYZ6S4lTSV4RRFFQ69G5FAv", text) && strcmp(text, "01ARYZ6S41TSV4RRFFQ69G5FAV") == 0 &&
		   !dibs_ulid_canonical("01ARYZ6S41TSV4RRFFQ69G5FA", text),
	   "all have one spelling");
	ok(!parses("01ARYZ6S41TSV4RRFFQ69G5FAU") && !parses("01ARYZ6S41TSV4RRFFQ69G5FAu"), "U is none of the digits");
	ok(!parses("01ARYZ6S41TSV4RRFFQ69G5FA") && !parses("01ARYZ6S41TSV4RRFFQ69G5FAV0") && !parses(""),
	   "25, 27 and no characters are refused");
	ok(!parses("01ARYZ6S41-SV4RRFFQ69G5FAV") && !parses("01ARYZ6S41TSV4RRFFQ69G5FA ") &&
		   !parses("01ARYZ6S41TSV4RRFFQ69G5F\xc3\xa4") && !dibs_ulid_is_valid("01ARYZ6S41TSV4RRFFQ69G5FA\0", 26),
	   "dashes, blanks, zero bytes and what is no ASCII are refused");
	ulid.hi = UINT64_C(0x01563DF364810105);
	ulid.lo = UINT64_C(0x6A1C2D3E4F506172);
	dibs_ulid_to_bytes(&ulid, bytes);
	dibs_ulid_from_bytes(bytes, &other);
	ok(memcmp(bytes, expected, 16) == 0 && ulid.hi == other.hi && ulid.lo == other.lo, "bytes are in network order");
	ok(formats_as(ulid, "01ARYZ6S41042PM71D7S7N0RBJ"), "which is the order of the text");
}

static void
round_trips(void)
{
	int bad = 0;
	DibsUlid ulid;
	DibsUlid back;
	char text[DIBS_ULID_LEN + 1] = "";

	for (int i = 0; i < 100000; i++)
	{
		dibs_entropy_pooled(&ulid, sizeof(ulid));
		dibs_ulid_format(&ulid, text);
		if (!dibs_ulid_parse(text, DIBS_ULID_LEN, &back) || back.hi != ulid.hi || back.lo != ulid.lo)
			bad++;
	}
	ok(bad == 0, "100,000 random values come back from their text");
}

static void
clocks(void)
{
	DibsUlid last = {0, 0};
	DibsUlid before;
	int bad = 0;

	ok(dibs_ulid_next(&last, 1000) && dibs_ulid_ms(&last) == 1000, "the first one has the clock's time");
	before = last;
	ok(dibs_ulid_next(&last, 1000) && last.hi == before.hi && last.lo == before.lo + 1,
	   "in the same millisecond the random bits count up");
	before = last;
	ok(dibs_ulid_next(&last, 1) && dibs_ulid_ms(&last) == 1000 && last.lo == before.lo + 1,
	   "when the clock goes back, too");
	ok(dibs_ulid_next(&last, 1001) && dibs_ulid_ms(&last) == 1001 && last.lo != before.lo + 2,
	   "a later millisecond has fresh bits");
	last.hi = UINT64_C(5) << 16 | 0x0001;
	last.lo = UINT64_MAX;
	ok(dibs_ulid_next(&last, 5) && last.hi == (UINT64_C(5) << 16 | 0x0002) && last.lo == 0,
	   "the lower 64 bits carry into the upper 16");
	last.hi = UINT64_C(5) << 16 | 0xFFFF;
	last.lo = UINT64_MAX;
	ok(dibs_ulid_next(&last, 5) && dibs_ulid_ms(&last) == 6 && !(last.lo == 0 && (last.hi & 0xFFFF) == 0),
	   "when all 80 are used up it goes on in the next millisecond");
	before = last;
	ok(dibs_ulid_next(&last, 5) && (last.hi > before.hi || (last.hi == before.hi && last.lo > before.lo)),
	   "and still ascends while the clock is behind");
	last.hi = last.lo = 0;
	dibs_ulid_next(&last, 1000000);
	for (int i = 0; i < 100000; i++)
	{
		/* a clock that jitters around */
		uint64_t now = 1000000 + (uint64_t) ((i * 7919) % 50);

		before = last;
		if (!dibs_ulid_next(&last, now) || last.hi < before.hi || (last.hi == before.hi && last.lo <= before.lo))
			bad++;
	}
	ok(bad == 0, "100,000 of a jittering clock ascend strictly");
	bad = 0;
	for (int i = 0; i < 1000; i++)
	{
		before.hi = UINT64_C(7) << 16;
		before.lo = i % 2 ? UINT64_MAX - 1 : 1;
		/* the other process has made a thousand since, each one more than the last */
		if (!dibs_ulid_after(&before, &last) || last.hi < before.hi || last.hi > before.hi + 1 ||
			(last.hi == before.hi ? last.lo - before.lo <= 1000 : last.hi == before.hi + 1 && last.lo + 2 <= 1000))
			bad++;
	}
	ok(bad == 0, "what comes after another process's is larger, and not one of that process's next");
	ok(!dibs_ulid_at(DIBS_ULID_MAX_MS + 1, &last), "no ULID has a later time than the spec's maximum");
	ok(dibs_ulid_at(DIBS_ULID_MAX_MS, &last) && dibs_ulid_ms(&last) == DIBS_ULID_MAX_MS, "one may have that time");
}

static void
many(void)
{
	char last[DIBS_ULID_LEN + 1] = "";
	char next[DIBS_ULID_LEN + 1];
	int bad = 0;

	for (int i = 0; i < 200000; i++)
	{
		if (!dibs_ulid_generate(next) || strcmp(last, next) >= 0 || strlen(next) != DIBS_ULID_LEN ||
			!dibs_ulid_is_valid(next, DIBS_ULID_LEN))
			bad++;
		memcpy(last, next, sizeof(last));
	}
	ok(bad == 0, "200,000 from one process ascend strictly, bytewise");
}

/* A child must not go on where its parent was: neither with the pool's bytes nor with the last one plus one. */
static void
forks(void)
{
	enum
	{
		CHILDREN = 3
	};
	char text[CHILDREN + 1][DIBS_ULID_LEN + 1];
	unsigned char pooled[CHILDREN + 1][16];
	bool distinct = true;

	dibs_ulid_generate(text[0]);
	for (int i = 1; i <= CHILDREN; i++)
	{
		int ends[2];
		pid_t pid;

		if (pipe(ends) != 0 || (pid = fork()) < 0)
			exit(2);
		if (pid == 0)
		{
			bool sent;

			dibs_ulid_generate(text[i]);
			dibs_entropy_pooled(pooled[i], sizeof(pooled[i]));
			sent = write(ends[1], text[i], sizeof(text[i])) == sizeof(text[i]) &&
				   write(ends[1], pooled[i], sizeof(pooled[i])) == sizeof(pooled[i]);
			_exit(sent ? 0 : 1);
		}
		if (read(ends[0], text[i], sizeof(text[i])) != sizeof(text[i]) ||
			read(ends[0], pooled[i], sizeof(pooled[i])) != sizeof(pooled[i]))
			exit(2);
		waitpid(pid, NULL, 0);
		close(ends[0]);
		close(ends[1]);
	}
	dibs_ulid_generate(text[0]);
	dibs_entropy_pooled(pooled[0], sizeof(pooled[0]));
	for (int i = 0; i <= CHILDREN; i++)
	{
		for (int j = 0; j < i; j++)
		{
			/* the random characters, not the time */
			if (memcmp(text[i] + 10, text[j] + 10, 12) == 0 || memcmp(pooled[i], pooled[j], sizeof(pooled[i])) == 0)
				distinct = false;
		}
	}
	ok(distinct, "forked children have random bits of their own");
}

static void
entropy(void)
{
	static unsigned char a[5000];
	static unsigned char b[5000];
	int zero = 0;

	ok(dibs_entropy_pooled(a, sizeof(a)) && dibs_entropy_pooled(b, sizeof(b)) && memcmp(a, b, sizeof(a)) != 0,
	   "more than a pool's worth is given, too");
	for (int i = 0; i < 2000; i++)
	{
		unsigned char chunk[16] = {0};
		static const unsigned char nothing[16];

		dibs_entropy_pooled(chunk, sizeof(chunk));
		if (memcmp(chunk, nothing, sizeof(chunk)) == 0)
			zero++;
	}
	ok(zero == 0, "no wiped part of the pool is given out");
}

int
main(void)
{
	reading();
	round_trips();
	clocks();
	many();
	forks();
	entropy();
	return done();
}
