/*
 * daily_event.c
 *		Daily's webhooks as meeting events.
 *
 * Daily tells of rooms by their name, for every room of a domain. A meeting_id names one time that a room was in use,
 *but what is told of people and recordings does not bear it; a person's session_id is another one at each join. Times
 *are seconds, whole or not. Only a 200 counts as taken, and three failures in a row end the webhook: what cannot be
 *used here is ignored, never refused.
 */
#include "compat.h"

#include "core/jsonread.h"
#include "meeting/event.h"

#define UNIX_EPOCH_SHIFT ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)
/* The year 9999, in seconds; what is longer than that in digits is in milliseconds. */
#define MAX_SECONDS INT64CONST(253402300799)
/* Below this no room of Daily's was in use. */
#define MIN_SECONDS INT64CONST(1000000000)

typedef struct DailyTrigger
{
	const char *type;
	DibsMeetingEventKind kind;
	const char *recording; /* what it says of a recording */
} DailyTrigger;

static const DailyTrigger triggers[] = {
	{"meeting.started", DIBS_MEETING_STARTED, NULL},
	{"meeting.ended", DIBS_MEETING_ENDED, NULL},
	{"participant.joined", DIBS_MEETING_JOINED, NULL},
	{"participant.left", DIBS_MEETING_LEFT, NULL},
	{"waiting-participant.joined", DIBS_MEETING_WAITING, NULL},
	{"waiting-participant.left", DIBS_MEETING_GAVE_UP, NULL},
	{"recording.started", DIBS_MEETING_RECORDING, "recording"},
	{"recording.error", DIBS_MEETING_RECORDING, "failed"},
	{"recording.ready-to-download", DIBS_MEETING_FILES, "ready"},
	{"transcript.ready-to-download", DIBS_MEETING_FILES, "ready"},
};

static const DailyTrigger *
find_trigger(const char *type)
{
	for (size_t i = 0; type != NULL && i < lengthof(triggers); i++)
	{
		if (strcmp(triggers[i].type, type) == 0)
			return &triggers[i];
	}
	return NULL;
}

/* Seconds with or without a fraction, in microseconds; -1: it is none, or not there. */
static int64
seconds_member(const JsonbContainer *object, const char *key)
{
	char *c = dibs_event_text(object, key);
	int64 us = 0;
	int64 unit = USECS_PER_SEC / 10;
	int digits = 0;

	if (c == NULL)
		return -1;
	for (; *c >= '0' && *c <= '9'; c++)
	{
		if (++digits > 14)
			return -1;
		us = us * 10 + (*c - '0');
	}
	if (digits == 0)
		return -1;
	if (us > MAX_SECONDS)
		return us * 1000;
	us *= USECS_PER_SEC;
	if (*c == '.')
	{
		for (c++; *c >= '0' && *c <= '9'; c++, unit /= 10)
			us += unit * (*c - '0');
	}
	return *c == '\0' ? us : -1;
}

/* A time of day; 0: none. */
static TimestampTz
time_member(const JsonbContainer *object, const char *key)
{
	int64 us = seconds_member(object, key);

	return us < MIN_SECONDS * USECS_PER_SEC || us > MAX_SECONDS * USECS_PER_SEC ? 0 : us - UNIX_EPOCH_SHIFT;
}

/* When something was over that began at one time and took another. */
static TimestampTz
end_member(const JsonbContainer *object, const char *begin)
{
	TimestampTz at = time_member(object, begin);
	int64 duration = seconds_member(object, "duration");

	return at != 0 && duration >= 0 && duration <= 366 * USECS_PER_DAY ? at + duration : 0;
}

static void
daily_identify(const Jsonb *payload, DibsEventIdentity *identity)
{
	char *id = dibs_event_id(&payload->root, "id");

	identity->trigger = dibs_json_text(&payload->root, "type");
	if (identity->trigger == NULL)
	{
		identity->problem = pstrdup("the body has no \"type\"");
		return;
	}
	identity->sent_at = time_member(&payload->root, "event_ts");
	if (id != NULL)
		identity->dedupe = psprintf("%s\n%s", identity->trigger, id);
}

/* Without a meeting token the user_id is the session's. */
static void
read_person(DibsMeetingEvent *event, const JsonbContainer *body)
{
	DibsMeetingPerson *p = &event->person;

	p->connection = dibs_event_id(body, "session_id");
	p->user_id = dibs_event_id(body, "user_id");
	if (p->user_id != NULL && p->connection != NULL && strcmp(p->user_id, p->connection) == 0)
		p->user_id = NULL;
	p->name = dibs_event_text(body, "user_name");
	(void) dibs_json_bool(body, "owner", &p->is_host);
	event->any_run = true;
	event->at = event->kind == DIBS_MEETING_JOINED || event->kind == DIBS_MEETING_WAITING
					? time_member(body, "joined_at")
					: end_member(body, "joined_at");
	if (p->connection == NULL)
		event->kind = DIBS_MEETING_IGNORE;
}

/* No link comes with it: Daily's API gives one that lives for hours. */
static void
read_file(DibsMeetingEvent *event, const JsonbContainer *body)
{
	DibsRecordingSet *set = palloc0(sizeof(DibsRecordingSet));
	DibsRecordingFile *file = palloc0(sizeof(DibsRecordingFile));

	file->external_id = dibs_event_id(body, "recording_id");
	file->type = dibs_event_text(body, "type");
	if (file->external_id == NULL)
	{
		file->external_id = dibs_event_id(body, "id");
		file->type = pstrdup("transcript");
	}
	else
		event->ends_recording = true;
	if (file->type == NULL)
		file->type = pstrdup("recording");
	file->start = time_member(body, "start_ts");
	file->end = end_member(body, "start_ts");
	file->bytes = -1;
	set->files = list_make1(file);
	event->sets = list_make1(set);
	/* the file was there when Daily said so; what it is of has been before */
	event->at = event->sent_at;
	if (file->external_id == NULL)
		event->kind = DIBS_MEETING_IGNORE;
}

static void
daily_read(const Jsonb *payload, DibsMeetingEvent *event)
{
	const JsonbContainer *body = dibs_json_object(&payload->root, "payload");
	const DailyTrigger *trigger = find_trigger(dibs_json_text(&payload->root, "type"));

	memset(event, 0, sizeof(*event));
	event->provider = "daily";
	if (trigger == NULL)
		return;
	event->kind = trigger->kind;
	event->sent_at = time_member(&payload->root, "event_ts");
	event->links = "^https?://[^/?#]+[.]daily[.]co(:[0-9]+)?/";
	event->external_id = dibs_event_id(body, "room");
	if (event->external_id == NULL)
		event->external_id = dibs_event_id(body, "room_name");
	event->recording_state = trigger->recording;
	switch (event->kind)
	{
		case DIBS_MEETING_STARTED:
		case DIBS_MEETING_ENDED:
			event->run = dibs_event_id(body, "meeting_id");
			event->at = time_member(body, "start_ts");
			if (event->run == NULL)
				event->kind = DIBS_MEETING_IGNORE;
			if (event->kind != DIBS_MEETING_ENDED)
				break;
			event->began = event->at;
			event->at = time_member(body, "end_ts");
			break;
		case DIBS_MEETING_RECORDING:
			event->any_run = true;
			event->at = time_member(body, strcmp(trigger->recording, "failed") == 0 ? "timestamp" : "start_ts");
			event->message = dibs_event_text(body, "error_msg");
			break;
		case DIBS_MEETING_FILES:
			read_file(event, body);
			break;
		default:
			read_person(event, body);
			break;
	}
	if (event->at == 0)
		event->at = event->sent_at;
	/* some events name neither their room nor their run: whose they are cannot be said */
	if (event->external_id == NULL && event->run == NULL)
		event->kind = DIBS_MEETING_IGNORE;
}

static const char *const bearer_paths[] = {
	"payload.share_token",
	NULL,
};

const DibsMeetingSource dibs_meeting_source_daily = {
	.name = "daily",
	.identify = daily_identify,
	.read = daily_read,
	.bearer_paths = bearer_paths,
};
