/*
 * request.h
 *		One HTTP request and, later, its answer.
 *
 * Plain C on malloc, so that nothing here can throw through libcurl's frames, and so that it can be tested without a
 * server. Whatever goes wrong while a request is being built (no memory, a header that would break a line, a URL that
 * may not be called) is kept in the request: it is then done at once when started, with its failure set.
 */
#ifndef DIBS_HTTP_REQUEST_H
#define DIBS_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct DibsHttpRequest DibsHttpRequest;

typedef enum DibsHttpFailure
{
	DIBS_HTTP_OK,              /* there is a whole answer: look at its status */
	DIBS_HTTP_REFUSED_URL,     /* the settings do not allow it; nothing was sent */
	DIBS_HTTP_CONNECT,         /* no such host, or nobody listens there */
	DIBS_HTTP_TLS,             /* certificate or handshake */
	DIBS_HTTP_TIMEOUT_CONNECT, /* no connection within connect_timeout */
	DIBS_HTTP_TIMEOUT,         /* no whole answer within request_timeout */
	DIBS_HTTP_RESET,           /* the connection ended before the answer did */
	DIBS_HTTP_TOO_LARGE,       /* the answer is longer than max_response_size */
	DIBS_HTTP_CANCELED,
	DIBS_HTTP_OTHER, /* not HTTP, no memory, … */
} DibsHttpFailure;

typedef struct DibsHttpTimes
{
	/* microseconds from the start */
	int64_t lookup;
	int64_t connect;
	int64_t tls;
	int64_t sent;       /* the request's first byte */
	int64_t first_byte; /* the answer's */
	int64_t total;
	int connections; /* opened for this request: 0 where one was reused */
} DibsHttpTimes;

/* Building. Everything given is copied; what may hold a secret is overwritten before it is freed. */
extern void dibs_http_header(DibsHttpRequest *req, const char *name, const char *value);
extern void dibs_http_bearer(DibsHttpRequest *req, const char *token);
extern void dibs_http_basic(DibsHttpRequest *req, const char *user, const char *password);
extern void dibs_http_body(DibsHttpRequest *req, const char *content_type, const void *data, size_t len);
extern void dibs_http_timeouts(DibsHttpRequest *req, int connect_ms, int total_ms);
extern void dibs_http_set_private(DibsHttpRequest *req, void *pointer);

extern void *dibs_http_private(const DibsHttpRequest *req);
extern const char *dibs_http_method(const DibsHttpRequest *req);

/* The answer. Pointers are good until the request is freed; the body ends with a zero byte that len leaves out. */
extern bool dibs_http_is_done(const DibsHttpRequest *req);
extern DibsHttpFailure dibs_http_failure(const DibsHttpRequest *req);
extern const char *dibs_http_error(const DibsHttpRequest *req); /* for people; no header, query or body; "" where OK */
extern int dibs_http_status(const DibsHttpRequest *req);        /* 0: none was received */
extern const char *dibs_http_answer(const DibsHttpRequest *req, size_t *len);
/* the value of an answer's header, copied into buf; NULL where there is none or it does not fit */
extern const char *dibs_http_answer_header(const DibsHttpRequest *req, const char *name, char *buf, size_t size);
extern DibsHttpTimes dibs_http_times(const DibsHttpRequest *req);

/*
 * Whether the peer may have got the request: false only where that is certain. A create with true and without an answer
 * has an unknown outcome. libcurl never sends a request with a body twice by itself (see request.c).
 */
extern bool dibs_http_maybe_sent(const DibsHttpRequest *req);

/* percent-encodes everything but A-Z a-z 0-9 - . _ ~; malloc'd, NULL without memory */
extern char *dibs_http_escape(const char *text);

#endif
