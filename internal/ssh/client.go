package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// patience is how long an interrupted operation may take to wind up before
// its caller is no longer kept waiting.
const patience = time.Second

// A Client is a connection to a machine. Its methods may be used by several
// goroutines at once.
type Client struct {
	conn     *xssh.Client
	endpoint endpoint
	under    *Client // closed with this one
	opts     Options

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	cause  error // why the connection ended
	closed bool  // nothing new is begun
	tasks  sync.WaitGroup
}

func newClient(conn *xssh.Client, e endpoint, under *Client, opts Options) *Client {
	c := &Client{conn: conn, endpoint: e, under: under, opts: opts, done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.spawn(func() {
		err := conn.Wait()
		if err == nil {
			err = errors.New("closed by the machine")
		}
		c.end(err)
		close(c.done)
	})
	if opts.KeepAlive > 0 {
		c.spawn(c.keepAlive)
	}
	return c
}

// String is the user and address, for messages.
func (c *Client) String() string { return c.endpoint.User + "@" + c.endpoint.addr() }

// Done is closed when the connection has ended, for whatever reason.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is nil while the connection lasts, and then says why it ended; it wraps
// [ErrConnectionLost].
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrConnectionLost, c, c.cause)
}

// Wait returns when the connection has ended, with Err.
func (c *Client) Wait() error {
	<-c.done
	return c.Err()
}

// Close ends the connection and whatever is under way on it, and returns when
// all of it has ended. It may be called again, and on nil.
func (c *Client) Close() error {
	if c == nil {
		return nil
	}
	c.end(ErrClosed)
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.tasks.Wait()
	return c.under.Close()
}

// end closes the connection; the first cause is the one that counts.
func (c *Client) end(cause error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = cause
	}
	c.mu.Unlock()
	c.conn.Close()
}

// spawn runs a task that Close waits for, unless it is too late for that.
func (c *Client) spawn(task func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.tasks.Go(task)
	return true
}

// orLost is why the connection ended, if it did: what fails then fails for
// that reason, however it puts it. What ends without a word, or cannot write, may
// have noticed the end before we did, so that is asked for.
func (c *Client) orLost(err error) error {
	if err == nil {
		return nil
	}
	var silent *xssh.ExitMissingError
	var unwritten *net.OpError
	if errors.Is(err, io.EOF) || errors.As(err, &silent) || errors.As(err, &unwritten) {
		c.awaitEnd()
	}
	if lost := c.Err(); lost != nil {
		return lost
	}
	return err
}

// awaitEnd waits for the end of a connection that no longer works, and returns
// at once for one that does.
func (c *Client) awaitEnd() {
	if _, _, gone := c.conn.SendRequest(keepAliveRequest, true, nil); gone != nil {
		<-c.done
	}
}

// An operation is work that cannot be interrupted itself.
type operation[T any] struct {
	work      func() (T, error)
	interrupt func()  // makes work return soon; may itself block
	discard   func(T) // for a result that came too late; may be nil
}

// do waits for the operation or for the end of ctx, and then not longer than
// patience: on a half-open connection nothing returns before keepalive has
// noticed. What is left behind is a task of the client, which Close waits for.
func do[T any](ctx context.Context, c *Client, op operation[T]) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	var zero T
	if ctx.Err() != nil {
		return zero, context.Cause(ctx)
	}
	done := make(chan outcome, 1)
	if !c.spawn(func() {
		v, err := op.work()
		done <- outcome{v, c.orLost(err)}
	}) {
		return zero, c.Err()
	}
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
	}
	ended := make(chan struct{})
	c.spawn(op.interrupt)
	c.spawn(func() {
		defer close(ended)
		if o := <-done; o.err == nil && op.discard != nil {
			op.discard(o.value)
		}
	})
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	case <-c.ctx.Done():
	}
	return zero, context.Cause(ctx)
}
