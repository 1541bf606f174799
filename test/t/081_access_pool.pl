# Two coaches and an application behind pgBouncer in transaction mode, with one server connection: nobody finds anything
# of who was there before.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use File::Spec;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DibsAccess;
use DibsTest;

my ($program) = grep { -x } map { "$_/pgbouncer" } qw(/usr/sbin /usr/bin /usr/local/sbin /usr/local/bin), File::Spec->path;
plan skip_all => 'no pgbouncer here' unless $program;

my $db = 'postgres';
my $node = dibs_node('pool', conf => 'dibs.worker = off');
setup_access($node, $db);
$node->safe_psql($db, q{CREATE ROLE coach_login LOGIN; SELECT dibs.grant_access('coach_login', 'member');} . qq{ALTER ROLE coach_login SET dibs.user_ulid = '$ann'});

my $dir = PostgreSQL::Test::Utils::tempdir_short;
my $port = PostgreSQL::Test::Cluster::get_free_port();
append_to_file("$dir/users", join '', map { qq{"$_" ""\n} } qw(authenticator app_server coach_login));
append_to_file("$dir/pgbouncer.ini", sprintf <<'INI', $node->host, $node->port, $dir, $port, $dir, $dir);
[databases]
postgres = host=%s port=%s dbname=postgres
[pgbouncer]
unix_socket_dir = %s
listen_addr =
listen_port = %s
auth_type = trust
auth_file = %s/users
pool_mode = transaction
default_pool_size = 1
max_db_connections = 1
logfile = %s/log
INI
my $pid = fork() // die "fork: $!";
if ($pid == 0)
{
	open(STDIN, '<', '/dev/null');
	open(STDOUT, '>', "$dir/out");
	open(STDERR, '>&', \*STDOUT);
	exec { $program } $program, '-q', "$dir/pgbouncer.ini" or POSIX::_exit(127);
}
END { local $?; kill 'TERM', $pid if $pid; waitpid $pid, 0 if $pid; }

package Pool
{
	sub connstr { my ($self, $name) = @_; return "host=$self->{dir} port=$self->{port} user=$self->{user} dbname=$name"; }
}
sub client { my ($user) = @_; return session(bless({ dir => $dir, port => $port, user => $user }, 'Pool'), $db); }
for (1 .. 100) { last if -S "$dir/.s.PGSQL.$port"; select undef, undef, undef, 0.05; }
ok(-S "$dir/.s.PGSQL.$port", 'pgbouncer is there') or BAIL_OUT(slurp_file("$dir/out"));

# --- through the gateway, as PostgREST does it

my %coach = (ann => $ann, bob => $bob);
my %client = map { $_ => client('authenticator') } keys %coach;
is($client{ann}->pid, $client{bob}->pid, 'both are served by one connection');
sub begin
{
	my ($name) = @_;
	return "BEGIN; SELECT set_config('role', 'web_member', true), set_config('request.jwt.claims', '{\"sub\": \"$coach{$name}\"}', true) \\g /dev/null\n";
}
my $mine = q{SELECT string_agg("calBookingUid", ' ' ORDER BY 1) FROM dibs.my_bookings};
my $rounds = short_mode() ? 20 : 200;
my $wrong = 0;
for my $round (1 .. $rounds)
{
	my ($one, $two) = $round % 2 ? qw(ann bob) : qw(bob ann);
	$wrong++ if $client{$one}->query(begin($one) . $mine) ne "$one-1 $one-2";
	# the other one waits for the connection
	$client{$two}->start(begin($two) . "$mine; COMMIT");
	my $end = (qw(COMMIT ROLLBACK), 'SAVEPOINT a; SELECT 1/0; ROLLBACK TO a; COMMIT')[ $round % 3 ];
	$client{$one}->query($end);
	$wrong++ if $client{$two}->result ne "$two-1 $two-2";
	# without claims: nobody
	$wrong++ if $client{$one}->query("BEGIN; SET LOCAL ROLE web_member; SELECT coalesce(dibs.current_user_ulid(), 'nobody'), count(*) FROM dibs.my_bookings; COMMIT") ne 'nobody|0';
}
is($wrong, 0, "$rounds rounds: each sees their own, and nobody anybody's after");
is($client{ann}->query('SELECT pg_backend_pid()'), $client{bob}->pid, 'all of it on one connection');
is($client{ann}->query(begin('ann') . "SELECT count(*) FROM dibs.my_bookings WHERE \"userUlid\" = '$bob'; COMMIT"), '0', 'no row of the other');
$client{ann}->query(begin('ann') . q{SELECT dibs.cancel_booking('bob-1')});
like($client{ann}{error}, qr/there is no booking "bob-1"/, 'nor anything done to one');
$client{ann}->query('ROLLBACK');
$_->quit foreach values %client;

# --- the application, with act_as()

my ($first, $second) = map { client('app_server') } 1, 2;
is($first->pid, $second->pid, 'one connection');
$wrong = 0;
for my $round (1 .. $rounds)
{
	my ($name) = $round % 2 ? 'ann' : 'bob';
	$wrong++ if $first->query("BEGIN; SELECT dibs.act_as('$coach{$name}') \\g /dev/null\n$mine") ne "$name-1 $name-2";
	$second->start(q{SELECT coalesce(dibs.current_user_ulid(), 'nobody'), dibs.sees_all(), count(*) FROM dibs.my_bookings});
	$first->query((qw(COMMIT ROLLBACK), 'SELECT 1/0; COMMIT')[ $round % 3 ]);
	$wrong++ if $second->result ne 'nobody|t|0';
}
is($wrong, 0, "$rounds rounds: acting for somebody ends with the transaction");
is($second->query("SELECT dibs.act_as('$ann'), 1 \\g /dev/null\nSELECT coalesce(dibs.current_user_ulid(), 'nobody')"), 'nobody', 'also where the transaction is one statement');

# what the page says
my ($block) = grep { /act_as/ } slurp_file(project_dir() . '/docs/pgbouncer.md') =~ /^```sql\n(.*?)^```/gsm;
is(scalar(() = $first->query($block) =~ /^\w{26}\|(?:ann 1|ann 2)\|/gm), 2, 'the page\'s transaction works');
$_->quit foreach $first, $second;

# --- a login role of a coach's own

my $own = client('coach_login');
is($own->query($mine), 'ann-1 ann-2', 'a setting of the login role comes through the pool');
$own->query("SET dibs.user_ulid = '$bob'");
like($own->{error}, qr/permission denied/, 'and stays the superuser\'s');
$own->quit;

$node->stop;
done_testing();
