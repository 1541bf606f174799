/*
 * claim.h
 *		One claimed piece of work: what the rows said, what is to be done, what came of it.
 *
 * claim.c fills it from the tables, reconcile.c decides, worker/engine.c sends, settle.c writes it back.
 */
#ifndef DIBS_MEETING_CLAIM_H
#define DIBS_MEETING_CLAIM_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "core/ulid.h"
#include "meeting/meeting.h"
#include "queue/instance.h"

/* What the booking's row is to say about its meeting. */
typedef enum DibsMeetingState
{
	DIBS_MEETING_PENDING,
	DIBS_MEETING_READY,
	DIBS_MEETING_DELAYED,
	DIBS_MEETING_FAILED,
	DIBS_MEETING_NOT_NEEDED,
	DIBS_MEETING_UNCHANGED,
} DibsMeetingState;

extern const char *dibs_meeting_state_name(DibsMeetingState state); /* NULL for UNCHANGED */

/* What an answer means for the three rows. */
typedef struct DibsOutcome
{
	const char *meeting_state; /* Meeting.state; NULL: unchanged */
	bool content;              /* the provider has confirmed this content */
	bool done;                 /* the claimed version is carried out, or given up */
	DibsMeetingState state;
	TimestampTz next_try;
	int lookups;
	int attempts;
} DibsOutcome;

typedef struct DibsClaim
{
	MemoryContext context;
	char fence[DIBS_ULID_LEN + 1];
	int64 lease_end; /* ms of the monotonic clock */
	int generation;  /* the booking's version that was claimed */
	int attempts;    /* before this one */
	bool tombstone;

	/* the rows */
	const char *subject; /* PendingMeeting.ulid: the booking's, or the tombstone's */
	const char *user_ulid;
	const char *booking_ulid; /* NULL for a tombstone */
	const char *status;
	const char *wish; /* CalBooking.meetingProvider */
	const char *location_kind;
	const char *location_value;
	const char *location_policy;
	const char *event_type_provider;
	const char *coach_provider;
	bool static_links;
	const char *static_join_url;
	const char *static_host_url;
	const char *zoom_host;
	const char *zoom_grant; /* the coach's own connected account: "ProviderAccount".ulid; NULL: none */
	const char *row_join_url;
	const char *row_host_url;
	const char *row_meeting_id;
	const char *row_passcode;
	const char *row_state;
	const char *row_error;
	TimestampTz created;
	const char *meeting_state; /* NULL: there is no Meeting row */
	const char *meeting_provider;
	const char *meeting_account;
	bool adopted;
	bool managed;            /* adopted, and changed and removed like one of ours all the same */
	bool recorded_elsewhere; /* a tombstone whose meeting is on record as a booking's, too */
	TimestampTz meeting_sent;
	TimestampTz meeting_start;
	int lookups;
	bytea *known_digest;

	DibsMeetingWanted wanted;
	DibsMeetingWork work;

	/* decided by reconcile.c */
	bool meeting_insert;     /* the Meeting row is new */
	const char *detach;      /* ulid of a Meeting that becomes a tombstone, or NULL */
	const char *new_state;   /* Meeting.state from the claim on; NULL: as it is */
	bytea *digest;           /* of what is sent; NULL: unknown */
	bool finished;           /* nothing to send */
	DibsMeetingState state;  /* what the booking says if nothing else comes of it */
	bool pooled;             /* the host is one of the default ones, whichever is free */
	bool fallen_back;        /* the meeting is the fallback's, and the booking says so */
	TimestampTz fallback_at; /* when the fallback provider is to step in, if there is no meeting by then; 0: never */
	bool put_off;            /* not now: at work.retry_at, for the reason in work.error_code */
	bool clear_links;
	bool keep_links; /* the row's own links stand: passive, or given by hand */

	/* hosts.c's */
	bool counted; /* takes one of the host's creates and updates of the day that began at counted_day */
	TimestampTz counted_day;

	/* filled in by the engine */
	bool new_token_tried;
	int64 send_at;  /* monotonic ms: the turn it has been given; 0: none yet */
	bool release;   /* give back unsent */
	bool set_aside; /* by settle.c: the meeting's row is locked, so the answer is to be recorded later */

	DibsOutcome outcome; /* settle.c's */
} DibsClaim;

/*
 * Taken before anything is claimed, and held to the transaction's end: claimers that take turns do not meet on the same
 * rows. Not what keeps two from claiming one thing; that is the key of "PendingMeeting". False: another claims at this
 * moment, and wait was false.
 */
extern bool dibs_claims_lock(bool wait);

/*
 * In a transaction: claims up to n due bookings (or tombstones) and decides what each needs. What is about to be sent
 * is in "Meeting" and "PendingMeeting" when the transaction commits. Returns claims in contexts below parent; where
 * nothing can be decided for a row, that one's is finished, and puts it off. *failed: why nothing could be claimed, to
 * be raised once what does not depend on it is done, or NULL.
 */
extern List *dibs_claim_bookings(MemoryContext parent, int n, const DibsCaution *caution, ErrorData **failed);
extern List *dibs_claim_tombstones(MemoryContext parent, int n, ErrorData **failed);

/* Decides: fills in the action and what follows from it. A tombstone needs no caution. */
extern void dibs_reconcile(DibsClaim *claim, TimestampTz now, const DibsCaution *caution);

/* Has the meeting made anew, at another host: the one there is becomes a tombstone. */
extern void dibs_start_over(DibsClaim *claim);

/* Nothing is sent for this claim before `at`; the booking says why. fmt as for dibs_work_failed(). */
extern void dibs_claim_wait(DibsClaim *claim, TimestampTz at, const char *code, const char *fmt, ...)
	pg_attribute_printf(4, 5);

/*
 * After reconciling, before the intent is written: gives each pooled claim a host that is free at its time, and counts
 * creates and updates against their host's day. Claims for which there is no room are put off.
 */
extern void dibs_assign_hosts(List *claims, TimestampTz now);

/* With the settling: what was never sent is not counted, and what a provider said of a host's day is kept. */
extern void dibs_settle_hosts(List *claims, TimestampTz now);

/*
 * First transaction: records every answer in "Meeting" and what came of it in "PendingMeeting"; drops from the list
 * those whose lease somebody else has taken over, and those set aside. Second: the bookings that nobody has locked.
 */
extern List *dibs_settle_meetings(List *claims, TimestampTz now);
/* True: something else is due now. */
extern bool dibs_settle_bookings(List *claims, TimestampTz now);

/* In a transaction: a claim that can't be settled waits for its next try, its error on the row. */
extern void dibs_put_off(DibsClaim *claim, TimestampTz now);

/* Longest time a claim may be held, ms: the request, and the margin twice. */
extern int dibs_lease_ms(void);

#endif
