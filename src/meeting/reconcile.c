/*
 * reconcile.c
 *		What is wanted against what is known gives the one action that is needed.
 *
 * One claim does one thing. Where more is needed (a lookup that finds nothing is followed by a create, a change of
 * provider by a removal) the booking, or the tombstone, stays due and the next claim sees the new state.
 */
#include "compat.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "utils/builtins.h"

#include "core/jsonread.h"
#include "guc.h"
#include "meeting/claim.h"

/* The booking's error code while it has its fallback's meeting. */
#define FALLBACK "fallback"

static bool
same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static const char *
non_empty(const char *value)
{
	return value && *value ? value : NULL;
}

/* The provider by the booking, the link it came with, the event type, the coach, the setting; NULL: no meeting needed.
 */
static const char *
choose_provider(DibsClaim *claim)
{
	bool replace = same(claim->location_policy, "replace");

	if (non_empty(claim->wish))
		return claim->wish;
	if (same(claim->location_kind, "link") && !replace)
		return "source";
	if (same(claim->location_kind, "in_person") || same(claim->location_kind, "phone"))
		return NULL;
	if (non_empty(claim->event_type_provider))
		return claim->event_type_provider;
	if (claim->static_links)
		return "static";
	if (non_empty(claim->coach_provider))
		return claim->coach_provider;
	return dibs_default_meeting_provider;
}

/*
 * The coach's or event type's fallbackProvider instead of the chosen one: where that has not delivered some time before
 * the start, and from then on, so that the link that people were told stays, unless the booking moves.
 */
static const char *
consider_fallback(DibsClaim *claim, const char *name, TimestampTz now)
{
	const char *fallback = claim->wanted.settings
							   ? non_empty(dibs_json_text(&claim->wanted.settings->root, "fallbackProvider"))
							   : NULL;
	bool usable = claim->meeting_state != NULL && !same(claim->meeting_state, "gone") &&
				  (!same(claim->meeting_state, "creating") || claim->work.known.external_id != NULL);
	bool trouble = claim->attempts > 0 || same(claim->row_state, "delayed") || same(claim->row_state, "failed");
	TimestampTz at;

	if (name == NULL || fallback == NULL || same(fallback, name))
		return name;
	if (usable && same(claim->meeting_provider, fallback) && same(claim->row_error, FALLBACK) &&
		claim->meeting_start == claim->wanted.start)
	{
		claim->fallen_back = true;
		return fallback;
	}
	if (usable && same(claim->meeting_provider, name))
		return name;
	at = claim->wanted.start - dibs_fallback_before * USECS_PER_MINUTE;
	if (now >= at && trouble)
	{
		claim->fallen_back = true;
		return fallback;
	}
	claim->fallback_at = at;
	return name;
}

static bytea *
digest_of(DibsClaim *claim)
{
	StringInfoData text;
	uint8 hash[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *ctx;
	bytea *result;

	if (claim->work.provider->describe == NULL)
		return NULL;
	initStringInfo(&text);
	claim->work.provider->describe(&claim->wanted, &text);
	ctx = pg_cryptohash_create(PG_SHA256);
	if (pg_cryptohash_init(ctx) < 0 || pg_cryptohash_update(ctx, (uint8 *) text.data, text.len) < 0 ||
		pg_cryptohash_final(ctx, hash, sizeof(hash)) < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not hash a meeting's content")));
	pg_cryptohash_free(ctx);
	result = palloc(VARHDRSZ + sizeof(hash));
	SET_VARSIZE(result, VARHDRSZ + sizeof(hash));
	memcpy(VARDATA(result), hash, sizeof(hash));
	return result;
}

static bool
same_digest(const bytea *a, const bytea *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		   memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

static void
finish(DibsClaim *claim, DibsMeetingState state)
{
	claim->work.action = DIBS_ACTION_NONE;
	claim->finished = true;
	claim->state = state;
}

static char *
new_ulid(void)
{
	char *ulid = palloc(DIBS_ULID_LEN + 1);

	if (!dibs_ulid_generate(ulid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	return ulid;
}

/* A Meeting row for this booking from here on: a new one, or the one whose meeting is gone for certain. */
static void
start_meeting(DibsClaim *claim, const char *state)
{
	DibsMeetingKnown *known = &claim->work.known;

	if (known->ulid == NULL)
	{
		known->ulid = new_ulid();
		claim->meeting_insert = true;
	}
	known->marker = psprintf("dibs:%s:%s", claim->booking_ulid, claim->wanted.uid);
	known->host = claim->wanted.host ? pstrdup(claim->wanted.host) : NULL;
	known->external_id = known->external_uuid = known->join_url = known->host_url = known->passcode = NULL;
	/* looks for an earlier request of unknown fate say nothing of the one that is made now */
	claim->lookups = 0;
	claim->new_state = state;
	claim->digest = digest_of(claim);
}

/* Forgets the row that was read: the meeting stays, as a tombstone, or as somebody else's. */
static void
let_go(DibsClaim *claim)
{
	claim->detach = claim->work.known.ulid;
	claim->meeting_account = NULL;
	memset(&claim->work.known, 0, sizeof(claim->work.known));
	claim->meeting_state = NULL;
	claim->known_digest = NULL;
	claim->lookups = 0;
	claim->adopted = claim->managed = false;
}

static void
choose_host(DibsClaim *claim)
{
	const DibsMeetingProvider *provider = claim->work.provider;

	if (provider->host_limits == NULL)
		return;
	/* a new meeting is made with the coach's own account where there is one; one that exists stays where it is */
	if (claim->meeting_state == NULL || same(claim->meeting_state, "gone"))
		claim->meeting_account = claim->zoom_grant;
	claim->wanted.host = non_empty(claim->meeting_account) ? "me" : claim->zoom_host;
	claim->pooled = claim->wanted.host == NULL;
	/* which of them, hosts.c decides for all claims together */
	if (claim->pooled)
		claim->wanted.host = non_empty(dibs_first_of_list(provider->host_limits().default_hosts));
}

/* After a failover: may a meeting have been made that no row tells of? */
static bool
maybe_made(DibsClaim *claim, const DibsCaution *caution)
{
	const char *name;

	if (claim->tombstone || claim->created >= caution->since || non_empty(claim->row_meeting_id) ||
		non_empty(claim->row_join_url))
		return false;
	name = choose_provider(claim);
	claim->work.provider = name ? dibs_meeting_provider(name) : NULL;
	if (claim->work.provider == NULL || claim->work.provider->make != NULL)
		return false;
	choose_host(claim);
	return claim->wanted.host != NULL;
}

/* No meeting is wanted: remove ours, if there may be one. */
static void
want_gone(DibsClaim *claim, TimestampTz now, const DibsCaution *caution)
{
	const DibsMeetingProvider *provider;

	if (claim->meeting_state == NULL && maybe_made(claim, caution))
	{
		claim->state = DIBS_MEETING_NOT_NEEDED;
		if (now < caution->quiet_until)
			dibs_claim_wait(claim, caution->quiet_until, "failover",
							"what the former server had sent may still be on its way");
		else
		{
			start_meeting(claim, "creating");
			claim->work.action = DIBS_ACTION_LOOKUP;
		}
		return;
	}
	if (claim->meeting_state == NULL)
	{
		/* links that were never ours stay as they are */
		claim->keep_links = true;
		finish(claim, DIBS_MEETING_NOT_NEEDED);
		return;
	}
	provider = claim->work.provider = dibs_meeting_provider(claim->meeting_provider);
	claim->clear_links = !claim->adopted || claim->managed;
	if (same(claim->meeting_state, "gone"))
	{
		finish(claim, DIBS_MEETING_NOT_NEEDED);
		return;
	}
	if (provider == NULL || provider->make != NULL || (claim->adopted && !claim->managed) || claim->recorded_elsewhere)
	{
		/* nothing of ours, or not ours alone, at a provider: the row says so, and that is all */
		finish(claim, DIBS_MEETING_NOT_NEEDED);
		claim->work.verdict = DIBS_VERDICT_GONE;
		return;
	}
	claim->work.action = claim->work.known.external_id ? DIBS_ACTION_DELETE : DIBS_ACTION_LOOKUP;
	claim->new_state = claim->work.known.external_id ? "deleting" : NULL;
	claim->state = DIBS_MEETING_NOT_NEEDED;
}

/* Providers that need no request make the meeting here and now. */
static void
make_locally(DibsClaim *claim)
{
	bool fresh = claim->meeting_state == NULL || same(claim->meeting_state, "gone");

	if (fresh)
		start_meeting(claim, "ready");
	claim->work.action = DIBS_ACTION_CREATE;
	claim->work.provider->make(&claim->work);
	claim->work.action = DIBS_ACTION_NONE;
	if (claim->work.verdict == DIBS_VERDICT_DONE)
		finish(claim, DIBS_MEETING_READY);
	else
	{
		claim->meeting_insert = false;
		if (claim->meeting_state == NULL)
			claim->work.known.ulid = NULL;
		finish(claim, claim->work.verdict == DIBS_VERDICT_RETRY ? DIBS_MEETING_PENDING : DIBS_MEETING_FAILED);
	}
}

static void
want_meeting(DibsClaim *claim, TimestampTz now, const DibsCaution *caution)
{
	const char *name = choose_provider(claim);
	DibsMeetingWork *work = &claim->work;
	bool ours;

	/* A row that comes with a meeting or a link, and no Meeting of ours, has its meeting. */
	if (claim->meeting_state == NULL && non_empty(claim->row_meeting_id) &&
		(non_empty(claim->wish) == NULL || !same(claim->wish, "source")))
	{
		work->provider = dibs_meeting_provider(non_empty(claim->wish) ? claim->wish : "zoom");
		if (work->provider != NULL && work->provider->make == NULL)
		{
			start_meeting(claim, "ready");
			claim->adopted = true;
			work->known.external_id = pstrdup(claim->row_meeting_id);
			work->known.join_url = claim->row_join_url ? pstrdup(claim->row_join_url) : NULL;
			work->known.host_url = claim->row_host_url ? pstrdup(claim->row_host_url) : NULL;
			work->known.passcode = claim->row_passcode ? pstrdup(claim->row_passcode) : NULL;
			claim->keep_links = true;
			finish(claim, DIBS_MEETING_READY);
			work->verdict = DIBS_VERDICT_DONE;
			return;
		}
	}
	if (claim->meeting_state == NULL && non_empty(claim->row_join_url) && non_empty(claim->wish) == NULL)
		name = "manual";
	if (claim->meeting_state != NULL && same(claim->meeting_provider, "manual") && non_empty(claim->wish) == NULL &&
		non_empty(claim->row_join_url))
		name = "manual";
	name = consider_fallback(claim, name, now);

	if (name == NULL)
	{
		if (claim->meeting_state != NULL && !same(claim->meeting_state, "gone"))
			let_go(claim);
		claim->clear_links = claim->detach != NULL;
		claim->keep_links = claim->detach == NULL;
		finish(claim, DIBS_MEETING_NOT_NEEDED);
		return;
	}
	work->provider = dibs_meeting_provider(name);
	if (work->provider == NULL)
	{
		claim->keep_links = true;
		finish(claim, DIBS_MEETING_FAILED);
		dibs_work_failed(work, DIBS_VERDICT_FAILED, "unknown_provider", "there is no meeting provider \"%s\"", name);
		return;
	}
	if (claim->adopted && !claim->managed && same(claim->meeting_provider, name))
	{
		claim->keep_links = true;
		finish(claim, DIBS_MEETING_READY);
		work->verdict = DIBS_VERDICT_DONE;
		return;
	}
	if (claim->meeting_state != NULL && !same(claim->meeting_provider, name))
		let_go(claim);

	/* which links the local providers hand out */
	if (same(name, "static"))
	{
		claim->wanted.given_join_url = claim->static_join_url;
		claim->wanted.given_host_url = claim->static_host_url;
	}
	else if (same(name, "source"))
		claim->wanted.given_join_url = claim->location_value;
	else if (same(name, "manual"))
	{
		claim->wanted.given_join_url = claim->row_join_url;
		claim->wanted.given_host_url = claim->row_host_url;
		claim->wanted.given_passcode = claim->row_passcode;
		claim->keep_links = true;
	}
	choose_host(claim);

	if (work->provider->make != NULL)
	{
		make_locally(claim);
		return;
	}

	if (claim->meeting_state == NULL || same(claim->meeting_state, "gone"))
	{
		/* what was done after that moment is on record here; before it, the last claims may be missing */
		bool cautious = (claim->meeting_state == NULL ? claim->created : claim->meeting_sent) < caution->since;

		if (claim->wanted.host == NULL)
		{
			finish(claim, DIBS_MEETING_FAILED);
			dibs_work_failed(work, DIBS_VERDICT_FAILED, "no_host", "no host is known for this coach at %s",
							 work->provider->name);
			return;
		}
		claim->state = DIBS_MEETING_PENDING;
		if (cautious && now < caution->quiet_until)
		{
			dibs_claim_wait(claim, caution->quiet_until, "failover",
							"what the former server had sent may still be on its way");
			return;
		}
		start_meeting(claim, "creating");
		work->action = cautious ? DIBS_ACTION_LOOKUP : DIBS_ACTION_CREATE;
		return;
	}

	ours = work->known.external_id != NULL;
	claim->state = ours ? DIBS_MEETING_READY : DIBS_MEETING_PENDING;
	claim->digest = digest_of(claim);
	if (!ours)
	{
		/* sent once, and nobody knows what came of it */
		work->action = DIBS_ACTION_LOOKUP;
		return;
	}
	if (same(claim->meeting_state, "ready") && same_digest(claim->digest, claim->known_digest))
	{
		finish(claim, DIBS_MEETING_READY);
		work->verdict = DIBS_VERDICT_DONE;
		return;
	}
	work->action = DIBS_ACTION_UPDATE;
	claim->new_state = "updating";
}

void
dibs_start_over(DibsClaim *claim)
{
	let_go(claim);
	start_meeting(claim, "creating");
	claim->work.action = DIBS_ACTION_CREATE;
	claim->state = DIBS_MEETING_PENDING;
}

void
dibs_claim_wait(DibsClaim *claim, TimestampTz at, const char *code, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (claim->meeting_insert)
		claim->work.known.ulid = NULL;
	claim->meeting_insert = false;
	claim->new_state = NULL;
	claim->put_off = true;
	finish(claim, claim->state);
	dibs_work_failed(&claim->work, DIBS_VERDICT_NONE, code, "%s", text);
	claim->work.retry_at = at;
}

void
dibs_reconcile(DibsClaim *claim, TimestampTz now, const DibsCaution *caution)
{
	if (claim->tombstone || same(claim->status, "PENDING") || same(claim->status, "CANCELLED") ||
		same(claim->status, "REJECTED"))
		want_gone(claim, now, caution);
	else if ((same(claim->status, "CONFIRMED") && claim->wanted.end > now) || same(claim->status, "IN_PROGRESS"))
		want_meeting(claim, now, caution);
	else
	{
		/* over, or imported history: nothing is asked of anybody */
		claim->keep_links = true;
		finish(claim, same(claim->row_state, "ready") ? DIBS_MEETING_READY : DIBS_MEETING_NOT_NEEDED);
	}
}
