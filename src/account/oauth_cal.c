/*
 * oauth_cal.c
 *		Cal.com: an API key, the platform's or a person's, or a person's consent to an OAuth client.
 *
 * Access tokens live half an hour, refresh tokens 30 days; a refresh gives both anew. Those of users whom the platform
 * makes live an hour and a year, and are renewed by a client of another kind, at another place.
 */
#include "compat.h"

#include "account/oauth.h"
#include "core/jsonbuild.h"
#include "core/jsonparse.h"
#include "core/jsonread.h"
#include "guc.h"

/* What a managed user's access token lives, where an answer does not say it in a way that can be so. */
#define MANAGED_TTL_S 3600
#define MANAGED_LONGEST_S (24 * 3600)

static char *
cal_url(DibsAccountUrl which)
{
	switch (which)
	{
		case DIBS_URL_API:
			return dibs_url_below(dibs_cal_api_url, "");
		case DIBS_URL_AUTHORIZE:
			return dibs_url_below(dibs_cal_oauth_url, "/authorize");
		case DIBS_URL_TOKEN:
			return dibs_url_below(dibs_cal_api_url, "/auth/oauth2/token");
		case DIBS_URL_REVOKE:
			break;
	}
	return NULL;
}

static const char *
cal_scopes(void)
{
	return dibs_cal_oauth_scopes;
}

void
dibs_cal_as_client(DibsHttpRequest *request, const DibsAccess *client)
{
	dibs_http_header(request, "Accept", "application/json");
	dibs_http_header(request, "x-cal-client-id", client->client_id);
	dibs_http_header(request, "x-cal-secret-key", client->client_secret);
}

static DibsHttpRequest *
cal_managed_refresh(DibsHttp *http, const DibsAccess *client, const char *external_id, const char *refresh)
{
	char *id = dibs_http_escaped(client->client_id);
	char *path = refresh != NULL ? psprintf("/oauth/%s/refresh", id)
								 : psprintf("/oauth-clients/%s/users/%s/force-refresh", id,
											dibs_http_escaped(external_id != NULL ? external_id : ""));
	DibsHttpRequest *request = dibs_http_request(http, "POST", dibs_url_below(dibs_cal_api_url, path));
	DibsJson json = {0};
	char *body;

	dibs_cal_as_client(request, client);
	if (refresh == NULL)
		return request;
	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "refreshToken", refresh);
	dibs_json_end_object(&json);
	body = dibs_json_print(dibs_json_finish(&json));
	dibs_http_body(request, "application/json", body, strlen(body));
	explicit_bzero(body, strlen(body));
	return request;
}

/* When the token runs out is a number whose unit is nowhere said. */
static int
managed_ttl(const JsonbContainer *data)
{
	int64 now = (GetCurrentTimestamp() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) / USECS_PER_SEC;
	int64 at;

	if (!dibs_json_int64(data, "accessTokenExpiresAt", 0, PG_INT64_MAX, &at))
		return MANAGED_TTL_S;
	if (at > now * 100)
		at /= 1000;
	return at > now && at - now <= MANAGED_LONGEST_S ? (int) (at - now) : MANAGED_TTL_S;
}

static bool
cal_managed_tokens(const JsonbContainer *data, DibsTokens *tokens)
{
	memset(tokens, 0, sizeof(*tokens));
	tokens->access = dibs_json_text(data, "accessToken");
	tokens->refresh = dibs_json_text(data, "refreshToken");
	tokens->ttl = managed_ttl(data);
	tokens->managed = true;
	if (!dibs_is_token(tokens->refresh))
		tokens->refresh = NULL;
	return dibs_is_token(tokens->access);
}

const DibsAccountProvider dibs_account_cal = {
	.name = "cal",
	.label = "Cal.com",
	.url = cal_url,
	.key_secret = "cal.api_key",
	.client_secrets = {"cal.client_id", "cal.client_secret"},
	.client_in_body = true,
	.managed_secrets = {"cal.platform_client_id", "cal.platform_client_secret"},
	.managed_refresh = cal_managed_refresh,
	.managed_tokens = cal_managed_tokens,
	.scopes = cal_scopes,
	.scope_for_naming = "PROFILE_READ",
	.who_path = "/me",
	.who_within = "data",
	.who_id = "id",
	.who_email = "email",
	.who_username = "username",
};
