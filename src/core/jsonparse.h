/*
 * jsonparse.h
 *		Bytes from outside to jsonb, without raising.
 */
#ifndef DIBS_CORE_JSONPARSE_H
#define DIBS_CORE_JSONPARSE_H

#include "postgres.h"

#include "utils/jsonb.h"

/*
 * NULL for anything but one JSON object that jsonb can hold and that is not nested deeper than any API's answer. Needs
 * no transaction. In a database that is not UTF8, characters beyond ASCII become question marks: what is read from
 * answers (ids, links, codes) has none.
 */
extern Jsonb *dibs_json_parse(const char *text, size_t len);

/* jsonb as UTF-8 for a request's body; where the database is not UTF8, characters beyond ASCII become question marks.
 */
extern char *dibs_json_print(Jsonb *json);

#endif
