/*
 * courier.h
 *		The engine's state, and what engine.c and courier.c need of each other.
 */
#ifndef DIBS_WORKER_COURIER_H
#define DIBS_WORKER_COURIER_H

#include "postgres.h"

#include "http/http.h"
#include "meeting/claim.h"
#include "worker/engine.h"

struct DibsEngine
{
	MemoryContext context;
	MemoryContext tick;
	bool in_procedure;
	DibsHttp *http;
	List *ready;          /* claimed, to be sent */
	List *answered;       /* to be settled */
	List *settling;       /* being settled in this moment */
	DibsClaim *unwritten; /* the one whose settling failed, or NULL */
	List *set_aside;      /* answers whose meeting's row somebody has locked */
	List *tokens;         /* courier.c's */
	List *throttles;      /* courier.c's */
	int in_flight;
	bool woken;
	bool look_again; /* once something is settled */
	bool backlog;    /* the last claim found as much as it asked for */
	bool standing;   /* the standing jobs are there */
	bool one_by_one; /* a settle failed: find out for whom */
	int64 next_due;  /* monotonic ms */
	int64 aside_until;
	TimestampTz cautious_since;
	const char *hold;

	/* while a transaction is open */
	Oid saved_user;
	int saved_context;
	int settings;
};

/*
 * Opens a transaction, as the worker's role. False: it can't be done now; then none is open (in a procedure: the
 * procedure's own, untouched).
 */
extern bool dibs_begin_work(DibsEngine *e);
extern void dibs_end_work(DibsEngine *e);

/* This claim's outcome is known, and is to be settled. */
extern void dibs_queue_answered(DibsEngine *e, DibsClaim *claim);

/* Reads what has come back: claims go on with their next request, or are queued as answered. */
extern void dibs_read_answers(DibsEngine *e);

/* Sends claimed work as far as the window allows. */
extern void dibs_send_ready(DibsEngine *e);

#endif
