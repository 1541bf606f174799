/*
 * version.h
 *		Which libcurl is in use.
 */
#ifndef DIBS_HTTP_VERSION_H
#define DIBS_HTTP_VERSION_H

/* "libcurl 8.x.y (OpenSSL/3.x.y)": the library at run time, and the TLS library that it was built with */
extern const char *dibs_http_version(void);

#endif
