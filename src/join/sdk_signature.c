/*
 * sdk_signature.c
 *		Zoom's SDK signatures: the bounds of Zoom's pages "Meeting SDK auth" and "Video SDK authorization", checked here
 *		because Zoom's own answer to a bad one is only "Signature is invalid".
 */
#include "compat.h"

#include <string.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "crypto/jwt.h"
#include "errors.h"
#include "join/sdk_signature.h"

#define MEETING_DIGITS_MIN 9
#define MEETING_DIGITS_MAX 11
#define TOPIC_MAX 200
#define USER_KEY_MAX 36
#define KEY_MAX 200

/* Besides letters, digits and the space. */
static const char topic_symbols[] = "!#$%&()+-:;<=.>?@[]^_{}|~,";

static void
check_role(int role)
{
	if (role != DIBS_ZOOM_PARTICIPANT && role != DIBS_ZOOM_HOST)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("no such role: %d", role),
						errhint("0 is a participant, 1 a host."), errhidestmt(true)));
}

static void
check_key(const char *key, const char *secret)
{
	if (key[0] == '\0' || strlen(key) > KEY_MAX || secret[0] == '\0')
		ereport(ERROR, (errcode(DIBS_ERR_CONFIG), errmsg("the SDK key or secret is empty or too long"),
						errhint("Set both as Zoom's Marketplace shows them."), errhidestmt(true)));
}

static int64
issue_second(TimestampTz issued_at, int64 ttl_s)
{
	if (ttl_s < DIBS_SDK_MIN_TTL || ttl_s > DIBS_SDK_MAX_TTL)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("a signature cannot last %lld s", (long long) ttl_s),
						errhint("Zoom accepts %d s to %d s.", DIBS_SDK_MIN_TTL, DIBS_SDK_MAX_TTL), errhidestmt(true)));
	if (TIMESTAMP_NOT_FINITE(issued_at) || timestamptz_to_time_t(issued_at) < 0)
		ereport(ERROR,
				(errcode(DIBS_ERR_BAD_VALUE),
				 errmsg("a signature cannot be issued at \"%s\"", timestamptz_to_str(issued_at)), errhidestmt(true)));
	return (int64) timestamptz_to_time_t(issued_at);
}

static char *
sign(StringInfo claims, const char *secret)
{
	size_t len = DIBS_JWT_HS256_LEN(claims->len);
	char *token = palloc(len + 1);

	if (!dibs_jwt_sign_hs256(claims->data, claims->len, secret, strlen(secret), token))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not sign"), errhidestmt(true)));
	token[len] = '\0';
	return token;
}

/* The number as people copy it, without what they copied with it. */
static void
append_meeting_number(StringInfo claims, const char *given)
{
	int digits = 0;

	appendStringInfoString(claims, ",\"mn\":\"");
	for (const char *p = given; *p != '\0'; p++)
	{
		if (*p == ' ' || *p == '-')
			continue;
		if (*p < '0' || *p > '9' || ++digits > MEETING_DIGITS_MAX)
		{
			digits = 0;
			break;
		}
		appendStringInfoChar(claims, *p);
	}
	if (digits < MEETING_DIGITS_MIN)
		ereport(ERROR,
				(errcode(DIBS_ERR_BAD_VALUE),
				 errmsg("not a Zoom meeting number: \"%.*s\"", pg_mbcliplen(given, (int) strlen(given), 64), given),
				 errhint("It has %d to %d digits.", MEETING_DIGITS_MIN, MEETING_DIGITS_MAX), errhidestmt(true)));
	appendStringInfoChar(claims, '"');
}

char *
dibs_zoom_meeting_signature(const char *key, const char *secret, const char *meeting_number, int role,
							TimestampTz issued_at, int64 ttl_s)
{
	int64 issued = issue_second(issued_at, ttl_s);
	StringInfoData claims;

	check_key(key, secret);
	initStringInfo(&claims);
	appendStringInfoString(&claims, "{\"appKey\":");
	escape_json(&claims, key);
	if (meeting_number != NULL)
	{
		check_role(role);
		append_meeting_number(&claims, meeting_number);
		appendStringInfo(&claims, ",\"role\":%d", role);
	}
	appendStringInfo(&claims, ",\"iat\":" INT64_FORMAT ",\"exp\":" INT64_FORMAT ",\"tokenExp\":" INT64_FORMAT "}",
					 issued, issued + ttl_s, issued + ttl_s);
	return sign(&claims, secret);
}

static void
check_topic(const char *topic)
{
	size_t len = strlen(topic);

	if (len == 0 || len > TOPIC_MAX)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("a topic cannot have %zu characters", len),
						errhint("Zoom accepts 1 to %d.", TOPIC_MAX), errhidestmt(true)));
	for (const char *p = topic; *p != '\0'; p++)
	{
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == ' ' ||
			  strchr(topic_symbols, *p) != NULL))
			ereport(ERROR,
					(errcode(DIBS_ERR_BAD_VALUE), errmsg("Zoom does not accept this topic: \"%s\"", topic),
					 errhint("Letters a-z, digits, blanks and %s are accepted.", topic_symbols), errhidestmt(true)));
	}
}

char *
dibs_zoom_video_signature(const char *key, const char *secret, const char *topic, int role, const char *user_key,
						  TimestampTz issued_at, int64 ttl_s)
{
	int64 issued = issue_second(issued_at, ttl_s);
	StringInfoData claims;

	check_key(key, secret);
	check_role(role);
	check_topic(topic);
	if (user_key != NULL && (user_key[0] == '\0' || pg_mbstrlen(user_key) > USER_KEY_MAX))
		ereport(ERROR,
				(errcode(DIBS_ERR_BAD_VALUE), errmsg("a user key cannot have %d characters", pg_mbstrlen(user_key)),
				 errhint("Zoom accepts 1 to %d.", USER_KEY_MAX), errhidestmt(true)));
	initStringInfo(&claims);
	appendStringInfoString(&claims, "{\"app_key\":");
	escape_json(&claims, key);
	appendStringInfo(&claims, ",\"role_type\":%d,\"tpc\":", role);
	escape_json(&claims, topic);
	appendStringInfo(&claims, ",\"version\":1,\"iat\":" INT64_FORMAT ",\"exp\":" INT64_FORMAT, issued, issued + ttl_s);
	if (user_key != NULL)
	{
		appendStringInfoString(&claims, ",\"user_key\":");
		escape_json(&claims, user_key);
	}
	appendStringInfoChar(&claims, '}');
	return sign(&claims, secret);
}
