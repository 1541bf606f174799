/*
 * verify.c
 *		verify_webhook(): a delivery against the stored secrets of its source.
 */
#include "compat.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "secrets/keyring.h"
#include "secrets/secret.h"
#include "webhook/scheme.h"

PG_FUNCTION_INFO_V1(dibs_verify_webhook);

/* A header's value by its name in lower case; names of headers have no case. */
static DibsBytes
find_header(Jsonb *headers, const char *name)
{
	DibsBytes found = {NULL, 0};
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;
	bool wanted = false;

	if (name == NULL || !JB_ROOT_IS_OBJECT(headers))
		return found;
	it = JsonbIteratorInit(&headers->root);
	/* Nothing below the top is looked into. */
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			wanted = (size_t) value.val.string.len == strlen(name) &&
					 pg_strncasecmp(value.val.string.val, name, value.val.string.len) == 0;
		else if (token == WJB_VALUE && wanted && value.type == jbvString)
		{
			found.data = value.val.string.val;
			found.len = value.val.string.len;
			break;
		}
	}
	return found;
}

static bool
matches_any(const DibsScheme *scheme, const DibsDelivery *delivery, const char *name, MemoryContext mcxt)
{
	bool unreadable;
	List *live = dibs_secret_live_quiet(name, mcxt, &unreadable);
	ListCell *lc;
	int64 now_us = GetCurrentTimestamp() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

	foreach (lc, live)
	{
		const DibsSecret *secret = lfirst(lc);
		DibsBytes key = {secret->value, secret->len};

		if (dibs_scheme_verify(scheme, delivery, key, scheme->tolerance_us, now_us) == DIBS_SIGNATURE_GENUINE)
		{
			dibs_secret_used(secret);
			return true;
		}
	}
	if (unreadable)
		ereport(WARNING,
				(errcode(DIBS_ERR_CONFIG), errmsg("a stored value of the secret \"%s\" could not be opened", name),
				 errhint("See dibs.keyring_status().")));
	return false;
}

Datum
dibs_verify_webhook(PG_FUNCTION_ARGS)
{
	const DibsScheme *scheme;
	DibsDelivery delivery;
	struct varlena *body;
	Jsonb *headers;
	MemoryContext mcxt;
	char *name;
	bool answer;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_BOOL(false);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	scheme = dibs_scheme_find(name);
	name = psprintf("%s.webhook_secret", name);
	if (scheme == NULL || !dibs_secret_is_known(name))
		PG_RETURN_BOOL(false);
	headers = PG_GETARG_JSONB_P(1);
	body = PG_GETARG_VARLENA_PP(2);
	delivery.signature = find_header(headers, scheme->signature_header);
	delivery.sent_at = find_header(headers, scheme->time_header);
	delivery.id = find_header(headers, scheme->id_header);
	delivery.body.data = VARDATA_ANY(body);
	delivery.body.len = VARSIZE_ANY_EXHDR(body);
	/* Opened secrets are wiped before the answer is given. */
	mcxt = AllocSetContextCreate(CurrentMemoryContext, "dibs webhook secrets", ALLOCSET_SMALL_SIZES);
	answer = matches_any(scheme, &delivery, name, mcxt);
	MemoryContextDelete(mcxt);
	PG_RETURN_BOOL(answer);
}
