/*
 * recording.h
 *		"MeetingRecording": what a provider recorded, and what became of it.
 */
#ifndef DIBS_MEETING_RECORDING_H
#define DIBS_MEETING_RECORDING_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "meeting/event.h"

/* One file, as somebody says it is at a time. */
typedef struct DibsRecordingWrite
{
	const char *user_ulid;
	const char *booking_ulid;
	const char *meeting_ulid; /* may be NULL */
	const char *session_ulid; /* may be NULL: which run it is of is not known */
	const char *provider;
	const DibsRecordingFile *file;
	const char *state; /* ready, trashed, deleted */
	TimestampTz at;    /* when that was so; what was said of a later time stands */
	const char *token; /* opens download_url, or is the link itself; sealed before it is written. May be NULL */
	TimestampTz token_until;
	TimestampTz expires_at; /* when the provider deletes the file; 0: not known */
} DibsRecordingWrite;

/*
 * Writes the file's row and, where something is new, an "Event": recording.ready or transcript.ready for each file
 * that is there, recording.trashed, .deleted, .recovered. True where something is new. SPI is connected, the booking
 * locked.
 */
extern bool dibs_recording_write(const DibsRecordingWrite *write);

/* Keeps a fresh token for a file whose row is there. */
extern void dibs_recording_keep_token(const char *ulid, const char *user_ulid, const char *token, TimestampTz until);

#endif
