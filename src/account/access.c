/*
 * access.c
 *		Reads what an account is called with: the platform's secrets.
 */
#include "compat.h"

#include "nodes/pg_list.h"

#include "account/access.h"
#include "secrets/secret.h"

/* The newest live value of a name for an account; NULL: there is none. */
static const char *
live_secret(const char *name, const char *account, MemoryContext mcxt, bool *unreadable)
{
	List *live = dibs_secret_live_quiet(name, mcxt, unreadable);
	ListCell *lc;

	foreach (lc, live)
	{
		DibsSecret *secret = (DibsSecret *) lfirst(lc);

		if (strcmp(secret->account, account) == 0)
		{
			dibs_secret_used(secret);
			return secret->value;
		}
	}
	return NULL;
}

static void
no_secret(DibsFailure *failure, const char *name, bool unreadable)
{
	if (unreadable)
		dibs_fail(failure, DIBS_VERDICT_RETRY, "key_unreadable", "the master key does not open the secret %s", name);
	else
		dibs_fail(failure, DIBS_VERDICT_FAILED, "not_connected", "the secret %s is not set", name);
}

static DibsAccessState
load_platform(const DibsAccountProvider *provider, MemoryContext mcxt, DibsAccess *access, DibsFailure *failure)
{
	const char **slots[3] = {&access->client_id, &access->client_secret, &access->account_id};

	for (int i = 0; i < (int) lengthof(slots); i++)
	{
		const char *name = provider->platform_secrets[i];
		bool unreadable = false;

		if (name == NULL)
			continue;
		*slots[i] = live_secret(name, access->account, mcxt, &unreadable);
		if (*slots[i] == NULL)
		{
			no_secret(failure, name, unreadable);
			return DIBS_ACCESS_NONE;
		}
	}
	return DIBS_ACCESS_FETCH;
}

DibsAccessState
dibs_access_load(const DibsAccountProvider *provider, const char *account, MemoryContext mcxt, DibsAccess *access,
				 int64 *ttl_ms, DibsFailure *failure)
{
	memset(access, 0, sizeof(*access));
	access->account = account;
	return load_platform(provider, mcxt, access, failure);
}
