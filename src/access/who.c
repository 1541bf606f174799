/*
 * who.c
 *		Who is asking.
 *
 * A setting like request.jwt.claims can be set by anybody who may run SQL. It is believed only in a session that one
 * of dibs.gateway_roles opened: session_user, which SET ROLE leaves alone and which nobody but a superuser can change.
 * What the caller's role may do is read from the privileges that its level gave it, and always of the role that the
 * session has set, not of the owner of the SECURITY DEFINER function that asks.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/uuid.h"
#include "utils/varlena.h"

#include "access/who.h"
#include "core/jsonread.h"
#include "errors.h"
#include "guc.h"
#include "queue/plan.h"
#include "secrets/store.h"

#define UUID_TEXT_LEN 36

/* What dibs.claim_role has to say. */
static const char admin_claim[] = "dibs_admin";

static DibsStatement key_sql = {
	"SELECT \"userUlid\" FROM dibs.\"UserKey\" WHERE \"key\" OPERATOR(pg_catalog.=) $1", 1, {TEXTOID}, NULL};

/* Whom dibs.act_as() named, and in which subtransaction: a rollback to a savepoint takes it back. */
typedef struct Acting
{
	char ulid[DIBS_ULID_LEN + 1]; /* empty: nobody any more */
	int level;
	struct Acting *outer;
} Acting;

static Acting *acting = NULL;

static void
acting_xact_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			/* its memory was the transaction's */
			acting = NULL;
			break;
		default:
			break;
	}
}

static void
acting_subxact_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (acting != NULL && acting->level >= level)
			acting = acting->outer;
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB && acting != NULL && acting->level == level)
	{
		acting->level--;
		if (acting->outer != NULL && acting->outer->level == acting->level)
			acting->outer = acting->outer->outer;
	}
}

static void
act_as(const char *ulid)
{
	static bool registered = false;
	int level = GetCurrentTransactionNestLevel();

	if (!registered)
	{
		RegisterXactCallback(acting_xact_end, NULL);
		RegisterSubXactCallback(acting_subxact_end, NULL);
		registered = true;
	}
	if (acting == NULL || acting->level < level)
	{
		Acting *inner = MemoryContextAllocZero(TopTransactionContext, sizeof(Acting));

		inner->level = level;
		inner->outer = acting;
		acting = inner;
	}
	strlcpy(acting->ulid, ulid, sizeof(acting->ulid));
}

static const char *
acting_as(void)
{
	return acting != NULL && acting->ulid[0] != '\0' ? acting->ulid : NULL;
}

/* Names exactly as they are: a role "Authenticator" is another one, and * is no role. */
static bool
is_gateway_session(void)
{
	char *login = GetUserNameFromId(GetSessionUserId(), true);
	List *names = NIL;
	ListCell *lc;

	if (login == NULL || dibs_gateway_roles == NULL || !SplitGUCList(pstrdup(dibs_gateway_roles), ',', &names))
		return false;
	foreach (lc, names)
	{
		if (strcmp((const char *) lfirst(lc), login) == 0)
			return true;
	}
	return false;
}

/* The claims of a gateway's request; NULL where there are none to believe. */
static Jsonb *
trusted_claims(void)
{
	const char *text;

	if (!is_gateway_session())
		return NULL;
	text = GetConfigOption("request.jwt.claims", true, false);
	if (text == NULL || text[0] == '\0')
		return NULL;
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

/*
 * The object that has the claim, and in *key what it is called there: the whole name (issuers use URLs), else the path
 * that its dots make. NULL: no such claim.
 */
static const JsonbContainer *
find_claim(Jsonb *claims, const char *name, const char **key)
{
	const JsonbContainer *object = &claims->root;
	char *step = pstrdup(name);
	char *dot;

	if (!JB_ROOT_IS_OBJECT(claims))
		return NULL;
	*key = name;
	if (dibs_json_member(object, name) != NULL)
		return object;
	while ((dot = strchr(step, '.')) != NULL)
	{
		*dot = '\0';
		object = dibs_json_object(object, step);
		if (object == NULL)
			return NULL;
		step = dot + 1;
	}
	*key = step;
	return dibs_json_member(object, step) != NULL ? object : NULL;
}

static char *
claim_text(Jsonb *claims, const char *name)
{
	const char *key;
	const JsonbContainer *object = NULL;

	if (claims != NULL && name != NULL && name[0] != '\0')
		object = find_claim(claims, name, &key);
	return object != NULL ? dibs_json_scalar_text(object, key) : NULL;
}

/* True where the claim is that text, or an array with it. */
static bool
claim_says(Jsonb *claims, const char *name, const char *value)
{
	char *text = claim_text(claims, name);
	const char *key;
	const JsonbContainer *object;
	JsonbContainer *list;

	if (text != NULL)
		return strcmp(text, value) == 0;
	if (claims == NULL || name == NULL || name[0] == '\0')
		return false;
	object = find_claim(claims, name, &key);
	list = object != NULL ? dibs_json_array(object, key) : NULL;
	for (uint32 i = 0; list != NULL && i < JsonContainerSize(list); i++)
	{
		JsonbValue *one = getIthJsonbValueFromContainer(list, i);

		if (one->type == jbvString && one->val.string.len == (int) strlen(value) &&
			memcmp(one->val.string.val, value, one->val.string.len) == 0)
			return true;
	}
	return false;
}

char *
dibs_current_claim(const char *name)
{
	return claim_text(trusted_claims(), name);
}

/*
 * The mailbox that the JWT says is the caller's, where dibs.claim_email names a claim to believe and the issuer does
 * not say that it is unverified; NULL otherwise, and while dibs.act_as() is in effect.
 */
static char *
claimed_email(void)
{
	Jsonb *claims = acting_as() == NULL ? trusted_claims() : NULL;
	bool verified;

	if (claims == NULL || !JB_ROOT_IS_OBJECT(claims))
		return NULL;
	if (dibs_json_bool(&claims->root, "email_verified", &verified) && !verified)
		return NULL;
	return claim_text(claims, dibs_claim_email);
}

/* 8-4-4-4-12 hexadecimal digits, as issuers write it. */
static bool
ulid_of_uuid(const char *text, char ulid[DIBS_ULID_LEN + 1])
{
	DibsUlid bits;
	pg_uuid_t *uuid;

	if (strlen(text) != UUID_TEXT_LEN || strspn(text, "0123456789abcdefABCDEF-") != UUID_TEXT_LEN)
		return false;
	for (int i = 0; i < UUID_TEXT_LEN; i++)
	{
		if ((text[i] == '-') != (i == 8 || i == 13 || i == 18 || i == 23))
			return false;
	}
	uuid = DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(text)));
	dibs_ulid_from_bytes(uuid->data, &bits);
	dibs_ulid_format(&bits, ulid);
	ulid[DIBS_ULID_LEN] = '\0';
	return true;
}

/* Reads "UserKey" as its owner: the caller has no right to it. */
static bool
ulid_of_key(const char *key, char ulid[DIBS_ULID_LEN + 1])
{
	Datum values[1] = {CStringGetTextDatum(key)};
	DibsCaller caller;
	bool found;

	dibs_become_owner(&caller);
	SPI_connect();
	found = dibs_execute(&key_sql, values, NULL, true, SPI_OK_SELECT) == 1;
	if (found)
		strlcpy(ulid, dibs_column(0, 1), DIBS_ULID_LEN + 1);
	SPI_finish();
	dibs_become_caller(&caller);
	return found;
}

bool
dibs_current_user(char ulid[DIBS_ULID_LEN + 1])
{
	char *subject;

	if (acting_as() != NULL)
	{
		strlcpy(ulid, acting_as(), DIBS_ULID_LEN + 1);
		return true;
	}
	if (!is_gateway_session())
		return dibs_user_ulid != NULL && dibs_ulid_canonical(dibs_user_ulid, ulid);
	subject = claim_text(trusted_claims(), dibs_claim_user);
	if (subject == NULL || subject[0] == '\0')
		return false;
	return dibs_ulid_canonical(subject, ulid) || ulid_of_uuid(subject, ulid) || ulid_of_key(subject, ulid);
}

/* Whether the session's role has EXECUTE on a function of dibs with these arguments: the mark of a level. */
static bool
role_may_call(const char *name, const Oid *types, int n_types)
{
	Oid schema = get_namespace_oid("dibs", true);
	oidvector *arguments = buildoidvector(types, n_types);
	Oid function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name), PointerGetDatum(arguments),
								   ObjectIdGetDatum(schema));

	if (!OidIsValid(function))
		return superuser_arg(GetOuterUserId());
	return dibs_function_aclcheck(function, GetOuterUserId(), ACL_EXECUTE) == ACLCHECK_OK;
}

static bool
is_admin_role(void)
{
	const Oid types[] = {REGROLEOID, TEXTOID};

	return role_may_call("grant_access", types, lengthof(types));
}

static bool
is_admin_by_claim(void)
{
	return claim_says(trusted_claims(), dibs_claim_role, admin_claim);
}

/* True for level admin, and for an administrator by claim. */
static bool
is_admin(void)
{
	return acting_as() == NULL && (is_admin_role() || is_admin_by_claim());
}

bool
dibs_sees_all(void)
{
	const Oid types[] = {BPCHAROID};

	if (acting_as() != NULL)
		return false;
	return role_may_call("act_as", types, lengthof(types)) || is_admin_role() || is_admin_by_claim();
}

PG_FUNCTION_INFO_V1(dibs_act_as);

Datum
dibs_act_as(PG_FUNCTION_ARGS)
{
	char ulid[DIBS_ULID_LEN + 1] = "";

	if (!PG_ARGISNULL(0))
	{
		char *given = TextDatumGetCString(PG_GETARG_DATUM(0));

		if (!dibs_ulid_canonical(given, ulid))
			ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("\"%s\" is no ULID", given),
							errhint("dibs.uuid_to_ulid() turns a uuid into one.")));
	}
	act_as(ulid);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(dibs_current_user_ulid);

Datum
dibs_current_user_ulid(PG_FUNCTION_ARGS)
{
	char ulid[DIBS_ULID_LEN + 1];

	if (!dibs_current_user(ulid))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(ulid));
}

PG_FUNCTION_INFO_V1(dibs_is_admin_sql);

Datum
dibs_is_admin_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_admin());
}

PG_FUNCTION_INFO_V1(dibs_sees_all_sql);

Datum
dibs_sees_all_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(dibs_sees_all());
}

PG_FUNCTION_INFO_V1(dibs_claimed_email_sql);

Datum
dibs_claimed_email_sql(PG_FUNCTION_ARGS)
{
	char *email = claimed_email();

	if (email == NULL || email[0] == '\0')
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(email));
}
