#!/bin/sh
# Installs what building, testing and the lab need of the system, if any of it
# is missing. Where there is no apt-get, prints what to install and stops.
# With the argument "reference", installs what the comparison with HOCON's
# reference implementation needs.
set -eu

packages="
	gcc libc6-dev pkg-config libvirt-dev
	libvirt-daemon-system libvirt-clients
	qemu-system-x86 qemu-utils
	dnsmasq-base iproute2 nftables iptables
	openssh-server openssh-client
	cpio kmod e2fsprogs xz-utils
"

if [ "${1:-}" = reference ]; then
	packages=libtypesafe-config-java
	command -v javac >/dev/null || packages="$packages default-jdk-headless"
fi

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
	for program in gcc pkg-config libvirtd virsh qemu-system-x86_64 qemu-img; do
		command -v $program >/dev/null && continue
		echo "deps: this system has no apt-get. Install what your distribution calls these, then try again:" >&2
		echo $packages >&2
		exit 1
	done
	exit 0
fi

missing=
for package in $packages; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "deps: missing$missing" >&2
	echo "deps: install them as root: apt-get install --no-install-recommends$missing" >&2
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

echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends $missing
