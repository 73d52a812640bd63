package strategy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// ARP polls a neighbour table until it has an entry for the machine.
type ARP struct {
	// Source returns the addresses in the neighbour table.
	Source Source
	// Reach chooses between several addresses; it may be nil.
	Reach Reach
}

var _ Strategy = ARP{}

// Address returns the address that the table has for the interface, or the best of
// several: see [Best].
func (a ARP) Address(ctx context.Context, mac net.HardwareAddr) (netip.Addr, error) {
	return asked{
		strategy: "arp", source: a.Source, reach: a.Reach,
		nothing: fmt.Sprintf("%v has not seen %s", a.Source, mac),
	}.address(ctx, mac)
}

// String names the strategy and its source.
func (a ARP) String() string { return fmt.Sprintf("arp from %v", a.Source) }
