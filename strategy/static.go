package strategy

import (
	"context"
	"net"
	"net/netip"
)

// Static returns an address that the system of the machine configures itself.
type Static struct {
	IP netip.Addr
}

var _ Strategy = Static{}

// Address returns at once. It fails only if ctx has ended.
func (s Static) Address(ctx context.Context, mac net.HardwareAddr) (netip.Addr, error) {
	if ctx.Err() != nil {
		return netip.Addr{}, &NotFoundError{Strategy: "static", MAC: mac, Seen: "not begun", Cause: context.Cause(ctx)}
	}
	return s.IP, nil
}

// String names the strategy and the address.
func (s Static) String() string { return "static " + s.IP.String() }
