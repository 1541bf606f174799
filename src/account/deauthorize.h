/*
 * deauthorize.h
 *		A provider says that its app was removed from an account.
 */
#ifndef DIBS_ACCOUNT_DEAUTHORIZE_H
#define DIBS_ACCOUNT_DEAUTHORIZE_H

#include "postgres.h"

/*
 * In a transaction, with SPI, as a role that may write "ProviderAccount" and "ProviderCredential": destroys the tokens
 * of the account with this id at the provider, marks it as deauthorized, and says so in "Event" (connection.lost) and
 * "AuditLog". Meetings stay as they are. Returns how many accounts that was; 0: none, or it had been said before.
 */
extern int dibs_account_deauthorized(const char *provider, const char *external_id);

#endif
