/*
 * metrics.h
 *		Counts of calls by provider, in shared memory.
 */
#ifndef DIBS_WORKER_METRICS_H
#define DIBS_WORKER_METRICS_H

#include "postgres.h"

#include "http/http.h"

/* A request to this provider is done, with an answer or without. */
extern void dibs_count_call(const char *provider, DibsHttpRequest *request);

#endif
