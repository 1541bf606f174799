# A server on which every level has a role, two coaches have bookings, and everything that a member may not see carries a
# mark.
package DibsAccess;

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DibsTest;

our @EXPORT = qw(setup_access run_as as_member known_objects %login %marks $ann $bob);

my $json = JSON::PP->new->canonical;

our ($ann, $bob) = map { sprintf '01J9ZK4M8Q%016d', $_ } 101, 102;

# level => [ the role that logs in, the role that it sets ]
our %login = (
	webhook => [ 'authenticator', 'web_hook' ],
	public => [ 'authenticator', 'web_anon' ],
	member => [ 'authenticator', 'web_member' ],
	app => ['app_server'],
	monitor => ['watcher'],
	admin => ['operator'],
	none => ['stranger']);

# what is planted where members must not find it
our %marks = (
	secret => 'mark-secret-5f1c',
	host => 'mark-host-77aa',
	passcode => 'mark-pass-31cd',
	token => 'mark-token-90ef',
	link => 'mark-link-42bb',
	metadata => 'mark-meta-18dd',
	guest => 'mark-guest-66ab');

sub setup_access
{
	my ($node, $db) = @_;
	$node->safe_psql($db, q{
		CREATE ROLE authenticator LOGIN NOINHERIT;
		CREATE ROLE web_hook; CREATE ROLE web_anon; CREATE ROLE web_member;
		GRANT web_hook, web_anon, web_member TO authenticator;
		CREATE ROLE app_server LOGIN; CREATE ROLE watcher LOGIN; CREATE ROLE operator LOGIN; CREATE ROLE stranger LOGIN;
		CREATE ROLE plain_member LOGIN;
		SELECT dibs.grant_access('web_hook', 'webhook'), dibs.grant_access('web_anon', 'public'),
			dibs.grant_access('web_member', 'member'), dibs.grant_access('app_server', 'app'),
			dibs.grant_access('watcher', 'monitor'), dibs.grant_access('operator', 'admin'),
			dibs.grant_access('plain_member', 'member');});
	$node->append_conf('postgresql.conf', "dibs.claim_email = 'email'\ndibs.claim_role = 'app.dibs'\n");
	$node->reload;
	foreach my $coach ($ann, $bob)
	{
		my $name = $coach eq $ann ? 'ann' : 'bob';
		$node->safe_psql($db, qq{
			INSERT INTO dibs."Coach" ("userUlid", "name", "email") VALUES ('$coach', 'Coach $name', '$name\@coaches.example');
			INSERT INTO dibs."CoachZoomConfig" ("userUlid", "defaultHostUrl") VALUES ('$coach', 'https://x.example/$marks{host}');
			INSERT INTO dibs."CalEventType" ("userUlid", "eventTypeId", "title", "active") VALUES ('$coach', 7, 'Intro $name', true),
				('$coach', 8, 'Hidden $name', false);});
		foreach my $n (1, 2)
		{
			my $group = $n == 2 ? ', "maxParticipants": 5, "guests": ["second@' . $name . '.example", "' . "$marks{guest}-$name" . '@guests.example"]' : '';
			$node->safe_psql($db, qq{
				SELECT dibs.create_booking('{"userUlid": "$coach", "startTime": "2035-01-0${n}T10:00:00Z", "duration": 30, "title": "$name $n",
					"attendeeEmail": "first\@$name.example", "metadata": {"x": "$marks{metadata}-$name"}$group}');
				UPDATE dibs."CalBooking" SET "calBookingUid" = '$name-$n', "zoomHostUrl" = 'https://h.example/$marks{host}-$name',
					"zoomPasscode" = '$marks{passcode}-$name', "customValidationToken" = '$marks{token}-$name',
					"zoomJoinUrl" = 'https://join.example/$name-$n',
					"participants" = (SELECT jsonb_agg(p || '{"validationToken": "$marks{token}-$name", "joinUrl": "https://j.example/$marks{link}-$name"}')
						FROM jsonb_array_elements("participants") p)
				WHERE "title" = '$name $n';
				UPDATE dibs."BookingParticipant" p SET "joinUrl" = 'https://j.example/$marks{link}-$name', "validationToken" = '$marks{token}-$name'
				FROM dibs."CalBooking" b WHERE b."ulid" = p."bookingUlid" AND b."title" = '$name $n';});
		}
	}
	$node->safe_psql($db, qq{
		SELECT dibs.set_secret('cal.webhook_secret', '$marks{secret}'), dibs.set_secret('zoom.sdk_secret', '$marks{secret}');
		INSERT INTO dibs."Meeting" ("userUlid", "bookingUlid", "provider", "state", "marker", "adopted", "hostUrl", "passcode", "joinUrl")
			SELECT "userUlid", "ulid", 'manual', 'ready', 'x', true, 'https://h.example/$marks{host}', '$marks{passcode}', 'https://j.example/$marks{link}'
			FROM dibs."CalBooking" ON CONFLICT DO NOTHING;});
}

# run_as($node, $db, level or role, $sql, claims): [ status, out, err ] of a connection of its own. Through the gateway as
# PostgREST does it: log in as authenticator, set the role and the claims for the transaction.
sub run_as
{
	my ($node, $db, $who, $sql, $claims) = @_;
	my ($role, $set) = @{ $login{$who} // [$who] };
	my @lines = ('\set VERBOSITY verbose', '\set SHOW_CONTEXT never');
	if ($set)
	{
		push @lines, 'BEGIN;', "SELECT set_config('role', " . sql_quote($set) . ', true), '
		  . "set_config('request.jwt.claims', " . sql_quote($json->encode({ role => $set, %{ $claims // {} } })) . ', true) \g /dev/null',
		  $sql, ';', 'COMMIT;';
	}
	else { push @lines, $sql, ';'; }
	my ($out, $err);
	my $status = $node->psql($db, join("\n", @lines), stdout => \$out, stderr => \$err, extra_params => [ '-U', $role ], on_error_stop => 0);
	return [ $status, $out, $err ];
}

# as_member($node, $db, $sql, sub => ..., email => ...): what came out, then the errors
sub as_member
{
	my ($node, $db, $sql, %claims) = @_;
	my $result = run_as($node, $db, 'member', $sql, \%claims);
	return wantarray ? ($result->[1], $result->[2]) : $result->[1];
}

1;
