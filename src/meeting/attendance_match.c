/*
 * attendance_match.c
 *		Who of a booking somebody in its meeting is.
 */
#include "compat.h"

#include <ctype.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/formatting.h"

#include "meeting/attendance.h"
#include "queue/plan.h"

/* Every address and name by which the coach may come in. */
static DibsStatement select_hosts = {
	"SELECT lower(e), false FROM (SELECT m.\"host\" AS e FROM dibs.\"Meeting\" m WHERE m.\"ulid\" = $2 AND m.\"userUlid\" = $1"
	" UNION ALL SELECT c.\"email\" FROM dibs.\"Coach\" c WHERE c.\"userUlid\" = $1"
	" UNION ALL SELECT a.\"email\" FROM dibs.\"ProviderAccount\" a WHERE a.\"userUlid\" = $1"
	" UNION ALL SELECT z.\"zoomUserId\" FROM dibs.\"CoachZoomConfig\" z WHERE z.\"userUlid\" = $1"
	" UNION ALL SELECT h FROM dibs.\"CoachZoomConfig\" z, jsonb_array_elements_text(CASE jsonb_typeof(z.\"settings\"->'alternativeHosts')"
	"  WHEN 'array' THEN z.\"settings\"->'alternativeHosts' ELSE '[]' END) h WHERE z.\"userUlid\" = $1) x WHERE e <> ''"
	" UNION ALL SELECT c.\"name\", true FROM dibs.\"Coach\" c WHERE c.\"userUlid\" = $1 AND c.\"name\" <> ''",
	2,
	{BPCHAROID, BPCHAROID},
	NULL};

/* Words in lower case with one space between them. */
static char *
plain_name(const char *name)
{
	char *lower = str_tolower(name, strlen(name), DEFAULT_COLLATION_OID);
	char *out = lower;
	bool space = false;

	for (const char *c = lower; *c != '\0'; c++)
	{
		if (isspace((unsigned char) *c))
		{
			space = out != lower;
			continue;
		}
		if (space)
			*out++ = ' ';
		space = false;
		*out++ = *c;
	}
	*out = '\0';
	return lower;
}

static bool
same_name(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(plain_name(a), plain_name(b)) == 0;
}

/* By registration, by e-mail, by the coach's addresses, by a name that one person alone has. */
static void
match(DibsLife *life, DibsPresence *p, uint64 n_hosts, char **hosts, const bool *is_name)
{
	const DibsAttendee *found = NULL;
	bool host = false;
	int namesakes = 0;

	for (int i = 0; i < life->n_people && found == NULL; i++)
	{
		if (p->registrant_id != NULL && life->people[i].registrant_id != NULL &&
			strcmp(p->registrant_id, life->people[i].registrant_id) == 0)
			found = &life->people[i];
	}
	for (int i = 0; i < life->n_people && found == NULL; i++)
	{
		if (p->email != NULL && life->people[i].email != NULL && pg_strcasecmp(p->email, life->people[i].email) == 0)
			found = &life->people[i];
	}
	for (uint64 i = 0; i < n_hosts && found == NULL && !host; i++)
		host = !is_name[i] && ((p->email != NULL && pg_strcasecmp(p->email, hosts[i]) == 0) ||
							   (p->user_id != NULL && pg_strcasecmp(p->user_id, hosts[i]) == 0));
	if (found == NULL && !host)
	{
		const DibsAttendee *namesake = NULL;

		for (int i = 0; i < life->n_people; i++)
		{
			if (same_name(p->name, life->people[i].name))
			{
				namesake = &life->people[i];
				namesakes++;
			}
		}
		if (namesakes == 1)
			found = namesake;
		for (uint64 i = 0; i < n_hosts && namesakes == 0 && !host; i++)
			host = is_name[i] && same_name(p->name, hosts[i]);
	}
	p->unmatched = false;
	if (found == NULL && !host)
		return;
	p->role = found != NULL ? DIBS_ROLE_PARTICIPANT : DIBS_ROLE_HOST;
	p->participant = found != NULL ? pstrdup(found->ulid) : NULL;
	p->dirty = true;
}

void
dibs_attendance_match(DibsLife *life)
{
	Datum values[2] = {CStringGetTextDatum(life->user), 0};
	char nulls[3] = "  ";
	uint64 n = 0;
	char **hosts = NULL;
	bool *is_name = NULL;

	for (int i = 0; i < life->n_presences; i++)
	{
		if (!life->presences[i]->unmatched)
			continue;
		if (life->people == NULL)
			dibs_attendance_read_people(life);
		if (hosts == NULL)
		{
			if (life->meeting == NULL)
				nulls[1] = 'n';
			else
				values[1] = CStringGetTextDatum(life->meeting);
			n = dibs_execute(&select_hosts, values, nulls, false, SPI_OK_SELECT);
			hosts = palloc(Max(n, 1) * sizeof(char *));
			is_name = palloc(Max(n, 1) * sizeof(bool));
			for (uint64 h = 0; h < n; h++)
			{
				hosts[h] = dibs_column(h, 1);
				is_name[h] = dibs_column_bool(h, 2);
			}
			SPI_freetuptable(SPI_tuptable);
		}
		match(life, life->presences[i], n, hosts, is_name);
	}
}
