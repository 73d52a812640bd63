package libvirt

import (
	"context"
	"fmt"
	"strings"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/mount"
	"github.com/overcast-go/overcast/provider"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Folders of the hypervisor's machine that a clone gets, by fsMapping. Their
// drivers are settled and they are looked for before anything is made, copied
// (foldercopies.go) when their turn comes, and mounted by package fixture,
// which can log in to the guest.

// entries are the mappings in the order of the configuration.
func (c *Config) entries(section *hocon.Value) []mount.Entry {
	all, _ := section.Get("fsMapping")
	if all == nil {
		return nil
	}
	var entries []mount.Entry
	for _, target := range all.Keys() {
		if m, ok := c.FSMapping[target]; ok {
			entries = append(entries, mount.Entry{Target: target, Mapping: m})
		}
	}
	return entries
}

// checkMappings is about what decoding cannot know of fsMapping.
func (c *Config) checkMappings(section *hocon.Value) error {
	entries := c.entries(section)
	if wrong := mount.Check(entries); wrong != nil {
		if wrong.Key != "" {
			return invalidMapping(section, wrong.Target, wrong.Key, "%s", wrong.Text)
		}
		at, _ := section.Get("fsMapping", wrong.Target)
		return &hocon.ValueError{Pos: at.KeyPosition(), Path: at.Path(), Msg: wrong.Text}
	}
	for _, e := range entries {
		if e.MountAt != "" && c.ConnectionURL() == "" {
			return invalidMapping(section, e.Target, "mountAt", "nothing says how to log in to the guest, to mount it there: set connection.url")
		}
	}
	return nil
}

// invalidMapping is the error for a key of a mapping, with its position.
func invalidMapping(section *hocon.Value, target, key, format string, args ...any) error {
	m, _ := section.Get("fsMapping", target)
	return m.Invalid(key, format, args...)
}

// mapping is one that is settled.
type mapping struct {
	mount.Entry
	copyOf string // folder of this machine that is to be copied to HostPath; "" for none
}

// planFolders settles by which driver each folder goes, and looks whether it is
// there, in so far as that can be seen. The clone's definition gets them.
func (i *instance) planFolders(ctx context.Context, on *connection, c *clone) error {
	entries := i.config.entries(i.section)
	i.folders = nil
	if len(entries) == 0 {
		return nil
	}
	can, err := readAbilities(on.conn, c.definition)
	if err != nil {
		return err
	}
	if i.look, err = i.newLooker(on.conn, c); err != nil {
		return err
	}
	for n := range entries {
		m := &mapping{Entry: entries[n]}
		if err := i.settleDriver(m, can); err != nil {
			return err
		}
		if m.Sync && i.look.remote {
			m.copyOf, m.HostPath = m.HostPath, fmt.Sprintf("%s/%s-fs%d", copiesFolder, c.name, n)
			err = i.look.checkSource(m.copyOf)
		} else {
			err = i.look.check(ctx, i.undo, m)
		}
		if err != nil {
			return i.failed(m, "hostPath", err)
		}
		entries[n] = m.Entry
		i.folders = append(i.folders, m)
	}
	mount.Apply(c.definition, entries)
	return nil
}

func (i *instance) invalid(m *mapping, key, format string, args ...any) error {
	return invalidMapping(i.section, m.Target, key, format, args...)
}

// failed says where the key of a mapping is that something went wrong for.
func (i *instance) failed(m *mapping, key string, err error) error {
	return &placedError{i.invalid(m, key, "%v", err), err}
}

// placedError is an error with its place in the configuration.
type placedError struct{ place, cause error }

func (e *placedError) Error() string   { return e.place.Error() }
func (e *placedError) Unwrap() []error { return []error{e.place, e.cause} }

// abilities are what a hypervisor can do about folders.
type abilities struct {
	ninep, virtioFS, memfd bool
	version                uint32 // of the hypervisor's libvirt: 1,000,000 * major + 1,000 * minor + release
}

// readAbilities asks for them. What a libvirt does not tell, it is believed to
// be able to: it says itself what it cannot do when the clone starts.
func readAbilities(conn *libvirt.Connect, d *libvirtxml.Domain) (abilities, error) {
	can := abilities{ninep: true, virtioFS: true, memfd: true}
	version, err := conn.GetLibVersion()
	if err != nil {
		return can, fmt.Errorf("asking for libvirt's version: %w", said(err))
	}
	can.version = version
	arch, machine := "", ""
	if d.OS != nil && d.OS.Type != nil {
		arch, machine = d.OS.Type.Arch, d.OS.Type.Machine
	}
	text, err := conn.GetDomainCapabilities(d.Devices.Emulator, arch, machine, d.Type, 0)
	if isCode(err, libvirt.ERR_NO_SUPPORT, libvirt.ERR_INVALID_ARG) {
		return can, nil
	}
	if err != nil {
		return can, fmt.Errorf("asking what the hypervisor can do: %w", said(err))
	}
	var told libvirtxml.DomainCaps
	if err := told.Unmarshal(text); err != nil {
		return can, fmt.Errorf("asking what the hypervisor can do: %w", err)
	}
	if told.Devices != nil && told.Devices.FileSystem != nil {
		drivers := told.Devices.FileSystem
		can.ninep = offers(drivers.Supported, drivers.Enums, "driverType", "path")
		can.virtioFS = offers(drivers.Supported, drivers.Enums, "driverType", "virtiofs")
	}
	if m := told.MemoryBacking; m != nil {
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
	return true // it does not say
}

// readOnlyVirtioFS is the first libvirt that can make virtiofs read-only.
const readOnlyVirtioFS = 11_000_000

// settleDriver replaces auto by what it means here, and refuses what the
// hypervisor cannot do.
func (i *instance) settleDriver(m *mapping, can abilities) error {
	at := shownURL(i.config.URL)
	wanted := m.Driver
	if wanted == "" || wanted == mount.Auto {
		m.Driver = mount.NineP
		if !can.ninep {
			m.Driver = mount.VirtioFS
		}
	}
	if m.Driver == mount.NineP {
		if !can.ninep {
			return i.invalid(m, "driver", "the hypervisor at %s has no 9p: its QEMU was built without it; use driver = virtiofs", at)
		}
		return nil
	}
	instead := "use driver = 9p"
	if !can.ninep {
		instead = "and its QEMU has no 9p either"
	}
	if err := mount.CheckTarget(m.Target, m.Driver); err != nil {
		return i.invalid(m, "driver", "%v", err)
	}
	switch mode := m.AccessMode; {
	case !can.virtioFS:
		return i.invalid(m, "driver", "the hypervisor at %s has no virtiofs: its QEMU or libvirt is too old, or was built without it; %s", at, instead)
	case !can.memfd:
		return i.invalid(m, "driver", "the hypervisor at %s cannot share a domain's memory (memfd), which virtiofs needs; %s", at, instead)
	case mode != "" && mode != mount.Passthrough:
		return i.invalid(m, "accessMode", "virtiofs has no access mode but passthrough, %s", instead)
	case m.IsReadOnly() && can.version < readOnlyVirtioFS:
		return i.invalid(m, "readOnly", "libvirt %s at %s cannot make virtiofs read-only (11.0 and later can): set readOnly = false, or %s", libvirtVersion(can.version), at, instead)
	}
	return nil
}

func libvirtVersion(v uint32) string {
	return fmt.Sprintf("%d.%d.%d", v/1_000_000, v/1_000%1_000, v%1_000)
}

// explainFolders says which mapping it was that a clone could not be started
// for, as far as QEMU's and libvirt's words tell.
func (i *instance) explainFolders(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, m := range i.folders {
		switch {
		case m.Driver == mount.VirtioFS && strings.Contains(text, "satisfying virtiofsd"):
			return fmt.Errorf("%w: %w", err, i.invalid(m, "driver", "virtiofs needs the program virtiofsd on the hypervisor's machine: install it there (package virtiofsd; before Debian 13, qemu-system-common), or use driver = 9p"))
		case m.Driver == mount.NineP && strings.Contains(text, "virtio-9p") && strings.Contains(text, "not a valid device model"):
			return fmt.Errorf("%w: %w", err, i.invalid(m, "driver", "the hypervisor's QEMU has no 9p: use driver = virtiofs"))
		case (strings.Contains(text, "fsdev") || strings.Contains(text, "virtiofs")) && strings.Contains(text, "'"+m.HostPath+"'"):
			return fmt.Errorf("%w: %w", err, i.invalid(m, "hostPath", "the clone cannot have %s", m.HostPath))
		}
	}
	return err
}

var _ provider.Mounter = (*instance)(nil)

// Mounts are what is to be mounted in the guest, what others are mounted below
// first.
func (i *instance) Mounts() []provider.Mount {
	var guests []mount.Guest
	for _, m := range i.folders {
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
