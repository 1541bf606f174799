/*
 * jobs.c
 *		Runs "Job" rows a step at a time.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "access/forgotten.h"
#include "account/calls.h"
#include "booking/write_mode.h"
#include "calendar/cal_job.h"
#include "meeting/recording_link.h"
#include "meeting/registrants.h"
#include "meeting/resync.h"
#include "queue/attempt.h"
#include "queue/instance.h"
#include "queue/plan.h"
#include "secrets/rotate.h"
#include "webhook/retention.h"
#include "worker/jobs.h"

/* Rows that one step of a job on a big table rewrites. */
#define ADOPT_ROWS 1000
#define ROTATE_ROWS 500
/* A step that failed is tried again after this, doubled each time up to the second; after so many tries the job fails.
 */
#define RETRY_MIN_S 10
#define RETRY_MAX_S 3600
#define MAX_FAILURES 20

static bool adopt_step(Jsonb *args, Jsonb **progress);
static bool rotate_step(Jsonb *args, Jsonb **progress);

/* Every kind of job and who does it. */
static const struct
{
	const char *kind;
	DibsJobStep step;
	int again; /* minutes after which it is due once more; 0: it ends */
} kinds[] = {
	{"adopt", adopt_step, 0},
	{"cal_schedule", dibs_cal_schedule_step, 10},
	{"forget_audit", dibs_forget_audit_step, 60},
	{"forget_payloads", dibs_forget_payloads_step, 60},
	{"forget_person", dibs_forget_person_step, 0},
	{"forget_user", dibs_forget_user_step, 0},
	{"replay_webhooks", dibs_replay_step, 0},
	{"resync", dibs_resync_step, 24 * 60},
	{"rotate_master_key", rotate_step, 0},
};

/* Every kind of job that calls a provider; worker/calls.c drives these. */
static const DibsCallKind *const call_kinds[] = {
	&dibs_cal_change_job,
	&dibs_cal_event_types_job,
	&dibs_cal_key_job,
	&dibs_cal_managed_job,
	&dibs_cal_read_job,
	&dibs_cal_sync_job,
	&dibs_cal_webhook_job,
	&dibs_exchange_call,
	&dibs_recording_link_kind,
	&dibs_refresh_call,
	&dibs_registrant_kind,
	&dibs_revoke_call,
	NULL,
};

static DibsStatement take_sql = {
	"SELECT j.\"ulid\", j.\"kind\", j.\"args\", j.\"progress\", j.\"attempts\" FROM dibs.\"Job\" j"
	" WHERE j.\"state\" = 'waiting' AND j.\"dueAt\" <= now() AND j.\"instance\" = $1"
	" AND j.\"kind\" <> ALL ($2) ORDER BY j.\"dueAt\" LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED",
	2,
	{TEXTOID, TEXTARRAYOID},
	NULL};

/* $2 done, $3 progress (wait: seconds to the next step), $4 minutes to the next time: such a job starts over then */
static DibsStatement write_sql = {
	"UPDATE dibs.\"Job\" SET \"state\" = CASE WHEN $2 AND $4 = 0 THEN 'done' ELSE \"state\" END,"
	" \"progress\" = CASE WHEN $2 THEN $3 - 'part' - 'after' - 'wait' ELSE $3 END, \"error\" = NULL, \"errorCode\" = NULL,"
	" \"attempts\" = 0, \"updatedAt\" = now(), \"args\" = CASE WHEN $2 THEN '{}' ELSE \"args\" END,"
	" \"dueAt\" = CASE WHEN $2 THEN now() + make_interval(mins => $4)"
	" ELSE now() + make_interval(secs => coalesce(($3->>'wait')::float8, 0)) END,"
	" \"endedAt\" = CASE WHEN $2 THEN now() END WHERE \"ulid\" = $1",
	4,
	{BPCHAROID, BOOLOID, JSONBOID, INT4OID},
	NULL};

/* $2 error, $3 its SQLSTATE, $4 final, $5 seconds to the next try */
static DibsStatement failed_sql = {
	"UPDATE dibs.\"Job\" SET \"state\" = CASE WHEN $4 THEN 'failed' ELSE \"state\" END, \"error\" = $2, \"errorCode\" = $3,"
	" \"attempts\" = \"attempts\" + 1, \"updatedAt\" = now(), \"dueAt\" = now() + make_interval(secs => $5),"
	" \"endedAt\" = CASE WHEN $4 THEN now() END WHERE \"ulid\" = $1",
	5,
	{BPCHAROID, TEXTOID, TEXTOID, BOOLOID, FLOAT8OID},
	NULL};

/* The jobs that always wait for their time, made when the worker first looks. */
static DibsStatement standing_sql = {
	"INSERT INTO dibs.\"Job\" (\"kind\") SELECT k FROM unnest($1) AS k"
	" WHERE NOT EXISTS (SELECT FROM dibs.\"Job\" j WHERE j.\"kind\" = k AND j.\"state\" = 'waiting')"
	" ON CONFLICT (\"kind\", \"key\") WHERE \"state\" = 'waiting' DO NOTHING",
	1,
	{TEXTARRAYOID},
	NULL};

const DibsCallKind *
dibs_call_kind(const char *name)
{
	for (int i = 0; call_kinds[i] != NULL; i++)
	{
		if (strcmp(call_kinds[i]->name, name) == 0)
			return call_kinds[i];
	}
	return NULL;
}

Datum
dibs_call_kind_names(void)
{
	const char *names[lengthof(call_kinds)] = {NULL};
	int n = 0;

	for (; call_kinds[n] != NULL; n++)
		names[n] = call_kinds[n]->name;
	return dibs_text_array(names, n);
}

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

typedef struct Try
{
	DibsJobStep step;
	Jsonb *args;
	Jsonb **progress;
	bool *done;
} Try;

static bool
run_step(void *arg)
{
	Try *try = arg;

	*try->done = try->step(try->args, try->progress);
	return true;
}

/* What goes wrong in the step is the job's, not the worker's. NULL, or the error. */
static ErrorData *
try_step(DibsJobStep step, Jsonb *args, Jsonb **progress, bool *done)
{
	Try try = {step, args, progress, done};

	return dibs_attempt(run_step, &try);
}

bool
dibs_run_job(void)
{
	Datum values[5];
	char *ulid, *kind;
	Jsonb *args, *progress;
	int attempts;
	DibsJobStep step = NULL;
	int again = 0;
	bool isnull;
	bool done = false;
	ErrorData *error;

	values[0] = CStringGetTextDatum(dibs_instance());
	values[1] = dibs_call_kind_names();
	if (dibs_execute(&take_sql, values, NULL, false, SPI_OK_SELECT) == 0)
		return false;
	ulid = dibs_column(0, 1);
	kind = dibs_column(0, 2);
	args = DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull));
	progress = DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4, &isnull));
	attempts = dibs_column_int(0, 5);
	for (int i = 0; i < (int) lengthof(kinds); i++)
	{
		if (strcmp(kinds[i].kind, kind) == 0)
		{
			step = kinds[i].step;
			again = kinds[i].again;
		}
	}
	values[0] = CStringGetTextDatum(ulid);
	if (step == NULL)
	{
		/* a newer version's job: it is left for the library that knows it */
		values[1] = CStringGetTextDatum(psprintf("this version of dibs has no job of the kind \"%s\"", kind));
		values[2] = CStringGetTextDatum(unpack_sql_state(ERRCODE_UNDEFINED_OBJECT));
		values[3] = BoolGetDatum(false);
		values[4] = Float8GetDatum(RETRY_MAX_S);
		(void) dibs_execute(&failed_sql, values, NULL, false, SPI_OK_UPDATE);
		return true;
	}
	error = try_step(step, args, &progress, &done);
	if (error != NULL)
	{
		ereport(LOG, (errcode(error->sqlerrcode), errmsg("the job %s failed: %s", kind, error->message)));
		values[1] = CStringGetTextDatum(error->message);
		values[2] = CStringGetTextDatum(unpack_sql_state(error->sqlerrcode));
		values[3] = BoolGetDatum(again == 0 && attempts + 1 >= MAX_FAILURES);
		values[4] = Float8GetDatum(Min((double) RETRY_MIN_S * (1 << Min(attempts, 12)), RETRY_MAX_S));
		(void) dibs_execute(&failed_sql, values, NULL, false, SPI_OK_UPDATE);
		return true;
	}
	values[1] = BoolGetDatum(done);
	values[2] = JsonbPGetDatum(progress);
	values[3] = Int32GetDatum(again);
	(void) dibs_execute(&write_sql, values, NULL, false, SPI_OK_UPDATE);
	return true;
}

static bool
rotate_step(Jsonb *args, Jsonb **progress)
{
	return dibs_rotate_step(ROTATE_ROWS, *progress, progress);
}

/*
 * The tables that carry "instance", restamped one after the other, bookings last: nothing is claimed while their
 * meetings still belong to the other database. $1 instance, $2 where the last batch ended, $3 how many.
 */
#define ADOPT_SQL(table)                                                                                                  \
	{                                                                                                                     \
		"WITH batch AS MATERIALIZED (SELECT \"ulid\" FROM dibs.\"" table                                                  \
		"\" WHERE \"ulid\" > $2 ORDER BY \"ulid\" LIMIT $3),"                                                             \
		"taken AS (UPDATE dibs.\"" table "\" t SET \"instance\" = $1 FROM batch"                                          \
		"  WHERE t.\"ulid\" = batch.\"ulid\" AND t.\"instance\" <> $1 RETURNING 1)"                                       \
		"SELECT (SELECT max(\"ulid\") FROM batch), (SELECT count(*) FROM batch)::int, (SELECT count(*) FROM taken)::int", \
			3, {TEXTOID, BPCHAROID, INT4OID}, NULL                                                                        \
	}

/* Not "Event": its order is (instance, xid), and another instance's transaction ids mean nothing here. */
static DibsStatement adopt_sql[] = {ADOPT_SQL("Meeting"), ADOPT_SQL("Job"), ADOPT_SQL("WebhookEvent"),
									ADOPT_SQL("PendingMeeting"), ADOPT_SQL("CalBooking")};

static DibsStatement adopt_progress_sql = {
	"SELECT coalesce(($1->>'part')::int, 0), coalesce($1->>'after', '')", 1, {JSONBOID}, NULL};

static DibsStatement adopt_next_sql = {
	"SELECT jsonb_build_object('part', $2, 'after', $3, 'rows', coalesce(($1->>'rows')::bigint, 0) + $4)",
	4,
	{JSONBOID, INT4OID, TEXTOID, INT4OID},
	NULL};

static bool
adopt_step(Jsonb *args, Jsonb **progress)
{
	Datum values[4];
	int part, seen, taken;
	char *end;
	bool isnull;

	values[0] = JsonbPGetDatum(*progress);
	(void) dibs_execute(&adopt_progress_sql, values, NULL, true, SPI_OK_SELECT);
	part = dibs_column_int(0, 1);
	values[1] = CStringGetTextDatum(dibs_column(0, 2));
	if (part >= (int) lengthof(adopt_sql))
		return true;

	values[0] = CStringGetTextDatum(dibs_instance());
	values[2] = Int32GetDatum(ADOPT_ROWS);
	dibs_set_write_mode(DIBS_WRITE_SETTLE);
	(void) dibs_execute(&adopt_sql[part], values, NULL, false, SPI_OK_SELECT);
	dibs_set_write_mode(DIBS_WRITE_DIRECT);
	end = dibs_column(0, 1);
	seen = dibs_column_int(0, 2);
	taken = dibs_column_int(0, 3);

	/* a table is done when a batch comes back short; the next one starts from its beginning */
	values[0] = JsonbPGetDatum(*progress);
	values[1] = Int32GetDatum(seen < ADOPT_ROWS ? part + 1 : part);
	values[2] = CStringGetTextDatum(seen < ADOPT_ROWS || end == NULL ? "" : end);
	values[3] = Int32GetDatum(taken);
	(void) dibs_execute(&adopt_next_sql, values, NULL, true, SPI_OK_SELECT);
	*progress = DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	return seen < ADOPT_ROWS && part + 1 >= (int) lengthof(adopt_sql);
}
