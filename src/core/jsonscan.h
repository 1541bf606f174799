/*
 * jsonscan.h
 *		A strict JSON reader for small texts that nobody has vouched for yet, such as a token's header: it allocates
 *		nothing and builds nothing. Where there is a server and a larger text, PostgreSQL's own parser is used.
 */
#ifndef DIBS_CORE_JSONSCAN_H
#define DIBS_CORE_JSONSCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/bytes.h"

/* As they stand in the text: key without its quotation marks, value with them, escapes not resolved. */
typedef struct DibsJsonMember
{
	DibsBytes key;
	DibsBytes value;
} DibsJsonMember;

/* Called for each member of the outermost object; false ends the walk. */
typedef bool (*DibsJsonVisit)(const DibsJsonMember *member, void *arg);

/*
 * True for one JSON object (RFC 8259) whose visits were all true. Stricter than the RFC where that keeps the text fit
 * for jsonb: valid UTF-8 only, no \u0000, no half of a surrogate pair, no nesting beyond 32, no exponent beyond three
 * digits.
 */
extern bool dibs_json_walk(const char *text, size_t len, DibsJsonVisit visit, void *arg);

/* Whether the member's key is this (plain ASCII), with escapes resolved: "\u0061lg" is alg. */
extern bool dibs_json_key_is(const DibsJsonMember *member, const char *name);

/* Whether the member's value is this string (plain ASCII), likewise. */
extern bool dibs_json_string_is(const DibsJsonMember *member, const char *string);

/* Writes a string value, escapes resolved, to out, which has room for value.len bytes; false for another value. */
extern bool dibs_json_string(const DibsJsonMember *member, char *out, size_t *len);

/* The member's value as a number; false for anything but a finite number. */
extern bool dibs_json_number(const DibsJsonMember *member, double *out);

#endif
