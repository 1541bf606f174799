/*
 * store.h
 *		Statements on dibs."Secret" that secret.c, canary.c and the SQL faces share.
 */
#ifndef DIBS_SECRETS_STORE_H
#define DIBS_SECRETS_STORE_H

#include "postgres.h"

#include "executor/spi.h"
#include "nodes/pg_list.h"

/* The pair that sealing_certificate() shows the public half of. */
#define DIBS_SEALING_KEY_NAME "dibs.sealing_key"

/* Larger than any key or service account there is; it keeps a mistaken file out. */
#define DIBS_SECRET_MAX_LEN 65536

/* OID of dibs."Secret"; InvalidOid where the extension has no tables. */
extern Oid dibs_secret_table(void);

/* A statement that is planned once a backend. */
typedef struct DibsSecretStatement
{
	const char *sql;
	int n_args;
	Oid types[6];
	SPIPlanPtr plan;
} DibsSecretStatement;

/*
 * Runs it inside an SPI connection of the caller's. With read_only it sees the latest committed rows and this
 * transaction's own, whatever the calling query's snapshot: a secret's change takes effect at once.
 */
extern int dibs_secrets_run(DibsSecretStatement *statement, Datum *values, const char *nulls, bool read_only);

/* Acts as the owner of dibs."Secret" until the transaction's end or dibs_become_caller. */
typedef struct DibsCaller
{
	Oid user;
	int sec_context;
} DibsCaller;

extern void dibs_become_owner(DibsCaller *caller);
extern void dibs_become_caller(const DibsCaller *caller);

/* The names that an operator may set, joined by commas, for a hint. */
extern char *dibs_secret_known_list(void);

/* Seals and stores a value as the newest; earlier ones stay live for keep_us microseconds. Returns the generation. */
extern int dibs_secret_store(const char *name, const char *account, const char *value, Size len, int64 keep_us);

#endif
