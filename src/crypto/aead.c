/*
 * aead.c
 *		AES-256-GCM by OpenSSL's providers.
 */
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "crypto/aead.h"
#include "crypto/memory.h"

/* GCM keeps its direction in the context: one for each. */
struct DibsAead
{
	EVP_CIPHER_CTX *sealing;
	EVP_CIPHER_CTX *opening;
};

DibsAead *
dibs_aead_new(const unsigned char key[DIBS_AEAD_KEY_LEN])
{
	static EVP_CIPHER *aes = NULL;
	DibsAead *cipher = OPENSSL_zalloc(sizeof(DibsAead));

	if (aes == NULL)
		aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (cipher != NULL && aes != NULL)
	{
		cipher->sealing = EVP_CIPHER_CTX_new();
		cipher->opening = EVP_CIPHER_CTX_new();
		if (cipher->sealing != NULL && cipher->opening != NULL &&
			EVP_EncryptInit_ex2(cipher->sealing, aes, key, NULL, NULL) == 1 &&
			EVP_DecryptInit_ex2(cipher->opening, aes, key, NULL, NULL) == 1)
			return cipher;
	}
	dibs_aead_free(cipher);
	ERR_clear_error();
	return NULL;
}

void
dibs_aead_free(DibsAead *cipher)
{
	if (cipher == NULL)
		return;
	EVP_CIPHER_CTX_free(cipher->sealing);
	EVP_CIPHER_CTX_free(cipher->opening);
	OPENSSL_free(cipher);
}

static bool
seal(EVP_CIPHER_CTX *ctx, const unsigned char *nonce, const void *aad, int aad_len, const void *plain, int len,
	 unsigned char *out)
{
	int n = 0;

	return EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1 &&
		   (aad_len == 0 || EVP_EncryptUpdate(ctx, NULL, &n, aad, aad_len) == 1) &&
		   (len == 0 || (EVP_EncryptUpdate(ctx, out, &n, plain, len) == 1 && n == len)) &&
		   EVP_EncryptFinal_ex(ctx, out + len, &n) == 1 &&
		   EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, DIBS_AEAD_TAG_LEN, out + len) == 1;
}

bool
dibs_aead_seal(DibsAead *cipher, const unsigned char nonce[DIBS_AEAD_NONCE_LEN], const void *aad, size_t aad_len,
			   const void *plain, size_t len, unsigned char *out)
{
	if (aad_len > INT_MAX || len > INT_MAX - DIBS_AEAD_TAG_LEN)
		return false;
	if (seal(cipher->sealing, nonce, aad, (int) aad_len, plain, (int) len, out))
		return true;
	ERR_clear_error();
	return false;
}

static bool
open_sealed(EVP_CIPHER_CTX *ctx, const unsigned char *nonce, const void *aad, int aad_len, const void *text, int len,
			const unsigned char *tag, unsigned char *out)
{
	unsigned char nothing[DIBS_AEAD_TAG_LEN];
	int n = 0;

	return EVP_DecryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1 &&
		   EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, DIBS_AEAD_TAG_LEN, (void *) tag) == 1 &&
		   (aad_len == 0 || EVP_DecryptUpdate(ctx, NULL, &n, aad, aad_len) == 1) &&
		   (len == 0 || (EVP_DecryptUpdate(ctx, out, &n, text, len) == 1 && n == len)) &&
		   EVP_DecryptFinal_ex(ctx, nothing, &n) == 1;
}

bool
dibs_aead_open(DibsAead *cipher, const unsigned char nonce[DIBS_AEAD_NONCE_LEN], const void *aad, size_t aad_len,
			   const void *text, size_t len, const unsigned char tag[DIBS_AEAD_TAG_LEN], unsigned char *out)
{
	if (aad_len > INT_MAX || len > INT_MAX)
		return false;
	if (open_sealed(cipher->opening, nonce, aad, (int) aad_len, text, (int) len, tag, out))
		return true;
	/* What was decrypted before the tag was found wrong is nobody's to see. */
	dibs_cleanse(out, len);
	ERR_clear_error();
	return false;
}
