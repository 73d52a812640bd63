package virt

import (
	"context"
	"fmt"
)

// Freeze announces that this process is about to pause the domain. Until Unfreeze,
// a pause is no outage.
func (w *DomainWatcher) Freeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen = true
	if w.state.Phase == PhasePaused {
		w.report(nil)
	}
}

// Unfreeze ends the effect of Freeze. A domain that is paused is an outage again.
func (w *DomainWatcher) Unfreeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen = false
	if w.state.Phase == PhasePaused {
		w.reportPause()
	}
}

// Fail marks a paused domain as paused by a fault: its state is undefined.
func (w *DomainWatcher) Fail(cause error) {
	w.change(func(DomainState) DomainState {
		return DomainState{Phase: PhasePaused, how: "paused: " + cause.Error(), fault: true}
	})
}

// AwaitPaused returns when the event that the domain is paused has arrived.
func (w *DomainWatcher) AwaitPaused(ctx context.Context) error { return w.await(ctx, PhasePaused) }

// AwaitRunning returns when the event that the domain runs has arrived.
func (w *DomainWatcher) AwaitRunning(ctx context.Context) error { return w.await(ctx, PhaseRunning) }

// await waits for an event. A domain that stops is an error.
func (w *DomainWatcher) await(ctx context.Context, phase Phase) error {
	for {
		w.mu.Lock()
		now, outage, changed := w.state.Phase, w.outage, w.changed
		w.mu.Unlock()
		switch {
		case now == phase:
			return nil
		case now == PhaseStopped && outage != nil:
			return outage
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the event of libvirt: %w", context.Cause(ctx))
		}
	}
}
