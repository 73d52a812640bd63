package domainxml

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/internal/editdistance"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Bridges has the bridge of each network of the hypervisor, by the name of the network.
// It is "" for a network without a bridge.
type Bridges map[string]string

// ReadBridges reads the networks of a hypervisor and their bridges.
func ReadBridges(conn *libvirt.Connect) (Bridges, error) {
	networks, err := conn.ListAllNetworks(0)
	if virt.IsCode(err, libvirt.ERR_NO_SUPPORT) {
		return nil, nil // a hypervisor without networks
	}
	if err != nil {
		return nil, fmt.Errorf("listing networks: %w", virt.StripCodes(err))
	}
	found := Bridges{}
	for i := range networks {
		if name, err := networks[i].GetName(); err == nil {
			found[name], _ = networks[i].GetBridgeName() // an error means that it has none
		}
		_ = networks[i].Free()
	}
	return found, nil
}

// PlanInterfaces gives every interface a new MAC address and selects the interface on
// network, whose address is looked up. network may be "" if the base has only one.
func (c *Clone) PlanInterfaces(network string, known Bridges) error {
	base := c.base.Name
	var there, matching []string
	interfaces := c.Definition.Devices.Interfaces
	for i := range interfaces {
		mac := newMAC()
		interfaces[i].MAC = &libvirtxml.DomainInterfaceMAC{Address: mac.String()}
		interfaces[i].Target = nil // libvirt chooses the name of the host's end
		if port := interfaces[i].VirtualPort; port != nil && port.Params != nil && port.Params.OpenVSwitch != nil {
			port.Params.OpenVSwitch.InterfaceID = "" // libvirt generates one
		}
		names := namesOf(&interfaces[i], known)
		there = append(there, names[0])
		if network == "" || slices.Contains(names, network) {
			matching = append(matching, names[0])
			c.MAC, c.Network = mac, names[0]
			c.Bridge, c.Leases = known.segmentOf(&interfaces[i])
		}
	}
	list := strings.Join(there, ", ")
	switch {
	case len(matching) == 1:
		return nil
	case len(there) == 0 && network == "":
		return nil // the look-up fails unless the strategy is static
	case len(there) == 0:
		return fmt.Errorf("networkDeviceId is %q, but base domain %q has no network interface", network, base)
	case len(matching) > 1 && network == "":
		return fmt.Errorf("base domain %q has %d interfaces (on %s): set networkDeviceId to one of them", base, len(there), list)
	case len(matching) > 1:
		return fmt.Errorf("base domain %q has %d interfaces on %q, and only one address is looked up: name a port group too (NETWORK/PORTGROUP), or detach one", base, len(matching), network)
	}
	return fmt.Errorf("base domain %q has no interface on %q%s (it is on %s): check networkDeviceId", base, network, editdistance.Suggest(network, there, len(network)/3), list)
}

// InterfaceNetworks returns, for each interface of a domain, the usual value of
// networkDeviceId that selects it.
func InterfaceNetworks(definition *libvirtxml.Domain) []string {
	if definition.Devices == nil {
		return nil
	}
	var names []string
	for i := range definition.Devices.Interfaces {
		names = append(names, namesOf(&definition.Devices.Interfaces[i], nil)[0])
	}
	return names
}

// namesOf returns the values of networkDeviceId that match an interface, the usual one
// first: the name, the name and port group, or the bridge of its libvirt network; the
// name of its bridge, or of the network of that bridge; the device that it is attached
// to directly.
func namesOf(i *libvirtxml.DomainInterface, known Bridges) []string {
	switch {
	case i.Source == nil:
	case i.Source.Network != nil:
		names := []string{i.Source.Network.Network}
		if group := i.Source.Network.PortGroup; group != "" {
			names = append(names, names[0]+"/"+group)
		}
		if bridge := known[names[0]]; bridge != "" {
			names = append(names, bridge)
		}
		return names
	case i.Source.Bridge != nil:
		names := []string{i.Source.Bridge.Bridge}
		for network, bridge := range known {
			if bridge == names[0] {
				names = append(names, network)
			}
		}
		return names
	case i.Source.Direct != nil:
		return []string{i.Source.Direct.Dev}
	}
	return []string{"an unnamed network"}
}

// segmentOf returns the bridge that an interface is on, and the libvirt network
// of that bridge; each is "" if there is none.
func (b Bridges) segmentOf(i *libvirtxml.DomainInterface) (bridge, network string) {
	switch {
	case i.Source == nil:
	case i.Source.Network != nil:
		return b[i.Source.Network.Network], i.Source.Network.Network
	case i.Source.Bridge != nil:
		bridge = i.Source.Bridge.Bridge
		for name, of := range b {
			if of == bridge {
				network = name
			}
		}
	}
	return bridge, network
}

// Running returns a clone that exists already, as far as its address and its identity are
// concerned. segment is the [Clone.Segment] on which it has its address.
func Running(definition *libvirtxml.Domain, segment string, known Bridges) *Clone {
	c := &Clone{Name: definition.Name, UUID: definition.UUID, Definition: definition}
	if definition.Devices == nil {
		definition.Devices = &libvirtxml.DomainDeviceList{}
	}
	interfaces := definition.Devices.Interfaces
	for n := range interfaces {
		bridge, leases := known.segmentOf(&interfaces[n])
		name := namesOf(&interfaces[n], known)[0]
		if segment != "" && cmp.Or(bridge, name) == segment {
			c.Network, c.Bridge, c.Leases = name, bridge, leases
			return c
		}
	}
	return c
}

// Segment names the network on which the clone's address is unique.
func (c *Clone) Segment() string { return cmp.Or(c.Bridge, c.Network) }

// IsOnLibvirtNetwork reports whether the interface whose address is looked up is on a
// libvirt network, and not on a bridge or device.
func (c *Clone) IsOnLibvirtNetwork() bool {
	return slices.ContainsFunc(c.Definition.Devices.Interfaces, func(i libvirtxml.DomainInterface) bool {
		return i.Source != nil && i.Source.Network != nil && i.Source.Network.Network == c.Network
	})
}

// HasMAC reports whether an interface of the clone has a MAC address.
func (c *Clone) HasMAC(mac string) bool {
	return slices.ContainsFunc(c.Definition.Devices.Interfaces, func(i libvirtxml.DomainInterface) bool {
		return i.MAC != nil && strings.EqualFold(i.MAC.Address, mac)
	})
}

// newMAC returns a random MAC address with the prefix of QEMU and KVM.
func newMAC() net.HardwareAddr {
	mac := net.HardwareAddr{0x52, 0x54, 0, 0, 0, 0}
	rand.Read(mac[3:]) // never fails
	return mac
}
