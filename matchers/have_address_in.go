package matchers

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// HaveAddressIn succeeds if the host's address is in a network, as in
// "192.168.122.0/24" or "fd00::/8". A host that goes by a name has the
// addresses that this machine finds for it, and one of them is enough. It needs
// the method HostName; if there is a method Address() string, that counts, as
// HostName may be a forward's.
func HaveAddressIn(cidr string) *HaveAddressInMatcher { return &HaveAddressInMatcher{cidr: cidr} }

// HaveAddressInMatcher is made by [HaveAddressIn].
type HaveAddressInMatcher struct {
	attempts
	cidr string
}

// Within bounds the look-up of a name, which may take 2 s otherwise.
func (m *HaveAddressInMatcher) Within(bound time.Duration) *HaveAddressInMatcher {
	m.bound = bound
	return m
}

// Match is Gomega's.
func (m *HaveAddressInMatcher) Match(actual any) (bool, error) {
	network, err := netip.ParsePrefix(m.cidr)
	if err != nil {
		return false, misused("HaveAddressIn: %q is no network: write it as 192.168.122.0/24", m.cidr)
	}
	host, err := subject[named]("HaveAddressIn", nameMethod, actual)
	if err != nil {
		return false, err
	}
	q := question{wanted: "to have an address in " + m.cidr, tried: "address of the host"}
	return ask(&m.attempts, actual, q, func(ctx context.Context) ([]netip.Addr, error) {
		if host, ok := actual.(addressed); ok {
			return addresses(ctx, host.Address())
		}
		return addresses(ctx, host.HostName())
	}, func(found []netip.Addr) (answer, error) {
		return answer{ok: slices.ContainsFunc(found, network.Contains), found: fmt.Sprint(found)}, nil
	})
}

// addresses are those of a host by its name, in the form in which networks
// have them.
func addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{address.Unmap().WithZone("")}, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	for n, address := range found {
		found[n] = address.Unmap().WithZone("")
	}
	return found, err
}

// MatchMayChangeInTheFuture is Gomega's.
func (m *HaveAddressInMatcher) MatchMayChangeInTheFuture(actual any) bool {
	return mayChange[named](&m.attempts, actual)
}
