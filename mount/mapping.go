package mount

import (
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// Mapping is one entry of a host's section fsMapping; its key is the target.
type Mapping struct {
	// HostPath is a folder of the hypervisor's machine or, with Sync, of this
	// one.
	HostPath string `hocon:"hostPath,required"`
	// ReadOnly keeps the guest from writing to it; it is on unless said otherwise.
	ReadOnly *bool `hocon:"readOnly"`
	// AccessMode says whose the files are: passthrough, the default, mapped or
	// squash, in any case of letters.
	AccessMode AccessMode `hocon:"accessMode"`
	// Driver is what carries the files: 9p, virtiofs or auto, the default.
	Driver Driver `hocon:"driver"`
	// MountAt is where it is mounted in the guest, once somebody can log in
	// there. Without it that is left to the guest's fstab.
	MountAt string `hocon:"mountAt"`
	// Sync copies the folder from this machine to the hypervisor's if that is
	// another one, and takes the copy away again with the clone.
	Sync bool `hocon:"sync"`
}

// Entry is a mapping with its key.
type Entry struct {
	// Target is the tag by which the guest mounts the folder.
	Target string
	Mapping
}

// IsReadOnly says whether the guest is kept from writing.
func (m Mapping) IsReadOnly() bool { return m.ReadOnly == nil || *m.ReadOnly }

// AccessMode says how ownership and modes in the guest relate to those in the
// folder. The zero value is [Passthrough]. Whatever the mode, what the user
// that QEMU runs as may not read or write, the guest may not. With Passthrough
// the guest can make no files, unless QEMU runs as root: it could not give them
// to anybody.
type AccessMode string

// The access modes, as libvirt spells them.
const (
	Passthrough AccessMode = "passthrough" // as they are
	Mapped      AccessMode = "mapped"      // kept in extended attributes
	Squash      AccessMode = "squash"      // as passthrough, but what the guest makes is QEMU's user's
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

// Apply adds mappings to a domain, in their order. One with the target of a
// filesystem that the domain has already takes its place. A mapping by virtiofs
// makes the domain's memory shared, as that needs: see [ShareMemory].
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
			ShareMemory(domain)
		}
	}
}

func targetOf(f libvirtxml.DomainFilesystem) string {
	if f.Target == nil {
		return ""
	}
	return f.Target.Dir
}

// device is a mapping in libvirt's words.
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
