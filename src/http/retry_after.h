/*
 * retry_after.h
 *		When a server says that it wants to be asked again.
 */
#ifndef DIBS_HTTP_RETRY_AFTER_H
#define DIBS_HTTP_RETRY_AFTER_H

#include <stdint.h>

/*
 * Milliseconds from now for the value of a Retry-After header: seconds or an HTTP date (RFC 9110), or an ISO-8601
 * instant, which is what Zoom sends. -1: not understood. now is in milliseconds since 1970.
 */
extern int64_t dibs_retry_after(const char *value, int64_t now);

#endif
