/*
 * registrants.h
 *		A registrant and a join link for each participant of a group, where coach or event type wants that.
 */
#ifndef DIBS_MEETING_REGISTRANTS_H
#define DIBS_MEETING_REGISTRANTS_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "queue/call.h"

/* One participant, and what is to be done. Filled in by the provider as answers come. */
typedef struct DibsRegistrant
{
	const char *meeting; /* the provider's id */
	const char *email;
	const char *name; /* may be NULL */
	bool cancel;      /* else register */
	bool look_first;  /* an earlier try may have been carried out */
	char *id;
	char *join_url; /* NULL after registering: the host has to approve first */

	/* the provider's own memory between two requests */
	int call;
	char *page;
} DibsRegistrant;

/*
 * As a meeting provider builds and reads, for registrants. Registering somebody who is registered gives what there is:
 * the e-mail address is the key. Verdict GONE: the meeting, or to be cancelled the registrant, is not there (any more).
 */
typedef struct DibsRegistrar
{
	DibsPace (*pace)(const DibsRegistrant *registrant);
	DibsHttpRequest *(*build)(DibsRegistrant *registrant, DibsHttp *http, const DibsAccess *access);
	void (*read)(DibsRegistrant *registrant, DibsHttpRequest *request, DibsFailure *answer);
} DibsRegistrar;

/*
 * In the transaction that settles these claims' bookings: a job for each participant who is not registered as wanted.
 * True: there are some.
 */
extern bool dibs_start_registrants(List *claims);

extern const DibsCallKind dibs_registrant_kind;

#endif
