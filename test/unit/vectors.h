/*
 * vectors.h
 *		Signatures and tokens computed with other programs (Python's hmac, OpenSSL's command, senders' own samples):
 *what the code under test has to agree with. The keys are made up, the RSA key was made for this and guards nothing.
 */
#ifndef DIBS_TEST_VECTORS_H
#define DIBS_TEST_VECTORS_H

typedef struct WebhookVector
{
	const char *name;
	const char *source;
	const char *secret;
	const char *id;
	const char *sent_at; /* for the pairs of Calendly and its like it stands in the header */
	const char *body;
	const char *signature;
} WebhookVector;

static const WebhookVector webhook_vectors[] = {
	{"Cal.com", "cal", "s3cret", NULL, NULL,
	 "{\"triggerEvent\":\"BOOKING_CREATED\",\"createdAt\":\"2026-01-15T09:00:00.000Z\",\"payload\":{\""
	 "uid\":\"bk_1\",\"title\":\"Zo\303\253 & Ada \342\200\223 30 min\",\"attendees\":[{\"email\":\"ad"
	 "a@example.test\"}]}}",
	 "a7fb27b65a281e7cf03dc4dae82d5a8a7dfe3684a5ea5a943697c6b4d8f780a9"},
	{"Zoom ascii", "zoom", "dibsWebhookSecretToken", NULL, "1768467601",
	 "{\"event\":\"meeting.started\",\"payload\":{\"account_id\":\"dibsAccountId\",\"object\":{\"id\":"
	 "\"85393847045\",\"uuid\":\"/aB3c//dEfGh1IJk2LmNoP==\",\"host_id\":\"hostUser_-0000000000001\",\""
	 "topic\":\"Standup\",\"type\":2,\"start_time\":\"2026-01-15T09:00:00Z\",\"timezone\":\"UTC\",\"du"
	 "ration\":30}},\"event_ts\":1768467600123}",
	 "v0=eff77e21beb2e03370a2531bbbfc775a41c9243a6ff067d0441a59e29909ed57"},
	{"Zoom utf8_plus_escapes", "zoom", "dibsWebhookSecretToken", NULL, "1768469463",
	 "{\"event\":\"meeting.ended\",\"payload\":{\"account_id\":\"dibsAccountId\",\"object\":{\"id\":\""
	 "85393847045\",\"uuid\":\"4444AAAiAAAAAiAiAiiAii==\",\"host_id\":\"h\",\"topic\":\"R\303\251union"
	 " \342\200\223 d\303\251j\303\240 vu \\uD83D\\uDE92\",\"type\":2,\"start_time\":\"2026-01-15T09:0"
	 "0:00Z\",\"timezone\":\"Europe/Paris\",\"duration\":30,\"end_time\":\"2026-01-15T09:31:02Z\"}},\""
	 "event_ts\":1768469462000}",
	 "v0=9bc5e2eee57090cea6e055a9d2bb05be8720c7ea6e96bbcab437fd181e21f9ac"},
	{"Zoom url_validation", "zoom", "dibsWebhookSecretToken", NULL, "1654503849",
	 "{\"payload\":{\"plainToken\":\"qgg8vlvZRS6UYooatFL8Aw\"},\"event_ts\":1654503849680,\"event\":\""
	 "endpoint.url_validation\"}",
	 "v0=bf8c69775c09c1b7b3fab881659107c24abc660c89327c9662d486217156f47d"},
	{"Zoom real_zoom_url_validation", "zoom", "4fv1RkqGQUq5sWbEz6hA5A", NULL, "1720705455",
	 "{\"payload\":{\"plainToken\":\"xys8n8PGS7mAU0m5-YJjRA\"},\"event_ts\":1720705455858,\"event\":\""
	 "endpoint.url_validation\"}",
	 "v0=93a1a675965ceb9c5a50c5dfb31f20e50f763be37a54ef74cd2d16a1a8e5c0d6"},
	{"Calendly", "calendly", "calendly-test-signing-key", NULL, NULL,
	 "{\"event\":\"invitee.created\",\"created_at\":\"2026-01-01T00:00:00.000000Z\",\"created_by\":\"h"
	 "ttps://api.calendly.com/users/AAAA\",\"payload\":{\"uri\":\"https://api.calendly.com/scheduled_e"
	 "vents/EEEE/invitees/IIII\",\"name\":\"Zo\303\253 \\u00e9 / test\",\"rescheduled\":false}}",
	 "t=1767225600,v1=d8fb33888ddfeaed5bc83c17deadbdb49a6308c1b6a697968af49f351760a366"},
	{"Calendly, short", "calendly", "calendly-test-signing-key", NULL, NULL, "{\"event\":\"invitee.created\"}",
	 "t=1767225600,v1=52e9139eff332240a8d8a64d715ed1179873f7029850de8929d6924c2378019a"},
	{"Daily, seconds", "daily", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", NULL, "1767225600",
	 "{\"version\":\"1.0.0\",\"type\":\"meeting.ended\",\"id\":\"met-end-x-1\",\"payload\":{\"room\":"
	 "\"r1\"},\"event_ts\":1767225600.5}",
	 "Im9vdHwqm7HhqsDU8tOXGOsCaOr84EouNp4/lIDVABo="},
	{"Daily, milliseconds", "daily", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", NULL, "1767225600123",
	 "{\"version\":\"1.0.0\",\"type\":\"meeting.ended\",\"id\":\"met-end-x-1\",\"payload\":{\"room\":"
	 "\"r1\"},\"event_ts\":1767225600.5}",
	 "nDhxNjfhpjvlKxo2bBDQQIFyod1Q6Hsd94OcROTmvEk="},
	{"Standard Webhooks", "standard", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
	 "1614265330", "{\"test\": 2432232314}", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
	{"Standard Webhooks, 32 bytes of key", "standard",
	 "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "msg_dibs_1", "1767225600",
	 "{\"type\":\"booking.created\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"data\":{\"id\":1}}",
	 "v1,DCTJlYq/q5mTdBPFqVWf0S6wiSsIQ5bxAgO5FHH3wUs="},
	{"Stripe", "stripe", "whsec_stripe_test", NULL, NULL, "{\"id\":\"evt_1\"}",
	 "t=1767225600,v1=5cc3e2b9d4303252e2355e1b99e1d5ffb1c3e5acb3334689411281f74d41b185"},
	{"JaaS", "jaas", "whsec_jaas_test", NULL, NULL, "{\"eventType\":\"ROOM_CREATED\"}",
	 "t=1767225600,v1=8UVV/nbVQapsgZVCwhUCnbAWPffyv/3iMHPuIi27eb0="},
};

/* What Daily would send if its key were not base64. */
#define DAILY_SEC_NOT_DECODED "UVvDsCIcrgbI4sTi2sWQ1xFjqY0IcK+IW5LQQdxdknc="
#define DAILY_MS_NOT_DECODED "3UfIr3jcbxxc62nUnM1jhACvo8Mmiz6bVZq8eGHx9iI="

typedef struct TokenVector
{
	const char *name;
	const char *secret;
	const char *claims;
	const char *token;
} TokenVector;

static const TokenVector token_vectors[] = {
	{"Meeting SDK web_participant_sample_order", "dibsSdkSecret000000000000000001",
	 "{\"appKey\":\"dibsSdkKey0000000001\",\"sdkKey\":\"dibsSdkKey0000000001\",\"mn\":\"85393847045\","
	 "\"role\":0,\"iat\":1768467600,\"exp\":1768474800,\"tokenExp\":1768474800,\"video_webrtc_mode\":1"
	 "}",
	 "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBLZXkiOiJkaWJzU2RrS2V5MDAwMDAwMDAwMSIsInNka0tleSI6ImR"
	 "pYnNTZGtLZXkwMDAwMDAwMDAxIiwibW4iOiI4NTM5Mzg0NzA0NSIsInJvbGUiOjAsImlhdCI6MTc2ODQ2NzYwMCwiZXhwIjo"
	 "xNzY4NDc0ODAwLCJ0b2tlbkV4cCI6MTc2ODQ3NDgwMCwidmlkZW9fd2VicnRjX21vZGUiOjF9.Hd9xDZU51IXQqBXmXAscXA"
	 "bwrBgQjqkq2Bm9v41ZUbs"},
	{"Meeting SDK web_host_minimal", "dibsSdkSecret000000000000000001",
	 "{\"appKey\":\"dibsSdkKey0000000001\",\"mn\":\"85393847045\",\"role\":1,\"iat\":1768467600,\"exp"
	 "\":1768474800,\"tokenExp\":1768474800}",
	 "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBLZXkiOiJkaWJzU2RrS2V5MDAwMDAwMDAwMSIsIm1uIjoiODUzOTM"
	 "4NDcwNDUiLCJyb2xlIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMCwidG9rZW5FeHAiOjE3Njg0NzQ4MDB"
	 "9.O5oaWvn6LJ0l99SsUlWOXWEs3Jb3Mp3Tw5hXtpLPVtw"},
	{"Meeting SDK native_minimal", "dibsSdkSecret000000000000000001",
	 "{\"appKey\":\"dibsSdkKey0000000001\",\"iat\":1768467600,\"exp\":1768474800,\"tokenExp\":17684748"
	 "00}",
	 "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBLZXkiOiJkaWJzU2RrS2V5MDAwMDAwMDAwMSIsImlhdCI6MTc2ODQ"
	 "2NzYwMCwiZXhwIjoxNzY4NDc0ODAwLCJ0b2tlbkV4cCI6MTc2ODQ3NDgwMH0.2hZ4db_MnbW6DNCZEYgJSORiDgtZaZAlVW1"
	 "SG5KONBk"},
	{"Video SDK full_user_key", "dibsVideoSecret0000000000000001",
	 "{\"app_key\":\"dibsVideoKey000000001\",\"role_type\":1,\"tpc\":\"dibs-room-42\",\"version\":1,\""
	 "iat\":1768467600,\"exp\":1768474800,\"user_key\":\"user-123\",\"session_key\":\"session-42\",\"g"
	 "eo_regions\":\"US,DE\",\"cloud_recording_option\":0,\"cloud_recording_election\":0,\"video_webrt"
	 "c_mode\":1,\"audio_webrtc_mode\":1}",
	 "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBfa2V5IjoiZGlic1ZpZGVvS2V5MDAwMDAwMDAxIiwicm9sZV90eXB"
	 "lIjoxLCJ0cGMiOiJkaWJzLXJvb20tNDIiLCJ2ZXJzaW9uIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMCw"
	 "idXNlcl9rZXkiOiJ1c2VyLTEyMyIsInNlc3Npb25fa2V5Ijoic2Vzc2lvbi00MiIsImdlb19yZWdpb25zIjoiVVMsREUiLCJ"
	 "jbG91ZF9yZWNvcmRpbmdfb3B0aW9uIjowLCJjbG91ZF9yZWNvcmRpbmdfZWxlY3Rpb24iOjAsInZpZGVvX3dlYnJ0Y19tb2R"
	 "lIjoxLCJhdWRpb193ZWJydGNfbW9kZSI6MX0.QC-8cgeMENg5_VcTRVz04CoZqB30t5_-OMYHO57wIIM"},
	{"Video SDK minimal", "dibsVideoSecret0000000000000001",
	 "{\"app_key\":\"dibsVideoKey000000001\",\"role_type\":0,\"tpc\":\"dibs-room-42\",\"version\":1,\""
	 "iat\":1768467600,\"exp\":1768474800}",
	 "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBfa2V5IjoiZGlic1ZpZGVvS2V5MDAwMDAwMDAxIiwicm9sZV90eXB"
	 "lIjowLCJ0cGMiOiJkaWJzLXJvb20tNDIiLCJ2ZXJzaW9uIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMH0"
	 ".Qs6PWmB-QpfoUDiGqL91yS9DieglAH-YZgZbkBdmRw8"},
	{"Video SDK legacy_user_identity", "dibsVideoSecret0000000000000001",
	 "{\"app_key\":\"dibsVideoKey000000001\",\"role_type\":1,\"tpc\":\"Cool Cars\",\"version\":1,\"iat"
	 "\":1768467600,\"exp\":1768474800,\"user_identity\":\"user123\",\"session_key\":\"session123\"}",
	 "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBfa2V5IjoiZGlic1ZpZGVvS2V5MDAwMDAwMDAxIiwicm9sZV90eXB"
	 "lIjoxLCJ0cGMiOiJDb29sIENhcnMiLCJ2ZXJzaW9uIjoxLCJpYXQiOjE3Njg0Njc2MDAsImV4cCI6MTc2ODQ3NDgwMCwidXN"
	 "lcl9pZGVudGl0eSI6InVzZXIxMjMiLCJzZXNzaW9uX2tleSI6InNlc3Npb24xMjMifQ.z0Wd9VREq19LdU15-TNl2K1Cysvo"
	 "ZDdrbuW36CBF23I"},
	{"Daily", "daily-test-api-key",
	 "{\"r\":\"test\",\"d\":\"30f866c3-9123-452a-8723-ff58322d09c5\",\"iat\":1767225600,\"exp\":176722"
	 "9200,\"o\":true,\"u\":\"Ada\",\"ud\":\"user-1\",\"ejt\":true}",
	 "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyIjoidGVzdCIsImQiOiIzMGY4NjZjMy05MTIzLTQ1MmEtODcyMy1mZjU"
	 "4MzIyZDA5YzUiLCJpYXQiOjE3NjcyMjU2MDAsImV4cCI6MTc2NzIyOTIwMCwibyI6dHJ1ZSwidSI6IkFkYSIsInVkIjoidXN"
	 "lci0xIiwiZWp0Ijp0cnVlfQ.gDUaMc2-ThIckHi1Lf-fDrfr23VPIBaGwkQpG4OwxXM"},
	{"Jitsi", "myappsecret",
	 "{\"aud\":\"jitsi\",\"iss\":\"myappid\",\"sub\":\"jitsi.example.com\",\"room\":\"room1\",\"iat\":"
	 "1767225600,\"nbf\":1767225590,\"exp\":1767229200,\"context\":{\"user\":{\"id\":\"user-1\",\"name"
	 "\":\"Ada\",\"email\":\"ada@example.test\",\"moderator\":true}}}",
	 "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJqaXRzaSIsImlzcyI6Im15YXBwaWQiLCJzdWIiOiJqaXRzaS5"
	 "leGFtcGxlLmNvbSIsInJvb20iOiJyb29tMSIsImlhdCI6MTc2NzIyNTYwMCwibmJmIjoxNzY3MjI1NTkwLCJleHAiOjE3Njc"
	 "yMjkyMDAsImNvbnRleHQiOnsidXNlciI6eyJpZCI6InVzZXItMSIsIm5hbWUiOiJBZGEiLCJlbWFpbCI6ImFkYUBleGFtcGx"
	 "lLnRlc3QiLCJtb2RlcmF0b3IiOnRydWV9fX0.zjIjg-O-mcCNJYqoVrhQKQJnj3nVPgyqt_Jzmr2qaug"},
};

typedef struct RsaVector
{
	const char *name;
	const char *header;
	const char *claims;
	const char *token;
} RsaVector;

static const RsaVector rsa_vectors[] = {
	{"Google", "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"test-kid-1\"}",
	 "{\"iss\":\"svc@proj.iam.gserviceaccount.com\",\"scope\":\"https://www.googleapis.com/auth/meetin"
	 "gs.space.created\",\"aud\":\"https://oauth2.googleapis.com/token\",\"iat\":1767225600,\"exp\":17"
	 "67229200,\"sub\":\"host@example.com\"}",
	 "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRlc3Qta2lkLTEifQ.eyJpc3MiOiJzdmNAcHJvai5pYW0uZ3Nlc"
	 "nZpY2VhY2NvdW50LmNvbSIsInNjb3BlIjoiaHR0cHM6Ly93d3cuZ29vZ2xlYXBpcy5jb20vYXV0aC9tZWV0aW5ncy5zcGFjZ"
	 "S5jcmVhdGVkIiwiYXVkIjoiaHR0cHM6Ly9vYXV0aDIuZ29vZ2xlYXBpcy5jb20vdG9rZW4iLCJpYXQiOjE3NjcyMjU2MDAsI"
	 "mV4cCI6MTc2NzIyOTIwMCwic3ViIjoiaG9zdEBleGFtcGxlLmNvbSJ9.VLGM1b5rO5amYvl8_sky8_XF3llma4qmitJxGY1M"
	 "VLtl2bnHqo30klrvvdQb5UnW1rXLghmujFGeU246unQJLl9w5TtqeEM_O8RMR7tp6EdNPfeXd-gor5K4yRIcgs68Efzgv8PC"
	 "CefudNdXBswAcK9gbQrZMrDnuPahpsMk-MFW3YN9qohZrnLBAT3o7432puRQ8ZxyltF633qPGC8Y3kMaGzns_8wptyLuBYuR"
	 "EIRGHjYT2mYMM5y7o9iKPipKJA5bqdadyPegVOCggLIXwrYFDzB3Yk7AZEzF2ZBVePuxtx3Ib6lV8hhUgu-evaH4pDwvyOi3"
	 "dH9_uqQa0l63vA"},
	{"JaaS", "{\"alg\":\"RS256\",\"kid\":\"vpaas-magic-cookie-0123456789abcdef/4f4910\",\"typ\":\"JWT\"}",
	 "{\"aud\":\"jitsi\",\"iss\":\"chat\",\"sub\":\"vpaas-magic-cookie-0123456789abcdef\",\"room\":\"*"
	 "\",\"iat\":1767225600,\"nbf\":1767225590,\"exp\":1767229200,\"context\":{\"user\":{\"id\":\"user"
	 "-1\",\"name\":\"Ada\",\"email\":\"ada@example.test\",\"avatar\":\"\",\"moderator\":\"true\"},\"f"
	 "eatures\":{\"livestreaming\":\"false\",\"recording\":\"false\",\"transcription\":\"false\",\"out"
	 "bound-call\":\"false\"}}}",
	 "eyJhbGciOiJSUzI1NiIsImtpZCI6InZwYWFzLW1hZ2ljLWNvb2tpZS0wMTIzNDU2Nzg5YWJjZGVmLzRmNDkxMCIsInR5cCI6"
	 "IkpXVCJ9.eyJhdWQiOiJqaXRzaSIsImlzcyI6ImNoYXQiLCJzdWIiOiJ2cGFhcy1tYWdpYy1jb29raWUtMDEyMzQ1Njc4OWF"
	 "iY2RlZiIsInJvb20iOiIqIiwiaWF0IjoxNzY3MjI1NjAwLCJuYmYiOjE3NjcyMjU1OTAsImV4cCI6MTc2NzIyOTIwMCwiY29"
	 "udGV4dCI6eyJ1c2VyIjp7ImlkIjoidXNlci0xIiwibmFtZSI6IkFkYSIsImVtYWlsIjoiYWRhQGV4YW1wbGUudGVzdCIsImF"
	 "2YXRhciI6IiIsIm1vZGVyYXRvciI6InRydWUifSwiZmVhdHVyZXMiOnsibGl2ZXN0cmVhbWluZyI6ImZhbHNlIiwicmVjb3J"
	 "kaW5nIjoiZmFsc2UiLCJ0cmFuc2NyaXB0aW9uIjoiZmFsc2UiLCJvdXRib3VuZC1jYWxsIjoiZmFsc2UifX19.Sew6s6IZ0l"
	 "JL1D3HYrGbFXYXOfYF1kKHR3dcG3RhLnV-1uXUzOgT87dP_bHr_W3SGkYSEfpk3mxwJB4yOoPx0G-ournY986-WsT14x45vs"
	 "4lOK5QKCLZnpu5dNZKhVQMrKJOMxjwJrhGPzkcdZAoX81KCc2_s8T_gaCTNOWH9T3krfIeoftpz0B4mgrzUZOCmsUlyNhNaH"
	 "z-0-U4o_lrgL0NZTU73tyq9jhelAiSyBp9mf-JH4fAG5HjyFrpEKayetkwRIkF7J-SenHweP1vq79nnNikoYElf_fX5PzHOG"
	 "Fx0s-xtyeBu-I5CR4AByumM29P5O0TT8MoJ_PkTe-N4w"},
};

static const char rsa_key[] = "-----BEGIN PRIVATE KEY-----\n"
							  "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDWwBZlBhnO59hw\n"
							  "PmqfCfA6Wjjv0YWbfyBBxkCxYpqdkF8Lantu1Rn8uU8Elu8RvsTUNaVyoZVLlsll\n"
							  "eohaBpuXDN9V53ExlE1v2tgr9vTL5lUcj53PRVMhR54NYEuN/ZHvHrV9gDfjp0F2\n"
							  "Uo05M7veLu42k0M9k28AsX9wrNdYMuT6RhqO+7J79YMYOhgjhwuhCAbO7SiC2BA+\n"
							  "DDnJ8icyOowW1FBESUmvBjwkZSMQGnMgY16v4WvxBRZkFOohDObgtOVAdhdGo93S\n"
							  "h1ZXspi223Zm8RX6muI9HFH1LefiiymQwwZd9bdrcdNRAq7j0ilUteKCvXW1HCUV\n"
							  "CwY/FbrBAgMBAAECggEAAf3qmuqs++Q92oFa2GrDbKvu53aLUVIQ1v/prfUfBS8z\n"
							  "Ycv3zVLBSSpzBUdR+H4CEuBGR0CVp7sheAcFQSy9dU7hupImdZ0Ur/42Ll+VlK81\n"
							  "DcaUGS7Z9PvEB23RfrqW9Vg+5vWoDTlTMiEPhKVD5Xg0vQCJRdOGWsA4bnxjAsbf\n"
							  "F+iTSDDHV0o+Bb2cSjRm1mvpStZRYSG6/wIMYtmjlNRVwq3mQ15evI6ViDrATjVT\n"
							  "GITK+fEZ6SRNRyPUb2Hqu+byYgMZWi16omvFxeOMaYWZS4nl1nDvMqxpCJ1MTnvh\n"
							  "HNhPhR2SSyHTmJFj/PKHmO3UZxKRHrWfyCk5+ZRPGwKBgQDtb8e+52DrHTmHuSqU\n"
							  "Rjgj1GR5YYILVhe+bctW1rPTrWJ8EZwiPaIY36HXeZv6mmUTN77+QQAzb/31EcF4\n"
							  "DVuDFXiTdFw3YQAgtmYoNmSN/Vni5ZS3FRkZHkBFueAtUtGBPm7UJq+lfNQ/t5SJ\n"
							  "3HK7e4kUN8+KWvXjwEaxdreLNwKBgQDnij+A7ZdCDL68+KlC1XRYX28uPz0qmzsI\n"
							  "1/ENdL1ufDvY6sCl3cOoXGG27CLMYRJovZHx3mtpSkrMoWOZDrOYzTR8kQQ5kWLU\n"
							  "ZJrqr3qwQHckjgc1L+Ry3IUv870A6vA7nuaTYV4PLl4x5x5Wub+2m+MzdLzOK8To\n"
							  "r+FjCGsVxwKBgFU/bu4B0PBZW9B5EOqPk5R5q2FROwmq7Xd3oCwbhhEYDWYSRIae\n"
							  "rlZT5J2ikfgV+vg9aZuL5vCQ4xNcPqRF13dm/BWlD37qmssj8eW6MbwxHFa0qwJY\n"
							  "1twH2neuVuiu9X171vrgsOuvt9zwoqoktiTOI9dYenFoWyRcYoVQ5HFdAoGBALoY\n"
							  "cYXscEAUAlHcAh7HdSV6PuAKz9you0AWX5YTGBXvICLuOzyVCycMaTUegbGG68bn\n"
							  "Zp/hxq7vmULzDBv+pvbPJ7pey+iBI8/VtHWf6Jo0lg35YW2sOo7fEuVBn81XBxLE\n"
							  "WkpmXbUR7X9qZQYLcT0R+gBneUC0CSWEB0ETiQ4NAoGAFB/8UVXw3w+nLyucPDho\n"
							  "DBGt4zP+4qJIYbJS5/hiB5FeQ+5HvaTrEHGY0Y6784n45wNlqHXfA02AbBYty/Y8\n"
							  "iyunyjSJuOwZXLlM0SQJUrxcCXvkIwMHCtGELqNkJ8xoFxQhuZgYqSl4p8qmLSL5\n"
							  "eCFB/q5341+ND2gC+zP1fZ0=\n"
							  "-----END PRIVATE KEY-----\n";

#endif
