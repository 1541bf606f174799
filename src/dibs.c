/*
 * dibs.c
 *		Loading: settings, shared memory, hooks, the launcher. Everything else is in its room.
 */
#include "compat.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "guc.h"
#include "worker/launcher.h"

DIBS_MODULE_MAGIC("dibs", DIBS_VERSION);

void _PG_init(void);

void
_PG_init(void)
{
	dibs_guc_init();
	if (process_shared_preload_libraries_in_progress)
		dibs_launcher_init();
}
