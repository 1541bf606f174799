/*
 * jsonread.h
 *		Reading jsonb from outside without raising: a value of another type is a value that is not there.
 */
#ifndef DIBS_CORE_JSONREAD_H
#define DIBS_CORE_JSONREAD_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* The member of an object, NULL where the container is none or lacks it. JSON null counts as lacking. */
extern JsonbValue *dibs_json_member(const JsonbContainer *object, const char *key);

/* The member as a container of the wanted kind, NULL otherwise. */
extern JsonbContainer *dibs_json_object(const JsonbContainer *object, const char *key);
extern JsonbContainer *dibs_json_array(const JsonbContainer *object, const char *key);

/* The member's text, palloc'd; NULL where it is no string. */
extern char *dibs_json_text(const JsonbContainer *object, const char *key);

/* A whole number that fits; a string of digits is one too. */
extern bool dibs_json_int64(const JsonbContainer *object, const char *key, int64 min, int64 max, int64 *out);

/* True or false; anything else is not there. */
extern bool dibs_json_bool(const JsonbContainer *object, const char *key, bool *out);

/* A scalar as text: strings as they stand, numbers and booleans as JSON writes them. NULL for anything else. */
extern char *dibs_json_scalar_text(const JsonbContainer *object, const char *key);

/* The whole member as jsonb. */
extern Jsonb *dibs_json_whole(const JsonbContainer *object, const char *key);

#endif
