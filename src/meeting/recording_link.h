/*
 * recording_link.h
 *		A fresh link to a recording's file, on demand.
 */
#ifndef DIBS_MEETING_RECORDING_LINK_H
#define DIBS_MEETING_RECORDING_LINK_H

#include "postgres.h"

#include "queue/call.h"

/* One file, and what the provider answers. */
typedef struct DibsRecordingFetch
{
	const char *user_ulid;
	const char *run;  /* the provider's name for the run, or for the meeting */
	const char *file; /* the file's id */
	char *token;
	int token_life_s;
	char *download_url;
} DibsRecordingFetch;

/* As a meeting provider builds and reads, for recordings. Verdict GONE: the file is not there any more. */
typedef struct DibsRecordingLinks
{
	DibsPace (*pace)(const DibsRecordingFetch *fetch);
	DibsHttpRequest *(*build)(DibsRecordingFetch *fetch, DibsHttp *http, const DibsAccess *access);
	void (*read)(DibsRecordingFetch *fetch, DibsHttpRequest *request, DibsFailure *answer);
} DibsRecordingLinks;

extern const DibsRecordingLinks dibs_zoom_recordings;

/* The job: its key is the recording's ulid, its args {userUlid}. */
extern const DibsCallKind dibs_recording_link_kind;

#endif
