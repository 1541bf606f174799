/*
 * jwt_text.h
 *		Signing a json value with an error for each way in which it cannot be.
 */
#ifndef DIBS_CRYPTO_JWT_TEXT_H
#define DIBS_CRYPTO_JWT_TEXT_H

#include "postgres.h"

/*
 * An HS256 token over the claims' text as it stands. 22023 for claims that are no object or too long, and for an empty
 * secret; the statement is hidden.
 */
extern text *dibs_jwt_text(const text *claims, const void *secret, Size secret_len);

#endif
