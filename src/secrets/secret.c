/*
 * secret.c
 *		Opens stored secrets for the rooms above.
 *
 * Each backend keeps the sealed rows that it read, never a plaintext, so that verifying a webhook costs no query: a
 * change of "Secret" throws them away (the table's trigger sends a relcache invalidation), and so does a minute's
 * time, for changes that no trigger saw.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "commands/trigger.h"
#include "errors.h"
#include "secrets/seal.h"
#include "secrets/secret.h"
#include "secrets/store.h"

/* What no trigger reports (a logical subscription, disabled triggers) is seen after this long. */
#define CACHE_SECONDS 60
/* "lastUsedAt" is for the operator's eye, not a counter. */
#define USED_SECONDS 3600

static const char *const known_names[] = {"cal.webhook_secret",
										  "cal.api_key",
										  "cal.client_id",
										  "cal.client_secret",
										  "cal.platform_client_id",
										  "cal.platform_client_secret",
										  "zoom.account_id",
										  "zoom.client_id",
										  "zoom.client_secret",
										  "zoom.oauth_client_id",
										  "zoom.oauth_client_secret",
										  "zoom.webhook_secret",
										  "zoom.sdk_key",
										  "zoom.sdk_secret",
										  "zoom.video_key",
										  "zoom.video_secret",
										  "calendly.webhook_secret",
										  "calendly.client_id",
										  "calendly.client_secret",
										  "calendly.token",
										  "daily.api_key",
										  "daily.webhook_secret",
										  "google.service_account",
										  "teams.tenant_id",
										  "teams.client_id",
										  "teams.client_secret",
										  "jitsi.app_id",
										  "jitsi.app_secret",
										  "jaas.app_id",
										  "jaas.private_key",
										  "jaas.webhook_secret"};

typedef struct SealedRow
{
	char *ulid;
	char *account;
	int generation;
	bytea *sealed;
	TimestampTz valid_until;
	TimestampTz last_used; /* 0: never */
} SealedRow;

typedef struct SealedName
{
	char *name;
	List *rows; /* SealedRow, newest first */
} SealedName;

static MemoryContext cache_context = NULL;
static List *cache = NIL;
static volatile bool cache_stale = true;
static Oid cache_table = InvalidOid;
static TimestampTz cache_since = 0;

static DibsSecretStatement live_rows = {
	"SELECT \"ulid\", \"account\", \"generation\", \"sealed\", \"validUntil\", \"lastUsedAt\" FROM dibs.\"Secret\" "
	"WHERE \"name\" OPERATOR(pg_catalog.=) $1 AND \"state\" OPERATOR(pg_catalog.=) 'live' "
	"ORDER BY \"createdAt\" DESC, \"generation\" DESC",
	1,
	{TEXTOID}};

/* A row that somebody else is just noting, or re-sealing, is left alone. */
static DibsSecretStatement note_used = {
	"UPDATE dibs.\"Secret\" SET \"lastUsedAt\" = $4 WHERE \"ulid\" OPERATOR(pg_catalog.=) ANY (ARRAY("
	"SELECT \"ulid\" FROM dibs.\"Secret\" WHERE \"name\" OPERATOR(pg_catalog.=) $1 "
	"AND \"account\" OPERATOR(pg_catalog.=) $2 AND \"generation\" OPERATOR(pg_catalog.=) $3 "
	"AND (\"lastUsedAt\" IS NULL OR \"lastUsedAt\" OPERATOR(pg_catalog.<) $5) FOR NO KEY UPDATE SKIP LOCKED))",
	5,
	{TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID}};

bool
dibs_secret_is_known(const char *name)
{
	for (int i = 0; i < (int) lengthof(known_names); i++)
	{
		if (strcmp(known_names[i], name) == 0)
			return true;
	}
	return false;
}

char *
dibs_secret_known_list(void)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < (int) lengthof(known_names); i++)
		appendStringInfo(&list, "%s%s", i == 0 ? "" : ", ", known_names[i]);
	return list.data;
}

static void
on_relcache_invalidation(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == cache_table)
		cache_stale = true;
}

/* Statement trigger on "Secret": every backend forgets what it read. */
PG_FUNCTION_INFO_V1(dibs_secret_changed);
Datum
dibs_secret_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("dibs.secret_changed() must be called as a trigger")));
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

static void
start_cache(Oid table)
{
	if (cache_context == NULL)
	{
		cache_context = AllocSetContextCreate(TopMemoryContext, "dibs sealed secrets", ALLOCSET_SMALL_SIZES);
		CacheRegisterRelcacheCallback(on_relcache_invalidation, (Datum) 0);
	}
	/* A query that locks no table has not heard what others committed since its transaction began. */
	AcceptInvalidationMessages();
	if (!cache_stale && cache_table == table &&
		!TimestampDifferenceExceeds(cache_since, GetCurrentTimestamp(), CACHE_SECONDS * 1000))
		return;
	MemoryContextReset(cache_context);
	cache = NIL;
	cache_table = table;
	cache_since = GetCurrentTimestamp();
	cache_stale = false;
}

static SealedRow *
copy_row(HeapTuple tuple, TupleDesc desc)
{
	SealedRow *row = palloc0(sizeof(SealedRow));
	Datum datum;
	bool isnull;

	row->ulid = TextDatumGetCString(SPI_getbinval(tuple, desc, 1, &isnull));
	row->account = TextDatumGetCString(SPI_getbinval(tuple, desc, 2, &isnull));
	row->generation = DatumGetInt32(SPI_getbinval(tuple, desc, 3, &isnull));
	row->sealed = DatumGetByteaPCopy(SPI_getbinval(tuple, desc, 4, &isnull));
	row->valid_until = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 5, &isnull));
	datum = SPI_getbinval(tuple, desc, 6, &isnull);
	row->last_used = isnull ? 0 : DatumGetTimestampTz(datum);
	return row;
}

/*
 * The rows of a name, from the cache or the table. An invalidation that comes in while the table is read marks the
 * cache stale again, so that the next call reads anew.
 */
static SealedName *
rows_of(const char *name)
{
	Oid table = dibs_secret_table();
	ListCell *lc;
	Datum values[1];
	SealedName *entry;
	MemoryContext old;

	if (!OidIsValid(table))
		ereport(ERROR, (errcode(DIBS_ERR_STATE), errmsg("this database has no table dibs.\"Secret\""),
						errhint("Secrets live where the extension made its tables.")));
	if (pg_class_aclcheck(table, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, "Secret");
	start_cache(table);
	foreach (lc, cache)
	{
		entry = lfirst(lc);
		if (strcmp(entry->name, name) == 0)
			return entry;
	}
	SPI_connect();
	values[0] = CStringGetTextDatum(name);
	dibs_secrets_run(&live_rows, values, NULL, true);
	old = MemoryContextSwitchTo(cache_context);
	entry = palloc0(sizeof(SealedName));
	entry->name = pstrdup(name);
	for (uint64 i = 0; i < SPI_processed; i++)
		entry->rows = lappend(entry->rows, copy_row(SPI_tuptable->vals[i], SPI_tuptable->tupdesc));
	cache = lappend(cache, entry);
	MemoryContextSwitchTo(old);
	SPI_finish();
	return entry;
}

static DibsUnsealResult
open_row(const char *name, const SealedRow *row, MemoryContext mcxt, bool noerror, DibsSecret *out)
{
	char *where = psprintf("%s/%s/%s", row->ulid, name, row->account);

	out->generation = row->generation;
	out->name = MemoryContextStrdup(mcxt, name);
	out->account = MemoryContextStrdup(mcxt, row->account);
	return dibs_unseal(DIBS_PURPOSE_SECRET, dibs_seal_context("Secret", "sealed", where), VARDATA(row->sealed),
					   VARSIZE(row->sealed) - VARHDRSZ, mcxt, noerror, &out->value, &out->len);
}

static SealedRow *
find_row(SealedName *entry, const char *account)
{
	TimestampTz now = GetCurrentTimestamp();
	ListCell *lc;

	foreach (lc, entry->rows)
	{
		SealedRow *row = lfirst(lc);

		if (row->valid_until > now && strcmp(row->account, account) == 0)
			return row;
	}
	return NULL;
}

bool
dibs_secret_get(const char *name, const char *account, MemoryContext mcxt, DibsSecret *out)
{
	SealedRow *row = find_row(rows_of(name), account);

	if (row == NULL)
		return false;
	open_row(name, row, mcxt, false, out);
	dibs_secret_used(out);
	return true;
}

void
dibs_secret_need(const char *name, const char *account, MemoryContext mcxt, DibsSecret *out)
{
	if (!dibs_secret_get(name, account, mcxt, out))
		ereport(ERROR, (errcode(DIBS_ERR_CONFIG), errmsg("the secret \"%s\" is not set", name),
						errhint("Set it with dibs.set_sealed_secret or dibs.set_secret_from_file.")));
}

List *
dibs_secret_live_quiet(const char *name, MemoryContext mcxt, bool *unreadable)
{
	TimestampTz now = GetCurrentTimestamp();
	SealedName *entry = rows_of(name);
	List *found = NIL;
	ListCell *lc;

	*unreadable = false;
	foreach (lc, entry->rows)
	{
		SealedRow *row = lfirst(lc);
		DibsSecret *secret;
		MemoryContext old;

		if (row->valid_until <= now)
			continue;
		secret = MemoryContextAllocZero(mcxt, sizeof(DibsSecret));
		if (open_row(name, row, mcxt, true, secret) != DIBS_UNSEAL_OK)
		{
			*unreadable = true;
			continue;
		}
		old = MemoryContextSwitchTo(mcxt);
		found = lappend(found, secret);
		MemoryContextSwitchTo(old);
	}
	return found;
}

void
dibs_secret_used(const DibsSecret *secret)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz before = now - USED_SECONDS * USECS_PER_SEC;
	Oid table = dibs_secret_table();
	SealedRow *row = NULL;
	ListCell *lc;
	Datum values[5];

	/* A snapshot that stays would make a change by somebody else an error. */
	if (XactReadOnly || IsInParallelMode() || IsolationUsesXactSnapshot() ||
		pg_class_aclcheck(table, GetUserId(), ACL_UPDATE) != ACLCHECK_OK)
		return;
	foreach (lc, rows_of(secret->name)->rows)
	{
		SealedRow *candidate = lfirst(lc);

		if (candidate->generation == secret->generation && strcmp(candidate->account, secret->account) == 0)
			row = candidate;
	}
	if (row == NULL || row->last_used > before)
		return;
	row->last_used = now;
	SPI_connect();
	values[0] = CStringGetTextDatum(secret->name);
	values[1] = CStringGetTextDatum(secret->account);
	values[2] = Int32GetDatum(secret->generation);
	values[3] = TimestampTzGetDatum(now);
	values[4] = TimestampTzGetDatum(before);
	dibs_secrets_run(&note_used, values, NULL, false);
	SPI_finish();
}
