/*
 * zoom_registrants.h
 *		Zoom's registrants.
 */
#ifndef DIBS_MEETING_ZOOM_REGISTRANTS_H
#define DIBS_MEETING_ZOOM_REGISTRANTS_H

#include "postgres.h"

#include "meeting/registrants.h"

extern const DibsRegistrar dibs_zoom_registrar;

#endif
