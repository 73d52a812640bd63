package libvirt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/overcast-go/overcast/provider"
	"libvirt.org/go/libvirt"
)

// make makes the overlays and starts the clone. Every step is recorded before
// it is taken.
func (i *instance) make(ctx context.Context, on *connection, c *clone) error {
	starting := false
	defer func() {
		if !starting {
			i.releaseMemory()
		}
	}()
	if err := i.folders.sync(ctx, on.conn); err != nil {
		return err
	}
	if i.need.bytes > 0 && !i.memory.isFor(i.label) {
		if err := reserveFor(ctx, []*instance{i}, func() {}); err != nil {
			return err
		}
	}
	starting = true
	return i.bringUp(ctx, on, c, i.launch, i.releaseMemory)
}

// bringUp makes the overlays and has the clone launched. Then, or when it has
// come to nothing, launched is called: that is after bringUp has given up where
// libvirt goes on starting the clone.
func (i *instance) bringUp(ctx context.Context, on *connection, c *clone, launch launcher, launched func()) error {
	launching := false
	defer func() {
		if !launching {
			launched()
		}
	}()
	if err := i.makeOverlays(ctx, on.conn, c); err != nil {
		return err
	}
	provider.Report(ctx, provider.StepCloned, c.name)
	w := newDomainWatcher(on, c.name, domainState{phase: phaseStarting})
	i.setWatcher(w)
	launching = true
	err := i.start(ctx, on.conn, c, w, func(ctx context.Context) error {
		defer launched()
		return launch(ctx, on.conn, c, w)
	})
	if err != nil {
		return fmt.Errorf("starting domain %s: %w", c.name, said(err))
	}
	provider.Report(ctx, provider.StepStarted, "")
	return nil
}

func (i *instance) makeOverlays(ctx context.Context, conn *libvirt.Connect, c *clone) error {
	for n := range c.overlays {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := makeOverlay(conn, i.undo, &c.overlays[n]); err != nil {
			return err
		}
	}
	return nil
}

// start starts the clone, for as long as libvirtStartTimeout says.
func (i *instance) start(ctx context.Context, conn *libvirt.Connect, c *clone, w *domainWatcher, launch func(context.Context) error) error {
	limit := i.config.StartTimeout
	late := fmt.Errorf("libvirtStartTimeout of %v expired", limit)
	within, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	within, unwatch := provider.WatchSetUp(within, i)
	defer unwatch()
	err := i.startWithin(within, c, w, launch)
	if errors.Is(err, late) {
		return fmt.Errorf("%w, and %s: raise libvirtStartTimeout, or check the hypervisor's load and QEMU's log", err, stateNow(ctx, conn, c.name))
	}
	return err
}

// stateNow is for people: what libvirt says of a domain, if it still answers.
func stateNow(ctx context.Context, conn *libvirt.Connect, name string) string {
	ctx, cancel := context.WithTimeout(ctx, lastCall)
	defer cancel()
	found := make(chan libvirt.DomainState, 1)
	err := bounded(ctx, conn, func() error {
		state, _, err := stateOf(conn, name)
		found <- state
		return err
	})
	switch {
	case err == nil:
		return "the domain is " + stateName(<-found)
	case isCode(err, libvirt.ERR_NO_DOMAIN):
		return "libvirt has not made the domain yet"
	}
	return fmt.Sprintf("the domain's state is unknown: %v", said(err))
}

// startWithin starts the clone and waits until libvirt says that it runs.
func (i *instance) startWithin(ctx context.Context, c *clone, w *domainWatcher, launch func(context.Context) error) error {
	var launching *call
	// Undoing waits until libvirt has started the domain, or has failed to, so
	// that nothing comes up behind its back.
	i.undo.record("domain "+c.name, func(ctx context.Context, conn *libvirt.Connect) error {
		if !launching.await(ctx) {
			return fmt.Errorf("it is still being started: %w", context.Cause(ctx))
		}
		return removeDomain(conn, c.name)
	})
	launching = begin(func() error { return launch(ctx) })
	if !launching.await(ctx) {
		return context.Cause(ctx)
	}
	if launching.err != nil {
		return launching.err
	}
	select {
	case <-w.started:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// launcher is [instance.launch].
type launcher func(context.Context, *libvirt.Connect, *clone, *domainWatcher) error

// launch brings the domain up. It is held at its first instruction until
// nothing is left to be lost: by then its files have no names any more, and
// somebody listens to its console.
func (i *instance) launch(ctx context.Context, conn *libvirt.Connect, c *clone, w *domainWatcher) error {
	domain, err := i.create(ctx, conn, c)
	if err != nil {
		return err
	}
	defer domain.Free()
	if i.config.Overlay == overlayAnonymous {
		if err := makeAnonymous(conn, domain, c); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// A clone whose console nobody can open runs as well without: what is wrong
	// with the connection, the next call tells.
	if heard, err := openConsole(conn, domain); err == nil && heard != nil {
		w.setConsole(heard)
	}
	return domain.Resume()
}

// create starts the domain, paused. One whose firmware or TPM has state of its
// own is defined before: libvirt takes that state away with the definition.
func (i *instance) create(ctx context.Context, conn *libvirt.Connect, c *clone) (*libvirt.Domain, error) {
	flags := libvirt.DOMAIN_START_PAUSED
	if i.config.KeepPolicy() == provider.KeepNever {
		flags |= libvirt.DOMAIN_START_AUTODESTROY
	}
	if !c.needsDefinition() {
		text, err := c.definition.Marshal()
		if err != nil {
			return nil, err
		}
		return conn.DomainCreateXML(text, flags)
	}
	domain, err := define(conn, c)
	if err != nil {
		return nil, err
	}
	if c.tpm != "" {
		// The copy goes with the clone's definition, which is recorded by now.
		if err := copyFolder(ctx, conn, i.undo, c.name+"-tpm", c.tpm, c.ownTPM); err != nil {
			_ = domain.Free()
			return nil, fmt.Errorf("copying TPM state: %w", err)
		}
	}
	err = domain.CreateWithFlags(flags)
	if c.isMissingVariables(err) {
		_ = domain.Free()
		c.bootFresh()
		if domain, err = define(conn, c); err != nil {
			return nil, err
		}
		err = domain.CreateWithFlags(flags)
	}
	if err != nil {
		_ = domain.Free()
		return nil, err
	}
	return domain, nil
}

func define(conn *libvirt.Connect, c *clone) (*libvirt.Domain, error) {
	text, err := c.definition.Marshal()
	if err != nil {
		return nil, err
	}
	domain, err := conn.DomainDefineXML(text)
	if err != nil {
		return nil, fmt.Errorf("defining it: %w", said(err))
	}
	return domain, nil
}

// makeAnonymous takes the names of the clone's files away. QEMU has them open:
// their space is freed when it ends, however it ends.
func makeAnonymous(conn *libvirt.Connect, domain *libvirt.Domain, c *clone) error {
	for n := range c.overlays {
		o := &c.overlays[n]
		if err := deleteVolume(conn, o.pool, o.volume); err != nil {
			return fmt.Errorf("making volume %s in pool %s anonymous: %w", o.volume, o.pool, said(err))
		}
		o.anonymous.Store(true)
	}
	if !c.needsDefinition() {
		return nil
	}
	if err := undefine(domain); err != nil {
		return fmt.Errorf("making its UEFI variables anonymous: %w", said(err))
	}
	return nil
}

// askToShutDown gives the guest's system time to shut itself down. A guest that
// does not run cannot.
func (i *instance) askToShutDown(ctx context.Context, limit time.Duration) {
	w := i.getWatcher()
	if _, outage := i.Outage(); limit <= 0 || w == nil || outage != nil {
		return
	}
	conn := i.on.conn
	err := bounded(ctx, conn, func() error {
		domain, err := conn.LookupDomainByName(w.domain)
		if err != nil {
			return err
		}
		defer domain.Free()
		return domain.Shutdown()
	})
	if err != nil {
		return // destroying it tells why
	}
	select {
	case <-w.ended:
	case <-time.After(limit):
	case <-ctx.Done():
	}
}
