/*
 * secret.h
 *		Stored secrets, opened for use inside the server. No SQL function gives one back.
 *
 * All of these read as the current user, who needs SELECT on dibs."Secret" (dibs_worker has it; SQL functions that
 * anybody else calls are SECURITY DEFINER). They connect to SPI by themselves and may be called with or without a
 * connection. What they return lives in the given memory context and is cleansed when that is reset or deleted.
 */
#ifndef DIBS_SECRETS_SECRET_H
#define DIBS_SECRETS_SECRET_H

#include "postgres.h"

#include "nodes/pg_list.h"

typedef struct DibsSecret
{
	char *value; /* zero-terminated; it holds no other zero byte */
	Size len;
	int generation;
	const char *name;
	const char *account; /* "" for the installation's own */
} DibsSecret;

/*
 * The newest live value of a name and account ("" for the installation's own); false if there is none. Raises F0000
 * when the master key is missing or is another one, XX001 when the stored value was tampered with.
 */
extern bool dibs_secret_get(const char *name, const char *account, MemoryContext mcxt, DibsSecret *out);

/* As dibs_secret_get, but F0000 with a hint where there is none. */
extern void dibs_secret_need(const char *name, const char *account, MemoryContext mcxt, DibsSecret *out);

/*
 * Every live value of a name, those of accounts included, newest first: a List of DibsSecret *. For a caller that must
 * not fail, such as a webhook's receiver: what cannot be opened is left out and *unreadable becomes true, so that an
 * empty list can be told from no secret at all.
 */
extern List *dibs_secret_live_quiet(const char *name, MemoryContext mcxt, bool *unreadable);

/*
 * Notes that a secret did its work (a signature matched), at most once an hour; nothing where the transaction cannot
 * write. dibs_secret_get and _need note it by themselves, the lists cannot know which one will match.
 */
extern void dibs_secret_used(const DibsSecret *secret);

/* True for a name that an operator may set. */
extern bool dibs_secret_is_known(const char *name);

#endif
