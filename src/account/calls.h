/*
 * calls.h
 *		The kinds of jobs that this room gives to the worker.
 */
#ifndef DIBS_ACCOUNT_CALLS_H
#define DIBS_ACCOUNT_CALLS_H

#include "queue/call.h"

/* A code for tokens, and whose they are; key is the ulid of an "OAuthState". */
#define DIBS_EXCHANGE_JOB "exchange_code"
extern const DibsCallKind dibs_exchange_call;

/* The next pair of a grant; key is the ulid of a "ProviderCredential". */
#define DIBS_REFRESH_JOB "refresh_token"
extern const DibsCallKind dibs_refresh_call;

/* The end of a grant that is not wanted any more; key as before. */
#define DIBS_REVOKE_JOB "revoke_grant"
extern const DibsCallKind dibs_revoke_call;

#endif
