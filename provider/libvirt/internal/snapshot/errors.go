package snapshot

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/overcast-go/overcast/internal/mark"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/qmp"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// QEMU's messages for what prevents saving the state.
var (
	ninepMounted = regexp.MustCompile(`VirtFS export path '([^']*)' is mounted in the guest using mount_tag '([^']*)'`)
	unmigratable = regexp.MustCompile(`non-migratable device '([^']*)'`)
)

// Explain returns an error that says what to do about an error of package qmp.
func Explain(err error) error {
	var answered *qmp.CommandError
	if errors.As(err, &answered) {
		return explain(answered.Description)
	}
	return explainRefusal(err)
}

// ExplainSave returns an error that says what to do about the failure of libvirt's call that
// saves a domain.
func ExplainSave(err error) error {
	if virt.IsFromLibvirt(err) {
		if known := explainBlocker(err.Error()); known != nil {
			return known
		}
	}
	return err
}

// explain returns the error for QEMU's message about a job that failed.
func explain(message string) error {
	if known := explainBlocker(message); known != nil {
		return known
	}
	const remedy = "free as much space as the guest has memory, or set overlayPool to a pool with more: "
	switch {
	case strings.Contains(message, "No space left on device"):
		return errors.New("no space is left in the pool of the disks: " + remedy + message)
	case strings.Contains(message, "Error while writing VM state"): // QEMU 7.2 has EIO here if the pool is full
		return errors.New("the state cannot be written to the pool of the disks, which is probably full: " + remedy + message)
	}
	return errors.New(message)
}

// explainBlocker returns the error for QEMU's message about a device that prevents saving the
// state, or nil for another message.
func explainBlocker(message string) error {
	if found := ninepMounted.FindStringSubmatch(message); found != nil {
		return blocked("the folder %s of the hypervisor is mounted in the guest (9p, mount tag %s): set fsMapping.%[2]s.mountAt instead of mounting it in the guest, for instance in its fstab: the folder is then unmounted while the state is saved", found[1], found[2])
	}
	if found := unmigratable.FindStringSubmatch(message); found != nil {
		device := found[1]
		if strings.Contains(device, "vhost-user-fs") {
			return blocked("the device %s, a virtiofs folder, cannot be saved: use driver = 9p and mountAt for the folder in fsMapping", device)
		}
		return blocked("the device %s cannot be saved: remove it from the base domain", device)
	}
	return nil
}

// explainRefusal returns the error for libvirt's error about a command to the monitor.
func explainRefusal(err error) error {
	switch {
	case virt.IsCode(err, libvirt.ERR_OPERATION_DENIED, libvirt.ERR_ACCESS_DENIED):
		return blocked("libvirt refuses commands to QEMU's monitor: allow them (qemu-monitor-command; for libvirt's access control, the permission domain:write): %w", virt.StripCodes(err))
	case virt.IsCode(err, libvirt.ERR_NO_SUPPORT):
		return blocked("the hypervisor has no commands to QEMU's monitor: checkpoints need libvirt's QEMU driver: %w", virt.StripCodes(err))
	}
	return err
}

func blocked(format string, args ...any) error {
	return mark.As(fmt.Errorf(format, args...), provider.ErrNoCheckpoint)
}
