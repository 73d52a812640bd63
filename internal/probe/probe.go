// Package probe finds out whether somebody uses an address.
package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Dialer opens connections: net.Dialer is one, and so is an SSH client.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Limit bounds a probe. What is there answers within milliseconds.
const Limit = time.Second

// Port is the one that is tried: what runs tests logs in there.
const Port = "22"

// TCP says how an address answers to a connection by way of d, or "" if it
// does not within [Limit]. A connection that is refused is no answer: a router
// may refuse it in the name of an address that nobody has.
func TCP(ctx context.Context, d Dialer, addr netip.Addr) string {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(addr.String(), Port))
	if err != nil {
		return ""
	}
	conn.Close()
	return "it takes connections to port " + Port
}

// Own says where this machine has an address itself, or "".
func Own(addr netip.Addr) string {
	interfaces, err := net.Interfaces()
	if err != nil {
		return ""
	}
	for _, i := range interfaces {
		own, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range own {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap() == addr.Unmap() {
				return "this machine has it on " + i.Name
			}
		}
	}
	return ""
}

// ARP says how an address answers to an ARP request, or "" if it does not
// within [Limit], is not on a network of this machine's, or if this process
// may not ask so.
func ARP(ctx context.Context, addr netip.Addr) string {
	i, ok := onLink(addr)
	if !ok {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	mac, err := resolve(ctx, i, addr)
	if err != nil || mac == nil {
		return ""
	}
	return fmt.Sprintf("%s answers ARP requests for it on %s", mac, i.Name)
}

// onLink is this machine's interface to the network that an address is on.
func onLink(addr netip.Addr) (net.Interface, bool) {
	interfaces, err := net.Interfaces()
	if err != nil || !addr.Is4() {
		return net.Interface{}, false
	}
	for _, i := range interfaces {
		own, err := i.Addrs()
		if err != nil || i.Flags&(net.FlagUp|net.FlagLoopback) != net.FlagUp || len(i.HardwareAddr) != 6 {
			continue
		}
		for _, a := range own {
			prefix, err := netip.ParsePrefix(a.String())
			if err == nil && prefix.Contains(addr) && prefix.Addr() != addr {
				return i, true
			}
		}
	}
	return net.Interface{}, false
}
