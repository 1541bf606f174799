/*
 * jsonbuild.h
 *		Building jsonb value by value: nothing is ever pasted into JSON text.
 */
#ifndef DIBS_CORE_JSONBUILD_H
#define DIBS_CORE_JSONBUILD_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

typedef struct DibsJson
{
	JsonbParseState *state;
	JsonbValue *result;
} DibsJson;

extern void dibs_json_begin_object(DibsJson *json);
extern void dibs_json_end_object(DibsJson *json);
extern void dibs_json_begin_array(DibsJson *json);
extern void dibs_json_end_array(DibsJson *json);
extern void dibs_json_key(DibsJson *json, const char *key);
extern void dibs_json_key_len(DibsJson *json, const char *key, int len);

/* A value, as an array's element or after a key. NULL text is JSON null. The text is not copied. */
extern void dibs_json_put_text(DibsJson *json, const char *value);
extern void dibs_json_put_int(DibsJson *json, int64 value);
extern void dibs_json_put_bool(DibsJson *json, bool value);
extern void dibs_json_put_value(DibsJson *json, JsonbValue *value);

/* key and value at once; the optional form leaves a NULL out */
extern void dibs_json_text_member(DibsJson *json, const char *key, const char *value);
extern void dibs_json_optional_member(DibsJson *json, const char *key, const char *value);

/* ISO 8601 in UTC; a time of 0 is left out */
extern void dibs_json_time_member(DibsJson *json, const char *key, TimestampTz at);

/* What was built, after the outermost end. */
extern Jsonb *dibs_json_finish(DibsJson *json);

#endif
