/*
 * calcom.c
 *		Reads Cal.com's webhooks. Only the calcom files know its names.
 *
 * Two generations of sender are in use. Both wrap a booking as {triggerEvent, createdAt, payload}; the older one sends
 * MEETING_STARTED and MEETING_ENDED flat. The status in a payload is the trigger's, not the booking's, and a payment
 * that was only begun says ACCEPTED: so the trigger decides, not the field. No custom template is understood.
 */
#include "compat.h"

#include "utils/builtins.h"

#include "calendar/cal_job.h"
#include "calendar/calcom_read.h"
#include "core/iso8601.h"
#include "core/jsonbuild.h"

static const DibsCalTrigger triggers[] = {
	{"BOOKING_CREATED", DIBS_VERB_DESCRIBE, DIBS_STATUS_CONFIRMED, 4, NULL},
	{"BOOKING_REQUESTED", DIBS_VERB_DESCRIBE, DIBS_STATUS_PENDING, 1, NULL},
	{"BOOKING_RESCHEDULED", DIBS_VERB_DESCRIBE, DIBS_STATUS_CONFIRMED, 3, NULL},
	{"BOOKING_PAYMENT_INITIATED", DIBS_VERB_HAPPENED, DIBS_STATUS_PENDING, 2, NULL},
	{"BOOKING_PAID", DIBS_VERB_HAPPENED, DIBS_STATUS_CONFIRMED, 5, NULL},
	{"BOOKING_REJECTED", DIBS_VERB_HAPPENED, DIBS_STATUS_REJECTED, 6, NULL},
	{"BOOKING_CANCELLED", DIBS_VERB_HAPPENED, DIBS_STATUS_CANCELLED, 7, NULL},
	{"BOOKING_NO_SHOW_UPDATED", DIBS_VERB_NO_SHOW, DIBS_STATUS_NONE, 0, NULL},
	/* what it tells of meetings, src/meeting/calcom_event.c reads; who did not come is noted with the booking */
	{"AFTER_HOSTS_CAL_VIDEO_NO_SHOW", DIBS_VERB_NOTE, DIBS_STATUS_NONE, 0, "host.absent"},
	{"AFTER_GUESTS_CAL_VIDEO_NO_SHOW", DIBS_VERB_NOTE, DIBS_STATUS_NONE, 0, "guests.absent"},
	{"WRONG_ASSIGNMENT_REPORT", DIBS_VERB_NOTE, DIBS_STATUS_NONE, 0, "assignment.reported"},
};

static const DibsCalTrigger of_no_consequence = {"", DIBS_VERB_IGNORE, DIBS_STATUS_NONE, 0, NULL};

const DibsCalTrigger *
dibs_cal_trigger(const char *name)
{
	for (size_t i = 0; i < lengthof(triggers); i++)
	{
		if (strcmp(triggers[i].name, name) == 0)
			return &triggers[i];
	}
	return &of_no_consequence;
}

char *
dibs_cal_non_empty(char *text)
{
	return text != NULL && *text != '\0' ? text : NULL;
}

char *
dibs_cal_text(const JsonbContainer *object, const char *key)
{
	return dibs_cal_non_empty(dibs_json_text(object, key));
}

char *
dibs_cal_seat_id(const JsonbContainer *booking)
{
	char *seat = dibs_cal_text(booking, "attendeeSeatId");

	if (seat == NULL)
		seat = dibs_cal_text(booking, "seatReferenceUid");
	if (seat == NULL)
		seat = dibs_cal_text(booking, "seatUid");
	return seat;
}

void
dibs_cal_remark(DibsBookingChange *change, const char *key, const char *what)
{
	change->remark = change->remark == NULL ? psprintf("left out: %s is %s", key, what)
											: psprintf("%s; %s is %s", change->remark, key, what);
}

/* Says that a member that is there is not what it should be. */
void
dibs_cal_remark_type(DibsBookingChange *change, const JsonbContainer *object, const char *key, const char *what)
{
	if (dibs_json_member(object, key) != NULL)
		dibs_cal_remark(change, key, psprintf("not %s", what));
}

void
dibs_cal_read_text(DibsBookingChange *change, const JsonbContainer *object, const char *key, DibsField field,
				   DibsColumn column)
{
	char *text = dibs_json_text(object, key);

	if (text == NULL)
		dibs_cal_remark_type(change, object, key, "a string");
	else if (*text == '\0')
		dibs_change_set_null(change, field, column);
	else
		dibs_change_set(change, field, column, CStringGetTextDatum(text));
}

void
dibs_cal_read_int(DibsBookingChange *change, const JsonbContainer *object, const char *key, DibsField field,
				  DibsColumn column)
{
	int64 number;

	if (dibs_json_int64(object, key, 0, PG_INT32_MAX, &number))
		dibs_change_set(change, field, column, Int32GetDatum((int32) number));
	else
		dibs_cal_remark_type(change, object, key, "a whole number that fits");
}

/* The answer to a question: {label, value} in most triggers, the bare value in some. */
JsonbValue *
dibs_cal_answer(const JsonbContainer *responses, const char *slug)
{
	JsonbValue *entry = dibs_json_member(responses, slug);

	if (entry != NULL && entry->type == jbvBinary && JsonContainerIsObject(entry->val.binary.data))
		return dibs_json_member(entry->val.binary.data, "value");
	return entry;
}

char *
dibs_cal_answer_text(const JsonbContainer *responses, const char *slug)
{
	JsonbValue *value = dibs_cal_answer(responses, slug);

	return value != NULL && value->type == jbvString && value->val.string.len > 0
			   ? pnstrdup(value->val.string.val, value->val.string.len)
			   : NULL;
}

const JsonbContainer *
dibs_cal_booking_object(const Jsonb *payload)
{
	JsonbContainer *inner = dibs_json_object(&payload->root, "payload");

	return inner != NULL ? inner : &payload->root;
}

static char *
find_uid(const Jsonb *payload)
{
	const JsonbContainer *booking = dibs_cal_booking_object(payload);
	char *uid = dibs_cal_text(booking, "uid");

	if (uid == NULL)
		uid = dibs_cal_text(booking, "bookingUid");
	if (uid == NULL)
		uid = dibs_cal_text(dibs_json_object(booking, "booking"), "uid");
	if (uid == NULL)
		uid = dibs_cal_text(&payload->root, "uid");
	return uid;
}

/* The time at which it was sent. A flat body's createdAt is the booking's, except that nothing else has a time. */
static TimestampTz
find_sent_at(const Jsonb *payload)
{
	char *text = dibs_json_text(&payload->root, "createdAt");
	int64 at;

	if (text == NULL || dibs_iso8601_parse(text, strlen(text), &at) != DIBS_ISO_OK)
		return 0;
	return at;
}

/* A part of the dedupe key: lengths in front, so that no two lists of parts read the same. */
static void
add_part(StringInfo key, const char *part)
{
	if (part == NULL)
		appendStringInfoString(key, "-:");
	else
		appendStringInfo(key, "%zu:%s", strlen(part), part);
}

/*
 * Retries repeat createdAt. The uid alone would not do: each further seat is another BOOKING_CREATED of the same uid;
 * one absent host is one event; an owner who moves a group session keeps its uid.
 */
static char *
dedupe_key(const Jsonb *payload, const DibsEventIdentity *identity)
{
	const JsonbContainer *booking = dibs_cal_booking_object(payload);
	JsonbContainer *people = dibs_json_array(booking, "attendees");
	StringInfoData key;

	initStringInfo(&key);
	add_part(&key, identity->trigger);
	appendStringInfo(&key, INT64_FORMAT ":", identity->sent_at);
	add_part(&key, identity->uid);
	add_part(&key, dibs_cal_seat_id(booking));
	add_part(&key, dibs_json_text(booking, "startTime"));
	add_part(&key, dibs_json_text(booking, "hostEmail"));
	if (people != NULL)
	{
		for (uint32 i = 0; i < JsonContainerSize(people); i++)
		{
			JsonbValue *person = getIthJsonbValueFromContainer(people, i);
			bool no_show = false;

			if (person->type != jbvBinary)
				continue;
			(void) dibs_json_bool(person->val.binary.data, "noShow", &no_show);
			add_part(&key, dibs_json_text(person->val.binary.data, "email"));
			appendStringInfoChar(&key, no_show ? '+' : '-');
		}
	}
	return key.data;
}

void
dibs_cal_read_identity(const Jsonb *payload, DibsEventIdentity *identity)
{
	memset(identity, 0, sizeof(*identity));
	identity->trigger = dibs_cal_text(&payload->root, "triggerEvent");
	if (identity->trigger == NULL)
	{
		identity->problem =
			"the body has no triggerEvent: a Cal.com webhook for dibs must have no custom payload template";
		return;
	}
	identity->uid = find_uid(payload);
	if (identity->uid != NULL && strlen(identity->uid) > DIBS_MAX_ID_LEN)
	{
		identity->problem = psprintf("the booking's uid is longer than %d bytes", DIBS_MAX_ID_LEN);
		identity->uid = NULL;
	}
	identity->sent_at = find_sent_at(payload);
}

static bool
is_fresh(const JsonbContainer *booking, const char *trigger)
{
	if (strcmp(trigger, "BOOKING_CREATED") != 0 && strcmp(trigger, "BOOKING_REQUESTED") != 0)
		return false;
	return dibs_cal_seat_id(booking) == NULL && dibs_json_member(booking, "seatsPerTimeSlot") == NULL &&
		   dibs_json_member(booking, "rescheduleUid") == NULL;
}

static void
calcom_identify(const Jsonb *payload, DibsEventIdentity *identity)
{
	dibs_cal_read_identity(payload, identity);
	if (identity->uid != NULL && identity->sent_at != 0)
		identity->dedupe = dedupe_key(payload, identity);
	identity->fresh = identity->uid != NULL && is_fresh(dibs_cal_booking_object(payload), identity->trigger);
}

/* False where it is there and is no instant; *at stays 0 where it is not there. */
static bool
read_instant(const JsonbContainer *object, const char *key, TimestampTz *at, char **problem)
{
	JsonbValue *value = dibs_json_member(object, key);
	int64 parsed;

	*at = 0;
	if (value == NULL)
		return true;
	if (value->type != jbvString)
	{
		*problem = psprintf("%s is not a string", key);
		return false;
	}
	switch (dibs_iso8601_parse(value->val.string.val, value->val.string.len, &parsed))
	{
		case DIBS_ISO_OK:
			*at = parsed;
			return true;
		case DIBS_ISO_NO_OFFSET:
			*problem = psprintf("%s has no UTC offset", key);
			return false;
		case DIBS_ISO_RANGE:
			*problem = psprintf("%s is a time that does not exist", key);
			return false;
		default:
			*problem = psprintf("%s is not an ISO 8601 time", key);
			return false;
	}
}

static void
read_times(DibsBookingChange *change, const JsonbContainer *booking)
{
	TimestampTz start, end;
	int64 minutes;
	char *problem = NULL;
	bool has_length = dibs_json_int64(booking, "length", 0, 60 * 24 * 366, &minutes);

	if (!read_instant(booking, "startTime", &start, &problem) || !read_instant(booking, "endTime", &end, &problem))
		;
	else if (start == 0)
		return;
	else if (end == 0 && !has_length)
		problem = "startTime stands without endTime and length";
	else
	{
		if (end == 0)
			end = start + minutes * USECS_PER_MINUTE;
		if (end < start)
			problem = "endTime is before startTime";
	}
	if (problem != NULL)
	{
		/* what became of a booking counts, whatever its times look like */
		if (change->verb == DIBS_VERB_DESCRIBE)
			change->problem = problem;
		else
			change->remark = problem;
		return;
	}
	if (!has_length)
	{
		dibs_cal_remark_type(change, booking, "length", "a number of minutes");
		minutes = Min((end - start) / USECS_PER_MINUTE, PG_INT32_MAX);
	}
	dibs_change_set(change, DIBS_FIELD_TIME, DIBS_COL_START, TimestampTzGetDatum(start));
	dibs_change_set(change, DIBS_FIELD_TIME, DIBS_COL_END, TimestampTzGetDatum(end));
	dibs_change_set(change, DIBS_FIELD_TIME, DIBS_COL_DURATION, Int32GetDatum((int32) minutes));
}

/* Why, and by whom. */
static void
read_reasons(DibsBookingChange *change, const JsonbContainer *booking, const DibsCalTrigger *trigger)
{
	if (trigger->status == DIBS_STATUS_CANCELLED)
	{
		dibs_cal_read_text(change, booking, "cancellationReason", DIBS_FIELD_CANCELLATION,
						   DIBS_COL_CANCELLATION_REASON);
		dibs_cal_read_text(change, booking, "cancelledBy", DIBS_FIELD_CANCELLATION, DIBS_COL_CANCELLED_BY);
	}
	else if (trigger->status == DIBS_STATUS_REJECTED)
		dibs_cal_read_text(change, booking, "rejectionReason", DIBS_FIELD_CANCELLATION, DIBS_COL_CANCELLATION_REASON);
	/* a group session that its owner moves keeps its uid */
	if (dibs_cal_text(booking, "rescheduleUid") != NULL)
	{
		char *why = dibs_cal_answer_text(dibs_json_object(booking, "responses"), "rescheduleReason");

		if (why != NULL)
			dibs_change_set(change, DIBS_FIELD_RESCHEDULING, DIBS_COL_RESCHEDULING_REASON, CStringGetTextDatum(why));
		dibs_cal_read_text(change, booking, "rescheduledBy", DIBS_FIELD_RESCHEDULING, DIBS_COL_RESCHEDULED_BY);
	}
}

static void
read_leaving(DibsBookingChange *change, const JsonbContainer *booking)
{
	ListCell *lc;

	foreach (lc, change->people)
	{
		DibsPerson *person = lfirst(lc);

		person->reason = dibs_cal_text(booking, "cancellationReason");
		person->cancelled_by = dibs_cal_text(booking, "cancelledBy");
	}
}

static void
read_booking(DibsBookingChange *change, const JsonbContainer *booking, const DibsCalTrigger *trigger)
{
	DibsStatus status = trigger->status;
	char *claimed = dibs_cal_text(booking, "status");

	change->previous_uid = dibs_cal_text(booking, "rescheduleUid");
	if (change->previous_uid != NULL && strlen(change->previous_uid) > DIBS_MAX_ID_LEN)
	{
		change->problem = psprintf("rescheduleUid is longer than %d bytes", DIBS_MAX_ID_LEN);
		return;
	}
	if (change->previous_uid != NULL && strcmp(change->previous_uid, change->uid) == 0)
		change->previous_uid = NULL; /* a group session moved in place */
	if (status == DIBS_STATUS_CONFIRMED && trigger->verb == DIBS_VERB_DESCRIBE && claimed != NULL &&
		strcmp(claimed, "PENDING") == 0)
		status = DIBS_STATUS_PENDING;
	change->ends_booking = status == DIBS_STATUS_CANCELLED || status == DIBS_STATUS_REJECTED;

	dibs_cal_read_organizer(change, booking);
	dibs_cal_read_people(change, booking);
	dibs_cal_read_seats(change, booking, status);
	if (change->verb == DIBS_VERB_SEAT_GONE)
	{
		/* what is said here is the leaver's, not the booking's */
		read_leaving(change, booking);
		change->fields = 0;
		return;
	}
	read_reasons(change, booking, trigger);
	dibs_change_set(change, DIBS_FIELD_STATUS, DIBS_COL_STATUS, CStringGetTextDatum(dibs_status_name(status)));
	read_times(change, booking);
	/* a seat that moved may bear the old booking's number */
	if (!(change->seated && change->previous_uid != NULL))
		dibs_cal_read_int(change, booking, dibs_json_member(booking, "bookingId") != NULL ? "bookingId" : "id",
						  DIBS_FIELD_SOURCE_ID, DIBS_COL_SOURCE_ID);
	if (dibs_cal_text(booking, "title") != NULL || dibs_cal_text(booking, "eventTitle") != NULL)
		dibs_cal_read_text(change, booking, dibs_cal_text(booking, "title") != NULL ? "title" : "eventTitle",
						   DIBS_FIELD_TITLE, DIBS_COL_TITLE);
	else
		dibs_cal_remark_type(change, booking, "title", "a string");
	dibs_cal_read_text(change, booking,
					   dibs_cal_text(booking, "description") != NULL ? "description" : "additionalNotes",
					   DIBS_FIELD_DESCRIPTION, DIBS_COL_DESCRIPTION);
	dibs_cal_read_int(change, booking, "eventTypeId", DIBS_FIELD_EVENT_TYPE, DIBS_COL_EVENT_TYPE);
	dibs_cal_read_text(change, booking, "type", DIBS_FIELD_EVENT_SLUG, DIBS_COL_EVENT_SLUG);
	dibs_cal_read_location(change, booking);
	dibs_cal_read_answers(change, booking);
	dibs_cal_read_metadata(change, booking, trigger);
	dibs_cal_read_payment(change, booking, trigger);
}

/* What an application may want to know of a note, without what it should not see. */
static Datum
note_data(const JsonbContainer *booking, const DibsEventIdentity *identity)
{
	DibsJson json = {0};

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "trigger", identity->trigger);
	dibs_json_time_member(&json, "at", identity->sent_at);
	dibs_json_optional_member(&json, "message", dibs_cal_text(booking, "message"));
	dibs_json_optional_member(&json, "startTime", dibs_cal_text(booking, "startTime"));
	dibs_json_end_object(&json);
	return JsonbPGetDatum(dibs_json_finish(&json));
}

static void
calcom_read(const Jsonb *payload, DibsBookingChange *change)
{
	const JsonbContainer *booking = dibs_cal_booking_object(payload);
	DibsEventIdentity identity;
	const DibsCalTrigger *trigger;
	bool absent;

	memset(change, 0, sizeof(*change));
	change->source = "cal";
	dibs_cal_read_identity(payload, &identity);
	change->problem = identity.problem;
	if (change->problem != NULL)
		return;
	trigger = dibs_cal_trigger(identity.trigger);
	change->verb = trigger->verb;
	change->rank = trigger->rank;
	change->uid = identity.uid;
	change->sent_at = identity.sent_at;
	if (change->verb == DIBS_VERB_IGNORE)
		return;
	if (change->uid == NULL)
	{
		change->problem = "the payload has no uid";
		return;
	}
	switch (change->verb)
	{
		case DIBS_VERB_NOTE:
			change->note = pstrdup(trigger->note);
			change->note_data = note_data(booking, &identity);
			if (dibs_json_bool(booking, "noShowHost", &absent) && absent)
				dibs_cal_read_host_absent(change, booking, "noShowHost");
			break;
		case DIBS_VERB_NO_SHOW:
			dibs_cal_read_people(change, booking);
			if (change->people == NIL && change->problem == NULL)
				change->problem = "attendees is empty";
			break;
		default:
			read_booking(change, booking, trigger);
	}
}

static const char *const bearer_paths[] = {
	"payload.oneTimePassword",
	"payload.videoCallData.password",
	"payload.connectAndJoinUrl",
	"payload.downloadLink",
	"payload.downloadLinks",
	"payload.hashedLink",
	"payload.paymentData",
	"payload.payment.*.data",
	"payload.references.*.meetingPassword",
	"payload.credential.key",
	"payload.webhook.secret",
	"oneTimePassword",
	"videoCallData.password",
	"payment.*.data",
	"references.*.meetingPassword",
	NULL,
};

const DibsCalendarSource dibs_calendar_calcom = {
	.name = "cal",
	.identify = calcom_identify,
	.read = calcom_read,
	.applied = dibs_cal_applied,
	.bearer_paths = bearer_paths,
	.sample = dibs_cal_sample,
};
