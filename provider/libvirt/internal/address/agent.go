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

// agent asks the guest agent of a domain.
type Agent struct {
	Conn   *libvirt.Connect
	Domain string
}

var _ strategy.Source = Agent{}

func (a Agent) String() string { return "the guest agent of domain " + a.Domain }

// Addresses asks the agent. It may start late in the guest's boot; until then
// libvirt's error is an [strategy.ErrNotYet].
func (a Agent) Addresses(ctx context.Context, mac net.HardwareAddr) ([]netip.Addr, error) {
	found, err := interfaceAddresses(ctx, a.Conn, a.Domain, mac, libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
	return found, AgentError(err)
}

// agentError explains an error of libvirt's. Only an agent that does not answer
// may be missing in the guest; libvirt also fails for a domain that does not run
// and for a connection that is lost.
func AgentError(err error) error {
	var from libvirt.Error
	switch {
	case virt.IsCode(err, libvirt.ERR_AGENT_UNRESPONSIVE):
		return strategy.NotYet("the guest agent does not answer: check that qemu-guest-agent runs in the base domain's system (%v)", err)
	case errors.As(err, &from):
		return strategy.NotYet("the guest agent cannot be asked: %v", err)
	}
	return err
}

// interfaceAddresses has libvirt ask one of its sources about an interface of
// a domain.
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
		return nil, fmt.Errorf("asking about domain %s: %w", name, virt.StripCodes(err))
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
