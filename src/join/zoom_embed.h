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
	const char *host;         /* the Zoom user who hosts, for whoever joins as the host; NULL: a participant */
} DibsZoomEmbed;

/*
 * Writes an object, or false: where no SDK key is set, it cannot be opened, the number is none, or Zoom gives no ZAK
 * for the host. Never raises because of these: then there is the link. For a host it asks Zoom, in the caller's own
 * time, in a subtransaction; only what ends the statement ends the wait. Reads secrets as the current user
 * (secrets/secret.h).
 */
extern void dibs_zoom_put_embed(DibsJson *json, const DibsZoomEmbed *embed);

#endif
