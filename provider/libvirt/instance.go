package libvirt

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/strategy"
)

// instance is one clone, from its plan to its removal.
type instance struct {
	label  string
	config Config
	pool   *connections
	undo   *undo

	section *hocon.Value // that config was read from
	folders []*mapping   // that the clone has, from its plan on
	look    *looker      // for them

	plan   *clone             // nil before it is prepared
	find   strategy.Strategy  // of its address
	need   memoryNeed         // of the plan
	memory *memoryReservation // nil unless memory is reserved

	addressHeld bool // the clone has its static address, until undo releases it

	on      *connection // while the clone lives: it lives no longer than this
	release func()

	address netip.Addr
	making  *call  // that prepares or creates; nil before that
	foundBy string // the strategy

	mu    sync.Mutex
	guard *guard // from before the clone is started until it is taken away
	lease *renewal
}

var _ provider.Instance = (*instance)(nil)

func (i *instance) Common() provider.Settings { return i.config.Settings }

// Address is the IP address that was found.
func (i *instance) Address() string { return i.address.String() }

// lastCall is how long a set-up that is to end waits for libvirt's answer to
// what it has asked for.
const lastCall = 2 * time.Second

// SetUp clones and boots, and finds the address. When the context or the
// connection ends, it ends, also while libvirt does not answer.
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

// call calls libvirt over the connection of the instance, and returns when the
// context or the connection ends. TearDown waits for what goes on then.
func (i *instance) call(ctx context.Context, do func(context.Context, *connection) error) error {
	on, err := i.connect(ctx)
	if err != nil {
		return err
	}
	ctx, release := on.context(ctx)
	defer release()
	i.making = begin(func() error { return do(ctx, on) })
	if !i.making.await(ctx) {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCall)
		defer cancel()
		if !i.making.await(last) {
			return fmt.Errorf("libvirt has not answered: %w", context.Cause(ctx))
		}
	}
	return i.making.err
}

// makePlan works out the clone, down to the files and pools that it takes, the
// strategy that finds its address, and the memory that it needs.
func (i *instance) makePlan(ctx context.Context, on *connection) error {
	i.pool.first(i.config.URL, func() { sweepAtStart(ctx, on) })
	c, err := i.planClone(on)
	if err != nil {
		return err
	}
	find, err := i.strategy(on.conn, c)
	if err != nil {
		return err
	}
	if err := i.planFolders(ctx, on, c); err != nil {
		return err
	}
	if i.need, err = readMemoryNeed(on.conn, c); err != nil {
		return err
	}
	i.plan, i.find = c, find
	return nil
}

// createPlanned creates the clone that was planned and finds its address.
func (i *instance) createPlanned(ctx context.Context, on *connection) error {
	c := i.plan
	if err := i.createExclusive(ctx, on, c); err != nil {
		return fmt.Errorf("cloning %q: %w", i.config.BaseDomain, i.explainFolders(err))
	}
	i.lease = renewLease(on.conn, c, i.config.OwnerLease)
	return i.findAddress(ctx, c, i.find)
}

// planClone works out the definition and the overlays of the clone.
func (i *instance) planClone(on *connection) (*clone, error) {
	base, err := readBase(on.conn, i.config.URL, i.config.BaseDomain)
	if err != nil {
		return nil, err
	}
	known, err := readBridges(on.conn)
	if err != nil {
		return nil, err
	}
	c, err := planClone(base, plan{label: i.label, network: i.config.Network, bridges: known, cache: i.config.Cache, tpms: tpmFolder(i.config.URL)})
	if err != nil {
		return nil, err
	}
	if err := c.planFirmware(on.conn, base); err != nil {
		return nil, err
	}
	c.describe(newMetadata(c.name, base.Name, i.label, i.config.OwnerLease))
	return c, c.locate(on.conn, base.Name, i.config.OverlayPool)
}

// connect answers with a connection that works: the one that there is, or a
// new one when that has been lost.
func (i *instance) connect(ctx context.Context) (*connection, error) {
	if i.on != nil {
		if !i.on.lost() {
			return i.on, nil
		}
		i.disconnect()
	}
	on, release, err := i.pool.acquire(ctx, i.config.URL)
	if err != nil {
		return nil, err
	}
	i.on, i.release = on, release
	return on, nil
}

// How a connection is tried again that is needed to take something away: a
// libvirtd that has ended is often started again at once.
const (
	reconnectLimit     = 20 * time.Second
	reconnectPause     = 100 * time.Millisecond
	reconnectLastPause = time.Second
)

// reconnect is connect for those who have to get through.
func (i *instance) reconnect(ctx context.Context) (*connection, error) {
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

// TearDown takes away what SetUp made. The connection goes last, and stays as
// long as there is something that could not be taken away.
func (i *instance) TearDown(ctx context.Context) error {
	if err := i.awaitSetUp(ctx); err != nil {
		return err
	}
	i.releaseMemory()
	i.askToShutDown(ctx, i.config.ShutdownTimeout)
	i.letGo()
	if !i.undo.empty() {
		on, err := i.reconnect(ctx)
		if err != nil {
			return err
		}
		if err := i.undo.run(ctx, on.conn); err != nil {
			return err
		}
	}
	i.disconnect()
	return nil
}

// awaitSetUp waits until nothing more is being made behind SetUp's back.
func (i *instance) awaitSetUp(ctx context.Context) error {
	if i.making == nil || i.making.await(ctx) {
		return nil
	}
	return fmt.Errorf("its set-up waits for libvirt's answer: %w", context.Cause(ctx))
}

// watchOver begins to watch the clone.
func (i *instance) watchOver(g *guard) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.guard = g
}

// watched is who watches the clone, or nil.
func (i *instance) watched() *guard {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.guard
}

// letGo ends all that goes on in this process for the clone.
func (i *instance) letGo() {
	i.lease.stop()
	i.lease = nil
	i.mu.Lock()
	g := i.guard
	i.guard = nil
	i.mu.Unlock()
	if g != nil {
		g.close()
	}
}

// Exited says how the clone stopped, or nil while it runs.
func (i *instance) Exited() error {
	if g := i.watched(); g != nil {
		return g.alive()
	}
	return nil
}

// Watch answers with a context that ends when the clone no longer runs; its
// cause tells how. The function that it returns must be called.
func (i *instance) Watch(ctx context.Context) (context.Context, context.CancelFunc) {
	if g := i.watched(); g != nil {
		return g.context(ctx)
	}
	return context.WithCancel(ctx)
}

// Console is the last that the clone's serial console has said, in lines.
func (i *instance) Console(lines int) []string {
	if g := i.watched(); g != nil {
		return g.heard().tail(lines)
	}
	return nil
}
