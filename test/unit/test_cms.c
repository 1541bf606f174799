/*
 * test_cms.c
 *		The sealed way in, with messages made as openssl cms -encrypt makes them.
 */
#include <stdlib.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
/* declares its PEM functions only after pem.h */
#include <openssl/cms.h>

#include "crypto/cms.h"
#include "tap.h"

#define PLAIN "s3cret value\r\nwith \xc3\xa9"
#define MESSAGE_MAX 16384

static char pair[DIBS_CMS_PAIR_MAX];
static size_t pair_len;

typedef enum Form
{
	FORM_PEM,
	FORM_DER,
	FORM_SMIME
} Form;

static CMS_ContentInfo *
encrypt(const char *of_pair, const EVP_CIPHER *cipher, unsigned flags)
{
	BIO *in = BIO_new_mem_buf(of_pair, -1);
	BIO *plain = BIO_new_mem_buf(PLAIN, (int) strlen(PLAIN));
	X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
	STACK_OF(X509) *certs = sk_X509_new_null();
	CMS_ContentInfo *cms;

	sk_X509_push(certs, cert);
	cms = CMS_encrypt(certs, plain, cipher, CMS_BINARY | flags);
	sk_X509_free(certs);
	X509_free(cert);
	BIO_free(plain);
	BIO_free(in);
	return cms;
}

static size_t
write_as(CMS_ContentInfo *cms, Form form, char *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	size_t len;

	if (form == FORM_PEM)
		PEM_write_bio_CMS(bio, cms);
	else if (form == FORM_DER)
		i2d_CMS_bio(bio, cms);
	else
		SMIME_write_CMS(bio, cms, NULL, 0);
	len = (size_t) BIO_get_mem_data(bio, &data);
	memcpy(out, data, len);
	BIO_free(bio);
	return len;
}

static DibsCmsResult
open_with(const char *of_pair, const char *message, size_t len, bool *same)
{
	char *value = malloc(len + 1);
	size_t value_len = 99999;
	DibsCmsResult result = dibs_cms_decrypt(of_pair, strlen(of_pair), message, len, value, len, &value_len);

	*same = value_len == strlen(PLAIN) && memcmp(value, PLAIN, value_len) == 0;
	free(value);
	return result;
}

static bool
opens(const char *message, size_t len)
{
	bool same;

	return open_with(pair, message, len, &same) == DIBS_CMS_OK && same;
}

static void
forms(const char *name, const EVP_CIPHER *cipher, unsigned flags, bool authenticated, const char *other)
{
	static char message[MESSAGE_MAX];
	static char changed[MESSAGE_MAX];
	CMS_ContentInfo *cms = encrypt(pair, cipher, flags);
	size_t len = write_as(cms, FORM_PEM, message);
	size_t n = 0;
	bool same;
	int taken = 0;
	char *first;
	char *last;

	ok(opens(message, len), "%s: PEM", name);
	for (size_t i = 0; i < len; i++)
	{
		if (message[i] == '\n')
			changed[n++] = '\r';
		changed[n++] = message[i];
	}
	ok(opens(changed, n), "%s: PEM with carriage returns", name);
	ok(open_with(other, message, len, &same) == DIBS_CMS_WRONG_RECIPIENT && !same, "%s: another pair", name);
	message[len] = '\0';
	first = strchr(message, '\n') + 1;
	last = strstr(message, "-----END");
	ok(opens(first, (size_t) (last - first)), "%s: bare base64", name);
	ok(open_with(pair, message, (size_t) (last - message), &same) == DIBS_CMS_MALFORMED, "%s: PEM without its end",
	   name);
	ok(opens(message, write_as(cms, FORM_SMIME, message)), "%s: S/MIME", name);
	len = write_as(cms, FORM_DER, message);
	ok(opens(message, len), "%s: DER", name);
	for (n = 0; n < len; n++)
	{
		if (open_with(pair, message, n, &same) == DIBS_CMS_OK || same)
			taken++;
	}
	ok(taken == 0, "%s: no shorter message opens", name);
	if (authenticated)
	{
		taken = 0;
		for (n = 0; n < len; n++)
		{
			message[n] ^= 1;
			if (open_with(pair, message, len, &same) == DIBS_CMS_OK && !same)
				taken++;
			message[n] ^= 1;
		}
		ok(taken == 0, "%s: no changed message opens as anything else", name);
	}
	CMS_ContentInfo_free(cms);
}

static bool
malformed(const char *message)
{
	bool same;

	return open_with(pair, message, strlen(message), &same) == DIBS_CMS_MALFORMED && !same;
}

int
main(void)
{
	static char other[DIBS_CMS_PAIR_MAX];
	size_t other_len;
	char small[100];
	char value[1];
	size_t len;
	CMS_ContentInfo *cms;
	BIO *plain;
	static char message[MESSAGE_MAX];
	size_t message_len;

	if (!ok(dibs_cms_make_pair(pair, sizeof(pair), &pair_len) && pair_len == strlen(pair), "a pair is made") ||
		!ok(dibs_cms_make_pair(other, sizeof(other), &other_len), "and another one"))
		return done();
	ok(strncmp(pair, "-----BEGIN PRIVATE KEY-----", 27) == 0 && strstr(pair, "-----BEGIN CERTIFICATE-----") != NULL,
	   "the key comes first, then the certificate");
	ok(strcmp(pair, other) != 0, "no two are the same");
	ok(!dibs_cms_make_pair(small, sizeof(small), &len), "what has no room is not made");
	forms("AES-256-CBC", EVP_aes_256_cbc(), 0, false, other);
	forms("AES-256-GCM", EVP_aes_256_gcm(), 0, true, other);
	forms("AES-128-CBC by key id", EVP_aes_128_cbc(), CMS_USE_KEYID, false, other);
	ok(malformed("") && malformed("MIIB") && malformed("-----BEGIN CMS-----\n") && malformed("hello: world\n\nMIIB") &&
		   malformed("-----BEGIN CMS-----\nMIIB\n-----END CMS-----\n") && malformed("\x30\x80") && malformed("{}"),
	   "what is no message");
	ok(malformed(strstr(pair, "-----BEGIN CERT")), "a certificate is none");
	plain = BIO_new_mem_buf(PLAIN, -1);
	cms = CMS_data_create(plain, CMS_BINARY);
	BIO_free(plain);
	message_len = write_as(cms, FORM_PEM, message);
	message[message_len] = '\0';
	ok(message_len > 0 && malformed(message), "nor is one that is not encrypted");
	CMS_ContentInfo_free(cms);
	cms = encrypt(pair, EVP_aes_256_cbc(), 0);
	message_len = write_as(cms, FORM_PEM, message);
	ok(dibs_cms_decrypt(pair, pair_len, message, message_len, value, 1, &len) != DIBS_CMS_OK && len == 0,
	   "a value that has no room is not given");
	ok(dibs_cms_decrypt("", 0, message, message_len, value, 1, &len) == DIBS_CMS_WRONG_RECIPIENT,
	   "no pair opens nothing");
	CMS_ContentInfo_free(cms);
	return done();
}
