package address

import (
	"fmt"
	"strings"

	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// LiveDomain is a running or paused domain.
type LiveDomain struct {
	Name  string
	MACs  []string        // of its interfaces, in lower case
	clone *owner.Metadata // nil if the domain is not a clone
}

// String names the domain, and the host and process that a clone belongs to.
func (d *LiveDomain) String() string {
	if d.clone == nil {
		return "domain " + d.Name
	}
	return fmt.Sprintf("domain %s (%s of %v)", d.Name, d.clone.Label, owner.Process(d.clone.Owner))
}

// ListLiveDomains lists the running and paused domains.
func ListLiveDomains(conn *libvirt.Connect) ([]*LiveDomain, error) {
	domains, err := conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_ACTIVE)
	if err != nil {
		return nil, fmt.Errorf("listing domains: %w", virt.StripCodes(err))
	}
	var found []*LiveDomain
	for n := range domains {
		text, err := domains[n].GetXMLDesc(0)
		if d := parseLiveDomain(text); err == nil && d != nil {
			found = append(found, d)
		}
		_ = domains[n].Free()
	}
	return found, nil
}

// parseLiveDomain parses the definition of a domain. It returns nil if that is not
// well-formed.
func parseLiveDomain(text string) *LiveDomain {
	var definition libvirtxml.Domain
	if definition.Unmarshal(text) != nil {
		return nil
	}
	found := &LiveDomain{Name: definition.Name}
	if definition.Metadata != nil {
		found.clone = owner.ParseMetadata(definition.Name, definition.Metadata.XML)
	}
	if definition.Devices != nil {
		for _, nic := range definition.Devices.Interfaces {
			if nic.MAC != nil {
				found.MACs = append(found.MACs, strings.ToLower(nic.MAC.Address))
			}
		}
	}
	return found
}

// HasMAC reports whether one of the domains has a MAC address.
func HasMAC(domains []*LiveDomain, mac string) bool { return withMAC(domains, mac, "") != nil }

// withMAC returns the domain with a MAC address, other than the domain but, or nil.
func withMAC(domains []*LiveDomain, mac, but string) *LiveDomain {
	for _, d := range domains {
		if d.Name == but {
			continue
		}
		for _, m := range d.MACs {
			if strings.EqualFold(m, mac) {
				return d
			}
		}
	}
	return nil
}
