/*
 * oauth_cal.c
 *		Cal.com: an API key, the platform's or a person's, or a person's consent to an OAuth client.
 *
 * Access tokens live half an hour, refresh tokens 30 days; a refresh gives both anew.
 */
#include "compat.h"

#include "account/oauth.h"
#include "guc.h"

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

const DibsAccountProvider dibs_account_cal = {
	.name = "cal",
	.label = "Cal.com",
	.url = cal_url,
	.key_secret = "cal.api_key",
	.client_secrets = {"cal.client_id", "cal.client_secret"},
	.client_in_body = true,
	.scopes = cal_scopes,
	.scope_for_naming = "PROFILE_READ",
	.who_path = "/me",
	.who_within = "data",
	.who_id = "id",
	.who_email = "email",
	.who_username = "username",
};
