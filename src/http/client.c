/*
 * client.c
 *		The multiplexer inside a PostgreSQL process: settings, memory contexts, descriptors, interrupts.
 */
#include "compat.h"

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "guc.h"
#include "http/http.h"
#include "http/multiplexer.h"

/* epoll and its timer */
#define OWN_DESCRIPTORS 2

/* A backend calls out one request at a time; a few hosts' connections may stay open between calls. */
#define BACKEND_CONNECTIONS 4

struct DibsHttp
{
	DibsMux *mux;
	int descriptors; /* acquired from PostgreSQL's budget */
	int max_connections;
	bool follows_setting; /* max_in_flight is the setting's */
	int max_in_flight;
	MemoryContextCallback callback;
};

/* Ties a malloc'd request to the memory context in which it was made; req is cleared when it is freed before. */
typedef struct RequestHolder
{
	DibsHttpRequest *req;
	MemoryContextCallback callback;
} RequestHolder;

static void
destroy_callback(void *arg)
{
	dibs_http_destroy((DibsHttp *) arg);
}

/* Takes what there is of the descriptors that it could use; PostgreSQL's own files come first. */
static void
acquire_descriptors(DibsHttp *http, int wanted)
{
	while (http->descriptors < wanted && AcquireExternalFD())
		http->descriptors++;
	while (http->descriptors > wanted)
	{
		ReleaseExternalFD();
		http->descriptors--;
	}
	http->max_connections = Max(http->descriptors - OWN_DESCRIPTORS, 0);
}

static DibsHttp *
create(MemoryContext owner, int max_in_flight, bool follows_setting)
{
	DibsHttp *http = MemoryContextAllocZero(owner, sizeof(DibsHttp));

	http->max_in_flight = max_in_flight;
	http->follows_setting = follows_setting;
	http->callback.func = destroy_callback;
	http->callback.arg = http;
	MemoryContextRegisterResetCallback(owner, &http->callback);

	acquire_descriptors(http, max_in_flight + OWN_DESCRIPTORS);
	if (http->max_connections < 1)
	{
		dibs_http_destroy(http);
		ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				errmsg("no file descriptors are left for requests to providers"),
				errhint("Raise max_files_per_process, or lower dibs.max_in_flight."));
	}
	http->mux = dibs_mux_create(max_in_flight, http->max_connections);
	if (http->mux == NULL)
	{
		dibs_http_destroy(http);
		ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_RESOURCES), errmsg("could not initialize libcurl: %m"));
	}
	return http;
}

DibsHttp *
dibs_http_create(MemoryContext owner)
{
	return create(owner, dibs_max_in_flight, true);
}

/* Also the reset callback: it may run twice, and must not throw. */
void
dibs_http_destroy(DibsHttp *http)
{
	if (http->mux != NULL)
		dibs_mux_destroy(http->mux);
	http->mux = NULL;
	while (http->descriptors > 0)
	{
		ReleaseExternalFD();
		http->descriptors--;
	}
}

char *
dibs_http_escaped(const char *text)
{
	char *malloced = dibs_http_escape(text);
	char *copy;

	if (malloced == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	copy = pstrdup(malloced);
	free(malloced);
	return copy;
}

pgsocket
dibs_http_socket(const DibsHttp *http)
{
	return dibs_mux_fd(http->mux);
}

/* host or host:port of a base URL, as a request's authority is written */
static bool
same_authority(const char *base, bool https, const char *authority)
{
	const char *scheme = https ? "https://" : "http://";
	const char *own_port = https ? ":443" : ":80";
	size_t len;

	if (base == NULL || strncmp(base, scheme, strlen(scheme)) != 0)
		return false;
	base += strlen(scheme);
	len = strcspn(base, "/");
	if (len > strlen(own_port) && strncmp(base + len - strlen(own_port), own_port, strlen(own_port)) == 0)
		len -= strlen(own_port);
	return len == strlen(authority) && pg_strncasecmp(base, authority, len) == 0;
}

/* In plain http only to an address that cannot leave the machine, never to a name that somebody resolves. */
static void
check_allowed(DibsHttpRequest *req)
{
	const char *const bases[] = {dibs_zoom_api_url, dibs_zoom_oauth_url, dibs_cal_api_url, dibs_calendly_api_url,
								 dibs_daily_api_url};

	if (dibs_http_failure(req) != DIBS_HTTP_OK)
		return;
	if (!req->https && !(req->loopback && dibs_allow_insecure_loopback))
	{
		dibs_request_fail(req, DIBS_HTTP_REFUSED_URL, "only https is allowed");
		return;
	}
	for (int i = 0; i < (int) lengthof(bases); i++)
		if (same_authority(bases[i], req->https, req->authority))
			return;
	if (dibs_allowed_hosts == NULL || !dibs_list_contains(dibs_allowed_hosts, req->authority))
		dibs_request_fail(req, DIBS_HTTP_REFUSED_URL, "the host is not in dibs.allowed_hosts");
}

static void
free_callback(void *arg)
{
	RequestHolder *holder = arg;

	if (holder->req != NULL)
		dibs_mux_free(holder->req);
}

DibsHttpRequest *
dibs_http_request(DibsHttp *http, const char *method, const char *url)
{
	RequestHolder *holder = palloc0(sizeof(RequestHolder));
	DibsHttpRequest *req = dibs_request_new(method, url);

	if (req == NULL)
		ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"));
	dibs_mux_attach(http->mux, req);
	req->owner = &holder->req;
	holder->req = req;
	holder->callback.func = free_callback;
	holder->callback.arg = holder;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &holder->callback);

	check_allowed(req);
	dibs_http_timeouts(req, dibs_connect_timeout, dibs_request_timeout);
	req->max_answer = (size_t) dibs_max_response_size * 1024;
	if (dibs_http2 != DIBS_HTTP2_AUTO)
		req->http2 = dibs_http2 == DIBS_HTTP2_ON;
	if (dibs_ca_file != NULL && dibs_ca_file[0] != '\0')
		dibs_request_ca_file(req, dibs_ca_file);

	if (http->follows_setting && http->max_in_flight != dibs_max_in_flight)
	{
		http->max_in_flight = dibs_max_in_flight;
		acquire_descriptors(http, dibs_max_in_flight + OWN_DESCRIPTORS);
		dibs_mux_limits(http->mux, http->max_in_flight, http->max_connections);
	}
	return req;
}

void
dibs_http_start(DibsHttpRequest *req)
{
	dibs_mux_start(req);
}

void
dibs_http_drive(DibsHttp *http)
{
	dibs_mux_drive(http->mux);
}

DibsHttpRequest *
dibs_http_next_done(DibsHttp *http)
{
	return dibs_mux_next_done(http->mux);
}

bool
dibs_http_has_done(const DibsHttp *http)
{
	return dibs_mux_has_done(http->mux);
}

void
dibs_http_free(DibsHttpRequest *req)
{
	dibs_mux_free(req);
}

DibsHttp *
dibs_http_backend(void)
{
	static DibsHttp *http = NULL;

	if (http == NULL)
		http = create(TopMemoryContext, BACKEND_CONNECTIONS, false);
	return http;
}

void
dibs_http_perform(DibsHttpRequest *req)
{
	static uint32 wait_event = 0;
	DibsMux *mux = req->mux;

	if (wait_event == 0)
		wait_event = dibs_wait_event("DibsHttp");
	dibs_mux_start(req);
	for (;;)
	{
		dibs_mux_drive(mux);
		if (req->finished)
			break;
		(void) WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH, dibs_mux_fd(mux), -1,
								 wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	dibs_mux_take(req);
}
