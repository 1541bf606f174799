/*
 * jsonbuild.c
 *		A thin layer over pushJsonbValue().
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "core/jsonbuild.h"

static void
put(DibsJson *json, JsonbValue *value)
{
	json->result = pushJsonbValue(&json->state, json->state->contVal.type == jbvArray ? WJB_ELEM : WJB_VALUE, value);
}

void
dibs_json_begin_object(DibsJson *json)
{
	json->result = pushJsonbValue(&json->state, WJB_BEGIN_OBJECT, NULL);
}

void
dibs_json_end_object(DibsJson *json)
{
	json->result = pushJsonbValue(&json->state, WJB_END_OBJECT, NULL);
}

void
dibs_json_begin_array(DibsJson *json)
{
	json->result = pushJsonbValue(&json->state, WJB_BEGIN_ARRAY, NULL);
}

void
dibs_json_end_array(DibsJson *json)
{
	json->result = pushJsonbValue(&json->state, WJB_END_ARRAY, NULL);
}

void
dibs_json_key_len(DibsJson *json, const char *key, int len)
{
	JsonbValue value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = len;
	json->result = pushJsonbValue(&json->state, WJB_KEY, &value);
}

void
dibs_json_key(DibsJson *json, const char *key)
{
	dibs_json_key_len(json, key, (int) strlen(key));
}

void
dibs_json_put_text(DibsJson *json, const char *text)
{
	JsonbValue value;

	if (text == NULL)
		value.type = jbvNull;
	else
	{
		value.type = jbvString;
		value.val.string.val = unconstify(char *, text);
		value.val.string.len = (int) strlen(text);
	}
	put(json, &value);
}

void
dibs_json_put_int(DibsJson *json, int64 number)
{
	JsonbValue value;

	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	put(json, &value);
}

void
dibs_json_put_bool(DibsJson *json, bool boolean)
{
	JsonbValue value;

	value.type = jbvBool;
	value.val.boolean = boolean;
	put(json, &value);
}

void
dibs_json_put_value(DibsJson *json, JsonbValue *value)
{
	put(json, value);
}

void
dibs_json_text_member(DibsJson *json, const char *key, const char *value)
{
	dibs_json_key(json, key);
	dibs_json_put_text(json, value);
}

void
dibs_json_optional_member(DibsJson *json, const char *key, const char *value)
{
	if (value != NULL)
		dibs_json_text_member(json, key, value);
}

void
dibs_json_time_member(DibsJson *json, const char *key, TimestampTz at)
{
	const int utc = 0;

	if (at != 0)
		dibs_json_text_member(json, key, JsonEncodeDateTime(NULL, TimestampTzGetDatum(at), TIMESTAMPTZOID, &utc));
}

Jsonb *
dibs_json_finish(DibsJson *json)
{
	return JsonbValueToJsonb(json->result);
}
