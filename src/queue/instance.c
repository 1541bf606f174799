/*
 * instance.c
 *		Which database this is, and whether it may act.
 */
#include "compat.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "guc.h"
#include "queue/instance.h"
#include "queue/plan.h"

static DibsStatement read_sql = {
	"SELECT \"instance\" = $1, \"site\" = $2, \"timeline\", \"cautiousSince\", \"quietUntil\" FROM dibs.\"Instance\"",
	2,
	{TEXTOID, TEXTOID},
	NULL};

static DibsStatement failover_sql = {
	"UPDATE dibs.\"Instance\" SET \"timeline\" = $2, \"cautiousSince\" = $3, \"quietUntil\" = $4, \"updatedAt\" = $3"
	" WHERE \"instance\" = $1",
	4,
	{TEXTOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID},
	NULL};

static DibsStatement record_sql = {
	"INSERT INTO dibs.\"Instance\" (\"instance\", \"site\", \"timeline\") VALUES ($1, $2, $3)"
	" ON CONFLICT ON CONSTRAINT \"Instance_pkey\" DO NOTHING",
	3,
	{TEXTOID, TEXTOID, INT4OID},
	NULL};

static DibsStatement recorded_sql = {"SELECT FROM dibs.\"Instance\" WHERE \"instance\" = $1", 1, {TEXTOID}, NULL};

const char *
dibs_instance(void)
{
	static char instance[48];
	static Oid database = InvalidOid;

	if (database != MyDatabaseId)
	{
		snprintf(instance, sizeof(instance), UINT64_FORMAT "/%u", GetSystemIdentifier(), MyDatabaseId);
		database = MyDatabaseId;
	}
	return instance;
}

PG_FUNCTION_INFO_V1(dibs_instance_id);

Datum
dibs_instance_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(dibs_instance()));
}

PG_FUNCTION_INFO_V1(dibs_current_timeline);

Datum
dibs_current_timeline(PG_FUNCTION_ARGS)
{
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION), errmsg("a standby has no timeline of its own")));
	PG_RETURN_INT32((int32) GetWALInsertionTimeLine());
}

static const char *
site(void)
{
	return dibs_site ? dibs_site : "";
}

const char *
dibs_instance_hold(DibsCaution *caution)
{
	Datum values[4];
	uint64 rows;
	bool other = false;
	bool other_site = false;
	int timeline = 0;

	values[0] = CStringGetTextDatum(dibs_instance());
	values[1] = CStringGetTextDatum(site());
	rows = dibs_execute(&read_sql, values, NULL, false, SPI_OK_SELECT);
	caution->since = caution->quiet_until = DT_NOBEGIN;
	for (uint64 row = 0; row < rows; row++)
	{
		if (!dibs_column_bool(row, 1))
			other = true;
		else
		{
			other_site = !dibs_column_bool(row, 2);
			timeline = dibs_column_int(row, 3);
			caution->since = dibs_column_time(row, 4);
			caution->quiet_until = dibs_column_time(row, 5);
		}
	}
	if (other)
		return "these rows came from another database; call dibs.adopt() to have this one act on them";
	if (other_site)
		return "dibs.site is not the recorded one: this is a clone; call dibs.adopt() to have it act";
	if (timeline != 0 && timeline != (int) GetWALInsertionTimeLine())
	{
		/*
		 * A failover, or a recovery to a point in time: the last claims may be lost, what they made is not. What the
		 * other server had sent may still be on its way, as long as a lease of its own would have lasted.
		 */
		caution->since = GetCurrentTimestamp();
		caution->quiet_until = TimestampTzPlusMilliseconds(caution->since,
														   (int64) dibs_request_timeout + 2 * dibs_lease_margin);
		values[1] = Int32GetDatum((int) GetWALInsertionTimeLine());
		values[2] = TimestampTzGetDatum(caution->since);
		values[3] = TimestampTzGetDatum(caution->quiet_until);
		(void) dibs_execute(&failover_sql, values, NULL, false, SPI_OK_UPDATE);
	}
	return NULL;
}

bool
dibs_instance_recorded(void)
{
	Datum values[1] = {CStringGetTextDatum(dibs_instance())};

	return dibs_execute(&recorded_sql, values, NULL, false, SPI_OK_SELECT) > 0;
}

void
dibs_instance_record(void)
{
	Datum values[3];

	values[0] = CStringGetTextDatum(dibs_instance());
	values[1] = CStringGetTextDatum(site());
	values[2] = Int32GetDatum((int) GetWALInsertionTimeLine());
	(void) dibs_execute(&record_sql, values, NULL, false, SPI_OK_INSERT);
}
