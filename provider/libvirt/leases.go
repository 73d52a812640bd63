package libvirt

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// leases asks libvirt for the leases of one of its networks.
type leases struct {
	conn    *libvirt.Connect
	network string
	earlier map[lease]bool // of the interface, from before there was a clone
}

// lease is one that cannot be told from another of the same address and end.
type lease struct {
	addr string
	ends time.Time
}

var _ strategy.Source = leases{}

// leasingNetwork finds the libvirt network by its name or by its bridge, and
// refuses one that gives no leases.
func leasingNetwork(conn *libvirt.Connect, id string) (leases, error) {
	networks, err := conn.ListAllNetworks(0)
	if err != nil {
		return leases{}, fmt.Errorf("listing networks: %w", said(err))
	}
	var known []string
	var found *libvirt.Network
	for n := range networks {
		network := &networks[n]
		defer network.Free()
		name, err := network.GetName()
		if err != nil {
			continue // undefined since it was listed
		}
		known = append(known, name)
		bridge, err := network.GetBridgeName()
		if name == id || (err == nil && bridge == id && found == nil) {
			found = network
		}
	}
	if found == nil {
		return leases{}, fmt.Errorf("%q is not one of libvirt's networks (%s), so libvirt knows no leases on it: use ipLookupStrategy = SSH, or static", id, strings.Join(known, ", "))
	}
	return checkLeasing(conn, found)
}

// checkLeasing refuses a network on which nobody will ever be given a lease.
func checkLeasing(conn *libvirt.Connect, network *libvirt.Network) (leases, error) {
	definition, err := readNetwork(network)
	if err != nil {
		return leases{}, err
	}
	if active, err := network.IsActive(); err != nil || !active {
		return leases{}, fmt.Errorf("network %q is not active: start it (virsh net-start %[1]s)", definition.Name)
	}
	for _, ip := range definition.IPs {
		if ip.DHCP != nil {
			return leases{conn: conn, network: definition.Name}, nil
		}
	}
	return leases{}, fmt.Errorf("network %q gives no DHCP leases: use ipLookupStrategy = SSH, or static, or give the network a <dhcp> range (virsh net-edit %[1]s)", definition.Name)
}

func readNetwork(network *libvirt.Network) (*libvirtxml.Network, error) {
	text, err := network.GetXMLDesc(0)
	if err != nil {
		return nil, fmt.Errorf("reading the definition of a network: %w", said(err))
	}
	definition := &libvirtxml.Network{}
	if err := definition.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("reading the definition of a network: %w", err)
	}
	return definition, nil
}

func (l leases) String() string { return "libvirt network " + l.network }

// before notes the leases that the interface has before the clone is started:
// those are an earlier clone's, whatever brought its MAC address back.
func (l leases) before(mac net.HardwareAddr) (leases, error) {
	known, err := l.of(mac)
	l.earlier = map[lease]bool{}
	for _, one := range known {
		l.earlier[one] = true
	}
	return l, err
}

// Addresses are those that libvirt says are leased at present.
func (l leases) Addresses(_ context.Context, mac net.HardwareAddr) ([]netip.Addr, error) {
	known, err := l.of(mac)
	if err != nil {
		return nil, err
	}
	var found []netip.Addr
	for _, one := range l.since(known) {
		addr, err := netip.ParseAddr(one.addr)
		if err != nil {
			return nil, fmt.Errorf("network %s has a lease for %q: %w", l.network, one.addr, err)
		}
		found = append(found, addr)
	}
	return found, nil
}

// since are the leases that were not there before. One that has been renewed
// since then ends later, and so is another.
func (l leases) since(known []lease) []lease {
	return slices.DeleteFunc(slices.Clone(known), func(one lease) bool { return l.earlier[one] })
}

// of are the leases of an interface. libvirt leaves out those that have run
// out, by its machine's clock.
func (l leases) of(mac net.HardwareAddr) ([]lease, error) {
	network, err := l.conn.LookupNetworkByName(l.network)
	if err != nil {
		return nil, fmt.Errorf("looking up network %s: %w", l.network, said(err))
	}
	defer network.Free()
	all, err := network.GetDHCPLeases()
	if err != nil {
		return nil, fmt.Errorf("asking network %s for its leases: %w", l.network, said(err))
	}
	var found []lease
	for _, one := range all {
		if strings.EqualFold(one.Mac, mac.String()) {
			found = append(found, lease{addr: one.IPaddr, ends: one.ExpiryTime})
		}
	}
	return found, nil
}
