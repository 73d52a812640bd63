package gc

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// volumeAgeLimit is the age, since its last change, below which a volume is not removed
// if its user may be out of sight: an owner on another machine, or a domain of another
// hypervisor that has a pool over the same folder.
const volumeAgeLimit = 24 * time.Hour

// emptyOverlay is the largest size of an overlay that was never written to, in bytes.
const emptyOverlay = 256 << 10

// isRecent reports whether a change is within volumeAgeLimit. An unknown time is recent.
func isRecent(changed, now time.Time) bool {
	return changed.IsZero() || now.Sub(changed) < volumeAgeLimit
}

// skipWithoutDomain returns why a volume is not removed whose owner has ended and which no
// domain of this hypervisor uses. A domain of another hypervisor may use it, such as a
// kept clone.
func skipWithoutDomain(path string, changed time.Time, allocation uint64, local bool, now time.Time) string {
	if !isRecent(changed, now) {
		return ""
	}
	if local {
		switch open, err := isOpenInQEMU(path); {
		case err == nil && open:
			return "a QEMU process has it open"
		case err == nil:
			return ""
		}
	}
	if allocation <= emptyOverlay {
		return "" // it has no content
	}
	return fmt.Sprintf("a domain of another hypervisor may use it: changed within the last %v", volumeAgeLimit)
}

// QEMU locks single bytes from lockFirst on of an image that it has open.
const (
	lockFirst = 100
	lockBytes = 200
)

// isOpenInQEMU reports whether a QEMU process of this machine has an image open, in any
// PID namespace, by the locks that QEMU holds on it.
func isOpenInQEMU(path string) (bool, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrPermission) {
		file, err = os.Open(path)
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0, Start: lockFirst, Len: lockBytes}
	if err := unix.FcntlFlock(file.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		return false, fmt.Errorf("reading the locks of %s: %w", path, err)
	}
	return lock.Type != unix.F_UNLCK, nil
}
