-- webhook: what arrives from outside, and what became of it.

CREATE OR REPLACE FUNCTION dibs.receive_webhook(source text, headers jsonb, body text) RETURNS jsonb
LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_receive_webhook';
REVOKE ALL ON FUNCTION dibs.receive_webhook(text, jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.receive_webhook(text, jsonb, text) IS
'Verifies a webhook of cal, zoom, calendly, daily or jaas over its raw body with the stored secrets, keeps it and applies it. Gives {"status": the HTTP status for the sender, "outcome": applied|queued|duplicate|stale|ignored|unmatched|rejected, "event": ulid, "response": the body for the sender}. 401, 413, 503: nothing was kept. 22023 for a source that is none.';

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
COMMENT ON FUNCTION dibs.daily_webhook(json) IS 'As dibs.cal_webhook(), for Daily: its events are applied to the booking that came with the room. The test delivery at a webhook''s creation, {"test":"test"} without a signature, is answered with 200 and leaves nothing (docs.daily.co, "Create webhook").';

CREATE OR REPLACE FUNCTION dibs.jaas_webhook(json) RETURNS json
LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dibs_jaas_webhook';
REVOKE ALL ON FUNCTION dibs.jaas_webhook(json) FROM PUBLIC;
COMMENT ON FUNCTION dibs.jaas_webhook(json) IS 'As dibs.cal_webhook(), for 8x8''s Jitsi (JaaS): its events are applied to the booking whose room it is (developer.8x8.com, "Payload structure").';

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

CREATE OR REPLACE FUNCTION dibs.replay_webhooks(since timestamptz, source text = NULL) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wanted jsonb := jsonb_build_object('since', replay_webhooks.since, 'until', now(), 'source', replay_webhooks.source);
	job text;
BEGIN
	IF replay_webhooks.since IS NULL THEN
		RAISE EXCEPTION 'the time since when to replay must not be null' USING ERRCODE = '22023', HINT = 'For example now() - interval ''1 day''.';
	END IF;
	-- one open job for each source and time: asked again, it goes on to now
	INSERT INTO dibs."Job" AS j ("kind", "key", "args")
	VALUES ('replay_webhooks', concat_ws(' ', extract(epoch FROM replay_webhooks.since)::text, replay_webhooks.source), wanted)
	ON CONFLICT ("kind", "key") WHERE "state" = 'waiting' DO UPDATE SET "args" = excluded."args", "dueAt" = '-infinity'
	RETURNING j."ulid" INTO job;
	PERFORM dibs.wake();
	RETURN job;
END
$$;
REVOKE ALL ON FUNCTION dibs.replay_webhooks(timestamptz, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.replay_webhooks(timestamptz, text) IS
'Has a job queue every event that came since then and has its payload, in batches; the worker (or dibs.drain()) applies them. What newer events said stays. Gives the job''s ulid: dibs.job_progress says how far it is. 22023 for null.';

CREATE OR REPLACE FUNCTION dibs.webhook_inbox_insert() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	received jsonb := dibs.receive_webhook(NEW.source, NEW.headers, NEW.body);
	said text := received->'response'->>'error';
BEGIN
	CASE (received->>'status')::int
	WHEN 200 THEN
		RETURN NEW;
	WHEN 401 THEN
		RAISE EXCEPTION '%', said USING ERRCODE = '28000', HINT = 'The body must be stored as it came: text, not jsonb.';
	WHEN 413 THEN
		RAISE EXCEPTION '%', said USING ERRCODE = '54000';
	WHEN 503 THEN
		RAISE EXCEPTION '%', said USING ERRCODE = '55000', HINT = 'dibs.health() says what is missing.';
	ELSE
		-- an error would roll back what was kept of an event that is known and unusable
		IF received->>'event' IS NOT NULL THEN
			RETURN NEW;
		END IF;
		RAISE EXCEPTION '%', said USING ERRCODE = '22023';
	END CASE;
END
$$;
REVOKE ALL ON FUNCTION dibs.webhook_inbox_insert() FROM PUBLIC;
COMMENT ON FUNCTION dibs.webhook_inbox_insert() IS 'Receives what is inserted into dibs."WebhookInbox".';

CREATE OR REPLACE FUNCTION dibs.make_webhook_views() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $make$
BEGIN
	CREATE OR REPLACE VIEW dibs."WebhookInbox" AS
	SELECT NULL::text AS source, NULL::jsonb AS headers, NULL::text AS body WHERE false;
	REVOKE ALL ON dibs."WebhookInbox" FROM PUBLIC;
	COMMENT ON VIEW dibs."WebhookInbox" IS
	'INSERT of (source, headers, body) does what dibs.receive_webhook() does, with an error where that refuses: 28000 for a wrong signature, 54000 too large, 55000 no usable secret, 22023 unusable.';
	CREATE OR REPLACE TRIGGER "~dibs" INSTEAD OF INSERT ON dibs."WebhookInbox"
		FOR EACH ROW EXECUTE FUNCTION dibs.webhook_inbox_insert();

	-- However many events are kept, this reads a bounded number: what is waiting or failed has partial indexes, and of the
	-- rest the newest thousand say how things go now (ulids are in the order of time).
	CREATE OR REPLACE VIEW dibs.webhook_status AS
	SELECT e."source" AS source, e."trigger" AS trigger, e."outcome" AS outcome,
		CASE WHEN e."createdAt" > now() - interval '1 hour' THEN 'hour'
			WHEN e."createdAt" > now() - interval '1 day' THEN 'day'
			WHEN e."createdAt" > now() - interval '7 days' THEN 'week'
			ELSE 'older' END AS age,
		count(*) AS count, min(e."createdAt") AS oldest, max(e."createdAt") AS newest, max(e."error") AS error
	FROM (
		SELECT q."source", q."trigger", q."outcome", q."createdAt", q."error" FROM dibs."WebhookEvent" q
		WHERE q."outcome" = 'queued' AND q."dueAt" IS NOT NULL
		UNION ALL
		SELECT u."source", u."trigger", u."outcome", u."createdAt", u."error" FROM dibs."WebhookEvent" u WHERE u."outcome" = 'unmatched'
		UNION ALL
		SELECT f."source", f."trigger", f."outcome", f."createdAt", f."error" FROM dibs."WebhookEvent" f WHERE f."outcome" = 'failed'
		UNION ALL
		SELECT n."source", n."trigger", n."outcome", n."createdAt", n."error"
		FROM (SELECT w.* FROM dibs."WebhookEvent" w ORDER BY w."ulid" DESC LIMIT 1000) n
		WHERE n."outcome" IN ('applied', 'stale', 'ignored')
	) e
	GROUP BY 1, 2, 3, 4;
	REVOKE ALL ON dibs.webhook_status FROM PUBLIC;
	COMMENT ON VIEW dibs.webhook_status IS
	'Webhooks by source, trigger, outcome and age (hour, day, week, older): every one that is queued, unmatched or failed, and the others among the newest thousand. error is one of theirs; dibs.replay_webhook() tries one again.';

	CREATE OR REPLACE VIEW dibs.failed_webhooks AS
	SELECT e."ulid" AS event, e."source" AS source, e."trigger" AS trigger, e."uid" AS uid, e."errorCode" AS error_code,
		e."error" AS error, e."attempts" AS attempts, e."createdAt" AS created, e."payload" IS NOT NULL AS replayable
	FROM dibs."WebhookEvent" e WHERE e."outcome" = 'failed';
	REVOKE ALL ON dibs.failed_webhooks FROM PUBLIC;
	COMMENT ON VIEW dibs.failed_webhooks IS 'Events that failed for good, with their error; replayable while the payload is kept.';
END
$make$;
REVOKE ALL ON FUNCTION dibs.make_webhook_views() FROM PUBLIC;
COMMENT ON FUNCTION dibs.make_webhook_views() IS 'Makes the views of webhooks (again): part of the extension''s script, and of a restore without tables.';

CREATE OR REPLACE FUNCTION dibs.forget_payloads(max_events int = 1000) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH old AS (
		SELECT e."ulid" FROM dibs."WebhookEvent" e
		WHERE e."payload" IS NOT NULL AND e."dueAt" IS NULL
			AND e."createdAt" < now() - current_setting('dibs.webhook_retention')::interval
		ORDER BY e."createdAt" LIMIT max_events FOR UPDATE SKIP LOCKED),
	sealed AS (
		DELETE FROM dibs."SealedPayload" s USING old WHERE s."ulid" = old."ulid"),
	gone AS (
		UPDATE dibs."WebhookEvent" e SET "payload" = NULL FROM old WHERE e."ulid" = old."ulid" RETURNING 1)
	SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION dibs.forget_payloads(int) FROM PUBLIC;
COMMENT ON FUNCTION dibs.forget_payloads(int) IS
'Drops up to that many payloads older than dibs.webhook_retention; their hashes stay, so that a late duplicate is still known. Gives how many. The worker does it by itself, hourly.';

CREATE OR REPLACE FUNCTION dibs.drop_sealed_payloads() RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	DELETE FROM dibs."SealedPayload" s USING dibs."WebhookEvent" e WHERE e."ulid" = s."ulid" AND e."payload" IS NULL
$$;
REVOKE ALL ON FUNCTION dibs.drop_sealed_payloads() FROM PUBLIC;
COMMENT ON FUNCTION dibs.drop_sealed_payloads() IS
'Drops what was sealed of events whose payload is gone: whoever forgets a payload forgets it whole.';

CREATE OR REPLACE FUNCTION dibs.forget_audit(max_rows int = 1000) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- ulids are in the order of time: the oldest are looked at, never the whole table
	WITH old AS (
		SELECT o."ulid" FROM (SELECT a."ulid", a."createdAt" FROM dibs."AuditLog" a ORDER BY a."ulid" LIMIT max_rows) o
		WHERE o."createdAt" < now() - current_setting('dibs.audit_retention')::interval),
	gone AS (
		DELETE FROM dibs."AuditLog" a USING old WHERE a."ulid" = old."ulid" RETURNING 1)
	SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION dibs.forget_audit(int) FROM PUBLIC;
COMMENT ON FUNCTION dibs.forget_audit(int) IS
'Deletes up to that many of the oldest audit rows, where they are older than dibs.audit_retention. Gives how many.';

-- Hourly jobs of the worker's.
GRANT EXECUTE ON FUNCTION dibs.forget_payloads(int), dibs.forget_audit(int) TO dibs_worker;
