/*
 * entropy.c
 *		getrandom, and a pool in front of it: a system call for each identifier would cost more than the identifier.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

#include "core/entropy.h"

#define POOL_SIZE 4096

static unsigned char pool[POOL_SIZE];
static size_t pool_left = 0;
static unsigned pool_generation = 0;

static unsigned fork_generation = 0;
static bool fork_watched = false;
static pid_t seen_pid = 0;

bool
dibs_entropy(void *out, size_t len)
{
	unsigned char *p = out;

	while (len > 0)
	{
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t) n;
	}
	return true;
}

static void
forked(void)
{
	fork_generation++;
	seen_pid = getpid();
}

/*
 * The handler sees every fork(2) of the C library at no cost for the callers. Where it could not be registered, the PID
 * is asked for each time.
 */
unsigned
dibs_fork_generation(void)
{
	if (!fork_watched)
	{
		if (seen_pid != getpid())
		{
			fork_generation++;
			seen_pid = getpid();
		}
		fork_watched = pthread_atfork(NULL, NULL, forked) == 0;
	}
	return fork_generation;
}

/* The PID is compared here too, once a refill: a child made without the C library does not run the handler. */
static bool
refill(void)
{
	if (seen_pid != getpid())
		forked();
	pool_left = 0;
	if (!dibs_entropy(pool, POOL_SIZE))
		return false;
	pool_left = POOL_SIZE;
	pool_generation = fork_generation;
	return true;
}

bool
dibs_entropy_pooled(void *out, size_t len)
{
	unsigned char *from;

	if (len > POOL_SIZE)
		return dibs_entropy(out, len);
	if ((pool_generation != dibs_fork_generation() || pool_left < len) && !refill())
		return false;
	pool_left -= len;
	from = pool + pool_left;
	memcpy(out, from, len);
	memset(from, 0, len);
	return true;
}
