package libvirt

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/mount"
	"libvirt.org/go/libvirt"
)

// instance is one clone, from its plan to its removal.
type instance struct {
	label  string
	config Config
	pool   *connections
	undo   *undo

	conn    *libvirt.Connect // while the clone lives: it lives no longer than this
	release func()

	address netip.Addr
}

var _ fixture.Instance = (*instance)(nil)

func (i *instance) Settings() fixture.Common { return i.config.Common }

// Address is the IP address that was found.
func (i *instance) Address() string { return i.address.String() }

// SetUp clones and boots, and finds the address.
func (i *instance) SetUp(ctx context.Context) error {
	conn, err := i.connect(ctx)
	if err != nil {
		return err
	}
	base, err := readBase(conn, i.config.URL, i.config.BaseDomain)
	if err != nil {
		return err
	}
	c, err := planClone(base, i.label, i.config.Network)
	if err != nil {
		return err
	}
	mount.Apply(c.definition, i.config.FSMapping)
	find, err := i.strategy(conn, c)
	if err != nil {
		return err
	}
	if err := i.make(ctx, conn, c); err != nil {
		return fmt.Errorf("cloning %q: %w", i.config.BaseDomain, err)
	}
	return i.findAddress(ctx, conn, c, find)
}

// connect answers with a connection that works: the one that there is, or a
// new one when that has been lost.
func (i *instance) connect(ctx context.Context) (*libvirt.Connect, error) {
	if i.conn != nil {
		if alive, err := i.conn.IsAlive(); err == nil && alive {
			return i.conn, nil
		}
		i.disconnect()
	}
	conn, release, err := i.pool.acquire(ctx, i.config.URL)
	if err != nil {
		return nil, err
	}
	i.conn, i.release = conn, release
	return conn, nil
}

func (i *instance) disconnect() {
	if i.conn != nil {
		i.release()
		i.conn, i.release = nil, nil
	}
}

// TearDown takes away what SetUp made. The connection goes last, and stays as
// long as there is something that could not be taken away.
func (i *instance) TearDown(ctx context.Context) error {
	if !i.undo.empty() {
		conn, err := i.connect(ctx)
		if err != nil {
			return err
		}
		if err := i.undo.run(ctx, conn); err != nil {
			return err
		}
	}
	i.disconnect()
	return nil
}

// make makes the overlays and starts the clone.
func (i *instance) make(ctx context.Context, conn *libvirt.Connect, c *clone) error {
	for n := range c.overlays {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := makeOverlay(conn, i.undo, &c.overlays[n]); err != nil {
			return err
		}
	}
	if err := i.start(ctx, conn, c); err != nil {
		return err
	}
	if i.config.Overlay == overlayFile {
		return nil
	}
	// QEMU has the overlays open: what they are called is of no more use.
	for _, o := range c.overlays {
		if err := deleteVolume(conn, o.pool, o.volume); err != nil {
			return fmt.Errorf("making volume %s in pool %s anonymous: %w", o.volume, o.pool, said(err))
		}
	}
	return nil
}

// start starts the clone, for as long as libvirtStartTimeout says.
func (i *instance) start(ctx context.Context, conn *libvirt.Connect, c *clone) error {
	text, err := c.definition.Marshal()
	if err != nil {
		return fmt.Errorf("writing the definition of domain %s: %w", c.name, err)
	}
	var failed error
	over := make(chan struct{}) // closed once the domain is started, or failed is set
	// libvirt cannot be told to stop starting a domain: undoing waits until it
	// has, so that nothing comes up behind its back.
	i.undo.record("domain "+c.name, func(ctx context.Context, conn *libvirt.Connect) error {
		select {
		case <-over:
			return destroyDomain(conn, c.name)
		case <-ctx.Done():
			return fmt.Errorf("it is still being started: %w", context.Cause(ctx))
		}
	})
	go func() {
		defer close(over)
		var domain *libvirt.Domain
		if domain, failed = conn.DomainCreateXML(text, libvirt.DOMAIN_START_AUTODESTROY); failed == nil {
			failed = domain.Free()
		}
	}()
	limit := i.config.StartTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("libvirtStartTimeout of %v is over", limit))
	defer cancel()
	select {
	case <-over:
		err = failed
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("starting domain %s: %w", c.name, said(err))
	}
	return nil
}

// destroyDomain ends a clone; one that is gone already is no error.
func destroyDomain(conn *libvirt.Connect, name string) error {
	domain, err := conn.LookupDomainByName(name)
	if isCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil
	}
	if err != nil {
		return err
	}
	defer domain.Free()
	// A transient domain is gone once it is destroyed. It may also have ended
	// between the two calls.
	if err := domain.Destroy(); err != nil && !isCode(err, libvirt.ERR_NO_DOMAIN, libvirt.ERR_OPERATION_INVALID) {
		return err
	}
	return nil
}
