/*
 * calcom_people.c
 *		Who holds, who booked and who comes, in Cal.com's payloads; seats among them.
 */
#include "compat.h"

#include "utils/builtins.h"

#include "calendar/calcom_read.h"

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

	person->email = dibs_cal_text(object, "email");
	person->name = dibs_cal_text(object, "name");
	person->time_zone = dibs_cal_text(object, "timeZone");
	person->phone = dibs_cal_text(object, "phoneNumber");
	person->seat_id = dibs_cal_text(seat, "referenceUid");
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

void
dibs_cal_read_people(DibsBookingChange *change, const JsonbContainer *booking)
{
	JsonbContainer *attendees = dibs_json_array(booking, "attendees");
	JsonbContainer *members = dibs_json_array(dibs_json_object(booking, "team"), "members");
	char *booker = dibs_cal_answer_text(dibs_json_object(booking, "responses"), "email");
	char *seat = dibs_cal_seat_id(booking);
	List *guests = NIL;
	List *hosts = NIL;
	DibsPerson *first = NULL;

	if (seat != NULL && strlen(seat) > DIBS_MAX_ID_LEN)
	{
		change->problem = psprintf("the seat's id is longer than %d bytes", DIBS_MAX_ID_LEN);
		return;
	}
	if (attendees == NULL)
		dibs_cal_remark_type(change, booking, "attendees", "an array");
	for (uint32 i = 0; attendees != NULL && i < JsonContainerSize(attendees); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(attendees, i);
		DibsPerson *person;

		if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		{
			dibs_cal_remark(change, "an attendee", "not an object");
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
		first->name = dibs_cal_answer_text(dibs_json_object(booking, "responses"), "name");
		change->people = list_make1(first);
	}
	if (seat != NULL)
	{
		if (change->people == NIL)
			change->people = list_make1(palloc0(sizeof(DibsPerson)));
		change->seat_id = seat;
		first = linitial(change->people);
		if (first->seat_id == NULL)
			first->seat_id = seat;
	}
}

void
dibs_cal_read_seats(DibsBookingChange *change, const JsonbContainer *booking, DibsStatus status)
{
	int64 seats = 0;
	bool has_seat_id = change->seat_id != NULL;

	if (!dibs_json_int64(booking, "seatsPerTimeSlot", 1, PG_INT32_MAX, &seats))
	{
		dibs_cal_remark_type(change, booking, "seatsPerTimeSlot", "a number of seats");
		seats = 0;
	}
	if (seats == 0 && !has_seat_id)
		return;
	change->seated = true;
	change->seat_moves = change->previous_uid != NULL;
	dibs_change_set(change, DIBS_FIELD_SEATS, DIBS_COL_BOOKING_TYPE, CStringGetTextDatum("GROUP"));
	if (seats > 0)
		dibs_change_set(change, DIBS_FIELD_CAPACITY, DIBS_COL_MAX_PARTICIPANTS, Int32GetDatum((int32) seats));
	if (status == DIBS_STATUS_CANCELLED && (has_seat_id || list_length(change->people) == 1))
	{
		/*
		 * A person who leaves is sent as a cancelled booking. The older sender does not say which of both it is: one
		 * attendee is one person who leaves, and the last one ends the booking.
		 */
		change->verb = DIBS_VERB_SEAT_GONE;
		change->ends_booking = false;
	}
}

/* NULL for what is no account's. */
static char *
account_name(DibsBookingChange *change, char *name)
{
	name = dibs_cal_non_empty(name);
	if (name == NULL || strlen(name) <= DIBS_MAX_ID_LEN)
		return name;
	dibs_cal_remark(change, "a name of the organizer", psprintf("longer than %d bytes", DIBS_MAX_ID_LEN));
	return NULL;
}

void
dibs_cal_read_organizer(DibsBookingChange *change, const JsonbContainer *booking)
{
	const JsonbContainer *organizer = dibs_json_object(booking, "organizer");

	if (organizer == NULL)
	{
		dibs_cal_remark_type(change, booking, "organizer", "an object");
		return;
	}
	change->organizer_id = account_name(change, dibs_json_scalar_text(organizer, "id"));
	change->organizer_email = account_name(change, dibs_json_text(organizer, "email"));
	change->organizer_username = account_name(change, dibs_json_text(organizer, "username"));
	change->organizer_name = dibs_cal_text(organizer, "name");
	change->organizer_time_zone = dibs_cal_text(organizer, "timeZone");
}

void
dibs_cal_read_host_absent(DibsBookingChange *change, const JsonbContainer *booking, const char *key)
{
	bool absent;

	if (dibs_json_bool(booking, key, &absent))
		dibs_change_set(change, DIBS_FIELD_HOST_ABSENT, DIBS_COL_HOST_ABSENT, BoolGetDatum(absent));
}
