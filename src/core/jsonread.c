/*
 * jsonread.c
 *		Member access on jsonb, with the types checked.
 */
#include "compat.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "core/jsonread.h"

JsonbValue *
dibs_json_member(const JsonbContainer *object, const char *key)
{
	JsonbValue *value;

	if (object == NULL || !JsonContainerIsObject(object))
		return NULL;
	value = getKeyJsonValueFromContainer(unconstify(JsonbContainer *, object), key, (int) strlen(key), NULL);
	return value != NULL && value->type == jbvNull ? NULL : value;
}

JsonbContainer *
dibs_json_object(const JsonbContainer *object, const char *key)
{
	JsonbValue *value = dibs_json_member(object, key);

	return value != NULL && value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data)
			   ? value->val.binary.data
			   : NULL;
}

JsonbContainer *
dibs_json_array(const JsonbContainer *object, const char *key)
{
	JsonbValue *value = dibs_json_member(object, key);

	return value != NULL && value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data)
			   ? value->val.binary.data
			   : NULL;
}

char *
dibs_json_text(const JsonbContainer *object, const char *key)
{
	JsonbValue *value = dibs_json_member(object, key);

	return value != NULL && value->type == jbvString ? pnstrdup(value->val.string.val, value->val.string.len) : NULL;
}

static bool
digits_to_int64(const char *s, int len, int64 *out)
{
	int64 value = 0;
	int i = len > 0 && s[0] == '-' ? 1 : 0;
	bool negative = i == 1;

	/* 18 digits fit whatever they are */
	if (len - i < 1 || len - i > 18)
		return false;
	for (; i < len; i++)
	{
		if (s[i] < '0' || s[i] > '9')
			return false;
		value = value * 10 + (s[i] - '0');
	}
	*out = negative ? -value : value;
	return true;
}

bool
dibs_json_int64(const JsonbContainer *object, const char *key, int64 min, int64 max, int64 *out)
{
	JsonbValue *value = dibs_json_member(object, key);
	int64 number;

	if (value == NULL)
		return false;
	if (value->type == jbvString)
	{
		if (!digits_to_int64(value->val.string.val, value->val.string.len, &number))
			return false;
	}
	else if (value->type == jbvNumeric)
	{
		/* the text of a numeric is as long as its digits: what does not fit is seen before it is converted */
		char *digits = numeric_normalize(value->val.numeric);

		if (!digits_to_int64(digits, (int) strlen(digits), &number))
			return false;
	}
	else
		return false;
	if (number < min || number > max)
		return false;
	*out = number;
	return true;
}

bool
dibs_json_bool(const JsonbContainer *object, const char *key, bool *out)
{
	JsonbValue *value = dibs_json_member(object, key);

	if (value == NULL || value->type != jbvBool)
		return false;
	*out = value->val.boolean;
	return true;
}

char *
dibs_json_scalar_text(const JsonbContainer *object, const char *key)
{
	JsonbValue *value = dibs_json_member(object, key);

	if (value == NULL)
		return NULL;
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return numeric_normalize(value->val.numeric);
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

Jsonb *
dibs_json_whole(const JsonbContainer *object, const char *key)
{
	JsonbValue *value = dibs_json_member(object, key);

	return value == NULL ? NULL : JsonbValueToJsonb(value);
}
