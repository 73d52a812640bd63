#!/bin/sh
# Installs what is missing of the system's packages, for each of its arguments:
#
#	build      compiling, with cgo and libvirt's headers
#	lab        running the lab, and looking at it from outside
#	reference  comparing package hocon with HOCON's reference implementation
#
# Where there is no apt-get, prints what to install and stops.
set -eu

packages=
ready=true
need() { # PROGRAM, for systems that name packages otherwise
	command -v "$1" >/dev/null || ready=false
}
for part in "$@"; do
	case $part in
	build)
		packages="$packages gcc libc6-dev pkg-config libvirt-dev"
		need gcc
		need pkg-config
		pkg-config --exists libvirt 2>/dev/null || ready=false
		;;
	lab)
		packages="$packages libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils
			dnsmasq-base iproute2 nftables iptables openssh-server openssh-client
			cpio kmod e2fsprogs xz-utils zstd util-linux procps
			ovmf swtpm swtpm-tools
			mmdebstrap mtools fdisk"
		need libvirtd
		need virsh
		need qemu-system-x86_64
		need qemu-img
		need dnsmasq
		need sshd
		;;
	reference)
		packages="$packages libtypesafe-config-java"
		command -v javac >/dev/null || packages="$packages default-jdk-headless"
		;;
	*)
		echo "deps: no such part: $part" >&2
		exit 2
		;;
	esac
done

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
	$ready && exit 0
	echo "deps: there is no apt-get here. Install what your distribution calls these, then try again:" >&2
	echo $packages >&2
	exit 1
fi

# The packages among the arguments that are not installed.
missing_of() {
	for package in "$@"; do
		state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
		[ "$state" = installed ] || echo "$package"
	done
}
# Newer releases have virtiofsd in a package of its own, older ones in one of
# QEMU's, whose description of it says that it is there.
lacks_virtiofsd() {
	case $packages in *qemu-system-x86*) ;; *) return 1 ;; esac
	! ls /usr/share/qemu/vhost-user/*virtiofsd*.json >/dev/null 2>&1
}
missing=$(missing_of $packages)
[ -n "$missing" ] || lacks_virtiofsd || exit 0

if [ "$(id -u)" != 0 ]; then
	[ -n "$missing" ] || missing=virtiofsd
	echo "deps: missing" $missing >&2
	echo "deps: install them as root: apt-get install --no-install-recommends" $missing >&2
	exit 1
fi

# The lab starts daemons of its own. Those of the packages are not started
# behind anybody's back: no sshd begins to listen because a test was run.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	trap 'exit 130' INT TERM HUP
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi

install() {
	echo "deps: installing" "$@"
	apt-get install -q -y --no-install-recommends "$@"
}
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
[ -z "$missing" ] || install $missing
if lacks_virtiofsd; then
	install virtiofsd
fi
