/*
 * forgotten.c
 *		Whom dibs was told to forget: asked by what brings people in, and the jobs that forget.
 */
#include "compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "access/forgotten.h"
#include "queue/plan.h"

static DibsStatement any_sql = {"SELECT FROM dibs.\"Forgotten\" LIMIT 1", 0, {0}, NULL};

/* $1 address, $2 moment, $3 uid */
static DibsStatement person_sql = {
	"SELECT FROM dibs.\"Forgotten\" f WHERE f.\"hash\" = dibs.forgotten_hash('person', $1)"
	" AND (f.\"createdAt\" >= $2 OR EXISTS (SELECT FROM dibs.\"BookingUid\" u WHERE u.\"uid\" = $3"
	"  AND u.\"createdAt\" <= f.\"createdAt\"))",
	3,
	{TEXTOID, TIMESTAMPTZOID, TEXTOID},
	NULL};

static DibsStatement account_sql = {
	"SELECT FROM dibs.\"Forgotten\" f WHERE f.\"hash\" = dibs.forgotten_hash('account', $1)", 1, {TEXTOID}, NULL};

static DibsStatement person_step_sql = {
	"SELECT s.finished, s.next FROM dibs.forget_person_step($1, $2) s", 2, {JSONBOID, JSONBOID}, NULL};

static DibsStatement user_step_sql = {
	"SELECT s.finished, s.next FROM dibs.forget_user_step($1, $2) s", 2, {JSONBOID, JSONBOID}, NULL};

/* What was found last, until the table changes: its trigger has every backend called here. */
static bool known = false;
static bool anybody;
static Oid table = InvalidOid;

static void
on_relcache_invalidation(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == table)
		known = false;
}

bool
dibs_anybody_forgotten(void)
{
	static bool registered = false;
	Oid schema;

	if (known)
		return anybody;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(on_relcache_invalidation, (Datum) 0);
		registered = true;
	}
	schema = get_namespace_oid("dibs", true);
	table = OidIsValid(schema) ? get_relname_relid("Forgotten", schema) : InvalidOid;
	/* before the look: what changes during it is noticed */
	known = true;
	anybody = OidIsValid(table) && dibs_execute(&any_sql, NULL, NULL, true, SPI_OK_SELECT) > 0;
	return anybody;
}

bool
dibs_person_forgotten(const char *email, TimestampTz at, const char *uid)
{
	Datum values[3] = {CStringGetTextDatum(email), TimestampTzGetDatum(at), (Datum) 0};
	char nulls[] = "  n";

	if (uid != NULL)
	{
		values[2] = CStringGetTextDatum(uid);
		nulls[2] = ' ';
	}
	return dibs_execute(&person_sql, values, nulls, true, SPI_OK_SELECT) > 0;
}

bool
dibs_account_forgotten(const char *provider, const char *name)
{
	Datum values[1] = {CStringGetTextDatum(psprintf("%s:%s", provider, name))};

	return dibs_execute(&account_sql, values, NULL, true, SPI_OK_SELECT) > 0;
}

PG_FUNCTION_INFO_V1(dibs_forgotten_changed);

Datum
dibs_forgotten_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("dibs.forgotten_changed() must be called as a trigger")));
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

static bool
run_step(DibsStatement *statement, Jsonb *args, Jsonb **progress)
{
	Datum values[2] = {JsonbPGetDatum(args), JsonbPGetDatum(*progress)};
	bool isnull;

	(void) dibs_execute(statement, values, NULL, false, SPI_OK_SELECT);
	*progress = DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	return dibs_column_bool(0, 1);
}

bool
dibs_forget_person_step(Jsonb *args, Jsonb **progress)
{
	return run_step(&person_step_sql, args, progress);
}

bool
dibs_forget_user_step(Jsonb *args, Jsonb **progress)
{
	return run_step(&user_step_sql, args, progress);
}
