/*
 * signin.h
 *		A consent under way: a row of "OAuthState".
 *
 * The state that goes through the browser is kept as a hash; the PKCE verifier, the code and, between the exchange and
 * the answer to whose account it is, the tokens are kept sealed for this row.
 */
#ifndef DIBS_ACCOUNT_SIGNIN_H
#define DIBS_ACCOUNT_SIGNIN_H

#include "postgres.h"

#include "account/oauth.h"
#include "core/ulid.h"

/* How long a person may take on the provider's page. */
#define DIBS_SIGNIN_MINUTES 15

typedef struct DibsSignin
{
	char ulid[DIBS_ULID_LEN + 1];
	char *user_ulid; /* NULL: the platform's own account */
	char *provider;
	char *redirect;
	char *state; /* open, exchanging, connected, failed */
	TimestampTz used;
	TimestampTz token_expires;
	char *scope; /* separated by spaces, as it was given */
	bytea *sealed;
} DibsSignin;

/* What is sealed, a line each. */
typedef struct DibsSigninSecrets
{
	char *verifier;
	char *code;
	char *access;
	char *refresh;
} DibsSigninSecrets;

extern bytea *dibs_signin_seal(const char *ulid, const DibsSigninSecrets *secrets, MemoryContext mcxt);
extern bool dibs_signin_open(const DibsSignin *signin, MemoryContext mcxt, DibsSigninSecrets *secrets,
							 DibsFailure *failure);

#endif
