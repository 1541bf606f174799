/*
 * retention.h
 *		Jobs on kept events and on the audit log: what is past its time goes, what is to be applied again is queued.
 */
#ifndef DIBS_WEBHOOK_RETENTION_H
#define DIBS_WEBHOOK_RETENTION_H

#include "postgres.h"

#include "utils/jsonb.h"

/* Steps of jobs (worker/jobs.h): true when nothing is left. */
extern bool dibs_forget_payloads_step(Jsonb *args, Jsonb **progress);
extern bool dibs_forget_audit_step(Jsonb *args, Jsonb **progress);
/* args: since, until, source (null: all) */
extern bool dibs_replay_step(Jsonb *args, Jsonb **progress);

#endif
