package virt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"libvirt.org/go/libvirt"
)

// Keepalive detects that a connection is lost: that it was closed, or that the other
// end does not answer. It replaces libvirt's own keepalive, which cancels waiting
// calls in a way that crashes libvirt before 10.4 when several wait at the same time
// (CVE-2024-4418).
type Keepalive struct {
	once     sync.Once
	lost     chan struct{} // closed once how is set
	how      string
	stopping chan struct{}
	running  sync.WaitGroup
}

// NewKeepalive returns a keepalive that is not started.
func NewKeepalive() *Keepalive {
	return &Keepalive{lost: make(chan struct{}), stopping: make(chan struct{})}
}

// Interval between requests to the other end, the limit for an answer, and how long
// a request over the connection waits before one over another connection is made.
const (
	keepaliveInterval = 5 * time.Second
	keepaliveTimeout  = 10 * time.Second
	keepaliveBusy     = 3 * time.Second
)

// requests are the requests of a keepalive. An error is an answer too.
type requests struct {
	queued func() error // over the connection; waits behind its other calls
	direct func() error // over a connection of its own; an error is no answer
}

// requestsTo returns the requests for a connection.
func (c *Connections) requestsTo(url string, conn *libvirt.Connect) requests {
	return requests{
		queued: func() error { _, err := conn.GetLibVersion(); return err },
		direct: func() error {
			if err := c.Loop.acquire(); err != nil {
				return err
			}
			defer c.Loop.release()
			probe, err := open(url)
			if err != nil {
				return err
			}
			defer probe.Close()
			_, err = probe.GetLibVersion()
			return err
		},
	}
}

// start starts sending requests. It holds a reference to conn while a request over it
// is pending.
func (h *Keepalive) start(conn *libvirt.Connect, to requests) {
	h.running.Go(func() {
		ctx, cancel := endsWith(context.Background(), h.stopping, func() error { return errStopped })
		defer cancel()
		tick := time.NewTicker(keepaliveInterval)
		defer tick.Stop()
		var queued *PendingCall
		for {
			select {
			case <-tick.C:
			case <-h.stopping:
				return
			case <-h.lost:
				return
			}
			if queued == nil {
				queued = asyncOn(conn, to.queued)
			}
			switch answered(ctx, queued, to.direct) {
			case queued:
				queued = nil
			case nil:
				if ctx.Err() != nil {
					return
				}
				h.MarkLost(fmt.Sprintf("it has not answered for %d seconds", int(keepaliveTimeout.Seconds())))
			}
		}
	})
}

// errStopped is why a keepalive no longer waits for an answer.
var errStopped = errors.New("the keepalive was stopped")

// answered waits for the answer to a request over the connection. libvirtd processes at
// most 5 calls of one connection at a time (max_client_requests), so an answer may be
// late only because other calls take long. After keepaliveBusy, another connection is
// asked too. The result is the request that was answered, or nil after
// keepaliveTimeout or when ctx ends.
func answered(ctx context.Context, queued *PendingCall, direct func() error) *PendingCall {
	limit, cancel := context.WithTimeout(ctx, keepaliveTimeout)
	defer cancel()
	early, cancelEarly := context.WithTimeout(limit, keepaliveBusy)
	defer cancelEarly()
	if queued.Await(early) {
		return queued
	}
	if ctx.Err() != nil {
		return nil
	}
	probe := Async(direct) // ends by itself when the other end answers or is gone
	select {
	case <-queued.over:
		return queued
	case <-probe.over:
		if probe.Err == nil {
			return probe
		}
	case <-limit.Done():
		return nil
	}
	if queued.Await(limit) {
		return queued
	}
	return nil
}

// MarkLost marks the connection as lost. The first call sets how.
func (h *Keepalive) MarkLost(how string) {
	h.once.Do(func() {
		h.how = how
		close(h.lost)
	})
}

// isLost reports whether the connection is lost.
func (h *Keepalive) isLost() bool {
	select {
	case <-h.lost:
		return true
	default:
		return false
	}
}

// stop stops the requests, and reports whether the connection is not lost. It does not
// wait for the answer to a request.
func (h *Keepalive) stop() bool {
	close(h.stopping)
	h.running.Wait()
	return !h.isLost()
}

// Context returns a context that ends when the connection is lost, with a
// *[ConnectionLostError] as its cause. The returned function must be called.
func (c *Connection) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	return endsWith(ctx, c.Keepalive.lost, c.Loss)
}

// Loss returns the error of a lost connection.
func (c *Connection) Loss() error { return &ConnectionLostError{URL: c.URL, How: c.Keepalive.how} }

// CheckLost returns the error of the connection if it is lost, and otherwise nil.
// A call may fail before libvirt reports that the connection has ended.
func (c *Connection) CheckLost() error {
	if !c.Lost() {
		return nil
	}
	c.Keepalive.MarkLost(ClosedByLibvirtd)
	return c.Loss()
}

// OrLost returns the error of a call over the connection. If the connection is lost,
// that is the cause and comes first.
func (c *Connection) OrLost(err error) error {
	if err == nil {
		return nil
	}
	loss := c.CheckLost()
	var lost *ConnectionLostError
	switch {
	case errors.As(err, &lost):
		return lost
	case loss != nil:
		return fmt.Errorf("%w: %w", loss, err)
	}
	return err
}

// ClosedByLibvirtd is how a connection was lost whose other end has closed it.
const ClosedByLibvirtd = "libvirtd has closed the connection"

// endsWith returns a context that ends when a channel is closed, with the cause that
// a function returns then. The returned function must be called.
func endsWith(ctx context.Context, closed <-chan struct{}, cause func() error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() { // ends with ctx, which the caller ends
		select {
		case <-closed:
			cancel(cause())
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}
