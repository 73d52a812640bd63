#!/bin/sh
# Runs a command in a root of another release of Debian, as root:
#
#	itest/lab/on-debian.sh [--fresh] SUITE CMD ARGS...
#	itest/lab/on-debian.sh trixie make itest
#
# The first run makes the root with mmdebstrap, from the mirrors that apt uses on
# this machine, in ~/.cache/overcast-lab-roots/SUITE. Later runs use it again, with
# what earlier commands installed in it; --fresh makes a new one.
#
# The command runs in the folder of the current Go module, with Go and its caches
# from this machine, in mount and process namespaces of its own: when it ends, or
# when a signal ends this script, its processes end and its mounts are gone. It
# shares the network with this machine. Its exit code is this script's.
set -eu

usage() {
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
	exit 2
}

# Lines of a sources.list: the places of this machine's distribution, for the suite.
sources() {
	(
		. /etc/os-release
		apt-get indextargets --format '$(ORIGIN) deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
			sed -n "s|^$ID deb \([^ ]*\) $VERSION_CODENAME|deb \1 $suite|Ip"
	)
}

# Makes the root in a folder beside its place, so that one that is there is whole.
make_root() {
	partial=$root.partial
	rm -rf "$partial" && mkdir -p "$partial"
	sources >"$partial/sources.list"
	if ! [ -s "$partial/sources.list" ]; then
		echo "on-debian: apt has no package lists of this machine's distribution: run apt-get update" >&2
		exit 1
	fi
	# How to reach the mirrors, for mmdebstrap and for apt in the root.
	apt-config dump | grep -E '^Acquire::(https?|ftp|Check-[^:]*|Retries)[: ]' >"$partial/apt.conf" || :
	mmdebstrap --quiet --mode=root --variant=minbase --include=ca-certificates,make \
		--aptopt="$partial/apt.conf" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		"$suite" "$partial/root" "$partial/sources.list" >&2
	mv "$partial/root" "$root"
	rm -rf "$partial"
}

# Process 1 of the new namespaces: moves to the root and runs the command there.
inside() {
	mount --make-rprivate /
	mount --bind "$root" "$root"
	mount -t proc proc "$root/proc"
	mount -t sysfs sysfs "$root/sys"
	mount --rbind /dev "$root/dev"
	mount -t tmpfs -o mode=755 run "$root/run"
	mount -t tmpfs -o mode=1777 tmp "$root/tmp"
	: >>"$root/etc/resolv.conf"
	mount --bind "$(readlink -f /etc/resolv.conf)" "$root/etc/resolv.conf"
	for dir in "$folder" $go_folders; do
		mkdir -p "$dir" "$root$dir"
		mount --bind "$dir" "$root$dir"
	done
	# What is built there is linked with this release's libraries.
	if [ -f "$folder/go.mod" ]; then
		mkdir -p "$folder/.build" "$root/var/cache/lab-build"
		mount --bind "$root/var/cache/lab-build" "$root$folder/.build"
	fi
	cd "$root"
	pivot_root . .
	umount -l .
	cd "$folder"
	"$@" # not exec: the kernel keeps signals from a process 1 that does not handle them
}

case ${ON_DEBIAN_ROOT-} in
?*)
	root=$ON_DEBIAN_ROOT folder=$ON_DEBIAN_FOLDER go_folders=$ON_DEBIAN_GO
	unset ON_DEBIAN_ROOT ON_DEBIAN_FOLDER ON_DEBIAN_GO
	inside "$@"
	exit
	;;
esac

fresh=false
if [ "${1-}" = --fresh ]; then
	fresh=true
	shift
fi
[ $# -ge 2 ] || usage
suite=$1
shift
for program in mmdebstrap unshare flock go; do
	command -v $program >/dev/null || { echo "on-debian: missing $program: run make deps" >&2; exit 1; }
done
if [ "$(id -u)" != 0 ]; then
	echo "on-debian: needs root, to make namespaces" >&2
	exit 1
fi

roots=${XDG_CACHE_HOME:-$HOME/.cache}/overcast-lab-roots
root=$roots/$suite
mkdir -p "$roots"
(
	flock 9
	if $fresh; then
		rm -rf "$root"
	fi
	if ! [ -d "$root" ]; then
		echo "on-debian: making a root of $suite in $root" >&2
		make_root
	fi
) 9>"$roots/lock"

# The whole module, where the current folder is in one.
module=$(go env GOMOD)
case $module in
'' | /dev/null) ON_DEBIAN_FOLDER=$PWD ;;
*) ON_DEBIAN_FOLDER=${module%/go.mod} ;;
esac
ON_DEBIAN_ROOT=$root
ON_DEBIAN_GO="$(go env GOROOT) $(go env GOMODCACHE) $(go env GOCACHE)"
export ON_DEBIAN_ROOT ON_DEBIAN_FOLDER ON_DEBIAN_GO
GOMODCACHE=$(go env GOMODCACHE) GOCACHE=$(go env GOCACHE)
export GOMODCACHE GOCACHE
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_RUNTIME_DIR TMPDIR
HOME=/root PATH=$(go env GOROOT)/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME PATH
# unshare(1) blocks SIGTERM and SIGINT while it waits.
exec 3<&0
unshare --mount --pid --fork --kill-child "$(readlink -f "$0")" "$@" <&3 3<&- &
namespaces=$!
trap 'kill -KILL $namespaces' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
trap 'exit 129' HUP
code=0
wait $namespaces || code=$?
trap - EXIT
exit $code
