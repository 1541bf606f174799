/*
 * forgotten.h
 *		Whom dibs was told to forget.
 */
#ifndef DIBS_ACCESS_FORGOTTEN_H
#define DIBS_ACCESS_FORGOTTEN_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* False where nobody was forgotten: then nothing else needs to be asked. Costs nothing after the first time. */
extern bool dibs_anybody_forgotten(void);

/*
 * Whether a person was forgotten after the given moment, or after that booking (a uid of it, NULL for none) came: what
 * they book later is new. SPI must be connected.
 */
extern bool dibs_person_forgotten(const char *email, TimestampTz at, const char *uid);

/* Whether the account of that name at a provider was a coach's who was forgotten. SPI must be connected. */
extern bool dibs_account_forgotten(const char *provider, const char *name);

/* A step of the jobs forget_person and forget_user. */
extern bool dibs_forget_person_step(Jsonb *args, Jsonb **progress);
extern bool dibs_forget_user_step(Jsonb *args, Jsonb **progress);

#endif
