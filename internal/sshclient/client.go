package sshclient

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient/sshconfig"
)

// How long callers wait for the end of what they have cancelled.
const (
	cancelGrace = time.Second     // an operation of the connection
	reapGrace   = 3 * time.Second // the processes of a command
)

// A Client is a login on a machine: one connection, and further ones while many
// commands run at the same time (see [Client.Run]). Its methods may be called by
// several goroutines.
type Client struct {
	endpoint sshconfig.Endpoint
	under    *Client // closed with this one
	opts     Options
	first    *connection
	sessions *sessionPool
	reaper   reaper

	ctx    context.Context // ends when Close is called
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool // no task is started any longer
	tasks  sync.WaitGroup
}

func newClient(conn *wireClient, login func(context.Context) (*wireClient, error), e sshconfig.Endpoint, under *Client, opts Options) *Client {
	c := &Client{endpoint: e, under: under, opts: opts}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.reaper.client = c
	c.first = newConnection(c, conn)
	c.sessions = newSessionPool(c, c.first, login)
	c.first.start(func() { c.sessions.close(c.first.reason()) })
	return c
}

// String is the user and address, for messages.
func (c *Client) String() string { return c.endpoint.User + "@" + c.endpoint.Addr() }

// User is the user that is logged in.
func (c *Client) User() string { return c.endpoint.User }

// Done is closed when the connection has ended, for whatever reason.
func (c *Client) Done() <-chan struct{} { return c.first.done }

// Err is nil while the connection lasts, and then says why it ended; it wraps
// [ErrConnectionLost].
func (c *Client) Err() error { return c.first.err() }

// Wait returns when the connection has ended, with Err.
func (c *Client) Wait() error {
	<-c.Done()
	return c.Err()
}

// Close ends all operations, which fail with [ErrClosed] at once, and closes the
// connections. Before, it ends the processes of tracked commands as [Client.Run]
// does when a context ends, for at most 3 s. It returns when everything has
// ended. It may be called again, and on nil.
func (c *Client) Close() error {
	if c == nil {
		return nil
	}
	c.first.setCause(ErrClosed)
	c.cancel()
	limit := time.AfterFunc(reapGrace, func() { c.first.end(ErrClosed) })
	c.reaper.close()
	limit.Stop()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.first.end(ErrClosed)
	c.tasks.Wait()
	return c.under.Close()
}

// Abort is Close for a machine that cannot answer: it sends nothing, and leaves the
// processes of commands.
func (c *Client) Abort() error {
	c.reaper.abandon()
	c.first.end(ErrClosed)
	return c.Close()
}

// spawn starts a task that Close waits for, unless the client was closed.
func (c *Client) spawn(task func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.tasks.Go(task)
	return true
}

// An operation is work that does not take a context.
type operation[T any] struct {
	work      func() (T, error)
	interrupt func()        // makes work return soon; may itself block
	grace     time.Duration // how long the caller waits for both
	discard   func(T)       // for a result that came too late; may be nil
}

// do waits for the operation. When ctx ends, it interrupts the operation and waits for
// at most its grace: on a half-open connection, no call returns before keepalive ends
// the connection. The error is then the cause of ctx, and what is known to be wrong with
// the connection. An operation that goes on after that is a task of the client, for
// which Close waits.
func do[T any](ctx context.Context, c *Client, op operation[T]) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	var zero T
	if ctx.Err() != nil {
		return zero, context.Cause(ctx)
	}
	if c.ctx.Err() != nil {
		return zero, c.Err()
	}
	done := make(chan outcome, 1)
	if !c.spawn(func() {
		v, err := op.work()
		done <- outcome{v, err}
	}) {
		return zero, c.Err()
	}
	select {
	case o := <-done:
		return o.value, o.err
	case <-c.ctx.Done():
		return zero, c.Err()
	case <-ctx.Done():
	}
	cause := context.Cause(ctx)
	ended := make(chan struct{})
	if !c.spawn(func() {
		defer close(ended)
		op.interrupt()
		o := <-done
		if o.err == nil && op.discard != nil {
			op.discard(o.value)
		}
		switch {
		case errors.Is(o.err, cause):
			cause = o.err // and what was waited for
		case errors.Is(o.err, ErrConnectionLost) && !errors.Is(o.err, ErrClosed):
			cause = fmt.Errorf("%w (%w)", o.err, cause)
		}
	}) {
		return zero, c.Err()
	}
	if waitTimeout(ended, op.grace, c.ctx.Done()) {
		return zero, c.first.explain(cause)
	}
	return zero, c.first.explain(context.Cause(ctx))
}

// waitTimeout reports whether a channel is closed within the limit and before
// any of the others is.
func waitTimeout(closed <-chan struct{}, limit time.Duration, stop <-chan struct{}) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-closed:
		return true
	case <-timer.C:
	case <-stop:
	}
	return false
}
