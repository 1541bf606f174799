/*
 * limits.h
 *		How long what comes from outside may be.
 */
#ifndef DIBS_CORE_LIMITS_H
#define DIBS_CORE_LIMITS_H

/* A uid, a seat's id, an account's or a host's name, in bytes: what is longer is nobody's, and would not fit an index.
 */
#define DIBS_MAX_ID_LEN 255

#endif
