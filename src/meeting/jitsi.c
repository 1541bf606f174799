/*
 * jitsi.c
 *		Jitsi: a room is a name. Whoever knows it may enter, so it is not to be guessed.
 */
#include "compat.h"

#include "guc.h"
#include "meeting/meeting.h"

/* 128 random bits as hex digits, after a prefix that tells people where the room comes from */
#define ROOM_BYTES 16

static void
make_room(DibsMeetingWork *work)
{
	static const char digits[] = "0123456789abcdef";
	DibsMeetingKnown *known = &work->known;
	unsigned char random[ROOM_BYTES];
	char room[2 * ROOM_BYTES + 1];
	const char *base = dibs_jitsi_base_url;
	size_t len = base ? strlen(base) : 0;

	work->verdict = DIBS_VERDICT_DONE;
	/* a room that exists stays the booking's: links that people have go on working when the booking moves */
	if (known->external_id != NULL)
		return;
	if (len == 0)
	{
		dibs_work_failed(work, DIBS_VERDICT_FAILED, "not_configured", "dibs.jitsi_base_url is empty");
		return;
	}
	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	for (int i = 0; i < ROOM_BYTES; i++)
	{
		room[2 * i] = digits[random[i] >> 4];
		room[2 * i + 1] = digits[random[i] & 15];
	}
	room[2 * ROOM_BYTES] = '\0';
	while (len > 0 && base[len - 1] == '/')
		len--;
	known->external_id = psprintf("dibs-%s", room);
	known->join_url = psprintf("%.*s/%s", (int) len, base, known->external_id);
	known->host_url = pstrdup(known->join_url);
}

const DibsMeetingProvider dibs_provider_jitsi = {.name = "jitsi", .make = make_room};
