//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// labDir holds everything of the lab's: a folder in a file system in memory
// that only the lab's mount namespace has.
const labDir = "/run/lab"

// stateDirs are replaced by empty folders of the lab's own: libvirt's, that of
// the authority that certifies emulated TPMs, all of /var/log, where sshd keeps
// account of logins, and /var/tmp, where folders are copied to for clones.
var stateDirs = []string{"/var/lib/libvirt", "/etc/libvirt", tpmAuthorityDir, "/var/log", "/var/cache/libvirt", "/var/tmp"}

// tpmAuthorityDir belongs to the account that emulated TPMs run as.
const (
	tpmAuthorityDir = "/var/lib/swtpm-localca"
	tpmUser         = "tss"
)

// mountKernelViews cuts the lab's mounts off from the machine's and mounts
// /proc and /sys for the new namespaces. The fresh /sys has no control groups
// below it: libvirt then makes none, so none can be left behind.
func mountKernelViews() error {
	return mounts([]mount{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"sysfs", "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	})
}

// mountState gives the lab folders of its own for all state.
func mountState() error {
	if err := mounts([]mount{{"lab", "/run", "tmpfs", unix.MS_NOSUID, "mode=755"}}); err != nil {
		return err
	}
	if err := copyEtc(); err != nil {
		return err
	}
	for _, dir := range stateDirs {
		own := filepath.Join(labDir, "state", dir)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return err
		}
		if err := bind(own, dir); err != nil {
			return err
		}
	}
	if err := os.Chmod("/var/tmp", 0o777|os.ModeSticky); err != nil { // writable for all users, as usual
		return err
	}
	for dir, mode := range map[string]os.FileMode{"tmp": 0o777 | os.ModeSticky, "home": 0o755, "log": 0o755, "etc": 0o755} {
		path := filepath.Join(labDir, dir)
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
	}
	if err := giveTo(tpmUser, filepath.Join(labDir, "state", tpmAuthorityDir)); err != nil {
		return err
	}
	if err := os.Mkdir("/run/lock", 0o755); err != nil {
		return err
	}
	return os.Chmod("/run/lock", 0o777|os.ModeSticky) // writable for all users, as usual
}

// copyEtc puts a copy of /etc in place. The lab changes the account files, and a program
// of the machine that replaces one of them, as useradd does, must have no effect here: a
// bind mount over a single file is gone when the file is replaced.
func copyEtc() error {
	own := filepath.Join(labDir, "etc-copy")
	if err := os.MkdirAll(own, 0o755); err != nil {
		return err
	}
	if err := tool("cp", "-a", "/etc/.", own); err != nil {
		return fmt.Errorf("copying /etc: %w", err)
	}
	return bind(own, "/etc")
}

func giveTo(account, dir string) error {
	found, err := user.Lookup(account)
	if err != nil {
		return fmt.Errorf("giving %s to the account that emulated TPMs run as: %w", dir, err)
	}
	uid, err := strconv.Atoi(found.Uid)
	if err != nil {
		return err
	}
	return os.Chown(dir, uid, -1)
}

// offerKVM puts a /dev/kvm in place that QEMU's user may open. Where it may
// not, libvirtd distrusts its cached knowledge of QEMU and asks anew in every
// call, at 5 s and more each.
func offerKVM() error {
	if _, err := os.Stat("/dev/kvm"); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	group, err := user.LookupGroup("kvm")
	if err != nil {
		return fmt.Errorf("giving QEMU access to /dev/kvm: %w", err)
	}
	gid, err := strconv.Atoi(group.Gid)
	if err != nil {
		return err
	}
	own := filepath.Join(labDir, "kvm")
	if err := unix.Mknod(own, unix.S_IFCHR|0o660, int(unix.Mkdev(10, 232))); err != nil {
		return fmt.Errorf("making %s: %w", own, err)
	}
	if err := os.Chown(own, 0, gid); err != nil {
		return err
	}
	if err := os.Chmod(own, 0o660); err != nil {
		return err
	}
	return bind(own, "/dev/kvm")
}

type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

func mounts(list []mount) error {
	for _, m := range list {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", m.kind, m.target, err)
		}
	}
	return nil
}

func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("putting the lab's own %s in place: %w", to, err)
	}
	return nil
}
