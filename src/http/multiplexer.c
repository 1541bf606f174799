/*
 * multiplexer.c
 *		Drives libcurl's multi interface by its sockets' events and its one timer.
 *
 * Work is in proportion to what has happened, not to what is open. The timer in the pollset may be earlier than
 * libcurl's own next time (most timeouts are moved on before they come): one that comes too early is set again, which
 *is far cheaper than moving it with every request.
 */
#include "http/multiplexer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVENTS_AT_ONCE 256
#define NEVER INT64_MAX

/* While something is in flight libcurl is looked after at least this often, should it ever forget to set its timer. */
#define SAFETY_NET 1000000

/* libcurl's "now" (new transfers, state changes) is served at once, this many times before the caller gets its turn. */
#define ROUNDS 8

typedef struct RequestList
{
	DibsHttpRequest *head;
	DibsHttpRequest *tail;
	int count;
} RequestList;

struct DibsMux
{
	CURLM *multi;
	DibsPollset pollset;
	int max_in_flight;
	int max_connections;
	bool broken;      /* a socket could not be watched: this multi handle is of no more use */
	int64_t deadline; /* when libcurl wants to be called, µs of the monotonic clock */
	int64_t armed;    /* when the pollset's timer comes: never later than deadline */
	RequestList lists[DIBS_HTTP_STATES];
	CURL **spare; /* reset handles, to be used again */
	int spare_count;
	int spare_size;
};

static int64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void
unlink_request(DibsHttpRequest *req)
{
	RequestList *list = &req->mux->lists[req->state];

	*(req->prev ? &req->prev->next : &list->head) = req->next;
	*(req->next ? &req->next->prev : &list->tail) = req->prev;
	req->prev = req->next = NULL;
	list->count--;
}

static void
link_request(DibsHttpRequest *req, DibsHttpState state)
{
	RequestList *list = &req->mux->lists[state];

	req->state = state;
	req->prev = list->tail;
	req->next = NULL;
	*(list->tail ? &list->tail->next : &list->head) = req;
	list->tail = req;
	list->count++;
}

static void
move_request(DibsHttpRequest *req, DibsHttpState state)
{
	unlink_request(req);
	link_request(req, state);
}

/* The sockets' interest, from libcurl to the pollset. A failure ends every transfer: see rebuild(). */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	DibsMux *mux = arg;

	(void) easy;
	(void) socket_arg;
	if (dibs_pollset_watch(&mux->pollset, fd, what == CURL_POLL_IN || what == CURL_POLL_INOUT,
						   what == CURL_POLL_OUT || what == CURL_POLL_INOUT))
		return 0;
	mux->broken = true;
	return -1;
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	DibsMux *mux = arg;

	(void) multi;
	mux->deadline = timeout_ms < 0 ? NEVER : now_us() + (int64_t) timeout_ms * 1000;
	return 0;
}

/* Sees to it that the caller's wait ends in time. */
static void
arm(DibsMux *mux)
{
	int64_t now;

	if (mux->deadline >= mux->armed)
		return;
	now = now_us();
	if (dibs_pollset_arm(&mux->pollset, mux->deadline > now ? mux->deadline - now : 0))
		mux->armed = mux->deadline;
	else
		mux->broken = true;
}

static void
set_limits(DibsMux *mux)
{
	curl_multi_setopt(mux->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long) mux->max_connections);
	curl_multi_setopt(mux->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long) mux->max_connections);
	curl_multi_setopt(mux->multi, CURLMOPT_MAXCONNECTS, (long) mux->max_connections);
}

static bool
open_multi(DibsMux *mux)
{
	mux->multi = curl_multi_init();
	if (mux->multi == NULL)
		return false;
	curl_multi_setopt(mux->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(mux->multi, CURLMOPT_SOCKETDATA, mux);
	curl_multi_setopt(mux->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(mux->multi, CURLMOPT_TIMERDATA, mux);
	curl_multi_setopt(mux->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX);
	set_limits(mux);
	mux->deadline = NEVER;
	mux->broken = false;
	return true;
}

DibsMux *
dibs_mux_create(int max_in_flight, int max_connections)
{
	static bool initialized = false;
	DibsMux *mux;

	/* here and not when the library is loaded: the postmaster must not have libcurl's threads and locks */
	if (!initialized && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
	{
		errno = ENOMEM;
		return NULL;
	}
	initialized = true;

	mux = calloc(1, sizeof(DibsMux));
	if (mux == NULL)
		return NULL;
	mux->max_in_flight = max_in_flight;
	mux->max_connections = max_connections;
	mux->armed = NEVER;
	if (!dibs_pollset_open(&mux->pollset))
	{
		free(mux);
		return NULL;
	}
	if (!open_multi(mux))
	{
		dibs_pollset_close(&mux->pollset);
		free(mux);
		errno = ENOMEM;
		return NULL;
	}
	return mux;
}

void
dibs_mux_destroy(DibsMux *mux)
{
	while (mux->lists[DIBS_HTTP_QUEUED].head != NULL)
		dibs_mux_free(mux->lists[DIBS_HTTP_QUEUED].head);
	for (int state = 0; state < DIBS_HTTP_STATES; state++)
		while (mux->lists[state].head != NULL)
			dibs_mux_free(mux->lists[state].head);
	while (mux->spare_count > 0)
		curl_easy_cleanup(mux->spare[--mux->spare_count]);
	free(mux->spare);
	if (mux->multi != NULL)
		curl_multi_cleanup(mux->multi);
	dibs_pollset_close(&mux->pollset);
	free(mux);
}

int
dibs_mux_fd(const DibsMux *mux)
{
	return mux->pollset.fd;
}

void
dibs_mux_limits(DibsMux *mux, int max_in_flight, int max_connections)
{
	mux->max_in_flight = max_in_flight;
	mux->max_connections = max_connections;
	if (mux->multi != NULL)
		set_limits(mux);
}

int
dibs_mux_in_flight(const DibsMux *mux)
{
	return mux->lists[DIBS_HTTP_QUEUED].count + mux->lists[DIBS_HTTP_ACTIVE].count + mux->lists[DIBS_HTTP_DONE].count;
}

void
dibs_mux_attach(DibsMux *mux, DibsHttpRequest *req)
{
	req->mux = mux;
	link_request(req, DIBS_HTTP_IDLE);
}

static CURL *
take_handle(DibsMux *mux)
{
	return mux->spare_count > 0 ? mux->spare[--mux->spare_count] : curl_easy_init();
}

/* Reset keeps nothing of the request; connections and sessions live in the multi handle. */
static void
give_handle(DibsMux *mux, CURL *easy)
{
	if (mux->spare_count == mux->spare_size && mux->spare_size < mux->max_in_flight)
	{
		int size = mux->spare_size ? mux->spare_size * 2 : 8;
		CURL **spare = realloc(mux->spare, size * sizeof(CURL *));

		if (spare != NULL)
		{
			mux->spare = spare;
			mux->spare_size = size;
		}
	}
	if (mux->spare_count == mux->spare_size || mux->spare_count >= mux->max_in_flight)
	{
		curl_easy_cleanup(easy);
		return;
	}
	curl_easy_reset(easy);
	mux->spare[mux->spare_count++] = easy;
}

/* Ends a request in any state; an active one is taken from libcurl first. */
static void
finish(DibsHttpRequest *req, CURLcode code)
{
	DibsMux *mux = req->mux;

	dibs_request_finish(req, code);
	if (req->easy != NULL)
	{
		curl_multi_remove_handle(mux->multi, req->easy);
		give_handle(mux, req->easy);
		req->easy = NULL;
	}
	move_request(req, DIBS_HTTP_DONE);
}

void
dibs_mux_free(DibsHttpRequest *req)
{
	DibsMux *mux = req->mux;

	if (req->easy != NULL)
	{
		curl_multi_remove_handle(mux->multi, req->easy);
		give_handle(mux, req->easy);
	}
	unlink_request(req);
	dibs_request_delete(req);

	/* its place goes to the next in line, at the drive that this causes */
	if (mux->lists[DIBS_HTTP_QUEUED].head != NULL)
	{
		mux->deadline = now_us();
		arm(mux);
	}
}

/* Gives a request to libcurl, whose clock for its timeouts starts here. */
static void
activate(DibsHttpRequest *req)
{
	DibsMux *mux = req->mux;

	if (req->failure == DIBS_HTTP_OK)
	{
		if (mux->multi == NULL && !open_multi(mux))
			dibs_request_fail(req, DIBS_HTTP_OTHER, "out of memory");
		else
		{
			CURL *easy = take_handle(mux);

			if (easy != NULL && dibs_request_prepare(req, easy) && curl_multi_add_handle(mux->multi, easy) == CURLM_OK)
			{
				req->easy = easy;
				move_request(req, DIBS_HTTP_ACTIVE);
				return;
			}
			if (easy != NULL)
				curl_easy_cleanup(easy);
			dibs_request_fail(req, DIBS_HTTP_OTHER, "libcurl cannot take the request");
		}
	}
	finish(req, CURLE_OK);
	mux->deadline = now_us();
}

void
dibs_mux_start(DibsHttpRequest *req)
{
	DibsMux *mux = req->mux;

	if (req->state != DIBS_HTTP_IDLE || req->finished)
		return;
	if (mux->lists[DIBS_HTTP_ACTIVE].count < mux->max_in_flight)
		activate(req);
	else
		move_request(req, DIBS_HTTP_QUEUED);
	arm(mux);
}

/* Everything in flight has failed; the next request gets a new multi handle. */
static void
rebuild(DibsMux *mux)
{
	while (mux->lists[DIBS_HTTP_ACTIVE].head != NULL)
	{
		DibsHttpRequest *req = mux->lists[DIBS_HTTP_ACTIVE].head;

		dibs_request_fail(req, DIBS_HTTP_OTHER, "the system cannot watch another socket");
		finish(req, CURLE_ABORTED_BY_CALLBACK);
	}
	curl_multi_cleanup(mux->multi);
	mux->multi = NULL;
	mux->deadline = NEVER;
	mux->broken = false;
}

static void
collect(DibsMux *mux)
{
	CURLMsg *message;
	int left;

	while (mux->multi != NULL && (message = curl_multi_info_read(mux->multi, &left)) != NULL)
	{
		char *private_pointer = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private_pointer);
		finish((DibsHttpRequest *) private_pointer, code);
	}
	while (mux->lists[DIBS_HTTP_QUEUED].head != NULL && mux->lists[DIBS_HTTP_ACTIVE].count < mux->max_in_flight)
		activate(mux->lists[DIBS_HTTP_QUEUED].head);
}

/*
 * Threads that libcurl starts to look up names inherit the signal mask: with everything blocked, none of them can run a
 * handler of the process.
 */
void
dibs_mux_drive(DibsMux *mux)
{
	DibsPollEvent events[EVENTS_AT_ONCE];
	sigset_t all;
	sigset_t before;
	bool timer;
	int running;
	int n;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);

	n = dibs_pollset_take(&mux->pollset, events, EVENTS_AT_ONCE, &timer);
	if (timer)
		mux->armed = NEVER;
	for (int i = 0; i < n && mux->multi != NULL; i++)
		curl_multi_socket_action(mux->multi, events[i].fd,
								 (events[i].readable ? CURL_CSELECT_IN : 0) |
									 (events[i].writable ? CURL_CSELECT_OUT : 0) |
									 (events[i].error ? CURL_CSELECT_ERR : 0),
								 &running);
	collect(mux);

	for (int round = 0; round < ROUNDS && mux->deadline != NEVER && mux->deadline <= now_us(); round++)
	{
		mux->deadline = NEVER;
		if (mux->multi == NULL)
			break;
		curl_multi_socket_action(mux->multi, CURL_SOCKET_TIMEOUT, 0, &running);
		if (mux->deadline == NEVER && mux->lists[DIBS_HTTP_ACTIVE].count > 0)
			mux->deadline = now_us() + SAFETY_NET;
		collect(mux);
	}
	if (mux->broken && mux->multi != NULL)
	{
		rebuild(mux);
		collect(mux);
	}
	arm(mux);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void
dibs_mux_take(DibsHttpRequest *req)
{
	move_request(req, DIBS_HTTP_IDLE);
}

DibsHttpRequest *
dibs_mux_next_done(DibsMux *mux)
{
	DibsHttpRequest *req = mux->lists[DIBS_HTTP_DONE].head;

	if (req != NULL)
		dibs_mux_take(req);
	return req;
}

bool
dibs_mux_has_done(const DibsMux *mux)
{
	return mux->lists[DIBS_HTTP_DONE].head != NULL;
}
