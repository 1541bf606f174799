/*
 * pollset.c
 *		epoll and a timerfd on Linux, kqueue elsewhere.
 *
 * Level-triggered throughout: what one look leaves unread keeps the set readable, so nothing can be missed, and a timer
 * that has come is drained here, so nothing spins.
 */
#include "http/pollset.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MAX_EVENTS 256

#ifdef __linux__

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

bool
dibs_pollset_open(DibsPollset *set)
{
	struct epoll_event event = {.events = EPOLLIN};
	int saved;

	set->timer_fd = -1;
	set->fd = epoll_create1(EPOLL_CLOEXEC);
	if (set->fd < 0)
		return false;
	set->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	event.data.fd = set->timer_fd;
	if (set->timer_fd >= 0 && epoll_ctl(set->fd, EPOLL_CTL_ADD, set->timer_fd, &event) == 0)
		return true;
	saved = errno;
	dibs_pollset_close(set);
	errno = saved;
	return false;
}

void
dibs_pollset_close(DibsPollset *set)
{
	if (set->timer_fd >= 0)
		close(set->timer_fd);
	if (set->fd >= 0)
		close(set->fd);
	set->fd = set->timer_fd = -1;
}

bool
dibs_pollset_watch(DibsPollset *set, int fd, bool readable, bool writable)
{
	struct epoll_event event = {.events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0)};

	event.data.fd = fd;
	if (event.events == 0)
	{
		/* a descriptor that was closed before has left by itself */
		return epoll_ctl(set->fd, EPOLL_CTL_DEL, fd, &event) == 0 || errno == ENOENT || errno == EBADF;
	}

	/* whether libcurl had named it before does not tell whether epoll still knows it: its number may be a new socket's
	 */
	if (epoll_ctl(set->fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return true;
	return errno == ENOENT && epoll_ctl(set->fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool
dibs_pollset_arm(DibsPollset *set, int64_t microseconds)
{
	struct itimerspec spec = {0};

	/* all zero would disarm it */
	spec.it_value.tv_sec = microseconds > 0 ? microseconds / 1000000 : 0;
	spec.it_value.tv_nsec = microseconds > 0 ? (microseconds % 1000000) * 1000 : 1;
	return timerfd_settime(set->timer_fd, 0, &spec, NULL) == 0;
}

int
dibs_pollset_take(DibsPollset *set, DibsPollEvent *events, int max, bool *timer)
{
	struct epoll_event seen[MAX_EVENTS];
	int n = epoll_wait(set->fd, seen, max < MAX_EVENTS ? max : MAX_EVENTS, 0);
	int taken = 0;

	*timer = false;
	for (int i = 0; i < n; i++)
	{
		if (seen[i].data.fd == set->timer_fd)
		{
			uint64_t expirations;

			*timer = read(set->timer_fd, &expirations, sizeof(expirations)) == sizeof(expirations);
			continue;
		}
		events[taken].fd = seen[i].data.fd;
		events[taken].readable = (seen[i].events & (EPOLLIN | EPOLLHUP)) != 0;
		events[taken].writable = (seen[i].events & EPOLLOUT) != 0;
		events[taken].error = (seen[i].events & EPOLLERR) != 0;
		taken++;
	}
	return taken;
}

#else

#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>

#define TIMER_IDENT 0

bool
dibs_pollset_open(DibsPollset *set)
{
	set->timer_fd = -1;
	set->fd = kqueue();
	return set->fd >= 0;
}

void
dibs_pollset_close(DibsPollset *set)
{
	if (set->fd >= 0)
		close(set->fd);
	set->fd = -1;
}

/* One change at a time: of a list, an error would stop the rest. */
static bool
change(DibsPollset *set, uintptr_t ident, short filter, unsigned short flags, int64_t milliseconds)
{
	struct kevent event;

	EV_SET(&event, ident, filter, flags, 0, milliseconds, 0);
	return kevent(set->fd, &event, 1, NULL, 0, NULL) == 0 ||
		   ((flags & EV_DELETE) != 0 && (errno == ENOENT || errno == EBADF));
}

bool
dibs_pollset_watch(DibsPollset *set, int fd, bool readable, bool writable)
{
	bool ok = change(set, fd, EVFILT_READ, readable ? EV_ADD : EV_DELETE, 0);

	return change(set, fd, EVFILT_WRITE, writable ? EV_ADD : EV_DELETE, 0) && ok;
}

bool
dibs_pollset_arm(DibsPollset *set, int64_t microseconds)
{
	/* rounded up: a timer that comes early would only be set again */
	return change(set, TIMER_IDENT, EVFILT_TIMER, EV_ADD | EV_ONESHOT, (microseconds + 999) / 1000);
}

int
dibs_pollset_take(DibsPollset *set, DibsPollEvent *events, int max, bool *timer)
{
	static const struct timespec at_once = {0, 0};
	struct kevent seen[MAX_EVENTS];
	int n = kevent(set->fd, NULL, 0, seen, max < MAX_EVENTS ? max : MAX_EVENTS, &at_once);
	int taken = 0;

	*timer = false;
	for (int i = 0; i < n; i++)
	{
		if (seen[i].filter == EVFILT_TIMER)
		{
			*timer = true;
			continue;
		}
		events[taken].fd = (int) seen[i].ident;
		events[taken].readable = seen[i].filter == EVFILT_READ;
		events[taken].writable = seen[i].filter == EVFILT_WRITE;
		events[taken].error = (seen[i].flags & EV_ERROR) != 0;
		taken++;
	}
	return taken;
}

#endif
