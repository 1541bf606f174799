/*
 * host_url.h
 *		What lets somebody in as a meeting's host, fetched in the caller's own time and never kept.
 */
#ifndef DIBS_MEETING_HOST_URL_H
#define DIBS_MEETING_HOST_URL_H

#include "postgres.h"

#include "queue/verdict.h"

/* What is asked for, of the provider that answers it. */
typedef struct DibsHostWish
{
	const char *meeting; /* the provider's id */
	const char *host;    /* the provider's name for the host */
	bool token;          /* a token to embed with, else a link */
} DibsHostWish;

/*
 * The link that starts a meeting, or a token that makes a page its host: a credential of the host's. Cancelable
 * (57014). Raises what dibs_access_for_call() does, 08006 where the provider cannot be asked, 55000 where it says no.
 */
extern char *dibs_host_credential(const char *provider, const char *account, const DibsHostWish *wish);

#endif
