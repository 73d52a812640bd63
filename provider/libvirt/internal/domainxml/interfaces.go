package domainxml

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// bridges are the hypervisor's networks by name, with the bridge of each, or
// "" for one that has none.
type Bridges map[string]string

// readBridges asks for them.
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
			found[name], _ = networks[i].GetBridgeName() // one without a bridge is an error
		}
		_ = networks[i].Free()
	}
	return found, nil
}

// planInterfaces gives every interface a MAC address of its own and picks the
// one on the network whose address is looked up.
func (c *Clone) planInterfaces(base, network string, known Bridges) error {
	var there, matching []string
	interfaces := c.Definition.Devices.Interfaces
	for i := range interfaces {
		mac := newMAC()
		interfaces[i].MAC = &libvirtxml.DomainInterfaceMAC{Address: mac.String()}
		interfaces[i].Target = nil // the name of the host's end is libvirt's to give
		if port := interfaces[i].VirtualPort; port != nil && port.Params != nil && port.Params.OpenVSwitch != nil {
			port.Params.OpenVSwitch.InterfaceID = "" // libvirt makes one
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
		return nil // only a static address can be found: the strategy says so
	case len(there) == 0:
		return fmt.Errorf("networkDeviceId is %q, but base domain %q has no network interface", network, base)
	case len(matching) > 1 && network == "":
		return fmt.Errorf("base domain %q has %d interfaces (on %s): say which one by networkDeviceId", base, len(there), list)
	case len(matching) > 1:
		return fmt.Errorf("base domain %q has %d interfaces on %q, and nothing says which of them to look up: name a port group too (NETWORK/PORTGROUP), or detach one", base, len(matching), network)
	}
	return fmt.Errorf("base domain %q has no interface on %q (networkDeviceId), only on %s", base, network, list)
}

// namesOf are what networkDeviceId may call what an interface is on, its usual
// name first: a libvirt network by its name, its name and port group, or its
// bridge; a bridge by its name or that of the network that it is the bridge of;
// a device that the interface is attached to directly.
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
	return []string{"nothing that has a name"}
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

// segment names the network that the clone's address is unique on.
func (c *Clone) Segment() string { return cmp.Or(c.Bridge, c.Network) }

// hasMAC reports whether an interface of the clone has a MAC address.
func (c *Clone) HasMAC(mac string) bool {
	return slices.ContainsFunc(c.Definition.Devices.Interfaces, func(i libvirtxml.DomainInterface) bool {
		return i.MAC != nil && strings.EqualFold(i.MAC.Address, mac)
	})
}

// newMAC is a fresh address in the block that QEMU and KVM use.
func newMAC() net.HardwareAddr {
	mac := net.HardwareAddr{0x52, 0x54, 0, 0, 0, 0}
	rand.Read(mac[3:]) // never fails
	return mac
}
