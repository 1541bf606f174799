/*
 * core_sql.c
 *		The SQL faces of core/: ULIDs, links.
 */
#include "compat.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/link.h"
#include "core/ulid.h"
#include "errors.h"

/* from 1970 to 2000 */
#define EPOCH_OFFSET_MS ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (USECS_PER_DAY / 1000))

PG_FUNCTION_INFO_V1(dibs_gen_ulid);
PG_FUNCTION_INFO_V1(dibs_ulid_to_timestamp);
PG_FUNCTION_INFO_V1(dibs_ulid_from_timestamp);
PG_FUNCTION_INFO_V1(dibs_ulid_to_uuid);
PG_FUNCTION_INFO_V1(dibs_uuid_to_ulid);
PG_FUNCTION_INFO_V1(dibs_is_ulid);
PG_FUNCTION_INFO_V1(dibs_is_link_sql);

pg_noreturn static void no_entropy(void);

static void
no_entropy(void)
{
	ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes from the operating system")));
}

static Datum
ulid_datum(const DibsUlid *ulid)
{
	BpChar *result = palloc(VARHDRSZ + DIBS_ULID_LEN);

	SET_VARSIZE(result, VARHDRSZ + DIBS_ULID_LEN);
	dibs_ulid_format(ulid, VARDATA(result));
	PG_RETURN_BPCHAR_P(result);
}

Datum
dibs_gen_ulid(PG_FUNCTION_ARGS)
{
	BpChar *result = palloc(VARHDRSZ + DIBS_ULID_LEN + 1);

	if (!dibs_ulid_generate(VARDATA(result)))
		no_entropy();
	SET_VARSIZE(result, VARHDRSZ + DIBS_ULID_LEN);
	PG_RETURN_BPCHAR_P(result);
}

/* Blanks at the end are no part of a character(n). */
static void
ulid_argument(BpChar *given, DibsUlid *ulid)
{
	const char *s = VARDATA_ANY(given);
	int len = bpchartruelen(VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given));

	if (!dibs_ulid_parse(s, len, ulid))
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("not a ULID: \"%.*s\"", pg_mbcliplen(s, len, 64), s),
						errhint("A ULID has 26 characters of 0-9 and A-Z without I, L, O, U, the first of them 0-7.")));
}

Datum
dibs_ulid_to_timestamp(PG_FUNCTION_ARGS)
{
	DibsUlid ulid;

	ulid_argument(PG_GETARG_BPCHAR_PP(0), &ulid);
	PG_RETURN_TIMESTAMPTZ(((int64) dibs_ulid_ms(&ulid) - EPOCH_OFFSET_MS) * 1000);
}

Datum
dibs_ulid_from_timestamp(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	int64 ms;
	DibsUlid ulid;

	/* Towards the past, also before 2000. */
	ms = at / 1000 - (at % 1000 < 0 ? 1 : 0) + EPOCH_OFFSET_MS;
	if (TIMESTAMP_NOT_FINITE(at) || ms < 0 || (uint64) ms > DIBS_ULID_MAX_MS)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("no ULID has the time %s", timestamptz_to_str(at)),
						errhint("ULIDs reach from 1970-01-01 to 10889-08-02 UTC.")));
	if (!dibs_ulid_at((uint64) ms, &ulid))
		no_entropy();
	return ulid_datum(&ulid);
}

Datum
dibs_ulid_to_uuid(PG_FUNCTION_ARGS)
{
	pg_uuid_t *result = palloc(sizeof(pg_uuid_t));
	DibsUlid ulid;

	ulid_argument(PG_GETARG_BPCHAR_PP(0), &ulid);
	dibs_ulid_to_bytes(&ulid, result->data);
	PG_RETURN_UUID_P(result);
}

Datum
dibs_uuid_to_ulid(PG_FUNCTION_ARGS)
{
	DibsUlid ulid;

	dibs_ulid_from_bytes(PG_GETARG_UUID_P(0)->data, &ulid);
	return ulid_datum(&ulid);
}

Datum
dibs_is_ulid(PG_FUNCTION_ARGS)
{
	text *given = PG_GETARG_TEXT_PP(0);

	PG_RETURN_BOOL(dibs_ulid_is_valid(VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given)));
}

Datum
dibs_is_link_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(dibs_is_link(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}
