/*
 * hmac.c
 *		SHA-256 and HMAC-SHA256 by OpenSSL's providers. What is fetched is kept for the life of the process: fetching
 *		costs more than hashing a webhook's body.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "crypto/hmac.h"

static EVP_MAC_CTX *hmac = NULL;

/* The context with its digest set, made once. */
static bool
hmac_ready(void)
{
	EVP_MAC *mac;
	EVP_MAC_CTX *made;
	char digest[] = "SHA256";
	OSSL_PARAM params[2];

	if (hmac != NULL)
		return true;
	mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	made = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
	EVP_MAC_free(mac);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
	params[1] = OSSL_PARAM_construct_end();
	if (made != NULL && EVP_MAC_CTX_set_params(made, params) == 1)
		hmac = made;
	else
		EVP_MAC_CTX_free(made);
	return hmac != NULL;
}

bool
dibs_hmac_sha256(const void *key, size_t key_len, const DibsBytes *parts, int n_parts,
				 unsigned char out[DIBS_SHA256_LEN])
{
	static const unsigned char no_key[1] = {0};
	size_t len = 0;
	bool ok;

	ok = hmac_ready() && EVP_MAC_init(hmac, key_len == 0 ? no_key : key, key_len, NULL) == 1;
	for (int i = 0; ok && i < n_parts; i++)
		ok = parts[i].len == 0 || EVP_MAC_update(hmac, parts[i].data, parts[i].len) == 1;
	ok = ok && EVP_MAC_final(hmac, out, &len, DIBS_SHA256_LEN) == 1 && len == DIBS_SHA256_LEN;
	/* The context would hold what it made of the key until its next use. */
	if (hmac != NULL && EVP_MAC_init(hmac, no_key, sizeof(no_key), NULL) != 1)
		ok = false;
	if (!ok)
		ERR_clear_error();
	return ok;
}

bool
dibs_sha256(const void *data, size_t len, unsigned char out[DIBS_SHA256_LEN])
{
	static EVP_MD *sha256 = NULL;

	if (sha256 == NULL)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (sha256 != NULL && EVP_Digest(data, len, out, NULL, sha256, NULL) == 1)
		return true;
	ERR_clear_error();
	return false;
}
