package strategy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// Agent polls the guest agent in the machine for its addresses.
type Agent struct {
	// Source returns the addresses that the agent reports.
	Source Source
	// Reach chooses between several addresses; it may be nil.
	Reach Reach
}

var _ Strategy = Agent{}

// Address returns the address of the interface, or the best of several: see [Best].
func (a Agent) Address(ctx context.Context, mac net.HardwareAddr) (netip.Addr, error) {
	return asked{
		strategy: "agent", source: a.Source, reach: a.Reach,
		nothing: fmt.Sprintf("the guest agent is there, but knows no address of %s", mac),
	}.address(ctx, mac)
}

// String names the strategy and its source.
func (a Agent) String() string { return fmt.Sprintf("agent by %v", a.Source) }
