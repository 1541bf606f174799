/*
 * cal_sync.c
 *		Keeps an account's bookings in step with Cal.com: what webhooks did not bring, and what sends none.
 *
 * A run has up to three passes, each a list that is walked by the value it is sorted by, so that bookings that change
 * meanwhile shift nothing out of sight, and so that a crash costs one page:
 *
 * - "updated": everything that has changed since the watermark, less an overlap. The first run is the backfill.
 * - "seats": sessions with seats from yesterday on, because a seat that is given up changes no session's updatedAt.
 * - "recent": what has taken place since the last run, because who did not come changes no updatedAt either.
 *
 * Every page is a step of the job: asked with no transaction open, then applied in one with the progress. All is
 * decided by booking.c, as for webhooks.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "booking/row.h"
#include "calendar/cal_job.h"
#include "calendar/cal_read.h"
#include "core/iso8601.h"
#include "core/jsonread.h"
#include "guc.h"
#include "queue/plan.h"

#define PAGE 250
#define SMALLEST_PAGE 10
/* Cal.com's own clock and its commits may be so far apart: what changed just before the watermark is asked for again.
 */
#define OVERLAP (2 * USECS_PER_MINUTE)
#define SESSIONS_FROM (USECS_PER_DAY)
#define RECENT_FROM (2 * USECS_PER_DAY)
/* Replaced bookings whose successor has not come by yet. */
#define MAX_LINKS 500
/* What an account whose sync fails for good (no key, no scope) waits. */
#define FAILED_MINUTES 15
/* Nothing at Cal.com is older. */
#define BEGINNING "2001-01-01T00:00:00.000Z"

typedef enum Pass
{
	PASS_UPDATED,
	PASS_SEATS,
	PASS_RECENT,
	PASS_NONE,
} Pass;

static const char *const pass_names[] = {"updated", "seats", "recent", "none"};

/* A booking that was rescheduled, and what was before it. */
typedef struct Link
{
	char *uid;
	char *previous;
} Link;

typedef struct Sync
{
	DibsCalAnswer answer;
	char *event_types; /* of sessions with seats */

	/* kept in the job's progress */
	Pass pass;
	TimestampTz watermark; /* every change up to it has been applied */
	TimestampTz cursor;    /* where this pass stands: an updatedAt or a start */
	int skip;              /* more than a page with one and the same value */
	int take;
	TimestampTz began_as_of; /* by Cal.com's clock, when this run began */
	TimestampTz last_as_of;  /* when the last complete one did */
	TimestampTz last_done;   /* by ours, when it was complete */
	char *request;           /* the wish that was last heeded */
	int64 pages;
	int64 read;
	int64 changed;
	int64 unmatched;
	int64 skipped;
	int64 failed;
	List *links;
} Sync;

static int64
counted(const JsonbContainer *object, const char *key)
{
	int64 number = 0;

	(void) dibs_json_int64(object, key, 0, PG_INT64_MAX, &number);
	return number;
}

static void
read_links(Sync *sync, const JsonbContainer *progress)
{
	JsonbContainer *links = dibs_json_array(progress, "links");

	for (uint32 i = 0; links != NULL && i < JsonContainerSize(links); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(links, i);
		Link *link = palloc0(sizeof(Link));

		if (item->type != jbvBinary)
			continue;
		link->uid = dibs_json_text(item->val.binary.data, "uid");
		link->previous = dibs_json_text(item->val.binary.data, "previous");
		if (link->uid != NULL && link->previous != NULL)
			sync->links = lappend(sync->links, link);
	}
}

static Sync *
read_progress(const Jsonb *from)
{
	const JsonbContainer *progress = &from->root;
	char *pass = dibs_json_text(progress, "pass");
	Sync *sync = palloc0(sizeof(Sync));

	sync->pass = PASS_NONE;
	for (int i = 0; pass != NULL && i < PASS_NONE; i++)
	{
		if (strcmp(pass, pass_names[i]) == 0)
			sync->pass = (Pass) i;
	}
	sync->watermark = dibs_cal_instant(progress, "watermark");
	sync->cursor = dibs_cal_instant(progress, "cursor");
	sync->skip = (int) counted(progress, "skip");
	sync->take = (int) counted(progress, "take");
	if (sync->take < SMALLEST_PAGE || sync->take > PAGE)
		sync->take = PAGE;
	sync->began_as_of = dibs_cal_instant(progress, "beganAsOf");
	sync->last_as_of = dibs_cal_instant(progress, "asOf");
	sync->last_done = dibs_cal_instant(progress, "lastSync");
	sync->request = dibs_json_text(progress, "request");
	sync->pages = counted(progress, "pages");
	sync->read = counted(progress, "read");
	sync->changed = counted(progress, "changed");
	sync->unmatched = counted(progress, "unmatched");
	sync->skipped = counted(progress, "skipped");
	sync->failed = counted(progress, "failed");
	read_links(sync, progress);
	return sync;
}

static void
put_count(DibsJson *json, const char *key, int64 number)
{
	dibs_json_key(json, key);
	dibs_json_put_int(json, number);
}

static Jsonb *
write_progress(const Sync *sync)
{
	DibsJson json = {0};
	ListCell *lc;

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "pass", pass_names[sync->pass]);
	dibs_cal_put_time(&json, "watermark", sync->watermark);
	dibs_cal_put_time(&json, "cursor", sync->cursor);
	put_count(&json, "skip", sync->skip);
	put_count(&json, "take", sync->take);
	dibs_cal_put_time(&json, "beganAsOf", sync->began_as_of);
	dibs_cal_put_time(&json, "asOf", sync->last_as_of);
	dibs_cal_put_time(&json, "lastSync", sync->last_done);
	dibs_json_optional_member(&json, "request", sync->request);
	put_count(&json, "pages", sync->pages);
	put_count(&json, "read", sync->read);
	put_count(&json, "changed", sync->changed);
	put_count(&json, "unmatched", sync->unmatched);
	put_count(&json, "skipped", sync->skipped);
	put_count(&json, "failed", sync->failed);
	if (sync->answer.limit > 0)
	{
		put_count(&json, "limit", sync->answer.limit);
		put_count(&json, "limitLeft", Max(sync->answer.remaining, 0));
	}
	if (sync->links != NIL)
	{
		dibs_json_key(&json, "links");
		dibs_json_begin_array(&json);
		foreach (lc, sync->links)
		{
			const Link *link = lfirst(lc);

			dibs_json_begin_object(&json);
			dibs_json_text_member(&json, "uid", link->uid);
			dibs_json_text_member(&json, "previous", link->previous);
			dibs_json_end_object(&json);
		}
		dibs_json_end_array(&json);
	}
	dibs_json_end_object(&json);
	return dibs_json_finish(&json);
}

/* The event types with seats of the account's coach, or of all for the platform's account. */
static DibsStatement seated_sql = {
	"SELECT string_agg(id::text, ',') FROM (SELECT t.\"eventTypeId\" AS id FROM dibs.\"CalEventType\" t WHERE t.\"seats\" > 0"
	"  AND ($1 = '' OR t.\"userUlid\" = (SELECT a.\"userUlid\" FROM dibs.\"ProviderAccount\" a WHERE a.\"ulid\"::text = $1))"
	" UNION SELECT b.\"eventTypeId\" FROM dibs.\"CalBooking\" b WHERE b.\"bookingType\" = 'GROUP' AND b.\"source\" = 'cal'"
	"  AND b.\"startTime\" > now() - interval '2 days' AND b.\"eventTypeId\" IS NOT NULL"
	"  AND ($1 = '' OR b.\"userUlid\" = (SELECT a.\"userUlid\" FROM dibs.\"ProviderAccount\" a WHERE a.\"ulid\"::text = $1))"
	" ORDER BY 1 LIMIT 200) x",
	1,
	{TEXTOID},
	NULL};

static void
begin_run(Sync *sync, const DibsCall *call)
{
	char *request = dibs_json_text(&call->args->root, "request");
	TimestampTz since = dibs_cal_instant(&call->args->root, "since");

	sync->pass = PASS_UPDATED;
	sync->skip = 0;
	sync->began_as_of = 0;
	sync->pages = sync->read = sync->changed = sync->unmatched = sync->skipped = sync->failed = 0;
	sync->cursor = sync->watermark != 0 ? sync->watermark - OVERLAP : 0;
	if (request != NULL && (sync->request == NULL || strcmp(request, sync->request) != 0))
	{
		sync->request = request;
		if (since != 0 && (sync->cursor == 0 || since < sync->cursor))
			sync->cursor = since;
	}
	if (sync->cursor == 0)
	{
		int64 at;

		(void) dibs_iso8601_parse(BEGINNING, strlen(BEGINNING), &at);
		sync->cursor = at;
	}
}

/* A wish that came while a run was on: what was asked for before this moment is to be seen. */
static bool
begins_anew(Sync *sync, const DibsCall *call)
{
	char *request = dibs_json_text(&call->args->root, "request");
	TimestampTz since = dibs_cal_instant(&call->args->root, "since");

	if (sync->pass == PASS_NONE)
		return true;
	if (request == NULL || (sync->request != NULL && strcmp(request, sync->request) == 0))
		return false;
	if (sync->pass != PASS_UPDATED || (since != 0 && since < sync->cursor))
		return true;
	sync->request = request;
	return false;
}

static bool
sync_prepare(DibsCall *call)
{
	Sync *sync = read_progress(call->progress);

	call->provider = "cal";
	call->account = call->key;
	call->state = sync;
	if (!dibs_cal_account_stands(call->account))
		return false;
	if (begins_anew(sync, call))
		begin_run(sync, call);
	if (sync->pass == PASS_SEATS)
	{
		Datum values[1] = {CStringGetTextDatum(call->account)};

		(void) dibs_execute(&seated_sql, values, NULL, true, SPI_OK_SELECT);
		sync->event_types = dibs_column(0, 1);
	}
	return true;
}

static DibsHttpRequest *
sync_build(DibsCall *call, DibsHttp *http, const DibsAccess *access)
{
	const Sync *sync = call->state;
	DibsCalListQuery query = {.take = sync->take, .skip = sync->skip};
	DibsCalCall request;

	switch (sync->pass)
	{
		case PASS_SEATS:
			query.start_after = sync->cursor;
			query.event_types = sync->event_types;
			break;
		case PASS_RECENT:
			query.start_after = sync->cursor;
			query.end_before = sync->began_as_of + USECS_PER_DAY;
			break;
		default:
			/* its own last booking comes again: the filter may mean at or after, or after */
			query.updated_after = sync->cursor - USECS_PER_SEC / 1000;
	}
	if (sync->pass == PASS_SEATS && sync->event_types == NULL)
	{
		/* nothing has seats: the pass is over */
		call->answer.verdict = DIBS_VERDICT_DONE;
		return NULL;
	}
	request = dibs_cal_list_bookings(&query);
	return dibs_cal_send(call, http, access, &request);
}

static void
sync_read(DibsCall *call, DibsHttpRequest *request)
{
	Sync *sync = call->state;

	dibs_cal_answer_read(request, &sync->answer);
	dibs_cal_judge(call, &sync->answer);
}

static bool
is_known(const char *uid)
{
	char ulid[DIBS_ULID_LEN + 1], user[DIBS_ULID_LEN + 1];

	return uid != NULL && dibs_row_resolve(uid, ulid, user) != DIBS_FOUND_NONE;
}

static void
apply_one(Sync *sync, const DibsBookingChange *change, const char *account)
{
	DibsApplied applied;

	if (!dibs_cal_apply(change, &applied))
	{
		/* somebody has its row: once more, on its own */
		sync->failed++;
		dibs_cal_read_soon(change->uid, applied.user_ulid, 15000);
		return;
	}
	switch (applied.outcome)
	{
		case DIBS_OUTCOME_APPLIED:
			sync->changed++;
			break;
		case DIBS_OUTCOME_UNMATCHED:
			sync->unmatched++;
			break;
		case DIBS_OUTCOME_FAILED:
			/* such as a cancelled session that shows nobody any more, and was never known here */
			sync->skipped++;
			break;
		default:
			break;
	}
}

/*
 * Where the successor of a replaced booking is known by now, so is what was before it; and then what was before that.
 */
static void
apply_links(Sync *sync)
{
	bool again = true;

	while (again)
	{
		ListCell *lc;

		again = false;
		foreach (lc, sync->links)
		{
			Link *link = lfirst(lc);
			DibsBookingChange change = {.source = "cal", .verb = DIBS_VERB_DESCRIBE};
			DibsApplied applied;

			if (!is_known(link->uid))
				continue;
			change.uid = link->uid;
			change.previous_uid = link->previous;
			change.sent_at = change.read_at = 1;
			(void) dibs_cal_apply(&change, &applied);
			sync->links = foreach_delete_current(sync->links, lc);
			again = true;
		}
	}
}

typedef struct PageItem
{
	DibsBookingChange change;
	DibsCalBookingFacts facts;
} PageItem;

/*
 * A page, in this order: replaced bookings that are known here, or whose predecessor is, so that the row goes the same
 * way; what stands; and then the links of the others.
 */
static void
apply_page(Sync *sync, PageItem *items, int n, const char *account)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "dibs page", ALLOCSET_DEFAULT_SIZES);

	for (int superseded = 1; superseded >= 0; superseded--)
	{
		for (int i = 0; i < n; i++)
		{
			PageItem *item = &items[i];
			MemoryContext old;

			if (item->facts.superseded != (bool) superseded)
				continue;
			if (item->change.problem != NULL)
			{
				sync->skipped++;
				continue;
			}
			if (superseded && !is_known(item->facts.uid) && !is_known(item->facts.previous_uid))
			{
				if (item->facts.previous_uid != NULL && list_length(sync->links) < MAX_LINKS)
				{
					Link *link = palloc(sizeof(Link));

					link->uid = item->facts.uid;
					link->previous = item->facts.previous_uid;
					sync->links = lappend(sync->links, link);
				}
				continue;
			}
			old = MemoryContextSwitchTo(context);
			apply_one(sync, &item->change, account);
			MemoryContextSwitchTo(old);
			MemoryContextReset(context);
		}
	}
	apply_links(sync);
	MemoryContextDelete(context);
}

/* Goes on to the next pass, or ends the run. */
static void
next_pass(Sync *sync)
{
	sync->skip = 0;
	if (sync->pass == PASS_UPDATED)
	{
		sync->pass = PASS_SEATS;
		sync->cursor = sync->began_as_of - SESSIONS_FROM;
	}
	else if (sync->pass == PASS_SEATS && sync->last_as_of != 0)
	{
		sync->pass = PASS_RECENT;
		sync->cursor = sync->last_as_of - RECENT_FROM;
	}
	else
	{
		sync->pass = PASS_NONE;
		sync->last_as_of = sync->began_as_of;
		sync->last_done = GetCurrentTimestamp();
	}
}

/* Where the next page begins: at the value that this one ended with. */
static void
advance(Sync *sync, const PageItem *items, int n)
{
	TimestampTz last = 0;

	for (int i = 0; i < n; i++)
		last = Max(last, sync->pass == PASS_UPDATED ? items[i].facts.updated_at : items[i].facts.start);
	if (sync->pass == PASS_UPDATED)
		sync->watermark = Max(sync->watermark, last);
	if (last > sync->cursor)
	{
		sync->cursor = last;
		sync->skip = 0;
	}
	else
		sync->skip += n;
}

static TimestampTz
next_run(void)
{
	return dibs_cal_sync_interval > 0
			   ? TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) dibs_cal_sync_interval * 1000)
			   : DT_NOEND;
}

static void
sync_settle(DibsCall *call)
{
	Sync *sync = call->state;
	JsonbContainer *data = dibs_cal_data(&sync->answer);
	PageItem *items;
	int n;

	/* it may be settled twice, and begins where it began */
	if (sync->answer.too_large && sync->take > SMALLEST_PAGE)
	{
		sync->take = Max(sync->take / 2, SMALLEST_PAGE);
		call->progress = write_progress(sync);
		call->outcome = DIBS_CALL_AGAIN;
		return;
	}
	if (call->answer.verdict != DIBS_VERDICT_DONE)
	{
		dibs_cal_come_back(call, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), FAILED_MINUTES * 60 * 1000));
		return;
	}
	n = data != NULL && JsonContainerIsArray(data) ? (int) JsonContainerSize(data) : 0;
	items = palloc0(sizeof(PageItem) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(data, i);

		if (item->type == jbvBinary)
			dibs_cal_read_booking(item->val.binary.data, sync->answer.as_of, &items[i].change, &items[i].facts);
		else
			items[i].change.problem = "not an object";
	}
	if (sync->began_as_of == 0)
		sync->began_as_of = sync->answer.as_of != 0 ? sync->answer.as_of : GetCurrentTimestamp() - OVERLAP;
	apply_page(sync, items, n, call->account);
	sync->pages++;
	sync->read += n;
	if (n > 0)
		advance(sync, items, n);
	if (n < sync->take && !dibs_cal_has_next(&sync->answer))
		next_pass(sync);
	call->progress = write_progress(sync);
	call->outcome = DIBS_CALL_AGAIN;
	call->next_at = sync->pass == PASS_NONE ? next_run() : dibs_cal_next_page(&sync->answer);
}

const DibsCallKind dibs_cal_sync_job = {
	.name = "cal_sync",
	.max_attempts = -1,
	.prepare = sync_prepare,
	.build = sync_build,
	.read = sync_read,
	.settle = sync_settle,
};
