-- Tokens: RFC 7515 and 7519, the providers' vectors, and what must not verify.
\pset null '(null)'
\set claims '{"iss":"dibs","exp":1767229200,"iat":1767225600,"nested":{"b":1,"a":[true,null]}}'
\set at 'to_timestamp(1767225700)'

-- the claims' text as it stands
SELECT convert_from(decode(rpad(translate(split_part(t, '.', 2), '-_', '+/'), 4 * ((length(split_part(t, '.', 2)) + 3) / 4), '='), 'base64'), 'UTF8')
FROM (SELECT dibs.jwt_sign('{"z":1, "a" : 2,"z2":"é"}', 'secret') AS t) _;
SELECT dibs.jwt_verify(dibs.jwt_sign(:'claims', 'secret'), 'secret', :at);

SELECT dibs.jwt_sign('{"appKey":"dibsSdkKey0000000001","sdkKey":"dibsSdkKey0000000001","mn":"85393847045","role":0,"iat":1768467600,"exp":1768474800,"tokenExp":1768474800,"video_webrtc_mode":1}', 'dibsSdkSecret000000000000000001') = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBLZXkiOiJkaWJzU2RrS2V5MDAwMDAwMDAwMSIsInNka0tleSI6ImRpYnNTZGtLZXkwMDAwMDAwMDAxIiwibW4iOiI4NTM5Mzg0NzA0NSIsInJvbGUiOjAsImlhdCI6MTc2ODQ2NzYwMCwiZXhwIjoxNzY4NDc0ODAwLCJ0b2tlbkV4cCI6MTc2ODQ3NDgwMCwidmlkZW9fd2VicnRjX21vZGUiOjF9.Hd9xDZU51IXQqBXmXAscXAbwrBgQjqkq2Bm9v41ZUbs' AS signs,
	dibs.jwt_verify('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBLZXkiOiJkaWJzU2RrS2V5MDAwMDAwMDAwMSIsInNka0tleSI6ImRpYnNTZGtLZXkwMDAwMDAwMDAxIiwibW4iOiI4NTM5Mzg0NzA0NSIsInJvbGUiOjAsImlhdCI6MTc2ODQ2NzYwMCwiZXhwIjoxNzY4NDc0ODAwLCJ0b2tlbkV4cCI6MTc2ODQ3NDgwMCwidmlkZW9fd2VicnRjX21vZGUiOjF9.Hd9xDZU51IXQqBXmXAscXAbwrBgQjqkq2Bm9v41ZUbs', 'dibsSdkSecret000000000000000001', to_timestamp(1768467700)) = '{"appKey":"dibsSdkKey0000000001","sdkKey":"dibsSdkKey0000000001","mn":"85393847045","role":0,"iat":1768467600,"exp":1768474800,"tokenExp":1768474800,"video_webrtc_mode":1}'::jsonb AS verifies;
SELECT dibs.jwt_sign('{"appKey":"dibsSdkKey0000000001","mn":"85393847045","role":1,"iat":1768467600,"exp":1768474800,"tokenExp":1768474800}', 'dibsSdkSecret000000000000000001') = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBLZXkiOiJkaWJzU2RrS2V5MDAwMDAwMDAwMSIsIm1uIjoiODUzOTM4NDcwNDUiLCJyb2xlIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMCwidG9rZW5FeHAiOjE3Njg0NzQ4MDB9.O5oaWvn6LJ0l99SsUlWOXWEs3Jb3Mp3Tw5hXtpLPVtw' AS signs,
	dibs.jwt_verify('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBLZXkiOiJkaWJzU2RrS2V5MDAwMDAwMDAwMSIsIm1uIjoiODUzOTM4NDcwNDUiLCJyb2xlIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMCwidG9rZW5FeHAiOjE3Njg0NzQ4MDB9.O5oaWvn6LJ0l99SsUlWOXWEs3Jb3Mp3Tw5hXtpLPVtw', 'dibsSdkSecret000000000000000001', to_timestamp(1768467700)) = '{"appKey":"dibsSdkKey0000000001","mn":"85393847045","role":1,"iat":1768467600,"exp":1768474800,"tokenExp":1768474800}'::jsonb AS verifies;
SELECT dibs.jwt_sign('{"appKey":"dibsSdkKey0000000001","iat":1768467600,"exp":1768474800,"tokenExp":1768474800}', 'dibsSdkSecret000000000000000001') = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBLZXkiOiJkaWJzU2RrS2V5MDAwMDAwMDAwMSIsImlhdCI6MTc2ODQ2NzYwMCwiZXhwIjoxNzY4NDc0ODAwLCJ0b2tlbkV4cCI6MTc2ODQ3NDgwMH0.2hZ4db_MnbW6DNCZEYgJSORiDgtZaZAlVW1SG5KONBk' AS signs,
	dibs.jwt_verify('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBLZXkiOiJkaWJzU2RrS2V5MDAwMDAwMDAwMSIsImlhdCI6MTc2ODQ2NzYwMCwiZXhwIjoxNzY4NDc0ODAwLCJ0b2tlbkV4cCI6MTc2ODQ3NDgwMH0.2hZ4db_MnbW6DNCZEYgJSORiDgtZaZAlVW1SG5KONBk', 'dibsSdkSecret000000000000000001', to_timestamp(1768467700)) = '{"appKey":"dibsSdkKey0000000001","iat":1768467600,"exp":1768474800,"tokenExp":1768474800}'::jsonb AS verifies;
SELECT dibs.jwt_sign('{"app_key":"dibsVideoKey000000001","role_type":1,"tpc":"dibs-room-42","version":1,"iat":1768467600,"exp":1768474800,"user_key":"user-123","session_key":"session-42","geo_regions":"US,DE","cloud_recording_option":0,"cloud_recording_election":0,"video_webrtc_mode":1,"audio_webrtc_mode":1}', 'dibsVideoSecret0000000000000001') = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBfa2V5IjoiZGlic1ZpZGVvS2V5MDAwMDAwMDAxIiwicm9sZV90eXBlIjoxLCJ0cGMiOiJkaWJzLXJvb20tNDIiLCJ2ZXJzaW9uIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMCwidXNlcl9rZXkiOiJ1c2VyLTEyMyIsInNlc3Npb25fa2V5Ijoic2Vzc2lvbi00MiIsImdlb19yZWdpb25zIjoiVVMsREUiLCJjbG91ZF9yZWNvcmRpbmdfb3B0aW9uIjowLCJjbG91ZF9yZWNvcmRpbmdfZWxlY3Rpb24iOjAsInZpZGVvX3dlYnJ0Y19tb2RlIjoxLCJhdWRpb193ZWJydGNfbW9kZSI6MX0.QC-8cgeMENg5_VcTRVz04CoZqB30t5_-OMYHO57wIIM' AS signs,
	dibs.jwt_verify('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBfa2V5IjoiZGlic1ZpZGVvS2V5MDAwMDAwMDAxIiwicm9sZV90eXBlIjoxLCJ0cGMiOiJkaWJzLXJvb20tNDIiLCJ2ZXJzaW9uIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMCwidXNlcl9rZXkiOiJ1c2VyLTEyMyIsInNlc3Npb25fa2V5Ijoic2Vzc2lvbi00MiIsImdlb19yZWdpb25zIjoiVVMsREUiLCJjbG91ZF9yZWNvcmRpbmdfb3B0aW9uIjowLCJjbG91ZF9yZWNvcmRpbmdfZWxlY3Rpb24iOjAsInZpZGVvX3dlYnJ0Y19tb2RlIjoxLCJhdWRpb193ZWJydGNfbW9kZSI6MX0.QC-8cgeMENg5_VcTRVz04CoZqB30t5_-OMYHO57wIIM', 'dibsVideoSecret0000000000000001', to_timestamp(1768467700)) = '{"app_key":"dibsVideoKey000000001","role_type":1,"tpc":"dibs-room-42","version":1,"iat":1768467600,"exp":1768474800,"user_key":"user-123","session_key":"session-42","geo_regions":"US,DE","cloud_recording_option":0,"cloud_recording_election":0,"video_webrtc_mode":1,"audio_webrtc_mode":1}'::jsonb AS verifies;
SELECT dibs.jwt_sign('{"app_key":"dibsVideoKey000000001","role_type":0,"tpc":"dibs-room-42","version":1,"iat":1768467600,"exp":1768474800}', 'dibsVideoSecret0000000000000001') = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBfa2V5IjoiZGlic1ZpZGVvS2V5MDAwMDAwMDAxIiwicm9sZV90eXBlIjowLCJ0cGMiOiJkaWJzLXJvb20tNDIiLCJ2ZXJzaW9uIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMH0.Qs6PWmB-QpfoUDiGqL91yS9DieglAH-YZgZbkBdmRw8' AS signs,
	dibs.jwt_verify('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBfa2V5IjoiZGlic1ZpZGVvS2V5MDAwMDAwMDAxIiwicm9sZV90eXBlIjowLCJ0cGMiOiJkaWJzLXJvb20tNDIiLCJ2ZXJzaW9uIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMH0.Qs6PWmB-QpfoUDiGqL91yS9DieglAH-YZgZbkBdmRw8', 'dibsVideoSecret0000000000000001', to_timestamp(1768467700)) = '{"app_key":"dibsVideoKey000000001","role_type":0,"tpc":"dibs-room-42","version":1,"iat":1768467600,"exp":1768474800}'::jsonb AS verifies;
SELECT dibs.jwt_sign('{"app_key":"dibsVideoKey000000001","role_type":1,"tpc":"Cool Cars","version":1,"iat":1768467600,"exp":1768474800,"user_identity":"user123","session_key":"session123"}', 'dibsVideoSecret0000000000000001') = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBfa2V5IjoiZGlic1ZpZGVvS2V5MDAwMDAwMDAxIiwicm9sZV90eXBlIjoxLCJ0cGMiOiJDb29sIENhcnMiLCJ2ZXJzaW9uIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMCwidXNlcl9pZGVudGl0eSI6InVzZXIxMjMiLCJzZXNzaW9uX2tleSI6InNlc3Npb24xMjMifQ.z0Wd9VREq19LdU15-TNl2K1CysvoZDdrbuW36CBF23I' AS signs,
	dibs.jwt_verify('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBfa2V5IjoiZGlic1ZpZGVvS2V5MDAwMDAwMDAxIiwicm9sZV90eXBlIjoxLCJ0cGMiOiJDb29sIENhcnMiLCJ2ZXJzaW9uIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMCwidXNlcl9pZGVudGl0eSI6InVzZXIxMjMiLCJzZXNzaW9uX2tleSI6InNlc3Npb24xMjMifQ.z0Wd9VREq19LdU15-TNl2K1CysvoZDdrbuW36CBF23I', 'dibsVideoSecret0000000000000001', to_timestamp(1768467700)) = '{"app_key":"dibsVideoKey000000001","role_type":1,"tpc":"Cool Cars","version":1,"iat":1768467600,"exp":1768474800,"user_identity":"user123","session_key":"session123"}'::jsonb AS verifies;
SELECT dibs.jwt_sign('{"r":"test","d":"30f866c3-9123-452a-8723-ff58322d09c5","iat":1767225600,"exp":1767229200,"o":true,"u":"Ada","ud":"user-1","ejt":true}', 'daily-test-api-key') = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyIjoidGVzdCIsImQiOiIzMGY4NjZjMy05MTIzLTQ1MmEtODcyMy1mZjU4MzIyZDA5YzUiLCJpYXQiOjE3NjcyMjU2MDAsImV4cCI6MTc2NzIyOTIwMCwibyI6dHJ1ZSwidSI6IkFkYSIsInVkIjoidXNlci0xIiwiZWp0Ijp0cnVlfQ.gDUaMc2-ThIckHi1Lf-fDrfr23VPIBaGwkQpG4OwxXM' AS signs,
	dibs.jwt_verify('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyIjoidGVzdCIsImQiOiIzMGY4NjZjMy05MTIzLTQ1MmEtODcyMy1mZjU4MzIyZDA5YzUiLCJpYXQiOjE3NjcyMjU2MDAsImV4cCI6MTc2NzIyOTIwMCwibyI6dHJ1ZSwidSI6IkFkYSIsInVkIjoidXNlci0xIiwiZWp0Ijp0cnVlfQ.gDUaMc2-ThIckHi1Lf-fDrfr23VPIBaGwkQpG4OwxXM', 'daily-test-api-key', :at) = '{"r":"test","d":"30f866c3-9123-452a-8723-ff58322d09c5","iat":1767225600,"exp":1767229200,"o":true,"u":"Ada","ud":"user-1","ejt":true}'::jsonb AS verifies;
SELECT dibs.jwt_sign('{"aud":"jitsi","iss":"myappid","sub":"jitsi.example.com","room":"room1","iat":1767225600,"nbf":1767225590,"exp":1767229200,"context":{"user":{"id":"user-1","name":"Ada","email":"ada@example.test","moderator":true}}}', 'myappsecret') = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJqaXRzaSIsImlzcyI6Im15YXBwaWQiLCJzdWIiOiJqaXRzaS5leGFtcGxlLmNvbSIsInJvb20iOiJyb29tMSIsImlhdCI6MTc2NzIyNTYwMCwibmJmIjoxNzY3MjI1NTkwLCJleHAiOjE3NjcyMjkyMDAsImNvbnRleHQiOnsidXNlciI6eyJpZCI6InVzZXItMSIsIm5hbWUiOiJBZGEiLCJlbWFpbCI6ImFkYUBleGFtcGxlLnRlc3QiLCJtb2RlcmF0b3IiOnRydWV9fX0.zjIjg-O-mcCNJYqoVrhQKQJnj3nVPgyqt_Jzmr2qaug' AS signs,
	dibs.jwt_verify('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJqaXRzaSIsImlzcyI6Im15YXBwaWQiLCJzdWIiOiJqaXRzaS5leGFtcGxlLmNvbSIsInJvb20iOiJyb29tMSIsImlhdCI6MTc2NzIyNTYwMCwibmJmIjoxNzY3MjI1NTkwLCJleHAiOjE3NjcyMjkyMDAsImNvbnRleHQiOnsidXNlciI6eyJpZCI6InVzZXItMSIsIm5hbWUiOiJBZGEiLCJlbWFpbCI6ImFkYUBleGFtcGxlLnRlc3QiLCJtb2RlcmF0b3IiOnRydWV9fX0.zjIjg-O-mcCNJYqoVrhQKQJnj3nVPgyqt_Jzmr2qaug', 'myappsecret', :at) = '{"aud":"jitsi","iss":"myappid","sub":"jitsi.example.com","room":"room1","iat":1767225600,"nbf":1767225590,"exp":1767229200,"context":{"user":{"id":"user-1","name":"Ada","email":"ada@example.test","moderator":true}}}'::jsonb AS verifies;

-- RFC 7519 6.1, the unsecured token
SELECT dibs.jwt_verify('eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.', 'secret', to_timestamp(1300819370));

-- an RS256 token, with the secret being what its verifier would hold
SELECT dibs.jwt_verify('eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.e30.AAAA', 'secret', :at);

CREATE TEMP TABLE token AS SELECT dibs.jwt_sign(:'claims', 'secret') AS t;

-- no character may change
SELECT count(*) FROM token, generate_series(1, length(t)) i, unnest('{A,z,_,.,=}'::text[]) c
WHERE substr(t, i, 1) <> c AND dibs.jwt_verify(overlay(t PLACING c FROM i FOR 1), 'secret', :at) IS NOT NULL;

-- times: 30 seconds of leeway
SELECT seconds, dibs.jwt_verify(t, 'secret', to_timestamp(1767229200) + seconds * interval '1 s') IS NOT NULL AS verifies
FROM token, unnest('{-3631,-3630,0,29,30}'::int[]) seconds;
SELECT dibs.jwt_verify(t, 'secret') AS now, dibs.jwt_verify(t, 'Secret', :at) AS another_secret, dibs.jwt_verify(t, '', :at) AS no_secret,
	dibs.jwt_verify(t, 'secret', 'infinity') AS infinity, dibs.jwt_verify(t || '=', 'secret', :at) AS padded,
	dibs.jwt_verify('', 'secret', :at) AS empty, dibs.jwt_verify(repeat('a.', 100000), 'secret', :at) AS large,
	dibs.jwt_verify(NULL, 'secret', :at) AS null_1, dibs.jwt_verify(t, NULL, :at) AS null_2, dibs.jwt_verify(t, 'secret', NULL) AS null_3
FROM token;
SELECT claims, dibs.jwt_verify(dibs.jwt_sign(claims::json, 'secret'), 'secret', :at) FROM (VALUES
	('{}'), ('{"nbf":1767225730}'), ('{"nbf":1767225731}'), ('{"iat":1767225731}'), ('{"exp":"1767229200"}'), ('{"exp":null}'),
	('{"exp":1767229200,"exp":1}'), ('{"exp":1767229200.25}'), ('{"a":"\ud83d\ude92"}'), ('{"a":1e10}')) _ (claims);
-- json takes what jsonb does not: no token either way may raise an error
SELECT claims, dibs.jwt_verify(dibs.jwt_sign(claims::json, 'secret'), 'secret', :at) FROM (VALUES
	('{"a":"\u0000"}'), ('{"a":"\ud83d"}'), ('{"a":1e1000000}')) _ (claims);

-- what cannot be signed
SELECT dibs.jwt_sign('[]', 'secret');
SELECT dibs.jwt_sign(' "a"', 'secret');
SELECT dibs.jwt_sign('{}', '');
SELECT dibs.jwt_sign(json_build_object('a', repeat('x', 20000)), 'secret');
SELECT length(dibs.jwt_sign(json_build_object('a', repeat('x', 12214)), 'secret'));
SELECT dibs.jwt_sign(NULL, 'secret'), dibs.jwt_sign('{}', NULL);

SELECT proname, provolatile, proparallel, proisstrict, has_function_privilege('public', oid, 'EXECUTE') AS open
FROM pg_proc WHERE pronamespace = 'dibs'::regnamespace AND proname IN ('jwt_sign', 'jwt_verify', 'zoom_url_validation') ORDER BY 1;


-- Zoom's SDKs, with stored keys
SELECT dibs.set_secret('zoom.sdk_key', 'dibsSdkKey0000000001'), dibs.set_secret('zoom.sdk_secret', 'dibsSdkSecret000000000000000001'),
	dibs.set_secret('zoom.video_key', 'dibsVideoKey000000001'), dibs.set_secret('zoom.video_secret', 'dibsVideoSecret0000000000000001');
\set at 'to_timestamp(1768467600)'
SELECT dibs.generate_meeting_signature('85393847045', 1, :at) = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBLZXkiOiJkaWJzU2RrS2V5MDAwMDAwMDAwMSIsIm1uIjoiODUzOTM4NDcwNDUiLCJyb2xlIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMCwidG9rZW5FeHAiOjE3Njg0NzQ4MDB9.O5oaWvn6LJ0l99SsUlWOXWEs3Jb3Mp3Tw5hXtpLPVtw' AS vector,
	dibs.generate_meeting_signature('853 9384-7045', 1, :at) = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBLZXkiOiJkaWJzU2RrS2V5MDAwMDAwMDAwMSIsIm1uIjoiODUzOTM4NDcwNDUiLCJyb2xlIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMCwidG9rZW5FeHAiOjE3Njg0NzQ4MDB9.O5oaWvn6LJ0l99SsUlWOXWEs3Jb3Mp3Tw5hXtpLPVtw' AS as_copied;
SELECT dibs.generate_video_signature('dibs-room-42', 0, NULL, :at) = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBfa2V5IjoiZGlic1ZpZGVvS2V5MDAwMDAwMDAxIiwicm9sZV90eXBlIjowLCJ0cGMiOiJkaWJzLXJvb20tNDIiLCJ2ZXJzaW9uIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMH0.Qs6PWmB-QpfoUDiGqL91yS9DieglAH-YZgZbkBdmRw8' AS vector;
SELECT dibs.jwt_verify(dibs.generate_video_signature('Cool Cars', 1, 'user-123', :at, '48 h'), 'dibsVideoSecret0000000000000001', :at);
SELECT dibs.jwt_verify(dibs.generate_meeting_signature('123456789', 0, :at, '30 min'), 'dibsSdkSecret000000000000000001', :at);
-- half a minute back by default
SELECT (now_s - (c ->> 'iat')::bigint) BETWEEN 30 AND 31 AS back, (c ->> 'exp')::bigint - (c ->> 'iat')::bigint AS life
FROM (SELECT extract(epoch FROM now()) AS now_s, dibs.jwt_verify(dibs.generate_meeting_signature('85393847045', 0), 'dibsSdkSecret000000000000000001') AS c) _;
SELECT dibs.generate_meeting_signature('85393847045', 0, :at, '1799 s');
SELECT dibs.generate_meeting_signature('85393847045', 0, :at, '48 h 1 s');
SELECT dibs.generate_meeting_signature('85393847045', 0, :at, '-1000 years');
SELECT dibs.generate_meeting_signature('85393847045', 2, :at);
SELECT dibs.generate_meeting_signature('85393847045', -1, :at);
SELECT dibs.generate_meeting_signature('12345678', 0, :at);
SELECT dibs.generate_meeting_signature('123456789012', 0, :at);
SELECT dibs.generate_meeting_signature('8539384704x', 0, :at);
SELECT dibs.generate_meeting_signature('', 0, :at);
SELECT dibs.generate_meeting_signature('85393847045', 0, 'infinity');
SELECT dibs.generate_meeting_signature('85393847045', 0, '1960-01-01Z');
SELECT dibs.generate_video_signature('', 0, NULL, :at);
SELECT dibs.generate_video_signature(repeat('x', 201), 0, NULL, :at);
SELECT dibs.generate_video_signature('Zoë', 0, NULL, :at);
SELECT dibs.generate_video_signature('a"b', 0, NULL, :at);
SELECT dibs.generate_video_signature('room', 0, repeat('x', 37), :at);
SELECT dibs.generate_video_signature('room', 0, '', :at);
SELECT length(dibs.generate_video_signature(repeat('x', 200), 0, repeat('é', 36), :at)) > 0 AS longest;
SELECT dibs.generate_video_signature(NULL, 0), dibs.generate_meeting_signature(NULL, 0);
SELECT dibs.drop_secret('zoom.sdk_key'), dibs.drop_secret('zoom.sdk_secret'), dibs.drop_secret('zoom.video_key'), dibs.drop_secret('zoom.video_secret');
SELECT dibs.generate_meeting_signature('85393847045', 0, :at);
