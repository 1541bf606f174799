/*
 * seal.c
 *		Sealed values: envelope, associated data, and an error of its own for each way in which one does not open.
 */
#include "compat.h"

#include "utils/memutils.h"

#include "core/entropy.h"
#include "crypto/hmac.h"
#include "errors.h"
#include "secrets/canary.h"
#include "secrets/envelope.h"
#include "secrets/seal.h"

/* Contexts up to this length need no allocation. */
#define BOUND_ON_STACK 256

typedef struct Cleansed
{
	MemoryContextCallback callback;
	void *memory;
	Size size;
} Cleansed;

static void
cleanse(void *arg)
{
	Cleansed *cleansed = (Cleansed *) arg;

	explicit_bzero(cleansed->memory, cleansed->size);
	/* It may have been the key of a signature. */
	dibs_hmac_forget();
}

void *
dibs_alloc_cleansed(MemoryContext mcxt, Size size)
{
	Cleansed *cleansed = MemoryContextAlloc(mcxt, sizeof(Cleansed));

	cleansed->memory = MemoryContextAlloc(mcxt, size);
	cleansed->size = size;
	cleansed->callback.func = cleanse;
	cleansed->callback.arg = cleansed;
	MemoryContextRegisterResetCallback(mcxt, &cleansed->callback);
	return cleansed->memory;
}

char *
dibs_seal_context(const char *table, const char *column, const char *row)
{
	return psprintf("%s/%s/%s", table, column, row);
}

/* Header and context, one after the other. */
static uint8 *
bound_data(const uint8 *header, const char *context, uint8 *buffer, Size *len)
{
	Size context_len = strlen(context);
	uint8 *bound = buffer;

	*len = DIBS_ENVELOPE_BOUND_LEN + context_len;
	if (*len > BOUND_ON_STACK)
		bound = palloc(*len);
	memcpy(bound, header, DIBS_ENVELOPE_BOUND_LEN);
	memcpy(bound + DIBS_ENVELOPE_BOUND_LEN, context, context_len);
	return bound;
}

/* Once for each time the keys were read: the newest must not be another key than the one that was used here. */
static void
check_newest(uint32 version)
{
	static uint64 checked_epoch = 0;

	if (checked_epoch == dibs_keyring_epoch())
		return;
	if (dibs_canary_look(version) == DIBS_CANARY_WRONG)
		ereport(ERROR, (errcode(DIBS_ERR_CONFIG),
						errmsg("master key version %u is not the key that this database was sealed with", version),
						errhint("Put the right key back. A new key gets a version that was never used before.")));
	checked_epoch = dibs_keyring_epoch();
}

uint32
dibs_sealing_version(void)
{
	uint32 version = dibs_keyring_newest();

	check_newest(version);
	return version;
}

bytea *
dibs_seal(DibsPurpose purpose, const char *context, const void *plain, Size len)
{
	uint32 version = dibs_keyring_newest();
	DibsAead *cipher;
	uint8 buffer[BOUND_ON_STACK];
	Size bound_len;
	uint8 *bound;
	bytea *sealed;
	uint8 *out;

	if (purpose != DIBS_PURPOSE_CANARY)
		check_newest(version);
	/* Last, because whatever reads the keys anew frees the ciphers of the old ones. */
	cipher = dibs_keyring_cipher(version, purpose);
	if (cipher == NULL)
		ereport(ERROR, (errcode(DIBS_ERR_CONFIG), errmsg("the master keys have just changed"), errhint("Try again.")));
	sealed = palloc(VARHDRSZ + DIBS_ENVELOPE_OVERHEAD + len);
	SET_VARSIZE(sealed, VARHDRSZ + DIBS_ENVELOPE_OVERHEAD + len);
	out = (uint8 *) VARDATA(sealed);
	dibs_envelope_begin(out, version, (uint8) purpose);
	bound = bound_data(out, context, buffer, &bound_len);
	if (!dibs_entropy_pooled(out + DIBS_ENVELOPE_BOUND_LEN, DIBS_ENVELOPE_NONCE_LEN) ||
		!dibs_aead_seal(cipher, out + DIBS_ENVELOPE_BOUND_LEN, bound, bound_len, plain, len,
						out + DIBS_ENVELOPE_HEADER_LEN))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not encrypt")));
	if (bound != buffer)
		pfree(bound);
	return sealed;
}

static void
raise_unseal(DibsUnsealResult result, uint32 version)
{
	switch (result)
	{
		case DIBS_UNSEAL_OK:
			return;
		case DIBS_UNSEAL_NO_KEYS:
			dibs_keyring_need();
			return;
		case DIBS_UNSEAL_MALFORMED:
			ereport(ERROR, (errcode(DIBS_ERR_CRYPTO), errmsg("not a value that dibs sealed"),
							errhint("It may have been cut off, or have been encrypted by something else.")));
		case DIBS_UNSEAL_PURPOSE:
			ereport(ERROR, (errcode(DIBS_ERR_CRYPTO), errmsg("this value was sealed for another purpose")));
		case DIBS_UNSEAL_UNKNOWN_KEY:
			ereport(ERROR, (errcode(DIBS_ERR_CONFIG),
							errmsg("this value was sealed with master key version %u, which is not there", version),
							errhint("Bring the key back into the master keys; where it is lost for good, "
									"dibs.abandon_key(%u) says what goes with it.",
									version)));
		case DIBS_UNSEAL_WRONG_KEY:
			ereport(ERROR, (errcode(DIBS_ERR_CONFIG),
							errmsg("master key version %u is not the key that this database was sealed with", version),
							errhint("Put the right key back. A new key gets a version that was never used before.")));
		case DIBS_UNSEAL_TAMPERED:
			ereport(ERROR,
					(errcode(DIBS_ERR_CRYPTO), errmsg("this sealed value belongs somewhere else, or was changed"),
					 errhint("A value opens only where (table, row, context) it was sealed for.")));
	}
}

static DibsUnsealResult
unseal(DibsPurpose purpose, const char *context, const DibsEnvelope *envelope, const uint8 *header, char *plain)
{
	DibsAead *cipher;
	uint8 buffer[BOUND_ON_STACK];
	Size bound_len;
	uint8 *bound;
	bool ok;

	if (envelope->purpose != (uint8) purpose)
		return DIBS_UNSEAL_PURPOSE;
	cipher = dibs_keyring_cipher(envelope->version, purpose);
	if (cipher == NULL)
		return DIBS_UNSEAL_UNKNOWN_KEY;
	bound = bound_data(header, context, buffer, &bound_len);
	ok = dibs_aead_open(cipher, envelope->nonce, bound, bound_len, envelope->text, envelope->text_len, envelope->tag,
						(uint8 *) plain);
	if (bound != buffer)
		pfree(bound);
	if (ok)
		return DIBS_UNSEAL_OK;
	if (purpose != DIBS_PURPOSE_CANARY && dibs_canary_look(envelope->version) == DIBS_CANARY_WRONG)
		return DIBS_UNSEAL_WRONG_KEY;
	return DIBS_UNSEAL_TAMPERED;
}

DibsUnsealResult
dibs_unseal(DibsPurpose purpose, const char *context, const void *sealed, Size sealed_len, MemoryContext mcxt,
			bool noerror, char **plain, Size *len)
{
	DibsEnvelope envelope = {0};
	DibsUnsealResult result;

	*plain = NULL;
	*len = 0;
	if (dibs_envelope_parse(sealed, sealed_len, &envelope) != DIBS_ENVELOPE_OK)
		result = DIBS_UNSEAL_MALFORMED;
	else if (!dibs_keyring_ready())
		result = DIBS_UNSEAL_NO_KEYS;
	else
	{
		char *value = dibs_alloc_cleansed(mcxt, envelope.text_len + 1);

		result = unseal(purpose, context, &envelope, sealed, value);
		value[result == DIBS_UNSEAL_OK ? envelope.text_len : 0] = '\0';
		if (result == DIBS_UNSEAL_OK)
		{
			*plain = value;
			*len = envelope.text_len;
		}
	}
	if (!noerror)
		raise_unseal(result, envelope.version);
	return result;
}
