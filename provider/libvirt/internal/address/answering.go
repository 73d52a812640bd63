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

// pacer limits how often something is done.
type pacer struct{ last time.Time }

// due reports whether the pause since the last time is over, and begins another
// one then.
func (p *pacer) due(pause time.Duration) bool {
	if time.Since(p.last) < pause {
		return false
	}
	p.last = time.Now()
	return true
}

// tcpLimit bounds a connection that only has to show that a machine is there.
const tcpLimit = 300 * time.Millisecond

// cloneAnswers reports whether a machine answers at an address that is known to
// be the clone's, or an earlier clone's with the same MAC address.
func (a *Check) cloneAnswers(ctx context.Context, address netip.Addr) bool {
	if a.link != "" && !a.Silent {
		if macs, err := arpAnswers(ctx, a.link, address, arpGrace); err == nil {
			return slices.ContainsFunc(macs, a.clone.HasMAC)
		}
	}
	if !a.Silent && acceptsTCP(ctx, new(net.Dialer), address) {
		return true
	}
	if a.link != "" { // the attempt to connect has made the kernel send an ARP request
		return a.isNeighbour(address, func(n probe.Neighbour) bool { return n.Confirmed })
	}
	client, err := a.Gateway.Connect(ctx)
	return err == nil && acceptsTCP(ctx, client, address)
}

// sharesAddress reports whether the clone is seen to have the address of another
// machine.
func (a *Check) sharesAddress(ctx context.Context, address netip.Addr) bool {
	if a.link == "" || a.Silent {
		return false
	}
	if macs, err := arpAnswers(ctx, a.link, address, arpGrace); err == nil {
		return slices.ContainsFunc(macs, a.clone.HasMAC)
	}
	return a.isNeighbour(address, func(probe.Neighbour) bool { return true })
}

// isNeighbour reports whether the kernel's neighbour table has the clone at an
// address, in an entry that counts.
func (a *Check) isNeighbour(address netip.Addr, counts func(probe.Neighbour) bool) bool {
	table, _ := probe.Neighbours() // none is no answer
	return slices.ContainsFunc(table, func(n probe.Neighbour) bool {
		return n.Addr == address && a.clone.HasMAC(n.MAC.String()) && counts(n)
	})
}

// acceptsTCP reports whether a machine accepts a connection, or refuses it.
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
