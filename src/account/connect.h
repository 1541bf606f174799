/*
 * connect.h
 *		An account becomes a coach's: its row, its tokens, and what has waited for it.
 *
 * In a transaction, with SPI, as the worker's role.
 */
#ifndef DIBS_ACCOUNT_CONNECT_H
#define DIBS_ACCOUNT_CONNECT_H

#include "postgres.h"

#include "account/oauth.h"

/* The account's row, made where there is none; NULL: it is another coach's. user_ulid NULL: the platform's own. */
extern char *dibs_account_row(const char *provider, const char *user_ulid, const DibsIdentity *who);

/* Seals the tokens in the place of those that it had, has them renewed ahead of their expiry, and says so. */
extern void dibs_account_connect(const char *account, const char *provider, const char *user_ulid,
								 const DibsTokens *tokens);

#endif
