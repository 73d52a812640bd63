package mount

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoDriver says that the guest's kernel has no driver for a folder's file
// system.
var ErrNoDriver = errors.New("the guest's kernel has no driver for it")

// Error says that a folder could not be mounted in the guest.
type Error struct {
	Guest  Guest
	Output string // of the command, as it came
	Cause  error  // ErrNoDriver, or nil
	hint   string
}

// Error names the tag and the folder, what mount said, and what to do about it.
func (e *Error) Error() string {
	text := fmt.Sprintf("mounting %v by %s", e.Guest, e.Guest.Driver.kind())
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

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Failed is the error for a mount command that has failed, from what it
// printed: an *[Error]. What can be recognised comes with advice.
func (g Guest) Failed(output string) error {
	e := &Error{Guest: g, Output: withoutEvidence(output)}
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
		e.hint = "mounting takes root's rights: log in as root, or by connectionType=SUDO, in connection.url"
	case has(noDriver), has("no such device", "unknown filesystem type", "unknown file system", "could not find request transport"):
		e.Cause, e.hint = ErrNoDriver, g.howToAddDriver()
	case has("resource busy", "already mounted"):
		e.hint = fmt.Sprintf("the guest has mounted %s somewhere else, perhaps by its fstab: take the line out there, or leave out mountAt", g.Tag)
	case has("no such file or directory", "does not exist"):
		e.hint = fmt.Sprintf("the guest sees no tag %s; dmesg there may say more", g.Tag)
	}
	return e
}

// howToAddDriver is for the system of the base domain.
func (g Guest) howToAddDriver() string {
	if g.Driver == VirtioFS {
		return `add it to the base domain's system, whose kernel has to be Linux 5.4 or later:
Debian: echo virtiofs >>/etc/initramfs-tools/modules && update-initramfs -u
Fedora: dracut --force --add-drivers virtiofs
or use driver = 9p`
	}
	return `add it to the base domain's system:
Debian: printf '9p\n9pnet_virtio\n' >>/etc/initramfs-tools/modules && update-initramfs -u (the kernels of linux-image-cloud-amd64 have no 9p: install linux-image-amd64)
Fedora: dracut --force --add-drivers "9p 9pnet_virtio"`
}

// withoutEvidence is the output of mount alone.
func withoutEvidence(output string) string {
	var kept strings.Builder
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, noDriver) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
