package libvirt

import (
	"context"
	"fmt"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
)

// strategy is the one that the configuration asks for. What it cannot work
// with is refused here, before anything is made.
func (i *instance) strategy(conn *libvirt.Connect, c *clone) (strategy.Strategy, error) {
	if i.config.Lookup == lookupStatic {
		return strategy.Static{IP: i.config.Static.IP}, nil
	}
	if c.mac == nil {
		return nil, fmt.Errorf("base domain %q has no network interface, and so no address that could be looked up", i.config.BaseDomain)
	}
	if i.config.Lookup == lookupSSH {
		from, err := ssh.ParseURL(i.config.SSH.URL)
		return strategy.SSH{Target: from, Command: i.config.SSH.Command, Timeout: i.config.SSH.Timeout}, err
	}
	network, err := leasingNetwork(conn, c.network)
	if err != nil {
		return nil, err
	}
	return strategy.Lease{Source: network}, nil
}

// findAddress waits for the address for as long as the domain runs.
func (i *instance) findAddress(ctx context.Context, c *clone, find strategy.Strategy) error {
	asked := ctx
	if i.config.Lookup != lookupSSH { // which has a timeout of its own
		limit := i.config.AddressTimeout
		var cancel func()
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("addressTimeout of %v is over", limit))
		defer cancel()
	}
	ctx, unwatch := i.Watch(ctx)
	defer unwatch()
	var err error
	i.address, err = find.Address(ctx, c.mac)
	if err != nil && asked.Err() != nil {
		return fmt.Errorf("looking for the address of domain %s: %w", c.name, err) // nobody waits for it any more
	}
	if err != nil {
		heard := ""
		if i.Ended() == nil { // or else the cause tells
			heard = quoted("the last lines of its console", i.Console(shownLines))
		}
		return fmt.Errorf("%w: domain %s: %w%s", fixture.ErrAddressNotFound, c.name, err, heard)
	}
	return nil
}
