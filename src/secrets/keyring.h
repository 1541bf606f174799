/*
 * keyring.h
 *		The master keys of this backend, read when first needed from dibs.master_key_file or dibs.master_key_command.
 *
 * Key bytes lie in pages of their own that are locked, left out of core dumps and cleansed, and go into no error and
 * no log. The highest version seals; every version opens.
 */
#ifndef DIBS_SECRETS_KEYRING_H
#define DIBS_SECRETS_KEYRING_H

#include "postgres.h"

#include "crypto/aead.h"

/* What a key is derived for: one key for each, so that one kind's ciphertext is never taken for another's. */
typedef enum DibsPurpose
{
	DIBS_PURPOSE_SECRET = 1,     /* "Secret" */
	DIBS_PURPOSE_TOKEN = 2,      /* encrypt_token(): the application's own */
	DIBS_PURPOSE_CREDENTIAL = 3, /* "ProviderCredential" */
	DIBS_PURPOSE_RECORDING = 4,  /* "MeetingRecording" */
	DIBS_PURPOSE_CANARY = 5,     /* tells a wrong key from a right one */
	DIBS_PURPOSE_JOIN = 6,       /* signs participants' tokens; seals nothing */
	DIBS_PURPOSE_PAYLOAD = 7     /* "SealedPayload" */
} DibsPurpose;

#define DIBS_PURPOSE_LAST DIBS_PURPOSE_PAYLOAD

#define DIBS_MAC_KEY_LEN 32

/* True once the keys are there; reads them if they are not, or if the server reloaded and the file changed. */
extern bool dibs_keyring_ready(void);

/* True when a source of keys is configured, whether or not it works. */
extern bool dibs_keyring_configured(void);

/* As dibs_keyring_ready, but says what is wrong as an error (F0000). */
extern void dibs_keyring_need(void);

/* Why the keys are not there, as a sentence without any path; valid until the next call into the keyring. */
extern const char *dibs_keyring_problem(void);

/* The version that seals, and whether a version is there; a version that is not makes the keys be read again. */
extern uint32 dibs_keyring_newest(void);
extern bool dibs_keyring_has(uint32 version);

/* The cipher for a version and purpose, its key derived once; NULL for a version that is not there. */
extern DibsAead *dibs_keyring_cipher(uint32 version, DibsPurpose purpose);

/*
 * The key with which a version signs what a purpose is for: DIBS_MAC_KEY_LEN bytes, derived once, good until the next
 * call into the keyring. NULL for a version that is not there. Raises F0000 without any key.
 */
extern const uint8 *dibs_keyring_mac_key(uint32 version, DibsPurpose purpose);

/* Changes whenever the keys were read anew. */
extern uint64 dibs_keyring_epoch(void);

#endif
