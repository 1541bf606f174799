/*
 * receive.h
 *		Receiving a webhook: verify the raw bytes, keep the event, apply it, and say what the sender is to get.
 */
#ifndef DIBS_WEBHOOK_RECEIVE_H
#define DIBS_WEBHOOK_RECEIVE_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "core/ulid.h"

typedef struct DibsReceived
{
	int status; /* HTTP */
	const char *outcome;
	char event[DIBS_ULID_LEN + 1]; /* "" where nothing was kept */
	Jsonb *response;
} DibsReceived;

/* body is raw; headers may be NULL. Connects to SPI itself. 22023 for a source that is none. */
extern void dibs_receive(const char *source, const Jsonb *headers, const char *body, Size len, DibsReceived *received);

/*
 * Applies up to max kept events that are due; gives how many it looked at. In a transaction; connects to SPI itself.
 */
extern int dibs_apply_due_events(int max);

#endif
