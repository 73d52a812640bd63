package libvirt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// create copies folders, reserves memory unless the batch has, creates the overlays and
// starts the clone. Every step is recorded before it is taken.
func (i *instance) create(ctx context.Context, on *virt.Connection, c *domainxml.Clone) error {
	starting := false
	defer func() {
		if !starting {
			i.releaseMemory()
		}
	}()
	i.guardClone(ctx)
	if err := i.folders.Sync(ctx, on.Conn); err != nil {
		return err
	}
	if i.need.Bytes > 0 && !i.memory.IsFor(i.label) {
		if err := reserveFor(ctx, []*instance{i}, func() {}); err != nil {
			return err
		}
	}
	starting = true
	return i.createAndStart(ctx, on, c, i.launch, i.releaseMemory)
}

// createAndStart creates the overlays and starts the clone. It calls launched when the
// launch has ended or will not happen, which may be after it has returned: libvirt may
// still be starting the clone after a timeout.
func (i *instance) createAndStart(ctx context.Context, on *virt.Connection, c *domainxml.Clone, launch launcher, launched func()) error {
	launching := false
	defer func() {
		if !launching {
			launched()
		}
	}()
	if err := i.makeOverlays(ctx, on.Conn, c); err != nil {
		return err
	}
	provider.Report(ctx, provider.StepCloned, c.Name)
	w := virt.NewDomainWatcher(on, c.Name, virt.DomainState{Phase: virt.PhaseStarting})
	w.OnLost(func() { i.guardAlways(context.Background()) })
	i.setWatcher(w)
	launching = true
	err := i.start(ctx, on.Conn, c, w, func(ctx context.Context) error {
		defer launched()
		return launch(ctx, on.Conn, c, w)
	})
	if err != nil {
		return fmt.Errorf("starting domain %s: %w", c.Name, virt.StripCodes(err))
	}
	provider.Report(ctx, provider.StepStarted, "")
	return nil
}

func (i *instance) makeOverlays(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone) error {
	for n := range c.Overlays {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		o := &c.Overlays[n]
		err := trace.Do(ctx, "create overlay of "+o.Target, func() error { return storage.CreateOverlay(conn, i.undo, o) })
		if err != nil {
			return err
		}
	}
	return i.createSeed(ctx, conn, c)
}

// start starts the clone and waits until libvirt reports that it runs, up to
// libvirtStartTimeout.
func (i *instance) start(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone, w *virt.DomainWatcher, launch func(context.Context) error) error {
	late := &startTimeoutError{i.config.StartTimeout}
	within, cancel := context.WithTimeoutCause(ctx, late.limit, late)
	defer cancel()
	within, unwatch := provider.WatchSetUp(within, i)
	defer unwatch()
	err := awaitStart(within, i.launchAsync(within, c, launch), w)
	if errors.As(err, new(*startTimeoutError)) {
		err = fmt.Errorf("%w, and %s: raise libvirtStartTimeout, or check the hypervisor's load and QEMU's log", err, stateNow(ctx, conn, c.Name))
		if i.warm.found != nil {
			err = notRestored(err) // reading the memory may take longer than a boot
		}
	}
	return err
}

// startTimeoutError reports that libvirt did not start a domain in time.
type startTimeoutError struct{ limit time.Duration }

func (e *startTimeoutError) Error() string {
	return fmt.Sprintf("libvirtStartTimeout of %v expired", e.limit)
}

// launchAsync launches the clone and records how to remove it. The removal waits until
// libvirt has started the domain or has failed to, so that no domain appears after it.
func (i *instance) launchAsync(ctx context.Context, c *domainxml.Clone, launch func(context.Context) error) *virt.PendingCall {
	var launching *virt.PendingCall
	i.undo.Record("domain "+c.Name, func(ctx context.Context, conn *libvirt.Connect) error {
		if !i.endLaunch(ctx, conn, c, launching) {
			return fmt.Errorf("it is still being started: %w", context.Cause(ctx))
		}
		i.replaceUnlinked(conn, c)
		return virt.RemoveDomain(conn, c.Name)
	})
	launching = virt.Async(func() error { return launch(ctx) })
	return launching
}

// endLaunch waits until libvirt has started the domain or has failed to, and reports whether that
// has happened before ctx ended. Reading the memory of a domain may take long: the domain is
// stopped, which ends it.
func (i *instance) endLaunch(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone, launching *virt.PendingCall) bool {
	for i.warm.restoresImage() && ctx.Err() == nil {
		if waitFor(ctx, stopAgain, launching.Await) {
			return true
		}
		i.replaceUnlinked(conn, c)
		_ = virt.StopDomain(conn, c.Name) // libvirt may not know it yet
	}
	return launching.Await(ctx)
}

// stopAgain is the time before each call that stops a domain that is being restored.
const stopAgain = 500 * time.Millisecond

// waitFor calls a function that waits, with a limit.
func waitFor(ctx context.Context, limit time.Duration, wait func(context.Context) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return wait(ctx)
}

// awaitStart waits for the end of the launch and for the event that the domain runs.
func awaitStart(ctx context.Context, launching *virt.PendingCall, w *virt.DomainWatcher) error {
	if !launching.Await(ctx) {
		return context.Cause(ctx)
	}
	if launching.Err != nil {
		return launching.Err
	}
	select {
	case <-w.Started:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stateNow describes the state of a domain for an error message, if libvirt answers.
func stateNow(ctx context.Context, conn *libvirt.Connect, name string) string {
	ctx, cancel := context.WithTimeout(ctx, cancelGrace)
	defer cancel()
	found := make(chan libvirt.DomainState, 1)
	err := virt.WithContext(ctx, conn, func() error {
		state, _, err := virt.StateOf(conn, name)
		found <- state
		return err
	})
	switch {
	case err == nil:
		return "the domain is " + virt.StateName(<-found)
	case virt.IsCode(err, libvirt.ERR_NO_DOMAIN):
		return "libvirt has not created the domain yet"
	}
	return fmt.Sprintf("the domain's state is unknown: %v", virt.StripCodes(err))
}

// launcher is the type of [instance.launch].
type launcher func(context.Context, *libvirt.Connect, *domainxml.Clone, *virt.DomainWatcher) error

// launch creates the domain, paused, and resumes it when its files are unlinked and its
// console is open. QEMU 10 opens the disks of a restored domain to write to them only when it
// is resumed, and earlier releases when they have the memory: its files are unlinked then.
func (i *instance) launch(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone, w *virt.DomainWatcher) error {
	checking := i.checkSavedAddress(ctx, conn)
	domain, err := i.createPaused(ctx, conn, c)
	checking.Await(context.WithoutCancel(ctx)) // it calls libvirt: the connection must not end before
	if err != nil {
		return err
	}
	defer domain.Free()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if checking.Err != nil {
		return notRestored(checking.Err)
	}
	if i.warm.found != nil && !i.warm.image {
		if err := trace.Do(ctx, "restore memory", func() error { return i.restore(ctx, conn, domain) }); err != nil {
			return err
		}
	}
	restored := i.warm.found != nil
	if !restored {
		if err := i.unlinkAll(ctx, conn, domain, c); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// A clone also runs without its console. A lost connection fails the next call.
	_ = trace.Do(ctx, "open console", func() error {
		console, err := virt.OpenConsole(conn, domain)
		if err == nil && console != nil {
			w.SetConsole(console)
		}
		return err
	})
	err = trace.Do(ctx, "resume domain", domain.Resume)
	if err == nil && restored {
		err = i.unlinkAll(ctx, conn, domain, c)
	}
	return err
}

// unlinkAll unlinks the files of the clone, unless overlay = "file".
func (i *instance) unlinkAll(ctx context.Context, conn *libvirt.Connect, domain *libvirt.Domain, c *domainxml.Clone) error {
	if i.overlay() != overlayUnlinked {
		return nil
	}
	return trace.Do(ctx, "unlink files", func() error { return errors.Join(unlinkFiles(conn, domain, c), i.seed.unlink(conn)) })
}

// createPaused creates the domain, paused. libvirt restores its memory if that is a save image.
func (i *instance) createPaused(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone) (*libvirt.Domain, error) {
	i.setOwner(c)
	step, create := "create domain", i.createDomain
	switch {
	case i.warm.restoresImage():
		step, create = "restore domain", i.restoreImage
	case i.warm.found != nil:
		create = i.createWaiting
	}
	return trace.Get(ctx, step, func() (*libvirt.Domain, error) { return create(ctx, conn, c) })
}

// isAutodestroyed reports whether libvirtd destroys the domain when this process ends. Otherwise
// the guard process does, see needsGuard.
func (i *instance) isAutodestroyed() bool {
	return i.config.KeepPolicy() == provider.KeepNever && !i.warm.restoresImage()
}

// setOwner makes this process the owner of the clone, for garbage collection. The lease starts
// now, and not before the waits for an address and for memory.
func (i *instance) setOwner(c *domainxml.Clone) {
	c.SetMetadata(owner.NewMetadata(c.Name, i.config.BaseDomain, i.label, i.config.OwnerLease).XML())
}

// createDomain starts the domain, paused. A domain with UEFI variables or a TPM is defined
// before: libvirt removes their state together with the definition.
func (i *instance) createDomain(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone) (*libvirt.Domain, error) {
	flags := i.startFlags()
	if !c.NeedsDefinition() {
		text, err := c.Definition.Marshal()
		if err != nil {
			return nil, err
		}
		return conn.DomainCreateXML(text, flags)
	}
	domain, err := define(conn, c)
	if err != nil {
		return nil, err
	}
	if c.BaseTPMDir != "" {
		// libvirt removes the copy with the clone's definition, which is recorded.
		if err := storage.CopyDir(ctx, conn, i.undo, c.Name+"-tpm", c.BaseTPMDir, c.TPMDir); err != nil {
			_ = domain.Free()
			return nil, fmt.Errorf("copying TPM state: %w", err)
		}
	}
	err = domain.CreateWithFlags(flags)
	if c.IsMissingNVRAM(err) {
		_ = domain.Free()
		c.BootFromTemplate()
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

func (i *instance) startFlags() libvirt.DomainCreateFlags {
	if i.isAutodestroyed() {
		return libvirt.DOMAIN_START_PAUSED | libvirt.DOMAIN_START_AUTODESTROY
	}
	return libvirt.DOMAIN_START_PAUSED
}

func define(conn *libvirt.Connect, c *domainxml.Clone) (*libvirt.Domain, error) {
	text, err := c.Definition.Marshal()
	if err != nil {
		return nil, err
	}
	domain, err := conn.DomainDefineXML(text)
	if err != nil {
		return nil, fmt.Errorf("defining the domain: %w", virt.StripCodes(err))
	}
	return domain, nil
}

// unlinkFiles deletes the clone's files, which QEMU has open: their space is freed when
// QEMU ends.
func unlinkFiles(conn *libvirt.Connect, domain *libvirt.Domain, c *domainxml.Clone) error {
	for n := range c.Overlays {
		o := &c.Overlays[n]
		if err := storage.DeleteVolume(conn, o.Pool, o.Volume); err != nil {
			return fmt.Errorf("unlinking volume %s in pool %s: %w", o.Volume, o.Pool, virt.StripCodes(err))
		}
		o.Unlinked.Store(true)
	}
	if !c.NeedsDefinition() {
		return nil
	}
	if err := virt.Undefine(domain); err != nil {
		return fmt.Errorf("unlinking its UEFI variables: %w", virt.StripCodes(err))
	}
	return nil
}

// replaceUnlinked creates empty files in the place of those that unlinkFiles has deleted,
// for libvirt, which restores the owners of a domain's files when it stops the domain. A
// missing file is an error, of which libvirt writes several lines to its log, from a
// child process that shares the locks of libvirtd's threads and may wait for one forever.
// The removal of the volumes, which follows, removes the empty files as well. If this
// fails, the domain can be removed nevertheless.
func (i *instance) replaceUnlinked(conn *libvirt.Connect, c *domainxml.Clone) {
	if state, _, err := virt.StateOf(conn, c.Name); err != nil || state == libvirt.DOMAIN_SHUTOFF {
		return
	}
	for n := range c.Overlays {
		o := &c.Overlays[n]
		if o.Unlinked.Load() {
			o.Unlinked.Store(false) // also if this fails: libvirt may have created the file
			_ = storage.CreateEmpty(conn, o.Pool, o.Volume)
		}
	}
	if i.seed.volume != "" && i.overlay() == overlayUnlinked {
		_ = storage.CreateEmpty(conn, i.seed.pool, i.seed.volume)
	}
}

// shutDown asks the guest's system to shut down and waits for that, up to a limit. It does
// nothing if the guest does not run.
func (i *instance) shutDown(ctx context.Context, limit time.Duration) {
	w := i.getWatcher()
	if _, outage := i.Outage(); limit <= 0 || w == nil || outage != nil {
		return
	}
	err := withDomain(ctx, w.Connection(), w.Domain, func(domain *libvirt.Domain) error { return domain.Shutdown() })
	if err != nil {
		return // destroying it fails for the same reason
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_ = trace.Do(ctx, "shut down", func() error {
		_ = w.AwaitStop(ctx) // the teardown goes on in any case
		return nil
	})
}
