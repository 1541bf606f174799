/*
 * store.c
 *		The table "Secret": running statements on it as its owner, and putting a new value in.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "core/ulid.h"
#include "errors.h"
#include "secrets/canary.h"
#include "secrets/seal.h"
#include "secrets/store.h"

/* Two setters of one name meet at the unique key; the loser takes the next generation. */
#define STORE_TRIES 10

/*
 * Operators are written out in all statements here and in secret.c: they run under any caller's search_path.
 */
static DibsSecretStatement newest_generation = {
	"SELECT COALESCE(pg_catalog.max(\"generation\"), 0) FROM dibs.\"Secret\" "
	"WHERE \"name\" OPERATOR(pg_catalog.=) $1 AND \"account\" OPERATOR(pg_catalog.=) $2",
	2,
	{TEXTOID, TEXTOID}};

static DibsSecretStatement insert_secret = {
	"INSERT INTO dibs.\"Secret\" (\"ulid\", \"name\", \"account\", \"generation\", \"sealed\") "
	"VALUES ($1, $2, $3, $4, $5) ON CONFLICT ON CONSTRAINT \"Secret_generation_key\" DO NOTHING",
	5,
	{BPCHAROID, TEXTOID, TEXTOID, INT4OID, BYTEAOID}};

static DibsSecretStatement limit_previous = {
	"UPDATE dibs.\"Secret\" SET \"validUntil\" = $4 WHERE \"name\" OPERATOR(pg_catalog.=) $1 "
	"AND \"account\" OPERATOR(pg_catalog.=) $2 AND \"generation\" OPERATOR(pg_catalog.<) $3 "
	"AND \"validUntil\" OPERATOR(pg_catalog.>) $4",
	4,
	{TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID}};

static DibsSecretStatement delete_previous = {
	"DELETE FROM dibs.\"Secret\" WHERE \"name\" OPERATOR(pg_catalog.=) $1 "
	"AND \"account\" OPERATOR(pg_catalog.=) $2 AND \"generation\" OPERATOR(pg_catalog.<) $3 "
	"AND (\"validUntil\" OPERATOR(pg_catalog.<=) $4 OR \"state\" OPERATOR(pg_catalog.=) 'lost')",
	4,
	{TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID}};

Oid
dibs_secret_table(void)
{
	Oid schema = get_namespace_oid("dibs", true);

	return OidIsValid(schema) ? get_relname_relid("Secret", schema) : InvalidOid;
}

int
dibs_secrets_run(DibsSecretStatement *statement, Datum *values, const char *nulls, bool read_only)
{
	int result;

	if (statement->plan == NULL)
	{
		SPIPlanPtr plan = SPI_prepare(statement->sql, statement->n_args, statement->types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("could not prepare a statement: %s", SPI_result_code_string(SPI_result))));
		statement->plan = plan;
	}
	/* A parallel worker may take no snapshot of its own. */
	if (read_only)
		PushActiveSnapshot(IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
	result = SPI_execute_plan(statement->plan, values, nulls, read_only, 0);
	if (read_only)
		PopActiveSnapshot();
	if (result < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not run a statement: %s", SPI_result_code_string(result))));
	return result;
}

void
dibs_become_owner(DibsCaller *caller)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(dibs_secret_table()));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(DIBS_ERR_STATE), errmsg("this database has no table dibs.\"Secret\""),
						errhint("Secrets live where the extension made its tables.")));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	GetUserIdAndSecContext(&caller->user, &caller->sec_context);
	SetUserIdAndSecContext(owner, caller->sec_context | SECURITY_LOCAL_USERID_CHANGE);
}

void
dibs_become_caller(const DibsCaller *caller)
{
	SetUserIdAndSecContext(caller->user, caller->sec_context);
}

/* As the table's owner and inside an SPI connection; 0 when another setter took the generation. */
static int
insert_generation(const char *name, const char *account, const char *value, Size len)
{
	Datum values[5];
	char ulid[DIBS_ULID_LEN + 1];
	char *row;
	bool isnull;
	int generation;

	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(account);
	dibs_secrets_run(&newest_generation, values, NULL, true);
	generation = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) + 1;
	if (!dibs_ulid_generate(ulid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	row = psprintf("%s/%s/%s", ulid, name, account);
	values[0] = CStringGetTextDatum(ulid);
	values[1] = CStringGetTextDatum(name);
	values[2] = CStringGetTextDatum(account);
	values[3] = Int32GetDatum(generation);
	values[4] = PointerGetDatum(dibs_seal(DIBS_PURPOSE_SECRET, dibs_seal_context("Secret", "sealed", row), value, len));
	dibs_secrets_run(&insert_secret, values, NULL, false);
	return SPI_processed == 1 ? generation : 0;
}

int
dibs_secret_store(const char *name, const char *account, const char *value, Size len, int64 keep_us)
{
	DibsCaller caller;
	Datum values[4];
	TimestampTz until;
	int generation = 0;

	dibs_keyring_need();
	dibs_become_owner(&caller);
	SPI_connect();
	/* The canary goes first: a secret sealed with a key that nobody can check later would be worth little. */
	dibs_canary_write(dibs_keyring_newest());
	for (int i = 0; i < STORE_TRIES && generation == 0; i++)
		generation = insert_generation(name, account, value, len);
	if (generation == 0)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("the secret \"%s\" is being set by somebody else", name), errhint("Try again.")));
	until = GetCurrentTransactionStartTimestamp() + keep_us;
	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(account);
	values[2] = Int32GetDatum(generation);
	values[3] = TimestampTzGetDatum(until);
	dibs_secrets_run(&limit_previous, values, NULL, false);
	values[3] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	dibs_secrets_run(&delete_previous, values, NULL, false);
	SPI_finish();
	dibs_become_caller(&caller);
	return generation;
}
