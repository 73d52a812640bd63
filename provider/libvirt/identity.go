package libvirt

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// seed is what the UUID and the MAC addresses of a clone are made from. Clones
// with the same seed, one after the other, are the same machine to a network.
type seed string

// staticSeed is that of the clone with a static address.
func staticSeed(address netip.Addr) seed {
	return seed("static address " + address.Unmap().String())
}

// uuid is version 8 of RFC 9562, which leaves the other bits to its user.
func (s seed) uuid() string {
	sum := s.hash("")
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// mac is in the block of QEMU and KVM. part tells the interfaces of a clone
// apart.
func (s seed) mac(part string) net.HardwareAddr {
	sum := s.hash(part)
	return net.HardwareAddr{0x52, 0x54, 0, sum[0], sum[1], sum[2]}
}

func (s seed) hash(part string) [sha256.Size]byte {
	return sha256.Sum256([]byte("overcast " + string(s) + part))
}

// setIdentity gives a clone the UUID and the MAC addresses of a seed.
func (c *clone) setIdentity(s seed) {
	c.uuid, c.definition.UUID = s.uuid(), s.uuid()
	if c.ownTPM != "" {
		c.ownTPM = path.Join(path.Dir(path.Dir(c.ownTPM)), c.uuid, path.Base(c.ownTPM))
	}
	interfaces := c.definition.Devices.Interfaces
	lookedUp := c.mac
	for n := range interfaces {
		mac := s.mac(fmt.Sprintf(" interface %d", n))
		if lookedUp != nil && strings.EqualFold(interfaces[n].MAC.Address, lookedUp.String()) {
			mac = s.mac("")
			c.mac = mac
		}
		interfaces[n].MAC = &libvirtxml.DomainInterfaceMAC{Address: mac.String()}
	}
}

// isUUIDConflict reports whether libvirt has refused a domain because another
// one, which may be gone by now, had its UUID.
func isUUIDConflict(err error, uuid string) bool {
	return isCode(err, libvirt.ERR_OPERATION_FAILED) && strings.Contains(err.Error(), uuid)
}
