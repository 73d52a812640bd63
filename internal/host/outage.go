package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/provider"
)

// Exited returns an [provider.ErrHostStopped] that says how the host has stopped. It is
// nil while the host runs or is paused, and if its provider reports no states.
func (h *Host) Exited() error {
	if _, outage := provider.OutageOf(h.instance); provider.EndsUse(outage) && !errors.Is(outage, provider.ErrHostPaused) {
		return outage
	}
	return nil
}

// outageDelay is how long a call whose connection was lost waits for the report
// that the host has stopped, or that it reboots: a system that shuts down
// ends its connections some seconds earlier.
const outageDelay = 10 * time.Second

// whileRunning makes a call that needs the host to run. When the host
// stops or is paused, the context of the call ends, and the error is the outage.
func (h *Host) whileRunning(ctx context.Context, call func(context.Context) error) error {
	changed, outage := provider.OutageOf(h.instance)
	if provider.EndsUse(outage) {
		return outage
	}
	running, unwatch := provider.WatchUse(ctx, h.instance)
	defer unwatch()
	err := call(running)
	if err == nil {
		return nil
	}
	if conflict := h.addressConflict(ctx, running, err); conflict != nil {
		return fmt.Errorf("%w (%w)", conflict, err)
	}
	if outage == nil && errors.Is(err, sshclient.ErrConnectionLost) && !errors.Is(err, sshclient.ErrClosed) {
		awaitReport(running, changed)
	}
	switch _, outage = provider.OutageOf(h.instance); {
	case provider.EndsUse(outage):
		return outage
	case provider.OutageCause(running) != nil: // it is over already
		return provider.OutageCause(running)
	case outage != nil:
		return fmt.Errorf("%w; and %w", err, outage)
	}
	return err
}

// conflictLimit limits the search for another machine with the address of the host, after a
// call has failed, and conflictPause is the interval of the checks.
const (
	conflictLimit = 2 * time.Second
	conflictPause = 200 * time.Millisecond
)

// addressConflict returns the [provider.ErrAddressConflict] that explains why the host
// could not be reached, or nil. After a lost or reset connection it checks several times,
// until running ends: the list of DHCP leases is updated a moment after a machine has taken over
// the address.
func (h *Host) addressConflict(ctx, running context.Context, err error) error {
	checker, ok := h.instance.(provider.ConflictChecker)
	if !ok || !h.verified.Load() || errors.Is(err, provider.ErrAddressConflict) || errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	// The cause of an expired context can be any error.
	expired := errors.Is(ctx.Err(), context.DeadlineExceeded) && errors.Is(err, context.Cause(ctx))
	if !expired && !isUnreached(err) {
		return nil
	}
	// The deadline of the caller may be over, and the cause is still worth naming.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), conflictLimit)
	defer cancel()
	for {
		if conflict := checker.CheckConflict(ctx); errors.Is(conflict, provider.ErrAddressConflict) {
			return conflict
		}
		if !errors.Is(err, sshclient.ErrConnectionLost) && !errors.Is(err, syscall.ECONNRESET) {
			return nil
		}
		select {
		case <-running.Done():
			return nil
		case <-ctx.Done():
			return nil
		case <-time.After(conflictPause):
		}
	}
}

// isUnreached reports whether an error can mean that another machine has the address: the
// connection was lost, or no machine or a wrong one answers.
func isUnreached(err error) bool {
	var dial *sshclient.DialError
	var network net.Error
	switch {
	case errors.Is(err, provider.ErrAddressConflict), errors.Is(err, sshclient.ErrClosed), errors.Is(err, ErrReverted):
		return false
	case errors.Is(err, sshclient.ErrConnectionLost):
		return true
	case errors.As(err, &dial):
		return dial.Phase != sshclient.PhaseSettings && dial.Phase != sshclient.PhaseName
	}
	return errors.As(err, &network) && network.Timeout()
}

// awaitReport waits for the next report of a host's provider, for outageDelay
// at the most. changed is nil if the provider reports nothing.
func awaitReport(running context.Context, changed <-chan struct{}) {
	if changed == nil {
		return
	}
	timeout := time.NewTimer(outageDelay)
	defer timeout.Stop()
	select {
	case <-changed:
	case <-running.Done():
	case <-timeout.C:
	}
}

// WithClient makes a call over the host's connection, see use.
func (h *Host) WithClient(ctx context.Context, call func(context.Context, *sshclient.Client) error) error {
	return h.use(ctx, func(running context.Context) error {
		client, err := h.Client(running)
		if err != nil {
			return err
		}
		defer closeAtOutage(running, client)()
		return call(ctx, client)
	})
}

// closeAtOutage aborts a connection when an outage ends the context. The operations on
// the connection then end at once, although the machine cannot answer. The returned
// function must be called.
func closeAtOutage(running context.Context, client *sshclient.Client) (release func()) {
	closed := make(chan struct{})
	stop := context.AfterFunc(running, func() {
		defer close(closed)
		if provider.OutageCause(running) != nil || errors.Is(context.Cause(running), ErrReverted) {
			_ = client.Abort() // it is of no more use either way
		}
	})
	return func() {
		if !stop() {
			<-closed
		}
	}
}
