# Every level × every table, view and function × own and others' rows: what may be read, written and called, and nothing
# else. As real roles over real connections, with claims set as PostgREST sets them.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DibsAccess;
use DibsTest;

my $db = 'postgres';
my $node = dibs_node('access', conf => 'dibs.worker = off');
setup_access($node, $db);

# --- every object is known

my $where = 'put it into dibs.access_table() in sql/access.sql; what webhook, public, member or monitor may use also into %expected of '
  . 'test/t/080_access.pl';
my $catalog = q{
	SELECT relname::text AS name FROM pg_class WHERE relnamespace = 'dibs'::regnamespace AND relkind NOT IN ('i', 'I', 't', 'c')
	UNION SELECT proname::text FROM pg_proc WHERE pronamespace = 'dibs'::regnamespace};
is($node->safe_psql($db, qq{SELECT name FROM ($catalog) c
	WHERE name NOT IN (SELECT o FROM dibs.access_table() t, string_to_table(t.objects, ' ') o) ORDER BY 1}), '', "every object has its levels: $where");
is($node->safe_psql($db, q{SELECT o FROM dibs.access_table() t, string_to_table(t.objects, ' ') o GROUP BY o HAVING count(*) > 1}), '',
	'every object stands there once');
is($node->safe_psql($db, q{SELECT string_agg(t.typname, ' ') FROM pg_type t WHERE t.typnamespace = 'dibs'::regnamespace
	AND t.typtype NOT IN ('c') AND t.typcategory <> 'A' AND t.typname <> 'CalBookingType'}), '', 'no other types');

# --- the restricted levels, word for word: a change of sql/access.sql alone is not enough

my $identifiers = 'gen_ulid is_ulid ulid_to_timestamp ulid_from_timestamp ulid_to_uuid uuid_to_ulid';
my $asking = 'current_user_ulid current_email is_admin sees_all';
my %expected = (
	none => '',
	webhook => 'WebhookInbox=INSERT receive_webhook receive_webhook_bytes cal_webhook zoom_webhook calendly_webhook daily_webhook jaas_webhook',
	public => "$identifiers $asking cal_event_types=SELECT join_meeting validate_session_token cal_slots oauth_callback",
	member => "$identifiers $asking cal_event_types=SELECT join_meeting validate_session_token cal_slots oauth_callback my_bookings=SELECT "
	  . 'my_seats=SELECT cal_bookings=SELECT public_participants create_booking update_booking confirm_booking decline_booking '
	  . 'cancel_booking reschedule_booking add_guests mark_no_show rate_booking booking_timeline create_meeting retry_meeting meeting_state update_meeting_status recording_url '
	  . 'generate_participant_token generate_participant_tokens generate_host_token revoke_tokens oauth_authorize_url disconnect_account '
	  . 'connections=SELECT host_url',
	monitor => 'worker_status=SELECT queue_status=SELECT webhook_status=SELECT failed_webhooks=SELECT job_progress=SELECT '
	  . 'secret_status=SELECT account_states=SELECT metrics=SELECT cal_status provider_calls due_bookings health version worker_slots refused_deliveries');

# app and admin: what the table says, and these bounds
my %bounds = (
	app => { never => qr/^(?:Secret|ProviderCredential|AuditLog|AccessGrant|Job|Instance)=|secret(?!_)|grant_access|revoke_access|adopt|rotate|abandon|replay/ },
	admin => { never => qr/^(?:Secret|ProviderCredential)=|^(?:AuditLog|AccessGrant|WebhookEvent|Job|Instance|Meeting|Event)=.*(?:INSERT|UPDATE|DELETE)|note_act/ });

# What a role really may, found by trying: EXPLAIN asks for the same privileges as running, and does nothing.
my $probe = <<'SQL';
CREATE FUNCTION pg_temp.tried(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'EXPLAIN ' || statement;
	RETURN true;
EXCEPTION WHEN insufficient_privilege THEN RETURN false;
	WHEN OTHERS THEN
		IF SQLERRM ~ 'cannot (insert into|update|delete from)' THEN RETURN false; END IF;
		RAISE;
END $$;
CREATE FUNCTION pg_temp.found() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	o record;
	rights text;
BEGIN
	FOR o IN SELECT c.oid, c.relname AS name, format('%I.%I', n.nspname, c.relname) AS q, (SELECT a.attname FROM pg_attribute a
			WHERE a.attrelid = c.oid AND a.attnum = 1) AS col
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'dibs' AND c.relkind IN ('r', 'v', 'p', 'm', 'f', 'S')
	LOOP
		rights := concat_ws('+', CASE WHEN pg_temp.tried('SELECT FROM ' || o.q) OR pg_temp.tried(format('SELECT %I FROM %s', o.col, o.q)) THEN 'SELECT' END,
			CASE WHEN pg_temp.tried(format('INSERT INTO %s DEFAULT VALUES', o.q)) THEN 'INSERT' END,
			CASE WHEN pg_temp.tried(format('UPDATE %s SET %I = NULL WHERE false', o.q, o.col)) THEN 'UPDATE' END,
			CASE WHEN pg_temp.tried(format('DELETE FROM %s WHERE false', o.q)) THEN 'DELETE' END,
			CASE WHEN has_table_privilege(o.oid, 'TRUNCATE') THEN 'TRUNCATE' END,
			CASE WHEN has_table_privilege(o.oid, 'TRIGGER') THEN 'TRIGGER' END,
			CASE WHEN has_any_column_privilege(o.oid, 'REFERENCES') THEN 'REFERENCES' END);
		IF rights <> '' THEN RETURN NEXT o.name || '=' || rights; END IF;
	END LOOP;
	FOR o IN SELECT p.oid, p.proname AS name, p.prokind, p.prorettype, (SELECT string_agg(format('s.a%s', i), ', ' ORDER BY i) FROM generate_series(1, p.pronargs) i) AS args,
			(SELECT string_agg(format('NULL::%s AS a%s', format_type(t, NULL), i), ', ' ORDER BY i) FROM unnest(p.proargtypes) WITH ORDINALITY u(t, i)) AS nulls
		FROM pg_proc p WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'dibs')
	LOOP
		-- a procedure cannot be explained, a trigger's function not called
		IF o.prokind = 'p' OR o.prorettype = 'trigger'::regtype THEN
			IF has_function_privilege(o.oid, 'EXECUTE') AND has_schema_privilege('dibs', 'USAGE') THEN RETURN NEXT o.name; END IF;
		ELSIF pg_temp.tried(format('SELECT dibs.%I(%s) FROM (SELECT %s OFFSET 0) s', o.name, coalesce(o.args, ''), coalesce(o.nulls, '1'))) THEN
			RETURN NEXT o.name;
		END IF;
	END LOOP;
END $$;
SELECT DISTINCT f FROM pg_temp.found() f ORDER BY 1
SQL

my %may;
foreach my $level (sort keys %login)
{
	my ($status, $out, $err) = @{ run_as($node, $db, $level, $probe, { sub => $ann }) };
	is($err, '', "$level: everything was tried");
	$may{$level} = [ split /\n/, $out ];
	next unless exists $expected{$level};
	# what PRODUCT names and is not there yet is not missing
	my %there = map { $_ => 1 } split /\n/, $node->safe_psql($db, $catalog);
	is_deeply($may{$level}, [ sort grep { my ($name) = split /=/; $there{$name} } split ' ', $expected{$level} ], "$level may use this and nothing else");
}
foreach my $level (qw(app admin))
{
	my @listed = split /\n/, $node->safe_psql($db, qq{
		SELECT DISTINCT CASE kind WHEN 'TABLE' THEN name || '=' || replace(privileges, ', ', '+') ELSE name END COLLATE "C"
		FROM dibs.access_objects() WHERE level = '$level' ORDER BY 1});
	is_deeply([ sort @{ $may{$level} } ], [ sort @listed ], "$level may use what sql/access.sql says");
	is_deeply([ grep { $_ =~ $bounds{$level}{never} } @listed ], [], "$level: not what it never may");
}
cmp_ok(scalar @{ $may{app} }, '>', 50, 'app: much');
is($node->safe_psql($db, q{SELECT count(*) FROM pg_proc p, aclexplode(p.proacl) a WHERE p.pronamespace = 'dibs'::regnamespace AND a.grantee = 0}),
	'0', 'nothing is granted to PUBLIC');
is($node->safe_psql($db, q{SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'dibs'::regnamespace AND p.proacl IS NULL}), '0',
	'no function has the default privileges');
is($node->safe_psql($db, q{SELECT string_agg(rolname, ' ') FROM pg_roles WHERE NOT rolsuper AND has_schema_privilege(oid, 'dibs', 'CREATE')}), '',
	'nobody may make anything in the schema');
is($node->safe_psql($db, q{SELECT string_agg(privilege_type, ' ' ORDER BY 1) FROM information_schema.role_table_grants
	WHERE table_schema = 'dibs' AND table_name = 'AuditLog' AND grantee = 'dibs_worker'}), 'INSERT', 'the worker only adds to the audit log');

# --- rows: own, others', nobody's

my %claims_of = (
	ann => { sub => $ann },
	first => { sub => 'unknown|1', email => 'First@ann.example' },
	second => { sub => 'unknown|2', email => 'second@ann.example' },
	nobody => { sub => 'unknown|3', email => 'first@ann.example', email_verified => JSON::PP::false },
	admin => { sub => $bob, app => { dibs => 'dibs_admin' } });
sub seen { my ($who, $sql) = @_; return (run_as($node, $db, 'member', $sql, $claims_of{$who}))->[1]; }

is(seen('ann', 'SELECT "calBookingUid" FROM dibs.my_bookings ORDER BY 1'), "ann-1\nann-2", 'a coach sees their bookings');
is(seen('ann', 'SELECT count(*) FROM dibs.my_seats'), '0', 'and no seats of others');
is(seen('ann', 'SELECT cal_uid FROM dibs.cal_bookings ORDER BY 1'), "ann-1\nann-2", 'in the other view, too');
is(seen('ann', 'SELECT title FROM dibs.cal_event_types ORDER BY 1'), "Intro ann\nIntro bob", 'the active event types');
is(seen('first', 'SELECT title, "email" FROM dibs.my_seats ORDER BY 1'), "ann 1|first\@ann.example\nann 2|first\@ann.example", 'an attendee sees their seats');
is(seen('second', 'SELECT title, "email" FROM dibs.my_seats ORDER BY 1'), "ann 2|second\@ann.example", 'in a group, too');
is(seen('first', 'SELECT count(*) FROM dibs.my_bookings'), '0', 'and no bookings');
is(seen('nobody', 'SELECT (SELECT count(*) FROM dibs.my_seats), (SELECT count(*) FROM dibs.my_bookings), (SELECT count(*) FROM dibs.cal_bookings)'),
	'0|0|0', 'an address that is not verified gives none');
is(seen('admin', 'SELECT count(*), (SELECT count(*) FROM dibs.my_bookings) FROM dibs.cal_bookings'), '4|2', 'an administrator by claim sees all');
is((run_as($node, $db, 'member', 'SELECT (SELECT count(*) FROM dibs.my_seats), (SELECT count(*) FROM dibs.my_bookings)'))->[1], '0|0', 'without claims: nothing');
is((run_as($node, $db, 'public', 'SELECT title FROM dibs.cal_event_types ORDER BY 1'))->[1], "Intro ann\nIntro bob", 'everybody: the active event types');

# Functions that take a booking: with somebody else's, each refuses, and nothing changes.
my $functions = $node->safe_psql($db, q{
	SELECT format('dibs.%I(%s)', p.proname, string_agg(CASE WHEN p.proargnames[i] = 'booking_id' THEN '''bob-2''' WHEN p.proargnames[i] = 'status' THEN '''COMPLETED''' WHEN t = 'text'::regtype THEN quote_literal('x@y.example')
		WHEN t = 'jsonb'::regtype THEN CASE p.proargnames[i] WHEN 'guests' THEN '''["x@y.example"]''' ELSE '''{"title": "taken"}''' END
		WHEN t = 'int'::regtype THEN '5' WHEN t = 'timestamptz'::regtype THEN '''2035-02-02T10:00:00Z''' ELSE 'NULL' END, ', ' ORDER BY i))
	FROM pg_proc p, unnest(p.proargtypes) WITH ORDINALITY u(t, i)
	WHERE p.pronamespace = 'dibs'::regnamespace AND has_function_privilege('web_member', p.oid, 'EXECUTE') AND 'booking_id' = ANY (p.proargnames)
	GROUP BY p.oid, p.proname ORDER BY p.proname});
my @functions = split /\n/, $functions;
cmp_ok(scalar @functions, '>=', 11, scalar(@functions) . ' functions take a booking');
my $all_rows = q{SELECT md5(string_agg(r, '') ) FROM (SELECT b::text AS r FROM dibs."CalBooking" b UNION ALL SELECT p::text FROM dibs."BookingParticipant" p
	UNION ALL SELECT "ulid"::text FROM dibs."AuditLog" UNION ALL SELECT "ulid"::text FROM dibs."Event" ORDER BY 1) s};
my $before = $node->safe_psql($db, $all_rows);
my $refusal = qr/ERROR:\s+(?:P0002|42501):/;
foreach my $call (@functions)
{
	foreach my $who (qw(ann first nobody))
	{
		my ($status, $out, $err) = @{ run_as($node, $db, 'member', "SELECT * FROM $call", $claims_of{$who}) };
		ok($out eq '' && $err =~ $refusal, "$who: $call is refused") or diag("$out\n$err");
	}
}
is($node->safe_psql($db, $all_rows), $before, 'nothing of others has changed');

# With one's own they work, and what comes back is for those eyes.
my %came_back = (ann => '', first => '');
my %own = (
	ann => [ q{dibs.update_booking('ann-1', '{"title": "ann one"}')}, q{dibs.add_guests('ann-2', '["third@ann.example"]')}, q{dibs.mark_no_show('ann-2', 'third@ann.example')},
		q{dibs.reschedule_booking('ann-1', '2035-03-01T10:00:00Z')}, q{dibs.rate_booking('ann-1', 4)}, q{dibs.create_meeting('ann-1')}, q{dibs.retry_meeting('ann-1')},
		q{dibs.create_booking('{"startTime": "2035-04-01T10:00:00Z", "duration": 30, "attendeeEmail": "n@ann.example", "status": "PENDING"}')},
		q{dibs.cancel_booking('ann-1')}, q{dibs.booking_timeline('ann-1')} ],
	first => [ q{dibs.rate_booking('ann-2', 5)}, q{dibs.booking_timeline('ann-2')}, q{dibs.cancel_booking('ann-2')} ]);
foreach my $who (qw(ann first))
{
	foreach my $call (@{ $own{$who} })
	{
		my ($status, $out, $err) = @{ run_as($node, $db, 'member', "SELECT f::text FROM $call f", $claims_of{$who}) };
		ok($out ne '' && $err eq '', "$who: $call works") or diag($err);
		$came_back{$who} .= "$call\n$out\n";
		unlike($out, qr/ann\.example(?<!first\@ann\.example)|coaches\.example/, "$who: nobody else's address") if $who eq 'first';
	}
}
is($node->safe_psql($db, q{SELECT "status", (SELECT string_agg("status", ' ' ORDER BY "person") FROM dibs."BookingParticipant" p WHERE p."bookingUlid" = b."ulid")
	FROM dibs."CalBooking" b WHERE "calBookingUid" = 'ann-2'}), 'CONFIRMED|CANCELLED CONFIRMED CONFIRMED CONFIRMED', 'an attendee of a group leaves it alone');
foreach my $call (q{dibs.add_guests('ann-2', '["x@y.example"]')}, q{dibs.update_booking('ann-2', '{"title": "x"}')}, q{dibs.reschedule_booking('ann-2', '2035-05-01T10:00:00Z')},
	q{dibs.confirm_booking('ann-2')})
{
	like((run_as($node, $db, 'member', "SELECT $call", $claims_of{second}))->[2], qr/ERROR:\s+42501:/, "an attendee: $call is the coach's");
}
like((run_as($node, $db, 'member', q{SELECT dibs.update_booking('ann-2', '{"paid": true}')}, $claims_of{ann}))->[2], qr/ERROR:\s+22023:/, 'a coach does not say what was paid');
like((run_as($node, $db, 'member', qq{SELECT dibs.create_booking('{"userUlid": "$bob", "startTime": "2035-04-02T10:00:00Z", "duration": 30, "attendeeEmail": "x\@y.example"}')},
	$claims_of{ann}))->[2], qr/ERROR:\s+42501:/, 'a coach books for themselves alone');
foreach my $call (qq{dibs.oauth_authorize_url('zoom', '$bob', 'https://x.example/back')}, qq{dibs.disconnect_account('zoom', '$bob')}, q{dibs.generate_host_token('bob-2')},
	q{dibs.generate_participant_token('bob-2', 'first@bob.example')})
{
	my ($status, $out, $err) = @{ run_as($node, $db, 'member', "SELECT $call", $claims_of{ann}) };
	ok($out eq '' && $err =~ $refusal, "a coach: $call is refused") or diag("$out\n$err");
}
like((run_as($node, $db, 'member', q{SELECT dibs.generate_participant_token('ann-2', 'second@ann.example')}, $claims_of{first}))->[2], $refusal,
	'an attendee gets a token for nobody else');
like((run_as($node, $db, 'app', qq{BEGIN; SELECT dibs.act_as('$ann'); SELECT dibs.cancel_booking('bob-1'); ROLLBACK}))->[2], qr/ERROR:\s+P0002:/, 'the application that acts for somebody is held to them');
is((run_as($node, $db, 'app', qq{BEGIN; SELECT dibs.act_as('$bob') \\g /dev/null\nSELECT count(*) FROM dibs.my_bookings; COMMIT; SELECT count(*) FROM dibs.my_bookings}))->[1], "2\n0", 'until its transaction ends');
is($node->safe_psql($db, qq{SELECT "login", "role", "subject", "data"->>'after' FROM dibs."AuditLog" WHERE "action" = 'cancel_booking'}),
	"authenticator|web_member|$ann|CANCELLED", 'the audit log knows who it was');

# --- marks

my $sweep = sub {
	my (@roles) = @_;
	my $text = '';
	my @views = split /\n/, $node->safe_psql($db, q{SELECT format('dibs.%I', relname) FROM pg_class WHERE relnamespace = 'dibs'::regnamespace AND relkind IN ('v', 'r')
		AND relname <> 'WebhookInbox'});
	foreach my $view (@views)
	{
		foreach my $sql ("SELECT v::text FROM $view v", "EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM $view v WHERE pg_temp.leak(v::text)",
			"SELECT 1/0 FROM $view", "SELECT v::text::int FROM $view v", "COPY (SELECT * FROM $view) TO STDOUT")
		{
			my $leak = 'CREATE FUNCTION pg_temp.leak(t text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE NOTICE \'%\', t; RETURN false; END $$;';
			foreach my $role (@roles)
			{
				my ($status, $out, $err) = @{ run_as($node, $db, $role->[0], "$leak\n$sql", $role->[1]) };
				$text .= "$out\n$err\n";
			}
		}
	}
	return $text;
};
my $coach = $sweep->([ 'member', $claims_of{ann} ]) . $came_back{ann};
my $others = $sweep->((map { [ 'member', $claims_of{$_} ] } qw(first nobody)), [ 'public', {} ], [ 'webhook', {} ]) . $came_back{first};
my $control = $sweep->(['postgres']);
$login{postgres} = ['postgres'];
foreach my $mark (sort keys %marks)
{
	# the guests of a coach's own group are theirs to know, and so is what the application noted
	my $text = $coach;
	$text =~ s/\Q$marks{$_}\E-ann//g foreach qw(guest metadata);
	unlike($text, qr/\Q$marks{$mark}\E/, "no $mark reaches a coach");
	unlike($others, qr/\Q$marks{$mark}\E/, "no $mark reaches anybody else");
	next if $mark eq 'secret';
	like($control, qr/\Q$marks{$mark}\E/, "control: the superuser finds the $mark");
}
unlike("$coach$others", qr/bob-[12]|bob\.example/, 'nothing of another coach, in no error and no plan');
unlike($control, qr/\Q$marks{secret}\E/, 'the secret is in clear for nobody');
like($coach, qr/ann-2/, 'control: a member finds their own');

# --- nobody can say who they are by themselves

my $forge = qq{
	SELECT set_config('request.jwt.claims', '{"sub": "$ann", "email": "first\@ann.example", "app": {"dibs": "dibs_admin"}}', false) \\g /dev/null
	SELECT set_config('request.jwt.claim.sub', '$ann', false) \\g /dev/null
	SELECT (SELECT count(*) FROM dibs.my_bookings), (SELECT count(*) FROM dibs.my_seats), (SELECT count(*) FROM dibs.cal_bookings), dibs.current_user_ulid(),
		dibs.current_email(), dibs.is_admin(), dibs.sees_all()};
is((run_as($node, $db, 'plain_member', $forge))->[1], '0|0|0|||f|f', 'claims that a role sets for itself are nothing');
$node->safe_psql($db, 'GRANT authenticator TO plain_member');
is((run_as($node, $db, 'plain_member', "SET ROLE authenticator; SET ROLE web_member; $forge"))->[1], '0|0|0|||f|f', 'nor after SET ROLE to the gateway\'s');
like((run_as($node, $db, 'plain_member', 'SET SESSION AUTHORIZATION authenticator'))->[2], qr/42501/, 'it cannot be the gateway');
$node->safe_psql($db, 'REVOKE authenticator FROM plain_member; CREATE ROLE "Authenticator" LOGIN IN ROLE web_member; CREATE ROLE "*" LOGIN IN ROLE web_member');
is((run_as($node, $db, $_, $forge))->[1], '0|0|0|||f|f', "\"$_\" is not the gateway") foreach 'Authenticator', '*';
foreach my $way ("SET dibs.user_ulid = '$ann'", "SELECT set_config('dibs.user_ulid', '$ann', true)", "ALTER ROLE plain_member SET dibs.user_ulid = '$ann'",
	"SET dibs.claim_user = 'x'", "SET dibs.gateway_roles = 'plain_member'", "SELECT dibs.act_as('$ann')",
	"CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE sql SET dibs.user_ulid = '$ann' AS ''")
{
	like((run_as($node, $db, 'plain_member', $way))->[2], qr/ERROR:\s+(?:42501|55P02):/, "$way is refused");
}
like((run_as($node, $db, 'member', "SET LOCAL dibs.user_ulid = '$ann'", { sub => $bob }))->[2], qr/ERROR:\s+42501:/, 'nor may a member through the gateway');
is((run_as($node, $db, 'plain_member', 'SELECT count(*) FROM dibs.my_bookings'))->[1], '0', 'without anything: nothing');
$node->safe_psql($db, "ALTER ROLE plain_member SET dibs.user_ulid = '$ann'");
is((run_as($node, $db, 'plain_member', 'SELECT count(*) FROM dibs.my_bookings'))->[1], '3', 'a superuser may say who a login role is');
$node->safe_psql($db, 'ALTER ROLE plain_member RESET dibs.user_ulid');

# --- levels are remembered, and go

$node->safe_psql($db, 'REVOKE ALL ON ALL TABLES IN SCHEMA dibs FROM web_member');
like($node->safe_psql($db, 'SELECT dibs.health()'), qr/role web_member has level member, and not all of its privileges/, 'the doctor sees what is missing');
is($node->safe_psql($db, 'SELECT dibs.restore_access()'), '7', 'and it comes back');
is(seen('ann', 'SELECT count(*) FROM dibs.my_bookings'), '3', 'for the member');
$node->safe_psql($db, q{SELECT dibs.grant_access('web_member', 'monitor'), dibs.revoke_access('web_member', 'member')});
my ($status, $out, $err) = @{ run_as($node, $db, 'member', $probe) };
is($out, join("\n", @{ $may{monitor} }), 'a level that is taken away leaves the other');

$node->stop;
done_testing();
