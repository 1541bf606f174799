/*
 * oauth.h
 *		OAuth 2.0's requests and answers (RFC 6749, 7009, 7636), for any provider.
 *
 * Requests live in the current memory context, and so do what answers gave.
 */
#ifndef DIBS_ACCOUNT_OAUTH_H
#define DIBS_ACCOUNT_OAUTH_H

#include "postgres.h"

#include "account/provider.h"

/* What a token endpoint gave. */
typedef struct DibsTokens
{
	char *access;
	char *refresh; /* NULL: none */
	int ttl;       /* seconds that access lives */
	char *scope;   /* separated by spaces; NULL: not said */
	bool managed;  /* of a user whom the platform made */
} DibsTokens;

/* Whose an account is. */
typedef struct DibsIdentity
{
	char *id;
	char *email;    /* NULL: not said */
	char *username; /* NULL: not said */
} DibsIdentity;

/* The page to send a person to. */
extern char *dibs_oauth_authorize_page(const DibsAccountProvider *provider, const char *client_id, const char *redirect,
									   const char *state, const char *challenge);

/* A token endpoint's request; params is form-encoded. */
extern DibsHttpRequest *dibs_oauth_token_request(const DibsAccountProvider *provider, DibsHttp *http,
												 const DibsAccess *access, const char *params);
extern DibsHttpRequest *dibs_oauth_exchange(const DibsAccountProvider *provider, DibsHttp *http,
											const DibsAccess *access, const char *code, const char *verifier,
											const char *redirect);
extern DibsHttpRequest *dibs_oauth_refresh(const DibsAccountProvider *provider, DibsHttp *http,
										   const DibsAccess *access, const char *refresh);
extern DibsHttpRequest *dibs_oauth_revoke(const DibsAccountProvider *provider, DibsHttp *http, const DibsAccess *access,
										  const char *token);
extern DibsHttpRequest *dibs_oauth_who(const DibsAccountProvider *provider, DibsHttp *http, const char *token);

/*
 * False: failure says why there are no tokens. FAILED with "reconnect_needed": the code or refresh token is not, or no
 * longer, good; with "not_connected": the client is refused. UNKNOWN: it may have been used up.
 */
extern bool dibs_oauth_read_tokens(const DibsAccountProvider *provider, DibsHttpRequest *request, DibsTokens *tokens,
								   DibsFailure *failure);
extern bool dibs_oauth_read_who(const DibsAccountProvider *provider, DibsHttpRequest *request, DibsIdentity *identity,
								DibsFailure *failure);

/* What can stand in a header, and is no longer than any provider's token. */
extern bool dibs_is_token(const char *text);

/* A base URL of a setting and a path, palloc'd; the base may end with a slash. */
extern char *dibs_url_below(const char *base, const char *path);

#endif
