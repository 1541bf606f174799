/*
 * multiplexer.h
 *		libcurl's multi interface under one descriptor; the inside of a request. For the files of this room only.
 *
 * Plain C on malloc: no PostgreSQL in here, so nothing can longjmp through libcurl.
 */
#ifndef DIBS_HTTP_MULTIPLEXER_H
#define DIBS_HTTP_MULTIPLEXER_H

#include <curl/curl.h>

#include "http/pollset.h"
#include "http/request.h"

typedef struct DibsMux DibsMux;

/* A request is in exactly one list of its multiplexer. */
typedef enum DibsHttpState
{
	DIBS_HTTP_IDLE,   /* being built, or handed out when done */
	DIBS_HTTP_QUEUED, /* started, waits for a place */
	DIBS_HTTP_ACTIVE, /* libcurl has it */
	DIBS_HTTP_DONE,   /* waits to be handed out */
} DibsHttpState;
#define DIBS_HTTP_STATES 4

typedef struct DibsBuffer
{
	char *data; /* with a zero byte after len, once there is anything */
	size_t len;
	size_t size;
} DibsBuffer;

struct DibsHttpRequest
{
	DibsMux *mux;
	DibsHttpRequest *prev;
	DibsHttpRequest *next;
	DibsHttpState state;
	bool finished;
	void *private_pointer;
	DibsHttpRequest **owner; /* the owner's pointer to this, cleared when it is freed */

	char method[8];
	CURLU *url;
	char *authority; /* host, or host:port where the port is not the scheme's own */
	bool https;
	bool http2;    /* over TLS, where the server offers it */
	bool loopback; /* the host is a loopback address, not a name for one */
	struct curl_slist *headers;
	char *body;
	size_t body_len;
	size_t body_taken; /* how much of it libcurl has fetched */
	char *ca_file;
	int connect_ms;
	int total_ms;
	size_t max_answer;

	CURL *easy; /* while active */
	DibsBuffer answer;
	DibsBuffer answer_headers;
	int status;
	DibsHttpFailure failure;
	char error[CURL_ERROR_SIZE];
	char curl_error[CURL_ERROR_SIZE]; /* libcurl writes here, also after we know better */
	DibsHttpTimes times;
	bool maybe_sent;
};

/* NULL with errno where the system has no more of something. */
extern DibsMux *dibs_mux_create(int max_in_flight, int max_connections);
extern void dibs_mux_destroy(DibsMux *mux);
extern int dibs_mux_fd(const DibsMux *mux);
extern void dibs_mux_limits(DibsMux *mux, int max_in_flight, int max_connections);
extern int dibs_mux_in_flight(const DibsMux *mux);
extern void dibs_mux_start(DibsHttpRequest *req);
extern void dibs_mux_drive(DibsMux *mux);
extern DibsHttpRequest *dibs_mux_next_done(DibsMux *mux);
extern bool dibs_mux_has_done(const DibsMux *mux);
/* Takes a done request out of the line. */
extern void dibs_mux_take(DibsHttpRequest *req);
extern void dibs_mux_attach(DibsMux *mux, DibsHttpRequest *req);
extern void dibs_mux_free(DibsHttpRequest *req);

/* request.c: NULL only without memory */
extern DibsHttpRequest *dibs_request_new(const char *method, const char *url);
extern void dibs_request_delete(DibsHttpRequest *req);
extern void dibs_request_ca_file(DibsHttpRequest *req, const char *path);
/* The first reason stays. */
extern void dibs_request_fail(DibsHttpRequest *req, DibsHttpFailure failure, const char *error);
extern bool dibs_request_prepare(DibsHttpRequest *req, CURL *easy);
extern void dibs_request_finish(DibsHttpRequest *req, CURLcode code);

#endif
