/*
 * guc.c
 *		Declares every setting, with its context, unit, bounds and a sentence for the operator.
 *
 * None is PGC_POSTMASTER: such a setting can only be defined while preloading, and the SQL functions must work
 * without. What must differ between databases is PGC_SUSET and is read by the worker when it connects and on reload.
 */
#include "compat.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "core/limits.h"
#include "core/ulid.h"
#include "guc.h"

char *dibs_site = NULL;
bool dibs_worker_enabled = true;
char *dibs_worker_role = NULL;
char *dibs_databases = NULL;
char *dibs_master_key_file = NULL;
char *dibs_master_key_command = NULL;
int dibs_max_in_flight = 64;
int dibs_poll_interval = 60000;
int dibs_connect_timeout = 5000;
int dibs_request_timeout = 20000;
int dibs_max_response_size = 1024;
int dibs_max_attempts = 20;
int dibs_lease_margin = 10000;
char *dibs_allowed_hosts = NULL;
bool dibs_allow_insecure_loopback = false;
char *dibs_ca_file = NULL;
int dibs_http2 = DIBS_HTTP2_AUTO;
int dibs_max_webhook_size = 1024;
char *dibs_gateway_roles = NULL;

char *dibs_zoom_api_url = NULL;
char *dibs_zoom_oauth_url = NULL;
char *dibs_cal_api_url = NULL;
int dibs_cal_cache = 0;
char *dibs_cal_oauth_url = NULL;
char *dibs_cal_oauth_scopes = NULL;
int dibs_cal_sync_interval = 600;
char *dibs_calendly_api_url = NULL;
char *dibs_daily_api_url = NULL;
int dibs_zoom_plan = 1;
int dibs_zoom_host_daily_limit = 100;
int dibs_zoom_day = 24 * 60 * 60 * 1000;
char *dibs_zoom_default_hosts = NULL;
int dibs_zoom_meetings_at_once = 1;
int dibs_zoom_changes = DIBS_CHANGES_RESTORE;
int dibs_no_show = DIBS_NO_SHOW_GUESTS;
bool dibs_notify_events = false;
int dibs_fallback_before = 10;
int dibs_complete_after = 15;
int dibs_complete_after_silence = 12 * 60;
bool dibs_recordings_for_participants = false;
char *dibs_default_meeting_provider = NULL;
char *dibs_jitsi_base_url = NULL;
bool dibs_auto_register_coaches = false;
char *dibs_default_user_ulid = NULL;
int dibs_webhook_retention = 30 * 24 * 60;
int dibs_audit_retention = 365 * 24 * 60;
int dibs_join_early = 15;
int dibs_join_late = 30;
char *dibs_claim_user = NULL;
char *dibs_claim_role = NULL;
char *dibs_claim_email = NULL;
char *dibs_user_ulid = NULL;

bool dibs_create_tables = true;

static const struct config_enum_entry http2_uses[] = {
	{"auto", DIBS_HTTP2_AUTO, false}, {"on", DIBS_HTTP2_ON, false}, {"off", DIBS_HTTP2_OFF, false}, {NULL, 0, false}};

static const struct config_enum_entry change_rules[] = {
	{"restore", DIBS_CHANGES_RESTORE, false}, {"accept", DIBS_CHANGES_ACCEPT, false}, {NULL, 0, false}};

static const struct config_enum_entry no_show_rules[] = {{"guests", DIBS_NO_SHOW_GUESTS, false},
														 {"nobody", DIBS_NO_SHOW_NOBODY, false},
														 {"never", DIBS_NO_SHOW_NEVER, false},
														 {NULL, 0, false}};

static const struct config_enum_entry zoom_plans[] = {
	{"free", 0, false}, {"pro", 1, false}, {"business", 2, false}, {"off", 3, false}, {NULL, 0, false}};

/* An API's base URL: http(s), a host, no query, no credentials; where http is really allowed is decided when sending.
 */
static bool
check_url(char **newval, void **extra, GucSource source)
{
	const char *url = *newval;

	if (url == NULL || *url == '\0')
		return true;
	if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
	{
		GUC_check_errdetail("A base URL starts with https:// (http:// only for a loopback address in tests).");
		return false;
	}
	if (strpbrk(url, "?#@ \t\r\n\"") != NULL)
	{
		GUC_check_errdetail("A base URL has no query, fragment, user name or white space.");
		return false;
	}
	return true;
}

static bool
check_ulid(char **newval, void **extra, GucSource source)
{
	char canonical[DIBS_ULID_LEN + 1];

	if (*newval == NULL || **newval == '\0')
		return true;
	if (dibs_ulid_canonical(*newval, canonical))
	{
		/* of the same length: it is compared with what the rows have */
		memcpy(*newval, canonical, DIBS_ULID_LEN);
		return true;
	}
	GUC_check_errdetail("It must be a ULID: 26 characters of Crockford's base32.");
	return false;
}

static bool
check_list(char **newval, void **extra, GucSource source)
{
	char *copy;
	List *items = NIL;
	bool ok;

	if (*newval == NULL)
		return true;
	copy = pstrdup(*newval);
	ok = SplitGUCList(copy, ',', &items);
	if (!ok)
		GUC_check_errdetail("List syntax is invalid: items are separated by commas.");
	list_free(items);
	pfree(copy);
	return ok;
}

/* A host's name stands in indexes. */
static bool
check_hosts(char **newval, void **extra, GucSource source)
{
	char *copy;
	List *items = NIL;
	ListCell *lc;
	bool ok = true;

	if (!check_list(newval, extra, source))
		return false;
	if (*newval == NULL)
		return true;
	copy = pstrdup(*newval);
	(void) SplitGUCList(copy, ',', &items);
	foreach (lc, items)
		ok = ok && strlen((char *) lfirst(lc)) <= DIBS_MAX_ID_LEN;
	if (!ok)
		GUC_check_errdetail("A host has at most %d bytes.", DIBS_MAX_ID_LEN);
	list_free(items);
	pfree(copy);
	return ok;
}

bool
dibs_list_contains(const char *list, const char *item)
{
	char *copy;
	List *items = NIL;
	ListCell *lc;
	bool found = false;

	if (list == NULL || item == NULL)
		return false;
	copy = pstrdup(list);
	if (SplitGUCList(copy, ',', &items))
	{
		foreach (lc, items)
		{
			const char *one = (const char *) lfirst(lc);

			if (strcmp(one, "*") == 0 || pg_strcasecmp(one, item) == 0)
			{
				found = true;
				break;
			}
		}
	}
	list_free(items);
	pfree(copy);
	return found;
}

char *
dibs_first_of_list(const char *list)
{
	List *items = NIL;

	if (list == NULL || !SplitGUCList(pstrdup(list), ',', &items) || items == NIL)
		return NULL;
	return (char *) linitial(items);
}

static void
server_settings(void)
{
	const int su = GUC_SUPERUSER_ONLY;

	DefineCustomStringVariable("dibs.site", "Name of this installation, set outside the data directory.",
							   "The worker acts only where it equals the recorded one; give a physical clone another.",
							   &dibs_site, "", PGC_SIGHUP, su, NULL, NULL, NULL);
	DefineCustomBoolVariable("dibs.worker", "Lets the background worker work.",
							 "Off: it idles; dibs.drain() still does the work when called.", &dibs_worker_enabled, true,
							 PGC_SIGHUP, su, NULL, NULL, NULL);
	DefineCustomStringVariable("dibs.worker_role", "Role that the worker switches to inside each transaction.",
							   "It needs no login and must not be a superuser.", &dibs_worker_role, "dibs_worker",
							   PGC_SIGHUP, su, NULL, NULL, NULL);
	DefineCustomStringVariable("dibs.databases", "Databases to serve, separated by commas; * is every one.", NULL,
							   &dibs_databases, "*", PGC_SIGHUP, su | GUC_LIST_INPUT, check_list, NULL, NULL);
	DefineCustomStringVariable("dibs.master_key_file", "File with the master keys, one version:hex a line.",
							   "It must be readable by the server's user and by nobody else.", &dibs_master_key_file,
							   "", PGC_SIGHUP, su | GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomStringVariable("dibs.master_key_command", "Shell command that prints the master keys.",
							   "Used when master_key_file is empty; each backend that needs a key runs it once.",
							   &dibs_master_key_command, "", PGC_SIGHUP, su | GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.max_in_flight", "Requests that one worker has on the wire at once.", NULL,
							&dibs_max_in_flight, 64, 1, 1000, PGC_SIGHUP, su, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.poll_interval", "Longest time between two looks at the due list.",
							"A commit wakes the worker at once; this is the safety net.", &dibs_poll_interval, 60000,
							100, 3600000, PGC_SIGHUP, su | GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.connect_timeout", "Longest time to connect to a provider, TLS included.", NULL,
							&dibs_connect_timeout, 5000, 10, 600000, PGC_SIGHUP, su | GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.request_timeout", "Longest time for a whole request, counted from its sending.", NULL,
							&dibs_request_timeout, 20000, 10, 600000, PGC_SIGHUP, su | GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.max_response_size", "Longest answer that is read; a longer one is an error.", NULL,
							&dibs_max_response_size, 1024, 1, 1024 * 1024, PGC_SIGHUP, su | GUC_UNIT_KB, NULL, NULL,
							NULL);
	DefineCustomIntVariable("dibs.max_attempts", "Attempts at one change before it counts as failed.", NULL,
							&dibs_max_attempts, 20, 1, 10000, PGC_SIGHUP, su, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.lease_margin", "Time that a lease outlives the request it is for.", NULL,
							&dibs_lease_margin, 10000, 100, 600000, PGC_SIGHUP, su | GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("dibs.allowed_hosts", "Hosts beside the providers' own that may be called.",
							   "Names separated by commas; a self-hosted Cal.com, a test server.", &dibs_allowed_hosts,
							   "", PGC_SIGHUP, su | GUC_LIST_INPUT, check_list, NULL, NULL);
	DefineCustomBoolVariable("dibs.allow_insecure_loopback", "Allows http to 127.0.0.1 and ::1, for tests.", NULL,
							 &dibs_allow_insecure_loopback, false, PGC_SIGHUP, su | GUC_NOT_IN_SAMPLE, NULL, NULL,
							 NULL);
	DefineCustomStringVariable("dibs.ca_file", "File with the certificate authorities to trust; empty: the system's.",
							   NULL, &dibs_ca_file, "", PGC_SIGHUP, su, NULL, NULL, NULL);
	DefineCustomEnumVariable("dibs.http2", "Speaks HTTP/2 with providers that offer it: auto, on or off.",
							 "auto leaves it out with libcurl 7.88 and 8.0, which reset every stream after its end.",
							 &dibs_http2, DIBS_HTTP2_AUTO, http2_uses, PGC_SIGHUP, su, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.max_webhook_size", "Largest webhook body that is looked at; a larger one gets 413.",
							NULL, &dibs_max_webhook_size, 1024, 1, 65536, PGC_SIGHUP, su | GUC_UNIT_KB, NULL, NULL,
							NULL);
	DefineCustomStringVariable("dibs.gateway_roles", "Login roles whose request.jwt.claims are believed.",
							   "The role that PostgREST connects as.", &dibs_gateway_roles, "authenticator", PGC_SIGHUP,
							   su | GUC_LIST_INPUT, check_list, NULL, NULL);
}

static void
database_settings(void)
{
	DefineCustomStringVariable("dibs.zoom_api_url", "Base URL of Zoom's API.", NULL, &dibs_zoom_api_url,
							   "https://api.zoom.us/v2", PGC_SUSET, 0, check_url, NULL, NULL);
	DefineCustomStringVariable("dibs.zoom_oauth_url", "Base URL of Zoom's OAuth endpoints.", NULL, &dibs_zoom_oauth_url,
							   "https://zoom.us/oauth", PGC_SUSET, 0, check_url, NULL, NULL);
	DefineCustomStringVariable("dibs.cal_api_url", "Base URL of Cal.com's API.", NULL, &dibs_cal_api_url,
							   "https://api.cal.com/v2", PGC_SUSET, 0, check_url, NULL, NULL);
	DefineCustomIntVariable("dibs.cal_cache",
							"How long an answer of Cal.com's is given again to the same question; 0: never.",
							"In each session's own memory; as_of shows how old it is.", &dibs_cal_cache, 0, 0, 3600000,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("dibs.cal_oauth_url", "Base URL of the page where people consent to a Cal.com app.",
							   NULL, &dibs_cal_oauth_url, "https://app.cal.com/auth/oauth2", PGC_SUSET, 0, check_url,
							   NULL, NULL);
	DefineCustomStringVariable("dibs.cal_oauth_scopes", "Scopes that people are asked for, separated by spaces.",
							   "Those that the OAuth client was registered with, or some of them.",
							   &dibs_cal_oauth_scopes,
							   "BOOKING_READ BOOKING_WRITE EVENT_TYPE_READ EVENT_TYPE_WRITE SCHEDULE_READ PROFILE_READ",
							   PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.cal_sync_interval", "How often each Cal.com account's bookings are brought in step.",
							"0: only when dibs.sync_bookings() asks for it.", &dibs_cal_sync_interval, 600, 0,
							7 * 86400, PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomStringVariable("dibs.calendly_api_url", "Base URL of Calendly's API.", NULL, &dibs_calendly_api_url,
							   "https://api.calendly.com", PGC_SUSET, 0, check_url, NULL, NULL);
	DefineCustomStringVariable("dibs.daily_api_url", "Base URL of Daily's API.", NULL, &dibs_daily_api_url,
							   "https://api.daily.co/v1", PGC_SUSET, 0, check_url, NULL, NULL);
	DefineCustomEnumVariable("dibs.zoom_plan", "Plan of the Zoom account: free, pro or business; sets the pace.",
							 "off: no pace is kept, for benches.", &dibs_zoom_plan, 1, zoom_plans, PGC_SUSET, 0, NULL,
							 NULL, NULL);
	DefineCustomIntVariable("dibs.zoom_host_daily_limit",
							"Creates and updates a Zoom host may have in a UTC day; 0: no limit.", NULL,
							&dibs_zoom_host_daily_limit, 100, 0, 1000000, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.zoom_day", "Length of the day after which Zoom's daily limits begin anew, for tests.",
							NULL, &dibs_zoom_day, 24 * 60 * 60 * 1000, 1000, 24 * 60 * 60 * 1000, PGC_SUSET,
							GUC_UNIT_MS | GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomStringVariable("dibs.zoom_default_hosts",
							   "Zoom users (ids or e-mails) for coaches without one of their own.", NULL,
							   &dibs_zoom_default_hosts, "", PGC_SUSET, GUC_LIST_INPUT, check_hosts, NULL, NULL);
	DefineCustomIntVariable("dibs.zoom_meetings_at_once",
							"Meetings that one of zoom_default_hosts may have at the same time; 0: any number.",
							"Zoom has one at a time for a host, more with an add-on.", &dibs_zoom_meetings_at_once, 1,
							0, 1000, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("dibs.zoom_changes", "What follows when somebody changes or deletes a meeting at Zoom.",
							 "restore: it is brought back; accept: a booking of dibs' own follows it.",
							 &dibs_zoom_changes, DIBS_CHANGES_RESTORE, change_rules, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("dibs.no_show", "When a meeting that has ended makes its booking NO_SHOW.",
							 "guests: nobody but the host came; nobody: not even the host; never.", &dibs_no_show,
							 DIBS_NO_SHOW_GUESTS, no_show_rules, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("dibs.recordings_for_participants", "Lets participants have links to recordings.",
							 "The coach always may.", &dibs_recordings_for_participants, false, PGC_SUSET, 0, NULL,
							 NULL, NULL);
	DefineCustomBoolVariable("dibs.notify_events", "Sends NOTIFY dibs_events when a transaction writes events.",
							 "A hint to followers. Commits that notify wait for one another.", &dibs_notify_events,
							 false, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("dibs.default_meeting_provider", "Provider of bookings that name none.", NULL,
							   &dibs_default_meeting_provider, "jitsi", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.fallback_before",
							"How long before its start a booking whose provider fails gets its fallback's meeting.",
							"Long enough for people to be told of another link, short enough for the first to recover.",
							&dibs_fallback_before, 10, 0, 7 * 24 * 60, PGC_SUSET, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.complete_after",
							"How long after its end a booking is COMPLETED where its provider tells no end.",
							"People overrun; what is completed is not joined any more.", &dibs_complete_after, 15, 0,
							7 * 24 * 60, PGC_SUSET, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.complete_after_silence", "The same where the provider would tell it, and has not.",
							"Longer than webhooks are late, and than a meeting that overran.",
							&dibs_complete_after_silence, 12 * 60, 0, 30 * 24 * 60, PGC_SUSET, GUC_UNIT_MIN, NULL, NULL,
							NULL);
	DefineCustomStringVariable("dibs.jitsi_base_url", "Jitsi server in which rooms are made.",
							   "meet.jit.si is for trying: set a server of your own.", &dibs_jitsi_base_url,
							   "https://meet.jit.si", PGC_SUSET, 0, check_url, NULL, NULL);
	DefineCustomBoolVariable("dibs.auto_register_coaches", "Makes a coach of every organizer that is not linked yet.",
							 NULL, &dibs_auto_register_coaches, false, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("dibs.default_user_ulid", "Coach of bookings whose organizer is not linked.", NULL,
							   &dibs_default_user_ulid, "", PGC_SUSET, 0, check_ulid, NULL, NULL);
	DefineCustomIntVariable("dibs.webhook_retention", "How long a webhook's payload is kept.",
							"Its hash is kept for good: a late duplicate is still known.", &dibs_webhook_retention,
							30 * 24 * 60, 60, INT_MAX, PGC_SUSET, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.audit_retention", "How long audit rows are kept.", NULL, &dibs_audit_retention,
							365 * 24 * 60, 60, INT_MAX, PGC_SUSET, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.join_early", "How long before its start a booking can be joined.", NULL,
							&dibs_join_early, 15, 0, 7 * 24 * 60, PGC_SUSET, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("dibs.join_late", "How long after its end a booking can be joined.", NULL, &dibs_join_late,
							30, 0, 7 * 24 * 60, PGC_SUSET, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomStringVariable("dibs.claim_user", "JWT claim that says who one is.",
							   "A ULID, a uuid or an application's own key (\"UserKey\").", &dibs_claim_user, "sub",
							   PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("dibs.claim_role", "JWT claim that makes an administrator when it says dibs_admin.",
							   NULL, &dibs_claim_role, "", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("dibs.claim_email", "JWT claim with an e-mail address that the issuer has verified.",
							   "By it a participant has a seat; empty: no claim is believed.", &dibs_claim_email, "",
							   PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("dibs.user_ulid", "Who one is where neither act_as() nor a JWT says it.", NULL,
							   &dibs_user_ulid, "", PGC_SUSET, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE, check_ulid, NULL,
							   NULL);
	DefineCustomBoolVariable("dibs.create_tables", "Off while restoring a dump of a scaled-out installation.", NULL,
							 &dibs_create_tables, true, PGC_USERSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
}

void
dibs_guc_init(void)
{
	server_settings();
	database_settings();
	MarkGUCPrefixReserved("dibs");
}
