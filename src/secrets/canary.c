/*
 * canary.c
 *		Tells whether the keys of this server are the ones that this database was sealed with.
 *
 * The canary of key version N is the row (dibs.canary, generation N) of "Secret". It is looked at as the table's owner,
 * because encrypt_token(), which anybody may have been granted, must not seal with a wrong key either.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "core/ulid.h"
#include "errors.h"
#include "secrets/canary.h"
#include "secrets/seal.h"
#include "secrets/store.h"

static const char canary_value[] = "dibs";

static DibsSecretStatement read_canary = {
	"SELECT \"ulid\", \"sealed\" FROM dibs.\"Secret\" WHERE \"name\" OPERATOR(pg_catalog.=) 'dibs.canary' "
	"AND \"account\" OPERATOR(pg_catalog.=) '' AND \"generation\" OPERATOR(pg_catalog.=) $1",
	1,
	{INT4OID}};

static DibsSecretStatement insert_canary = {
	"INSERT INTO dibs.\"Secret\" (\"ulid\", \"name\", \"account\", \"generation\", \"sealed\") "
	"VALUES ($1, 'dibs.canary', '', $2, $3) ON CONFLICT ON CONSTRAINT \"Secret_generation_key\" DO NOTHING",
	3,
	{BPCHAROID, INT4OID, BYTEAOID}};

/* Versions in use, each once, and whether by something else than a canary. */
static DibsSecretStatement versions_in_use = {
	"SELECT v, pg_catalog.bool_or(used) FROM ("
	"SELECT dibs.sealed_version(\"sealed\") AS v, \"name\" OPERATOR(pg_catalog.<>) 'dibs.canary' AS used "
	"FROM dibs.\"Secret\" WHERE \"state\" OPERATOR(pg_catalog.=) 'live' "
	"UNION ALL SELECT dibs.sealed_version(\"sealed\"), true FROM dibs.\"ProviderCredential\" "
	"WHERE \"state\" OPERATOR(pg_catalog.<>) 'lost' AND \"sealed\" IS NOT NULL "
	"UNION ALL SELECT dibs.sealed_version(\"token\"), true FROM dibs.\"MeetingRecording\" WHERE \"token\" IS NOT NULL "
	"UNION ALL SELECT dibs.sealed_version(\"sealed\"), true FROM dibs.\"SealedPayload\""
	") x WHERE v IS NOT NULL GROUP BY v ORDER BY v",
	0,
	{0}};

static char *
canary_context(const char *ulid)
{
	return dibs_seal_context("Secret", "sealed", psprintf("%s/%s/", ulid, DIBS_CANARY_NAME));
}

static DibsCanary
look_connected(uint32 version)
{
	Datum values[1] = {Int32GetDatum((int32) version)};
	HeapTuple tuple;
	TupleDesc desc;
	bytea *sealed;
	char *ulid;
	char *plain;
	Size len;
	bool isnull;

	dibs_secrets_run(&read_canary, values, NULL, true);
	if (SPI_processed == 0)
		return DIBS_CANARY_ABSENT;
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	ulid = TextDatumGetCString(SPI_getbinval(tuple, desc, 1, &isnull));
	sealed = DatumGetByteaPP(SPI_getbinval(tuple, desc, 2, &isnull));
	if (dibs_unseal(DIBS_PURPOSE_CANARY, canary_context(ulid), VARDATA_ANY(sealed), VARSIZE_ANY_EXHDR(sealed),
					CurrentMemoryContext, true, &plain, &len) != DIBS_UNSEAL_OK)
		return DIBS_CANARY_WRONG;
	return DIBS_CANARY_OPENS;
}

DibsCanary
dibs_canary_look(uint32 version)
{
	DibsCaller caller;
	DibsCanary answer;

	if (!OidIsValid(dibs_secret_table()))
		return DIBS_CANARY_ABSENT;
	dibs_become_owner(&caller);
	SPI_connect();
	answer = look_connected(version);
	SPI_finish();
	dibs_become_caller(&caller);
	return answer;
}

void
dibs_canary_write(uint32 version)
{
	DibsCaller caller;
	Datum values[3];
	char ulid[DIBS_ULID_LEN + 1];

	if (dibs_canary_look(version) != DIBS_CANARY_ABSENT)
		return;
	if (!dibs_ulid_generate(ulid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	dibs_become_owner(&caller);
	SPI_connect();
	values[0] = CStringGetTextDatum(ulid);
	values[1] = Int32GetDatum((int32) version);
	values[2] = PointerGetDatum(
		dibs_seal(DIBS_PURPOSE_CANARY, canary_context(ulid), canary_value, strlen(canary_value)));
	dibs_secrets_run(&insert_canary, values, NULL, false);
	SPI_finish();
	dibs_become_caller(&caller);
}

/* What the keys that are there say about what is stored; inside an SPI connection, as the owner. */
static DibsKeyState
compare(MemoryContext result_context, const char **detail)
{
	SPITupleTable *rows;
	uint64 n;
	bool canary_known = false;
	uint32 unknown = 0;

	dibs_secrets_run(&versions_in_use, NULL, NULL, true);
	rows = SPI_tuptable;
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		bool isnull;
		uint32 version = (uint32) DatumGetInt32(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));
		bool used = DatumGetBool(SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull));

		if (!dibs_keyring_has(version))
		{
			if (used || unknown == 0)
				unknown = version;
			if (used)
			{
				canary_known = false;
				break;
			}
			continue;
		}
		canary_known = true;
		if (look_connected(version) == DIBS_CANARY_WRONG)
		{
			*detail = MemoryContextStrdup(
				result_context, psprintf("Master key version %u is not the key that this database was sealed with: put "
										 "the right key back.",
										 version));
			return DIBS_KEYS_WRONG;
		}
	}
	/* A canary alone may stay behind when its key was taken out after a rotation, as long as another one opens. */
	if (unknown != 0 && !canary_known)
	{
		*detail = MemoryContextStrdup(
			result_context,
			psprintf("Something is sealed with master key version %u, which is not there: bring it back, or see what "
					 "is lost with it by dibs.abandon_key(%u).",
					 unknown, unknown));
		return DIBS_KEYS_UNKNOWN_VERSION;
	}
	return DIBS_KEYS_OK;
}

DibsKeyState
dibs_keyring_check(const char **detail)
{
	MemoryContext result_context = CurrentMemoryContext;
	bool configured = dibs_keyring_configured();
	bool ready;
	bool any;
	DibsCaller caller;
	DibsKeyState state;

	*detail = NULL;
	if (!OidIsValid(dibs_secret_table()))
		return DIBS_KEYS_NONE;
	ready = dibs_keyring_ready();
	if (configured && !ready)
	{
		*detail = psprintf("The master keys cannot be read: %s.", dibs_keyring_problem());
		return DIBS_KEYS_UNREADABLE;
	}
	dibs_become_owner(&caller);
	SPI_connect();
	if (!ready)
	{
		dibs_secrets_run(&versions_in_use, NULL, NULL, true);
		any = SPI_processed > 0;
		state = any ? DIBS_KEYS_UNREADABLE : DIBS_KEYS_NONE;
		if (any)
			*detail = MemoryContextStrdup(result_context,
										  "Something is sealed here, but no master key is configured: set "
										  "dibs.master_key_file or dibs.master_key_command.");
	}
	else
	{
		state = compare(result_context, detail);
		if (state == DIBS_KEYS_OK && !XactReadOnly && !IsInParallelMode())
			dibs_canary_write(dibs_keyring_newest());
	}
	SPI_finish();
	dibs_become_caller(&caller);
	return state;
}
