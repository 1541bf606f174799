/*
 * zoom_embed.c
 *		Zoom's Meeting SDK, embedded: a signature, for a host with a ZAK, and the names that its join() takes.
 *
 * It lets somebody into a meeting of the account that the SDK app belongs to. Meetings of other accounts would need an
 * on-behalf token as well: the caller does not ask for those.
 */
#include "compat.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "join/sdk_signature.h"
#include "join/zoom_embed.h"
#include "meeting/zoom_host.h"
#include "queue/attempt.h"
#include "secrets/secret.h"

#define SIGNATURE_TTL_S (2 * 60 * 60)
/* what Zoom's signature takes; sdk_signature.c raises for anything else */
#define NUMBER_MIN 9
#define NUMBER_MAX 11
#define SDK_KEY_MAX 200

/* The installation's own value, or NULL. */
static DibsSecret *
own_secret(const char *name, MemoryContext mcxt)
{
	bool unreadable;
	ListCell *lc;

	foreach (lc, dibs_secret_live_quiet(name, mcxt, &unreadable))
	{
		DibsSecret *secret = lfirst(lc);

		if (secret->account[0] == '\0')
			return secret;
	}
	return NULL;
}

static bool
is_meeting_number(const char *number)
{
	size_t len = number == NULL ? 0 : strlen(number);

	return len >= NUMBER_MIN && len <= NUMBER_MAX && strspn(number, "0123456789") == len;
}

/* A registrant's own token, which is in their link: "...?tk=TOKEN&pwd=...". */
static char *
registrant_token(const char *join_url)
{
	const char *query = join_url == NULL ? NULL : strchr(join_url, '?');

	while (query != NULL)
	{
		query++;
		if (strncmp(query, "tk=", 3) == 0)
			return pnstrdup(query + 3, strcspn(query + 3, "&#"));
		query = strchr(query, '&');
	}
	return NULL;
}

typedef struct Wish
{
	const char *host;
	char *zak;
} Wish;

static bool
ask_zak(void *arg)
{
	Wish *wish = arg;

	wish->zak = dibs_zoom_zak("", wish->host);
	return true;
}

/* NULL where Zoom gives none, for whatever reason: the host has a page as well. */
static char *
zak_of(const char *host)
{
	Wish wish = {host, NULL};
	ErrorData *error = dibs_attempt(ask_zak, &wish);

	if (error == NULL)
		return wish.zak;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INSUFFICIENT_RESOURCES)
		ReThrowError(error);
	ereport(LOG, (errcode(error->sqlerrcode), errmsg("the host's page is not embedded: %s", error->message),
				  errhidestmt(true)));
	return NULL;
}

void
dibs_zoom_put_embed(DibsJson *json, const DibsZoomEmbed *embed)
{
	MemoryContext mcxt;
	DibsSecret *key;
	DibsSecret *secret;
	char *signature = NULL;
	char *shown_key = NULL;
	char *zak = NULL;
	char *tk;

	if (!is_meeting_number(embed->meeting_number))
	{
		dibs_json_put_bool(json, false);
		return;
	}
	mcxt = AllocSetContextCreate(CurrentMemoryContext, "dibs SDK secret", ALLOCSET_SMALL_SIZES);
	key = own_secret("zoom.sdk_key", mcxt);
	secret = key == NULL ? NULL : own_secret("zoom.sdk_secret", mcxt);
	if (embed->host != NULL && secret != NULL)
		zak = zak_of(embed->host);
	if (secret != NULL && key->len > 0 && key->len <= SDK_KEY_MAX && secret->len > 0 &&
		(embed->host == NULL || zak != NULL))
	{
		signature = dibs_zoom_meeting_signature(
			key->value, secret->value, embed->meeting_number, zak != NULL ? DIBS_ZOOM_HOST : DIBS_ZOOM_PARTICIPANT,
			GetCurrentTransactionStartTimestamp() - DIBS_SDK_BACKDATE * USECS_PER_SEC, SIGNATURE_TTL_S);
		/* it is an identifier that every page with the SDK shows */
		shown_key = pstrdup(key->value);
		dibs_secret_used(key);
		dibs_secret_used(secret);
	}
	MemoryContextDelete(mcxt);
	if (signature == NULL)
	{
		dibs_json_put_bool(json, false);
		return;
	}

	dibs_json_begin_object(json);
	dibs_json_text_member(json, "sdkKey", shown_key);
	dibs_json_text_member(json, "signature", signature);
	dibs_json_text_member(json, "meetingNumber", embed->meeting_number);
	dibs_json_text_member(json, "password", embed->passcode != NULL ? embed->passcode : "");
	dibs_json_text_member(json, "userName", embed->display_name);
	dibs_json_text_member(json, "customerKey", embed->customer_key);
	dibs_json_optional_member(json, "zak", zak);
	tk = registrant_token(embed->join_url);
	if (tk != NULL)
	{
		dibs_json_text_member(json, "userEmail", embed->email != NULL ? embed->email : "");
		dibs_json_text_member(json, "tk", tk);
	}
	dibs_json_end_object(json);
}
