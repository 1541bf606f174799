/*
 * test_crypto.c
 *		HMAC (RFC 4231), HKDF (RFC 5869), AES-256-GCM (the vectors of the GCM specification), random bytes, comparing.
 */
#include <stdlib.h>

#include "core/encoding.h"
#include "crypto/aead.h"
#include "crypto/hkdf.h"
#include "crypto/hmac.h"
#include "crypto/memory.h"
#include "crypto/random.h"
#include "hex.h"
#include "tap.h"

static bool
hex_is(const unsigned char *bytes, const char *hex)
{
	unsigned char expected[512];
	size_t len;

	from_hex(hex, expected, &len);
	return memcmp(bytes, expected, len) == 0;
}

static bool
hmac_is(const void *key, size_t key_len, const void *data, size_t len, const char *hex)
{
	unsigned char whole[DIBS_SHA256_LEN];
	unsigned char parted[DIBS_SHA256_LEN];
	DibsBytes one = {data, len};
	DibsBytes parts[3] = {{data, len / 2}, {NULL, 0}, {(const char *) data + len / 2, len - len / 2}};

	return dibs_hmac_sha256(key, key_len, &one, 1, whole) && dibs_hmac_sha256(key, key_len, parts, 3, parted) &&
		   hex_is(whole, hex) && memcmp(whole, parted, sizeof(whole)) == 0;
}

/* What is kept of the last key is used for that key alone. */
static void
kept_key(void)
{
	static const char jefe[] = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
	static const char text[] = "what do ya want for nothing?";
	unsigned char mac[DIBS_SHA256_LEN];
	unsigned char other[DIBS_SHA256_LEN];
	DibsBytes part = {text, 28};
	unsigned char key[65];
	bool all = true;

	for (int i = 0; i < 4; i++)
		all = all && hmac_is("Jefe", 4, text, 28, jefe);
	ok(all, "a key again and again");
	ok(!hmac_is("Jef", 3, text, 28, jefe) && hmac_is("Jefe", 4, text, 28, jefe) &&
		   !hmac_is("Jefe!", 5, text, 28, jefe) && hmac_is("Jefe", 4, text, 28, jefe),
	   "its beginning and its continuation are other keys");
	ok(hmac_is("Jefe\0\0", 6, text, 28, jefe), "RFC 2104 pads with zeroes");
	dibs_hmac_forget();
	dibs_hmac_forget();
	ok(hmac_is("Jefe", 4, text, 28, jefe), "forgotten, it is taken up again");
	memset(key, 'k', sizeof(key));
	ok(dibs_hmac_sha256(key, 64, &part, 1, mac) && dibs_hmac_sha256(key, 65, &part, 1, other) &&
		   memcmp(mac, other, sizeof(mac)) != 0 && dibs_hmac_sha256(key, 64, &part, 1, other) &&
		   memcmp(mac, other, sizeof(mac)) == 0,
	   "a block's length and one byte more");
	key[63] ^= 1;
	ok(dibs_hmac_sha256(key, 64, &part, 1, other) && memcmp(mac, other, sizeof(mac)) != 0, "one bit of a key counts");
	ok(dibs_sha256(text, 28, other) && hmac_is("Jefe", 4, text, 28, jefe), "a hash between disturbs nothing");
}

static void
hmac(void)
{
	unsigned char key[131];
	unsigned char data[50];
	unsigned char mac[DIBS_SHA256_LEN];
	const char *text;

	memset(key, 0x0b, 20);
	ok(hmac_is(key, 20, "Hi There", 8, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
	   "RFC 4231 case 1");
	ok(hmac_is("Jefe", 4, "what do ya want for nothing?", 28,
			   "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
	   "RFC 4231 case 2");
	memset(key, 0xaa, 20);
	memset(data, 0xdd, 50);
	ok(hmac_is(key, 20, data, 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
	   "RFC 4231 case 3");
	for (int i = 0; i < 25; i++)
		key[i] = (unsigned char) (i + 1);
	memset(data, 0xcd, 50);
	ok(hmac_is(key, 25, data, 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
	   "RFC 4231 case 4");
	memset(key, 0x0c, 20);
	ok(hmac_is(key, 20, "Test With Truncation", 20, "a3b6167473100ee06e0c796c2955552b"), "RFC 4231 case 5");
	memset(key, 0xaa, 131);
	text = "Test Using Larger Than Block-Size Key - Hash Key First";
	ok(hmac_is(key, 131, text, strlen(text), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
	   "RFC 4231 case 6");
	text = "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be "
		   "hashed before being used by the HMAC algorithm.";
	ok(hmac_is(key, 131, text, strlen(text), "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
	   "RFC 4231 case 7");
	ok(hmac_is("", 0, "", 0, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"),
	   "an empty key and an empty text");
	ok(!hmac_is("Jeff", 4, "what do ya want for nothing?", 28,
				"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
	   "another key gives another value, also right after the first one");
	kept_key();
	ok(dibs_sha256("abc", 3, mac) && hex_is(mac, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
	   "SHA-256 of abc");
	ok(dibs_sha256("", 0, mac) && hex_is(mac, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
	   "SHA-256 of nothing");
}

static void
hkdf(void)
{
	unsigned char key[80];
	unsigned char salt[80];
	unsigned char info[80];
	unsigned char out[82];
	static unsigned char large[255 * 32 + 1];

	memset(key, 0x0b, 22);
	for (int i = 0; i < 13; i++)
		salt[i] = (unsigned char) i;
	for (int i = 0; i < 10; i++)
		info[i] = (unsigned char) (0xf0 + i);
	ok(dibs_hkdf_sha256(key, 22, salt, 13, info, 10, out, 42) &&
		   hex_is(out, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"),
	   "RFC 5869 A.1");
	ok(dibs_hkdf_sha256(key, 22, NULL, 0, NULL, 0, out, 42) &&
		   hex_is(out, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
	   "RFC 5869 A.3");
	for (int i = 0; i < 80; i++)
	{
		key[i] = (unsigned char) i;
		salt[i] = (unsigned char) (0x60 + i);
		info[i] = (unsigned char) (0xb0 + i);
	}
	ok(dibs_hkdf_sha256(key, 80, salt, 80, info, 80, out, 82) &&
		   hex_is(out,
				  "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
				  "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"),
	   "RFC 5869 A.2");
	ok(dibs_hkdf_sha256(key, 80, NULL, 0, "a", 1, large, 255 * 32) &&
		   !dibs_hkdf_sha256(key, 80, NULL, 0, "a", 1, large, 255 * 32 + 1),
	   "255 blocks are the limit");
}

typedef struct GcmVector
{
	const char *name;
	const char *key;
	const char *nonce;
	const char *plain;
	const char *aad;
	const char *sealed;
} GcmVector;

#define ZERO_KEY "0000000000000000000000000000000000000000000000000000000000000000"
#define KEY "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define PLAIN60                                                                                                        \
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657" \
	"ba637b39"
#define SEALED60                                                                                                       \
	"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a" \
	"bcc9f662"

static const GcmVector gcm_vectors[] = {
	{"case 13", ZERO_KEY, "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
	{"case 14", ZERO_KEY, "000000000000000000000000", "00000000000000000000000000000000", "",
	 "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
	{"case 15", KEY, "cafebabefacedbaddecaf888", PLAIN60 "1aafd255", "",
	 SEALED60 "898015adb094dac5d93471bdec1a502270e3cc6c"},
	{"case 16", KEY, "cafebabefacedbaddecaf888", PLAIN60, "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	 SEALED60 "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static void
aead_vector(const GcmVector *vector)
{
	unsigned char key[32], nonce[12], plain[64], aad[32], sealed[80], out[80], back[64];
	static const unsigned char nothing[64];
	size_t ignored, len, aad_len, sealed_len;
	DibsAead *cipher;
	int opened = 0;
	int leaked = 0;

	from_hex(vector->key, key, &ignored);
	from_hex(vector->nonce, nonce, &ignored);
	from_hex(vector->plain, plain, &len);
	from_hex(vector->aad, aad, &aad_len);
	from_hex(vector->sealed, sealed, &sealed_len);
	cipher = dibs_aead_new(key);
	memset(key, 0, sizeof(key));
	ok(cipher != NULL && dibs_aead_seal(cipher, nonce, aad, aad_len, plain, len, out) &&
		   memcmp(out, sealed, sealed_len) == 0,
	   "GCM %s seals", vector->name);
	ok(dibs_aead_open(cipher, nonce, aad, aad_len, sealed, len, sealed + len, back) && memcmp(back, plain, len) == 0,
	   "GCM %s opens", vector->name);
	for (size_t bit = 0; bit < 8 * (sealed_len + 12 + aad_len); bit++)
	{
		size_t at = bit / 8;
		unsigned char *p = at < sealed_len        ? &sealed[at]
						   : at < sealed_len + 12 ? &nonce[at - sealed_len]
												  : &aad[at - sealed_len - 12];

		*p ^= (unsigned char) (1 << bit % 8);
		memset(back, 0xEE, sizeof(back));
		if (dibs_aead_open(cipher, nonce, aad, aad_len, sealed, len, sealed + len, back))
			opened++;
		if (memcmp(back, nothing, len) != 0)
			leaked++;
		*p ^= (unsigned char) (1 << bit % 8);
	}
	ok(opened == 0, "GCM %s: any bit changed in text, tag, nonce or associated data, and it does not", vector->name);
	ok(leaked == 0, "GCM %s: nothing of the plaintext is left then", vector->name);
	ok(dibs_aead_open(cipher, nonce, aad, aad_len, sealed, len, sealed + len, sealed) &&
		   memcmp(sealed, plain, len) == 0,
	   "GCM %s opens in place, and after failures", vector->name);
	dibs_aead_free(cipher);
}

static void
rest(void)
{
	unsigned char a[64] = {0};
	unsigned char b[64] = {0};
	static const unsigned char nothing[64];

	ok(dibs_random_bytes(a, 64) && dibs_random_bytes(b, 64) && memcmp(a, b, 64) != 0 && memcmp(a, nothing, 64) != 0,
	   "random bytes differ");
	memcpy(b, a, 64);
	ok(dibs_equal(a, b, 64) && dibs_equal(a, b, 0), "equal is equal");
	b[63] ^= 1;
	ok(!dibs_equal(a, b, 64) && dibs_equal(a, b, 63), "one bit is not");
	dibs_cleanse(a, 64);
	dibs_cleanse(NULL, 64);
	ok(memcmp(a, nothing, 64) == 0, "cleansed memory is zero");
	dibs_aead_free(NULL);
}

int
main(void)
{
	hmac();
	hkdf();
	for (size_t i = 0; i < sizeof(gcm_vectors) / sizeof(gcm_vectors[0]); i++)
		aead_vector(&gcm_vectors[i]);
	rest();
	return done();
}
