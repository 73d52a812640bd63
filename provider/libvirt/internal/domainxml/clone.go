package domainxml

import (
	"crypto/rand"
	"fmt"
	"net"

	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"libvirt.org/go/libvirtxml"
)

// Clone is the plan of a clone: its definition, and what must exist before it starts.
type Clone struct {
	Name       string
	UUID       string
	Base       string // UUID of the base domain
	Definition *libvirtxml.Domain
	inherited  string // metadata of the base
	base       *libvirtxml.Domain
	Overlays   []Overlay
	MAC        net.HardwareAddr // of the interface whose address is looked up; nil if there is none
	Network    string           // that it is on: the name of a libvirt network or of a bridge
	Bridge     string           // that it is on; "" if it is on none, or that is not known
	Leases     string           // name of the libvirt network with its DHCP leases; "" if there is none
	seed       string           // target of the seed; "" for none
	nvram      *nvram           // UEFI variables; nil if the base has none
	BaseTPMDir string           // folder with the TPM state of the base; "" if it has no emulated TPM
	TPMDir     string           // folder with the TPM state of the clone
}

// NewClone begins the plan of a clone of a base domain: its identity and its character
// devices. The Plan methods add the rest. It fails if the base has a device that cannot
// be cloned.
func NewClone(base *libvirtxml.Domain, label string) (*Clone, error) {
	if err := checkDevices(base); err != nil {
		return nil, fmt.Errorf("base domain %q %w", base.Name, err)
	}
	definition, err := copyDefinition(base)
	if err != nil {
		return nil, err
	}
	c := &Clone{Name: owner.NewName(label, owner.Self()), UUID: NewUUID(), Base: base.UUID, Definition: definition, base: base}
	c.planIdentity()
	c.planCharacterDevices()
	c.planGraphics()
	return c, nil
}

// copyDefinition returns a deep copy.
func copyDefinition(base *libvirtxml.Domain) (*libvirtxml.Domain, error) {
	text, err := base.Marshal()
	if err != nil {
		return nil, fmt.Errorf("copying the definition of base domain %q: %w", base.Name, err)
	}
	var definition libvirtxml.Domain
	if err := definition.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("copying the definition of base domain %q: %w", base.Name, err)
	}
	if definition.Devices == nil {
		definition.Devices = &libvirtxml.DomainDeviceList{}
	}
	return &definition, nil
}

// planIdentity replaces everything that identifies a domain, except the MAC addresses
// and the paths of its devices.
func (c *Clone) planIdentity() {
	d := c.Definition
	d.Name, d.UUID, d.HWUUID, d.Title, d.ID = c.Name, c.UUID, "", "", nil
	d.Devices.Leases = nil // they protect disks that the clone does not write to
	if d.GenID != nil {
		d.GenID = &libvirtxml.DomainGenID{} // libvirt generates one, by which the guest detects that it is a copy
	}
	for i := range d.SysInfo {
		if smbios := d.SysInfo[i].SMBIOS; smbios != nil && smbios.System != nil {
			smbios.System.Entry = withoutUUID(smbios.System.Entry) // libvirt requires it to be the domain's
		}
	}
	if d.Metadata != nil {
		c.inherited = owner.InheritedMetadata(d.Metadata.XML)
	}
	d.Metadata = &libvirtxml.DomainMetadata{XML: c.inherited}
}

func withoutUUID(entries []libvirtxml.DomainSysInfoEntry) []libvirtxml.DomainSysInfoEntry {
	var kept []libvirtxml.DomainSysInfoEntry
	for _, e := range entries {
		if e.Name != "uuid" {
			kept = append(kept, e)
		}
	}
	return kept
}

// SetMetadata adds an element to the metadata that the clone inherits. It replaces the
// element of an earlier call.
func (c *Clone) SetMetadata(element string) {
	c.Definition.Metadata = &libvirtxml.DomainMetadata{XML: c.inherited + element}
}

// NeedsDefinition reports whether the clone must be defined before it is started: it
// has files that libvirt creates, and removes together with the definition.
func (c *Clone) NeedsDefinition() bool { return c.nvram != nil || c.BaseTPMDir != "" }

// NewUUID returns a random UUID (RFC 9562, version 4).
func NewUUID() string {
	u := make([]byte, 16)
	rand.Read(u) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
