package provider

import (
	"context"
	"errors"
	"strings"
	"sync"
)

// OutageReporter is an [Instance] that knows whether its machine runs.
type OutageReporter interface {
	// Outage returns nil while the machine runs, or while nothing is known to
	// the contrary, and otherwise why it does not run. The error is one of
	//
	//   - [ErrHostStopped]: the machine does not run again;
	//   - [ErrHostPaused]: the machine can be resumed. If an error in its chain
	//     has a method Fault() bool that returns true, a fault paused the
	//     machine, and a set-up does not wait for its end;
	//   - [ErrHypervisorNotReachable]: it is no longer known whether it runs.
	//
	// The channel is closed when the answer changes, and when the machine
	// reboots. It may be nil if neither will be reported.
	Outage() (changed <-chan struct{}, err error)
}

// OutageOf returns the outage of an instance. It is nil if the instance is not an
// [OutageReporter].
func OutageOf(of Instance) (changed <-chan struct{}, err error) {
	if r, ok := of.(OutageReporter); ok {
		return r.Outage()
	}
	return nil, nil
}

// EndsUse reports whether an outage fails the calls that use the host. While
// the hypervisor is silent, the host may still answer by SSH.
func EndsUse(outage error) bool {
	return outage != nil && !errors.Is(outage, ErrHypervisorNotReachable)
}

// endsSetUp reports whether an outage fails a set-up. A pause that no fault has
// caused does not: a command has paused the machine, and another can resume it.
func endsSetUp(outage error) bool {
	var pause interface{ Fault() bool }
	return outage != nil && (!errors.Is(outage, ErrHostPaused) || (errors.As(outage, &pause) && pause.Fault()))
}

// outageError is the cause of a context that an outage has ended.
type outageError struct{ outage error }

func (e *outageError) Error() string { return e.outage.Error() }
func (e *outageError) Unwrap() error { return e.outage }

// OutageCause returns the outage that has ended a context of this package, or nil.
func OutageCause(ctx context.Context) error {
	var by *outageError
	if errors.As(context.Cause(ctx), &by) {
		return by.outage
	}
	return nil
}

// watch returns a context that ends at the first outage for which ends is true;
// the outage is its cause. seen, if there is one, is called with every other
// answer of the instance. The returned function must be called; it waits until
// the watch has ended.
func watch(ctx context.Context, of Instance, ends func(error) bool, seen func(error)) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	r, ok := of.(OutageReporter)
	if !ok {
		return ctx, func() { cancel(nil) }
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			changed, outage := r.Outage()
			if ends(outage) {
				cancel(&outageError{outage})
				return
			}
			if seen != nil {
				seen(outage)
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, func() {
		cancel(nil)
		watching.Wait()
	}
}

// WatchUse returns a context for a call that uses the host. It ends at an outage for
// which [EndsUse] is true; the outage is its cause. The returned function must be
// called.
func WatchUse(ctx context.Context, of Instance) (context.Context, context.CancelFunc) {
	return watch(ctx, of, EndsUse, nil)
}

// WatchSetUp returns a context for the waits of a set-up. It ends when the
// machine stops, when a fault pauses it, and when the hypervisor cannot be
// reached any more; the outage is its cause. A pause without a fault, as by an
// administrator, does not end it: the wait goes on until its own timeout, and
// the pause and its end are reported as [StepPaused] and [StepResumed]. The
// returned function must be called.
//
// [SetUp] uses it from the address on; an Instance uses it for its own waits.
func WatchSetUp(ctx context.Context, of Instance) (context.Context, context.CancelFunc) {
	paused := false
	return watch(ctx, of, endsSetUp, func(outage error) {
		if outage != nil && !paused {
			Report(ctx, StepPaused, pauseDetail(of))
		}
		if outage == nil && paused {
			Report(ctx, StepResumed, "")
		}
		paused = outage != nil
	})
}

// pauseDetail returns what the instance's state says beside the word paused.
func pauseDetail(of Instance) string {
	s, ok := of.(StateReporter)
	if !ok {
		return ""
	}
	return strings.TrimLeft(strings.TrimPrefix(s.State(), StepPaused), ": ")
}
