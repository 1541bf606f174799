/*
 * registry.c
 *		The calendar sources there are.
 */
#include "compat.h"

#include "calendar/calendar.h"
#include "calendar/calcom.h"

static const DibsCalendarSource *const sources[] = {&dibs_calendar_calcom};

const DibsCalendarSource *
dibs_calendar_source(const char *name)
{
	for (size_t i = 0; i < lengthof(sources); i++)
	{
		if (strcmp(sources[i]->name, name) == 0)
			return sources[i];
	}
	return NULL;
}
