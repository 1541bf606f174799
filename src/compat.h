/*
 * compat.h
 *		Every difference between PostgreSQL and libcurl versions that dibs meets. No other file has a version #if.
 */
#ifndef DIBS_COMPAT_H
#define DIBS_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "dibs needs PostgreSQL 15 or later"
#endif

/* PostgreSQL 16 took the varlena macros out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* PostgreSQL 18 has C11's way of saying it, in front of the declaration. */
#ifndef pg_noreturn
#define pg_noreturn pg_attribute_noreturn()
#endif

/* PostgreSQL 17 lets an extension name its wait events; before, all are "Extension". */
#if PG_VERSION_NUM >= 170000
#include "utils/wait_event.h"
#define dibs_wait_event(name) WaitEventExtensionNew(name)
#else
#include "utils/wait_event.h"
#define dibs_wait_event(name) PG_WAIT_EXTENSION
#endif

/* PostgreSQL 16 has one check of ownership and of privileges for all kinds; they need utils/acl.h and the catalog's
 * header. */
#if PG_VERSION_NUM >= 160000
#define dibs_owns_database(role, database) object_ownercheck(DatabaseRelationId, database, role)
#define dibs_function_aclcheck(function, role, mode) object_aclcheck(ProcedureRelationId, function, role, mode)
#else
#define dibs_owns_database(role, database) pg_database_ownercheck(database, role)
#define dibs_function_aclcheck(function, role, mode) pg_proc_aclcheck(function, role, mode)
#endif

/* PostgreSQL 18 counts what a scan of an index does, where somebody asks. Needs access/genam.h. */
#if PG_VERSION_NUM >= 180000
#define dibs_index_beginscan(table, index, snapshot, nkeys) index_beginscan(table, index, snapshot, NULL, nkeys, 0)
#else
#define dibs_index_beginscan(table, index, snapshot, nkeys) index_beginscan(table, index, snapshot, nkeys, 0)
#endif

/* PostgreSQL 17 can end a transaction by its time, too. Needs utils/timeout.h. */
#if PG_VERSION_NUM >= 170000
#define DIBS_STATEMENT_ENDS                                                                                            \
	{                                                                                                                  \
		STATEMENT_TIMEOUT, TRANSACTION_TIMEOUT                                                                         \
	}
#else
#define DIBS_STATEMENT_ENDS                                                                                            \
	{                                                                                                                  \
		STATEMENT_TIMEOUT                                                                                              \
	}
#endif

/* PostgreSQL 18's module magic carries a name and a version. */
#if PG_VERSION_NUM >= 180000
#define DIBS_MODULE_MAGIC(modname, modversion) PG_MODULE_MAGIC_EXT(.name = (modname), .version = (modversion))
#else
#define DIBS_MODULE_MAGIC(modname, modversion) PG_MODULE_MAGIC
#endif

#endif
