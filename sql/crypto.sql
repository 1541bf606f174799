-- crypto: signatures over raw bodies, and tokens. Pure functions of their arguments: as_of's default is evaluated by the
-- caller, so that they are immutable although now() stands in their signatures.

CREATE OR REPLACE FUNCTION dibs.verify_cal_signature(body text, signature text, secret text) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_verify_cal_signature';
REVOKE ALL ON FUNCTION dibs.verify_cal_signature(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.verify_cal_signature(text, text, text) IS
'Whether X-Cal-Signature-256 is the hex HMAC-SHA256 of the raw body (Cal.com, Webhooks). It signs no time: dedupe by the body. Any NULL, an empty secret, a malformed header: false.';

CREATE OR REPLACE FUNCTION dibs.verify_cal_signature_bytes(body bytea, signature text, secret text) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_verify_cal_signature';
REVOKE ALL ON FUNCTION dibs.verify_cal_signature_bytes(bytea, text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.verify_cal_signature_bytes(bytea, text, text) IS
'As verify_cal_signature, over bytes. Any NULL, an empty secret, a malformed header: false.';

CREATE OR REPLACE FUNCTION dibs.verify_zoom_signature(body text, signature text, sent_at text, secret text, tolerance interval DEFAULT '5 min', as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_verify_zoom_signature';
REVOKE ALL ON FUNCTION dibs.verify_zoom_signature(text, text, text, text, interval, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION dibs.verify_zoom_signature(text, text, text, text, interval, timestamptz) IS
'Whether x-zm-signature is v0= and the hex HMAC-SHA256 of v0:sent_at:body, sent_at being x-zm-request-timestamp and within the tolerance of as_of, both ways (Zoom, Using webhooks). Any NULL, an empty secret, a malformed header: false.';

CREATE OR REPLACE FUNCTION dibs.verify_zoom_signature_bytes(body bytea, signature text, sent_at text, secret text, tolerance interval DEFAULT '5 min', as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_verify_zoom_signature';
REVOKE ALL ON FUNCTION dibs.verify_zoom_signature_bytes(bytea, text, text, text, interval, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION dibs.verify_zoom_signature_bytes(bytea, text, text, text, interval, timestamptz) IS
'As verify_zoom_signature, over bytes. Any NULL, an empty secret, a malformed header: false.';

CREATE OR REPLACE FUNCTION dibs.verify_calendly_signature(body text, header text, secret text, tolerance interval DEFAULT '3 min', as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_verify_calendly_signature';
REVOKE ALL ON FUNCTION dibs.verify_calendly_signature(text, text, text, interval, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION dibs.verify_calendly_signature(text, text, text, interval, timestamptz) IS
'Whether a v1 in Calendly-Webhook-Signature (t=...,v1=...) is the hex HMAC-SHA256 of t.body, t within the tolerance of as_of, both ways (Calendly, Webhook signatures). Any NULL, an empty secret, a malformed header: false.';

CREATE OR REPLACE FUNCTION dibs.verify_calendly_signature_bytes(body bytea, header text, secret text, tolerance interval DEFAULT '3 min', as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_verify_calendly_signature';
REVOKE ALL ON FUNCTION dibs.verify_calendly_signature_bytes(bytea, text, text, interval, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION dibs.verify_calendly_signature_bytes(bytea, text, text, interval, timestamptz) IS
'As verify_calendly_signature, over bytes. Any NULL, an empty secret, a malformed header: false.';

CREATE OR REPLACE FUNCTION dibs.verify_daily_signature(body text, signature text, sent_at text, secret text) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_verify_daily_signature';
REVOKE ALL ON FUNCTION dibs.verify_daily_signature(text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.verify_daily_signature(text, text, text, text) IS
'Whether X-Webhook-Signature is the base64 HMAC-SHA256 of sent_at.body with the base64-decoded secret (Daily, Webhooks). The time is signed, its age is not judged: Daily names no tolerance. Any NULL, an empty secret, a malformed header: false.';

CREATE OR REPLACE FUNCTION dibs.verify_daily_signature_bytes(body bytea, signature text, sent_at text, secret text) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_verify_daily_signature';
REVOKE ALL ON FUNCTION dibs.verify_daily_signature_bytes(bytea, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.verify_daily_signature_bytes(bytea, text, text, text) IS
'As verify_daily_signature, over bytes. Any NULL, an empty secret, a malformed header: false.';

CREATE OR REPLACE FUNCTION dibs.verify_standard_webhook(body text, id text, sent_at text, signatures text, secret text, tolerance interval DEFAULT '5 min', as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_verify_standard_webhook';
REVOKE ALL ON FUNCTION dibs.verify_standard_webhook(text, text, text, text, text, interval, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION dibs.verify_standard_webhook(text, text, text, text, text, interval, timestamptz) IS
'Whether one of the v1 signatures is the base64 HMAC-SHA256 of id.sent_at.body, sent_at within the tolerance of as_of, both ways (Standard Webhooks 1.0.0). The secret is base64, with or without whsec_. Any NULL, an empty secret, a malformed header: false.';

CREATE OR REPLACE FUNCTION dibs.verify_standard_webhook_bytes(body bytea, id text, sent_at text, signatures text, secret text, tolerance interval DEFAULT '5 min', as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_verify_standard_webhook';
REVOKE ALL ON FUNCTION dibs.verify_standard_webhook_bytes(bytea, text, text, text, text, interval, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION dibs.verify_standard_webhook_bytes(bytea, text, text, text, text, interval, timestamptz) IS
'As verify_standard_webhook, over bytes. Any NULL, an empty secret, a malformed header: false.';

CREATE OR REPLACE FUNCTION dibs.verify_stripe_signature(body text, header text, secret text, tolerance interval DEFAULT '5 min', as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_verify_stripe_signature';
REVOKE ALL ON FUNCTION dibs.verify_stripe_signature(text, text, text, interval, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION dibs.verify_stripe_signature(text, text, text, interval, timestamptz) IS
'Whether a v1 in Stripe-Signature (t=...,v1=...) is the hex HMAC-SHA256 of t.body, t within the tolerance of as_of, both ways (Stripe, Verify signatures). The whole secret, whsec_ included, is the key. Any NULL, an empty secret, a malformed header: false.';

CREATE OR REPLACE FUNCTION dibs.verify_stripe_signature_bytes(body bytea, header text, secret text, tolerance interval DEFAULT '5 min', as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_verify_stripe_signature';
REVOKE ALL ON FUNCTION dibs.verify_stripe_signature_bytes(bytea, text, text, interval, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION dibs.verify_stripe_signature_bytes(bytea, text, text, interval, timestamptz) IS
'As verify_stripe_signature, over bytes. Any NULL, an empty secret, a malformed header: false.';

CREATE OR REPLACE FUNCTION dibs.zoom_url_validation(plain_token text, secret text) RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_zoom_url_validation';
REVOKE ALL ON FUNCTION dibs.zoom_url_validation(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.zoom_url_validation(text, text) IS
'The body that answers Zoom''s endpoint.url_validation: plainToken, and encryptedToken, its hex HMAC-SHA256. 22023 for an empty secret.';

CREATE OR REPLACE FUNCTION dibs.jwt_sign(claims json, secret text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_jwt_sign';
REVOKE ALL ON FUNCTION dibs.jwt_sign(json, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.jwt_sign(json, text) IS
'An HS256 token (RFC 7519) over the claims'' text as it stands, its order kept. 22023 for an empty secret, claims that are no object, or a token beyond 16,384 characters.';

CREATE OR REPLACE FUNCTION dibs.jwt_verify(token text, secret text, as_of timestamptz DEFAULT now()) RETURNS jsonb
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_jwt_verify';
REVOKE ALL ON FUNCTION dibs.jwt_verify(text, text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION dibs.jwt_verify(text, text, timestamptz) IS
'The claims of an HS256 token whose signature holds and whose exp, nbf and iat, where they stand, fit as_of give or take 30 seconds; else NULL, whatever is wrong: another algorithm, crit, base64url that is not canonical, a claim given twice.';
