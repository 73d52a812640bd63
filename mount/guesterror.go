package mount

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoDriver reports that the guest's kernel has no driver for 9p or virtiofs.
var ErrNoDriver = errors.New("the guest's kernel has no driver for it")

// Error reports that a folder could not be mounted in the guest.
type Error struct {
	Guest  Guest
	Output string // of the mount command
	Cause  error  // ErrNoDriver, or nil
	hint   string
}

// Error names the tag and the path, and adds the output of mount and, for known
// causes, what to do.
func (e *Error) Error() string {
	text := fmt.Sprintf("mounting %v by %s", e.Guest, e.Guest.Driver.fileSystem())
	if e.Cause != nil {
		text += fmt.Sprintf(": %v", e.Cause)
	}
	if output := strings.TrimSpace(e.Output); output != "" {
		text += ": " + strings.ReplaceAll(output, "\n", "; ")
	}
	if e.hint != "" {
		text += "\n  " + strings.ReplaceAll(e.hint, "\n", "\n  ")
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Failed returns the error for a failed mount command, from its output: an
// *[Error].
func (g Guest) Failed(output string) error {
	e := &Error{Guest: g, Output: withoutDriverChecks(output)}
	has := func(texts ...string) bool {
		for _, text := range texts {
			if strings.Contains(strings.ToLower(output), strings.ToLower(text)) {
				return true
			}
		}
		return false
	}
	switch {
	case has("must be superuser", "only root can", "operation not permitted", "are you root"),
		has("permission denied") && has("mkdir"):
		e.hint = "mounting requires root: log in as root, or set connectionType=SUDO, in connection.url"
	case has(missingDriver), has("no such device", "unknown filesystem type", "unknown file system", "could not find request transport"):
		e.Cause, e.hint = ErrNoDriver, g.addDriverHint()
	case has("resource busy", "already mounted"):
		e.hint = fmt.Sprintf("the guest has already mounted %s at another path, perhaps from its fstab: remove that line, or remove mountAt", g.Tag)
	case has("no such file or directory", "does not exist"):
		e.hint = fmt.Sprintf("the guest has no device with the mount tag %s: see dmesg in the guest", g.Tag)
	}
	return e
}

// addDriverHint says how to add the driver to the base domain.
func (g Guest) addDriverHint() string {
	if g.Driver == VirtioFS {
		return `add it to the base domain's system, which needs Linux 5.4 or later:
Debian: echo virtiofs >>/etc/initramfs-tools/modules && update-initramfs -u
Fedora: dracut --force --add-drivers virtiofs
or use driver = 9p`
	}
	return `add it to the base domain's system:
Debian: printf '9p\n9pnet_virtio\n' >>/etc/initramfs-tools/modules && update-initramfs -u (the kernels of linux-image-cloud-amd64 have no 9p: install linux-image-amd64)
Fedora: dracut --force --add-drivers "9p 9pnet_virtio"`
}

// withoutDriverChecks returns the output without that of driverChecks.
func withoutDriverChecks(output string) string {
	var kept strings.Builder
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, missingDriver) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
