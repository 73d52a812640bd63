//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"slices"
	"strings"
)

// program is one that the lab runs, and the Debian package that it comes in.
type program struct{ program, pkg string }

var programs = []program{
	{"libvirtd", "libvirt-daemon-system"},
	{"virtlogd", "libvirt-daemon-system"},
	{"virsh", "libvirt-clients"},
	{"qemu-system-x86_64", "qemu-system-x86"},
	{"qemu-img", "qemu-utils"},
	{"dnsmasq", "dnsmasq-base"},
	{"swtpm", "swtpm"},
	{"swtpm_setup", "swtpm-tools"},
	{"sshd", "openssh-server"},
	{"ssh", "openssh-client"},
	{"virt-ssh-helper", "libvirt-daemon"},
	{"ip", "iproute2"},
	{"unshare", "util-linux"},
	{"iptables", "iptables"},
	{"nft", "nftables"},
	{"cpio", "cpio"},
	{"depmod", "kmod"},
	{"mke2fs", "e2fsprogs"},
	{"xz", "xz-utils"},
	{"zstd", "zstd"},
}

// debianPrograms are what it takes to build the Debian guest.
var debianPrograms = []program{
	{"mmdebstrap", "mmdebstrap"},
	{"mformat", "mtools"},
	{"sfdisk", "fdisk"},
}

// checkMachine answers with an error that says in one line what to do if the
// lab cannot work here.
func checkMachine() error {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("this machine is %s/%s: the lab's guests are linux/amd64 only", runtime.GOOS, runtime.GOARCH)
	}
	if os.Geteuid() != 0 {
		return errors.New("needs root, to make namespaces and run libvirtd in them: run it with sudo -E, or as root in a container with --privileged")
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("needs a Debian-like system: guests are built from Debian packages, and there is no apt-get here; README says how to use a hypervisor of your own instead")
	}
	var programsMissing, packages []string
	needed := programs
	if wantsDebian() || wantsCloud() {
		needed = slices.Concat(programs, debianPrograms)
	}
	for _, p := range needed {
		if _, err := exec.LookPath(p.program); err != nil {
			programsMissing = append(programsMissing, p.program)
			if !slices.Contains(packages, p.pkg) {
				packages = append(packages, p.pkg)
			}
		}
	}
	if len(packages) > 0 {
		return fmt.Errorf("missing %s: run make deps, or apt-get install --no-install-recommends %s", strings.Join(programsMissing, ", "), strings.Join(packages, " "))
	}
	if _, err := user.Lookup(qemuUser); err != nil {
		return fmt.Errorf("account %s, which QEMU runs as, is missing: reinstall package libvirt-daemon-system", qemuUser)
	}
	return nil
}

// qemuUser is the account that Debian's libvirtd runs QEMU as.
const qemuUser = "libvirt-qemu"

// sbin is where daemons are; root's PATH may lack it under su.
func addSbin() error {
	path := os.Getenv("PATH")
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if !slices.Contains(strings.Split(path, ":"), dir) {
			path += ":" + dir
		}
	}
	return os.Setenv("PATH", path)
}
