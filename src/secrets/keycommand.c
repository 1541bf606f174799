/*
 * keycommand.c
 *		A child of our own instead of popen's: what asks a vault may hang, and a backend that waits for it must still
 *		hear a cancel, a timeout or the server's stop, and leave no process behind.
 */
#include "compat.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "secrets/keycommand.h"

/* Between looks at a command that has closed its output but not ended, in milliseconds. */
#define END_LOOK_MIN 1
#define END_LOOK_MAX 64

extern char **environ;

typedef struct Child
{
	pid_t pid;
	int out;
	bool latch_was_set;
} Child;

/* In a process group of its own, so that what the shell starts can be ended with it. Returns an errno. */
static int
spawn(const char *command, int out, pid_t *pid)
{
	char *argv[] = {"sh", "-c", unconstify(char *, command), NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t mask;
	sigset_t to_default;
	int error;

	sigemptyset(&mask);
	sigemptyset(&to_default);
	sigaddset(&to_default, SIGPIPE);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	error = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	if (error == 0)
	{
		posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
		posix_spawnattr_setpgroup(&attributes, 0);
		posix_spawnattr_setsigmask(&attributes, &mask);
		posix_spawnattr_setsigdefault(&attributes, &to_default);
		error = posix_spawn(pid, "/bin/sh", &actions, &attributes, argv, environ);
	}
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

/* False with errno set. */
static bool
start(const char *command, Child *child)
{
	int ends[2];
	int error;

	if (pipe(ends) != 0)
		return false;
	if (fcntl(ends[0], F_SETFD, FD_CLOEXEC) != 0 || fcntl(ends[1], F_SETFD, FD_CLOEXEC) != 0 ||
		fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)
		error = errno;
	else
		error = spawn(command, ends[1], &child->pid);
	close(ends[1]);
	if (error == 0)
	{
		child->out = ends[0];
		return true;
	}
	close(ends[0]);
	errno = error;
	return false;
}

/* Until the child prints or ends its output, or for some milliseconds; interrupts are served. */
static void
wait_a_little(Child *child, long timeout)
{
	int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout < 0 ? WL_SOCKET_READABLE : WL_TIMEOUT);

	if (WaitLatchOrSocket(MyLatch, events, timeout < 0 ? child->out : PGINVALID_SOCKET, timeout, PG_WAIT_EXTENSION) &
		WL_LATCH_SET)
	{
		ResetLatch(MyLatch);
		child->latch_was_set = true;
	}
	CHECK_FOR_INTERRUPTS();
}

static bool
read_output(Child *child, char *text, Size room, Size *len)
{
	while (*len < room)
	{
		ssize_t n = read(child->out, text + *len, room - *len);

		if (n == 0)
			return true;
		if (n > 0)
			*len += n;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			wait_a_little(child, -1);
		else if (errno != EINTR)
			return false;
	}
	return true;
}

static bool
wait_for_end(Child *child, int *status)
{
	long pause = END_LOOK_MIN;
	pid_t ended;

	while ((ended = waitpid(child->pid, status, WNOHANG)) != child->pid)
	{
		if (ended < 0 && errno != EINTR)
		{
			child->pid = 0;
			return false;
		}
		wait_a_little(child, pause);
		pause = Min(2 * pause, END_LOOK_MAX);
	}
	child->pid = 0;
	return true;
}

/* Ends what is still there; it is killed, so that waiting for it cannot take long. */
static void
finish(int code, Datum arg)
{
	Child *child = (Child *) DatumGetPointer(arg);
	int saved_errno = errno;

	close(child->out);
	if (child->pid != 0)
	{
		kill(-child->pid, SIGKILL);
		while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	/* A wake-up that came meanwhile was for somebody else. */
	if (child->latch_was_set)
		SetLatch(MyLatch);
	errno = saved_errno;
}

bool
dibs_key_command_run(const char *command, char *text, Size room, Size *len, int *status)
{
	Child child = {0, -1, false};
	volatile bool ok = false;

	*len = 0;
	*status = 0;
	if (!start(command, &child))
		return false;
	/* Also where the backend is told to end, which no PG_TRY sees. */
	PG_ENSURE_ERROR_CLEANUP(finish, PointerGetDatum(&child));
	{
		ok = read_output(&child, text, room, len) && (*len == room || wait_for_end(&child, status));
	}
	PG_END_ENSURE_ERROR_CLEANUP(finish, PointerGetDatum(&child));
	finish(0, PointerGetDatum(&child));
	return ok;
}
