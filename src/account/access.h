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
	DIBS_ACCESS_NONE,  /* failure says why there is none */
} DibsAccessState;

/*
 * In a transaction, as a role that may read "Secret": fills access, in mcxt, for an account ("" for the platform's
 * own). What is secret in it is overwritten when mcxt lets go of it.
 */
extern DibsAccessState dibs_access_load(const DibsAccountProvider *provider, const char *account, MemoryContext mcxt,
										DibsAccess *access, int64 *ttl_ms, DibsFailure *failure);

#endif
