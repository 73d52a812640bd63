package strategy

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Reach says whether something answers at an address. It returns when ctx
// ends at the latest.
type Reach func(ctx context.Context, addr netip.Addr) bool

// reachLimit bounds the choice between several addresses.
const reachLimit = time.Second

// Best picks one of the addresses of an interface, and none if there is none
// that others could use. The order is:
//
//  1. addresses that can be reached, according to reach;
//  2. IPv4 addresses before IPv6 ones, as more networks carry them;
//  3. lower addresses, so that every process picks the same one.
//
// Loopback, link-local, multicast and unspecified addresses are of no use to
// others. reach may be nil, and is not asked about a single address: a machine
// that is booting has its address before it answers.
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

// reached asks about all at once.
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
