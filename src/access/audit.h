/*
 * audit.h
 *		Rows of "AuditLog": who did what to what.
 */
#ifndef DIBS_ACCESS_AUDIT_H
#define DIBS_ACCESS_AUDIT_H

#include "postgres.h"

#include "utils/jsonb.h"

/*
 * Adds a row about the caller of this session: the role that logged in, the one it has set, and whom dibs.act_as() or a
 * JWT names. data is NULL or an object, with before and after where something changed, and without secrets; its nulls
 * are left out. The current user must have INSERT on "AuditLog": the owner, as in a SECURITY DEFINER function, and the
 * worker's role have.
 */
extern void dibs_audit(const char *action, const char *object, Jsonb *data);

#endif
