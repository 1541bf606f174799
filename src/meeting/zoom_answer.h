/*
 * zoom_answer.h
 *		What Zoom's refusals mean. Plain C: the table is tested without a server.
 */
#ifndef DIBS_MEETING_ZOOM_ANSWER_H
#define DIBS_MEETING_ZOOM_ANSWER_H

#include <stdint.h>

typedef enum DibsZoomMeaning
{
	DIBS_ZOOM_DOWN,        /* an answer that is not the API's: nobody knows what was done */
	DIBS_ZOOM_TOKEN,       /* the access token is not, or no longer, good */
	DIBS_ZOOM_GONE,        /* there is no such meeting */
	DIBS_ZOOM_NO_USER,     /* there is no such host */
	DIBS_ZOOM_RUNNING,     /* not while the meeting runs */
	DIBS_ZOOM_KEPT,        /* it has ended, or is a personal room: there is nothing to delete */
	DIBS_ZOOM_BUSY,        /* somebody else is at it: in a moment */
	DIBS_ZOOM_PER_SECOND,  /* the account's limit a second */
	DIBS_ZOOM_ACCOUNT_DAY, /* the account's limit a day */
	DIBS_ZOOM_HOST_DAY,    /* this host's creates and updates for today */
	DIBS_ZOOM_FINAL,       /* no, and asking again changes nothing */
} DibsZoomMeaning;

typedef struct DibsZoomAnswer
{
	DibsZoomMeaning meaning;
	const char *error_code; /* for the application */
} DibsZoomAnswer;

/*
 * For answers other than 2xx. code is that of the body, negative where the body is not Zoom's JSON; message may be
 * NULL. Status and code decide together, since Zoom uses codes for several things; 429s differ by their text alone.
 */
extern DibsZoomAnswer dibs_zoom_answer(int status, int64_t code, const char *message);

#endif
