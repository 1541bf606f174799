/*
 * calcom_details.c
 *		Where, what was answered, what was paid: the parts of a booking in Cal.com's payloads.
 */
#include "compat.h"

#include "utils/builtins.h"

#include "calendar/calcom_read.h"
#include "core/jsonbuild.h"
#include "core/link.h"

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

void
dibs_cal_read_location(DibsBookingChange *change, const JsonbContainer *booking)
{
	const JsonbContainer *responses = dibs_json_object(booking, "responses");
	JsonbValue *chosen = dibs_cal_answer(responses, "location");
	const JsonbContainer *choice = chosen != NULL && chosen->type == jbvBinary &&
										   JsonContainerIsObject(chosen->val.binary.data)
									   ? chosen->val.binary.data
									   : NULL;
	char *detail = dibs_cal_text(choice, "optionValue");
	char *location = dibs_cal_text(booking, "location");
	char *links[] = {
		dibs_cal_text(dibs_json_object(booking, "metadata"), "videoCallUrl"),
		dibs_cal_text(dibs_json_object(booking, "videoCallData"), "url"),
		dibs_cal_text(dibs_json_object(booking, "additionalInformation"), "hangoutLink"),
		location,
		detail,
	};

	for (size_t i = 0; i < lengthof(links); i++)
	{
		if (dibs_is_link(links[i]))
		{
			set_location(change, "link", links[i]);
			return;
		}
	}
	if (location == NULL)
	{
		dibs_cal_remark_type(change, booking, "location", "a string");
		location = dibs_cal_text(choice, "value");
	}
	if (location == NULL)
		return;
	if (strncmp(location, "integrations:", strlen("integrations:")) == 0)
		set_location(change, "provider", provider_of(location));
	else if (strcmp(location, "inPerson") == 0 || strcmp(location, "attendeeInPerson") == 0)
		set_location(change, "in_person", detail);
	else if (strcmp(location, "phone") == 0 || strcmp(location, "userPhone") == 0)
		set_location(change, "phone", detail != NULL ? detail : dibs_cal_answer_text(responses, "attendeePhoneNumber"));
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

void
dibs_cal_read_answers(DibsBookingChange *change, const JsonbContainer *booking)
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

void
dibs_cal_read_payment(DibsBookingChange *change, const JsonbContainer *booking, const DibsCalTrigger *trigger)
{
	bool paid = strcmp(trigger->name, "BOOKING_PAID") == 0;
	bool begun = strcmp(trigger->name, "BOOKING_PAYMENT_INITIATED") == 0;
	int64 price;

	if (paid || begun)
		dibs_change_set(change, DIBS_FIELD_PAID, DIBS_COL_PAID, BoolGetDatum(paid));
	if (!dibs_json_int64(booking, "price", 0, PG_INT64_MAX, &price))
		dibs_cal_remark_type(change, booking, "price", "an amount in minor units");
	else if (price > 0 || paid || begun)
	{
		char *currency = dibs_cal_text(booking, "currency");

		dibs_change_set(change, DIBS_FIELD_PRICE, DIBS_COL_AMOUNT, Int64GetDatum(price));
		if (currency != NULL)
		{
			/* both cases are sent */
			for (char *c = currency; *c != '\0'; c++)
				*c = pg_ascii_toupper((unsigned char) *c);
			dibs_change_set(change, DIBS_FIELD_CURRENCY, DIBS_COL_CURRENCY, CStringGetTextDatum(currency));
		}
	}
}

/* On BOOKING_PAID the metadata is the payment's, not the booking's. */
void
dibs_cal_read_metadata(DibsBookingChange *change, const JsonbContainer *booking, const DibsCalTrigger *trigger)
{
	JsonbContainer *metadata = dibs_json_object(booking, "metadata");

	if (metadata == NULL)
		dibs_cal_remark_type(change, booking, "metadata", "an object");
	else if (JsonContainerSize(metadata) > 0 && strcmp(trigger->name, "BOOKING_PAID") != 0)
		dibs_change_set(change, DIBS_FIELD_METADATA, DIBS_COL_METADATA,
						JsonbPGetDatum(dibs_json_whole(booking, "metadata")));
}
