/*
 * test_jsonscan.c
 *		The strict JSON reader: what it takes, what it refuses, what it finds.
 */
#include "core/jsonscan.h"
#include "tap.h"

static bool
count(const DibsJsonMember *member, void *arg)
{
	(void) member;
	(*(int *) arg)++;
	return true;
}

/* How many members, -1 for what is refused. */
static int
members(const char *text)
{
	int n = 0;

	return dibs_json_walk(text, strlen(text), count, &n) ? n : -1;
}

typedef struct Found
{
	const char *key;
	const char *string;
	bool is_string;
	bool is_number;
	double number;
	int n;
} Found;

static bool
look(const DibsJsonMember *member, void *arg)
{
	Found *found = arg;

	if (!dibs_json_key_is(member, found->key))
		return true;
	found->n++;
	found->is_string = dibs_json_string_is(member, found->string);
	found->is_number = dibs_json_number(member, &found->number);
	return true;
}

static Found
find(const char *text, const char *key, const char *string)
{
	Found found = {key, string, false, false, 0, 0};

	if (!dibs_json_walk(text, strlen(text), look, &found))
		found.n = -1;
	return found;
}

typedef struct Copied
{
	char text[64];
	size_t len;
	bool ok;
} Copied;

static bool
copy(const DibsJsonMember *member, void *arg)
{
	Copied *copied = arg;

	copied->ok = member->value.len <= sizeof(copied->text) && dibs_json_string(member, copied->text, &copied->len);
	return true;
}

/* Whether the string that stands for a member's value in JSON is this one. */
static bool
string_is(const char *json, const char *what)
{
	Copied copied = {.ok = false};

	return dibs_json_walk(json, strlen(json), copy, &copied) && copied.ok && copied.len == strlen(what) &&
		   memcmp(copied.text, what, copied.len) == 0;
}

static const char *const good[] = {
	"{}",
	" {\t}\r\n",
	"{\"a\":1}",
	"{\"a\":-0.5e+10,\"b\":[],\"c\":[1,[2,{}]],\"d\":true,\"e\":false,\"f\":null}",
	"{\"\":\"\"}",
	"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE92\"}",
	"{\"\xc3\xa9\":\"\xe2\x82\xac\xf0\x9f\x9a\x92\xf4\x8f\xbf\xbf\"}",
};

static const char *const bad[] = {
	"",
	"{",
	"}",
	"[]",
	"1",
	"\"a\"",
	"null",
	"{}x",
	"{}{}",
	"{,}",
	"{\"a\"}",
	"{\"a\":}",
	"{\"a\":1,}",
	"{\"a\":1 \"b\":2}",
	"{a:1}",
	"{'a':1}",
	"{\"a\":01}",
	"{\"a\":+1}",
	"{\"a\":.5}",
	"{\"a\":1.}",
	"{\"a\":1e}",
	"{\"a\":1e+}",
	"{\"a\":1e1000}",
	"{\"a\":-}",
	"{\"a\":NaN}",
	"{\"a\":Infinity}",
	"{\"a\":0x1}",
	"{\"a\":tru}",
	"{\"a\":truex}",
	"{\"a\":nul",
	"{\"a\":[1,]}",
	"{\"a\":[1}",
	"{\"a\":[}",
	"{\"a\":\"}",
	"{\"a\":\"\\\"}",
	"{\"a\":\"\\x\"}",
	"{\"a\":\"\\u12\"}",
	"{\"a\":\"\\u123g\"}",
	"{\"a\":\"\\u0000\"}",
	"{\"a\":\"\\uD83D\"}",
	"{\"a\":\"\\uD83Dx\"}",
	"{\"a\":\"\\uD83D\\u0041\"}",
	"{\"a\":\"\\uDE92\"}",
	"{\"a\":\"\n\"}",
	"{\"a\":\"\x01\"}",
	"{\"a\":\"\x80\"}",
	"{\"a\":\"\xc3\"}",
	"{\"a\":\"\xc0\xaf\"}",
	"{\"a\":\"\xe0\x80\xaf\"}",
	"{\"a\":\"\xed\xa0\x80\"}",
	"{\"a\":\"\xf0\x80\x80\x80\"}",
	"{\"a\":\"\xf4\x90\x80\x80\"}",
	"{\"a\":\"\xff\"}",
	"\xef\xbb\xbf{}",
	"{\"a\":1}//",
};

int
main(void)
{
	char deep[200];
	int n = 0;
	Found found;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(members(good[i]) >= 0, "taken: number %zu", i);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(members(bad[i]) < 0, "refused: number %zu", i);
	ok(members("{\"a\":{\"b\":1,\"c\":2},\"d\":[{\"e\":1}]}") == 2, "only the outermost members are visited");
	ok(!dibs_json_walk("{\"a\":\"\0\"}", 9, count, &n), "a zero byte is refused");
	ok(!dibs_json_walk("{\"a\":\"\\\0\"}", 10, count, &n), "after a backslash, too");
	strcpy(deep, "{\"a\":");
	memset(deep + 5, '[', 31);
	memset(deep + 36, ']', 31);
	strcpy(deep + 67, "}");
	ok(members(deep) == 1, "32 levels are taken");
	memset(deep + 5, '[', 32);
	memset(deep + 37, ']', 32);
	strcpy(deep + 69, "}");
	ok(members(deep) < 0, "33 are not");
	found = find("{\"x\":{\"alg\":\"no\"},\"alg\":\"HS256\"}", "alg", "HS256");
	ok(found.n == 1 && found.is_string, "a member is found");
	found = find("{\"\\u0061l\\u0067\":\"H\\u0053256\",\"alg\":\"none\"}", "alg", "HS256");
	ok(found.n == 2 && !found.is_string, "escapes in a key hide nothing");
	found = find("{\"al\\u0067\":\"H\\u0053256\"}", "alg", "HS256");
	ok(found.n == 1 && found.is_string, "nor in a string");
	found = find("{\"alg\":\"HS2567\",\"algo\":\"HS256\",\"al\":\"HS256\"}", "alg", "HS256");
	ok(found.n == 1 && !found.is_string, "beginnings are not the whole");
	found = find("{\"alg\":[\"HS256\"]}", "alg", "HS256");
	ok(found.n == 1 && !found.is_string && !found.is_number, "an array is no string");
	found = find("{\"exp\":1767229200.5}", "exp", "");
	ok(found.is_number && found.number == 1767229200.5 && !found.is_string, "a number is read");
	found = find("{\"exp\":\"1767229200\"}", "exp", "");
	ok(found.n == 1 && !found.is_number, "a string is no number");
	found = find("{\"exp\":1e999}", "exp", "");
	ok(found.n == 1 && !found.is_number, "what is too large to be finite is none");
	found = find("{\"exp\":true}", "exp", "");
	ok(found.n == 1 && !found.is_number, "nor is true");
	found = find("{\"exp\":-12e-1}", "exp", "");
	ok(found.is_number && found.number == -1.2, "signs and exponents are read");
	ok(string_is("{\"a\":\"plain\"}", "plain") && string_is("{\"a\":\"\"}", ""), "a string is copied");
	ok(string_is("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "\"\\/\b\f\n\r\t"), "its escapes are resolved");
	ok(string_is("{\"a\":\"MIIE\\u003d\\u003D\\n-\"}", "MIIE==\n-"), "those of ASCII");
	ok(string_is("{\"a\":\"\\u00e9\\u20ac\\ud83d\\ude00.\"}", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80."),
	   "and of two, three and four bytes");
	ok(string_is("{\"a\":\"\xc3\xa9\xf0\x9f\x98\x80\"}", "\xc3\xa9\xf0\x9f\x98\x80"), "UTF-8 stays as it is");
	ok(!string_is("{\"a\":12}", "12") && !string_is("{\"a\":[\"b\"]}", "b"), "a number and an array are no strings");
	return done();
}
