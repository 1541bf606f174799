/*
 * retry_after.c
 *		The three forms in which Retry-After is met.
 */
#include "http/retry_after.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/iso8601.h"

/* 1970-01-01 to 2000-01-01 */
#define EPOCHS_APART_MS INT64_C(946684800000)

/* "Sun, 06 Nov 1994 08:49:37 GMT", the one form that may still be sent; rewritten to ISO-8601 for the one reader. */
static int
http_date(const char *value, char *iso, size_t size)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char month[4];
	char zone[4];
	const char *found;
	int day, year, hour, minute, second;

	if (sscanf(value, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d %3[A-Z]", &day, month, &year, &hour, &minute,
			   &second, zone) != 7 ||
		strcmp(zone, "GMT") != 0 || strlen(month) != 3)
		return -1;
	found = strstr(months, month);
	if (found == NULL || (found - months) % 3 != 0)
		return -1;
	return snprintf(iso, size, "%04d-%02d-%02dT%02d:%02d:%02dZ", year, (int) (found - months) / 3 + 1, day, hour,
					minute, second);
}

int64_t
dibs_retry_after(const char *value, int64_t now)
{
	size_t digits = strspn(value, "0123456789");
	char iso[64];
	int64_t at;

	if (digits > 0 && value[digits] == '\0')
	{
		int64_t seconds = 0;

		/* a month is longer than anybody waits */
		for (size_t i = 0; i < digits && seconds < 31 * 86400; i++)
			seconds = seconds * 10 + (value[i] - '0');
		return seconds * 1000;
	}
	if (http_date(value, iso, sizeof(iso)) > 0)
		value = iso;
	if (dibs_iso8601_parse(value, strlen(value), &at) != DIBS_ISO_OK)
		return -1;
	at = at / 1000 + EPOCHS_APART_MS - now;
	return at > 0 ? at : 0;
}
