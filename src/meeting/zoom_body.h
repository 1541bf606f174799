/*
 * zoom_body.h
 *		What Zoom is asked for. Everything is palloc'd.
 */
#ifndef DIBS_MEETING_ZOOM_BODY_H
#define DIBS_MEETING_ZOOM_BODY_H

#include "postgres.h"

#include "meeting/meeting.h"

/* The body of a create or an update; marker NULL: the content alone, whose hash decides whether an update is needed. */
extern Jsonb *dibs_zoom_body(const DibsMeetingWanted *wanted, const char *marker, bool create);

/* DibsMeetingProvider.describe */
extern void dibs_zoom_describe(const DibsMeetingWanted *wanted, StringInfo out);

/* The marker as it stands in an agenda: one line, whatever characters a source's uid has. */
extern char *dibs_zoom_marker_line(const char *marker);

extern bool dibs_zoom_uses_personal_room(const DibsMeetingWanted *wanted);

/* At most so many UTF-16 units, which is how JavaScript on the other side counts; cut between characters. */
extern char *dibs_zoom_clipped(const char *text, int max);

#endif
