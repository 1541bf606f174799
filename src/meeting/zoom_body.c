/*
 * zoom_body.c
 *		What Zoom is asked for: a meeting's body from a booking and its coach's settings.
 *
 * Times go out in UTC with a Z, the only form that no zone can shift; the zone beside them is for display only.
 */
#include "compat.h"

#include "mb/pg_wchar.h"

#include "core/jsonbuild.h"
#include "core/jsonread.h"
#include "meeting/zoom_body.h"

/* Zoom's own limits on what it takes. A character beyond the BMP counts as two, to be on the safe side. */
#define MAX_TOPIC 200
#define MAX_AGENDA 2000
#define MAX_DURATION 1440
/* The list shows 250 characters of an agenda; a marker that is cut there would not be told from another. */
#define MAX_MARKER 240

/* Zones that Zoom's own list has. It lacks many, and what it does with others is not said. */
static const char *const zones[] = {"Africa/Cairo",        "Africa/Casablanca",
									"Africa/Johannesburg", "Africa/Nairobi",
									"America/Anchorage",   "America/Bogota",
									"America/Chicago",     "America/Denver",
									"America/Halifax",     "America/Lima",
									"America/Los_Angeles", "America/Mexico_City",
									"America/New_York",    "America/Phoenix",
									"America/Sao_Paulo",   "America/Vancouver",
									"Asia/Bangkok",        "Asia/Dhaka",
									"Asia/Dubai",          "Asia/Hong_Kong",
									"Asia/Jakarta",        "Asia/Jerusalem",
									"Asia/Kuala_Lumpur",   "Asia/Riyadh",
									"Asia/Seoul",          "Asia/Shanghai",
									"Asia/Singapore",      "Asia/Taipei",
									"Asia/Tokyo",          "Australia/Brisbane",
									"Australia/Perth",     "Australia/Sydney",
									"Europe/Amsterdam",    "Europe/Athens",
									"Europe/Berlin",       "Europe/Brussels",
									"Europe/Bucharest",    "Europe/Budapest",
									"Europe/Copenhagen",   "Europe/Dublin",
									"Europe/Helsinki",     "Europe/Istanbul",
									"Europe/Lisbon",       "Europe/London",
									"Europe/Luxembourg",   "Europe/Madrid",
									"Europe/Moscow",       "Europe/Oslo",
									"Europe/Paris",        "Europe/Prague",
									"Europe/Rome",         "Europe/Sofia",
									"Europe/Stockholm",    "Europe/Warsaw",
									"Europe/Zurich",       "Pacific/Auckland",
									"Pacific/Honolulu",    "UTC"};

/* At most so many UTF-16 units, which is how JavaScript on the other side counts; cut between characters. */
char *
dibs_zoom_clipped(const char *text, int max)
{
	const char *p = text;
	int units = 0;

	while (*p)
	{
		int len = pg_mblen(p);

		units += len == 4 ? 2 : 1;
		if (units > max)
			break;
		p += len;
	}
	return pnstrdup(text, p - text);
}

/* {title}, {description} and {uid} filled in; what is unknown stays as it stands. */
static char *
fill_template(const char *template, const DibsMeetingWanted *wanted)
{
	const struct
	{
		const char *name;
		const char *value;
	} fields[] = {{"{title}", wanted->topic}, {"{description}", wanted->agenda}, {"{uid}", wanted->uid}};
	StringInfoData out;

	initStringInfo(&out);
	while (*template)
	{
		int i;

		for (i = 0; i < (int) lengthof(fields); i++)
			if (strncmp(template, fields[i].name, strlen(fields[i].name)) == 0)
				break;
		if (i < (int) lengthof(fields))
		{
			appendStringInfoString(&out, fields[i].value ? fields[i].value : "");
			template += strlen(fields[i].name);
		}
		else
			appendStringInfoChar(&out, *template ++);
	}
	return out.data;
}

static const JsonbContainer *
settings_of(const DibsMeetingWanted *wanted)
{
	return wanted->settings ? &wanted->settings->root : NULL;
}

/* The marker as it stands in an agenda: one line, whatever characters a source's uid has. */
char *
dibs_zoom_marker_line(const char *marker)
{
	char *line = dibs_zoom_clipped(marker, MAX_MARKER);

	for (char *p = line; *p; p++)
		if ((unsigned char) *p <= ' ')
			*p = '_';
	return line;
}

static char *
utc_time(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t fsec;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR, errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range"));
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
					tm.tm_sec);
}

static bool
is_known_zone(const char *zone)
{
	for (int i = 0; zone != NULL && i < (int) lengthof(zones); i++)
		if (strcmp(zones[i], zone) == 0)
			return true;
	return false;
}

static void
put_bool_setting(DibsJson *json, const JsonbContainer *settings, const char *ours, const char *theirs)
{
	bool value;

	if (!dibs_json_bool(settings, ours, &value))
		return;
	dibs_json_key(json, theirs);
	dibs_json_put_bool(json, value);
}

/* A value of another list than Zoom's would make every meeting of the coach fail; it is left out instead. */
static void
put_choice(DibsJson *json, const JsonbContainer *settings, const char *ours, const char *theirs,
		   const char *const *choices)
{
	char *value = dibs_json_text(settings, ours);

	for (; value != NULL && *choices != NULL; choices++)
		if (strcmp(value, *choices) == 0)
			dibs_json_text_member(json, theirs, value);
}

/* An array of addresses, or one text with them; Zoom separates them by semicolons. */
static char *
alternative_hosts(const JsonbContainer *settings)
{
	JsonbContainer *array = dibs_json_array(settings, "alternativeHosts");
	StringInfoData list;

	if (array == NULL)
		return dibs_json_text(settings, "alternativeHosts");
	initStringInfo(&list);
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(array, i);

		if (value->type == jbvString)
			appendStringInfo(&list, "%s%.*s", list.len > 0 ? ";" : "", value->val.string.len, value->val.string.val);
	}
	return list.len > 0 ? list.data : NULL;
}

bool
dibs_zoom_uses_personal_room(const DibsMeetingWanted *wanted)
{
	bool personal = false;

	return wanted->room != NULL && *wanted->room && dibs_json_bool(settings_of(wanted), "personalRoom", &personal) &&
		   personal;
}

static void
put_settings(DibsJson *json, const DibsMeetingWanted *wanted)
{
	static const char *const recordings[] = {"none", "local", "cloud", NULL};
	static const char *const audios[] = {"both", "telephony", "voip", "thirdParty", NULL};
	const JsonbContainer *settings = settings_of(wanted);
	char *approval = dibs_json_text(settings, "approval");
	bool registrants = false;

	dibs_json_key(json, "settings");
	dibs_json_begin_object(json);
	/* else the user's own setting could turn every booking into one and the same room */
	dibs_json_key(json, "use_pmi");
	dibs_json_put_bool(json, dibs_zoom_uses_personal_room(wanted));
	put_bool_setting(json, settings, "waitingRoom", "waiting_room");
	put_bool_setting(json, settings, "joinBeforeHost", "join_before_host");
	put_bool_setting(json, settings, "muteUponEntry", "mute_upon_entry");
	put_bool_setting(json, settings, "hostVideo", "host_video");
	put_bool_setting(json, settings, "participantVideo", "participant_video");
	put_choice(json, settings, "recording", "auto_recording", recordings);
	put_choice(json, settings, "audio", "audio", audios);
	dibs_json_optional_member(json, "alternative_hosts", alternative_hosts(settings));
	if (wanted->group && dibs_json_bool(settings, "registrants", &registrants) && registrants)
	{
		dibs_json_key(json, "approval_type");
		dibs_json_put_int(json, approval && strcmp(approval, "manual") == 0 ? 1 : 0);
		/* the links are handed out by dibs */
		dibs_json_key(json, "registrants_email_notification");
		dibs_json_put_bool(json, false);
	}
	dibs_json_end_object(json);
}

/* marker NULL: the content alone, whose hash decides whether an update is needed. */
Jsonb *
dibs_zoom_body(const DibsMeetingWanted *wanted, const char *marker, bool create)
{
	const JsonbContainer *settings = settings_of(wanted);
	char *topic = dibs_json_text(settings, "topicTemplate");
	char *agenda = dibs_json_text(settings, "agendaTemplate");
	char *zone = dibs_json_text(settings, "timeZone");
	int64 minutes = (wanted->end - wanted->start + 60 * USECS_PER_SEC - 1) / (60 * USECS_PER_SEC);
	DibsJson json = {0};

	topic = dibs_zoom_clipped(fill_template(topic ? topic : "{title}", wanted), MAX_TOPIC);
	agenda = fill_template(agenda ? agenda : "{description}", wanted);
	if (marker != NULL)
		agenda = psprintf("%s%s%s", dibs_zoom_marker_line(marker), *agenda ? "\n\n" : "", agenda);
	agenda = dibs_zoom_clipped(agenda, MAX_AGENDA);
	if (!is_known_zone(zone))
		zone = unconstify(char *, wanted->time_zone);

	dibs_json_begin_object(&json);
	dibs_json_text_member(&json, "topic", topic);
	dibs_json_text_member(&json, "agenda", agenda);
	dibs_json_text_member(&json, "start_time", utc_time(wanted->start));
	if (is_known_zone(zone))
		dibs_json_text_member(&json, "timezone", zone);
	dibs_json_key(&json, "duration");
	dibs_json_put_int(&json, Min(Max(minutes, 1), MAX_DURATION));
	dibs_json_key(&json, "type");
	dibs_json_put_int(&json, 2);
	if (create)
	{
		dibs_json_key(&json, "default_password");
		dibs_json_put_bool(&json, true);
	}
	put_settings(&json, wanted);
	dibs_json_end_object(&json);
	return dibs_json_finish(&json);
}

void
dibs_zoom_describe(const DibsMeetingWanted *wanted, StringInfo out)
{
	Jsonb *body = dibs_zoom_body(wanted, NULL, false);

	(void) JsonbToCString(out, &body->root, VARSIZE(body));
}
