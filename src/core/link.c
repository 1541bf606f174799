/*
 * link.c
 *		What may be handed out as a link to a meeting.
 */
#include <string.h>
#include <strings.h>

#include "core/link.h"

/* What servers take in a request's first line. */
#define MAX_LINK_LEN 8000

bool
dibs_is_link(const char *text)
{
	if (text == NULL || strlen(text) > MAX_LINK_LEN)
		return false;
	if (strncasecmp(text, "https://", 8) != 0 && strncasecmp(text, "http://", 7) != 0)
		return false;
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text <= ' ' || *text == '"' || *text == '<' || *text == '>')
			return false;
	}
	return true;
}
