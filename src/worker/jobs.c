/*
 * jobs.c
 *		Runs "Job" rows a step at a time.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "booking/write_mode.h"
#include "meeting/resync.h"
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
	int again; /* minutes after which it is due once more; 0: it ends */
} kinds[] = {
	{"adopt", adopt_step, 0},
	{"resync", dibs_resync_step, 24 * 60},
};

static DibsStatement take_sql = {
	"SELECT j.\"ulid\", j.\"kind\", j.\"args\", j.\"progress\" FROM dibs.\"Job\" j"
	" WHERE j.\"state\" = 'waiting' AND j.\"dueAt\" <= now() AND j.\"instance\" = $1"
	" ORDER BY j.\"dueAt\" LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED",
	1,
	{TEXTOID},
	NULL};

/* $2 done, $3 progress, $4 error, $5 minutes to the next time: such a job never ends, it starts over then */
static DibsStatement write_sql = {
	"UPDATE dibs.\"Job\" SET \"state\" = CASE WHEN $4 IS NOT NULL THEN 'failed' WHEN $2 AND $5 = 0 THEN 'done' ELSE \"state\" END,"
	" \"progress\" = CASE WHEN $2 THEN $3 - 'part' - 'after' ELSE $3 END, \"error\" = $4,"
	" \"attempts\" = \"attempts\" + 1, \"updatedAt\" = now(),"
	" \"args\" = CASE WHEN $2 THEN '{}' ELSE \"args\" END,"
	" \"dueAt\" = CASE WHEN $2 THEN now() + make_interval(mins => $5) ELSE now() END,"
	" \"endedAt\" = CASE WHEN $2 OR $4 IS NOT NULL THEN now() END WHERE \"ulid\" = $1",
	5,
	{BPCHAROID, BOOLOID, JSONBOID, TEXTOID, INT4OID},
	NULL};

/* The jobs that always wait for their time, made when the worker first looks. */
static DibsStatement standing_sql = {
	"INSERT INTO dibs.\"Job\" (\"kind\") SELECT k FROM unnest($1) AS k"
	" WHERE NOT EXISTS (SELECT FROM dibs.\"Job\" j WHERE j.\"kind\" = k AND j.\"state\" = 'waiting')"
	" ON CONFLICT (\"kind\", \"key\") WHERE \"state\" = 'waiting' DO NOTHING",
	1,
	{TEXTARRAYOID},
	NULL};

void
dibs_start_standing_jobs(void)
{
	const char *names[lengthof(kinds)];
	Datum values[1];
	int n = 0;

	for (int i = 0; i < (int) lengthof(kinds); i++)
	{
		if (kinds[i].again > 0)
			names[n++] = kinds[i].kind;
	}
	values[0] = dibs_text_array(names, n);
	(void) dibs_execute(&standing_sql, values, NULL, false, SPI_OK_INSERT);
}

bool
dibs_run_job(void)
{
	Datum values[5];
	char nulls[6] = "   n ";
	char *ulid, *kind;
	Jsonb *args, *progress;
	DibsJobStep step = NULL;
	int again = 0;
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
		{
			step = kinds[i].step;
			again = kinds[i].again;
		}
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
	values[4] = Int32GetDatum(again);
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
