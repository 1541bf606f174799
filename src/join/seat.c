/*
 * seat.c
 *		A token's signature, and what the rows say to it. Nothing here raises because of what a token says: whoever has
 *		one that is no good learns that, and no more.
 */
#include "compat.h"

#include "access/xact.h"
#include "utils/builtins.h"

#include "errors.h"
#include "guc.h"
#include "join/seat.h"
#include "queue/plan.h"
#include "secrets/keyring.h"

void
dibs_seat_read(const char *text, size_t len, DibsSeat *seat)
{
	unsigned char bytes[DIBS_TOKEN_BYTES];
	const uint8 *key = NULL;

	memset(seat, 0, sizeof(*seat));
	seat->state = DIBS_SEAT_INVALID;
	if (!dibs_token_parse(text, len, &seat->token, bytes))
		return;
	if (!dibs_keyring_ready())
	{
		ereport(WARNING, (errcode(DIBS_ERR_CONFIG), errmsg("tokens cannot be checked: %s", dibs_keyring_problem())));
		seat->state = DIBS_SEAT_UNKNOWN;
		return;
	}
	if (seat->token.key_version > 0 && seat->token.key_version <= PG_INT32_MAX)
		key = dibs_keyring_mac_key(seat->token.key_version, DIBS_PURPOSE_JOIN);
	if (key != NULL && dibs_token_is_signed(bytes, key, DIBS_MAC_KEY_LEN))
		seat->state = DIBS_SEAT_OPEN;
}

void
dibs_seat_values(const DibsSeat *seat, Datum values[3])
{
	values[0] = CStringGetTextDatum(seat->token.booking);
	values[1] = CStringGetTextDatum(seat->token.user);
	values[2] = CStringGetTextDatum(seat->token.subject);
}

static bool
is(const char *value, const char *other)
{
	return value != NULL && strcmp(value, other) == 0;
}

static TimestampTz
shifted(TimestampTz at, int minutes)
{
	return TIMESTAMP_NOT_FINITE(at) ? at : at + (int64) minutes * SECS_PER_MINUTE * USECS_PER_SEC;
}

/* Being removed ended a participant's tokens for good; the last of them is told why, as long as the place stays so. */
static bool
subject_fits(const DibsToken *token, const char *place, int version)
{
	if (token->role == DIBS_TOKEN_HOST)
		return true;
	return place != NULL && (token->subject_version == (uint32) version ||
							 (is(place, "CANCELLED") && token->subject_version + 1 == (uint32) version));
}

void
dibs_seat_judge(DibsSeat *seat)
{
	const DibsToken *token = &seat->token;
	const char *status = dibs_column(0, 1);
	const char *place = dibs_column(0, 5);
	TimestampTz now = GetCurrentTransactionStartTimestamp();

	seat->opens_at = shifted(dibs_column_time(0, 2), -dibs_join_early);
	if (token->booking_version != (uint32) dibs_column_int(0, 4) || !subject_fits(token, place, dibs_column_int(0, 6)))
		seat->state = DIBS_SEAT_INVALID;
	else if (is(status, "CANCELLED") || is(status, "REJECTED") || is(place, "CANCELLED"))
		seat->state = DIBS_SEAT_CANCELLED;
	else if (is(status, "COMPLETED") || is(status, "NO_SHOW") || now > shifted(dibs_column_time(0, 3), dibs_join_late))
		seat->state = DIBS_SEAT_ENDED;
	else if (is(status, "PENDING"))
		seat->state = DIBS_SEAT_UNCONFIRMED;
	else
		seat->state = now < seat->opens_at ? DIBS_SEAT_EARLY : DIBS_SEAT_OPEN;
}
