/*
 * access.h
 *		What the tables hold of the access to an account.
 */
#ifndef DIBS_ACCOUNT_ACCESS_H
#define DIBS_ACCOUNT_ACCESS_H

#include "postgres.h"

#include "account/provider.h"

typedef enum DibsAccessState
{
	DIBS_ACCESS_READY, /* access->token is good for *ttl_ms from now */
	DIBS_ACCESS_FETCH, /* provider->platform_request gets one, with the credentials in access */
	DIBS_ACCESS_WAIT,  /* a job gets one: look again in a moment */
	DIBS_ACCESS_NONE,  /* failure says why there is none */
} DibsAccessState;

/*
 * In a transaction, as a role that may read "Secret": fills access, in mcxt, for an account ("" for the platform's
 * own). What is secret in it is overwritten when mcxt lets go of it.
 *
 * refused: the version of a grant whose access token the provider refused; 0: none. Such a token is refreshed, unless
 * that has been done since. may_write: a refresh that is due may be asked for.
 */
extern DibsAccessState dibs_access_load(const DibsAccountProvider *provider, const char *account, int refused,
										bool may_write, MemoryContext mcxt, DibsAccess *access, int64 *ttl_ms,
										DibsFailure *failure);

/* The client id and secret that people's own accounts are asked for with. False: failure says which is not set. */
extern bool dibs_access_client(const DibsAccountProvider *provider, MemoryContext mcxt, DibsAccess *access,
							   DibsFailure *failure);

/* As above, of the client by which the platform makes users and renews their tokens. */
extern bool dibs_access_managing_client(const DibsAccountProvider *provider, MemoryContext mcxt, DibsAccess *access,
										DibsFailure *failure);

/*
 * For SQL functions that call out in the caller's own time, in a transaction: access to an account, with a token, in
 * mcxt. Writes nothing. The platform's own token is fetched in the call, where it is not in this backend's memory yet;
 * of a person's grant the stored one is used. Raises F0000 where a secret or key is missing, 55000 where the grant
 * needs its owner, or waits for the worker to refresh it, 08006 where the provider gives none.
 */
extern void dibs_access_for_call(const char *provider, const char *account, MemoryContext mcxt, DibsAccess *access);

/* After a 401: the next dibs_access_for_call() fetches the platform's token anew. */
extern void dibs_access_forget(const char *provider, const char *account);

#endif
