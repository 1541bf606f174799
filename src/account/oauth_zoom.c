/*
 * oauth_zoom.c
 *		Zoom's OAuth: a server-to-server app for the platform's own account.
 */
#include "compat.h"

#include "core/jsonread.h"
#include "guc.h"
#include "account/provider.h"
#include "queue/call.h"

/* A token endpoint that says "too many" and not when is asked again after this. */
#define BUSY_WAIT_MS 2000
/* Longest reason of Zoom's that is shown. */
#define MAX_REASON 60

static char *
escaped(const char *text)
{
	char *malloced = dibs_http_escape(text);
	char *copy;

	if (malloced == NULL)
		ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"));
	copy = pstrdup(malloced);
	free(malloced);
	return copy;
}

static DibsHttpRequest *
token_endpoint(DibsHttp *http, const DibsAccess *access, const char *body)
{
	const char *base = dibs_zoom_oauth_url ? dibs_zoom_oauth_url : "";
	int len = (int) strlen(base);
	DibsHttpRequest *request;

	while (len > 0 && base[len - 1] == '/')
		len--;
	request = dibs_http_request(http, "POST", psprintf("%.*s/token", len, base));
	dibs_http_basic(request, access->client_id, access->client_secret);
	/* in the body, not in the query: query strings end up in the logs of whatever lies between */
	dibs_http_body(request, "application/x-www-form-urlencoded", body, strlen(body));
	return request;
}

static DibsHttpRequest *
zoom_platform_request(DibsHttp *http, const DibsAccess *access)
{
	return token_endpoint(http, access,
						  psprintf("grant_type=account_credentials&account_id=%s", escaped(access->account_id)));
}

static bool
zoom_read_tokens(DibsHttpRequest *request, DibsTokens *tokens, DibsFailure *failure)
{
	int status = dibs_http_status(request);
	const JsonbContainer *answer;
	char *reason;
	int64 ttl;

	if (dibs_http_failure(request) != DIBS_HTTP_OK)
	{
		dibs_fail_unanswered(failure, request, DIBS_VERDICT_UNKNOWN);
		return false;
	}
	answer = dibs_answer_object(request);
	if (status == 200 && (tokens->access = dibs_json_text(answer, "access_token")) != NULL && *tokens->access != '\0' &&
		dibs_json_int64(answer, "expires_in", 1, 365 * SECS_PER_DAY, &ttl))
	{
		tokens->ttl = (int) ttl;
		return true;
	}
	reason = dibs_json_text(answer, "error");
	if (reason != NULL && (status == 400 || status == 401))
	{
		/* the client's id or secret, the account's id, or the app's kind: no other try will be taken better */
		dibs_fail(failure, DIBS_VERDICT_FAILED, "not_connected", "Zoom gives no access token: %.*s", MAX_REASON,
				  reason);
		return false;
	}
	dibs_fail(failure, DIBS_VERDICT_RETRY, "provider_down", "Zoom gives no access token: HTTP status %d", status);
	failure->retry_at = dibs_retry_after_header(request, 0);
	if (status == 429)
	{
		failure->throttle = DIBS_THROTTLE_ACCOUNT;
		if (failure->retry_at == 0)
			failure->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), BUSY_WAIT_MS);
	}
	return false;
}

const DibsAccountProvider dibs_account_zoom = {
	.name = "zoom",
	.platform_secrets = {"zoom.client_id", "zoom.client_secret", "zoom.account_id"},
	.platform_request = zoom_platform_request,
	.read_tokens = zoom_read_tokens,
};
