package matchers

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// HaveAddressIn succeeds if the host's address is in a network in CIDR notation,
// such as "192.168.122.0/24" or "fd00::/8". A host name is resolved on this
// machine, and one of its addresses is enough.
//
// The host needs the method HostName. If it also has Address() string, that
// counts, because HostName may be the address of a port forward.
//
// The matcher has the method Within(time.Duration), the time limit for resolving
// a name (default 2 s).
func HaveAddressIn(cidr string) *haveAddressInMatcher {
	return &haveAddressInMatcher{evaluator: evaluator[named]{matcher: "HaveAddressIn"}, cidr: cidr}
}

type haveAddressInMatcher struct {
	evaluator[named]
	cidr string
}

// Within sets the time limit for resolving a name.
func (m *haveAddressInMatcher) Within(limit time.Duration) *haveAddressInMatcher {
	m.limit = limit
	return m
}

// Match implements Gomega's matcher.
func (m *haveAddressInMatcher) Match(actual any) (bool, error) {
	network, err := netip.ParsePrefix(m.cidr)
	if err != nil {
		return false, newUsageError("%s: %q is not a network in CIDR notation, such as 192.168.122.0/24", m.matcher, m.cidr)
	}
	host, err := m.host(actual)
	if err != nil {
		return false, err
	}
	q := query{wanted: "to have an address in " + m.cidr, tried: "address of the host"}
	return evaluate(&m.evaluator, actual, q, func(ctx context.Context) ([]netip.Addr, error) {
		if host, ok := actual.(addressed); ok {
			return resolve(ctx, host.Address())
		}
		return resolve(ctx, host.HostName())
	}, func(found []netip.Addr) (verdict, error) {
		return verdict{ok: slices.ContainsFunc(found, network.Contains), found: fmt.Sprint(found)}, nil
	})
}

// resolve returns the addresses of a name, without zones and not as IPv4 mapped
// to IPv6, so that they can be compared with a network.
func resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{address.Unmap().WithZone("")}, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	for n, address := range found {
		found[n] = address.Unmap().WithZone("")
	}
	return found, err
}
