-- access_people: forgetting people, and telling them what there is of them.

DO $make$
BEGIN
IF NOT dibs.tables_wanted() THEN
	RETURN;
END IF;

CREATE TABLE dibs."Forgotten" (
	"hash"      bytea NOT NULL,
	"kind"      text NOT NULL,
	"createdAt" timestamptz(6) NOT NULL DEFAULT now(),
	CONSTRAINT "Forgotten_pkey" PRIMARY KEY ("hash"),
	CONSTRAINT "Forgotten_kind_check" CHECK ("kind" IN ('salt', 'person', 'user', 'account'))
);
COMMENT ON TABLE dibs."Forgotten" IS
'Whom dibs was told to forget, as salted hashes: a replay, a late webhook or a sync does not bring them back. What they book later is new.';

PERFORM pg_extension_config_dump('dibs."Forgotten"', '');
GRANT SELECT ON dibs."Forgotten" TO dibs_worker;

END
$make$;

CREATE OR REPLACE FUNCTION dibs.forgotten_changed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'dibs_forgotten_changed';
REVOKE ALL ON FUNCTION dibs.forgotten_changed() FROM PUBLIC;
COMMENT ON FUNCTION dibs.forgotten_changed() IS 'Makes every backend look again whether anybody was forgotten.';

DO $make$
BEGIN
	IF dibs.tables_wanted() THEN
		CREATE TRIGGER "~dibs" AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON dibs."Forgotten"
			FOR EACH STATEMENT EXECUTE FUNCTION dibs.forgotten_changed();
	END IF;
END
$make$;

CREATE OR REPLACE FUNCTION dibs.forgotten_hash(kind text, value text) RETURNS bytea
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT sha256(s."hash" || convert_to(forgotten_hash.kind || ':' || lower(value), 'UTF8'))
		FROM dibs."Forgotten" s WHERE s."kind" = 'salt' LIMIT 1);
END
$$;
REVOKE ALL ON FUNCTION dibs.forgotten_hash(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dibs.forgotten_hash(text, text) TO dibs_worker;
COMMENT ON FUNCTION dibs.forgotten_hash(text, text) IS 'What "Forgotten" keeps of somebody; NULL while nobody was forgotten.';

CREATE OR REPLACE FUNCTION dibs.remember_forgotten(kind text, name text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- one salt: who makes the first waits for nobody else to do so
	LOCK TABLE dibs."Forgotten" IN SHARE ROW EXCLUSIVE MODE;
	IF NOT EXISTS (SELECT FROM dibs."Forgotten" s WHERE s."kind" = 'salt') THEN
		INSERT INTO dibs."Forgotten" ("hash", "kind") VALUES (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'salt');
	END IF;
	INSERT INTO dibs."Forgotten" AS f ("hash", "kind") VALUES (dibs.forgotten_hash(remember_forgotten.kind, name), remember_forgotten.kind)
	ON CONFLICT ON CONSTRAINT "Forgotten_pkey" DO UPDATE SET "createdAt" = excluded."createdAt";
END
$$;
REVOKE ALL ON FUNCTION dibs.remember_forgotten(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.remember_forgotten(text, text) IS 'Adds a hash to "Forgotten".';

CREATE OR REPLACE FUNCTION dibs.scrub_json(data jsonb, email text) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT regexp_replace(data::text, regexp_replace(trim('"' FROM to_json(email)::text), '([^a-zA-Z0-9])', '\\\1', 'g'), '[forgotten]', 'gi')::jsonb
$$;
REVOKE ALL ON FUNCTION dibs.scrub_json(jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.scrub_json(jsonb, text) IS 'JSON with every mention of an address replaced.';

CREATE OR REPLACE FUNCTION dibs.start_forgetting(job_kind text, job_key text, job_args jsonb) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	job text;
BEGIN
	INSERT INTO dibs."Job" AS j ("kind", "key", "args") VALUES (job_kind, job_key, job_args)
	ON CONFLICT ("kind", "key") WHERE "state" = 'waiting' DO UPDATE SET "dueAt" = '-infinity'
	RETURNING j."ulid" INTO job;
	PERFORM dibs.wake();
	RETURN job;
END
$$;
REVOKE ALL ON FUNCTION dibs.start_forgetting(text, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.start_forgetting(text, text, jsonb) IS 'The job of dibs.forget_person() and dibs.forget_user().';

CREATE OR REPLACE FUNCTION dibs.forget_person(email text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	address text := lower(trim(forget_person.email));
	hash text;
BEGIN
	IF coalesce(address, '') !~ '^[^@\s]+@[^@\s]+$' THEN
		RAISE EXCEPTION 'that is no e-mail address' USING ERRCODE = '22023';
	END IF;
	PERFORM dibs.remember_forgotten('person', address);
	hash := encode(dibs.forgotten_hash('person', address), 'hex');
	PERFORM dibs.note_act('forget_person', hash);
	RETURN dibs.start_forgetting('forget_person', hash, jsonb_build_object('email', address));
END
$$;
REVOKE ALL ON FUNCTION dibs.forget_person(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.forget_person(text) IS
'Starts the job that forgets a person: cancels what they have ahead (their meetings are removed, their tokens end), then takes name, address and answers out of bookings, participants, events, kept payloads and the audit log. A hash stays, so that a replay or a sync does not bring them back; what they book later is new. Bookings stay without them, for the coach''s accounts. Gives the job''s ulid: dibs.job_progress says what it did. 22023 for what is no address.';

CREATE OR REPLACE FUNCTION dibs.forget_user(user_ulid char(26)) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	addresses jsonb;
BEGIN
	IF NOT coalesce(dibs.is_ulid(forget_user.user_ulid::text), false) THEN
		RAISE EXCEPTION '"%" is no ULID', rtrim(forget_user.user_ulid) USING ERRCODE = '22023';
	END IF;
	PERFORM dibs.remember_forgotten('user', forget_user.user_ulid::text);
	PERFORM dibs.remember_forgotten('account', a."provider" || ':' || n.name)
		FROM dibs."ProviderAccount" a, unnest(ARRAY[a."externalId", a."email", a."username"]) n(name)
		WHERE a."userUlid" = forget_user.user_ulid AND n.name IS NOT NULL;
	SELECT coalesce(jsonb_agg(DISTINCT lower(n.name)), '[]') INTO addresses FROM (
		SELECT c."email" AS name FROM dibs."Coach" c WHERE c."userUlid" = forget_user.user_ulid
		UNION SELECT a."email" FROM dibs."ProviderAccount" a WHERE a."userUlid" = forget_user.user_ulid) n
		WHERE n.name IS NOT NULL;
	PERFORM dibs.note_act('forget_user', encode(dibs.forgotten_hash('user', forget_user.user_ulid::text), 'hex'));
	RETURN dibs.start_forgetting('forget_user', encode(dibs.forgotten_hash('user', forget_user.user_ulid::text), 'hex'),
		jsonb_build_object('user', upper(forget_user.user_ulid), 'emails', addresses));
END
$$;
REVOKE ALL ON FUNCTION dibs.forget_user(char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.forget_user(char) IS
'Starts the job that forgets a coach: deletes their bookings, waits until their meetings are removed at the provider, then deletes their accounts and credentials, settings, event types, events and recordings'' rows, and what kept payloads and the audit log say of them. Hashes stay: later deliveries for their accounts are ignored, unless dibs.link_account() names the account again. Gives the job''s ulid: dibs.job_progress says what it did. 22023 for what is no ULID.';

-- The steps: each gives what it did, added up in the job's progress. part says which comes next, wait after how many seconds.

CREATE OR REPLACE FUNCTION dibs.forget_added(progress jsonb, did jsonb, part int, after text = NULL, wait int = 0) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_strip_nulls(progress - 'wait' - 'after' - 'part' || coalesce((
		SELECT jsonb_object_agg(d.key, coalesce((progress->>d.key)::bigint, 0) + d.value::bigint) FROM jsonb_each_text(did) d), '{}')
		|| jsonb_build_object('part', part, 'after', after, 'wait', nullif(wait, 0)))
$$;
REVOKE ALL ON FUNCTION dibs.forget_added(jsonb, jsonb, int, text, int) FROM PUBLIC;
COMMENT ON FUNCTION dibs.forget_added(jsonb, jsonb, int, text, int) IS 'The progress of a job that forgets, with what one step did added.';

CREATE OR REPLACE FUNCTION dibs.forget_ahead(address text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	seat record;
	cancelled int := 0;
	left_seats int := 0;
BEGIN
	FOR seat IN
		SELECT b."ulid", b."userUlid", b."bookingType" = 'ONE_ON_ONE' AND lower(b."attendeeEmail") = address AS whole, b."status",
			b."endTime" > now() AS ahead
		FROM dibs."CalBooking" b
		WHERE lower(b."attendeeEmail") = address OR EXISTS (SELECT FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid"
			AND p."userUlid" = b."userUlid" AND p."person" = address)
		ORDER BY b."ulid" FOR NO KEY UPDATE
	LOOP
		UPDATE dibs."BookingParticipant" p SET "tokenVersion" = p."tokenVersion" + 1,
			"status" = CASE WHEN seat.ahead THEN 'CANCELLED' ELSE p."status" END
			WHERE p."bookingUlid" = seat."ulid" AND p."userUlid" = seat."userUlid" AND p."person" = address;
		IF seat.ahead AND seat.whole AND seat."status" IN ('PENDING', 'CONFIRMED', 'IN_PROGRESS') THEN
			UPDATE dibs."CalBooking" b SET "status" = 'CANCELLED' WHERE b."ulid" = seat."ulid" AND b."userUlid" = seat."userUlid";
			cancelled := cancelled + 1;
		ELSIF seat.ahead THEN
			PERFORM dibs.derive_participants(seat."ulid", seat."userUlid");
			left_seats := left_seats + 1;
		END IF;
	END LOOP;
	RETURN jsonb_build_object('cancelled', cancelled, 'seatsGivenUp', left_seats);
END
$$;
REVOKE ALL ON FUNCTION dibs.forget_ahead(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.forget_ahead(text) IS 'Cancels what a person has ahead and ends their tokens.';

CREATE OR REPLACE FUNCTION dibs.forget_rows(address text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	keys char(26)[];
	seats int;
	bookings int;
	payloads int;
	events int;
	acts int;
	one record;
BEGIN
	SELECT array_agg(DISTINCT b."ulid") INTO keys FROM dibs."CalBooking" b
		WHERE lower(b."attendeeEmail") = address OR EXISTS (SELECT FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid"
			AND p."userUlid" = b."userUlid" AND p."person" = address)
			OR lower(b."cancelledByEmail") = address OR lower(b."rescheduledByEmail") = address;
	keys := coalesce(keys, '{}');
	UPDATE dibs."MeetingAttendance" m SET "email" = NULL, "name" = NULL, "externalUserId" = NULL, "registrantId" = NULL
		WHERE lower(m."email") = address OR m."participantUlid" IN (SELECT p."ulid" FROM dibs."BookingParticipant" p WHERE p."person" = address);
	UPDATE dibs."BookingParticipant" p SET "person" = 'forgotten:' || p."ulid", "email" = NULL, "name" = NULL, "timeZone" = NULL,
		"phone" = NULL, "joinUrl" = NULL, "validationToken" = NULL, "registrantId" = NULL WHERE p."person" = address;
	GET DIAGNOSTICS seats = ROW_COUNT;
	UPDATE dibs."CalBooking" b SET "attendeeEmail" = 'forgotten@invalid', "attendeeName" = NULL, "attendeeTimeZone" = NULL, "title" = 'Booking',
		"description" = NULL, "bookingFields" = '{}', "metadata" = '{}', "cancellationReason" = NULL, "reschedulingReason" = NULL,
		"customValidationToken" = NULL, "location" = CASE WHEN b."location"->>'kind' = 'phone' THEN NULL ELSE b."location" END
		WHERE b."ulid" = ANY (keys) AND lower(b."attendeeEmail") = address;
	GET DIAGNOSTICS bookings = ROW_COUNT;
	UPDATE dibs."CalBooking" b SET "cancelledByEmail" = nullif(lower(b."cancelledByEmail"), address),
		"rescheduledByEmail" = nullif(lower(b."rescheduledByEmail"), address), "bookingFields" = dibs.scrub_json(b."bookingFields", address),
		"metadata" = dibs.scrub_json(b."metadata", address)
		WHERE b."ulid" = ANY (keys);
	FOR one IN SELECT b."ulid", b."userUlid" FROM dibs."CalBooking" b WHERE b."ulid" = ANY (keys) LOOP
		PERFORM dibs.derive_participants(one."ulid", one."userUlid");
	END LOOP;
	UPDATE dibs."WebhookEvent" e SET "payload" = NULL, "error" = NULL
		WHERE e."payload" IS NOT NULL AND (e."bookingUlid" = ANY (keys)
			OR e."uid" IN (SELECT u."uid" FROM dibs."BookingUid" u WHERE u."bookingUlid" = ANY (keys)));
	GET DIAGNOSTICS payloads = ROW_COUNT;
	PERFORM dibs.drop_sealed_payloads();
	UPDATE dibs."Event" e SET "data" = dibs.scrub_json(e."data" - ARRAY['reason', 'name', 'email', 'by'], address)
		WHERE e."bookingUlid" = ANY (keys);
	GET DIAGNOSTICS events = ROW_COUNT;
	UPDATE dibs."AuditLog" a SET "data" = dibs.scrub_json(a."data" - ARRAY['reason', 'email', 'by'], address)
		WHERE a."object" = ANY (keys::text[]);
	GET DIAGNOSTICS acts = ROW_COUNT;
	RETURN jsonb_build_object('seats', seats, 'bookings', bookings, 'payloads', payloads, 'events', events, 'auditRows', acts);
END
$$;
REVOKE ALL ON FUNCTION dibs.forget_rows(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.forget_rows(text) IS 'Takes a person out of the bookings that they are in, and of what is kept about these.';

-- What is not reached by a booking is looked through from end to end, in batches.
CREATE OR REPLACE FUNCTION dibs.forget_mentions(part int, emails text[], user_ulid char(26), progress jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	batch constant int := 2000;
	seen int;
	last text;
	hits int := 0;
	what constant text[] := ARRAY['payloads', 'events', 'auditRows', 'jobs', 'changes'];
	tables constant text[] := ARRAY['WebhookEvent', 'Event', 'AuditLog', 'Job', 'CalChange'];
	pattern text := (SELECT string_agg(regexp_replace(trim('"' FROM to_json(e)::text), '([^a-zA-Z0-9])', '\\\1', 'g'), '|') FROM unnest(emails) e);
	columns constant text[] := ARRAY['concat(t."payload"::text, t."error")', 't."data"::text', 'concat(t."data"::text, t."subject", t."object")',
		'concat(t."args"::text, t."error")', 'concat(t."data"::text, t."error")'];
	writes constant text[] := ARRAY['"payload" = NULL, "error" = NULL', '"data" = ''{}''',
		'"data" = ''{"forgotten": true}'', "object" = CASE WHEN t."object" ~* $1 THEN ''[forgotten]'' ELSE t."object" END, '
			'"subject" = CASE WHEN t."subject" ~* $1 THEN ''[forgotten]'' ELSE t."subject" END',
		'"args" = ''{}'', "error" = NULL', '"data" = ''{}'', "error" = NULL'];
BEGIN
	IF user_ulid IS NOT NULL THEN
		pattern := concat_ws('|', pattern, user_ulid);
	END IF;
	EXECUTE format('SELECT count(*), max(s."ulid") FROM (SELECT t."ulid" FROM dibs.%I t WHERE t."ulid" > $1 ORDER BY t."ulid" LIMIT $2) s',
		tables[part]) INTO seen, last USING coalesce(progress->>'after', '')::char(26), batch;
	EXECUTE format('UPDATE dibs.%1$I t SET %2$s WHERE t."ulid" > $2 AND t."ulid" <= $3 AND %3$s ~* $1 %4$s', tables[part], writes[part],
		columns[part], CASE WHEN tables[part] IN ('Job', 'CalChange') THEN 'AND t."state" <> ''waiting''' ELSE '' END)
		USING pattern, coalesce(progress->>'after', '')::char(26), coalesce(last, '')::char(26);
	GET DIAGNOSTICS hits = ROW_COUNT;
	PERFORM dibs.drop_sealed_payloads();
	IF seen < batch THEN
		RETURN dibs.forget_added(progress, jsonb_build_object(what[part], hits), (progress->>'part')::int + 1);
	END IF;
	RETURN dibs.forget_added(progress, jsonb_build_object(what[part], hits), (progress->>'part')::int, last);
END
$$;
REVOKE ALL ON FUNCTION dibs.forget_mentions(int, text[], char, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dibs.forget_mentions(int, text[], char, jsonb) IS 'One batch of looking through webhooks, events, audit rows, jobs or changes for what mentions somebody.';

CREATE OR REPLACE FUNCTION dibs.forget_person_step(args jsonb, progress jsonb, OUT finished boolean, OUT next jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	waits constant int := 60;
	part int := coalesce((progress->>'part')::int, 0);
	address text := args->>'email';
	waiting int;
BEGIN
	finished := false;
	IF part = 0 THEN
		next := dibs.forget_added(progress, dibs.forget_ahead(address), 1);
	ELSIF part <= waits THEN
		-- the meetings, and registrations with the provider, go while it is still known whose they are
		SELECT (SELECT count(*) FROM dibs."CalBooking" b WHERE b."wanted" <> b."done" AND b."meetingState" <> 'failed'
				AND (lower(b."attendeeEmail") = address OR EXISTS (SELECT FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid"
					AND p."userUlid" = b."userUlid" AND p."person" = address)))
			+ (SELECT count(*) FROM dibs."BookingParticipant" p JOIN dibs."Job" j ON j."key" = p."ulid" AND j."kind" = 'registrant'
				AND j."state" = 'waiting' WHERE p."person" = address)
			INTO waiting;
		IF waiting = 0 OR part = waits THEN
			next := dibs.forget_added(progress, jsonb_build_object('meetingsLeft', waiting), waits + 1);
		ELSE
			next := dibs.forget_added(progress, '{}', part + 1, NULL, least(part, 10));
		END IF;
	ELSIF part = waits + 1 THEN
		next := dibs.forget_added(progress, dibs.forget_rows(address), waits + 2);
	ELSE
		next := dibs.forget_mentions(part - waits - 1, ARRAY[address], NULL, progress);
		finished := (next->>'part')::int > waits + 6;
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dibs.forget_person_step(jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dibs.forget_person_step(jsonb, jsonb) TO dibs_worker;
COMMENT ON FUNCTION dibs.forget_person_step(jsonb, jsonb) IS 'One step of the job of dibs.forget_person().';

CREATE OR REPLACE FUNCTION dibs.forget_coach_rows(coach char(26)) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	accounts int;
	events int;
BEGIN
	DELETE FROM dibs."ProviderCredential" c USING dibs."ProviderAccount" a WHERE c."accountUlid" = a."ulid" AND a."userUlid" = coach;
	-- keys and webhooks of their accounts; the jobs that used them find no account any more
	DELETE FROM dibs."Secret" s USING dibs."ProviderAccount" a WHERE s."account" = a."ulid"::text AND a."userUlid" = coach;
	DELETE FROM dibs."CalKey" k USING dibs."ProviderAccount" a WHERE k."account" = a."ulid"::text AND a."userUlid" = coach;
	DELETE FROM dibs."CalWebhook" w USING dibs."ProviderAccount" a WHERE w."account" = a."ulid"::text AND a."userUlid" = coach;
	DELETE FROM dibs."ProviderAccount" a WHERE a."userUlid" = coach;
	GET DIAGNOSTICS accounts = ROW_COUNT;
	DELETE FROM dibs."CoachZoomConfig" c WHERE c."userUlid" = coach;
	DELETE FROM dibs."CalEventType" t WHERE t."userUlid" = coach;
	DELETE FROM dibs."CalChange" c WHERE c."userUlid" = coach;
	DELETE FROM dibs."OAuthState" o WHERE o."userUlid" = coach;
	DELETE FROM dibs."MeetingSession" s WHERE s."userUlid" = coach;
	DELETE FROM dibs."MeetingRecording" r WHERE r."userUlid" = coach;
	DELETE FROM dibs."Meeting" m WHERE m."userUlid" = coach AND m."bookingUlid" IS NULL AND m."state" = 'gone';
	DELETE FROM dibs."Event" e WHERE e."userUlid" = coach;
	GET DIAGNOSTICS events = ROW_COUNT;
	DELETE FROM dibs."UserKey" k WHERE k."userUlid" = coach;
	DELETE FROM dibs."Coach" c WHERE c."userUlid" = coach;
	UPDATE dibs."WebhookEvent" w SET "payload" = NULL, "error" = NULL WHERE w."userUlid" = coach AND w."payload" IS NOT NULL;
	PERFORM dibs.drop_sealed_payloads();
	RETURN jsonb_build_object('accounts', accounts, 'events', events);
END
$$;
REVOKE ALL ON FUNCTION dibs.forget_coach_rows(char) FROM PUBLIC;
COMMENT ON FUNCTION dibs.forget_coach_rows(char) IS 'Deletes what there is of a coach besides bookings.';

CREATE OR REPLACE FUNCTION dibs.forget_user_step(args jsonb, progress jsonb, OUT finished boolean, OUT next jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	batch constant int := 500;
	waits constant int := 60;
	rows constant int := waits + 12;
	part int := coalesce((progress->>'part')::int, 0);
	coach char(26) := args->>'user';
	did int;
BEGIN
	finished := false;
	IF part = 0 THEN
		DELETE FROM dibs."CalBooking" b WHERE b."userUlid" = coach
			AND b."ulid" IN (SELECT o."ulid" FROM dibs."CalBooking" o WHERE o."userUlid" = coach ORDER BY o."ulid" LIMIT batch);
		GET DIAGNOSTICS did = ROW_COUNT;
		next := dibs.forget_added(progress, jsonb_build_object('bookings', did), CASE WHEN did < batch THEN 1 ELSE 0 END);
	ELSIF part <= waits THEN
		SELECT count(*) INTO did FROM dibs."Meeting" m WHERE m."userUlid" = coach AND m."bookingUlid" IS NULL AND m."state" <> 'gone';
		IF did = 0 THEN
			next := dibs.forget_added(progress, '{}', waits + 1);
		ELSIF part = waits THEN
			-- without the coach's account nobody could remove them any more
			RAISE EXCEPTION '% meetings are still at their provider', did USING ERRCODE = '55000', HINT = 'dibs.health() says why.';
		ELSE
			next := dibs.forget_added(progress, '{}', part + 1, NULL, least(part, 10));
		END IF;
	ELSIF part = waits + 1 THEN
		PERFORM dibs.disconnect_account(g.provider, coach) FROM (SELECT DISTINCT a."provider" AS provider FROM dibs."ProviderAccount" a
			JOIN dibs."ProviderCredential" c ON c."accountUlid" = a."ulid" WHERE a."userUlid" = coach AND c."state" <> 'revoking') g;
		next := dibs.forget_added(progress, '{}', waits + 2);
	ELSIF part < rows THEN
		SELECT count(*) INTO did FROM dibs."ProviderCredential" c JOIN dibs."ProviderAccount" a ON a."ulid" = c."accountUlid"
			WHERE a."userUlid" = coach;
		IF did = 0 THEN
			next := dibs.forget_added(progress, '{}', rows);
		ELSE
			next := dibs.forget_added(progress, '{}', part + 1, NULL, least(part - waits, 10));
		END IF;
	ELSIF part = rows THEN
		next := dibs.forget_added(progress, dibs.forget_coach_rows(coach), rows + 1);
	ELSE
		next := dibs.forget_mentions(part - rows, ARRAY(SELECT jsonb_array_elements_text(args->'emails')), coach, progress);
		finished := (next->>'part')::int > rows + 5;
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dibs.forget_user_step(jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dibs.forget_user_step(jsonb, jsonb) TO dibs_worker;
COMMENT ON FUNCTION dibs.forget_user_step(jsonb, jsonb) IS 'One step of the job of dibs.forget_user().';

CREATE OR REPLACE FUNCTION dibs.export_person(email text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	address text := lower(trim(export_person.email));
	answer jsonb;
BEGIN
	IF coalesce(address, '') !~ '^[^@\s]+@[^@\s]+$' THEN
		RAISE EXCEPTION 'that is no e-mail address' USING ERRCODE = '22023';
	END IF;
	SELECT jsonb_build_object('email', address, 'at', now(),
		'seats', (SELECT coalesce(jsonb_agg(jsonb_build_object('booking', b."ulid", 'title', b."title", 'startTime', b."startTime",
				'endTime', b."endTime", 'bookingStatus', b."status", 'status', p."status", 'email', p."email", 'name', p."name",
				'timeZone', p."timeZone", 'phone', p."phone", 'noShow', p."noShow", 'joinedAt', p."joinedAt", 'leftAt', p."leftAt",
				'answers', CASE WHEN p."isPrimary" THEN b."bookingFields" END,
				'rating', CASE WHEN p."isPrimary" THEN b."rating" END,
				'cancellationReason', CASE WHEN lower(b."cancelledByEmail") = address THEN b."cancellationReason" END,
				'reschedulingReason', CASE WHEN lower(b."rescheduledByEmail") = address THEN b."reschedulingReason" END)
				ORDER BY b."startTime"), '[]')
			FROM dibs."BookingParticipant" p JOIN dibs."CalBooking" b ON b."ulid" = p."bookingUlid" AND b."userUlid" = p."userUlid"
			WHERE p."person" = address),
		'coach', (SELECT coalesce(jsonb_agg(to_jsonb(c)), '[]') FROM dibs."Coach" c WHERE lower(c."email") = address),
		'accounts', (SELECT coalesce(jsonb_agg(jsonb_build_object('provider', a."provider", 'externalId', a."externalId", 'email', a."email",
				'username', a."username", 'state', a."state", 'createdAt', a."createdAt")), '[]')
			FROM dibs."ProviderAccount" a WHERE lower(a."email") = address),
		'payloads', (SELECT coalesce(jsonb_agg(jsonb_build_object('event', e."ulid", 'source', e."source", 'trigger', e."trigger",
				'createdAt', e."createdAt") ORDER BY e."ulid"), '[]')
			FROM dibs."WebhookEvent" e WHERE e."payload" IS NOT NULL AND position(address IN lower(e."payload"::text)) > 0),
		'acts', (SELECT coalesce(jsonb_agg(jsonb_build_object('action', a."action", 'object', a."object", 'createdAt', a."createdAt")
				ORDER BY a."ulid"), '[]')
			FROM dibs."AuditLog" a WHERE position(address IN lower(a."data"::text)) > 0))
		INTO answer;
	PERFORM dibs.note_act('export_person', encode(sha256(convert_to(address, 'UTF8')), 'hex'));
	RETURN answer;
END
$$;
REVOKE ALL ON FUNCTION dibs.export_person(text) FROM PUBLIC;
COMMENT ON FUNCTION dibs.export_person(text) IS
'What dibs has about a person, by e-mail address: seats with their answers, a coach''s row and accounts, which kept webhooks and audit rows mention them. Nobody else''s data. 22023 for what is no address.';
