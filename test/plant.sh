#!/usr/bin/env bash
# Plants bugs, one at a time, in copies of src/booking, src/calendar and src/meeting, and has the random histories of
# test/t/300_cal_histories.pl, or the random lives of test/t/030_meeting_lives.pl, look for each; without a bug they must find nothing. A developer's check of the test
# itself, half a minute a bug: test/plant.sh [NAME...]. DIBS_SEED and DIBS_HISTORIES repeat or stretch a run.
set -uo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
export DIBS_SEED=${DIBS_SEED:-20261} DIBS_HISTORIES=${DIBS_HISTORIES:-400} DIBS_LIVES=${DIBS_LIVES:-400}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

plants() { # the name, the file, the text that is replaced and the one that replaces it, with a tab between them
	grep -v '^#' "$top/test/plants"
}

# The outcome of one run of that test: caught, missed, or why it says nothing.
try() { # name of the test
	local out
	out=$("$work/tree/scripts/test" --short --only build --tap "$1.pl" 2>&1)
	if ! grep -q '^build  *2 passed, 0 failed' <<<"$out"; then
		echo 'does not build'
	elif grep -qE "tap $1  *[0-9]+ passed, [1-9][0-9]* failed" <<<"$out"; then
		echo caught
	elif grep -qE "tap $1  *[1-9][0-9]* passed, 0 failed" <<<"$out"; then
		echo missed
	else
		echo 'did not run'
	fi
}

fresh_tree() {
	rm -rf "$work/tree"
	mkdir "$work/tree"
	(cd "$top" && git ls-files -z --cached --others --exclude-standard | xargs -0 tar c) | tar x -C "$work/tree"
	mkdir -p "$top/.cache"
	ln -sfn "$(readlink -f "$top/.cache")" "$work/tree/.cache"
	(cd "$work/tree" && git init -q . && git add -A) >/dev/null 2>&1
}

report() { # name wanted got
	printf '%-32s %s\n' "$1" "$3"
	if [ "$3" != "$2" ]; then failures=$((failures + 1)); fi
}

if [ $# -eq 0 ]; then
	fresh_tree
	report 'no bug' missed "$(try 300_cal_histories)"
	report 'no bug' missed "$(try 030_meeting_lives)"
fi
while IFS=$'\t' read -r name file old new; do
	if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
	fresh_tree
	if ! OLD=$old NEW=$new perl -0pi -e 'my ($o, $n) = @ENV{qw(OLD NEW)}; s{\\([nt])}{$1 eq "n" ? "\n" : "\t"}ge for $o, $n; my $k = () = /\Q$o\E/g; die "$k times\n" if $k != 1; s/\Q$o\E/$n/' "$work/tree/$file"; then
		report "$name" caught 'its place is not there'
		continue
	fi
	case $file in src/meeting/*) tap=030_meeting_lives ;; *) tap=300_cal_histories ;; esac
	report "$name" caught "$(try $tap)"
done < <(plants)
[ "$failures" -eq 0 ] || { echo "$failures not as they must be" >&2; exit 1; }
