/*
 * cal_do.c
 *		The requests that change something at Cal.com, from what is wanted in dibs' own terms.
 */
#include "compat.h"

#include "utils/builtins.h"

#include "calendar/cal_api.h"
#include "core/jsonbuild.h"
#include "core/jsonread.h"

#define VERSION_BOOKINGS "2024-08-13"
#define VERSION_EVENT_TYPES "2024-06-14"
/* The key in a booking's metadata that says which wish made it. */
#define MARKER_KEY "dibs"
/* Of one attendee's bookings so many are looked through, the newest first. */
#define LOOKUP_TAKE 50

static char *
below(const char *what, const char *uid, const char *verb)
{
	return psprintf("/%s/%s%s%s", what, dibs_http_escaped(uid), verb != NULL ? "/" : "", verb != NULL ? verb : "");
}

static void
copy_text(DibsJson *json, const char *key, const JsonbContainer *from, const char *name)
{
	dibs_json_optional_member(json, key, dibs_json_text(from, name));
}

static void
copy_whole(DibsJson *json, const char *key, const JsonbContainer *from, const char *name)
{
	JsonbValue *value = dibs_json_member(from, name);

	if (value == NULL)
		return;
	dibs_json_key(json, key);
	dibs_json_put_value(json, value);
}

/* {kind, value} as a booking's row has it, in Cal.com's words. */
static void
put_location(DibsJson *json, const JsonbContainer *location)
{
	char *kind = dibs_json_text(location, "kind");
	char *value = dibs_json_text(location, "value");

	if (kind == NULL || value == NULL)
		return;
	dibs_json_key(json, "location");
	dibs_json_begin_object(json);
	if (strcmp(kind, "link") == 0)
	{
		dibs_json_text_member(json, "type", "link");
		dibs_json_text_member(json, "link", value);
	}
	else if (strcmp(kind, "phone") == 0)
	{
		dibs_json_text_member(json, "type", "phone");
		dibs_json_text_member(json, "phone", value);
	}
	else if (strcmp(kind, "provider") == 0)
	{
		dibs_json_text_member(json, "type", "integration");
		dibs_json_text_member(json, "integration", value);
	}
	else
	{
		dibs_json_text_member(json, "type", "address");
		dibs_json_text_member(json, "address", value);
	}
	dibs_json_end_object(json);
}

static void
put_metadata(DibsJson *json, const DibsCalWish *wish)
{
	JsonbContainer *given = dibs_json_object(&wish->data->root, "metadata");

	dibs_json_key(json, "metadata");
	dibs_json_begin_object(json);
	if (given != NULL)
	{
		JsonbIterator *it = JsonbIteratorInit(given);
		JsonbIteratorToken token;
		JsonbValue key, value;

		while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
		{
			if (token != WJB_KEY)
				continue;
			(void) JsonbIteratorNext(&it, &value, true);
			/* it takes strings and nothing else */
			if (value.type != jbvString)
				continue;
			dibs_json_key_len(json, key.val.string.val, key.val.string.len);
			dibs_json_put_value(json, &value);
		}
	}
	dibs_json_text_member(json, MARKER_KEY, wish->marker);
	dibs_json_end_object(json);
}

static void
put_create(DibsJson *json, const DibsCalWish *wish)
{
	const JsonbContainer *data = &wish->data->root;

	copy_whole(json, "eventTypeId", data, "eventTypeId");
	copy_text(json, "start", data, "start");
	dibs_json_key(json, "attendee");
	dibs_json_begin_object(json);
	copy_text(json, "name", data, "name");
	copy_text(json, "email", data, "email");
	copy_text(json, "timeZone", data, "timeZone");
	dibs_json_end_object(json);
	copy_whole(json, "guests", data, "guests");
	copy_whole(json, "lengthInMinutes", data, "minutes");
	copy_whole(json, "bookingFieldsResponses", data, "answers");
	put_location(json, dibs_json_object(data, "location"));
	put_metadata(json, wish);
}

DibsCalCall
dibs_cal_do(const DibsCalWish *wish)
{
	const JsonbContainer *data = &wish->data->root;
	DibsCalCall call = {.method = "POST", .version = VERSION_BOOKINGS};
	DibsJson json = {0};

	dibs_json_begin_object(&json);
	if (strcmp(wish->kind, "create") == 0)
	{
		call.path = "/bookings";
		put_create(&json, wish);
	}
	else if (strcmp(wish->kind, "reschedule") == 0)
	{
		call.path = below("bookings", wish->uid, "reschedule");
		copy_text(&json, "start", data, "start");
		copy_text(&json, "rescheduledBy", data, "by");
		if (dibs_json_text(data, "seat") != NULL)
			copy_text(&json, "seatUid", data, "seat");
		else
			copy_text(&json, "reschedulingReason", data, "reason");
	}
	else if (strcmp(wish->kind, "cancel") == 0)
	{
		call.path = below("bookings", wish->uid, "cancel");
		copy_text(&json, "seatUid", data, "seat");
		copy_text(&json, "cancellationReason", data, "reason");
	}
	else if (strcmp(wish->kind, "confirm") == 0)
	{
		call.path = below("bookings", wish->uid, "confirm");
		return call;
	}
	else if (strcmp(wish->kind, "decline") == 0)
	{
		call.path = below("bookings", wish->uid, "decline");
		copy_text(&json, "reason", data, "reason");
	}
	else if (strcmp(wish->kind, "absent") == 0)
	{
		call.path = below("bookings", wish->uid, "mark-absent");
		copy_whole(&json, "host", data, "host");
		if (dibs_json_text(data, "email") != NULL)
		{
			dibs_json_key(&json, "attendees");
			dibs_json_begin_array(&json);
			dibs_json_begin_object(&json);
			copy_text(&json, "email", data, "email");
			dibs_json_key(&json, "absent");
			dibs_json_put_bool(&json, true);
			dibs_json_end_object(&json);
			dibs_json_end_array(&json);
		}
	}
	else if (strcmp(wish->kind, "reassign") == 0)
		call.path = below("bookings", wish->uid, psprintf("reassign/%s", dibs_json_scalar_text(data, "userId")));
	else if (strcmp(wish->kind, "guests") == 0)
	{
		call.path = below("bookings", wish->uid, "guests");
		copy_whole(&json, "guests", data, "guests");
	}
	else if (strcmp(wish->kind, "location") == 0)
	{
		call.method = "PATCH";
		call.path = below("bookings", wish->uid, "location");
		put_location(&json, dibs_json_object(data, "location"));
	}
	else
	{
		/* event_type_create and event_type_update */
		bool create = strcmp(wish->kind, "event_type_create") == 0;

		call.version = VERSION_EVENT_TYPES;
		call.method = create ? "POST" : "PATCH";
		call.path = create ? "/event-types" : below("event-types", wish->uid, NULL);
		copy_text(&json, "title", data, "title");
		copy_text(&json, "slug", data, "slug");
		copy_text(&json, "description", data, "description");
		copy_whole(&json, "lengthInMinutes", data, "length");
		copy_whole(&json, "hidden", data, "hidden");
		if (dibs_json_member(data, "seats") != NULL)
		{
			dibs_json_key(&json, "seats");
			dibs_json_begin_object(&json);
			copy_whole(&json, "seatsPerTimeSlot", data, "seats");
			dibs_json_key(&json, "showAttendeeInfo");
			dibs_json_put_bool(&json, false);
			dibs_json_key(&json, "showAvailabilityCount");
			dibs_json_put_bool(&json, true);
			dibs_json_end_object(&json);
		}
	}
	dibs_json_end_object(&json);
	call.body = dibs_json_finish(&json);
	return call;
}

bool
dibs_cal_needs_lookup(const DibsCalWish *wish)
{
	return strcmp(wish->kind, "create") == 0 || strcmp(wish->kind, "event_type_create") == 0 ||
		   dibs_cal_needs_reading(wish);
}

/* The old host may not do it again, so who holds it says whether it has been done. */
bool
dibs_cal_needs_reading(const DibsCalWish *wish)
{
	return strcmp(wish->kind, "reassign") == 0;
}

DibsCalCall
dibs_cal_look_up(const DibsCalWish *wish)
{
	DibsCalListQuery query = {.take = LOOKUP_TAKE, .newest_first = true};

	if (strcmp(wish->kind, "event_type_create") == 0)
		return dibs_cal_list_event_types();
	if (dibs_cal_needs_reading(wish))
		return dibs_cal_get_booking(wish->uid);
	query.attendee_email = dibs_json_text(&wish->data->root, "email");
	return dibs_cal_list_bookings(&query);
}

static bool
bears(const JsonbContainer *object, const char *marker)
{
	char *found = dibs_json_text(dibs_json_object(object, "metadata"), MARKER_KEY);

	return found != NULL && strcmp(found, marker) == 0;
}

/* The first host of a booking; others may be in it, too. */
static bool
held_by(const JsonbContainer *booking, const char *user_id)
{
	JsonbContainer *hosts = booking != NULL ? dibs_json_array(booking, "hosts") : NULL;
	JsonbValue *first = hosts != NULL && JsonContainerSize(hosts) > 0 ? getIthJsonbValueFromContainer(hosts, 0) : NULL;
	char *id = first != NULL && first->type == jbvBinary ? dibs_json_scalar_text(first->val.binary.data, "id") : NULL;

	return id != NULL && user_id != NULL && strcmp(id, user_id) == 0;
}

Jsonb *
dibs_cal_find_marked(const DibsCalAnswer *answer, const DibsCalWish *wish)
{
	JsonbContainer *list = dibs_cal_data(answer);
	char *slug = dibs_json_text(&wish->data->root, "slug");

	if (dibs_cal_needs_reading(wish))
		return held_by(list, dibs_json_scalar_text(&wish->data->root, "userId"))
				   ? dibs_json_whole(&answer->json->root, "data")
				   : NULL;
	for (uint32 i = 0; list != NULL && JsonContainerIsArray(list) && i < JsonContainerSize(list); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(list, i);
		JsonbContainer *attendees;
		bool found;

		if (item->type != jbvBinary)
			continue;
		if (strcmp(wish->kind, "event_type_create") == 0)
		{
			/* an owner's slugs are all different */
			char *other = dibs_json_text(item->val.binary.data, "slug");

			found = slug != NULL && other != NULL && strcmp(slug, other) == 0;
		}
		else
			found = bears(item->val.binary.data, wish->marker);
		attendees = dibs_json_array(item->val.binary.data, "attendees");
		for (uint32 k = 0; !found && attendees != NULL && k < JsonContainerSize(attendees); k++)
		{
			JsonbValue *person = getIthJsonbValueFromContainer(attendees, k);

			found = person->type == jbvBinary && bears(person->val.binary.data, wish->marker);
		}
		if (found)
			return JsonbValueToJsonb(item);
	}
	return NULL;
}

bool
dibs_cal_is_so_already(const DibsCalWish *wish, const DibsCalAnswer *answer, bool maybe_sent)
{
	const char *error = answer->error != NULL ? answer->error : "";

	if (strcmp(wish->kind, "cancel") == 0)
		return strstr(error, "already been cancelled") != NULL || strstr(error, "already cancelled") != NULL;
	if (strcmp(wish->kind, "confirm") == 0)
		return strstr(error, "already confirmed") != NULL;
	/* the rest counts as done where an earlier request of ours may have done it */
	if (!maybe_sent)
		return false;
	if (strcmp(wish->kind, "reschedule") == 0)
		return strstr(error, "rescheduled already") != NULL;
	if (strcmp(wish->kind, "decline") == 0)
		return strstr(error, "rejected") != NULL;
	if (strcmp(wish->kind, "guests") == 0)
		return strstr(error, "unique") != NULL;
	return false;
}
