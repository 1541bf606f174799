/*
 * rotate.c
 *		Seals stored values anew with the newest master key.
 *
 * It walks each table by ulid and keeps its place in the job's progress, so that a batch is one short transaction and a
 * restart goes on. Values sealed meanwhile by a backend that had not yet read the new key are found by another pass.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/ulid.h"
#include "errors.h"
#include "secrets/rotate.h"
#include "secrets/seal.h"
#include "secrets/store.h"

/* Passes after which rows that keep coming under an old version are left to the next rotation. */
#define MAX_PASSES 5

typedef struct SealedColumn
{
	const char *table;
	const char *column;
	DibsPurpose purpose;
	DibsSecretStatement count; /* $1 newest version */
	DibsSecretStatement batch; /* $1 newest version, $2 after, $3 rows: ulid, rest of the row's context, sealed, name */
	DibsSecretStatement update;
} SealedColumn;

#define OLDER(column) "dibs.sealed_version(\"" column "\") OPERATOR(pg_catalog.<) $1 "
#define COUNT(table, column, live)                                                                                     \
	{                                                                                                                  \
		"SELECT pg_catalog.count(*) FROM dibs.\"" table "\" WHERE " OLDER(column) "AND " live, 1,                      \
		{                                                                                                              \
			INT4OID                                                                                                    \
		}                                                                                                              \
	}
#define BATCH(table, column, live, rest)                                                                               \
	{                                                                                                                  \
		"SELECT \"ulid\", " rest ", \"" column "\" FROM dibs.\"" table "\" WHERE " OLDER(                              \
			column) "AND " live                                                                                        \
					" AND \"ulid\" OPERATOR(pg_catalog.>) $2 ORDER BY \"ulid\" LIMIT $3 FOR NO KEY UPDATE",            \
			3,                                                                                                         \
		{                                                                                                              \
			INT4OID, BPCHAROID, INT4OID                                                                                \
		}                                                                                                              \
	}
#define UPDATE(table, column)                                                                                          \
	{                                                                                                                  \
		"UPDATE dibs.\"" table "\" SET \"" column "\" = $2 WHERE \"ulid\" OPERATOR(pg_catalog.=) $1", 2,               \
		{                                                                                                              \
			BPCHAROID, BYTEAOID                                                                                        \
		}                                                                                                              \
	}

#define SECRET_LIVE "\"state\" OPERATOR(pg_catalog.=) 'live' AND \"name\" OPERATOR(pg_catalog.<>) 'dibs.canary'"
#define CREDENTIAL_LIVE "\"state\" OPERATOR(pg_catalog.<>) 'lost'"

static SealedColumn columns[] = {
	{"Secret", "sealed", DIBS_PURPOSE_SECRET, COUNT("Secret", "sealed", SECRET_LIVE),
	 BATCH("Secret", "sealed", SECRET_LIVE,
		   "'/' OPERATOR(pg_catalog.||) \"name\" OPERATOR(pg_catalog.||) '/' OPERATOR(pg_catalog.||) \"account\""),
	 UPDATE("Secret", "sealed")},
	{"ProviderCredential", "sealed", DIBS_PURPOSE_CREDENTIAL, COUNT("ProviderCredential", "sealed", CREDENTIAL_LIVE),
	 BATCH("ProviderCredential", "sealed", CREDENTIAL_LIVE,
		   "'/' OPERATOR(pg_catalog.||) \"accountUlid\"::pg_catalog.text OPERATOR(pg_catalog.||) '/' "
		   "OPERATOR(pg_catalog.||) \"kind\""),
	 UPDATE("ProviderCredential", "sealed")},
	{"MeetingRecording", "token", DIBS_PURPOSE_RECORDING, COUNT("MeetingRecording", "token", "true"),
	 BATCH("MeetingRecording", "token", "true", "''::pg_catalog.text"), UPDATE("MeetingRecording", "token")},
	{"SealedPayload", "sealed", DIBS_PURPOSE_PAYLOAD, COUNT("SealedPayload", "sealed", "true"),
	 BATCH("SealedPayload", "sealed", "true", "''::pg_catalog.text"), UPDATE("SealedPayload", "sealed")}};

/* Where the job stands. */
typedef struct Progress
{
	int32 version;
	int pass;
	int column; /* index into columns */
	char after[DIBS_ULID_LEN + 1];
	int64 done;
	int64 total;
	int64 lost;
} Progress;

static bool
read_field(const Jsonb *progress, const char *name, JsonbValue *out)
{
	JsonbValue *found = getKeyJsonValueFromContainer((JsonbContainer *) &progress->root, name, strlen(name), out);

	return found != NULL;
}

static int64
read_number(const Jsonb *progress, const char *name)
{
	JsonbValue value;

	if (!read_field(progress, name, &value) || value.type != jbvNumeric)
		return 0;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value.val.numeric)));
}

static void
read_progress(const Jsonb *progress, Progress *out)
{
	JsonbValue value;

	memset(out, 0, sizeof(*out));
	if (progress == NULL || !JB_ROOT_IS_OBJECT(progress))
		return;
	out->version = (int32) read_number(progress, "version");
	out->pass = (int) read_number(progress, "pass");
	out->done = read_number(progress, "done");
	out->total = read_number(progress, "total");
	out->lost = read_number(progress, "lost");
	if (read_field(progress, "table", &value) && value.type == jbvString)
	{
		for (int i = 0; i < (int) lengthof(columns); i++)
		{
			if (strlen(columns[i].table) == (size_t) value.val.string.len &&
				strncmp(columns[i].table, value.val.string.val, value.val.string.len) == 0)
				out->column = i;
		}
	}
	if (read_field(progress, "after", &value) && value.type == jbvString &&
		dibs_ulid_is_valid(value.val.string.val, value.val.string.len))
	{
		memcpy(out->after, value.val.string.val, DIBS_ULID_LEN);
		out->after[DIBS_ULID_LEN] = '\0';
	}
}

static Jsonb *
write_progress(const Progress *p, bool finished)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text,
					 "{\"version\": %d, \"pass\": %d, \"done\": " INT64_FORMAT ", \"total\": " INT64_FORMAT
					 ", \"lost\": " INT64_FORMAT,
					 p->version, p->pass, p->done, p->total, p->lost);
	if (finished)
		appendStringInfoString(&text, ", \"finished\": true}");
	else
		appendStringInfo(&text, ", \"table\": \"%s\", \"after\": \"%s\"}", columns[p->column].table, p->after);
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data)));
}

static int64
count_older(int32 version)
{
	int64 n = 0;

	for (int i = 0; i < (int) lengthof(columns); i++)
	{
		Datum values[1] = {Int32GetDatum(version)};
		bool isnull;

		dibs_secrets_run(&columns[i].count, values, NULL, true);
		n += DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	return n;
}

static void
reseal_row(SealedColumn *column, HeapTuple tuple, TupleDesc desc, MemoryContext row_context, Progress *p)
{
	bool isnull;
	char *ulid = TextDatumGetCString(SPI_getbinval(tuple, desc, 1, &isnull));
	char *rest = TextDatumGetCString(SPI_getbinval(tuple, desc, 2, &isnull));
	bytea *sealed = DatumGetByteaPP(SPI_getbinval(tuple, desc, 3, &isnull));
	char *context = dibs_seal_context(column->table, column->column, psprintf("%s%s", ulid, rest));
	char *plain;
	Size len;
	Datum values[2];

	strlcpy(p->after, ulid, sizeof(p->after));
	if (dibs_unseal(column->purpose, context, VARDATA_ANY(sealed), VARSIZE_ANY_EXHDR(sealed), row_context, true, &plain,
					&len) != DIBS_UNSEAL_OK)
	{
		p->lost++;
		return;
	}
	values[0] = CStringGetTextDatum(ulid);
	values[1] = PointerGetDatum(dibs_seal(column->purpose, context, plain, len));
	dibs_secrets_run(&column->update, values, NULL, false);
	p->done++;
}

/* Seals up to max_rows of one table; returns how many it looked at. */
static int
batch(SealedColumn *column, int max_rows, Progress *p)
{
	Datum values[3];
	SPITupleTable *rows;
	int n;
	MemoryContext row_context;
	MemoryContext old;

	values[0] = Int32GetDatum(p->version);
	values[1] = CStringGetTextDatum(p->after);
	values[2] = Int32GetDatum(max_rows);
	dibs_secrets_run(&column->batch, values, NULL, false);
	rows = SPI_tuptable;
	n = (int) SPI_processed;
	row_context = AllocSetContextCreate(CurrentMemoryContext, "dibs rotation row", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < n; i++)
	{
		old = MemoryContextSwitchTo(row_context);
		reseal_row(column, rows->vals[i], rows->tupdesc, row_context, p);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextDelete(row_context);
	return n;
}

static void
begin_pass(Progress *p)
{
	p->pass++;
	p->column = 0;
	p->after[0] = '\0';
	p->lost = 0;
}

bool
dibs_rotate_step(int max_rows, const Jsonb *progress, Jsonb **next)
{
	MemoryContext result_context = CurrentMemoryContext;
	MemoryContext old;
	Progress p;
	int32 newest = (int32) dibs_keyring_newest();
	bool finished = false;

	SPI_connect();
	read_progress(progress, &p);
	/* A key that came after the job began: begin anew with that one. */
	if (p.version != newest)
	{
		memset(&p, 0, sizeof(p));
		p.version = newest;
		p.total = count_older(newest);
		begin_pass(&p);
	}
	while (max_rows > 0 && !finished)
	{
		max_rows -= batch(&columns[p.column], max_rows, &p);
		if (max_rows <= 0)
			break;
		p.after[0] = '\0';
		if (++p.column < (int) lengthof(columns))
			continue;
		p.column = 0;
		if (count_older(newest) <= p.lost || p.pass >= MAX_PASSES)
			finished = true;
		else
			begin_pass(&p);
	}
	old = MemoryContextSwitchTo(result_context);
	*next = write_progress(&p, finished);
	MemoryContextSwitchTo(old);
	SPI_finish();
	return finished;
}
