package strategy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// ARP waits until the machine has been seen by its neighbours.
type ARP struct {
	// Source knows the neighbours' table.
	Source Source
	// Reach chooses between several addresses; it may be nil.
	Reach Reach
}

var _ Strategy = ARP{}

// Address answers with the address that the interface was seen with, or the
// best of several; see [Best].
func (a ARP) Address(ctx context.Context, mac net.HardwareAddr) (netip.Addr, error) {
	return asked{
		strategy: "arp", source: a.Source, reach: a.Reach,
		nothing: fmt.Sprintf("%v has not seen %s", a.Source, mac),
	}.address(ctx, mac)
}

// String names the strategy and its source.
func (a ARP) String() string { return fmt.Sprintf("arp from %v", a.Source) }
