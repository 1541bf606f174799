/*
 * events.h
 *		"WebhookEvent": every genuine delivery, once, and what became of it.
 */
#ifndef DIBS_WEBHOOK_EVENTS_H
#define DIBS_WEBHOOK_EVENTS_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "calendar/calendar.h"
#include "meeting/event.h"

/* A delivery that is to be kept. */
typedef struct DibsIncoming
{
	char ulid[DIBS_ULID_LEN + 1];
	const char *source;
	const DibsCalendarSource *calendar; /* NULL: nothing reads this source's bookings */
	const DibsMeetingSource *meeting;   /* NULL: nor its meetings */
	bool stale;                         /* genuine, and too old to be applied */
	DibsEventIdentity identity;
	const char *dedupe_key;
	bytea *sha256;
	Jsonb *whole;   /* as it came */
	Jsonb *payload; /* without bearer values */
	TimestampTz received_at;
} DibsIncoming;

typedef enum DibsDelivered
{
	DIBS_DELIVERED_DONE, /* applied->outcome says what became of it */
	DIBS_DELIVERED_DUPLICATE,
	DIBS_DELIVERED_QUEUED, /* kept, to be applied later */
} DibsDelivered;

/* Keeps the delivery and applies it, in a subtransaction that does not wait long for anybody. SPI is connected. */
extern DibsDelivered dibs_event_deliver(DibsIncoming *delivery, DibsApplied *applied);

/* Queues what waited for a uid that a booking has now. uids: of char *. SPI is connected. */
extern void dibs_requeue_waiting(List *uids);

/* The payload without the values at these paths. */
extern Jsonb *dibs_strip_payload(Jsonb *payload, const char *const *paths);

/*
 * Applies up to max kept events that are due; gives how many it looked at. In a transaction; connects to SPI itself.
 */
extern int dibs_apply_due_events(int max);

#endif
