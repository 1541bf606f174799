/*
 * deauthorize.h
 *		A provider says that its app was removed from an account.
 */
#ifndef DIBS_ACCOUNT_DEAUTHORIZE_H
#define DIBS_ACCOUNT_DEAUTHORIZE_H

#include "postgres.h"

#include "utils/timestamp.h"

/*
 * In a transaction, with SPI, as a role that may write "ProviderAccount" and "ProviderCredential": destroys the tokens
 * of the account with this id at the provider, marks it as deauthorized, and says so in "Event" (connection.lost) and
 * "AuditLog". Meetings stay as they are. False: there is none, it had been said before, or the account was connected
 * again after `at`. user_ulid is the coach's, in the current context, or NULL for the platform's own.
 */
extern bool dibs_account_deauthorized(const char *provider, const char *external_id, TimestampTz at, char **user_ulid);

#endif
