/*
 * faces.c
 *		The SQL functions that put secrets in and take them out of use. None gives a stored one back.
 *
 * Functions that are handed a secret, sealed or not, keep their statement and its context out of the log when they
 * fail, and overwrite what pg_stat_activity shows of it. docs/secrets.md says what they cannot undo.
 */
#include "compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "access/audit.h"
#include "core/hide.h"
#include "crypto/cms.h"
#include "errors.h"
#include "secrets/canary.h"
#include "secrets/envelope.h"
#include "secrets/rotate.h"
#include "secrets/seal.h"
#include "secrets/secret.h"
#include "secrets/store.h"

PG_FUNCTION_INFO_V1(dibs_sealed_version);
PG_FUNCTION_INFO_V1(dibs_encrypt_token);
PG_FUNCTION_INFO_V1(dibs_decrypt_token);
PG_FUNCTION_INFO_V1(dibs_sealing_certificate);
PG_FUNCTION_INFO_V1(dibs_set_sealed_secret);
PG_FUNCTION_INFO_V1(dibs_set_secret_from_file);
PG_FUNCTION_INFO_V1(dibs_set_secret);
PG_FUNCTION_INFO_V1(dibs_drop_secret);
PG_FUNCTION_INFO_V1(dibs_keyring_status);
PG_FUNCTION_INFO_V1(dibs_use_newest_key);
PG_FUNCTION_INFO_V1(dibs_has_key_version);
PG_FUNCTION_INFO_V1(dibs_rotate_step_sql);

static DibsSecretStatement delete_secret = {
	"DELETE FROM dibs.\"Secret\" WHERE \"name\" OPERATOR(pg_catalog.=) $1 AND \"account\" OPERATOR(pg_catalog.=) $2",
	2,
	{TEXTOID, TEXTOID}};

static int64
keep_microseconds(const Interval *keep)
{
	const int32 max_days = 3660;

	if (keep->month < 0 || keep->month > max_days / DAYS_PER_MONTH || keep->day < 0 || keep->day > max_days ||
		keep->time < 0 || keep->time > max_days * USECS_PER_DAY)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("keep_previous must be between 0 and 10 years")));
	return keep->time + ((int64) keep->month * DAYS_PER_MONTH + keep->day) * USECS_PER_DAY;
}

static void
check_name(const char *name)
{
	if (!dibs_secret_is_known(name))
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("unknown secret name \"%s\"", name),
						errhint("Names are %s.", dibs_secret_known_list())));
}

static void
check_value(const char *name, const char *value, Size len)
{
	if (len == 0)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("the value of the secret \"%s\" is empty", name)));
	if (len > DIBS_SECRET_MAX_LEN)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE),
						errmsg("the value of the secret \"%s\" is longer than %d bytes", name, DIBS_SECRET_MAX_LEN)));
	if (memchr(value, '\0', len) != NULL)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("the value of the secret \"%s\" has a zero byte", name)));
}

/* Without the one line end that an editor, echo or cms -encrypt leaves. */
static Size
without_line_end(const char *value, Size len)
{
	if (len > 0 && value[len - 1] == '\n')
		len--;
	if (len > 0 && value[len - 1] == '\r')
		len--;
	return len;
}

/* As the owner. */
static void
audit(const char *action, const char *name, const char *account)
{
	dibs_audit(action, account[0] == '\0' ? name : psprintf("%s %s", name, account), NULL);
}

static void
store(const char *how, const char *name, const char *account, const char *value, Size len, int64 keep_us)
{
	DibsCaller caller;

	check_value(name, value, len);
	dibs_secret_store(name, account, value, len, keep_us);
	dibs_become_owner(&caller);
	SPI_connect();
	audit(how, name, account);
	SPI_finish();
	dibs_become_caller(&caller);
}

Datum
dibs_sealed_version(PG_FUNCTION_ARGS)
{
	bytea *sealed = PG_GETARG_BYTEA_PP(0);
	DibsEnvelope envelope;

	if (dibs_envelope_parse((uint8 *) VARDATA_ANY(sealed), VARSIZE_ANY_EXHDR(sealed), &envelope) != DIBS_ENVELOPE_OK)
		PG_RETURN_NULL();
	PG_RETURN_INT32((int32) envelope.version);
}

/* The application's own; nothing that dibs stores has this purpose. */
static char *
token_context(const text *context)
{
	return text_to_cstring(context);
}

Datum
dibs_encrypt_token(PG_FUNCTION_ARGS)
{
	ErrorContextCallback hiding;
	text *plain;
	bytea *sealed;

	/* Once a row: only what is cheap. */
	dibs_hide_begin(&hiding);
	plain = PG_GETARG_TEXT_PP(0);
	sealed = dibs_seal(DIBS_PURPOSE_TOKEN, token_context(PG_GETARG_TEXT_PP(1)), VARDATA_ANY(plain),
					   VARSIZE_ANY_EXHDR(plain));
	dibs_hide_end(&hiding);
	PG_RETURN_BYTEA_P(sealed);
}

Datum
dibs_decrypt_token(PG_FUNCTION_ARGS)
{
	bytea *sealed = PG_GETARG_BYTEA_PP(0);
	char *plain;
	Size len;

	dibs_unseal(DIBS_PURPOSE_TOKEN, token_context(PG_GETARG_TEXT_PP(1)), VARDATA_ANY(sealed), VARSIZE_ANY_EXHDR(sealed),
				CurrentMemoryContext, false, &plain, &len);
	pg_verifymbstr(plain, (int) len, false);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(plain, (int) len));
}

/* Key and certificate stand in one value, the key first. */
static const char *
certificate_of(const char *pair)
{
	const char *certificate = strstr(pair, "-----BEGIN CERTIFICATE-----");

	if (certificate == NULL)
		ereport(ERROR, (errcode(DIBS_ERR_CRYPTO), errmsg("the stored sealing key has no certificate")));
	return certificate;
}

Datum
dibs_sealing_certificate(PG_FUNCTION_ARGS)
{
	DibsSecret pair;

	dibs_keyring_need();
	if (!dibs_secret_get(DIBS_SEALING_KEY_NAME, "", CurrentMemoryContext, &pair))
	{
		Size len;

		PreventCommandIfReadOnly("dibs.sealing_certificate()");
		/* Of two first callers the second one takes the first one's: a certificate that was given out must work. */
		LockRelationOid(dibs_secret_table(), ShareRowExclusiveLock);
		if (dibs_secret_get(DIBS_SEALING_KEY_NAME, "", CurrentMemoryContext, &pair))
			PG_RETURN_TEXT_P(cstring_to_text(certificate_of(pair.value)));
		pair.value = dibs_alloc_cleansed(CurrentMemoryContext, DIBS_CMS_PAIR_MAX);
		if (!dibs_cms_make_pair(pair.value, DIBS_CMS_PAIR_MAX, &len))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not make a sealing key")));
		dibs_secret_store(DIBS_SEALING_KEY_NAME, "", pair.value, len, 0);
	}
	PG_RETURN_TEXT_P(cstring_to_text(certificate_of(pair.value)));
}

Datum
dibs_set_sealed_secret(PG_FUNCTION_ARGS)
{
	ErrorContextCallback hiding;
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	text *cms = PG_GETARG_TEXT_PP(1);
	Interval *keep = PG_GETARG_INTERVAL_P(2);
	char *account = text_to_cstring(PG_GETARG_TEXT_PP(3));
	DibsSecret pair;
	char *value;
	size_t len = 0;
	Size room = VARSIZE_ANY_EXHDR(cms) + 1;

	dibs_hide_statement(&hiding);
	check_name(name);
	dibs_keyring_need();
	if (!dibs_secret_get(DIBS_SEALING_KEY_NAME, "", CurrentMemoryContext, &pair))
		ereport(ERROR, (errcode(DIBS_ERR_CONFIG), errmsg("there is no sealing certificate yet"),
						errhint("Encrypt the value to what dibs.sealing_certificate() gives.")));
	value = dibs_alloc_cleansed(CurrentMemoryContext, room);
	switch (dibs_cms_decrypt(pair.value, pair.len, VARDATA_ANY(cms), VARSIZE_ANY_EXHDR(cms), value, room, &len))
	{
		case DIBS_CMS_OK:
			break;
		case DIBS_CMS_MALFORMED:
			ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("not an encrypted CMS message"),
							errhint("Give the output of openssl cms -encrypt -aes256 -binary -outform PEM, whole.")));
			break;
		case DIBS_CMS_WRONG_RECIPIENT:
			ereport(ERROR, (errcode(DIBS_ERR_CRYPTO),
							errmsg("the message does not open with the sealing key of this database"),
							errhint("Encrypt the value to what dibs.sealing_certificate() gives here and now.")));
			break;
	}
	store("set_sealed_secret", name, account, value, without_line_end(value, len), keep_microseconds(keep));
	dibs_hide_end(&hiding);
	PG_RETURN_VOID();
}

/* Reads at most one byte more than a secret may have, so that a longer file is told from one that fits. */
static Size
read_secret_file(const char *path, char *value)
{
	int fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | PG_BINARY);
	struct stat st;
	Size len = 0;

	if (fd < 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not open file \"%s\": %m", path)));
	if (fstat(fd, &st) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not stat file \"%s\": %m", path)));
	if (!S_ISREG(st.st_mode))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a regular file", path)));
	while (len < DIBS_SECRET_MAX_LEN + 1)
	{
		ssize_t n = read(fd, value + len, DIBS_SECRET_MAX_LEN + 1 - len);

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			ereport(ERROR, (errcode_for_file_access(), errmsg("could not read file \"%s\": %m", path)));
		len += n < 0 ? 0 : n;
	}
	CloseTransientFile(fd);
	return len;
}

Datum
dibs_set_secret_from_file(PG_FUNCTION_ARGS)
{
	ErrorContextCallback hiding;
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *path = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Interval *keep = PG_GETARG_INTERVAL_P(2);
	char *account = text_to_cstring(PG_GETARG_TEXT_PP(3));
	char *value;
	Size len;

	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied to read a file on the server"),
				 errhint("It takes the rights of the role pg_read_server_files.")));
	dibs_hide_statement(&hiding);
	check_name(name);
	dibs_keyring_need();
	value = dibs_alloc_cleansed(CurrentMemoryContext, DIBS_SECRET_MAX_LEN + 1);
	len = read_secret_file(path, value);
	store("set_secret_from_file", name, account, value, without_line_end(value, len), keep_microseconds(keep));
	dibs_hide_end(&hiding);
	PG_RETURN_VOID();
}

Datum
dibs_set_secret(PG_FUNCTION_ARGS)
{
	ErrorContextCallback hiding;
	char *name;
	text *value;
	char *account;

	dibs_hide_statement(&hiding);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	value = PG_GETARG_TEXT_PP(1);
	account = text_to_cstring(PG_GETARG_TEXT_PP(3));
	check_name(name);
	store("set_secret", name, account, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
		  keep_microseconds(PG_GETARG_INTERVAL_P(2)));
	dibs_hide_end(&hiding);
	PG_RETURN_VOID();
}

Datum
dibs_drop_secret(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *account = text_to_cstring(PG_GETARG_TEXT_PP(1));
	DibsCaller caller;
	Datum values[2];
	bool any;

	if (strcmp(name, DIBS_SEALING_KEY_NAME) != 0)
		check_name(name);
	dibs_become_owner(&caller);
	SPI_connect();
	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(account);
	dibs_secrets_run(&delete_secret, values, NULL, false);
	any = SPI_processed > 0;
	if (any)
		audit("drop_secret", name, account);
	SPI_finish();
	dibs_become_caller(&caller);
	PG_RETURN_BOOL(any);
}

Datum
dibs_keyring_status(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"none", "ok", "unreadable", "wrong", "unknown_version"};
	TupleDesc desc;
	const char *detail;
	DibsKeyState state;
	Datum values[2] = {0};
	bool nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("dibs.keyring_status() returns a row")));
	state = dibs_keyring_check(&detail);
	values[0] = CStringGetTextDatum(names[state]);
	nulls[1] = detail == NULL;
	if (detail != NULL)
		values[1] = CStringGetTextDatum(detail);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

Datum
dibs_use_newest_key(PG_FUNCTION_ARGS)
{
	uint32 version = dibs_keyring_newest();

	dibs_canary_write(version);
	PG_RETURN_INT32((int32) version);
}

Datum
dibs_has_key_version(PG_FUNCTION_ARGS)
{
	int32 version = PG_GETARG_INT32(0);

	if (version < 1)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("%d is not a version of a master key", version)));
	PG_RETURN_BOOL(dibs_keyring_has((uint32) version) && dibs_canary_look((uint32) version) != DIBS_CANARY_WRONG);
}

Datum
dibs_rotate_step_sql(PG_FUNCTION_ARGS)
{
	int32 max_rows = PG_GETARG_INT32(0);
	TupleDesc desc;
	Jsonb *next;
	Datum values[2];
	bool nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("dibs.rotate_step() returns a row")));
	if (max_rows < 1)
		ereport(ERROR, (errcode(DIBS_ERR_BAD_VALUE), errmsg("max_rows must be at least 1")));
	values[0] = BoolGetDatum(dibs_rotate_step(max_rows, PG_GETARG_JSONB_P(1), &next));
	values[1] = JsonbPGetDatum(next);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
