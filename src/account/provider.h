/*
 * provider.h
 *		What an account provider must give: how access to it is had, for the platform's own account and for people's
 *own.
 *
 * It says where things are and how they are called; oauth.c builds the requests and reads the answers, which are RFC
 * 6749's. It sends nothing, keeps nothing and knows no table. A new one is one file with one DibsAccountProvider and
 * one line in registry.c.
 */
#ifndef DIBS_ACCOUNT_PROVIDER_H
#define DIBS_ACCOUNT_PROVIDER_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "http/http.h"
#include "queue/verdict.h"

struct DibsTokens;

typedef enum DibsAccountUrl
{
	DIBS_URL_API,
	DIBS_URL_AUTHORIZE, /* the page where people consent */
	DIBS_URL_TOKEN,
	DIBS_URL_REVOKE,
} DibsAccountUrl;

typedef struct DibsAccountProvider
{
	const char *name;
	const char *label; /* for people */

	/* Where it is, as the settings say; palloc'd, without a slash at its end. NULL: it has none. */
	char *(*url)(DibsAccountUrl which);

	/* A person's or the platform's key: the secret that is an access token as it stands; NULL: there is none. */
	const char *key_secret;

	/* The platform's own account: secrets (client id, client secret, account id) and the request for a token. */
	const char *platform_secrets[3];
	DibsHttpRequest *(*platform_request)(DibsHttp *http, const DibsAccess *access);

	/* People's own accounts, by the authorization code grant with PKCE: client id and secret; NULL: there is none. */
	const char *client_secrets[2];
	bool client_in_body;          /* client id and secret as parameters, not as Basic authentication */
	const char *(*scopes)(void);  /* NULL: those that the app is registered with */
	const char *scope_for_naming; /* what the question below needs; for people */

	/*
	 * Users whom the platform makes: its own client, a refresh that is not RFC 6749's (refresh NULL: one that needs no
	 * token of the user's), and the tokens in its answers. NULL: there are none.
	 */
	const char *managed_secrets[2];
	DibsHttpRequest *(*managed_refresh)(DibsHttp *http, const DibsAccess *client, const char *external_id,
										const char *refresh);
	bool (*managed_tokens)(const JsonbContainer *data, struct DibsTokens *tokens);

	/* Who an access token is of: a GET below DIBS_URL_API, and the members of the answer. */
	const char *who_path;
	const char *who_within; /* the member that has the others; NULL: the answer itself */
	const char *who_id;
	const char *who_email;
	const char *who_username; /* may be NULL */
} DibsAccountProvider;

/* NULL for a name that is no provider's */
extern const DibsAccountProvider *dibs_account_provider(const char *name);

extern const DibsAccountProvider dibs_account_cal;
/* The headers by which Cal.com knows a platform's client. */
extern void dibs_cal_as_client(DibsHttpRequest *request, const DibsAccess *client);
extern const DibsAccountProvider dibs_account_zoom;

#endif
