/*
 * keyring.c
 *		Reads the master keys, keeps them out of swap, dumps and logs, and derives a cipher for each purpose.
 *
 * Nothing is read in the postmaster: each backend that needs a key reads the file, or runs the command, when it first
 * needs one. It looks again after a reload (the file's identity is compared first) and when data names a version
 * that it does not have.
 */
#include "compat.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "crypto/hkdf.h"
#include "errors.h"
#include "guc.h"
#include "secrets/keycommand.h"
#include "secrets/keyfile.h"
#include "secrets/keyring.h"

/* The longest key text that is read, from file or command: DIBS_MASTER_KEYS_MAX keys with a comment each. */
#define KEY_TEXT_MAX 16384
/* A failing command, or an unknown version, makes the command run again at most this often. */
#define COMMAND_RETRY_MS 10000

typedef struct KeyRing
{
	int n_keys;
	DibsMasterKey keys[DIBS_MASTER_KEYS_MAX];
} KeyRing;

typedef struct Problem
{
	char message[256];
	char hint[256];
	char log_detail[MAXPGPATH + 64]; /* for the server log alone: it holds the path or the command */
} Problem;

/* All key bytes of the process; mapped once and kept. */
typedef struct KeyMemory
{
	KeyRing rings[2]; /* the one in use, and the one that is being read */
	uint8 derived[DIBS_MASTER_KEY_LEN];
	uint8 mac_keys[DIBS_MASTER_KEYS_MAX][DIBS_PURPOSE_LAST][DIBS_MAC_KEY_LEN];
	bool mac_key_made[DIBS_MASTER_KEYS_MAX][DIBS_PURPOSE_LAST];
	char text[KEY_TEXT_MAX];
} KeyMemory;

static KeyMemory *memory = NULL;
static KeyRing *ring = NULL;
static DibsAead *ciphers[DIBS_MASTER_KEYS_MAX][DIBS_PURPOSE_LAST];
static uint64 epoch = 0;
static Problem problem;

/* where the ring came from */
static char *loaded_from = NULL;
static TimestampTz loaded_reload_time = 0;
static struct stat loaded_stat;
static TimestampTz command_ran_at = 0;
static bool command_failed = false;

static void
drop_ring(void)
{
	if (ring == NULL)
		return;
	for (int i = 0; i < DIBS_MASTER_KEYS_MAX; i++)
	{
		for (int j = 0; j < DIBS_PURPOSE_LAST; j++)
		{
			dibs_aead_free(ciphers[i][j]);
			ciphers[i][j] = NULL;
		}
	}
	explicit_bzero(memory->mac_keys, sizeof(memory->mac_keys));
	memset(memory->mac_key_made, 0, sizeof(memory->mac_key_made));
	explicit_bzero(ring, sizeof(KeyRing));
	ring = NULL;
}

static void
cleanse_at_exit(int code, Datum arg)
{
	drop_ring();
	explicit_bzero(memory, sizeof(KeyMemory));
}

static void
map_memory(void)
{
	void *p;

	if (memory != NULL)
		return;
	p = mmap(NULL, sizeof(KeyMemory), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("Failed to map %zu bytes for keys.", sizeof(KeyMemory))));
	/* Best effort: a low RLIMIT_MEMLOCK or an old kernel is no reason to refuse. */
	(void) mlock(p, sizeof(KeyMemory));
#ifdef MADV_DONTDUMP
	(void) madvise(p, sizeof(KeyMemory), MADV_DONTDUMP);
#endif
#ifdef MADV_DONTFORK
	(void) madvise(p, sizeof(KeyMemory), MADV_DONTFORK);
#endif
	memory = p;
	on_proc_exit(cleanse_at_exit, (Datum) 0);
}

/* Not pg_attribute_printf: where gcc built the server, that is a form which clang does not know. */
static bool set_problem(const char *log_detail, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static bool
set_problem(const char *log_detail, const char *hint, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(problem.message, sizeof(problem.message), fmt, args);
	va_end(args);
	strlcpy(problem.hint, hint, sizeof(problem.hint));
	strlcpy(problem.log_detail, log_detail, sizeof(problem.log_detail));
	return false;
}

/* The same rules as for the server's TLS key: nobody but the owner, or root's file that our group may read. */
static bool
file_is_private(const struct stat *st, const char *path)
{
	const char *detail = psprintf("File: \"%s\".", path);

	if (!S_ISREG(st->st_mode))
		return set_problem(detail, "Set dibs.master_key_file to a file with one version:key a line.",
						   "the master key file is not a regular file");
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return set_problem(detail, "Make the server's user (or root) its owner.",
						   "the master key file must be owned by the server's user or root");
	if ((st->st_uid == geteuid() && (st->st_mode & (S_IRWXG | S_IRWXO))) ||
		(st->st_uid == 0 && (st->st_mode & (S_IWGRP | S_IXGRP | S_IRWXO))))
		return set_problem(detail,
						   "Permissions must be u=rw (0600) or less if the server's user owns it, u=rw,g=r (0640) or "
						   "less if root does.",
						   "the master key file can be read or written by others");
	return true;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtime == b->st_mtime &&
		   a->st_ctime == b->st_ctime && a->st_mode == b->st_mode && a->st_uid == b->st_uid;
}

/* Reads until the end or the cap; false with errno set. *len is KEY_TEXT_MAX where there was more. */
static bool
read_all(int fd, char *text, Size *len)
{
	*len = 0;
	while (*len < KEY_TEXT_MAX)
	{
		ssize_t n = read(fd, text + *len, KEY_TEXT_MAX - *len);

		if (n == 0)
			return true;
		if (n < 0)
		{
			if (errno != EINTR)
				return false;
			CHECK_FOR_INTERRUPTS();
			continue;
		}
		*len += n;
	}
	return true;
}

static bool
read_file(const char *path, char *text, Size *len, struct stat *st)
{
	/* Without waiting for a writer, should it be a pipe: what is no regular file is refused below. */
	int fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | PG_BINARY);
	bool ok;

	if (fd < 0)
		return set_problem(psprintf("File: \"%s\".", path),
						   "dibs.master_key_file must name a file that the server's user can read.",
						   "could not open the master key file: %s", strerror(errno));
	if (fstat(fd, st) != 0)
		ok = set_problem(psprintf("File: \"%s\".", path), "", "could not stat the master key file: %s",
						 strerror(errno));
	else
	{
		ok = file_is_private(st, path);
		if (ok && !read_all(fd, text, len))
			ok = set_problem(psprintf("File: \"%s\".", path), "", "could not read the master key file: %s",
							 strerror(errno));
	}
	CloseTransientFile(fd);
	return ok;
}

/* Its standard error goes to the server's log. */
static bool
run_command(const char *command, char *text, Size *len)
{
	const char *detail = psprintf("Command: \"%s\".", command);
	int status;

	if (!dibs_key_command_run(command, text, KEY_TEXT_MAX, len, &status))
		return set_problem(detail, "", "could not run the master key command: %s", strerror(errno));
	if (*len == KEY_TEXT_MAX)
		return set_problem(detail, "It must print lines of version:key and nothing else.",
						   "the master key command printed more than %d bytes", KEY_TEXT_MAX - 1);
	if (status != 0)
		return set_problem(detail, "Run it by hand as the server's user; the server's log has what it wrote to stderr.",
						   "the master key command failed: %s", wait_result_to_str(status));
	return true;
}

static bool
parse_keys(const char *what, const char *log_detail, const char *text, Size len, KeyRing *out)
{
	static const char *const line_hint = "A line is version:key, the key 64 hex digits; scripts/make-key prints one.";
	int line;

	switch (dibs_keyfile_parse(text, len, out->keys, DIBS_MASTER_KEYS_MAX, &out->n_keys, &line))
	{
		case DIBS_KEYFILE_OK:
			return true;
		case DIBS_KEYFILE_EMPTY:
			return set_problem(log_detail, line_hint, "the master key %s holds no key", what);
		case DIBS_KEYFILE_SYNTAX:
			return set_problem(log_detail, line_hint, "line %d of the master key %s is not version:key", line, what);
		case DIBS_KEYFILE_BAD_VERSION:
			return set_problem(log_detail, "Versions are whole numbers from 1 to 2147483647.",
							   "line %d of the master key %s has a version that is out of range", line, what);
		case DIBS_KEYFILE_BAD_HEX:
			return set_problem(log_detail, line_hint,
							   "the key in line %d of the master key %s has something else than hex digits", line,
							   what);
		case DIBS_KEYFILE_TRUNCATED:
			return set_problem(log_detail, "The file may have been cut off: bring it back from where it is kept.",
							   "the key in line %d of the master key %s is truncated", line, what);
		case DIBS_KEYFILE_TOO_LONG:
			return set_problem(log_detail, line_hint, "the key in line %d of the master key %s is longer than 32 bytes",
							   line, what);
		case DIBS_KEYFILE_DUPLICATE:
			return set_problem(log_detail, "A new key gets a number that was never used before.",
							   "line %d of the master key %s repeats a version", line, what);
		case DIBS_KEYFILE_TOO_MANY:
			return set_problem(log_detail, "Remove the versions that nothing is sealed with any more.",
							   "the master key %s holds more than %d keys", what, DIBS_MASTER_KEYS_MAX);
	}
	return false;
}

static bool
setting_is_set(const char *setting)
{
	return setting != NULL && setting[0] != '\0';
}

bool
dibs_keyring_configured(void)
{
	return setting_is_set(dibs_master_key_file) || setting_is_set(dibs_master_key_command);
}

/* Fills a ring from the configured source; the caller swaps it in. */
static bool
read_ring(bool from_file, const char *source, KeyRing *out, struct stat *st)
{
	const char *log_detail = psprintf(from_file ? "File: \"%s\"." : "Command: \"%s\".", source);
	const char *what = from_file ? "file" : "command's output";
	volatile bool ok = false;
	Size len = 0;

	PG_TRY();
	{
		if (from_file)
		{
			ok = read_file(source, memory->text, &len, st);
			if (ok && len == KEY_TEXT_MAX)
				ok = set_problem(log_detail, "It holds lines of version:key and nothing else.",
								 "the master key file is longer than %d bytes", KEY_TEXT_MAX - 1);
		}
		else
			ok = run_command(source, memory->text, &len);
		if (ok)
			ok = parse_keys(what, log_detail, memory->text, len, out);
	}
	PG_FINALLY();
	{
		explicit_bzero(memory->text, KEY_TEXT_MAX);
	}
	PG_END_TRY();
	return ok;
}

/*
 * Reads the keys. What was there stays in use when the same source cannot be read any more (a file that is just being
 * replaced must not stop a running backend); a new backend says what is wrong.
 */
static bool
load(void)
{
	bool from_file = setting_is_set(dibs_master_key_file);
	const char *source = from_file ? dibs_master_key_file : dibs_master_key_command;
	KeyRing *fresh;
	struct stat st;
	bool ok;

	if (!dibs_keyring_configured())
	{
		drop_ring();
		return set_problem("",
						   "Make one with scripts/make-key and set dibs.master_key_file (or dibs.master_key_command).",
						   "no master key is configured");
	}
	if (loaded_from == NULL || strcmp(loaded_from, source) != 0)
	{
		char *copy = MemoryContextStrdup(TopMemoryContext, source);

		drop_ring();
		if (loaded_from != NULL)
			pfree(loaded_from);
		loaded_from = copy;
		command_ran_at = 0;
	}
	map_memory();
	fresh = ring == &memory->rings[0] ? &memory->rings[1] : &memory->rings[0];
	memset(&st, 0, sizeof(st));
	ok = read_ring(from_file, source, fresh, &st);
	if (!from_file)
	{
		command_ran_at = GetCurrentTimestamp();
		command_failed = !ok;
	}
	loaded_reload_time = PgReloadTime;
	if (!ok)
	{
		explicit_bzero(fresh, sizeof(KeyRing));
		if (ring == NULL)
			return false;
		ereport(LOG, (errcode(DIBS_ERR_CONFIG), errmsg("master keys were not read again: %s", problem.message),
					  errdetail_log("%s", problem.log_detail)));
		return true;
	}
	drop_ring();
	ring = fresh;
	loaded_stat = st;
	epoch++;
	return true;
}

static bool
file_changed(void)
{
	struct stat st;

	return stat(dibs_master_key_file, &st) != 0 || !same_file(&st, &loaded_stat);
}

static bool
command_is_resting(void)
{
	return command_ran_at != 0 && !TimestampDifferenceExceeds(command_ran_at, GetCurrentTimestamp(), COMMAND_RETRY_MS);
}

bool
dibs_keyring_ready(void)
{
	bool from_file;

	if (ring != NULL && loaded_reload_time == PgReloadTime)
		return true;
	from_file = setting_is_set(dibs_master_key_file);
	if (ring != NULL && from_file && strcmp(loaded_from, dibs_master_key_file) == 0 && !file_changed())
	{
		loaded_reload_time = PgReloadTime;
		return true;
	}
	if (ring == NULL && !from_file && setting_is_set(dibs_master_key_command) && command_failed &&
		loaded_reload_time == PgReloadTime && command_is_resting())
		return false;
	return load();
}

void
dibs_keyring_need(void)
{
	if (!dibs_keyring_ready())
		ereport(ERROR, (errcode(DIBS_ERR_CONFIG), errmsg("%s", problem.message),
						problem.log_detail[0] ? errdetail_log("%s", problem.log_detail) : 0,
						problem.hint[0] ? errhint("%s", problem.hint) : 0));
}

const char *
dibs_keyring_problem(void)
{
	return problem.message;
}

uint32
dibs_keyring_newest(void)
{
	uint32 newest = 0;

	dibs_keyring_need();
	for (int i = 0; i < ring->n_keys; i++)
		newest = Max(newest, ring->keys[i].version);
	return newest;
}

static int
slot_of(uint32 version)
{
	for (int i = 0; i < ring->n_keys; i++)
	{
		if (ring->keys[i].version == version)
			return i;
	}
	return -1;
}

bool
dibs_keyring_has(uint32 version)
{
	dibs_keyring_need();
	if (slot_of(version) >= 0)
		return true;
	/* The key may have been added since; a made-up version must not make us run the command over and over. */
	if (setting_is_set(dibs_master_key_file) ? file_changed() : !command_is_resting())
		return load() && slot_of(version) >= 0;
	return false;
}

/* The place of a version, which may make the keys be read anew; -1 where it is not there. */
static int
find_slot(uint32 version)
{
	int slot;

	dibs_keyring_need();
	slot = slot_of(version);
	if (slot < 0 && dibs_keyring_has(version))
		slot = slot_of(version);
	return slot;
}

static void
derive(int slot, DibsPurpose purpose, uint8 *out)
{
	char info[32];

	snprintf(info, sizeof(info), "dibs v1 purpose %d", (int) purpose);
	if (!dibs_hkdf_sha256(ring->keys[slot].key, DIBS_MASTER_KEY_LEN, NULL, 0, (const uint8 *) info, strlen(info), out,
						  DIBS_MASTER_KEY_LEN))
	{
		explicit_bzero(out, DIBS_MASTER_KEY_LEN);
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not derive a key from the master key")));
	}
}

DibsAead *
dibs_keyring_cipher(uint32 version, DibsPurpose purpose)
{
	int slot = find_slot(version);

	if (slot < 0)
		return NULL;
	if (ciphers[slot][purpose - 1] == NULL)
	{
		DibsAead *cipher;

		derive(slot, purpose, memory->derived);
		cipher = dibs_aead_new(memory->derived);
		explicit_bzero(memory->derived, DIBS_MASTER_KEY_LEN);
		if (cipher == NULL)
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not derive a key from the master key")));
		ciphers[slot][purpose - 1] = cipher;
	}
	return ciphers[slot][purpose - 1];
}

const uint8 *
dibs_keyring_mac_key(uint32 version, DibsPurpose purpose)
{
	int slot = find_slot(version);

	if (slot < 0)
		return NULL;
	if (!memory->mac_key_made[slot][purpose - 1])
	{
		derive(slot, purpose, memory->mac_keys[slot][purpose - 1]);
		memory->mac_key_made[slot][purpose - 1] = true;
	}
	return memory->mac_keys[slot][purpose - 1];
}

uint64
dibs_keyring_epoch(void)
{
	return epoch;
}
