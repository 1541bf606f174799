/*
 * scheme.h
 *		How each sender signs its webhooks, as a table, and the one function that checks them all. Pure bytes: no
 *server, no stored secret.
 */
#ifndef DIBS_WEBHOOK_SCHEME_H
#define DIBS_WEBHOOK_SCHEME_H

#include <stdint.h>

#include "core/bytes.h"

typedef enum DibsSignature
{
	DIBS_SIGNATURE_FORGED, /* missing, malformed, or not made with this secret over these bytes */
	DIBS_SIGNATURE_STALE,  /* genuine, but sent at another time than the tolerance allows */
	DIBS_SIGNATURE_GENUINE
} DibsSignature;

/* What the signature's header looks like. */
typedef enum DibsSignatureForm
{
	DIBS_FORM_BARE,  /* the signature after a fixed prefix */
	DIBS_FORM_PAIRS, /* t=<time>,v1=<signature>, in any order, v1 more than once, others ignored */
	DIBS_FORM_LIST   /* v1,<signature> separated by spaces, others ignored */
} DibsSignatureForm;

typedef enum DibsSecretForm
{
	DIBS_SECRET_TEXT,  /* the secret's characters are the key */
	DIBS_SECRET_BASE64 /* they are the key's base64, after "whsec_" or without it */
} DibsSecretForm;

/* No check of the time. */
#define DIBS_NO_TOLERANCE INT64_MAX

typedef struct DibsScheme
{
	const char *source;
	/* names of headers, in lower case; NULL where the sender has none */
	const char *signature_header;
	const char *time_header;
	const char *id_header;
	DibsSignatureForm form;
	const char *prefix;
	/* what is signed: %t the time, %i the id, %b the body, anything else stands for itself */
	const char *signed_text;
	enum
	{
		DIBS_ENCODED_HEX,
		DIBS_ENCODED_BASE64
	} encoding;
	DibsSecretForm secret;
	int64_t tolerance_us;
} DibsScheme;

/* What arrived; data is NULL for what did not. For DIBS_FORM_PAIRS the time is taken from the signature's header. */
typedef struct DibsDelivery
{
	DibsBytes signature;
	DibsBytes sent_at;
	DibsBytes id;
	DibsBytes body;
} DibsDelivery;

/* 'cal', 'zoom', 'calendly', 'daily', 'standard', 'stripe', 'jaas'; NULL for any other. */
extern const DibsScheme *dibs_scheme_find(const char *source);

/*
 * Checks a delivery with one secret at the time now_us (microseconds since 1970) with a tolerance in both directions;
 * the scheme's own is scheme->tolerance_us. Signatures are compared as decoded bytes in constant time: the case of hex
 * digits and missing base64 padding do not matter. A timestamp of 12 digits and more is in milliseconds.
 */
extern DibsSignature dibs_scheme_verify(const DibsScheme *scheme, const DibsDelivery *delivery, DibsBytes secret,
										int64_t tolerance_us, int64_t now_us);

#endif
