package virt

import (
	"context"
	"fmt"

	"github.com/overcast-go/overcast/internal/recovered"
	"libvirt.org/go/libvirt"
)

// PendingCall is a call of libvirt that runs in a goroutine. libvirt cannot cancel
// a call: after a timeout it continues in the background, and an operation that
// must not run at the same time waits for its end.
type PendingCall struct {
	over chan struct{} // closed once err is set
	Err  error
}

// Async starts a call in a goroutine. A panic in the call becomes its error: it
// would end the process without clean-up.
func Async(do func() error) *PendingCall {
	c := &PendingCall{over: make(chan struct{})}
	go func() {
		defer close(c.over)
		c.Err = recovered.Do(do)
	}()
	return c
}

// Await waits for the end of the call or of ctx. It reports whether the call has
// ended.
func (c *PendingCall) Await(ctx context.Context) bool {
	select {
	case <-c.over:
		return true
	case <-ctx.Done():
	}
	select {
	case <-c.over: // both at once: the result counts
		return true
	default:
		return false
	}
}

// WithContext makes a call and waits for it until ctx ends. A call that has not
// ended by then continues in the background until libvirt answers or the connection
// ends. It holds a reference to conn, which may be nil.
func WithContext(ctx context.Context, conn *libvirt.Connect, do func() error) error {
	c := asyncOn(conn, do)
	if !c.Await(ctx) {
		return fmt.Errorf("libvirt has not answered: %w", context.Cause(ctx))
	}
	return c.Err
}

// asyncOn starts a call in a goroutine that holds a reference to conn, which may be
// nil.
func asyncOn(conn *libvirt.Connect, do func() error) *PendingCall {
	if conn == nil {
		return Async(do)
	}
	if err := conn.Ref(); err != nil {
		return Async(func() error { return err })
	}
	return Async(func() error {
		defer conn.Close() // releases the reference
		return do()
	})
}
