package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/probe"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
)

// Neighbours looks up the address of a clone in the neighbour table of the
// hypervisor's machine. If that is this machine, it also sends ARP requests for all
// addresses of the clone's network: a guest that has sent nothing to the machine is not
// in its table.
type Neighbours struct {
	conn  *libvirt.Connect
	check *Check // of the clone

	ByCommand bool // libvirt cannot read the table
	byLibvirt bool // the command cannot be run, so libvirt's answer is final

	earlier   map[netip.Addr]bool // in the table when it was first read; may belong to an earlier clone
	first     time.Time           // when the table was first read
	echoed    throttle            // check whether the clone has one of the earlier addresses
	scanAfter time.Duration       // delay after first, before requests for all addresses are sent
	scanned   throttle
	scanErr   error // why they cannot be sent
}

var _ strategy.Source = (*Neighbours)(nil)

// NewNeighbours returns the source for a clone. Requests for all addresses of the
// network are sent from scanAfter on.
func NewNeighbours(conn *libvirt.Connect, check *Check, scanAfter time.Duration) *Neighbours {
	return &Neighbours{conn: conn, check: check, scanAfter: scanAfter}
}

// String names the source.
func (n *Neighbours) String() string { return "the hypervisor's neighbour table" }

// Intervals between checks of earlier addresses, and between scans of the network.
const (
	echoPause = 300 * time.Millisecond
	scanPause = 2 * time.Second // at first
)

// scanPauseAfter returns the interval between scans of the network by a clone that has waited
// for so long. It grows, as every guest of the network receives the requests.
func scanPauseAfter(waited time.Duration) time.Duration { return max(scanPause, waited/4) }

// Addresses returns the known addresses of the clone's interface. It fails with a
// [strategy.ErrNotYet] that says what is missing.
func (n *Neighbours) Addresses(ctx context.Context, mac net.HardwareAddr) ([]netip.Addr, error) {
	table, err := n.Table(ctx, mac)
	if err != nil {
		return nil, err
	}
	if n.earlier == nil {
		n.earlier, n.first = map[netip.Addr]bool{}, time.Now()
		for _, addr := range table {
			n.earlier[addr] = true
		}
	}
	echo := n.echoed.due(echoPause)
	var found []netip.Addr
	for _, addr := range table {
		if !n.earlier[addr] || (echo && n.check.cloneAnswers(ctx, addr)) {
			found = append(found, addr)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	if addr := n.scan(ctx, mac); addr.IsValid() {
		return []netip.Addr{addr}, nil
	}
	return nil, strategy.NotYet("%v has not seen %s%s", n, mac, n.advice())
}

// scan sends ARP requests for all addresses of the clone's network, if that is possible.
func (n *Neighbours) scan(ctx context.Context, mac net.HardwareAddr) netip.Addr {
	waited := time.Since(n.first)
	if n.check.link == "" || n.scanErr != nil || waited < n.scanAfter || !n.scanned.due(scanPauseAfter(waited)) {
		return netip.Addr{}
	}
	addr, err := probe.Scan(ctx, n.check.link, mac)
	n.scanErr = err
	return addr
}

// advice returns what to do about a guest that is in no table.
func (n *Neighbours) advice() string {
	const other = "use ipLookupStrategy = agent, or SSH with a command for the network's DHCP server"
	link := n.check.clone.Segment()
	switch {
	case n.check.link == "":
		return fmt.Sprintf(": a guest that has not talked to the hypervisor's machine is not in the table: %s", other)
	case errors.Is(n.scanErr, os.ErrPermission):
		return fmt.Sprintf(": a guest that has not talked to this machine is not in the table, and this process may not send ARP requests to find it: run it as root (or with CAP_NET_RAW), or %s", other)
	case errors.Is(n.scanErr, probe.ErrTooLarge):
		return fmt.Sprintf(": a guest that has not talked to this machine is not in the table, and the network of %s is too large to ask for all of its addresses: %s", link, other)
	case errors.Is(n.scanErr, probe.ErrNotOnLink):
		return fmt.Sprintf(": a guest that has not talked to this machine is not in the table, and this machine has no IPv4 address on %s to send ARP requests from: %s", link, other)
	case n.scanErr != nil:
		return fmt.Sprintf(": %v", n.scanErr)
	case n.scanned.last.IsZero():
		return ""
	}
	return fmt.Sprintf(", and the guest has not answered ARP requests for all addresses of %s", link)
}

// Table reads the addresses of an interface. The table of this machine is read from the
// kernel: libvirt before 10.3 reads only a part of it, and later versions have been seen
// to find nothing. Entries of other networks do not count: an earlier clone with the same
// MAC address may have been there.
func (n *Neighbours) Table(ctx context.Context, mac net.HardwareAddr) ([]netip.Addr, error) {
	if n.check.link != "" {
		table, err := probe.Neighbours(n.check.link)
		return addressesOf(table, mac), err
	}
	if !n.ByCommand {
		found, err := interfaceAddresses(ctx, n.conn, n.check.clone.Name, mac, libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_ARP)
		switch {
		case virt.IsCode(err, libvirt.ERR_NO_DOMAIN, libvirt.ERR_OPERATION_INVALID):
			return nil, strategy.NotYet("%v", err)
		case virt.IsCode(err, libvirt.ERR_INTERNAL_ERROR, libvirt.ERR_NO_SUPPORT):
			n.ByCommand = true
		case err != nil || len(found) > 0 || n.byLibvirt:
			return found, err
		}
	}
	text, err := n.check.Gateway.Run(ctx, NeighbourCommand)
	if err != nil && !n.ByCommand {
		n.byLibvirt = ctx.Err() == nil
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the neighbour table: %w", err)
	}
	return parseNeighbours(text, mac), nil
}

func addressesOf(table []probe.Neighbour, mac net.HardwareAddr) []netip.Addr {
	var found []netip.Addr
	for _, n := range table {
		if n.MAC.String() == mac.String() {
			found = append(found, n.Addr)
		}
	}
	return found
}

// NeighbourCommand prints the neighbour table.
const NeighbourCommand = "ip neighbour"

// parseNeighbours parses lines such as
//
//	192.168.122.195 dev virbr0 lladdr 52:54:00:7a:29:db REACHABLE
//
// Entries without an answer have no lladdr, or the word FAILED at the end.
func parseNeighbours(table string, mac net.HardwareAddr) []netip.Addr {
	var found []netip.Addr
	for line := range strings.Lines(table) {
		words := strings.Fields(line)
		for n, word := range words {
			if word != "lladdr" || n+1 >= len(words) || !strings.EqualFold(words[n+1], mac.String()) || words[len(words)-1] == "FAILED" {
				continue
			}
			if addr, err := netip.ParseAddr(words[0]); err == nil {
				found = append(found, addr)
			}
		}
	}
	return found
}
