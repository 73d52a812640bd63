package virt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"libvirt.org/go/libvirt"
)

// heartbeat notices that a connection is lost: that it has ended, or that
// nobody answers at its other end. It stands in for libvirt's own keepalive,
// which ends calls that wait for an answer in a way that makes libvirt before
// 10.4 crash when several wait at once (CVE-2024-4418).
type heartbeat struct {
	once    sync.Once
	lost    chan struct{} // closed once how is set
	how     string
	ending  chan struct{}
	beating sync.WaitGroup
}

func NewHeartbeat() *heartbeat {
	return &heartbeat{lost: make(chan struct{}), ending: make(chan struct{})}
}

// How often the other end is asked whether it is there, and how long it may
// take to answer.
const (
	beatPause  = 5 * time.Second
	beatAnswer = 10 * time.Second
)

// start begins to ask.
func (h *heartbeat) start(conn *libvirt.Connect) {
	h.beating.Go(func() {
		tick := time.NewTicker(beatPause)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-h.ending:
				return
			case <-h.lost:
				return
			}
			limit, cancel := context.WithTimeout(context.Background(), beatAnswer)
			_ = WithContext(limit, conn, func() error { _, err := conn.GetLibVersion(); return err }) // an error is an answer, too
			late := limit.Err() != nil
			cancel()
			if late {
				h.Stop(fmt.Sprintf("it has not answered for %d seconds", int(beatAnswer.Seconds())))
			}
		}
	})
}

// stop notes that the connection is lost. The first word counts.
func (h *heartbeat) Stop(how string) {
	h.once.Do(func() {
		h.how = how
		close(h.lost)
	})
}

// stopped says whether the connection is lost.
func (h *heartbeat) stopped() bool {
	select {
	case <-h.lost:
		return true
	default:
		return false
	}
}

// end ends the asking, and says whether the connection still answers.
func (h *heartbeat) end() bool {
	close(h.ending)
	h.beating.Wait()
	return !h.stopped()
}

// context ends, with a *ConnectionLostError as its cause, when the connection
// is lost. The function that it returns must be called.
func (c *Connection) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	return endsWith(ctx, c.Heart.lost, c.Loss)
}

// loss is the error of a connection that is lost.
func (c *Connection) Loss() error { return &ConnectionLostError{URL: c.URL, How: c.Heart.how} }

// checkLost returns the error of the connection if it is lost, and otherwise nil.
// A call may fail before libvirt reports that the connection has ended.
func (c *Connection) CheckLost() error {
	if !c.Lost() {
		return nil
	}
	c.Heart.Stop(ClosedByLibvirtd)
	return c.Loss()
}

// orLost returns the error of something that needed the connection. If the
// connection is lost, that is the cause, and comes first.
func (c *Connection) OrLost(err error) error {
	if err == nil {
		return nil
	}
	loss := c.CheckLost()
	var told *ConnectionLostError
	switch {
	case errors.As(err, &told):
		return told
	case loss != nil:
		return fmt.Errorf("%w: %w", loss, err)
	}
	return err
}

// closedByLibvirtd is how a connection is lost whose other end is gone.
const ClosedByLibvirtd = "libvirtd has closed the connection"

// endsWith returns a context that ends when a channel is closed, with a cause
// that is known by then. The returned function must be called.
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
