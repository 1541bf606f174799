/*
 * calcom_sample.c
 *		A body such as Cal.com sends, for dibs.test_webhook().
 */
#include "compat.h"

#include "utils/timestamp.h"

#include "calendar/calcom_read.h"
#include "core/jsonbuild.h"

static void
sample_person(DibsJson *json, const char *email, const char *name)
{
	dibs_json_begin_object(json);
	dibs_json_text_member(json, "email", email);
	dibs_json_text_member(json, "name", name);
	dibs_json_text_member(json, "timeZone", "Europe/London");
	dibs_json_end_object(json);
}

static char *
sample_time(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t fsec;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
					tm.tm_sec, (int) (fsec / 1000));
}

/* The booking triggers; for the others there is nothing that would show more than PING does. */
Jsonb *
dibs_cal_sample(const char *name, const DibsSampleWish *wish)
{
	const DibsCalTrigger *trigger = dibs_cal_trigger(name);
	bool ping = strcmp(name, "PING") == 0;
	TimestampTz start = wish->now - wish->now % USECS_PER_HOUR + USECS_PER_DAY;
	DibsJson json = {0};

	if (trigger->verb != DIBS_VERB_DESCRIBE && trigger->verb != DIBS_VERB_HAPPENED && !ping)
		return NULL;
	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "triggerEvent", name);
	dibs_json_text_member(&json, "createdAt", sample_time(wish->now));
	dibs_json_key(&json, "payload");
	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "type", "dibs-sample");
	dibs_json_text_member(&json, "title", "Sample session (dibs.test_webhook)");
	dibs_json_text_member(&json, "startTime", sample_time(start));
	dibs_json_text_member(&json, "endTime", sample_time(start + 30 * USECS_PER_MINUTE));
	dibs_json_key(&json, "length");
	dibs_json_put_int(&json, 30);
	dibs_json_key(&json, "organizer");
	dibs_json_begin_object(&json);
	if (wish->organizer_id != NULL)
		dibs_json_text_member(&json, "id", wish->organizer_id);
	dibs_json_text_member(&json, "name", "Sample Organizer");
	dibs_json_text_member(&json, "email",
						  wish->organizer_email != NULL ? wish->organizer_email : "organizer@example.com");
	dibs_json_optional_member(&json, "username", wish->organizer_username);
	dibs_json_text_member(&json, "timeZone", "UTC");
	dibs_json_end_object(&json);
	dibs_json_key(&json, "attendees");
	dibs_json_begin_array(&json);
	sample_person(&json, "sample.guest@example.com", "Sample Guest");
	dibs_json_end_array(&json);
	if (!ping)
	{
		dibs_json_text_member(&json, "uid", wish->uid);
		dibs_json_text_member(
			&json, "status", trigger->status == DIBS_STATUS_CONFIRMED ? "ACCEPTED" : dibs_status_name(trigger->status));
		if (trigger->status == DIBS_STATUS_CANCELLED)
			dibs_json_text_member(&json, "cancellationReason", "a sample");
	}
	dibs_json_end_object(&json);
	dibs_json_end_object(&json);
	return dibs_json_finish(&json);
}
