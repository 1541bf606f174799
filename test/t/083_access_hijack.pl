# A role that may make things in a schema of somebody's search_path cannot have any function of dibs run them.
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
my $node = dibs_node('hijack', conf => 'dibs.worker = off');
setup_access($node, $db);
$node->safe_psql($db, q{CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO stranger; GRANT USAGE ON SCHEMA evil TO PUBLIC});

# Better matches than pg_catalog's for everything that bodies use: each would raise, and says so.
my $traps = <<'SQL';
DO $$
DECLARE
	t text;
	o text;
	f record;
BEGIN
	FOREACH t IN ARRAY ARRAY['text', 'character', 'integer', 'bigint', 'boolean', 'timestamptz', 'jsonb', 'name', 'oid', 'interval', 'bytea', 'text[]'] LOOP
		EXECUTE format('CREATE FUNCTION evil.op(%1$s, %1$s) RETURNS boolean LANGUAGE plpgsql AS %2$L', t, 'BEGIN RAISE EXCEPTION ''hijacked as %'', current_user; END');
		FOREACH o IN ARRAY ARRAY['=', '<>', '<', '>', '<=', '>=', '~', '!~', '~*', '||', '@>', '?', '-', '+'] LOOP
			EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.op)', o, t, t);
		END LOOP;
	END LOOP;
	CREATE FUNCTION evil.op(jsonb, text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''hijacked as %'', current_user; END';
	CREATE OPERATOR evil.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = evil.op);
	CREATE OPERATOR evil.-> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = evil.op);
	-- every function that pg_catalog has with up to two arguments
	FOR f IN SELECT DISTINCT p.proname, pg_get_function_identity_arguments(p.oid) AS args, pg_get_function_result(p.oid) AS result FROM pg_proc p
		WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.provariadic = 0 AND p.pronargs <= 2 AND NOT p.proretset
			AND 'internal'::regtype <> ALL (p.proargtypes::regtype[] || p.prorettype::regtype) AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
			AND p.proname !~ '(in|out|recv|send)$|^(array|range|multirange|any|record|enum|domain)'
			AND pg_get_function_identity_arguments(p.oid) !~ 'any|cstring|internal|OUT|_handler' AND pg_get_function_result(p.oid) !~ 'any|cstring|internal|record|_handler|SETOF'
	LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', f.proname, f.args, f.result,
				'BEGIN RAISE EXCEPTION ''hijacked as %'', current_user; END');
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END LOOP;
	-- tables and types by the names that are ours
	FOR f IN SELECT relname FROM pg_class WHERE relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'dibs') AND relkind IN ('r', 'v') LOOP
		EXECUTE format('CREATE TABLE evil.%I (x int)', f.relname);
	END LOOP;
END
$$;
SQL
my (undef, undef, $err) = @{ run_as($node, $db, 'stranger', $traps) };
is($err, '', 'the traps are set');
cmp_ok($node->safe_psql($db, q{SELECT count(*) FROM pg_proc WHERE pronamespace = 'evil'::regnamespace}), '>', 1000, 'for much');

my $evil = 'SET search_path = evil, pg_catalog, public';
my (undef, $out, $trapped) = @{ run_as($node, $db, 'stranger', "$evil;\nSELECT lower('A'::text)") };
like($trapped, qr/hijacked/, 'control: a function is trapped');
(undef, $out, $trapped) = @{ run_as($node, $db, 'stranger', "$evil;\nSELECT 'a'::text = 'b'::text") };
like($trapped, qr/hijacked/, 'control: an operator is trapped');

# Each function with plausible arguments, as the superuser whose rights are to be had; each in a transaction of its own.
my @calls = split /\n/, $node->safe_psql($db, qq{
	SELECT format('SELECT dibs.%I(%s)', p.proname, coalesce(string_agg(format('%s::%s', CASE
			WHEN p.proargnames[i] IN ('booking_id') THEN '''ann-2''' WHEN p.proargnames[i] IN ('user_ulid', 'coach', 'event', 'ulid') OR t = 'bpchar'::regtype THEN '''$ann'''
			WHEN p.proargnames[i] IN ('email', 'address') THEN '''first\@ann.example''' WHEN p.proargnames[i] = 'provider' THEN '''cal''' WHEN p.proargnames[i] = 'source' THEN '''cal'''
			WHEN p.proargnames[i] = 'level' THEN '''member''' WHEN p.proargnames[i] = 'name' AND t = 'text'::regtype THEN '''cal.webhook_secret'''
			WHEN p.proargnames[i] = 'trigger' THEN '''BOOKING_CREATED''' WHEN p.proargnames[i] = 'guests' THEN '''["x\@y.example"]'''
			WHEN p.proname = 'create_booking' THEN '''{"userUlid": "$ann", "startTime": "2036-01-01T10:00:00", "timeZone": "Europe/Berlin", "duration": 30, "attendeeEmail": "z\@z.example", "guests": ["q\@q.example"]}'''
			WHEN p.proname = 'update_booking' AND t = 'jsonb'::regtype THEN '''{"title": "x"}'''
			WHEN t = 'jsonb'::regtype THEN '''{"user": "$ann", "email": "first\@ann.example", "emails": ["first\@ann.example"]}''' WHEN t = 'json'::regtype THEN '''{"triggerEvent": "PING"}'''
			WHEN t = 'timestamptz'::regtype THEN '''2036-02-02T10:00:00Z''' WHEN t = 'interval'::regtype THEN '''1 hour''' WHEN t IN ('int'::regtype, 'bigint'::regtype) THEN '5'
			WHEN t = 'boolean'::regtype THEN 'true' WHEN t = 'uuid'::regtype THEN '''123e4567-e89b-12d3-a456-426614174000''' WHEN t = 'bytea'::regtype THEN '''\\x01'''
			WHEN t = 'regrole'::regtype THEN '''web_member''' WHEN t = 'regclass'::regtype THEN '''public.people''' WHEN t = 'name'::regtype THEN '''id''' WHEN t = 'text[]'::regtype THEN 'NULL'
			ELSE '''x''' END, t::regtype), ', ' ORDER BY i), ''))
	FROM pg_proc p LEFT JOIN unnest(p.proargtypes) WITH ORDINALITY u(t, i) ON true
	WHERE p.pronamespace = 'dibs'::regnamespace AND p.prokind = 'f' AND p.prorettype <> 'trigger'::regtype
		-- what runs as its caller and only says so in COMMENT; what calls out
		AND p.proname !~ '^cal_(slots|busy|avail|me)'
	GROUP BY p.oid, p.proname ORDER BY p.proname});
$node->safe_psql($db, 'CREATE TABLE public.people (id uuid); CREATE TABLE public.sessions (id uuid)');
cmp_ok(scalar @calls, '>', 100, scalar(@calls) . ' functions are called');
my $script = "\\set VERBOSITY terse\n\\set SHOW_CONTEXT never\n$evil;\n" . join '', map { "\\echo $_\n\\warn ## $_\nBEGIN;\n$_ \\g /dev/null\nROLLBACK;\n" =~ s/\\echo [^\n]*\n//r } @calls;
my $views = $node->safe_psql($db, q{SELECT string_agg(format('SELECT * FROM dibs.%I', relname), E'\n') FROM pg_class WHERE relnamespace = 'dibs'::regnamespace AND relkind = 'v'});
$script .= join '', map { "\\warn ## $_\n$_ \\g /dev/null\n" } split /\n/, $views;
my ($stdout, $stderr);
$node->psql($db, $script, stdout => \$stdout, stderr => \$stderr, on_error_stop => 0);
my @hijacked;
my $at = '';
my $worked = 0;
foreach my $line (split /\n/, $stderr)
{
	if ($line =~ /^## (.*)/) { $at = $1; $worked++; }
	elsif ($line =~ /hijacked/) { push @hijacked, "$at: $line"; }
	elsif ($line =~ /ERROR/) { $worked--; }
}
is_deeply(\@hijacked, [], 'none of them runs what stands before pg_catalog');
cmp_ok($worked, '>', @calls / 2, "$worked of them came to their end");

# --- catalogs: every definer function is pinned, and nothing may be made where they look

is($node->safe_psql($db, q{SELECT string_agg(p.oid::regprocedure::text, ' ') FROM pg_proc p WHERE p.pronamespace = 'dibs'::regnamespace AND p.prosecdef
	AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)}), '', 'every function that runs as the owner has search_path pinned');
is($node->safe_psql($db, q{SELECT string_agg(p.oid::regprocedure::text, ' ') FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace = 'dibs'::regnamespace
	AND l.lanname IN ('plpgsql', 'sql') AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)}), '', 'and so has every one in SQL');

$node->stop;
done_testing();
