/*
 * version.c
 *		Which libcurl is in use.
 */
#include <stdio.h>

#include <curl/curl.h>

#include "http/version.h"

const char *
dibs_http_version(void)
{
	static char text[128];
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	snprintf(text, sizeof(text), "libcurl %s (%s)", info->version, info->ssl_version ? info->ssl_version : "no TLS");
	return text;
}
