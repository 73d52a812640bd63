package sshclient

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// A connection is an SSH connection of a client: the first one, with which the client
// ends, or a later one for more sessions.
type connection struct {
	client *Client
	ssh    *xssh.Client
	// received is how many bytes the machine has sent.
	received *atomic.Int64
	done     chan struct{} // closed when the connection has ended

	mu     sync.Mutex
	cause  error         // why it ended
	silent time.Duration // how long a keepalive request has had no answer
}

// A wireClient is an SSH connection with the number of bytes that the machine has
// sent on it.
type wireClient struct {
	ssh      *xssh.Client
	received *atomic.Int64
}

// A countingConn counts the bytes that it receives.
type countingConn struct {
	net.Conn
	received *atomic.Int64
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}

func newConnection(c *Client, conn *wireClient) *connection {
	return &connection{client: c, ssh: conn.ssh, received: conn.received, done: make(chan struct{})}
}

// start begins to watch the connection, and calls ended after its end. It
// fails if the client was closed.
func (n *connection) start(ended func()) bool {
	if !n.client.spawn(func() {
		err := n.ssh.Wait()
		if err == nil {
			err = errors.New("closed by the machine")
		}
		n.end(err)
		close(n.done)
		ended()
	}) {
		return false
	}
	if n.client.opts.KeepAlive > 0 {
		n.client.spawn(n.keepAlive)
	}
	return true
}

// end closes the connection.
func (n *connection) end(cause error) {
	n.setCause(cause)
	n.ssh.Close()
}

// setCause sets why the connection ends. The first cause counts.
func (n *connection) setCause(cause error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cause == nil {
		n.cause = cause
	}
}

// reason returns why the connection ends, or nil while it lasts.
func (n *connection) reason() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cause
}

// err is nil while the connection lasts, and then wraps [ErrConnectionLost].
func (n *connection) err() error {
	cause := n.reason()
	if cause == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrConnectionLost, n.client, cause)
}

// setSilent sets how long a keepalive request has had no answer.
func (n *connection) setSilent(silent time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent = silent
}

// explain adds to the cause of a context that has ended what is known to be wrong with
// the connection: it has ended, or does not answer.
func (n *connection) explain(cause error) error {
	lost := n.err()
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case errors.Is(cause, ErrConnectionLost), errors.Is(lost, ErrClosed):
		return cause
	case lost != nil:
		return fmt.Errorf("%w (%w)", lost, cause)
	case n.silent > 0:
		return fmt.Errorf("%w: no answer to keepalive requests for %s", cause, n.silent)
	}
	return cause
}

// orLost replaces the error of an operation by the reason why the connection
// ended, if it has ended. Some errors arrive before the end is noticed here;
// after those it asks the machine for an answer first.
func (n *connection) orLost(err error) error {
	if err == nil {
		return nil
	}
	var silent *xssh.ExitMissingError
	var unwritten *net.OpError
	if errors.Is(err, io.EOF) || errors.As(err, &silent) || errors.As(err, &unwritten) {
		n.awaitEnd()
	}
	if lost := n.err(); lost != nil {
		return lost
	}
	return err
}

// awaitEnd waits for the end of a connection that no longer works. It returns
// at once if the connection works.
func (n *connection) awaitEnd() {
	if _, _, gone := n.ssh.SendRequest(keepAliveRequest, true, nil); gone != nil {
		<-n.done
	}
}

// openChannel opens a channel, and fails when the connection ends. The library
// does not guarantee the latter: a channel that is opened while the library
// handles the end of the connection waits for an answer without limit. In that
// case the goroutine that opens it is left behind.
func openChannel[T any](n *connection, open func() (T, error)) (T, error) {
	type outcome struct {
		channel T
		err     error
	}
	done := make(chan outcome, 1)
	go func() {
		channel, err := open()
		done <- outcome{channel, err}
	}()
	select {
	case o := <-done:
		var refused *xssh.OpenChannelError
		if o.err != nil && !errors.As(o.err, &refused) {
			n.awaitEnd() // the library may notice the end before watch does
			if lost := n.err(); lost != nil {
				o.err = lost
			}
		}
		return o.channel, o.err
	case <-n.done:
		var none T
		return none, n.err()
	}
}

// keepAliveRequest is the request that OpenSSH uses. Any answer shows that the
// machine works; most servers refuse the request.
const keepAliveRequest = "keepalive@openssh.com"

// keepAlive sends a request at each interval, and ends the connection when the
// machine has sent nothing for KeepAliveMisses intervals: neither an answer nor
// other data. During a slow upload, the answer waits behind the data. Without
// keepalive, an operation on a half-open connection would wait without limit.
func (n *connection) keepAlive() {
	opts := n.client.opts
	ticker := time.NewTicker(opts.KeepAlive)
	defer ticker.Stop()
	answered := make(chan error, 1)
	waiting, missed, seen := false, 0, n.received.Load()
	for {
		select {
		case <-n.done:
			return
		case err := <-answered:
			if err != nil {
				return // the connection has ended
			}
			waiting, missed = false, 0
			n.setSilent(0)
		case <-ticker.C:
			if received := n.received.Load(); received != seen {
				seen, missed = received, 0
			} else if waiting {
				missed++
			}
			n.setSilent(time.Duration(missed) * opts.KeepAlive)
			if missed >= opts.KeepAliveMisses {
				n.end(fmt.Errorf("no answer to keepalive requests for %s", time.Duration(missed)*opts.KeepAlive))
				return
			}
			if waiting {
				continue
			}
			waiting = true
			n.client.spawn(func() {
				_, _, err := n.ssh.SendRequest(keepAliveRequest, true, nil)
				answered <- err
			})
		}
	}
}
