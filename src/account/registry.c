/*
 * registry.c
 *		The account providers there are.
 */
#include "compat.h"

#include "account/provider.h"

static const DibsAccountProvider *const providers[] = {&dibs_account_cal, &dibs_account_zoom};

const DibsAccountProvider *
dibs_account_provider(const char *name)
{
	for (int i = 0; name != NULL && i < (int) lengthof(providers); i++)
	{
		if (strcmp(providers[i]->name, name) == 0)
			return providers[i];
	}
	return NULL;
}
