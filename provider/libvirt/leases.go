package libvirt

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// leases looks up the address of a clone in the DHCP leases of a libvirt
// network.
type leases struct {
	conn    *libvirt.Connect
	network string
	health  dhcpHealth
	earlier map[lease]bool // of the interface, from before there was a clone
	check   *addressCheck  // of the clone
	ids     *clientIDs
	echoed  pacer // of the question whether the clone has an earlier lease
}

// lease is one that cannot be told from another of the same address and end.
type lease struct {
	addr string
	ends time.Time
}

var _ strategy.Source = (*leases)(nil)

// leasingNetwork finds the libvirt network by its name or by its bridge, and
// refuses one that gives no leases.
func leasingNetwork(conn *libvirt.Connect, id string) (*leases, error) {
	networks, err := conn.ListAllNetworks(0)
	if err != nil {
		return nil, fmt.Errorf("listing networks: %w", said(err))
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
		return nil, fmt.Errorf("%q is not one of libvirt's networks (%s), so libvirt knows no leases on it: use ipLookupStrategy = SSH, or static", id, strings.Join(known, ", "))
	}
	return checkLeasing(conn, found)
}

// checkLeasing refuses a network on which nobody will ever be given a lease.
func checkLeasing(conn *libvirt.Connect, network *libvirt.Network) (*leases, error) {
	definition, err := readNetwork(network)
	if err != nil {
		return nil, err
	}
	if active, err := network.IsActive(); err != nil || !active {
		return nil, fmt.Errorf("network %q is not active: start it (virsh net-start %[1]s)", definition.Name)
	}
	for _, ip := range definition.IPs {
		if ip.DHCP != nil {
			found := &leases{conn: conn, network: definition.Name}
			found.health.definition = definition
			if definition.Bridge != nil {
				found.health.bridge = definition.Bridge.Name
			}
			return found, nil
		}
	}
	return nil, fmt.Errorf("network %q gives no DHCP leases: use ipLookupStrategy = SSH, or static, or give the network a <dhcp> range (virsh net-edit %[1]s)", definition.Name)
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

func (l *leases) String() string { return "libvirt network " + l.network }

// before notes the leases of the network before the clone is started: those of
// its MAC address are an earlier clone's.
func (l *leases) before(check *addressCheck) error {
	all, err := readLeases(l.conn, l.network)
	if err != nil {
		return err
	}
	l.earlier = map[lease]bool{}
	for _, one := range leasesOf(all, check.clone.mac) {
		l.earlier[one] = true
	}
	l.check, l.ids, l.health.gateway = check, newClientIDs(check, all), check.gateway
	return nil
}

// Addresses returns those that are leased to the interface at present. It fails
// with an *AddressConflictError if the lease moves between clones, and with a
// *noDHCPServerError.
func (l *leases) Addresses(ctx context.Context, mac net.HardwareAddr) ([]netip.Addr, error) {
	all, err := readLeases(l.conn, l.network)
	if err != nil {
		return nil, err
	}
	if err := l.ids.conflict(ctx, all); err != nil {
		return nil, err
	}
	own := leasesOf(all, mac)
	if fresh := l.since(own); len(fresh) > 0 {
		return l.addresses(fresh)
	}
	if len(own) > 0 && l.echoed.due(leasePause) {
		earlier, err := l.addresses(own)
		earlier = slices.DeleteFunc(earlier, func(addr netip.Addr) bool { return !l.check.cloneAnswers(ctx, addr) })
		if err != nil || len(earlier) > 0 {
			return earlier, err
		}
	}
	return nil, l.missing(ctx, all)
}

// missing says what is known of why the clone has no lease, or nothing.
func (l *leases) missing(ctx context.Context, all []libvirt.NetworkDHCPLease) error {
	if err := l.health.check(ctx, all); err != nil {
		return err
	}
	if l.ids.suspect != "" {
		return strategy.NotYet("no DHCP lease seen for %s: %s", l.check.clone.mac, l.ids.suspect)
	}
	return nil
}

// leasePause is how often a clone is asked for the address of an earlier lease.
const leasePause = time.Second

func (l *leases) addresses(of []lease) ([]netip.Addr, error) {
	var found []netip.Addr
	for _, one := range of {
		addr, err := netip.ParseAddr(one.addr)
		if err != nil {
			return nil, fmt.Errorf("network %s has a lease for %q: %w", l.network, one.addr, err)
		}
		found = append(found, addr)
	}
	return found, nil
}

// since are the leases that were not there before. One that has been renewed
// since then ends later, and so is another. A lease that never ends looks the
// same when it is renewed: the clone has it once it answers at the address.
func (l *leases) since(known []lease) []lease {
	return slices.DeleteFunc(slices.Clone(known), func(one lease) bool { return l.earlier[one] })
}

// isStale reports whether an address is only known from before the clone was
// started.
func (l *leases) isStale(ctx context.Context, addr netip.Addr) bool {
	all, err := readLeases(l.conn, l.network)
	if err != nil {
		return false
	}
	isAddr := func(one lease) bool { return one.addr == addr.String() }
	if slices.ContainsFunc(l.since(leasesOf(all, l.check.clone.mac)), isAddr) {
		return false
	}
	return slices.ContainsFunc(slices.Collect(maps.Keys(l.earlier)), isAddr) && !l.check.cloneAnswers(ctx, addr)
}

// readLeases asks a libvirt network for all of its leases. libvirt leaves out
// those that have expired, by the clock of its machine.
func readLeases(conn *libvirt.Connect, name string) ([]libvirt.NetworkDHCPLease, error) {
	network, err := conn.LookupNetworkByName(name)
	if err != nil {
		return nil, fmt.Errorf("looking up network %s: %w", name, said(err))
	}
	defer network.Free()
	all, err := network.GetDHCPLeases()
	if err != nil {
		return nil, fmt.Errorf("reading the DHCP leases of network %s: %w", name, said(err))
	}
	return all, nil
}

// leasesOf are the leases of an interface.
func leasesOf(all []libvirt.NetworkDHCPLease, mac net.HardwareAddr) []lease {
	var found []lease
	for _, one := range all {
		if strings.EqualFold(one.Mac, mac.String()) {
			found = append(found, lease{addr: one.IPaddr, ends: one.ExpiryTime})
		}
	}
	return found
}
