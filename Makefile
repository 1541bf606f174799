# dibs: PGXS build. `make`, `make install`, `make installcheck`; all tests: scripts/test.

EXTENSION  = dibs
MODULE_big = dibs
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" dibs.control)
PG_CONFIG ?= pg_config

OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))

# The rooms in the order in which one may use another; the script is their concatenation.
SQL_ROOMS = head core crypto tables access_who secrets queue following booking_shared booking account calendar meeting attendance webhook join access_attach access_expose access_people access worker operations tail
SQL_FILES = $(wildcard $(SQL_ROOMS:%=sql/%.sql))

DATA_built = sql/dibs--$(EXTVERSION).sql
DATA       = $(filter-out $(DATA_built),$(wildcard sql/dibs--*.sql))
EXTRA_CLEAN = sql/dibs--$(EXTVERSION).sql

# PostgreSQL's own headers are not clean under -Wextra: as system headers they stay quiet.
PG_CPPFLAGS = -Isrc -isystem $(shell $(PG_CONFIG) --includedir-server) -DDIBS_VERSION='"$(EXTVERSION)"'
PG_CFLAGS   = -Wextra -Wno-unused-parameter -Wno-missing-field-initializers $(DIBS_CFLAGS)
SHLIB_LINK  = -lcurl -lcrypto

REGRESS      = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --outputdir=$(or $(DIBS_OUT),.) --load-extension=dibs
ISOLATION      = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=$(or $(DIBS_OUT),.) --load-extension=dibs

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(wildcard src/*.h src/*/*.h)

sql/dibs--$(EXTVERSION).sql: $(SQL_FILES) dibs.control Makefile
	cat $(SQL_FILES) > $@.tmp && mv $@.tmp $@

.PHONY: unit
unit:
	$(MAKE) -C test/unit check
