package virt

import (
	"context"
	"fmt"
	"sync"

	"github.com/overcast-go/overcast/internal/recovered"
	"libvirt.org/go/libvirt"
)

// connections shares one connection to each hypervisor among all who use it
// at the same time.
type Connections struct {
	Loop eventLoop
	mu   sync.Mutex
	open map[string]*Connection
	Once map[string]*sync.Once // what is done once in a process for a hypervisor
}

// connection is one that is open or being opened.
type Connection struct {
	URL   string
	users int
	Ready chan struct{} // closed once conn or err is set
	Conn  *libvirt.Connect
	err   error

	Heart      *heartbeat
	dispatcher dispatcher
}

func NewConnections() *Connections {
	return &Connections{open: map[string]*Connection{}, Once: map[string]*sync.Once{}}
}

// first does something for a hypervisor that has not been done in this process.
func (c *Connections) First(url string, do func()) {
	c.mu.Lock()
	once, ok := c.Once[url]
	if !ok {
		once = &sync.Once{}
		c.Once[url] = once
	}
	c.mu.Unlock()
	once.Do(do)
}

// acquire answers with a connection to the hypervisor and with what ends its
// use. The last user's end closes it.
func (c *Connections) Acquire(ctx context.Context, url string) (*Connection, func(), error) {
	c.mu.Lock()
	found, ok := c.open[url]
	if !ok || found.Lost() {
		found = &Connection{URL: url, Ready: make(chan struct{}), Heart: NewHeartbeat()}
		c.open[url] = found
		// libvirt cannot be told to stop opening a connection. The goroutine
		// ends when it has; release waits for it.
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
		return nil, nil, fmt.Errorf("connecting to %s: %w", RedactURL(url), context.Cause(ctx))
	}
}

// lost says that the connection was open, and is of no more use. Those who
// have it keep it until they release it.
func (c *Connection) Lost() bool {
	select {
	case <-c.Ready:
	default:
		return false
	}
	if c.err != nil {
		return false // its users are about to forget it
	}
	if c.Heart.stopped() {
		return true
	}
	alive, err := c.Conn.IsAlive()
	return err != nil || !alive
}

// connect opens a connection; it is the only one who sets conn and err.
func (c *Connections) connect(to *Connection) {
	defer close(to.Ready)
	to.err = recovered.Do(func() error { return c.dial(to) })
}

func (c *Connections) dial(to *Connection) error {
	if err := c.Loop.acquire(); err != nil {
		return err
	}
	conn, err := libvirt.NewConnect(to.URL)
	if err != nil {
		c.Loop.release()
		return connectError(to.URL, err)
	}
	if err := to.dispatcher.register(conn); err != nil {
		to.dispatcher.deregister(conn)
		_, _ = conn.Close()
		c.Loop.release()
		return err
	}
	// A driver that needs no daemon has no such callback: nothing can break there.
	_ = conn.RegisterCloseCallback(func(*libvirt.Connect, libvirt.ConnectCloseReason) {
		to.Heart.Stop(ClosedByLibvirtd)
	})
	to.Heart.start(conn)
	to.Conn = conn
	return nil
}

// release ends one use. A connection that could not be opened is forgotten,
// so that the next user tries again.
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
	if to.Heart.end() {
		c.close(to)
		return
	}
	// Nobody answers: closing, too, waits for an answer, or for the end of the
	// other side, for which nobody else has to wait.
	go c.close(to)
}

func (c *Connections) close(to *Connection) {
	to.dispatcher.deregister(to.Conn)
	_ = to.Conn.UnregisterCloseCallback() // fails where there is none
	_, _ = to.Conn.Close()
	c.Loop.release()
}
