/*
 * cms.c
 *		Makes the pair and opens CMS messages. The armour is taken off here: OpenSSL's PEM reader would accept one form
 *		of the four that people paste.
 */
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "core/encoding.h"
#include "crypto/cms.h"
#include "crypto/memory.h"

#define RSA_BITS 3072
/* A certificate says for how long a name and a key belong together; this one only carries the key. */
#define NO_EXPIRY "99991231235959Z"

static bool
add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

static bool
fill_certificate(X509 *cert, EVP_PKEY *key)
{
	X509_NAME *name = X509_get_subject_name(cert);
	BIGNUM *serial = BN_new();
	bool ok;

	/* A message names its recipient by issuer and serial number: two pairs must not share them. */
	ok = serial != NULL && BN_rand(serial, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
		 BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)) != NULL &&
		 X509_set_version(cert, X509_VERSION_3) == 1 &&
		 X509_gmtime_adj(X509_getm_notBefore(cert), -24 * 60 * 60) != NULL &&
		 ASN1_TIME_set_string_X509(X509_getm_notAfter(cert), NO_EXPIRY) == 1 &&
		 X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *) "dibs sealing key", -1, -1, 0) ==
			 1 &&
		 X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
		 add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
		 add_extension(cert, NID_key_usage, "critical,keyEncipherment") &&
		 add_extension(cert, NID_subject_key_identifier, "hash") && X509_sign(cert, key, EVP_sha256()) > 0;
	BN_free(serial);
	return ok;
}

bool
dibs_cms_make_pair(char *pair, size_t room, size_t *len)
{
	EVP_PKEY *key = EVP_RSA_gen(RSA_BITS);
	X509 *cert = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;
	bool ok;

	ok = key != NULL && cert != NULL && bio != NULL && fill_certificate(cert, key) &&
		 PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1 && PEM_write_bio_X509(bio, cert) == 1;
	if (bio != NULL)
	{
		n = BIO_get_mem_data(bio, &text);
		ok = ok && n > 0 && (size_t) n < room;
		if (ok)
		{
			memcpy(pair, text, (size_t) n);
			pair[n] = '\0';
			*len = (size_t) n;
		}
		if (n > 0)
			dibs_cleanse(text, (size_t) n);
	}
	BIO_free(bio);
	X509_free(cert);
	EVP_PKEY_free(key);
	if (!ok)
		ERR_clear_error();
	return ok;
}

/* OpenSSL asks on the terminal where it finds an encrypted key and no callback. */
static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void) buf;
	(void) size;
	(void) rwflag;
	(void) arg;
	return -1;
}

/* Where the first blank line ends, after which an S/MIME message has its body; 0 if there is none. */
static size_t
after_blank_line(const char *s, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++)
	{
		if (s[i] != '\n')
			continue;
		if (s[i + 1] == '\n')
			return i + 2;
		if (i + 2 < len && s[i + 1] == '\r' && s[i + 2] == '\n')
			return i + 3;
	}
	return 0;
}

static const char *
find(const char *s, size_t len, const char *what)
{
	size_t what_len = strlen(what);

	for (size_t i = 0; i + what_len <= len; i++)
	{
		if (s[i] == what[0] && memcmp(s + i, what, what_len) == 0)
			return s + i;
	}
	return NULL;
}

/* Narrows *s to the base64 between the lines of PEM, or below the headers of S/MIME; what has neither stays whole. */
static bool
take_armour_off(const char **s, size_t *len)
{
	const char *begin = find(*s, *len, "-----BEGIN ");
	const char *end;
	size_t skip = 0;

	if (begin != NULL)
	{
		size_t rest = *len - (size_t) (begin - *s);
		const char *line_end = memchr(begin, '\n', rest);

		if (line_end == NULL)
			return false;
		rest -= (size_t) (line_end - begin);
		end = find(line_end, rest, "-----END ");
		if (end == NULL)
			return false;
		*s = line_end;
		*len = (size_t) (end - line_end);
		return true;
	}
	if (find(*s, *len, ":") != NULL)
		skip = after_blank_line(*s, *len);
	*s += skip;
	*len -= skip;
	return true;
}

/* DER as it is, anything else decoded; malloc'd by OpenSSL. */
static unsigned char *
message_to_der(const char *message, size_t len, size_t *der_len)
{
	unsigned char *der = OPENSSL_malloc(len + 2);
	char *text;
	size_t n = 0;

	if (der == NULL)
		return NULL;
	if (len > 1 && message[0] == 0x30 && ((unsigned char) message[1] & 0x80) != 0)
	{
		memcpy(der, message, len);
		*der_len = len;
		return der;
	}
	text = OPENSSL_malloc(len + 1);
	if (text != NULL && take_armour_off(&message, &len))
	{
		for (size_t i = 0; i < len; i++)
		{
			if (message[i] != '\n' && message[i] != '\r' && message[i] != ' ' && message[i] != '\t')
				text[n++] = message[i];
		}
		if (dibs_base64_decode(text, n, der, der_len))
		{
			OPENSSL_free(text);
			return der;
		}
	}
	OPENSSL_free(text);
	OPENSSL_free(der);
	return NULL;
}

static CMS_ContentInfo *
read_message(const char *message, size_t len)
{
	size_t der_len = 0;
	unsigned char *der = len > INT_MAX - 2 ? NULL : message_to_der(message, len, &der_len);
	const unsigned char *p = der;
	CMS_ContentInfo *cms = der == NULL ? NULL : d2i_CMS_ContentInfo(NULL, &p, (long) der_len);
	int type = cms == NULL ? NID_undef : OBJ_obj2nid(CMS_get0_type(cms));

	OPENSSL_free(der);
	if (type == NID_pkcs7_enveloped || type == NID_id_smime_ct_authEnvelopedData)
		return cms;
	CMS_ContentInfo_free(cms);
	return NULL;
}

DibsCmsResult
dibs_cms_decrypt(const char *pair, size_t pair_len, const char *message, size_t message_len, char *value, size_t room,
				 size_t *len)
{
	CMS_ContentInfo *cms = read_message(message, message_len);
	BIO *in = pair_len > INT_MAX ? NULL : BIO_new_mem_buf(pair, (int) pair_len);
	BIO *out = BIO_new(BIO_s_mem());
	EVP_PKEY *key = in == NULL ? NULL : PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);
	X509 *cert = in == NULL ? NULL : PEM_read_bio_X509(in, NULL, no_passphrase, NULL);
	DibsCmsResult result = cms == NULL ? DIBS_CMS_MALFORMED : DIBS_CMS_WRONG_RECIPIENT;
	char *plain;
	long n;

	*len = 0;
	if (cms != NULL && key != NULL && cert != NULL && out != NULL &&
		CMS_decrypt(cms, key, cert, NULL, out, CMS_BINARY) == 1)
	{
		n = BIO_get_mem_data(out, &plain);
		if (n >= 0 && (size_t) n <= room)
		{
			if (n > 0)
				memcpy(value, plain, (size_t) n);
			*len = (size_t) n;
			result = DIBS_CMS_OK;
		}
	}
	if (out != NULL)
	{
		n = BIO_get_mem_data(out, &plain);
		if (n > 0)
			dibs_cleanse(plain, (size_t) n);
	}
	BIO_free(out);
	BIO_free(in);
	EVP_PKEY_free(key);
	X509_free(cert);
	CMS_ContentInfo_free(cms);
	ERR_clear_error();
	return result;
}
