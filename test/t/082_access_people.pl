# Forgetting people: what they have ahead is cancelled and its meeting removed, then nothing is left of them in any table,
# and neither a replay nor a late webhook brings them back.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP ();
use POSIX ();

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DibsTest;

my $db = 'postgres';
my $standin = start_standin();
my $node = dibs_node('people', standin => $standin);
setup_zoom($node, $db);
setup_coach($node, $db, email => 'their@coach.example');
my %by = (organizer => { id => 5, name => 'Coach', email => 'their@coach.example', username => 'their', timeZone => 'UTC', language => { locale => 'en' } });
my $json = JSON::PP->new->utf8;
my $mail = 'ada.love+x@people.example';
my %who = (attendees => [ { name => 'Ada Lovelace', email => 'Ada.Love+X@people.example', timeZone => 'UTC', language => { locale => 'en' } } ],
	responses => { name => { label => 'your_name', value => 'Ada Lovelace' }, email => { label => 'email_address', value => $mail },
		notes => { label => 'notes', value => 'my secret illness' } }, title => 'Call between Coach and Ada Lovelace');

# every row of every table of the extension that mentions a text
sub mentions
{
	my ($text) = @_;
	my @tables = split /\n/, $node->safe_psql($db, q{SELECT format('dibs.%I', relname) FROM pg_class WHERE relnamespace = 'dibs'::regnamespace AND relkind = 'r'});
	return join ' ', grep { $node->safe_psql($db, "SELECT count(*) FROM $_ t WHERE t::text ILIKE " . sql_quote("%$text%")) > 0 } @tables;
}

sub job_done
{
	my ($job) = @_;
	ok(wait_for_sql($node, $db, "SELECT state FROM dibs.job_progress WHERE job = '$job'", 'done', 60), 'the job ends')
	  or diag($node->safe_psql($db, qq{SELECT * FROM dibs."Job" WHERE "ulid" = '$job'}));
	return $json->decode($node->safe_psql($db, "SELECT progress FROM dibs.job_progress WHERE job = '$job'"));
}

# --- a person

my $body = cal_body('BOOKING_CREATED', %by, uid => 'ada-1', bookingId => 1, createdAt => '2026-01-01T00:00:00Z', %who);
is(deliver_cal($node, $db, $body)->{outcome}, 'applied', 'Ada books');
my $other = cal_body('BOOKING_CREATED', %by, uid => 'other-1', bookingId => 2, createdAt => '2026-01-01T00:00:00Z', startTime => '2035-05-05T10:00:00Z',
	endTime => '2035-05-05T10:30:00Z', attendees => [ { name => 'Guest', email => 'guest@example.com', timeZone => 'UTC' },
		{ name => 'Ada Lovelace', email => $mail, timeZone => 'UTC' } ]);
is(deliver_cal($node, $db, $other)->{outcome}, 'applied', 'and is somebody\'s guest');
deliver_cal($node, $db, cal_body('MEETING_ENDED', %by, uid => 'never-1', %who));
$node->safe_psql($db, qq{SELECT dibs.create_booking('{"userUlid": "$DibsTest::coach", "startTime": "2035-06-06T10:00:00Z", "duration": 30, "maxParticipants": 5,
	"attendeeEmail": "own\@example.com", "guests": ["$mail"]}')});
$node->safe_psql($db, qq{SELECT dibs.mark_no_show("ulid", '$mail') FROM dibs."CalBooking" WHERE "attendeeEmail" = 'own\@example.com'});
# one that is over
$node->safe_psql($db, qq{INSERT INTO dibs."CalBooking" ("userUlid", "calBookingUid", "title", "startTime", "endTime", "attendeeEmail", "attendeeName", "status", "rating")
	VALUES ('$DibsTest::coach', 'past-1', 'Past with Ada Lovelace', '2020-01-01', '2020-01-01', '$mail', 'Ada Lovelace', 'COMPLETED', 5)});
ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs."CalBooking" WHERE "meetingState" = 'ready' AND "startTime" > now()}, '3'), 'meetings are there');
ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"}, '0'), 'all is done');
isnt(mentions('love+x@people.example'), '', 'control: she is found');
my $export = $json->decode($node->safe_psql($db, "SELECT dibs.export_person(' ADA.love+x\@people.example')"));
is(scalar @{ $export->{seats} }, 4, 'export: her seats');
like($json->encode($export), qr/my secret illness/, 'export: her answers');
unlike($json->encode($export), qr/guest\@example\.com|own\@example\.com/, 'export: nobody else');
is(scalar @{ $export->{payloads} }, 3, 'export: the payloads that mention her');

my $removed = scalar $standin->requests(method => 'DELETE');
my $job = $node->safe_psql($db, "SELECT dibs.forget_person('Ada.Love+X\@people.example')");
my $did = job_done($job);
is_deeply([ @$did{qw(cancelled seatsGivenUp seats bookings meetingsLeft)} ], [ 1, 2, 4, 2, 0 ], 'it says what it did') or diag(explain $did);
is(mentions('love+x@people.example'), '', 'her address is nowhere any more');
is(mentions('secret illness'), '', 'nor what she wrote');
is(mentions('Lovelace'), '', 'nor her name');
is($standin->requests(method => 'DELETE') - $removed, 1, 'her meeting is gone at the provider');
is($node->safe_psql($db, q{SELECT "status", "rating", "attendeeEmail", "title" FROM dibs."CalBooking" WHERE "calBookingUid" = 'past-1'}),
	'COMPLETED|5|forgotten@invalid|Booking', 'what is over stays, without her');
is($node->safe_psql($db, q{SELECT "status", "currentParticipants", "attendeeEmail" FROM dibs."CalBooking" WHERE "calBookingUid" = 'other-1'}),
	'CONFIRMED|1|guest@example.com', 'where she was a guest, the booking stands');

is(deliver_cal($node, $db, $body)->{outcome}, 'duplicate', 'the same delivery again is one');
my $late = deliver_cal($node, $db, cal_body('BOOKING_RESCHEDULED', %by, uid => 'ada-2', rescheduleUid => 'ada-1', %who));
is($late->{outcome}, 'ignored', 'a late word about her booking is ignored');
is(deliver_cal($node, $db, cal_body('BOOKING_CREATED', %by, uid => 'ada-old', createdAt => '2026-01-02T00:00:00Z', %who))->{outcome}, 'ignored',
	'so is a late delivery from before');
my $clock = deliver_cal($node, $db, cal_body('MEETING_ENDED', %by, uid => 'other-1', attendees => [ { name => 'Ada Lovelace', email => $mail, timeZone => 'UTC' } ]));
is($clock->{outcome}, 'applied', 'so does the clock\'s word on a booking in which she was');
is(deliver_cal($node, $db, cal_body('MEETING_STARTED', %by, uid => 'never-2', createdAt => '2026-01-02T00:00:00Z', %who))->{outcome}, 'ignored', 'on one that nobody knows it waits for none');
my $again = deliver_cal($node, $db, cal_body('BOOKING_RESCHEDULED', %by, uid => 'other-2', rescheduleUid => 'other-1', startTime => '2035-05-06T10:00:00Z',
	endTime => '2035-05-06T10:30:00Z', attendees => [ { name => 'Guest', email => 'guest@example.com', timeZone => 'UTC' },
		{ name => 'Ada Lovelace', email => $mail, timeZone => 'UTC' } ]));
is($again->{outcome}, 'applied', 'the booking in which she was a guest is followed');
is($node->safe_psql($db, q{SELECT "startTime" = '2035-05-06T10:00:00Z', "participants"::text NOT ILIKE '%people.example%' FROM dibs."CalBooking" WHERE "calBookingUid" = 'other-2'}),
	't|t', 'without her');
is(mentions('people.example'), '', 'and nothing of it is kept');
is(mentions('Lovelace'), '', 'nor her name');
my $tomorrow = POSIX::strftime('%Y-%m-%dT%H:%M:%S.000Z', gmtime(time + 5));
is(deliver_cal($node, $db, cal_body('BOOKING_CREATED', %by, uid => 'ada-new', bookingId => 9, createdAt => $tomorrow, startTime => '2035-07-07T10:00:00Z',
	endTime => '2035-07-07T10:30:00Z', %who{qw(attendees responses)}))->{outcome}, 'applied', 'what she books later is new');
my $audit = $node->safe_psql($db, q{SELECT "action", "object" ~ '^[0-9a-f]{64}$' FROM dibs."AuditLog" WHERE "action" IN ('forget_person', 'export_person') ORDER BY "ulid"});
is($audit, "export_person|t\nforget_person|t", 'the audit log knows it, by a hash');

# --- a coach

ok(wait_for_sql($node, $db, q{SELECT count(*) FROM dibs."CalBooking" WHERE "wanted" <> "done"}, '0'), 'all is done again');
my $before = $node->safe_psql($db, q{SELECT count(*) FROM dibs."Meeting" WHERE "state" = 'ready' AND NOT "adopted" AND "provider" = 'zoom'});
cmp_ok($before, '>', 1, 'the coach has meetings');
$removed = scalar $standin->requests(method => 'DELETE');
$did = job_done($node->safe_psql($db, "SELECT dibs.forget_user('$DibsTest::coach')"));
is($did->{bookings}, 5, 'their bookings are gone') or diag(explain $did);
is($standin->requests(method => 'DELETE') - $removed, $before, 'and their meetings at the provider');
is(mentions('coach.example'), '', 'their address is nowhere');
is($node->safe_psql($db, q{SELECT (SELECT count(*) FROM dibs."CalBooking"), (SELECT count(*) FROM dibs."Coach"), (SELECT count(*) FROM dibs."ProviderAccount"),
	(SELECT count(*) FROM dibs."WebhookEvent" WHERE "payload" IS NOT NULL)}), '0|0|0|0', 'nor is anything else');
$node->safe_psql($db, 'ALTER SYSTEM SET dibs.auto_register_coaches = on; SELECT pg_reload_conf()');
sleep 1;
is(deliver_cal($node, $db, cal_body('BOOKING_CREATED', %by, uid => 'coach-1', bookingId => 77))->{outcome}, 'ignored', 'deliveries for them are ignored, whatever registers coaches');
is(mentions('coach.example'), '', 'and not kept');
$node->safe_psql($db, sprintf(q{SELECT dibs.link_account('cal', '%s', email => 'their@coach.example')}, $DibsTest::coach));
is(deliver_cal($node, $db, cal_body('BOOKING_CREATED', %by, uid => 'coach-2', bookingId => 78))->{outcome}, 'applied', 'linked again, they are back');

$node->stop;
done_testing();
