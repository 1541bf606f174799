/*
 * provider.h
 *		What an account provider must give: how access to it is had, for the platform's own account and for coaches'
 *own.
 *
 * It builds requests and reads answers; it sends nothing, keeps nothing and knows no table. A new one is one file with
 * one DibsAccountProvider and one line in registry.c.
 */
#ifndef DIBS_ACCOUNT_PROVIDER_H
#define DIBS_ACCOUNT_PROVIDER_H

#include "postgres.h"

#include "http/http.h"
#include "queue/verdict.h"

/* What a token endpoint gave. */
typedef struct DibsTokens
{
	char *access;
	int ttl; /* seconds that access lives */
} DibsTokens;

typedef struct DibsAccountProvider
{
	const char *name;

	/* The platform's own account: secrets (client id, client secret, account id) and the request for a token. */
	const char *platform_secrets[3];
	DibsHttpRequest *(*platform_request)(DibsHttp *http, const DibsAccess *access);

	/* Reads a token endpoint's answer. False: failure says why there is no token. */
	bool (*read_tokens)(DibsHttpRequest *request, DibsTokens *tokens, DibsFailure *failure);
} DibsAccountProvider;

/* NULL for a name that is no provider's */
extern const DibsAccountProvider *dibs_account_provider(const char *name);

extern const DibsAccountProvider dibs_account_zoom;

#endif
