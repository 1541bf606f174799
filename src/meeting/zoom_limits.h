/*
 * zoom_limits.h
 *		How much Zoom takes, and when to come again: its numbers by label, plan, host and day.
 */
#ifndef DIBS_MEETING_ZOOM_LIMITS_H
#define DIBS_MEETING_ZOOM_LIMITS_H

#include "postgres.h"

#include "meeting/meeting.h"

/* Zoom's labels of its operations: developers.zoom.us/docs/api/rate-limits. */
typedef enum DibsZoomLabel
{
	DIBS_ZOOM_LIGHT,
	DIBS_ZOOM_MEDIUM,
	DIBS_ZOOM_HEAVY,
	DIBS_ZOOM_RESOURCE_INTENSIVE,
} DibsZoomLabel;

/* The pace for requests of a label under dibs.zoom_plan. */
extern DibsPace dibs_zoom_pace(DibsZoomLabel label);

/* Creates and updates a host and day, and the default hosts. */
extern DibsHostLimits dibs_zoom_host_limits(void);

/* So many ms from now. */
extern TimestampTz dibs_zoom_after_ms(int64 milliseconds);
extern int64 dibs_zoom_jitter_ms(int64 most);

/* When Zoom's day turns. */
extern TimestampTz dibs_zoom_next_day(void);

#endif
