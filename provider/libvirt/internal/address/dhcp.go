package address

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// DHCPRange is the usage of the IPv4 DHCP ranges of a libvirt network.
type DHCPRange struct {
	leased, reserved, Total int
	frees                   time.Time // when the first lease expires; zero if none does
}

// full reports whether no machine without a lease can get an address.
func (r DHCPRange) full() bool { return r.Total > 0 && r.leased+r.reserved >= r.Total }

// NearlyFull reports whether less than a tenth of the range is free.
func (r DHCPRange) NearlyFull() bool { return r.Total > 0 && (r.leased+r.reserved)*10 > r.Total*9 }

// String returns the counts.
func (r DHCPRange) String() string {
	text := fmt.Sprintf("%d of %d addresses leased", r.leased, r.Total)
	if r.reserved > 0 {
		text += fmt.Sprintf(", %d reserved", r.reserved)
	}
	return text
}

// DHCPUsage counts the addresses of a network's ranges that are leased, and those that
// are reserved for a host and not leased.
func DHCPUsage(definition *libvirtxml.Network, leases []libvirt.NetworkDHCPLease) DHCPRange {
	var r DHCPRange
	used := map[netip.Addr]bool{}
	for _, ip := range definition.IPs {
		if ip.DHCP == nil || ip.Family == "ipv6" {
			continue
		}
		for _, part := range ip.DHCP.Ranges {
			start, err := netip.ParseAddr(part.Start)
			end, endErr := netip.ParseAddr(part.End)
			if err != nil || endErr != nil {
				continue // libvirt rejects such a network
			}
			r.Total += distance(start, end) + 1
			inside := func(text string) bool {
				addr, err := netip.ParseAddr(text)
				if err != nil || addr.Less(start) || end.Less(addr) || used[addr] {
					return false
				}
				used[addr] = true
				return true
			}
			for _, l := range leases {
				if !inside(l.IPaddr) {
					continue
				}
				r.leased++
				if ends := l.ExpiryTime; ends.Unix() > 0 && (r.frees.IsZero() || ends.Before(r.frees)) {
					r.frees = ends
				}
			}
			for _, host := range ip.DHCP.Hosts {
				if inside(host.IP) {
					r.reserved++
				}
			}
		}
	}
	return r
}

// IsRouted reports whether libvirt makes the bridge of a network, so that no machine of
// another network is on it: a network over an existing bridge has the DHCP server of that.
func IsRouted(definition *libvirtxml.Network) bool {
	if definition.Forward == nil {
		return true
	}
	switch definition.Forward.Mode {
	case "", "nat", "route", "open":
		return true
	}
	return false
}

// distance is the number of IPv4 addresses from one to another.
func distance(from, to netip.Addr) int {
	number := func(a netip.Addr) int {
		n := 0
		for _, part := range a.AsSlice() {
			n = n<<8 | int(part)
		}
		return n
	}
	return number(to) - number(from)
}

// noDHCPServerError reports that no DHCP server listens on a network.
type noDHCPServerError struct {
	network, bridge string
	final           bool // no strategy can find an address
}

func (e *noDHCPServerError) Error() string {
	return fmt.Sprintf("no DHCP server listens on bridge %s of network %s, although libvirt says that it is active: its dnsmasq has ended: "+
		"make libvirt start it again (systemctl reload libvirtd, or virtnetworkd)", e.bridge, e.network)
}

func (e *noDHCPServerError) Is(target error) bool { return e.final && target == strategy.ErrFinal }

// hungDHCPServerError reports that the DHCP server of a network does not read requests.
type hungDHCPServerError struct {
	network, bridge string
	unread          int  // bytes
	final           bool // no strategy can find an address
}

func (e *hungDHCPServerError) Error() string {
	return fmt.Sprintf("the DHCP server on bridge %s of network %s does not read the requests that it receives (%d bytes wait): its dnsmasq hangs or is stopped: "+
		"end it (kill -KILL), and make libvirt start it again (systemctl reload libvirtd, or virtnetworkd)", e.bridge, e.network, e.unread)
}

func (e *hungDHCPServerError) Is(target error) bool { return e.final && target == strategy.ErrFinal }

// dhcpSockets prints the UDP sockets of DHCP servers.
const dhcpSockets = "ss -Hlun sport = :67"

// CheckDHCPServer fails with a *noDHCPServerError if no DHCP server listens on the bridge
// of a network. It succeeds if that cannot be determined.
func CheckDHCPServer(ctx context.Context, gateway *virt.Gateway, network, bridge string) error {
	err := checkDHCPServer(ctx, gateway, network, bridge)
	var hung *hungDHCPServerError
	if errors.As(err, &hung) {
		return nil // it may only not have read the latest request yet
	}
	return err
}

// checkDHCPServer is CheckDHCPServer that also fails with a *hungDHCPServerError if the
// server has not read requests. Only repeated failures count.
func checkDHCPServer(ctx context.Context, gateway *virt.Gateway, network, bridge string) error {
	if bridge == "" {
		return nil
	}
	sockets, err := gateway.Run(ctx, dhcpSockets)
	if err != nil {
		return nil
	}
	listens, unread := receives(sockets, bridge)
	switch {
	case !listens:
		return &noDHCPServerError{network: network, bridge: bridge}
	case unread > 0:
		return &hungDHCPServerError{network: network, bridge: bridge, unread: unread}
	}
	return nil
}

// receives reports whether one of the sockets that ss lists receives packets from a
// bridge, and how many bytes of them the server has not read. Lines look like
//
//	UNCONN 768 0 0.0.0.0%virbr0:67 0.0.0.0:*
func receives(sockets, bridge string) (listens bool, unread int) {
	for line := range strings.Lines(sockets) {
		const queue, local = 1, 3
		words := strings.Fields(line)
		if len(words) <= local {
			continue
		}
		_, device, bound := strings.Cut(words[local], "%")
		if bound && strings.HasPrefix(device, bridge+":") {
			bytes, _ := strconv.Atoi(words[queue]) // ss prints a number
			return true, bytes
		}
		listens = listens || !bound
	}
	return listens, 0
}

// DHCPHealth looks for the reason why a clone has no lease.
type DHCPHealth struct {
	definition    *libvirtxml.Network
	gateway       *virt.Gateway
	bridge        string
	ServerTimeout time.Duration // how long a missing server is not an error: other strategies may find an address

	since   time.Time // when the clone was first checked without a lease
	next    time.Time // when the server is checked next
	failure error     // of the last check
	missing int       // number of successive checks that did not find it
	hanging int       // number of successive checks that found unread requests
	hung    time.Time // when the first of these was
}

// Delay of the first check of the DHCP server, here and on another machine, where it
// needs a login; interval of the checks; and number of checks that must fail, as a server
// that is being restarted is missing for a moment.
const (
	healthAfter    = 3 * time.Second
	healthAfterFar = 15 * time.Second
	healthPause    = 15 * time.Second
	missingPause   = 2 * time.Second
	missingTimes   = 2
	hangingTimes   = 4 // a server that pings an address before it offers it reads nothing for 3 s
)

// hangingLimit is how long a server must not have read requests before the look-up ends.
// dnsmasq pings at most 6 addresses in 30 s, for 3 s each, and goes on without a ping for
// other requests, so that it empties its queue meanwhile.
const hangingLimit = 45 * time.Second

// check fails with a *noDHCPServerError or *hungDHCPServerError, or with a
// [strategy.ErrNotYet] that says why the clone has no lease yet. A DHCP range that is used
// up is of the latter: another machine may release its lease.
func (h *DHCPHealth) check(ctx context.Context, leases []libvirt.NetworkDHCPLease) error {
	now := time.Now()
	if h.since.IsZero() {
		h.since, h.next = now, now.Add(healthAfter)
		if !h.gateway.IsLocal() {
			h.next = now.Add(healthAfterFar)
		}
	}
	if now.Sub(h.since) < healthAfter {
		return nil
	}
	if !now.Before(h.next) {
		h.note(checkDHCPServer(ctx, h.gateway, h.definition.Name, h.bridge), now)
	}
	if h.missing >= missingTimes {
		missing := &noDHCPServerError{network: h.definition.Name, bridge: h.bridge}
		if now.Sub(h.since) < h.ServerTimeout {
			return strategy.NotYet("%v", missing)
		}
		missing.final = true
		return missing
	}
	if h.hanging >= hangingTimes {
		return h.reportHanging(now)
	}
	if used := DHCPUsage(h.definition, leases); used.full() {
		return strategy.NotYet("%v", &RangeFullError{h.definition.Name, used})
	}
	return nil
}

// reportHanging reports a server that does not read requests: with a
// [strategy.ErrNotYet], and with a final error after hangingLimit.
func (h *DHCPHealth) reportHanging(now time.Time) error {
	var hung *hungDHCPServerError
	if errors.As(h.failure, &hung) && now.Sub(h.hung) >= hangingLimit && now.Sub(h.since) >= h.ServerTimeout {
		hung.final = true
		return hung
	}
	return strategy.NotYet("%v", h.failure)
}

// note counts successive failures of the check of the server.
func (h *DHCPHealth) note(failure error, now time.Time) {
	var missing *noDHCPServerError
	var hung *hungDHCPServerError
	if h.failure = failure; failure == nil {
		h.missing, h.hanging, h.next = 0, 0, now.Add(healthPause)
		return
	}
	h.next = now.Add(missingPause)
	if errors.As(failure, &missing) {
		h.missing, h.hanging = h.missing+1, 0
	}
	if errors.As(failure, &hung) {
		if h.hanging == 0 {
			h.hung = now
		}
		h.missing, h.hanging = 0, h.hanging+1
	}
}

// RangeFullError reports that all addresses of the DHCP range of a network are in use.
type RangeFullError struct {
	Network string
	Used    DHCPRange
}

// Error names the network, its usage, and what to do.
func (e *RangeFullError) Error() string {
	ends := ""
	if !e.Used.frees.IsZero() {
		ends = ", the first until " + e.Used.frees.Local().Format(time.TimeOnly)
	}
	return fmt.Sprintf("the DHCP range of network %s is used up (%v%s): give it a larger range, or leases that expire sooner (<lease expiry='5' unit='minutes'/> in its <range>; virsh net-edit %[1]s)", e.Network, e.Used, ends)
}
