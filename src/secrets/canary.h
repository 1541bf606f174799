/*
 * canary.h
 *		A known value sealed with each key that was ever used here: it tells a wrong key from a right one.
 */
#ifndef DIBS_SECRETS_CANARY_H
#define DIBS_SECRETS_CANARY_H

#include "postgres.h"

#define DIBS_CANARY_NAME "dibs.canary"

typedef enum DibsKeyState
{
	DIBS_KEYS_NONE,           /* none configured, and nothing is sealed */
	DIBS_KEYS_OK,             /* the keys open what is stored */
	DIBS_KEYS_UNREADABLE,     /* configured, but file or command fail; or none although something is sealed */
	DIBS_KEYS_WRONG,          /* a version's key is not the one that was used here */
	DIBS_KEYS_UNKNOWN_VERSION /* something is sealed with a version that is not there */
} DibsKeyState;

/*
 * Whether the keys of this server open what this database has sealed. *detail is a palloc'd sentence that says what is
 * wrong and what mends it, without any secret or path; NULL for DIBS_KEYS_NONE and DIBS_KEYS_OK. In a transaction that
 * can write it leaves a canary for the newest key. Needs a transaction; any role may ask. Raises nothing about keys.
 */
extern DibsKeyState dibs_keyring_check(const char **detail);

typedef enum DibsCanary
{
	DIBS_CANARY_ABSENT,
	DIBS_CANARY_OPENS,
	DIBS_CANARY_WRONG
} DibsCanary;

/* What the canary of one version of the keyring says. */
extern DibsCanary dibs_canary_look(uint32 version);

/* Leaves a canary for a version, unless there is one. */
extern void dibs_canary_write(uint32 version);

#endif
