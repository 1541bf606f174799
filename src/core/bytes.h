/*
 * bytes.h
 *		A run of bytes that somebody else owns. data is NULL for what is not there, which is not the same as empty.
 */
#ifndef DIBS_CORE_BYTES_H
#define DIBS_CORE_BYTES_H

#include <stddef.h>

typedef struct DibsBytes
{
	const void *data;
	size_t len;
} DibsBytes;

#endif
