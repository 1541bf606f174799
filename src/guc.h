/*
 * guc.h
 *		Every setting of dibs. guc.c says what each is for; the defaults and bounds stand there too.
 */
#ifndef DIBS_GUC_H
#define DIBS_GUC_H

/* the server's: postgresql.conf or ALTER SYSTEM, taken up on reload */
extern char *dibs_site;
extern bool dibs_worker_enabled;
extern char *dibs_worker_role;
extern char *dibs_databases;
extern char *dibs_master_key_file;
extern char *dibs_master_key_command;
extern int dibs_max_in_flight;
extern int dibs_poll_interval;     /* ms */
extern int dibs_connect_timeout;   /* ms */
extern int dibs_request_timeout;   /* ms */
extern int dibs_max_response_size; /* kB */
extern int dibs_max_attempts;
extern int dibs_lease_margin; /* ms */
extern char *dibs_allowed_hosts;
extern bool dibs_allow_insecure_loopback;
extern char *dibs_ca_file;
typedef enum DibsHttp2
{
	DIBS_HTTP2_AUTO, /* where libcurl's is sound */
	DIBS_HTTP2_ON,
	DIBS_HTTP2_OFF,
} DibsHttp2;
extern int dibs_http2;
extern int dibs_max_webhook_size; /* kB */
extern char *dibs_gateway_roles;

/* a database's: a superuser may set them by ALTER DATABASE */
extern char *dibs_zoom_api_url;
extern char *dibs_zoom_oauth_url;
extern char *dibs_cal_api_url;
extern char *dibs_cal_oauth_url;
extern char *dibs_cal_oauth_scopes;
extern int dibs_cal_cache;         /* ms */
extern int dibs_cal_sync_interval; /* s */
extern char *dibs_calendly_api_url;
extern char *dibs_daily_api_url;
extern int dibs_zoom_plan;
extern int dibs_zoom_host_daily_limit;
extern int dibs_zoom_day; /* ms */
extern char *dibs_zoom_default_hosts;
extern int dibs_zoom_meetings_at_once;
typedef enum DibsChanges
{
	DIBS_CHANGES_RESTORE,
	DIBS_CHANGES_ACCEPT,
} DibsChanges;
extern int dibs_zoom_changes;
typedef enum DibsNoShow
{
	DIBS_NO_SHOW_GUESTS, /* nobody but the host came */
	DIBS_NO_SHOW_NOBODY,
	DIBS_NO_SHOW_NEVER,
} DibsNoShow;
extern int dibs_no_show;
extern bool dibs_notify_events;
extern int dibs_fallback_before;        /* minutes */
extern int dibs_complete_after;         /* minutes */
extern int dibs_complete_after_silence; /* minutes */
extern bool dibs_recordings_for_participants;
extern char *dibs_default_meeting_provider;
extern char *dibs_jitsi_base_url;
extern bool dibs_auto_register_coaches;
extern char *dibs_default_user_ulid;
extern int dibs_webhook_retention; /* min */
extern int dibs_audit_retention;   /* min */
extern int dibs_join_early;        /* min */
extern int dibs_join_late;         /* min */
extern char *dibs_claim_user;
extern char *dibs_claim_role;
extern char *dibs_claim_email;
extern char *dibs_user_ulid;

/* anybody's: for a restore */
extern bool dibs_create_tables;

extern void dibs_guc_init(void);

/* true when the comma-separated list names the item (case-insensitive); "*" names everything */
extern bool dibs_list_contains(const char *list, const char *item);

/* the first item of such a list in the current context, or NULL */
extern char *dibs_first_of_list(const char *list);

#endif
