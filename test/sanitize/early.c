/*
 * early.c
 *		Preloaded beside libasan, so that AddressSanitizer is ready before any other library's constructor runs.
 *
 * Debian's postgres is linked to libgcrypt, whose libgpg-error calls bindtextdomain() in its constructor. Where
 * that malloc() is the process's first, AddressSanitizer starts inside of it, looks for functions that libc does not
 * have, and dlsym() wants the translation of its complaint: under a lock that bindtextdomain() holds and that is not
 * recursive. postgres then hangs in its own first bindtextdomain(). -z initfirst is what makes this one the first.
 */
#include <stdlib.h>

__attribute__((constructor)) static void
wake_sanitizer(void)
{
	void *volatile block = malloc(1);

	free(block);
}
