/*
 * jobs.c
 *		Runs "Job" rows a step at a time.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "booking/write_mode.h"
#include "guc.h"
#include "queue/instance.h"
#include "queue/plan.h"
#include "worker/jobs.h"

/* Rows that one step of a job on a big table rewrites. */
#define ADOPT_ROWS 1000

static bool adopt_step(Jsonb *args, Jsonb **progress);

/* Every kind of job and who does it. */
static const struct
{
	const char *kind;
	DibsJobStep step;
} kinds[] = {
	{"adopt", adopt_step},
};

static DibsStatement take_sql = {
	"SELECT j.\"ulid\", j.\"kind\", j.\"args\", j.\"progress\" FROM dibs.\"Job\" j"
	" WHERE j.\"state\" = 'waiting' AND j.\"dueAt\" <= now() AND j.\"instance\" = $1"
	" ORDER BY j.\"dueAt\" LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED",
	1,
	{TEXTOID},
	NULL};

/* $2 done, $3 progress, $4 error */
static DibsStatement write_sql = {
	"UPDATE dibs.\"Job\" SET \"state\" = CASE WHEN $4 IS NOT NULL THEN 'failed' WHEN $2 THEN 'done' ELSE \"state\" END,"
	" \"progress\" = $3, \"error\" = $4, \"attempts\" = \"attempts\" + 1, \"dueAt\" = now(), \"updatedAt\" = now(),"
	" \"endedAt\" = CASE WHEN $2 OR $4 IS NOT NULL THEN now() END WHERE \"ulid\" = $1",
	4,
	{BPCHAROID, BOOLOID, JSONBOID, TEXTOID},
	NULL};

bool
dibs_run_job(void)
{
	Datum values[4];
	char nulls[5] = "   n";
	char *ulid, *kind;
	Jsonb *args, *progress;
	DibsJobStep step = NULL;
	bool isnull;

	values[0] = CStringGetTextDatum(dibs_instance());
	if (dibs_execute(&take_sql, values, NULL, false, SPI_OK_SELECT) == 0)
		return false;
	ulid = dibs_column(0, 1);
	kind = dibs_column(0, 2);
	args = DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull));
	progress = DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4, &isnull));
	for (int i = 0; i < (int) lengthof(kinds); i++)
	{
		if (strcmp(kinds[i].kind, kind) == 0)
			step = kinds[i].step;
	}
	values[0] = CStringGetTextDatum(ulid);
	values[1] = BoolGetDatum(false);
	if (step == NULL)
	{
		nulls[3] = ' ';
		values[3] = CStringGetTextDatum(psprintf("there is no job of the kind \"%s\"", kind));
	}
	else
		values[1] = BoolGetDatum(step(args, &progress));
	values[2] = JsonbPGetDatum(progress);
	(void) dibs_execute(&write_sql, values, nulls, false, SPI_OK_UPDATE);
	return true;
}

/* The tables that carry "instance", restamped one after the other. */
static const char *const stamped_tables[] = {"Meeting", "Event", "Job", "WebhookEvent", "PendingMeeting", "CalBooking"};

static bool
adopt_step(Jsonb *args, Jsonb **progress)
{
	int64 changed = 0;
	Datum values[2];
	Oid types[2] = {TEXTOID, INT4OID};

	/* bookings come last: nothing is claimed while their meetings still belong to the other database */
	for (int i = 0; i < (int) lengthof(stamped_tables) && changed == 0; i++)
	{
		char *sql = psprintf("UPDATE dibs.\"%s\" t SET \"instance\" = $1 FROM (SELECT ctid FROM dibs.\"%s\""
							 " WHERE \"instance\" <> $1 LIMIT $2 FOR NO KEY UPDATE) s WHERE t.ctid = s.ctid",
							 stamped_tables[i], stamped_tables[i]);

		values[0] = CStringGetTextDatum(dibs_instance());
		values[1] = Int32GetDatum(ADOPT_ROWS);
		dibs_set_write_mode(DIBS_WRITE_SETTLE);
		if (SPI_execute_with_args(sql, 2, types, values, NULL, false, 0) != SPI_OK_UPDATE)
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not adopt rows of \"%s\"", stamped_tables[i])));
		dibs_set_write_mode(DIBS_WRITE_DIRECT);
		changed = (int64) SPI_processed;
	}
	/* how many were done so far, for job_progress */
	values[0] = JsonbPGetDatum(*progress);
	values[1] = Int64GetDatum(changed);
	{
		Oid progress_types[2] = {JSONBOID, INT8OID};
		bool isnull;

		if (SPI_execute_with_args("SELECT jsonb_build_object('rows', coalesce(($1->>'rows')::bigint, 0) + $2)", 2,
								  progress_types, values, NULL, false, 1) == SPI_OK_SELECT)
			*progress = DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	return changed == 0;
}
