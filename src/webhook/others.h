/*
 * others.h
 *		Senders that are no calendar source: their deliveries are verified and kept.
 */
#ifndef DIBS_WEBHOOK_OTHERS_H
#define DIBS_WEBHOOK_OTHERS_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "core/bytes.h"

typedef struct DibsOtherSource
{
	const char *name;
	const char *trigger_key;
	/* The answer to a sender that wants to see whether we hold its secret; NULL: it is no such question. */
	Jsonb *(*challenge)(const Jsonb *payload, DibsBytes secret);
	/*
	 * A body with nothing in it, sent to see whether anybody answers: before there can be a secret, so that it bears no
	 * signature. It is answered, and that is all. NULL: there is none.
	 */
	const char *ping;
} DibsOtherSource;

extern const DibsOtherSource *dibs_other_source(const char *name);

#endif
