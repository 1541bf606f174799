/*
 * hosts.c
 *		Which host a meeting gets, and how much each host may still do today.
 *
 * A provider takes so many creates and updates a host and day. They are counted in "HostUsage" with the claim, in its
 * transaction, before anything is sent: two claimers cannot both take the last one, and a crash forgets none. The same
 * rows, locked in one order, are what concurrent claims of the default hosts meet on: the second sees the first one's
 * meetings before it chooses.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/varlena.h"

#include "guc.h"
#include "meeting/claim.h"
#include "queue/plan.h"

/* Where every default host is taken at a booking's time: one may become free. */
#define FREE_HOST_WAIT_MS (5 * 60 * 1000)
/* Not everybody who waits for the new day comes in the same moment. */
#define DAY_JITTER_MS 2000
/* In this part of a day a provider's word on the day's limit may be on the day before: clocks differ. */
#define DAY_SKEW 1000
/* No meeting is longer; it bounds what of a host's meetings is read. */
#define LONGEST_MEETING "1 day"

/* A host of these claims, as "HostUsage" has it. */
typedef struct Host
{
	const char *provider;
	const char *account;
	const char *name;     /* in lower case */
	const char *spelling; /* as it was given */
	TimestampTz day;
	int meetings; /* at the time that is asked for */
	int used;
	int limit; /* 0: none */
	bool changed;
} Host;

/* A host's time that a claim before this one, in the same batch, has taken. */
typedef struct Taken
{
	Host *host;
	TimestampTz start;
	TimestampTz end;
} Taken;

/* $1 … $4 arrays, in the order in which everybody locks these rows. */
static DibsStatement lock_hosts_sql = {
	"INSERT INTO dibs.\"HostUsage\" AS h (\"provider\", \"account\", \"host\", \"day\", \"used\")"
	" SELECT s.*, 0 FROM unnest($1, $2, $3, $4) AS s"
	" ON CONFLICT ON CONSTRAINT \"HostUsage_pkey\" DO UPDATE SET"
	"  \"used\" = CASE WHEN h.\"day\" = excluded.\"day\" THEN h.\"used\" ELSE 0 END, \"day\" = excluded.\"day\""
	" RETURNING h.\"provider\", h.\"account\", h.\"host\", h.\"used\"",
	4,
	{TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID},
	NULL};

static DibsStatement write_used_sql = {
	"UPDATE dibs.\"HostUsage\" h SET \"used\" = s.\"used\""
	" FROM unnest($1, $2, $3, $4) AS s(\"provider\", \"account\", \"host\", \"used\")"
	" WHERE h.\"provider\" = s.\"provider\" AND h.\"account\" = s.\"account\" AND h.\"host\" = s.\"host\"",
	4,
	{TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID},
	NULL};

/* $1 hosts, $2 start, $3 end, $4 the meeting that is asked for: how many others each of them has then. */
static DibsStatement busy_hosts_sql = {
	"SELECT m.\"host\", count(*)::int FROM dibs.\"Meeting\" m WHERE m.\"host\" = ANY ($1) AND m.\"state\" <> 'gone'"
	" AND m.\"startTime\" < $3 AND m.\"startTime\" > $2 - interval '" LONGEST_MEETING "'"
	" AND m.\"endTime\" > $2 AND m.\"ulid\" <> $4 GROUP BY 1",
	4,
	{TEXTARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BPCHAROID},
	NULL};

/* $1 … $4 arrays in the same order, $5 the change of used: -1, or a number for "all of them" */
static DibsStatement settle_used_sql = {
	"UPDATE dibs.\"HostUsage\" h SET \"used\" = greatest(CASE WHEN s.\"all\" > 0 THEN greatest(h.\"used\", s.\"all\")"
	"  ELSE h.\"used\" - s.\"unsent\" END, 0)"
	" FROM unnest($1, $2, $3, $4, $5, $6) AS s(\"provider\", \"account\", \"host\", \"day\", \"unsent\", \"all\")"
	" WHERE h.\"provider\" = s.\"provider\" AND h.\"account\" = s.\"account\" AND h.\"host\" = s.\"host\" AND h.\"day\" = s.\"day\"",
	6,
	{TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, INT4ARRAYOID},
	NULL};

static int64
unix_ms(TimestampTz at)
{
	return at / 1000 + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;
}

/* The provider's day that `at` is in, counted from 1970 as it does. */
static TimestampTz
day_of(TimestampTz at, int day_ms)
{
	int64 into = unix_ms(at) % day_ms;

	return at - at % 1000 - into * 1000;
}

static const char *
account_of(const DibsClaim *claim)
{
	return claim->meeting_account ? claim->meeting_account : "";
}

static int
compare_hosts(const ListCell *a, const ListCell *b)
{
	const Host *x = lfirst(a), *y = lfirst(b);
	int order = strcmp(x->provider, y->provider);

	if (order == 0)
		order = strcmp(x->account, y->account);
	return order != 0 ? order : strcmp(x->name, y->name);
}

static Host *
find_host(List *hosts, const DibsClaim *claim, const char *name)
{
	ListCell *lc;

	foreach (lc, hosts)
	{
		Host *host = (Host *) lfirst(lc);

		/* people write addresses as they like; an id is not changed by being compared so */
		if (pg_strcasecmp(host->name, name) == 0 && strcmp(host->provider, claim->work.provider->name) == 0 &&
			strcmp(host->account, account_of(claim)) == 0)
			return host;
	}
	return NULL;
}

static List *
add_host(List *hosts, const DibsClaim *claim, const char *name, TimestampTz now)
{
	const DibsMeetingProvider *provider = claim->work.provider;
	DibsHostLimits limits = provider->host_limits();
	Host *host;

	if (find_host(hosts, claim, name) != NULL)
		return hosts;
	host = palloc0(sizeof(Host));
	host->provider = provider->name;
	host->account = account_of(claim);
	host->name = asc_tolower(name, strlen(name));
	host->spelling = name;
	host->limit = limits.daily;
	host->day = day_of(now, limits.day_ms);
	return lappend(hosts, host);
}

/* The default hosts in their order. */
static List *
pool_of(const DibsMeetingProvider *provider)
{
	List *pool = NIL;

	(void) SplitGUCList(pstrdup(provider->host_limits().default_hosts), ',', &pool);
	return pool;
}

/* Does it take one of its host's creates and updates? */
static bool
is_counted(const DibsClaim *claim)
{
	return !claim->finished && claim->work.known.host != NULL &&
		   (claim->work.action == DIBS_ACTION_CREATE || claim->work.action == DIBS_ACTION_UPDATE);
}

/* Has the claim's host to be chosen, or to be free at another time than before? */
static bool
needs_free_host(const DibsClaim *claim)
{
	return claim->pooled && is_counted(claim);
}

/* Locks the rows of all hosts that these claims concern, and reads what they have used. */
static List *
lock_hosts(List *claims, TimestampTz now)
{
	List *hosts = NIL;
	DibsColumns *rows_to_lock = dibs_columns("tttz");
	Datum values[4];
	ListCell *lc;
	uint64 rows;

	foreach (lc, claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);

		if (needs_free_host(claim))
		{
			ListCell *host;

			foreach (host, pool_of(claim->work.provider))
				hosts = add_host(hosts, claim, (char *) lfirst(host), now);
		}
		if (is_counted(claim) && claim->work.provider->host_limits != NULL &&
			claim->work.provider->host_limits().daily > 0)
			hosts = add_host(hosts, claim, claim->work.known.host, now);
	}
	if (hosts == NIL)
		return NIL;
	list_sort(hosts, compare_hosts);
	foreach (lc, hosts)
	{
		Host *host = (Host *) lfirst(lc);

		dibs_add_row(rows_to_lock, host->provider, host->account, host->name, host->day);
	}
	(void) dibs_column_arrays(rows_to_lock, values);
	rows = dibs_execute(&lock_hosts_sql, values, NULL, false, SPI_OK_INSERT_RETURNING);
	for (uint64 row = 0; row < rows; row++)
	{
		char *provider = dibs_column(row, 1), *account = dibs_column(row, 2), *name = dibs_column(row, 3);

		foreach (lc, hosts)
		{
			Host *host = (Host *) lfirst(lc);

			if (strcmp(host->name, name) == 0 && strcmp(host->provider, provider) == 0 &&
				strcmp(host->account, account) == 0)
				host->used = dibs_column_int(row, 4);
		}
	}
	return hosts;
}

static bool
has_room(const Host *host)
{
	return host->limit == 0 || host->used < host->limit;
}

/* Counts the other meetings that each host has while the claim's booking lasts. */
static void
count_meetings(const DibsClaim *claim, List *hosts, List *taken)
{
	const char **names = palloc0(list_length(hosts) * sizeof(char *));
	Datum values[4];
	ListCell *lc;
	int n = 0;
	uint64 rows;

	foreach (lc, hosts)
	{
		Host *host = (Host *) lfirst(lc);

		host->meetings = 0;
		names[n++] = host->spelling;
	}
	values[0] = dibs_text_array(names, n);
	values[1] = TimestampTzGetDatum(claim->wanted.start);
	values[2] = TimestampTzGetDatum(claim->wanted.end);
	values[3] = CStringGetTextDatum(claim->work.known.ulid);
	rows = dibs_execute(&busy_hosts_sql, values, NULL, false, SPI_OK_SELECT);
	for (uint64 row = 0; row < rows; row++)
	{
		Host *host = find_host(hosts, claim, dibs_column(row, 1));

		if (host != NULL)
			host->meetings += dibs_column_int(row, 2);
	}
	foreach (lc, taken)
	{
		Taken *other = (Taken *) lfirst(lc);

		if (other->start < claim->wanted.end && other->end > claim->wanted.start)
			other->host->meetings++;
	}
}

static void
wait_for_day(DibsClaim *claim, const Host *host, TimestampTz now)
{
	int day_ms = claim->work.provider->host_limits().day_ms;
	int64 jitter = (int64) (pg_prng_double(&pg_global_prng_state) * DAY_JITTER_MS);

	dibs_claim_wait(claim, TimestampTzPlusMilliseconds(host->day, day_ms + jitter), "host_daily_limit",
					"the host has had its %d creates and updates for today", host->limit);
}

/* A free host for a claim without one of its own; false: there is none now, and the claim waits. */
static bool
choose_host(DibsClaim *claim, List *hosts, List *taken, TimestampTz now)
{
	const int most = claim->work.provider->host_limits().at_once;
	const Host *best = NULL;
	const Host *spent = NULL;
	ListCell *lc;
	TimestampTz next;

	if (most > 0)
		count_meetings(claim, hosts, taken);
	if (claim->work.action == DIBS_ACTION_UPDATE)
	{
		Host *own = find_host(hosts, claim, claim->work.known.host);

		/* where it is, unless it would meet another one there now */
		if (most == 0 || own == NULL || own->meetings < most)
			return true;
	}
	foreach (lc, pool_of(claim->work.provider))
	{
		const Host *host = find_host(hosts, claim, (char *) lfirst(lc));

		if (most > 0 && host->meetings >= most)
			continue;
		if (!has_room(host))
			spent = host;
		else if (best == NULL || host->used < best->used)
			best = host;
	}
	if (best != NULL)
	{
		if (claim->work.action == DIBS_ACTION_UPDATE)
			dibs_start_over(claim);
		claim->work.known.host = pstrdup(best->spelling);
		claim->wanted.host = claim->work.known.host;
		return true;
	}
	if (spent != NULL)
	{
		wait_for_day(claim, spent, now);
		return false;
	}
	next = TimestampTzPlusMilliseconds(now, FREE_HOST_WAIT_MS);
	if (claim->wanted.start > now)
		next = Min(next, claim->wanted.start);
	dibs_claim_wait(claim, next, "no_free_host", "all of the default hosts have other meetings then");
	return false;
}

void
dibs_assign_hosts(List *claims, TimestampTz now)
{
	List *hosts = lock_hosts(claims, now);
	List *taken = NIL;
	DibsColumns *used = dibs_columns("ttti");
	Datum values[4];
	ListCell *lc;

	foreach (lc, claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);
		MemoryContext old = MemoryContextSwitchTo(claim->context);
		Host *host;

		/* it may have been made at any of them */
		if (claim->pooled && claim->meeting_insert && claim->work.action == DIBS_ACTION_LOOKUP)
			claim->work.hosts = list_delete_first(pool_of(claim->work.provider));
		if (!needs_free_host(claim) || choose_host(claim, hosts, taken, now))
		{
			host = is_counted(claim) ? find_host(hosts, claim, claim->work.known.host) : NULL;
			if (host != NULL && !has_room(host))
				wait_for_day(claim, host, now);
			else if (host != NULL)
			{
				host->used++;
				host->changed = true;
				claim->counted = true;
				claim->counted_day = host->day;
			}
			if (host != NULL && claim->pooled && !claim->put_off)
			{
				Taken *time = MemoryContextAlloc(old, sizeof(Taken));

				*time = (Taken){host, claim->wanted.start, claim->wanted.end};
				MemoryContextSwitchTo(old);
				taken = lappend(taken, time);
			}
		}
		MemoryContextSwitchTo(old);
	}

	foreach (lc, hosts)
	{
		Host *host = (Host *) lfirst(lc);

		if (host->changed)
			dibs_add_row(used, host->provider, host->account, host->name, host->used);
	}
	if (dibs_column_arrays(used, values) > 0)
		(void) dibs_execute(&write_used_sql, values, NULL, false, SPI_OK_UPDATE);
}

void
dibs_settle_hosts(List *claims, TimestampTz now)
{
	List *hosts = NIL;
	DibsColumns *days = dibs_columns("tttzii");
	Datum values[6];
	ListCell *lc;

	/* Host.used counts what was not sent, Host.limit is what the provider says is used up */
	foreach (lc, claims)
	{
		DibsClaim *claim = (DibsClaim *) lfirst(lc);
		DibsHostLimits limits;
		Host *host;
		bool full;

		if (!claim->counted || claim->work.known.host == NULL)
			continue;
		limits = claim->work.provider->host_limits();
		full = claim->work.throttle == DIBS_THROTTLE_HOST && claim->counted_day == day_of(now, limits.day_ms) &&
			   now - claim->counted_day > (int64) limits.day_ms * 1000 / DAY_SKEW;
		if (!claim->release && !full)
			continue;
		hosts = add_host(hosts, claim, claim->work.known.host, now);
		host = find_host(hosts, claim, claim->work.known.host);
		if (!host->changed)
		{
			host->changed = true;
			host->limit = 0;
			host->day = claim->counted_day;
		}
		if (full)
			host->limit = limits.daily;
		if (claim->release)
			host->used++;
	}
	if (hosts == NIL)
		return;
	list_sort(hosts, compare_hosts);
	foreach (lc, hosts)
	{
		Host *host = (Host *) lfirst(lc);

		dibs_add_row(days, host->provider, host->account, host->name, host->day, host->used, host->limit);
	}
	(void) dibs_column_arrays(days, values);
	(void) dibs_execute(&settle_used_sql, values, NULL, false, SPI_OK_UPDATE);
	/* an answer that is set aside is settled again */
	foreach (lc, claims)
		((DibsClaim *) lfirst(lc))->counted = false;
}
