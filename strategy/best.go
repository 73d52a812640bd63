package strategy

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Reach reports whether a machine answers at an address. It returns when ctx ends at
// the latest.
type Reach func(ctx context.Context, addr netip.Addr) bool

// reachLimit limits the choice between several addresses.
const reachLimit = time.Second

// Best returns the best address of an interface, and false if other machines can use
// none of them. The order is:
//
//  1. addresses that can be reached, according to reach;
//  2. IPv4 addresses before IPv6 ones, as more networks carry them;
//  3. lower addresses, so that every process chooses the same one.
//
// Other machines cannot use loopback, link-local, multicast and unspecified addresses.
// reach may be nil. It is not called for a single address: a machine that boots has its
// address before it answers.
func Best(ctx context.Context, addrs []netip.Addr, reach Reach) (netip.Addr, bool) {
	var usable []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.IsGlobalUnicast() {
			usable = append(usable, a)
		}
	}
	slices.SortFunc(usable, netip.Addr.Compare) // which has IPv4 before IPv6
	usable = slices.Compact(usable)
	switch {
	case len(usable) == 0:
		return netip.Addr{}, false
	case len(usable) == 1 || reach == nil:
		return usable[0], true
	}
	if i := slices.Index(reached(ctx, usable, reach), true); i >= 0 {
		return usable[i], true
	}
	return usable[0], true
}

// reached calls reach for all addresses at the same time.
func reached(ctx context.Context, addrs []netip.Addr, reach Reach) []bool {
	ctx, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	answers := make([]bool, len(addrs))
	var all sync.WaitGroup
	for i, a := range addrs {
		all.Go(func() { answers[i] = reach(ctx, a) })
	}
	all.Wait()
	return answers
}
