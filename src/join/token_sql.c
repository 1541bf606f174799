/*
 * token_sql.c
 *		Tokens for SQL: validate_session_token(), and what the functions of sql/join.sql that issue and revoke tokens
 *		stand on.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "booking/takeup.h"
#include "booking/write_mode.h"
#include "core/encoding.h"
#include "crypto/hmac.h"
#include "errors.h"
#include "join/seat.h"
#include "queue/plan.h"
#include "secrets/canary.h"
#include "secrets/keyring.h"
#include "secrets/seal.h"

PG_FUNCTION_INFO_V1(dibs_validate_session_token);
PG_FUNCTION_INFO_V1(dibs_sign_token);
PG_FUNCTION_INFO_V1(dibs_token_hash);
PG_FUNCTION_INFO_V1(dibs_take_up_booking);
PG_FUNCTION_INFO_V1(dibs_note_tokens);

static DibsStatement seat_sql = {
	"SELECT " DIBS_SEAT_COLUMNS DIBS_SEAT_FROM DIBS_SEAT_WHERE, 3, {BPCHAROID, BPCHAROID, BPCHAROID}, NULL};

Datum
dibs_validate_session_token(PG_FUNCTION_ARGS)
{
	text *token;
	DibsSeat seat;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	token = PG_GETARG_TEXT_PP(0);
	dibs_seat_read(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), &seat);
	if (seat.state == DIBS_SEAT_OPEN)
	{
		Datum values[3];

		dibs_seat_values(&seat, values);
		SPI_connect();
		if (dibs_execute(&seat_sql, values, NULL, true, SPI_OK_SELECT) == 1)
			dibs_seat_judge(&seat);
		else
			seat.state = DIBS_SEAT_INVALID;
		SPI_finish();
	}
	PG_RETURN_BOOL(seat.state == DIBS_SEAT_OPEN);
}

static void
copy_ulid(FunctionCallInfo fcinfo, int arg, char *out, const char *what)
{
	BpChar *value = PG_GETARG_BPCHAR_PP(arg);

	if (VARSIZE_ANY_EXHDR(value) != DIBS_ULID_LEN)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("%s is no ULID", what)));
	memcpy(out, VARDATA_ANY(value), DIBS_ULID_LEN);
	out[DIBS_ULID_LEN] = '\0';
}

/*
 * sign_token(host, booking, coach, subject, booking's version, subject's version). Whoever calls it decides who gets a
 * token: it is for dibs' own functions.
 */
Datum
dibs_sign_token(PG_FUNCTION_ARGS)
{
	char out[DIBS_TOKEN_LEN + 1];
	DibsToken token;
	const uint8 *key;

	token.role = PG_GETARG_BOOL(0) ? DIBS_TOKEN_HOST : DIBS_TOKEN_PARTICIPANT;
	copy_ulid(fcinfo, 1, token.booking, "the booking");
	copy_ulid(fcinfo, 2, token.user, "the booking's coach");
	copy_ulid(fcinfo, 3, token.subject, "the participant");
	token.booking_version = (uint32) PG_GETARG_INT32(4);
	token.subject_version = (uint32) PG_GETARG_INT32(5);

	token.key_version = dibs_sealing_version();
	/* another key under this number would end every token: it has to be noticed */
	dibs_canary_write(token.key_version);
	key = dibs_keyring_mac_key(token.key_version, DIBS_PURPOSE_JOIN);
	if (key == NULL)
		ereport(ERROR, (errcode(DIBS_ERR_CONFIG), errmsg("the master keys have just changed"), errhint("Try again.")));
	if (!dibs_token_write(&token, key, DIBS_MAC_KEY_LEN, out))
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE),
						errmsg("booking \"%s\" of coach \"%s\" has ids that are no ULIDs", token.booking, token.user),
						errhint("\"ulid\" and \"userUlid\" are 26 characters of Crockford's base32 in upper case: "
								"dibs.gen_ulid() makes them.")));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out, DIBS_TOKEN_LEN));
}

/* SHA-256 in hex, by which applications match a token without keeping it. */
Datum
dibs_token_hash(PG_FUNCTION_ARGS)
{
	text *token = PG_GETARG_TEXT_PP(0);
	unsigned char hash[DIBS_SHA256_LEN];
	char hex[2 * DIBS_SHA256_LEN];

	if (!dibs_sha256(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), hash))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not hash")));
	dibs_hex_encode(hash, sizeof(hash), hex);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(hex, sizeof(hex)));
}

/* What the worker will do when it takes the booking up, for somebody who cannot wait for it. */
Datum
dibs_take_up_booking(PG_FUNCTION_ARGS)
{
	const char *ulid = TextDatumGetCString(PG_GETARG_DATUM(0));
	const char *user = TextDatumGetCString(PG_GETARG_DATUM(1));
	int version = PG_GETARG_INT32(2);

	SPI_connect();
	dibs_take_up(dibs_text_array(&ulid, 1), dibs_text_array(&user, 1), dibs_int_array(&version, 1));
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * The hashes of participants' tokens (null: none), where they differ from what is there: in "BookingParticipant", in
 * the json column for those who are in it, and the primary one's in "customValidationToken", unless an application has
 * a value of its own there. That is no change of the booking that anybody has to hear of.
 */
static DibsStatement note_sql = {
	"WITH p AS MATERIALIZED (SELECT q.\"ulid\", lower(q.\"email\") AS email, q.\"isPrimary\", q.\"validationToken\" AS before,"
	"  t.hash FROM unnest($3, $4) AS t(ulid, hash) JOIN dibs.\"BookingParticipant\" q ON q.\"ulid\" = t.ulid::char(26)"
	"  WHERE q.\"bookingUlid\" = $1 AND q.\"userUlid\" = $2),"
	" w AS (UPDATE dibs.\"BookingParticipant\" q SET \"validationToken\" = p.hash FROM p WHERE q.\"ulid\" = p.\"ulid\""
	"  AND q.\"bookingUlid\" = $1 AND q.\"userUlid\" = $2 AND p.before IS DISTINCT FROM p.hash)"
	" UPDATE dibs.\"CalBooking\" b SET \"participants\" = (SELECT coalesce(jsonb_agg("
	"   CASE WHEN p.email IS NULL OR jsonb_typeof(e.j) <> 'object' THEN e.j"
	"    WHEN p.hash IS NULL THEN e.j - 'validationToken'"
	"    ELSE e.j || jsonb_build_object('validationToken', p.hash) END ORDER BY e.ord), '[]')"
	"   FROM jsonb_array_elements(b.\"participants\") WITH ORDINALITY AS e(j, ord)"
	"   LEFT JOIN LATERAL (SELECT p.email, p.hash FROM p WHERE p.email = lower(e.j->>'email') LIMIT 1) p ON true),"
	"  \"customValidationToken\" = CASE WHEN b.\"customValidationToken\" IS NULL OR b.\"customValidationToken\" ="
	"    (SELECT p.before FROM p WHERE p.\"isPrimary\" LIMIT 1)"
	"   THEN (SELECT p.hash FROM p WHERE p.\"isPrimary\" LIMIT 1) ELSE b.\"customValidationToken\" END"
	" WHERE b.\"ulid\" = $1 AND b.\"userUlid\" = $2 AND EXISTS (SELECT FROM p WHERE p.before IS DISTINCT FROM p.hash)",
	4,
	{BPCHAROID, BPCHAROID, TEXTARRAYOID, TEXTARRAYOID},
	NULL};

Datum
dibs_note_tokens(PG_FUNCTION_ARGS)
{
	Datum values[4] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2), PG_GETARG_DATUM(3)};

	SPI_connect();
	/* keeps what says that there is work, and wakes nobody */
	dibs_set_write_mode(DIBS_WRITE_SETTLE);
	(void) dibs_execute(&note_sql, values, NULL, false, SPI_OK_UPDATE);
	dibs_set_write_mode(DIBS_WRITE_DIRECT);
	SPI_finish();
	PG_RETURN_VOID();
}
