-- Payloads and audit rows past their time go by jobs of the worker's; a replay is a job too.
SET client_min_messages = warning;
SET timezone = 'UTC';
INSERT INTO dibs."WebhookEvent" ("source", "trigger", "dedupeKey", "sha256", "payload", "outcome", "processed", "createdAt", "dueAt")
SELECT 'cal', 'PING', 'retention-' || i, '\x00', '{"triggerEvent": "PING"}', 'ignored', true,
	now() - CASE WHEN i <= 2500 THEN interval '31 days' ELSE interval '29 days' END, CASE WHEN i = 1 THEN timestamptz 'infinity' END
FROM generate_series(1, 2600) i;
INSERT INTO dibs."AuditLog" ("ulid", "action", "createdAt")
SELECT '0000000000RETENT0000' || lpad(i::text, 6, '0'), 'retention', now() - CASE WHEN i <= 1500 THEN interval '366 days' ELSE interval '364 days' END
FROM generate_series(1, 1600) i;
INSERT INTO dibs."Job" ("kind") VALUES ('forget_payloads'), ('forget_audit')
ON CONFLICT ("kind", "key") WHERE "state" = 'waiting' DO UPDATE SET "dueAt" = '-infinity';
DO $$
BEGIN
	FOR i IN 1..100 LOOP
		CALL dibs.drain();
		COMMIT;
		EXIT WHEN NOT EXISTS (SELECT FROM dibs."Job" WHERE "kind" LIKE 'forget%' AND "dueAt" <= now());
		PERFORM pg_sleep(0.02);
	END LOOP;
END $$;
SELECT "createdAt" < now() - interval '30 days' AS old, "dueAt" IS NOT NULL AS due, count(*), count("payload") AS payloads, count(DISTINCT "dedupeKey") AS keys
FROM dibs."WebhookEvent" WHERE "dedupeKey" LIKE 'retention-%' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) AS audit_rows, bool_and("createdAt" > now() - interval '365 days') AS young FROM dibs."AuditLog" WHERE "action" = 'retention';
-- they come back by themselves
SELECT "kind", "state", "dueAt" BETWEEN now() + interval '50 minutes' AND now() + interval '70 minutes' AS in_an_hour, "error"
FROM dibs."Job" WHERE "kind" LIKE 'forget%' ORDER BY 1;
-- a replay takes what came since then, of that source, with its payload
DELETE FROM dibs."WebhookEvent" WHERE "dedupeKey" LIKE 'retention-%';
INSERT INTO dibs."WebhookEvent" ("source", "trigger", "dedupeKey", "sha256", "payload", "outcome", "processed", "attempts", "createdAt")
SELECT CASE WHEN i % 100 = 0 THEN 'zoom' ELSE 'cal' END, 'PING', 'replay-' || i, '\x00', CASE WHEN i % 50 <> 1 THEN '{"triggerEvent": "PING"}'::jsonb END, 'failed', true, 7,
	timestamptz '2024-01-01' + i / 10 * interval '1 second'
FROM generate_series(1, 3000) i;
SELECT dibs.replay_webhooks('2024-01-01 00:00:50Z', 'cal') AS job \gset
SELECT dibs.replay_webhooks('2024-01-01 00:00:50Z', 'cal') = :'job' AS "the same job";
SELECT dibs.replay_webhooks(NULL);
DO $$
BEGIN
	FOR i IN 1..200 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM dibs."WebhookEvent" WHERE "dedupeKey" LIKE 'replay-%' AND "dueAt" IS NOT NULL)
			AND NOT EXISTS (SELECT FROM dibs."Job" WHERE "kind" = 'replay_webhooks' AND "state" = 'waiting');
		CALL dibs.drain(1000);
		COMMIT;
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
SELECT "state", "progress"->>'rows' AS queued, "error" FROM dibs."Job" WHERE "ulid" = :'job';
SELECT "source", "outcome", "attempts", "payload" IS NULL AS forgotten, count(*), min("createdAt"), max("createdAt")
FROM dibs."WebhookEvent" WHERE "dedupeKey" LIKE 'replay-%' GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;
DELETE FROM dibs."WebhookEvent" WHERE "dedupeKey" LIKE 'replay-%';
DELETE FROM dibs."AuditLog" WHERE "action" = 'retention';
