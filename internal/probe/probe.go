// Package probe detects whether a machine uses an IP address.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Dialer opens connections: net.Dialer is one, and so is an SSH client.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Limit limits a probe. A machine normally answers within milliseconds.
const Limit = time.Second

// Port is the port that is probed, that of SSH.
const Port = "22"

// TCP describes how a machine at an address answers to a connection over d. It is "" if
// none does within [Limit]. A refused connection is no answer: a router may refuse it for
// an unused address.
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

// LocalInterface describes the interface of this machine that has an address, or is "".
func LocalInterface(addr netip.Addr) string {
	interfaces, err := net.Interfaces()
	if err != nil {
		return ""
	}
	for _, i := range interfaces {
		for _, prefix := range prefixes(i) {
			if prefix.Addr().Unmap() == addr.Unmap() {
				return "this machine has it on " + i.Name
			}
		}
	}
	return ""
}

// ARP describes how a machine at an address answers to an ARP request. It is "" if none
// does within [Limit], if the address is not on a network of this machine, or if this
// process may not send ARP requests.
func ARP(ctx context.Context, addr netip.Addr) string {
	link, from, ok := onLink("", addr)
	if !ok {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	macs, err := answers(ctx, link, from, addr, 0)
	if err != nil || len(macs) == 0 {
		return ""
	}
	return fmt.Sprintf("%s answers ARP requests for it on %s", macs[0], link.Name)
}

// ErrNotOnLink says that an address is on no network that this machine has an
// interface and an address on.
var ErrNotOnLink = errors.New("it is not on a network of this machine")

// Answers returns the MAC addresses of all machines that answer an ARP request
// for an address, at the interface named link, or, if link is "", at that to
// the address's network. It returns when grace has passed since the first answer, and
// with none when ctx ends. It fails with [ErrNotOnLink], with
// [errors.ErrUnsupported] on a system other than Linux, and with
// [os.ErrPermission] without CAP_NET_RAW.
func Answers(ctx context.Context, link string, addr netip.Addr, grace time.Duration) ([]net.HardwareAddr, error) {
	at, from, ok := onLink(link, addr)
	if !ok {
		return nil, ErrNotOnLink
	}
	macs, err := answers(ctx, at, from, addr, grace)
	if err != nil {
		return nil, fmt.Errorf("sending an ARP request for %s on %s: %w", addr, at.Name, err)
	}
	return macs, nil
}

// largestScan is the prefix length of the largest network that is scanned.
const largestScan = 22

// ErrTooLarge says that a network has too many addresses to scan.
var ErrTooLarge = fmt.Errorf("the network is larger than a /%d", largestScan)

// Scan sends ARP requests, one each millisecond, for all addresses of the IPv4
// networks that this machine has an address on at an interface, and returns the
// address that the machine with a MAC address has there. The address is invalid
// if that machine has none. It fails with [ErrNotOnLink] if this machine has no
// IPv4 address there, with [ErrTooLarge], and as [Answers] does.
func Scan(ctx context.Context, link string, mac net.HardwareAddr) (netip.Addr, error) {
	at, err := net.InterfaceByName(link)
	if err != nil {
		return netip.Addr{}, err
	}
	err = fmt.Errorf("scanning %s: %w", link, ErrNotOnLink)
	for _, prefix := range prefixes(*at) {
		if !prefix.Addr().Is4() {
			continue
		}
		if prefix.Bits() < largestScan {
			err = fmt.Errorf("scanning %s: %s: %w", link, prefix.Masked(), ErrTooLarge)
			continue
		}
		addr, scanErr := scan(ctx, *at, prefix, mac)
		if scanErr != nil || addr.IsValid() {
			return addr, scanErr
		}
		err = nil
	}
	return netip.Addr{}, err
}

// Neighbour is an entry of a neighbour table that has a MAC address.
type Neighbour struct {
	Addr      netip.Addr
	MAC       net.HardwareAddr
	Link      int  // index of the interface
	Confirmed bool // it has answered within the last seconds, or is permanent
}

// prefixes are the networks that an interface has addresses on, each with the
// address in place of the network's.
func prefixes(i net.Interface) []netip.Prefix {
	addrs, err := i.Addrs()
	if err != nil {
		return nil
	}
	var found []netip.Prefix
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			found = append(found, prefix)
		}
	}
	return found
}

// onLink is this machine's interface to the network that an address is on, and
// the address that this machine has there. It is the interface of a name, if
// there is one.
func onLink(name string, addr netip.Addr) (net.Interface, netip.Addr, bool) {
	interfaces, err := net.Interfaces()
	if err != nil || !addr.Is4() {
		return net.Interface{}, netip.Addr{}, false
	}
	for _, i := range interfaces {
		if i.Flags&(net.FlagUp|net.FlagLoopback) != net.FlagUp || len(i.HardwareAddr) != 6 || (name != "" && name != i.Name) {
			continue
		}
		for _, prefix := range prefixes(i) {
			if prefix.Contains(addr) && prefix.Addr() != addr {
				return i, prefix.Addr(), true
			}
		}
	}
	return net.Interface{}, netip.Addr{}, false
}
