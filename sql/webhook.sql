-- webhook: what arrives from outside, and what became of it.

CREATE OR REPLACE FUNCTION dibs.receive_webhook(source text, headers jsonb, body text) RETURNS jsonb
LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_receive_webhook';
REVOKE ALL ON FUNCTION dibs.receive_webhook(text, jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.receive_webhook(text, jsonb, text) IS
'Verifies a webhook of cal, zoom, calendly or daily over its raw body with the stored secrets, keeps it and applies it. Gives {"status": the HTTP status for the sender, "outcome": applied|queued|duplicate|stale|ignored|unmatched|rejected, "event": ulid, "response": the body for the sender}. 401, 413, 503: nothing was kept. 22023 for a source that is none.';

CREATE OR REPLACE FUNCTION dibs.receive_webhook_bytes(source text, headers jsonb, body bytea) RETURNS jsonb
LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_receive_webhook_bytes';
REVOKE ALL ON FUNCTION dibs.receive_webhook_bytes(text, jsonb, bytea) FROM PUBLIC;
COMMENT ON FUNCTION dibs.receive_webhook_bytes(text, jsonb, bytea) IS
'As dibs.receive_webhook(), with the body as bytes: works in a database of any encoding.';

CREATE OR REPLACE FUNCTION dibs.cal_webhook(json) RETURNS json
LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_cal_webhook';
REVOKE ALL ON FUNCTION dibs.cal_webhook(json) FROM PUBLIC;
COMMENT ON FUNCTION dibs.cal_webhook(json) IS
'For PostgREST: the raw body of a Cal.com webhook is the one unnamed parameter, its headers are in request.headers, the status goes to response.status. See dibs.receive_webhook().';

CREATE OR REPLACE FUNCTION dibs.zoom_webhook(json) RETURNS json
LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_zoom_webhook';
REVOKE ALL ON FUNCTION dibs.zoom_webhook(json) FROM PUBLIC;
COMMENT ON FUNCTION dibs.zoom_webhook(json) IS
'As dibs.cal_webhook(), for Zoom''s event notifications; answers endpoint.url_validation.';

CREATE OR REPLACE FUNCTION dibs.calendly_webhook(json) RETURNS json
LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_calendly_webhook';
REVOKE ALL ON FUNCTION dibs.calendly_webhook(json) FROM PUBLIC;
COMMENT ON FUNCTION dibs.calendly_webhook(json) IS 'As dibs.cal_webhook(), for Calendly: verified and kept.';

CREATE OR REPLACE FUNCTION dibs.daily_webhook(json) RETURNS json
LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_daily_webhook';
REVOKE ALL ON FUNCTION dibs.daily_webhook(json) FROM PUBLIC;
COMMENT ON FUNCTION dibs.daily_webhook(json) IS 'As dibs.cal_webhook(), for Daily: verified and kept.';

CREATE OR REPLACE FUNCTION dibs.test_webhook(source text, trigger text) RETURNS jsonb
LANGUAGE c VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_test_webhook';
REVOKE ALL ON FUNCTION dibs.test_webhook(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.test_webhook(text, text) IS
'Delivers a signed sample of that trigger, here: a booking tomorrow of the first linked account (or the default coach). F0000 where no webhook secret is set.';

CREATE OR REPLACE FUNCTION dibs.replay_webhook(event char(26)) RETURNS text
LANGUAGE c VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_replay_webhook';
REVOKE ALL ON FUNCTION dibs.replay_webhook(char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.replay_webhook(char) IS
'Applies a kept event again and gives its outcome; what newer events said stays. P0002 for an unknown event, 55000 where the payload is past its retention.';

CREATE OR REPLACE FUNCTION dibs.apply_webhooks(max_events int = 100) RETURNS int
LANGUAGE c VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_apply_events';
REVOKE ALL ON FUNCTION dibs.apply_webhooks(int) FROM PUBLIC;
COMMENT ON FUNCTION dibs.apply_webhooks(int) IS
'Applies kept events that are due (queued, or waiting for a booking that has come); gives how many it looked at. The worker does this by itself.';

CREATE OR REPLACE FUNCTION dibs.replay_webhooks(since timestamptz, source text = NULL) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH again AS (
		UPDATE dibs."WebhookEvent" e SET "outcome" = 'queued', "dueAt" = '-infinity', "attempts" = 0, "processed" = false
		WHERE e."createdAt" >= since AND e."payload" IS NOT NULL AND (replay_webhooks.source IS NULL OR e."source" = replay_webhooks.source)
		RETURNING 1)
	SELECT count(*) FROM again
$$;
REVOKE ALL ON FUNCTION dibs.replay_webhooks(timestamptz, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.replay_webhooks(timestamptz, text) IS
'Queues every kept event since then to be applied again, and gives how many; the worker (or dibs.drain()) applies them.';
