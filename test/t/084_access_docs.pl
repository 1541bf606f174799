# Every SQL block of the pages on PostgREST, Supabase and pgBouncer runs as it stands there, and does what the page says.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DibsTest;

my $node = dibs_node('docs', conf => 'dibs.worker = off', extension => 0);
my $coach = '01J9ZK4M8Q0000000000000101';

sub run_blocks
{
	my ($page, $database, $blocks) = @_;
	my @blocks = @$blocks;
	cmp_ok(scalar @blocks, '>', 0, "$page has SQL");
	foreach my $block (@blocks)
	{
		my ($what) = $block =~ /^ *((?!--)\S.*)$/m;
		my ($code, $out, $err) = $node->psql($database, $block, on_error_stop => 1);
		is($code, 0, "$page: $what") or diag($err);
	}
}
sub blocks_of { my ($page) = @_; return slurp_file(project_dir() . "/docs/$page") =~ /^```sql\n(.*?)^```/gsm; }
sub drop_roles { $node->safe_psql('postgres', "DROP ROLE IF EXISTS $_") foreach qw(authenticator anon authenticated service_role app_server); }
sub ask
{
	my ($database, $role, $claims, $sql) = @_;
	my ($out, $err);
	$node->psql($database, "\\set VERBOSITY verbose\nBEGIN;\nSELECT set_config('role', '$role', true), set_config('request.jwt.claims', " . sql_quote($claims)
		. ", true) \\g /dev/null\n$sql;\nCOMMIT;", stdout => \$out, stderr => \$err, extra_params => [ '-U', 'authenticator' ], on_error_stop => 0);
	return "$out$err";
}

# --- PostgREST

$node->safe_psql('postgres', 'CREATE DATABASE rest');
$node->safe_psql('rest', 'CREATE EXTENSION dibs');
run_blocks('postgrest.md', 'rest', [ blocks_of('postgrest.md') ]);
is($node->safe_psql('rest', q{SELECT string_agg(schema || ' ' || kind || ' ' || n, ', ' ORDER BY schema, kind) FROM (SELECT schema::text, kind, count(*) > 3 AS n FROM dibs.exposed_objects() GROUP BY 1, 2) s}),
	'api ROUTINE true, api TABLE true, hooks ROUTINE true', 'the wrappers are where they should be');
is(ask('rest', 'anon', '{"role": "anon"}', qq{SELECT api.book('$coach', '2035-01-31T09:30:00Z', 'guest\@example.com'), dibs.current_user_ulid() IS NULL}),
	'{"booked": "2035-01-31T09:30:00+00:00"}|t', 'anybody can book on the page, and is nobody after');
like(ask('rest', 'anon', '{"role": "anon"}', qq{SELECT api.book('$coach', '2035-01-31T09:30:00Z', 'guest\@example.com')}), qr/23P01/, 'once');
like(ask('rest', 'anon', '{"role": "anon"}', 'SELECT * FROM api.my_bookings'), qr/42501/, 'and sees nothing');
like(ask('rest', 'anon', '{"role": "anon"}', q{SELECT api.create_booking('{}')}), qr/42501/, 'nor may book otherwise');
is(ask('rest', 'anon', '{"role": "anon"}', q{SELECT hooks.cal_webhook('{"a": 1}')->>'outcome', current_setting('response.status')}), 'rejected|503', 'a webhook comes in');
is(ask('rest', 'authenticated', qq({"sub": "$coach"}), q{SELECT count(*) FROM api.my_bookings}), '1', 'the coach sees it');
is(ask('rest', 'authenticated', qq({"sub": "$coach"}), q{SELECT api.cancel_booking("ulid")->>'status' FROM api.my_bookings}), 'CANCELLED', 'and cancels it');
like(ask('rest', 'authenticated', qq({"sub": "$coach"}), q{SELECT api.cancel_booking('no-such')}), qr/PT404/, 'what is not there is 404');
is(ask('rest', 'authenticated', qq({"sub": "$coach"}), q{SELECT api.create_booking('{"startTime": "2035-02-01T09:30:00Z", "duration": 30, "attendeeEmail": "g@example.com"}') IS NOT NULL,
	current_setting('response.status')}), 't|201', 'made is 201');
like(ask('rest', 'authenticated', qq({"sub": "$coach"}), q{SELECT api.create_booking('{"startTime": "2035-02-01T09:30:00Z", "duration": 30, "attendeeEmail": "g@example.com"}')}),
	qr/PT409/, 'taken is 409');
is(ask('rest', 'authenticated', '{"sub": "someone", "email": "g@example.com"}', q{SELECT count(*), min("seatStatus") FROM api.my_seats}), '1|CONFIRMED', 'an attendee has their seat');
is(ask('rest', 'authenticated', '{"sub": "someone", "app_metadata": {"dibs": "dibs_admin"}}', q{SELECT count(*) FROM api.cal_bookings}), '2', 'an administrator sees all');
is($node->safe_psql('rest', q{SELECT string_agg(DISTINCT p.proname, ' ') FROM pg_proc p WHERE p.pronamespace = 'api'::regnamespace AND p.provolatile = 's'
	AND p.proname IN ('booking_timeline', 'create_booking', 'cancel_booking', 'validate_session_token', 'meeting_state')}), 'booking_timeline meeting_state validate_session_token',
	'what only reads may be asked with GET');

# made again: the same; what is the application's stays
$node->safe_psql('rest', q{CREATE FUNCTION api.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE VIEW api.own AS SELECT 1 AS x});
my $list = q{SELECT md5(string_agg(concat(p.oid::regprocedure, p.prosrc, (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(p.proacl) a)), ' ' ORDER BY p.oid::regprocedure::text))
	FROM pg_proc p WHERE p.pronamespace = 'api'::regnamespace AND obj_description(p.oid, 'pg_proc') LIKE '%dibs.expose()]'};
my $before = $node->safe_psql('rest', $list);
$node->safe_psql('rest', q{SELECT dibs.expose('api', '{bookings,joining,slots,accounts,cal_bookings,cal_event_types}')});
is($node->safe_psql('rest', $list), $before, 'made again it is the same, with the same privileges');
$node->safe_psql('rest', q{SELECT dibs.expose('api', '{cal_event_types}')});
is($node->safe_psql('rest', q{SELECT string_agg(name, ' ') FROM dibs.exposed_objects('api')}), 'cal_event_types', 'what is not named any more goes');
$node->safe_psql('rest', q{SELECT dibs.unexpose('api')});
is($node->safe_psql('rest', q{SELECT (SELECT string_agg(proname, ' ' ORDER BY proname) FROM pg_proc WHERE pronamespace = 'api'::regnamespace), (SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'api'::regnamespace)}),
	'book mine|own', 'and what is not dibs\' stays');
$node->safe_psql('rest', q{CREATE TABLE api.cal_bookings (x int)});
like(($node->psql('rest', q{SELECT dibs.expose('api')}))[2], qr/there is a view api\.cal_bookings already, which dibs did not make/, 'a table of the application\'s is not touched');
$node->safe_psql('postgres', 'DROP DATABASE rest');
drop_roles();

# --- Supabase, self-hosted

$node->safe_psql('postgres', q{CREATE DATABASE supa; CREATE ROLE authenticator LOGIN NOINHERIT; CREATE ROLE anon; CREATE ROLE authenticated; CREATE ROLE service_role BYPASSRLS;
	GRANT anon, authenticated, service_role TO authenticator});
$node->safe_psql('supa', q{CREATE SCHEMA auth; CREATE TABLE auth.users (id uuid PRIMARY KEY, email text);
	INSERT INTO auth.users VALUES ('123e4567-e89b-12d3-a456-426614174000', 'coach@example.com')});
my @supabase = blocks_of('supabase.md');
my @beside = grep { /CREATE ROLE/ } @supabase;
run_blocks('supabase.md', 'supa', [ grep { !/CREATE ROLE/ } @supabase ]);
my $user = '{"sub": "123e4567-e89b-12d3-a456-426614174000", "email": "coach@example.com", "role": "authenticated"}';
is(ask('supa', 'authenticated', $user, q{SELECT create_booking('{"startTime": "2035-01-31T09:30:00Z", "duration": 30, "attendeeEmail": "g@example.com"}')->>'userUlid'
	= dibs.uuid_to_ulid('123e4567-e89b-12d3-a456-426614174000')}), 't', 'a user of Supabase\'s books');
is(ask('supa', 'authenticated', $user, 'SELECT count(*) FROM public.my_bookings'), '1', 'and sees it');
is(ask('supa', 'service_role', '{"role": "service_role"}', q{SELECT count(*) FROM dibs."CalBooking"}), '1', 'the service role sees all');
$node->safe_psql('supa', 'DELETE FROM auth.users');
is($node->safe_psql('supa', 'SELECT count(*) FROM dibs."CalBooking"'), '0', 'the user goes, and the booking with them');
$node->safe_psql('postgres', 'DROP DATABASE supa');
drop_roles();

# --- Supabase, beside

$node->safe_psql('postgres', 'CREATE DATABASE beside');
$node->safe_psql('beside', 'CREATE EXTENSION dibs');
run_blocks('supabase.md, beside', 'beside', \@beside);
is(ask('beside', 'authenticated', $user, q{SELECT dibs_api.create_booking('{"startTime": "2035-01-31T09:30:00Z", "duration": 30, "attendeeEmail": "g@example.com"}') IS NOT NULL}), 't',
	'the same tokens are good beside it');
$node->safe_psql('postgres', 'DROP DATABASE beside');
drop_roles();

# --- pgBouncer: its transaction, tried through one in 081, as the application's role

$node->safe_psql('postgres', q{CREATE EXTENSION dibs; CREATE ROLE app_server LOGIN; SELECT dibs.grant_access('app_server', 'app')});
run_blocks('pgbouncer.md', 'postgres', [ blocks_of('pgbouncer.md') ]);

# --- a dump keeps the levels, a restore needs the roles

my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'dumped');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], 'restored');
is($node->safe_psql('restored', 'SELECT dibs.restore_access()'), '1', 'the level is known there');
is($node->safe_psql('restored', q{SELECT has_function_privilege('app_server', 'dibs.act_as(char)', 'EXECUTE'), has_table_privilege('app_server', 'dibs."CalBooking"', 'DELETE')}), 't|t', 'and given');

$node->stop;
done_testing();
