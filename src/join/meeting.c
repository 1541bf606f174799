/*
 * meeting.c
 *		join_meeting(): what whoever has a token gets.
 *
 * The token is the credential: the function runs as the extension's owner, asks for nothing else, and gives out only
 * what is this person's. It never raises because of a token. Its answer has the same members whatever the state is.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/datetime.h"
#include "utils/json.h"

#include "core/jsonbuild.h"
#include "core/link.h"
#include "join/seat.h"
#include "join/zoom_embed.h"
#include "queue/plan.h"

PG_FUNCTION_INFO_V1(dibs_join_meeting);

/* Nothing came of the last try: that takes a person, or the next try's time. */
#define SLOW_RETRY_S 60
#define UNKNOWN_RETRY_S 30

enum
{
	C_JOIN_URL = DIBS_SEAT_COLUMN_COUNT + 1,
	C_HOST_URL,
	C_PASSCODE,
	C_WISH,
	C_STATE,
	C_RETRY_AT,
	C_ATTENDEE_ZONE,
	C_NAME,
	C_ZONE,
	C_OWN_URL,
	C_REGISTERING,
	C_EMAIL,
	C_PROVIDER,
	C_EMBEDDABLE,
	C_NUMBER,
	C_HOST,
	C_COACH_NAME,
	C_COACH_ZONE
};

/*
 * A registrant's link is good for the meeting that it is for. Who is being registered, or waits for the host's
 * approval, has no other: everybody's link would outlive their place. What can be embedded is a meeting of the
 * installation's own account: made by us, and not with a coach's own grant.
 */
static DibsStatement meeting_sql = {
	"SELECT " DIBS_SEAT_COLUMNS ", b.\"zoomJoinUrl\", b.\"zoomHostUrl\", b.\"zoomPasscode\", b.\"meetingProvider\","
	" b.\"meetingState\", b.\"meetingRetryAt\", CASE WHEN p.\"isPrimary\" THEN b.\"attendeeTimeZone\" END,"
	" p.\"name\", p.\"timeZone\","
	" CASE WHEN p.\"registrantMeeting\" IS NULL OR p.\"registrantMeeting\" = m.\"externalId\" THEN p.\"joinUrl\" END,"
	" b.\"bookingType\" = 'GROUP' AND (p.\"registrantMeeting\" = m.\"externalId\" OR EXISTS (SELECT FROM dibs.\"Job\" j"
	"  WHERE j.\"kind\" = 'registrant' AND j.\"key\" = p.\"ulid\"::text AND j.\"state\" = 'waiting')),"
	" p.\"email\", m.\"provider\","
	" m.\"provider\" = 'zoom' AND NOT m.\"adopted\" AND coalesce(m.\"account\", '') = '' AND m.\"state\" IN ('ready', 'updating'),"
	" m.\"externalId\", m.\"host\", c.\"name\", c.\"timeZone\"" DIBS_SEAT_FROM
	" LEFT JOIN dibs.\"Meeting\" m ON m.\"bookingUlid\" = b.\"ulid\" AND m.\"userUlid\" = b.\"userUlid\""
	" LEFT JOIN dibs.\"Coach\" c ON c.\"userUlid\" = b.\"userUlid\"" DIBS_SEAT_WHERE,
	3,
	{BPCHAROID, BPCHAROID, BPCHAROID},
	NULL};

typedef struct Answer
{
	const char *state;
	TimestampTz opens_at; /* 0: not told */
	int retry_after;      /* seconds; 0: none */
	const char *provider;
	const char *join_url;
	const char *display_name;
	const char *time_zone;
	const char *role;
	const DibsZoomEmbed *embed;
} Answer;

static const char *
non_empty(const char *value)
{
	return value != NULL && value[0] != '\0' ? value : NULL;
}

static const char *
first_of(const char *a, const char *b)
{
	return non_empty(a) != NULL ? a : non_empty(b);
}

static int
seconds_until(TimestampTz at, TimestampTz now)
{
	int64 seconds = at <= now ? 0 : (at - now + USECS_PER_SEC - 1) / USECS_PER_SEC;

	return (int) Min(seconds, PG_INT32_MAX);
}

/* Whoever wrote it: what a browser would run instead of open is no link. */
static const char *
link_column(int column)
{
	const char *value = dibs_column(0, column);

	return dibs_is_link(value) ? value : NULL;
}

/* The booking can be joined; whether there is something to join yet. */
static void
answer_open(Answer *answer, bool host, TimestampTz now, DibsZoomEmbed *embed)
{
	const char *meeting_state = dibs_column(0, C_STATE);
	const char *link = link_column(C_JOIN_URL);
	const char *own = host ? NULL : link_column(C_OWN_URL);
	bool refused = link == NULL && non_empty(dibs_column(0, C_JOIN_URL)) != NULL;
	bool waits = !host && own == NULL && dibs_column_bool(0, C_REGISTERING);

	if (waits || (link == NULL && (refused || strcmp(meeting_state, "not_needed") != 0)))
	{
		TimestampTz retry_at = dibs_column_time(0, C_RETRY_AT);

		answer->state = "pending";
		if (refused || strcmp(meeting_state, "failed") == 0)
			answer->retry_after = SLOW_RETRY_S;
		else
			answer->retry_after = Max(DIBS_JOIN_RETRY_S, Min(seconds_until(retry_at, now), SLOW_RETRY_S));
		return;
	}
	answer->state = "ready";
	answer->join_url = host ? first_of(link_column(C_HOST_URL), link) : first_of(own, link);
	if (link != NULL && dibs_column_bool(0, C_EMBEDDABLE))
	{
		embed->meeting_number = dibs_column(0, C_NUMBER);
		embed->passcode = dibs_column(0, C_PASSCODE);
		embed->display_name = answer->display_name;
		embed->email = dibs_column(0, C_EMAIL);
		embed->join_url = own;
		if (host)
			embed->host = dibs_column(0, C_HOST);
		/* a host without a name at the provider is no participant, either */
		if (!host || embed->host != NULL)
			answer->embed = embed;
	}
}

static void
answer_from_row(DibsSeat *seat, Answer *answer, DibsZoomEmbed *embed)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	bool host = seat->token.role == DIBS_TOKEN_HOST;

	dibs_seat_judge(seat);
	if (seat->state == DIBS_SEAT_INVALID)
		return;
	answer->role = host ? "host" : "participant";
	answer->provider = first_of(dibs_column(0, C_PROVIDER), dibs_column(0, C_WISH));
	if (host)
	{
		answer->display_name = first_of(dibs_column(0, C_COACH_NAME), "Host");
		answer->time_zone = non_empty(dibs_column(0, C_COACH_ZONE));
	}
	else
	{
		answer->display_name = first_of(dibs_column(0, C_NAME), "Guest");
		answer->time_zone = first_of(dibs_column(0, C_ZONE), dibs_column(0, C_ATTENDEE_ZONE));
	}
	switch (seat->state)
	{
		case DIBS_SEAT_CANCELLED:
			answer->state = "cancelled";
			break;
		case DIBS_SEAT_ENDED:
			answer->state = "ended";
			break;
		case DIBS_SEAT_UNCONFIRMED:
			answer->state = "pending";
			answer->retry_after = SLOW_RETRY_S;
			break;
		case DIBS_SEAT_EARLY:
			answer->state = "early";
			answer->opens_at = seat->opens_at;
			answer->retry_after = seconds_until(seat->opens_at, now);
			break;
		default:
			answer_open(answer, host, now, embed);
			break;
	}
}

static Jsonb *
build(const Answer *answer)
{
	char time[MAXDATELEN + 1];
	int utc = 0;
	DibsJson json = {0};

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "state", answer->state);
	dibs_json_text_member(&json, "opensAt",
						  answer->opens_at == 0
							  ? NULL
							  : JsonEncodeDateTime(time, TimestampTzGetDatum(answer->opens_at), TIMESTAMPTZOID, &utc));
	dibs_json_key(&json, "retryAfter");
	if (answer->retry_after > 0)
		dibs_json_put_int(&json, answer->retry_after);
	else
		dibs_json_put_text(&json, NULL);
	dibs_json_text_member(&json, "provider", answer->provider);
	dibs_json_text_member(&json, "joinUrl", answer->join_url);
	dibs_json_key(&json, "embed");
	if (answer->embed != NULL)
		dibs_zoom_put_embed(&json, answer->embed);
	else
		dibs_json_put_bool(&json, false);
	dibs_json_text_member(&json, "displayName", answer->display_name);
	dibs_json_text_member(&json, "timeZone", answer->time_zone);
	dibs_json_text_member(&json, "role", answer->role);
	dibs_json_end_object(&json);
	return dibs_json_finish(&json);
}

Datum
dibs_join_meeting(PG_FUNCTION_ARGS)
{
	Answer answer = {.state = "invalid"};
	DibsZoomEmbed embed = {0};
	DibsSeat seat = {.state = DIBS_SEAT_INVALID};
	MemoryContext context = CurrentMemoryContext;
	Datum values[3];

	if (!PG_ARGISNULL(0))
	{
		text *token = PG_GETARG_TEXT_PP(0);

		dibs_seat_read(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), &seat);
	}
	if (seat.state == DIBS_SEAT_UNKNOWN)
	{
		answer.state = "pending";
		answer.retry_after = UNKNOWN_RETRY_S;
	}
	else if (seat.state == DIBS_SEAT_OPEN)
	{
		embed.customer_key = seat.token.subject;
		dibs_seat_values(&seat, values);
		SPI_connect();
		/* what is read outlives the connection */
		MemoryContextSwitchTo(context);
		/* a token may have been made by the same statement, and its participant with it */
		if (dibs_execute(&meeting_sql, values, NULL, false, SPI_OK_SELECT) == 1)
			answer_from_row(&seat, &answer, &embed);
		SPI_finish();
	}
	PG_RETURN_JSONB_P(build(&answer));
}
