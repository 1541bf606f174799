/*
 * iso8601.h
 *		Instants as webhooks and APIs write them: 2026-05-04T09:30:00.000Z, with or without a fraction, any offset.
 */
#ifndef DIBS_CORE_ISO8601_H
#define DIBS_CORE_ISO8601_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum DibsIsoResult
{
	DIBS_ISO_OK,
	DIBS_ISO_SYNTAX,    /* not a date and a time */
	DIBS_ISO_NO_OFFSET, /* a local time: which instant it is cannot be known */
	DIBS_ISO_RANGE      /* a month 13, an hour 25, a year that PostgreSQL has no timestamp for */
} DibsIsoResult;

/* Microseconds since 2000-01-01 00:00 UTC, PostgreSQL's TimestampTz. Never raises; *out is set on success only. */
extern DibsIsoResult dibs_iso8601_parse(const char *s, size_t len, int64_t *out);

#endif
