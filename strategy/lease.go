package strategy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Lease waits for a DHCP lease.
type Lease struct {
	// Source gives the leases out.
	Source LeaseSource
}

// LeaseSource knows the DHCP leases of a network.
type LeaseSource interface {
	// Leases answers with the addresses leased to an interface at present:
	// none, while it has not asked. An error is taken as final.
	Leases(ctx context.Context, mac net.HardwareAddr) ([]netip.Addr, error)
}

var _ Strategy = Lease{}

// How often a source is asked: at first often, for a machine that is there
// already, and then often enough to notice a lease within 300 ms.
const (
	leaseFirstPause = 25 * time.Millisecond
	leaseLastPause  = 200 * time.Millisecond
)

// Address answers with the first IPv4 address leased to the interface, or
// with an IPv6 address if it has no other.
func (l Lease) Address(ctx context.Context, mac net.HardwareAddr) (netip.Addr, error) {
	start := time.Now()
	missing := &NotFoundError{Strategy: "lease", MAC: mac, Seen: fmt.Sprintf("%v knows no lease for it", l.Source)}
	pause := leaseFirstPause
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			missing.Waited, missing.Cause = time.Since(start), context.Cause(ctx)
			return netip.Addr{}, missing
		case <-timer.C:
		}
		leased, err := l.Source.Leases(ctx, mac)
		missing.Attempts++
		if err != nil && ctx.Err() == nil {
			missing.Waited, missing.Cause = time.Since(start), err
			missing.Seen = fmt.Sprintf("asking %v failed", l.Source)
			return netip.Addr{}, missing
		}
		if len(leased) > 0 {
			return preferred(leased), nil
		}
		timer.Reset(pause)
		pause = min(2*pause, leaseLastPause)
	}
}

func (l Lease) String() string { return fmt.Sprintf("lease from %v", l.Source) }

// preferred picks an IPv4 address before an IPv6 one, and else the first.
func preferred(addrs []netip.Addr) netip.Addr {
	for _, a := range addrs {
		if a.Is4() || a.Is4In6() {
			return a.Unmap()
		}
	}
	return addrs[0]
}
