# Every SQL block of the README, and of the page it sends people to, runs as it stands there, in its order, and does
# what the text around it says.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Utils;
use Test::More;
use DibsTest;

my $standin = start_standin();
my $node = dibs_node('readme', standin => $standin, extension => 0);
my $secrets = $node->basedir . '/secrets';
my %value = (
	cal => $DibsTest::cal_secret,
	zoom_account_id => $DibsTest::zoom{account_id},
	zoom_client_id => $DibsTest::zoom{client_id},
	zoom_client_secret => $DibsTest::zoom{client_secret},
	zoom_webhook => 'zoom-webhook-secret-of-the-readme',
	# base64, as Daily hands it out
	daily_webhook => 'ZGFpbHktd2ViaG9vay1zZWNyZXQ=',
	jaas_webhook => 'jaas-webhook-secret-of-the-readme',
	zoom_app_id => 'app-of-the-readme',
	zoom_app_secret => 'app-secret-of-the-readme');
mkdir $secrets or die "mkdir: $!";
append_to_file("$secrets/$_", "$value{$_}\n") for keys %value;

$node->safe_psql('postgres', 'CREATE DATABASE mydb');
$node->safe_psql('postgres', 'CREATE DATABASE hosted');
# what the README takes as given: an application's roles, schema and tables
$node->safe_psql('mydb', 'CREATE ROLE web_anon; CREATE ROLE app LOGIN; CREATE ROLE authenticated; CREATE ROLE anon;
	CREATE SCHEMA api; GRANT USAGE ON SCHEMA api TO web_anon;
	CREATE TABLE public.users (id uuid PRIMARY KEY); CREATE TABLE public.sessions (id uuid PRIMARY KEY)');

my @blocks = map { slurp_file(project_dir() . "/$_") =~ /^ *```sql\n(.*?)^ *```/gsm } qw(README.md docs/hosted.md);
cmp_ok(scalar @blocks, '>', 8, 'the README has SQL blocks');

my %done;
my $coach;
my $postgres_fdw = $node->safe_psql('mydb', "SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'");

# Blocks are known by what stands in them; after one, what should have come of it.
my @outcomes = (
	[ 'CREATE EXTENSION dibs', sub { like($node->safe_psql('mydb', 'SELECT dibs.version()'), qr/^dibs /, 'installed') } ],
	[ 'dibs.test_webhook', sub {
		$coach = $node->safe_psql('mydb', 'SELECT "userUlid" FROM dibs."ProviderAccount"');
		wait_for_sql($node, 'mydb', q{SELECT count(*) FROM dibs."CalBooking" WHERE "meetingState" = 'ready' AND
			"zoomJoinUrl" LIKE 'https://meet.jit.si/dibs-%'}, '1');
		pass('the first booking has a link');
	} ],
	[ q{dibs.expose('api', '{webhooks}')}, sub {
		my $body = cal_body('BOOKING_CREATED', uid => 'readme-1');
		my $headers = sql_quote(cal_headers($body));
		my $call = 'SELECT api.cal_webhook(' . sql_quote($body) . "::json)->>'outcome', current_setting('response.status')";
		is($node->safe_psql('mydb', "SET ROLE web_anon; BEGIN; SET LOCAL request.headers = $headers; $call; COMMIT"),
			'applied|200', 'the wrapper lets a signed webhook in');
		is($node->safe_psql('mydb', "SET ROLE web_anon; BEGIN; $call; COMMIT"), 'rejected|401', 'and no other');
	} ],
	[ 'INSERT INTO dibs."CoachZoomConfig"', sub {
		$node->safe_psql('mydb', q{SELECT dibs.test_webhook('cal', 'BOOKING_CREATED')});
		wait_for_sql($node, 'mydb', q{SELECT "host" FROM dibs."Meeting" WHERE "provider" = 'zoom' AND "state" = 'ready'},
			'coach@example.com');
		pass('the next meeting is one of Zoom\'s, with the coach as its host');
	} ],
	[ q{dibs.grant_access('app', 'app');}, sub {
		$node->safe_psql('mydb', 'SET ROLE app; INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime",
			"endTime", "attendeeEmail") SELECT "userUlid", \'readme-2\', "title", "startTime", "endTime", "attendeeEmail"
			FROM dibs."CalBooking" LIMIT 1; DELETE FROM dibs."CalBooking" WHERE "calBookingUid" = \'readme-2\'');
		pass('the application\'s role may write bookings');
	} ],
	[ 'CREATE TRIGGER lesson_note', sub {
		$node->safe_psql('mydb', q{SELECT dibs.update_meeting_status("ulid", 'IN_PROGRESS'), dibs.update_meeting_status("ulid", 'COMPLETED')
			FROM dibs."CalBooking" WHERE "status" = 'CONFIRMED' ORDER BY "ulid" LIMIT 1});
		is($node->safe_psql('mydb', q{SELECT b."status" || ': ' || n.note FROM lesson_note n JOIN dibs."CalBooking" b ON b."ulid" = n."bookingUlid"}),
			'COMPLETED: How did it go?', 'a trigger of the application\'s follows in the same transaction');
		like($node->safe_psql('mydb', 'SELECT dibs.health()'), qr/lesson_note/, 'and health() names it');
	} ],
	[ 'dibs.join_meeting(', sub {
		my $token = $node->safe_psql('mydb', q{SELECT dibs.generate_participant_token("ulid", 'ada@example.com') FROM dibs."CalBooking" WHERE "attendeeEmail" = 'ada@example.com'});
		wait_for_sql($node, 'mydb', "SELECT dibs.join_meeting('$token')->>'state'", 'ready');
		is($node->safe_psql('mydb', "SELECT dibs.join_meeting('$token')->>'displayName'"), 'Ada', 'whoever has the token joins as Ada');
	} ],
	[ 'IMPORT FOREIGN SCHEMA', sub {
		is($node->safe_psql('hosted', 'SELECT count(*) FROM bookings.bookings'),
			$node->safe_psql('mydb', 'SELECT count(*) FROM dibs."CalBooking"'), 'bookings are read from elsewhere');
	} ]);

foreach my $block (@blocks)
{
	my ($what) = $block =~ /^ *((?!--)\S.*)$/m;
	my @parts = ([ 'mydb', $block ]);
	# needs pg_cron, which not every machine has; drain() itself is tested elsewhere
	next if $block =~ /\bcron\.schedule\b/;
	if ($block =~ /^(.*)^-- in the hosted one\n(.*)$/sm)
	{
		next unless $postgres_fdw;
		my $options = sprintf "host '%s', port '%s', dbname 'mydb'", $node->host, $node->port;
		my ($here, $hosted) = ($1, $2);
		$hosted =~ s/host 'db\.example\.com', dbname 'mydb'/$options/;
		@parts = ([ 'mydb', $here ], [ 'hosted', $hosted ]);
	}
	foreach my $part (@parts)
	{
		my ($database, $sql) = @$part;
		$sql =~ s{/run/secrets/}{$secrets/}g;
		$sql =~ s{'/var/lib/postgresql/dibs\.key'}{"'" . $node->basedir . "/dibs.key'"}ge;
		# each block is a session of its own for its reader: the coach is the one of the first booking
		$sql = "\\set coach $coach\n\\set cursor ''\n$sql" if defined $coach;
		my ($code, $out, $err) = $node->psql($database, $sql, on_error_stop => 1);
		is($code, 0, "runs: $what") or diag($err);
	}
	foreach my $outcome (@outcomes)
	{
		my ($sign, $check) = @$outcome;
		next if $done{$sign} || index($block, $sign) < 0;
		$done{$sign} = 1;
		$check->();
	}
}
is(scalar keys %done, scalar @outcomes - ($postgres_fdw ? 0 : 1), 'each outcome that is waited for has its block');
$node->stop;
done_testing();
