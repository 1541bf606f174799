/*
 * refresh.c
 *		The job that renews a grant's tokens ahead of their expiry.
 *
 * A refresh token is good for one refresh, so there is one refresh at a time: the job's key is the grant, the job has a
 * lease, and so has the grant's row. The new pair is committed before anything is sent with it. Where an answer was
 *lost (no answer, a crash before the commit) the old token is tried once more: it still works if the provider had not
 *acted, and is refused if it had; then the account's owner has to consent again, and is told so. A user whom the
 *platform made has nobody to ask: there the platform's client has new tokens made, whatever became of the old ones.
 */
#include "compat.h"

#include "account/access.h"
#include "account/calls.h"
#include "account/grant.h"
#include "core/jsonread.h"

typedef struct Refresh
{
	const DibsAccountProvider *provider;
	DibsGrant grant;
	DibsAccess access;
	char *refresh;
	bool forced; /* not by the refresh token, but by the client that made the user */
	bool unsure; /* an earlier refresh with this token may have been carried out */
	DibsTokens got;
} Refresh;

static bool
later(DibsCall *call, TimestampTz at)
{
	call->outcome = DIBS_CALL_AGAIN;
	call->next_at = at;
	return false;
}

static bool
refresh_prepare(DibsCall *call)
{
	Refresh *r = palloc0(sizeof(Refresh));
	DibsGrant *grant = &r->grant;
	TimestampTz now = GetCurrentTimestamp();
	char *access;

	call->state = r;
	if (!dibs_grant_lock(call->key, grant) || !dibs_grant_usable(grant))
		return false;
	r->provider = dibs_account_provider(grant->provider);
	if (r->provider == NULL)
		return false;
	if (!dibs_grant_is_due(grant, now))
		return later(call, dibs_grant_refresh_at(grant->issued, grant->expires));
	/* somebody else's, whatever became of the job's row */
	if (grant->fence != NULL && grant->lease_until > now)
		return later(call, grant->lease_until);

	r->unsure = grant->fence != NULL || call->taken_over || call->attempts > 0;
	if (!dibs_grant_open(grant, call->context, &access, &r->refresh, &call->answer) ||
		!(grant->managed ? dibs_access_managing_client(r->provider, call->context, &r->access, &call->answer)
						 : dibs_access_client(r->provider, call->context, &r->access, &call->answer)))
	{
		dibs_grant_trouble(grant, &call->answer);
		call->outcome = DIBS_CALL_RETRY;
		return false;
	}
	r->forced = grant->managed && r->refresh == NULL;
	if (r->refresh == NULL && !grant->managed)
	{
		dibs_grant_lost(grant, "reconnect_needed", "there is no refresh token, and the access token has run out");
		return false;
	}
	dibs_grant_lease(grant, call->fence, TimestampTzPlusMilliseconds(now, call->lease_ms));
	call->provider = grant->provider;
	call->account = grant->account;
	call->no_token = true;
	return true;
}

static DibsHttpRequest *
refresh_build(DibsCall *call, DibsHttp *http, const DibsAccess *access)
{
	Refresh *r = call->state;

	if (r->grant.managed)
		return r->provider->managed_refresh(http, &r->access, r->grant.external_id, r->forced ? NULL : r->refresh);
	return dibs_oauth_refresh(r->provider, http, &r->access, r->refresh);
}

static void
read_managed(DibsCall *call, Refresh *r, DibsHttpRequest *request)
{
	int status = dibs_http_status(request);
	const JsonbContainer *data;

	if (dibs_http_failure(request) != DIBS_HTTP_OK)
	{
		dibs_fail_unanswered(&call->answer, request, DIBS_VERDICT_UNKNOWN);
		return;
	}
	data = dibs_json_object(dibs_answer_object(request), "data");
	if (status >= 200 && status < 300 && r->provider->managed_tokens(data, &r->got))
		call->answer.verdict = DIBS_VERDICT_DONE;
	else if (!r->forced && (status == 400 || status == 401 || status == 403 || status == 404))
	{
		/* used up, or run out: the user need not be asked */
		r->forced = true;
		call->answer.verdict = DIBS_VERDICT_MORE;
	}
	else if (status == 404)
		dibs_call_failed(call, DIBS_VERDICT_FAILED, "reconnect_needed", "%s does not know the user any more",
						 r->provider->label);
	else if (status == 400 || status == 401 || status == 403)
		dibs_call_failed(call, DIBS_VERDICT_FAILED, "not_connected",
						 "%s gives no access token: it refuses the platform's client (HTTP status %d)",
						 r->provider->label, status);
	else
	{
		dibs_call_failed(call, DIBS_VERDICT_RETRY, "provider_down", "%s gives no access token: HTTP status %d",
						 r->provider->label, status);
		call->answer.retry_at = dibs_retry_after_header(request, 0);
	}
}

static void
refresh_read(DibsCall *call, DibsHttpRequest *request)
{
	Refresh *r = call->state;

	if (r->grant.managed)
		read_managed(call, r, request);
	else if (dibs_oauth_read_tokens(r->provider, request, &r->got, &call->answer))
		call->answer.verdict = DIBS_VERDICT_DONE;
}

static void
refresh_settle(DibsCall *call)
{
	Refresh *r = call->state;
	TimestampTz now = GetCurrentTimestamp();

	if (call->answer.verdict == DIBS_VERDICT_DONE)
	{
		/* where another version is there by now, a new consent came between: that one has a job of its own */
		(void) dibs_grant_store(&r->grant, &r->got);
		call->outcome = DIBS_CALL_AGAIN;
		call->next_at = dibs_grant_refresh_at(now, dibs_plus_seconds(now, r->got.ttl));
		return;
	}
	if (call->answer.verdict == DIBS_VERDICT_FAILED && strcmp(call->answer.error_code, "reconnect_needed") == 0)
	{
		dibs_grant_lost(&r->grant, "reconnect_needed",
						r->grant.managed ? call->answer.error
						: r->unsure      ? "the refresh token is used up: the answer to an earlier refresh was lost"
										 : "the refresh token was refused: revoked, expired, or used elsewhere");
		/* a newer consent may have come meanwhile: its expiry is looked at by the next step */
		call->outcome = DIBS_CALL_AGAIN;
		call->next_at = 0;
		return;
	}
	if (call->answer.verdict == DIBS_VERDICT_MORE)
	{
		/* there was no time for the second request */
		dibs_grant_trouble(&r->grant, &call->answer);
		return;
	}
	/* the provider is down, or refuses our client: the grant may be as good as ever */
	dibs_grant_trouble(&r->grant, &call->answer);
	call->outcome = DIBS_CALL_RETRY;
}

const DibsCallKind dibs_refresh_call = {
	.name = DIBS_REFRESH_JOB,
	.max_attempts = -1,
	.prepare = refresh_prepare,
	.build = refresh_build,
	.read = refresh_read,
	.settle = refresh_settle,
};
