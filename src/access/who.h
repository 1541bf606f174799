/*
 * who.h
 *		Who is asking: whom a JWT, dibs.act_as() or the server's word names, and what their role may do.
 */
#ifndef DIBS_ACCESS_WHO_H
#define DIBS_ACCESS_WHO_H

#include "postgres.h"

#include "core/ulid.h"

/*
 * Writes the ULID of the user that this transaction is about, with a terminating zero; false: nobody known.
 *
 * First match: dibs.act_as() in this transaction; in a session that a gateway role opened, the claim dibs.claim_user of
 * request.jwt.claims, and nothing else; dibs.user_ulid, which only a superuser can set. May read "UserKey", so it needs
 * a transaction and a snapshot.
 */
extern bool dibs_current_user(char ulid[DIBS_ULID_LEN + 1]);

/* A trusted claim that is a string, in the current context; NULL without one. A name may be a path: "a.b". */
extern char *dibs_current_claim(const char *name);

/*
 * True where every user's rows are the caller's business: level app or admin, or an administrator by the claim
 * dibs.claim_role. Never while dibs.act_as() says whom the transaction is for.
 */
extern bool dibs_sees_all(void);

#endif
