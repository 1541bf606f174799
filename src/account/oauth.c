/*
 * oauth.c
 *		Builds OAuth 2.0's requests and reads their answers.
 *
 * Parameters go into the body, not into the query: query strings end up in the logs of whatever lies between.
 */
#include "compat.h"

#include "account/oauth.h"
#include "core/jsonread.h"
#include "queue/call.h"

/* A token endpoint that says "too many" and not when is asked again after this. */
#define BUSY_WAIT_MS 2000
/* Longest error name that is shown: those of the RFC are shorter. */
#define MAX_NAME 60
/* No provider's token is longer; a Zoom token is a JWT of about 700 bytes. */
#define MAX_TOKEN 16384

char *
dibs_url_below(const char *base, const char *path)
{
	int len = base ? (int) strlen(base) : 0;

	while (len > 0 && base[len - 1] == '/')
		len--;
	return psprintf("%.*s%s", len, base ? base : "", path);
}

char *
dibs_oauth_authorize_page(const DibsAccountProvider *provider, const char *client_id, const char *redirect,
						  const char *state, const char *challenge)
{
	const char *scopes = provider->scopes ? provider->scopes() : NULL;
	char *page = psprintf("%s?response_type=code&client_id=%s&redirect_uri=%s&state=%s&code_challenge=%s"
						  "&code_challenge_method=S256",
						  provider->url(DIBS_URL_AUTHORIZE), dibs_http_escaped(client_id), dibs_http_escaped(redirect),
						  dibs_http_escaped(state), challenge);

	return scopes && *scopes ? psprintf("%s&scope=%s", page, dibs_http_escaped(scopes)) : page;
}

static DibsHttpRequest *
form_request(const DibsAccountProvider *provider, DibsHttp *http, DibsAccountUrl where, const DibsAccess *access,
			 const char *params)
{
	DibsHttpRequest *request = dibs_http_request(http, "POST", provider->url(where));
	char *body;

	if (provider->client_in_body)
		body = psprintf("%s&client_id=%s&client_secret=%s", params, dibs_http_escaped(access->client_id),
						dibs_http_escaped(access->client_secret));
	else
	{
		dibs_http_basic(request, access->client_id, access->client_secret);
		body = pstrdup(params);
	}
	dibs_http_body(request, "application/x-www-form-urlencoded", body, strlen(body));
	explicit_bzero(body, strlen(body));
	return request;
}

DibsHttpRequest *
dibs_oauth_token_request(const DibsAccountProvider *provider, DibsHttp *http, const DibsAccess *access,
						 const char *params)
{
	return form_request(provider, http, DIBS_URL_TOKEN, access, params);
}

DibsHttpRequest *
dibs_oauth_exchange(const DibsAccountProvider *provider, DibsHttp *http, const DibsAccess *access, const char *code,
					const char *verifier, const char *redirect)
{
	return dibs_oauth_token_request(provider, http, access,
									psprintf("grant_type=authorization_code&code=%s&redirect_uri=%s&code_verifier=%s",
											 dibs_http_escaped(code), dibs_http_escaped(redirect), verifier));
}

DibsHttpRequest *
dibs_oauth_refresh(const DibsAccountProvider *provider, DibsHttp *http, const DibsAccess *access, const char *refresh)
{
	return dibs_oauth_token_request(provider, http, access,
									psprintf("grant_type=refresh_token&refresh_token=%s", dibs_http_escaped(refresh)));
}

DibsHttpRequest *
dibs_oauth_revoke(const DibsAccountProvider *provider, DibsHttp *http, const DibsAccess *access, const char *token)
{
	return form_request(provider, http, DIBS_URL_REVOKE, access, psprintf("token=%s", dibs_http_escaped(token)));
}

DibsHttpRequest *
dibs_oauth_who(const DibsAccountProvider *provider, DibsHttp *http, const char *token)
{
	DibsHttpRequest *request = dibs_http_request(http, "GET",
												 dibs_url_below(provider->url(DIBS_URL_API), provider->who_path));

	dibs_http_bearer(request, token);
	return request;
}

/* A token goes into headers and into one line of what is sealed. */
bool
dibs_is_token(const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (len == 0 || len > MAX_TOKEN)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) text[i] <= ' ' || (unsigned char) text[i] >= 127)
			return false;
	return true;
}

/* The name of an error, as far as it can be one: an answer must not put anything else into a message. */
static const char *
error_name(const JsonbContainer *answer)
{
	char *name = dibs_json_text(answer, "error");

	if (name == NULL || *name == '\0' || strlen(name) > MAX_NAME)
		return NULL;
	if (strspn(name, "abcdefghijklmnopqrstuvwxyz_") != strlen(name))
		return NULL;
	return name;
}

/* Is what was presented worth nothing (any more)? Zoom's older form of invalid_grant tells itself by its words alone.
 */
static bool
is_dead_grant(const char *name, const JsonbContainer *answer)
{
	char *reason = dibs_json_text(answer, "reason");

	return strcmp(name, "invalid_grant") == 0 ||
		   (strcmp(name, "invalid_request") == 0 && reason != NULL && strstr(reason, "Invalid Token") != NULL);
}

static void
busy(DibsFailure *failure, DibsHttpRequest *request)
{
	failure->retry_at = dibs_retry_after_header(
		request,
		dibs_http_status(request) == 429 ? TimestampTzPlusMilliseconds(GetCurrentTimestamp(), BUSY_WAIT_MS) : 0);
}

bool
dibs_oauth_read_tokens(const DibsAccountProvider *provider, DibsHttpRequest *request, DibsTokens *tokens,
					   DibsFailure *failure)
{
	int status = dibs_http_status(request);
	const JsonbContainer *answer;
	const char *name;
	int64 ttl;

	memset(tokens, 0, sizeof(*tokens));
	if (dibs_http_failure(request) != DIBS_HTTP_OK)
	{
		dibs_fail_unanswered(failure, request, DIBS_VERDICT_UNKNOWN);
		return false;
	}
	answer = dibs_answer_object(request);
	if (status == 200 && dibs_is_token(dibs_json_text(answer, "access_token")) &&
		dibs_json_int64(answer, "expires_in", 1, 365 * SECS_PER_DAY, &ttl))
	{
		tokens->access = dibs_json_text(answer, "access_token");
		tokens->ttl = (int) ttl;
		tokens->refresh = dibs_json_text(answer, "refresh_token");
		if (!dibs_is_token(tokens->refresh))
			tokens->refresh = NULL;
		tokens->scope = dibs_json_text(answer, "scope");
		return true;
	}
	name = error_name(answer);
	if (name != NULL && (status == 400 || status == 401))
	{
		bool dead = is_dead_grant(name, answer);

		/* a client's id or secret, an account's id, the app's kind: no other try will be taken better */
		dibs_fail(failure, DIBS_VERDICT_FAILED, dead ? "reconnect_needed" : "not_connected",
				  "%s gives no access token: %s", provider->label, name);
		return false;
	}
	/* a page in the endpoint's place, or half an answer: what was presented may be used up all the same */
	dibs_fail(failure, status == 429 ? DIBS_VERDICT_RETRY : DIBS_VERDICT_UNKNOWN, "provider_down",
			  "%s gives no access token: HTTP status %d", provider->label, status);
	busy(failure, request);
	return false;
}

bool
dibs_oauth_read_who(const DibsAccountProvider *provider, DibsHttpRequest *request, DibsIdentity *identity,
					DibsFailure *failure)
{
	int status = dibs_http_status(request);
	const JsonbContainer *answer;

	memset(identity, 0, sizeof(*identity));
	if (dibs_http_failure(request) != DIBS_HTTP_OK)
	{
		dibs_fail_unanswered(failure, request, DIBS_VERDICT_RETRY);
		return false;
	}
	answer = dibs_answer_object(request);
	if (status == 200)
	{
		if (provider->who_within)
			answer = dibs_json_object(answer, provider->who_within);
		identity->id = dibs_json_scalar_text(answer, provider->who_id);
		identity->email = dibs_json_text(answer, provider->who_email);
		identity->username = provider->who_username ? dibs_json_text(answer, provider->who_username) : NULL;
		if (identity->id != NULL && *identity->id != '\0')
			return true;
	}
	if (status == 400 || status == 401 || status == 403)
		dibs_fail(failure, DIBS_VERDICT_FAILED, "scope_missing",
				  "%s does not say whose the account is (HTTP status %d): the app needs the scope %s", provider->label,
				  status, provider->scope_for_naming);
	else
	{
		dibs_fail(failure, DIBS_VERDICT_RETRY, "provider_down", "%s does not say whose the account is: HTTP status %d",
				  provider->label, status);
		busy(failure, request);
	}
	return false;
}
