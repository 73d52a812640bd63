package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
)

// agent asks the guest agent of a domain.
type agent struct {
	conn   *libvirt.Connect
	domain string
}

var _ strategy.Source = agent{}

func (a agent) String() string { return "the guest agent of domain " + a.domain }

// Addresses asks the agent. It may start late in the guest's boot; until then
// libvirt's error is an [strategy.ErrNotYet].
func (a agent) Addresses(ctx context.Context, mac net.HardwareAddr) ([]netip.Addr, error) {
	found, err := interfaceAddresses(ctx, a.conn, a.domain, mac, libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
	return found, agentError(err)
}

// agentError explains an error of libvirt's. Only an agent that does not answer
// may be missing in the guest; libvirt also fails for a domain that does not run
// and for a connection that is lost.
func agentError(err error) error {
	var from libvirt.Error
	switch {
	case isCode(err, libvirt.ERR_AGENT_UNRESPONSIVE):
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
	err := bounded(ctx, conn, func() error {
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
		return nil, fmt.Errorf("asking about domain %s: %w", name, said(err))
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
