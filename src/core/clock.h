/*
 * clock.h
 *		A clock for waits and leases that no operator and no NTP daemon can set back.
 */
#ifndef DIBS_CORE_CLOCK_H
#define DIBS_CORE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t
dibs_monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
