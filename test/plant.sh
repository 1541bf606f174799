#!/usr/bin/env bash
# Plants the bugs of test/plants, one at a time, in a copy of the tree, and runs the test that is to catch each: it must
# fail. Without a bug each of those tests must pass. A developer's check of the tests themselves; a minute a bug at most:
#
#   test/plant.sh [--without] [NAME or TEST...]      --without: only the runs without a bug
#
# DIBS_SEED and DIBS_HISTORIES repeat or stretch the random ones. What a test said that did not end as it must is left in
# .cache/log/.
set -uo pipefail
. "$(dirname "$0")/../scripts/lib.sh"
set +e

VERSION=15
export DIBS_SEED=${DIBS_SEED:-20261} DIBS_HISTORIES=${DIBS_HISTORIES:-400} DIBS_LIVES=${DIBS_LIVES:-400} DIBS_TAP=short
without=
if [ "${1:-}" = --without ]; then
	without=1
	shift
fi
own_cache
sweep_stale_runs
# shellcheck disable=SC2046 # a list of words
need_packages $(test_packages $VERSION)
WORK=$(new_run_dir /var/tmp)
trap 'drop_run_dir "$WORK"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir -p "$WORK/tree"
copy_specs "$WORK"
failures=0

plants() { # the name, the test, the file, the text that is replaced and the one that replaces it, with a tab between them
	grep -v '^#' "$DIBS_TOP/test/plants"
}

# How one run of a test ends: caught (as soon as an assertion fails), missed, or why it says nothing.
run_test() { # name of the test
	local log=$WORK/test.log child
	if ! build_tree "$WORK/tree" $VERSION CC=gcc; then
		tail -n 5 "$WORK/tree/build.log" >&2
		echo 'does not build'
		return
	fi
	run_in_tree "$WORK/tree" $VERSION DIBS_SPECS="$WORK/specs" "test/t/$1.pl" >"$log" 2>&1 &
	child=$!
	for ((i = 0; i < 3000; i++)); do
		if ! kill -0 "$child" 2>/dev/null || grep -qE '^(not ok|Bail out)' "$log"; then break; fi
		sleep 0.2
	done
	# its servers end with it; what does not is ended
	pkill -TERM -P "$child"
	for ((i = 0; i < 75; i++)); do
		kill -0 "$child" 2>/dev/null || break
		sleep 0.2
	done
	end_processes_in "$WORK/tree" 2>/dev/null
	wait "$child" 2>/dev/null
	if grep -qE '^not ok' "$log"; then
		echo "caught: $(grep -m 1 -oE '^not ok.*' "$log" | sed 's/^not ok [0-9]* - //')"
	elif grep -q '^Bail out' "$log"; then
		echo 'caught: it gave up'
	elif grep -qE '^1\.\.[1-9]' "$log"; then
		echo missed
	else
		echo 'did not come to its end'
	fi
}

report() { # name wanted got
	printf '%-28s %s\n' "$1" "$3"
	case $3 in
		"$2"*) ;;
		*)
			failures=$((failures + 1))
			cp "$WORK/test.log" "$DIBS_CACHE/log/plant-${1//[ ,]/_}.log" 2>/dev/null
			;;
	esac
}

wanted() { # name test
	[ ${#names[@]} -eq 0 ] || [[ " ${names[*]} " == *" $1 "* || " ${names[*]} " == *" $2 "* ]]
}

names=("$@")
if [ ${#names[@]} -eq 0 ] || [ -n "$without" ]; then
	for test in $(plants | cut -f 2 | sort -u); do
		if [ ${#names[@]} -gt 0 ] && ! wanted - "$test"; then continue; fi
		report "no bug, $test" missed "$(run_test "$test")"
	done
fi
while IFS=$'\t' read -r name test file old new; do
	if [ -n "$without" ] || ! wanted "$name" "$test"; then continue; fi
	[ -d "$WORK/tree/src" ] || build_tree "$WORK/tree" $VERSION CC=gcc
	cp "$WORK/tree/src/$file" "$WORK/unplanted"
	if plant_bug "$WORK/tree/src/$file" "$old" "$new"; then
		report "$name" caught "$(run_test "$test")"
	else
		report "$name" caught 'its place is not there'
	fi
	cp "$WORK/unplanted" "$WORK/tree/src/$file"
done < <(plants)
[ "$failures" -eq 0 ] || { echo "$failures not as they must be" >&2; exit 1; }
