/*
 * jitsi_event.c
 *		Webhooks of 8x8's Jitsi (JaaS) as meeting events. Other Jitsi servers send none.
 *
 * A room is told by its fqn, the tenant and the name; ours are dibs_provider_jitsi's, others came with a booking. A
 * sessionId names one time that the room was in use. Events come in any order, at least once (idempotencyKey), and each
 * with the time at which it happened (developer.8x8.com, "Payload structure"). A breakout room is part of the meeting:
 *its making and its end are nothing.
 */
#include "compat.h"

#include "core/jsonread.h"
#include "meeting/event.h"

#define UNIX_EPOCH_SHIFT ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)
/* The year 9999. */
#define MAX_MILLISECONDS INT64CONST(253402300799999)
/* How long the link to an uploaded file is taken to be good. */
#define LINK_LIFE USECS_PER_DAY

typedef struct JitsiTrigger
{
	const char *type;
	DibsMeetingEventKind kind;
	const char *recording; /* what it says of a recording */
} JitsiTrigger;

static const JitsiTrigger triggers[] = {
	{"ROOM_CREATED", DIBS_MEETING_STARTED, NULL},
	{"ROOM_DESTROYED", DIBS_MEETING_ENDED, NULL},
	{"PARTICIPANT_JOINED", DIBS_MEETING_JOINED, NULL},
	{"PARTICIPANT_LEFT", DIBS_MEETING_LEFT, NULL},
	{"PARTICIPANT_JOINED_LOBBY", DIBS_MEETING_WAITING, NULL},
	{"PARTICIPANT_LEFT_LOBBY", DIBS_MEETING_GAVE_UP, NULL},
	{"RECORDING_STARTED", DIBS_MEETING_RECORDING, "recording"},
	{"RECORDING_ENDED", DIBS_MEETING_RECORDING, "stopped"},
	{"RECORDING_UPLOADED", DIBS_MEETING_FILES, "ready"},
	{"TRANSCRIPTION_UPLOADED", DIBS_MEETING_FILES, "ready"},
};

static const JitsiTrigger *
find_trigger(const char *type)
{
	for (size_t i = 0; type != NULL && i < lengthof(triggers); i++)
	{
		if (strcmp(triggers[i].type, type) == 0)
			return &triggers[i];
	}
	return NULL;
}

static TimestampTz
time_member(const JsonbContainer *object, const char *key)
{
	int64 ms;

	return dibs_json_int64(object, key, 1, MAX_MILLISECONDS, &ms) ? ms * 1000 - UNIX_EPOCH_SHIFT : 0;
}

/* Both ways of writing it are documented. */
static bool
is_true(const JsonbContainer *object, const char *key)
{
	char *value = dibs_event_text(object, key);

	return value != NULL && strcmp(value, "true") == 0;
}

static void
jitsi_identify(const Jsonb *payload, DibsEventIdentity *identity)
{
	identity->trigger = dibs_json_text(&payload->root, "eventType");
	if (identity->trigger == NULL)
	{
		identity->problem = pstrdup("the body has no \"eventType\"");
		return;
	}
	identity->sent_at = time_member(&payload->root, "timestamp");
	identity->dedupe = dibs_event_id(&payload->root, "idempotencyKey");
}

/* participantJid names one connection. Several people may moderate: who is known by an e-mail is who they are. */
static void
read_person(DibsMeetingEvent *event, const JsonbContainer *data)
{
	DibsMeetingPerson *p = &event->person;
	char *breakout = is_true(data, "isBreakout") ? dibs_event_id(data, "breakoutRoomId") : NULL;
	char *connection = dibs_event_id(data, "participantJid");

	if (connection == NULL)
		connection = dibs_event_id(data, "participantId");
	p->user_id = dibs_event_id(data, "id");
	p->email = dibs_event_text(data, "email");
	p->name = dibs_event_text(data, "name");
	p->reason = dibs_event_text(data, "disconnectReason");
	p->is_host = p->email == NULL && is_true(data, "moderator");
	if (connection == NULL && p->user_id != NULL)
		connection = psprintf("id:%s", p->user_id);
	if (connection == NULL)
		event->kind = DIBS_MEETING_IGNORE;
	else
		p->connection = breakout != NULL ? psprintf("%s/%s", breakout, connection) : connection;
}

static void
read_file(DibsMeetingEvent *event, const JsonbContainer *data)
{
	DibsRecordingSet *set = palloc0(sizeof(DibsRecordingSet));
	DibsRecordingFile *file = palloc0(sizeof(DibsRecordingFile));

	file->external_id = dibs_event_id(data, "recordingSessionId");
	file->type = pstrdup(file->external_id != NULL ? "recording" : "transcript");
	/* a transcript has no name of its own */
	if (file->external_id == NULL)
		file->external_id = psprintf("%s/transcript/" INT64_FORMAT, event->run, (event->at + UNIX_EPOCH_SHIFT) / 1000);
	file->start = time_member(data, "startTimestamp");
	file->end = time_member(data, "endTimestamp");
	file->bytes = -1;
	file->link = dibs_event_text(data, "preAuthenticatedLink");
	set->run = event->run;
	set->files = list_make1(file);
	event->sets = list_make1(set);
	event->token_until = event->at + LINK_LIFE;
}

static void
jitsi_read(const Jsonb *payload, DibsMeetingEvent *event)
{
	const JsonbContainer *data = dibs_json_object(&payload->root, "data");
	const JitsiTrigger *trigger = find_trigger(dibs_json_text(&payload->root, "eventType"));
	char *fqn = dibs_event_text(&payload->root, "fqn");
	char *room = fqn != NULL ? strrchr(fqn, '/') : NULL;

	memset(event, 0, sizeof(*event));
	event->provider = "jitsi";
	if (trigger == NULL)
		return;
	event->kind = trigger->kind;
	event->at = event->sent_at = time_member(&payload->root, "timestamp");
	event->run = dibs_event_id(&payload->root, "sessionId");
	event->links = "^https?://([^/?#]+[.])?8x8[.]vc(:[0-9]+)?/";
	event->recording_state = trigger->recording;
	if (room != NULL && room[1] != '\0' && strlen(room + 1) <= DIBS_MAX_ID_LEN)
		event->external_id = room + 1;
	/* whose and which it is cannot be said without these */
	if (event->external_id == NULL || event->run == NULL)
	{
		event->kind = DIBS_MEETING_IGNORE;
		return;
	}
	switch (event->kind)
	{
		case DIBS_MEETING_STARTED:
		case DIBS_MEETING_ENDED:
			if (is_true(data, "isBreakout"))
				event->kind = DIBS_MEETING_IGNORE;
			break;
		case DIBS_MEETING_RECORDING:
			break;
		case DIBS_MEETING_FILES:
			read_file(event, data);
			break;
		default:
			read_person(event, data);
			break;
	}
}

static const char *const bearer_paths[] = {
	"data.preAuthenticatedLink",
	NULL,
};

const DibsMeetingSource dibs_meeting_source_jitsi = {
	.name = "jaas",
	.identify = jitsi_identify,
	.read = jitsi_read,
	.bearer_paths = bearer_paths,
};
