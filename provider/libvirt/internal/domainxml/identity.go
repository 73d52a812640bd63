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

// Seed determines the UUID and the MAC addresses of a clone. Successive clones with the
// same seed are the same machine to a network.
type Seed string

// StaticSeed returns the seed of a clone with a static address.
func StaticSeed(address netip.Addr) Seed {
	return Seed("static address " + address.Unmap().String())
}

// UUID returns the UUID (RFC 9562, version 8).
func (s Seed) UUID() string {
	sum := s.hash("")
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// MAC returns a MAC address with the prefix of QEMU and KVM. part distinguishes the
// interfaces of a clone.
func (s Seed) MAC(part string) net.HardwareAddr {
	sum := s.hash(part)
	return net.HardwareAddr{0x52, 0x54, 0, sum[0], sum[1], sum[2]}
}

func (s Seed) hash(part string) [sha256.Size]byte {
	return sha256.Sum256([]byte("overcast " + string(s) + part))
}

// SetIdentity sets the UUID and the MAC addresses of the clone to those of a seed. The
// MAC address of an interface does not depend on which interface is looked up.
func (c *Clone) SetIdentity(s Seed) {
	c.UUID, c.Definition.UUID = s.UUID(), s.UUID()
	if c.TPMDir != "" {
		c.TPMDir = path.Join(path.Dir(path.Dir(c.TPMDir)), c.UUID, path.Base(c.TPMDir))
	}
	for n, mac := range c.MACsOf(s) {
		c.setMAC(&c.Definition.Devices.Interfaces[n], mac)
	}
}

// MACsOf returns the MAC addresses that the interfaces of the clone have with a seed.
func (c *Clone) MACsOf(s Seed) (macs []net.HardwareAddr) {
	for n := range c.Definition.Devices.Interfaces {
		macs = append(macs, s.MAC(fmt.Sprintf(" interface %d", n)))
	}
	return macs
}

// SetStaticIdentity sets the identity of a clone with a static address. The interface
// that is looked up gets the MAC address of the static address, in all bases.
func (c *Clone) SetStaticIdentity(address netip.Addr) {
	s := StaticSeed(address)
	c.SetIdentity(s)
	interfaces := c.Definition.Devices.Interfaces
	for n := range interfaces {
		if c.isLookedUp(&interfaces[n]) {
			c.setMAC(&interfaces[n], s.MAC(""))
			return
		}
	}
}

func (c *Clone) isLookedUp(i *libvirtxml.DomainInterface) bool {
	return c.MAC != nil && strings.EqualFold(i.MAC.Address, c.MAC.String())
}

// setMAC sets the MAC address of an interface, and of the clone if it is the one that is
// looked up.
func (c *Clone) setMAC(i *libvirtxml.DomainInterface, mac net.HardwareAddr) {
	if c.isLookedUp(i) {
		c.MAC = mac
	}
	i.MAC = &libvirtxml.DomainInterfaceMAC{Address: mac.String()}
}

// IsUUIDConflict reports whether libvirt refused a domain because another domain, which
// may no longer exist, had its UUID.
func IsUUIDConflict(err error, uuid string) bool {
	return virt.IsCode(err, libvirt.ERR_OPERATION_FAILED) && strings.Contains(err.Error(), uuid)
}
