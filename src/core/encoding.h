/*
 * encoding.h
 *		Hex, base64 and base64url. Not in constant time: what is decoded here came over the wire.
 */
#ifndef DIBS_CORE_ENCODING_H
#define DIBS_CORE_ENCODING_H

#include <stdbool.h>
#include <stddef.h>

/* Writes 2 * len lower-case digits, no terminating zero. */
extern void dibs_hex_encode(const void *in, size_t len, char *out);

/* Reads 2 * out_len digits of either case; false for another length or another character. */
extern bool dibs_hex_decode(const char *in, size_t len, unsigned char *out, size_t out_len);

/* How long the text of len bytes is (with padding; base64url goes without), and room enough for len characters' bytes.
 */
#define DIBS_BASE64_LEN(len) (((size_t) (len) + 2) / 3 * 4)
#define DIBS_BASE64URL_LEN(len) (((size_t) (len) *4 + 2) / 3)
#define DIBS_BASE64_ROOM(len) ((size_t) (len) / 4 * 3 + 2)

/* Both give the number of characters written, and write no terminating zero. */
extern size_t dibs_base64_encode(const void *in, size_t len, char *out);
extern size_t dibs_base64url_encode(const void *in, size_t len, char *out);

/*
 * out has room for DIBS_BASE64_ROOM(len) bytes. Padding may be missing from base64 (where it stands it must be right)
 * and must be from base64url; white space, the other one's alphabet and bits that belong to no byte are refused, so
 * that one value has one base64url text.
 */
extern bool dibs_base64_decode(const char *in, size_t len, unsigned char *out, size_t *out_len);
extern bool dibs_base64url_decode(const char *in, size_t len, unsigned char *out, size_t *out_len);

#endif
