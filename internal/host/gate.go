package host

import (
	"context"
	"fmt"
	"sync"
)

// gate lets calls that use a host wait while its state is saved or replaced. The
// zero value needs a reset.
type gate struct {
	mu      sync.Mutex
	open    chan struct{} // closed while the gate is open
	state   context.Context
	replace context.CancelCauseFunc // ends state
	calls   int                     // that use the host
	touched bool                    // the host may have another state than the pristine one
	exposed bool                    // the host's address is known to others: it can be used without a call
}

// reset opens the gate, for a new state of the host.
func (g *gate) reset() {
	g.open = make(chan struct{})
	close(g.open)
	g.state, g.replace = context.WithCancelCause(context.Background())
}

// visit is the use of a host by a call.
type visit struct {
	inside context.Context // ends with ErrReverted soon after the state of the host is replaced
	state  context.Context
	leave  func() // must be called
}

// isReverted reports whether the state of the host has been replaced. A call can fail for
// that reason before its context ends.
func (v *visit) isReverted() bool { return v.state.Err() != nil }

// enter waits until the gate is open.
func (g *gate) enter(ctx context.Context) (*visit, error) {
	for {
		g.mu.Lock()
		open := g.open
		select {
		case <-open:
			defer g.mu.Unlock()
			g.calls++
			g.touched = true
			state := g.state
			inside, cancel := context.WithCancelCause(ctx)
			stop := context.AfterFunc(state, func() { cancel(context.Cause(state)) })
			return &visit{inside: inside, state: state, leave: func() { stop(); cancel(nil); g.leave() }}, nil
		default:
		}
		g.mu.Unlock()
		select {
		case <-open:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the end of a checkpoint or revert: %w", context.Cause(ctx))
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls--
}

// close makes new calls wait.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

// endState ends the calls that use the host.
func (g *gate) endState() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.replace(ErrReverted)
	g.state, g.replace = context.WithCancelCause(context.Background())
}

// reopen lets the calls go on that wait.
func (g *gate) reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

// isIdle reports whether no call uses the host.
func (g *gate) isIdle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls == 0
}

// touch notes that the state of the host is not the pristine one.
func (g *gate) touch() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.touched = true
}

// setClean notes that the state of the host is the pristine one.
func (g *gate) setClean() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.touched = g.calls > 0
}

// isClean reports whether nothing can have used the host since setClean.
func (g *gate) isClean() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.touched && !g.exposed
}

// Expose notes that the host can be used from now on without a call, as its
// address or a connection to it has been handed out.
func (h *Host) Expose() {
	h.gate.mu.Lock()
	defer h.gate.mu.Unlock()
	h.gate.exposed = true
}

// use makes a call that uses the host, see whileRunning. It waits for the end of a
// checkpoint or revert that is in progress, and fails with an ErrReverted when the
// host is reverted during the call.
func (h *Host) use(ctx context.Context, call func(context.Context) error) error {
	v, err := h.gate.enter(ctx)
	if err != nil {
		return err
	}
	defer v.leave()
	err = h.whileRunning(v.inside, call)
	if err != nil && ctx.Err() == nil && v.isReverted() {
		return ErrReverted
	}
	return err
}
