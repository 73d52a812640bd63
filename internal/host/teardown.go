package host

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/overcast-go/overcast/provider"
)

// TearDown removes the host of a label. A host that is not up is not an error. If
// it fails, the error says what could not be removed; the host stays known, and
// TearDown can be called again.
func (r *Registry) TearDown(ctx context.Context, label string) error {
	e := r.find(label)
	if e == nil {
		return nil
	}
	return e.tearDown(ctx, func() bool { return true })
}

// tearDown removes the host if the condition holds once the entry is acquired.
func (e *entry) tearDown(ctx context.Context, condition func() bool) error {
	if err := e.tearDownIf(ctx, condition); err != nil {
		return fmt.Errorf("tearing down %s: %w", e.label, err)
	}
	return nil
}

func (e *entry) tearDownIf(ctx context.Context, condition func() bool) error {
	if err := e.acquire(ctx); err != nil {
		return fmt.Errorf("waiting for its set-up: %w", err)
	}
	defer e.release()
	if !condition() {
		return nil
	}
	if h := e.get(); h != nil {
		err := tracedTearDown(ctx, e.label, func(ctx context.Context) error { return e.keepOrStop(ctx, h) })
		if err != nil {
			return err
		}
	}
	return e.removeFailedInstance(ctx)
}

// keepOrStop keeps a host, and prints to standard error how to reach it, or
// removes it. A host that cannot be kept is removed, and that is an error.
func (e *entry) keepOrStop(ctx context.Context, h *Host) error {
	kept, keepErr := h.keep(ctx, e.hasFailed())
	end := h.stop
	if kept != "" {
		end = h.disconnect
		fmt.Fprintf(os.Stderr, "overcast: %s: %s\n", e.label, kept)
	}
	if err := end(ctx); err != nil {
		return errors.Join(keepErr, err)
	}
	e.set(nil)
	return keepErr
}

func (e *entry) hasFailed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failed
}

// keep leaves the host running if its configuration asks for that, and says how to
// reach it. "" means that it must be removed.
func (h *Host) keep(ctx context.Context, failed bool) (how string, err error) {
	policy := h.settings.KeepPolicy()
	keeper, can := h.instance.(provider.Keeper)
	if !can || policy == provider.KeepNever || (policy == provider.KeepOnFailure && !failed) {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), TeardownTimeout)
	defer cancel()
	if how, err = keeper.Keep(ctx); err != nil {
		err = fmt.Errorf("keeping the host (keep = %q): %w", policy, err)
	}
	return how, err
}
