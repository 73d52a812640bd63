package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// leases asks libvirt for the leases of one of its networks.
type leases struct {
	conn    *libvirt.Connect
	network string
}

var _ strategy.LeaseSource = leases{}

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
	text, err := network.GetXMLDesc(0)
	if err != nil {
		return leases{}, fmt.Errorf("reading the definition of a network: %w", said(err))
	}
	var definition libvirtxml.Network
	if err := definition.Unmarshal(text); err != nil {
		return leases{}, fmt.Errorf("reading the definition of a network: %w", err)
	}
	if active, err := network.IsActive(); err != nil || !active {
		return leases{}, fmt.Errorf("network %q is not active: start it (virsh net-start %[1]s)", definition.Name)
	}
	for _, ip := range definition.IPs {
		if ip.DHCP != nil {
			return leases{conn, definition.Name}, nil
		}
	}
	return leases{}, fmt.Errorf("network %q gives no DHCP leases: use ipLookupStrategy = SSH, or static, or give the network a <dhcp> range (virsh net-edit %[1]s)", definition.Name)
}

func (l leases) String() string { return "libvirt network " + l.network }

// Leases answers with what libvirt says at present. libvirt leaves out leases
// that have run out, by its machine's clock.
func (l leases) Leases(_ context.Context, mac net.HardwareAddr) ([]netip.Addr, error) {
	network, err := l.conn.LookupNetworkByName(l.network)
	if err != nil {
		return nil, fmt.Errorf("looking up network %s: %w", l.network, said(err))
	}
	defer network.Free()
	all, err := network.GetDHCPLeases()
	if err != nil {
		return nil, fmt.Errorf("asking network %s for its leases: %w", l.network, said(err))
	}
	var found []netip.Addr
	for _, lease := range all {
		if !strings.EqualFold(lease.Mac, mac.String()) {
			continue
		}
		addr, err := netip.ParseAddr(lease.IPaddr)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("network %s has a lease for %q", l.network, lease.IPaddr), err)
		}
		found = append(found, addr)
	}
	return found, nil
}
