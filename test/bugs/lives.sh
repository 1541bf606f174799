#!/bin/bash
# test/bugs/lives.sh PG_CONFIG: plants one bug after the other in a copy of the tree, builds it, installs it into the
# PostgreSQL that PG_CONFIG belongs to (a copy of your own, never the system's), and runs 030_meeting_lives.pl: each bug
# must be caught. Run it as a user who may write there; the test runs as postgres where that user is root.
set -euo pipefail

pg_config=$1
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d /var/tmp/dibs-bugs.XXXXXX)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
pgxs=$(dirname "$("$pg_config" --pgxs)")/../..
bin=$("$pg_config" --bindir)
missed=0

run_test()
{
	local as=()
	if [ "$EUID" -eq 0 ]; then
		chown -R postgres "$work"
		as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
	fi
	(cd "$work/tree" && "${as[@]}" env -u PGHOST -u PGPORT -u PGUSER HOME="$work" PATH="$bin:$PATH" DIBS_LIVES=400 DIBS_SEED=7 \
		PG_REGRESS="$pgxs/src/test/regress/pg_regress" TESTDIR="$work" TESTDATADIR="$work/data" \
		perl -I "$pgxs/src/test/perl" -I test/t/lib test/t/030_meeting_lives.pl >"$work/log" 2>&1)
}

# plant NAME FILE 's/from/to/': a substitution that changes nothing is an error of this script
plant()
{
	rm -rf "$work/tree" "$work/data" "$work/tmp_check"
	mkdir -p "$work/tree" "$work/data"
	(cd "$top" && tar cf - --exclude=.git --exclude=.cache --exclude='*.o' --exclude='*.so' .) | tar xf - -C "$work/tree"
	if [ "$2" != - ]; then
		perl -0pi -e "$3" "$work/tree/$2"
		if cmp -s "$top/$2" "$work/tree/$2"; then echo "$1: nothing was planted" && exit 2; fi
	fi
	make -s -C "$work/tree" PG_CONFIG="$pg_config" with_llvm=no install >"$work/build" 2>&1 || { cat "$work/build"; exit 2; }
	if run_test; then
		echo "$1: the test passes"
		if [ "$2" != - ]; then missed=$((missed + 1)); fi
	else
		echo "$1: $(grep -c '^not ok' "$work/log") assertions fail"
		if [ "$2" = - ]; then tail -20 "$work/log"; missed=$((missed + 1)); fi
	fi
}

a=src/meeting/attendance.c
e=src/meeting/event.c
plant 'no bug' - ''
plant 'open presences are not closed at the end' $a 's/end = end_of\(life, p->run\);/end = 0;/'
plant 'a later join does not close an earlier one' $a 's/next != NULL && same_connection\(p, next\) && next->joined_at != 0/next == NULL \&\& life == NULL/'
plant 'a late leave does not replace a closing' $a 's/if \(p->joined_at == 0 \|\| \(p->left_at != 0 && !p->closed\)\)/if (p->joined_at == 0 || p->left_at != 0)/'
plant 'gone and back in one second: the join first' $a 's/if \(open && i \+ 1 < n_points/if (life == NULL \&\& i + 1 < n_points/'
plant 'points are taken in the order of arrival' $a 's/qsort\(points, n_points, sizeof\(Point\), by_time\);/(void) by_time;/'
plant 'a known point counts again' $a 's/\(!left && p->joined_at == at\) \|\| \(left && !p->closed && p->left_at == at\)/life == NULL/'
plant 'the next run does not end one whose end is lost' $e 's/run->end == 0 && run_begin\(run\) != 0/life == NULL/'
plant 'runs in the order of their names' $e 's/if \(run_begin\(x\) != run_begin\(y\)\)\n\t\treturn run_begin\(x\) < run_begin\(y\) \? -1 : 1;\n\treturn strcmp\(x->name, y->name\);/return strcmp(y->name, x->name);/'
plant 'the status follows the last event, not the facts' $e 's/if \(last->end == 0\)/if (life->n_presences % 7 == 3)/'
plant 'the host counts as somebody who came' $a 's/p->role != DIBS_ROLE_HOST \|\|/true ||/'
plant 'guests count as nobody' $a 's/p->role != DIBS_ROLE_HOST \|\|/p->role == DIBS_ROLE_PARTICIPANT ||/'
plant 'names are compared as they are' $a 's/strcmp\(plain_name\(a\), plain_name\(b\)\)/strcmp(a, b)/'
plant 'the registrant is not looked at' $a 's/p->registrant_id != NULL && life/life == NULL \&\& life/'
plant 'a cancellation is undone' $e 's/life->status == DIBS_STATUS_PENDING \|\| !dibs_status_may_become\(life->status, after, false\)/false/'
plant 'the meeting is made due because it ran' $e 's/dibs_set_write_mode\(DIBS_WRITE_SETTLE\);\n(.*?set_status)/$1/'
plant 'another subscription is told of as news' $e 's/bool news = \*known == 0;/bool news = true;/'
exit $((missed > 0))
