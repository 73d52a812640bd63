package virt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/overcast-go/overcast/provider"
)

// Pauses between the attempts to watch a domain over a new connection. The first one
// lets a set-up notice the loss, which ends it, before the domain is watched again.
const (
	rewatchPause     = time.Second
	rewatchLastPause = 5 * time.Second
)

// lose reports that the connection is lost. It returns false if the domain has stopped
// before.
func (w *DomainWatcher) lose() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.Phase == PhaseStopped {
		return false
	}
	w.connection.dispatcher.remove(w)
	w.state = DomainState{Phase: PhaseLost}
	w.report(w.connection.Loss())
	return true
}

// callOnLost calls what OnLost was given.
func (w *DomainWatcher) callOnLost() {
	w.mu.Lock()
	do := w.onLost
	w.mu.Unlock()
	if do != nil {
		do()
	}
}

// rewatch watches the domain over a new connection, as soon as there is one. It returns
// false if Close was called before.
func (w *DomainWatcher) rewatch() bool {
	ctx, cancel := endsWith(context.Background(), w.closing, func() error { return context.Canceled })
	defer cancel()
	for pause := rewatchPause; ; pause = min(2*pause, rewatchLastPause) {
		select {
		case <-time.After(pause):
		case <-w.closing:
			return false
		}
		if w.resume(ctx) {
			return true
		}
	}
}

// resume registers for events over a new connection, and then reads the state of the
// domain: no change between the loss and now is missed. It reports whether the domain is
// watched again.
func (w *DomainWatcher) resume(ctx context.Context) bool {
	lost := w.Connection()
	if lost.pool == nil {
		return false // there is no other connection
	}
	on, release, err := lost.pool.Acquire(ctx, lost.URL)
	if err != nil {
		return false
	}
	w.setState(DomainState{Phase: PhaseUnknown})
	on.dispatcher.add(w)
	err = WithContext(ctx, on.Conn, func() error { return w.ReadState(on.Conn) })
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && w.state.Phase == PhaseUnknown {
		on.dispatcher.remove(w)
		w.state = DomainState{Phase: PhaseLost}
		release()
		return false
	}
	w.connection, w.release = on, append(w.release, release)
	if w.state.Phase != PhaseStopped { // the end is reported by watch
		w.report(w.outage) // for AwaitWatched, which waits for this connection
	}
	return true
}

func (w *DomainWatcher) setState(state DomainState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = state
}

// AwaitWatched waits until the domain is watched over a connection that is not lost.
func (w *DomainWatcher) AwaitWatched(ctx context.Context) error {
	for {
		w.mu.Lock()
		outage, changed, lost := w.outage, w.changed, w.connection.Keepalive.isLost()
		stopped := w.state.Phase == PhaseStopped
		w.mu.Unlock()
		if stopped || (!lost && !errors.Is(outage, provider.ErrHypervisorNotReachable)) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("watching domain %s again: %w", w.Domain, context.Cause(ctx))
		}
	}
}
