package libvirt

import (
	"context"
	"fmt"
	"sync"

	"github.com/overcast-go/overcast/internal/recovered"
	"libvirt.org/go/libvirt"
)

// connections shares one connection to each hypervisor among all who use it
// at the same time.
type connections struct {
	loop eventLoop
	mu   sync.Mutex
	open map[string]*connection
	once map[string]*sync.Once // what is done once in a process for a hypervisor
}

// connection is one that is open or being opened.
type connection struct {
	url   string
	users int
	ready chan struct{} // closed once conn or err is set
	conn  *libvirt.Connect
	err   error

	heart      *heartbeat
	dispatcher dispatcher
}

func newConnections() *connections {
	return &connections{open: map[string]*connection{}, once: map[string]*sync.Once{}}
}

// first does something for a hypervisor that has not been done in this process.
func (c *connections) first(url string, do func()) {
	c.mu.Lock()
	once, ok := c.once[url]
	if !ok {
		once = &sync.Once{}
		c.once[url] = once
	}
	c.mu.Unlock()
	once.Do(do)
}

// acquire answers with a connection to the hypervisor and with what ends its
// use. The last user's end closes it.
func (c *connections) acquire(ctx context.Context, url string) (*connection, func(), error) {
	c.mu.Lock()
	found, ok := c.open[url]
	if !ok || found.lost() {
		found = &connection{url: url, ready: make(chan struct{}), heart: newHeartbeat()}
		c.open[url] = found
		// libvirt cannot be told to stop opening a connection. The goroutine
		// ends when it has; release waits for it.
		go c.connect(found)
	}
	found.users++
	c.mu.Unlock()

	release := sync.OnceFunc(func() { c.release(found) })
	select {
	case <-found.ready:
		if found.err != nil {
			release()
			return nil, nil, found.err
		}
		return found, release, nil
	case <-ctx.Done():
		go release()
		return nil, nil, fmt.Errorf("connecting to %s: %w", shownURL(url), context.Cause(ctx))
	}
}

// lost says that the connection was open, and is of no more use. Those who
// have it keep it until they release it.
func (c *connection) lost() bool {
	select {
	case <-c.ready:
	default:
		return false
	}
	if c.err != nil {
		return false // its users are about to forget it
	}
	if c.heart.stopped() {
		return true
	}
	alive, err := c.conn.IsAlive()
	return err != nil || !alive
}

// connect opens a connection; it is the only one who sets conn and err.
func (c *connections) connect(to *connection) {
	defer close(to.ready)
	to.err = recovered.Do(func() error { return c.dial(to) })
}

func (c *connections) dial(to *connection) error {
	if err := c.loop.acquire(); err != nil {
		return err
	}
	conn, err := libvirt.NewConnect(to.url)
	if err != nil {
		c.loop.release()
		return connectError(to.url, err)
	}
	if err := to.dispatcher.register(conn); err != nil {
		to.dispatcher.deregister(conn)
		_, _ = conn.Close()
		c.loop.release()
		return err
	}
	// A driver that needs no daemon has no such callback: nothing can break there.
	_ = conn.RegisterCloseCallback(func(*libvirt.Connect, libvirt.ConnectCloseReason) {
		to.heart.stop(closedByLibvirtd)
	})
	to.heart.start(conn)
	to.conn = conn
	return nil
}

// release ends one use. A connection that could not be opened is forgotten,
// so that the next user tries again.
func (c *connections) release(to *connection) {
	<-to.ready
	c.mu.Lock()
	to.users--
	last := to.users == 0
	if (last || to.err != nil) && c.open[to.url] == to {
		delete(c.open, to.url)
	}
	c.mu.Unlock()
	if !last || to.conn == nil {
		return
	}
	if to.heart.end() {
		c.close(to)
		return
	}
	// Nobody answers: closing, too, waits for an answer, or for the end of the
	// other side, for which nobody else has to wait.
	go c.close(to)
}

func (c *connections) close(to *connection) {
	to.dispatcher.deregister(to.conn)
	_ = to.conn.UnregisterCloseCallback() // fails where there is none
	_, _ = to.conn.Close()
	c.loop.release()
}
