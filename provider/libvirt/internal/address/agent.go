package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
)

// Agent reads addresses from the guest agent of a domain.
type Agent struct {
	Conn   *libvirt.Connect
	Domain string
}

var _ strategy.Source = Agent{}

// String names the source.
func (a Agent) String() string { return "the guest agent of domain " + a.Domain }

// Addresses reads the addresses of an interface. The agent may start late in the
// guest's boot: until then it fails with a [strategy.ErrNotYet].
func (a Agent) Addresses(ctx context.Context, mac net.HardwareAddr) ([]netip.Addr, error) {
	found, err := interfaceAddresses(ctx, a.Conn, a.Domain, mac, libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
	return found, AgentError(err)
}

// AgentError explains an error of libvirt's. Only if the agent does not answer may it
// be missing in the guest: libvirt also fails for a domain that does not run and for a
// lost connection.
func AgentError(err error) error {
	var from libvirt.Error
	switch {
	case virt.IsCode(err, libvirt.ERR_AGENT_UNRESPONSIVE):
		return strategy.NotYet("the guest agent does not answer: check that qemu-guest-agent runs in the base domain's system (%v)", err)
	case errors.As(err, &from):
		return strategy.NotYet("the guest agent cannot be reached: %v", err)
	}
	return err
}

// interfaceAddresses reads the addresses of an interface of a domain from one of
// libvirt's sources.
func interfaceAddresses(ctx context.Context, conn *libvirt.Connect, name string, mac net.HardwareAddr, source libvirt.DomainInterfaceAddressesSource) ([]netip.Addr, error) {
	type answer struct {
		interfaces []libvirt.DomainInterface
		err        error
	}
	answered := make(chan answer, 1)
	err := virt.WithContext(ctx, conn, func() error {
		domain, err := conn.LookupDomainByName(name)
		if err != nil {
			return err
		}
		defer domain.Free()
		interfaces, err := domain.ListAllInterfaceAddresses(source)
		answered <- answer{interfaces, err}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the addresses of domain %s: %w", name, virt.StripCodes(err))
	}
	var found []netip.Addr
	for _, i := range (<-answered).interfaces {
		if !strings.EqualFold(i.Hwaddr, mac.String()) {
			continue
		}
		for _, a := range i.Addrs {
			if addr, err := netip.ParseAddr(a.Addr); err == nil {
				found = append(found, addr)
			}
		}
	}
	return found, nil
}
