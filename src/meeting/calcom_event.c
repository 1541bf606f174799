/*
 * calcom_event.c
 *		What Cal.com's webhooks tell of meetings, as meeting events.
 *
 * Cal.com knows bookings, not meetings: each event names its booking's uid. MEETING_STARTED and MEETING_ENDED come when
 * a booking's time has come, whether or not anybody joined; the older sender sends them flat, with the booking's own
 * createdAt. What its video tells is told of the booking too: which run a recording is of stays unknown.
 */
#include "compat.h"

#include "calendar/calcom_read.h"
#include "core/iso8601.h"
#include "meeting/event.h"

#define UNIX_EPOCH_SHIFT ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)
/*
 * How long a link to a file is taken to be good: what Cal.com asks Daily for (valid_for_secs) is 12 hours. Its
 * documents only say that links expire.
 */
#define LINK_LIFE (12 * USECS_PER_HOUR)

typedef struct CalMeetingTrigger
{
	const char *name;
	DibsMeetingEventKind kind;
	const char *file; /* the type of the file that it tells of */
} CalMeetingTrigger;

static const CalMeetingTrigger triggers[] = {
	{"MEETING_STARTED", DIBS_MEETING_STARTED, NULL},
	{"MEETING_ENDED", DIBS_MEETING_ENDED, NULL},
	{"RECORDING_READY", DIBS_MEETING_FILES, "recording"},
	{"RECORDING_TRANSCRIPTION_GENERATED", DIBS_MEETING_FILES, "transcript"},
};

static const CalMeetingTrigger *
find_trigger(const char *name)
{
	for (size_t i = 0; name != NULL && i < lengthof(triggers); i++)
	{
		if (strcmp(triggers[i].name, name) == 0)
			return &triggers[i];
	}
	return NULL;
}

static bool
calcom_concerns(const Jsonb *payload)
{
	return find_trigger(dibs_cal_text(&payload->root, "triggerEvent")) != NULL;
}

static TimestampTz
time_member(const JsonbContainer *object, const char *key)
{
	char *text = dibs_cal_text(object, key);
	int64 at;

	return text != NULL && dibs_iso8601_parse(text, strlen(text), &at) == DIBS_ISO_OK ? at : 0;
}

/* A transcript comes in several formats, each with its link: one that has times is worth most. */
static void
read_transcript(DibsRecordingFile *file, JsonbContainer *links)
{
	static const char *const formats[] = {"vtt", "srt", "txt", "json"};
	size_t best = lengthof(formats);

	for (uint32 i = 0; links != NULL && i < JsonContainerSize(links); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(links, i);
		char *format = element->type == jbvBinary ? dibs_cal_text(element->val.binary.data, "format") : NULL;
		char *link = element->type == jbvBinary ? dibs_cal_text(element->val.binary.data, "link") : NULL;

		for (size_t f = 0; format != NULL && link != NULL && f < best; f++)
		{
			if (pg_strcasecmp(format, formats[f]) != 0)
				continue;
			best = f;
			file->link = link;
			file->format = psprintf("%s", formats[f]);
		}
	}
	for (char *c = file->format; c != NULL && *c != '\0'; c++)
		*c = pg_ascii_toupper((unsigned char) *c);
}

/*
 * Cal.com names no file, only the booking: a booking may have several, so the time at which it told of one makes the
 * name. A payload that is applied again has no links: then there is the file, and nothing to open it with.
 */
static void
read_file(DibsMeetingEvent *event, const CalMeetingTrigger *trigger, const JsonbContainer *booking)
{
	DibsRecordingSet *set = palloc0(sizeof(DibsRecordingSet));
	DibsRecordingFile *file = palloc0(sizeof(DibsRecordingFile));

	file->external_id = psprintf("%s/%s/" INT64_FORMAT, event->booking_uid, trigger->file,
								 (event->sent_at + UNIX_EPOCH_SHIFT) / 1000);
	file->type = pstrdup(trigger->file);
	file->bytes = -1;
	if (strcmp(trigger->file, "recording") == 0)
		file->link = dibs_cal_text(booking, "downloadLink");
	else
		read_transcript(file, dibs_json_array(dibs_json_object(booking, "downloadLinks"), "transcription"));
	set->files = list_make1(file);
	event->recording_state = "ready";
	event->sets = list_make1(set);
	event->token_until = event->sent_at + LINK_LIFE;
}

/* Whom the payload names: attendees, and who booked. */
static List *
read_mentioned(const JsonbContainer *booking)
{
	JsonbContainer *people = dibs_json_array(booking, "attendees");
	char *booker = dibs_cal_answer_text(dibs_json_object(booking, "responses"), "email");
	List *mentioned = booker != NULL ? list_make1(booker) : NIL;

	for (uint32 i = 0; people != NULL && i < JsonContainerSize(people); i++)
	{
		JsonbValue *person = getIthJsonbValueFromContainer(people, i);
		char *email = person->type == jbvBinary ? dibs_cal_text(person->val.binary.data, "email") : NULL;

		if (email != NULL)
			mentioned = lappend(mentioned, email);
	}
	return mentioned;
}

static void
calcom_read(const Jsonb *payload, DibsMeetingEvent *event)
{
	const JsonbContainer *booking = dibs_cal_booking_object(payload);
	const CalMeetingTrigger *trigger;
	DibsEventIdentity identity;

	memset(event, 0, sizeof(*event));
	event->provider = "cal";
	dibs_cal_read_identity(payload, &identity);
	event->problem = identity.problem;
	if (event->problem != NULL)
		return;
	trigger = find_trigger(identity.trigger);
	if (trigger == NULL)
		return;
	event->kind = trigger->kind;
	event->sent_at = identity.sent_at;
	event->booking_uid = identity.uid;
	event->mentioned = read_mentioned(booking);
	if (event->booking_uid == NULL)
	{
		event->problem = pstrdup("the payload has no uid");
		return;
	}
	switch (event->kind)
	{
		case DIBS_MEETING_STARTED:
		case DIBS_MEETING_ENDED:
			event->by_clock = true;
			event->at = time_member(booking, event->kind == DIBS_MEETING_STARTED ? "startTime" : "endTime");
			break;
		case DIBS_MEETING_FILES:
			event->at = event->sent_at;
			read_file(event, trigger, booking);
			break;
		default:
			break;
	}
}

const DibsMeetingSource dibs_meeting_source_calcom = {
	.name = "cal",
	.concerns = calcom_concerns,
	.read = calcom_read,
};
