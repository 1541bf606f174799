/*
 * runs.c
 *		The runs of a booking's meeting: "MeetingSession".
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "meeting/life.h"
#include "queue/plan.h"

/* Who comes first is told to have come a moment before the meeting began. */
#define BEGIN_SLACK (60 * USECS_PER_SEC)

static DibsStatement select_runs = {
	"SELECT s.\"ulid\", s.\"externalUuid\", s.\"startedAt\", s.\"endedAt\", s.\"seenAt\", s.\"recordingState\","
	" s.\"recordingAt\" FROM dibs.\"MeetingSession\" s WHERE s.\"bookingUlid\" = $1 AND s.\"userUlid\" = $2",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

/* A run of a booking that was taken away from its coach, and came back, is there already and belongs to none. */
static DibsStatement insert_run = {
	"INSERT INTO dibs.\"MeetingSession\" AS s (\"ulid\", \"userUlid\", \"startedAt\", \"endedAt\", \"seenAt\", \"recordingState\","
	" \"recordingAt\", \"bookingUlid\", \"meetingUlid\", \"provider\", \"externalId\", \"externalUuid\")"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
	" ON CONFLICT ON CONSTRAINT \"MeetingSession_externalUuid_key\" DO UPDATE SET \"bookingUlid\" = excluded.\"bookingUlid\","
	"  \"meetingUlid\" = excluded.\"meetingUlid\", \"startedAt\" = coalesce(s.\"startedAt\", excluded.\"startedAt\"),"
	"  \"endedAt\" = coalesce(s.\"endedAt\", excluded.\"endedAt\"), \"seenAt\" = least(s.\"seenAt\", excluded.\"seenAt\")"
	"  WHERE s.\"bookingUlid\" IS NULL"
	" RETURNING \"ulid\"",
	12,
	{BPCHAROID, BPCHAROID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID, BPCHAROID,
	 BPCHAROID, TEXTOID, TEXTOID, TEXTOID},
	NULL};

static DibsStatement update_run = {
	"UPDATE dibs.\"MeetingSession\" SET \"startedAt\" = $3, \"endedAt\" = $4, \"seenAt\" = $5, \"recordingState\" = $6,"
	" \"recordingAt\" = $7 WHERE \"ulid\" = $1 AND \"userUlid\" = $2",
	7,
	{BPCHAROID, BPCHAROID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID},
	NULL};

void
dibs_runs_read(DibsLife *life)
{
	Datum values[2] = {CStringGetTextDatum(life->booking), CStringGetTextDatum(life->user)};
	uint64 rows = dibs_execute(&select_runs, values, NULL, false, SPI_OK_SELECT);

	/* room for the one that an event may add */
	life->runs = palloc0((rows + 1) * sizeof(DibsRun *));
	for (uint64 i = 0; i < rows; i++)
	{
		DibsRun *run = palloc0(sizeof(DibsRun));

		strlcpy(run->ulid, dibs_column(i, 1), sizeof(run->ulid));
		run->name = dibs_column(i, 2);
		run->started_at = dibs_column_time(i, 3);
		run->ended_at = dibs_column_time(i, 4);
		run->seen_at = dibs_column_time(i, 5);
		run->recording_state = dibs_column(i, 6);
		run->recording_at = dibs_column_time(i, 7);
		life->runs[life->n_runs++] = run;
	}
	SPI_freetuptable(SPI_tuptable);
}

DibsRun *
dibs_life_run(DibsLife *life, const char *name)
{
	DibsRun *run;

	for (int i = 0; i < life->n_runs; i++)
	{
		if (strcmp(life->runs[i]->name, name) == 0)
			return life->runs[i];
	}
	run = palloc0(sizeof(DibsRun));
	if (!dibs_ulid_generate(run->ulid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes for an identifier")));
	run->name = pstrdup(name);
	run->is_new = run->dirty = true;
	life->runs[life->n_runs++] = run;
	return run;
}

bool
dibs_life_note(DibsLife *life, DibsRun *run, TimestampTz *known, TimestampTz at)
{
	bool news = *known == 0;

	if (news || at < *known)
	{
		*known = at;
		run->dirty = true;
	}
	life->changed |= news;
	return news;
}

TimestampTz
dibs_run_begin(const DibsRun *run)
{
	return run->started_at != 0 ? run->started_at : run->seen_at;
}

static int
by_begin(const void *a, const void *b)
{
	const DibsRun *x = *(DibsRun *const *) a;
	const DibsRun *y = *(DibsRun *const *) b;

	if (dibs_run_begin(x) != dibs_run_begin(y))
		return dibs_run_begin(x) < dibs_run_begin(y) ? -1 : 1;
	return strcmp(x->name, y->name);
}

void
dibs_runs_derive(DibsLife *life)
{
	qsort(life->runs, life->n_runs, sizeof(DibsRun *), by_begin);
	for (int i = 0; i < life->n_runs; i++)
	{
		DibsRun *run = life->runs[i];

		run->end = run->ended_at;
		if (run->end == 0 && dibs_run_begin(run) != 0 && i + 1 < life->n_runs)
			run->end = dibs_run_begin(life->runs[i + 1]);
	}
}

TimestampTz
dibs_life_end_at(const DibsLife *life, TimestampTz at)
{
	const DibsRun *ran = NULL;

	for (int i = 0; i < life->n_runs; i++)
	{
		const DibsRun *run = life->runs[i];

		if (dibs_run_begin(run) == 0)
			continue;
		if (dibs_run_begin(run) <= at)
			ran = run;
		else if ((ran == NULL || (ran->end != 0 && ran->end < at)) && dibs_run_begin(run) - at <= BEGIN_SLACK)
			return run->end;
	}
	return ran == NULL || ran->end < at ? 0 : ran->end;
}

static void
insert_new_run(DibsLife *life, DibsRun *run, Datum *values, const char *nulls)
{
	const char *ulid;

	if (dibs_execute(&insert_run, values, nulls, false, SPI_OK_INSERT_RETURNING) == 0)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("another transaction was quicker to write a meeting's run")));
	ulid = dibs_column(0, 1);
	for (int i = 0; i < life->n_presences; i++)
	{
		if (strcmp(life->presences[i]->run, run->ulid) == 0)
			strlcpy(life->presences[i]->run, ulid, sizeof(life->presences[i]->run));
	}
	strlcpy(run->ulid, ulid, sizeof(run->ulid));
}

void
dibs_runs_write(DibsLife *life)
{
	for (int i = 0; i < life->n_runs; i++)
	{
		DibsRun *run = life->runs[i];
		Datum values[12];
		char nulls[12];

		if (!run->dirty)
			continue;
		dibs_set_text(values, nulls, 0, run->ulid);
		dibs_set_text(values, nulls, 1, life->user);
		dibs_set_time(values, nulls, 2, run->started_at);
		dibs_set_time(values, nulls, 3, run->ended_at);
		dibs_set_time(values, nulls, 4, run->seen_at);
		dibs_set_text(values, nulls, 5, run->recording_state);
		dibs_set_time(values, nulls, 6, run->recording_at);
		dibs_set_text(values, nulls, 7, life->booking);
		dibs_set_text(values, nulls, 8, life->meeting);
		dibs_set_text(values, nulls, 9, life->provider);
		dibs_set_text(values, nulls, 10, life->external_id);
		dibs_set_text(values, nulls, 11, run->name);
		if (run->is_new)
			insert_new_run(life, run, values, nulls);
		else
			(void) dibs_execute(&update_run, values, nulls, false, SPI_OK_UPDATE);
	}
}
