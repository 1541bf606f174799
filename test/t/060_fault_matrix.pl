# Every way in which a request can go wrong, times every request: {kill -9 of the worker, kill -9 of a backend, an
# immediate and a fast stop, answers that are late, broken, untrue or missing, tokens that die, a wrong certificate} x
# {create, update, delete}, once over plain HTTP/1.1 and once over TLS with HTTP/2. Afterwards nothing is lost, nothing
# is there twice, nothing is left over, and every booking is in the state that its row wants.
#
# Each cell is hit three times; DIBS_FAULTS=20 hits each twenty times, which takes some minutes.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use List::Util qw(max min sum0);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use DibsBookings;
use DibsTest;

my $hits = $ENV{DIBS_FAULTS} || 3;
my $patience = 120 + 10 * $hits;
my @actions = qw(create update delete);
my %method = (create => 'POST', update => 'PATCH', delete => 'DELETE');
my $html = '<html><body><h1>Bad gateway</h1></body></html>';
my $db = 'postgres';
# how long what a dying process has on the wire is held, and how long a request may take then
my ($held, $request_timeout) = (4000, '6s');

# Rows of the matrix that the stand-in plays; several variants share a row's hits.
my @faults = (
	[ '500 with HTML', map { { kind => 'status', status => 500, body => $html, when => $_ } } qw(before after) ],
	[ '429 with HTML', map { { kind => 'status', status => 429, body => $html, when => $_ } } qw(before after) ],
	[ '502 with HTML', map { { kind => 'status', status => 502, body => $html, when => $_ } } qw(before after) ],
	[ 'timeout before acting', { kind => 'timeout', when => 'before' } ],
	[ 'timeout after acting', { kind => 'timeout', when => 'after' } ],
	[ 'reset after acting', map { { kind => 'reset', when => 'after', connection => $_ } } JSON::PP::false, JSON::PP::true ],
	[ 'truncated', { kind => 'truncate', status => 200, body => { id => 1234567 } } ],
	[ 'garbage', { kind => 'garbage', status => 200, bytes => 300 } ],
	[ 'slow drip', { kind => 'drip', status => 200, body => { id => 1234567 }, chunk => 1, ms => 400 } ],
	[ '100 MB answer', { kind => 'huge', status => 200 } ],
	[ 'redirect', map { { kind => 'redirect', status => $_->[0], when => $_->[1] } } [ 302, 'before' ], [ 307, 'after' ] ],
	[ 'expired token', { kind => 'expire_token' } ],
	[ 'revoked token', { kind => 'revoke_token' } ]);
my @kills = ('kill -9 worker', 'kill -9 backend', 'immediate stop', 'fast stop');
my @rows = ((map { $_->[0] } @faults), 'wrong certificate', @kills);

my $dir = PostgreSQL::Test::Utils::tempdir();
foreach my $name (qw(right wrong))
{
	system_log('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext',
		'subjectAltName=IP:127.0.0.1', '-keyout', "$dir/$name.key", '-out', "$dir/$name.cert") == 0
	  or BAIL_OUT('openssl made no certificate');
}
# Nobody trusts this one's certificate: no request may ever get through to it.
my $impostor = start_standin(tls => [ "$dir/wrong.cert", "$dir/wrong.key" ]);

# --- one server and its stand-in; the two legs take their steps in turns ---

sub new_leg
{
	my ($name, %over) = @_;
	# the long form is not slowed down by holding each of its requests against the documents: the short one does that
	my $standin = start_standin($over{tls} ? (tls => $over{tls}) : (), specs => $hits < 20);
	my $node = dibs_node($name, standin => $standin,
		conf => "dibs.lease_margin = '500ms'\nrestart_after_crash = on\ndibs.zoom_plan = off\ndibs.max_response_size = '64kB'\n$over{conf}\n");
	setup_zoom($node, $db);
	return { name => $name, standin => $standin, node => $node, wanted => [], hits => { map { $_ => {} } @rows } };
}

sub sql
{
	my ($leg, $text) = @_;
	return $leg->{node}->safe_psql($db, $text);
}

# host_of($row, $variant): one Zoom user for each part of a cell, so that a path names it
sub host_of
{
	my ($action, $row, $variant) = @_;
	return "$action$row-$variant\@example.com";
}

# Tells of the bookings that one part of a cell has; they are written by write_cells.
sub plan_cell
{
	my ($leg, $action, $row, $variant, $count) = @_;
	my $uids = $leg->{planned}{$action}{ host_of($action, $row, $variant) } //= [];
	push @$uids, map { sprintf '%s-%d-%d-%d', $action, $row, $variant, @$uids + $_ } 1 .. $count;
	return;
}

# Bookings with the hosts that were planned for them, in one transaction. A coach for each host.
sub insert_sql
{
	my ($hosts) = @_;
	my (@host, @uid);
	foreach my $host (sort keys %$hosts)
	{
		push @uid, @{ $hosts->{$host} };
		push @host, ($host) x @{ $hosts->{$host} };
	}
	return '' unless @uid;
	return sprintf(
		q{WITH planned AS (SELECT * FROM unnest('{%s}'::text[], '{%s}'::text[]) AS p(host, uid)),
		  coach AS (INSERT INTO dibs."CoachZoomConfig" ("userUlid", "zoomUserId")
		   SELECT DISTINCT translate(upper(left(md5(host), 26)), 'ILOU', 'XXXX'), host FROM planned ON CONFLICT DO NOTHING)
		  INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "attendeeEmail", "startTime", "endTime")
		  SELECT translate(upper(left(md5(host), 26)), 'ILOU', 'XXXX'), uid, 'Session ' || uid, 'guest@example.com',
		   date_trunc('minute', now()) + '2 days', date_trunc('minute', now()) + '2 days' + '30 min' FROM planned;
		}, join(',', @host), join(',', @uid));
}

sub update_sql
{
	my ($uids) = @_;
	return @$uids ? sprintf(
		q{UPDATE dibs."CalBooking" SET "title" = 'Moved ' || "calBookingUid", "startTime" = "startTime" + '1 h', "endTime" = "endTime" + '1 h'
		  WHERE "calBookingUid" = ANY ('{%s}');
		}, join(',', @$uids)) : '';
}

# half of them are cancelled, half deleted
sub delete_sql
{
	my ($uids) = @_;
	my @cancelled = grep { /[02468]$/ } @$uids;
	my @deleted = grep { !/[02468]$/ } @$uids;
	return (@cancelled ? sprintf(q{UPDATE dibs."CalBooking" SET "status" = 'CANCELLED' WHERE "calBookingUid" = ANY ('{%s}');}, join(',', @cancelled)) : '')
	  . (@deleted ? sprintf(q{DELETE FROM dibs."CalBooking" WHERE "calBookingUid" = ANY ('{%s}');}, join(',', @deleted)) : '');
}

sub uids_of
{
	my ($leg, $action) = @_;
	return [ map { @$_ } values %{ $leg->{planned}{$action} } ];
}

# Everything that is wanted is there, and nothing is left to do. Waits; then says what is still amiss.
sub settled
{
	my ($leg, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $ok = wait_for_sql($leg->{node}, $db,
		q{SELECT (SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"),
			(SELECT count(*) FROM dibs."Meeting" WHERE "bookingUlid" IS NULL AND "state" <> 'gone'),
			(SELECT count(*) FROM dibs."PendingMeeting")}, '0|0|0', $patience);
	diag(sql($leg, q{SELECT p."action", p."attempts", p."errorCode", p."lastError", m."state", m."marker" FROM dibs."PendingMeeting" p
		LEFT JOIN dibs."Meeting" m ON m."ulid" = p."meetingUlid" LIMIT 20})) unless $ok;
	return ok($ok, "$leg->{name}: $what");
}

# The ids of the meetings that the bookings with these uids have.
sub ids_of
{
	my ($leg, @uids) = @_;
	return split /\n/, sql($leg, sprintf q{SELECT "zoomMeetingId" FROM dibs."CalBooking" WHERE "calBookingUid" = ANY ('{%s}')}, join(',', @uids));
}

# --- first, meetings that can be updated and deleted ---

sub prepare
{
	my ($leg) = @_;
	foreach my $row (0 .. $#rows)
	{
		my $variants = $row <= $#faults ? @{ $faults[$row] } - 1 : 1;
		# a kill finds two of each kind on the wire
		my $count = $row > $#faults + 1 ? max($hits * 2, 3) : $hits;
		foreach my $action (@actions)
		{
			plan_cell($leg, $action, $row, $_ % $variants, 1) foreach 0 .. $count - 1;
		}
	}
	my @hosts = map { keys %{ $leg->{planned}{$_} } } @actions;
	$leg->{standin}->settings(users => [ map { { email => $_ } } @hosts ]);
	sql($leg, insert_sql($leg->{planned}{update}) . insert_sql($leg->{planned}{delete}));
}

# --- a server that is not the provider ---

sub wrong_certificate
{
	my ($leg) = @_;
	my $row = $#faults + 1;
	my ($node, $standin) = @$leg{qw(node standin)};
	$node->safe_psql($db, 'ALTER SYSTEM SET dibs.zoom_api_url = ' . sql_quote($impostor->url . '/v2'));
	$node->reload;
	# the settings have arrived once a new session sees them
	wait_for_sql($node, $db, 'SHOW dibs.zoom_api_url', $impostor->url . '/v2') or BAIL_OUT('no reload');
	sleep 0.3;
	my %uids = map { $_ => $leg->{planned}{$_}{ host_of($_, $row, 0) } } @actions;
	sql($leg, insert_sql({ host_of('create', $row, 0) => $uids{create} }) . update_sql($uids{update}) . delete_sql($uids{delete}));
	my $deadline = time + 30;
	do
	{
		sleep 0.1;
		%{ $leg->{hits}{'wrong certificate'} } = map { split /\|/ } split /\n/,
		  sql($leg, q{SELECT "action", count(*) FROM dibs."PendingMeeting" WHERE "errorCode" = 'provider_tls' GROUP BY 1});
	} while (time < $deadline && grep { ($leg->{hits}{'wrong certificate'}{$_} // 0) < $hits } @actions);
	$node->safe_psql($db, 'ALTER SYSTEM RESET dibs.zoom_api_url');
	$node->reload;
}

# --- everything that the stand-in can play, all at once ---

sub storm
{
	my ($leg) = @_;
	my ($node, $standin) = @$leg{qw(node standin)};
	my @rules;
	my $statements = '';
	foreach my $row (0 .. $#faults)
	{
		my (undef, @variants) = @{ $faults[$row] };
		foreach my $action (@actions)
		{
			foreach my $variant (0 .. $#variants)
			{
				my $host = host_of($action, $row, $variant);
				my $uids = $leg->{planned}{$action}{$host} or next;
				my $path = $action eq 'create' ? '^/v2/users/' . $host =~ s/@/(?:%40|\@)/r . '/meetings$'
				  : '^/v2/meetings/(?:' . join('|', ids_of($leg, @$uids)) . ')$';
				push @rules, { match => { method => $method{$action}, path => $path }, times => scalar @$uids,
					row => $rows[$row], action => $action, %{ $variants[$variant] } };
				$statements .= insert_sql({ $host => $uids }) if $action eq 'create';
				$statements .= update_sql($uids) if $action eq 'update';
				$statements .= delete_sql($uids) if $action eq 'delete';
			}
		}
	}
	$standin->control('POST', '/_control/faults', \@rules);
	sql($leg, $statements);
}

sub after_storm
{
	my ($leg) = @_;
	settled($leg, 'all that the provider did wrong is mended');
	foreach my $rule (@{ $leg->{standin}->control('GET', '/_control/faults')->{rules} })
	{
		$leg->{hits}{ $rule->{row} }{ $rule->{action} } += $rule->{hits};
	}
	$leg->{standin}->control('DELETE', '/_control/faults');
}

# --- processes that die, with requests of all three kinds on the wire ---

sub on_the_wire
{
	my ($leg, $since, %paths) = @_;
	my %open;
	foreach my $entry (grep { !defined $_->{ms} } @{ $leg->{standin}->control('GET', "/_control/log?since=$since")->{entries} })
	{
		foreach my $action (@actions)
		{
			$open{$action}++ if $entry->{method} eq $method{$action} && $entry->{path} =~ /$paths{$action}/;
		}
	}
	return %open;
}

sub worker_pid
{
	my ($leg) = @_;
	my $pid = q{SELECT pid FROM dibs.worker_status WHERE database = current_database() AND pid IS NOT NULL AND state IN ('idle', 'working')};
	wait_for_sql($leg->{node}, $db, "SELECT count(*) FROM ($pid) p", '1', 70) or return 0;
	return sql($leg, $pid);
}

sub kill_round
{
	my ($leg, $kind, $round, $rounds) = @_;
	my ($node, $standin) = @$leg{qw(node standin)};
	my $row = $#faults + 2 + $kind;
	my %uids;
	foreach my $action (@actions)
	{
		my @all = @{ $leg->{planned}{$action}{ host_of($action, $row, 0) } };
		my $from = int(@all * $round / $rounds);
		$uids{$action} = [ @all[ $from .. int(@all * ($round + 1) / $rounds) - 1 ] ];
	}
	my $host = host_of('create', $row, 0);
	my %paths = (create => '^/v2/users/' . $host =~ s/@/(?:%40|\@)/r,
		map { $_ => '^/v2/meetings/(?:' . join('|', ids_of($leg, @{ $uids{$_} })) . ')$' } qw(update delete));
	my $worker = worker_pid($leg) or return;
	my $since = $standin->control('GET', '/_control/state')->{counters}{requests};
	# What is on the wire then has been done already, or is done when nobody waits for it any more. It is held until it has
	# been seen, not much longer: a provider that acts later than the request's time-out is none that dibs promises for.
	if ($round % 2)
	{
		$standin->settings(latency => $held);
	}
	else
	{
		$standin->control('POST', '/_control/faults', { match => { path => '^/v2/' }, kind => 'delay', when => 'after', ms => $held, times => 0 });
	}
	sql($leg, insert_sql({ $host => $uids{create} }) . update_sql($uids{update}) . delete_sql($uids{delete}));
	my %open;
	my $deadline = time + 10;
	until ((%open = on_the_wire($leg, $since, %paths)) && !grep { ($open{$_} // 0) < @{ $uids{$_} } } @actions)
	{
		last if time > $deadline;
		sleep 0.01;
	}
	if ($kind < 2)
	{
		my $victim = $kind == 0 ? $worker : undef;
		my $session = $kind == 1 ? session($node, $db) : undef;
		my $log_end = -s $node->logfile;
		kill 'KILL', $victim // $session->pid;
		wait_for_log($node, qr/all server processes terminated; reinitializing/, $log_end) or return;
	}
	else
	{
		$node->stop($kind == 2 ? 'immediate' : 'fast');
		$node->start;
	}
	$leg->{hits}{ $kills[$kind] }{$_} += $open{$_} // 0 foreach @actions;
	$standin->settings(latency => 0);
	$standin->control('DELETE', '/_control/faults');
	$node->poll_query_until($db, 'SELECT true');
}

# --- the verdict ---

sub table
{
	my ($leg) = @_;
	my $text = sprintf "%s: hits of each cell\n%-24s %8s %8s %8s\n", $leg->{name}, '', @actions;
	$text .= sprintf "%-24s %8d %8d %8d\n", $_, @{ $leg->{hits}{$_} }{@actions} foreach @rows;
	return $text;
}

sub verdict
{
	my ($leg) = @_;
	my ($node, $standin) = @$leg{qw(node standin)};
	my $name = $leg->{name};
	foreach my $row (@rows)
	{
		$leg->{hits}{$row}{$_} //= 0 foreach @actions;
	}
	diag(table($leg));
	my $state = $standin->control('GET', '/_control/state');
	my %live;
	my $orphans = '';
	foreach my $meeting (grep { !$_->{deleted} } @{ $state->{meetings} })
	{
		my ($ulid) = ($meeting->{marker} // '') =~ /^dibs:(\w{26}):/;
		if (defined $ulid) { push @{ $live{$ulid} }, $meeting; }
		else { $orphans .= "$meeting->{id} "; }
	}
	my %known;
	my ($lost, $doubled, $stale, $wrong) = ('') x 4;
	foreach my $line (split /\n/, sql($leg, q{SELECT "ulid", "calBookingUid", "status", "meetingState", "zoomMeetingId", "title",
		to_char("startTime" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), num_nulls("zoomJoinUrl", "zoomHostUrl", "zoomPasscode") FROM dibs."CalBooking"}))
	{
		my ($ulid, $uid, $status, $meeting_state, $id, $title, $start, $nulls) = split /\|/, $line;
		my @meetings = @{ $live{$ulid} // [] };
		$known{$ulid} = 1;
		if ($status eq 'CANCELLED')
		{
			$stale .= "$uid " if @meetings;
			$wrong .= "$uid: $meeting_state\n" unless $meeting_state eq 'not_needed' && $nulls == 3;
			next;
		}
		$lost .= "$uid " unless @meetings;
		$doubled .= "$uid " if @meetings > 1;
		$wrong .= "$uid: $meeting_state\n" unless $meeting_state eq 'ready' && $nulls == 0;
		$wrong .= "$uid: $id, $title, $start, but at Zoom $meetings[0]{id}, $meetings[0]{topic}, $meetings[0]{start_time}\n"
		  if @meetings && !($id eq $meetings[0]{id} && $title eq $meetings[0]{topic} && $start eq $meetings[0]{start_time});
	}
	$orphans .= "$_ " foreach grep { !$known{$_} } keys %live;
	my @planned = map { @{ uids_of($leg, $_) } } @actions;
	is(sql($leg, q{SELECT count(*) FROM dibs."CalBooking"}) + sql($leg, q{SELECT count(*) FROM dibs."BookingUid" u WHERE NOT EXISTS
		(SELECT FROM dibs."CalBooking" b WHERE b."ulid" = u."bookingUlid")}), scalar @planned,
		"$name: all " . @planned . ' bookings were written') or diag(sql($leg, q{SELECT count(*) FROM dibs."BookingUid"}));
	is($lost, '', "$name: no meeting is lost");
	is($doubled, '', "$name: no booking has two");
	is(join(' ', map { $_->{marker} } @{ $state->{duplicates} }), '', "$name: none ever had");
	is($stale, '', "$name: none is left of a cancelled booking");
	is($orphans, '', "$name: none is left without a booking");
	is($wrong, '', "$name: every booking is as its row wants it, and so is its meeting");
	foreach my $row (@rows)
	{
		my @few = grep { $leg->{hits}{$row}{$_} < $hits } @actions;
		is("@few", '', "$name: $row: each cell was hit $hits times");
	}
	cmp_ok(scalar @planned, '>=', 1000, "$name: at least 1,000 bookings") if $hits >= 20;
	is($state->{counters}{violations}, 0, "$name: every request conforms to the OpenAPI documents") if specs_dir() && $hits < 20;
	unlike(slurp_file($node->logfile), qr/\b(?:PANIC|TRAP)\b|terminated by signal (?!9:)/, "$name: nothing crashed that was not killed");
	my %versions = map { $_->{httpVersion} => 1 } $standin->requests(path => '^/v2/', method => 'POST');
	is(join(' ', keys %versions), $name eq 'plain' ? '1.1' : '2.0', "$name: over the protocol that was meant");
}

my $started = time;
my @legs = (
	new_leg('plain', conf => ''),
	new_leg('http2', tls => [ "$dir/right.cert", "$dir/right.key" ], conf => "dibs.http2 = on\ndibs.ca_file = '$dir/right.cert'"));
prepare($_) foreach @legs;
settled($_, 'the meetings to be changed and removed are there') foreach @legs;
# only now are timeouts short: a stand-in on a busy machine is not to be taken for one that never answers
foreach my $leg (@legs)
{
	# a provider's list lags: one look at it that finds nothing proves nothing
	$leg->{standin}->settings(listDelayMs => 4000);
	$leg->{node}->append_conf('postgresql.conf', "dibs.request_timeout = '2s'\ndibs.connect_timeout = '2s'");
	$leg->{node}->reload;
}
wrong_certificate($_) foreach @legs;
storm($_) foreach @legs;
after_storm($_) foreach @legs;
foreach my $leg (@legs)
{
	$leg->{node}->append_conf('postgresql.conf', "dibs.request_timeout = '$request_timeout'");
	$leg->{node}->reload;
}
my $rounds = max(1, $hits > 3 ? $hits : 1);
foreach my $round (0 .. $rounds - 1)
{
	foreach my $kind (0 .. $#kills)
	{
		kill_round($_, $kind, $round, $rounds) foreach @legs;
	}
}
settled($_, 'all that dying processes left behind is mended') foreach @legs;
verdict($_) foreach @legs;
is($impostor->control('GET', '/_control/state')->{counters}{requests}, 0, 'not one request got through to the server with the wrong certificate');
diag(sprintf 'in %.0f s', time - $started);

$_->{node}->stop('fast') foreach @legs;
done_testing();
