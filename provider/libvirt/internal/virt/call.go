package virt

import (
	"context"
	"fmt"

	"github.com/overcast-go/overcast/internal/recovered"
	"libvirt.org/go/libvirt"
)

// call is something that libvirt has been asked for. It cannot be told to stop:
// whoever no longer waits for it leaves it under way, and what must not happen
// beside it waits for its end.
type PendingCall struct {
	over chan struct{} // closed once err is set
	Err  error
}

// begin makes a call, in a goroutine of its own. A panic in it is its error: it
// would end the process, and nothing would be taken away.
func Async(do func() error) *PendingCall {
	c := &PendingCall{over: make(chan struct{})}
	go func() {
		defer close(c.over)
		c.Err = recovered.Do(do)
	}()
	return c
}

// await says whether the call was over before ctx was.
func (c *PendingCall) Await(ctx context.Context) bool {
	select {
	case <-c.over:
		return true
	case <-ctx.Done():
	}
	select {
	case <-c.over: // both at once: the answer counts
		return true
	default:
		return false
	}
}

// bounded makes a call, and waits for it no longer than ctx lasts. If it is not
// over then, it goes on behind the scenes until libvirt answers or the connection
// ends; the connection stays open for it.
func WithContext(ctx context.Context, conn *libvirt.Connect, do func() error) error {
	if conn != nil {
		if err := conn.Ref(); err != nil {
			return err
		}
	}
	c := Async(func() error {
		if conn != nil {
			defer conn.Close() // gives the reference back
		}
		return do()
	})
	if !c.Await(ctx) {
		return fmt.Errorf("libvirt has not answered: %w", context.Cause(ctx))
	}
	return c.Err
}
