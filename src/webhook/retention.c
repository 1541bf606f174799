/*
 * retention.c
 *		Jobs on kept events and on the audit log, a batch at a time.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "queue/plan.h"
#include "queue/wake.h"
#include "webhook/retention.h"

/* Rows that one step rewrites: a transaction of a second at most. */
#define BATCH 1000

static DibsStatement payloads_sql = {"SELECT dibs.forget_payloads($1)::int", 1, {INT4OID}, NULL};
static DibsStatement audit_sql = {"SELECT dibs.forget_audit($1)::int", 1, {INT4OID}, NULL};

static bool
forget(DibsStatement *statement)
{
	Datum values[1] = {Int32GetDatum(BATCH)};

	(void) dibs_execute(statement, values, NULL, false, SPI_OK_SELECT);
	return dibs_column_int(0, 1) < BATCH;
}

bool
dibs_forget_payloads_step(Jsonb *args, Jsonb **progress)
{
	return forget(&payloads_sql);
}

bool
dibs_forget_audit_step(Jsonb *args, Jsonb **progress)
{
	return forget(&audit_sql);
}

/* $1 args, $2 progress, $3 how many. In the order of receipt; gives the progress, and how many there were. */
static DibsStatement replay_sql = {
	"WITH batch AS MATERIALIZED (SELECT e.\"ulid\", e.\"createdAt\", e.\"source\" FROM dibs.\"WebhookEvent\" e"
	"  WHERE e.\"payload\" IS NOT NULL"
	"  AND e.\"createdAt\" >= coalesce(($2->>'at')::timestamptz, ($1->>'since')::timestamptz)"
	"  AND (e.\"createdAt\", e.\"ulid\") > (coalesce(($2->>'at')::timestamptz, '-infinity'), coalesce($2->>'after', '')::char(26))"
	"  AND e.\"createdAt\" <= ($1->>'until')::timestamptz"
	"  ORDER BY e.\"createdAt\", e.\"ulid\" LIMIT $3),"
	"queued AS (UPDATE dibs.\"WebhookEvent\" e SET \"outcome\" = 'queued', \"dueAt\" = now(), \"attempts\" = 0,"
	"  \"processed\" = false FROM batch b WHERE e.\"ulid\" = b.\"ulid\" AND e.\"payload\" IS NOT NULL"
	"  AND ($1->>'source' IS NULL OR b.\"source\" = $1->>'source') RETURNING 1),"
	"last AS (SELECT b.\"createdAt\", b.\"ulid\" FROM batch b ORDER BY b.\"createdAt\" DESC, b.\"ulid\" DESC LIMIT 1)"
	"SELECT $2 || coalesce((SELECT jsonb_build_object('at', l.\"createdAt\", 'after', l.\"ulid\") FROM last l), '{}')"
	"  || jsonb_build_object('rows', coalesce(($2->>'rows')::bigint, 0) + (SELECT count(*) FROM queued)),"
	"  (SELECT count(*) FROM batch)::int",
	3,
	{JSONBOID, JSONBOID, INT4OID},
	NULL};

bool
dibs_replay_step(Jsonb *args, Jsonb **progress)
{
	Datum values[3] = {JsonbPGetDatum(args), JsonbPGetDatum(*progress), Int32GetDatum(BATCH)};
	bool isnull;

	(void) dibs_execute(&replay_sql, values, NULL, false, SPI_OK_SELECT);
	*progress = DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	dibs_wake_at_commit();
	return dibs_column_int(0, 2) < BATCH;
}
