package strategy_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/overcast-go/overcast/strategy"
)

// table is a source of leases that knows them all from the start.
type table map[string]netip.Addr

func (t table) Addresses(_ context.Context, mac net.HardwareAddr) ([]netip.Addr, error) {
	if addr, ok := t[mac.String()]; ok {
		return []netip.Addr{addr}, nil
	}
	return nil, nil
}

func ExampleLease() {
	mac, _ := net.ParseMAC("52:54:00:12:34:56")
	source := table{"52:54:00:12:34:56": netip.MustParseAddr("192.0.2.9")}
	addr, err := strategy.Lease{Source: source}.Address(context.Background(), mac)
	fmt.Println(addr, err)
	// Output: 192.0.2.9 <nil>
}
