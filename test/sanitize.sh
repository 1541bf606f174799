#!/usr/bin/env bash
# Runs worker and launcher under AddressSanitizer (with UBSan) and under Valgrind's memcheck while test/sanitize/storm.pl
# gives them 10,000 jobs at a provider that fails in every way; before that, shows that each tool reports the bugs of
# test/sanitize/controls, planted one at a time.
#
#   test/sanitize.sh [--jobs N] [--no-controls] [asan] [valgrind] [none]
#
# The server is Debian's own, so memory of PostgreSQL's contexts is seen in the blocks that they take from malloc, not
# chunk by chunk; that of libcurl, OpenSSL and src/http is seen as it is. "none" runs the same without a tool, and
# compares how much memory the worker holds after 1,000 jobs and at the end. Reports stay under .cache/log/sanitize/.
set -euo pipefail
. "$(dirname "$0")/../scripts/lib.sh"

VERSION=15
JOBS=10000
CONTROLS=1
TOOLS=
while [ $# -gt 0 ]; do
	case $1 in
		--jobs)
			JOBS=${2:?--jobs needs a number}
			shift
			;;
		--no-controls) CONTROLS= ;;
		asan | valgrind | none) TOOLS="$TOOLS $1" ;;
		*)
			sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
			exit 2
			;;
	esac
	shift
done
TOOLS=${TOOLS:-asan valgrind}

own_cache
sweep_stale_runs
# shellcheck disable=SC2046 # lists of words
need_packages $(test_packages $VERSION) $(case $TOOLS in *valgrind*) echo valgrind ;; esac)
WORK=$(new_run_dir /var/tmp)
trap 'drop_run_dir "$WORK"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
KEPT=$DIBS_CACHE/log/sanitize
mkdir -p "$KEPT"

build()
{
	local flags=-O1 cpp=()
	# without _FORTIFY_SOURCE, whose functions the sanitizer does not know
	if [ "$1" = asan ]; then
		flags='-fsanitize=address,undefined -fno-omit-frame-pointer -O1'
		cpp=(CPPFLAGS=-D_GNU_SOURCE)
	fi
	build_tree "$WORK/$1" $VERSION CC=gcc "${cpp[@]}" DIBS_CFLAGS="$flags" || {
		tail -n 20 "$WORK/$1/build.log" >&2
		return 1
	}
}

# From here on that tree's servers start under the tool.
arm()
{
	local dir=$WORK/$1 bin=$WORK/$1/pg/usr/lib/postgresql/$VERSION/bin
	if [ "$1" = none ]; then return; fi
	mv "$bin/postgres" "$bin/postgres.real"
	if [ "$1" = asan ]; then
		gcc -shared -fPIC -Wl,-z,initfirst "$DIBS_TOP/test/sanitize/early.c" -o "$dir/early.so"
		# LeakSanitizer may not change a backend's exit status, which would be a crash to the postmaster
		cat >"$dir/run" <<-END
			export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $dir/early.so"
			export ASAN_OPTIONS=log_path=$dir/reports/asan:abort_on_error=1:detect_leaks=1:fast_unwind_on_malloc=0:quarantine_size_mb=64
			export LSAN_OPTIONS=exitcode=0
			export UBSAN_OPTIONS=log_path=$dir/reports/ubsan:print_stacktrace=1
			exec "$bin/postgres.real" "\$@"
		END
	else
		cat >"$dir/run" <<-END
			exec valgrind --quiet --trace-children=yes --log-file=$dir/reports/valgrind.%p --error-markers=VALGRIND-BEGIN,VALGRIND-END \\
				--suppressions=$dir/src/test/sanitize/valgrind.supp --gen-suppressions=all --num-callers=60 --fullpath-after= \\
				--leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --vgdb=no \\
				"$bin/postgres.real" "\$@"
		END
	fi
	# initdb and questions about the version need no tool
	cat >"$bin/postgres" <<-END
		#!/bin/bash
		case \${1:-} in
			--boot | --single | --check | -V | -C) exec "$bin/postgres.real" "\$@" ;;
		esac
		. "$dir/run"
	END
	chmod 755 "$bin/postgres"
}

# storm NAME TOOL JOBS [CONTROL]
storm()
{
	local dir=$WORK/$2 status=0
	rm -rf "$dir/reports" "${KEPT:?}/$1"
	mkdir -p "$dir/reports" "$KEPT/$1"
	run_in_tree "$dir" $VERSION PGCTLTIMEOUT=300 DIBS_STORM_TOOL="$2" DIBS_STORM_JOBS="$3" \
		DIBS_STORM_REPORTS="$dir/reports" DIBS_STORM_CONTROL="${4:-}" test/sanitize/storm.pl >"$KEPT/$1/storm.log" 2>&1 </dev/null &
	# in the background and waited for, so that a signal to this script is acted on at once
	wait $! || status=$?
	end_processes_in "$dir"
	cp -r "$dir/reports" "$KEPT/$1/"
	find "$dir/tap" -name '*.log' -exec cp {} "$KEPT/$1/" \;
	return $status
}

# What a control's report says, in a few words.
reported()
{
	grep -m 1 -oE 'AddressSanitizer: [a-z-]+|leak of [0-9]+ byte.*|runtime error: .*|Invalid [a-z]+ of size [0-9]+|[0-9,]+ bytes in .* lost|depends on uninit.*|[a-z()]+ (points to|contains) uninit.*' "$1" || echo '?'
}

failures=0
for tool in $TOOLS; do
	build "$tool"
	arm "$tool"
	if [ -n "$CONTROLS" ]; then
		while IFS=$'\t' read -r name for_tool file old new; do
			if [ "$for_tool" != "$tool" ]; then continue; fi
			cp "$WORK/$tool/src/$file" "$WORK/unplanted"
			if ! plant_bug "$WORK/$tool/src/$file" "$old" "$new" || ! build "$tool"; then
				said='could not be planted'
				failures=$((failures + 1))
			elif storm "$tool-$name" "$tool" 40 1; then
				said="reported: $(reported "$KEPT/$tool-$name/storm.log")"
			else
				said='NOT reported'
				failures=$((failures + 1))
			fi
			printf '%-10s %-20s %s\n' "$tool" "$name" "$said"
			cp "$WORK/unplanted" "$WORK/$tool/src/$file"
		done < <(grep -v '^#' "$DIBS_TOP/test/sanitize/controls")
		build "$tool"
	fi
	if ! storm "$tool" "$tool" "$JOBS"; then failures=$((failures + 1)); fi
	grep -E '^not ok' "$KEPT/$tool/storm.log" || true
	grep -E '^# ([a-z]+: [0-9]+ jobs|the (worker|launcher))' "$KEPT/$tool/storm.log" || tail -n 30 "$KEPT/$tool/storm.log"
	end_processes_in "$WORK/$tool"
	rm -rf "${WORK:?}/$tool"
done
[ "$failures" -eq 0 ] || { echo "$failures not as they must be; reports: ${KEPT#"$DIBS_TOP"/}" >&2; exit 1; }
