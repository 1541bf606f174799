/*
 * pollset.h
 *		libcurl's sockets and its timer under one descriptor that poll() and PostgreSQL's WaitEventSet can wait on.
 */
#ifndef DIBS_HTTP_POLLSET_H
#define DIBS_HTTP_POLLSET_H

#include <stdbool.h>
#include <stdint.h>

typedef struct DibsPollset
{
	int fd;
	int timer_fd; /* -1 where the kernel's queue has timers of its own */
} DibsPollset;

typedef struct DibsPollEvent
{
	int fd;
	bool readable;
	bool writable;
	bool error;
} DibsPollEvent;

/* false with errno set; then nothing is left open */
extern bool dibs_pollset_open(DibsPollset *set);
extern void dibs_pollset_close(DibsPollset *set);

/* Both false: the descriptor is no longer looked at. */
extern bool dibs_pollset_watch(DibsPollset *set, int fd, bool readable, bool writable);

/* Makes the set readable after so many microseconds (0: at once). */
extern bool dibs_pollset_arm(DibsPollset *set, int64_t microseconds);

/* What has happened, without waiting; *timer: the time set by arm has come, and the set is no longer readable for it.
 */
extern int dibs_pollset_take(DibsPollset *set, DibsPollEvent *events, int max, bool *timer);

#endif
