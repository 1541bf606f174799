/*
 * status.c
 *		The one table of status transitions, for every writer.
 */
#include "booking/status.h"

#include <string.h>

#define BIT(s) (1u << DIBS_STATUS_##s)

typedef struct StatusRule
{
	const char *name;
	unsigned next;           /* for everybody */
	unsigned next_by_source; /* in addition, for a source's events */
	const char *next_text;
} StatusRule;

/*
 * Two rows may turn out to be one booking: whatever the older row's status is, it takes on what has come about in the
 * newer one.
 */
static const StatusRule rules[DIBS_STATUS_COUNT] = {
	[DIBS_STATUS_PENDING] = {"PENDING", BIT(CONFIRMED) | BIT(CANCELLED) | BIT(REJECTED),
							 BIT(IN_PROGRESS) | BIT(COMPLETED) | BIT(NO_SHOW), "CONFIRMED, CANCELLED, REJECTED"},
	[DIBS_STATUS_CONFIRMED] = {"CONFIRMED", BIT(IN_PROGRESS) | BIT(COMPLETED) | BIT(NO_SHOW) | BIT(CANCELLED),
							   BIT(PENDING) | BIT(REJECTED), "IN_PROGRESS, COMPLETED, NO_SHOW, CANCELLED"},
	[DIBS_STATUS_IN_PROGRESS] = {"IN_PROGRESS", BIT(COMPLETED) | BIT(NO_SHOW) | BIT(CANCELLED),
								 BIT(PENDING) | BIT(CONFIRMED) | BIT(REJECTED), "COMPLETED, NO_SHOW, CANCELLED"},
	/* a meeting that ended can start again */
	[DIBS_STATUS_COMPLETED] = {"COMPLETED", BIT(IN_PROGRESS) | BIT(NO_SHOW),
							   BIT(PENDING) | BIT(CONFIRMED) | BIT(CANCELLED) | BIT(REJECTED), "IN_PROGRESS, NO_SHOW"},
	[DIBS_STATUS_NO_SHOW] = {"NO_SHOW", BIT(IN_PROGRESS) | BIT(COMPLETED),
							 BIT(PENDING) | BIT(CONFIRMED) | BIT(CANCELLED) | BIT(REJECTED), "IN_PROGRESS, COMPLETED"},
	[DIBS_STATUS_CANCELLED] = {"CANCELLED", 0,
							   BIT(PENDING) | BIT(CONFIRMED) | BIT(REJECTED) | BIT(IN_PROGRESS) | BIT(COMPLETED) |
								   BIT(NO_SHOW),
							   "nothing, it has ended"},
	[DIBS_STATUS_REJECTED] = {"REJECTED", 0,
							  BIT(PENDING) | BIT(CONFIRMED) | BIT(CANCELLED) | BIT(IN_PROGRESS) | BIT(COMPLETED) |
								  BIT(NO_SHOW),
							  "nothing, it has ended"},
};

DibsStatus
dibs_status_from_text(const char *s, size_t len)
{
	for (int i = 0; i < DIBS_STATUS_COUNT; i++)
	{
		if (strlen(rules[i].name) == len && memcmp(rules[i].name, s, len) == 0)
			return (DibsStatus) i;
	}
	return DIBS_STATUS_NONE;
}

const char *
dibs_status_name(DibsStatus status)
{
	return rules[status].name;
}

bool
dibs_status_may_become(DibsStatus from, DibsStatus to, bool by_source)
{
	unsigned next = rules[from].next | (by_source ? rules[from].next_by_source : 0);

	return from == to || (next & (1u << to)) != 0;
}

bool
dibs_status_is_over(DibsStatus status)
{
	return status == DIBS_STATUS_COMPLETED || status == DIBS_STATUS_NO_SHOW;
}

const char *
dibs_status_next(DibsStatus from)
{
	return rules[from].next_text;
}
