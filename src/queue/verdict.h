/*
 * verdict.h
 *		What a provider's answer means for the work it was asked for, and what a request is sent with.
 *
 * Meetings (meeting/meeting.h) and jobs (queue/call.h) share these, so that one engine can drive both.
 */
#ifndef DIBS_QUEUE_VERDICT_H
#define DIBS_QUEUE_VERDICT_H

#include "postgres.h"

#include "utils/timestamp.h"

typedef enum DibsVerdict
{
	DIBS_VERDICT_NONE,      /* not known yet */
	DIBS_VERDICT_DONE,      /* the action has been carried out; what is known is up to date */
	DIBS_VERDICT_GONE,      /* it does not exist at the provider (any more) */
	DIBS_VERDICT_NOT_FOUND, /* the lookup saw everything and found none */
	DIBS_VERDICT_MORE,      /* call build() again: the action takes another request */
	DIBS_VERDICT_NEW_TOKEN, /* the access token was refused */
	DIBS_VERDICT_RETRY,     /* not carried out; again at retry_at, or after the usual back-off */
	DIBS_VERDICT_UNKNOWN,   /* may have been carried out: look it up before doing it again */
	DIBS_VERDICT_FAILED,    /* the provider's last word */
} DibsVerdict;

/* Who else has to wait when a provider says "too many". */
typedef enum DibsThrottle
{
	DIBS_THROTTLE_NONE,
	DIBS_THROTTLE_HOST,    /* this host's creates and updates */
	DIBS_THROTTLE_ACCOUNT, /* everything of this account */
} DibsThrottle;

/* A verdict that is no success, with its reason. */
typedef struct DibsFailure
{
	DibsVerdict verdict;
	TimestampTz retry_at; /* 0: the usual back-off */
	DibsThrottle throttle;
	const char *error_code; /* one of those in docs/errors.md */
	char *error;            /* the provider's words, without secrets; NULL: none */
} DibsFailure;

/* Sets verdict, code and text in one go; fmt as in psprintf, of at most a few hundred bytes. */
extern void dibs_fail(DibsFailure *failure, DibsVerdict verdict, const char *code, const char *fmt, ...)
	pg_attribute_printf(4, 5);

/* A kind of request whose rate the provider limits for a whole account. */
typedef struct DibsPace
{
	const char *label;
	double per_second; /* 0: not limited */
} DibsPace;

/*
 * An account's credentials and access token. account is "" for the platform's own, else the ulid of a
 * "ProviderAccount".
 */
typedef struct DibsAccess
{
	const char *account;
	const char *client_id;
	const char *client_secret;
	const char *account_id;
	const char *token;
	const char *base_url; /* where this account's API is, without a slash at its end; NULL: where the setting says */
	int version;          /* of a person's grant: which pair the token is of; of a key: its generation */
	bool own;             /* a person's own grant: the provider knows by the token who it is ("me") */
} DibsAccess;

#endif
