package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/overcast-go/overcast/provider"
)

// Checkpoint is a saved state of a host.
type Checkpoint struct {
	entry *entry
	host  *Host
	name  string
}

// Checkpoint saves the state of the host of a label.
func (r *Registry) Checkpoint(ctx context.Context, label string) (*Checkpoint, error) {
	saved := &Checkpoint{entry: r.entry(label), name: "overcast-" + rand.Text()[:12]}
	saved.host = saved.entry.get()
	err := saved.do(ctx, func(c cut) error {
		if err := c.brokenErr(); err != nil {
			return err
		}
		return c.save(ctx, saved.name)
	})
	if err != nil {
		return nil, fmt.Errorf("saving a checkpoint: %w", err)
	}
	return saved, nil
}

// Revert replaces the state of the host with the checkpoint's.
func (s *Checkpoint) Revert(ctx context.Context) error {
	err := s.do(ctx, func(c cut) error {
		if err := c.brokenErr(); err != nil {
			return err
		}
		has, err := c[0].at.Has(ctx, s.name)
		if err == nil && !has {
			err = ErrCheckpointGone
		}
		if err != nil {
			return err
		}
		if err := c.load(ctx, func(*member) string { return s.name }); err != nil {
			return err
		}
		return c.brokenErr()
	})
	if err != nil {
		return fmt.Errorf("reverting to a checkpoint: %w", err)
	}
	return nil
}

// Delete removes the checkpoint. One that does not exist any more is no error.
func (s *Checkpoint) Delete(ctx context.Context) error {
	if s.entry.get() != s.host {
		return nil
	}
	err := s.do(ctx, func(c cut) error {
		if c.brokenErr() != nil {
			return nil // it is gone with the host
		}
		has, err := c[0].at.Has(ctx, s.name)
		if err != nil || !has {
			return err
		}
		return c[0].at.Delete(ctx, s.name)
	})
	if err != nil {
		return fmt.Errorf("deleting a checkpoint: %w", err)
	}
	return nil
}

// do acquires the host and calls do with access to its checkpoints.
func (s *Checkpoint) do(ctx context.Context, do func(cut) error) error {
	if err := s.entry.acquire(ctx); err != nil {
		return err
	}
	defer s.entry.release()
	if s.host == nil {
		return &NotSetUpError{Label: s.entry.label}
	}
	if s.entry.get() != s.host {
		return ErrCheckpointGone
	}
	c, err := newCut([]*entry{s.entry})
	if err == nil {
		err = c.open(ctx)
	}
	if err != nil {
		return err
	}
	return do(c)
}

// errNoCheckpoints is the error for a host whose provider has no checkpoints.
var errNoCheckpoints = fmt.Errorf("its provider has no checkpoints: %w", errors.ErrUnsupported)

// thawTimeout limits resuming a host. The context of the caller may have ended.
const thawTimeout = 20 * time.Second

// cut is a group of hosts whose states are saved or replaced at one moment: all are
// paused before the first is changed, and all are changed before the first is
// resumed. The caller has acquired their entries.
type cut []*member

// member is a host of a cut.
type member struct {
	entry *entry
	host  *Host
	at    provider.Checkpoints
	// broken is why the state of the host cannot be used any more.
	broken error
}

// newCut returns the cut of hosts that are up.
func newCut(entries []*entry) (cut, error) {
	var c cut
	for _, e := range entries {
		h := e.get()
		if h == nil {
			return nil, &NotSetUpError{Label: e.label}
		}
		c = append(c, &member{entry: e, host: h})
	}
	return c, nil
}

// each does something with each member that is not broken, at the same time.
func (c cut) each(do func(*member) error) error {
	members := map[string]*member{}
	var labels []string
	for _, m := range c {
		if m.broken == nil {
			members[m.entry.label] = m
			labels = append(labels, m.entry.label)
		}
	}
	return recovered.ForEach(labels, func(label string) error {
		if err := do(members[label]); err != nil {
			return fmt.Errorf("%s: %w", label, err)
		}
		return nil
	})
}

// eachOrBroken is each for a step after whose failure a member cannot be used any more.
func (c cut) eachOrBroken(do func(*member) error) {
	_ = c.each(func(m *member) error {
		m.broken = recovered.Do(func() error { return do(m) })
		return nil
	})
}

// brokenErr is why members are broken, or nil.
func (c cut) brokenErr() error {
	var errs []error
	for _, m := range c {
		if m.broken != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.entry.label, m.broken))
		}
	}
	return errors.Join(errs...)
}

// open gets access to the checkpoints of the members. A host that has stopped is
// broken.
func (c cut) open(ctx context.Context) error {
	return c.each(func(m *member) (err error) {
		checkpointer, ok := m.host.instance.(provider.Checkpointer)
		if !ok {
			return errNoCheckpoints
		}
		m.at, err = checkpointer.Checkpoints(ctx)
		if errors.Is(err, provider.ErrHostStopped) {
			m.broken = err
			return nil
		}
		return err
	})
}

// save saves the state of all members under a name.
func (c cut) save(ctx context.Context, name string) error {
	defer c.shut()()
	if err := c.each(func(m *member) error { return m.prepareSave(ctx) }); err != nil {
		return errors.Join(err, c.remount(ctx))
	}
	err := c.each(func(m *member) error { return m.at.Freeze(ctx) })
	if err == nil {
		err = c.each(func(m *member) error { return m.at.Save(ctx, name) })
	}
	err = errors.Join(err, c.thaw(ctx), c.remount(ctx))
	if err != nil {
		deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), thawTimeout)
		defer cancel()
		_ = c.each(func(m *member) error { return m.at.Delete(deleting, name) })
		return err
	}
	if strings.HasPrefix(name, pristinePrefix) {
		for _, m := range c {
			m.host.gate.setClean()
		}
	}
	return nil
}

// prepareSave closes an idle connection and unmounts folders, which would be part
// of the state.
func (m *member) prepareSave(ctx context.Context) error {
	if _, outage := provider.OutageOf(m.host.instance); provider.EndsUse(outage) {
		return outage
	}
	m.host.unmountFolders(ctx)
	if !m.host.gate.isIdle() {
		return nil // the calls go on, as the host does
	}
	return m.host.dropConnection(ctx)
}

// load replaces the state of all members. A member whose state cannot be replaced
// is broken; the others go on.
func (c cut) load(ctx context.Context, name func(*member) string) error {
	defer c.shut()()
	for _, m := range c {
		m.host.gate.endState()
	}
	if err := c.each(func(m *member) error { return m.host.dropConnection(ctx) }); err != nil {
		return err
	}
	c.eachOrBroken(func(m *member) error { return m.at.Freeze(ctx) })
	c.thawBroken(ctx)
	c.eachOrBroken(func(m *member) error { return m.at.Load(ctx, name(m)) })
	for _, m := range c {
		if m.broken != nil && m.at != nil {
			m.at.Abandon(m.broken)
		}
	}
	thawing, cancel := context.WithTimeout(context.WithoutCancel(ctx), thawTimeout)
	defer cancel()
	c.eachOrBroken(func(m *member) error { return m.at.Thaw(thawing) })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return c.each(func(m *member) error {
		m.host.mounted = nil // that was in the state that is gone
		if err := m.host.setClock(ctx); err != nil {
			return fmt.Errorf("after the revert: %w", err)
		}
		if err := m.host.mountFolders(ctx); err != nil {
			return err
		}
		if strings.HasPrefix(name(m), pristinePrefix) {
			m.host.gate.setClean()
		} else {
			m.host.gate.touch()
		}
		return nil
	})
}

// shut makes calls that use the members wait until the returned function is called.
func (c cut) shut() (reopen func()) {
	for _, m := range c {
		m.host.gate.close()
	}
	return func() {
		for _, m := range c {
			m.host.gate.reopen()
		}
	}
}

func (c cut) thaw(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), thawTimeout)
	defer cancel()
	return c.each(func(m *member) error { return m.at.Thaw(ctx) })
}

// thawBroken resumes members whose pausing has failed: libvirt may have paused them after ctx had
// ended.
func (c cut) thawBroken(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), thawTimeout)
	defer cancel()
	for _, m := range c {
		if m.broken != nil && m.at != nil {
			_ = m.at.Thaw(ctx) // it is broken in any case
		}
	}
}

func (c cut) remount(ctx context.Context) error {
	return c.each(func(m *member) error { return m.host.mountFolders(ctx) })
}

// DropConnection closes the connections to the host of a label. The next call makes
// a new one.
func (r *Registry) DropConnection(ctx context.Context, label string) error {
	if h := r.Get(label); h != nil {
		return h.dropConnection(ctx)
	}
	return nil
}

// dropConnection closes the connection that users of the host share, and those
// through forwards.
func (h *Host) dropConnection(ctx context.Context) error {
	h.route.DropConnections()
	return h.shared.Close(ctx)
}

// clockTimeout limits setting the clock through the provider.
const clockTimeout = 5 * time.Second

// setClock sets the clock of the host's system, unless clock = keep.
// It uses the provider's means, else the login that provisions the host.
func (h *Host) setClock(ctx context.Context) error {
	if h.settings.Clock == provider.ClockKeep {
		return nil
	}
	if setter, ok := h.instance.(provider.ClockSetter); ok {
		setting, cancel := context.WithTimeout(ctx, clockTimeout)
		err := setter.SetClock(setting)
		cancel()
		if err == nil {
			return nil
		}
	}
	if h.settings.ConnectionURL() == "" {
		return errors.New(`setting the clock: the guest's agent does not answer, and no login is configured: set connection.url, or clock = "keep"`)
	}
	client, done, err := h.provisioner(ctx)
	if err != nil {
		return fmt.Errorf("setting the clock: %w", err)
	}
	defer done()
	result, err := client.Run(ctx, clockCommand(time.Now()))
	if err != nil {
		return fmt.Errorf("setting the clock: %w", err)
	}
	if result.ExitCode == 0 {
		return nil
	}
	return fmt.Errorf(`setting the clock: the command date failed: %s: log in as root (provision.url), install the guest agent, or set clock = "keep"`,
		lastLines(result.Stdout+result.Stderr))
}

// clockCommand sets the clock. The date of busybox has no fractions of a second. A login
// that is not root's needs sudo.
func clockCommand(now time.Time) string {
	exact := fmt.Sprintf("date -u -s @%d.%03d", now.Unix(), now.Nanosecond()/1e6)
	rounded := fmt.Sprintf("date -u -s @%d", now.Round(time.Second).Unix())
	return exact + " || " + rounded + " || sudo -n " + exact
}
