/*
 * grant.h
 *		A person's consent: the row of "ProviderCredential" with an access and a refresh token, sealed.
 *
 * All of these need a transaction, SPI and the worker's role, or the owner's. Tokens are handed out in a memory context
 * of the caller's and are overwritten when it lets go of them.
 */
#ifndef DIBS_ACCOUNT_GRANT_H
#define DIBS_ACCOUNT_GRANT_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "account/oauth.h"
#include "core/ulid.h"

static inline TimestampTz
dibs_plus_seconds(TimestampTz at, int64 seconds)
{
	return at + seconds * USECS_PER_SEC;
}

typedef struct DibsGrant
{
	char ulid[DIBS_ULID_LEN + 1];
	char account[DIBS_ULID_LEN + 1]; /* "ProviderAccount" */
	char *user_ulid;                 /* NULL: the platform's own */
	char *provider;
	char *external_id; /* the account's at the provider; NULL: not known */
	bool managed;      /* of a user whom the platform made */
	char *state;
	char *error_code; /* of the last refresh; NULL: all is well */
	char *error;
	char *fence; /* of a refresh on the wire, or one that was never settled; NULL: none */
	TimestampTz lease_until;
	int version;
	TimestampTz issued;
	TimestampTz expires;
	bytea *sealed;
} DibsGrant;

/* Still good for calls: live, or kept until what it made is removed. */
extern bool dibs_grant_usable(const DibsGrant *grant);

/* One by its own ulid, its row locked; one by the account's, as it is. False: there is none. */
extern bool dibs_grant_lock(const char *ulid, DibsGrant *grant);
extern bool dibs_grant_of(const char *account, DibsGrant *grant);

/* Opens the pair; refresh may be NULL in the grant. False: the key is not there, failure says so. */
extern bool dibs_grant_open(const DibsGrant *grant, MemoryContext mcxt, char **access, char **refresh,
							DibsFailure *failure);

/* A refresh is about to be sent, by the holder of the fence. */
extern void dibs_grant_lease(const DibsGrant *grant, const char *fence, TimestampTz until);

/* The new pair in the place of this version's; false: another one is there by now, and stays. */
extern bool dibs_grant_store(const DibsGrant *grant, const DibsTokens *tokens);

/* A new consent for an account. Gives the credential's ulid. */
extern char *dibs_grant_connect(const char *account, const char *provider, const DibsTokens *tokens);

/* A refresh came to nothing for now. */
extern void dibs_grant_trouble(const DibsGrant *grant, const DibsFailure *failure);

/* This version is dead: the account needs its owner's consent again. Announces it. */
extern void dibs_grant_lost(const DibsGrant *grant, const char *code, const char *why);

/* The access token of this version was refused: a refresh is due now. */
extern void dibs_grant_expire(const DibsGrant *grant);

/* When the worker gets the next pair: well ahead of expiry. */
extern TimestampTz dibs_grant_refresh_at(TimestampTz issued, TimestampTz expires);
extern bool dibs_grant_is_due(const DibsGrant *grant, TimestampTz now);

/* An event about an account for those who follow, where it is somebody's, and a row of "AuditLog". */
extern void dibs_account_event(const char *user_ulid, const char *account, const char *provider, const char *type,
							   const char *code, const char *why);

/* Lines of what is sealed: each is copied into mcxt, cleansed with it; NULL for an empty or missing one. */
extern void dibs_split_lines(MemoryContext mcxt, const char *text, char **lines, int n);
extern char *dibs_join_lines(MemoryContext mcxt, const char *const *lines, int n);

#endif
