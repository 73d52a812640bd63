package address

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Leases looks up the address of a clone in the DHCP leases of a libvirt network.
type Leases struct {
	conn    *libvirt.Connect
	network string
	Health  DHCPHealth
	earlier map[lease]bool // of the interface, from before the clone existed
	check   *Check         // of the clone
	ids     *clientIDs
	echoed  throttle // check whether the clone has an earlier lease
}

// lease is a DHCP lease of an interface.
type lease struct {
	Addr string
	Ends time.Time
}

var _ strategy.Source = (*Leases)(nil)

// FindLeases returns the leases of a libvirt network, by its name or its bridge. It fails
// for a network that gives no leases.
func FindLeases(conn *libvirt.Connect, id string) (*Leases, error) {
	networks, err := conn.ListAllNetworks(0)
	if err != nil {
		return nil, fmt.Errorf("listing networks: %w", virt.StripCodes(err))
	}
	var known []string
	var found *libvirt.Network
	for n := range networks {
		network := &networks[n]
		defer network.Free()
		name, err := network.GetName()
		if err != nil {
			continue // it no longer exists
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

// checkLeasing fails for a network that gives no leases.
func checkLeasing(conn *libvirt.Connect, network *libvirt.Network) (*Leases, error) {
	definition, err := ReadNetwork(network)
	if err != nil {
		return nil, err
	}
	active, err := network.IsActive()
	if err != nil {
		return nil, fmt.Errorf("reading the state of network %q: %w", definition.Name, virt.StripCodes(err))
	}
	if !active {
		return nil, fmt.Errorf("network %q is not active: start it (virsh net-start %[1]s)", definition.Name)
	}
	for _, ip := range definition.IPs {
		if ip.DHCP != nil {
			found := &Leases{conn: conn, network: definition.Name}
			found.Health.definition = definition
			if definition.Bridge != nil {
				found.Health.bridge = definition.Bridge.Name
			}
			return found, nil
		}
	}
	return nil, fmt.Errorf("network %q gives no DHCP leases: use ipLookupStrategy = SSH, or static, or give the network a <dhcp> range (virsh net-edit %[1]s)", definition.Name)
}

// ReadNetwork reads the definition of a network.
func ReadNetwork(network *libvirt.Network) (*libvirtxml.Network, error) {
	text, err := network.GetXMLDesc(0)
	if err != nil {
		return nil, fmt.Errorf("reading the definition of a network: %w", virt.StripCodes(err))
	}
	definition := &libvirtxml.Network{}
	if err := definition.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("reading the definition of a network: %w", err)
	}
	return definition, nil
}

// String names the source.
func (l *Leases) String() string { return "libvirt network " + l.network }

// Snapshot records the leases of the network before the clone is started: leases of its
// MAC address belong to an earlier clone.
func (l *Leases) Snapshot(check *Check) error {
	all, err := ReadLeases(l.conn, l.network)
	if err != nil {
		return err
	}
	l.earlier = map[lease]bool{}
	for _, one := range leasesOf(all, check.clone.MAC) {
		l.earlier[one] = true
	}
	l.check, l.ids, l.Health.gateway = check, newClientIDs(check, all), check.Gateway
	return nil
}

// Addresses returns the addresses that are leased to the interface. It fails with an
// *[AddressConflictError] if the lease moves between clones, and with a
// *noDHCPServerError.
func (l *Leases) Addresses(ctx context.Context, mac net.HardwareAddr) ([]netip.Addr, error) {
	all, err := ReadLeases(l.conn, l.network)
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

// missing returns why the clone has no lease, or nil if that is not known.
func (l *Leases) missing(ctx context.Context, all []libvirt.NetworkDHCPLease) error {
	if err := l.Health.check(ctx, all); err != nil {
		return err
	}
	if l.ids.suspect != "" {
		return strategy.NotYet("no DHCP lease seen for %s: %s", l.check.clone.MAC, l.ids.suspect)
	}
	return nil
}

// leasePause is the interval of the checks of earlier leases.
const leasePause = time.Second

func (l *Leases) addresses(of []lease) ([]netip.Addr, error) {
	var found []netip.Addr
	for _, one := range of {
		addr, err := netip.ParseAddr(one.Addr)
		if err != nil {
			return nil, fmt.Errorf("network %s has a lease for %q: %w", l.network, one.Addr, err)
		}
		found = append(found, addr)
	}
	return found, nil
}

// since returns the leases that are not in the snapshot. A renewed lease ends later, so
// it counts as new. A lease that never ends looks the same when it is renewed: then the
// clone has it once it answers at the address.
func (l *Leases) since(known []lease) []lease {
	return slices.DeleteFunc(slices.Clone(known), func(one lease) bool { return l.earlier[one] })
}

// IsStale reports whether an address is only known from before the clone was
// started.
func (l *Leases) IsStale(ctx context.Context, addr netip.Addr) bool {
	all, err := ReadLeases(l.conn, l.network)
	if err != nil {
		return false
	}
	isAddr := func(one lease) bool { return one.Addr == addr.String() }
	if slices.ContainsFunc(l.since(leasesOf(all, l.check.clone.MAC)), isAddr) {
		return false
	}
	return slices.ContainsFunc(slices.Collect(maps.Keys(l.earlier)), isAddr) && !l.check.cloneAnswers(ctx, addr)
}

// ReadLeases reads the leases of a libvirt network, without expired ones.
func ReadLeases(conn *libvirt.Connect, name string) ([]libvirt.NetworkDHCPLease, error) {
	network, err := conn.LookupNetworkByName(name)
	if err != nil {
		return nil, fmt.Errorf("looking up network %s: %w", name, virt.StripCodes(err))
	}
	defer network.Free()
	all, err := network.GetDHCPLeases()
	if err != nil {
		return nil, fmt.Errorf("reading the DHCP leases of network %s: %w", name, virt.StripCodes(err))
	}
	return all, nil
}

// leasesOf returns the leases of an interface.
func leasesOf(all []libvirt.NetworkDHCPLease, mac net.HardwareAddr) []lease {
	var found []lease
	for _, one := range all {
		if strings.EqualFold(one.Mac, mac.String()) {
			found = append(found, lease{Addr: one.IPaddr, Ends: one.ExpiryTime})
		}
	}
	return found
}
