package libvirt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/snapshot"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

var (
	_ provider.Checkpointer = (*instance)(nil)
	_ provider.ClockSetter  = (*instance)(nil)
)

// Checkpoints gives access to the checkpoints of the clone, which are snapshots in
// its overlays. After a restart of libvirtd it uses a new connection.
func (i *instance) Checkpoints(ctx context.Context) (provider.Checkpoints, error) {
	w := i.getWatcher()
	if w == nil {
		return nil, errors.New("the clone does not exist")
	}
	if i.on == nil || i.on.CheckLost() != nil {
		if _, err := i.reconnect(ctx); err != nil {
			return nil, err
		}
		if err := w.AwaitWatched(ctx); err != nil {
			return nil, err
		}
	}
	if _, outage := w.Outage(); errors.Is(outage, provider.ErrHostStopped) {
		return nil, outage
	}
	c := &checkpoints{on: i.on, watcher: w}
	if i.plan != nil && len(i.plan.Overlays) > 0 {
		c.pool = i.plan.Overlays[0].Pool
	}
	return c, nil
}

// checkpoints are the snapshots of one domain.
type checkpoints struct {
	on      *virt.Connection
	watcher *virt.DomainWatcher
	pool    string // of the disk that snapshots have the memory in; "" if it is not known
	frozen  bool
	pausing *virt.PendingCall // of Freeze; nil before
	disks   snapshot.Disks    // as last read; nil before
}

// Freeze pauses the domain.
func (c *checkpoints) Freeze(ctx context.Context) error {
	c.frozen = true
	c.watcher.Freeze()
	c.pausing = virt.Async(func() error {
		return c.call(context.WithoutCancel(ctx), "pausing", func(domain *libvirt.Domain) error { return domain.Suspend() })
	})
	if !c.pausing.Await(ctx) {
		// libvirt may still pause it: Thaw resumes it.
		return fmt.Errorf("pausing domain %s: libvirt has not answered: %w", c.watcher.Domain, context.Cause(ctx))
	}
	err := c.pausing.Err
	if err == nil {
		err = c.watcher.AwaitPaused(ctx)
	}
	if err != nil && ctx.Err() == nil && c.on.CheckLost() == nil {
		c.watcher.Unfreeze()
		c.frozen = false
	}
	return err
}

// Thaw resumes a domain that Freeze has paused, or may have paused.
func (c *checkpoints) Thaw(ctx context.Context) error {
	if !c.frozen {
		return nil
	}
	c.frozen = false
	defer c.watcher.Unfreeze()
	if !c.pausing.Await(ctx) {
		return fmt.Errorf("resuming domain %s, which libvirt is still pausing: %w", c.watcher.Domain, context.Cause(ctx))
	}
	if c.on.CheckLost() != nil {
		if err := c.watcher.AwaitWatched(ctx); err != nil {
			return err
		}
		c.on = c.watcher.Connection()
	} else if c.pausing.Err != nil {
		return nil // it was not paused
	}
	return c.watcher.Resume(ctx, func() error {
		return c.call(ctx, "resuming", func(domain *libvirt.Domain) error { return domain.Resume() })
	})
}

// Abandon leaves the domain paused.
func (c *checkpoints) Abandon(cause error) {
	if c.frozen {
		c.frozen = false
		c.watcher.Fail(cause)
		c.watcher.Unfreeze()
	}
}

// Has reports whether the domain has a snapshot.
func (c *checkpoints) Has(ctx context.Context, name string) (bool, error) {
	if err := c.readDisks(ctx); err != nil {
		return false, err
	}
	return c.disks.Have(name), nil
}

// readDisks reads the domain's disks and their snapshots.
func (c *checkpoints) readDisks(ctx context.Context) error {
	read := make(chan snapshot.Disks, 1) // a call that ctx has ended goes on
	err := c.call(ctx, "looking for a checkpoint of", func(domain *libvirt.Domain) error {
		disks, err := snapshot.ReadDisks(domain)
		read <- disks
		return err
	})
	if err != nil {
		return err
	}
	c.disks = <-read
	return nil
}

// change makes calls that need the domain and its disks, whose names do not change.
func (c *checkpoints) change(ctx context.Context, what string, do func(*libvirt.Domain, snapshot.Disks) error) error {
	if c.disks == nil {
		if err := c.readDisks(ctx); err != nil {
			return err
		}
	}
	disks := c.disks
	return c.call(ctx, what, func(domain *libvirt.Domain) error { return do(domain, disks) })
}

// Save takes a snapshot, if its pool has room for it.
func (c *checkpoints) Save(ctx context.Context, name string) error {
	conn := c.on.Conn
	return c.change(ctx, "saving the state of", func(domain *libvirt.Domain, disks snapshot.Disks) error {
		if c.pool != "" {
			if err := storage.CheckStateRoom(conn, c.pool, domain); err != nil {
				return err
			}
		}
		return snapshot.Save(ctx, domain, disks, name)
	})
}

// Load reverts to a snapshot.
func (c *checkpoints) Load(ctx context.Context, name string) error {
	return c.change(ctx, "reverting", func(domain *libvirt.Domain, disks snapshot.Disks) error {
		return snapshot.Load(ctx, domain, disks, name)
	})
}

// Delete removes a snapshot.
func (c *checkpoints) Delete(ctx context.Context, name string) error {
	return c.change(ctx, "deleting a checkpoint of", func(domain *libvirt.Domain, disks snapshot.Disks) error {
		return snapshot.Delete(ctx, domain, disks, name)
	})
}

// stopGrace limits the wait for the event that a domain has stopped, after a call of
// libvirt has failed for that reason.
const stopGrace = 2 * time.Second

// call makes calls that need the domain. If they fail because the domain has stopped,
// the error is the outage.
func (c *checkpoints) call(ctx context.Context, what string, do func(*libvirt.Domain) error) error {
	err := withDomain(ctx, c.on, c.watcher.Domain, do)
	if err == nil {
		return nil
	}
	if virt.IsFromLibvirt(err) {
		waiting, cancel := context.WithTimeout(ctx, stopGrace)
		defer cancel()
		if outage := c.watcher.AwaitStop(waiting); errors.Is(outage, provider.ErrHostStopped) {
			return fmt.Errorf("%s: %w", what, outage)
		}
	}
	return c.on.OrLost(fmt.Errorf("%s domain %s: %w", what, c.watcher.Domain, virt.StripCodes(err)))
}

// withDomain looks a domain up and makes calls that need it, until ctx or the connection ends.
func withDomain(ctx context.Context, on *virt.Connection, name string, do func(*libvirt.Domain) error) error {
	ctx, release := on.Context(ctx)
	defer release()
	return virt.WithContext(ctx, on.Conn, func() error {
		domain, err := on.Conn.LookupDomainByName(name)
		if err != nil {
			return err
		}
		defer domain.Free()
		return do(domain)
	})
}

// SetClock sets the guest's clock through its agent.
func (i *instance) SetClock(ctx context.Context) error {
	w := i.getWatcher()
	if w == nil {
		return errors.New("the clone does not exist")
	}
	err := withDomain(ctx, w.Connection(), w.Domain, func(domain *libvirt.Domain) error {
		now := time.Now()
		return domain.SetTime(now.Unix(), uint(now.Nanosecond()), 0)
	})
	if virt.IsCode(err, libvirt.ERR_AGENT_UNRESPONSIVE, libvirt.ERR_ARGUMENT_UNSUPPORTED, libvirt.ERR_OPERATION_UNSUPPORTED, libvirt.ERR_OPERATION_INVALID, libvirt.ERR_AGENT_COMMAND_FAILED, libvirt.ERR_AGENT_UNSYNCED) {
		return fmt.Errorf("the guest's agent cannot set the clock: %w: %w", errors.ErrUnsupported, virt.StripCodes(err))
	}
	return err
}
