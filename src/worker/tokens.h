/*
 * tokens.h
 *		Access tokens, for meetings and jobs alike.
 */
#ifndef DIBS_WORKER_TOKENS_H
#define DIBS_WORKER_TOKENS_H

#include "postgres.h"

#include "worker/courier.h"

/*
 * What to send with to this account now. NULL: there is no token yet; the errand waits, and is sent
 * (dibs_send_errand) once there is one, or told that there will be none (dibs_fail_errand). serial says which token it
 * is. Opens a transaction where it has to look.
 */
extern const DibsAccess *dibs_access_for(DibsEngine *e, const char *provider, const char *account,
										 const DibsErrand *errand, int *serial);

/* The token with this serial was refused: the next one who asks gets another. */
extern void dibs_access_refused(DibsEngine *e, const char *provider, const char *account, int serial);

/* Looks again for tokens that jobs get. Returns when to call it once more, by the monotonic clock in ms. */
extern int64 dibs_tokens_look(DibsEngine *e);

/*
 * After an error while a token was got and the transaction's abort: what waits for it learns that there is none. True:
 * that was it.
 */
extern bool dibs_recover_token(DibsEngine *e, const char *message);

/* A token's own request has been answered. */
extern void dibs_token_answered(DibsEngine *e, DibsToken *token, DibsHttpRequest *request);

#endif
