/*
 * audit.c
 *		Rows of "AuditLog".
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "access/audit.h"
#include "access/who.h"
#include "guc.h"
#include "queue/plan.h"

static DibsStatement insert_sql = {
	"INSERT INTO dibs.\"AuditLog\" (\"login\", \"role\", \"subject\", \"action\", \"object\", \"data\")"
	" VALUES ($1, $2, $3, $4, $5, COALESCE(pg_catalog.jsonb_strip_nulls($6), '{}'))",
	6,
	{TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID},
	NULL};

/* The user's ULID; where a JWT names somebody whom dibs does not know, what it calls them. */
static char *
subject(void)
{
	char ulid[DIBS_ULID_LEN + 1];

	return dibs_current_user(ulid) ? pstrdup(ulid) : dibs_current_claim(dibs_claim_user);
}

static Datum
role_name(Oid role)
{
	char *name = GetUserNameFromId(role, true);

	return CStringGetTextDatum(name != NULL ? name : psprintf("%u", role));
}

void
dibs_audit(const char *action, const char *object, Jsonb *data)
{
	Datum values[6];
	char nulls[] = "      ";
	char *who = subject();

	values[0] = role_name(GetSessionUserId());
	values[1] = role_name(GetOuterUserId());
	values[2] = who != NULL ? CStringGetTextDatum(who) : (Datum) 0;
	nulls[2] = who != NULL ? ' ' : 'n';
	values[3] = CStringGetTextDatum(action);
	values[4] = object != NULL ? CStringGetTextDatum(object) : (Datum) 0;
	nulls[4] = object != NULL ? ' ' : 'n';
	values[5] = PointerGetDatum(data);
	nulls[5] = data != NULL ? ' ' : 'n';
	SPI_connect();
	dibs_execute(&insert_sql, values, nulls, false, SPI_OK_INSERT);
	SPI_finish();
}

PG_FUNCTION_INFO_V1(dibs_note_act);

Datum
dibs_note_act(PG_FUNCTION_ARGS)
{
	dibs_audit(TextDatumGetCString(PG_GETARG_DATUM(0)),
			   PG_ARGISNULL(1) ? NULL : TextDatumGetCString(PG_GETARG_DATUM(1)),
			   PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2));
	PG_RETURN_VOID();
}
