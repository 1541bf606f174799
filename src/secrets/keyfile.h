/*
 * keyfile.h
 *		The text that holds the master keys: lines of version:64 hex digits. A pure function over bytes.
 */
#ifndef DIBS_SECRETS_KEYFILE_H
#define DIBS_SECRETS_KEYFILE_H

#include <stddef.h>
#include <stdint.h>

#define DIBS_MASTER_KEY_LEN 32
/* More generations than anybody keeps: it bounds the memory that is locked. */
#define DIBS_MASTER_KEYS_MAX 64
/* A version goes into an SQL integer as well as into a ciphertext's header. */
#define DIBS_KEY_VERSION_MAX 2147483647

typedef struct DibsMasterKey
{
	uint32_t version;
	uint8_t key[DIBS_MASTER_KEY_LEN];
} DibsMasterKey;

typedef enum DibsKeyfileResult
{
	DIBS_KEYFILE_OK,
	DIBS_KEYFILE_EMPTY,       /* no key in it */
	DIBS_KEYFILE_SYNTAX,      /* a line that is not version:hex */
	DIBS_KEYFILE_BAD_VERSION, /* not a number from 1 to DIBS_KEY_VERSION_MAX */
	DIBS_KEYFILE_BAD_HEX,     /* something else than a hex digit in a key */
	DIBS_KEYFILE_TRUNCATED,   /* fewer than 64 hex digits */
	DIBS_KEYFILE_TOO_LONG,    /* more than 64 hex digits */
	DIBS_KEYFILE_DUPLICATE,   /* a version stands there twice */
	DIBS_KEYFILE_TOO_MANY     /* more than the caller's array holds */
} DibsKeyfileResult;

/*
 * Reads the keys, in the file's order. Empty lines and lines that start with # are skipped; white space around a line
 * is not looked at. On failure *line is the line at fault (from 1; 0: the whole file) and keys holds what was read
 * before: the caller cleanses it in either case.
 */
extern DibsKeyfileResult dibs_keyfile_parse(const char *text, size_t len, DibsMasterKey *keys, int max_keys,
											int *n_keys, int *line);

#endif
