package mount

import (
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// Mapping is one entry of a host's section fsMapping; its key is the target.
type Mapping struct {
	// HostPath is the absolute path of a folder of the hypervisor's machine or,
	// with Sync, of this one.
	HostPath string `hocon:"hostPath,required"`
	// ReadOnly prevents writes of the guest. The default is true.
	ReadOnly *bool `hocon:"readOnly"`
	// AccessMode maps owners and permissions: passthrough (the default), mapped
	// or squash. Upper and lower case are the same.
	AccessMode AccessMode `hocon:"accessMode"`
	// Driver is 9p, virtiofs or auto (the default).
	Driver Driver `hocon:"driver"`
	// MountAt is the absolute path where set-up mounts the folder in the guest,
	// over SSH. If it is empty, the guest mounts the folder, for example from
	// its fstab.
	MountAt string `hocon:"mountAt"`
	// Sync copies the folder from this machine to the hypervisor's machine, if
	// that is another one. Teardown removes the copy.
	Sync bool `hocon:"sync"`
}

// Entry is a mapping with its key.
type Entry struct {
	// Target is the mount tag in the guest.
	Target string
	Mapping
}

// IsReadOnly returns ReadOnly or its default.
func (m Mapping) IsReadOnly() bool { return m.ReadOnly == nil || *m.ReadOnly }

// AccessMode maps owners and permissions between the guest and the folder. The
// zero value is [Passthrough]. With 9p, the guest can read and write only what
// QEMU's user can. With Passthrough and 9p, it can create files only if QEMU runs
// as root, because QEMU has to set their owner.
type AccessMode string

// The access modes, as libvirt spells them.
const (
	Passthrough AccessMode = "passthrough" // unchanged
	Mapped      AccessMode = "mapped"      // stored in extended attributes
	Squash      AccessMode = "squash"      // as passthrough, but new files belong to QEMU's user
)

// UnmarshalText reads the name of an access mode.
func (m *AccessMode) UnmarshalText(text []byte) error {
	mode := AccessMode(strings.ToLower(string(text)))
	if !slices.Contains([]AccessMode{Passthrough, Mapped, Squash}, mode) {
		return fmt.Errorf("%q is not an access mode: use %s, %s or %s", text, Passthrough, Mapped, Squash)
	}
	*m = mode
	return nil
}

func (m AccessMode) orDefault() AccessMode {
	if m == "" {
		return Passthrough
	}
	return m
}

// Apply adds a filesystem device to a domain for each mapping, in their order. It
// replaces a <filesystem> of the domain with the same target. If a mapping uses
// virtiofs, it makes the domain's memory shared, which virtiofs requires.
func Apply(domain *libvirtxml.Domain, entries []Entry) {
	if len(entries) == 0 {
		return
	}
	if domain.Devices == nil {
		domain.Devices = &libvirtxml.DomainDeviceList{}
	}
	domain.Devices.Filesystems = slices.DeleteFunc(domain.Devices.Filesystems, func(f libvirtxml.DomainFilesystem) bool {
		return slices.ContainsFunc(entries, func(e Entry) bool { return e.Target == targetOf(f) })
	})
	for _, e := range entries {
		domain.Devices.Filesystems = append(domain.Devices.Filesystems, e.device())
		if e.Driver == VirtioFS {
			shareMemory(domain)
		}
	}
}

func targetOf(f libvirtxml.DomainFilesystem) string {
	if f.Target == nil {
		return ""
	}
	return f.Target.Dir
}

// device returns the libvirt device of a mapping.
func (e Entry) device() libvirtxml.DomainFilesystem {
	f := libvirtxml.DomainFilesystem{
		AccessMode: string(e.AccessMode.orDefault()),
		Source:     &libvirtxml.DomainFilesystemSource{Mount: &libvirtxml.DomainFilesystemSourceMount{Dir: e.HostPath}},
		Target:     &libvirtxml.DomainFilesystemTarget{Dir: e.Target},
	}
	if e.Driver == VirtioFS {
		f.Driver = &libvirtxml.DomainFilesystemDriver{Type: string(VirtioFS)}
	}
	if e.IsReadOnly() {
		f.ReadOnly = &libvirtxml.DomainFilesystemReadOnly{}
	}
	return f
}
