package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// How often a request is sent, in case one is lost.
const resend = 300 * time.Millisecond

// pollInterval is how often a listener looks at its context, in milliseconds.
const pollInterval = 20

// arpSocket sends and receives ARP packets on one interface. It needs
// CAP_NET_RAW.
type arpSocket struct {
	fd     int
	link   net.Interface
	packet [256]byte
}

func openARP(link net.Interface) (*arpSocket, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(swap(unix.ETH_P_ARP)))
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swap(unix.ETH_P_ARP), Ifindex: link.Index}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &arpSocket{fd: fd, link: link}, nil
}

func (s *arpSocket) close() { unix.Close(s.fd) }

// ask broadcasts a request for an address. The sender address of the request is
// the interface's own: a request without one is a probe (RFC 5227), which makes
// a machine that is just about to take the address decline it.
func (s *arpSocket) ask(from, addr netip.Addr) error {
	broadcast := &unix.SockaddrLinklayer{Protocol: swap(unix.ETH_P_ARP), Ifindex: s.link.Index, Halen: 6, Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	return unix.Sendto(s.fd, request(s.link.HardwareAddr, from, addr), 0, broadcast)
}

// receive waits for a packet, for at most pollInterval. The MAC address is nil
// if none has come.
func (s *arpSocket) receive(limit time.Duration) (net.HardwareAddr, netip.Addr, error) {
	wait := min(max(int(limit.Milliseconds()), 1), pollInterval)
	ready, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, wait)
	if err == unix.EINTR || ready == 0 {
		return nil, netip.Addr{}, nil
	}
	if err != nil {
		return nil, netip.Addr{}, err
	}
	n, _, err := unix.Recvfrom(s.fd, s.packet[:], unix.MSG_DONTWAIT)
	if err != nil && err != unix.EAGAIN && err != unix.EINTR {
		return nil, netip.Addr{}, err
	}
	mac, addr := sender(s.packet[:max(n, 0)])
	if bytes.Equal(mac, s.link.HardwareAddr) {
		return nil, netip.Addr{}, nil
	}
	return mac, addr, nil
}

// answers collects the MAC addresses that answer for an address, until grace
// has passed since the first answer, or ctx ends.
func answers(ctx context.Context, link net.Interface, from, addr netip.Addr, grace time.Duration) ([]net.HardwareAddr, error) {
	s, err := openARP(link)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var found []net.HardwareAddr
	var sent, last time.Time
	for ctx.Err() == nil && (last.IsZero() || time.Now().Before(last)) {
		if time.Since(sent) >= resend {
			if err := s.ask(from, addr); err != nil {
				return found, err
			}
			sent = time.Now()
		}
		limit := time.Duration(pollInterval) * time.Millisecond
		if !last.IsZero() {
			limit = time.Until(last)
		}
		mac, of, err := s.receive(limit)
		if err != nil {
			return found, err
		}
		if mac == nil || of != addr {
			continue
		}
		if last.IsZero() {
			last = time.Now().Add(grace)
		}
		if !slices.ContainsFunc(found, func(m net.HardwareAddr) bool { return bytes.Equal(m, mac) }) {
			found = append(found, mac)
		}
	}
	return found, nil
}

// How a network is scanned: one request at a time, so that neither the bridge
// nor the machines on it lose any, and a moment for the last answers.
const (
	scanPause = time.Millisecond
	scanGrace = 100 * time.Millisecond
)

// scan sends requests for all addresses of a network, until the machine with a MAC
// address has sent an ARP packet with an address of its own: an answer, or a
// request.
func scan(ctx context.Context, link net.Interface, prefix netip.Prefix, mac net.HardwareAddr) (netip.Addr, error) {
	s, err := openARP(link)
	if err != nil {
		return netip.Addr{}, err
	}
	defer s.close()
	next, end := prefix.Masked().Addr(), time.Now()
	for ctx.Err() == nil && time.Since(end) < scanGrace {
		limit := scanGrace
		if prefix.Contains(next) {
			if err := s.ask(prefix.Addr(), next); err != nil {
				return netip.Addr{}, err
			}
			next, end, limit = next.Next(), time.Now(), scanPause
		}
		from, addr, err := s.receive(limit)
		if err != nil {
			return netip.Addr{}, err
		}
		if bytes.Equal(from, mac) && addr.IsGlobalUnicast() {
			return addr, nil
		}
	}
	return netip.Addr{}, nil
}

// The parts of an ARP packet for IPv4 on Ethernet (RFC 826).
const (
	arpLength   = 28
	arpSender   = 8
	arpSenderIP = 14
	arpTargetIP = 24
)

var arpHeader = []byte{0, 1, 8, 0, 6, 4} // Ethernet, IPv4, and the lengths of their addresses

func request(mac net.HardwareAddr, from, addr netip.Addr) []byte {
	packet := make([]byte, arpLength)
	copy(packet, arpHeader)
	packet[7] = 1 // request
	copy(packet[arpSender:], mac)
	own, ip := from.As4(), addr.As4()
	copy(packet[arpSenderIP:], own[:])
	copy(packet[arpTargetIP:], ip[:])
	return packet
}

// sender is the machine that sent a packet, and the address that it has.
func sender(packet []byte) (net.HardwareAddr, netip.Addr) {
	if len(packet) < arpLength || !bytes.HasPrefix(packet, arpHeader) {
		return nil, netip.Addr{}
	}
	return bytes.Clone(packet[arpSender : arpSender+6]), netip.AddrFrom4([4]byte(packet[arpSenderIP : arpSenderIP+4]))
}

// swap is a protocol's number in the order of the network.
func swap(protocol uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, protocol))
}
