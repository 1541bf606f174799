/*
 * cal_managed.c
 *		Makes users at Cal.com for a platform's coaches ("managed users"), and connects them.
 *
 * A wish is a row of "CalChange". Cal.com has one managed user for an e-mail address and client, so that a wish whose
 * answer was lost, or that finds the user there already, is looked up by the address; new tokens are made then, because
 * nothing gives the first ones again. They are sealed and committed before anything uses them.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "account/access.h"
#include "account/connect.h"
#include "calendar/cal_job.h"
#include "core/jsonread.h"
#include "guc.h"
#include "queue/plan.h"

/* Cal.com gives so many a page; an address is one user's. */
#define LOOKUP_LIMIT 50
/* A create whose answer did not come may still be at work there: it is looked for after this, at least. */
#define SETTLE_DOWN_MS 3000
/* Requests by the client are throttled by themselves. */
#define CLIENT_ACCOUNT "platform client"

typedef enum Phase
{
	PHASE_LOOK_UP,
	PHASE_CREATE,
	PHASE_TOKENS,
} Phase;

typedef struct Managed
{
	const DibsAccountProvider *provider;
	DibsAccess client;
	DibsCalAnswer answer;
	char *user_ulid;
	char *email;
	char *name;
	char *time_zone;
	TimestampTz sent_at;
	Phase phase;
	char *conflict; /* Cal.com's words: there is one already */
	DibsIdentity who;
	DibsTokens tokens;
} Managed;

static DibsStatement take_sql = {
	"SELECT c.\"userUlid\", c.\"data\"->>'email', c.\"data\"->>'name', c.\"data\"->>'timeZone', c.\"maybeSent\", c.\"sentAt\""
	" FROM dibs.\"CalChange\" c WHERE c.\"ulid\" = $1 AND c.\"state\" = 'waiting' FOR NO KEY UPDATE",
	1,
	{BPCHAROID},
	NULL};

static DibsStatement sending_sql = {
	"UPDATE dibs.\"CalChange\" SET \"maybeSent\" = true, \"sentAt\" = clock_timestamp(), \"updatedAt\" = clock_timestamp()"
	" WHERE \"ulid\" = $1",
	1,
	{BPCHAROID},
	NULL};

static DibsStatement note_sql = {
	"UPDATE dibs.\"CalChange\" SET \"maybeSent\" = $2, \"errorCode\" = $3, \"error\" = $4, \"updatedAt\" = clock_timestamp()"
	" WHERE \"ulid\" = $1 AND \"state\" = 'waiting'",
	4,
	{BPCHAROID, BOOLOID, TEXTOID, TEXTOID},
	NULL};

static DibsStatement end_sql = {
	"UPDATE dibs.\"CalChange\" SET \"state\" = $2, \"errorCode\" = $3, \"error\" = $4,"
	" \"answer\" = jsonb_strip_nulls(jsonb_build_object('account', $5, 'userId', $6)), \"updatedAt\" = clock_timestamp(),"
	" \"endedAt\" = clock_timestamp() WHERE \"ulid\" = $1 AND \"state\" = 'waiting'",
	6,
	{BPCHAROID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID},
	NULL};

/* $1 the coach, $2 the address, $3 the id there: a user of that address who has another id is no more. */
static DibsStatement replaced_sql = {
	"WITH a AS (UPDATE dibs.\"ProviderAccount\" SET \"state\" = 'disconnected', \"email\" = NULL WHERE \"provider\" = 'cal'"
	"  AND \"userUlid\" = $1 AND lower(\"email\") = lower($2) AND \"externalId\" <> $3 RETURNING \"ulid\")"
	"DELETE FROM dibs.\"ProviderCredential\" c USING a WHERE c.\"accountUlid\" = a.\"ulid\"",
	3,
	{BPCHAROID, TEXTOID, TEXTOID},
	NULL};

static bool
managed_prepare(DibsCall *call)
{
	Managed *m = palloc0(sizeof(Managed));
	Datum values[1] = {CStringGetTextDatum(call->key)};
	bool maybe_sent;

	if (dibs_execute(&take_sql, values, NULL, false, SPI_OK_SELECT) == 0)
		return false;
	m->provider = dibs_account_provider("cal");
	m->user_ulid = dibs_column(0, 1);
	m->email = dibs_column(0, 2);
	m->name = dibs_column(0, 3);
	m->time_zone = dibs_column(0, 4);
	maybe_sent = dibs_column_bool(0, 5);
	m->sent_at = dibs_column_time(0, 6);
	call->state = m;
	if (!dibs_access_managing_client(m->provider, call->context, &m->client, &call->answer))
	{
		/* the operator may set it again */
		call->outcome = DIBS_CALL_RETRY;
		return false;
	}
	m->phase = maybe_sent ? PHASE_LOOK_UP : PHASE_CREATE;
	(void) dibs_execute(&sending_sql, values, NULL, false, SPI_OK_UPDATE);
	call->provider = "cal";
	call->account = CLIENT_ACCOUNT;
	call->no_token = true;
	return true;
}

static Jsonb *
wanted(const Managed *m)
{
	DibsJson json = {0};

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "email", m->email);
	dibs_json_text_member(&json, "name", m->name);
	dibs_json_optional_member(&json, "timeZone", m->time_zone);
	dibs_json_end_object(&json);
	return dibs_json_finish(&json);
}

static DibsHttpRequest *
managed_build(DibsCall *call, DibsHttp *http, const DibsAccess *access)
{
	Managed *m = call->state;
	char *users = psprintf("/oauth-clients/%s/users", dibs_http_escaped(m->client.client_id));
	DibsCalCall request = {.method = "POST", .path = users};
	DibsHttpRequest *made;

	if (dibs_cal_api_url == NULL || *dibs_cal_api_url == '\0')
	{
		dibs_call_failed(call, DIBS_VERDICT_FAILED, "not_configured", "dibs.cal_api_url is not set");
		return NULL;
	}
	if (m->phase == PHASE_TOKENS)
		return m->provider->managed_refresh(http, &m->client, m->who.id, NULL);
	if (m->phase == PHASE_LOOK_UP)
	{
		request.method = "GET";
		request.path = psprintf("%s?limit=%d&emails=%s", users, LOOKUP_LIMIT, dibs_http_escaped(m->email));
	}
	else
		request.body = wanted(m);
	made = dibs_cal_request(http, dibs_cal_api_url, &request, NULL);
	dibs_cal_as_client(made, &m->client);
	return made;
}

/* Cal.com keeps anna@example.com as anna+CLIENT@example.com. */
static bool
is_address(const Managed *m, const char *email)
{
	const char *at = strchr(m->email, '@');

	if (email == NULL || at == NULL)
		return false;
	return pg_strcasecmp(email, m->email) == 0 ||
		   pg_strcasecmp(email, psprintf("%.*s+%s%s", (int) (at - m->email), m->email, m->client.client_id, at)) == 0;
}

static bool
read_user(const JsonbContainer *user, DibsIdentity *who)
{
	who->id = dibs_json_scalar_text(user, "id");
	who->email = dibs_json_text(user, "email");
	who->username = dibs_json_text(user, "username");
	return who->id != NULL && *who->id != '\0';
}

static bool
find_user(Managed *m, JsonbContainer *list)
{
	for (uint32 i = 0; list != NULL && JsonContainerIsArray(list) && i < JsonContainerSize(list); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(list, i);

		if (item->type == jbvBinary && is_address(m, dibs_json_text(item->val.binary.data, "email")) &&
			read_user(item->val.binary.data, &m->who))
			return true;
	}
	return false;
}

static void
go_on(DibsCall *call, Phase phase)
{
	((Managed *) call->state)->phase = phase;
	call->answer.verdict = DIBS_VERDICT_MORE;
}

static void
read_lookup(DibsCall *call, Managed *m)
{
	TimestampTz ready = TimestampTzPlusMilliseconds(m->sent_at, Max(dibs_request_timeout, SETTLE_DOWN_MS));

	if (find_user(m, dibs_cal_data(&m->answer)))
		go_on(call, PHASE_TOKENS);
	else if (m->conflict != NULL)
		/* it is somebody else's: not this client's, or no managed user at all */
		dibs_call_failed(call, DIBS_VERDICT_FAILED, "refused", "%s", m->conflict);
	else if (GetCurrentTimestamp() < ready)
	{
		dibs_call_failed(call, DIBS_VERDICT_UNKNOWN, "provider_down", "it is not known yet whether it was made");
		call->answer.retry_at = ready;
	}
	else
		go_on(call, PHASE_CREATE);
}

static void
managed_read(DibsCall *call, DibsHttpRequest *request)
{
	Managed *m = call->state;
	JsonbContainer *data;

	dibs_cal_answer_read(request, &m->answer);
	dibs_cal_judge(call, &m->answer);
	data = dibs_cal_data(&m->answer);
	if (m->answer.outcome == DIBS_CAL_UNAUTHORIZED || m->answer.outcome == DIBS_CAL_EXPIRED)
	{
		dibs_call_failed(call, DIBS_VERDICT_FAILED, "not_connected", "Cal.com refuses the platform's client: %s",
						 m->answer.error);
		return;
	}
	if (m->phase == PHASE_CREATE && m->answer.outcome == DIBS_CAL_CONFLICT)
	{
		m->conflict = m->answer.error;
		go_on(call, PHASE_LOOK_UP);
		return;
	}
	if (m->answer.outcome != DIBS_CAL_OK)
		return;
	if (m->phase == PHASE_LOOK_UP)
		read_lookup(call, m);
	else if ((m->phase == PHASE_CREATE && !read_user(dibs_json_object(data, "user"), &m->who)) ||
			 !m->provider->managed_tokens(data, &m->tokens))
		dibs_call_failed(call, DIBS_VERDICT_UNKNOWN, "provider_down", "the answer has no user, or no tokens");
}

static void
end_wish(DibsCall *call, const char *state, const char *code, const char *error, const char *account)
{
	const Managed *m = call->state;
	Datum values[6] = {CStringGetTextDatum(call->key), CStringGetTextDatum(state)};
	char nulls[7] = "      ";

	dibs_set_text(values, nulls, 2, code);
	dibs_set_text(values, nulls, 3, error);
	dibs_set_text(values, nulls, 4, account);
	dibs_set_text(values, nulls, 5, account != NULL ? m->who.id : NULL);
	(void) dibs_execute(&end_sql, values, nulls, false, SPI_OK_UPDATE);
	call->outcome = DIBS_CALL_DONE;
}

static void
forget_replaced(const Managed *m)
{
	Datum values[3] = {CStringGetTextDatum(m->user_ulid), (Datum) 0, CStringGetTextDatum(m->who.id)};

	if (m->who.email == NULL)
		return;
	values[1] = CStringGetTextDatum(m->who.email);
	(void) dibs_execute(&replaced_sql, values, NULL, false, SPI_OK_DELETE);
}

static void
managed_settle(DibsCall *call)
{
	Managed *m = call->state;
	Datum values[4] = {CStringGetTextDatum(call->key)};
	char nulls[5] = "    ";
	char *account;

	if (call->answer.verdict == DIBS_VERDICT_DONE)
	{
		forget_replaced(m);
		account = dibs_account_row("cal", m->user_ulid, &m->who);
		if (account == NULL)
		{
			end_wish(call, "refused", "account_taken", "this user of Cal.com's is another coach's here", NULL);
			return;
		}
		dibs_account_connect(account, "cal", m->user_ulid, &m->tokens);
		end_wish(call, "done", NULL, NULL, account);
		return;
	}
	/* who took it over says what becomes of it */
	if (call->lost)
		return;
	if (call->outcome == DIBS_CALL_FAILED)
	{
		end_wish(call,
				 m->answer.outcome == DIBS_CAL_REFUSED || m->answer.outcome == DIBS_CAL_CONFLICT || m->conflict != NULL
					 ? "refused"
					 : "failed",
				 call->answer.error_code, call->answer.error, NULL);
		return;
	}
	/* what was certainly not carried out was not sent */
	values[1] = BoolGetDatum(m->phase != PHASE_CREATE || m->sent_at != 0 ||
							 call->answer.verdict == DIBS_VERDICT_UNKNOWN);
	dibs_set_text(values, nulls, 2, call->answer.error_code);
	dibs_set_text(values, nulls, 3, call->answer.error);
	(void) dibs_execute(&note_sql, values, nulls, false, SPI_OK_UPDATE);
}

const DibsCallKind dibs_cal_managed_job = {
	.name = "cal_managed_user",
	.prepare = managed_prepare,
	.build = managed_build,
	.read = managed_read,
	.settle = managed_settle,
};
