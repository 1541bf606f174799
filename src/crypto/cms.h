/*
 * cms.h
 *		The sealed way in: a key pair with a self-signed certificate, and what openssl cms -encrypt made with it.
 */
#ifndef DIBS_CRYPTO_CMS_H
#define DIBS_CRYPTO_CMS_H

#include <stdbool.h>
#include <stddef.h>

/* Room for an RSA-3072 private key (PKCS#8) and its certificate in PEM; they take about 4,300 bytes. */
#define DIBS_CMS_PAIR_MAX 8192

typedef enum DibsCmsResult
{
	DIBS_CMS_OK,
	DIBS_CMS_MALFORMED,      /* no encrypted CMS message */
	DIBS_CMS_WRONG_RECIPIENT /* one that does not open with this pair, or that was changed */
} DibsCmsResult;

/*
 * Writes the private key and then the certificate, both in PEM, and a terminating zero; *len is without it. False on
 * failure. The caller cleanses.
 */
extern bool dibs_cms_make_pair(char *pair, size_t room, size_t *len);

/*
 * Opens a CMS message (EnvelopedData or AuthEnvelopedData) given as PEM, as S/MIME, as bare base64 or as DER. value has
 * room for room bytes, which len of the message is always enough for; the caller cleanses.
 */
extern DibsCmsResult dibs_cms_decrypt(const char *pair, size_t pair_len, const char *message, size_t message_len,
									  char *value, size_t room, size_t *len);

#endif
