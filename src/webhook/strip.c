/*
 * strip.c
 *		Cuts bearer values out of a payload before it is kept. A source's reader names the paths.
 */
#include "compat.h"

#include "core/jsonbuild.h"
#include "core/jsonread.h"
#include "webhook/events.h"

/* More than any source names. */
#define MAX_PATHS 64

/* True when the path's first key is this one; *rest is what follows, NULL at the path's end. */
static bool
first_key_is(const char *path, const char *key, int len, const char **rest)
{
	const char *dot = strchr(path, '.');
	size_t first = dot != NULL ? (size_t) (dot - path) : strlen(path);

	*rest = dot != NULL ? dot + 1 : NULL;
	return (first == 1 && *path == '*') || (first == (size_t) len && memcmp(path, key, first) == 0);
}

static bool
is_present(JsonbContainer *container, const char *path)
{
	const char *dot = strchr(path, '.');
	char *key = dot != NULL ? pnstrdup(path, dot - path) : pstrdup(path);
	JsonbValue *value;

	if (strcmp(key, "*") == 0 && JsonContainerIsArray(container))
	{
		for (uint32 i = 0; i < JsonContainerSize(container); i++)
		{
			value = getIthJsonbValueFromContainer(container, i);
			if (dot == NULL || (value->type == jbvBinary && is_present(value->val.binary.data, dot + 1)))
				return true;
		}
		return false;
	}
	value = dibs_json_member(container, key);
	if (value == NULL)
		return false;
	return dot == NULL || (value->type == jbvBinary && is_present(value->val.binary.data, dot + 1));
}

static void copy_without(DibsJson *out, JsonbContainer *container, const char *const *paths, int n);

/* One member or element: dropped (false), copied whole, or copied without what the longer paths name. */
static bool
narrow(const char *key, int len, const char *const *paths, int n, const char **rests, int *n_rests)
{
	*n_rests = 0;
	for (int i = 0; i < n; i++)
	{
		const char *rest;

		if (!first_key_is(paths[i], key, len, &rest))
			continue;
		if (rest == NULL)
			return false;
		rests[(*n_rests)++] = rest;
	}
	return true;
}

static void
copy_value(DibsJson *out, JsonbValue *value, const char *const *rests, int n_rests)
{
	if (n_rests > 0 && value->type == jbvBinary)
		copy_without(out, value->val.binary.data, rests, n_rests);
	else
		dibs_json_put_value(out, value);
}

static void
copy_without(DibsJson *out, JsonbContainer *container, const char *const *paths, int n)
{
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue value, key;
	const char *rests[MAX_PATHS];
	int n_rests;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		switch (token)
		{
			case WJB_BEGIN_OBJECT:
				dibs_json_begin_object(out);
				break;
			case WJB_END_OBJECT:
				dibs_json_end_object(out);
				break;
			case WJB_BEGIN_ARRAY:
				dibs_json_begin_array(out);
				break;
			case WJB_END_ARRAY:
				dibs_json_end_array(out);
				break;
			case WJB_ELEM:
				if (narrow("", 0, paths, n, rests, &n_rests))
					copy_value(out, &value, rests, n_rests);
				break;
			case WJB_KEY:
				key = value;
				(void) JsonbIteratorNext(&it, &value, true);
				if (!narrow(key.val.string.val, key.val.string.len, paths, n, rests, &n_rests))
					break;
				dibs_json_key_len(out, key.val.string.val, key.val.string.len);
				copy_value(out, &value, rests, n_rests);
				break;
			default:
				break;
		}
	}
}

Jsonb *
dibs_strip_payload(Jsonb *payload, const char *const *paths)
{
	const char *present[MAX_PATHS];
	int n = 0;
	DibsJson out = {0};

	for (; paths != NULL && *paths != NULL && n < MAX_PATHS; paths++)
	{
		if (is_present(&payload->root, *paths))
			present[n++] = *paths;
	}
	if (n == 0)
		return payload;
	copy_without(&out, &payload->root, present, n);
	return dibs_json_finish(&out);
}
