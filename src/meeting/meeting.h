/*
 * meeting.h
 *		What a meeting provider must give, and what it is given.
 *
 * A provider turns what is wanted into requests and reads answers; it sends nothing, keeps nothing and knows no table.
 * The engine (worker/engine.c) decides the action by comparing what is wanted with what is known, sends the request,
 * and records the answer. A new provider is one file with one DibsMeetingProvider and one line in registry.c.
 *
 * All pointers live in the work's own memory context. Text from a provider's answer is data: it is stored, shown and
 * compared, never executed or interpolated.
 */
#ifndef DIBS_MEETING_H
#define DIBS_MEETING_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "http/http.h"
#include "queue/verdict.h"

typedef enum DibsMeetingAction
{
	DIBS_ACTION_NONE, /* the meeting is as wanted, or none is wanted and none exists */
	DIBS_ACTION_CREATE,
	DIBS_ACTION_UPDATE,
	DIBS_ACTION_DELETE,
	DIBS_ACTION_LOOKUP, /* is there one already that bears our marker? then CREATE, if it is still wanted */
} DibsMeetingAction;

/* What the booking asks for; settings are the checked list of "CoachZoomConfig".settings, event type's over coach's. */
typedef struct DibsMeetingWanted
{
	const char *booking_ulid;
	const char *user_ulid;
	const char *uid; /* the booking's calBookingUid */
	const char *topic;
	const char *agenda;    /* may be NULL */
	const char *time_zone; /* the coach's IANA name, may be NULL */
	TimestampTz start;
	TimestampTz end;
	bool group;
	int seats;                  /* 0: not limited */
	const char *host;           /* the provider's name for the host: a Zoom user id or e-mail; NULL: none is known */
	const char *room;           /* the coach's own room (personalMeetingId), where settings say so */
	const char *given_join_url; /* a link that came with the booking, was set by hand, or is the coach's static one */
	const char *given_host_url;
	const char *given_id;
	const char *given_passcode;
	Jsonb *settings; /* may be NULL */
} DibsMeetingWanted;

/* What is known of the meeting: a row of "Meeting". Filled in by the provider as answers come. */
typedef struct DibsMeetingKnown
{
	char *ulid;   /* the row's */
	char *marker; /* found again in the provider's lists; bears the booking's ulid and uid */
	char *host;
	char *external_id; /* the provider's id, as text */
	char *external_uuid;
	char *join_url;
	char *host_url; /* a page for the host that is no credential */
	char *passcode;
} DibsMeetingKnown;

/* One action on one meeting, from claim to settle. */
typedef struct DibsMeetingWork
{
	const struct DibsMeetingProvider *provider;
	DibsMeetingAction action;
	const DibsMeetingWanted *wanted; /* NULL for a tombstone */
	DibsMeetingKnown known;
	List *recorded; /* of char *: ids of meetings that bear the same marker, and are not the one that is looked for */
	List *hosts;    /* of char *: others beside known.host that a lookup has to ask about; NIL: none */

	/* the provider's own memory between two requests of one action */
	int step;
	char *page;
	void *notes;

	/* what the answer meant */
	DibsVerdict verdict;
	TimestampTz retry_at; /* 0: the usual back-off */
	DibsThrottle throttle;
	const char *error_code; /* one of those in docs/errors.md: not_connected, scope_missing, host_daily_limit … */
	char *error;            /* the provider's words, without secrets; NULL: none */
} DibsMeetingWork;

typedef struct DibsHostLimits
{
	int daily;                 /* creates and updates of one host in a day; 0: any number */
	int day_ms;                /* the provider's day, counted from 1970 */
	int at_once;               /* meetings that a default host may have at the same time; 0: any number */
	const char *default_hosts; /* a list, as in a setting */
} DibsHostLimits;

struct DibsHostWish;
struct DibsRegistrar;

typedef struct DibsMeetingProvider
{
	const char *name;

	/* tells by webhook when a meeting starts and ends; where false, the clock completes bookings */
	bool reports_events;

	/*
	 * The meeting's content in a canonical form. Its hash is kept: an update is sent only when it changed. NULL or
	 * empty output: nothing at the provider depends on the booking's content.
	 */
	void (*describe)(const DibsMeetingWanted *wanted, StringInfo out);

	/*
	 * Providers without requests: fills work->known and the verdict at once. NULL for providers with requests.
	 */
	void (*make)(DibsMeetingWork *work);

	/* Its requests carry an access token, which the account provider of the same name (account/provider.h) knows to
	 * get. */
	bool needs_token;

	/* The rate at which requests like the next one of work->action may be sent. NULL: any. */
	DibsPace (*pace)(const DibsMeetingWork *work);

	/* The host's way in: its request, and its reading (NULL: failure says why). NULL: the host's link is all. */
	DibsHttpRequest *(*host_request)(const struct DibsHostWish *wish, DibsHttp *http, const DibsAccess *access);
	char *(*host_read)(const struct DibsHostWish *wish, DibsHttpRequest *request, DibsFailure *failure);

	/* A link of their own for each participant of a group. NULL: it has no such thing. */
	const struct DibsRegistrar *registrar;

	/* Fresh links to what was recorded. NULL: it has no such thing. */
	const struct DibsRecordingLinks *recordings;

	/* What hosts may do, and who hosts for a coach without a host. NULL: whatever is asked, and nobody. */
	DibsHostLimits (*host_limits)(void);

	/* The next request of work->action. NULL: it can't be made; then the verdict and error are set. */
	DibsHttpRequest *(*build)(DibsMeetingWork *work, DibsHttp *http, const DibsAccess *access);

	/* Reads the answer (or the failure) of that request and sets the verdict. */
	void (*read)(DibsMeetingWork *work, DibsHttpRequest *request);
} DibsMeetingProvider;

/* NULL for a name that is no provider's */
extern const DibsMeetingProvider *dibs_meeting_provider(const char *name);

extern const DibsMeetingProvider dibs_provider_jitsi;
extern const DibsMeetingProvider dibs_provider_static;
extern const DibsMeetingProvider dibs_provider_manual;
extern const DibsMeetingProvider dibs_provider_source;
extern const DibsMeetingProvider dibs_provider_zoom;

/* Sets verdict, code and text in one go; fmt as in psprintf, of at most a few hundred bytes. */
extern void dibs_work_failed(DibsMeetingWork *work, DibsVerdict verdict, const char *code, const char *fmt, ...)
	pg_attribute_printf(4, 5);

#endif
