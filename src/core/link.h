/*
 * link.h
 *		What may be handed out as a link to a meeting.
 */
#ifndef DIBS_CORE_LINK_H
#define DIBS_CORE_LINK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * True for an http(s) URL of a usable length without blanks, quotes and angle brackets. What has another scheme may run
 * as a script where an application makes a link of it. NULL: false.
 */
extern bool dibs_is_link(const char *text);

#endif
