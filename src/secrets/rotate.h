/*
 * rotate.h
 *		The body of the job 'rotate_master_key': seals everything stored with the newest key, in batches.
 */
#ifndef DIBS_SECRETS_ROTATE_H
#define DIBS_SECRETS_ROTATE_H

#include "postgres.h"

#include "utils/jsonb.h"

/*
 * Seals up to max_rows rows anew, beginning where progress (the job's "progress", '{}' at first) says; *next is what to
 * keep there, palloc'd. True once nothing openable is left under an older version. One transaction a call; needs SELECT
 * and UPDATE on the tables with sealed columns. Raises F0000 without a key.
 *
 * progress: version (that it is sealed with), table and after (where it stands), pass, done, total, lost (rows that do
 * not open and were left as they are), finished.
 */
extern bool dibs_rotate_step(int max_rows, const Jsonb *progress, Jsonb **next);

#endif
