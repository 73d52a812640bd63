package domainxml

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strings"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// seed is what the UUID and the MAC addresses of a clone are made from. Clones
// with the same seed, one after the other, are the same machine to a network.
type Seed string

// staticSeed is that of the clone with a static address.
func StaticSeed(address netip.Addr) Seed {
	return Seed("static address " + address.Unmap().String())
}

// uuid is version 8 of RFC 9562, which leaves the other bits to its user.
func (s Seed) UUID() string {
	sum := s.hash("")
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// mac is in the block of QEMU and KVM. part tells the interfaces of a clone
// apart.
func (s Seed) MAC(part string) net.HardwareAddr {
	sum := s.hash(part)
	return net.HardwareAddr{0x52, 0x54, 0, sum[0], sum[1], sum[2]}
}

func (s Seed) hash(part string) [sha256.Size]byte {
	return sha256.Sum256([]byte("overcast " + string(s) + part))
}

// SetIdentity gives a clone the UUID and the MAC addresses of a seed. An interface
// has the same MAC address whichever of them is looked up: the networks of a base
// keep their leases apart.
func (c *Clone) SetIdentity(s Seed) {
	c.UUID, c.Definition.UUID = s.UUID(), s.UUID()
	if c.OwnTPM != "" {
		c.OwnTPM = path.Join(path.Dir(path.Dir(c.OwnTPM)), c.UUID, path.Base(c.OwnTPM))
	}
	c.setMACs(func(n int, _ bool) net.HardwareAddr { return s.MAC(fmt.Sprintf(" interface %d", n)) })
}

// SetStaticIdentity is SetIdentity for a static address. The interface that is
// looked up has the MAC address of that address, in whatever base it is.
func (c *Clone) SetStaticIdentity(address netip.Addr) {
	s := StaticSeed(address)
	c.SetIdentity(s)
	c.setMACs(func(n int, lookedUp bool) net.HardwareAddr {
		if lookedUp {
			return s.MAC("")
		}
		return s.MAC(fmt.Sprintf(" interface %d", n))
	})
}

// setMACs sets the MAC addresses of all interfaces.
func (c *Clone) setMACs(of func(n int, lookedUp bool) net.HardwareAddr) {
	interfaces, before := c.Definition.Devices.Interfaces, c.MAC.String()
	for n := range interfaces {
		lookedUp := c.MAC != nil && strings.EqualFold(interfaces[n].MAC.Address, before)
		mac := of(n, lookedUp)
		if lookedUp {
			c.MAC = mac
		}
		interfaces[n].MAC = &libvirtxml.DomainInterfaceMAC{Address: mac.String()}
	}
}

// isUUIDConflict reports whether libvirt has refused a domain because another
// one, which may be gone by now, had its UUID.
func IsUUIDConflict(err error, uuid string) bool {
	return virt.IsCode(err, libvirt.ERR_OPERATION_FAILED) && strings.Contains(err.Error(), uuid)
}
