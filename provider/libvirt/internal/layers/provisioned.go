package layers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// cleanVersion is the version of CleanCommand. It is part of the key of a layer.
const cleanVersion = "2"

// CleanCommand removes what clones must not share: the machine ID, the leases, client
// identifiers and secrets of DHCP clients, and the random seed. It uses sudo unless the
// user is root.
const CleanCommand = `run() { if [ "$(id -u)" = 0 ]; then sh -c "$1"; else sudo -n sh -c "$1"; fi; }
run 'systemctl stop systemd-random-seed.service 2>/dev/null
if [ -f /etc/machine-id ]; then : > /etc/machine-id || exit 1; fi
if [ -f /var/lib/dbus/machine-id ] && [ ! -L /var/lib/dbus/machine-id ]; then : > /var/lib/dbus/machine-id || exit 1; fi
rm -f /var/lib/systemd/random-seed /var/lib/dhcp/*.lease* /var/lib/dhclient/*.lease* \
	/var/lib/NetworkManager/*.lease /var/lib/NetworkManager/secret_key \
	/var/lib/dhcpcd/*.lease* /var/lib/dhcpcd/duid /var/lib/dhcpcd/secret /etc/dhcpcd.duid /etc/dhcpcd.secret \
	/var/lib/wicked/*.xml
sync'`

// Uncacheable returns why the clones of a base cannot become layers, or "".
func Uncacheable(c *domainxml.Clone) string {
	for _, tpm := range c.Definition.Devices.TPMs {
		if tpm.Backend != nil && tpm.Backend.Emulator != nil {
			return "its base has an emulated TPM, whose state a layer cannot have"
		}
	}
	for n := range c.Overlays {
		if c.Overlays[n].Source.Block != nil {
			return "disk " + c.Overlays[n].Target + " of its base is a block device, whose changes cannot be seen"
		}
	}
	return ""
}

// ProvisionedKey is the key of the layer of a base, with the disks of a clone of it and
// the recipe: everything else that determines the content.
func ProvisionedKey(conn *libvirt.Connect, base *libvirtxml.Domain, c *domainxml.Clone, recipe ...string) (Key, error) {
	// A file whose changes cannot be seen is known by its path in the definition.
	files, _ := readOnlyFiles(conn, base)
	return contentKey(conn, base, c, files, recipe)
}

// WarmKey is ProvisionedKey for a warm slot. It fails if the changes of a file cannot be seen.
func WarmKey(conn *libvirt.Connect, base *libvirtxml.Domain, c *domainxml.Clone, recipe ...string) (Key, error) {
	files, err := readOnlyFiles(conn, base)
	if err != nil {
		return "", err
	}
	return contentKey(conn, base, c, files, recipe)
}

func contentKey(conn *libvirt.Connect, base *libvirtxml.Domain, c *domainxml.Clone, files, recipe []string) (Key, error) {
	definition, err := normalize(base)
	if err != nil {
		return "", err
	}
	parts := []string{"provisioned", cleanVersion, definition}
	for n := range c.Overlays {
		identity, err := diskIdentity(conn, &c.Overlays[n])
		if err != nil {
			return "", err
		}
		parts = append(parts, identity)
	}
	return NewKey(slices.Concat(parts, files, recipe)...), nil
}

// normalize returns the definition without what changes although the machine is the
// same: libvirt reorders controllers when it is restarted.
func normalize(base *libvirtxml.Domain) (string, error) {
	d := *base
	d.Metadata, d.Title, d.Description = nil, "", ""
	if d.Devices != nil {
		devices := *d.Devices
		devices.Controllers = slices.Clone(devices.Controllers)
		slices.SortFunc(devices.Controllers, func(a, b libvirtxml.DomainController) int {
			return strings.Compare(controllerName(a), controllerName(b))
		})
		d.Devices = &devices
	}
	return d.Marshal()
}

func controllerName(c libvirtxml.DomainController) string {
	index := uint(0)
	if c.Index != nil {
		index = *c.Index
	}
	return fmt.Sprintf("%s %06d %s", c.Type, index, c.Model)
}

// diskIdentity identifies the content of a base's disk by its path, size and time of
// modification.
func diskIdentity(conn *libvirt.Connect, o *domainxml.Overlay) (string, error) {
	return fileIdentity(conn, "disk "+o.Target, o.Backing, o.Capacity)
}

// fileIdentity is diskIdentity for any file of a base.
func fileIdentity(conn *libvirt.Connect, what, path string, size uint64) (string, error) {
	volume, err := conn.LookupStorageVolByPath(path)
	if err != nil {
		if info, statErr := os.Stat(path); statErr == nil && virt.IsLocal(conn) {
			return fmt.Sprintf("%s %d %d", path, info.Size(), info.ModTime().UnixNano()), nil
		}
		return "", fmt.Errorf("%s of its base is in no pool, so its changes cannot be seen", what)
	}
	defer volume.Free()
	stamps, err := storage.Timestamps(volume)
	if err == nil && stamps.Mtime == "" {
		err = fmt.Errorf("libvirt does not know when %s of its base was changed", what)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %s", path, size, stamps.Mtime), nil
}

// PublishProvisioned makes the disks of a clone that has shut down a layer. base is the
// definition that the clone was made from, and took how long it was provisioned. If another
// machine has published the layer meanwhile, it returns that one.
func PublishProvisioned(conn *libvirt.Connect, key Key, base *libvirtxml.Domain, c *domainxml.Clone, label string, took time.Duration) (*Layer, error) {
	definition := &libvirtxml.Domain{}
	text, err := base.Marshal()
	if err != nil {
		return nil, err
	}
	if err := definition.Unmarshal(text); err != nil {
		return nil, err
	}
	bytes, err := takeOverlays(conn, definition, c)
	if err != nil {
		return nil, err
	}
	m := newMetadata(KindProvisioned, key, base.Name, label, bytes)
	m.Provisioned = took.Round(100 * time.Millisecond).Seconds()
	if c.NeedsDefinition() {
		found, err := readInactive(conn, c.Name)
		if err != nil {
			return nil, fmt.Errorf("reading the firmware: %w", virt.StripCodes(err))
		}
		definition.OS, definition.Features = found.OS, found.Features
	}
	return publishClone(conn, definition, m, c)
}

// readInactive reads the definition that a domain has when it is started again.
func readInactive(conn *libvirt.Connect, name string) (*libvirtxml.Domain, error) {
	domain, err := conn.LookupDomainByName(name)
	if err != nil {
		return nil, err
	}
	defer domain.Free()
	return virt.ReadDefinition(domain, libvirt.DOMAIN_XML_INACTIVE|libvirt.DOMAIN_XML_SECURE)
}

// publishClone publishes a definition with the overlays of a clone, and its UEFI variables if
// it has some.
func publishClone(conn *libvirt.Connect, definition *libvirtxml.Domain, m *Metadata, c *domainxml.Clone) (*Layer, error) {
	if !c.NeedsDefinition() {
		return publish(conn, definition, m)
	}
	restore, err := keepVariables(conn, c.Name)
	if err != nil {
		return nil, fmt.Errorf("keeping the UEFI variables: %w", virt.StripCodes(err))
	}
	l, err := publish(conn, definition, m)
	if err != nil || !l.Has(c.Overlays[0].Volume) {
		err = errors.Join(err, restore())
	}
	return l, err
}

// takeOverlays makes the overlays of a clone the disks of a definition, and returns how much
// space they use.
func takeOverlays(conn *libvirt.Connect, definition *libvirtxml.Domain, c *domainxml.Clone) (bytes uint64, err error) {
	for n := range c.Overlays {
		o := &c.Overlays[n]
		if err := setVolume(definition, o); err != nil {
			return 0, err
		}
		size, err := allocation(conn, storage.VolumeRef{Pool: o.Pool, Name: o.Volume})
		if err != nil {
			return 0, err
		}
		bytes += size
	}
	return bytes, nil
}

// setVolume makes the volume of an overlay the source of its disk.
func setVolume(definition *libvirtxml.Domain, o *domainxml.Overlay) error {
	for n := range definition.Devices.Disks {
		d := &definition.Devices.Disks[n]
		if d.Target == nil || d.Target.Dev != o.Target {
			continue
		}
		if d.Driver == nil {
			d.Driver = &libvirtxml.DomainDiskDriver{Name: "qemu"}
		}
		d.Driver.Type, d.BackingStore, d.Transient, d.Shareable = "qcow2", nil, nil, nil
		d.Source = Disk{Pool: o.Pool, Volume: o.Volume}.source()
		return nil
	}
	return fmt.Errorf("the base has no disk %s", o.Target)
}

// allocation returns how much space a volume uses, in bytes.
func allocation(conn *libvirt.Connect, v storage.VolumeRef) (uint64, error) {
	volume, err := storage.LookUpVolume(conn, v)
	if err != nil {
		return 0, fmt.Errorf("reading the size of volume %s: %w", v.Name, err)
	}
	defer volume.Free()
	info, err := volume.GetInfo()
	if err != nil {
		return 0, fmt.Errorf("reading the size of volume %s: %w", v.Name, virt.StripCodes(err))
	}
	return info.Allocation, nil
}

// keepVariables removes the definition of a clone, whose UEFI variables stay. restore defines
// the clone again, with which the variables are removed.
func keepVariables(conn *libvirt.Connect, clone string) (restore func() error, err error) {
	domain, err := conn.LookupDomainByName(clone)
	if err != nil {
		return nil, err
	}
	defer domain.Free()
	text, err := domain.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE | libvirt.DOMAIN_XML_SECURE)
	if err != nil {
		return nil, err
	}
	restore = func() error {
		again, err := conn.DomainDefineXML(text)
		if err != nil {
			return fmt.Errorf("defining domain %s again, to remove its UEFI variables: %w", clone, virt.StripCodes(err))
		}
		return again.Free()
	}
	return restore, domain.UndefineFlags(libvirt.DOMAIN_UNDEFINE_KEEP_NVRAM)
}

// Discard removes the layer unless another one has replaced it. Its volumes stay while a
// domain or a volume uses them, or may use them; garbage collection removes them later. It
// fails with a *[RunningError] if the domain of the layer has been started.
func (l *Layer) Discard(ctx context.Context, conn *libvirt.Connect) error {
	now, err := l.current(conn)
	if err != nil || now == nil {
		return err
	}
	remove := l.undefine
	if users, err := Users(conn, []*Layer{l}); err == nil && len(users[l.Name]) == 0 {
		remove = l.Remove
	}
	return virt.WithContext(ctx, conn, func() error { return remove(conn) })
}
