/*
 * zoom_event.c
 *		Zoom's event notifications as meeting events.
 *
 * Zoom writes a meeting's number as text or as a number, leaves people's e-mail and account out for guests, sends one
 * event once for each subscription, and signs several deliveries of one event over different bodies (their download
 * tokens differ). So an event is told by its type, its time and whom it is about.
 */
#include "compat.h"

#include "core/iso8601.h"
#include "core/jsonread.h"
#include "meeting/event.h"

#define UNIX_EPOCH_SHIFT ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)
/* A token that comes with a webhook opens its files for a day. */
#define TOKEN_LIFE USECS_PER_DAY
/* What is in the bin is deleted after 30 days. */
#define BIN_LIFE (30 * USECS_PER_DAY)

/* Where the event's own time stands. */
typedef enum ZoomTime
{
	TIME_SENT,    /* event_ts */
	TIME_START,   /* object.start_time */
	TIME_END,     /* object.end_time */
	TIME_JOIN,    /* participant.join_time, in Zoom's own example date_time */
	TIME_LEAVE,   /* participant.leave_time */
	TIME_DATE,    /* participant.date_time */
	TIME_DEPARTED /* payload.deauthorization_time */
} ZoomTime;

typedef struct ZoomTrigger
{
	const char *event;
	DibsMeetingEventKind kind;
	ZoomTime time;
	const char *recording; /* what it says of a recording */
} ZoomTrigger;

static const ZoomTrigger triggers[] = {
	{"meeting.started", DIBS_MEETING_STARTED, TIME_START, NULL},
	{"meeting.ended", DIBS_MEETING_ENDED, TIME_END, NULL},
	{"meeting.participant_joined", DIBS_MEETING_JOINED, TIME_JOIN, NULL},
	{"meeting.participant_left", DIBS_MEETING_LEFT, TIME_LEAVE, NULL},
	{"meeting.participant_joined_breakout_room", DIBS_MEETING_JOINED, TIME_JOIN, NULL},
	{"meeting.participant_left_breakout_room", DIBS_MEETING_LEFT, TIME_LEAVE, NULL},
	{"meeting.participant_jbh_waiting", DIBS_MEETING_WAITING, TIME_SENT, NULL},
	{"meeting.participant_jbh_waiting_left", DIBS_MEETING_GAVE_UP, TIME_SENT, NULL},
	{"meeting.participant_jbh_joined", DIBS_MEETING_ADMITTED, TIME_SENT, NULL},
	{"meeting.participant_joined_waiting_room", DIBS_MEETING_WAITING, TIME_DATE, NULL},
	{"meeting.participant_put_in_waiting_room", DIBS_MEETING_WAITING, TIME_DATE, NULL},
	{"meeting.participant_left_waiting_room", DIBS_MEETING_GAVE_UP, TIME_DATE, NULL},
	{"meeting.participant_admitted", DIBS_MEETING_ADMITTED, TIME_DATE, NULL},
	{"meeting.updated", DIBS_MEETING_CHANGED, TIME_SENT, NULL},
	{"meeting.deleted", DIBS_MEETING_DELETED, TIME_SENT, NULL},
	{"meeting.permanently_deleted", DIBS_MEETING_DELETED, TIME_SENT, NULL},
	{"meeting.recovered", DIBS_MEETING_RECOVERED, TIME_SENT, NULL},
	{"meeting.registration_created", DIBS_MEETING_REGISTERED, TIME_SENT, NULL},
	{"meeting.registration_approved", DIBS_MEETING_REGISTERED, TIME_SENT, NULL},
	{"recording.started", DIBS_MEETING_RECORDING, TIME_SENT, "recording"},
	{"recording.resumed", DIBS_MEETING_RECORDING, TIME_SENT, "recording"},
	{"recording.paused", DIBS_MEETING_RECORDING, TIME_SENT, "paused"},
	{"recording.stopped", DIBS_MEETING_RECORDING, TIME_SENT, "stopped"},
	{"recording.completed", DIBS_MEETING_FILES, TIME_SENT, "ready"},
	{"recording.transcript_completed", DIBS_MEETING_FILES, TIME_SENT, "ready"},
	{"recording.trashed", DIBS_MEETING_FILES, TIME_SENT, "trashed"},
	{"recording.batch_trashed", DIBS_MEETING_FILES, TIME_SENT, "trashed"},
	{"recording.deleted", DIBS_MEETING_FILES, TIME_SENT, "deleted"},
	{"recording.batch_deleted", DIBS_MEETING_FILES, TIME_SENT, "deleted"},
	{"recording.recovered", DIBS_MEETING_FILES, TIME_SENT, "ready"},
	{"recording.batch_recovered", DIBS_MEETING_FILES, TIME_SENT, "ready"},
	{"app_deauthorized", DIBS_MEETING_DEAUTHORIZED, TIME_DEPARTED, NULL},
};

static const ZoomTrigger *
find_trigger(const char *event)
{
	for (size_t i = 0; event != NULL && i < lengthof(triggers); i++)
	{
		if (strcmp(triggers[i].event, event) == 0)
			return &triggers[i];
	}
	return NULL;
}

static TimestampTz
time_member(const JsonbContainer *object, const char *key)
{
	char *value = dibs_event_text(object, key);
	int64_t at;

	return value != NULL && dibs_iso8601_parse(value, strlen(value), &at) == DIBS_ISO_OK ? at : 0;
}

/* Milliseconds since 1970, as a number or as text; anything else is not a time that an order could be read from. */
static TimestampTz
sent_time(const Jsonb *payload)
{
	int64 ms;

	if (!dibs_json_int64(&payload->root, "event_ts", 1, INT64CONST(253402300799999), &ms))
		return 0;
	return ms * 1000 - UNIX_EPOCH_SHIFT;
}

static const JsonbContainer *
event_object(const Jsonb *payload)
{
	return dibs_json_object(dibs_json_object(&payload->root, "payload"), "object");
}

static void
zoom_identify(const Jsonb *payload, DibsEventIdentity *identity)
{
	const JsonbContainer *body = dibs_json_object(&payload->root, "payload");
	const JsonbContainer *object = event_object(payload);
	const JsonbContainer *person = dibs_json_object(object, "participant");
	const JsonbContainer *registrant = dibs_json_object(object, "registrant");
	JsonbContainer *files = dibs_json_array(object, "recording_files");
	const char *parts[11];
	StringInfoData key;

	identity->trigger = dibs_event_text(&payload->root, "event");
	if (identity->trigger == NULL)
	{
		identity->problem = pstrdup("the body has no \"event\"");
		return;
	}
	identity->sent_at = sent_time(payload);
	/* an event that is about nothing in particular is told by its body */
	if (identity->sent_at == 0 || dibs_event_id(object, "uuid") == NULL || find_trigger(identity->trigger) == NULL)
		return;
	parts[0] = identity->trigger;
	parts[1] = dibs_event_text(&payload->root, "event_ts");
	parts[2] = dibs_event_id(object, "uuid");
	parts[3] = dibs_event_text(person, "user_id");
	parts[4] = dibs_event_text(person, "participant_uuid");
	parts[5] = dibs_event_text(person, "user_id") != NULL ? NULL : dibs_event_text(person, "user_name");
	parts[6] = dibs_event_text(person, "join_time");
	parts[7] = dibs_event_text(person, "leave_time");
	parts[8] = dibs_event_text(registrant, "id");
	parts[9] = dibs_event_text(body, "operation");
	parts[10] = dibs_event_id(object, "id");
	initStringInfo(&key);
	for (size_t i = 0; i < lengthof(parts); i++)
		appendStringInfo(&key, "%s\n", parts[i] != NULL ? parts[i] : "");
	for (uint32 i = 0; files != NULL && i < JsonContainerSize(files); i++)
	{
		JsonbValue *file = getIthJsonbValueFromContainer(files, i);
		char *id = file->type == jbvBinary ? dibs_event_id(file->val.binary.data, "id") : NULL;

		appendStringInfo(&key, "%s\n", id != NULL ? id : "");
	}
	identity->dedupe = key.data;
}

/*
 * user_id names one connection of one run: a rejoin, another device and a breakout room have others. People who wait
 * for the host have none; they are told by account or name.
 */
static void
read_person(DibsMeetingEvent *event, const JsonbContainer *object, const JsonbContainer *person)
{
	DibsMeetingPerson *p = &event->person;
	char *room = dibs_event_id(object, "breakout_room_uuid");
	char *connection = dibs_event_id(person, "user_id");

	p->name = dibs_event_text(person, "user_name");
	p->email = dibs_event_text(person, "email");
	p->registrant_id = dibs_event_id(person, "registrant_id");
	p->user_id = dibs_event_id(person, "participant_user_id");
	if (p->user_id == NULL)
		p->user_id = dibs_event_id(person, "id");
	p->reason = dibs_event_text(person, "leave_reason");
	p->is_host = p->user_id != NULL && event->host_id != NULL && strcmp(p->user_id, event->host_id) == 0;
	if (connection != NULL)
		p->connection = room != NULL ? psprintf("%s/%s", room, connection) : connection;
	else if (p->user_id != NULL)
		p->connection = psprintf("id:%s", p->user_id);
	else if (p->name != NULL)
		p->connection = psprintf("name:%.200s", p->name);
	else
		event->problem = pstrdup("it does not say who it is about");
}

static void
read_registrant(DibsMeetingEvent *event, const JsonbContainer *registrant)
{
	DibsMeetingPerson *p = &event->person;
	char *status = dibs_event_text(registrant, "status");

	/* asked for, and not let in yet */
	if (status != NULL && strcmp(status, "approved") != 0)
		event->kind = DIBS_MEETING_IGNORE;
	p->registrant_id = dibs_event_id(registrant, "id");
	p->email = dibs_event_text(registrant, "email");
	p->join_url = dibs_event_text(registrant, "join_url");
	if (p->registrant_id == NULL || p->email == NULL)
		event->kind = DIBS_MEETING_IGNORE;
}

static bool
has_file(const DibsRecordingSet *set, const char *id)
{
	ListCell *lc;

	foreach (lc, set->files)
	{
		if (strcmp(((DibsRecordingFile *) lfirst(lc))->external_id, id) == 0)
			return true;
	}
	return false;
}

static void
read_files(DibsRecordingSet *set, const JsonbContainer *object, const char *key, const char *type)
{
	JsonbContainer *files = dibs_json_array(object, key);

	for (uint32 i = 0; files != NULL && i < JsonContainerSize(files); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(files, i);
		const JsonbContainer *from;
		DibsRecordingFile *file;
		char *id;

		if (element->type != jbvBinary)
			continue;
		from = element->val.binary.data;
		id = dibs_event_id(from, "id");
		if (id == NULL || has_file(set, id))
			continue;
		file = palloc0(sizeof(DibsRecordingFile));
		file->external_id = id;
		file->type = type != NULL ? pstrdup(type) : dibs_event_text(from, "recording_type");
		if (file->type == NULL)
			file->type = dibs_event_text(from, "file_type");
		file->format = dibs_event_text(from, "file_extension");
		if (file->format == NULL)
			file->format = dibs_event_text(from, "file_type");
		file->start = time_member(from, "recording_start");
		file->end = time_member(from, "recording_end");
		if (!dibs_json_int64(from, "file_size", 0, PG_INT64_MAX, &file->bytes))
			file->bytes = -1;
		file->download_url = dibs_event_text(from, "download_url");
		file->play_url = dibs_event_text(from, "play_url");
		set->files = lappend(set->files, file);
	}
}

static void
add_set(DibsMeetingEvent *event, char *run, JsonbContainer *ids)
{
	DibsRecordingSet *set = palloc0(sizeof(DibsRecordingSet));

	set->run = run;
	for (uint32 i = 0; ids != NULL && i < JsonContainerSize(ids); i++)
	{
		JsonbValue *id = getIthJsonbValueFromContainer(ids, i);
		DibsRecordingFile *file;

		if (id->type != jbvString || id->val.string.len > DIBS_MAX_ID_LEN)
			continue;
		file = palloc0(sizeof(DibsRecordingFile));
		file->external_id = pnstrdup(id->val.string.val, id->val.string.len);
		file->bytes = -1;
		set->files = lappend(set->files, file);
	}
	event->sets = lappend(event->sets, set);
}

/* The batch events name meetings by uuid alone, with or without their files. */
static void
read_batch(DibsMeetingEvent *event, const JsonbContainer *object)
{
	JsonbContainer *runs = dibs_json_array(object, "meeting_uuids");
	JsonbContainer *meetings = dibs_json_array(object, "meetings");

	for (uint32 i = 0; runs != NULL && i < JsonContainerSize(runs); i++)
	{
		JsonbValue *run = getIthJsonbValueFromContainer(runs, i);

		if (run->type == jbvString && run->val.string.len <= DIBS_MAX_ID_LEN)
			add_set(event, pnstrdup(run->val.string.val, run->val.string.len), NULL);
	}
	for (uint32 i = 0; meetings != NULL && i < JsonContainerSize(meetings); i++)
	{
		JsonbValue *meeting = getIthJsonbValueFromContainer(meetings, i);
		char *run = meeting->type == jbvBinary ? dibs_event_id(meeting->val.binary.data, "meeting_uuid") : NULL;

		if (run != NULL)
			add_set(event, run, dibs_json_array(meeting->val.binary.data, "recording_file_ids"));
	}
	if (event->sets == NIL)
		event->problem = pstrdup("it names no meeting");
}

static void
read_recordings(DibsMeetingEvent *event, const Jsonb *payload, const JsonbContainer *object)
{
	DibsRecordingSet *set;
	char *until;

	if (dibs_json_array(object, "meeting_uuids") != NULL || dibs_json_array(object, "meetings") != NULL)
	{
		event->external_id = event->run = NULL;
		read_batch(event, object);
	}
	else
	{
		set = palloc0(sizeof(DibsRecordingSet));
		set->run = event->run;
		read_files(set, object, "recording_files", NULL);
		read_files(set, object, "participant_audio_files", "participant_audio");
		event->sets = list_make1(set);
	}
	event->token = dibs_event_text(&payload->root, "download_token");
	if (event->token == NULL)
		event->token = dibs_event_text(dibs_json_object(&payload->root, "payload"), "download_token");
	if (event->token != NULL && event->sent_at != 0)
		event->token_until = event->sent_at + TOKEN_LIFE;
	until = dibs_event_text(object, "auto_delete_date");
	if (strcmp(event->recording_state, "trashed") == 0)
		event->files_until = event->sent_at != 0 ? event->sent_at + BIN_LIFE : 0;
	else if (until != NULL)
	{
		char *midnight = psprintf("%sT00:00:00Z", until);
		int64_t at;

		if (dibs_iso8601_parse(midnight, strlen(midnight), &at) == DIBS_ISO_OK)
			event->files_until = at;
	}
}

static TimestampTz
event_time(const ZoomTrigger *trigger, const JsonbContainer *body, const JsonbContainer *object,
		   const JsonbContainer *person)
{
	switch (trigger->time)
	{
		case TIME_START:
			return time_member(object, "start_time");
		case TIME_END:
			return time_member(object, "end_time");
		case TIME_JOIN:
			return time_member(person, "join_time") != 0 ? time_member(person, "join_time")
														 : time_member(person, "date_time");
		case TIME_LEAVE:
			return time_member(person, "leave_time") != 0 ? time_member(person, "leave_time")
														  : time_member(person, "date_time");
		case TIME_DATE:
			return time_member(person, "date_time");
		case TIME_DEPARTED:
			return time_member(body, "deauthorization_time");
		case TIME_SENT:
			break;
	}
	return 0;
}

static void
zoom_read(const Jsonb *payload, DibsMeetingEvent *event)
{
	const JsonbContainer *body = dibs_json_object(&payload->root, "payload");
	const JsonbContainer *object = event_object(payload);
	const JsonbContainer *person = dibs_json_object(object, "participant");
	const ZoomTrigger *trigger = find_trigger(dibs_event_text(&payload->root, "event"));
	int64 minutes;

	memset(event, 0, sizeof(*event));
	event->provider = "zoom";
	if (trigger == NULL)
		return;
	event->kind = trigger->kind;
	event->sent_at = sent_time(payload);
	event->at = event_time(trigger, body, object, person);
	if (event->at == 0)
		event->at = event->sent_at;
	event->external_id = dibs_event_id(object, "id");
	event->run = dibs_event_id(object, "uuid");
	event->host_id = dibs_event_id(object, "host_id");
	event->recording_state = trigger->recording;
	switch (event->kind)
	{
		case DIBS_MEETING_JOINED:
		case DIBS_MEETING_LEFT:
		case DIBS_MEETING_WAITING:
		case DIBS_MEETING_GAVE_UP:
		case DIBS_MEETING_ADMITTED:
			read_person(event, object, person);
			break;
		case DIBS_MEETING_REGISTERED:
			read_registrant(event, dibs_json_object(object, "registrant"));
			break;
		case DIBS_MEETING_CHANGED:
			event->new_start = time_member(object, "start_time");
			if (dibs_json_int64(object, "duration", 1, 24 * 60, &minutes))
				event->new_duration = (int) minutes;
			break;
		case DIBS_MEETING_FILES:
			read_recordings(event, payload, object);
			break;
		case DIBS_MEETING_DEAUTHORIZED:
			event->account_id = dibs_event_id(body, "account_id");
			event->client_id = dibs_event_id(body, "client_id");
			event->person.user_id = dibs_event_id(body, "user_id");
			if (event->person.user_id == NULL)
				event->problem = pstrdup("it does not say whose permission ended");
			return;
		default:
			break;
	}
	if (event->external_id == NULL && event->run == NULL && event->sets == NIL && event->problem == NULL)
		event->problem = pstrdup("it names no meeting");
}

static const char *const bearer_paths[] = {
	"download_token",
	"payload.download_token",
	"payload.object.start_url",
	"payload.object.recording_play_passcode",
	"payload.object.registrant.join_url",
	NULL,
};

const DibsMeetingSource dibs_meeting_source_zoom = {
	.name = "zoom",
	.identify = zoom_identify,
	.read = zoom_read,
	.bearer_paths = bearer_paths,
};
