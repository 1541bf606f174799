/*
 * errors.h
 *		The SQLSTATEs that dibs raises, in one place.
 *
 * They are PostgreSQL's own, chosen for what PostgREST makes of them: class 22, 23514, 23P01 and 0A000 become HTTP 400,
 * 23505 409, 28000 403, 42501 401 or 403, 53xxx and 08xxx 503, 55000, P0002, F0000 and XX001 500. docs/errors.md
 * lists who raises what.
 */
#ifndef DIBS_ERRORS_H
#define DIBS_ERRORS_H

#include "utils/errcodes.h"

/* a value that the caller gave is not one dibs can use: the message names it */
#define DIBS_ERR_BAD_VALUE ERRCODE_INVALID_PARAMETER_VALUE /* 22023 */
/* a time without an offset, or one that does not exist */
#define DIBS_ERR_BAD_TIME ERRCODE_INVALID_DATETIME_FORMAT /* 22007 */
/* no such booking, event, secret */
#define DIBS_ERR_NOT_FOUND ERRCODE_NO_DATA_FOUND /* P0002 */
/* a signature that does not verify, where an error is the only possible answer (the "WebhookInbox" view) */
#define DIBS_ERR_SIGNATURE ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION /* 28000 */
/* two bookings of one coach at one time */
#define DIBS_ERR_OVERLAP ERRCODE_EXCLUSION_VIOLATION /* 23P01 */
/* the operation exists, but this row (or this server) is not in a state for it */
#define DIBS_ERR_STATE ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE /* 55000 */
/* something the operator has to supply first: a key, a secret, a setting */
#define DIBS_ERR_CONFIG ERRCODE_CONFIG_FILE_ERROR /* F0000 */
/* a ciphertext or key that does not fit */
#define DIBS_ERR_CRYPTO ERRCODE_DATA_CORRUPTED /* XX001 */
/* what dibs refuses on purpose: TRUNCATE with live meetings, a change of key */
#define DIBS_ERR_REFUSED ERRCODE_FEATURE_NOT_SUPPORTED /* 0A000 */
/* a provider could not be reached, or said no */
#define DIBS_ERR_PROVIDER ERRCODE_CONNECTION_FAILURE /* 08006 */

#endif
