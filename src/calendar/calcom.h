/*
 * calcom.h
 *		Cal.com as a calendar source.
 */
#ifndef DIBS_CALENDAR_CALCOM_H
#define DIBS_CALENDAR_CALCOM_H

#include "calendar/calendar.h"

extern const DibsCalendarSource dibs_calendar_calcom;

#endif
