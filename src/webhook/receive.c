/*
 * receive.c
 *		From raw bytes to a kept and applied event.
 *
 * Nothing is believed before the signature over the raw bytes is. A refusal is a normal return, because an error would
 * roll back the status that PostgREST is to send; it leaves no row, only a count. Everything after that is kept:
 *applied or, where a lock or an error is in the way, queued for the worker.
 */
#include "compat.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "core/encoding.h"
#include "core/jsonbuild.h"
#include "core/jsonread.h"
#include "crypto/hmac.h"
#include "crypto/memory.h"
#include "errors.h"
#include "guc.h"
#include "secrets/secret.h"
#include "webhook/events.h"
#include "webhook/others.h"
#include "webhook/scheme.h"
#include "queue/wake.h"

PG_FUNCTION_INFO_V1(dibs_receive_webhook);
PG_FUNCTION_INFO_V1(dibs_receive_webhook_bytes);
PG_FUNCTION_INFO_V1(dibs_cal_webhook);
PG_FUNCTION_INFO_V1(dibs_zoom_webhook);
PG_FUNCTION_INFO_V1(dibs_calendly_webhook);
PG_FUNCTION_INFO_V1(dibs_daily_webhook);
PG_FUNCTION_INFO_V1(dibs_jaas_webhook);
PG_FUNCTION_INFO_V1(dibs_test_webhook);

#define HTTP_OK 200
#define HTTP_BAD_REQUEST 400
#define HTTP_UNAUTHORIZED 401
#define HTTP_TOO_LARGE 413
#define HTTP_UNUSABLE 422
#define HTTP_UNAVAILABLE 503

/* A sender that retries for a day signs anew only at its first try. */
#define RETRY_TOLERANCE (24 * USECS_PER_HOUR)
/* As src/webhook/scheme.c reads a header's time. */
#define MILLISECONDS_FROM INT64CONST(100000000000)
#define UNIX_EPOCH_SHIFT ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

typedef struct Received
{
	int status; /* HTTP */
	const char *outcome;
	char event[DIBS_ULID_LEN + 1]; /* "" where nothing was kept */
	Jsonb *response;
} Received;

static void
answer(Received *received, int status, const char *outcome, const char *error)
{
	DibsJson json = {0};

	received->status = status;
	received->outcome = outcome;
	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "outcome", outcome);
	if (received->event[0] != '\0')
		dibs_json_text_member(&json, "event", received->event);
	dibs_json_optional_member(&json, "error", error);
	dibs_json_end_object(&json);
	received->response = dibs_json_finish(&json);
}

/* Header names are compared without case: gateways lower them, tests do not. */
static DibsBytes
header(const Jsonb *headers, const char *name)
{
	DibsBytes none = {NULL, 0};
	JsonbIterator *it;
	JsonbValue key, value;
	JsonbIteratorToken token;

	if (headers == NULL || name == NULL || !JB_ROOT_IS_OBJECT(headers))
		return none;
	it = JsonbIteratorInit(unconstify(JsonbContainer *, &headers->root));
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		if (key.val.string.len == (int) strlen(name) &&
			pg_strncasecmp(key.val.string.val, name, key.val.string.len) == 0 && value.type == jbvString)
			return (DibsBytes){value.val.string.val, value.val.string.len};
	}
	return none;
}

/* Of those it is known, or not known to be otherwise, that a retry bears the time of the first try. */
static bool
retries_for_long(const char *source)
{
	return strcmp(source, "zoom") == 0 || strcmp(source, "daily") == 0;
}

/* A time of a header that has been verified, in seconds or milliseconds. */
static bool
is_past(DibsBytes sent_at, int64 now_us)
{
	int64 at = strtoll(pnstrdup((const char *) sent_at.data, sent_at.len), NULL, 10);

	return at < MILLISECONDS_FROM ? at < now_us / USECS_PER_SEC : at < now_us / 1000;
}

/* The same text but for white space between its tokens; the ping has none within them. */
static bool
is_ping(const char *ping, const char *body, Size len)
{
	if (ping == NULL)
		return false;
	for (Size i = 0; i < len; i++)
	{
		if (strchr(" \t\r\n", body[i]) != NULL && body[i] != '\0')
			continue;
		if (*ping == '\0' || body[i] != *ping++)
			return false;
	}
	return *ping == '\0';
}

/*
 * Tries every live secret; the first that fits is given in *fitting. What was sent longer ago than any retry takes is
 * genuine, too, but stale; what is sent in the future is not.
 */
static bool
is_genuine(const DibsScheme *scheme, const Jsonb *headers, DibsBytes body, List *secrets, DibsSecret **fitting,
		   bool *stale)
{
	DibsDelivery delivery = {
		.signature = header(headers, scheme->signature_header),
		.sent_at = header(headers, scheme->time_header),
		.id = header(headers, scheme->id_header),
		.body = body,
	};
	int64 now = GetCurrentTimestamp() + UNIX_EPOCH_SHIFT;
	int64 tolerance = scheme->tolerance_us;
	ListCell *lc;

	if (retries_for_long(scheme->source))
		tolerance = RETRY_TOLERANCE;
	foreach (lc, secrets)
	{
		DibsSecret *secret = lfirst(lc);
		DibsBytes key = {secret->value, secret->len};

		DibsSignature signature = dibs_scheme_verify(scheme, &delivery, key, tolerance, now);

		if (signature == DIBS_SIGNATURE_STALE && tolerance == RETRY_TOLERANCE && is_past(delivery.sent_at, now))
		{
			*stale = true;
			signature = DIBS_SIGNATURE_GENUINE;
		}
		if (signature == DIBS_SIGNATURE_GENUINE)
		{
			*fitting = secret;
			return true;
		}
	}
	return false;
}

/*
 * The body as jsonb, or NULL and the reason. jsonb_in() holds nothing that an error would leave behind, so its errors
 * can be caught without a subtransaction; only those that are about the text are.
 */
static Jsonb *
parse_body(const char *body, Size len, char **reason)
{
	MemoryContext context = CurrentMemoryContext;
	volatile Datum parsed = (Datum) 0;
	/* a datum's bytes have no zero after them */
	char *text = pnstrdup(body, len);

	if (strlen(text) != len || !pg_verify_mbstr(PG_UTF8, text, (int) len, true))
	{
		*reason = "the body is not UTF-8 text";
		return NULL;
	}
	PG_TRY();
	{
		parsed = DirectFunctionCall1(jsonb_in, CStringGetDatum(pg_any_to_server(text, (int) len, PG_UTF8)));
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
			ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			PG_RE_THROW();
		FlushErrorState();
		*reason = psprintf("the body is not JSON: %s", error->message);
	}
	PG_END_TRY();
	return parsed == (Datum) 0 ? NULL : DatumGetJsonbP(parsed);
}

static char *
secret_name(const char *source)
{
	return psprintf("%s.webhook_secret", source);
}

/* Equal for deliveries of one event; short enough for an index. */
static char *
dedupe_key(const char *source, const char *dedupe, DibsBytes body)
{
	unsigned char hash[DIBS_SHA256_LEN];
	char hex[2 * DIBS_SHA256_LEN + 1];
	DibsBytes key = dedupe != NULL ? (DibsBytes){dedupe, strlen(dedupe)} : body;

	if (!dibs_sha256(key.data, key.len, hash))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute SHA-256")));
	dibs_hex_encode(hash, sizeof(hash), hex);
	hex[2 * DIBS_SHA256_LEN] = '\0';
	return psprintf("%s:%s:%s", source, dedupe != NULL ? "event" : "body", hex);
}

static bytea *
body_hash(DibsBytes body)
{
	bytea *hash = palloc(VARHDRSZ + DIBS_SHA256_LEN);

	SET_VARSIZE(hash, VARHDRSZ + DIBS_SHA256_LEN);
	if (!dibs_sha256(body.data, body.len, (unsigned char *) VARDATA(hash)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute SHA-256")));
	return hash;
}

/* A genuine delivery: reads who and what, keeps it, applies it. */
static void
keep(const char *source, DibsBytes body, Jsonb *payload, bool stale, Received *received)
{
	const DibsOtherSource *other = dibs_other_source(source);
	DibsIncoming incoming = {0};
	DibsApplied applied = {0};
	const char *const *bearer_paths;

	incoming.source = source;
	incoming.calendar = dibs_calendar_source(source);
	incoming.meeting = dibs_meeting_source(source);
	incoming.stale = stale;
	incoming.whole = payload;
	if (incoming.calendar != NULL)
	{
		incoming.calendar->identify(payload, &incoming.identity);
		bearer_paths = incoming.calendar->bearer_paths;
	}
	else if (incoming.meeting != NULL)
	{
		incoming.meeting->identify(payload, &incoming.identity);
		bearer_paths = incoming.meeting->bearer_paths;
	}
	else
	{
		incoming.identity.trigger = dibs_json_text(&payload->root, other->trigger_key);
		if (incoming.identity.trigger == NULL)
			incoming.identity.problem = psprintf("the body has no \"%s\"", other->trigger_key);
		bearer_paths = NULL;
	}
	if (incoming.identity.trigger == NULL)
	{
		answer(received, HTTP_BAD_REQUEST, "rejected", incoming.identity.problem);
		return;
	}
	if (!dibs_ulid_generate(incoming.ulid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes for an identifier")));
	incoming.sha256 = body_hash(body);
	incoming.dedupe_key = dedupe_key(source, incoming.identity.dedupe, body);
	incoming.payload = dibs_strip_payload(payload, bearer_paths);
	incoming.received_at = GetCurrentTransactionStartTimestamp();

	switch (dibs_event_deliver(&incoming, &applied))
	{
		case DIBS_DELIVERED_DUPLICATE:
			strlcpy(received->event, incoming.ulid, sizeof(received->event));
			answer(received, HTTP_OK, "duplicate", NULL);
			break;
		case DIBS_DELIVERED_QUEUED:
			strlcpy(received->event, incoming.ulid, sizeof(received->event));
			answer(received, HTTP_OK, "queued", NULL);
			break;
		case DIBS_DELIVERED_DONE:
			strlcpy(received->event, incoming.ulid, sizeof(received->event));
			/* sending it again would not help, and the sender may show the reason to somebody */
			if (applied.outcome == DIBS_OUTCOME_FAILED)
				answer(received, HTTP_UNUSABLE, "rejected", applied.problem);
			else
				answer(received, HTTP_OK, dibs_outcome_name(applied.outcome), NULL);
			break;
	}
}

static void
refuse(const char *source, Received *received, int status, const char *error)
{
	dibs_count_refused(source);
	answer(received, status, "rejected", error);
}

/* body is raw; headers may be NULL. Connects to SPI itself. 22023 for a source that is none. */
static void
receive(const char *source, const Jsonb *headers, const char *body, Size len, Received *received)
{
	const DibsScheme *scheme = dibs_scheme_find(source);
	const DibsOtherSource *other = dibs_other_source(source);
	DibsBytes raw = {body, len};
	DibsSecret *secret = NULL;
	List *secrets;
	bool unreadable = false;
	bool stale = false;
	Jsonb *payload;
	Jsonb *challenge = NULL;
	char *reason = NULL;

	memset(received, 0, sizeof(*received));
	if (scheme == NULL || (dibs_calendar_source(source) == NULL && other == NULL))
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("\"%s\" is no source of webhooks", source),
						errhint("The sources are cal, zoom, calendly, daily and jaas.")));
	if (len > (Size) dibs_max_webhook_size * 1024)
	{
		refuse(source, received, HTTP_TOO_LARGE, "the body is larger than dibs.max_webhook_size");
		return;
	}
	if (other != NULL && is_ping(other->ping, body, len))
	{
		answer(received, HTTP_OK, "ignored", NULL);
		return;
	}
	secrets = dibs_secret_live_quiet(secret_name(source), CurrentMemoryContext, &unreadable);
	if (secrets == NIL)
	{
		/* ours to mend: the sender is to try again */
		refuse(source, received, HTTP_UNAVAILABLE,
			   unreadable ? "the webhook secret cannot be read here at present" : "no webhook secret is set here");
		return;
	}
	if (!is_genuine(scheme, headers, raw, secrets, &secret, &stale))
	{
		refuse(source, received, HTTP_UNAUTHORIZED, "the signature is missing or wrong");
		return;
	}
	dibs_secret_used(secret);
	payload = parse_body(body, len, &reason);
	if (payload == NULL)
	{
		answer(received, HTTP_BAD_REQUEST, "rejected", reason);
		return;
	}
	if (other != NULL && other->challenge != NULL)
		challenge = other->challenge(payload, (DibsBytes){secret->value, secret->len});
	if (challenge != NULL)
	{
		received->status = HTTP_OK;
		received->outcome = "ignored";
		received->response = challenge;
		return;
	}
	keep(source, raw, payload, stale, received);
}

/*
 * In its own memory context and SPI connection: what it leaves behind is gone when the call is, the secrets with it.
 * The answer's parts are copied to the caller's.
 */
static void
receive_for(const char *source, const Jsonb *headers, const char *body, Size len, Received *received)
{
	MemoryContext caller = CurrentMemoryContext;

	SPI_connect();
	receive(source, headers, body, len, received);
	MemoryContextSwitchTo(caller);
	received->response = memcpy(palloc(VARSIZE(received->response)), received->response, VARSIZE(received->response));
	SPI_finish();
}

static Datum
received_jsonb(const Received *received)
{
	DibsJson json = {0};
	JsonbValue response;

	dibs_json_begin_object(&json);
	dibs_json_key(&json, "status");
	dibs_json_put_int(&json, received->status);
	dibs_json_text_member(&json, "outcome", received->outcome);
	dibs_json_text_member(&json, "event", received->event[0] != '\0' ? received->event : NULL);
	dibs_json_key(&json, "response");
	response.type = jbvBinary;
	response.val.binary.data = &received->response->root;
	response.val.binary.len = VARSIZE(received->response) - VARHDRSZ;
	dibs_json_put_value(&json, &response);
	dibs_json_end_object(&json);
	return JsonbPGetDatum(dibs_json_finish(&json));
}

static char *
source_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("the source of a webhook must not be null"),
						errhint("The sources are cal, zoom, calendly, daily and jaas.")));
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

/* text: what the client sent, in the database's encoding; the sender signed UTF-8. */
Datum
dibs_receive_webhook(PG_FUNCTION_ARGS)
{
	char *source = source_argument(fcinfo);
	Jsonb *headers = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	text *body = PG_ARGISNULL(2) ? cstring_to_text("") : PG_GETARG_TEXT_PP(2);
	Received received;

	if (GetDatabaseEncoding() == PG_UTF8)
		receive_for(source, headers, VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body), &received);
	else
	{
		char *utf8 = pg_server_to_any(VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body), PG_UTF8);

		receive_for(source, headers, utf8, utf8 == VARDATA_ANY(body) ? VARSIZE_ANY_EXHDR(body) : strlen(utf8),
					&received);
	}
	PG_RETURN_DATUM(received_jsonb(&received));
}

Datum
dibs_receive_webhook_bytes(PG_FUNCTION_ARGS)
{
	char *source = source_argument(fcinfo);
	Jsonb *headers = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	bytea *body = PG_ARGISNULL(2) ? palloc0(VARHDRSZ) : PG_GETARG_BYTEA_PP(2);
	Received received;

	if (PG_ARGISNULL(2))
		SET_VARSIZE(body, VARHDRSZ);
	receive_for(source, headers, VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body), &received);
	PG_RETURN_DATUM(received_jsonb(&received));
}

/*
 * PostgREST's raw-body form: the whole body is the one unnamed json parameter (json keeps its bytes, jsonb would not),
 * the headers and the status go through settings of the transaction.
 */
static Datum
face(FunctionCallInfo fcinfo, const char *source)
{
	text *body = PG_ARGISNULL(0) ? cstring_to_text("") : PG_GETARG_TEXT_PP(0);
	const char *request_headers = GetConfigOption("request.headers", true, false);
	Jsonb *headers = NULL;
	char status[12];
	Received received;

	if (request_headers != NULL && *request_headers != '\0')
		headers = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(request_headers)));
	receive_for(source, headers, VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body), &received);
	snprintf(status, sizeof(status), "%d", received.status);
	(void) set_config_option("response.status", status, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	PG_RETURN_TEXT_P(cstring_to_text(JsonbToCString(NULL, &received.response->root, VARSIZE(received.response))));
}

Datum
dibs_cal_webhook(PG_FUNCTION_ARGS)
{
	return face(fcinfo, "cal");
}

Datum
dibs_zoom_webhook(PG_FUNCTION_ARGS)
{
	return face(fcinfo, "zoom");
}

Datum
dibs_calendly_webhook(PG_FUNCTION_ARGS)
{
	return face(fcinfo, "calendly");
}

Datum
dibs_daily_webhook(PG_FUNCTION_ARGS)
{
	return face(fcinfo, "daily");
}

Datum
dibs_jaas_webhook(PG_FUNCTION_ARGS)
{
	return face(fcinfo, "jaas");
}

/* Headers as the sender would set them for this body. */
static Jsonb *
signed_headers(const DibsScheme *scheme, const char *source, DibsBytes body)
{
	bool unreadable;
	List *secrets = dibs_secret_live_quiet(secret_name(source), CurrentMemoryContext, &unreadable);
	unsigned char mac[DIBS_SHA256_LEN];
	char hex[2 * DIBS_SHA256_LEN + 1];
	DibsSecret *secret;
	DibsJson json = {0};

	if (secrets == NIL)
		ereport(ERROR, (errcode(DIBS_ERR_CONFIG), errmsg("there is no usable secret \"%s\"", secret_name(source)),
						errhint("Set it: SELECT dibs.set_secret('%s', '...').", secret_name(source))));
	secret = linitial(secrets);
	if (!dibs_hmac_sha256(secret->value, secret->len, &body, 1, mac))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute an HMAC")));
	dibs_hex_encode(mac, sizeof(mac), hex);
	hex[2 * DIBS_SHA256_LEN] = '\0';
	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, scheme->signature_header, hex);
	dibs_json_end_object(&json);
	return dibs_json_finish(&json);
}

#define SQL_A_COACH                                                                                                    \
	"SELECT \"externalId\", \"email\", \"username\" FROM dibs.\"ProviderAccount\" WHERE \"provider\" = $1 "            \
	"AND \"userUlid\" IS NOT NULL ORDER BY \"createdAt\" LIMIT 1"

/* Delivers a signed sample to ourselves: everything but the network is as with the real sender. */
Datum
dibs_test_webhook(PG_FUNCTION_ARGS)
{
	char *source = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *trigger = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const DibsCalendarSource *calendar = dibs_calendar_source(source);
	DibsSampleWish wish = {0};
	char uid[DIBS_ULID_LEN + 1];
	Oid types[1] = {TEXTOID};
	Datum values[1] = {PG_GETARG_DATUM(0)};
	MemoryContext caller = CurrentMemoryContext;
	Received received;
	Jsonb *sample;
	Jsonb *headers;
	char *body;

	if (calendar == NULL || calendar->sample == NULL)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("there is no sample of \"%s\"", source),
						errhint("Samples exist for: cal.")));
	SPI_connect();
	if (!dibs_ulid_generate(uid))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes for an identifier")));
	wish.uid = psprintf("sample-%s", uid);
	wish.now = GetCurrentTimestamp();
	if (SPI_execute_with_args(SQL_A_COACH, 1, types, values, NULL, true, 1) == SPI_OK_SELECT && SPI_processed > 0)
	{
		wish.organizer_id = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		wish.organizer_email = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
		wish.organizer_username = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3);
	}
	sample = calendar->sample(trigger, &wish);
	if (sample == NULL)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("there is no sample of trigger \"%s\"", trigger),
						errhint("Samples exist for the BOOKING_* triggers that are about a whole booking, and PING.")));
	body = JsonbToCString(NULL, &sample->root, VARSIZE(sample));
	headers = signed_headers(dibs_scheme_find(source), source, (DibsBytes){body, strlen(body)});
	receive(source, headers, body, strlen(body), &received);
	MemoryContextSwitchTo(caller);
	values[0] = received_jsonb(&received);
	SPI_finish();
	PG_RETURN_DATUM(values[0]);
}
