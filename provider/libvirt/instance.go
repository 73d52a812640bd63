package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/address"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/fsmapping"
	"github.com/overcast-go/overcast/provider/libvirt/internal/layers"
	"github.com/overcast-go/overcast/provider/libvirt/internal/memory"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
)

// instance is a clone, from its plan to its removal.
type instance struct {
	label   string
	config  config
	section *hocon.Value // of the configuration
	pool    *virt.Connections
	undo    *storage.Undo

	folders *fsmapping.Folders

	plan   *domainxml.Clone    // nil before it is prepared
	find   strategy.Strategy   // finds the address
	need   memory.Need         // of the plan
	memory *memory.Reservation // nil unless memory is reserved

	addressHeld bool // the clone has its static address, until undo releases it

	on      *virt.Connection // while the clone exists: libvirtd destroys it when this ends
	release func()

	address netip.Addr
	check   *address.Check    // of address; nil before it is known
	pending *virt.PendingCall // that prepares or creates; nil before that
	foundBy string            // the strategy

	seed      cloudInitSeed   // of the clone of an image
	cloudInit *cloudInitInput // of the seed; nil before it is read

	image *layers.Layer  // of the image; nil without one
	slot  domainxml.Seed // identity that is locked; "" without one
	layer layerUse
	warm  warmUse

	unguard func() // releases the guard process; nil without one

	mu      sync.Mutex
	watcher *virt.DomainWatcher // from before the clone is started until it is torn down
	renewal *owner.Renewal
}

var (
	_ provider.Instance       = (*instance)(nil)
	_ provider.OutageReporter = (*instance)(nil)
)

func (i *instance) Common() provider.Settings { return i.config.Settings }

// Address returns the IP address that was found.
func (i *instance) Address() string { return i.address.String() }

// cancelGrace limits the wait for a call of libvirt after its context has ended.
const cancelGrace = 2 * time.Second

// SetUp clones and boots, and finds the address. It ends with ctx, also while libvirt
// does not answer, and with a *[virt.ConnectionLostError] when the connection is lost.
func (i *instance) SetUp(ctx context.Context) error {
	if i.plan == nil {
		if err := i.prepare(ctx); err != nil {
			return err
		}
	}
	return i.call(ctx, i.createPlanned)
}

// prepare plans the clone. It creates nothing.
func (i *instance) prepare(ctx context.Context) error { return i.call(ctx, i.makePlan) }

// call calls libvirt over the connection of the instance, and returns when the context or
// the connection ends. If the call continues then, TearDown waits for it.
func (i *instance) call(ctx context.Context, do func(context.Context, *virt.Connection) error) error {
	on, err := i.connect(ctx)
	if err != nil {
		return err
	}
	ctx, release := on.Context(ctx)
	defer release()
	i.pending = virt.Async(func() error { return do(ctx, on) })
	if !ends(ctx, i.pending) {
		return on.OrLost(fmt.Errorf("libvirt has not answered: %w", context.Cause(ctx)))
	}
	return on.OrLost(i.pending.Err)
}

// ends waits for the end of a call, for cancelGrace longer than ctx. It reports whether the call
// has ended.
func ends(ctx context.Context, call *virt.PendingCall) bool {
	return call.Await(ctx) || waitFor(context.WithoutCancel(ctx), cancelGrace, call.Await)
}

// createPlanned creates the clone that was planned and finds its address.
func (i *instance) createPlanned(ctx context.Context, on *virt.Connection) error {
	err := i.createReported(ctx, on)
	for errors.Is(err, errWarmSlotTaken) {
		if err = i.makePlan(ctx, on); err == nil {
			err = i.createReported(ctx, on)
		}
	}
	if err != nil {
		return err
	}
	c := i.plan
	w := i.getWatcher()
	i.renewal = owner.Renew(func() *libvirt.Connect { return w.Connection().Conn }, c.Name, i.config.OwnerLease)
	return i.findAddress(ctx, c, i.find)
}

// createReported reports what the clone is made from, and creates it.
func (i *instance) createReported(ctx context.Context, on *virt.Connection) error {
	if err := i.keepImage(ctx, on); err != nil {
		return err
	}
	if i.warm.found != nil {
		i.warm.reportRestore(ctx)
	} else if err := i.reportLayer(ctx, on); err != nil {
		return err
	}
	if err := i.createExclusive(ctx, on, i.plan); err != nil {
		return fmt.Errorf("cloning %q: %w", i.config.BaseDomain, i.folders.Explain(err))
	}
	return nil
}

// connect returns a working connection: the existing one, or a new one if it was lost.
func (i *instance) connect(ctx context.Context) (*virt.Connection, error) {
	if i.on != nil {
		if !i.on.Lost() {
			return i.on, nil
		}
		i.disconnect()
	}
	err := trace.Do(ctx, "connect", func() (err error) {
		i.on, i.release, err = i.pool.Acquire(ctx, i.config.URL)
		return err
	})
	return i.on, err
}

// Limit and intervals of the attempts to connect for a teardown: a libvirtd that has ended
// is often restarted at once.
const (
	reconnectLimit     = 20 * time.Second
	reconnectPause     = 100 * time.Millisecond
	reconnectLastPause = time.Second
)

// reconnect is connect with retries.
func (i *instance) reconnect(ctx context.Context) (*virt.Connection, error) {
	ctx, cancel := context.WithTimeout(ctx, reconnectLimit)
	defer cancel()
	for pause := reconnectPause; ; pause = min(2*pause, reconnectLastPause) {
		on, err := i.connect(ctx)
		if err == nil || ctx.Err() != nil {
			return on, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (tried for %v)", err, reconnectLimit)
		}
	}
}

func (i *instance) disconnect() {
	if i.on != nil {
		i.release()
		i.on, i.release = nil, nil
	}
}

// TearDown removes what SetUp created. It closes the connection last, and keeps it if
// something could not be removed.
func (i *instance) TearDown(ctx context.Context) error {
	if err := i.awaitSetUp(ctx); err != nil {
		return err
	}
	i.releaseMemory()
	i.shutDown(ctx, i.config.ShutdownTimeout)
	i.stopWatching()
	if !i.undo.Empty() {
		on, err := i.reconnect(ctx)
		if err != nil {
			return err
		}
		if err := i.undo.Run(ctx, on.Conn); err != nil {
			return err
		}
	}
	i.endGuard()
	i.slot = ""
	i.disconnect()
	return nil
}

// awaitSetUp waits for a call that SetUp has left running.
func (i *instance) awaitSetUp(ctx context.Context) error {
	if i.pending == nil || i.pending.Await(ctx) {
		return nil
	}
	return fmt.Errorf("its set-up still waits for libvirt's answer: %w", context.Cause(ctx))
}

// setWatcher sets the watcher of the clone.
func (i *instance) setWatcher(w *virt.DomainWatcher) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.watcher = w
}

// getWatcher returns the watcher of the clone, or nil.
func (i *instance) getWatcher() *virt.DomainWatcher {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.watcher
}

// stopWatching stops the renewal of the ownership and the watcher.
func (i *instance) stopWatching() {
	i.renewal.Stop()
	i.renewal = nil
	i.mu.Lock()
	w := i.watcher
	i.watcher = nil
	i.mu.Unlock()
	if w != nil {
		w.Close()
	}
}

// Outage returns why the clone does not run: a *[virt.StoppedError], a
// *[virt.PausedError] or a *[virt.ConnectionLostError]. It is nil while the clone runs,
// before it is started and after it is torn down.
func (i *instance) Outage() (changed <-chan struct{}, err error) {
	if w := i.getWatcher(); w != nil {
		return w.Outage()
	}
	return nil, nil
}

var _ provider.StateReporter = (*instance)(nil)

// State returns the state of the clone as virsh shows it, as events have reported it.
func (i *instance) State() string {
	if w := i.getWatcher(); w != nil {
		return w.StateName()
	}
	return ""
}

// Console returns up to that many of the last lines of the clone's serial console.
func (i *instance) Console(lines int) []string {
	if w := i.getWatcher(); w != nil {
		return w.Console().LastLines(lines)
	}
	return nil
}

var _ provider.Mounter = (*instance)(nil)

// Mounts returns the folders to mount in the guest.
func (i *instance) Mounts() []provider.Mount { return i.folders.Mounts() }

var _ provider.Attacher = (*instance)(nil)

// ID returns the name of the clone's domain.
func (i *instance) ID() string {
	if w := i.getWatcher(); w != nil {
		return w.Domain
	}
	return ""
}

// Attach watches a clone that another process has created. It may be paused or stopped.
func (i *instance) Attach(ctx context.Context, domain string) error {
	on, err := i.connect(ctx)
	if err != nil {
		return err
	}
	w := virt.NewDomainWatcher(on, domain, virt.DomainState{Phase: virt.PhaseUnknown})
	i.setWatcher(w)
	err = virt.WithContext(ctx, on.Conn, func() error {
		i.prepareCheck(on.Conn, domain)
		return w.ReadState(on.Conn)
	})
	if err != nil {
		i.Detach()
		return fmt.Errorf("reading the state of domain %s: %w", domain, virt.StripCodes(err))
	}
	return nil
}

// Detach stops watching.
func (i *instance) Detach() {
	i.stopWatching()
	i.disconnect()
}

var _ provider.Cloned = (*instance)(nil)

// BaseDomain returns the name of the domain that was cloned.
func (i *instance) BaseDomain() string { return i.config.BaseDomain }

// Keep leaves the clone as it is, also if it is paused, and returns how to reach and remove
// it. It returns "" if there is no clone or it has stopped: TearDown then removes the rest.
func (i *instance) Keep(ctx context.Context) (string, error) {
	w := i.getWatcher()
	if w == nil || !w.Exists() {
		return "", nil
	}
	i.renewal.Stop()
	err := i.changeMetadata(ctx, w.Domain, func(m *owner.Metadata) {
		m.Kept = &owner.MetadataKept{Since: time.Now().UTC().Truncate(time.Second)}
	})
	if err != nil {
		return "", fmt.Errorf("marking domain %s as kept: %w", w.Domain, virt.StripCodes(err))
	}
	i.stopWatching()
	err = i.undo.Forget(ctx)
	i.endGuard()
	i.disconnect()
	return i.keptHint(w.Domain), err
}

// changeMetadata changes the metadata of the clone, after changes that are under way.
func (i *instance) changeMetadata(ctx context.Context, domain string, change func(*owner.Metadata)) error {
	if i.renewal != nil {
		return i.renewal.Change(ctx, change)
	}
	conn := i.on.Conn
	return virt.WithContext(ctx, conn, func() error { return owner.ChangeMetadata(conn, domain, change) })
}

// keptHint returns the commands that reach and remove a kept clone.
func (i *instance) keptHint(domain string) string {
	virsh := "virsh -c '" + redact.Text(i.config.URL) + "'"
	lines := []string{"domain " + domain + " at " + redact.Text(i.config.URL) + " is kept"}
	if i.address.IsValid() {
		lines = append(lines, "address: "+i.address.String())
	}
	remove := "overcast gc, as soon as this process has ended"
	if i.overlay() == overlayUnlinked {
		remove += "; or " + virsh + " destroy " + domain // it has no files that would stay
	}
	lines = append(lines, "look at it: "+virsh+" console "+domain, "remove it:  "+remove)
	return strings.Join(lines, "\n  ")
}
