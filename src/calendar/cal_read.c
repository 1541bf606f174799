/*
 * cal_read.c
 *		Reads bookings and event types as Cal.com's API gives them.
 *
 * A booking of the API is the state at a moment, not an event: it says what the booking is, not what has happened. Its
 * attendees are everybody, except where they are hidden; then the list is empty and says nothing.
 */
#include "compat.h"

#include "utils/builtins.h"

#include "calendar/cal_api.h"
#include "calendar/cal_read.h"
#include "calendar/calcom_read.h"

static DibsStatus
read_status(const JsonbContainer *booking)
{
	char *status = dibs_json_text(booking, "status");

	if (status == NULL)
		return DIBS_STATUS_NONE;
	if (strcmp(status, "accepted") == 0)
		return DIBS_STATUS_CONFIRMED;
	if (strcmp(status, "pending") == 0)
		return DIBS_STATUS_PENDING;
	if (strcmp(status, "cancelled") == 0)
		return DIBS_STATUS_CANCELLED;
	if (strcmp(status, "rejected") == 0)
		return DIBS_STATUS_REJECTED;
	return DIBS_STATUS_NONE;
}

static void
read_hosts(DibsBookingChange *change, const JsonbContainer *booking)
{
	JsonbContainer *hosts = dibs_json_array(booking, "hosts");
	JsonbValue *first = hosts != NULL && JsonContainerSize(hosts) > 0 ? getIthJsonbValueFromContainer(hosts, 0) : NULL;

	if (first == NULL || first->type != jbvBinary)
		return;
	change->organizer_id = dibs_cal_non_empty(dibs_json_scalar_text(first->val.binary.data, "id"));
	change->organizer_email = dibs_cal_text(first->val.binary.data, "email");
	change->organizer_username = dibs_cal_text(first->val.binary.data, "username");
	change->organizer_name = dibs_cal_text(first->val.binary.data, "name");
	change->organizer_time_zone = dibs_cal_text(first->val.binary.data, "timeZone");
}

static DibsPerson *
read_attendee(const JsonbContainer *object)
{
	DibsPerson *person = palloc0(sizeof(DibsPerson));

	person->email = dibs_cal_text(object, "email");
	person->name = dibs_cal_text(object, "name");
	person->time_zone = dibs_cal_text(object, "timeZone");
	person->phone = dibs_cal_text(object, "phoneNumber");
	person->seat_id = dibs_cal_text(object, "seatUid");
	(void) dibs_json_bool(object, "absent", &person->no_show);
	if (person->email != NULL && strlen(person->email) > DIBS_MAX_ID_LEN)
		person->email = NULL;
	if (person->seat_id != NULL && strlen(person->seat_id) > DIBS_MAX_ID_LEN)
		person->seat_id = NULL;
	return person;
}

static void
read_attendees(DibsBookingChange *change, const JsonbContainer *booking)
{
	JsonbContainer *attendees = dibs_json_array(booking, "attendees");
	char *booker = dibs_cal_text(dibs_json_object(booking, "bookingFieldsResponses"), "email");
	List *hosts = NIL;

	for (uint32 i = 0; attendees != NULL && i < JsonContainerSize(attendees); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(attendees, i);
		DibsPerson *person;

		if (item->type != jbvBinary)
			continue;
		person = read_attendee(item->val.binary.data);
		if (person->email == NULL && person->seat_id == NULL)
			continue;
		change->seated = change->seated || person->seat_id != NULL;
		/* a team's hosts may be stored as attendees */
		if (person->email != NULL && change->organizer_email != NULL &&
			pg_strcasecmp(person->email, change->organizer_email) == 0)
			hosts = lappend(hosts, person);
		else if (booker != NULL && person->email != NULL && pg_strcasecmp(person->email, booker) == 0)
			change->people = lcons(person, change->people);
		else
			change->people = lappend(change->people, person);
	}
	if (change->people == NIL)
		change->people = hosts;
}

static void
read_times(DibsBookingChange *change, const JsonbContainer *booking)
{
	TimestampTz start = dibs_cal_instant(booking, "start");
	TimestampTz end = dibs_cal_instant(booking, "end");
	int64 minutes;

	if (start == 0 || end < start)
	{
		change->problem = "start and end are no times";
		return;
	}
	if (!dibs_json_int64(booking, "duration", 0, 60 * 24 * 366, &minutes))
		minutes = (end - start) / USECS_PER_MINUTE;
	dibs_change_set(change, DIBS_FIELD_TIME, DIBS_COL_START, TimestampTzGetDatum(start));
	dibs_change_set(change, DIBS_FIELD_TIME, DIBS_COL_END, TimestampTzGetDatum(end));
	dibs_change_set(change, DIBS_FIELD_TIME, DIBS_COL_DURATION, Int32GetDatum((int32) minutes));
}

static void
read_details(DibsBookingChange *change, const JsonbContainer *booking)
{
	JsonbContainer *answers = dibs_json_object(booking, "bookingFieldsResponses");
	JsonbContainer *metadata = dibs_json_object(booking, "metadata");
	const JsonbContainer *event_type = dibs_json_object(booking, "eventType");

	dibs_cal_read_int(change, booking, "id", DIBS_FIELD_SOURCE_ID, DIBS_COL_SOURCE_ID);
	if (dibs_cal_text(booking, "title") != NULL)
		dibs_cal_read_text(change, booking, "title", DIBS_FIELD_TITLE, DIBS_COL_TITLE);
	if (dibs_json_text(booking, "description") != NULL)
		dibs_cal_read_text(change, booking, "description", DIBS_FIELD_DESCRIPTION, DIBS_COL_DESCRIPTION);
	dibs_cal_read_int(change, booking, "eventTypeId", DIBS_FIELD_EVENT_TYPE, DIBS_COL_EVENT_TYPE);
	if (event_type != NULL)
	{
		dibs_cal_read_int(change, event_type, "id", DIBS_FIELD_EVENT_TYPE, DIBS_COL_EVENT_TYPE);
		if (dibs_cal_text(event_type, "slug") != NULL)
			dibs_cal_read_text(change, event_type, "slug", DIBS_FIELD_EVENT_SLUG, DIBS_COL_EVENT_SLUG);
	}
	dibs_cal_read_location(change, booking);
	dibs_cal_read_host_absent(change, booking, "absentHost");
	if (answers != NULL && JsonContainerSize(answers) > 0 && !change->seated)
		dibs_change_set(change, DIBS_FIELD_ANSWERS, DIBS_COL_ANSWERS,
						JsonbPGetDatum(dibs_json_whole(booking, "bookingFieldsResponses")));
	if (metadata != NULL && JsonContainerSize(metadata) > 0)
		dibs_change_set(change, DIBS_FIELD_METADATA, DIBS_COL_METADATA,
						JsonbPGetDatum(dibs_json_whole(booking, "metadata")));
}

void
dibs_cal_read_booking(const JsonbContainer *booking, TimestampTz as_of, DibsBookingChange *change,
					  DibsCalBookingFacts *facts)
{
	DibsStatus status = read_status(booking);

	memset(change, 0, sizeof(*change));
	memset(facts, 0, sizeof(*facts));
	change->source = "cal";
	change->verb = DIBS_VERB_DESCRIBE;
	change->uid = dibs_cal_text(booking, "uid");
	if (change->uid == NULL || strlen(change->uid) > DIBS_MAX_ID_LEN)
	{
		change->problem = "the booking has no uid";
		return;
	}
	facts->uid = change->uid;
	facts->updated_at = dibs_cal_instant(booking, "updatedAt");
	facts->start = dibs_cal_instant(booking, "start");
	facts->previous_uid = dibs_cal_text(booking, "rescheduledFromUid");
	change->sent_at = facts->updated_at;
	change->read_at = Max(as_of, facts->updated_at);
	if (change->sent_at == 0 || status == DIBS_STATUS_NONE)
	{
		change->problem = "the booking has no updatedAt, or a status that is not known";
		return;
	}
	read_hosts(change, booking);
	read_attendees(change, booking);
	if (status == DIBS_STATUS_CANCELLED && dibs_cal_text(booking, "rescheduledToUid") != NULL && !change->seated)
	{
		/* it goes on under another uid, which says all the rest: from here only the link to what was before it */
		facts->superseded = true;
		facts->successor_uid = dibs_cal_text(booking, "rescheduledToUid");
		change->people = NIL;
		change->previous_uid = facts->previous_uid;
		return;
	}
	change->ends_booking = status == DIBS_STATUS_CANCELLED || status == DIBS_STATUS_REJECTED;
	change->everybody = change->seated && !change->ends_booking;
	if (change->seated)
		dibs_change_set(change, DIBS_FIELD_SEATS, DIBS_COL_BOOKING_TYPE, CStringGetTextDatum("GROUP"));
	else if (change->people != NIL)
		change->previous_uid = facts->previous_uid;
	dibs_change_set(change, DIBS_FIELD_STATUS, DIBS_COL_STATUS, CStringGetTextDatum(dibs_status_name(status)));
	read_times(change, booking);
	read_details(change, booking);
	if (change->ends_booking)
	{
		dibs_cal_read_text(change, booking, "cancellationReason", DIBS_FIELD_CANCELLATION,
						   DIBS_COL_CANCELLATION_REASON);
		dibs_cal_read_text(change, booking, "cancelledByEmail", DIBS_FIELD_CANCELLATION, DIBS_COL_CANCELLED_BY);
	}
	dibs_cal_read_text(change, booking, "reschedulingReason", DIBS_FIELD_RESCHEDULING, DIBS_COL_RESCHEDULING_REASON);
	dibs_cal_read_text(change, booking, "rescheduledByEmail", DIBS_FIELD_RESCHEDULING, DIBS_COL_RESCHEDULED_BY);
	/* what it hides or does not give is no reason to leave the rest */
	change->remark = NULL;
}

bool
dibs_cal_read_event_type(const JsonbContainer *item, DibsCalEventType *type)
{
	int64 number;

	memset(type, 0, sizeof(*type));
	if (!dibs_json_int64(item, "id", 1, PG_INT32_MAX, &number))
		return false;
	type->id = (int) number;
	type->owner_id = dibs_json_scalar_text(item, "ownerId");
	type->slug = dibs_cal_text(item, "slug");
	type->title = dibs_cal_text(item, "title");
	type->description = dibs_cal_text(item, "description");
	if (dibs_json_int64(item, "lengthInMinutes", 1, PG_INT32_MAX, &number))
		type->length = (int) number;
	if (dibs_json_int64(item, "price", 0, PG_INT64_MAX, &number))
		type->price = number;
	type->currency = dibs_cal_text(item, "currency");
	if (type->currency != NULL)
	{
		for (char *c = type->currency; *c != '\0'; c++)
			*c = pg_ascii_toupper((unsigned char) *c);
	}
	(void) dibs_json_bool(item, "hidden", &type->hidden);
	if (dibs_json_int64(item, "seatsPerTimeSlot", 1, PG_INT32_MAX, &number) ||
		dibs_json_int64(dibs_json_object(item, "seats"), "seatsPerTimeSlot", 1, PG_INT32_MAX, &number))
		type->seats = (int) number;
	type->metadata = dibs_json_object(item, "metadata") != NULL ? dibs_json_whole(item, "metadata") : NULL;
	return true;
}
