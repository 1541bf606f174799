/*
 * oauth_zoom.c
 *		Zoom: a server-to-server app for the platform's own account, a user-managed app for coaches' own.
 *
 * Access tokens live an hour. A refresh gives a new refresh token, and the old one is dead from then on: there is no
 * second answer to a refresh whose answer was lost.
 */
#include "compat.h"

#include "account/oauth.h"
#include "guc.h"

static char *
zoom_url(DibsAccountUrl which)
{
	static const char *const paths[] = {
		[DIBS_URL_AUTHORIZE] = "/authorize", [DIBS_URL_TOKEN] = "/token", [DIBS_URL_REVOKE] = "/revoke"};

	if (which == DIBS_URL_API)
		return dibs_url_below(dibs_zoom_api_url, "");
	return dibs_url_below(dibs_zoom_oauth_url, paths[which]);
}

static DibsHttpRequest *
zoom_platform_request(DibsHttp *http, const DibsAccess *access)
{
	return dibs_oauth_token_request(
		&dibs_account_zoom, http, access,
		psprintf("grant_type=account_credentials&account_id=%s", dibs_http_escaped(access->account_id)));
}

const DibsAccountProvider dibs_account_zoom = {
	.name = "zoom",
	.label = "Zoom",
	.url = zoom_url,
	.platform_secrets = {"zoom.client_id", "zoom.client_secret", "zoom.account_id"},
	.platform_request = zoom_platform_request,
	.client_secrets = {"zoom.oauth_client_id", "zoom.oauth_client_secret"},
	.scope_for_naming = "user:read:user",
	.who_path = "/users/me",
	.who_id = "id",
	.who_email = "email",
};
