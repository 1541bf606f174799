/*
 * zoom_host.h
 *		Zoom's ways in for a host.
 */
#ifndef DIBS_MEETING_ZOOM_HOST_H
#define DIBS_MEETING_ZOOM_HOST_H

#include "postgres.h"

#include "http/http.h"
#include "meeting/host_url.h"

extern DibsHttpRequest *dibs_zoom_host_request(const DibsHostWish *wish, DibsHttp *http, const DibsAccess *access);

/* NULL: failure says why. */
extern char *dibs_zoom_host_read(const DibsHostWish *wish, DibsHttpRequest *request, DibsFailure *failure);

/* A ZAK of the host's, for a page that embeds the meeting as its host. Raises as dibs_host_credential() does. */
extern char *dibs_zoom_zak(const char *account, const char *host);

#endif
