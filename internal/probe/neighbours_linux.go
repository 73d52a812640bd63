package probe

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Neighbours reads the entries of the interface named link in the neighbour table of
// this machine's kernel, for IPv4 and IPv6. It reads all entries if this machine has no
// address on that interface, as it then reaches the network through another one. No
// privileges are needed.
func Neighbours(link string) ([]Neighbour, error) {
	at, err := net.InterfaceByName(link)
	if err != nil {
		return nil, fmt.Errorf("reading the neighbour table of %s: %w", link, err)
	}
	table, err := neighbours()
	if len(prefixes(*at)) == 0 {
		return table, err
	}
	return slices.DeleteFunc(table, func(n Neighbour) bool { return n.Link != at.Index }), err
}

// neighbours reads the whole table.
func neighbours() ([]Neighbour, error) {
	var table []Neighbour
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		answer, err := syscall.NetlinkRIB(unix.RTM_GETNEIGH, family)
		if err != nil {
			return nil, fmt.Errorf("reading the neighbour table: %w", err)
		}
		messages, err := syscall.ParseNetlinkMessage(answer)
		if err != nil {
			return nil, fmt.Errorf("reading the neighbour table: %w", err)
		}
		for _, m := range messages {
			if n, ok := neighbour(m); ok {
				table = append(table, n)
			}
		}
	}
	return table, nil
}

// Sizes of the header of a neighbour message, and of that of an attribute.
const (
	neighbourHeader = 12
	attributeHeader = 4
)

// noNeighbour are the states of entries that have not been resolved, and of
// multicast addresses.
const noNeighbour = unix.NUD_FAILED | unix.NUD_INCOMPLETE | unix.NUD_NOARP

// neighbour reads one entry; ok is false for one that has no MAC address.
func neighbour(m syscall.NetlinkMessage) (n Neighbour, ok bool) {
	if m.Header.Type != unix.RTM_NEWNEIGH || len(m.Data) < neighbourHeader {
		return n, false
	}
	n.Link = int(int32(binary.NativeEndian.Uint32(m.Data[4:])))
	state := binary.NativeEndian.Uint16(m.Data[8:])
	n.Confirmed = state&(unix.NUD_REACHABLE|unix.NUD_PERMANENT) != 0
	for rest := m.Data[neighbourHeader:]; len(rest) >= attributeHeader; {
		length := int(binary.NativeEndian.Uint16(rest))
		if length < attributeHeader || length > len(rest) {
			break
		}
		value := rest[attributeHeader:length]
		switch binary.NativeEndian.Uint16(rest[2:]) {
		case unix.NDA_DST:
			n.Addr, _ = netip.AddrFromSlice(value)
		case unix.NDA_LLADDR:
			n.MAC = net.HardwareAddr(append([]byte(nil), value...))
		}
		rest = rest[min((length+3)&^3, len(rest)):]
	}
	return n, n.Addr.IsValid() && n.MAC != nil && state&noNeighbour == 0
}
