-- tables: what applications read and write, and what dibs keeps about it.
--
-- Rules that keep scaling out possible (ARCHITECTURE.md): every per-coach table has "userUlid" char(26), never a
-- domain; every constraint is named; every foreign key between per-coach tables carries "userUlid".

CREATE OR REPLACE FUNCTION dibs.instance_id() RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_instance_id';
REVOKE ALL ON FUNCTION dibs.instance_id() FROM PUBLIC;
COMMENT ON FUNCTION dibs.instance_id() IS
'Which database this is: system identifier/database oid. Rows keep the one they were made in, so that a copy sends nothing until dibs.adopt().';

CREATE OR REPLACE FUNCTION dibs.booking_before_write() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'dibs_booking_before_write';
REVOKE ALL ON FUNCTION dibs.booking_before_write() FROM PUBLIC;
COMMENT ON FUNCTION dibs.booking_before_write() IS
'Keeps the versions, updatedAt and the set of statuses of "CalBooking" right, whoever writes the row; wakes the worker at commit. 22023 for a status that is none, 23514 for an end before the start, a rating other than 1 to 5, participants that are no array and a meetingState that is none, 0A000 for a change of ulid or userUlid.';

CREATE OR REPLACE FUNCTION dibs.booking_after_delete() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'dibs_booking_after_delete';
REVOKE ALL ON FUNCTION dibs.booking_after_delete() FROM PUBLIC;
COMMENT ON FUNCTION dibs.booking_after_delete() IS 'Wakes the worker at commit: the deleted booking''s meeting is to go.';

CREATE OR REPLACE FUNCTION dibs.participant_before_update() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'dibs_participant_before_update';
REVOKE ALL ON FUNCTION dibs.participant_before_update() FROM PUBLIC;
COMMENT ON FUNCTION dibs.participant_before_update() IS
'Sets "updatedAt"; ends the tokens of somebody who is removed from a booking, for good, and never lets "tokenVersion" go back.';

CREATE OR REPLACE FUNCTION dibs.refuse_truncate() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'dibs_refuse_truncate';
REVOKE ALL ON FUNCTION dibs.refuse_truncate() FROM PUBLIC;
COMMENT ON FUNCTION dibs.refuse_truncate() IS 'TRUNCATE is refused (0A000) while a meeting of ours exists: it would be forgotten at the provider.';

CREATE OR REPLACE FUNCTION dibs.touch() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'dibs_touch';
REVOKE ALL ON FUNCTION dibs.touch() FROM PUBLIC;
COMMENT ON FUNCTION dibs.touch() IS 'Sets "updatedAt" on every update.';

-- Short CHECKs: every statement reads and prepares them anew, and a list of words takes five times as long.
CREATE OR REPLACE FUNCTION dibs.is_participant_status(status text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_is_participant_status';
REVOKE ALL ON FUNCTION dibs.is_participant_status(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.is_participant_status(text) IS 'CONFIRMED, CANCELLED or ATTENDED: what "BookingParticipant".status may be.';

CREATE OR REPLACE FUNCTION dibs.is_outcome(outcome text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dibs_is_outcome';
REVOKE ALL ON FUNCTION dibs.is_outcome(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.is_outcome(text) IS
'applied, queued, stale, ignored, unmatched or failed: what "WebhookEvent".outcome may be.';

DO $make$
BEGIN
IF NOT dibs.tables_wanted() THEN
	RETURN;
END IF;

CREATE TYPE dibs."CalBookingType" AS ENUM ('ONE_ON_ONE', 'GROUP');
COMMENT ON TYPE dibs."CalBookingType" IS 'One person''s booking, or a group session with seats.';

CREATE TABLE dibs."Coach" (
	"userUlid"  char(26) COLLATE "C" NOT NULL,
	"name"      text,
	"email"     text,
	"timeZone"  text,
	"settings"  jsonb NOT NULL DEFAULT '{}',
	"createdAt" timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt" timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "Coach_pkey" PRIMARY KEY ("userUlid")
);
COMMENT ON TABLE dibs."Coach" IS
'A row for every userUlid seen. Small: it is what concurrent bookings of one coach lock (FOR UPDATE) when overlaps are checked.';

CREATE TABLE dibs."CalBooking" (
	"ulid"                  char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"userUlid"              char(26) COLLATE "C" NOT NULL,
	"calBookingUid"         text NOT NULL,
	"calBookingId"          integer,
	"title"                 text NOT NULL,
	"description"           text,
	"eventTypeId"           integer,
	"eventTypeSlug"         text,
	"bookingType"           dibs."CalBookingType" NOT NULL DEFAULT 'ONE_ON_ONE',
	"maxParticipants"       integer,
	"currentParticipants"   integer NOT NULL DEFAULT 1,
	"startTime"             timestamptz(6) NOT NULL,
	"endTime"               timestamptz(6) NOT NULL,
	"duration"              integer,
	"zoomHostUrl"           text,
	"zoomJoinUrl"           text,
	"zoomMeetingId"         text,
	"zoomPasscode"          text,
	"customValidationToken" text,
	"attendeeEmail"         text NOT NULL,
	"attendeeName"          text,
	"attendeeTimeZone"      text,
	"participants"          jsonb NOT NULL DEFAULT '[]',
	"status"                text NOT NULL DEFAULT 'CONFIRMED',
	"cancellationReason"    text,
	"cancelledByEmail"      text,
	"reschedulingReason"    text,
	"rescheduledByEmail"    text,
	"rescheduledFromUid"    text,
	"bookingFields"         jsonb DEFAULT '{}',
	"metadata"              jsonb DEFAULT '{}',
	"rating"                integer,
	"createdAt"             timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"             timestamptz(6) NOT NULL DEFAULT now(),
	"sessionUlid"           char(26) COLLATE "C",
	-- ours
	"source"                text NOT NULL DEFAULT 'manual',
	"location"              jsonb,
	"meetingProvider"       text,
	"meetingState"          text NOT NULL DEFAULT 'pending',
	"meetingErrorCode"      text,
	"meetingRetryAt"        timestamptz(6),
	"paid"                  boolean,
	"amount"                bigint,
	"currency"              text,
	"changeState"           text,
	"changeError"           text,
	"previousUids"          text[] NOT NULL DEFAULT '{}',
	"tokenVersion"          integer NOT NULL DEFAULT 0,
	"sourceAt"              timestamptz(6)[] NOT NULL DEFAULT '{}',
	"wanted"                integer NOT NULL DEFAULT 1,
	"done"                  integer NOT NULL DEFAULT 0,
	"announced"             integer NOT NULL DEFAULT 0,
	"dueAt"                 timestamptz(6) NOT NULL DEFAULT '-infinity',
	"instance"              text COLLATE "C" NOT NULL DEFAULT dibs.instance_id(),
	"completeAt"            timestamptz(6),
	"hostAbsent"            boolean NOT NULL DEFAULT false,
	CONSTRAINT "CalBooking_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "CalBooking_calBookingUid_key" UNIQUE ("calBookingUid"),
	CONSTRAINT "CalBooking_sessionUlid_key" UNIQUE ("sessionUlid"),
	-- what foreign keys refer to, and the index for a coach's bookings: one of "userUlid" alone beside it would tempt the
	-- planner, while there are no statistics yet, to check foreign keys by reading all of a coach's bookings
	-- what else a row must be (statuses, times, rating, meetingState, participants) its trigger checks: a CHECK is prepared
	-- anew by every statement
	CONSTRAINT "CalBooking_userUlid_ulid_key" UNIQUE ("userUlid", "ulid")
);
CREATE INDEX "CalBooking_status_idx" ON dibs."CalBooking" ("status");
CREATE INDEX "CalBooking_startTime_idx" ON dibs."CalBooking" ("startTime");
CREATE INDEX "CalBooking_eventTypeId_idx" ON dibs."CalBooking" ("eventTypeId");
CREATE INDEX "CalBooking_bookingType_idx" ON dibs."CalBooking" ("bookingType");
-- The due list, in the order in which it is worked off: what ends first, then what starts soonest.
CREATE INDEX "CalBooking_due_idx" ON dibs."CalBooking"
	("dueAt", ("status" IN ('PENDING', 'CONFIRMED', 'IN_PROGRESS')), "startTime") WHERE "wanted" <> "done";
-- When the clock completes a booking of which nobody has said that it is over.
CREATE INDEX "CalBooking_complete_idx" ON dibs."CalBooking" ("completeAt") WHERE "completeAt" IS NOT NULL;
COMMENT ON TABLE dibs."CalBooking" IS
'Bookings: the row is the intent. Whoever writes it (a webhook, dibs'' functions, Prisma, psql), the worker brings the meeting in line. DELETE is wanting the meeting gone.';

CREATE TABLE dibs."CoachZoomConfig" (
	"ulid"              char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"userUlid"          char(26) COLLATE "C" NOT NULL,
	"zoomUserId"        text,
	"personalMeetingId" text,
	"defaultHostUrl"    text,
	"defaultJoinUrl"    text,
	"isCustomUrl"       boolean NOT NULL DEFAULT false,
	"settings"          jsonb NOT NULL DEFAULT '{}',
	"createdAt"         timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"         timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "CoachZoomConfig_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "CoachZoomConfig_userUlid_key" UNIQUE ("userUlid")
);
COMMENT ON TABLE dibs."CoachZoomConfig" IS
'How a coach meets: the Zoom user, static links (isCustomUrl), and settings. Applies to bookings made or changed later, or after dibs.resync().';

CREATE INDEX "CoachZoomConfig_personalMeetingId_idx" ON dibs."CoachZoomConfig" ("personalMeetingId")
	WHERE "personalMeetingId" IS NOT NULL;

CREATE TABLE dibs."BookingUid" (
	"uid"         text COLLATE "C" NOT NULL,
	"userUlid"    char(26) COLLATE "C" NOT NULL,
	"bookingUlid" char(26) COLLATE "C" NOT NULL,
	"createdAt"   timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "BookingUid_pkey" PRIMARY KEY ("uid")
);
CREATE INDEX "BookingUid_booking_idx" ON dibs."BookingUid" ("bookingUlid", "userUlid");
COMMENT ON TABLE dibs."BookingUid" IS
'Every uid a booking ever had. It outlives the booking: a late event for a deleted one resurrects nothing.';

CREATE TABLE dibs."BookingParticipant" (
	"ulid"            char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"userUlid"        char(26) COLLATE "C" NOT NULL,
	"bookingUlid"     char(26) COLLATE "C" NOT NULL,
	"person"          text COLLATE "C" NOT NULL,
	"email"           text,
	"name"            text,
	"timeZone"        text,
	"phone"           text,
	"seatId"          text,
	"isPrimary"       boolean NOT NULL DEFAULT false,
	"status"          text NOT NULL DEFAULT 'CONFIRMED',
	"noShow"          boolean NOT NULL DEFAULT false,
	"tokenVersion"    integer NOT NULL DEFAULT 0,
	"registrantId"    text,
	"registrantMeeting" text,
	"joinUrl"         text,
	"validationToken" text,
	"joinedAt"        timestamptz(6),
	"leftAt"          timestamptz(6),
	"since"           timestamptz(6) NOT NULL DEFAULT now(),
	"sourceAt"        timestamptz(6) NOT NULL DEFAULT '-infinity',
	"noShowAt"        timestamptz(6) NOT NULL DEFAULT '-infinity',
	"createdAt"       timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"       timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "BookingParticipant_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "BookingParticipant_person_key" UNIQUE ("bookingUlid", "person", "userUlid"),
	CONSTRAINT "BookingParticipant_status_check" CHECK (dibs.is_participant_status("status")),
	CONSTRAINT "BookingParticipant_booking_fkey" FOREIGN KEY ("bookingUlid", "userUlid")
		REFERENCES dibs."CalBooking" ("ulid", "userUlid") ON DELETE CASCADE
);
CREATE INDEX "BookingParticipant_person_idx" ON dibs."BookingParticipant" ("person");
COMMENT ON TABLE dibs."BookingParticipant" IS
'The truth about who is in a booking; "CalBooking".participants is derived from it. person is the e-mail in lower case; seat:ID where only a seat is known.';

CREATE TABLE dibs."ProviderAccount" (
	"ulid"       char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"provider"   text NOT NULL,
	"userUlid"   char(26) COLLATE "C",
	"externalId" text,
	"email"      text,
	"username"   text,
	"settings"   jsonb NOT NULL DEFAULT '{}',
	"state"      text NOT NULL DEFAULT 'linked',
	"createdAt"  timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"  timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "ProviderAccount_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "ProviderAccount_externalId_key" UNIQUE ("provider", "externalId"),
	CONSTRAINT "ProviderAccount_names_check" CHECK ("externalId" IS NOT NULL OR "email" IS NOT NULL OR "username" IS NOT NULL),
	CONSTRAINT "ProviderAccount_state_check" CHECK ("state" IN ('linked', 'reconnect_needed', 'deauthorized', 'disconnected'))
);
CREATE UNIQUE INDEX "ProviderAccount_email_key" ON dibs."ProviderAccount" ("provider", lower("email"));
CREATE UNIQUE INDEX "ProviderAccount_username_key" ON dibs."ProviderAccount" ("provider", lower("username"));
CREATE INDEX "ProviderAccount_userUlid_idx" ON dibs."ProviderAccount" ("userUlid", "provider");
COMMENT ON TABLE dibs."ProviderAccount" IS
'Which organizer or video account is which coach (see dibs.link_account). userUlid null: the platform''s own account.';

CREATE TABLE dibs."UserKey" (
	"key"       text COLLATE "C" NOT NULL,
	"userUlid"  char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"createdAt" timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "UserKey_pkey" PRIMARY KEY ("key"),
	CONSTRAINT "UserKey_userUlid_key" UNIQUE ("userUlid")
);
COMMENT ON TABLE dibs."UserKey" IS 'An application''s own user key, where that is neither a ULID nor a uuid.';

CREATE TABLE dibs."CalEventType" (
	"ulid"         char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"userUlid"     char(26) COLLATE "C" NOT NULL,
	"eventTypeId"  integer NOT NULL,
	"slug"         text,
	"title"        text,
	"description"  text,
	"length"       integer,
	"price"        bigint,
	"currency"     text,
	"active"       boolean NOT NULL DEFAULT true,
	"seats"        integer,
	"settings"     jsonb NOT NULL DEFAULT '{}',
	"metadata"     jsonb NOT NULL DEFAULT '{}',
	"lastSyncedAt" timestamptz(6),
	"createdAt"    timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"    timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "CalEventType_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "CalEventType_eventTypeId_key" UNIQUE ("eventTypeId", "userUlid")
);
COMMENT ON TABLE dibs."CalEventType" IS
'Event types of the calendar source: price in minor units, length in minutes; settings says which provider and location policy its bookings have.';

CREATE TABLE dibs."CalChange" (
	"ulid"        char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"userUlid"    char(26) COLLATE "C" NOT NULL,
	"bookingUlid" char(26) COLLATE "C",
	"uid"         text,
	"account"     text COLLATE "C" NOT NULL DEFAULT '',
	"kind"        text NOT NULL,
	"data"        jsonb NOT NULL DEFAULT '{}',
	"state"       text NOT NULL DEFAULT 'waiting',
	"maybeSent"   boolean NOT NULL DEFAULT false,
	"sentAt"      timestamptz(6),
	"errorCode"   text,
	"error"       text,
	"answer"      jsonb,
	"createdAt"   timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"   timestamptz(6) NOT NULL DEFAULT now(),
	"endedAt"     timestamptz(6),
	CONSTRAINT "CalChange_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "CalChange_kind_check" CHECK ("kind" IN ('create', 'reschedule', 'cancel', 'confirm', 'decline', 'absent', 'guests',
		'location', 'reassign', 'managed_user', 'event_type_create', 'event_type_update')),
	CONSTRAINT "CalChange_state_check" CHECK ("state" IN ('waiting', 'done', 'refused', 'failed'))
);
CREATE INDEX "CalChange_booking_idx" ON dibs."CalChange" ("bookingUlid", "ulid");
COMMENT ON TABLE dibs."CalChange" IS
'What is wanted at Cal.com, and what became of it: written with the booking, done by the worker, one after the other for a booking. refused: Cal.com''s last word is in error. maybeSent: a request was sent whose answer did not come.';

CREATE TABLE dibs."CalWebhook" (
	"ulid"       char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"account"    text COLLATE "C" NOT NULL,
	"url"        text COLLATE "C" NOT NULL,
	"externalId" text,
	"state"      text NOT NULL DEFAULT 'wanted',
	"repairs"    integer NOT NULL DEFAULT 0,
	"errorCode"  text,
	"error"      text,
	"checkedAt"  timestamptz(6),
	"createdAt"  timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"  timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "CalWebhook_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "CalWebhook_url_key" UNIQUE ("account", "url"),
	CONSTRAINT "CalWebhook_state_check" CHECK ("state" IN ('wanted', 'registered', 'failed'))
);
COMMENT ON TABLE dibs."CalWebhook" IS
'Webhooks that dibs keeps registered at Cal.com (dibs.cal_register_webhook). account: '''' is the platform''s own, else the ulid of a "ProviderAccount". repairs: how often it was not as it should be.';

CREATE TABLE dibs."CalKey" (
	"ulid"      char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"account"   text COLLATE "C" NOT NULL,
	"days"      integer NOT NULL,
	"state"     text NOT NULL DEFAULT 'wanted',
	"secret"    integer,
	"renewedAt" timestamptz(6),
	"expiresAt" timestamptz(6),
	"sentAt"    timestamptz(6),
	"errorCode" text,
	"error"     text,
	"createdAt" timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt" timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "CalKey_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "CalKey_account_key" UNIQUE ("account"),
	CONSTRAINT "CalKey_days_check" CHECK ("days" BETWEEN 1 AND 3650),
	CONSTRAINT "CalKey_state_check" CHECK ("state" IN ('wanted', 'renewing', 'renewed', 'lost'))
);
COMMENT ON TABLE dibs."CalKey" IS
'API keys of Cal.com''s that dibs keeps from running out (dibs.cal_keep_key). account: '''' is the platform''s own, else the ulid of a "ProviderAccount". secret: the generation of cal.api_key that this is about. renewing: a request is on its way, or its answer did not come. lost: the key is dead, a new one has to be made at Cal.com.';

CREATE TABLE dibs."WebhookEvent" (
	"ulid"        char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"source"      text NOT NULL,
	"trigger"     text,
	"dedupeKey"   text COLLATE "C" NOT NULL,
	"sha256"      bytea NOT NULL,
	"payload"     jsonb,
	"uid"         text,
	"sentAt"      timestamptz(6),
	"outcome"     text NOT NULL,
	"attempts"    integer NOT NULL DEFAULT 0,
	"error"       text,
	"errorCode"   text,
	"processed"   boolean NOT NULL DEFAULT false,
	"userUlid"    char(26) COLLATE "C",
	"bookingUlid" char(26) COLLATE "C",
	"waitsFor"    text COLLATE "C",
	"dueAt"       timestamptz(6),
	"instance"    text COLLATE "C" NOT NULL DEFAULT dibs.instance_id(),
	"createdAt"   timestamptz(6) NOT NULL DEFAULT now(),
	"processedAt" timestamptz(6),
	CONSTRAINT "WebhookEvent_pkey" PRIMARY KEY ("ulid"),
	-- unique, by a hash index: the keys are random, a btree of a million of them would be three blocks deep and ten times
	-- as large
	CONSTRAINT "WebhookEvent_dedupeKey_key" EXCLUDE USING hash ("dedupeKey" WITH =),
	CONSTRAINT "WebhookEvent_outcome_check" CHECK (dibs.is_outcome("outcome"))
);
CREATE INDEX "WebhookEvent_due_idx" ON dibs."WebhookEvent" ("dueAt") WHERE "dueAt" IS NOT NULL;
CREATE INDEX "WebhookEvent_waitsFor_idx" ON dibs."WebhookEvent" ("waitsFor") WHERE "waitsFor" IS NOT NULL;
CREATE INDEX "WebhookEvent_unmatched_idx" ON dibs."WebhookEvent" ("createdAt") WHERE "outcome" = 'unmatched';
CREATE INDEX "WebhookEvent_failed_idx" ON dibs."WebhookEvent" ("createdAt") WHERE "outcome" = 'failed';
-- uids are random: a btree of them would grow by levels, and every delivery would touch one more block
CREATE INDEX "WebhookEvent_uid_idx" ON dibs."WebhookEvent" USING hash ("uid");
CREATE INDEX "WebhookEvent_payload_idx" ON dibs."WebhookEvent" ("createdAt") WHERE "payload" IS NOT NULL;
-- Compressing a payload is a tenth of the work of receiving it; lz4 takes a fraction of that, where the server has it.
BEGIN
	ALTER TABLE dibs."WebhookEvent" ALTER "payload" SET COMPRESSION lz4;
	ALTER TABLE dibs."CalBooking" ALTER "bookingFields" SET COMPRESSION lz4, ALTER "metadata" SET COMPRESSION lz4,
		ALTER "participants" SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
	NULL;
END;
COMMENT ON TABLE dibs."WebhookEvent" IS
'Every genuine delivery, once. payload is without bearer values (sha256 is of the raw body) and goes after dibs.webhook_retention; the row with its dedupeKey stays.';

CREATE TABLE dibs."SealedPayload" (
	"ulid"        char(26) COLLATE "C" NOT NULL,
	"sealed"      bytea NOT NULL,
	CONSTRAINT "SealedPayload_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "SealedPayload_event_fkey" FOREIGN KEY ("ulid") REFERENCES dibs."WebhookEvent" ("ulid") ON DELETE CASCADE
);
COMMENT ON TABLE dibs."SealedPayload" IS
'The whole payload, sealed, of a "WebhookEvent" of the same ulid that came with bearer values and could not be applied at once. Goes when the event has been applied or has failed, and with its payload.';

CREATE TABLE dibs."Meeting" (
	"ulid"        char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"userUlid"    char(26) COLLATE "C" NOT NULL,
	"bookingUlid" char(26) COLLATE "C",
	"provider"    text NOT NULL,
	"state"       text NOT NULL,
	"account"     text,
	"host"        text,
	"externalId"  text,
	"externalUuid" text,
	"marker"      text NOT NULL,
	"adopted"     boolean NOT NULL DEFAULT false,
	"joinUrl"     text,
	"hostUrl"     text,
	"passcode"    text,
	"startTime"   timestamptz(6),
	"endTime"     timestamptz(6),
	"digest"      bytea,
	"version"     integer NOT NULL DEFAULT 0,
	"fence"       char(26) COLLATE "C",
	"lookups"     integer NOT NULL DEFAULT 0,
	"attempts"    integer NOT NULL DEFAULT 0,
	"dueAt"       timestamptz(6) NOT NULL DEFAULT '-infinity',
	"errorCode"   text,
	"error"       text,
	"sentAt"      timestamptz(6),
	"answeredAt"  timestamptz(6),
	"instance"    text COLLATE "C" NOT NULL DEFAULT dibs.instance_id(),
	"createdAt"   timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"   timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "Meeting_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "Meeting_booking_key" UNIQUE ("bookingUlid", "userUlid"),
	CONSTRAINT "Meeting_state_check" CHECK ("state" IN ('creating', 'ready', 'updating', 'deleting', 'gone')),
	CONSTRAINT "Meeting_booking_fkey" FOREIGN KEY ("bookingUlid", "userUlid")
		REFERENCES dibs."CalBooking" ("ulid", "userUlid") ON DELETE SET NULL ("bookingUlid")
);
-- Tombstones: meetings whose booking is gone and that still have to go at the provider.
CREATE INDEX "Meeting_tombstone_idx" ON dibs."Meeting" ("dueAt") WHERE "bookingUlid" IS NULL AND "state" <> 'gone';
-- When a host is taken, for choosing one of several.
CREATE INDEX "Meeting_host_idx" ON dibs."Meeting" ("host", "startTime") WHERE "state" <> 'gone' AND "host" IS NOT NULL;
-- Rooms that came with bookings, by their name: the last part of their link. No link that is longer than any room's, which
-- might not fit an index.
CREATE INDEX "Meeting_room_idx" ON dibs."Meeting" (substring("joinUrl" FROM '([^/?#]+)/*([?#].*)?$')) WHERE "provider" IN ('source', 'static', 'manual') AND octet_length("joinUrl") <= 2048;
CREATE INDEX "Meeting_externalId_idx" ON dibs."Meeting" ("provider", "externalId") WHERE "externalId" IS NOT NULL;
COMMENT ON TABLE dibs."Meeting" IS
'What exists (or may exist) at the provider. Written before a request is sent; what the provider answers is always recorded here. bookingUlid null: a tombstone, to be removed at the provider.';

CREATE TABLE dibs."PendingMeeting" (
	"ulid"        char(26) COLLATE "C" NOT NULL,
	"userUlid"    char(26) COLLATE "C" NOT NULL,
	"bookingUlid" char(26) COLLATE "C",
	"meetingUlid" char(26) COLLATE "C",
	"action"      text NOT NULL,
	"generation"  integer NOT NULL,
	"fence"       char(26) COLLATE "C" NOT NULL,
	"inFlight"    boolean NOT NULL,
	"leaseUntil"  timestamptz(6) NOT NULL,
	"attempts"    integer NOT NULL DEFAULT 0,
	"errorCode"   text,
	"lastError"   text,
	"instance"    text COLLATE "C" NOT NULL DEFAULT dibs.instance_id(),
	"createdAt"   timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"   timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "PendingMeeting_pkey" PRIMARY KEY ("ulid")
);
-- When a lost claim comes back. When a next try is due says the booking's, or the meeting's, "dueAt".
CREATE INDEX "PendingMeeting_leaseUntil_idx" ON dibs."PendingMeeting" ("leaseUntil") WHERE "inFlight";
COMMENT ON TABLE dibs."PendingMeeting" IS
'The work on bookings whose wanted and done differ, and on tombstones: ulid is the booking''s, or a tombstone''s meeting''s. generation is the version being worked on, fence names one claim. leaseUntil is when the claim ends (inFlight), or before which there is no next try. Can be rebuilt from "CalBooking" and "Meeting".';

CREATE TABLE dibs."HostUsage" (
	"provider" text NOT NULL,
	"account"  text NOT NULL,
	"host"     text COLLATE "C" NOT NULL,
	"day"      timestamptz(6) NOT NULL,
	"used"     integer NOT NULL,
	CONSTRAINT "HostUsage_pkey" PRIMARY KEY ("provider", "account", "host")
);
COMMENT ON TABLE dibs."HostUsage" IS
'Creates and updates that each host of a provider has had in the provider''s day that began at "day". Counted with the claim, before the request: what a crash leaves unanswered stays counted.';

CREATE TABLE dibs."MeetingRecording" (
	"ulid"        char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"userUlid"    char(26) COLLATE "C" NOT NULL,
	"bookingUlid" char(26) COLLATE "C",
	"meetingUlid" char(26) COLLATE "C",
	"sessionUlid" char(26) COLLATE "C",
	"provider"    text NOT NULL,
	"externalId"  text NOT NULL,
	"type"        text,
	"format"      text,
	"state"       text NOT NULL,
	"stateAt"     timestamptz(6) NOT NULL DEFAULT now(),
	"startTime"   timestamptz(6),
	"endTime"     timestamptz(6),
	"bytes"       bigint,
	"downloadUrl" text,
	"playUrl"     text,
	"token"       bytea,
	"tokenUntil"  timestamptz(6),
	"expiresAt"   timestamptz(6),
	"createdAt"   timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"   timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "MeetingRecording_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "MeetingRecording_externalId_key" UNIQUE ("provider", "externalId", "userUlid"),
	CONSTRAINT "MeetingRecording_state_check" CHECK ("state" IN ('ready', 'trashed', 'deleted'))
);
CREATE INDEX "MeetingRecording_booking_idx" ON dibs."MeetingRecording" ("bookingUlid", "userUlid");
COMMENT ON TABLE dibs."MeetingRecording" IS
'Files of recordings at the provider: ready, in its bin (trashed), or deleted. expiresAt is when the provider deletes one. token is sealed and opens downloadUrl, or is itself the link where that is null; dibs.recording_url() hands out a link.';

CREATE TABLE dibs."MeetingSession" (
	"ulid"           char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"userUlid"       char(26) COLLATE "C" NOT NULL,
	"bookingUlid"    char(26) COLLATE "C",
	"meetingUlid"    char(26) COLLATE "C",
	"provider"       text NOT NULL,
	"externalId"     text,
	"externalUuid"   text COLLATE "C" NOT NULL,
	"startedAt"      timestamptz(6),
	"endedAt"        timestamptz(6),
	"seenAt"         timestamptz(6),
	"recordingState" text,
	"recordingAt"    timestamptz(6),
	"createdAt"      timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"      timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "MeetingSession_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "MeetingSession_externalUuid_key" UNIQUE ("provider", "externalUuid", "userUlid"),
	CONSTRAINT "MeetingSession_userUlid_ulid_key" UNIQUE ("userUlid", "ulid"),
	CONSTRAINT "MeetingSession_booking_fkey" FOREIGN KEY ("bookingUlid", "userUlid")
		REFERENCES dibs."CalBooking" ("ulid", "userUlid") ON DELETE SET NULL ("bookingUlid")
);
CREATE INDEX "MeetingSession_booking_idx" ON dibs."MeetingSession" ("bookingUlid", "userUlid");
COMMENT ON TABLE dibs."MeetingSession" IS
'One time that a meeting ran, as its provider told: a meeting that ended can start again, under another externalUuid. seenAt is the earliest thing told of it; recordingState is recording, paused, stopped or failed. One row of a booking may have no times: what is told of people without saying in which run gathers there.';

CREATE TABLE dibs."MeetingAttendance" (
	"ulid"            char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"userUlid"        char(26) COLLATE "C" NOT NULL,
	"bookingUlid"     char(26) COLLATE "C",
	"sessionUlid"     char(26) COLLATE "C" NOT NULL,
	"connection"      text COLLATE "C" NOT NULL,
	"participantUlid" char(26) COLLATE "C",
	"role"            text NOT NULL DEFAULT 'guest',
	"externalUserId"  text,
	"email"           text,
	"name"            text,
	"registrantId"    text,
	"waitingAt"       timestamptz(6),
	"gaveUpAt"        timestamptz(6),
	"admittedAt"      timestamptz(6),
	"joinedAt"        timestamptz(6),
	"leftAt"          timestamptz(6),
	"closed"          boolean NOT NULL DEFAULT false,
	"reason"          text,
	"createdAt"       timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"       timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "MeetingAttendance_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "MeetingAttendance_role_check" CHECK ("role" IN ('guest', 'participant', 'host')),
	CONSTRAINT "MeetingAttendance_session_fkey" FOREIGN KEY ("userUlid", "sessionUlid")
		REFERENCES dibs."MeetingSession" ("userUlid", "ulid") ON DELETE CASCADE,
	CONSTRAINT "MeetingAttendance_booking_fkey" FOREIGN KEY ("bookingUlid", "userUlid")
		REFERENCES dibs."CalBooking" ("ulid", "userUlid") ON DELETE SET NULL ("bookingUlid")
);
CREATE INDEX "MeetingAttendance_booking_idx" ON dibs."MeetingAttendance" ("bookingUlid", "userUlid");
CREATE INDEX "MeetingAttendance_session_idx" ON dibs."MeetingAttendance" ("sessionUlid");
COMMENT ON TABLE dibs."MeetingAttendance" IS
'One presence: somebody came in on one connection, and left. closed: nobody told of the leaving; the next join or the meeting''s end stands for it. role is host, participant (of the booking) or guest (nobody knows who).';

CREATE TABLE dibs."Event" (
	"ulid"        char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"userUlid"    char(26) COLLATE "C" NOT NULL,
	"bookingUlid" char(26) COLLATE "C",
	"type"        text NOT NULL,
	"data"        jsonb NOT NULL DEFAULT '{}',
	"xid"         xid8 NOT NULL DEFAULT pg_current_xact_id(),
	"instance"    text COLLATE "C" NOT NULL DEFAULT dibs.instance_id(),
	"createdAt"   timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "Event_pkey" PRIMARY KEY ("ulid")
);
CREATE INDEX "Event_cursor_idx" ON dibs."Event" ("instance", "xid", "ulid");
CREATE INDEX "Event_booking_idx" ON dibs."Event" ("bookingUlid", "ulid");
COMMENT ON TABLE dibs."Event" IS 'What applications follow, append-only: booking.created, booking.rescheduled, booking.cancelled, meeting.ready, meeting.failed …';

CREATE TABLE dibs."Job" (
	"ulid"       char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"kind"       text NOT NULL,
	"key"        text COLLATE "C" NOT NULL DEFAULT '',
	"args"       jsonb NOT NULL DEFAULT '{}',
	"state"      text NOT NULL DEFAULT 'waiting',
	"dueAt"      timestamptz(6) NOT NULL DEFAULT '-infinity',
	"leaseUntil" timestamptz(6),
	"fence"      char(26) COLLATE "C",
	"attempts"   integer NOT NULL DEFAULT 0,
	"progress"   jsonb NOT NULL DEFAULT '{}',
	"errorCode"  text,
	"error"      text,
	"instance"   text COLLATE "C" NOT NULL DEFAULT dibs.instance_id(),
	"createdAt"  timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt"  timestamptz(6) NOT NULL DEFAULT now(),
	"endedAt"    timestamptz(6),
	CONSTRAINT "Job_pkey" PRIMARY KEY ("ulid"),
	CONSTRAINT "Job_state_check" CHECK ("state" IN ('waiting', 'done', 'failed'))
);
CREATE UNIQUE INDEX "Job_open_key" ON dibs."Job" ("kind", "key") WHERE "state" = 'waiting';
CREATE INDEX "Job_due_idx" ON dibs."Job" ("dueAt") WHERE "state" = 'waiting';
COMMENT ON TABLE dibs."Job" IS 'Due work that is not a meeting: key rotation, replay, retention, resync, adoption. One open job for each kind and key.';

CREATE TABLE dibs."Instance" (
	"instance"  text COLLATE "C" NOT NULL,
	"site"      text NOT NULL,
	"timeline"  integer NOT NULL,
	"cautiousSince" timestamptz(6) NOT NULL DEFAULT '-infinity',
	"quietUntil" timestamptz(6) NOT NULL DEFAULT '-infinity',
	"createdAt" timestamptz(6) NOT NULL DEFAULT now(),
	"updatedAt" timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "Instance_pkey" PRIMARY KEY ("instance")
);
COMMENT ON TABLE dibs."Instance" IS
'The database that these rows belong to, written at the worker''s first settle. A row of another one means that this is a copy: the worker holds until dibs.adopt(). Meetings for bookings older than cautiousSince (adoption, failover) are looked for at the provider before they are made; after a failover, not before quietUntil, because what the lost server had sent may still be carried out.';

CREATE TABLE dibs."AccessGrant" (
	"role"      text NOT NULL,
	"level"     text NOT NULL,
	"createdAt" timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "AccessGrant_pkey" PRIMARY KEY ("role", "level"),
	CONSTRAINT "AccessGrant_level_check" CHECK ("level" IN ('webhook', 'public', 'member', 'app', 'monitor', 'admin'))
);
COMMENT ON TABLE dibs."AccessGrant" IS 'Roles and the level of access that they were given.';

CREATE TABLE dibs."AuditLog" (
	"ulid"      char(26) COLLATE "C" NOT NULL DEFAULT dibs.gen_ulid(),
	"login"     text NOT NULL DEFAULT session_user,
	"role"      text NOT NULL DEFAULT session_user,
	"subject"   text,
	"action"    text NOT NULL,
	"object"    text,
	"data"      jsonb NOT NULL DEFAULT '{}',
	"createdAt" timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "AuditLog_pkey" PRIMARY KEY ("ulid")
);
CREATE INDEX "AuditLog_object_idx" ON dibs."AuditLog" ("object");
COMMENT ON TABLE dibs."AuditLog" IS 'Who did what through dibs'' functions: the role that logged in, the one it had set, and whom it acted for; no secret. Nobody but the owner changes or deletes a row. Direct writes are the database''s own audit''s matter.';

CREATE TRIGGER "~dibs" BEFORE INSERT OR UPDATE ON dibs."CalBooking"
	FOR EACH ROW EXECUTE FUNCTION dibs.booking_before_write();
CREATE TRIGGER "~dibs_delete" AFTER DELETE ON dibs."CalBooking"
	FOR EACH ROW EXECUTE FUNCTION dibs.booking_after_delete();
CREATE TRIGGER "~dibs_truncate" BEFORE TRUNCATE ON dibs."CalBooking"
	FOR EACH STATEMENT EXECUTE FUNCTION dibs.refuse_truncate();
CREATE TRIGGER "~dibs_truncate" BEFORE TRUNCATE ON dibs."Meeting"
	FOR EACH STATEMENT EXECUTE FUNCTION dibs.refuse_truncate();
CREATE TRIGGER "~dibs" BEFORE UPDATE ON dibs."CoachZoomConfig" FOR EACH ROW EXECUTE FUNCTION dibs.touch();
CREATE TRIGGER "~dibs" BEFORE UPDATE ON dibs."Coach" FOR EACH ROW EXECUTE FUNCTION dibs.touch();
CREATE TRIGGER "~dibs" BEFORE UPDATE ON dibs."BookingParticipant" FOR EACH ROW EXECUTE FUNCTION dibs.participant_before_update();
CREATE TRIGGER "~dibs" BEFORE UPDATE ON dibs."ProviderAccount" FOR EACH ROW EXECUTE FUNCTION dibs.touch();
CREATE TRIGGER "~dibs" BEFORE UPDATE ON dibs."MeetingSession" FOR EACH ROW EXECUTE FUNCTION dibs.touch();
CREATE TRIGGER "~dibs" BEFORE UPDATE ON dibs."MeetingAttendance" FOR EACH ROW EXECUTE FUNCTION dibs.touch();
CREATE TRIGGER "~dibs" BEFORE UPDATE ON dibs."MeetingRecording" FOR EACH ROW EXECUTE FUNCTION dibs.touch();
CREATE TRIGGER "~dibs" BEFORE UPDATE ON dibs."CalEventType" FOR EACH ROW EXECUTE FUNCTION dibs.touch();

-- One statement a table: pg_extension_config_dump in a SELECT over several fails.
PERFORM pg_extension_config_dump('dibs."Coach"', '');
PERFORM pg_extension_config_dump('dibs."CalBooking"', '');
PERFORM pg_extension_config_dump('dibs."CoachZoomConfig"', '');
PERFORM pg_extension_config_dump('dibs."BookingUid"', '');
PERFORM pg_extension_config_dump('dibs."BookingParticipant"', '');
PERFORM pg_extension_config_dump('dibs."ProviderAccount"', '');
PERFORM pg_extension_config_dump('dibs."UserKey"', '');
PERFORM pg_extension_config_dump('dibs."CalEventType"', '');
PERFORM pg_extension_config_dump('dibs."CalChange"', '');
PERFORM pg_extension_config_dump('dibs."CalWebhook"', '');
PERFORM pg_extension_config_dump('dibs."CalKey"', '');
PERFORM pg_extension_config_dump('dibs."WebhookEvent"', '');
PERFORM pg_extension_config_dump('dibs."SealedPayload"', '');
PERFORM pg_extension_config_dump('dibs."Meeting"', '');
PERFORM pg_extension_config_dump('dibs."PendingMeeting"', '');
PERFORM pg_extension_config_dump('dibs."HostUsage"', '');
PERFORM pg_extension_config_dump('dibs."MeetingRecording"', '');
PERFORM pg_extension_config_dump('dibs."MeetingSession"', '');
PERFORM pg_extension_config_dump('dibs."MeetingAttendance"', '');
PERFORM pg_extension_config_dump('dibs."Event"', '');
PERFORM pg_extension_config_dump('dibs."Job"', '');
PERFORM pg_extension_config_dump('dibs."Instance"', '');
PERFORM pg_extension_config_dump('dibs."AccessGrant"', '');
PERFORM pg_extension_config_dump('dibs."AuditLog"', '');

GRANT SELECT, INSERT, UPDATE ON dibs."Coach", dibs."BookingUid", dibs."BookingParticipant", dibs."WebhookEvent",
	dibs."Meeting", dibs."PendingMeeting", dibs."HostUsage", dibs."MeetingRecording", dibs."MeetingSession",
	dibs."MeetingAttendance", dibs."Event", dibs."Job", dibs."Instance",
	dibs."CalBooking" TO dibs_worker;
GRANT SELECT, UPDATE, DELETE ON dibs."SealedPayload" TO dibs_worker;
-- two rows that turn out to be one booking are merged, a booking that goes to another coach is made anew
GRANT DELETE ON dibs."PendingMeeting", dibs."Job", dibs."CalBooking", dibs."BookingUid" TO dibs_worker;
GRANT INSERT ON dibs."ProviderAccount", dibs."AuditLog" TO dibs_worker;
GRANT INSERT, UPDATE ON dibs."CalEventType" TO dibs_worker;
GRANT SELECT, UPDATE ON dibs."CalChange", dibs."CalWebhook", dibs."CalKey" TO dibs_worker;
GRANT INSERT, DELETE ON dibs."CalChange" TO dibs_worker;
GRANT SELECT ON dibs."CoachZoomConfig", dibs."ProviderAccount", dibs."UserKey", dibs."CalEventType" TO dibs_worker;
-- whoever writes a table needs what its CHECKs call
GRANT EXECUTE ON FUNCTION dibs.is_participant_status(text), dibs.is_outcome(text) TO dibs_worker;

END
$make$;
