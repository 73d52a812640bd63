package strategy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// Lease polls the leases of a DHCP server until it has one for the machine.
type Lease struct {
	// Source returns the DHCP leases.
	Source Source
	// Reach chooses between several leases; it may be nil.
	Reach Reach
}

var _ Strategy = Lease{}

// Address returns the address that is leased to the interface, or the best of several:
// see [Best].
func (l Lease) Address(ctx context.Context, mac net.HardwareAddr) (netip.Addr, error) {
	return asked{
		strategy: "lease", source: l.Source, reach: l.Reach,
		nothing: fmt.Sprintf("no DHCP request seen from %s: %v knows no lease for it", mac, l.Source),
	}.address(ctx, mac)
}

// String names the strategy and its source.
func (l Lease) String() string { return fmt.Sprintf("lease from %v", l.Source) }
