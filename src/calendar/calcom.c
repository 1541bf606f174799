/*
 * calcom.c
 *		Reads Cal.com's webhooks: the only place that knows its names.
 *
 * Two generations of sender are in use. Both wrap a booking as {triggerEvent, createdAt, payload}; the older one sends
 * MEETING_STARTED and MEETING_ENDED flat. The status in a payload is the trigger's, not the booking's, and a payment
 * that was only begun says ACCEPTED: so the trigger decides, not the field. No custom template is understood.
 */
#include "compat.h"

#include "utils/builtins.h"

#include "calendar/calcom.h"
#include "core/iso8601.h"
#include "core/jsonbuild.h"
#include "core/jsonread.h"

/* A link that is longer is no link to a room. */
#define MAX_LINK_LEN 2048

typedef struct CalTrigger
{
	const char *name;
	DibsVerb verb;
	DibsStatus status;
	/* Among events of one millisecond, which counts as later: what ends a booking is the last word. */
	int rank;
	const char *note;
} CalTrigger;

static const CalTrigger triggers[] = {
	{"BOOKING_CREATED", DIBS_VERB_DESCRIBE, DIBS_STATUS_CONFIRMED, 4, NULL},
	{"BOOKING_REQUESTED", DIBS_VERB_DESCRIBE, DIBS_STATUS_PENDING, 1, NULL},
	{"BOOKING_RESCHEDULED", DIBS_VERB_DESCRIBE, DIBS_STATUS_CONFIRMED, 3, NULL},
	{"BOOKING_PAYMENT_INITIATED", DIBS_VERB_HAPPENED, DIBS_STATUS_PENDING, 2, NULL},
	{"BOOKING_PAID", DIBS_VERB_HAPPENED, DIBS_STATUS_CONFIRMED, 5, NULL},
	{"BOOKING_REJECTED", DIBS_VERB_HAPPENED, DIBS_STATUS_REJECTED, 6, NULL},
	{"BOOKING_CANCELLED", DIBS_VERB_HAPPENED, DIBS_STATUS_CANCELLED, 7, NULL},
	{"BOOKING_NO_SHOW_UPDATED", DIBS_VERB_NO_SHOW, DIBS_STATUS_NONE, 0, NULL},
	/* by the clock, whether or not anybody joined */
	{"MEETING_STARTED", DIBS_VERB_NOTE, DIBS_STATUS_NONE, 0, "booking.start_time_reached"},
	{"MEETING_ENDED", DIBS_VERB_NOTE, DIBS_STATUS_NONE, 0, "booking.end_time_reached"},
	{"RECORDING_READY", DIBS_VERB_NOTE, DIBS_STATUS_NONE, 0, "recording.ready"},
	{"RECORDING_TRANSCRIPTION_GENERATED", DIBS_VERB_NOTE, DIBS_STATUS_NONE, 0, "transcript.ready"},
	{"AFTER_HOSTS_CAL_VIDEO_NO_SHOW", DIBS_VERB_NOTE, DIBS_STATUS_NONE, 0, "host.absent"},
	{"AFTER_GUESTS_CAL_VIDEO_NO_SHOW", DIBS_VERB_NOTE, DIBS_STATUS_NONE, 0, "guests.absent"},
	{"WRONG_ASSIGNMENT_REPORT", DIBS_VERB_NOTE, DIBS_STATUS_NONE, 0, "assignment.reported"},
};

static const CalTrigger of_no_consequence = {"", DIBS_VERB_IGNORE, DIBS_STATUS_NONE, 0, NULL};

static const CalTrigger *
find_trigger(const char *name)
{
	for (size_t i = 0; i < lengthof(triggers); i++)
	{
		if (strcmp(triggers[i].name, name) == 0)
			return &triggers[i];
	}
	return &of_no_consequence;
}

/* The booking's object: payload where there is one, else the root (MEETING_* of the older sender). */
static const JsonbContainer *
booking_object(const Jsonb *payload)
{
	JsonbContainer *inner = dibs_json_object(&payload->root, "payload");

	return inner != NULL ? inner : &payload->root;
}

static char *
non_empty(char *text)
{
	return text != NULL && *text != '\0' ? text : NULL;
}

static char *
text_member(const JsonbContainer *object, const char *key)
{
	return non_empty(dibs_json_text(object, key));
}

static char *
find_uid(const Jsonb *payload)
{
	const JsonbContainer *booking = booking_object(payload);
	char *uid = text_member(booking, "uid");

	if (uid == NULL)
		uid = text_member(booking, "bookingUid");
	if (uid == NULL)
		uid = text_member(dibs_json_object(booking, "booking"), "uid");
	if (uid == NULL)
		uid = text_member(&payload->root, "uid");
	return uid;
}

static char *
find_seat_id(const JsonbContainer *booking)
{
	char *seat = text_member(booking, "attendeeSeatId");

	if (seat == NULL)
		seat = text_member(booking, "seatReferenceUid");
	if (seat == NULL)
		seat = text_member(booking, "seatUid");
	return seat;
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
	const JsonbContainer *booking = booking_object(payload);
	JsonbContainer *people = dibs_json_array(booking, "attendees");
	StringInfoData key;

	initStringInfo(&key);
	add_part(&key, identity->trigger);
	appendStringInfo(&key, INT64_FORMAT ":", identity->sent_at);
	add_part(&key, identity->uid);
	add_part(&key, find_seat_id(booking));
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

static void
read_identity(const Jsonb *payload, DibsEventIdentity *identity)
{
	memset(identity, 0, sizeof(*identity));
	identity->trigger = text_member(&payload->root, "triggerEvent");
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

static void
calcom_identify(const Jsonb *payload, DibsEventIdentity *identity)
{
	read_identity(payload, identity);
	if (identity->uid != NULL && identity->sent_at != 0)
		identity->dedupe = dedupe_key(payload, identity);
}

static void
remark(DibsBookingChange *change, const char *key, const char *what)
{
	change->remark = change->remark == NULL ? psprintf("left out: %s is %s", key, what)
											: psprintf("%s; %s is %s", change->remark, key, what);
}

/* Says that a member that is there is not what it should be. */
static void
remark_type(DibsBookingChange *change, const JsonbContainer *object, const char *key, const char *what)
{
	if (dibs_json_member(object, key) != NULL)
		remark(change, key, psprintf("not %s", what));
}

static void
read_text(DibsBookingChange *change, const JsonbContainer *object, const char *key, DibsField field, DibsColumn column)
{
	char *text = dibs_json_text(object, key);

	if (text == NULL)
		remark_type(change, object, key, "a string");
	else if (*text == '\0')
		dibs_change_set_null(change, field, column);
	else
		dibs_change_set(change, field, column, CStringGetTextDatum(text));
}

static void
read_int(DibsBookingChange *change, const JsonbContainer *object, const char *key, DibsField field, DibsColumn column)
{
	int64 number;

	if (dibs_json_int64(object, key, 0, PG_INT32_MAX, &number))
		dibs_change_set(change, field, column, Int32GetDatum((int32) number));
	else
		remark_type(change, object, key, "a whole number that fits");
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
		remark_type(change, booking, "length", "a number of minutes");
		minutes = Min((end - start) / USECS_PER_MINUTE, PG_INT32_MAX);
	}
	dibs_change_set(change, DIBS_FIELD_TIME, DIBS_COL_START, TimestampTzGetDatum(start));
	dibs_change_set(change, DIBS_FIELD_TIME, DIBS_COL_END, TimestampTzGetDatum(end));
	dibs_change_set(change, DIBS_FIELD_TIME, DIBS_COL_DURATION, Int32GetDatum((int32) minutes));
}

static bool
is_link(const char *text)
{
	if (text == NULL || strlen(text) > MAX_LINK_LEN)
		return false;
	if (pg_strncasecmp(text, "https://", 8) != 0 && pg_strncasecmp(text, "http://", 7) != 0)
		return false;
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text <= ' ' || *text == '"' || *text == '<' || *text == '>')
			return false;
	}
	return true;
}

static bool
is_phone(const char *text)
{
	int digits = 0;

	for (; *text != '\0'; text++)
	{
		if (*text >= '0' && *text <= '9')
			digits++;
		else if (strchr("+ ()-./", *text) == NULL)
			return false;
	}
	return digits >= 5;
}

/* The answer to a question: {label, value} in most triggers, the bare value in some. */
static JsonbValue *
answer(const JsonbContainer *responses, const char *slug)
{
	JsonbValue *entry = dibs_json_member(responses, slug);

	if (entry != NULL && entry->type == jbvBinary && JsonContainerIsObject(entry->val.binary.data))
		return dibs_json_member(entry->val.binary.data, "value");
	return entry;
}

static char *
answer_text(const JsonbContainer *responses, const char *slug)
{
	JsonbValue *value = answer(responses, slug);

	return value != NULL && value->type == jbvString && value->val.string.len > 0
			   ? pnstrdup(value->val.string.val, value->val.string.len)
			   : NULL;
}

/* Cal.com's codes for its conference apps are integrations:NAME or integrations:NAME:KIND or integrations:NAME_video.
 */
static const char *
provider_of(const char *code)
{
	const char *name = code + strlen("integrations:");

	if (strncmp(name, "zoom", 4) == 0)
		return "zoom";
	if (strncmp(name, "google", 6) == 0)
		return "google";
	if (strncmp(name, "daily", 5) == 0)
		return "daily";
	if (strncmp(name, "office365", 9) == 0 || strncmp(name, "msteams", 7) == 0)
		return "teams";
	if (strncmp(name, "jitsi", 5) == 0)
		return "jitsi";
	return name;
}

static void
set_location(DibsBookingChange *change, const char *kind, const char *value)
{
	DibsJson json = {0};

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "kind", kind);
	dibs_json_optional_member(&json, "value", value);
	dibs_json_end_object(&json);
	dibs_change_set(change, DIBS_FIELD_LOCATION, DIBS_COL_LOCATION, JsonbPGetDatum(dibs_json_finish(&json)));
}

static void
read_location(DibsBookingChange *change, const JsonbContainer *booking)
{
	const JsonbContainer *responses = dibs_json_object(booking, "responses");
	JsonbValue *chosen = answer(responses, "location");
	const JsonbContainer *choice = chosen != NULL && chosen->type == jbvBinary &&
										   JsonContainerIsObject(chosen->val.binary.data)
									   ? chosen->val.binary.data
									   : NULL;
	char *detail = text_member(choice, "optionValue");
	char *location = text_member(booking, "location");
	char *links[] = {
		text_member(dibs_json_object(booking, "metadata"), "videoCallUrl"),
		text_member(dibs_json_object(booking, "videoCallData"), "url"),
		text_member(dibs_json_object(booking, "additionalInformation"), "hangoutLink"),
		location,
		detail,
	};

	for (size_t i = 0; i < lengthof(links); i++)
	{
		if (is_link(links[i]))
		{
			set_location(change, "link", links[i]);
			return;
		}
	}
	if (location == NULL)
	{
		remark_type(change, booking, "location", "a string");
		location = text_member(choice, "value");
	}
	if (location == NULL)
		return;
	if (strncmp(location, "integrations:", strlen("integrations:")) == 0)
		set_location(change, "provider", provider_of(location));
	else if (strcmp(location, "inPerson") == 0 || strcmp(location, "attendeeInPerson") == 0)
		set_location(change, "in_person", detail);
	else if (strcmp(location, "phone") == 0 || strcmp(location, "userPhone") == 0)
		set_location(change, "phone", detail != NULL ? detail : answer_text(responses, "attendeePhoneNumber"));
	else if (is_phone(location))
		set_location(change, "phone", location);
	else if (strcmp(location, "link") == 0 || strcmp(location, "conferencing") == 0)
		return; /* a link that it does not give */
	else
		set_location(change, "in_person", detail != NULL && strcmp(location, "somewhereElse") == 0 ? detail : location);
}

/* {slug: value} for every question that was answered. */
static void
add_answers(DibsJson *json, JsonbContainer *responses, int *n)
{
	JsonbIterator *it;
	JsonbValue key, value;
	JsonbIteratorToken token;

	if (responses == NULL)
		return;
	it = JsonbIteratorInit(responses);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		JsonbValue *given = &value;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		if (value.type == jbvBinary && JsonContainerIsObject(value.val.binary.data))
		{
			given = dibs_json_member(value.val.binary.data, "value");
			if (given == NULL)
				continue;
		}
		if (given->type == jbvNull)
			continue;
		dibs_json_key_len(json, key.val.string.val, key.val.string.len);
		dibs_json_put_value(json, given);
		(*n)++;
	}
}

static void
read_answers(DibsBookingChange *change, const JsonbContainer *booking)
{
	DibsJson json = {0};
	int n = 0;

	dibs_json_begin_object(&json);
	add_answers(&json, dibs_json_object(booking, "responses"), &n);
	add_answers(&json, dibs_json_object(booking, "userFieldsResponses"), &n);
	dibs_json_end_object(&json);
	if (n > 0)
		dibs_change_set(change, DIBS_FIELD_ANSWERS, DIBS_COL_ANSWERS, JsonbPGetDatum(dibs_json_finish(&json)));
}

static bool
same_mailbox(const char *a, const char *b)
{
	return a != NULL && b != NULL && pg_strcasecmp(a, b) == 0;
}

/* Hosts of a team event may be stored as attendees; they are no guests. */
static bool
is_host(const DibsBookingChange *change, JsonbContainer *members, const char *email)
{
	if (same_mailbox(email, change->organizer_email))
		return true;
	if (members == NULL || email == NULL)
		return false;
	for (uint32 i = 0; i < JsonContainerSize(members); i++)
	{
		JsonbValue *member = getIthJsonbValueFromContainer(members, i);

		if (member->type == jbvBinary && same_mailbox(dibs_json_text(member->val.binary.data, "email"), email))
			return true;
	}
	return false;
}

static DibsPerson *
read_person(const JsonbContainer *object)
{
	DibsPerson *person = palloc0(sizeof(DibsPerson));
	const JsonbContainer *seat = dibs_json_object(object, "bookingSeat");

	person->email = text_member(object, "email");
	person->name = text_member(object, "name");
	person->time_zone = text_member(object, "timeZone");
	person->phone = text_member(object, "phoneNumber");
	person->seat_id = text_member(seat, "referenceUid");
	(void) dibs_json_bool(object, "noShow", &person->no_show);
	/* "[attendee data unavailable]": the sender has forgotten whom it was about; the seat's id still says it */
	if (person->email == NULL)
		person->name = NULL;
	if (person->email != NULL && strlen(person->email) > DIBS_MAX_ID_LEN)
		person->email = NULL;
	if (person->seat_id != NULL && strlen(person->seat_id) > DIBS_MAX_ID_LEN)
		person->seat_id = NULL;
	return person;
}

static void
read_people(DibsBookingChange *change, const JsonbContainer *booking)
{
	JsonbContainer *attendees = dibs_json_array(booking, "attendees");
	JsonbContainer *members = dibs_json_array(dibs_json_object(booking, "team"), "members");
	char *booker = answer_text(dibs_json_object(booking, "responses"), "email");
	char *seat = find_seat_id(booking);
	List *guests = NIL;
	List *hosts = NIL;
	DibsPerson *first = NULL;

	if (seat != NULL && strlen(seat) > DIBS_MAX_ID_LEN)
	{
		change->problem = psprintf("the seat's id is longer than %d bytes", DIBS_MAX_ID_LEN);
		return;
	}
	if (attendees == NULL)
		remark_type(change, booking, "attendees", "an array");
	for (uint32 i = 0; attendees != NULL && i < JsonContainerSize(attendees); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(attendees, i);
		DibsPerson *person;

		if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		{
			remark(change, "an attendee", "not an object");
			continue;
		}
		person = read_person(value->val.binary.data);
		if (person->email == NULL && person->seat_id == NULL && (seat == NULL || first != NULL))
			continue;
		if (is_host(change, members, person->email))
			hosts = lappend(hosts, person);
		else if (first == NULL || (booker != NULL && same_mailbox(person->email, booker)))
		{
			/* the one who booked stands first */
			first = person;
			guests = lcons(person, guests);
		}
		else
			guests = lappend(guests, person);
	}
	change->people = guests != NIL ? guests : hosts;
	if (change->people == NIL && booker != NULL && strlen(booker) <= DIBS_MAX_ID_LEN &&
		change->verb == DIBS_VERB_DESCRIBE)
	{
		first = palloc0(sizeof(DibsPerson));
		first->email = booker;
		first->name = answer_text(dibs_json_object(booking, "responses"), "name");
		change->people = list_make1(first);
	}
	if (seat != NULL)
	{
		if (change->people == NIL)
			change->people = list_make1(palloc0(sizeof(DibsPerson)));
		first = linitial(change->people);
		if (first->seat_id == NULL)
			first->seat_id = seat;
	}
}

static void
read_seats(DibsBookingChange *change, const JsonbContainer *booking)
{
	int64 seats = 0;
	bool has_seat_id = find_seat_id(booking) != NULL;

	if (!dibs_json_int64(booking, "seatsPerTimeSlot", 1, PG_INT32_MAX, &seats))
	{
		remark_type(change, booking, "seatsPerTimeSlot", "a number of seats");
		seats = 0;
	}
	if (seats == 0 && !has_seat_id)
		return;
	change->seated = true;
	change->seat_moves = change->previous_uid != NULL;
	dibs_change_set(change, DIBS_FIELD_SEATS, DIBS_COL_BOOKING_TYPE, CStringGetTextDatum("GROUP"));
	if (seats > 0)
		dibs_change_set(change, DIBS_FIELD_SEATS, DIBS_COL_MAX_PARTICIPANTS, Int32GetDatum((int32) seats));
	if (change->ends_booking && (has_seat_id || list_length(change->people) == 1))
	{
		/*
		 * A person who leaves is sent as a cancelled booking. The older sender does not say which of both it is: one
		 * attendee is one person who leaves, and the last one ends the booking.
		 */
		change->verb = DIBS_VERB_SEAT_GONE;
		change->ends_booking = false;
	}
}

static void
read_organizer(DibsBookingChange *change, const JsonbContainer *booking)
{
	const JsonbContainer *organizer = dibs_json_object(booking, "organizer");

	if (organizer == NULL)
	{
		remark_type(change, booking, "organizer", "an object");
		return;
	}
	change->organizer_id = non_empty(dibs_json_scalar_text(organizer, "id"));
	change->organizer_email = text_member(organizer, "email");
	change->organizer_username = text_member(organizer, "username");
	change->organizer_name = text_member(organizer, "name");
	change->organizer_time_zone = text_member(organizer, "timeZone");
}

/* Why, and by whom. */
static void
read_reasons(DibsBookingChange *change, const JsonbContainer *booking, const CalTrigger *trigger)
{
	if (trigger->status == DIBS_STATUS_CANCELLED)
	{
		read_text(change, booking, "cancellationReason", DIBS_FIELD_CANCELLATION, DIBS_COL_CANCELLATION_REASON);
		read_text(change, booking, "cancelledBy", DIBS_FIELD_CANCELLATION, DIBS_COL_CANCELLED_BY);
	}
	else if (trigger->status == DIBS_STATUS_REJECTED)
		read_text(change, booking, "rejectionReason", DIBS_FIELD_CANCELLATION, DIBS_COL_CANCELLATION_REASON);
	if (change->previous_uid != NULL)
	{
		char *why = answer_text(dibs_json_object(booking, "responses"), "rescheduleReason");

		if (why != NULL)
			dibs_change_set(change, DIBS_FIELD_RESCHEDULING, DIBS_COL_RESCHEDULING_REASON, CStringGetTextDatum(why));
		read_text(change, booking, "rescheduledBy", DIBS_FIELD_RESCHEDULING, DIBS_COL_RESCHEDULED_BY);
	}
}

static void
read_payment(DibsBookingChange *change, const JsonbContainer *booking, const CalTrigger *trigger)
{
	bool paid = strcmp(trigger->name, "BOOKING_PAID") == 0;
	bool begun = strcmp(trigger->name, "BOOKING_PAYMENT_INITIATED") == 0;
	int64 price;

	if (paid || begun)
		dibs_change_set(change, DIBS_FIELD_PAID, DIBS_COL_PAID, BoolGetDatum(paid));
	if (!dibs_json_int64(booking, "price", 0, PG_INT64_MAX, &price))
		remark_type(change, booking, "price", "an amount in minor units");
	else if (price > 0 || paid || begun)
	{
		char *currency = text_member(booking, "currency");

		dibs_change_set(change, DIBS_FIELD_PRICE, DIBS_COL_AMOUNT, Int64GetDatum(price));
		if (currency != NULL)
		{
			/* both cases are sent */
			for (char *c = currency; *c != '\0'; c++)
				*c = pg_ascii_toupper((unsigned char) *c);
			dibs_change_set(change, DIBS_FIELD_PRICE, DIBS_COL_CURRENCY, CStringGetTextDatum(currency));
		}
	}
}

/* On BOOKING_PAID the metadata is the payment's, not the booking's. */
static void
read_metadata(DibsBookingChange *change, const JsonbContainer *booking, const CalTrigger *trigger)
{
	JsonbContainer *metadata = dibs_json_object(booking, "metadata");

	if (metadata == NULL)
		remark_type(change, booking, "metadata", "an object");
	else if (JsonContainerSize(metadata) > 0 && strcmp(trigger->name, "BOOKING_PAID") != 0)
		dibs_change_set(change, DIBS_FIELD_METADATA, DIBS_COL_METADATA,
						JsonbPGetDatum(dibs_json_whole(booking, "metadata")));
}

static void
read_booking(DibsBookingChange *change, const JsonbContainer *booking, const CalTrigger *trigger)
{
	DibsStatus status = trigger->status;
	char *claimed = text_member(booking, "status");

	change->previous_uid = text_member(booking, "rescheduleUid");
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

	read_organizer(change, booking);
	read_people(change, booking);
	read_seats(change, booking);
	read_reasons(change, booking, trigger);
	if (change->verb == DIBS_VERB_SEAT_GONE)
	{
		/* what is said here is the leaver's, not the booking's */
		change->fields = 0;
		return;
	}
	dibs_change_set(change, DIBS_FIELD_STATUS, DIBS_COL_STATUS, CStringGetTextDatum(dibs_status_name(status)));
	read_times(change, booking);
	/* a seat that moved may bear the old booking's number */
	if (!(change->seated && change->previous_uid != NULL))
		read_int(change, booking, dibs_json_member(booking, "bookingId") != NULL ? "bookingId" : "id",
				 DIBS_FIELD_SOURCE_ID, DIBS_COL_SOURCE_ID);
	if (text_member(booking, "title") != NULL || text_member(booking, "eventTitle") != NULL)
		read_text(change, booking, text_member(booking, "title") != NULL ? "title" : "eventTitle", DIBS_FIELD_TITLE,
				  DIBS_COL_TITLE);
	else
		remark_type(change, booking, "title", "a string");
	read_text(change, booking, text_member(booking, "description") != NULL ? "description" : "additionalNotes",
			  DIBS_FIELD_DESCRIPTION, DIBS_COL_DESCRIPTION);
	read_int(change, booking, "eventTypeId", DIBS_FIELD_EVENT_TYPE, DIBS_COL_EVENT_TYPE);
	read_text(change, booking, "type", DIBS_FIELD_EVENT_SLUG, DIBS_COL_EVENT_SLUG);
	read_location(change, booking);
	read_answers(change, booking);
	read_metadata(change, booking, trigger);
	read_payment(change, booking, trigger);
}

/* What an application may want to know of a note, without what it should not see. */
static Datum
note_data(const JsonbContainer *booking, const char *trigger)
{
	DibsJson json = {0};

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "trigger", trigger);
	dibs_json_optional_member(&json, "message", text_member(booking, "message"));
	dibs_json_optional_member(&json, "startTime", text_member(booking, "startTime"));
	dibs_json_end_object(&json);
	return JsonbPGetDatum(dibs_json_finish(&json));
}

static void
calcom_read(const Jsonb *payload, DibsBookingChange *change)
{
	const JsonbContainer *booking = booking_object(payload);
	DibsEventIdentity identity;
	const CalTrigger *trigger;

	memset(change, 0, sizeof(*change));
	change->source = "cal";
	read_identity(payload, &identity);
	change->problem = identity.problem;
	if (change->problem != NULL)
		return;
	trigger = find_trigger(identity.trigger);
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
			change->note_data = note_data(booking, identity.trigger);
			break;
		case DIBS_VERB_NO_SHOW:
			read_people(change, booking);
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
static Jsonb *
calcom_sample(const char *name, const DibsSampleWish *wish)
{
	const CalTrigger *trigger = find_trigger(name);
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

const DibsCalendarSource dibs_calendar_calcom = {
	.name = "cal",
	.identify = calcom_identify,
	.read = calcom_read,
	.bearer_paths = bearer_paths,
	.sample = calcom_sample,
};
