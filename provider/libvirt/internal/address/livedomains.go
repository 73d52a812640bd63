package address

import (
	"fmt"
	"strings"

	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// liveDomain is a domain that runs or is paused.
type liveDomain struct {
	Name  string
	Macs  []string        // of its interfaces, in lower case
	clone *owner.Metadata // nil for a domain that overcast has not made
}

// String names the domain, and the host and process that a clone belongs to.
func (d *liveDomain) String() string {
	if d.clone == nil {
		return "domain " + d.Name
	}
	return fmt.Sprintf("domain %s (%s of %v)", d.Name, d.clone.Label, owner.Process(d.clone.Owner))
}

// liveDomains lists them. A domain that ends meanwhile is left out.
func LiveDomains(conn *libvirt.Connect) ([]*liveDomain, error) {
	domains, err := conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_ACTIVE)
	if err != nil {
		return nil, fmt.Errorf("listing domains: %w", virt.StripCodes(err))
	}
	var found []*liveDomain
	for n := range domains {
		text, err := domains[n].GetXMLDesc(0)
		if d := parseLiveDomain(text); err == nil && d != nil {
			found = append(found, d)
		}
		_ = domains[n].Free()
	}
	return found, nil
}

// parseLiveDomain reads the definition of a domain; it is nil for one that is
// not well-formed.
func parseLiveDomain(text string) *liveDomain {
	var definition libvirtxml.Domain
	if definition.Unmarshal(text) != nil {
		return nil
	}
	found := &liveDomain{Name: definition.Name}
	if definition.Metadata != nil {
		found.clone = owner.ParseMetadata(definition.Name, definition.Metadata.XML)
	}
	if definition.Devices != nil {
		for _, nic := range definition.Devices.Interfaces {
			if nic.MAC != nil {
				found.Macs = append(found.Macs, strings.ToLower(nic.MAC.Address))
			}
		}
	}
	return found
}

// withMAC finds the domain that has a MAC address among those but one; nil if
// there is none.
func withMAC(domains []*liveDomain, mac, but string) *liveDomain {
	for _, d := range domains {
		if d.Name == but {
			continue
		}
		for _, m := range d.Macs {
			if strings.EqualFold(m, mac) {
				return d
			}
		}
	}
	return nil
}
