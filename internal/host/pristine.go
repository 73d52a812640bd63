package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/overcast-go/overcast/provider"
)

// StepMadeAnew is the step of a host that Pristine sets up again.
const StepMadeAnew = "set up again"

// Pristine brings hosts back to the state that they had at the first call for these
// labels, which saves it. It does nothing if nothing can have used the hosts since.
// Several hosts are one cut. A host whose state cannot be restored is set up anew.
//
// If shared is true, other processes use the hosts too: this process does not know
// whether they have been used since, and a host that cannot be restored is an error.
func (r *Registry) Pristine(ctx context.Context, labels []string, shared bool) error {
	entries, err := r.acquireAll(ctx, labels)
	if err != nil {
		return err
	}
	defer releaseAll(entries)
	if err := restore(ctx, entries, shared); err != nil {
		return fmt.Errorf("restoring the pristine state of %s: %w", strings.Join(labels, ", "), err)
	}
	return nil
}

func restore(ctx context.Context, entries []*entry, shared bool) error {
	name := pristineName(entries)
	c, err := newCut(entries)
	if err == nil {
		err = c.open(ctx)
	}
	if err != nil {
		return err
	}
	saved, err := c.have(ctx, name)
	if err != nil {
		return err
	}
	if c.brokenErr() == nil {
		if saved {
			if !shared && c.isClean() {
				return nil
			}
			err = c.load(ctx, func(*member) string { return name })
		} else {
			err = c.savePristine(ctx, name)
		}
		if err != nil {
			return err
		}
	}
	broken := c.brokenErr()
	if broken == nil {
		return nil
	}
	if shared {
		return broken
	}
	if err := c.makeAnew(ctx); err != nil {
		return fmt.Errorf("%w; setting it up anew: %w", broken, err)
	}
	// The state of the new host is another one: the others need a common one with it.
	if c, err = newCut(entries); err == nil {
		err = c.open(ctx)
	}
	if err != nil {
		return err
	}
	return errors.Join(c.savePristine(ctx, name), c.brokenErr())
}

// pristinePrefix begins the names of the checkpoints of Pristine.
const pristinePrefix = "overcast-pristine-"

// pristineName is the name of the checkpoint of a group of hosts. QEMU limits its
// length. Other processes that use the same hosts have the same name.
func pristineName(entries []*entry) string {
	hash := sha256.New()
	for _, e := range entries {
		fmt.Fprintf(hash, "%q", e.label)
	}
	return fmt.Sprintf("%s%x", pristinePrefix, hash.Sum(nil)[:8])
}

// have reports whether all members have a checkpoint.
func (c cut) have(ctx context.Context, name string) (bool, error) {
	missing := make(chan struct{}, len(c))
	err := c.each(func(m *member) error {
		has, err := m.at.Has(ctx, name)
		if !has {
			missing <- struct{}{}
		}
		return err
	})
	return len(missing) == 0, err
}

// isClean reports whether no member can have been used since its pristine state was
// saved or restored.
func (c cut) isClean() bool {
	for _, m := range c {
		if _, outage := provider.OutageOf(m.host.instance); outage != nil || !m.host.gate.isClean() {
			return false
		}
	}
	return true
}

// savePristine saves the first state of a group. Members that have been saved in
// another group are brought back to that state before.
func (c cut) savePristine(ctx context.Context, name string) error {
	var earlier cut
	for _, m := range c {
		if m.host.pristine != "" {
			earlier = append(earlier, m)
		}
	}
	if len(earlier) > 0 {
		if err := earlier.load(ctx, func(m *member) string { return m.host.pristine }); err != nil {
			return err
		}
		if earlier.brokenErr() != nil {
			return nil
		}
	}
	err := c.each(func(m *member) error { // one of the time before another member was set up anew
		has, err := m.at.Has(ctx, name)
		if err != nil || !has {
			return err
		}
		return m.at.Delete(ctx, name)
	})
	if err != nil {
		return err
	}
	if err := c.save(ctx, name); err != nil {
		return err
	}
	for _, m := range c {
		if m.host.pristine == "" {
			m.host.pristine = name
		}
	}
	return nil
}

// makeAnew sets the broken members up again, as their set-up did.
func (c cut) makeAnew(ctx context.Context) error {
	var entries []*entry
	for _, m := range c {
		if m.broken == nil {
			continue
		}
		e := m.entry
		if e.prepare == nil {
			return fmt.Errorf("%s: another process has set it up", e.label)
		}
		newProgress(ctx, e.label).report(StepMadeAnew, m.broken.Error())
		if err := m.host.stop(ctx); err != nil {
			return err
		}
		e.set(nil)
		entries = append(entries, e)
	}
	for _, e := range entries {
		e.mu.Lock()
		prepare, forUses, failed := e.prepare, e.ownedByUses, e.failed
		e.mu.Unlock()
		if err := setUp(ctx, []*entry{e}, prepare, SetupOptions{ForUses: forUses}, func() {}); err != nil {
			return err
		}
		e.mu.Lock()
		e.failed = failed
		e.mu.Unlock()
	}
	return nil
}
