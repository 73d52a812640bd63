package host

import (
	"context"
	"crypto/rand"
	"fmt"
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
		s.host.Expose() // it is not in the state that Pristine knows
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
