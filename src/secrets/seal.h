/*
 * seal.h
 *		Seals values with the master key (AES-256-GCM, a fresh nonce each) and opens them again.
 *
 * A context names where the value belongs, as table/column/row: what was sealed for one row does not open in another.
 */
#ifndef DIBS_SECRETS_SEAL_H
#define DIBS_SECRETS_SEAL_H

#include "postgres.h"

#include "secrets/keyring.h"

typedef enum DibsUnsealResult
{
	DIBS_UNSEAL_OK,
	DIBS_UNSEAL_NO_KEYS,     /* no keyring: dibs_keyring_problem() says why */
	DIBS_UNSEAL_MALFORMED,   /* no sealed value at all */
	DIBS_UNSEAL_PURPOSE,     /* sealed for something else */
	DIBS_UNSEAL_UNKNOWN_KEY, /* sealed with a version that the keyring lacks */
	DIBS_UNSEAL_WRONG_KEY,   /* the keyring has another key under that version */
	DIBS_UNSEAL_TAMPERED     /* another row's, or changed */
} DibsUnsealResult;

/*
 * "table/column/row", palloc'd; row may be made of several columns joined by '/', the one that is free text last. In
 * use: Secret/sealed/<ulid>/<name>/<account>, ProviderCredential/sealed/<ulid>/<accountUlid>/<kind>,
 * MeetingRecording/token/<ulid>, SealedPayload/sealed/<ulid>.
 */
extern char *dibs_seal_context(const char *table, const char *column, const char *row);

/*
 * Seals with the newest key. Raises F0000 without a key, and where the newest key is not the one that this database
 * was sealed with: nothing new may be sealed with a key that will be put right later.
 */
extern bytea *dibs_seal(DibsPurpose purpose, const char *context, const void *plain, Size len);

/* The version that seals and signs. Raises as dibs_seal. */
extern uint32 dibs_sealing_version(void);

/*
 * Opens into mcxt, zero-terminated, cleansed when that is reset or deleted. Without noerror everything but
 * DIBS_UNSEAL_OK is raised: F0000 where a key is missing or another one, XX001 where the value is at fault.
 */
extern DibsUnsealResult dibs_unseal(DibsPurpose purpose, const char *context, const void *sealed, Size sealed_len,
									MemoryContext mcxt, bool noerror, char **plain, Size *len);

/* Memory in mcxt that is overwritten before mcxt lets go of it. */
extern void *dibs_alloc_cleansed(MemoryContext mcxt, Size size);

#endif
