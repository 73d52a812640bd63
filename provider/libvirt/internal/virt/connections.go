package virt

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/overcast-go/overcast/internal/redact"
	"libvirt.org/go/libvirt"
)

// Connections shares one connection to each hypervisor among its concurrent users.
type Connections struct {
	Loop EventLoop
	mu   sync.Mutex
	open map[string]*Connection
	once map[string]*sync.Once // what is done once in a process for a hypervisor
}

// Connection is a connection that is open or being opened.
type Connection struct {
	URL   string
	pool  *Connections // that it belongs to; nil for none
	users int
	Ready chan struct{} // closed once conn or err is set
	Conn  *libvirt.Connect
	err   error

	Keepalive  *Keepalive
	dispatcher dispatcher
}

// NewConnections returns an empty set.
func NewConnections() *Connections {
	return &Connections{open: map[string]*Connection{}, once: map[string]*sync.Once{}}
}

// Once calls do if no function has been called for the key in this process.
func (c *Connections) Once(key string, do func()) {
	c.mu.Lock()
	once, ok := c.once[key]
	if !ok {
		once = &sync.Once{}
		c.once[key] = once
	}
	c.mu.Unlock()
	once.Do(do)
}

// Acquire returns a connection to the hypervisor, and a function that releases it.
// The last release closes the connection. It fails with a *[ConnectError]; for a URL
// with a password, before anything is dialled.
func (c *Connections) Acquire(ctx context.Context, url string) (*Connection, func(), error) {
	if err := CheckPassword(url); err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	found, ok := c.open[url]
	if !ok || found.Lost() {
		found = &Connection{URL: url, pool: c, Ready: make(chan struct{}), Keepalive: NewKeepalive()}
		c.open[url] = found
		// libvirt cannot cancel the opening of a connection. The goroutine ends
		// when it is open or has failed; release waits for it.
		go c.connect(found)
	}
	found.users++
	c.mu.Unlock()

	release := sync.OnceFunc(func() { c.release(found) })
	select {
	case <-found.Ready:
		if found.err != nil {
			release()
			return nil, nil, found.err
		}
		return found, release, nil
	case <-ctx.Done():
		go release()
		return nil, nil, fmt.Errorf("connecting to %s: %w", redact.Text(url), context.Cause(ctx))
	}
}

// Lost reports whether the connection was open and can no longer be used. Its users
// keep it until they release it.
func (c *Connection) Lost() bool {
	select {
	case <-c.Ready:
	default:
		return false
	}
	if c.err != nil {
		return false // its users are about to forget it
	}
	if c.Keepalive.isLost() {
		return true
	}
	alive, err := c.Conn.IsAlive()
	return err != nil || !alive
}

// connect opens a connection. Only it sets Conn and err.
func (c *Connections) connect(to *Connection) {
	defer close(to.Ready)
	to.err = recovered.Do(func() error { return c.dial(to) })
}

func (c *Connections) dial(to *Connection) error {
	if err := c.Loop.acquire(); err != nil {
		return err
	}
	conn, err := open(to.URL)
	if err != nil {
		c.Loop.release()
		return connectError(to.URL, err)
	}
	if err := to.register(conn); err != nil {
		if alive, errAlive := conn.IsAlive(); errAlive != nil || !alive {
			err = fmt.Errorf("%w: %w", &ConnectionLostError{URL: to.URL, How: ClosedByLibvirtd}, err)
		}
		to.dispatcher.deregister(conn)
		_, _ = conn.Close()
		c.Loop.release()
		return fmt.Errorf("connecting to %s: %w", redact.Text(to.URL), err)
	}
	to.Keepalive.start(conn, c.requestsTo(to.URL, conn))
	to.Conn = conn
	return nil
}

// register registers for the events of a connection and for its end.
func (c *Connection) register(conn *libvirt.Connect) error {
	if err := c.dispatcher.register(conn); err != nil {
		return err
	}
	err := conn.RegisterCloseCallback(func(*libvirt.Connect, libvirt.ConnectCloseReason) {
		c.Keepalive.MarkLost(ClosedByLibvirtd)
	})
	if err != nil {
		return fmt.Errorf("registering for the end of the connection: %w", StripCodes(err))
	}
	return nil
}

// closeTimeout limits how long the last user of a connection waits until it is closed.
// Closing waits for answers of libvirt, also when libvirtd does not answer any more.
const closeTimeout = 2 * time.Second

// release ends one use. A connection that could not be opened is removed, so that
// the next user tries again. Closing a connection that does not answer continues in the
// background.
func (c *Connections) release(to *Connection) {
	<-to.Ready
	c.mu.Lock()
	to.users--
	last := to.users == 0
	if (last || to.err != nil) && c.open[to.URL] == to {
		delete(c.open, to.URL)
	}
	c.mu.Unlock()
	if !last || to.Conn == nil {
		return
	}
	lost := !to.Keepalive.stop()
	closing := Async(func() error { c.close(to); return nil })
	if lost {
		return // the other end does not answer
	}
	limit, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	closing.Await(limit)
}

func (c *Connections) close(to *Connection) {
	to.dispatcher.deregister(to.Conn)
	_ = to.Conn.UnregisterCloseCallback() // fails where there is none
	_, _ = to.Conn.Close()
	c.Loop.release()
}
