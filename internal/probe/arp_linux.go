package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// How often a request is sent, in case one is lost.
const resend = 300 * time.Millisecond

// resolve asks for the owner of an address, as a machine does that has none
// itself yet (RFC 5227): nobody's cache learns anything from that. It needs
// CAP_NET_RAW.
func resolve(ctx context.Context, i net.Interface, addr netip.Addr) (net.HardwareAddr, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(swap(unix.ETH_P_ARP)))
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swap(unix.ETH_P_ARP), Ifindex: i.Index}); err != nil {
		return nil, err
	}
	everybody := &unix.SockaddrLinklayer{Protocol: swap(unix.ETH_P_ARP), Ifindex: i.Index, Halen: 6, Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	var sent time.Time
	packet := make([]byte, 256)
	for ctx.Err() == nil {
		if time.Since(sent) >= resend {
			if err := unix.Sendto(fd, request(i.HardwareAddr, addr), 0, everybody); err != nil {
				return nil, err
			}
			sent = time.Now()
		}
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 20)
		if err == unix.EINTR || ready == 0 {
			continue
		}
		if err != nil {
			return nil, err
		}
		n, _, err := unix.Recvfrom(fd, packet, unix.MSG_DONTWAIT)
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			return nil, err
		}
		if mac := sender(packet[:max(n, 0)], addr); mac != nil && !bytes.Equal(mac, i.HardwareAddr) {
			return mac, nil
		}
	}
	return nil, nil
}

// The parts of an ARP packet for IPv4 on Ethernet (RFC 826).
const (
	arpLength   = 28
	arpSender   = 8
	arpSenderIP = 14
	arpTargetIP = 24
)

var arpHeader = []byte{0, 1, 8, 0, 6, 4} // Ethernet, IPv4, and the lengths of their addresses

func request(from net.HardwareAddr, addr netip.Addr) []byte {
	packet := make([]byte, arpLength)
	copy(packet, arpHeader)
	packet[7] = 1 // request
	copy(packet[arpSender:], from)
	ip := addr.As4()
	copy(packet[arpTargetIP:], ip[:])
	return packet
}

// sender is who sent a packet, if it speaks for the address.
func sender(packet []byte, addr netip.Addr) net.HardwareAddr {
	ip := addr.As4()
	if len(packet) < arpLength || !bytes.HasPrefix(packet, arpHeader) || !bytes.Equal(packet[arpSenderIP:arpSenderIP+4], ip[:]) {
		return nil
	}
	return bytes.Clone(packet[arpSender : arpSender+6])
}

// swap is a protocol's number in the order of the network.
func swap(protocol uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, protocol))
}
