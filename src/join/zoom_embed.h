/*
 * zoom_embed.h
 *		What a page hands to join() of Zoom's Meeting SDK for the web.
 */
#ifndef DIBS_JOIN_ZOOM_EMBED_H
#define DIBS_JOIN_ZOOM_EMBED_H

#include "postgres.h"

#include "core/jsonbuild.h"

typedef struct DibsZoomEmbed
{
	const char *meeting_number;
	const char *passcode;
	const char *display_name;
	const char *customer_key; /* comes back in the provider's events: who it was that joined */
	const char *email;        /* a registrant's; NULL: none */
	const char *join_url;     /* a registrant's own; NULL: none */
} DibsZoomEmbed;

/*
 * Writes an object, or false: where no SDK key is set, it cannot be opened, or the number is none. Never raises because
 * of what these hold: then there is the link. Reads secrets as the current user (secrets/secret.h).
 */
extern void dibs_zoom_put_embed(DibsJson *json, const DibsZoomEmbed *embed);

#endif
