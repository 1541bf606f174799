-- Signatures over raw bodies: each sender's vectors as they came, then one thing changed at a time. Never an error, never
-- NULL.
\pset null '(null)'
\set cal_body '{"triggerEvent":"BOOKING_CREATED","createdAt":"2026-01-15T09:00:00.000Z","payload":{"uid":"bk_1","title":"Zoë & Ada – 30 min","attendees":[{"email":"ada@example.test"}]}}'
\set cal_signature 'a7fb27b65a281e7cf03dc4dae82d5a8a7dfe3684a5ea5a943697c6b4d8f780a9'

\set zoom_body '{"event":"meeting.started","payload":{"account_id":"dibsAccountId","object":{"id":"85393847045","uuid":"/aB3c//dEfGh1IJk2LmNoP==","host_id":"hostUser_-0000000000001","topic":"Standup","type":2,"start_time":"2026-01-15T09:00:00Z","timezone":"UTC","duration":30}},"event_ts":1768467600123}'
\set zoom_signature 'v0=eff77e21beb2e03370a2531bbbfc775a41c9243a6ff067d0441a59e29909ed57'
\set zoom_secret 'dibsWebhookSecretToken'
\set zoom_body_2 '{"event":"meeting.ended","payload":{"account_id":"dibsAccountId","object":{"id":"85393847045","uuid":"4444AAAiAAAAAiAiAiiAii==","host_id":"h","topic":"Réunion – déjà vu \\uD83D\\uDE92","type":2,"start_time":"2026-01-15T09:00:00Z","timezone":"Europe/Paris","duration":30,"end_time":"2026-01-15T09:31:02Z"}},"event_ts":1768469462000}'
\set zoom_signature_2 'v0=9bc5e2eee57090cea6e055a9d2bb05be8720c7ea6e96bbcab437fd181e21f9ac'
\set zoom_body_3 '{"payload":{"plainToken":"xys8n8PGS7mAU0m5-YJjRA"},"event_ts":1720705455858,"event":"endpoint.url_validation"}'
\set zoom_signature_3 'v0=93a1a675965ceb9c5a50c5dfb31f20e50f763be37a54ef74cd2d16a1a8e5c0d6'
\set zoom_secret_3 '4fv1RkqGQUq5sWbEz6hA5A'
\set calendly_body '{"event":"invitee.created","created_at":"2026-01-01T00:00:00.000000Z","created_by":"https://api.calendly.com/users/AAAA","payload":{"uri":"https://api.calendly.com/scheduled_events/EEEE/invitees/IIII","name":"Zoë \\u00e9 / test","rescheduled":false}}'
\set calendly_header 't=1767225600,v1=d8fb33888ddfeaed5bc83c17deadbdb49a6308c1b6a697968af49f351760a366'
\set calendly_key 'calendly-test-signing-key'
\set daily_body '{"version":"1.0.0","type":"meeting.ended","id":"met-end-x-1","payload":{"room":"r1"},"event_ts":1767225600.5}'
\set daily_signature 'Im9vdHwqm7HhqsDU8tOXGOsCaOr84EouNp4/lIDVABo='
\set daily_secret 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='
\set daily_signature_ms 'nDhxNjfhpjvlKxo2bBDQQIFyod1Q6Hsd94OcROTmvEk='
\set daily_not_decoded '3UfIr3jcbxxc62nUnM1jhACvo8Mmiz6bVZq8eGHx9iI='
\set standard_body '{"test": 2432232314}'
\set standard_signature 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
\set standard_secret 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
\set standard_id 'msg_p5jXN8AQM9LWM0D4loKWxJek'
\set stripe_body '{"id":"evt_1"}'
\set stripe_header 't=1767225600,v1=5cc3e2b9d4303252e2355e1b99e1d5ffb1c3e5acb3334689411281f74d41b185'
\set stripe_secret 'whsec_stripe_test'

-- Cal.com
SELECT dibs.verify_cal_signature(:'cal_body', :'cal_signature', 's3cret') AS genuine,
	dibs.verify_cal_signature_bytes(convert_to(:'cal_body', 'UTF8'), :'cal_signature', 's3cret') AS bytes,
	dibs.verify_cal_signature(:'cal_body', upper(:'cal_signature'), 's3cret') AS upper_case;
SELECT what, dibs.verify_cal_signature(body, signature, secret) FROM (VALUES
	('line end after the body', :'cal_body' || E'\n', :'cal_signature', 's3cret'),
	('a byte less', left(:'cal_body', -1), :'cal_signature', 's3cret'),
	('re-serialised', :'cal_body'::jsonb::text, :'cal_signature', 's3cret'),
	('another secret', :'cal_body', :'cal_signature', 's3cres'),
	('empty secret', :'cal_body', :'cal_signature', ''),
	('no-secret-provided', :'cal_body', 'no-secret-provided', 's3cret'),
	('no-secret-provided, empty secret', :'cal_body', 'no-secret-provided', ''),
	('one digit changed', :'cal_body', 'b' || substr(:'cal_signature', 2), 's3cret'),
	('one digit less', :'cal_body', left(:'cal_signature', -1), 's3cret'),
	('sha256=', :'cal_body', 'sha256=' || :'cal_signature', 's3cret'),
	('empty header', :'cal_body', '', 's3cret'),
	('empty body', '', :'cal_signature', 's3cret'),
	('no body', NULL, :'cal_signature', 's3cret'),
	('no header', :'cal_body', NULL, 's3cret'),
	('no secret', :'cal_body', :'cal_signature', NULL)) _ (what, body, signature, secret);

-- a body that is stored compressed and out of line
CREATE TEMP TABLE large AS SELECT b AS body, convert_to(b, 'UTF8') AS bytes FROM (SELECT '{"a":"' || repeat('dibs ', 200000) || '"}' AS b) _;
SELECT length(body), dibs.verify_cal_signature(body, signature, 'x') AS genuine, dibs.verify_cal_signature_bytes(bytes, signature, 'x') AS bytes,
	dibs.verify_cal_signature(body || ' ', signature, 'x') AS longer
FROM large, (VALUES ('5f24d4c81815f7483aed60ee597bb26e85f24ba7abee22f999ec6c2a3b166953')) _ (signature);

-- every byte of the body counts
SELECT count(*) FROM generate_series(0, octet_length(:'cal_body') - 1) i
WHERE dibs.verify_cal_signature_bytes(set_byte(convert_to(:'cal_body', 'UTF8'), i, get_byte(convert_to(:'cal_body', 'UTF8'), i) # 1),
	:'cal_signature', 's3cret');

-- Zoom
\set at 'to_timestamp(1768467601)'
SELECT dibs.verify_zoom_signature(:'zoom_body', :'zoom_signature', '1768467601', :'zoom_secret', as_of => :at) AS genuine,
	dibs.verify_zoom_signature_bytes(convert_to(:'zoom_body', 'UTF8'), :'zoom_signature', '1768467601', :'zoom_secret', '5 min', :at) AS bytes,
	dibs.verify_zoom_signature(:'zoom_body_2', :'zoom_signature_2', '1768469463', :'zoom_secret', as_of => to_timestamp(1768469463)) AS escapes,
	dibs.verify_zoom_signature(:'zoom_body_2'::jsonb::text, :'zoom_signature_2', '1768469463', :'zoom_secret', as_of => to_timestamp(1768469463)) AS reserialised,
	dibs.verify_zoom_signature(:'zoom_body_3', :'zoom_signature_3', '1720705455', :'zoom_secret_3', as_of => to_timestamp(1720705455)) AS captured;
SELECT seconds, dibs.verify_zoom_signature(:'zoom_body', :'zoom_signature', '1768467601', :'zoom_secret', '5 min', :at + seconds * interval '1 s')
FROM unnest('{-301,-300,0,300,301}'::int[]) seconds;
SELECT what, dibs.verify_zoom_signature(:'zoom_body', signature, sent_at, secret, tolerance, as_of) FROM (VALUES
	('as it is', :'zoom_signature', '1768467601', :'zoom_secret', interval '5 min', :at),
	('one second later', :'zoom_signature', '1768467602', :'zoom_secret', '5 min', :at),
	('a day late, a day allowed', :'zoom_signature', '1768467601', :'zoom_secret', '1 day', :at + interval '1 day'),
	('a month allowed', :'zoom_signature', '1768467601', :'zoom_secret', '1 month', :at + interval '30 days'),
	('ages allowed', :'zoom_signature', '1768467601', :'zoom_secret', '170000000 years', timestamptz '20000-01-01'),
	('negative tolerance', :'zoom_signature', '1768467601', :'zoom_secret', '-5 min', :at),
	('infinitely late', :'zoom_signature', '1768467601', :'zoom_secret', '5 min', 'infinity'),
	('infinitely early', :'zoom_signature', '1768467601', :'zoom_secret', '5 min', '-infinity'),
	('at the end of time', :'zoom_signature', '1768467601', :'zoom_secret', '5 min', '294276-12-31 23:59:59Z'),
	('no v0=', substr(:'zoom_signature', 4), '1768467601', :'zoom_secret', '5 min', :at),
	('time is no number', :'zoom_signature', 'now', :'zoom_secret', '5 min', :at),
	('empty time', :'zoom_signature', '', :'zoom_secret', '5 min', :at),
	('no time', :'zoom_signature', NULL, :'zoom_secret', '5 min', :at),
	('no header', NULL, '1768467601', :'zoom_secret', '5 min', :at),
	('no secret', :'zoom_signature', '1768467601', NULL, '5 min', :at),
	('no tolerance', :'zoom_signature', '1768467601', :'zoom_secret', NULL, :at),
	('no as_of', :'zoom_signature', '1768467601', :'zoom_secret', '5 min', NULL)) _ (what, signature, sent_at, secret, tolerance, as_of);
-- by default, now
SELECT dibs.verify_zoom_signature(:'zoom_body', :'zoom_signature', '1768467601', :'zoom_secret');

SELECT dibs.zoom_url_validation('qgg8vlvZRS6UYooatFL8Aw', 'dibsWebhookSecretToken') = '{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"fc618d7eef7ce037062993fab377083bb26155a7daec484f3bd9c1cdea0f7c78"}'::jsonb AS answer;
SELECT dibs.zoom_url_validation('xys8n8PGS7mAU0m5-YJjRA', '4fv1RkqGQUq5sWbEz6hA5A') = '{"plainToken":"xys8n8PGS7mAU0m5-YJjRA","encryptedToken":"2fffc6a967dde4f68024025a5bd991c5ae1e5313b4e6365be4883e3e81d479b3"}'::jsonb AS answer;
SELECT dibs.zoom_url_validation('a"b\c', 'secret') ->> 'plainToken', dibs.zoom_url_validation(NULL, 'x'), dibs.zoom_url_validation('x', NULL);
SELECT dibs.zoom_url_validation('x', '');

-- Calendly
\set at 'to_timestamp(1767225600)'
SELECT dibs.verify_calendly_signature(:'calendly_body', :'calendly_header', :'calendly_key', as_of => :at) AS genuine,
	dibs.verify_calendly_signature_bytes(convert_to(:'calendly_body', 'UTF8'), :'calendly_header', :'calendly_key', as_of => :at) AS bytes,
	dibs.verify_calendly_signature(:'calendly_body'::jsonb::text, :'calendly_header', :'calendly_key', as_of => :at) AS reserialised;
SELECT seconds, dibs.verify_calendly_signature(:'calendly_body', :'calendly_header', :'calendly_key', as_of => :at + seconds * interval '1 s')
FROM unnest('{-181,-180,180,181,300,301}'::int[]) seconds;
SELECT header, dibs.verify_calendly_signature(:'calendly_body', header, :'calendly_key', as_of => :at) FROM (VALUES
	(replace(:'calendly_header', ',', ', ')), (:'calendly_header' || ',v1=00'), (replace(:'calendly_header', 'v1=', 'v1=00,v1=')),
	(replace(:'calendly_header', 'v1=', 'v0=')), (replace(:'calendly_header', 't=1767225600,', '')), (replace(:'calendly_header', '5600', '5601')),
	('t=1767225600,' || :'calendly_header'), ('t=1767225600'), (''), (',,,'), (NULL)) _ (header);

-- Daily: the secret is base64, the time counts to the byte in either unit
SELECT dibs.verify_daily_signature(:'daily_body', :'daily_signature', '1767225600', :'daily_secret') AS seconds,
	dibs.verify_daily_signature(:'daily_body', :'daily_signature_ms', '1767225600123', :'daily_secret') AS milliseconds,
	dibs.verify_daily_signature_bytes(convert_to(:'daily_body', 'UTF8'), rtrim(:'daily_signature', '='), '1767225600', :'daily_secret') AS no_padding;
SELECT dibs.verify_daily_signature(:'daily_body', :'daily_signature', '1767225601', :'daily_secret') AS another_second,
	dibs.verify_daily_signature(:'daily_body', :'daily_not_decoded', '1767225600123', :'daily_secret') AS not_decoded,
	dibs.verify_daily_signature(:'daily_body', :'daily_signature', '1767225600', 'not base64!') AS bad_secret,
	dibs.verify_daily_signature(:'daily_body', :'daily_signature', NULL, :'daily_secret') AS no_time,
	dibs.verify_daily_signature(:'daily_body', :'daily_signature', '1767225600', '') AS no_secret;

-- Standard Webhooks
\set at 'to_timestamp(1614265330)'
SELECT dibs.verify_standard_webhook(:'standard_body', :'standard_id', '1614265330', :'standard_signature', :'standard_secret', as_of => :at) AS genuine,
	dibs.verify_standard_webhook_bytes(:'standard_body', :'standard_id', '1614265330', 'v1a,x v1,AAAA ' || :'standard_signature', substr(:'standard_secret', 7), as_of => :at) AS several;
SELECT seconds, dibs.verify_standard_webhook(:'standard_body', :'standard_id', '1614265330', :'standard_signature', :'standard_secret', as_of => :at + seconds * interval '1 s')
FROM unnest('{-301,-300,300,301}'::int[]) seconds;
SELECT dibs.verify_standard_webhook(:'standard_body', :'standard_id' || 'x', '1614265330', :'standard_signature', :'standard_secret', as_of => :at) AS another_id,
	dibs.verify_standard_webhook(:'standard_body', NULL, '1614265330', :'standard_signature', :'standard_secret', as_of => :at) AS no_id,
	dibs.verify_standard_webhook(:'standard_body', 'a.b', '1614265330', :'standard_signature', :'standard_secret', as_of => :at) AS dot,
	dibs.verify_standard_webhook(:'standard_body', :'standard_id', '1614265330', replace(:'standard_signature', 'v1,', 'v1a,'), :'standard_secret', as_of => :at) AS v1a,
	dibs.verify_standard_webhook(:'standard_body', :'standard_id', '1614265330', :'standard_signature', 'whsec_', as_of => :at) AS no_secret;

-- Stripe: the whole secret is the key
\set at 'to_timestamp(1767225600)'
SELECT dibs.verify_stripe_signature(:'stripe_body', :'stripe_header', :'stripe_secret', as_of => :at) AS genuine,
	dibs.verify_stripe_signature_bytes(:'stripe_body', :'stripe_header', :'stripe_secret', as_of => :at + interval '300 s') AS late,
	dibs.verify_stripe_signature(:'stripe_body', :'stripe_header', :'stripe_secret', as_of => :at + interval '301 s') AS stale,
	dibs.verify_stripe_signature(:'stripe_body', :'stripe_header', substr(:'stripe_secret', 7), as_of => :at) AS half_a_secret;

-- pure, never strict, open to nobody yet
SELECT proname, count(*), string_agg(DISTINCT provolatile::text || proparallel::text || proisstrict::text, ' ') AS kind,
	bool_or(has_function_privilege('public', oid, 'EXECUTE')) AS open
FROM pg_proc WHERE pronamespace = 'dibs'::regnamespace AND proname ~ '^verify_(cal|zoom|calendly|daily|standard|stripe)'
GROUP BY 1 ORDER BY 1;
