-- Whoever wrote it: no meeting is made of what is no link to the web.
SET client_min_messages = warning;
INSERT INTO dibs."CoachZoomConfig" ("userUlid", "isCustomUrl", "defaultJoinUrl") VALUES ('01HZX00000000000000000XWQ1', true, 'javascript:alert(1)');
INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "meetingProvider", "zoomJoinUrl", "location")
VALUES ('01HZX00000000000000000XWQ1', 'links-static', 'x', '2099-01-01Z', '2099-01-01 01:00Z', 'x@example.org', NULL, NULL, NULL),
	('01HZX00000000000000000XWQ1', 'links-manual', 'x', '2099-01-01Z', '2099-01-01 01:00Z', 'x@example.org', 'manual', 'javascript:alert(1)', NULL),
	('01HZX00000000000000000XWQ1', 'links-source', 'x', '2099-01-01Z', '2099-01-01 01:00Z', 'x@example.org', NULL, NULL, '{"kind": "link", "value": "javascript:alert(1)"}'),
	('01HZX00000000000000000XWQ1', 'links-good', 'x', '2099-01-01Z', '2099-01-01 01:00Z', 'x@example.org', NULL, NULL, '{"kind": "link", "value": "https://example.org/room"}');
CALL dibs.drain();
SELECT "calBookingUid", "meetingState", "meetingErrorCode", "zoomJoinUrl" FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'links-%' ORDER BY 1;
DELETE FROM dibs."CalBooking" WHERE "calBookingUid" LIKE 'links-%';
CALL dibs.drain();
DELETE FROM dibs."CoachZoomConfig" WHERE "userUlid" = '01HZX00000000000000000XWQ1';
DELETE FROM dibs."Meeting" WHERE "userUlid" = '01HZX00000000000000000XWQ1';
DELETE FROM dibs."BookingUid" WHERE "userUlid" = '01HZX00000000000000000XWQ1';
DELETE FROM dibs."Event" WHERE "userUlid" = '01HZX00000000000000000XWQ1';
DELETE FROM dibs."Coach" WHERE "userUlid" = '01HZX00000000000000000XWQ1';
