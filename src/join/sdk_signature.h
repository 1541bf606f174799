/*
 * sdk_signature.h
 *		The tokens with which a browser or an app joins through Zoom's Meeting SDK and Video SDK.
 */
#ifndef DIBS_JOIN_SDK_SIGNATURE_H
#define DIBS_JOIN_SDK_SIGNATURE_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* The life that Zoom accepts, in seconds. */
#define DIBS_SDK_MIN_TTL 1800
#define DIBS_SDK_MAX_TTL (48 * 60 * 60)
/* Clocks differ: a signature is issued this many seconds in the past unless the caller says otherwise. */
#define DIBS_SDK_BACKDATE 30

typedef enum DibsZoomRole
{
	DIBS_ZOOM_PARTICIPANT = 0,
	DIBS_ZOOM_HOST = 1
} DibsZoomRole;

/*
 * A Meeting SDK signature, palloc'd. Blanks and dashes in the meeting number are left out; NULL gives the native SDKs'
 * token, which names no meeting. 22023 for a number, role or life that Zoom would refuse; key and secret are in no
 * message, and the statement is hidden.
 */
extern char *dibs_zoom_meeting_signature(const char *key, const char *secret, const char *meeting_number, int role,
										 TimestampTz issued_at, int64 ttl_s);

/* A Video SDK signature for a session's topic, likewise; user_key may be NULL. */
extern char *dibs_zoom_video_signature(const char *key, const char *secret, const char *topic, int role,
									   const char *user_key, TimestampTz issued_at, int64 ttl_s);

#endif
