/*
 * launcher.h
 *		The launcher: one process for the server, a worker for each database that has the extension.
 */
#ifndef DIBS_WORKER_LAUNCHER_H
#define DIBS_WORKER_LAUNCHER_H

#include "compat.h"

/* While preloading: shared memory, hooks, and the launcher's registration. */
extern void dibs_launcher_init(void);

pg_noreturn extern PGDLLEXPORT void dibs_launcher_main(Datum arg);
extern PGDLLEXPORT void dibs_worker_main(Datum arg);

#endif
