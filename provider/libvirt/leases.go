package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
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
		return leases{}, fmt.Errorf("listing networks: %w", said(said(err)))
	}
	found := ""
	var known []string
	active := false
	for n := range networks {
		name, err := networks[n].GetName()
		if err != nil {
			continue // undefined since it was listed
		}
		known = append(known, name)
		bridge, err := networks[n].GetBridgeName()
		if name == id || (err == nil && bridge == id && found == "") {
			found = name
			active, _ = networks[n].IsActive()
		}
		_ = networks[n].Free()
	}
	switch {
	case found == "":
		return leases{}, fmt.Errorf("%q is not one of libvirt's networks (%s), so libvirt knows no leases on it: ipLookupStrategy lease cannot find an address there", id, strings.Join(known, ", "))
	case !active:
		return leases{}, fmt.Errorf("network %q is not active: start it (virsh net-start %s)", found, found)
	}
	return leases{conn, found}, nil
}

func (l leases) String() string { return "libvirt network " + l.network }

// Leases answers with what libvirt says at present, without leases that have run out.
func (l leases) Leases(_ context.Context, mac net.HardwareAddr) ([]netip.Addr, error) {
	network, err := l.conn.LookupNetworkByName(l.network)
	if err != nil {
		return nil, fmt.Errorf("looking up network %s: %w", l.network, said(said(err)))
	}
	defer network.Free()
	all, err := network.GetDHCPLeases()
	if err != nil {
		return nil, fmt.Errorf("asking network %s for its leases: %w", l.network, said(said(err)))
	}
	var found []netip.Addr
	for _, lease := range all {
		if !strings.EqualFold(lease.Mac, mac.String()) || lease.ExpiryTime.Before(time.Now()) {
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
