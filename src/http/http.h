/*
 * http.h
 *		The HTTP client of dibs: many requests at once under PostgreSQL's own wait.
 *
 * A client is one pollable descriptor. A loop waits for its latch and for that descriptor, serves interrupts, and calls
 * dibs_http_drive(), which never blocks and never leaves a libcurl frame on the stack:
 *
 *		http = dibs_http_create(TopMemoryContext);
 *		req = dibs_http_request(http, "GET", url);
 *		dibs_http_bearer(req, token);
 *		dibs_http_start(req);
 *		for (;;)
 *			... WaitEventSetWait(latch, dibs_http_socket(http)); ResetLatch(); CHECK_FOR_INTERRUPTS(); ...
 *			dibs_http_drive(http);
 *			while ((req = dibs_http_next_done(http)) != NULL)
 *				... dibs_http_failure(req), dibs_http_status(req) ...; dibs_http_free(req);
 *
 * A request dies with the memory context that was current when it was made, at the latest with its client: an ERROR
 * anywhere leaks nothing. Settings (timeouts, largest answer, allowed hosts, CA file) are those of the moment in which
 * the request is made; timeouts run from the moment in which it goes on the wire.
 */
#ifndef DIBS_HTTP_H
#define DIBS_HTTP_H

#include "postgres.h"

#include "http/request.h"

typedef struct DibsHttp DibsHttp;

/* ERROR 53000 where the process has no descriptors left for it. It goes with owner. */
extern DibsHttp *dibs_http_create(MemoryContext owner);
extern void dibs_http_destroy(DibsHttp *http);

/* wait for it to be readable; stays the same for the client's life */
extern pgsocket dibs_http_socket(const DibsHttp *http);

/*
 * Never fails and never throws for what is wrong with the URL: the request is then done as soon as it is started, with
 * DIBS_HTTP_REFUSED_URL. http:// is for 127.0.0.1 and [::1] by setting; the host is the one of a provider's base URL or
 * one of allowed_hosts, with its port.
 */
extern DibsHttpRequest *dibs_http_request(DibsHttp *http, const char *method, const char *url);

/* A segment of a path, or a value of a query or form: percent-encoded, palloc'd. */
extern char *dibs_http_escaped(const char *text);

/* Puts it on the wire, or in line where max_in_flight are there already. */
extern void dibs_http_start(DibsHttpRequest *req);

extern void dibs_http_drive(DibsHttp *http);

/* Requests that are done, in the order in which they became so; NULL: none is left. The caller frees it. */
extern DibsHttpRequest *dibs_http_next_done(DibsHttp *http);

/* Is there one? To be asked before waiting after a drive: what is done already makes the descriptor readable no more.
 */
extern bool dibs_http_has_done(const DibsHttp *http);

/* Safe at any time between two drives, also mid-flight: the connection is closed, no answer is awaited. */
extern void dibs_http_free(DibsHttpRequest *req);

/*
 * For the SQL functions that call out: starts the request and waits until it is done. A cancel is an ERROR 57014 within
 * milliseconds; the request goes with its memory context.
 */
extern void dibs_http_perform(DibsHttpRequest *req);

/* The client of this backend, made at first use, for dibs_http_perform: connections stay open between calls. */
extern DibsHttp *dibs_http_backend(void);

#endif
