package address

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/overcast-go/overcast/internal/probe"
)

// throttle limits how often something is done.
type throttle struct{ last time.Time }

// due reports whether the pause has passed since due last returned true.
func (p *throttle) due(pause time.Duration) bool {
	if time.Since(p.last) < pause {
		return false
	}
	p.last = time.Now()
	return true
}

// tcpLimit limits a connection attempt that only detects a machine.
const tcpLimit = 300 * time.Millisecond

// busyARPWait is how long the guest of a busy machine may take to answer an ARP request.
const busyARPWait = 500 * time.Millisecond

// cloneAnswers reports whether a machine answers at an address that belongs to the clone
// or to an earlier clone with the same MAC address.
func (a *Check) cloneAnswers(ctx context.Context, address netip.Addr) bool {
	if a.link != "" && !a.Silent {
		if macs, err := arpAnswers(ctx, a.link, address, busyARPWait, arpGrace); err == nil {
			return slices.ContainsFunc(macs, a.clone.HasMAC)
		}
	}
	if !a.Silent && acceptsTCP(ctx, new(net.Dialer), address) {
		return true
	}
	if a.link != "" { // the connection attempt made the kernel send an ARP request
		return a.isNeighbour(address, func(n probe.Neighbour) bool { return n.Confirmed })
	}
	client, err := a.Gateway.Connect(ctx)
	return err == nil && acceptsTCP(ctx, client, address)
}

// sharesAddress reports whether the clone answers at the address of another machine.
func (a *Check) sharesAddress(ctx context.Context, address netip.Addr) bool {
	if a.link == "" || a.Silent {
		return false
	}
	if macs, err := arpAnswers(ctx, a.link, address, arpWait, arpGrace); err == nil {
		return slices.ContainsFunc(macs, a.clone.HasMAC)
	}
	return a.isNeighbour(address, func(probe.Neighbour) bool { return true })
}

// isNeighbour reports whether the kernel's neighbour table has the clone at an
// address, in an entry that counts.
func (a *Check) isNeighbour(address netip.Addr, counts func(probe.Neighbour) bool) bool {
	table, _ := probe.Neighbours(a.link) // an error counts as an empty table
	return slices.ContainsFunc(table, func(n probe.Neighbour) bool {
		return n.Addr == address && a.clone.HasMAC(n.MAC.String()) && counts(n)
	})
}

// acceptsTCP reports whether a machine accepts or refuses a connection.
func acceptsTCP(ctx context.Context, by probe.Dialer, address netip.Addr) bool {
	ctx, cancel := context.WithTimeout(ctx, tcpLimit)
	defer cancel()
	conn, err := by.DialContext(ctx, "tcp", net.JoinHostPort(address.String(), probe.Port))
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(err.Error(), "refused")
	}
	conn.Close()
	return true
}
