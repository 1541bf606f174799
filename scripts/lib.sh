# shellcheck shell=bash
# What scripts/test, scripts/demo and the programs they call share. Sourced, not run.

set -euo pipefail

DIBS_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
DIBS_CACHE=${DIBS_CACHE:-$DIBS_TOP/.cache}

# A caller's PostgreSQL or make settings must not lead a test to somebody else's server.
for name in "${!PG@}"; do
	unset "$name"
done
unset MAKEFLAGS MAKELEVEL MFLAGS name

say()
{
	printf '%s\n' "$*" >&2
}

die()
{
	say "$(basename "$0"): $*"
	exit 1
}

as_root()
{
	if [ "$EUID" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "this needs root: run it as root, install sudo, or run yourself: $*"
	fi
}

# PostgreSQL refuses to run as root, so root hands over to the user its package made.
as_server_user()
{
	if [ "$EUID" -eq 0 ]; then
		setpriv --reuid=postgres --regid=postgres --init-groups --no-new-privs env USER=postgres LOGNAME=postgres "$@"
	else
		"$@"
	fi
}

server_user()
{
	if [ "$EUID" -eq 0 ]; then echo postgres; else id -un; fi
}

# --- packages ---------------------------------------------------------------------------------------------------------

host_suite()
{
	# shellcheck source=/dev/null
	(. /etc/os-release && if [ "${ID:-}" = debian ]; then echo "${VERSION_CODENAME:-}"; fi)
}

# The Debian release that ships a PostgreSQL version.
suite_of()
{
	case $1 in
		15) echo bookworm ;;
		17) echo trixie ;;
		18) echo forky ;;
		*) die "no Debian release is known for PostgreSQL $1 (15, 17 and 18 are)" ;;
	esac
}

package_installed()
{
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

run_packages()
{
	echo "make gcc libc6-dev postgresql-$1 postgresql-server-dev-$1 libcurl4-openssl-dev libssl-dev openssl nodejs perl"
}

test_packages()
{
	echo "$(run_packages "$1") clang libipc-run-perl pgbouncer$([ "$1" != 15 ] || echo ' clang-format shellcheck libclang-rt-14-dev')"
}

CLUSTER_GUARD=/etc/postgresql-common/createcluster.d/dibs-no-cluster.conf

# Installs what is missing of the packages named and nothing else. The guard keeps postgresql-NN from making and
# starting a "main" cluster, the run level keeps pgbouncer from starting as a service; both only while apt runs, so that
# later installations do what they always did.
need_packages()
{
	local package missing=()
	for package in "$@"; do
		package_installed "$package" || missing+=("$package")
	done
	if [ -e "$CLUSTER_GUARD" ]; then # of a run that was killed
		as_root rm -f "$CLUSTER_GUARD"
	fi
	if [ ${#missing[@]} -eq 0 ]; then
		return
	fi
	command -v apt-get >/dev/null || die "apt-get not found; these packages are needed: ${missing[*]}"
	say "installing: ${missing[*]}"
	local started=$SECONDS status=0 log
	log=$(mktemp)
	as_root mkdir -p "$(dirname "$CLUSTER_GUARD")"
	echo 'create_main_cluster = false' | as_root tee "$CLUSTER_GUARD" >/dev/null
	{
		as_root apt-get -q -o DPkg::Lock::Timeout=300 update &&
			as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
				apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "${missing[@]}"
	} >"$log" 2>&1 </dev/null || status=$?
	as_root rm -f "$CLUSTER_GUARD"
	if [ $status -ne 0 ]; then
		tail -n 30 "$log" >&2
		rm -f "$log"
		die "installing packages failed"
	fi
	rm -f "$log"
	say "packages installed in $((SECONDS - started)) s"
}

# --- folders and processes of a run -----------------------------------------------------------------------------------

# Debian roots and what runs inside them belong to root; all else is the caller's own and needs no sudo.
as_owner_of()
{
	local dir=$1
	shift
	case $dir in
		"$DIBS_CACHE"/roots/*) as_root "$@" ;;
		*) if [ ! -e "$dir" ] || [ -O "$dir" ] || [ -k "$dir" ]; then "$@"; else as_root "$@"; fi ;;
	esac
}

# Ends what a run left behind. Such processes are known by their working directory alone: a run's folder has a name
# that nothing else has, and make, node and the servers all work inside it.
end_processes_in()
{
	# shellcheck disable=SC2016 # expanded by the inner shell
	as_owner_of "$1" bash -c '
		for signal in TERM KILL KILL; do
			found=
			for process in /proc/[0-9]*; do
				cwd=$(readlink "$process/cwd" 2>/dev/null) || continue
				case $cwd in
					"$1" | "$1"/*)
						kill "-$signal" "${process#/proc/}" 2>/dev/null
						found=1
						;;
				esac
			done
			[ -n "$found" ] || exit 0
			sleep 0.5
		done
		exit 0' end-processes "$1"
}

# Makes the cache the caller's again where an earlier run was another user's; what lies in Debian roots stays root's.
own_cache()
{
	local dir
	mkdir -p "$DIBS_CACHE" 2>/dev/null || as_root mkdir -p "$DIBS_CACHE"
	for dir in . log runs roots; do
		dir=$DIBS_CACHE/$dir
		if [ -d "$dir" ] && [ ! -O "$dir" ]; then
			as_root chown "$(id -u):$(id -g)" "$dir"
			case $dir in
				*/roots) as_root find "$dir" -maxdepth 1 -type f -exec chown "$(id -u):$(id -g)" {} + ;;
				*/log | */runs) as_root chown -R "$(id -u):$(id -g)" "$dir" ;;
			esac
		fi
	done
	mkdir -p "$DIBS_CACHE/log" "$DIBS_CACHE/runs" "$DIBS_CACHE/roots"
}

# Removes what runs left that did not come to their end. A note in .cache/runs names the run's process (and when that
# started, as numbers come again) and its folder.
sweep_stale_runs()
{
	local note pid started dir
	for note in "$DIBS_CACHE"/runs/*; do
		[ -f "$note" ] || continue
		{ read -r pid started && read -r dir; } <"$note" || true
		if [ -n "${pid:-}" ] && [ "$(process_start "$pid")" = "$started" ]; then
			continue
		fi
		case ${dir:-} in
			*/dibs-run.*)
				say "clearing up after a run that was killed: $dir"
				end_processes_in "$dir"
				as_owner_of "$dir" rm -rf "$dir"
				;;
		esac
		rm -f "$note"
	done
}

# A process's start in clock ticks since boot, empty if there is none or it has ended and nobody has asked after it.
process_start()
{
	{ sed 's/.*) //' "/proc/$1/stat" 2>/dev/null || true; } | awk '$1 !~ /[ZX]/ { print $20 }'
}

# new_run_dir PREFIX: a fresh folder below PREFIX that the server's user can reach, noted for sweep_stale_runs.
new_run_dir()
{
	local base=$1 dir
	dir=$(as_owner_of "$base" mktemp -d "$base/dibs-run.XXXXXX")
	printf '%s %s\n%s\n' $$ "$(process_start $$)" "$dir" >"$DIBS_CACHE/runs/$(basename "$dir")"
	as_owner_of "$dir" chmod 755 "$dir"
	echo "$dir"
}

drop_run_dir()
{
	end_processes_in "$1"
	as_owner_of "$1" rm -rf "$1"
	rm -f "$DIBS_CACHE/runs/$(basename "$1")"
}

# The files of the checkout as they stand: tracked, and new ones that git does not ignore.
copy_tree()
{
	local to=$1
	mkdir -p "$to"
	if [ -e "$DIBS_TOP/.git" ]; then
		command -v git >/dev/null || need_packages git
		git -C "$DIBS_TOP" -c safe.directory='*' ls-files -z --cached --others --exclude-standard
	else
		(cd "$DIBS_TOP" && find . \( -name .cache -o -name .demo -o -name node_modules \) -prune -o -type f -print0)
	fi |
		(cd "$DIBS_TOP" && while IFS= read -r -d '' file; do
			if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi
		done) |
		tar -C "$DIBS_TOP" --null --no-recursion -T - -cf - | tar -C "$to" --no-same-owner -xf -
}

# copy_specs DIR: the providers' own API documents, where they lie beside the checkout, to DIR/specs: the stand-in holds
# requests against them. What was collected of their payloads lies beside those and goes to DIR/fixtures.
copy_specs()
{
	local from=${DIBS_SPECS:-$DIBS_TOP/../shared/specs} fixtures
	fixtures=$(dirname "$from")/fixtures
	if [ -d "$fixtures" ]; then
		cp -r "$fixtures" "$1/fixtures"
		chmod -R u+rwX,go+rX "$1/fixtures"
	fi
	if [ -d "$from" ]; then
		cp -r "$from" "$1/specs"
		chmod -R u+rwX,go+rX "$1/specs"
	fi
}

# private_postgres VERSION DIR: a copy of the installed PostgreSQL that `make install` may write into; prints its
# pg_config. PostgreSQL finds its library and share folders relative to its own binary, so a copy that keeps the
# folders' relation needs no configuring.
private_postgres()
{
	local version=$1 dir=$2
	mkdir -p "$dir/usr/lib/postgresql" "$dir/usr/share/postgresql" "$dir/usr/include"
	cp -a "/usr/lib/postgresql/$version" "$dir/usr/lib/postgresql/"
	cp -a "/usr/share/postgresql/$version" "$dir/usr/share/postgresql/"
	ln -sfn /usr/include/postgresql "$dir/usr/include/postgresql"
	# An installation of dibs on this machine must not stand in for the one under test.
	rm -rf "$dir/usr/lib/postgresql/$version/lib/dibs.so" "$dir/usr/lib/postgresql/$version/lib/bitcode/dibs"* \
		"$dir/usr/share/postgresql/$version/extension/dibs"*
	echo "$dir/usr/lib/postgresql/$version/bin/pg_config"
}

# build_tree DIR VERSION MAKE-ARGUMENT...: the checkout in DIR/src, built and installed into a PostgreSQL of its own in
# DIR/pg; once more for what has changed in DIR/src since.
build_tree()
{
	local dir=$1 version=$2
	shift 2
	if [ ! -d "$dir/src" ]; then
		copy_tree "$dir/src"
		private_postgres "$version" "$dir/pg" >/dev/null
	fi
	(cd "$dir/src" && make -j2 with_llvm=no PG_CONFIG="$dir/pg/usr/lib/postgresql/$version/bin/pg_config" "$@" install) >"$dir/build.log" 2>&1
}

# run_in_tree DIR VERSION [VARIABLE=VALUE...] PERL-FILE: a TAP test of that tree, as the servers' user, in DIR/tap.
run_in_tree()
{
	local dir=$1 version=$2 bin lib
	shift 2
	bin=$dir/pg/usr/lib/postgresql/$version/bin
	lib=$(dirname "$("$bin/pg_config" --pgxs)")/../test
	rm -rf "$dir/tap"
	mkdir -p "$dir/tap/data" "$dir/tap/log" "$dir/home" "$dir/tmp" "$dir/ports"
	if [ "$EUID" -eq 0 ]; then chown -R postgres:postgres "$dir"; fi
	as_server_user env -C "$dir/src" PATH="$bin:$PATH" HOME="$dir/home" TMPDIR="$dir/tmp" LANG=C.UTF-8 PERL5LIB="$lib/perl:$dir/src/test/t/lib" \
		TESTDIR="$dir/tap" TESTDATADIR="$dir/tap/data" TESTLOGDIR="$dir/tap/log" PG_TEST_PORT_DIR="$dir/ports" \
		PG_REGRESS="$lib/regress/pg_regress" "${@:1:$#-1}" perl "${@: -1}"
}

# plant_bug FILE OLD NEW: replaces a text that must stand in the file once; \n and \t are what they say.
plant_bug()
{
	OLD=$2 NEW=$3 perl -0pi -e 'my ($o, $n) = @ENV{qw(OLD NEW)}; s{\\([nt])}{$1 eq "n" ? "\n" : "\t"}ge for $o, $n;
		my $k = () = /\Q$o\E/g; die "$ARGV: its text stands there $k times\n" if $k != 1; s/\Q$o\E/$n/' "$1"
}
