/*
 * iso8601.c
 *		A strict reader of instants that cannot raise: bad input from outside has to become an outcome, not an error.
 */
#include "core/iso8601.h"

#define USECS_PER_SECOND INT64_C(1000000)
#define SECONDS_PER_DAY INT64_C(86400)
/* days from 1970-01-01 to 2000-01-01 */
#define EPOCH_SHIFT_DAYS 10957
/* no UTC offset in use is larger than this */
#define MAX_OFFSET_MINUTES (16 * 60)

typedef struct Cursor
{
	const char *p;
	const char *end;
} Cursor;

static bool
digits(Cursor *c, int n, int *out)
{
	int value = 0;

	if (c->end - c->p < n)
		return false;
	for (int i = 0; i < n; i++)
	{
		char ch = c->p[i];

		if (ch < '0' || ch > '9')
			return false;
		value = value * 10 + (ch - '0');
	}
	c->p += n;
	*out = value;
	return true;
}

static bool
literal(Cursor *c, char ch)
{
	if (c->p >= c->end || *c->p != ch)
		return false;
	c->p++;
	return true;
}

static int
month_days(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar, by eras of 400 years that begin in March. */
static int64_t
days_from_civil(int year, int month, int day)
{
	int y = month <= 2 ? year - 1 : year;
	int era = y / 400;
	int of_era = y - era * 400;
	int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return (int64_t) era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Z, +HH:MM, +HHMM or +HH; minutes east of Greenwich. */
static DibsIsoResult
offset(Cursor *c, int *minutes)
{
	int hour;
	int minute = 0;
	bool west;

	if (c->p >= c->end)
		return DIBS_ISO_NO_OFFSET;
	if (literal(c, 'Z') || literal(c, 'z'))
	{
		*minutes = 0;
		return DIBS_ISO_OK;
	}
	west = *c->p == '-';
	if (!west && *c->p != '+')
		return DIBS_ISO_SYNTAX;
	c->p++;
	if (!digits(c, 2, &hour))
		return DIBS_ISO_SYNTAX;
	if (c->p < c->end)
	{
		(void) literal(c, ':');
		if (!digits(c, 2, &minute))
			return DIBS_ISO_SYNTAX;
	}
	if (minute > 59 || hour * 60 + minute > MAX_OFFSET_MINUTES)
		return DIBS_ISO_RANGE;
	*minutes = (west ? -1 : 1) * (hour * 60 + minute);
	return DIBS_ISO_OK;
}

DibsIsoResult
dibs_iso8601_parse(const char *s, size_t len, int64_t *out)
{
	Cursor c = {s, s + len};
	int year, month, day, hour, minute, east;
	int second = 0;
	int64_t fraction = 0;
	DibsIsoResult result;

	if (!digits(&c, 4, &year) || !literal(&c, '-') || !digits(&c, 2, &month) || !literal(&c, '-') ||
		!digits(&c, 2, &day))
		return DIBS_ISO_SYNTAX;
	if (!literal(&c, 'T') && !literal(&c, 't') && !literal(&c, ' '))
		return DIBS_ISO_SYNTAX;
	if (!digits(&c, 2, &hour) || !literal(&c, ':') || !digits(&c, 2, &minute))
		return DIBS_ISO_SYNTAX;
	if (literal(&c, ':'))
	{
		if (!digits(&c, 2, &second))
			return DIBS_ISO_SYNTAX;
		if (literal(&c, '.') || literal(&c, ','))
		{
			int64_t unit = USECS_PER_SECOND / 10;
			const char *first = c.p;

			/* digits beyond microseconds are read and dropped */
			for (; c.p < c.end && *c.p >= '0' && *c.p <= '9'; c.p++, unit /= 10)
				fraction += (*c.p - '0') * unit;
			if (c.p == first)
				return DIBS_ISO_SYNTAX;
		}
	}
	result = offset(&c, &east);
	if (result != DIBS_ISO_OK)
		return result;
	if (c.p != c.end)
		return DIBS_ISO_SYNTAX;
	/* a leap second is the next minute's first; 24:00 is not accepted, no sender writes it */
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > month_days(year, month) || hour > 23 || minute > 59 ||
		second > 60)
		return DIBS_ISO_RANGE;
	*out = ((days_from_civil(year, month, day) - EPOCH_SHIFT_DAYS) * SECONDS_PER_DAY + hour * 3600 +
			(int64_t) (minute - east) * 60 + second) *
			   USECS_PER_SECOND +
		   fraction;
	return DIBS_ISO_OK;
}
