package fsmapping

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/mount"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Folders are the folders of the hypervisor's machine that a clone gets by fsMapping.
// Plan resolves their drivers and checks them before anything is created; Sync copies
// them before the clone starts; they are mounted after the first login.
type Folders struct {
	URL      string // of the hypervisor
	Section  *hocon.Value
	Entries  []mount.Entry
	Gateway  func() (*sshurl.Target, error)
	Undo     *storage.Undo
	Mappings []*mapping // resolved
	checker  *pathChecker
}

// Entries returns the mappings of a section in the order of the configuration.
func Entries(section *hocon.Value, mappings map[string]mount.Mapping) []mount.Entry {
	all, _ := section.Get("fsMapping")
	if all == nil {
		return nil
	}
	var entries []mount.Entry
	for _, target := range all.Keys() {
		if m, ok := mappings[target]; ok {
			entries = append(entries, mount.Entry{Target: target, Mapping: m})
		}
	}
	return entries
}

// CheckEntries checks what decoding of fsMapping cannot.
func CheckEntries(section *hocon.Value, entries []mount.Entry, hasLogin bool) error {
	if wrong := mount.Check(entries); wrong != nil {
		if wrong.Key != "" {
			return invalidMapping(section, wrong.Target, wrong.Key, "%s", wrong.Text)
		}
		at, _ := section.Get("fsMapping", wrong.Target)
		return &hocon.ValueError{Pos: at.KeyPosition(), Path: at.Path(), Msg: wrong.Text}
	}
	for _, e := range entries {
		if e.MountAt != "" && !hasLogin {
			return invalidMapping(section, e.Target, "mountAt", "no login configured to mount it there (set connection.url)")
		}
	}
	return nil
}

// invalidMapping is the error for a key of a mapping, with its position.
func invalidMapping(section *hocon.Value, target, key, format string, args ...any) error {
	m, _ := section.Get("fsMapping", target)
	return m.Invalid(key, format, args...)
}

// mapping is a mapping whose driver is resolved.
type mapping struct {
	mount.Entry
	copyOf string // folder of this machine that is copied to HostPath; "" for none
}

// Plan resolves the driver of each folder and checks that the folder exists, as far
// as that can be seen. The clone's definition gets them.
func (f *Folders) Plan(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone) error {
	f.Mappings = nil
	if len(f.Entries) == 0 {
		return nil
	}
	can, err := readCapabilities(conn, c.Definition)
	if err != nil {
		return err
	}
	if f.checker, err = newPathChecker(conn, f.URL, f.Gateway, c); err != nil {
		return err
	}
	entries := slices.Clone(f.Entries)
	for n := range entries {
		m := &mapping{Entry: entries[n]}
		if err := f.resolveDriver(m, can); err != nil {
			return err
		}
		if m.Sync && f.checker.remote {
			m.copyOf, m.HostPath = m.HostPath, fmt.Sprintf("%s/%s-fs%d", copiesDir, c.Name, n)
			err = f.checker.checkSource(m.copyOf)
		} else {
			err = f.checker.check(ctx, f.Undo, m)
		}
		if err != nil {
			return f.located(m, "hostPath", err)
		}
		entries[n] = m.Entry
		f.Mappings = append(f.Mappings, m)
	}
	mount.Apply(c.Definition, entries)
	return nil
}

func (f *Folders) invalid(m *mapping, key, format string, args ...any) error {
	return invalidMapping(f.Section, m.Target, key, format, args...)
}

// located adds the position of a mapping's key to an error.
func (f *Folders) located(m *mapping, key string, err error) error {
	return &locatedError{f.invalid(m, key, "%v", err), err}
}

// locatedError is an error with its position in the configuration.
type locatedError struct{ place, cause error }

func (e *locatedError) Error() string   { return e.place.Error() }
func (e *locatedError) Unwrap() []error { return []error{e.place, e.cause} }

// capabilities are what a hypervisor supports for folders.
type capabilities struct {
	ninep, virtioFS, memfd bool
	version                uint32 // of the hypervisor's libvirt: 1,000,000 * major + 1,000 * minor + release
}

// readCapabilities asks libvirt. What libvirt does not report counts as supported:
// the start of the clone fails otherwise.
func readCapabilities(conn *libvirt.Connect, d *libvirtxml.Domain) (capabilities, error) {
	can := capabilities{ninep: true, virtioFS: true, memfd: true}
	version, err := conn.GetLibVersion()
	if err != nil {
		return can, fmt.Errorf("reading libvirt's version: %w", virt.StripCodes(err))
	}
	can.version = version
	arch, machine := "", ""
	if d.OS != nil && d.OS.Type != nil {
		arch, machine = d.OS.Type.Arch, d.OS.Type.Machine
	}
	text, err := conn.GetDomainCapabilities(d.Devices.Emulator, arch, machine, d.Type, 0)
	if virt.IsCode(err, libvirt.ERR_NO_SUPPORT, libvirt.ERR_INVALID_ARG) {
		return can, nil
	}
	if err != nil {
		return can, fmt.Errorf("reading the capabilities of the hypervisor: %w", virt.StripCodes(err))
	}
	var caps libvirtxml.DomainCaps
	if err := caps.Unmarshal(text); err != nil {
		return can, fmt.Errorf("reading the capabilities of the hypervisor: %w", err)
	}
	if caps.Devices != nil && caps.Devices.FileSystem != nil {
		drivers := caps.Devices.FileSystem
		can.ninep = offers(drivers.Supported, drivers.Enums, "driverType", "path")
		can.virtioFS = offers(drivers.Supported, drivers.Enums, "driverType", "virtiofs")
	}
	if m := caps.MemoryBacking; m != nil {
		can.memfd = offers(m.Supported, m.Enums, "sourceType", "memfd")
	}
	return can, nil
}

func offers(supported string, enums []libvirtxml.DomainCapsEnum, name, wanted string) bool {
	if supported == "no" {
		return false
	}
	for _, e := range enums {
		if e.Name != name {
			continue
		}
		for _, value := range e.Values {
			if value == wanted {
				return true
			}
		}
		return false
	}
	return true // it is not reported
}

// readOnlyVirtioFS is the first libvirt that can make virtiofs read-only.
const readOnlyVirtioFS = 11_000_000

// resolveDriver replaces the driver auto, and fails for options that the hypervisor
// does not support.
func (f *Folders) resolveDriver(m *mapping, can capabilities) error {
	at := redact.Text(f.URL)
	wanted := m.Driver
	if wanted == "" || wanted == mount.Auto {
		m.Driver = mount.NineP
		if !can.ninep {
			m.Driver = mount.VirtioFS
		}
	}
	if m.Driver == mount.NineP {
		if !can.ninep {
			return f.invalid(m, "driver", "the hypervisor at %s has no 9p: its QEMU was built without it; use driver = virtiofs", at)
		}
		return nil
	}
	instead := "use driver = 9p"
	if !can.ninep {
		instead = "and its QEMU has no 9p either"
	}
	if err := mount.CheckTarget(m.Target, m.Driver); err != nil {
		return f.invalid(m, "driver", "%v", err)
	}
	switch mode := m.AccessMode; {
	case !can.virtioFS:
		return f.invalid(m, "driver", "the hypervisor at %s has no virtiofs: its QEMU or libvirt is too old, or was built without it; %s", at, instead)
	case !can.memfd:
		return f.invalid(m, "driver", "the hypervisor at %s cannot share a domain's memory (memfd), which virtiofs needs; %s", at, instead)
	case mode != "" && mode != mount.Passthrough:
		return f.invalid(m, "accessMode", "virtiofs has no access mode but passthrough, %s", instead)
	case m.IsReadOnly() && can.version < readOnlyVirtioFS:
		return f.invalid(m, "readOnly", "libvirt %s at %s cannot make virtiofs read-only (11.0 and later can): set readOnly = false, or %s", libvirtVersion(can.version), at, instead)
	}
	return nil
}

func libvirtVersion(v uint32) string {
	return fmt.Sprintf("%d.%d.%d", v/1_000_000, v/1_000%1_000, v%1_000)
}

// Explain adds the mapping that prevented the start of a clone, if the messages of QEMU
// and libvirt show it.
func (f *Folders) Explain(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, m := range f.Mappings {
		switch {
		case m.Driver == mount.VirtioFS && strings.Contains(text, "satisfying virtiofsd"):
			return fmt.Errorf("%w: %w", err, f.invalid(m, "driver", "virtiofs needs the program virtiofsd on the hypervisor's machine: install it there (package virtiofsd; before Debian 13, qemu-system-common), or use driver = 9p"))
		case m.Driver == mount.NineP && strings.Contains(text, "virtio-9p") && strings.Contains(text, "not a valid device model"):
			return fmt.Errorf("%w: %w", err, f.invalid(m, "driver", "the hypervisor's QEMU has no 9p: use driver = virtiofs"))
		case (strings.Contains(text, "fsdev") || strings.Contains(text, "virtiofs")) && strings.Contains(text, "'"+m.HostPath+"'"):
			return fmt.Errorf("%w: %w", err, f.invalid(m, "hostPath", "the clone cannot have %s", m.HostPath))
		}
	}
	return err
}

// Mounts are the folders to mount in the guest, parents first.
func (f *Folders) Mounts() []provider.Mount {
	var guests []mount.Guest
	for _, m := range f.Mappings {
		if m.MountAt != "" {
			guests = append(guests, m.Guest())
		}
	}
	var all []provider.Mount
	for _, g := range mount.InOrder(guests) {
		all = append(all, g)
	}
	return all
}
