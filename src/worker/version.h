/*
 * version.h
 *		Which versions meet here: the library's, the SQL objects', libcurl's, OpenSSL's.
 */
#ifndef DIBS_WORKER_VERSION_H
#define DIBS_WORKER_VERSION_H

/* In a transaction: NULL where the SQL objects are this library's, else a sentence that says what to call. */
extern const char *dibs_version_problem(void);

#endif
