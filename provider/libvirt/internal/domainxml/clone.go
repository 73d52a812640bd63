package domainxml

import (
	"crypto/rand"
	"fmt"
	"net"

	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"libvirt.org/go/libvirtxml"
)

// clone is what is going to be made from a base domain: its definition, and
// what must be there before it starts. Making the plan touches no hypervisor.
type Clone struct {
	Name       string
	UUID       string
	Base       string // UUID of the base domain
	Definition *libvirtxml.Domain
	Overlays   []Overlay
	MAC        net.HardwareAddr // of the interface whose address is looked up; nil if there is none
	Network    string           // that it is on: the name of a libvirt network or of a bridge
	Bridge     string           // that it is on; "" if it is on none, or that is not known
	Leases     string           // name of the libvirt network that may lease it an address; "" if there is none
	boot       *variables       // the base's UEFI variables, which the clone gets a copy of; nil without
	TPM        string           // folder of the base's TPM state; "" without one
	OwnTPM     string           // and of the clone's
}

// plan says what a plan needs to know beside the base.
type Plan struct {
	Label   string
	Network string  // whose interface is looked up
	Bridges Bridges // of the hypervisor's networks
	Cache   string  // mode of the disks
	TPMs    string  // folder of the states of emulated TPMs; "" where nobody can know
}

// planClone works out the clone of a base domain. A base that cannot be cloned
// is refused with the reason.
func PlanClone(base *libvirtxml.Domain, p Plan) (*Clone, error) {
	if err := refuseDevices(base); err != nil {
		return nil, fmt.Errorf("base domain %q %w", base.Name, err)
	}
	definition, err := copyDefinition(base)
	if err != nil {
		return nil, err
	}
	c := &Clone{Name: owner.NewName(p.Label, owner.Self()), UUID: NewUUID(), Base: base.UUID, Definition: definition}
	c.planIdentity()
	c.planCharacterDevices()
	c.planGraphics()
	if err := c.planDisks(base.Name, p.Cache); err != nil {
		return nil, err
	}
	if err := c.planInterfaces(base.Name, p.Network, p.Bridges); err != nil {
		return nil, err
	}
	if err := c.planTPM(base, p.TPMs); err != nil {
		return nil, err
	}
	return c, nil
}

// copyDefinition makes a deep copy, so that a base can serve many plans.
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

// planIdentity replaces what tells one domain from another, but for the MAC
// addresses and paths of its devices.
func (c *Clone) planIdentity() {
	d := c.Definition
	d.Name, d.UUID, d.HWUUID, d.Title, d.ID = c.Name, c.UUID, "", "", nil
	d.Devices.Leases = nil // they guard disks that the clone does not write to
	if d.GenID != nil {
		d.GenID = &libvirtxml.DomainGenID{} // libvirt makes one: the guest has to notice that it is a copy
	}
	for i := range d.SysInfo {
		if smbios := d.SysInfo[i].SMBIOS; smbios != nil && smbios.System != nil {
			smbios.System.Entry = withoutUUID(smbios.System.Entry) // libvirt refuses one that is not the domain's
		}
	}
	inherited := ""
	if d.Metadata != nil {
		inherited = owner.InheritedMetadata(d.Metadata.XML)
	}
	d.Metadata = &libvirtxml.DomainMetadata{XML: inherited}
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

// describe adds this provider's element to the metadata of the clone.
func (c *Clone) Describe(element string) { c.Definition.Metadata.XML += element }

// needsDefinition says that the clone has files that libvirt makes for it and
// takes away with its definition.
func (c *Clone) NeedsDefinition() bool { return c.boot != nil || c.TPM != "" }

// newUUID is a fresh random UUID (RFC 9562, version 4).
func NewUUID() string {
	u := make([]byte, 16)
	rand.Read(u) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
