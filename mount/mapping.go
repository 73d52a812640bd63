package mount

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// Mapping is one entry of a host's section fsMapping; its key is the target.
type Mapping struct {
	// HostPath is a folder of the hypervisor's machine.
	HostPath string `hocon:"hostPath,required"`
	// ReadOnly keeps the guest from writing to it; it is on unless said otherwise.
	ReadOnly *bool `hocon:"readOnly"`
	// AccessMode says whose the files are: passthrough, the default, mapped or
	// squash, in any case of letters.
	AccessMode AccessMode `hocon:"accessMode"`
}

// AccessMode says how ownership and modes in the guest relate to those in the
// folder. The zero value is [Passthrough].
type AccessMode string

// The access modes, as libvirt spells them.
const (
	Passthrough AccessMode = "passthrough" // as they are, by the rights of the user that QEMU runs as
	Mapped      AccessMode = "mapped"      // kept in extended attributes
	Squash      AccessMode = "squash"      // as passthrough, but failures to change owners are ignored
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

// maxTarget is the length of a 9p mount tag in bytes.
const maxTarget = 31

// CheckTarget says what is wrong with the target of a mapping.
func CheckTarget(target string) error {
	switch {
	case target == "":
		return fmt.Errorf("the target is empty: it is the tag by which the guest mounts the folder")
	case len(target) > maxTarget:
		return fmt.Errorf("the target has %d bytes: a 9p mount tag has %d at the most", len(target), maxTarget)
	case strings.ContainsAny(target, ",/ \t\n\r\x00"):
		return fmt.Errorf("a target has no commas, slashes or blanks: it is a mount tag, not a path")
	}
	return nil
}

// Apply adds mappings to a domain, in the order of their targets. One with
// the target of a filesystem that the domain has already takes its place.
func Apply(domain *libvirtxml.Domain, mappings map[string]Mapping) {
	if len(mappings) == 0 {
		return
	}
	if domain.Devices == nil {
		domain.Devices = &libvirtxml.DomainDeviceList{}
	}
	domain.Devices.Filesystems = slices.DeleteFunc(domain.Devices.Filesystems, func(f libvirtxml.DomainFilesystem) bool {
		_, replaced := mappings[targetOf(f)]
		return replaced
	})
	for _, target := range slices.Sorted(maps.Keys(mappings)) {
		domain.Devices.Filesystems = append(domain.Devices.Filesystems, device(target, mappings[target]))
	}
}

func targetOf(f libvirtxml.DomainFilesystem) string {
	if f.Target == nil {
		return ""
	}
	return f.Target.Dir
}

// device is a mapping in libvirt's words.
func device(target string, m Mapping) libvirtxml.DomainFilesystem {
	mode := m.AccessMode
	if mode == "" {
		mode = Passthrough
	}
	f := libvirtxml.DomainFilesystem{
		AccessMode: string(mode),
		Source:     &libvirtxml.DomainFilesystemSource{Mount: &libvirtxml.DomainFilesystemSourceMount{Dir: m.HostPath}},
		Target:     &libvirtxml.DomainFilesystemTarget{Dir: target},
	}
	if m.ReadOnly == nil || *m.ReadOnly {
		f.ReadOnly = &libvirtxml.DomainFilesystemReadOnly{}
	}
	return f
}
